"""The benchmark's workloads: the engine arrives at what their own books say."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from evmcore.bench import engine
from evmcore.bench.contracts import contract
from evmcore.bench.traffic import Computing, Market, Swaps, TokenTransfers, Transfers, standard
from evmcore.bench.workloads import BASE_FEE, BENEFICIARY, PRIORITY_FEE, Order, Shape, Workload, build, turns

TRAFFIC: dict[str, Any] = {
    "transfers": Transfers(Shape(2, 2, 3, 2)),
    "strangers": Transfers(Shape(families=20)),
    "tokens": TokenTransfers(Shape(2, 3, 4, 2)),
    "tokens to strangers": TokenTransfers(Shape(families=20)),
    "swaps": Swaps(Shape(3, 2, 2, 3)),
    "computing": Computing(Shape(2, 1, 2, 1)),
}


def make(kind: str, **settings: object) -> Workload:
    fresh = type(TRAFFIC[kind])(TRAFFIC[kind].shape)
    return build(kind, [fresh], **{"block_gas": 2_000_000, **settings})  # type: ignore[arg-type]


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("kind", TRAFFIC)
def test_every_transaction_succeeds_and_the_state_ends_as_the_books_say(kind: str, order: Order) -> None:
    workload = make(kind, order=order)
    run = engine.workload_run(workload)
    for block in workload.blocks:
        run.advance(block)  # raises when a transaction fails
    engine.check_outcome(kind, run.state, workload.outcome)


def test_a_wrong_book_is_found() -> None:
    workload = make("tokens")
    run = engine.workload_run(workload)
    for block in workload.blocks[:-1]:
        run.advance(block)
    with pytest.raises(engine.WrongResult):
        engine.check_outcome("one block short", run.state, workload.outcome)


@pytest.mark.parametrize("kind", TRAFFIC)
def test_wei_is_conserved_but_for_the_burnt_base_fee(kind: str) -> None:
    workload = make(kind)
    run = engine.workload_run(workload)
    gas = sum(run.advance(block) for block in workload.blocks)
    before = sum(account.balance for account in workload.alloc.values())
    after = sum(int(account["balance"], 0) for account in run.state.dump().values())
    assert before - after == gas * BASE_FEE
    assert run.state.balance(BENEFICIARY) == gas * PRIORITY_FEE


def test_tokens_are_conserved() -> None:
    workload = make("tokens", order=Order.SHUFFLED)
    for address, slots in workload.outcome.storage.items():
        before = workload.alloc[address].storage
        total = contract("Token").slots["totalSupply"]
        assert sum(slots.values()) == sum(value for slot, value in before.items() if slot in slots and slot != total)


def test_the_product_of_the_reserves_never_falls() -> None:
    workload = make("swaps", order=Order.SHUFFLED, block_gas=150_000)  # one swap a block
    run = engine.workload_run(workload)
    slot = contract("Pair").slots["reserve0"]
    pairs = [address for address, account in workload.alloc.items() if account.code == contract("Pair").runtime]
    products = dict.fromkeys(pairs, Market.RESERVE**2)
    for block in workload.blocks:
        run.advance(block)
        for pair in pairs:
            packed = run.state.storage(pair, slot)
            product = (packed & (2**112 - 1)) * (packed >> 112 & (2**112 - 1))
            assert product >= products[pair]
            products[pair] = product
    assert all(product > Market.RESERVE**2 for product in products.values())  # the fee stays in the pair


@pytest.mark.parametrize("kind", TRAFFIC)
def test_the_same_arguments_give_the_same_workload_and_another_seed_another_one(kind: str) -> None:
    assert make(kind, seed=5, order=Order.SHUFFLED) == make(kind, seed=5, order=Order.SHUFFLED)
    assert make(kind, seed=5) != make(kind, seed=6)


@pytest.mark.parametrize("kind", TRAFFIC)
def test_the_shape_gives_the_number_of_transactions(kind: str) -> None:
    assert make(kind).transactions == TRAFFIC[kind].shape.transactions


@pytest.mark.parametrize("kind", TRAFFIC)
def test_blocks_are_filled_up_to_the_gas_limit(kind: str) -> None:
    workload = make(kind)
    limits = [sum(tx.gas_limit for tx in block.transactions) for block in workload.blocks]
    largest = max(tx.gas_limit for block in workload.blocks for tx in block.transactions)
    assert all(2_000_000 - largest < limit <= 2_000_000 for limit in limits[:-1])


def test_families_deal_only_with_each_other() -> None:
    workload = make("transfers")
    partners: dict[bytes, set[bytes]] = {}
    for block in workload.blocks:
        for tx in block.transactions:
            assert tx.sender is not None and tx.to is not None
            both = partners.setdefault(tx.sender, {tx.sender}) | partners.setdefault(tx.to, {tx.to})
            for person in both:
                partners[person] = both
    assert all(len(group) <= 3 for group in partners.values())


def test_turns_are_clustered_or_interleaved() -> None:
    shape = Shape(2, 1, 2, 2)
    clustered = [(turn.cluster, turn.round, turn.person) for turn in turns(shape, Order.CLUSTERED)]
    interleaved = [(turn.round, turn.cluster, turn.person) for turn in turns(shape, Order.INTERLEAVED)]
    assert clustered == sorted(clustered) and interleaved == sorted(interleaved)
    assert len(set(clustered)) == len(set(interleaved)) == shape.transactions


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Shape)])
def test_a_shape_without_anybody_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Shape(**{name: 0})


def test_a_transaction_larger_than_a_block_is_refused() -> None:
    with pytest.raises(ValueError, match="gas_limit"):
        make("computing", block_gas=100_000)


def test_the_standard_workloads_run() -> None:
    for workload in standard(seed=3, blocks=1):
        run = engine.workload_run(workload)
        gas = [run.advance(block) for block in workload.blocks]
        engine.check_outcome(workload.name, run.state, workload.outcome)
        assert gas[0] > 20_000_000, workload.name
