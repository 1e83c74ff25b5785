"""The table of methods: the function for each JSON-RPC name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

__all__ = ["Method", "collect", "rpc"]

Function: TypeAlias = "Callable[..., Any]"
F = TypeVar("F", bound=Function)


@dataclass(frozen=True, slots=True)
class Method:
    """A method by name. `function` gets the `Context` and up to `allowed` parameters as in the request, None for
    missing ones; the first `required` are never missing. It returns the result as JSON values, or raises.

    `quick`: it takes microseconds, or stops by itself if the context is `inline`; other methods run in a thread.
    """

    name: str
    function: Function
    required: int
    allowed: int
    quick: bool


def rpc(name: str, *, required: int = 0, quick: bool = True) -> Callable[[F], F]:
    """Marks a function as the method `name`: its arguments after the context are the parameters."""

    def mark(function: F) -> F:
        allowed = len(inspect.signature(function).parameters) - 1
        methods = getattr(function, "rpc_methods", ())
        function.rpc_methods = (*methods, Method(name, function, required, allowed, quick))  # type: ignore[attr-defined]
        return function

    return mark


def collect(*modules: Any) -> dict[str, Method]:
    """The methods that are defined in modules, by name."""
    table: dict[str, Method] = {}
    for module in modules:
        for value in vars(module).values():
            for method in getattr(value, "rpc_methods", ()):
                if table.setdefault(method.name, method) != method:
                    raise ValueError(f"method {method.name} is defined twice")
    return table
