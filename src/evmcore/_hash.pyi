"""Keccak-256."""

from typing_extensions import Buffer

def keccak256(data: Buffer) -> bytes:
    """The 32-byte Keccak-256 digest (Ethereum's padding) of a bytes-like object; InputError for anything else."""

def variants() -> list[str]:
    """Names of the permutations this machine can run; the first is the one in use."""

def keccak256_variant(name: str, data: Buffer) -> bytes:
    """As keccak256, with the named permutation, for tests."""

def keccak256_of_64(data: bytes) -> bytes:
    """As keccak256, by the path for exactly 64 bytes, for tests."""
