"""Headers and blocks as plain values: the encodings of every fork, their hashes, and their JSON forms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn

from evmcore import rlp
from evmcore._hash import keccak256
from evmcore._transaction_rlp import split_transactions
from evmcore.errors import BlockReason, InputError, InvalidBlock, InvalidTransaction, RlpError
from evmcore.transactions import Transaction
from evmcore.types import (
    EMPTY_BLOOM,
    BytesLike,
    FixedLike,
    UintLike,
    Withdrawal,
    to_address,
    to_bytes,
    to_hash,
    to_object,
    to_uint,
)

ZERO_HASH: Final = bytes(32)
EMPTY_OMMERS_HASH: Final = keccak256(rlp.EMPTY_LIST)
EMPTY_TRIE_ROOT: Final = keccak256(rlp.EMPTY_STRING)

# Fields in the order of the encoding. Type: size in bytes of a fixed string, or "u" and the bits of a number, or any
# string. Then the names in JSON-RPC and fixtures.
_FIELDS: Final[tuple[tuple[str, int | str, tuple[str, ...]], ...]] = (
    ("parent_hash", 32, ("parentHash",)),
    ("ommers_hash", 32, ("sha3Uncles", "uncleHash")),
    ("coinbase", 20, ("miner", "coinbase")),
    ("state_root", 32, ("stateRoot",)),
    ("transactions_root", 32, ("transactionsRoot", "transactionsTrie")),
    ("receipts_root", 32, ("receiptsRoot", "receiptTrie")),
    ("logs_bloom", 256, ("logsBloom", "bloom")),
    ("difficulty", "u256", ("difficulty",)),
    ("number", "u64", ("number",)),
    ("gas_limit", "u64", ("gasLimit",)),
    ("gas_used", "u64", ("gasUsed",)),
    ("timestamp", "u64", ("timestamp",)),
    ("extra_data", "bytes", ("extraData",)),
    ("mix_hash", 32, ("mixHash",)),
    ("nonce", 8, ("nonce",)),
    # The header of each fork ends at some point of this list.
    ("base_fee_per_gas", "u256", ("baseFeePerGas",)),  # London, EIP-1559
    ("withdrawals_root", 32, ("withdrawalsRoot",)),  # Shanghai, EIP-4895
    ("blob_gas_used", "u64", ("blobGasUsed",)),  # Cancun, EIP-4844
    ("excess_blob_gas", "u64", ("excessBlobGas",)),
    ("parent_beacon_block_root", 32, ("parentBeaconBlockRoot",)),  # EIP-4788
    ("requests_hash", 32, ("requestsHash",)),  # Prague, EIP-7685
)
_FIRST_OPTIONAL: Final = 15


def _refuse(reason: BlockReason, detail: str) -> NoReturn:
    raise InvalidBlock(reason, detail)


def _converted(value: Any, name: str, kind: int | str) -> int | bytes:
    if isinstance(kind, str):
        return to_bytes(value, name) if kind == "bytes" else to_uint(value, name, int(kind[1:]))
    if kind == 20:
        return to_address(value, name)
    if kind == 32:
        return to_hash(value, name)
    data = to_bytes(value, name)
    if len(data) != kind:
        raise InputError(f"argument '{name}': expected {kind} bytes, got {len(data)}")
    return data


def _decoded(value: rlp.Item, name: str, kind: int | str) -> int | bytes:
    if kind == "bytes":
        if not isinstance(value, bytes):
            raise RlpError(f"RLP: field '{name}': expected bytes, got a list")
        return value
    return rlp.decode_fixed(value, name, kind) if isinstance(kind, int) else _decoded_uint(value, name, int(kind[1:]))


def _decoded_uint(value: rlp.Item, name: str, bits: int = 64) -> int:
    number = rlp.decode_uint(value, name, 8 * len(value) if isinstance(value, bytes) else bits)
    if number.bit_length() > bits:
        _refuse(BlockReason.RLP_INVALID_FIELD_OVERFLOW_64, f"field '{name}': expected {bits} bits, got {number:#x}")
    return number


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A block header of any fork. Fields are converted and checked when it is made.

    Hashes and roots have 32 bytes, `coinbase` 20, `logs_bloom` 256, `nonce` 8; `timestamp` is in seconds, gas in gas,
    `base_fee_per_gas` in wei. The last six fields are None in forks that do not have them; a field that is not None
    requires the fields before it. `mix_hash` is PREVRANDAO from Paris on.

    Raises `InputError` naming the field for a value of the wrong type, size or range.
    """

    parent_hash: bytes = ZERO_HASH
    ommers_hash: bytes = EMPTY_OMMERS_HASH
    coinbase: bytes = bytes(20)
    state_root: bytes = EMPTY_TRIE_ROOT
    transactions_root: bytes = EMPTY_TRIE_ROOT
    receipts_root: bytes = EMPTY_TRIE_ROOT
    logs_bloom: bytes = EMPTY_BLOOM
    difficulty: int = 0
    number: int = 0
    gas_limit: int = 30_000_000
    gas_used: int = 0
    timestamp: int = 0
    extra_data: bytes = b""
    mix_hash: bytes = ZERO_HASH
    nonce: bytes = bytes(8)
    base_fee_per_gas: int | None = None
    withdrawals_root: bytes | None = None
    blob_gas_used: int | None = None
    excess_blob_gas: int | None = None
    parent_beacon_block_root: bytes | None = None
    requests_hash: bytes | None = None
    _hash: bytes | None = field(default=None, init=False, repr=False, compare=False)

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            parent_hash: FixedLike = ...,
            ommers_hash: FixedLike = ...,
            coinbase: FixedLike = ...,
            state_root: FixedLike = ...,
            transactions_root: FixedLike = ...,
            receipts_root: FixedLike = ...,
            logs_bloom: BytesLike = ...,
            difficulty: UintLike = ...,
            number: UintLike = ...,
            gas_limit: UintLike = ...,
            gas_used: UintLike = ...,
            timestamp: UintLike = ...,
            extra_data: BytesLike = ...,
            mix_hash: FixedLike = ...,
            nonce: BytesLike = ...,
            base_fee_per_gas: UintLike | None = ...,
            withdrawals_root: FixedLike | None = ...,
            blob_gas_used: UintLike | None = ...,
            excess_blob_gas: UintLike | None = ...,
            parent_beacon_block_root: FixedLike | None = ...,
            requests_hash: FixedLike | None = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        missing = None
        for place, (name, kind, _) in enumerate(_FIELDS):
            value = getattr(self, name)
            if value is None and place >= _FIRST_OPTIONAL:
                missing = missing or name
                continue
            if missing:
                raise InputError(f"argument '{name}': a header with it needs '{missing}' too")
            object.__setattr__(self, name, _converted(value, name, kind))

    def items(self) -> list[rlp.Encodable]:
        """The fields that are present, in the order of the encoding."""
        values = (getattr(self, name) for name, _, _ in _FIELDS)
        return [value for value in values if value is not None]

    def encode(self) -> bytes:
        """The RLP encoding."""
        return rlp.encode(self.items())

    @property
    def hash(self) -> bytes:
        """The 32-byte block hash."""
        if self._hash is None:
            object.__setattr__(self, "_hash", keccak256(self.encode()))
        assert self._hash is not None
        return self._hash

    @classmethod
    def decode(cls, data: bytes) -> Header:
        """The header that `data` encodes. Raises `InvalidBlock` for anything that is not a header of a fork."""
        try:
            return cls._from_items(rlp.decode(to_bytes(data, "data")))
        except RlpError as error:
            raise InvalidBlock(BlockReason.RLP_STRUCTURES_ENCODING, f"header: {error}") from error

    @staticmethod
    def parent_hash_of(data: bytes) -> bytes:
        """The 32-byte hash of the parent of the header that `data` encodes; the other fields are not checked.

        Raises `InvalidBlock` if `data` does not begin like a header, and `InputError` if `data` is not bytes.
        """
        data = to_bytes(data, "data")
        try:
            is_list, start, end = rlp.read_prefix(data, 0, len(data))
            inner, start, stop = rlp.read_prefix(data, start, end)
        except RlpError as error:
            raise InvalidBlock(BlockReason.RLP_STRUCTURES_ENCODING, f"header: {error}") from error
        if not is_list or inner or stop - start != 32:
            raise InvalidBlock(
                BlockReason.RLP_STRUCTURES_ENCODING, "header: expected a list that begins with a hash of 32 bytes"
            )
        return data[start:stop]

    @classmethod
    def _from_items(cls, item: rlp.Item) -> Header:
        items = rlp.decode_list(item, "header")
        if not _FIRST_OPTIONAL <= len(items) <= len(_FIELDS):
            raise RlpError(f"RLP: header: expected {_FIRST_OPTIONAL} to {len(_FIELDS)} fields, got {len(items)}")
        values: dict[str, Any] = {
            name: _decoded(value, name, kind) for (name, kind, _), value in zip(_FIELDS, items, strict=False)
        }
        return cls(**values)

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Header:
        """From a block as returned by `eth_getBlockByNumber`, or from the `blockHeader` of a fixture.

        Raises `InputError` for a field that is missing or malformed.
        """
        item = to_object(item, "header")
        values: dict[str, Any] = {}
        for place, (name, _, keys) in enumerate(_FIELDS):
            value = next((item[key] for key in keys if item.get(key) is not None), None)
            if value is not None:
                values[name] = value
            elif place < _FIRST_OPTIONAL:
                raise InputError(f"header: field '{keys[0]}' is missing")
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Block:
    """A header with its body. `withdrawals` is None before Shanghai."""

    header: Header
    transactions: tuple[Transaction, ...] = ()
    ommers: tuple[Header, ...] = ()
    withdrawals: tuple[Withdrawal, ...] | None = None
    _encoded: bytes | None = field(default=None, init=False, repr=False, compare=False)

    if TYPE_CHECKING:

        def __init__(
            self,
            header: Header,
            transactions: Iterable[Transaction] = ...,
            ommers: Iterable[Header] = ...,
            withdrawals: Iterable[Withdrawal] | None = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        for name in ("transactions", "ommers", "withdrawals"):
            given = getattr(self, name)
            if given is None and name == "withdrawals":
                continue
            if not isinstance(given, Iterable):
                raise InputError(f"argument '{name}': expected a list, got {type(given).__name__}")
            set_field(self, name, tuple(given))
        for name, values, kind in (
            ("header", (self.header,), Header),
            ("transactions", self.transactions, Transaction),
            ("ommers", self.ommers, Header),
            ("withdrawals", self.withdrawals or (), Withdrawal),
        ):
            for value in values:
                if not isinstance(value, kind):
                    raise InputError(f"argument '{name}': expected {kind.__name__}, got {type(value).__name__}")

    @property
    def hash(self) -> bytes:
        """The 32-byte block hash."""
        return self.header.hash

    def encode(self) -> bytes:
        """The RLP encoding: header, transactions, ommers and, from Shanghai on, withdrawals."""
        if self._encoded is None:
            parts = [self.header.encode()]
            # A typed transaction is a string item that holds its encoding.
            encodings = (transaction.encode() for transaction in self.transactions)
            parts.append(rlp.encode_items([data if data[0] >= 0xC0 else rlp.encode_bytes(data) for data in encodings]))
            parts.append(rlp.encode_items([ommer.encode() for ommer in self.ommers]))
            if self.withdrawals is not None:
                parts.append(rlp.encode_items([encode_withdrawal(withdrawal) for withdrawal in self.withdrawals]))
            object.__setattr__(self, "_encoded", rlp.encode_items(parts))
        assert self._encoded is not None
        return self._encoded

    @classmethod
    def decode(cls, data: bytes) -> Block:
        """The block that `data` encodes.

        Raises `InvalidBlock` for anything else; if a transaction is malformed, with its reason.
        """
        data = to_bytes(data, "data")
        block, end = _decode_block(data, 0)
        if end != len(data):
            _refuse(BlockReason.RLP_STRUCTURES_ENCODING, f"{len(data) - end} bytes follow the block")
        return block

    @classmethod
    def decode_stream(cls, data: bytes) -> Iterator[Block]:
        """The blocks whose encodings are concatenated in `data`. A malformed block raises, as in `decode`, when the
        iteration reaches it."""
        data = to_bytes(data, "data")
        position = 0
        while position < len(data):
            block, position = _decode_block(data, position)
            yield block

    @classmethod
    def from_json(cls, item: Mapping[str, Any], ommers: Sequence[Header] = ()) -> Block:
        """From a block as returned by `eth_getBlockByNumber` with full transactions, or from a fixture's block.

        JSON-RPC gives only the hashes of ommers, so their headers must be given in `ommers`; otherwise the block has
        no ommers. Raises `InputError` for a field that is missing or malformed.
        """
        item = to_object(item, "block")
        header = to_object(item.get("blockHeader", item), "blockHeader")
        withdrawals = item.get("withdrawals")
        return cls(
            Header.from_json(header),
            tuple(Transaction.from_json(entry) for entry in _objects(item, "transactions")),
            tuple(ommers) or tuple(Header.from_json(entry) for entry in _objects(item, "uncleHeaders")),
            None
            if withdrawals is None and header.get("withdrawalsRoot") is None
            else tuple(Withdrawal.from_json(entry) for entry in _objects(item, "withdrawals")),
        )


def _objects(item: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    entries = item.get(name) or []
    if not isinstance(entries, list):
        raise InputError(f"block: field '{name}': expected a list, got {type(entries).__name__}")
    for entry in entries:
        if not isinstance(entry, Mapping):
            raise InputError(f"block: field '{name}': expected objects, got {entry!r:.80}")
    return entries


def encode_withdrawal(withdrawal: Withdrawal) -> bytes:
    """The RLP encoding of a withdrawal (EIP-4895), as in the block and in the withdrawals trie."""
    return rlp.encode([withdrawal.index, withdrawal.validator_index, withdrawal.address, withdrawal.amount])


def _decode_block(data: bytes, position: int) -> tuple[Block, int]:
    try:
        parts, end = rlp.split_list(data, position)
        if not 3 <= len(parts) <= 4:
            raise RlpError(f"RLP: block: expected 3 or 4 parts, got {len(parts)}")
        header = Header._from_items(rlp.decode(parts[0]))
        transactions = _decode_transactions(parts[1])
        ommers = tuple(Header._from_items(item) for item in rlp.decode_list(rlp.decode(parts[2]), "ommers"))
        if len(parts) == 4:
            items = rlp.decode_list(rlp.decode(parts[3]), "withdrawals")
            withdrawals = tuple(_decode_withdrawal(item) for item in items)
        elif header.withdrawals_root is not None:
            _refuse(BlockReason.RLP_WITHDRAWALS_NOT_READ, "the header has a withdrawals root, the block no withdrawals")
        else:
            withdrawals = None
    except RlpError as error:
        raise InvalidBlock(BlockReason.RLP_STRUCTURES_ENCODING, str(error)) from error
    block = Block(header, transactions, ommers, withdrawals)
    object.__setattr__(block, "_encoded", data[position:end])
    return block, end


def _decode_transactions(data: bytes) -> tuple[Transaction, ...]:
    encodings = split_transactions(data)
    transactions = []
    for index, payload in enumerate(_transaction_payloads(data) if encodings is None else encodings):
        try:
            transactions.append(Transaction.decode(payload))
        except InvalidTransaction as error:
            located = InvalidTransaction(error.reason, error.detail, index)
            raise InvalidBlock(error.reason, str(located)) from located
    return tuple(transactions)


def _transaction_payloads(data: bytes) -> Iterator[bytes]:
    """The encodings in a malformed list of transactions: those before the malformed one, and then the error."""
    for index, member in enumerate(rlp.split_list(data)[0]):
        is_list, start, stop = rlp.read_prefix(member, 0, len(member))
        payload = member if is_list else member[start:stop]
        if not is_list and payload[:1] >= b"\xc0":
            raise RlpError(f"RLP: transaction {index} is a legacy transaction in a string")
        yield payload


def _decode_withdrawal(item: rlp.Item) -> Withdrawal:
    members = rlp.decode_list(item, "withdrawal")
    if len(members) != 4:
        raise RlpError(f"RLP: withdrawal: expected 4 fields, got {len(members)}")
    index, validator_index, address, amount = members
    if isinstance(address, bytes) and len(address) != 20:
        _refuse(BlockReason.RLP_INVALID_ADDRESS, f"withdrawal: expected an address of 20 bytes, got {len(address)}")
    return Withdrawal(
        _decoded_uint(index, "index"),
        _decoded_uint(validator_index, "validator_index"),
        rlp.decode_fixed(address, "address", 20),
        _decoded_uint(amount, "amount"),
    )
