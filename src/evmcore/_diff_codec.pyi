from typing import Any

from evmcore._diff import StateDiff

def encode(diff: StateDiff) -> bytes:
    """The binary form of a diff; see `StateDiff.to_bytes`."""

def decode(data: bytes | bytearray | memoryview) -> StateDiff:
    """The diff of its binary form; see `StateDiff.from_bytes`."""

def to_json(diff: StateDiff) -> dict[str, Any]:
    """The diff as JSON values; see `StateDiff.to_json`."""

def from_json(value: Any) -> StateDiff:
    """The diff of its JSON values; see `StateDiff.from_json`."""
