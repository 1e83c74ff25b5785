"""Compiled objects that were made by `__new__` alone: what they lack is an error, however they are used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
def test_no_use_of_an_object_without_init_ends_the_process() -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.bare_objects"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, ""), result.stdout + result.stderr
