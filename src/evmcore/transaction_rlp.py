"""The canonical encodings of transactions: the fields of each type in their order, and the reasons for which bytes are
not such an encoding.

Every malformation has its own reason, so that a rejection can be compared with the reason that a fixture names.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, NoReturn

from evmcore import rlp
from evmcore.errors import InvalidTransaction, RlpError, TransactionReason

LEGACY, ACCESS_LIST, DYNAMIC_FEE, BLOB, SET_CODE = range(5)

# The fields of each type in the order of its encoding (EIP-155, 2930, 1559, 4844, 7702); the signature is last.
SIGNATURE: Final = ("v", "r", "s")
_FEES: Final = ("chain_id", "nonce", "max_priority_fee_per_gas", "max_fee_per_gas", "gas_limit", "to", "value", "data")
FIELDS: Final[dict[int, tuple[str, ...]]] = {
    LEGACY: ("nonce", "gas_price", "gas_limit", "to", "value", "data", *SIGNATURE),
    ACCESS_LIST: (
        "chain_id", "nonce", "gas_price", "gas_limit", "to", "value", "data", "access_list", *SIGNATURE,
    ),
    DYNAMIC_FEE: (*_FEES, "access_list", *SIGNATURE),
    BLOB: (*_FEES, "access_list", "max_fee_per_blob_gas", "blob_versioned_hashes", *SIGNATURE),
    SET_CODE: (*_FEES, "access_list", "authorization_list", *SIGNATURE),
}  # fmt: skip
BITS: Final = {"nonce": 64, "gas_limit": 64}
FEE_FIELDS: Final = ("gas_price", "max_fee_per_gas", "max_priority_fee_per_gas", "max_fee_per_blob_gas")
LIST_FIELDS: Final = ("access_list", "blob_versioned_hashes", "authorization_list")


class _Rejections(NamedTuple):
    """The reasons for the ways in which a field of a transaction's encoding can be malformed."""

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


def reject(reason: TransactionReason, detail: str) -> NoReturn:
    raise InvalidTransaction(reason, detail)


# ---- decoding


def decode_fields(data: bytes) -> tuple[int, dict[str, Any]]:
    """The type and the values of the fields of an encoded transaction. An authorization is the tuple of its six fields.

    Raises `InvalidTransaction` for anything that is not the canonical encoding of a transaction.
    """
    kind, position = _type_of(data)
    names = FIELDS[kind]
    members = _members(data, position, names)
    return kind, {name: _decode_field(name, member) for name, member in zip(names, members, strict=True)}


def _type_of(data: bytes) -> tuple[int, int]:
    """The type, and the position where its RLP starts."""
    if not data:
        reject(_R.RLP_ERROR_EOF, "no bytes")
    if data[0] >= 0xC0:
        return LEGACY, 0
    if len(data) == 1:
        reject(_R.RLP_ERROR_EOF, f"nothing after the type byte {data[0]:#04x}")
    if data[0] not in FIELDS or data[0] == LEGACY:
        reject(_R.TYPE_NOT_SUPPORTED, f"type byte {data[0]:#04x}")
    return data[0], 1


def _members(data: bytes, position: int, names: tuple[str, ...]) -> list[tuple[bool, bytes]]:
    """For each field whether it is a list, and its payload (for a list: its whole encoding)."""
    try:
        is_list, start, stop = rlp.read_prefix(data, position, len(data))
    except rlp.NotCanonical as error:
        reject(_R.RLP_ERROR_SIZE_LEADING_ZEROS, str(error))
    except RlpError as error:
        reject(_R.RLP_ERROR_SIZE, str(error))
    if not is_list:
        reject(_R.RLP_INVALID_HEADER, "expected a list of fields")
    if stop != len(data):
        reject(_R.RLP_ERROR_SIZE, f"{len(data) - stop} bytes follow the transaction")
    members: list[tuple[bool, bytes]] = []
    while start < stop:
        name = names[len(members)] if len(members) < len(names) else "end"
        try:
            is_list, payload, end = rlp.read_prefix(data, start, stop)
        except rlp.NotCanonical as error:
            reject(_REJECTIONS.get(name, _ANY_FIELD).length, f"field '{name}': {error}")
        except RlpError as error:
            reject(_R.RLP_ERROR_SIZE, f"field '{name}': {error}")
        members.append((is_list, data[start:end] if is_list else data[payload:end]))
        start = end
    if names is FIELDS[BLOB] and members and members[0][0]:
        reject(_R.TYPE_3_TX_WITH_FULL_BLOBS, "this is the form for the network, with blobs beside the transaction")
    if len(members) != len(names):
        reason = _R.RLP_TOO_FEW_ELEMENTS if len(members) < len(names) else _R.RLP_TOO_MANY_ELEMENTS
        reject(reason, f"{len(members)} fields, expected {len(names)}")
    return members


def _decode_field(name: str, member: tuple[bool, bytes]) -> Any:
    is_list, payload = member
    rejections = _REJECTIONS.get(name, _ANY_FIELD)
    if is_list != (name in LIST_FIELDS):
        expected, got = ("a string", "a list") if is_list else ("a list", "a string")
        reject(rejections.kind, f"field '{name}': expected {expected}, got {got}")
    if is_list:
        try:
            return _LIST_DECODERS[name](rlp.decode_list(rlp.decode(payload), name))
        except RlpError as error:
            reject(rejections.overflow, f"field '{name}': {error}")
    if name == "data":
        return payload
    if name == "to":
        if payload and len(payload) != 20:
            reason = _R.ADDRESS_TOO_SHORT if len(payload) < 20 else _R.ADDRESS_TOO_LONG
            reject(reason, f"field 'to': expected 20 bytes or none, got {len(payload)}")
        return payload or None
    return _number(name, payload, rejections)


def _number(name: str, payload: bytes, rejections: _Rejections) -> int:
    bits = BITS.get(name, 256)
    # In a field of 64 bits excess length is reported before a leading zero, in a field of 256 bits after.
    if payload[:1] == b"\x00" and not (bits == 64 and len(payload) > 8):
        reject(rejections.leading_zeros, f"field '{name}': leading zero bytes")
    if len(payload) * 8 > bits:
        reject(rejections.overflow, f"field '{name}': expected at most {bits} bits, got {len(payload)} bytes")
    return int.from_bytes(payload, "big")


def _decode_access_list(entries: list[rlp.Item]) -> tuple[tuple[bytes, tuple[int, ...]], ...]:
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
        reject(reason, f"access list: expected {size} bytes, got {len(value)}")
    return rlp.decode_fixed(value, "access_list", size)


def _decode_hashes(entries: list[rlp.Item]) -> tuple[bytes, ...]:
    return tuple(rlp.decode_fixed(entry, "blob versioned hash", 32) for entry in entries)


def _decode_authorizations(entries: list[rlp.Item]) -> tuple[tuple[int, bytes, int, int, int, int], ...]:
    result = []
    for entry in entries:
        members = rlp.decode_list(entry, "authorization")
        if len(members) != 6:
            raise RlpError(f"expected authorizations of 6 fields, got {len(members)}")
        chain_id, address, nonce, parity, r, s = members
        result.append(
            (
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
