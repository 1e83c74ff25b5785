"""Addresses, times and numbers that states and their connections are given, checked before anything is done."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from evmcore.errors import InputError
from evmcore.types import shown

MOST_SECONDS = 1e9


def check_seconds(value: object, name: str, *, above_zero: bool = False) -> None:
    """Raises `InputError` for anything but a number of seconds, from 0 or above it."""
    least = "above 0" if above_zero else "from 0"
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MOST_SECONDS:
        raise InputError(f"argument '{name}': expected seconds, a number {least}, got {shown(value)}")
    if above_zero and value == 0:
        raise InputError(f"argument '{name}': expected seconds above 0, got 0")


def check_count(value: object, name: str, least: int, most: int) -> None:
    """Raises `InputError` for anything but a whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InputError(f"argument '{name}': expected a number from {least} to {most}, got {shown(value)}")


def split_address(url: object, what: str) -> SplitResult:
    """The parts of an address. Raises `InputError`, which begins with `what` it is to be, for text that is none."""
    if not isinstance(url, str):
        raise InputError(f"{what}: expected text, got {type(url).__name__}")
    try:
        return urlsplit(url)
    except ValueError as error:
        raise InputError(f"{what} {shown_address(url)}: {error}") from None


def shown_address(url: str) -> str:
    """An address as messages show it: without user and password, whether or not it can be taken apart."""
    before, at, place = url.rpartition("@")
    scheme, colon, _ = before.partition("://")
    return shown(f"{scheme}{colon}***@{place}" if at and colon else f"***@{place}" if at else place)
