"""What the command prints: the line about the machine, tables, and a progress bar where somebody watches."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TextIO


def processor_name() -> str:
    """The processor's name as the system gives it, or the machine type where it gives none."""
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith(("model name", "Model")):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.stdout.strip():
            return done.stdout.strip()
    return platform.processor() or platform.machine() or "unknown processor"


def machine() -> dict[str, str | int]:
    """What a result has to say about where it was measured."""
    import evmcore
    from evmcore._interp import dispatch_build

    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    return {
        "cpu": processor_name(),
        "cores": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}"
        + (" free-threaded" if free_threaded else ""),
        "compiler": platform.python_compiler(),
        "evmcore": evmcore.__version__,
        "dispatch": dispatch_build(),
    }


def machine_line(facts: dict[str, str | int]) -> str:
    return (
        f"{facts['cpu']}, {facts['cores']} cores, {facts['system']}; {facts['python']} ({facts['compiler']}); "
        f"evmcore {facts['evmcore']}, {facts['dispatch']} dispatch"
    )


SPREAD = ("mean", "median", "least", "greatest")


def spread(ratios: Mapping[str, float]) -> list[str]:
    """The cells below `SPREAD` for ratios by name; which was the least and which the greatest is named."""
    least, greatest = min(ratios, key=ratios.__getitem__), max(ratios, key=ratios.__getitem__)
    return [
        f"{statistics.mean(ratios.values()):.2f}",
        f"{statistics.median(ratios.values()):.2f}",
        f"{ratios[least]:.2f} ({least})",
        f"{ratios[greatest]:.2f} ({greatest})",
    ]


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of text: the first to the left, the others to the right."""
    widths = [max(len(line[column]) for line in [headers, *rows]) for column in range(len(headers))]

    def render(cells: Sequence[str]) -> str:
        first, *others = (
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join([first, *others]).rstrip()

    return "\n".join([render(headers), "  ".join("-" * width for width in widths), *(render(row) for row in rows)])


def show_left_out(reasons: Iterable[str]) -> None:
    """Prints what was not measured, and why; each reason once."""
    for reason in dict.fromkeys(reasons):
        print(f"left out: {reason}")


def number(value: float) -> str:
    """Three significant digits or all whole ones, thousands apart: `0.123`, `12.3`, `12,345`."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 and abs(value) < 10 else f"{value:.3g}"


class Progress(Protocol):
    """Tells how far the run is; `label` names what is being measured."""

    def step(self, label: str) -> None: ...


class Silent:
    def step(self, label: str) -> None:
        """Nobody watches."""


class PlainBar:
    """A bar on one line of a terminal."""

    WIDTH = 30

    def __init__(self, total: int, stream: TextIO) -> None:
        self._total, self._stream, self._done = max(total, 1), stream, 0

    def step(self, label: str) -> None:
        self._done = min(self._done + 1, self._total)
        full = self.WIDTH * self._done // self._total
        bar = "#" * full + "." * (self.WIDTH - full)
        self._stream.write(f"\r[{bar}] {self._done}/{self._total} {label[:40]:<40}")
        self._stream.flush()

    def close(self) -> None:
        self._stream.write("\r" + " " * (self.WIDTH + 60) + "\r")
        self._stream.flush()


@contextmanager
def progress(total: int, stream: TextIO | None = None) -> Iterator[Progress]:
    """A progress bar on `stream` (stderr) if it is a terminal: rich's where rich is installed, else a plain one."""
    stream = sys.stderr if stream is None else stream
    if not stream.isatty():
        yield Silent()
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress
    except ImportError:
        bar = PlainBar(total, stream)
        try:
            yield bar
        finally:
            bar.close()
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with RichProgress(*columns, console=Console(file=stream), transient=True) as rich:
        task = rich.add_task("", total=total)

        class RichBar:
            def step(self, label: str) -> None:
                rich.update(task, advance=1, description=label)

        yield RichBar()
