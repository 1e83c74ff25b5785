"""eth_simulateV1 beyond the cases of the execution APIs: limits, order, what carries on, and which errors."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from evmcore import Account, MemoryState, State
from evmcore.service.simulation import SimulationLimits, simulate, simulation_request
from evmcore.service.state_source import StateSource
from tests.assembly import assemble, returning
from tests.service_client import Service
from tests.service_client import service as service

A, B, CODE = "0x" + "0a" * 20, "0x" + "0b" * 20, "0x" + "0c" * 20
HEAD = 54


def hexed(code: str) -> str:
    return "0x" + assemble(code).hex()


def blocks(service: Service, *entries: Any, at: str = "latest", **options: Any) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = service.result("eth_simulateV1", {"blockStateCalls": list(entries), **options}, at)
    return answer


def code_of(service: Service, *entries: Any, at: str = "latest", **options: Any) -> int:
    return service.error("eth_simulateV1", {"blockStateCalls": list(entries), **options}, at).code


def calls(*entries: Any, **fields: Any) -> dict[str, Any]:
    return {"calls": list(entries), **fields}


# ---- blocks


def test_gaps_are_filled_with_empty_blocks(service: Service) -> None:
    made = blocks(service, {"blockOverrides": {"number": hex(HEAD + 4)}})
    assert [int(block["number"], 16) for block in made] == [HEAD + 1, HEAD + 2, HEAD + 3, HEAD + 4]
    assert [block["parentHash"] for block in made[1:]] == [block["hash"] for block in made[:-1]]
    times = [int(block["timestamp"], 16) for block in made]
    assert [after - before for before, after in pairwise(times)] == [12, 12, 12]


def test_what_blocks_and_calls_do_carries_on(service: Service) -> None:
    counter = hexed("0 SLOAD 1 ADD 0 SSTORE 0 SLOAD 0 MSTORE 32 0 RETURN")
    one = {"to": CODE}
    made = blocks(service, calls(one, one, stateOverrides={CODE: {"code": counter}}), calls(one))
    seen = [int(call["returnData"], 16) for block in made for call in block["calls"]]
    assert seen == [1, 2, 3]
    assert made[0]["stateRoot"] != made[1]["stateRoot"]


def test_block_fields_and_hashes_are_what_code_sees(service: Service) -> None:
    shows = "0x" + returning("NUMBER", "TIMESTAMP", "COINBASE", "BASEFEE", "PREVRANDAO", f"{HEAD + 1} BLOCKHASH").hex()
    changes = {
        "number": hex(HEAD + 2), "time": "0x1000", "feeRecipient": B, "baseFeePerGas": "0x7",
        "prevRandao": "0x" + "22" * 32, "gasLimit": "0xf4240",
    }  # fmt: skip
    made = blocks(service, calls({"to": CODE}, stateOverrides={CODE: {"code": shows}}, blockOverrides=changes))
    output = bytes.fromhex(made[1]["calls"][0]["returnData"][2:])
    words = [int.from_bytes(output[place : place + 32], "big") for place in range(0, len(output), 32)]
    assert words == [HEAD + 2, 0x1000, int(B, 16), 7, int("22" * 32, 16), int(made[0]["hash"], 16)]
    assert made[1]["gasLimit"] == "0xf4240"


def test_withdrawals_are_paid_and_beacon_roots_stored(service: Service) -> None:
    withdrawal = {"index": "0x0", "validatorIndex": "0x1", "address": B, "amount": "0x3"}
    asks = hexed("TIMESTAMP 0 MSTORE 32 0 32 0 0 0x000f3df6d732807ef1319fb7b8bb8522d0beac02 GAS CALL 32 0 RETURN")
    made = blocks(
        service,
        calls(
            {"to": CODE},
            stateOverrides={CODE: {"code": asks}},
            blockOverrides={"beaconRoot": "0x" + "55" * 32, "withdrawals": [withdrawal]},
        ),
        calls({"to": CODE}, stateOverrides={CODE: {"code": "0x" + returning(f"{B} BALANCE").hex()}}),
    )
    assert made[0]["calls"][0]["returnData"] == made[0]["parentBeaconBlockRoot"] == "0x" + "55" * 32
    assert made[0]["withdrawals"] == [withdrawal]
    assert int(made[1]["calls"][0]["returnData"], 16) == 3 * 10**9


def test_the_base_fee_follows_from_the_parent_with_validation_alone(service: Service) -> None:
    assert int(blocks(service, {}, validation=True)[0]["baseFeePerGas"], 16) > 0
    assert blocks(service, {})[0]["baseFeePerGas"] == "0x0"


# ---- calls


def test_fees_are_paid_where_a_price_is_named(service: Service) -> None:
    rich = {A: {"balance": hex(10**18)}}
    shows = {CODE: {"code": "0x" + returning(f"{A} BALANCE", f"{B} BALANCE").hex()}}
    made = blocks(
        service,
        calls(
            {"from": A, "to": A, "gas": "0x5208", "maxFeePerGas": "0x64", "maxPriorityFeePerGas": "0x2"},
            {"to": CODE},
            stateOverrides={**rich, **shows},
            blockOverrides={"baseFeePerGas": "0xa", "feeRecipient": B},
        ),
    )
    output = made[0]["calls"][1]["returnData"]
    assert (int(output[2:66], 16), int(output[66:], 16)) == (10**18 - 21_000 * 12, 21_000 * 2)


def test_transfers_are_logged_as_asked(service: Service) -> None:
    forward = {CODE: {"code": hexed(f"0 0 0 0 CALLVALUE {B} GAS CALL")}, A: {"balance": "0x9"}}
    call = {"from": A, "to": CODE, "value": "0x5"}
    logs = blocks(service, calls(call, stateOverrides=forward), traceTransfers=True)[0]["calls"][0]["logs"]
    assert [(log["address"], log["topics"][1][26:], log["topics"][2][26:]) for log in logs] == [
        ("0x" + "ee" * 20, A[2:], CODE[2:]),
        ("0x" + "ee" * 20, CODE[2:], B[2:]),
    ]
    made = blocks(service, calls(call, stateOverrides=forward))[0]
    assert made["calls"][0]["logs"] == [] and int(made["logsBloom"], 16) == 0


def test_reverts_and_halts_are_told_in_the_call(service: Service) -> None:
    bad = {CODE: {"code": hexed("0 0 REVERT")}, B: {"code": "0xfe"}}
    first, second = blocks(service, calls({"to": CODE}, {"to": B, "gas": "0x7530"}, stateOverrides=bad))[0]["calls"]
    assert first["error"] == {"code": 3, "message": "execution reverted", "data": "0x"}
    assert (second["error"]["code"], second["gasUsed"], second["status"]) == (-32015, "0x7530", "0x0")


@pytest.mark.parametrize(
    ("code", "call", "overrides"),
    [
        (-38010, {"nonce": "0x1"}, {"nonce": "0x2"}),
        (-38011, {"nonce": "0x3"}, {"nonce": "0x2"}),
        (-38012, {"maxFeePerGas": "0x1"}, {}),
        (-38013, {"gas": "0x5207", "maxFeePerGas": "0xffffffff"}, {}),
        (-38014, {"value": hex(10**21), "maxFeePerGas": "0xffffffff"}, {}),
        (-38025, {"to": None, "input": "0x" + "00" * 49_153, "maxFeePerGas": "0xffffffff"}, {}),
        (-32602, {"maxFeePerGas": "0xffffffff", "maxPriorityFeePerGas": "0x100000000"}, {}),
    ],
)
def test_with_validation_calls_are_valid_transactions(
    service: Service, code: int, call: dict[str, Any], overrides: dict[str, str]
) -> None:
    account = {"balance": hex(10**20), **overrides}
    entry = calls({"from": A, "to": B, **call}, stateOverrides={A: account})
    assert code_of(service, entry, validation=True) == code


def test_what_is_out_of_order_or_too_much(service: Service) -> None:
    assert code_of(service) == -32602
    assert code_of(service, {"blockOverrides": {"number": hex(HEAD)}}) == -38020
    assert code_of(service, {"blockOverrides": {"time": "0x1"}}) == -38021
    assert code_of(service, {"blockOverrides": {"number": hex(HEAD + 257)}}) == -38026
    both = calls({"gas": "0x989680"}, {"gas": "0x989680"}, blockOverrides={"gasLimit": "0x989680"})
    assert code_of(service, both) == -38015
    assert code_of(service, calls({"blobVersionedHashes": ["0x" + "01" * 32]})) == -32602
    assert code_of(service, calls({}, stateOverrides={A: {"state": {}, "stateDiff": {}}})) == -32000


def test_precompile_moves_are_checked(service: Service) -> None:
    one, two = f"0x{1:040x}", f"0x{2:040x}"
    assert code_of(service, {"stateOverrides": {one: {"movePrecompileToAddress": one}}}) == -38022
    same = {one: {"movePrecompileToAddress": A}, two: {"movePrecompileToAddress": A}}
    assert code_of(service, {"stateOverrides": same}) == -38023
    taken = {one: {"movePrecompileToAddress": A}, A: {"nonce": "0x1"}}
    assert code_of(service, {"stateOverrides": taken}) == -32000


def test_gas_of_all_calls_and_time_are_limited(service: Service) -> None:
    source = service.dispatcher.service.source
    few = Service(source, gas=100_000)
    made = blocks(few, calls({}, {"to": B}, {"to": B}), returnFullTransactions=True)
    gas = [int(tx["gas"], 16) for tx in made[0]["transactions"]]
    assert gas == [100_000, 100_000 - 53_000, 100_000 - 74_000]
    forever = {CODE: {"code": hexed("again: @again JUMP")}}
    endless = calls({"to": CODE}, stateOverrides=forever, blockOverrides={"gasLimit": hex(2**62)})
    assert code_of(Service(source, gas=2**62, timeout=0.2), endless) == -32016


def test_the_chain_itself_never_changes(service: Service) -> None:
    before = service.result("eth_getBlockByNumber", "latest", False)
    blocks(service, calls({"from": A, "to": B, "value": "0x1"}, stateOverrides={A: {"balance": "0x1"}}))
    assert service.result("eth_getBalance", B, "latest") == "0x0"
    assert service.result("eth_getBlockByNumber", "latest", False) == before


# ---- states that cannot compute a root


class Alone(State):
    def account(self, address: bytes) -> Account | None:
        return Account(balance=5) if address == bytes.fromhex(A[2:]) else None

    def storage(self, address: bytes, slot: int) -> int:
        return 0


def test_a_state_without_roots_gives_blocks_with_a_root_of_zeros() -> None:
    made = blocks(Service(StateSource(Alone())), calls({"from": A, "to": B, "value": "0x5"}), {})
    assert [block["stateRoot"] for block in made] == ["0x" + "00" * 32] * 2
    assert made[0]["calls"][0]["status"] == "0x1"
    assert made[1]["parentHash"] == made[0]["hash"]


def test_roots_of_large_states_are_left_out() -> None:
    source = StateSource(MemoryState({bytes(18) + bytes((1, number)): Account(1) for number in range(100)}))
    request = simulation_request({"blockStateCalls": [{}, {}]})
    with source.pin() as pin:
        for work, zero in ((200, False), (199, True)):
            answer = pin.run(
                lambda backend, work=work: simulate(
                    backend, source.chain, source.header, {}, request, SimulationLimits(root_work=work)
                )
            )
            assert (answer[1]["stateRoot"] == "0x" + "00" * 32) is zero
