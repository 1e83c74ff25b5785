"""Transactions of every type as plain values: encoding, hashes, signatures, and the forms that JSON gives them.

What a transaction is by itself is decided here; whether it may be in a block is decided by ``_tx``, which sees the
state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias

from evmcore import rlp
from evmcore._crypto import recover_address, sign
from evmcore._hash import keccak256
from evmcore.errors import InputError, InvalidTransaction, RlpError, TransactionReason
from evmcore.forks import Fork
from evmcore.types import to_address, to_bytes, to_hash, to_uint

LEGACY, ACCESS_LIST, DYNAMIC_FEE, BLOB, SET_CODE = range(5)

SECP256K1_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
AUTHORIZATION_MAGIC: Final = b"\x05"  # EIP-7702

AccessList: TypeAlias = "tuple[tuple[bytes, tuple[int, ...]], ...]"
"""Pairs of a 20-byte address and the storage slots (numbers below 2**256) to be warm (EIP-2930)."""

# The fields of each type in the order of its encoding (EIP-155, 2930, 1559, 4844, 7702); the signature is last.
_SIGNATURE: Final = ("v", "r", "s")
_FEES: Final = ("chain_id", "nonce", "max_priority_fee_per_gas", "max_fee_per_gas", "gas_limit", "to", "value", "data")
_FIELDS: Final[dict[int, tuple[str, ...]]] = {
    LEGACY: ("nonce", "gas_price", "gas_limit", "to", "value", "data", *_SIGNATURE),
    ACCESS_LIST: (
        "chain_id", "nonce", "gas_price", "gas_limit", "to", "value", "data", "access_list", *_SIGNATURE,
    ),
    DYNAMIC_FEE: (*_FEES, "access_list", *_SIGNATURE),
    BLOB: (*_FEES, "access_list", "max_fee_per_blob_gas", "blob_versioned_hashes", *_SIGNATURE),
    SET_CODE: (*_FEES, "access_list", "authorization_list", *_SIGNATURE),
}  # fmt: skip
_BITS: Final = {"nonce": 64, "gas_limit": 64}
_FEE_FIELDS: Final = ("gas_price", "max_fee_per_gas", "max_priority_fee_per_gas", "max_fee_per_blob_gas")
_LIST_FIELDS: Final = ("access_list", "blob_versioned_hashes", "authorization_list")

_JSON_NAMES: Final = {
    "chain_id": ("chainId",),
    "nonce": ("nonce",),
    "gas_price": ("gasPrice",),
    "max_fee_per_gas": ("maxFeePerGas",),
    "max_priority_fee_per_gas": ("maxPriorityFeePerGas",),
    "gas_limit": ("gas", "gasLimit"),
    "to": ("to",),
    "value": ("value",),
    "data": ("input", "data"),
    "max_fee_per_blob_gas": ("maxFeePerBlobGas",),
    "blob_versioned_hashes": ("blobVersionedHashes",),
    "v": ("v", "yParity"),
    "r": ("r",),
    "s": ("s",),
    "sender": ("from", "sender"),
}


class _Rejections(NamedTuple):
    """What is wrong with a transaction when a field of its encoding is."""

    overflow: TransactionReason = TransactionReason.RLP_INVALID_VALUE
    leading_zeros: TransactionReason = TransactionReason.RLP_INVALID_VALUE
    length: TransactionReason = TransactionReason.RLP_INVALID_VALUE
    kind: TransactionReason = TransactionReason.RLP_INVALID_VALUE


_R = TransactionReason
_REJECTIONS: Final = {
    "nonce": _Rejections(
        _R.NONCE_OVERFLOW, _R.RLP_LEADING_ZEROS_NONCE, _R.RLP_LEADING_ZEROS_NONCE_SIZE, _R.RLP_INVALID_NONCE
    ),
    "gas_price": _Rejections(_R.GASPRICE_OVERFLOW, _R.RLP_LEADING_ZEROS_GASPRICE),
    "max_fee_per_gas": _Rejections(_R.GASPRICE_OVERFLOW, _R.RLP_LEADING_ZEROS_BASEFEE),
    "max_priority_fee_per_gas": _Rejections(_R.GASPRICE_OVERFLOW, _R.RLP_LEADING_ZEROS_PRIORITY_FEE),
    "gas_limit": _Rejections(_R.GASLIMIT_OVERFLOW, _R.RLP_LEADING_ZEROS_GASLIMIT, kind=_R.RLP_INVALID_GASLIMIT),
    "to": _Rejections(kind=_R.RLP_INVALID_TO),
    "value": _Rejections(_R.VALUE_OVERFLOW, _R.RLP_LEADING_ZEROS_VALUE),
    "data": _Rejections(length=_R.RLP_LEADING_ZEROS_DATA_SIZE, kind=_R.RLP_INVALID_DATA),
    "v": _Rejections(_R.INVALID_SIGNATURE_VRS, _R.RLP_LEADING_ZEROS_V),
    "r": _Rejections(_R.INVALID_SIGNATURE_VRS, _R.RLP_LEADING_ZEROS_R, kind=_R.RLP_INVALID_SIGNATURE_R),
    "s": _Rejections(_R.INVALID_SIGNATURE_VRS, _R.RLP_LEADING_ZEROS_S, kind=_R.RLP_INVALID_SIGNATURE_S),
    "authorization_list": _Rejections(*[_R.TYPE_4_INVALID_AUTHORIZATION_FORMAT] * 4),
}
_ANY_FIELD: Final = _Rejections()


def _reject(reason: TransactionReason, detail: str) -> NoReturn:
    raise InvalidTransaction(reason, detail)


@dataclass(frozen=True, slots=True)
class Authorization:
    """A signed permission to set the code of an account (EIP-7702).

    `address` is the delegate; zero clears. `chain_id` 0 is valid on every chain. `y_parity` has 8 bits, `nonce` 64.
    """

    chain_id: int
    address: bytes
    nonce: int
    y_parity: int = 0
    r: int = 0
    s: int = 0

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "address", to_address(self.address, "address"))
        for name, bits in (("chain_id", 256), ("nonce", 64), ("y_parity", 8), ("r", 256), ("s", 256)):
            set_field(self, name, to_uint(getattr(self, name), name, bits))

    def signing_hash(self) -> bytes:
        """The 32 bytes that the authority signs."""
        return keccak256(AUTHORIZATION_MAGIC + rlp.encode([self.chain_id, self.address, self.nonce]))

    def recover_authority(self) -> bytes | None:
        """The 20-byte address of the signer, or None where the signature is not valid: such a tuple is passed over."""
        if self.y_parity > 1 or not 0 < self.r < SECP256K1_ORDER or not 0 < self.s <= SECP256K1_ORDER // 2:
            return None
        return recover_address(self.signing_hash(), self.r, self.s, self.y_parity)

    def sign(self, private_key: bytes | str | int) -> Authorization:
        """The same permission with the signature of a 32-byte private key."""
        parity, r, s = _sign(self.signing_hash(), private_key)
        return replace(self, y_parity=parity, r=r, s=s)

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Authorization:
        """From a JSON-RPC or fixture object. Raises :class:`InputError` for a field that is missing or malformed."""
        try:
            parity = item["yParity"] if "yParity" in item else item["v"]
            return cls(item["chainId"], item["address"], item["nonce"], parity, item["r"], item["s"])
        except KeyError as error:
            raise InputError(f"authorization: field {error} is missing") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A transaction of type 0 (legacy), 1 (EIP-2930), 2 (EIP-1559), 3 (EIP-4844) or 4 (EIP-7702).

    Fields are converted and checked when it is made, and are then plain ints, bytes and tuples. Without `type` it is
    the lowest type that has every field given. Prices are in wei per gas, `value` in wei. `gas_price` belongs to types
    0 and 1, `max_fee_per_gas` and `max_priority_fee_per_gas` to types 2 to 4, `max_fee_per_blob_gas` to type 3; where
    a type has them they default to 0, else they are None. `to` is None for a creation. A legacy transaction without
    replay protection (EIP-155) has no `chain_id`. `v` is 27 or 28, or 35 and more with `chain_id`, in type 0 and the
    parity of y in the others; `r` and `s` are zero where there is no signature. `sender` is whoever is said to have
    sent it; :meth:`recover_sender` looks at the signature instead.

    Raises :class:`InputError` naming the field for a value of the wrong type, size or range, or in the wrong type.
    """

    type: int = -1
    chain_id: int | None = None
    nonce: int = 0
    gas_price: int | None = None
    max_fee_per_gas: int | None = None
    max_priority_fee_per_gas: int | None = None
    gas_limit: int = 21_000
    to: bytes | None = None
    value: int = 0
    data: bytes = b""
    access_list: AccessList = ()
    max_fee_per_blob_gas: int | None = None
    blob_versioned_hashes: tuple[bytes, ...] = ()
    authorization_list: tuple[Authorization, ...] = ()
    v: int = 0
    r: int = 0
    s: int = 0
    sender: bytes | None = None
    _encoded: bytes | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        if self.type == -1:
            set_field(self, "type", self._lowest_type())
        fields = _FIELDS.get(self.type) if type(self.type) is int else None
        if fields is None:
            raise InputError(f"argument 'type': expected a transaction type from 0 to 4, got {self.type!r}")
        for name in _FEE_FIELDS:
            value = getattr(self, name)
            if name in fields:
                set_field(self, name, 0 if value is None else to_uint(value, name))
            elif value is not None:
                raise InputError(f"argument '{name}': a transaction of type {self.type} has none, got {value!r}")
        for name in _LIST_FIELDS:
            value = getattr(self, name)
            if name in fields:
                set_field(self, name, _LIST_CONVERTERS[name](value))
            elif value:
                raise InputError(f"argument '{name}': a transaction of type {self.type} has none, got {value!r}")
            else:
                set_field(self, name, ())
        for name in ("nonce", "gas_limit", "value", "v", "r", "s"):
            set_field(self, name, to_uint(getattr(self, name), name, _BITS.get(name, 256)))
        if self.chain_id is not None:
            set_field(self, "chain_id", to_uint(self.chain_id, "chain_id"))
        if self.to is not None:
            set_field(self, "to", to_address(self.to, "to"))
        set_field(self, "data", to_bytes(self.data, "data"))
        if self.sender is not None:
            set_field(self, "sender", to_address(self.sender, "sender"))
        if self.type == LEGACY and self.is_signed:
            self._take_chain_id_from_v()

    def _lowest_type(self) -> int:
        if self.authorization_list:
            return SET_CODE
        if self.blob_versioned_hashes or self.max_fee_per_blob_gas is not None:
            return BLOB
        if self.max_fee_per_gas is not None or self.max_priority_fee_per_gas is not None:
            return DYNAMIC_FEE
        return ACCESS_LIST if self.access_list else LEGACY

    def _take_chain_id_from_v(self) -> None:
        in_v = (self.v - 35) // 2 if self.v >= 35 else None
        if in_v is not None and self.chain_id not in (None, in_v):
            raise InputError(f"argument 'chain_id': v {self.v} says {in_v}, got {self.chain_id}")
        object.__setattr__(self, "chain_id", in_v)

    @property
    def is_signed(self) -> bool:
        """Whether there is anything in the signature; it need not be valid."""
        return (self.v, self.r, self.s) != (0, 0, 0)

    @property
    def y_parity(self) -> int:
        """The parity of y in the signature; what `v` says otherwise is left out."""
        if self.type != LEGACY:
            return self.v
        return (self.v - 35) % 2 if self.v >= 35 else self.v - 27

    # ---- encoding

    def encode(self) -> bytes:
        """The canonical encoding: RLP for type 0, the type's byte and RLP for the others (EIP-2718)."""
        if self._encoded is None:
            object.__setattr__(self, "_encoded", self._typed(self._items(_FIELDS[self.type])))
        assert self._encoded is not None
        return self._encoded

    @property
    def hash(self) -> bytes:
        """The 32-byte transaction hash."""
        return keccak256(self.encode())

    def signing_hash(self) -> bytes:
        """The 32 bytes that the sender signs; those of EIP-155 when a legacy transaction has a `chain_id`."""
        items = self._items(_FIELDS[self.type][: -len(_SIGNATURE)])
        if self.type == LEGACY and self.chain_id is not None:
            items += [self.chain_id, b"", b""]
        return keccak256(self._typed(items))

    def _typed(self, items: list[rlp.Encodable]) -> bytes:
        body = rlp.encode(items)
        return body if self.type == LEGACY else bytes((self.type,)) + body

    def _items(self, names: Iterable[str]) -> list[rlp.Encodable]:
        items: list[rlp.Encodable] = []
        for name in names:
            value = getattr(self, name)
            if name == "to":
                items.append(value or b"")
            elif name == "access_list":
                items.append([[address, [slot.to_bytes(32, "big") for slot in slots]] for address, slots in value])
            elif name == "authorization_list":
                items.append([[a.chain_id, a.address, a.nonce, a.y_parity, a.r, a.s] for a in value])
            elif value is None:
                raise InputError(f"argument '{name}': a transaction of type {self.type} cannot be encoded without it")
            else:
                items.append(value)
        return items

    @classmethod
    def decode(cls, data: bytes) -> Transaction:
        """The transaction whose canonical encoding is `data`. No sender is recovered.

        Raises :class:`InvalidTransaction` for anything else, and :class:`InputError` when `data` are not bytes.
        """
        data = to_bytes(data, "data")
        kind, position = _type_of(data)
        names = _FIELDS[kind]
        members = _members(data, position, names)
        values = {name: _decode_field(name, member) for name, member in zip(names, members, strict=True)}
        transaction = cls(type=kind, **values)
        object.__setattr__(transaction, "_encoded", data)
        return transaction

    # ---- signature

    def recover_sender(self, fork: Fork | None = None, chain_id: int | None = None) -> bytes:
        """The 20-byte address that signed, by the rules of `fork`, or of the newest one.

        Raises :class:`InvalidTransaction`: before Homestead high values of s are allowed (EIP-2), before Spurious
        Dragon replay protection is not (EIP-155). With `chain_id`, a signature for another chain is rejected.
        """
        if self.type == LEGACY:
            self._check_v(Fork.OSAKA if fork is None else fork)
        elif self.v > 1:
            _reject(_R.INVALID_SIGNATURE_VRS, f"parity {self.v}, expected 0 or 1")
        if chain_id is not None and self.chain_id not in (None, chain_id):
            _reject(_R.INVALID_CHAINID, f"chain id {self.chain_id}, expected {chain_id}")
        high_s = fork is not None and fork < Fork.HOMESTEAD
        if not 0 < self.r < SECP256K1_ORDER:
            _reject(_R.INVALID_SIGNATURE_VRS, f"r is {self.r:#x}, expected 1 to the order of secp256k1")
        if not 0 < self.s <= (SECP256K1_ORDER - 1 if high_s else SECP256K1_ORDER // 2):
            bound = "the order" if high_s else "half the order"
            _reject(_R.INVALID_SIGNATURE_VRS, f"s is {self.s:#x}, expected 1 to {bound} of secp256k1")
        sender = recover_address(self.signing_hash(), self.r, self.s, self.y_parity)
        if sender is None:
            _reject(_R.EC_RECOVERY_FAIL, "no public key gives this signature")
        return sender

    def _check_v(self, fork: Fork) -> None:
        if self.v in (27, 28):
            return
        if self.v < 2 or fork < Fork.SPURIOUS_DRAGON:
            _reject(_R.INVALID_SIGNATURE_VRS, f"v is {self.v}, expected 27 or 28")
        if self.v < 35:
            _reject(_R.INVALID_CHAINID, f"v is {self.v}, which names no chain; expected 27, 28, or 35 and more")

    def sign(self, private_key: bytes | str | int) -> Transaction:
        """The same transaction with the signature and as `sender` the address of a 32-byte private key.

        A legacy transaction with a `chain_id` is signed with replay protection (EIP-155).
        """
        parity, r, s = _sign(self.signing_hash(), private_key)
        v = parity
        if self.type == LEGACY:
            v += 27 if self.chain_id is None else 35 + 2 * self.chain_id
        signed = replace(self, v=v, r=r, s=s)
        return replace(signed, sender=signed.recover_sender())

    # ---- JSON

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Transaction:
        """From the object that ``eth_getTransactionByHash`` gives, or that of a fixture.

        Without ``type`` it is the highest type one of whose own fields is there. Raises :class:`InputError` for a field
        that is missing or malformed.
        """
        kind = to_uint(item["type"], "type", 8) if item.get("type") is not None else _type_of_json(item)
        if kind not in _FIELDS:
            raise InputError(f"argument 'type': expected a transaction type from 0 to 4, got {kind}")
        values: dict[str, Any] = {}
        for name in (*_FIELDS[kind], "chain_id", "sender"):
            value = next((item[key] for key in _JSON_NAMES.get(name, ()) if item.get(key) is not None), None)
            if value is not None:
                values[name] = value
        values["to"] = values.get("to") or None
        if kind != LEGACY:
            entries = _entries(item.get("accessList"), "accessList")
            values["access_list"] = tuple((_of(e, "address"), _of(e, "storageKeys")) for e in entries)
        if kind == SET_CODE:
            authorizations = _entries(item.get("authorizationList"), "authorizationList")
            values["authorization_list"] = tuple(Authorization.from_json(entry) for entry in authorizations)
        return cls(type=kind, **values)


# ---- conversion of list fields


def _access_list(value: Any) -> AccessList:
    try:
        pairs = [(address, list(slots)) for address, slots in value]
    except (TypeError, ValueError):
        raise InputError(f"argument 'access_list': expected pairs of address and slots, got {value!r:.80}") from None
    return tuple((to_address(address, "access_list"), tuple(_slot(slot) for slot in slots)) for address, slots in pairs)


def _slot(value: Any) -> int:
    if isinstance(value, (bytes, bytearray)):
        return int.from_bytes(to_hash(value, "access_list"), "big")
    return to_uint(value, "access_list")


def _hashes(value: Any) -> tuple[bytes, ...]:
    if isinstance(value, (bytes, str)) or not isinstance(value, Iterable):
        raise InputError(f"argument 'blob_versioned_hashes': expected a list of hashes, got {value!r:.80}")
    return tuple(to_hash(entry, "blob_versioned_hashes") for entry in value)


def _authorizations(value: Any) -> tuple[Authorization, ...]:
    entries = tuple(value) if isinstance(value, Iterable) else (value,)
    for entry in entries:
        if not isinstance(entry, Authorization):
            raise InputError(f"argument 'authorization_list': expected Authorization, got {type(entry).__name__}")
    return entries


_LIST_CONVERTERS: Final = {
    "access_list": _access_list,
    "blob_versioned_hashes": _hashes,
    "authorization_list": _authorizations,
}


def _entries(value: Any, name: str) -> list[Mapping[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        raise InputError(f"argument '{name}': expected a list of objects, got {value!r:.80}")
    return value


def _of(entry: Mapping[str, Any], name: str) -> Any:
    if name not in entry:
        raise InputError(f"argument 'accessList': an entry has no field '{name}'")
    return entry[name]


def _type_of_json(item: Mapping[str, Any]) -> int:
    for kind, names in (
        (SET_CODE, ("authorizationList",)),
        (BLOB, ("blobVersionedHashes", "maxFeePerBlobGas")),
        (DYNAMIC_FEE, ("maxFeePerGas", "maxPriorityFeePerGas")),
        (ACCESS_LIST, ("accessList",)),
    ):
        if any(item.get(name) is not None for name in names):
            return kind
    return LEGACY


# ---- decoding


def _type_of(data: bytes) -> tuple[int, int]:
    """The type, and where its RLP starts."""
    if not data:
        _reject(_R.RLP_ERROR_EOF, "no bytes")
    if data[0] >= 0xC0:
        return LEGACY, 0
    if len(data) == 1:
        _reject(_R.RLP_ERROR_EOF, f"nothing after the type byte {data[0]:#04x}")
    if data[0] not in _FIELDS or data[0] == LEGACY:
        _reject(_R.TYPE_NOT_SUPPORTED, f"type byte {data[0]:#04x}")
    return data[0], 1


def _members(data: bytes, position: int, names: tuple[str, ...]) -> list[tuple[bool, bytes]]:
    """For each field whether it is a list, and its payload (of a list: its whole encoding)."""
    try:
        is_list, start, stop = rlp.read_prefix(data, position, len(data))
    except rlp.NotCanonical as error:
        _reject(_R.RLP_ERROR_SIZE_LEADING_ZEROS, str(error))
    except RlpError as error:
        _reject(_R.RLP_ERROR_SIZE, str(error))
    if not is_list:
        _reject(_R.RLP_INVALID_HEADER, "expected a list of fields")
    if stop != len(data):
        _reject(_R.RLP_ERROR_SIZE, f"{len(data) - stop} bytes follow the transaction")
    members: list[tuple[bool, bytes]] = []
    while start < stop:
        name = names[len(members)] if len(members) < len(names) else "end"
        try:
            is_list, payload, end = rlp.read_prefix(data, start, stop)
        except rlp.NotCanonical as error:
            _reject(_REJECTIONS.get(name, _ANY_FIELD).length, f"field '{name}': {error}")
        except RlpError as error:
            _reject(_R.RLP_ERROR_SIZE, f"field '{name}': {error}")
        members.append((is_list, data[start:end] if is_list else data[payload:end]))
        start = end
    if position and members and members[0][0]:
        _reject(_R.TYPE_3_TX_WITH_FULL_BLOBS, "this is the form for the network, with blobs beside the transaction")
    if len(members) != len(names):
        reason = _R.RLP_TOO_FEW_ELEMENTS if len(members) < len(names) else _R.RLP_TOO_MANY_ELEMENTS
        _reject(reason, f"{len(members)} fields, expected {len(names)}")
    return members


def _decode_field(name: str, member: tuple[bool, bytes]) -> Any:
    is_list, payload = member
    rejections = _REJECTIONS.get(name, _ANY_FIELD)
    if is_list != (name in _LIST_FIELDS):
        expected, got = ("a string", "a list") if is_list else ("a list", "a string")
        _reject(rejections.kind, f"field '{name}': expected {expected}, got {got}")
    if is_list:
        try:
            return _LIST_DECODERS[name](rlp.decode_list(rlp.decode(payload), name))
        except RlpError as error:
            _reject(rejections.overflow, f"field '{name}': {error}")
    if name == "data":
        return payload
    if name == "to":
        if payload and len(payload) != 20:
            reason = _R.ADDRESS_TOO_SHORT if len(payload) < 20 else _R.ADDRESS_TOO_LONG
            _reject(reason, f"field 'to': expected 20 bytes or none, got {len(payload)}")
        return payload or None
    return _number(name, payload, rejections)


def _number(name: str, payload: bytes, rejections: _Rejections) -> int:
    bits = _BITS.get(name, 256)
    # A field of 64 bits is first too long, one of 256 bits has first a leading zero.
    if payload[:1] == b"\x00" and not (bits == 64 and len(payload) > 8):
        _reject(rejections.leading_zeros, f"field '{name}': leading zero bytes")
    if len(payload) * 8 > bits:
        _reject(rejections.overflow, f"field '{name}': expected at most {bits} bits, got {len(payload)} bytes")
    return int.from_bytes(payload, "big")


def _decode_access_list(entries: list[rlp.Item]) -> AccessList:
    result = []
    for entry in entries:
        members = rlp.decode_list(entry, "access_list")
        if len(members) != 2:
            raise RlpError(f"expected pairs of address and storage keys, got {len(members)} items")
        address = _sized(members[0], "ADDRESS", 20)
        slots = [_sized(slot, "STORAGE", 32) for slot in rlp.decode_list(members[1], "storage keys")]
        result.append((address, tuple(int.from_bytes(slot, "big") for slot in slots)))
    return tuple(result)


def _sized(value: rlp.Item, part: str, size: int) -> bytes:
    if isinstance(value, bytes) and len(value) != size:
        reason = TransactionReason[f"RLP_INVALID_ACCESS_LIST_{part}_TOO_{'SHORT' if len(value) < size else 'LONG'}"]
        _reject(reason, f"access list: expected {size} bytes, got {len(value)}")
    return rlp.decode_fixed(value, "access_list", size)


def _decode_hashes(entries: list[rlp.Item]) -> tuple[bytes, ...]:
    return tuple(rlp.decode_fixed(entry, "blob versioned hash", 32) for entry in entries)


def _decode_authorizations(entries: list[rlp.Item]) -> tuple[Authorization, ...]:
    result = []
    for entry in entries:
        members = rlp.decode_list(entry, "authorization")
        if len(members) != 6:
            raise RlpError(f"expected authorizations of 6 fields, got {len(members)}")
        chain_id, address, nonce, parity, r, s = members
        result.append(
            Authorization(
                rlp.decode_uint(chain_id, "chain_id"),
                rlp.decode_fixed(address, "address", 20),
                rlp.decode_uint(nonce, "nonce", 64),
                rlp.decode_uint(parity, "y_parity", 8),
                rlp.decode_uint(r, "r"),
                rlp.decode_uint(s, "s"),
            )
        )
    return tuple(result)


_LIST_DECODERS: Final = {
    "access_list": _decode_access_list,
    "blob_versioned_hashes": _decode_hashes,
    "authorization_list": _decode_authorizations,
}


# ---- keys


def _sign(digest: bytes, private_key: bytes | str | int) -> tuple[int, int, int]:
    """(parity, r, s), with s in the lower half."""
    key = to_hash(private_key, "private_key")
    if not 0 < int.from_bytes(key, "big") < SECP256K1_ORDER:
        raise InputError("argument 'private_key': expected a number from 1 to the order of secp256k1 less 1")
    r, s, parity = sign(digest, key)
    return parity, r, s
