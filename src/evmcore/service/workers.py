"""The processes of the server: one, or several that share a listening socket."""

from __future__ import annotations

import gc
import logging
import os
import pickle
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

import uvicorn

from evmcore.errors import ConfigError, EvmcoreError
from evmcore.service.http import HttpProtocol

__all__ = ["Certificate", "apart", "end_on_signals", "listen", "run"]

SHUTDOWN_SECONDS: Final = 10  # for requests that are being answered
QUICK_DEATH: Final = 2.0  # seconds; a worker that ends sooner could not start
MOST_QUICK_DEATHS: Final = 5
# A thread that has waited for state gets the GIL back this soon, not after Python's 5 ms.
SWITCH_SECONDS: Final = 0.0005
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

log = logging.getLogger("evmcore.service")

T = TypeVar("T")


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket. Raises `OSError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=2048)
    listener.setblocking(False)
    return listener


def end_on_signals() -> None:
    """Has SIGINT and SIGTERM end this process with code 0, until `run` has handlers of its own."""

    def end(*ignored: Any) -> None:
        sys.exit(0)

    for number in STOP_SIGNALS:
        signal.signal(number, end)


def apart(work: Callable[[], T]) -> T:
    """The result of ``work``, or the error of this package that it raises, from a separate process.

    For work that leaves threads behind, before workers are forked. A thread that has ended for Python may still be
    running its exit code, holding a lock of a library (OpenSSL's, after TLS): in a worker that is forked at that moment
    the lock would never be released.
    """
    read, write = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if not pid:
        try:
            os.close(read)
            try:
                outcome: tuple[Any, EvmcoreError | None] = (work(), None)
            except EvmcoreError as error:
                outcome = (None, error)
            with open(write, "wb") as pipe:
                pickle.dump(outcome, pipe)
        except BaseException:
            log.exception("could not start")
        finally:
            sys.stderr.flush()
            os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    if not data:
        raise ConfigError("what is to be served could not be looked at")
    found: T
    found, refused = pickle.loads(data)
    if refused is not None:
        raise refused
    return found


class Certificate(NamedTuple):
    """PEM files: a certificate with its chain up to the issuer's, and its private key, which is not encrypted."""

    cert: str
    key: str

    def check(self) -> None:
        """Raises `ConfigError` if a server could not use them."""
        for path in self:
            try:
                with open(path, "rb"):
                    pass
            except OSError as error:
                raise ConfigError(f"{path}: {error.strerror or error}") from None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        asked: list[bool] = []

        def password() -> str:
            asked.append(True)
            return ""

        try:
            context.load_cert_chain(self.cert, self.key, password)
        except (ssl.SSLError, ValueError) as error:
            if asked:
                raise ConfigError(f"{self.key}: the private key is encrypted, one that is not is needed") from None
            reason = getattr(error, "reason", None)
            if reason == "KEY_VALUES_MISMATCH":
                raise ConfigError(f"{self.key}: not the private key of the certificate in {self.cert}") from None
            what = f"{self.cert}, {self.key}: no certificate and private key in PEM form"
            raise ConfigError(f"{what}: {reason or error}") from None


def run(
    listener: socket.socket,
    make_app: Callable[[], Any],
    workers: int = 1,
    certificate: Certificate | None = None,
) -> int:
    """Serves until SIGINT or SIGTERM, then lets running requests end; returns the exit code. `certificate`: for TLS.

    `make_app` makes the ASGI application, separately in each worker process: everything it opens is the worker's own,
    everything that exists before is shared memory. A worker that dies is restarted, unless it keeps dying at once.
    """
    serve = partial(_serve, listener, make_app, certificate)
    return serve() if workers == 1 else _Supervisor(serve, workers).run()


def _serve(listener: socket.socket, make_app: Callable[[], Any], certificate: Certificate | None) -> int:
    config = uvicorn.Config(
        make_app(),
        http=HttpProtocol,
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        ssl_certfile=None if certificate is None else certificate.cert,
        ssl_keyfile=None if certificate is None else certificate.key,
    )
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()  # the collector need not scan permanent objects again and again
    server = uvicorn.Server(config)

    def stop(*ignored: Any) -> None:
        server.should_exit = True

    for number in STOP_SIGNALS:  # before uvicorn has its own handlers, and when it re-raises the signal that ended it
        signal.signal(number, stop)
    server.run(sockets=[listener])
    return 0 if server.started else 1


class _Supervisor:
    """Starts worker processes, restarts them when they die, and ends them."""

    def __init__(self, serve: Callable[[], int], workers: int) -> None:
        self._serve = serve
        self._workers = workers
        self._started: dict[int, float] = {}
        self._stopping = False
        self._quick_deaths = 0

    def run(self) -> int:
        for number in STOP_SIGNALS:
            signal.signal(number, self._stop)
        for _ in range(self._workers):
            self._start()
        while self._started:
            try:
                pid, status = os.wait()
            except ChildProcessError:
                break
            born = self._started.pop(pid, None)
            if born is None:
                continue
            _forget_metrics(pid)
            if self._stopping:
                continue
            log.error("worker %d ended with %d", pid, os.waitstatus_to_exitcode(status))
            self._quick_deaths = self._quick_deaths + 1 if time.monotonic() - born < QUICK_DEATH else 0
            if self._quick_deaths >= MOST_QUICK_DEATHS:
                log.error("workers die as soon as they are started: giving up")
                self._stop(signal.SIGTERM)
            else:
                self._start()
        return 1 if self._quick_deaths >= MOST_QUICK_DEATHS else 0

    def _start(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        # A stop signal must not reach the child while it has the parent's handlers, nor the parent before it knows of
        # the child.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        parent = os.getpid()
        pid = os.fork()
        if pid:
            self._started[pid] = time.monotonic()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
            if self._stopping:
                os.kill(pid, signal.SIGTERM)
            return
        code = 1
        try:
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
            threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
            code = self._serve()
        except EvmcoreError as error:
            log.error("worker %d cannot serve: %s", os.getpid(), error)
        except BaseException:
            log.exception("worker %d could not serve", os.getpid())
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _stop(self, number: int, *ignored: Any) -> None:
        self._stopping = True
        for pid in list(self._started):
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                continue


def _end_with(parent: int) -> None:
    """Ends this process when its parent has died without ending its workers: nothing else would end it."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _forget_metrics(pid: int) -> None:
    """Removes a dead worker's gauges from the metrics; its counters stay."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid)  # type: ignore[no-untyped-call]
