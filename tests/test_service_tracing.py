"""The debug_trace methods: what tracers answer for the transactions of a real chain, and for calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from evmcore.rlp import encode
from evmcore.service.archive import ArchivedBlock
from tests.assembly import assemble
from tests.service_client import Service
from tests.service_client import service as service

CALLER, TARGET, OTHER = "0x" + "0a" * 20, "0x" + "0b" * 20, "0x" + "0c" * 20
RICH = {CALLER: {"balance": "0xde0b6b3a7640000"}}


def hexed(value: bytes) -> str:
    return "0x" + value.hex()


def blocks(service: Service) -> Iterator[ArchivedBlock]:
    archive = service.dispatcher.service.source.archive
    assert archive is not None
    for number in range(1, archive.head.header.number + 1):
        block = archive.block(number)
        assert block is not None
        yield block


def traced(service: Service, block: ArchivedBlock, tracer: str, **settings: Any) -> list[Any]:
    options = {"tracer": tracer, "tracerConfig": settings}
    entries = service.result("debug_traceBlockByHash", hexed(block.hash), options)
    assert [entry["txHash"] for entry in entries] == [hexed(tx.hash) for tx in block.transactions]
    return [entry["result"] for entry in entries]


def trace_call(service: Service, code: str, tracer: str | None, call: Any = None, **options: Any) -> Any:
    """The trace of a call of `TARGET` with that code."""
    overrides = {**RICH, TARGET: {"code": hexed(assemble(code))}, **options.pop("accounts", {})}
    options = {"stateOverrides": overrides, **options}
    if tracer is not None:
        options["tracer"] = tracer
    return service.result("debug_traceCall", {"from": CALLER, "to": TARGET, **(call or {})}, "latest", options)


# ---- a whole chain


def logs_in_order(frame: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The logs of a frame and of its calls, in the order in which they were written."""
    calls = frame.get("calls", [])
    logs: dict[int, list[dict[str, Any]]] = {}
    for log in frame.get("logs", []):
        logs.setdefault(int(log["position"], 16), []).append(log)
    for place in range(len(calls) + 1):
        yield from logs.get(place, [])
        if place < len(calls):
            yield from logs_in_order(calls[place])


def test_call_traces_agree_with_the_receipts(service: Service) -> None:
    seen = 0
    for block in blocks(service):
        for frame, tx, receipt in zip(
            traced(service, block, "callTracer", withLog=True), block.transactions, block.receipts, strict=True
        ):
            assert frame["gasUsed"] == hex(receipt.gas_used)
            assert frame["gas"] == hex(tx.gas_limit)
            assert frame["value"] == hex(tx.value)
            if receipt.status is not None:
                assert ("error" not in frame) == bool(receipt.status)
            expected = [
                (hexed(log.address), [hexed(topic) for topic in log.topics], hexed(log.data)) for log in receipt.logs
            ]
            assert [(log["address"], log["topics"], log["data"]) for log in logs_in_order(frame)] == expected
            if tx.to is None and "error" not in frame:
                assert (frame["type"], frame["to"]) == ("CREATE", hexed(receipt.contract_address or b""))
            seen += 1
    assert seen == 249


def test_prestates_are_those_before_each_transaction(service: Service) -> None:
    for block in blocks(service):
        results = traced(service, block, "prestateTracer", diffMode=True)
        for place, (tx, sender, result) in enumerate(zip(block.transactions, block.senders, results, strict=True)):
            before, after = result["pre"][hexed(sender)], result["post"][hexed(sender)]
            assert before.get("nonce", 0) == tx.nonce
            assert after["nonce"] >= tx.nonce + 1  # more when it authorizes by EIP-7702
            cost = block.receipts[place].gas_used * block.receipts[place].effective_gas_price + tx.value
            if tx.type < 3 and hexed(block.header.coinbase) != hexed(sender) and not block.receipts[place].logs:
                assert int(before["balance"], 16) - int(after["balance"], 16) <= cost


def test_a_block_of_prestates_leads_from_its_parent_to_it(service: Service) -> None:
    """What the transactions changed, one after the other, is the state after the block (but for withdrawals, rewards
    and system calls)."""
    source = service.dispatcher.service.source
    for block in blocks(service):
        known: dict[str, dict[str, Any]] = {}
        for result in traced(service, block, "prestateTracer", diffMode=True):
            for address, fields in result["pre"].items():
                for name, value in known.get(address, {}).items():
                    if name != "storage":
                        assert fields.get(name, 0 if name == "nonce" else "0x0" if name == "balance" else "0x") == value
                storage = known.setdefault(address, {}).setdefault("storage", {})
                for slot, value in fields.get("storage", {}).items():
                    assert storage.get(slot, value) == value
            for address, fields in result["post"].items():
                account = known.setdefault(address, {})
                account.update({name: value for name, value in fields.items() if name != "storage"})
                account.setdefault("storage", {}).update(fields.get("storage", {}))
        credited = {hexed(w.address) for w in block.block.withdrawals or ()} | {hexed(block.header.coinbase)}
        for address, fields in known.items():
            if address in credited:
                continue
            at = {"blockHash": hexed(block.hash)}
            if "balance" in fields:
                assert service.result("eth_getBalance", address, at) == fields["balance"]
            if "nonce" in fields:
                assert service.result("eth_getTransactionCount", address, at) == hex(fields["nonce"])
            if "code" in fields:
                assert service.result("eth_getCode", address, at) == fields["code"]
        assert source.archive is not None


def test_one_transaction_is_traced_as_it_is_in_its_block(service: Service) -> None:
    block = max(blocks(service), key=lambda block: len(block.transactions))
    for options in ({}, {"tracer": "callTracer"}, {"tracer": "prestateTracer"}):
        together = service.result("debug_traceBlockByNumber", hex(block.header.number), options)
        for index in (0, 1, len(block.transactions) - 1):
            alone = service.result("debug_traceTransaction", hexed(block.transactions[index].hash), options)
            assert alone == together[index]["result"]


def test_a_block_can_be_given_as_rlp(service: Service) -> None:
    block = next(block for block in blocks(service) if block.header.number == 54)
    by_number = service.result("debug_traceBlockByNumber", "0x36", {"tracer": "callTracer"})
    assert service.result("debug_traceBlock", hexed(block.block.encode()), {"tracer": "callTracer"}) == by_number
    assert service.error("debug_traceBlock", hexed(encode([]))).code == -32602


# ---- tracers


def test_a_call_tree_has_geths_shape(service: Service) -> None:
    inner = hexed(assemble("1 0 MSTORE 32 0 RETURN"))
    frame = trace_call(
        service,
        f"0 0 0 0 5 {OTHER} 50000 CALL 0 0 REVERT",
        "callTracer",
        {"gas": "0x186a0", "value": "0x7"},
        accounts={OTHER: {"code": inner}},
    )
    call = frame["calls"][0]
    assert frame == {
        "type": "CALL", "from": CALLER, "to": TARGET, "gas": "0x186a0", "gasUsed": frame["gasUsed"], "input": "0x",
        "value": "0x7", "error": "execution reverted",
        "calls": [{
            "type": "CALL", "from": TARGET, "to": OTHER, "gas": hex(50_000 + 2300), "gasUsed": call["gasUsed"],
            "input": "0x", "value": "0x5", "output": "0x" + "00" * 31 + "01",
        }],
    }  # fmt: skip
    assert "calls" not in trace_call(
        service, f"0 0 0 0 5 {OTHER} 50000 CALL", "callTracer", tracerConfig={"onlyTopCall": True}
    )


def test_prestate_options(service: Service) -> None:
    code = f"7 1 SSTORE 3 SLOAD {OTHER} BALANCE"
    plain = trace_call(service, code, "prestateTracer")
    slots = {f"0x{slot:064x}": "0x" + "00" * 32 for slot in (1, 3)}
    assert plain[TARGET] == {"balance": "0x0", "code": hexed(assemble(code)), "storage": slots}
    assert plain[CALLER]["balance"] == RICH[CALLER]["balance"]
    assert OTHER not in plain
    bare = trace_call(
        service,
        code,
        "prestateTracer",
        tracerConfig={"disableCode": True, "disableStorage": True, "includeEmpty": True},
    )
    assert (bare[TARGET], bare[OTHER]) == ({"balance": "0x0"}, {"balance": "0x0"})


def test_struct_logs_can_be_cut(service: Service) -> None:
    full = trace_call(service, "1 2 ADD POP STOP", None)
    assert [entry["op"] for entry in full["structLogs"]] == ["PUSH1", "PUSH1", "ADD", "POP", "STOP"]
    cut = trace_call(service, "1 2 ADD POP STOP", None, limit=2, disableStack=True)
    assert [sorted(entry) for entry in cut["structLogs"]] == [["depth", "gas", "gasCost", "op", "pc"]] * 2
    assert cut["gas"] == full["gas"]


def test_selectors_are_counted(service: Service) -> None:
    code = f"0x11223344 224 SHL 0 MSTORE 0 0 36 0 0 {OTHER} GAS CALL 0 0 4 0 0 {OTHER} GAS CALL 0 0 4 0 0 4 GAS CALL"
    counts = trace_call(service, code, "4byteTracer", {"input": "0xaabbccdd01"})
    assert counts == {"0xaabbccdd-1": 1, "0x11223344-32": 1, "0x11223344-0": 1}


def test_nothing_is_traced_by_the_noop_tracer(service: Service) -> None:
    assert trace_call(service, "1 2 ADD", "noopTracer") == {}


def test_several_tracers_answer_as_each_alone(service: Service) -> None:
    block = next(block for block in blocks(service) if len(block.transactions) > 3)
    settings = {"callTracer": {"withLog": True}, "prestateTracer": {"diffMode": True}, "4byteTracer": None}
    together = traced(service, block, "muxTracer", **settings)
    for name, inner in settings.items():
        assert [entry[name] for entry in together] == traced(service, block, name, **(inner or {}))
    assert service.error("debug_traceBlockByNumber", "0x1", {"tracer": "muxTracer", "tracerConfig": {"no": {}}})


def test_flat_calls_have_paritys_shape(service: Service) -> None:
    code = f"0 0 4 0 0 4 GAS CALL 0 0 0 0 3 {OTHER} 10000 CALL {CALLER} SELFDESTRUCT"
    flat = trace_call(
        service, code, "flatCallTracer", {"gas": "0x186a0"}, accounts={OTHER: {"code": hexed(assemble("INVALID"))},
        TARGET: {"code": hexed(assemble(code)), "balance": "0x9"}},
    )  # fmt: skip
    top, failed, died = flat
    assert (top["traceAddress"], top["subtraces"], top["type"]) == ([], 2, "call")
    assert top["action"]["callType"] == "call" and top["result"]["output"] == "0x"
    assert (failed["traceAddress"], failed["error"], "result" in failed) == ([0], "invalid opcode", False)
    assert (died["type"], died["traceAddress"]) == ("suicide", [1])
    assert died["action"] == {"address": TARGET, "refundAddress": CALLER, "balance": "0x9"}
    whole = trace_call(service, code, "flatCallTracer", tracerConfig={"includePrecompiles": True})
    assert len(whole) == 4
    block = next(block for block in blocks(service) if block.transactions)
    first = traced(service, block, "flatCallTracer")[0][0]
    assert (first["blockNumber"], first["transactionPosition"]) == (block.header.number, 0)
    assert first["blockHash"] == hexed(block.hash)


def test_blocks_and_precompiles_can_be_overridden(service: Service) -> None:
    frame = trace_call(
        service, "NUMBER 0 MSTORE 32 0 RETURN", "callTracer", blockOverrides={"number": "0x77"}
    )  # fmt: skip
    assert int(frame["output"], 16) == 0x77
    identity = f"0x{4:040x}"
    moved = {"stateOverrides": {identity: {"movePrecompileToAddress": OTHER}}, "tracer": "callTracer"}
    assert service.result("debug_traceCall", {"to": OTHER, "input": "0x1234"}, "latest", moved)["output"] == "0x1234"
    assert "output" not in service.result("debug_traceCall", {"to": identity, "input": "0x1234"}, "latest", moved)


def test_a_call_can_be_traced_between_transactions(service: Service) -> None:
    block = next(block for block in blocks(service) if len(set(block.senders)) < len(block.senders))
    sender = next(sender for sender in block.senders if block.senders.count(sender) > 1)
    at = {"blockHash": hexed(block.hash)}
    nonces = []
    for index in [place for place, other in enumerate(block.senders) if other == sender]:
        options = {"tracer": "prestateTracer", "txIndex": hex(index)}
        state = service.result("debug_traceCall", {"from": hexed(sender), "to": hexed(sender)}, at, options)
        nonces.append(state[hexed(sender)].get("nonce", 0))
    first = next(tx.nonce for tx, other in zip(block.transactions, block.senders, strict=True) if other == sender)
    assert nonces == list(range(first, first + len(nonces)))
    options = {"tracer": "callTracer", "txIndex": hex(len(block.transactions))}
    assert "out of range" in service.error("debug_traceCall", {"to": TARGET}, at, options).message


# ---- limits and errors


def test_what_cannot_be_traced(service: Service) -> None:
    unknown = "0x" + "77" * 32
    for method, value, message in (
        ("debug_traceTransaction", unknown, "transaction not found"),
        ("debug_traceBlockByHash", unknown, "not found"),
        ("debug_traceBlockByNumber", "0x777", "not found"),
        ("debug_traceBlockByNumber", "earliest", "genesis is not traceable"),
    ):
        error = service.error(method, value)
        assert (error.code, message in error.message) == (-32000, True), error
    assert service.error("debug_traceBlockByNumber", "0x1", {"tracer": "nice"}).code == -32000
    assert service.error("debug_traceBlockByNumber", "0x1", {"timeout": "soon"}).code == -32602
    assert service.error("debug_traceBlockByNumber", "0x1", {"overrides": {}}).code == -32602
    assert service.error("debug_traceTransaction", "0x12").code == -32602


@pytest.mark.parametrize("tracer", [None, "callTracer"])
def test_a_trace_has_a_size_limit(service: Service, tracer: str | None) -> None:
    small = Service(service.dispatcher.service.source, response_size=100_000)
    code = f"again: 0 0 1000 0 0 {OTHER} GAS CALL POP @again JUMP"
    options = {"stateOverrides": {TARGET: {"code": hexed(assemble(code))}}}
    if tracer:
        options["tracer"] = tracer  # type: ignore[assignment]
    error = small.error("debug_traceCall", {"to": TARGET}, "latest", options)
    assert error.code == -32000 and "larger than 100000 bytes" in error.message


def test_a_trace_has_a_deadline(service: Service) -> None:
    options = {"tracer": "noopTracer", "timeout": "50ms"}
    options["stateOverrides"] = {TARGET: {"code": hexed(assemble("again: @again JUMP"))}}  # type: ignore[assignment]
    assert service.error("debug_traceCall", {"to": TARGET}, "latest", options).message == "execution timeout"
