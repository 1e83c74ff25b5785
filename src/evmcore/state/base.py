"""State backends written in Python: the base class to derive from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evmcore.errors import StateError
from evmcore.types import Account, FixedLike, UintLike, to_hash, to_uint

if TYPE_CHECKING:
    from evmcore._diff import StateDiff

# Keccak-256 of no bytes.
EMPTY_CODE_HASH = bytes.fromhex("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")


@dataclass(frozen=True, slots=True)
class AccountInfo:
    """An account without its code and storage, as a backend returns it.

    `balance` is in wei, `code_hash` the Keccak-256 of the code (32 bytes), `has_storage` whether some slot is not zero
    (EIP-7610; False if the backend cannot tell).
    """

    nonce: int = 0
    balance: int = 0
    code_hash: bytes = EMPTY_CODE_HASH
    has_storage: bool = False

    if TYPE_CHECKING:

        def __init__(
            self,
            nonce: UintLike = ...,
            balance: UintLike = ...,
            code_hash: FixedLike = ...,
            has_storage: bool = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "nonce", to_uint(self.nonce, "nonce", 64))
        set_field(self, "balance", to_uint(self.balance, "balance"))
        set_field(self, "code_hash", to_hash(self.code_hash, "code_hash"))
        set_field(self, "has_storage", bool(self.has_storage))


class State:
    """The base class of your own state backend: derive from it, answer four questions, and pass it to `EVM`.

    Addresses and hashes come as 20 and 32 bytes, slots and block numbers as ints. The methods are called with the GIL
    held, from the threads that execute, several at once: make them thread-safe. Within one call or transaction each
    account and slot is asked for once. If a method raises an exception, or returns a value of the wrong type or range,
    the execution stops and raises `StateError` with the exception as its cause (KeyboardInterrupt and SystemExit are
    raised themselves). A missing account or hash is returned as None, never raised.

    The answers of the methods must not change while a call or block runs; the engine does not lock anything.
    """

    def account(self, address: bytes) -> Account | AccountInfo | None:
        """The account, or None if it does not exist.

        An `AccountInfo` saves reading the code if only the balance is needed; an `Account` carries its code.
        """
        raise NotImplementedError(f"{type(self).__name__} must define account(address)")

    def storage(self, address: bytes, slot: int) -> int:
        """The value of a storage slot, below 2**256; zero if it is not set."""
        raise NotImplementedError(f"{type(self).__name__} must define storage(address, slot)")

    def code(self, address: bytes, code_hash: bytes) -> bytes:
        """The code whose Keccak-256 is `code_hash`; the engine checks the hash. By default the code of `account`."""
        account = self.account(address)
        if isinstance(account, Account):
            return account.code
        raise NotImplementedError(
            f"{type(self).__name__} must define code(address, code_hash), or give its accounts as Account with code"
        )

    def block_hash(self, number: int) -> bytes | None:
        """The 32-byte hash of an earlier block, for BLOCKHASH, or None if it is not known (BLOCKHASH then gives
        zero)."""
        return None

    def prefetch(self, addresses: list[bytes], slots: list[tuple[bytes, int]]) -> None:
        """Called before a block with a given access list is executed, with all accounts and slots that it will read.

        Define it if one batch is faster than many single reads; by default nothing is called.
        """

    def apply(self, diff: StateDiff) -> None:
        """Applies a diff to the state. Define it to let `EVM.transact` and block execution write.

        Write `new` of every record, all of them or none, and raise `StateError` if `old` is not the stored value. For
        an account that is `wiped`, or whose `new` is None, all other slots become zero too.
        """
        raise StateError(f"{type(self).__name__} is read-only: define apply(diff) to let transactions change it")
