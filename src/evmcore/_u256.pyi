"""256-bit arithmetic as the engine computes it, for tests and tools."""

from collections.abc import Iterable, Sequence
from typing import Any

def apply(operation: str, operands: Iterable[Sequence[int]], alias: int = -1) -> list[Any]:
    """Apply one operation to a list of operand tuples (one to three ints each, in the EVM's order).

    Operations: add sub mul div mod sdiv smod addmod mulmod exp signextend and or xor not byte shl shr sar clz copy
    add64 (ints); add_carry sub_borrow mul64_carry (tuples of int and bool); is_zero eq lt slt fits64 (bools);
    sat64 bits byte_len (ints). `alias` names the operand whose memory the result is written to (0 to 2);
    -1 writes it apart. Raises InputError for an unknown operation, and for an operand outside [0, 2**256).
    """

def from_bytes(data: bytes) -> int:
    """The int of at most 32 big-endian bytes, read as the engine reads them."""

def to_bytes(value: int) -> bytes:
    """The 32 big-endian bytes of an int in [0, 2**256)."""

def to_address(value: int) -> bytes:
    """The low 20 bytes of an int in [0, 2**256), big-endian."""
