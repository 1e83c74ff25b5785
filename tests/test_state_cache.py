"""The cache of a chain's state, asked by itself, without a server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

# Whatever makes an object may collect garbage, and that may run any code, during which another thread may run and wait
# for the lock. The code that is run here asks for the lock itself.
ASK_WHILE_COLLECTING = """
import gc
from evmcore.errors import StateCorrupted
from evmcore.state._cache import Cache

def ask(phase, info):
    asked.append(cache.figures()["slots"])

def fill(*fields):
    try:
        return cache.fill(1, bytes(20), b"", list(fields), "the key")
    except StateCorrupted as error:
        return str(error)

asked = []
cache = Cache(b"prefix", bytes(16), False, 1, b"header", bytes(32), ring=8, slack=8, limit=1 << 20)
gc.callbacks.append(ask)
gc.set_threshold(1)
done = [cache.figures()["slots"], fill(bytes(32), b"\\x01"), fill(bytes(31), b"\\x01"), fill(bytes(32), bytes(33))]
gc.callbacks.clear()
assert asked, "no garbage was collected"
print(done[0], done[1], done[2].partition(":")[0], done[3].partition(":")[0])
"""


def test_nothing_that_may_run_other_code_happens_while_the_cache_is_locked() -> None:
    command = [sys.executable, "-c", ASK_WHILE_COLLECTING]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "0 True the key the key\n"), ended.stderr
