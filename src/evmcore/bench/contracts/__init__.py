"""The benchmark contracts: sources, and what `compile.py` made of them (`artifacts.json`)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from evmcore._hash import keccak256


@dataclass(frozen=True)
class Contract:
    """A compiled contract. `slots` gives the storage slot of each state variable by name."""

    name: str
    creation: bytes
    runtime: bytes
    selectors: dict[str, bytes]
    slots: dict[str, int]

    def call(self, signature: str, *words: int | bytes) -> bytes:
        """Calldata for a function, for example `token.call("transfer(address,uint256)", to, 5)`.

        Integers and addresses are padded to 32 bytes; arguments of other types have to be laid out as words by the
        caller. Raises KeyError for a function the contract does not have.
        """
        return self.selectors[signature] + b"".join(word(value) for value in words)


def word(value: int | bytes) -> bytes:
    """32 bytes, big-endian: an integer, or bytes padded on the left."""
    return value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0")


def mapping_slot(slot: int, *keys: int | bytes) -> int:
    """The storage slot of `mapping[key]...` for a Solidity mapping declared at `slot`."""
    for key in keys:
        slot = int.from_bytes(keccak256(word(key) + word(slot)), "big")
    return slot


@cache
def artifacts() -> dict[str, Any]:
    """`artifacts.json`: compiler, its version and settings, and the contracts as compiled."""
    loaded: dict[str, Any] = json.loads(files(__name__).joinpath("artifacts.json").read_text())
    return loaded


@cache
def contract(name: str) -> Contract:
    """A contract by the name of its source, such as `Token`. Raises KeyError for another name."""
    compiled = artifacts()["contracts"][name]
    return Contract(
        name=name,
        creation=bytes.fromhex(compiled["creation"]),
        runtime=bytes.fromhex(compiled["runtime"]),
        selectors={signature: bytes.fromhex(value) for signature, value in compiled["selectors"].items()},
        slots={label: place["slot"] for label, place in compiled["storage"].items()},
    )
