"""Detects whether a Redis server has evicted keys, or may: a lost key must not be taken for an absent one.

The server counts its evictions (`evicted_keys` of INFO) from zero at its start. The writer that begins a state stores
the value of the counter with it (`mark`), so that earlier evictions do not matter; readers compare the counter with the
mark. A server that is configured to evict is refused before it evicts.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evmcore.errors import StateError, StateUnavailable, UnsafeStorage, WriteRefused

if TYPE_CHECKING:
    from evmcore.state.session import Session

log = logging.getLogger(__name__)

HARMLESS_POLICY = "noeviction"


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """A server's reply to INFO. `policy` is empty and `evicted` None if the reply lacks them."""

    run_id: str
    evicted: int | None
    maxmemory: int  # bytes; 0: no limit
    policy: str
    primary: tuple[str, int] | None  # host and port, if the server is a replica


def parse_info(text: bytes) -> ServerInfo:
    """Reads the reply to INFO (all default sections)."""
    fields = {}
    for line in text.decode("utf-8", "backslashreplace").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields[name] = value
    primary = None
    if fields.get("role") == "slave" and fields.get("master_port", "").isdecimal():
        primary = (fields.get("master_host", ""), int(fields["master_port"]))
    return ServerInfo(
        run_id=fields.get("run_id", ""),
        evicted=_number(fields.get("evicted_keys", "")),
        maxmemory=_number(fields.get("maxmemory", "")) or 0,
        policy=fields.get("maxmemory_policy", ""),
        primary=primary,
    )


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def mark(text: bytes) -> bytes:
    """The mark to store with a new state, from the server's reply to INFO."""
    info = parse_info(text)
    return f"{info.run_id} {info.evicted or 0}".encode()


def check_policy(maxmemory: int, policy: str) -> None:
    """Raises `UnsafeStorage` if the server evicts keys when full. A server without a memory limit is never full."""
    if maxmemory and policy not in ("", HARMLESS_POLICY):
        raise UnsafeStorage(
            f"the Redis server evicts keys when its memory is full (maxmemory {maxmemory}, maxmemory-policy {policy}): "
            f"set maxmemory-policy to {HARMLESS_POLICY}"
        )


def check_count(info: ServerInfo, stored: bytes | None) -> int:
    """The value of the counter of evicted keys for as long as the state is whole. `stored`: its `mark`, if there is
    one.

    Raises `UnsafeStorage` if the counter has another value already, or if the server does not have it.
    """
    if info.evicted is None:
        raise UnsafeStorage("the Redis server does not tell how many keys it has evicted (evicted_keys of INFO)")
    run_id, _, count = (stored or b"").decode("ascii", "replace").partition(" ")
    whole = int(count) if run_id == info.run_id and count.isdecimal() else 0
    if info.evicted != whole:
        raise evicted(info.evicted, whole)
    return whole


def evicted(now: int, whole: int) -> UnsafeStorage:
    """The exception for a server whose counter of evicted keys has moved."""
    return UnsafeStorage(
        f"the Redis server has evicted {now - whole} keys, perhaps of this state: what is missing may be lost. "
        f"Set maxmemory-policy to {HARMLESS_POLICY}, give the server more memory and load the state again"
    )


# ---- for the writer, at its start


def check_server(session: Session) -> None:
    """Raises `UnsafeStorage` if the server evicts keys when its memory is full: a lost slot looks like a zero."""
    policy, limit = _memory_policy(session)
    if limit is None:
        log.warning("the server does not tell whether it evicts keys: maxmemory-policy must be noeviction")
    else:
        check_policy(limit, policy)


def read_mark(session: Session) -> bytes:
    """The server's counter of evicted keys, for readers; empty if this user may not ask for it."""
    try:
        return mark(session.request([(b"INFO",)], "reading the server's state")[0])
    except WriteRefused:
        return b""


def _memory_policy(session: Session) -> tuple[str, int | None]:
    try:
        reply = session.request([(b"CONFIG", b"GET", b"maxmemory*")], "reading the configuration")[0]
    except StateUnavailable:
        raise
    except StateError as error:
        if isinstance(error, WriteRefused) and "NOPERM" not in str(error):
            raise  # the server demands a password: it will not answer anything else either
        try:
            text: bytes = session.request([(b"INFO", b"memory")], "reading the server's state")[0]
        except StateUnavailable:
            raise
        except StateError:
            return "", None
        lines = (line.partition(b":") for line in text.splitlines())
        fields = {name: value for name, _, value in lines}
    else:
        fields = {name.replace(b"-", b"_"): value for name, value in zip(reply[::2], reply[1::2], strict=True)}
    limit = fields.get(b"maxmemory", b"")
    return fields.get(b"maxmemory_policy", b"").decode(), int(limit) if limit.isdigit() else None
