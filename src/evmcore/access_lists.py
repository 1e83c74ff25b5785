"""Block-level access lists (EIP-7928): what a block accesses, and every value it leaves, by index in the block.

An *index* is a position in the block: 0 for the system calls before the transactions, 1 to n for the n
transactions, n + 1 for everything after them (withdrawals, rewards, system calls).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from evmcore import rlp
from evmcore._hash import keccak256
from evmcore.errors import BlockReason, InputError, InvalidBlock, RlpError
from evmcore.types import to_address, to_bytes, to_hash, to_object, to_uint

ITEM_COST = 2000
"""Gas of the block's gas limit for each address and slot in the block's list (EIP-7928)."""
INDEX_BITS = 32

T = TypeVar("T")


class StorageChange(NamedTuple):
    """The value of a slot after an index of the block."""

    block_access_index: int
    value: int


class BalanceChange(NamedTuple):
    """An account's balance in wei after an index of the block."""

    block_access_index: int
    balance: int


class NonceChange(NamedTuple):
    """An account's nonce after an index of the block."""

    block_access_index: int
    nonce: int


class CodeChange(NamedTuple):
    """An account's code after an index of the block."""

    block_access_index: int
    code: bytes


class SlotChanges(NamedTuple):
    """All changes of one storage slot, in ascending order of index."""

    slot: int
    changes: tuple[StorageChange, ...]


@dataclass(frozen=True, slots=True)
class AccountChanges:
    """Everything that a block does with one account. An account that was only read has no changes.

    `storage_reads` are the slots that were accessed and never changed. Slots are in ascending order, changes in
    ascending order of index.
    """

    address: bytes
    storage_changes: tuple[SlotChanges, ...] = ()
    storage_reads: tuple[int, ...] = ()
    balance_changes: tuple[BalanceChange, ...] = ()
    nonce_changes: tuple[NonceChange, ...] = ()
    code_changes: tuple[CodeChange, ...] = ()


class BlockAccessList(Sequence[AccountChanges]):
    """A block's access list (EIP-7928): its `AccountChanges`, by ascending address. Immutable.

    The accounts may be given in any order and with any content: `check` tells whether the list is in the only form that
    a block may have.
    """

    __slots__ = ("_accounts", "_encoded")

    _accounts: tuple[AccountChanges, ...] | None
    _encoded: bytes | None

    def __init__(self, accounts: Iterable[AccountChanges] = ()) -> None:
        """Raises `InputError` for anything but `AccountChanges`."""
        self._accounts = _changes(accounts, "accounts")
        self._encoded = None

    @classmethod
    def from_rlp(cls, data: bytes) -> BlockAccessList:
        """From its RLP encoding; order and repetitions are checked by `check`, not here.

        Raises `RlpError` for anything but the canonical encoding of a list of the right shape, and `InputError` if
        `data` is not bytes.
        """
        made = cls._of_rlp(to_bytes(data, "data"))
        made._accounts = _decode(made._encoded or b"")
        return made

    @classmethod
    def joined(cls, parts: Iterable[Iterable[AccountChanges]]) -> BlockAccessList:
        """The list of several parts of a block together, from the list of each part. The parts are usually the system
        calls before the transactions, each transaction, and everything after them; any other parts work too, each once
        and in any order. A slot that one part reads and another part changes is a changed slot. Raises `InputError` for
        anything but lists of `AccountChanges`.
        """
        accounts: dict[bytes, _Joined] = {}
        if not isinstance(parts, Iterable):
            raise InputError(f"argument 'parts': expected lists of AccountChanges, got {type(parts).__name__}")
        for part in parts:
            for account in _changes(part, "parts"):
                accounts.setdefault(account.address, _Joined()).add(account)
        return cls(accounts[address].changes_of(address) for address in sorted(accounts))

    @classmethod
    def _of_rlp(cls, data: bytes) -> BlockAccessList:
        """From an encoding that is known to be valid; it is decoded on first access."""
        made = cls.__new__(cls)
        made._accounts = None
        made._encoded = data
        return made

    @property
    def accounts(self) -> tuple[AccountChanges, ...]:
        """The accounts, in the order in which they are listed."""
        if self._accounts is None:
            self._accounts = _decode(self._encoded or b"")
        return self._accounts

    def to_rlp(self) -> bytes:
        """The RLP encoding: for each account the address, slot changes, slots only read, and changes of balance, nonce
        and code."""
        if self._encoded is None:
            self._encoded = rlp.encode([_encodable(account) for account in self.accounts])
        return self._encoded

    @property
    def hash(self) -> bytes:
        """Keccak-256 of the encoding: `block_access_list_hash` of the header."""
        return keccak256(self.to_rlp())

    def account(self, address: bytes | str | int) -> AccountChanges | None:
        """The entry of an account, None if the account is not in the list."""
        wanted = to_address(address, "address")
        return next((account for account in self.accounts if account.address == wanted), None)

    @property
    def item_count(self) -> int:
        """The number of addresses and slots, which the EIP limits by the block's gas limit."""
        slots = sum(len(account.storage_changes) + len(account.storage_reads) for account in self.accounts)
        return len(self.accounts) + slots

    def __len__(self) -> int:
        return len(self.accounts)

    def __getitem__(self, key: Any) -> Any:
        return self.accounts[key]

    def __iter__(self) -> Iterator[AccountChanges]:
        return iter(self.accounts)

    def __eq__(self, other: object) -> bool:
        return self.to_rlp() == other.to_rlp() if isinstance(other, BlockAccessList) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.to_rlp())

    def __repr__(self) -> str:
        return f"<BlockAccessList of {len(self.accounts)} accounts, 0x{self.hash.hex()}>"

    # ------------------------------------------------------------ checks

    def check(self, transactions: int | None = None) -> None:
        """Raises `InvalidBlock` unless the list is in canonical form: accounts, slots and indices ascending without
        repetitions, no slot both changed and read, no slot without changes. With the number of `transactions`, also no
        index after the block's last one. Accounts out of order are an INCORRECT_BLOCK_FORMAT, everything else is an
        INVALID_BLOCK_ACCESS_LIST.
        """
        last = None if transactions is None else to_uint(transactions, "transactions") + 1
        before = b""
        for account in self.accounts:
            if account.address <= before:
                raise InvalidBlock(
                    BlockReason.INCORRECT_BLOCK_FORMAT,
                    f"access list: address 0x{account.address.hex()} follows 0x{before.hex()}, expected ascending "
                    "addresses, each once",
                )
            before = account.address
            _check_account(account, last)

    def check_size(self, gas_limit: int) -> None:
        """Raises `InvalidBlock` (BLOCK_ACCESS_LIST_GAS_LIMIT_EXCEEDED) if the list has more addresses and slots than
        one per 2,000 gas of the block's gas limit."""
        items, allowed = self.item_count, to_uint(gas_limit, "gas_limit") // ITEM_COST
        if items > allowed:
            raise InvalidBlock(
                BlockReason.BLOCK_ACCESS_LIST_GAS_LIMIT_EXCEEDED,
                f"access list: {items} addresses and slots, a gas limit of {gas_limit} allows {allowed}",
            )

    def check_hash(self, expected: bytes) -> None:
        """Raises `InvalidBlock` (INVALID_BAL_HASH) unless the list has this hash, 32 bytes."""
        expected = to_hash(expected, "expected")
        if self.hash != expected:
            raise InvalidBlock(
                BlockReason.INVALID_BAL_HASH,
                f"access list hash 0x{expected.hex()}, the list has 0x{self.hash.hex()}",
            )

    # ------------------------------------------------------------ JSON

    def to_json(self) -> list[dict[str, Any]]:
        """As a JSON value in the form of the execution-spec-tests: numbers and bytes as 0x-hex text."""
        return [
            {
                "address": "0x" + account.address.hex(),
                "storageChanges": [
                    {"slot": hex(slot), "slotChanges": _changes_to_json(changes, "postValue")}
                    for slot, changes in account.storage_changes
                ],
                "storageReads": [hex(slot) for slot in account.storage_reads],
                "balanceChanges": _changes_to_json(account.balance_changes, "postBalance"),
                "nonceChanges": _changes_to_json(account.nonce_changes, "postNonce"),
                "codeChanges": [
                    {"blockAccessIndex": hex(index), "newCode": "0x" + code.hex()}
                    for index, code in account.code_changes
                ],
            }
            for account in self.accounts
        ]

    @classmethod
    def from_json(cls, value: Any) -> BlockAccessList:
        """The inverse of `to_json`; missing lists are empty, numbers may also be JSON numbers. Raises `InputError` for
        a field that is missing or malformed."""
        return cls(
            [_account_from_json(to_object(entry, "access list entry")) for entry in _items(value, "access list")]
        )


def _changes(accounts: Iterable[AccountChanges], name: str) -> tuple[AccountChanges, ...]:
    if not isinstance(accounts, Iterable):
        raise InputError(f"argument '{name}': expected AccountChanges in a list, got {type(accounts).__name__}")
    changes = tuple(accounts)
    for entry in changes:
        if not isinstance(entry, AccountChanges):
            raise InputError(f"argument '{name}': expected AccountChanges, got {type(entry).__name__}")
    return changes


class _Joined:
    """The entries of one account in several parts of a block, joined."""

    def __init__(self) -> None:
        self.written: dict[int, list[StorageChange]] = {}
        self.read: set[int] = set()
        self.balances: list[BalanceChange] = []
        self.nonces: list[NonceChange] = []
        self.codes: list[CodeChange] = []

    def add(self, account: AccountChanges) -> None:
        for slot, changes in account.storage_changes:
            self.written.setdefault(slot, []).extend(changes)
        self.read.update(account.storage_reads)
        self.balances += account.balance_changes
        self.nonces += account.nonce_changes
        self.codes += account.code_changes

    def changes_of(self, address: bytes) -> AccountChanges:
        return AccountChanges(
            address,
            tuple([SlotChanges(slot, tuple(sorted(self.written[slot]))) for slot in sorted(self.written)]),
            tuple(sorted(self.read - self.written.keys())),
            tuple(sorted(self.balances)),
            tuple(sorted(self.nonces)),
            tuple(sorted(self.codes)),
        )


# ---------------------------------------------------------------------------------------------------- checks


def _ascending(what: str, numbers: Iterable[int], account: AccountChanges, last: int | None = None) -> None:
    before = -1
    for number in numbers:
        if number <= before:
            problem = f"{number} follows {before}, expected ascending ones, each once"
        elif last is not None and number > last:
            problem = f"{number}, the block's last is {last}"
        else:
            before = number
            continue
        raise InvalidBlock(
            BlockReason.INVALID_BLOCK_ACCESS_LIST, f"access list: account 0x{account.address.hex()}: {what}: {problem}"
        )


def _check_account(account: AccountChanges, last: int | None) -> None:
    written = [slot for slot, _ in account.storage_changes]
    _ascending("changed slots", written, account)
    _ascending("read slots", account.storage_reads, account)
    for slot, changes in account.storage_changes:
        if not changes:
            raise InvalidBlock(
                BlockReason.INVALID_BLOCK_ACCESS_LIST,
                f"access list: account 0x{account.address.hex()}: slot {slot:#x} has no change",
            )
        _ascending(f"indices of slot {slot:#x}", [index for index, _ in changes], account, last)
    for slot in sorted({*written} & {*account.storage_reads}):
        raise InvalidBlock(
            BlockReason.INVALID_BLOCK_ACCESS_LIST,
            f"access list: account 0x{account.address.hex()}: slot {slot:#x} is both changed and only read",
        )
    _ascending("indices of balances", [change.block_access_index for change in account.balance_changes], account, last)
    _ascending("indices of nonces", [change.block_access_index for change in account.nonce_changes], account, last)
    _ascending("indices of codes", [change.block_access_index for change in account.code_changes], account, last)


# ---------------------------------------------------------------------------------------------------- RLP


def _encodable(account: AccountChanges) -> list[rlp.Encodable]:
    return [
        account.address,
        [[slot, changes] for slot, changes in account.storage_changes],
        account.storage_reads,
        account.balance_changes,
        account.nonce_changes,
        account.code_changes,
    ]


def _members(item: rlp.Item, name: str, count: int) -> list[rlp.Item]:
    members = rlp.decode_list(item, name)
    if len(members) != count:
        raise RlpError(f"RLP: field '{name}': expected {count} members, got {len(members)}")
    return members


def _pair(item: rlp.Item, name: str, bits: int) -> tuple[int, int]:
    index, value = _members(item, name, 2)
    return rlp.decode_uint(index, f"{name} index", INDEX_BITS), rlp.decode_uint(value, name, bits)


def _slot_changes(item: rlp.Item) -> SlotChanges:
    slot, changes = _members(item, "storage_changes", 2)
    values = [
        StorageChange(*_pair(change, "storage value", 256)) for change in rlp.decode_list(changes, "slot_changes")
    ]
    return SlotChanges(rlp.decode_uint(slot, "slot"), tuple(values))


def _code_change(item: rlp.Item) -> CodeChange:
    index, code = _members(item, "code_changes", 2)
    if not isinstance(code, bytes):
        raise RlpError("RLP: field 'code': expected bytes, got a list")
    return CodeChange(rlp.decode_uint(index, "code index", INDEX_BITS), code)


def _account(item: rlp.Item) -> AccountChanges:
    address, written, read, balances, nonces, codes = _members(item, "account changes", 6)
    return AccountChanges(
        rlp.decode_fixed(address, "address", 20),
        tuple([_slot_changes(entry) for entry in rlp.decode_list(written, "storage_changes")]),
        tuple([rlp.decode_uint(slot, "storage_reads") for slot in rlp.decode_list(read, "storage_reads")]),
        tuple([BalanceChange(*_pair(entry, "balance", 256)) for entry in rlp.decode_list(balances, "balance_changes")]),
        tuple([NonceChange(*_pair(entry, "nonce", 64)) for entry in rlp.decode_list(nonces, "nonce_changes")]),
        tuple([_code_change(entry) for entry in rlp.decode_list(codes, "code_changes")]),
    )


def _decode(data: bytes) -> tuple[AccountChanges, ...]:
    return tuple([_account(item) for item in rlp.decode_list(rlp.decode(data), "block access list")])


# ---------------------------------------------------------------------------------------------------- JSON


def _changes_to_json(changes: Iterable[tuple[int, int]], name: str) -> list[dict[str, str]]:
    return [{"blockAccessIndex": hex(index), name: hex(value)} for index, value in changes]


def _items(value: Any, name: str) -> Sequence[Any]:
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        raise InputError(f"{name}: expected an array, got {type(value).__name__}")
    return value


def _field(item: Mapping[str, Any], name: str) -> Any:
    try:
        return item[name]
    except KeyError:
        raise InputError(f"access list: field '{name}' is missing") from None


def _changes_from_json(item: Mapping[str, Any], name: str, value: str, bits: int) -> list[tuple[int, int]]:
    entries = [to_object(entry, name) for entry in _items(item.get(name), name)]
    return [
        (
            to_uint(_field(entry, "blockAccessIndex"), "blockAccessIndex", INDEX_BITS),
            to_uint(_field(entry, value), value, bits),
        )
        for entry in entries
    ]


def _account_from_json(item: Mapping[str, Any]) -> AccountChanges:
    written = [to_object(entry, "storageChanges") for entry in _items(item.get("storageChanges"), "storageChanges")]
    codes = [to_object(entry, "codeChanges") for entry in _items(item.get("codeChanges"), "codeChanges")]
    return AccountChanges(
        to_address(_field(item, "address"), "address"),
        tuple(
            SlotChanges(
                to_uint(_field(entry, "slot"), "slot"),
                tuple(StorageChange(*pair) for pair in _changes_from_json(entry, "slotChanges", "postValue", 256)),
            )
            for entry in written
        ),
        tuple(to_uint(slot, "storageReads") for slot in _items(item.get("storageReads"), "storageReads")),
        tuple(BalanceChange(*pair) for pair in _changes_from_json(item, "balanceChanges", "postBalance", 256)),
        tuple(NonceChange(*pair) for pair in _changes_from_json(item, "nonceChanges", "postNonce", 64)),
        tuple(
            CodeChange(
                to_uint(_field(entry, "blockAccessIndex"), "blockAccessIndex", INDEX_BITS),
                to_bytes(_field(entry, "newCode"), "newCode"),
            )
            for entry in codes
        ),
    )
