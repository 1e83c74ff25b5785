"""What is said when the tables of a run cannot grow: in a process whose C library gives no memory for large ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.native_drivers import DRIVERS, ROOT

COMPILER = shutil.which("gcc") or shutil.which("cc")

pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="no C compiler (gcc, cc)"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="replaces a function of the GNU C library"),
]

PRELUDE = """
import ctypes
from dataclasses import replace
from evmcore import EVM, Account, Block, MemoryState, ResourceError
from evmcore.execution import execute_block
from tests.assembly import assemble
from tests.cancun_block import BLOCK, CANCUN

def fails(work, cells=8192):
    EVM({}).call(bytes(20))                         # so that there is a machine,
    execute_block(BLOCK, MemoryState({}), CANCUN, validate=False)
    ctypes.CDLL(None).let_calloc_fail(cells, 8)     # whose tables never get so many cells
    try:
        work()
    except ResourceError as error:
        print(error)
"""

ACCESS_LIST = """
state = MemoryState({})
fails(lambda: EVM(state).call(bytes(20), access_list=[(bytes(20), range(10000))], gas=10**9))
"""

ADDRESSES = """
state = MemoryState({})
names = [(number.to_bytes(20, "big"), ()) for number in range(10000)]
fails(lambda: EVM(state).call(bytes(20), access_list=names, gas=10**9))
"""

TRANSIENT = """
fill = assemble("10000 again: 1 SWAP1 SUB DUP1 DUP1 TSTORE DUP1 @again JUMPI")
state = MemoryState({bytes(20): Account(code=fill)})
fails(lambda: EVM(state).call(bytes(20), gas=10**9))
"""

SYSTEM_CALL = """
beacon_roots = bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02")
read = assemble("10000 again: 1 SWAP1 SUB DUP1 SLOAD POP DUP1 @again JUMPI")
state = MemoryState({beacon_roots: Account(code=read)})
fails(lambda: execute_block(BLOCK, state, CANCUN, validate=False))
"""

# The account that is one too many is the heir of the last instruction.
SYSTEM_CALL_AT_ITS_END = """
beacon_roots = bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02")

def work():
    for accounts in range(100, 130):
        read = assemble(f"{accounts} again: 1 SWAP1 SUB DUP1 1000 ADD BALANCE POP DUP1 @again JUMPI 5000 SELFDESTRUCT")
        execute_block(BLOCK, MemoryState({beacon_roots: Account(code=read)}), CANCUN, validate=False)

fails(work, cells=512)
"""


@pytest.fixture(scope="module")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("short") / "short_memory.so"
    command = [str(COMPILER), "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*command, str(DRIVERS / "short_memory.c"), "-o", str(library)], check=True)
    return library


@pytest.mark.parametrize("work", [ACCESS_LIST, ADDRESSES, TRANSIENT, SYSTEM_CALL, SYSTEM_CALL_AT_ITS_END])
def test_a_run_whose_tables_cannot_grow_ends_and_says_that_memory_ran_out(preloaded: Path, work: str) -> None:
    environment = {**os.environ, "LD_PRELOAD": str(preloaded)}
    command = [sys.executable, "-c", PRELUDE + work]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "memory ran out during execution; nothing was concluded\n"
