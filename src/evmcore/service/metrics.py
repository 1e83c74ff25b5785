"""Counters and timers for Prometheus, of one process or of all worker processes together."""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from evmcore.errors import StateError
from evmcore.service.rpc_errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    REVERTED,
)
from evmcore.service.source import Source, SourceStatus

__all__ = ["Metrics"]

# Where worker processes share their figures: read by prometheus-client when it is imported.
SHARED_DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"

SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

_OUTCOMES: Final = {
    0: "ok",
    REVERTED: "reverted",
    INVALID_PARAMS: "invalid_params",
    INVALID_REQUEST: "invalid_request",
    METHOD_NOT_FOUND: "no_such_method",
    PARSE_ERROR: "parse_error",
    INTERNAL_ERROR: "internal_error",
}


class _Times(Histogram):
    """A histogram that takes many observations at once."""

    def add(self, counts: list[int], total: float) -> None:
        """`counts`: for each bound, and above all bounds, the observations in the range that ends at the bound."""
        self._sum.inc(total)
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)


class _Tally:
    """The answers of one method since they were last passed on."""

    __slots__ = ("gas", "outcomes", "seconds", "times")

    def __init__(self) -> None:
        self.outcomes: dict[int, int] = {}
        self.times = [0] * (len(SECONDS) + 1)
        self.seconds = 0.0
        self.gas = 0


class Metrics:
    """The metrics of /metrics. An `Observer` of the dispatcher; `update` records the status of the source.

    Answers are counted here and passed to prometheus-client only by `update` and `text`, because updating one of its
    metrics costs as much as a short call. Call `update` every second or so: figures that a worker process has not
    passed on are missing from the text of another worker.

    With several worker processes (prometheus-client recognises them by the environment variable
    PROMETHEUS_MULTIPROC_DIR) the text covers all of them: counters are added up; of head numbers and readiness the
    lowest is shown, of ages the highest.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        shared: Any = {"registry": self.registry}
        self._requests = Counter("evmcore_requests", "Requests by method and outcome", ["method", "outcome"], **shared)
        self._seconds = _Times(
            "evmcore_request_seconds", "Time to answer a request", ["method"], buckets=SECONDS, **shared
        )
        self._gas = Counter("evmcore_gas", "Gas that calls used", ["method"], **shared)
        self._refused = Counter(
            "evmcore_refused", "HTTP requests refused before they were looked at", ["why"], **shared
        )
        self._waiting = self._gauge("waiting_requests", "Requests in, or waiting for, a thread", "livesum")
        self._head = self._gauge("head_number", "Number of the latest block that is served", "livemin")
        self._age = self._gauge("head_age_seconds", "Time since the head was learnt of", "livemax")
        self._lag = self._gauge("feed_lag", "Entries of the feed that are known and not applied", "livemax")
        self._ready = self._gauge("ready", "1 when calls at the latest block are answered", "livemin")
        self._reachable = self._gauge("backend_reachable", "1 when the state's backend answers", "livemin")
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._last: dict[str, int] = {}
        self._lock = threading.Lock()
        self._tallies: dict[str, _Tally] = {}

    def _gauge(self, name: str, text: str, mode: Any) -> Gauge:
        return Gauge(f"evmcore_{name}", text, registry=self.registry, multiprocess_mode=mode)

    # ---- recording

    def answered(self, method: str, code: int, seconds: float, gas: int) -> None:
        """A request has been answered; `code` is zero or that of the error."""
        with self._lock:
            tally = self._tallies.get(method)
            if tally is None:
                tally = self._tallies[method] = _Tally()
            tally.outcomes[code] = tally.outcomes.get(code, 0) + 1
            tally.times[bisect_left(SECONDS, seconds)] += 1
            tally.seconds += seconds
            tally.gas += gas

    def _hand_over(self) -> None:
        """Passes the recorded answers to prometheus-client."""
        with self._lock:
            tallies, self._tallies = self._tallies, {}
        for method, tally in tallies.items():
            for code, count in tally.outcomes.items():
                self._requests.labels(method, _OUTCOMES.get(code, "error")).inc(count)
            self._seconds.labels(method).add(tally.times, tally.seconds)
            if tally.gas:
                self._gas.labels(method).inc(tally.gas)

    def refused(self, why: str) -> None:
        """An HTTP request was refused: too large, or too many requests are waiting."""
        self._refused.labels(why).inc()

    def waiting(self, count: int) -> None:
        """`count` requests are in a thread, or wait for one."""
        self._waiting.set(count)

    def update(self, source: Source) -> None:
        """Records the status of the source, and passes on the recorded answers."""
        self._hand_over()
        status = source.status()
        try:
            self._head.set(source.head().number)
        except StateError:
            status = SourceStatus(False, "no head", status.head_age, status.feed_lag, False)
        self._age.set(status.head_age or 0)
        self._lag.set(status.feed_lag)
        self._ready.set(status.ready)
        self._reachable.set(status.backend_reachable)
        self._count(status.counters)
        for name, value in status.gauges.items():
            if name not in self._gauges:
                self._gauges[name] = self._gauge(f"source_{name}", f"The source's {name.replace('_', ' ')}", "livesum")
            self._gauges[name].set(value)

    def _count(self, counters: Mapping[str, int]) -> None:
        for name, value in counters.items():
            if name not in self._counters:
                text = f"The source's {name.replace('_', ' ')}"
                self._counters[name] = Counter(f"evmcore_source_{name}", text, registry=self.registry)
            grown = value - self._last.get(name, 0)
            if grown > 0:
                self._counters[name].inc(grown)
            self._last[name] = value

    # ---- output

    def text(self) -> tuple[bytes, str]:
        """The text of /metrics and its content type."""
        self._hand_over()
        if not os.environ.get(SHARED_DIRECTORY):
            return generate_latest(self.registry), CONTENT_TYPE_LATEST
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_LATEST
