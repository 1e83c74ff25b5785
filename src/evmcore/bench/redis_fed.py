"""A program on state in Redis: what a call costs when all it needs is fetched, and when it is in this process already.

Cold calls are of contracts that nobody has called: copies of the program at addresses of their own, each called once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

from evmcore import EVM, BlockEnv, MemoryState
from evmcore.bench.engine import WrongResult
from evmcore.blocks import Header
from evmcore.state import Backend
from evmcore.state.loading import Loader
from evmcore.state.publisher import Publisher
from evmcore.state.redis import RedisState
from evmcore.state.sources import from_memory
from evmcore.types import Account

CHAIN_ID = 1
COPIES = 20_000
# The first calls open connections and learn what such calls read.
LEARNING = 64
ENV = BlockEnv()


class RedisFed:
    """Copies of a contract in Redis; `cold` and `cold_together` say how many calls they made, and start over with an
    empty cache when every copy has been called."""

    def __init__(self, state: RedisState, addresses: list[bytes], right: int | None) -> None:
        self.state = state
        self.right = right
        self._addresses = addresses
        self._fresh = self._begin()
        # Once through all of them: the memory that the cache takes is new only once.
        together = self.cold(LEARNING)
        for _ in range(len(addresses) // LEARNING):
            together()

    def _begin(self) -> Iterator[bytes]:
        self.state.restart()
        fresh = iter(self._addresses)
        for address in islice(fresh, LEARNING):
            self._call([address])
        return fresh

    def _call(self, addresses: list[bytes]) -> None:
        def work(backend: Backend) -> list[bytes]:
            evm = EVM(backend, fork="cancun", block=ENV)
            return [evm.call(address).output for address in addresses]

        with self.state.pin() as pin:
            outputs = pin.run(work)
        for output in outputs:
            if int.from_bytes(output, "big") != self.right:
                raise WrongResult(f"state in Redis: {self.right} expected, got 0x{output.hex()}")

    def cold(self, together: int) -> Callable[[], int]:
        """Calls so many contracts that nobody has called, with what they read fetched together."""

        def batch() -> int:
            addresses = list(islice(self._fresh, together))
            if len(addresses) < together:
                self._fresh = self._begin()
                addresses = list(islice(self._fresh, together))
            self._call(addresses)
            return together

        return batch

    def hot(self, together: int) -> Callable[[], int]:
        """Calls one contract again and again, so many times on what is then the latest block."""
        evms: dict[int, EVM] = {}
        address = self._addresses[0]

        def call(backend: Backend) -> None:
            evm = evms.get(id(backend))
            if evm is None:
                evm = evms[id(backend)] = EVM(backend, fork="cancun", block=ENV)
            for _ in range(together):
                evm.call(address)

        def batch() -> int:
            for _ in range(100):
                with self.state.pin() as pin:
                    pin.run(call)
            return 100 * together

        return batch


@contextmanager
def redis_fed(url: str, code: bytes, storage: dict[int, int], right: int | None) -> Iterator[RedisFed]:
    """Loads the copies into the server at an address, in place of earlier ones, and reads from it."""
    addresses = [(1 << 152 | number).to_bytes(20, "big") for number in range(COPIES)]
    account = Account(nonce=1, code=code, storage=storage)
    state = MemoryState(dict.fromkeys(addresses, account))
    with Publisher(url, CHAIN_ID) as publisher:
        Loader(publisher, Header(number=0, timestamp=1), complete=True, replace=True).run(from_memory(state))
    with RedisState(url, CHAIN_ID, max_head_age=None) as reader:
        yield RedisFed(reader, addresses, right)
