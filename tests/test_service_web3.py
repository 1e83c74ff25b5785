"""web3.py as a client: what Python programs see of the service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from evmcore.service import CallService, MemorySource
from evmcore.service.app import App
from evmcore.service.dispatch import Dispatcher
from evmcore.service.methods import METHODS
from tests.assembly import assemble
from tests.rpc_server import serving

web3 = pytest.importorskip("web3")

TOKEN = "0x" + "c0" * 20
HOLDER = "0x" + "aa" * 20
OTHER = "0x" + "bb" * 20

BALANCE_OF, TRANSFER, FAIL, PANIC, CUSTOM = 0x70A08231, 0xA9059CBB, 0xA9CC4718, 0x77777777, 0x88888888

# A token: balances in the slot of the holder's address, no events.
TOKEN_CODE = assemble(
    f"0 CALLDATALOAD 224 SHR DUP1 {BALANCE_OF} EQ @balance JUMPI DUP1 {TRANSFER} EQ @transfer JUMPI "
    f"DUP1 {FAIL} EQ @fail JUMPI DUP1 {PANIC} EQ @panic JUMPI {CUSTOM} EQ @custom JUMPI 0 0 REVERT "
    "balance: 4 CALLDATALOAD SLOAD 0 MSTORE 32 0 RETURN "
    "transfer: 36 CALLDATALOAD DUP1 CALLER SLOAD LT @fail JUMPI "
    "DUP1 CALLER SLOAD SUB CALLER SSTORE 4 CALLDATALOAD SLOAD ADD 4 CALLDATALOAD SSTORE "
    "1 0 MSTORE 32 0 RETURN "
    # Error("too little")
    f"fail: {0x08C379A0 << 224} 0 MSTORE 32 4 MSTORE 10 36 MSTORE "
    f"{int.from_bytes(b'too little'.ljust(32, bytes(1)), 'big')} 68 MSTORE 100 0 REVERT "
    f"panic: {0x4E487B71 << 224} 0 MSTORE 17 4 MSTORE 36 0 REVERT "
    f"custom: {0x12345678 << 224} 0 MSTORE 4 0 REVERT"
)


def function(name: str, inputs: list[str], outputs: list[str]) -> dict[str, Any]:
    return {
        "type": "function",
        "name": name,
        "stateMutability": "view",
        "inputs": [{"name": f"a{i}", "type": kind} for i, kind in enumerate(inputs)],
        "outputs": [{"name": "", "type": kind} for kind in outputs],
    }


ABI = [function("balanceOf", ["address"], ["uint256"]), function("transfer", ["address", "uint256"], ["bool"])]


@pytest.fixture(scope="module")
def chain() -> Iterator[Any]:
    genesis = {
        "config": {"chainId": 1337, "londonBlock": 0, "terminalTotalDifficulty": 0, "shanghaiTime": 0, "cancunTime": 0},
        "gasLimit": "0x1c9c380",
        "baseFeePerGas": "0x7",
        "alloc": {
            TOKEN: {"balance": "0x0", "code": "0x" + TOKEN_CODE.hex(), "storage": {"0x" + "aa" * 20: "0x64"}},
            HOLDER: {"balance": hex(10**18), "nonce": "0x3"},
        },
    }
    app = App(Dispatcher(CallService(MemorySource.from_genesis(genesis)), METHODS))
    with serving(app) as client:
        yield web3.Web3(web3.Web3.HTTPProvider(f"http://127.0.0.1:{client.port}"))


@pytest.fixture
def token(chain: Any) -> Any:
    return chain.eth.contract(address=web3.Web3.to_checksum_address(TOKEN), abi=ABI)


def checked(address: str) -> Any:
    return web3.Web3.to_checksum_address(address)


def test_it_connects_and_knows_the_chain(chain: Any) -> None:
    assert chain.is_connected()
    assert (chain.eth.chain_id, chain.eth.block_number, chain.net.version) == (1337, 0, "1337")
    assert chain.client_version.startswith("evmcore/")
    assert chain.eth.syncing is False


def test_accounts(chain: Any) -> None:
    assert chain.eth.get_balance(checked(HOLDER)) == 10**18
    assert chain.eth.get_transaction_count(checked(HOLDER)) == 3
    assert bytes(chain.eth.get_code(checked(TOKEN))) == TOKEN_CODE
    assert int.from_bytes(chain.eth.get_storage_at(checked(TOKEN), int(HOLDER, 16)), "big") == 100


def test_a_contract_call(token: Any) -> None:
    assert token.functions.balanceOf(checked(HOLDER)).call() == 100
    assert token.functions.transfer(checked(OTHER), 60).call({"from": checked(HOLDER)}) is True
    assert token.functions.balanceOf(checked(HOLDER)).call(block_identifier="earliest") == 100


def test_a_revert_reason(token: Any) -> None:
    with pytest.raises(web3.exceptions.ContractLogicError) as error:
        token.functions.transfer(checked(OTHER), 101).call({"from": checked(HOLDER)})
    assert error.value.message == "execution reverted: too little"
    assert error.value.data.startswith("0x08c379a0")


def test_a_panic_and_a_custom_error(chain: Any) -> None:
    with pytest.raises(web3.exceptions.ContractPanicError, match="overflow"):
        chain.eth.call({"to": checked(TOKEN), "data": f"0x{PANIC:08x}"})
    with pytest.raises(web3.exceptions.ContractCustomError, match="0x12345678"):
        chain.eth.call({"to": checked(TOKEN), "data": f"0x{CUSTOM:08x}"})


def test_overrides(token: Any) -> None:
    slot = "0x" + "00" * 12 + "bb" * 20
    seen = {checked(TOKEN): {"stateDiff": {slot: "0x" + (77).to_bytes(32, "big").hex()}}}
    assert token.functions.balanceOf(checked(OTHER)).call(state_override=seen) == 77
    assert token.functions.balanceOf(checked(OTHER)).call() == 0


def test_an_estimate(token: Any) -> None:
    transfer = token.functions.transfer(checked(OTHER), 60)
    gas = transfer.estimate_gas({"from": checked(HOLDER)})
    assert transfer.call({"from": checked(HOLDER), "gas": gas}) is True
    with pytest.raises(web3.exceptions.Web3Exception):
        transfer.call({"from": checked(HOLDER), "gas": gas - 1})
    with pytest.raises(web3.exceptions.ContractLogicError, match="too little"):
        token.functions.transfer(checked(OTHER), 101).estimate_gas({"from": checked(HOLDER)})


def test_an_access_list(chain: Any) -> None:
    data = f"0x{BALANCE_OF:08x}" + "00" * 12 + "aa" * 20
    answer = chain.eth.create_access_list({"to": checked(TOKEN), "data": data})
    assert answer["gasUsed"] > 21_000
    (entry,) = answer["accessList"]
    assert entry["address"].lower() == TOKEN
    assert entry["storageKeys"] == ["0x" + "00" * 12 + "aa" * 20]


def test_a_batch(chain: Any, token: Any) -> None:
    with chain.batch_requests() as batch:
        batch.add(token.functions.balanceOf(checked(HOLDER)))
        batch.add(token.functions.balanceOf(checked(OTHER)))
        batch.add(chain.eth.get_block("latest"))
        answers = batch.execute()
    assert answers[:2] == [100, 0]
    assert answers[2]["number"] == 0


def test_blocks_and_fees(chain: Any) -> None:
    block = chain.eth.get_block("latest", full_transactions=True)
    assert block["baseFeePerGas"] == 7 and block["transactions"] == []
    assert chain.eth.gas_price >= 7
    history = chain.eth.fee_history(1, "latest", [50])
    assert len(history["baseFeePerGas"]) == 2
    assert chain.eth.get_logs({"fromBlock": "earliest"}) == []
    with pytest.raises(web3.exceptions.TransactionNotFound):
        chain.eth.get_transaction("0x" + "11" * 32)
    with pytest.raises(web3.exceptions.BlockNotFound):
        chain.eth.get_block(5)


def test_a_proof(chain: Any) -> None:
    proof = chain.eth.get_proof(checked(TOKEN), [int(HOLDER, 16)])
    assert proof["storageProof"][0]["value"] in (100, b"d", "0x64")
