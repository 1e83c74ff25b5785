"""Accounts as geth writes them in a genesis file: `alloc`, address to balance, nonce, code and storage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from evmcore._hash import keccak256
from evmcore.errors import InputError
from evmcore.types import Account, to_address, to_bytes, to_hash, to_uint, to_word

# Written by tools beside what makes up an account; of no meaning here.
IGNORED_FIELDS = frozenset({"address", "key", "root", "secretKey"})
FIELDS = frozenset({"balance", "nonce", "code", "codeHash", "storage"})


class AllocEntry(NamedTuple):
    """One account of an alloc. `code` is None where only the hash is known (`code_hash`, 32 bytes)."""

    address: bytes
    nonce: int
    balance: int
    code: bytes | None
    code_hash: bytes | None
    storage: dict[int, int]


def parse_alloc(alloc: object) -> Iterator[AllocEntry]:
    """The accounts of a geth-style alloc, or of a mapping of address to `Account`.

    Addresses are bytes or hexadecimal text, with or without 0x. Quantities are numbers, 0x-hex or decimal text; missing
    ones are zero. Storage keys and values are numbers, 32 bytes, or hexadecimal text of up to 64 digits, with or
    without 0x. Raises `InputError` that names the account and the field.
    """
    if not isinstance(alloc, Mapping):
        raise InputError(f"argument 'alloc': expected a mapping of address to account, got {type(alloc).__name__}")
    seen: set[bytes] = set()
    for key, value in alloc.items():
        if isinstance(key, str) and key[:2] not in ("0x", "0X"):
            key = "0x" + key
        address = to_address(key, "alloc address")
        name = f"alloc[0x{address.hex()}]"
        if address in seen:
            raise InputError(f"argument '{name}': the address is there twice")
        seen.add(address)
        if isinstance(value, Account):
            yield AllocEntry(address, value.nonce, value.balance, value.code, None, value.storage)
        else:
            yield _entry(address, value, name)


def _entry(address: bytes, value: object, name: str) -> AllocEntry:
    if not isinstance(value, Mapping):
        raise InputError(f"argument '{name}': expected a mapping of account fields, got {type(value).__name__}")
    unknown = value.keys() - FIELDS - IGNORED_FIELDS
    if unknown:
        raise InputError(
            f"argument '{name}': unknown field {sorted(map(str, unknown))[0]!r}, known are {', '.join(sorted(FIELDS))}"
        )
    code_hash = to_hash(value["codeHash"], f"{name}.codeHash") if value.get("codeHash") is not None else None
    code = value.get("code")
    if code is not None or code_hash is None:
        code = b"" if code is None else to_bytes(code, f"{name}.code")
        if code_hash is not None and keccak256(code) != code_hash:
            raise InputError(
                f"argument '{name}.codeHash': the code has the hash 0x{keccak256(code).hex()}, got 0x{code_hash.hex()}"
            )
    return AllocEntry(
        address,
        quantity(value.get("nonce", 0), f"{name}.nonce", 64),
        quantity(value.get("balance", 0), f"{name}.balance"),
        code,
        code_hash,
        _storage(value.get("storage"), f"{name}.storage"),
    )


def _storage(value: object, name: str) -> dict[int, int]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputError(f"argument '{name}': expected a mapping of slot to value, got {type(value).__name__}")
    storage: dict[int, int] = {}
    for key, word in value.items():
        slot = to_word(key, f"{name} slot")
        if slot in storage:
            raise InputError(f"argument '{name}': slot {slot:#x} is there twice")
        storage[slot] = to_word(word, f"{name}[{slot:#x}]")
    return storage


def quantity(value: Any, name: str, bits: int = 256) -> int:
    """A number below 2**bits from a number, 0x-hex text (`0x` is zero) or decimal text."""
    if isinstance(value, str):
        if value in ("0x", "0X"):
            return 0
        if value.isascii() and value.isdigit() and len(value) <= 78:
            value = int(value)
    return to_uint(value, name, bits)


def alloc_entry(
    nonce: int, balance: int, code: bytes | None, code_hash: bytes, storage: dict[int, int]
) -> dict[str, Any]:
    """One account in geth's form. Empty fields but the balance are left out; a code that is not known has its hash."""
    entry: dict[str, Any] = {"balance": hex(balance)}
    if nonce:
        entry["nonce"] = hex(nonce)
    if code is None:
        entry["codeHash"] = "0x" + code_hash.hex()
    elif code:
        entry["code"] = "0x" + code.hex()
    if storage:
        entry["storage"] = {f"0x{slot:064x}": f"0x{value:064x}" for slot, value in storage.items()}
    return entry
