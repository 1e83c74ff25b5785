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
    0x-hex text, slots and values numbers below 2**256, balances in wei. Writing to an absent account creates it. A slot
    of value zero is the same as an absent slot. Calls read without taking locks. A thread that writes waits until
    running calls are done; if the thread is itself inside a call, it gets `StateError`.

    A process may fork at any time, also from inside a call: the fork waits until no thread is writing or computing a
    root. The child has the state of that moment, with each write complete, and may read and write it. Calls that run in
    other threads continue only in the parent.
    """

    def __init__(self, alloc: Mapping[Any, Any] | None = None) -> None: ...
    def account(self, address: AddressLike) -> Account | None:
        """The account with its code and whole storage, or None if it does not exist."""

    def __contains__(self, address: AddressLike) -> bool:
        """Whether the account exists."""

    def __len__(self) -> int:
        """The number of accounts."""

    def __iter__(self) -> Iterator[bytes]:
        """Addresses in ascending order, as of the start of the iteration."""

    def __eq__(self, other: object) -> bool:
        """Whether both states have the same accounts."""

    def addresses(self) -> list[bytes]:
        """The addresses of all accounts, ascending."""

    def balance(self, address: AddressLike) -> int:
        """The balance in wei; zero if the account does not exist."""

    def nonce(self, address: AddressLike) -> int:
        """The nonce; zero if the account does not exist."""

    def code(self, address: AddressLike) -> bytes:
        """The code; empty if there is none. `StateError` if only its hash is known."""

    def code_hash(self, address: AddressLike) -> bytes:
        """The 32-byte Keccak-256 of the code; the hash of no bytes if there is no code."""

    def storage(self, address: AddressLike, slot: Word) -> int:
        """The value of a storage slot; zero if it is not set."""

    def slots(self, address: AddressLike) -> dict[int, int]:
        """All storage slots of an account that are not zero, by ascending key."""

    def block_hash(self, number: int) -> bytes | None:
        """The hash that BLOCKHASH returns for an earlier block, or None if it is not known."""

    def set_account(self, address: AddressLike, account: Account) -> None:
        """Replaces an account with all its storage."""

    def delete_account(self, address: AddressLike) -> None:
        """Removes an account with its storage; does nothing if the account does not exist."""

    def set_balance(self, address: AddressLike, balance: int | str) -> None:
        """Sets the balance, in wei."""

    def set_nonce(self, address: AddressLike, nonce: int | str) -> None:
        """Sets the nonce, below 2**64."""

    def set_code(self, address: AddressLike, code: bytes | str) -> None:
        """Sets the code, at most 2**30 bytes."""

    def set_storage(self, address: AddressLike, slot: Word, value: Word) -> None:
        """Sets a storage slot; zero clears it."""

    def set_block_hash(self, number: int, block_hash: bytes | str | None) -> None:
        """Sets the hash that BLOCKHASH returns for an earlier block; None removes it."""

    def snapshot(self) -> int:
        """Remembers the present state; later changes are journalled until the snapshot is discarded. Snapshots nest."""

    def revert(self, snapshot: int) -> None:
        """Returns to the state of a snapshot. The snapshot stays valid; later snapshots are discarded.

        Raises `StateError` if the snapshot is not known.
        """

    def discard(self, snapshot: int) -> None:
        """Forgets a snapshot and all later ones, keeping the state as it is."""

    def apply(self, diff: StateDiff) -> None:
        """Brings the state from the diff's old to its new values, all of them or none; makes the diff complete.

        Raises `StateError` naming the account or slot, with both values, if the state is not the one the diff starts
        from, or if a code is neither in the diff nor in the state.
        """

    def apply_to(self, diff: StateDiff, state_root: bytes | str, threads: Threads = 1) -> bytes:
        """Applies a diff if that leads to the state root of 32 bytes; gives the root that it leads to.

        With another root the state stays as it is, and nobody sees it changed. Raises `StateError` as `apply` does.
        """

    def undo(self, diff: StateDiff) -> None:
        """Reverts a diff that was applied before: afterwards the state is exactly the earlier one."""

    roots_on_threads: bool
    def state_root(self, diff: StateDiff | None = None, threads: Threads = 1) -> bytes:
        """The 32-byte root of the state trie over all accounts, on at most `threads` native threads. The first root
        takes time in proportion to the state. From the second root on the trie is kept, and a root costs only what
        changed since the previous one.

        With `diff`: the root that the state would have after applying it. The state stays unchanged, and no other
        thread sees it changed.
        """

    def storage_root(self, address: AddressLike) -> bytes:
        """The 32-byte root of an account's storage trie; the root of the empty trie if it has no storage."""

    def proof(self, address: AddressLike, slots: Iterable[Word] = ()) -> dict[str, Any]:
        """The Merkle proof of an account and of some of its slots, in the form of eth_getProof (EIP-1186).

        The first proof builds the trie that is kept; later proofs cost only what changed meanwhile.
        """

    def load(self, alloc: Mapping[Any, Any]) -> None:
        """Sets all accounts of a geth-style alloc; accounts with the same address are replaced.

        Raises `InputError` naming the account and field that is malformed; nothing is changed then.
        """

    @classmethod
    def from_alloc(cls, alloc: Mapping[Any, Any]) -> MemoryState:
        """A state with the accounts of a geth-style alloc."""

    def dump(self) -> dict[str, dict[str, Any]]:
        """All accounts as a geth-style alloc, by ascending address; slots by ascending key, as 32-byte hex."""

    def copy(self) -> MemoryState:
        """An independent state with the same accounts and block hashes, without the snapshots."""
