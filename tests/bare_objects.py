"""Objects of compiled classes, made by `__new__` alone: all their methods and attributes are used in many ways.

    python -m tests.bare_objects

prints what ended the process, one line for each class, and nothing where exceptions are the worst that happens.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import itertools
import os
import pkgutil
import random
import signal
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import evmcore

PATIENCE = 60  # seconds, for the use of one class
PRODUCT = 500  # lists of arguments that are all tried; of more, each value is tried in each place
HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: not a compiled class
ADDRESS = bytes(20)
# What every object has, and what would only make another object.
LEFT_OUT = {"__new__", "__class__", "__init_subclass__", "__subclasshook__", "__doc__"}

Say = Callable[[str], None]


def compiled_modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(evmcore.__path__, "evmcore."):
        if not found.name.endswith("__main__"):
            module = importlib.import_module(found.name)
            if not str(module.__file__).endswith(".py"):
                yield module


def compiled_classes() -> list[Any]:
    return [
        value
        for module in compiled_modules()
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__ and not value.__flags__ & HEAP_TYPE
    ]


def bare(kind: Any) -> Any:
    """An instance that no `__init__` has seen; None where the class refuses."""
    try:
        return kind.__new__(kind)
    except Exception:
        return None


def values() -> list[Any]:
    """Arguments of many kinds, bare objects among them."""
    state = evmcore.MemoryState({ADDRESS: {"balance": 5}})
    numbers: list[Any] = [0, 3, -1, 2**256, 0.01, True]
    texts: list[Any] = ["", "0x1", b"", ADDRESS, bytes(32)]
    empty: list[Any] = [None, (), [], {}, object()]
    inside: list[Any] = [[None], [1], [b""], [ADDRESS], [()], [(None,)], [(0, 1)], [(b"a",)], {"a": 1}, {ADDRESS: {}}]
    objects = [made for kind in compiled_classes() if (made := bare(kind)) is not None]
    return [*numbers, *texts, *empty, *inside, state, *objects]


def lengths(method: Any) -> range:
    """The numbers of positional arguments to try, up to three."""
    try:
        parameters = inspect.signature(method).parameters.values()
    except (ValueError, TypeError):
        return range(3)
    positional = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    least = sum(each.default is each.empty for each in positional)
    most = len(positional) + 2 * any(each.kind == each.VAR_POSITIONAL for each in parameters)
    return range(least, max(least, min(most, 3)) + 1)


def argument_lists(method: Any, given: list[Any], chance: random.Random) -> Iterator[tuple[Any, ...]]:
    for length in lengths(method):
        if len(given) ** length <= PRODUCT:
            yield from itertools.product(given, repeat=length)
            continue
        for place, value in itertools.product(range(length), given):
            arguments = chance.choices(given, k=length)
            arguments[place] = value
            yield tuple(arguments)


def attributes(kind: Any) -> list[str]:
    own = (name for name in dir(kind) if getattr(kind, name) is not getattr(object, name, None))
    return [name for name in own if name not in LEFT_OUT]


def use(kind: Any, say: Say) -> None:
    """Uses each attribute of fresh objects, and then of one and the same; says beforehand what is next."""
    chance, given, kept = random.Random(1), values(), bare(kind)
    for name, made in itertools.product(attributes(kind), (lambda: bare(kind), lambda: kept)):
        say(name)
        try:
            attribute = getattr(made(), name)
        except Exception:
            continue
        if callable(attribute):
            for arguments in argument_lists(attribute, given, chance):
                say(f"{name}{tuple(type(value).__name__ for value in arguments)}")
                attempt(lambda made=made, name=name, arguments=arguments: getattr(made(), name)(*arguments))
        else:
            for value in given:
                say(f"{name} = {type(value).__name__}")
                attempt(lambda made=made, name=name, value=value: setattr(made(), name, value))
    say("the end")


def attempt(what: Callable[[], Any]) -> None:
    with contextlib.suppress(Exception):
        what()


def end_of(job: Callable[[Say], None]) -> str | None:
    """How a process that does this ended, and what it did last; None if it did it all."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(PATIENCE)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            told = open(writing, "w", buffering=1)  # noqa: SIM115
            job(lambda what: print(what, file=told))
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    last = b""
    while data := os.read(reading, 1 << 16):
        last = (last + data)[-1000:]
    os.close(reading)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return None if code == 0 else f"{code} in {last.decode().splitlines()[-1:]}"


def main() -> None:
    def crash(say: Say) -> None:
        say("a crash")
        os.kill(os.getpid(), signal.SIGSEGV)

    assert "a crash" in (end_of(crash) or ""), "a crash would not be seen"
    classes = [kind for kind in compiled_classes() if bare(kind) is not None]
    assert len(classes) > 20, "most compiled classes can be made so"
    for kind in classes:
        if how := end_of(lambda say, kind=kind: use(kind, say)):
            print(f"{kind.__module__}.{kind.__name__}: {how}")


if __name__ == "__main__":
    main()
