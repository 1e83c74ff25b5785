"""A real Redis server of a test's own, on a private unix socket and port; skips the test where there is none.

The fixture `redis_server` is an empty running server of one test, `shared_redis` one of a module; for more, or other
options, use the class::

    with RedisServer(folder, "--maxmemory", "50mb") as primary, RedisServer(other) as replica:
        replica.replica_of(primary)
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pytest

from tests.ports import free_port
from tests.waiting import PATIENCE, until

if TYPE_CHECKING:
    from tests.faulty_proxy import FaultyProxy

PROGRAM = os.environ.get("EVMCORE_REDIS_SERVER") or shutil.which("redis-server") or shutil.which("valkey-server")


def need_redis() -> Any:
    """The module `redis`; skips the test where it, or the server, is absent."""
    if PROGRAM is None:
        pytest.skip("no redis-server on this machine (or set EVMCORE_REDIS_SERVER)")
    return pytest.importorskip("redis", reason="the package redis is not installed (pip install 'evmcore[redis]')")


class RedisServer:
    """One server process. It starts empty unless its folder holds a dump; `options` are those of redis-server.

    It listens on `path` (unix socket) and on 127.0.0.1:`port`; `url` and `tcp_url` name these. It saves nothing unless
    told to (`--save`), refuses to evict, and serves no other host.
    """

    def __init__(self, folder: Path, *options: str, port: int | None = None) -> None:
        self.redis = need_redis()
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        # The path of a unix socket is limited to 107 bytes.
        self.path = str(folder / "r.sock")
        if len(self.path) > 100:
            self.path = f"{tempfile.gettempdir()}/evmcore-test-{os.getpid()}-{self.port}.sock"
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    @property
    def tcp_url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def log(self) -> str:
        """What the server wrote so far."""
        return (self.folder / "server.log").read_text(errors="replace")

    # ---- life

    def start(self, *options: str) -> RedisServer:
        """Starts the server and waits until it answers; `options` are added to those it was made with."""
        assert self.process is None, "the server runs already"
        Path(self.path).unlink(missing_ok=True)
        command = [str(PROGRAM), "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", self.path]
        command += ["--dir", str(self.folder), "--save", "", "--appendonly", "no", "--daemonize", "no"]
        command += ["--logfile", "", "--repl-diskless-sync-delay", "0", *self.options, *options]
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.wait_until_ready()
        return self

    def wait_until_ready(self) -> None:
        """Waits until the server answers, with data that may have to be loaded first."""
        until(self._answers, lambda: f"redis-server does not answer:\n{self.log}")

    def _answers(self) -> bool:
        assert self.process is not None and self.process.poll() is None, f"redis-server ended:\n{self.log}"
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(1.0)
                probe.connect(self.path)
                probe.sendall(b"PING\r\n")
                return probe.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None, "the server does not run"
        self.process.send_signal(number)

    def _wait(self) -> None:
        assert self.process is not None
        self.process.wait(PATIENCE)
        self.process = None

    def stop(self) -> None:
        """Asks the server to end (it saves if it was told to), and waits for that."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        self._wait()

    def kill(self) -> None:
        """SIGKILL: the server is gone at once, with what it had not saved."""
        self._signal(signal.SIGKILL)
        self._wait()

    def restart(self, *options: str) -> RedisServer:
        """SIGKILL and a start on the same socket and port: empty, unless something was saved."""
        self.kill()
        return self.start(*options)

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing is answered, until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """A `pause` that ends with the block."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def __enter__(self) -> RedisServer:
        return self if self.process is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None:
            self.kill()
        Path(self.path).unlink(missing_ok=True)

    # ---- talking to it

    def client(self, **options: Any) -> Any:
        """A redis-py client over the unix socket; close it (`with server.client() as client`)."""
        return self.redis.Redis(unix_socket_path=self.path, **options)

    def replica_of(self, primary: RedisServer | FaultyProxy) -> None:
        """Makes this server a replica of another, and waits until it has copied it."""
        with self.client() as client:
            client.execute_command("REPLICAOF", "127.0.0.1", str(primary.port))
            until(
                lambda: client.info("replication")["master_link_status"] == "up",
                lambda: f"the replica does not connect:\n{self.log}",
            )

    def promote(self) -> None:
        """Makes a replica a primary."""
        with self.client() as client:
            client.execute_command("REPLICAOF", "NO", "ONE")

    def command_counts(self) -> dict[str, int]:
        """How often each command was called since the start or `reset_counts` (INFO commandstats)."""
        with self.client() as client:
            stats = client.info("commandstats")
        return {name.removeprefix("cmdstat_"): int(entry["calls"]) for name, entry in stats.items()}

    def reset_counts(self) -> None:
        """CONFIG RESETSTAT."""
        with self.client() as client:
            client.config_resetstat()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """An empty server of the test's own."""
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture(scope="module")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server for all tests of a module, which clean up after each other (FLUSHALL)."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server
