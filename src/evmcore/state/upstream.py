"""Asks a node for the accounts and slots that an incomplete state in Redis lacks, at exactly the block that is read."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol, TypeVar

from evmcore.blocks import Header
from evmcore.errors import NodeError, StateUnavailable
from evmcore.state.arguments import check_count, check_seconds
from evmcore.state.backoff import Backoff
from evmcore.state.links import CLOSED
from evmcore.state.rpc import Node, ProvenAccount
from evmcore.state.rpc_client import RpcClient

__all__ = ["Upstream", "UpstreamNode"]

T = TypeVar("T")

FIRST_PAUSE: Final = 0.05  # seconds after a failure during which the node is not asked again
LONGEST_PAUSE: Final = 5.0


class Upstream(Protocol):
    """Supplies what an incomplete state lacks. Called from several threads at once."""

    def accounts(self, header: Header, wanted: Mapping[bytes, Sequence[int]]) -> Mapping[bytes, ProvenAccount]:
        """Accounts after the block with that header, each with the values of some slots.

        Raises `StateUnavailable` if they are not available, `StateError` if the answer is wrong.
        """

    def codes(self, header: Header, hashes: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
        """The codes of accounts after the block, by address; `hashes` are the expected hashes. Raises as `accounts`."""

    def close(self) -> None:
        """Called when the state that uses this is closed."""


class UpstreamNode:
    """A node that is asked by JSON-RPC. Safe for use from several threads.

    Blocks are named by their hash (EIP-1898): a node that lags, or is on another branch, answers with an error. Each
    answer is checked by its proof (`eth_getProof`) against the state root of the block; the answers of a node that does
    not offer proofs are trusted. A missing answer is an error, never a zero.

    `timeout`: seconds for one question, whatever the node does; a question is one batch of requests. `connections`:
    questions at once. After a failure to answer, the node is not asked for a while, longer each time; until then
    questions fail at once.
    """

    def __init__(self, url: str, *, timeout: float = 2.0, connections: int = 4) -> None:
        """`url`: as for `RpcClient`. Nothing is connected yet. Raises `InputError` for a bad argument."""
        check_count(connections, "connections", 1, 64)
        check_seconds(timeout, "timeout", above_zero=True)
        self.timeout = timeout
        self.questions = 0
        self.failures = 0
        self._idle = [Node(RpcClient(url, timeout, limit=timeout)) for _ in range(connections)]
        self.name = self._idle[0].client.name
        self._free = threading.Semaphore(connections)
        self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        self._next_try = 0.0
        self._problem = ""
        self._closed = False

    def accounts(self, header: Header, wanted: Mapping[bytes, Sequence[int]]) -> Mapping[bytes, ProvenAccount]:
        """See `Upstream`."""
        return self._ask(header, lambda node: node.accounts(header, wanted, by_number=False))

    def codes(self, header: Header, hashes: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
        """See `Upstream`."""
        return self._ask(header, lambda node: node.codes(hashes, header, by_number=False))

    def _ask(self, header: Header, question: Callable[[Node], T]) -> T:
        if self._closed:
            raise StateUnavailable(CLOSED)
        if time.monotonic() < self._next_try:
            raise StateUnavailable(self._problem)
        if not self._free.acquire(timeout=self.timeout):
            raise StateUnavailable(f"upstream node {self.name}: too many questions wait for it")
        try:
            node = self._idle.pop()
        except IndexError:  # closed since the check
            self._free.release()
            raise StateUnavailable(CLOSED) from None
        self.questions += 1
        try:
            answer = question(node)
        except StateUnavailable as error:
            self._next_try = time.monotonic() + self._backoff.pause()
            self._problem = f"upstream {error}"
            self.failures += 1
            raise StateUnavailable(self._problem) from error
        except NodeError as error:
            # The node answers, but not this question: it does not have the block (yet, or any more), or refuses.
            self.failures += 1
            raise StateUnavailable(
                f"upstream {error} (asked at block {header.number} 0x{header.hash.hex()})"
            ) from error
        finally:
            self._idle.append(node)
            self._free.release()
            if self._closed:
                node.close()
        self._backoff.reset()
        return answer

    def close(self) -> None:
        """Closes all connections; those in use are closed after their answer."""
        self._closed = True
        with suppress(IndexError):
            while True:
                self._idle.pop().close()
                self._free.acquire(blocking=False)

    def __repr__(self) -> str:
        return f"<UpstreamNode {self.name}>"
