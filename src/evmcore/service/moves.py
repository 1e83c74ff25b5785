"""The precompiles that state overrides move, and their new addresses."""

from __future__ import annotations

from evmcore._precompiles import number_at
from evmcore.forks import Fork
from evmcore.service.parse import StateOverrides
from evmcore.service.rpc_errors import MOVE_TO_SELF, MOVE_TWICE, SERVER_ERROR, RpcError

__all__ = ["precompile_moves"]


def precompile_moves(overrides: StateOverrides, fork: Fork) -> dict[bytes, bytes | None]:
    """The new address of each precompile that overrides move, None for nowhere: an overridden account is an ordinary
    one. `RpcError` for invalid moves."""
    targets: set[bytes] = set()
    for source, target in overrides.moves.items():
        if not number_at(source, fork.revision):
            raise RpcError(SERVER_ERROR, f"account 0x{source.hex()} is not a precompile")
        if target == source:
            raise RpcError(MOVE_TO_SELF, f"account 0x{source.hex()} is moved to itself")
        if target in overrides.accounts:
            raise RpcError(SERVER_ERROR, f"account 0x{target.hex()} is already overridden")
        if target in targets:
            raise RpcError(MOVE_TWICE, f"two precompiles are moved to 0x{target.hex()}")
        targets.add(target)
    gone = {address: None for address in overrides.accounts if number_at(address, fork.revision)}
    return {**gone, **overrides.moves}
