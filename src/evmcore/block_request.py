"""The arguments of `execute_block` and `execute_block_stream`, defined once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from evmcore.access_lists import BlockAccessList
from evmcore.blocks import Block, Header
from evmcore.errors import InputError
from evmcore.forks import ChainConfig, Fork, chain_of, fork_of
from evmcore.threads import Threads

if TYPE_CHECKING:
    from evmcore._block_run import Executor
    from evmcore.state import Backend, State
    from evmcore.tracing import Tracer

AccessListArgument = bool | BlockAccessList | bytes

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(slots=True)
class BlockRequest:
    """The arguments of `execute_block`, which documents them."""

    block: Block
    state: Backend | State
    chain: ChainConfig | Fork | str = "mainnet"
    _: KW_ONLY
    threads: Threads = None
    parent: Header | None = None
    block_hashes: Mapping[int, bytes] | None = None
    fork: Fork | str | None = None
    validate: bool = True
    check_state_root: bool = False
    commit: bool = False
    reward: int | None = None
    tracer: Tracer | None = None
    access_list: AccessListArgument = False
    accesses: bool = False
    executor: Executor | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.parent, (Header, type(None))):
            raise InputError(f"argument 'parent': expected a Header, got {type(self.parent).__name__}")

    def rules(self) -> tuple[ChainConfig, Fork]:
        """The chain, and the fork in force in the block. `InputError` if block, chain or fork has the wrong type."""
        if not isinstance(self.block, Block):
            raise InputError(f"block: expected a Block, got {type(self.block).__name__}")
        chain = chain_of(self.chain)
        if self.fork is not None:
            return chain, fork_of(self.fork)
        header = self.block.header
        return chain, chain.fork_of(header.number, header.timestamp, header.difficulty)

    @property
    def records_accesses(self) -> bool:
        """Whether to record what each part of the block accesses."""
        return self.accesses or self.access_list is True


def of_arguments(request: Callable[P, BlockRequest]) -> Callable[[Callable[[BlockRequest], R]], Callable[P, R]]:
    """Turns a function of a `BlockRequest` into one that takes the fields of the request as arguments; callers, type
    checkers and `help` see these arguments."""

    def wrap(function: Callable[[BlockRequest], R]) -> Callable[P, R]:
        @functools.wraps(function)
        def called(*arguments: P.args, **named: P.kwargs) -> R:
            return function(request(*arguments, **named))

        taken = inspect.signature(request)
        result = inspect.signature(function).return_annotation
        called.__signature__ = taken.replace(return_annotation=result)  # type: ignore[attr-defined]
        return called

    return wrap
