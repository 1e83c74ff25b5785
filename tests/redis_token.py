"""A token contract in Redis, with holders who have 1000, 1001, ... of it."""

from __future__ import annotations

from evmcore import EVM
from evmcore.bench.contracts import contract, mapping_slot
from evmcore.state import Backend, MemoryState, State
from evmcore.types import Account

TOKEN = contract("Token")
TOKEN_ADDRESS = bytes.fromhex("70" * 20)
HOLDERS = [bytes([i]) * 20 for i in range(100, 120)]


def token_state(holders: int = len(HOLDERS)) -> MemoryState:
    """The token alone, which the first of `HOLDERS` have."""
    storage = {mapping_slot(TOKEN.slots["balanceOf"], holder): 1000 + i for i, holder in enumerate(HOLDERS[:holders])}
    return MemoryState({TOKEN_ADDRESS: Account(1, 0, TOKEN.runtime, storage)})


def balance_of(holder: bytes) -> bytes:
    """Calldata."""
    return TOKEN.call("balanceOf(address)", holder)


def call_token(backend: Backend | State, holder: bytes) -> int:
    """What a holder has."""
    return int.from_bytes(EVM(backend).call(TOKEN_ADDRESS, balance_of(holder), sender=TOKEN_ADDRESS).output, "big")
