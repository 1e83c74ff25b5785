"""Tracers: EIP-3155 lines against the executable specification, and the shapes of geth's tracers."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from evmcore import EVM, Account, Fork, InputError, InvalidTransaction, MemoryState, State, Transaction
from evmcore.cli.fixtures.state_test import block_env
from evmcore.cli.fixtures.transaction_section import TransactionTemplate
from evmcore.state import AccountInfo
from evmcore.tracing import CallTracer, EIP3155Tracer, PrestateTracer, StructLogTracer
from tests.assembly import assemble, deploying, returning
from tests.fuzz.cases import make_case
from tests.fuzz.oracle import ENVIRONMENT_VARIABLE, oracle_python

CONTRACT = bytes(19) + b"\xaa"
OTHER = bytes(19) + b"\xbb"
SENDER = bytes(19) + b"\x55"
CASES = 20
REVERT = 0xFD


def hexed(address: bytes) -> str:
    return "0x" + address.hex()


def evm_with(code: bytes, other: bytes = b"", fork: str = "osaka", balance: int = 0) -> EVM:
    accounts = {
        CONTRACT: Account(code=code, balance=balance),
        OTHER: Account(code=other),
        SENDER: Account(balance=10**18),
    }
    return EVM(MemoryState(accounts), fork)


# ---- EIP-3155


def traceable(seed: int) -> dict[str, Any]:
    """A random state test in the form that the specification's statetest command takes."""
    case = make_case(seed)
    expected = {"hash": "0x" + "00" * 32, "logs": "0x" + "00" * 32, "indexes": {"data": 0, "gas": 0, "value": 0}}
    case["post"] = {fork: [expected] for fork in case["post"]}
    # The command knows only the hash of the block before.
    case["env"] |= {"currentNumber": "0x1", "previousHash": "0x" + "ab" * 32}
    return case


def specification_traces(python: Path, cases: dict[str, Any], folder: Path) -> list[list[dict[str, Any]]]:
    file = folder / "cases.json"
    file.write_text(json.dumps(cases))
    program = "import sys; from ethereum_spec_tools.evm_tools import main; sys.exit(main())"
    command = [str(python), "-c", program, "statetest", "--json", str(file)]
    lines = subprocess.run(command, capture_output=True, text=True, timeout=300).stderr.splitlines()
    traces: list[list[dict[str, Any]]] = [[]]
    for line in lines:
        if line.startswith("{"):
            entry = json.loads(line)
            if "stateRoot" in entry:
                traces.append([])
            else:
                traces[-1].append(entry)
    return traces[:-1]


def our_trace(case: dict[str, Any]) -> list[dict[str, Any]]:
    fork = Fork.from_name(next(iter(case["post"])))
    evm = EVM(MemoryState(case["pre"]), fork, block_env("env", case["env"], fork))
    transaction = TransactionTemplate.read("transaction", case["transaction"], 1).build(0, 0, 0)
    lines = io.StringIO()
    try:
        evm.transact(transaction, tracer=EIP3155Tracer(lines, memory=True, return_data=True))
    except InvalidTransaction:
        return []
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def comparable(entry: dict[str, Any], failed: bool, authorizations: bool) -> dict[str, Any]:
    """What must be equal. Names and error words differ; the cost of what failed is open; the specification counts
    refunds of authorizations apart from the others."""
    left_out = {"opName", "error"}
    if failed:
        left_out |= {"gasCost", "refund"}
    if authorizations:
        left_out |= {"refund"}
    shown = {name: value for name, value in entry.items() if name not in left_out}
    # The specification calls some reverts errors.
    shown["failed"] = "error" in entry and entry.get("op") != REVERT
    return shown


def test_lines_are_those_of_the_executable_specification(tmp_path: Path) -> None:
    python = oracle_python()
    if python is None:
        pytest.skip(f"the executable specification is not installed; {ENVIRONMENT_VARIABLE} names its interpreter")
    cases = {f"seed {seed}": traceable(seed) for seed in range(CASES)}
    theirs = specification_traces(python, cases, tmp_path)
    assert len(theirs) == len(cases)
    for (name, case), expected in zip(cases.items(), theirs, strict=True):
        authorizations = "authorizationList" in case["transaction"]
        got = our_trace(case)
        assert len(got) == len(expected), name
        for number, (ours, spec) in enumerate(zip(got, expected, strict=True)):
            how = ("error" in ours or "error" in spec, authorizations)
            assert comparable(ours, *how) == comparable(spec, *how), f"{name}, line {number}"
    assert sum(len(trace) for trace in theirs) > 20 * CASES


def test_lines_carry_what_is_asked_for() -> None:
    evm = evm_with(assemble("1 0 MSTORE"))

    def first_and_last(**options: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        stream = io.StringIO()
        evm.message(CONTRACT, tracer=EIP3155Tracer(stream, **options))
        lines = stream.getvalue().splitlines()
        return json.loads(lines[3]), json.loads(lines[-1])

    step, end = first_and_last()
    assert step == {
        "pc": 5, "op": 0, "gas": hex(30_000_000 - 12), "gasCost": "0x0", "memSize": 32, "stack": [], "depth": 1,
        "refund": 0, "opName": "STOP",
    }  # fmt: skip
    assert end == {"output": "", "gasUsed": "0xc"}
    assert "stack" not in first_and_last(stack=False)[0]
    assert first_and_last(memory=True)[0]["memory"] == "0x" + "00" * 31 + "01"
    assert first_and_last(return_data=True)[0]["returnData"] == "0x"


def test_lines_are_written_while_the_code_runs() -> None:
    class Stop(Exception):
        pass

    class Stream:
        count = 0

        def write(self, text: str) -> None:
            self.count += 1
            if self.count == 1000:
                raise Stop

    stream = Stream()
    evm = evm_with(assemble("again: @again JUMP"))
    with pytest.raises(Stop):
        evm.message(CONTRACT, gas=2**60, tracer=EIP3155Tracer(stream))
    assert stream.count == 1000
    assert evm.message(CONTRACT, gas=1000).error == "OUT_OF_GAS"


# ---- the call tree


def test_the_call_tree_has_geths_shape() -> None:
    call_other = f"32 0 2 0 3 0x{OTHER.hex()} 50000 CALL POP"
    evm = evm_with(assemble(f"0xbeef 0 MSTORE {call_other} 0 0 RETURN"), returning("CALLVALUE"), balance=10)
    tracer = CallTracer()
    result = evm.call(CONTRACT, b"\x01", sender=SENDER, value=5, gas=200_000, tracer=tracer)
    assert result.success
    assert tracer.result == {
        "type": "CALL",
        "from": hexed(SENDER),
        "to": hexed(CONTRACT),
        "value": "0x5",
        "gas": hex(200_000),
        "gasUsed": hex(result.gas_used),
        "input": "0x01",
        "calls": [
            {
                "type": "CALL",
                "from": hexed(CONTRACT),
                "to": hexed(OTHER),
                "value": "0x3",
                "gas": hex(50_000 + 2_300),
                # CALLVALUE, PUSH1, MSTORE with one word, PUSH1, PUSH1, RETURN
                "gasUsed": hex(2 + 3 + 6 + 3 + 3),
                "input": "0x0000",
                "output": "0x" + (3).to_bytes(32, "big").hex(),
            }
        ],
    }


@pytest.mark.parametrize(
    ("kind", "arguments", "sender", "has_value"),
    [
        ("CALL", "0 0 0 0 0", CONTRACT, True),
        ("CALLCODE", "0 0 0 0 0", CONTRACT, True),
        ("DELEGATECALL", "0 0 0 0", CONTRACT, True),
        ("STATICCALL", "0 0 0 0", CONTRACT, False),
    ],
)
def test_every_kind_of_call_is_shown(kind: str, arguments: str, sender: bytes, has_value: bool) -> None:
    tracer = CallTracer()
    evm_with(assemble(f"{arguments} 0x{OTHER.hex()} GAS {kind}"), b"\x00").call(CONTRACT, sender=SENDER, tracer=tracer)
    (call,) = tracer.result["calls"]
    assert (call["type"], call["from"], call["to"], "value" in call) == (kind, hexed(sender), hexed(OTHER), has_value)


def test_precompiles_are_shown_as_calls() -> None:
    tracer = CallTracer()
    evm_with(assemble("0 0 0 0 4 GAS STATICCALL")).call(CONTRACT, tracer=tracer)
    (call,) = tracer.result["calls"]
    assert (call["to"], call["gasUsed"]) == (hexed(bytes(19) + b"\x04"), "0xf")


def test_reverts_and_halts_are_shown_with_geths_words() -> None:
    reason = b"no".ljust(32, b"\x00")
    data = bytes.fromhex("08c379a0") + (32).to_bytes(32, "big") + (2).to_bytes(32, "big") + reason
    writes = " ".join(f"0x{data[i : i + 32].ljust(32, bytes(1)).hex()} {i} MSTORE" for i in range(0, len(data), 32))
    tracer = CallTracer()
    caller, callee = f"0 0 0 0 0x{OTHER.hex()} GAS STATICCALL INVALID", f"{writes} {len(data)} 0 REVERT"
    evm_with(assemble(caller), assemble(callee)).call(CONTRACT, tracer=tracer)
    (inner,) = tracer.result["calls"]
    assert inner["error"] == "execution reverted"
    assert inner["revertReason"] == "no"
    assert inner["output"] == "0x" + data.hex()
    assert tracer.result["error"].startswith("invalid opcode")
    assert "output" not in tracer.result


def test_creations_show_the_address_only_when_they_succeed() -> None:
    tracer = CallTracer()
    evm = evm_with(assemble("0 0 0 CREATE 0xfe 0 MSTORE8 7 1 0 0 CREATE2"))
    evm.call(CONTRACT, gas=500_000, tracer=tracer)
    good, bad = tracer.result["calls"]
    assert (good["type"], bad["type"]) == ("CREATE", "CREATE2")
    assert "to" in good and "error" not in good
    assert "to" not in bad and "error" in bad
    created = CallTracer()
    result = evm.call(None, deploying(b"\x01"), tracer=created)
    assert result.created_address is not None
    assert (created.result["type"], created.result["to"]) == ("CREATE", hexed(result.created_address))
    assert created.result["output"] == "0x01"


def test_selfdestruct_is_shown_with_the_balance_it_moves() -> None:
    tracer = CallTracer()
    destruct = assemble(f"0x{SENDER.hex()} SELFDESTRUCT")
    evm = evm_with(assemble(f"0 0 0 0 7 0x{OTHER.hex()} GAS CALL"), destruct, balance=9)
    evm.call(CONTRACT, tracer=tracer)
    (call,) = tracer.result["calls"]
    (end,) = call["calls"]
    assert end == {
        "type": "SELFDESTRUCT", "from": hexed(OTHER), "to": hexed(SENDER), "gas": "0x0", "gasUsed": "0x0",
        "input": "0x", "value": "0x7",
    }  # fmt: skip


def test_logs_are_shown_where_asked_for_and_not_of_what_failed() -> None:
    log_and_call = assemble(f"1 0 0 LOG1 0 0 0 0 0 0x{OTHER.hex()} GAS CALL POP 40 0 LOG0")
    tracer = CallTracer(with_logs=True)
    evm_with(log_and_call, assemble("0 0 LOG0 0 0 REVERT")).call(CONTRACT, tracer=tracer)
    first, second = tracer.result["logs"]
    assert (first["address"], first["data"], first["position"]) == (hexed(CONTRACT), "0x", "0x0")
    assert first["topics"] == ["0x" + (1).to_bytes(32, "big").hex()]
    assert (second["data"], second["position"]) == ("0x" + "00" * 40, "0x1")
    assert "logs" not in tracer.result["calls"][0]
    plain = CallTracer()
    evm_with(log_and_call).call(CONTRACT, tracer=plain)
    assert "logs" not in plain.result


def test_the_top_call_alone_can_be_asked_for() -> None:
    tracer = CallTracer(only_top_call=True)
    evm_with(assemble(f"0 0 0 0 0x{OTHER.hex()} GAS STATICCALL"), b"\x00").call(CONTRACT, tracer=tracer)
    assert "calls" not in tracer.result


# ---- struct logs and prestate


def test_struct_logs_have_geths_shape() -> None:
    tracer = StructLogTracer(memory=True)
    result = evm_with(assemble("7 1 SSTORE 1 SLOAD 0 MSTORE 32 0 RETURN")).call(CONTRACT, tracer=tracer)
    shown = tracer.result
    assert (shown["gas"], shown["failed"], shown["returnValue"]) == (result.gas_used, False, hexed(result.output))
    steps = shown["structLogs"]
    names = "PUSH1 PUSH1 SSTORE PUSH1 SLOAD PUSH1 MSTORE PUSH1 PUSH1 RETURN"
    assert [step["op"] for step in steps] == names.split()
    slot = {hexed((1).to_bytes(32, "big")): hexed((7).to_bytes(32, "big"))}
    assert steps[2]["storage"] == slot and steps[4]["storage"] == slot
    assert steps[2]["stack"] == ["0x7", "0x1"]
    assert steps[9]["memory"] == ["0x" + (7).to_bytes(32, "big").hex()]


def test_prestate_shows_what_was_there_before() -> None:
    evm = evm_with(assemble("0 SLOAD 1 ADD 1 SSTORE"))
    evm.state.set_storage(CONTRACT, 0, 5)
    tracer = PrestateTracer()
    evm.transact(Transaction(sender=SENDER, to=CONTRACT, gas_limit=100_000, value=3), tracer=tracer)
    zero, one = ("0x" + i.to_bytes(32, "big").hex() for i in (0, 1))
    assert tracer.result[hexed(SENDER)] == {"balance": hex(10**18)}
    assert tracer.result[hexed(CONTRACT)] == {
        "balance": "0x0",
        "code": hexed(evm.state.code(CONTRACT)),
        "storage": {zero: "0x" + (5).to_bytes(32, "big").hex(), one: "0x" + bytes(32).hex()},
    }


def test_the_diff_mode_shows_what_changed() -> None:
    evm = evm_with(assemble("0 SLOAD 1 ADD 1 SSTORE"))
    evm.state.set_storage(CONTRACT, 0, 5)
    tracer = PrestateTracer(diff_mode=True)
    evm.transact(Transaction(sender=SENDER, to=CONTRACT, gas_limit=100_000, value=3), tracer=tracer)
    one, six = ("0x" + i.to_bytes(32, "big").hex() for i in (1, 6))
    assert tracer.result["post"] == {
        hexed(SENDER): {"balance": hex(10**18 - 3), "nonce": 1},
        hexed(CONTRACT): {"balance": "0x3", "storage": {one: six}},
    }
    assert tracer.result["pre"] == {
        hexed(SENDER): {"balance": hex(10**18)},
        hexed(CONTRACT): {"balance": "0x0", "code": hexed(evm.state.code(CONTRACT))},
    }


# ---- all of them


@pytest.mark.parametrize("diff_mode", [False, True])
def test_a_state_is_not_asked_for_the_code_of_accounts_without_code(diff_mode: bool) -> None:
    class Purses(State):
        """Accounts that have a balance, and no code."""

        def account(self, address: bytes) -> AccountInfo:
            return AccountInfo(balance=address[0])

        def code(self, address: bytes, code_hash: bytes) -> bytes:
            raise KeyError(code_hash.hex())

    tracer, payer, payee = PrestateTracer(diff_mode=diff_mode), b"\x05" * 20, b"\x07" * 20
    assert EVM(Purses()).call(payee, sender=payer, value=2, tracer=tracer).success
    assert tracer.result is not None
    shown = tracer.result["pre"] if diff_mode else tracer.result
    assert [shown[hexed(account)] for account in (payer, payee)] == [{"balance": "0x5"}, {"balance": "0x7"}]


@pytest.mark.parametrize("make", [CallTracer, StructLogTracer, PrestateTracer, lambda: EIP3155Tracer(io.StringIO())])
def test_a_traced_run_gives_what_an_untraced_one_gives(make: Any) -> None:
    evm = evm_with(
        assemble(f"1 0 SSTORE 32 0 0 0 0 0x{OTHER.hex()} GAS CALL POP 32 0 LOG0 32 0 RETURN"),
        assemble("42 0 MSTORE 32 0 REVERT"),
    )
    plain = evm.call(CONTRACT)
    traced = evm.call(CONTRACT, tracer=make())
    for field in ("status", "output", "gas_used", "gas_refund", "logs"):
        assert getattr(traced, field) == getattr(plain, field)
    one = make()
    evm.call(CONTRACT, tracer=one)
    first = getattr(one, "result", None)
    evm.call(CONTRACT, tracer=one)
    assert getattr(one, "result", None) == first


def test_a_tracer_observes_one_run_at_a_time() -> None:
    evm = evm_with(b"\x00")

    class Nosy:
        def write(self, text: str) -> None:
            evm.call(CONTRACT, tracer=tracer)

    tracer = EIP3155Tracer(Nosy())
    with pytest.raises(InputError, match="in use"):
        evm.call(CONTRACT, tracer=tracer)


def test_calls_that_do_not_start_are_shown() -> None:
    tracer = CallTracer()
    poor = assemble(f"0 0 0 0 99 0x{OTHER.hex()} 1000 CALL 0 0 99 CREATE 0 0 0 98 CREATE2")
    result = evm_with(poor).call(CONTRACT, gas=500_000, tracer=tracer)
    assert result.success
    call, create, create2 = tracer.result["calls"]
    assert {one["error"] for one in (call, create, create2)} == {"insufficient balance for transfer"}
    assert (call["to"], call["value"], call["gasUsed"]) == (hexed(OTHER), "0x63", "0x0")
    assert (create["type"], create2["type"]) == ("CREATE", "CREATE2")
    assert "to" not in create and "to" not in create2
    # a contract that calls itself until the depth is used up
    deep = CallTracer()
    evm_with(assemble("0 0 0 0 ADDRESS GAS STATICCALL")).message(CONTRACT, gas=10**15, tracer=deep)
    depth, call = 0, deep.result
    while "calls" in call:
        (call,) = call["calls"]
        depth += 1
    assert depth == 1025 and call["error"] == "max call depth exceeded"
