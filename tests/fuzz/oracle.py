"""The executable specification in a process of its own, asked one case at a time."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")

ENVIRONMENT_VARIABLE = "EVMCORE_EELS_PYTHON"
DEFAULT_PYTHON = Path(__file__).parents[2] / "build" / "eels" / "bin" / "python"
SCRIPT = Path(__file__).with_name("eels_oracle.py")
AHEAD = 32  # cases asked before their answers are read, so that both sides work at once


def oracle_python() -> Path | None:
    """The interpreter of the environment that has the specification; None when there is none."""
    path = Path(os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_PYTHON)
    return path if path.exists() else None


@dataclass(frozen=True)
class Answer:
    """What one side says about a case."""

    state_root: str
    logs_hash: str
    gas_used: int
    rejected: str  # why the transaction is invalid; empty when it ran
    crash: str = ""  # the specification itself failed

    def agrees(self, other: Answer) -> bool:
        """Same outcome; the words for a rejection may differ."""
        if bool(self.rejected) != bool(other.rejected) or self.state_root != other.state_root:
            return False
        return bool(self.rejected) or (self.logs_hash == other.logs_hash and self.gas_used == other.gas_used)


class Oracle:
    """A running specification process; use as a context manager."""

    def __init__(self, python: Path) -> None:
        self.process = subprocess.Popen(
            [str(python), str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": ""},
        )

    def __enter__(self) -> Oracle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        if error is not None:
            self.process.kill()
        self.process.wait()

    def send(self, case: dict[str, Any]) -> None:
        """Asks about a case; `receive` gives the answers in the same order."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()

    def receive_raw(self) -> dict[str, Any]:
        """The next answer as it came."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the specification's process ended with exit code {self.process.wait()}")
        return dict(json.loads(line))

    def receive(self) -> Answer:
        """The next answer to a state test."""
        answer = self.receive_raw()
        if "crash" in answer:
            return Answer("", "", 0, "", answer["crash"])
        return Answer(answer["stateRoot"], answer["logsHash"], answer["gasUsed"], answer["rejected"])

    def ask(self, case: dict[str, Any]) -> Answer:
        """The answer to one case."""
        self.send(case)
        return self.receive()

    def ask_all(self, cases: Iterable[dict[str, Any]], receive: Callable[[], T]) -> Iterator[tuple[dict[str, Any], T]]:
        """Each case with its answer from `receive`; a few are asked ahead, so that both sides work at once."""
        # A thread of its own writes: neither side ever waits for the other with both pipes full.
        waiting: queue.Queue[dict[str, Any] | None] = queue.Queue(AHEAD)

        def feed() -> None:
            for case in cases:
                waiting.put(case)
                self.send(case)
            waiting.put(None)

        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        while (case := waiting.get()) is not None:
            yield case, receive()
        feeder.join()
