"""Long, deep and large programs run to their end on both dispatch builds without using the C stack for it.

Each program runs in a process of its own, in a thread with a stack of 256 KiB: an interpreter that called itself for a
jump, a call or an instruction would overrun that and die.
"""

import subprocess
import sys

import pytest

STACK = 256 * 1024
PRELUDE = f"""
import threading
from evmcore.engine import EVM
from evmcore.state import MemoryState
from evmcore.types import Account

TO = bytes(19) + b"\\xaa"

def run(code, gas, fork="osaka", data=b""):
    evm = EVM(MemoryState({{TO: Account(balance=10**18, code=code)}}), fork=fork, switch_dispatch=SWITCH)
    return evm.message(TO, data, gas=gas)

def in_small_stack(body):
    failures = []
    def guarded():
        try:
            body()
        except BaseException as error:
            failures.append(error)
    threading.stack_size({STACK})
    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
"""

LONG_LOOP = """
def body():
    # PUSH3 n; JUMPDEST; PUSH1 1; SWAP1; SUB; DUP1; PUSH1 4; JUMPI; STOP: seven instructions and 26 gas a turn
    turns = 2_000_000
    code = bytes.fromhex("62") + turns.to_bytes(3, "big") + bytes.fromhex("5b600190038060045700")
    result = run(code, 100_000_000)
    assert result.success, result
    assert result.gas_used == 3 + 26 * turns, result
in_small_stack(body)
"""

LONG_STRAIGHT = """
def body():
    # a loop over a body of 24,000 instructions without a jump
    turns = 500
    body = bytes.fromhex("5f50") * 12_000
    code = bytes.fromhex("62") + turns.to_bytes(3, "big") + b"\\x5b" + body + bytes.fromhex("600190038060045700")
    result = run(code, 100_000_000)
    assert result.success, result
    assert result.gas_used == 3 + turns * (26 + 12_000 * 4), result
in_small_stack(body)
"""

DEEP_CALLS = """
def body():
    # Each frame returns one more than its callee returned to it: the number of frames.
    for op, value in (("f1", "5f"), ("f2", "5f"), ("f4", ""), ("fa", "")):
        code = bytes.fromhex("60205f5f5f" + value + "305a" + op + "505f516001015f5260205ff3")
        result = run(code, 2**62)
        assert result.success, result
        assert int.from_bytes(result.output, "big") == 1025, (op, int.from_bytes(result.output, "big"))
in_small_stack(body)
"""

DEEP_CALLS_WITH_MEMORY = """
def body():
    # As above, and each frame holds 32 KiB of memory: its gas is kept at 0x7fe0 and on the stack, and both are compared
    # after the call.
    code = bytes.fromhex("5a80617fe052" + "60205f5f5f5f305af150" + "617fe05114601957fe5b" + "5f516001015f5260205ff3")
    assert code[0x19] == 0x5b
    result = run(code, 2**62)
    assert result.success, result
    assert int.from_bytes(result.output, "big") == 1025, int.from_bytes(result.output, "big")
in_small_stack(body)
"""

DEEP_CREATES = """
def body():
    # Init code that creates with a copy of itself until the depth limit, and returns nothing.
    # CODESIZE; PUSH0; PUSH0; CODECOPY; CODESIZE; PUSH0; PUSH0; CREATE; PUSH0; SSTORE
    code = bytes.fromhex("385f5f39385f5ff05f55")
    evm = EVM(MemoryState(), fork="osaka", switch_dispatch=SWITCH)
    result = evm.message(None, code, gas=2**62)
    assert result.success, result
in_small_stack(body)
"""

FULL_MEMORY = """
def body():
    gas = 1_000_000_000
    # The most words that PUSH4 offset; MSTORE8 can pay for: 3 * w + w * w // 512 + 9 <= gas
    words = 0
    step = 1 << 30
    while step:
        w = words + step
        if 3 * w + w * w // 512 + 9 <= gas:
            words = w
        step >>= 1
    for extra, fits in ((-1, True), (0, False)):
        code = bytes.fromhex("600163") + (32 * words + extra).to_bytes(4, "big") + bytes.fromhex("53")
        result = run(code, gas)
        assert result.success == fits, (extra, result)
        if fits:
            assert result.gas_used == 3 * words + words * words // 512 + 9
        else:
            assert result.error == "OUT_OF_GAS"
in_small_stack(body)
"""

HUGE_OFFSETS = """
def body():
    # Offsets and sizes beyond any gas halt; they do not allocate.
    for word in ("ff" * 32, "ff" * 8, "01" + "00" * 8, "7f" + "ff" * 7, "01" + "00" * 5, "80" + "00" * 31):
        push = f"{0x5f + len(word) // 2:02x}" + word
        codes = ["6001" + push + "52", push + "51", "6001" + push + "53", "5f" + push + "20", push + "5f20"]
        codes += [push + "5ff3", "5f" + push + "f3", push + "5f5f37", push + "5f5f39", push + "5f5f5e"]
        codes += ["60015f" + push + "5e", "6001" + push + "5f5e", push + "5fa0", push + "5ffd", push + "5f5ff0"]
        codes += ["5f5f" + push + "5f5f305af1", push + "5f5f5f5f305af1"]
        for code in codes:
            result = run(bytes.fromhex(code), 30_000_000)
            assert result.error in (None, "REVERT", "OUT_OF_GAS", "INIT_CODE_TOO_LARGE"), (code, result)
            if result.success:
                assert result.gas_used < 30_000_000
in_small_stack(body)
"""

MUCH_GAS = """
def body():
    # Memory of 2**32 words: the square of that does not fit into 64 bits. Any of them costs more than 2**54 gas.
    for offset in (2**37 - 1, 2**37, 2**38 + 2**36, 2**40 - 1):
        code = bytes.fromhex("600164") + offset.to_bytes(5, "big") + bytes.fromhex("53")
        for gas in (20_000_000_000, 2**40, 2**52):
            result = run(code, gas)
            assert result.error == "OUT_OF_GAS", (offset, gas, result)
    # Amounts whose 32-fold does not fit: KECCAK256 of 96 bytes, 30 gas and 6 a word, and 3 for the memory's words.
    for gas in (2**59, 2**59 + 7, 2**59 + 64, 2**60, 2**62, 2**63 - 1):
        result = run(bytes.fromhex("60605f20"), gas)
        assert result.success, (gas, result)
        assert result.gas_used == 3 + 2 + 30 + 6 * 3 + 3 * 3, (gas, result)
in_small_stack(body)
"""

PROGRAMS = {
    "long loop": LONG_LOOP,
    "long straight code": LONG_STRAIGHT,
    "deep calls": DEEP_CALLS,
    "deep calls with memory": DEEP_CALLS_WITH_MEMORY,
    "deep creates": DEEP_CREATES,
    "full memory": FULL_MEMORY,
    "huge offsets": HUGE_OFFSETS,
    "much gas": MUCH_GAS,
}


@pytest.mark.parametrize("switch", [False, True], ids=["tail", "switch"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_program_runs_in_a_small_c_stack(name: str, switch: bool) -> None:
    program = f"SWITCH = {switch}\n" + PRELUDE + PROGRAMS[name]
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, f"exit code {result.returncode} (negative: a signal)\n{result.stderr}"
