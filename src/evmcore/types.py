"""The plain values that enter and leave the package, and the converters that public functions apply to arguments.

Internally, an address is 20 bytes, a hash 32 bytes (big-endian, as on the wire), a number an `int`. The converters also
accept 0x-prefixed hexadecimal text, and numbers where a person would write one.

A value class that converts its arguments declares two sets of types: its attributes have the converted types; its
`__init__`, declared for type checkers only, has the accepted types (`dataclasses` writes the one that runs).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import index
from typing import TYPE_CHECKING, Any, NoReturn, SupportsIndex, TypeAlias

from evmcore.errors import InputError

BytesLike: TypeAlias = "bytes | bytearray | memoryview | str"
"""Accepted by `to_bytes`; text is 0x-hex."""
FixedLike: TypeAlias = "BytesLike | int"
"""Accepted by `to_address` and `to_hash`; a number is taken as big-endian bytes."""
UintLike: TypeAlias = "SupportsIndex | str"
"""Accepted by `to_uint`; text is 0x-hex."""
WordLike: TypeAlias = "UintLike | bytes | bytearray"
"""Accepted for a storage slot or its value; bytes are 32, big-endian."""

ADDRESS_SIZE = 20
HASH_SIZE = 32
EMPTY_BLOOM = bytes(256)


def shown(value: object) -> str:
    """A value as shown in an error message, of bounded length."""
    try:
        text = repr(value)
    except ValueError:  # Python does not write numbers of thousands of digits
        return f"a number of {value.bit_length()} bits" if isinstance(value, int) else f"some {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:60]}... ({type(value).__name__})"


def _wrong(name: str, expected: str, got: str) -> NoReturn:
    raise InputError(f"argument '{name}': expected {expected}, got {got}")


def _hex_digits(text: str, name: str, expected: str) -> str:
    if text[:2] not in ("0x", "0X"):
        _wrong(name, expected, f"text without the prefix 0x: {shown(text)}")
    digits = text[2:]
    # bytes.fromhex() and int() would let white space, signs and underscores pass.
    if not (digits.isascii() and digits.isalnum()) and digits:
        _wrong(name, expected, f"text with characters that are not hexadecimal: {shown(text)}")
    return digits


def _bytes_of(value: object, name: str, expected: str) -> bytes:
    if type(value) is bytes:
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):  # also of a class derived from bytes, as web3's HexBytes is
        return bytes(value)
    if isinstance(value, str):
        digits = _hex_digits(value, name, expected)
        if len(digits) % 2:
            _wrong(name, expected, f"an odd number of hexadecimal digits: {shown(value)}")
        try:
            return bytes.fromhex(digits)
        except ValueError:
            _wrong(name, expected, f"text with characters that are not hexadecimal: {shown(value)}")
    _wrong(name, expected, f"{type(value).__name__} {shown(value)}")


def _sized(value: object, name: str, size: int) -> bytes:
    expected = f"{size} bytes"
    if isinstance(value, int) and not isinstance(value, bool):
        return to_uint(value, name, size * 8).to_bytes(size, "big")
    data = _bytes_of(value, name, expected)
    if len(data) != size:
        _wrong(name, expected, str(len(data)))
    return data


def to_bytes(value: object, name: str) -> bytes:
    """Bytes of any length from `bytes`, `bytearray`, `memoryview` or 0x-hex text.

    Raises `InputError` naming the argument `name`.
    """
    return _bytes_of(value, name, "bytes or 0x-hex text")


def to_address(value: object, name: str) -> bytes:
    """A 20-byte address from bytes, 0x-hex text of 40 digits, or a number below 2**160 (big-endian).

    Raises `InputError` naming the argument `name`.
    """
    return value if type(value) is bytes and len(value) == ADDRESS_SIZE else _sized(value, name, ADDRESS_SIZE)


def to_hash(value: object, name: str) -> bytes:
    """A 32-byte word from bytes, 0x-hex text of 64 digits, or a number below 2**256 (big-endian).

    Raises `InputError` naming the argument `name`.
    """
    return value if type(value) is bytes and len(value) == HASH_SIZE else _sized(value, name, HASH_SIZE)


def to_uint(value: object, name: str, bits: int = 256) -> int:
    """A number in [0, 2**bits) from an integer or 0x-hex text (leading zeros allowed).

    Raises `InputError` naming the argument `name`.
    """
    if type(value) is int:
        number = value
    elif isinstance(value, str):
        expected = "a number or 0x-hex text"
        digits = _hex_digits(value, name, expected)
        try:
            number = int(digits, 16)
        except ValueError:
            problem = "text with characters that are not hexadecimal" if digits else "text without digits"
            _wrong(name, expected, f"{problem}: {shown(value)}")
    elif isinstance(value, (bool, type)) or not hasattr(value, "__index__"):
        _wrong(name, "a number or 0x-hex text", f"{type(value).__name__} {shown(value)}")
    else:
        number = index(value)
    if number < 0:
        _wrong(name, "a number that is not negative", shown(number))
    if number.bit_length() > bits:
        _wrong(name, f"a number below 2**{bits}", f"one of {number.bit_length()} bits")
    return number


def to_word(value: object, name: str) -> int:
    """A storage key or value: a number below 2**256 from 32 bytes (big-endian), an integer, or hex text.

    Text may lack the 0x; without digits it is zero.
    Raises `InputError` naming the argument `name`.
    """
    if isinstance(value, (bytes, bytearray)):
        return int.from_bytes(to_hash(value, name), "big")
    if isinstance(value, str):
        if value in ("", "0x", "0X"):
            return 0
        if value[:2] not in ("0x", "0X"):
            value = "0x" + value
    return to_uint(value, name)


def to_object(value: object, name: str) -> Mapping[str, Any]:
    """A JSON object as `json` gives it. Raises `InputError` naming it for anything else."""
    if not isinstance(value, Mapping):
        _wrong(name, "an object", f"{type(value).__name__} {shown(value)}")
    return value


@dataclass(frozen=True, slots=True)
class Account:
    """One account. Fields are converted and checked when it is made, and are then plain ints and bytes.

    `nonce` is below 2**64, `balance` in wei; `storage` maps slot to value, both below 2**256; a zero value means the
    same as an absent slot.
    """

    nonce: int = 0
    balance: int = 0
    code: bytes = b""
    storage: dict[int, int] = field(default_factory=dict)

    if TYPE_CHECKING:

        def __init__(
            self,
            nonce: UintLike = ...,
            balance: UintLike = ...,
            code: BytesLike = ...,
            storage: Mapping[Any, WordLike] = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        if not isinstance(self.storage, Mapping):
            _wrong("storage", "a mapping of slot to value", f"{type(self.storage).__name__} {shown(self.storage)}")
        set_field = object.__setattr__
        set_field(self, "nonce", to_uint(self.nonce, "nonce", 64))
        set_field(self, "balance", to_uint(self.balance, "balance"))
        set_field(self, "code", to_bytes(self.code, "code"))
        words = {_word(slot, "slot"): _word(value, "value") for slot, value in self.storage.items()}
        set_field(self, "storage", words)


def _word(value: object, part: str) -> int:
    if isinstance(value, (bytes, bytearray)):
        return int.from_bytes(to_hash(value, f"storage {part}"), "big")
    return to_uint(value, f"storage {part}")


@dataclass(frozen=True, slots=True)
class Log:
    """An event: the 20-byte `address` that emitted it, up to four 32-byte `topics`, and `data`."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A withdrawal from the beacon chain (EIP-4895). `amount` is in gwei."""

    index: int
    validator_index: int
    address: bytes
    amount: int

    if TYPE_CHECKING:

        def __init__(
            self, index: UintLike, validator_index: UintLike, address: FixedLike, amount: UintLike
        ) -> None: ...

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "index", to_uint(self.index, "index", 64))
        set_field(self, "validator_index", to_uint(self.validator_index, "validator_index", 64))
        set_field(self, "address", to_address(self.address, "address"))
        set_field(self, "amount", to_uint(self.amount, "amount", 64))

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Withdrawal:
        """From a JSON-RPC or fixture object with `index`, `validatorIndex`, `address` and `amount`.

        Raises `InputError` for a field that is missing or malformed.
        """
        item = to_object(item, "withdrawal")
        try:
            return cls(item["index"], item["validatorIndex"], item["address"], item["amount"])
        except KeyError as error:
            raise InputError(f"withdrawal: field {error} is missing") from None


@dataclass(frozen=True, slots=True)
class BlockEnv:
    """The block environment that code sees. Fields are converted and checked when it is made.

    `timestamp` is in seconds, `gas_limit` in gas, `base_fee` and `blob_base_fee` in wei per gas. `prevrandao` is the
    32-byte value that PREVRANDAO pushes from Paris on (a number is taken as big-endian bytes), `difficulty` the value
    that the same opcode pushes before Paris. A missing `blob_base_fee` follows from `excess_blob_gas`, or is 1 if that
    is missing too. `block_hashes` maps the numbers of earlier blocks to their 32-byte hashes for BLOCKHASH; for other
    numbers the state is asked.
    """

    number: int = 0
    timestamp: int = 0
    coinbase: bytes = bytes(20)
    gas_limit: int = 30_000_000
    base_fee: int = 0
    prevrandao: bytes = bytes(32)
    difficulty: int = 0
    blob_base_fee: int | None = None
    excess_blob_gas: int | None = None
    block_hashes: Mapping[int, bytes] = field(default_factory=dict)

    if TYPE_CHECKING:

        def __init__(
            self,
            number: UintLike = ...,
            timestamp: UintLike = ...,
            coinbase: FixedLike = ...,
            gas_limit: UintLike = ...,
            base_fee: UintLike = ...,
            prevrandao: FixedLike = ...,
            difficulty: UintLike = ...,
            blob_base_fee: UintLike | None = ...,
            excess_blob_gas: UintLike | None = ...,
            block_hashes: Mapping[Any, FixedLike] = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        for name in ("number", "timestamp", "gas_limit"):
            set_field(self, name, to_uint(getattr(self, name), name, 64))
        set_field(self, "coinbase", to_address(self.coinbase, "coinbase"))
        set_field(self, "prevrandao", to_hash(self.prevrandao, "prevrandao"))
        set_field(self, "base_fee", to_uint(self.base_fee, "base_fee"))
        set_field(self, "difficulty", to_uint(self.difficulty, "difficulty"))
        if self.blob_base_fee is not None:
            set_field(self, "blob_base_fee", to_uint(self.blob_base_fee, "blob_base_fee"))
        if self.excess_blob_gas is not None:
            set_field(self, "excess_blob_gas", to_uint(self.excess_blob_gas, "excess_blob_gas", 64))
        if not isinstance(self.block_hashes, Mapping):
            got = f"{type(self.block_hashes).__name__} {shown(self.block_hashes)}"
            _wrong("block_hashes", "a mapping of block number to hash", got)
        hashes = {to_uint(n, "block_hashes", 64): to_hash(h, "block_hashes") for n, h in self.block_hashes.items()}
        set_field(self, "block_hashes", hashes)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The receipt of a transaction.

    `status` is 1 or 0 from Byzantium on. Before, it is None and `state_root` is the root after the transaction (or
    None if it was not computed). `gas_used` is the gas of this transaction, `cumulative_gas_used` the gas of the block
    up to and including it. `bloom` has 256 bytes. `contract_address` is the address of the contract that a successful
    creation made. `effective_gas_price` is in wei per gas.
    """

    type: int
    status: int | None
    cumulative_gas_used: int
    gas_used: int
    bloom: bytes
    logs: tuple[Log, ...]
    state_root: bytes | None = None
    contract_address: bytes | None = None
    transaction_hash: bytes | None = None
    effective_gas_price: int = 0
