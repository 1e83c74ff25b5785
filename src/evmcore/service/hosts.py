"""The host names that requests may use for a server (geth's `--http.vhosts`), checked in the header Host."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Final

__all__ = ["HostCheck"]

MOST_KEPT: Final = 512  # headers that are remembered


class HostCheck:
    """Checks host names: `names` are allowed, "*" for any, without regard to case and ports.

    A page in a browser may make its own name resolve to this server, and send requests as if the server were the page's
    origin. The browser then sends that name. A request without a name, or with an IP address, cannot come from such a
    page.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(name.lower() for name in names)
        self._any = "*" in self._names
        self._admitted: set[bytes] = set()

    def admits(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a request with these headers is for this server."""
        if self._any:
            return True
        host = headers.get(b"host", b"")
        if host in self._admitted:
            return True
        if not self._is_admitted(host.decode("latin-1")):
            return False
        if len(self._admitted) >= MOST_KEPT:
            self._admitted.clear()
        self._admitted.add(host)
        return True

    def _is_admitted(self, host: str) -> bool:
        name = _without_port(host)
        return not host or name.lower() in self._names or _is_address(name)


def _without_port(host: str) -> str:
    """`name:80` and `[::1]:80` without the port; other text is unchanged."""
    if host.startswith("["):
        name, bracket, port = host[1:].partition("]")
        return name if bracket and (not port or port.startswith(":")) else host
    return host.partition(":")[0] if host.count(":") == 1 else host


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
