"""Where the service gets its state from: every block of a chain, while further blocks are imported."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from typing import Any

import pytest

from evmcore import rlp
from evmcore._diff import StateDiff
from evmcore.blocks import Block
from evmcore.chain import BlockChain
from evmcore.errors import BlockNotFound, StateError, StateNotAvailable
from evmcore.service import MemorySource, WouldBlock
from evmcore.service.history import DiffHistory
from evmcore.state import Backend, MemoryState, State
from evmcore.state._view import DiffView, read_account, read_code, read_storage
from evmcore.state.adapter import as_backend
from tests.rpc_compat import chain_files, chain_source
from tests.stored_state import ADDRESSES, random_diff, random_state


def read_all(backend: Backend, like: MemoryState) -> dict[bytes, object]:
    """Every account with the slots that occur in some state, through plain reads."""
    return {address: (read_account(backend, address), read_code(backend, address)) for address in like.addresses()}


def assert_same(backend: Backend, state: MemoryState, addresses: list[bytes], slots: int = 8) -> None:
    for address in addresses:
        account = read_account(backend, address)
        assert (account is not None) == (address in state), address.hex()
        if account is not None:
            found = (account.nonce, account.balance, account.code_hash)
            assert found == (state.nonce(address), state.balance(address), state.code_hash(address))
        assert read_code(backend, address) == state.code(address)
        for slot in {*range(slots), *state.slots(address)}:
            assert read_storage(backend, address, slot) == state.storage(address, slot), (address.hex(), slot)


# ---- views


@pytest.mark.parametrize("seed", range(30))
def test_a_view_answers_as_the_state_would_after_the_diff(seed: int) -> None:
    rng = random.Random(seed)
    states, diffs = [random_state(rng)], []
    for _ in range(rng.randrange(1, 9)):
        after = states[-1].copy()
        diff = random_diff(rng, after)
        after.apply(diff)
        states.append(after)
        diffs.append(diff)
    history = DiffHistory()
    for diff in diffs:
        history.append(diff)
    for number, state in enumerate(states):
        back = history.join(number, len(diffs)).invert()
        assert_same(DiffView(states[-1], back), state, ADDRESSES)
        assert_same(DiffView(states[0], history.join(0, number)), state, ADDRESSES)


@pytest.mark.parametrize("seed", range(30))
def test_a_view_answers_as_before_when_its_diff_has_been_completed(seed: int) -> None:
    rng = random.Random(seed)
    state = random_state(rng)
    diff, after = random_diff(rng, state), state.copy()
    after.apply(StateDiff.from_bytes(diff.to_bytes()))
    view = DiffView(state, diff)
    state.copy().apply(diff)
    assert_same(view, after, ADDRESSES)


def test_a_view_passes_failures_of_its_base_on() -> None:
    class Failing(State):
        def account(self, address: bytes) -> None:
            raise OSError("the disk is gone")

    with pytest.raises(StateError, match="the disk is gone"):
        read_account(DiffView(as_backend(Failing()), StateDiff()), bytes(20))


@pytest.mark.parametrize("seed", range(10))
def test_joins_of_ranges_are_what_the_diffs_do_one_after_the_other(seed: int) -> None:
    rng = random.Random(seed)
    state = random_state(rng)
    history = DiffHistory()
    diffs: list[StateDiff] = []
    for step in range(40):
        if step % 13 == 12:  # a reorganisation
            keep = len(diffs) - rng.randrange(1, 6)
            for diff in reversed(diffs[keep:]):
                state.undo(diff)
            del diffs[keep:]
            history.truncate(keep)
        diff = random_diff(rng, state)
        state.apply(diff)
        diffs.append(diff)
        history.append(diff)
        start = rng.randrange(len(diffs) + 1)
        stop = rng.randrange(start, len(diffs) + 1)
        expected = StateDiff()
        for part in diffs[start:stop]:
            expected = expected.compose(part)
        assert history.join(start, stop) == expected


# ---- the state after each block


def test_every_block_of_the_chain_has_the_state_its_header_names() -> None:
    source = chain_source()
    state = BlockChain.from_genesis(chain_files()[0])
    for number in range(source.head().number + 1):
        if number:
            state.import_block(chain_files()[1][number - 1])
        pin = source.pin(number)
        assert source.copy_state(pin.block).state_root() == pin.header.state_root
        addresses = source.copy_state(source.pin().block).addresses()
        pin.run(lambda backend: assert_same(backend, state.state, addresses, 2))  # noqa: B023


def test_blocks_are_found_by_number_hash_and_tag() -> None:
    source = chain_source()
    head = source.head()
    assert [source.pin(tag).header for tag in (None, "latest", "pending", "safe", "finalized")] == [head] * 5
    assert source.pin("earliest").header.number == 0
    assert source.pin(head.hash).header is head
    assert source.pin(head.number).block_hash == head.hash
    for missing in (head.number + 1, bytes(32), "newest"):
        with pytest.raises(BlockNotFound):
            source.pin(missing)


def test_block_hashes_are_those_that_the_opcode_can_reach() -> None:
    source = chain_source()
    hashes = source.pin(20).block_hashes()
    assert hashes == {number: source.pin(number).block_hash for number in range(21)}


def test_a_chain_may_begin_with_the_genesis_that_is_there() -> None:
    """As `geth export` writes it."""
    genesis, blocks = chain_files()
    source = MemorySource.from_genesis(genesis)
    first = source.archive.blocks[0].block
    assert source.import_blocks([first, *blocks[:3]]) == 3
    assert source.head().hash == blocks[2].hash


def test_the_genesis_can_be_imported_again() -> None:
    source, blocks = chain_source(), chain_files()[1]
    first = source.archive.blocks[0]
    assert source.import_block(first.block).gas_used == 0
    assert source.head() == blocks[-1].header
    assert source.pin("earliest").block is first
    assert source.copy_state(first).state_root() == first.header.state_root


def test_history_can_be_limited() -> None:
    genesis, blocks = chain_files()
    source = MemorySource.from_genesis(genesis, history=10)
    source.import_blocks(blocks)
    assert source.pin(44).header.number == 44
    with pytest.raises(StateNotAvailable, match="block 43 is not kept"):
        source.pin(43)


def sibling(block: Block, parent: bytes | None = None) -> Block:
    """A valid block beside another one, which differs only in its extra data."""
    return replace(block, header=replace(block.header, extra_data=b"sibling"))


def test_a_reorganisation_moves_head_and_states_and_keeps_the_dropped_branch() -> None:
    source = chain_source()
    blocks = chain_files()[1]
    dropped = source.pin()
    beside = sibling(blocks[50])
    source.import_block(beside)
    assert source.head() == beside.header
    assert source.pin("latest").block_hash == beside.hash
    with pytest.raises(BlockNotFound):
        source.pin(54)
    # A pin of the old branch goes on answering from its own state, which can also be pinned anew by its hash.
    for pin in (dropped, source.pin(blocks[-1].hash)):
        assert pin.block_hash == blocks[-1].hash
        assert source.copy_state(pin.block).state_root() == blocks[-1].header.state_root
    transaction = blocks[53].transactions[0].hash
    assert source.archive.transaction(transaction) is None
    again = chain_files()[1][50]
    source.import_block(again)  # known already: nothing happens
    assert source.head() == beside.header


def test_work_that_an_import_overtakes_is_run_again_and_pins_stay_as_they_are() -> None:
    genesis, blocks = chain_files()
    source = MemorySource.from_genesis(genesis)
    source.import_blocks(blocks[:40])
    pin = source.pin()
    state = source.copy_state(pin.block)
    runs: list[int] = []

    def work(backend: Backend) -> int:
        runs.append(len(runs))
        if len(runs) == 1:
            source.import_block(blocks[40])
        assert_same(backend, state, state.addresses(), 1)
        return 7

    assert pin.run(work) == 7
    assert len(runs) == 2
    assert source.head().number == 41 and pin.header.number == 40


def test_calls_during_imports_see_the_state_of_their_block() -> None:
    genesis, blocks = chain_files()
    source = MemorySource.from_genesis(genesis)
    source.import_blocks(blocks[:4])
    contract = bytes.fromhex("7dcd17433742f4c0ca53122ab541d0ba67fc27df")
    expected = {number: chain_source_value(number, contract) for number in range(4, len(blocks) + 1)}
    wrong: list[object] = []
    done = threading.Event()

    def read() -> None:
        rng = random.Random(threading.get_ident())
        while not done.is_set():
            number = rng.randrange(4, source.head().number + 1)
            pin = source.pin(number)
            found = pin.run(lambda backend: read_storage(backend, contract, 0))
            if found != expected[number]:
                wrong.append((number, found, expected[number]))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for block in blocks[4:]:
        source.import_block(block)
        if block.header.number % 5 == 0 and block.header.number > 40:
            source.import_block(sibling(block))
            source.import_block(sibling(sibling(block)))
            break
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong


def chain_source_value(number: int, contract: bytes) -> int:
    source = _whole()
    return source.pin(number).run(lambda backend: read_storage(backend, contract, 0))


_SOURCES: list[MemorySource] = []


def _whole() -> MemorySource:
    if not _SOURCES:
        _SOURCES.append(chain_source())
    return _SOURCES[0]


def test_who_does_not_want_to_wait_is_told_of_an_import() -> None:
    genesis, blocks = chain_files()
    source = MemorySource.from_genesis(genesis)
    pin = source.pin()

    def work(backend: Backend) -> None:
        source.import_block(blocks[source.head().number])

    with pytest.raises(WouldBlock):
        pin.run(work, wait=False)


def test_logs_and_receipts_of_the_archive_are_those_of_the_blocks() -> None:
    source = chain_source()
    for block in source.archive.blocks[1:]:
        assert block.encoded_receipts is not None
        assert len(block.receipts) == len(block.transactions) == len(block.senders)
        for encoded, receipt in zip(block.encoded_receipts, block.receipts, strict=True):
            fields: Any = rlp.decode(encoded if receipt.type == 0 else encoded[1:])
            assert len(fields[3]) == len(receipt.logs)
