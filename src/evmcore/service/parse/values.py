"""Single values of a request: quantities, data, addresses, words; and its list of parameters."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from evmcore.service.rpc_errors import InvalidParams

_QUANTITY: Final = re.compile(r"0x(0|[1-9a-fA-F][0-9a-fA-F]*)\Z")
_DIGITS: Final = re.compile(r"[0-9a-fA-F]*\Z")


def refuse(name: str, problem: str) -> NoReturn:
    """Raises `InvalidParams` for the argument or field `name`."""
    raise InvalidParams(f"invalid argument {name}: {problem}")


def shown(value: Any) -> str:
    """A value for a message, truncated if it is long."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else text[:50] + "..."


def _digits(value: Any, name: str, expected: str) -> str:
    """The hexadecimal digits after 0x."""
    if not isinstance(value, str):
        refuse(name, f"expected {expected}, got {shown(value)}")
    if value[:2] not in ("0x", "0X"):
        refuse(name, "hex string without 0x prefix" if value else "empty hex string")
    digits = value[2:]
    if not _DIGITS.match(digits):
        refuse(name, "invalid hex string")
    return digits


# ---- single values


def quantity(value: Any, name: str, bits: int = 256) -> int:
    """A number of at most `bits` bits from 0x-hex text without leading zeros."""
    if isinstance(value, str) and _QUANTITY.match(value):
        if len(value) - 2 > bits // 4:
            refuse(name, f"hex number > {bits} bits")
        return int(value, 16)
    digits = _digits(value, name, "a quantity as 0x-hex text")
    if not digits:
        refuse(name, 'hex string "0x"')
    if digits[0] == "0" and len(digits) > 1:
        refuse(name, "hex number with leading zero digits")
    return quantity("0x" + digits, name, bits)


def data(value: Any, name: str) -> bytes:
    """Bytes from 0x-hex text with two digits each."""
    found = plain_bytes(value)
    if found is not None:
        return found
    digits = _digits(value, name, "data as 0x-hex text")
    if len(digits) % 2:
        refuse(name, "hex string of odd length")
    return bytes.fromhex(digits)


def plain_bytes(value: Any) -> bytes | None:
    """The bytes of well-formed 0x-hex text, quickly; None for values that need the full checks."""
    if type(value) is str and value[:2] == "0x":
        try:
            found = bytes.fromhex(value[2:])
        except ValueError:
            return None
        if 2 * len(found) + 2 == len(value):  # fromhex ignores white space
            return found
    return None


def _sized(value: Any, name: str, size: int) -> bytes:
    found = plain_bytes(value)
    if found is not None and len(found) == size:
        return found
    digits = _digits(value, name, f"{size} bytes as 0x-hex text")
    if len(digits) != 2 * size:
        refuse(name, f"hex string has length {len(digits)}, want {2 * size}")
    return bytes.fromhex(digits)


def address(value: Any, name: str) -> bytes:
    """A 20-byte address from 0x-hex text of 40 digits, in any case."""
    return _sized(value, name, 20)


def hash32(value: Any, name: str) -> bytes:
    """A 32-byte hash from 0x-hex text of 64 digits."""
    return _sized(value, name, 32)


def word(value: Any, name: str) -> int:
    """A storage key or value: 0x-hex text of at most 64 digits, with or without leading zeros, as in geth."""
    digits = _digits(value, name, "a 32-byte word as 0x-hex text")
    if len(digits) > 64:
        refuse(name, f"hex string has length {len(digits)}, want at most 64")
    return int(digits or "0", 16)


def boolean(value: Any, name: str) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        refuse(name, f"expected true or false, got {shown(value)}")
    return value


def text(value: Any, name: str) -> str:
    """A string."""
    if not isinstance(value, str):
        refuse(name, f"expected a string, got {shown(value)}")
    return value


def json_object(value: Any, name: str) -> dict[str, Any]:
    """An object, without its null fields."""
    if type(value) is not dict and not isinstance(value, Mapping):
        refuse(name, f"expected an object, got {shown(value)}")
    return {key: entry for key, entry in value.items() if entry is not None}


def array(value: Any, name: str) -> list[Any]:
    """An array."""
    if not isinstance(value, list):
        refuse(name, f"expected an array, got {shown(value)}")
    return value


def params_of(params: Any, required: int, allowed: int) -> list[Any]:
    """Positional parameters, filled up with None to `allowed`. The first `required` must be present."""
    values = [] if params is None else params
    if type(values) is not list and (not isinstance(values, Sequence) or isinstance(values, (str, bytes))):
        raise InvalidParams("non-array args")
    if len(values) > allowed:
        raise InvalidParams(f"too many arguments, want at most {allowed}")
    filled = list(values) + [None] * (allowed - len(values))
    for place in range(required):
        if filled[place] is None:
            raise InvalidParams(f"missing value for required argument {place}")
    return filled
