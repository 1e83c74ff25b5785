"""Runs the command line inside the tests' own process."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from evmcore.cli import main
from tests.fuzz.cases import make_case
from tests.fuzz.engine import answer


def run_command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command.

    It runs under Python's own recursion limit, as in a process of its own. py_ecc, which other tests import, raises the
    limit so far that Python's JSON parser runs out of C stack on deeply nested input.
    """
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    try:
        code = main(words)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.setrecursionlimit(limit)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def state_test(seed: int = 3, fork: str = "Prague") -> dict[str, Any]:
    """A state test with the right expectations for one random case that is not rejected."""
    while answer(make_case(seed, fork)).rejected:
        seed += 1
    case = make_case(seed, fork)
    found = answer(case)
    case["post"][fork][0] |= {"hash": found.state_root, "logs": found.logs_hash, "gasUsed": hex(found.gas_used)}
    return case


def write(path: Path, document: Any) -> str:
    """Writes text, or anything else as JSON; returns the path."""
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return str(path)


def assert_one_line(err: str) -> None:
    """One line that says something; a traceback has many."""
    assert err.count("\n") == 1, err
    assert "error: " in err
    assert "Traceback" not in err
