from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from evmcore._diff import StateDiff
from evmcore.state._reader import Backend
from evmcore.threads import Threads
from evmcore.types import Account

AddressLike = bytes | str | int
Word = int | str | bytes

class MemoryState(Backend):
    """Accounts, storage, codes and block hashes in memory, for one process and any number of threads.

    `MemoryState(alloc)` takes a geth-style alloc or a mapping of address to `Account`. Addresses are 20 bytes or
    0x-hex text, slots and values numbers below 2**256, balances in wei. An account that is written to is made when it
    is absent; a slot of value zero is the same as an absent one. Calls read without locks of their own; a thread that
    writes waits until running calls are done, and gets `StateError` when it is itself inside one.

    A process may fork at any time, also from inside a call: it waits until no thread is writing or computing a root.
    The child has the state as it is then, each write whole, and may read and write it. The calls of other threads are
    the parent's alone.
    """

    def __init__(self, alloc: Mapping[Any, Any] | None = None) -> None: ...
    def account(self, address: AddressLike) -> Account | None:
        """The account with its code and whole storage, or None when it is absent."""

    def __contains__(self, address: AddressLike) -> bool:
        """Whether the account exists."""

    def __len__(self) -> int:
        """The number of accounts."""

    def __iter__(self) -> Iterator[bytes]:
        """Addresses in ascending order, as they are when the iteration starts."""

    def __eq__(self, other: object) -> bool:
        """Whether both have the same accounts."""

    def addresses(self) -> list[bytes]:
        """The addresses of all accounts, ascending."""

    def balance(self, address: AddressLike) -> int:
        """The balance in wei; zero when the account is absent."""

    def nonce(self, address: AddressLike) -> int:
        """The nonce; zero when the account is absent."""

    def code(self, address: AddressLike) -> bytes:
        """The code; empty when there is none. `StateError` when only its hash is known."""

    def code_hash(self, address: AddressLike) -> bytes:
        """The 32-byte Keccak-256 of the code; that of no bytes when there is none."""

    def storage(self, address: AddressLike, slot: Word) -> int:
        """The value of a storage slot; zero when there is none."""

    def slots(self, address: AddressLike) -> dict[int, int]:
        """All storage slots of an account that are not zero, by ascending key."""

    def block_hash(self, number: int) -> bytes | None:
        """The hash that BLOCKHASH gives for an earlier block, or None when it is not known."""

    def set_account(self, address: AddressLike, account: Account) -> None:
        """Replaces an account with all its storage."""

    def delete_account(self, address: AddressLike) -> None:
        """Removes an account with its storage; nothing happens when it is absent."""

    def set_balance(self, address: AddressLike, balance: int | str) -> None:
        """Sets the balance, in wei."""

    def set_nonce(self, address: AddressLike, nonce: int | str) -> None:
        """Sets the nonce, below 2**64."""

    def set_code(self, address: AddressLike, code: bytes | str) -> None:
        """Sets the code, at most 2**31 - 1 bytes."""

    def set_storage(self, address: AddressLike, slot: Word, value: Word) -> None:
        """Sets a storage slot; zero clears it."""

    def set_block_hash(self, number: int, block_hash: bytes | str | None) -> None:
        """Sets the hash that BLOCKHASH gives for an earlier block; None forgets it."""

    def snapshot(self) -> int:
        """Remembers the present state; later changes are journalled until it is discarded. Snapshots nest."""

    def revert(self, snapshot: int) -> None:
        """Returns to the state of a snapshot, which stays valid; later snapshots are gone.

        Raises `StateError` when the snapshot is not known.
        """

    def discard(self, snapshot: int) -> None:
        """Forgets a snapshot and all later ones, keeping the state as it is."""

    def apply(self, diff: StateDiff) -> None:
        """Brings the state from the diff's old to its new values, all of them or none; completes the diff.

        Raises `StateError` naming the account or slot, with both values, when the state is not the one the diff starts
        from, or when a code is neither in the diff nor in the state.
        """

    def undo(self, diff: StateDiff) -> None:
        """Takes a diff back that was applied before: afterwards the state is exactly what it was."""

    roots_on_threads: bool
    def state_root(self, diff: StateDiff | None = None, threads: Threads = 1) -> bytes:
        """The 32-byte root of the state trie over all accounts, on at most `threads` native threads. The first takes
        time in proportion to the state; from the second on the trie is kept, and a root costs what changed since the
        one before.

        With `diff`: the root as it would be after applying it; the state stays as it is, and nobody sees it changed.
        """

    def storage_root(self, address: AddressLike) -> bytes:
        """The 32-byte root of an account's storage trie; that of the empty trie when it has no storage."""

    def proof(self, address: AddressLike, slots: Iterable[Word] = ()) -> dict[str, Any]:
        """The Merkle proof of an account and of some of its slots, as eth_getProof gives it (EIP-1186).

        The first keeps the trie, as `state_root` does from its second on; others cost what changed meanwhile.
        """

    def load(self, alloc: Mapping[Any, Any]) -> None:
        """Sets all accounts of a geth-style alloc, replacing those that are there.

        Raises `InputError` naming the account and field that is malformed; nothing is changed then.
        """

    @classmethod
    def from_alloc(cls, alloc: Mapping[Any, Any]) -> MemoryState:
        """A state with the accounts of a geth-style alloc."""

    def dump(self) -> dict[str, dict[str, Any]]:
        """All accounts as a geth-style alloc, by ascending address; slots by ascending key, as 32-byte hex."""

    def copy(self) -> MemoryState:
        """An independent state with the same accounts and block hashes, without the snapshots."""
