"""Roots of a state that is asked for them again and again, whose trie is kept, beside those of a copy of it."""

from __future__ import annotations

import random
import sys
import threading

import pytest

from evmcore.blocks import EMPTY_TRIE_ROOT
from evmcore.state import MemoryState
from evmcore.state.proofs import storage_trie
from evmcore.trie import proof
from evmcore.types import Account
from tests.node_server import state_trie

ADDRESSES = [bytes([i % 251]) * 16 + i.to_bytes(4, "big") for i in range(400)]


def anew(state: MemoryState) -> bytes:
    return state.copy().state_root()


def random_account(rng: random.Random) -> Account:
    count = rng.choice((0, 0, 1, 3, rng.randrange(80)))
    storage = {rng.getrandbits(rng.choice((4, 256))): rng.getrandbits(rng.choice((1, 6, 8, 256))) for _ in range(count)}
    return Account(
        rng.getrandbits(rng.choice((1, 64))), rng.getrandbits(100), rng.randbytes(rng.choice((0, 2))), storage
    )


def change(rng: random.Random, state: MemoryState, addresses: list[bytes]) -> None:
    address = rng.choice(addresses)
    kind = rng.randrange(8)
    if kind == 0:
        state.delete_account(address)
    elif kind == 1:
        state.set_account(address, random_account(rng))
    elif kind == 2:
        state.set_balance(address, rng.getrandbits(80))
    elif kind == 3:
        state.set_nonce(address, rng.getrandbits(20))
    elif kind == 4:
        state.set_code(address, rng.randbytes(rng.randrange(3)))
    else:
        known = sorted(state.slots(address))
        slot = rng.choice(known) if known and rng.randrange(2) else rng.getrandbits(rng.choice((4, 256)))
        state.set_storage(address, slot, rng.choice((0, 0, 1, 127, 128, rng.getrandbits(256))))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("seed", range(12))
def test_roots_follow_random_changes_snapshots_and_reverts(seed: int, threads: int) -> None:
    rng = random.Random(100 * seed + threads)
    addresses = ADDRESSES[: rng.choice((1, 2, 5, 30, 400))]
    state = MemoryState({address: random_account(rng) for address in addresses if rng.randrange(3)})
    snapshots: list[tuple[int, bytes]] = []
    for _ in range(120):
        kind = rng.randrange(12)
        if kind == 0:
            snapshots.append((state.snapshot(), state.state_root(threads=threads)))
        elif kind == 1 and snapshots:
            at = rng.randrange(len(snapshots))
            state.revert(snapshots[at][0])
            assert state.state_root(threads=threads) == snapshots[at][1]
            del snapshots[at + 1 :]
        elif kind == 2 and snapshots:
            at = rng.randrange(len(snapshots))
            state.discard(snapshots[at][0])
            del snapshots[at:]
        else:
            for _ in range(rng.choice((1, 1, 10))):
                change(rng, state, addresses)
        if rng.randrange(2):
            assert state.state_root(threads=threads) == anew(state)
    assert state.state_root() == anew(state)


@pytest.mark.parametrize("seed", range(8))
def test_proofs_follow_random_changes(seed: int) -> None:
    """Beside those made of all that is there, node by node."""
    rng = random.Random(seed)
    addresses = ADDRESSES[: rng.choice((1, 2, 5, 30, 400))]
    state = MemoryState({address: random_account(rng) for address in addresses if rng.randrange(3)})
    for _ in range(12):
        if rng.randrange(2):
            state.state_root()
        for _ in range(rng.choice((0, 1, 20))):
            change(rng, state, addresses)
        everything = state_trie(state)
        for address in (rng.choice(addresses), rng.randbytes(20)):
            known = sorted(state.slots(address))
            slots = [*rng.sample(known, min(len(known), 3)), rng.getrandbits(4), rng.getrandbits(256)]
            storage = storage_trie(state.slots(address))
            assert state.proof(address, slots) == {
                "address": "0x" + address.hex(),
                "accountProof": hex_nodes(proof(everything, address, secure=True)),
                "balance": hex(state.balance(address)),
                "codeHash": "0x" + state.code_hash(address).hex(),
                "nonce": hex(state.nonce(address)),
                "storageHash": "0x" + state.storage_root(address).hex(),
                "storageProof": [
                    {
                        "key": hex(slot),
                        "value": hex(state.storage(address, slot)),
                        "proof": hex_nodes(proof(storage, slot.to_bytes(32, "big"), secure=True)),
                    }
                    for slot in slots
                ],
            }


def hex_nodes(nodes: list[bytes]) -> list[str]:
    return ["0x" + node.hex() for node in nodes]


def test_a_proof_keeps_the_trie() -> None:
    state = MemoryState({address: Account(1) for address in ADDRESSES})
    before = sys.getsizeof(state)
    state.proof(ADDRESSES[0])
    kept = sys.getsizeof(state)
    assert kept > before + len(ADDRESSES) * 32
    state.proof(ADDRESSES[1], [5])
    assert (sys.getsizeof(state), state.state_root()) == (kept, anew(state))


def test_a_state_may_become_empty_and_be_filled_again() -> None:
    state = MemoryState({address: Account(1, storage={1: 2}) for address in ADDRESSES})
    full = state.state_root()
    for _ in range(3):
        assert state.state_root() == full
        for address in ADDRESSES:
            state.delete_account(address)
        assert state.state_root() == EMPTY_TRIE_ROOT
        for address in reversed(ADDRESSES):
            state.set_account(address, Account(1, storage={1: 2}))
    assert state.state_root() == full


def test_an_account_made_again_has_none_of_its_old_storage() -> None:
    state = MemoryState({ADDRESSES[0]: Account(1, storage={1: 2, 3: 4}), ADDRESSES[1]: Account(2)})
    for _ in range(2):
        state.state_root()
    state.delete_account(ADDRESSES[0])
    state.set_account(ADDRESSES[0], Account(1, storage={3: 4}))
    assert state.state_root() == anew(state)
    state.delete_account(ADDRESSES[0])
    state.set_balance(ADDRESSES[0], 5)
    assert state.state_root() == anew(state)


def test_a_trie_that_nobody_asks_for_is_given_up_and_made_again() -> None:
    state = MemoryState({address: Account(1, storage={1: 2}) for address in ADDRESSES})
    bare = sys.getsizeof(state)
    state.state_root()
    assert sys.getsizeof(state) == bare  # one root alone keeps nothing
    state.state_root()
    kept = sys.getsizeof(state)
    assert kept > bare
    for number in range(1 << 18):
        state.set_nonce(ADDRESSES[0], number % 7 + 1)
    assert state.state_root() == anew(state)
    assert sys.getsizeof(state) == bare
    state.set_storage(ADDRESSES[1], 1, 3)
    assert state.state_root() == anew(state)
    assert sys.getsizeof(state) == kept
    state.set_storage(ADDRESSES[2], 1, 3)
    assert state.state_root() == anew(state)


def test_asking_again_and_again_does_not_grow_memory() -> None:
    state = MemoryState({address: Account(1, storage={1: 2}) for address in ADDRESSES})

    def rounds(count: int) -> int:
        for number in range(count):
            before = state.snapshot()
            for address in ADDRESSES[:50]:
                state.set_storage(address, number, 1)
                state.delete_account(address)
            state.state_root()
            state.revert(before)
            state.state_root()
        return sys.getsizeof(state)

    first = rounds(3)
    assert rounds(50) == first


def test_many_threads_ask_while_others_write() -> None:
    state = MemoryState({address: Account(1) for address in ADDRESSES})
    failures: list[BaseException] = []
    until = threading.Event()

    def guarded(seed: int) -> None:
        rng = random.Random(seed)
        try:
            while not until.is_set():
                if seed % 2:
                    change(rng, state, ADDRESSES)
                else:
                    assert len(state.state_root(threads=1 + seed % 3)) == 32
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        state.state_root(threads=2)
    until.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert state.state_root() == anew(state)
