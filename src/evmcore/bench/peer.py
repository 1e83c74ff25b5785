"""What a peer is: another engine that runs the same messages and blocks, by turns with this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from evmcore.bench.cases import Case
from evmcore.bench.measure import Timed
from evmcore.blocks import Block
from evmcore.errors import EvmcoreError
from evmcore.forks import ChainConfig
from evmcore.types import Account


class PeerError(EvmcoreError):
    """The peer cannot do the same work, or gives another result."""


@dataclass(frozen=True)
class BlockWork:
    """A block to be executed on the state before it, and the gas of each receipt that this has to give."""

    name: str
    chain: ChainConfig
    block: Block
    alloc: Mapping[bytes, Account]
    block_hashes: Mapping[int, bytes]
    gas_used: Sequence[int]


class Peer(Protocol):
    """Another engine. `case` and `block` run the work once; they raise `PeerError` unless the result is as expected."""

    name: str
    version: str

    def empty(self) -> Timed | None:
        """A call that does nothing, if calling the engine takes time that is not the engine's: it is subtracted."""
        ...

    def case(self, case: Case) -> Timed:
        """A message to be timed."""
        ...

    def block(self, work: BlockWork) -> Timed:
        """A block's transactions to be timed, executed one after the other."""
        ...

    def close(self) -> None: ...


def open_peer(name: str) -> Peer:
    """`pyrevm`, or the program at a path (see peers/README.md). Raises InputError for what is neither, and `PeerError`
    for a program that does not say what it is."""
    from evmcore.bench.program import Program
    from evmcore.bench.pyrevm import Pyrevm

    return Pyrevm() if name == "pyrevm" else Program(Path(name))
