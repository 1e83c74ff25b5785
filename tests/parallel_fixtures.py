"""Blockchain fixtures with every block executed sequentially and in parallel, in two worker processes.

`EVMCORE_PARALLEL_FIXTURES=all` runs every file instead of the fixed spread (see `tests.fixture_archives`).
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import evmcore.chain
from evmcore._block import execute
from evmcore._block_result import BlockResult
from evmcore.block_request import BlockRequest
from evmcore.cli.fixtures.options import Options
from evmcore.cli.fixtures.runner import run_source
from evmcore.cli.fixtures.source import Source, everything, read_sources
from evmcore.forks import ChainConfig
from evmcore.state import MemoryState
from tests.fixture_archives import SHOWN_FAILURES, WORKERS, in_spread
from tests.parallel_blocks import THREADS, check_equal, executors_for
from tests.shared_files import shared_path

EXECUTORS = executors_for(THREADS)
DELAYED = executors_for((3,))


class Comparison:
    """Stands in for `_block.execute` in an import: compares first, and then executes in parallel."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.differences: list[str] = []

    def execute(self, request: BlockRequest) -> BlockResult:
        block, state, chain = request.block, request.state, request.chain
        assert isinstance(state, MemoryState) and isinstance(chain, ChainConfig)
        before = state.copy()
        inputs: dict[str, Any] = {"fork": request.fork, "block_hashes": request.block_hashes}
        for executors, delays in ((EXECUTORS, 0), (DELAYED, 1 + self.counts["blocks"])):
            _, words = check_equal(block, state, chain, executors, before=before, delays=delays, **inputs)
            if words is not None:
                self.differences.append(f"block {block.header.number}: {words}")
        self.counts["blocks"] += 1
        self.counts["transactions"] += len(block.transactions)
        self.counts["reruns"] += DELAYED[3].counters["reruns"] if block.transactions else 0
        return execute(request, EXECUTORS[2])


def compare_source(source: Source) -> tuple[Counter[str], list[str]]:
    """Runs one fixture file. Returns what was run, and the differences and failures."""
    comparison = Comparison()
    with patch.object(evmcore.chain, "execute", comparison.execute):
        results = run_source("blockchain", Options(), source)
    comparison.counts["cases"] += len(results)
    failures = [f"{source.name}: {words}" for words in comparison.differences]
    failures += [f"{source.name}: {case.name}: {case.error}" for case in results if not case.passed]
    return comparison.counts, failures


def check_archive(archive: str, tell: Callable[[str], None]) -> None:
    """Runs an archive's files, or a spread of them; fails with the first differences."""
    path = shared_path("fixtures", f"{archive}.tar.xz")
    chosen = everything if os.environ.get("EVMCORE_PARALLEL_FIXTURES") == "all" else in_spread
    total: Counter[str] = Counter()
    failures: list[str] = []
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        for counts, failed in pool.imap_unordered(compare_source, read_sources([str(path)], chosen)):
            total += counts
            failures += failed
    tell(f"{archive}, in parallel: " + ", ".join(f"{count} {name}" for name, count in total.items()))
    assert not failures, f"{len(failures)} failures:\n" + "\n".join(failures[:SHOWN_FAILURES])
    assert total["blocks"], "no block was run"
