"""The call service as a library."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from evmcore.blocks import Header
from evmcore.errors import BlockNotFound, ExecutionAborted, InputError
from evmcore.service import CallService, Limits, MemorySource, RpcError, StateSource
from evmcore.state import MemoryState, State
from evmcore.types import Account
from tests.assembly import returning
from tests.rpc_compat import chain_source
from tests.service_chain import ENVIRONMENT, GENESIS, GETTER, REVERTER, RICH, SPINNER


def service(**limits: Any) -> CallService:
    return CallService(MemorySource.from_genesis(GENESIS), Limits(**limits))


def words(output: bytes) -> list[int]:
    return [int.from_bytes(output[at : at + 32], "big") for at in range(0, len(output), 32)]


def test_a_call_gives_what_it_returns() -> None:
    assert words(service().call(GETTER).output) == [42]


def test_any_state_can_be_called() -> None:
    alloc = {GETTER: Account(0, 0, returning("0 SLOAD"), {0: 42})}
    assert words(CallService(alloc).call(GETTER).output) == [42]
    calls = CallService(StateSource(MemoryState(alloc), "cancun", Header(number=9, base_fee_per_gas=0)))
    assert words(calls.call(GETTER, block=9).output) == [42]
    with pytest.raises(BlockNotFound):
        calls.call(GETTER, block=8)


def test_a_revert_is_a_result() -> None:
    result = service().call(REVERTER)
    assert not result.success and result.error == "REVERT"


def test_overrides_are_seen() -> None:
    calls = service()
    assert words(calls.call(GETTER, overrides={GETTER: {"stateDiff": {0: 7}}}).output) == [7]
    assert words(calls.call(GETTER, overrides={GETTER: {"state": {1: 7}}}).output) == [0]
    account = Account(0, 0, returning("1"), {})
    assert words(calls.call(GETTER, overrides={GETTER: account}).output) == [1]
    changes = {"number": 99, "timestamp": 12345}
    assert words(calls.call(ENVIRONMENT, block_overrides=changes).output)[:2] == [99, 12345]


def test_a_call_without_a_price_sees_no_base_fee_and_one_with_a_price_pays() -> None:
    calls = service()
    number, timestamp, base_fee, price, *_ = words(calls.call(ENVIRONMENT).output)
    assert (number, timestamp, base_fee, price) == (0, 100, 0, 0)
    result = calls.call(ENVIRONMENT, sender=RICH, gas=100_000, gas_price=9)
    _, _, base_fee, price, balance, _ = words(result.output)
    assert (base_fee, price, balance) == (7, 9, 10**18 - 9 * 100_000)
    result = calls.call(ENVIRONMENT, sender=RICH, gas=100_000, max_fee_per_gas=20, max_priority_fee_per_gas=1)
    assert words(result.output)[3] == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"value": 1}, "insufficient funds"),
        ({"sender": RICH, "gas_price": 10**18}, "insufficient funds"),
        ({"sender": RICH, "gas_price": 6, "gas": 50_000}, "less than block base fee"),
        ({"max_fee_per_gas": 9, "max_priority_fee_per_gas": 10}, "max priority fee per gas higher"),
    ],
)
def test_what_the_sender_cannot_pay_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(RpcError, match=message) as error:
        service().call(GETTER, **arguments)
    assert error.value.code == -32000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gas_limit": 1}, "unknown argument 'gas_limit'"),
        ({"sender": "0x12"}, "sender"),
        ({"gas": -1}, "gas"),
        ({"block": "newest"}, "block"),
        ({"overrides": [1]}, "overrides"),
        ({"overrides": {GETTER: 3}}, "overrides"),
        ({"gas_price": 1, "max_fee_per_gas": 1}, "not both"),
        ({"block_overrides": {"height": 1}}, "height"),
        ({"block_overrides": [1]}, "block_overrides"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        service().call(GETTER, **arguments)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"gas": None}, "limit 'gas': expected a number above zero"),
        ({"timeout": "5"}, "limit 'timeout': expected a number above zero"),
        ({"timeout": float("nan")}, "limit 'timeout': expected a number above zero"),
        ({"threads": 1.5}, "limit 'threads': expected a whole number"),
        ({"batch": True}, "limit 'batch': expected a number above zero"),
        ({"reject_gas": 1}, "limit 'reject_gas': expected True or False"),
    ],
)
def test_limits_that_make_no_sense_are_named(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Limits(**limits)


def test_gas_is_capped_or_refused() -> None:
    assert words(service(gas=60_000).call(ENVIRONMENT, gas=10**9).output)[-1] < 60_000
    with pytest.raises(RpcError, match="exceeds the limit"):
        service(gas=60_000, reject_gas=True).call(ENVIRONMENT, gas=10**9)


def test_a_call_that_does_not_end_is_stopped() -> None:
    with pytest.raises(ExecutionAborted):
        service(timeout=0.05, gas=10**12).call(SPINNER)
    with pytest.raises(ExecutionAborted):
        service(timeout=0.05, gas=10**12).estimate_gas(SPINNER, block_overrides={"gas_limit": 10**12})


def test_estimates_and_access_lists() -> None:
    calls = service()
    gas = calls.estimate_gas(GETTER)
    assert calls.call(GETTER, gas=gas).success and not calls.call(GETTER, gas=gas - 1).success
    with pytest.raises(RpcError) as error:
        calls.estimate_gas(REVERTER)
    assert error.value.code == 3
    assert calls.create_access_list(GETTER).access_list == ((GETTER, (0,)),)


def test_an_estimate_says_why_a_transaction_cannot_be() -> None:
    calls = service()
    with pytest.raises(RpcError, match="max initcode size exceeded"):  # more gas would not help
        calls.estimate_gas(None, bytes(49_153))
    with pytest.raises(RpcError, match="gas required exceeds allowance"):
        calls.estimate_gas(GETTER, bytes(1000), gas=21_000)


def test_who_has_nothing_left_for_gas_is_told_so_by_an_estimate() -> None:
    calls = service()
    assert calls.estimate_gas(bytes(19) + b"\xbb", sender=RICH, value=10**18) == 21_000
    for price in ({"gas_price": 7}, {"max_fee_per_gas": 7}):  # geth's words
        with pytest.raises(RpcError, match="insufficient funds for transfer"):
            calls.estimate_gas(bytes(19) + b"\xbb", sender=RICH, value=10**18, **price)


def test_blocks_by_number_hash_and_tag() -> None:
    calls = CallService(chain_source())
    environment = "0x9344b07175800259691961298ca11c824e65032d"  # its first word is the block's number
    blocks = {"earliest": None, 30: 30, "0x1e": 30, "latest": 54, None: 54}
    for block, number in blocks.items():
        output = calls.call(environment, block=block).output
        assert (words(output)[0] if output else None) == number
    digest = calls.source.pin(31).block_hash
    assert words(calls.call(environment, block=digest).output)[0] == 31
    assert words(calls.call(environment, block="0x" + digest.hex()).output)[0] == 31
    with pytest.raises(BlockNotFound):
        calls.call(environment, block=55)


def test_asyncio_goes_on_while_a_call_runs() -> None:
    calls, brief = service(timeout=600.0, gas=10**12), service(timeout=0.05, gas=10**12)

    async def main() -> None:
        assert words((await calls.acall(GETTER)).output) == [42]
        assert await calls.aestimate_gas(GETTER) == calls.estimate_gas(GETTER)
        assert (await calls.acreate_access_list(GETTER)).access_list == ((GETTER, (0,)),)
        spinning = asyncio.ensure_future(calls.acall(SPINNER))
        for _ in range(100):
            await asyncio.sleep(0.001)
            assert not spinning.done()
        spinning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await spinning
        with pytest.raises(ExecutionAborted):
            await brief.acall(SPINNER)

    asyncio.run(main())


def test_asyncio_goes_on_while_a_state_in_python_is_waited_for() -> None:
    class Remote(State):
        """Answers when the event loop has gone on."""

        def __init__(self) -> None:
            self.went_on = threading.Event()

        def account(self, address: bytes) -> Account | None:
            if not self.went_on.wait(5):
                raise TimeoutError("the event loop stands still")
            return Account(0, 0, returning("42"))

    async def main() -> None:
        for ask in ("acall", "aestimate_gas", "acreate_access_list"):
            state = Remote()
            asyncio.get_running_loop().call_soon(state.went_on.set)
            await getattr(CallService(state), ask)(GETTER)

    asyncio.run(main())


def test_a_call_that_is_cancelled_is_stopped() -> None:
    calls = service(timeout=600.0, gas=10**12)

    async def main() -> None:
        for ask in (calls.acall, calls.aestimate_gas, calls.acreate_access_list):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(ask(SPINNER, gas=10**12), 0.05)

    asyncio.run(main())  # which waits for its threads
