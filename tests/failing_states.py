"""States written in Python that fail, or that answer late."""

from __future__ import annotations

import threading

from evmcore._hash import keccak256
from evmcore.forks import Fork
from evmcore.state import AccountInfo, State
from evmcore.types import Account
from tests.parallel_fuzz.cases import Case, make_case
from tests.parallel_fuzz.check import repaired


class Failing(State):
    """The accounts of a case, in Python; the read with the given number, and every later one, raises."""

    def __init__(self, alloc: dict[bytes, Account], fails_at: int | None = None) -> None:
        self.alloc = alloc
        self.codes = {keccak256(account.code): account.code for account in alloc.values()}
        self.fails_at = fails_at
        self.reads = 0
        self.applied = 0
        self.lock = threading.Lock()

    def count(self) -> None:
        with self.lock:
            self.reads += 1
            if self.fails_at is not None and self.reads >= self.fails_at:
                raise ConnectionError(f"read {self.fails_at}")

    def account(self, address: bytes) -> AccountInfo | None:
        self.count()
        account = self.alloc.get(address)
        if account is None:
            return None
        return AccountInfo(account.nonce, account.balance, keccak256(account.code), bool(account.storage))

    def storage(self, address: bytes, slot: int) -> int:
        self.count()
        return self.alloc[address].storage.get(slot, 0) if address in self.alloc else 0

    def code(self, address: bytes, code_hash: bytes) -> bytes:
        self.count()
        return self.codes[code_hash]

    def apply(self, diff: object) -> None:
        self.applied += 1


class Patient(Failing):
    """Answers for storage only when `gate` is set."""

    def __init__(self, alloc: dict[bytes, Account], gate: threading.Event) -> None:
        super().__init__(alloc)
        self.gate = gate

    def storage(self, address: bytes, slot: int) -> int:
        assert self.gate.wait(30)
        return super().storage(address, slot)


def python_case(seed: int) -> Case:
    """A random valid block of Shanghai with an alloc that these states can hold."""
    return repaired(make_case(seed, fork=Fork.SHANGHAI))
