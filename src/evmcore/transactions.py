"""Transactions of every type as plain values: encoding, hashes, signatures, and their JSON forms.

This module checks the rules that a transaction must satisfy by itself. `_tx`, which sees the state, decides whether it
may be in a block.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from evmcore import rlp
from evmcore._crypto import recover_address, sign
from evmcore._hash import keccak256
from evmcore._transaction_rlp import read_transaction
from evmcore.errors import InputError, TransactionReason
from evmcore.forks import Fork
from evmcore.transaction_rlp import (
    ACCESS_LIST,
    BITS,
    BLOB,
    DYNAMIC_FEE,
    FEE_FIELDS,
    FIELDS,
    LEGACY,
    LIST_FIELDS,
    SET_CODE,
    SIGNATURE,
    decode_fields,
    reject,
)
from evmcore.types import (
    BytesLike,
    FixedLike,
    UintLike,
    WordLike,
    shown,
    to_address,
    to_bytes,
    to_hash,
    to_object,
    to_uint,
)

SECP256K1_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
MAX_TX_GAS: Final = 1 << 24  # EIP-7825, from Osaka on
MAX_INIT_CODE_SIZE: Final = 49_152  # bytes, EIP-3860, from Shanghai on
AUTHORIZATION_MAGIC: Final = b"\x05"  # EIP-7702

AccessList: TypeAlias = "tuple[tuple[bytes, tuple[int, ...]], ...]"
"""Pairs of a 20-byte address and the storage slots (numbers below 2**256) to be warm (EIP-2930)."""
AccessListLike: TypeAlias = "Iterable[tuple[FixedLike, Iterable[WordLike]]]"
"""Accepted by `to_access_list`."""

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


@dataclass(frozen=True, slots=True)
class Authorization:
    """A signed permission to set the code of an account (EIP-7702).

    `address` is the delegate; zero clears the delegation. `chain_id` 0 is valid on every chain. `y_parity` has 8 bits,
    `nonce` 64.
    """

    chain_id: int
    address: bytes
    nonce: int
    y_parity: int = 0
    r: int = 0
    s: int = 0

    if TYPE_CHECKING:

        def __init__(
            self,
            chain_id: UintLike,
            address: FixedLike,
            nonce: UintLike,
            y_parity: UintLike = ...,
            r: UintLike = ...,
            s: UintLike = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "address", to_address(self.address, "address"))
        for name, bits in (("chain_id", 256), ("nonce", 64), ("y_parity", 8), ("r", 256), ("s", 256)):
            set_field(self, name, to_uint(getattr(self, name), name, bits))

    def signing_hash(self) -> bytes:
        """The 32 bytes that the authority signs."""
        return keccak256(AUTHORIZATION_MAGIC + rlp.encode([self.chain_id, self.address, self.nonce]))

    def recover_authority(self) -> bytes | None:
        """The 20-byte address of the signer, or None if the signature is invalid: such an authorization is skipped."""
        if self.y_parity > 1 or not 0 < self.r < SECP256K1_ORDER or not 0 < self.s <= SECP256K1_ORDER // 2:
            return None
        return recover_address(self.signing_hash(), self.r, self.s, self.y_parity)

    def sign(self, private_key: bytes | str | int) -> Authorization:
        """The same authorization, signed with a 32-byte private key."""
        parity, r, s = _sign(self.signing_hash(), private_key)
        return replace(self, y_parity=parity, r=r, s=s)

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Authorization:
        """From a JSON-RPC or fixture object. Raises `InputError` for a field that is missing or malformed."""
        item = to_object(item, "authorization")
        try:
            parity = item["yParity"] if "yParity" in item else item["v"]
            return cls(item["chainId"], item["address"], item["nonce"], parity, item["r"], item["s"])
        except KeyError as error:
            raise InputError(f"authorization: field {error} is missing") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A transaction of type 0 (legacy), 1 (EIP-2930), 2 (EIP-1559), 3 (EIP-4844) or 4 (EIP-7702).

    Fields are converted and checked when it is made, and are then plain ints, bytes and tuples. Without `type`, the
    lowest type that has all the given fields is used. Prices are in wei per gas, `value` in wei. `gas_price` belongs to
    types 0 and 1, `max_fee_per_gas` and `max_priority_fee_per_gas` to types 2 to 4, `max_fee_per_blob_gas` to type 3.
    In types that have these fields they default to 0, in other types they are None. `to` is None for a creation. A
    legacy transaction without replay protection (EIP-155) has no `chain_id`. `v` is 27 or 28, or at least 35 with
    `chain_id`, in type 0, and the parity of y in the other types; `r` and `s` are zero if there is no signature.
    `sender` is the claimed sender, which is trusted; `recover_sender` recovers it from the signature instead.

    Raises `InputError` naming the field if its value has the wrong type, size or range, or if the type does not have
    it.
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

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            type: int = ...,
            chain_id: UintLike | None = ...,
            nonce: UintLike = ...,
            gas_price: UintLike | None = ...,
            max_fee_per_gas: UintLike | None = ...,
            max_priority_fee_per_gas: UintLike | None = ...,
            gas_limit: UintLike = ...,
            to: FixedLike | None = ...,
            value: UintLike = ...,
            data: BytesLike = ...,
            access_list: AccessListLike = ...,
            max_fee_per_blob_gas: UintLike | None = ...,
            blob_versioned_hashes: Iterable[FixedLike] = ...,
            authorization_list: Iterable[Authorization] = ...,
            v: UintLike = ...,
            r: UintLike = ...,
            s: UintLike = ...,
            sender: FixedLike | None = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        if self.type == -1:
            set_field(self, "type", self._lowest_type())
        fields = FIELDS.get(self.type) if type(self.type) is int else None
        if fields is None:
            raise InputError(f"argument 'type': expected a transaction type from 0 to 4, got {shown(self.type)}")
        for name in FEE_FIELDS:
            value = getattr(self, name)
            if name in fields:
                set_field(self, name, 0 if value is None else to_uint(value, name))
            elif value is not None:
                raise InputError(f"argument '{name}': a transaction of type {self.type} has none, got {shown(value)}")
        for name in LIST_FIELDS:
            value = getattr(self, name)
            if name in fields:
                set_field(self, name, _LIST_CONVERTERS[name](value))
            elif value:
                raise InputError(f"argument '{name}': a transaction of type {self.type} has none, got {shown(value)}")
            else:
                set_field(self, name, ())
        for name in ("nonce", "gas_limit", "value", "v", "r", "s"):
            set_field(self, name, to_uint(getattr(self, name), name, BITS.get(name, 256)))
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
        """Whether any signature field is set; the signature need not be valid."""
        return (self.v, self.r, self.s) != (0, 0, 0)

    @property
    def y_parity(self) -> int:
        """The parity of y in the signature; the chain id that `v` may contain is removed."""
        if self.type != LEGACY:
            return self.v
        return (self.v - 35) % 2 if self.v >= 35 else self.v - 27

    # ---- encoding

    def encode(self) -> bytes:
        """The canonical encoding: RLP for type 0, the type's byte and RLP for the others (EIP-2718)."""
        if self._encoded is None:
            object.__setattr__(self, "_encoded", self._typed(self._items(FIELDS[self.type])))
        assert self._encoded is not None
        return self._encoded

    @property
    def hash(self) -> bytes:
        """The 32-byte transaction hash."""
        return keccak256(self.encode())

    def signing_hash(self) -> bytes:
        """The 32 bytes that the sender signs; for a legacy transaction with a `chain_id` those of EIP-155."""
        items = self._items(FIELDS[self.type][: -len(SIGNATURE)])
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

        Raises `InvalidTransaction` for anything else, and `InputError` when `data` are not bytes.
        """
        data = to_bytes(data, "data")
        transaction = object.__new__(cls)
        if read_transaction(transaction, data):
            return transaction
        kind, values = decode_fields(data)
        if kind == SET_CODE:
            values["authorization_list"] = tuple(Authorization(*entry) for entry in values["authorization_list"])
        transaction = cls(type=kind, **values)
        object.__setattr__(transaction, "_encoded", data)
        return transaction

    # ---- signature

    def recover_sender(self, fork: Fork | str | None = None, chain_id: int | None = None) -> bytes:
        """The 20-byte address that signed, by the rules of `fork` (a `Fork` or its name), by default the newest fork.

        Raises `InvalidTransaction`. Before Homestead high values of s are allowed (EIP-2); before Spurious Dragon
        replay protection is not (EIP-155). With `chain_id`, a signature for another chain is rejected.
        """
        if not isinstance(fork, Fork):
            fork = Fork.OSAKA if fork is None else Fork.from_name(fork)
        if self.type == LEGACY:
            self._check_v(fork)
        elif self.v > 1:
            reject(TransactionReason.INVALID_SIGNATURE_VRS, f"parity {self.v}, expected 0 or 1")
        if chain_id is not None and self.chain_id not in (None, to_uint(chain_id, "chain_id")):
            reject(TransactionReason.INVALID_CHAINID, f"chain id {self.chain_id}, expected {chain_id}")
        high_s = fork < Fork.HOMESTEAD
        if not 0 < self.r < SECP256K1_ORDER:
            reject(TransactionReason.INVALID_SIGNATURE_VRS, f"r is {self.r:#x}, expected 1 to the order of secp256k1")
        if not 0 < self.s <= (SECP256K1_ORDER - 1 if high_s else SECP256K1_ORDER // 2):
            bound = "the order" if high_s else "half the order"
            reject(TransactionReason.INVALID_SIGNATURE_VRS, f"s is {self.s:#x}, expected 1 to {bound} of secp256k1")
        sender = recover_address(self.signing_hash(), self.r, self.s, self.y_parity)
        if sender is None:
            reject(TransactionReason.EC_RECOVERY_FAIL, "no public key gives this signature")
        return sender

    def _check_v(self, fork: Fork) -> None:
        if self.v in (27, 28):
            return
        if self.v < 2 or fork < Fork.SPURIOUS_DRAGON:
            reject(TransactionReason.INVALID_SIGNATURE_VRS, f"v is {self.v}, expected 27 or 28")
        if self.v < 35:
            reject(
                TransactionReason.INVALID_CHAINID,
                f"v is {self.v}, which names no chain; expected 27, 28, or 35 and more",
            )

    def sign(self, private_key: bytes | str | int) -> Transaction:
        """The same transaction, signed with a 32-byte private key; `sender` is the address of that key.

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
        """From the object that `eth_getTransactionByHash` returns, or from a fixture's object.

        Without `type`, the highest type is used that has one of its own fields in the object. Raises `InputError` for a
        field that is missing or malformed.
        that is missing or malformed.
        """
        item = to_object(item, "transaction")
        kind = to_uint(item["type"], "type", 8) if item.get("type") is not None else _type_of_json(item)
        if kind not in FIELDS:
            raise InputError(f"argument 'type': expected a transaction type from 0 to 4, got {kind}")
        values: dict[str, Any] = {}
        for name in (*FIELDS[kind], "chain_id", "sender"):
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


def to_access_list(value: Any) -> AccessList:
    """An access list from pairs of address and slots. Raises `InputError` naming `access_list`."""
    try:
        pairs = [(address, list(slots)) for address, slots in value]
    except (TypeError, ValueError):
        raise InputError(f"argument 'access_list': expected pairs of address and slots, got {shown(value)}") from None
    return tuple((to_address(address, "access_list"), tuple(_slot(slot) for slot in slots)) for address, slots in pairs)


def _slot(value: Any) -> int:
    if isinstance(value, (bytes, bytearray)):
        return int.from_bytes(to_hash(value, "access_list"), "big")
    return to_uint(value, "access_list")


def _hashes(value: Any) -> tuple[bytes, ...]:
    if isinstance(value, (bytes, str)) or not isinstance(value, Iterable):
        raise InputError(f"argument 'blob_versioned_hashes': expected a list of hashes, got {shown(value)}")
    return tuple(to_hash(entry, "blob_versioned_hashes") for entry in value)


def _authorizations(value: Any) -> tuple[Authorization, ...]:
    entries = tuple(value) if isinstance(value, Iterable) else (value,)
    for entry in entries:
        if not isinstance(entry, Authorization):
            raise InputError(f"argument 'authorization_list': expected Authorization, got {type(entry).__name__}")
    return entries


_LIST_CONVERTERS: Final = {
    "access_list": to_access_list,
    "blob_versioned_hashes": _hashes,
    "authorization_list": _authorizations,
}


def _entries(value: Any, name: str) -> list[Mapping[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        raise InputError(f"argument '{name}': expected a list of objects, got {shown(value)}")
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


# ---- keys


def _sign(digest: bytes, private_key: bytes | str | int) -> tuple[int, int, int]:
    """(parity, r, s), with s in the lower half."""
    key = to_hash(private_key, "private_key")
    if not 0 < int.from_bytes(key, "big") < SECP256K1_ORDER:
        raise InputError("argument 'private_key': expected a number from 1 to the order of secp256k1 less 1")
    r, s, parity = sign(digest, key)
    return parity, r, s
