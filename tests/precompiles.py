"""What the precompile tests share."""

from __future__ import annotations

from evmcore import _precompiles
from evmcore._rules import Revision

ECRECOVER, SHA256, RIPEMD160, IDENTITY, MODEXP, BN254_ADD, BN254_MUL, BN254_PAIRING, BLAKE2F = range(1, 10)
POINT_EVALUATION, G1_ADD, G1_MSM, G2_ADD, G2_MSM, PAIRING, MAP_FP_TO_G1, MAP_FP2_TO_G2 = range(0x0A, 0x12)
P256_VERIFY = 0x100

AMPLE = 2**62  # gas


def word(value: int) -> bytes:
    """32 big-endian bytes."""
    return value.to_bytes(32, "big")


def call(number: int, data: bytes, revision: int = Revision.OSAKA) -> bytes | None:
    """The output; None for a failure."""
    success, _, output = _precompiles.run(number, revision, data, AMPLE)
    return output if success else None


def gas_of(number: int, data: bytes, revision: int = Revision.OSAKA) -> int:
    """The gas a successful call takes; checks that one gas less is not enough."""
    success, left, _ = _precompiles.run(number, revision, data, AMPLE)
    assert success
    cost = AMPLE - left
    assert _precompiles.run(number, revision, data, cost)[:2] == (True, 0)
    if cost > 0:
        assert _precompiles.run(number, revision, data, cost - 1) == (False, 0, b"")
    return cost
