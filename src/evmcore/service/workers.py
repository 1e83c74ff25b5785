"""The processes that serve: one, or several that share a listening socket."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import uvicorn

from evmcore.errors import EvmcoreError
from evmcore.service.http import HttpProtocol

__all__ = ["end_on_signals", "listen", "run"]

SHUTDOWN_SECONDS: Final = 10  # for requests that are being answered
QUICK_DEATH: Final = 2.0  # seconds; a worker that lives shorter could not start
MOST_QUICK_DEATHS: Final = 5
# A thread that comes back from waiting for state gets its turn that soon, not after Python's 5 ms.
SWITCH_SECONDS: Final = 0.0005
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

log = logging.getLogger("evmcore.service")


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


def run(listener: socket.socket, make_app: Callable[[], Any], workers: int = 1) -> int:
    """Serves until SIGINT or SIGTERM, then lets running requests end; gives the exit code.

    ``make_app`` makes the ASGI application, in each worker process anew: what it opens is the worker's own, what it
    holds already is shared memory. A worker that dies is started again, unless it dies at once again and again.
    """
    if workers == 1:
        return _serve(listener, make_app)
    return _Supervisor(listener, make_app, workers).run()


def _serve(listener: socket.socket, make_app: Callable[[], Any]) -> int:
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
    )
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()  # the collector need not look again and again at what stays for ever
    server = uvicorn.Server(config)

    def stop(*ignored: Any) -> None:
        server.should_exit = True

    for number in STOP_SIGNALS:  # before uvicorn has handlers of its own, and when it raises again what has ended it
        signal.signal(number, stop)
    server.run(sockets=[listener])
    return 0 if server.started else 1


class _Supervisor:
    """Starts worker processes, starts them again when they die, and ends them."""

    def __init__(self, listener: socket.socket, make_app: Callable[[], Any], workers: int) -> None:
        self._listener = listener
        self._make_app = make_app
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
        # A signal to stop must not reach the child while it has the parent's handlers, nor the parent before it knows
        # of the child.
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
            code = _serve(self._listener, self._make_app)
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
    """Ends this process when its parent has gone without saying so: nobody else would."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _forget_metrics(pid: int) -> None:
    """Takes a dead worker's gauges out of the metrics; what it counted stays."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid)  # type: ignore[no-untyped-call]
