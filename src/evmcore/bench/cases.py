"""Single messages: programs with a known answer (`load`), and calls on a token of our own (`own`)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evmcore._hash import keccak256
from evmcore.bench.contracts import contract, mapping_slot
from evmcore.errors import InputError
from evmcore.forks import chain_of
from evmcore.types import to_bytes, to_uint

HOLDERS = 4_096
CALLER = bytes.fromhex("1000000000000000000000000000000000000001")
CALLEE = bytes.fromhex("be00000000000000000000000000000000000002")


@dataclass(frozen=True)
class Case:
    """One message from `CALLER` to `CALLEE`, and what it gives.

    Gas is the execution's alone: no intrinsic gas, refunds not subtracted; `gas_used` is None where it is not known.
    `others` are inputs to take by turns with `data`, with the same output.
    """

    name: str
    group: str
    code: bytes
    data: bytes
    gas_limit: int
    output: bytes
    gas_used: int | None
    fork: str
    storage: Mapping[int, int]
    others: tuple[bytes, ...] = ()

    def next_input(self) -> Callable[[], bytes]:
        """A function that gives the input of the next run."""
        return itertools.cycle((self.data, *self.others)).__next__


def load(path: Path) -> Case:
    """Reads a case file. Raises InputError for one that is not in that form, OSError for one that cannot be read."""
    try:
        fields: Any = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise InputError(f"{path}: an object is needed, got {type(fields).__name__}")

    def take(name: str, kind: type) -> Any:
        if name not in fields:
            raise InputError(f"{path}: {name} is missing")
        if not isinstance(fields[name], kind) or isinstance(fields[name], bool):
            raise InputError(f"{path}: {name}: {kind.__name__} expected, got {type(fields[name]).__name__}")
        return fields[name]

    def octets(name: str) -> bytes:
        try:
            return to_bytes("0x" + take(name, str), name)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    try:
        storage = {
            to_uint(int(slot, 16), "prestate_storage"): to_uint(int(value, 16), "prestate_storage")
            for slot, value in take("prestate_storage", dict).items()
        }
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: prestate_storage: pairs of hexadecimal words are needed: {error}") from error
    gas_limit, fork = take("gas_limit", int), take("fork", str)
    try:
        to_uint(gas_limit, "gas_limit", 63)
        chain_of(fork)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return Case(
        name=take("name", str),
        group=take("group", str),
        code=octets("code_hex"),
        data=octets("input_hex"),
        gas_limit=gas_limit,
        output=octets("expected_output_hex"),
        gas_used=take("gas_used", int),
        fork=fork,
        storage=storage,
    )


def load_directory(directory: Path) -> list[Case]:
    """Every `*.json` of a directory, by name. Raises InputError where there is none."""
    if not directory.is_dir():
        raise InputError(f"{directory}: not a directory")
    paths = sorted(directory.glob("*.json"))
    if not paths:
        raise InputError(f"{directory}: no *.json in it")
    return [load(path) for path in paths]


def own() -> list[Case]:
    """What a call from Python costs: an empty one, and a balance and a transfer of a token of ours."""
    token = contract("Token")
    balance = 10**24
    holders = [CALLER, *(keccak256(b"holder %d" % number)[12:] for number in range(1, HOLDERS))]
    storage = {mapping_slot(token.slots["balanceOf"], holder): balance for holder in holders}
    storage[token.slots["totalSupply"]] = balance * HOLDERS
    balance_of = [token.call("balanceOf(address)", holder) for holder in holders]

    def case(name: str, code: bytes, data: bytes, output: bytes, others: Sequence[bytes] = ()) -> Case:
        return Case(name, "call", code, data, 1_000_000, output, None, "Cancun", storage, tuple(others))

    return [
        case("empty call", b"\0", b"", b""),
        case("ERC-20 balanceOf", token.runtime, balance_of[0], balance.to_bytes(32, "big")),
        # Without what an engine may remember of the last call.
        case(
            f"ERC-20 balanceOf of {HOLDERS} holders by turns",
            token.runtime,
            balance_of[0],
            balance.to_bytes(32, "big"),
            balance_of[1:],
        ),
        case(
            "ERC-20 transfer",
            token.runtime,
            token.call("transfer(address,uint256)", CALLEE, 12_345),
            (1).to_bytes(32, "big"),
        ),
    ]
