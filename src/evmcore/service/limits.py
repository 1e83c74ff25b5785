"""How much a request may ask for."""

from __future__ import annotations

from dataclasses import dataclass, fields

from evmcore.errors import InputError

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a service. Raises `InputError` for an invalid value.

    - `gas`: the most gas a call runs with; a higher limit in a request is lowered silently, as geth does, or refused
      if `reject_gas` is set.
    - `timeout`: seconds for one request; `batch_timeout`: for all of a batch.
    - `request_size`, `response_size`: bytes of the HTTP bodies; `batch`: requests in one batch.
    - `log_blocks`, `logs`: blocks that eth_getLogs may search, and logs it may return.
    - `slots`: storage slots that eth_getStorageValues and eth_getProof may name.
    - `threads`: calls that run at once in one process beside the event loop; `queue`: requests that may wait for one of
      these threads; further requests are refused.
    """

    gas: int = 50_000_000
    reject_gas: bool = False
    timeout: float = 5.0
    batch_timeout: float = 30.0
    request_size: int = 5 * 1024 * 1024
    response_size: int = 25 * 1024 * 1024
    batch: int = 1000
    log_blocks: int = 10_000
    logs: int = 10_000
    slots: int = 1024
    threads: int = 4
    queue: int = 1000

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "reject_gas":
                if not isinstance(value, bool):
                    raise InputError(f"limit 'reject_gas': expected True or False, got {value!r:.60}")
            elif isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise InputError(f"limit '{field.name}': expected a number above zero, got {value!r:.60}")
            elif field.name not in ("timeout", "batch_timeout") and not isinstance(value, int):
                raise InputError(f"limit '{field.name}': expected a whole number, got {value!r}")
