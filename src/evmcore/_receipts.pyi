from collections.abc import Iterable

from evmcore.types import Log

def logs_bloom(logs: Iterable[Log]) -> bytes:
    """The 256-byte bloom of `logs`."""
