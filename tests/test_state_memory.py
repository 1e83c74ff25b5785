"""The memory state: against a plain-dict model, geth's own dump and proofs, and under several threads."""

from __future__ import annotations

import copy
import gc
import json
import os
import pickle
import random
import re
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from Crypto.Hash import keccak

from evmcore import EVM
from evmcore.errors import InputError, StateError
from evmcore.state import MemoryState
from evmcore.tracing import EIP3155Tracer
from evmcore.types import Account
from tests.shared_files import shared_path

ADDRESSES = [bytes([i]) * 20 for i in range(1, 9)]
A, B = ADDRESSES[0], ADDRESSES[1]
EMPTY_HASH = keccak.new(digest_bits=256).digest()

Model = dict[bytes, dict[str, Any]]


def hash_of(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


def assert_same(state: MemoryState, model: Model) -> None:
    """The state answers every question as the model does."""
    assert list(state) == sorted(model)
    assert len(state) == len(model)
    for address in ADDRESSES:
        fields = model.get(address)
        assert (address in state) == (fields is not None)
        if fields is None:
            assert state.account(address) is None
            fields = {"nonce": 0, "balance": 0, "code": b"", "storage": {}}
        else:
            assert state.account(address) == Account(**fields)
        assert state.nonce(address) == fields["nonce"]
        assert state.balance(address) == fields["balance"]
        assert state.code(address) == fields["code"]
        assert state.code_hash(address) == hash_of(fields["code"])
        assert state.slots(address) == fields["storage"]
        for slot in range(12):
            assert state.storage(address, slot) == fields["storage"].get(slot, 0)


def change(rng: random.Random, state: MemoryState, model: Model) -> None:
    """The same random change to both."""
    address = rng.choice(ADDRESSES)
    kind = rng.randrange(12)
    if kind == 0:
        state.delete_account(address)
        model.pop(address, None)
        return
    if kind == 1:
        storage = {rng.randrange(12): rng.getrandbits(rng.choice((1, 8, 256))) for _ in range(rng.randrange(6))}
        account = Account(rng.getrandbits(64), rng.getrandbits(256), rng.randbytes(rng.randrange(4)), storage)
        state.set_account(address, account)
        model[address] = {
            "nonce": account.nonce,
            "balance": account.balance,
            "code": account.code,
            "storage": {slot: value for slot, value in storage.items() if value},
        }
        return
    fields = model.setdefault(address, {"nonce": 0, "balance": 0, "code": b"", "storage": {}})
    if kind == 2:
        fields["nonce"] = rng.getrandbits(64)
        state.set_nonce(address, fields["nonce"])
    elif kind == 3:
        fields["balance"] = rng.getrandbits(256)
        state.set_balance(address, fields["balance"])
    elif kind == 4:
        fields["code"] = rng.choice((b"", b"\x00", b"\x60\x00", rng.randbytes(40)))
        state.set_code(address, fields["code"])
    else:
        slot, value = rng.randrange(12), rng.choice((0, 0, 1, rng.getrandbits(256)))
        state.set_storage(address, slot, value)
        fields["storage"].pop(slot, None)
        if value:
            fields["storage"][slot] = value


@pytest.mark.parametrize("seed", range(20))
def test_random_changes_with_nested_snapshots_follow_the_model(seed: int) -> None:
    rng = random.Random(seed)
    state, model = MemoryState(), Model()
    snapshots: list[tuple[int, Model]] = []
    for _ in range(400):
        kind = rng.randrange(20)
        if kind == 0:
            snapshots.append((state.snapshot(), copy.deepcopy(model)))
        elif kind == 1 and snapshots:
            at = rng.randrange(len(snapshots))
            number, remembered = snapshots[at]
            state.revert(number)
            for later, _ in snapshots[at + 1 :]:
                with pytest.raises(StateError, match="is not known"):
                    state.revert(later)
            del snapshots[at + 1 :]
            model = copy.deepcopy(remembered)
        elif kind == 2 and snapshots:
            at = rng.randrange(len(snapshots))
            state.discard(snapshots[at][0])
            del snapshots[at:]
        else:
            change(rng, state, model)
        if rng.randrange(10) == 0:
            assert_same(state, model)
    assert_same(state, model)
    assert_same(state.copy(), model)
    assert_same(MemoryState(json.loads(json.dumps(state.dump()))), model)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 100, 5000])
def test_storage_of_many_slots_survives_growth_and_removal(count: int) -> None:
    rng = random.Random(count)
    expected = {rng.getrandbits(256): rng.getrandbits(256) | 1 for _ in range(count)}
    state = MemoryState()
    for slot, value in expected.items():
        state.set_storage(A, slot, value)
    for slot in rng.sample(list(expected), count // 2):
        del expected[slot]
        state.set_storage(A, slot, 0)
    assert state.slots(A) == expected
    assert all(state.storage(A, slot) == value for slot, value in expected.items())


def test_many_accounts_survive_growth_and_removal() -> None:
    rng = random.Random(5)
    expected = {rng.randbytes(20): rng.getrandbits(256) for _ in range(3000)}
    state = MemoryState()
    for address, balance in expected.items():
        state.set_balance(address, balance)
    for address in rng.sample(list(expected), 1500):
        del expected[address]
        state.delete_account(address)
    for _ in range(700):
        address = rng.randbytes(20)
        expected[address] = rng.getrandbits(256)
        state.set_balance(address, expected[address])
    assert {address: state.balance(address) for address in state} == expected


def test_revert_to_the_same_snapshot_twice() -> None:
    state = MemoryState({A: Account(1, 2, b"\x01", {3: 4})})
    before = state.dump()
    number = state.snapshot()
    for _ in range(3):
        state.delete_account(A)
        state.set_storage(A, 3, 9)
        state.set_code(B, b"\x02")
        state.set_block_hash(5, bytes(range(32)))
        state.revert(number)
        assert state.dump() == before
        assert state.block_hash(5) is None
    state.discard(number)
    with pytest.raises(StateError, match=rf"snapshot {number} is not known"):
        state.revert(number)


def test_repeated_snapshots_and_reverts_do_not_grow_memory() -> None:
    state = MemoryState({A: Account(storage=dict.fromkeys(range(50), 1))})

    def rounds(count: int) -> int:
        for i in range(count):
            number = state.snapshot()
            state.set_code(A, i.to_bytes(1000, "big"))
            state.delete_account(A)
            state.set_account(B, Account(code=i.to_bytes(500, "big"), storage={i: 1}))
            state.revert(number)
        return sys.getsizeof(state)

    first = rounds(10)
    assert rounds(2000) == first


def test_a_wipe_is_undone_whatever_its_size() -> None:
    state = MemoryState({A: Account(1, storage={i: i for i in range(1, 1000)})})
    number = state.snapshot()
    state.delete_account(A)
    state.set_storage(A, 1, 77)
    assert state.slots(A) == {1: 77}
    state.revert(number)
    assert state.slots(A) == {i: i for i in range(1, 1000)}


def test_codes_are_shared_and_let_go() -> None:
    state = MemoryState()
    empty = sys.getsizeof(state)
    code = bytes(20_000)
    for address in ADDRESSES:
        state.set_code(address, code)
    assert sys.getsizeof(state) - empty < 2 * len(code)
    for address in ADDRESSES:
        state.delete_account(address)
    assert sys.getsizeof(state) - empty < len(code)


def test_block_hashes() -> None:
    state = MemoryState()
    numbers = [7, 3, 2**64 - 1, 0, 5, 4]
    for number in numbers:
        state.set_block_hash(number, number.to_bytes(32, "big"))
    state.set_block_hash(3, None)
    state.set_block_hash(99, None)
    assert [state.block_hash(n) for n in sorted(numbers)] == [
        None if n == 3 else n.to_bytes(32, "big") for n in sorted(numbers)
    ]


def test_a_code_of_which_only_the_hash_is_known() -> None:
    state = MemoryState({A: {"codeHash": hash_of(b"\x60"), "code": None}})
    assert state.code_hash(A) == hash_of(b"\x60")
    with pytest.raises(StateError, match=r"0x0101.* only its hash"):
        state.code(A)
    assert state.dump()["0x" + A.hex()]["codeHash"] == "0x" + hash_of(b"\x60").hex()
    state.set_code(B, b"\x60")
    assert state.code(A) == b"\x60"


def test_an_empty_account_is_in_the_trie() -> None:
    state = MemoryState()
    absent = state.state_root()
    state.set_balance(A, 0)
    assert A in state
    assert state.state_root() != absent
    state.delete_account(A)
    assert state.state_root() == absent


def test_copies_are_independent() -> None:
    state = MemoryState({A: Account(1, 2, b"\x03", {4: 5})})
    state.set_block_hash(1, bytes(32))
    copied = state.copy()
    assert copied == state
    assert copied.block_hash(1) == bytes(32)
    state.set_storage(A, 4, 6)
    assert copied.storage(A, 4) == 5
    assert copied != state


# ---- geth as the oracle


def test_roots_of_a_chain_of_geth() -> None:
    dump = json.loads(shared_path("rpc-compat", "chain", "headstate.json").read_text())
    state = MemoryState(dump["accounts"])
    assert state.state_root().hex() == dump["root"]
    for address, account in dump["accounts"].items():
        assert "0x" + state.storage_root(address).hex() == account["root"]
    assert MemoryState(state.dump()).state_root().hex() == dump["root"]


@pytest.mark.parametrize("name", ["get-account-proof-with-storage", "get-account-proof-default-block"])
def test_proofs_of_geth(name: str) -> None:
    state = MemoryState(json.loads(shared_path("rpc-compat", "chain", "headstate.json").read_text())["accounts"])
    exchange = shared_path("rpc-compat", "tests", "eth_getProof", f"{name}.io").read_text()
    request = json.loads(re.search(r"^>> (.*)$", exchange, re.M)[1])
    answer = json.loads(re.search(r"^<< (.*)$", exchange, re.M)[1])
    assert state.proof(*request["params"][:2]) == answer["result"]


def test_proof_of_absence_starts_at_the_root() -> None:
    state = MemoryState({A: Account(1, storage={1: 1})})
    proof = state.proof(B, [7])
    assert hash_of(bytes.fromhex(proof["accountProof"][0][2:])) == state.state_root()
    assert proof["codeHash"] == "0x" + EMPTY_HASH.hex()
    assert proof["storageProof"] == [{"key": "0x7", "value": "0x0", "proof": []}]


# ---- the forms that geth and test fixtures use

ACCEPTED = [
    ({"0x" + "01" * 20: {}}, Account()),
    ({"01" * 20: {"balance": "10"}}, Account(balance=10)),
    ({b"\x01" * 20: {"balance": "0x10", "nonce": "0x"}}, Account(balance=16)),
    ({"0x" + "01" * 20: {"balance": 5, "nonce": 6, "code": "0x6000"}}, Account(6, 5, b"\x60\x00")),
    ({"0x" + "01" * 20: {"storage": {"0x01": "0x02", "03": "0x" + "0" * 63 + "4"}}}, Account(storage={1: 2, 3: 4})),
    ({"0x" + "01" * 20: {"storage": {"0x1": "0x"}}}, Account()),
    ({"0x" + "01" * 20: {"balance": "1", "secretKey": "0x12"}}, Account(balance=1)),
    ({"0x" + "01" * 20: {"code": "0x", "codeHash": "0x" + EMPTY_HASH.hex()}}, Account()),
    ({A: Account(1, 2, b"\x03", {4: 5})}, Account(1, 2, b"\x03", {4: 5})),
]


@pytest.mark.parametrize(("alloc", "account"), ACCEPTED)
def test_alloc_forms(alloc: Any, account: Account) -> None:
    state = MemoryState(alloc)
    expected = Account(account.nonce, account.balance, account.code, {k: v for k, v in account.storage.items() if v})
    assert state.account(A) == expected


ONE = "0x" + "01" * 20
MALFORMED = [
    ([], "alloc'.*mapping of address to account, got list"),
    ("{}", "alloc'.*got str"),
    ({"0x01": {}}, "alloc address'.*20 bytes"),
    ({"0xzz" + "01" * 19: {}}, "alloc address'.*hexadecimal"),
    ({None: {}}, "alloc address'"),
    ({ONE: []}, rf"alloc\[{ONE}\]'.*account fields, got list"),
    ({ONE: None}, rf"alloc\[{ONE}\]'"),
    ({ONE: {"balence": 1}}, "unknown field 'balence'"),
    ({ONE: {"balance": "ten"}}, rf"alloc\[{ONE}\].balance'"),
    ({ONE: {"balance": -1}}, r"\.balance'.*negative"),
    ({ONE: {"balance": 2**256}}, r"\.balance'.*2\*\*256"),
    ({ONE: {"balance": 1.5}}, r"\.balance'.*float"),
    ({ONE: {"balance": True}}, r"\.balance'.*bool"),
    ({ONE: {"balance": "1" * 79}}, r"\.balance'"),
    ({ONE: {"nonce": 2**64}}, r"\.nonce'.*2\*\*64"),
    ({ONE: {"nonce": []}}, r"\.nonce'.*list"),
    ({ONE: {"code": "6000"}}, r"\.code'.*0x"),
    ({ONE: {"code": "0x600"}}, r"\.code'.*odd"),
    ({ONE: {"code": 6}}, r"\.code'.*int"),
    ({ONE: {"codeHash": "0x12"}}, r"\.codeHash'.*32 bytes"),
    ({ONE: {"code": "0x00", "codeHash": "0x" + "00" * 32}}, r"\.codeHash'.*the code has the hash"),
    ({ONE: {"storage": [1]}}, r"\.storage'.*slot to value, got list"),
    ({ONE: {"storage": {"0x1g": "0x1"}}}, r"\.storage slot'"),
    ({ONE: {"storage": {"0x" + "1" * 65: "0x1"}}}, r"\.storage slot'.*2\*\*256"),
    ({ONE: {"storage": {"0x01": "0x1", "0x1": "0x2"}}}, r"\.storage'.*slot 0x1 is there twice"),
    ({ONE: {"storage": {"0x01": None}}}, r"\.storage\[0x1\]'"),
    ({ONE: {"storage": {b"\x01": 1}}}, r"\.storage slot'.*32 bytes"),
    ({ONE: {}, "01" * 20: {}}, "the address is there twice"),
]


@pytest.mark.parametrize(("alloc", "message"), MALFORMED)
def test_malformed_alloc_is_named_and_changes_nothing(alloc: Any, message: str) -> None:
    state = MemoryState({B: Account(1)})
    before = state.dump()
    with pytest.raises(InputError, match=message):
        state.load(alloc)
    if isinstance(alloc, dict):
        with pytest.raises(InputError, match=message):
            state.load({"0x" + "99" * 20: {"balance": 1}, **alloc})
    assert state.dump() == before


WRONG_ARGUMENTS: list[tuple[str, tuple[Any, ...], str]] = [
    ("account", ("0x12",), "address"),
    ("account", (None,), "address"),
    ("balance", (b"\x01" * 19,), "address"),
    ("nonce", (2**160,), "address"),
    ("storage", (A, -1), "slot"),
    ("storage", (A, 2**256), "slot"),
    ("storage", (A, None), "slot"),
    ("storage", (A, b"\x01"), "slot"),
    ("block_hash", (-1,), "number"),
    ("set_account", (A, {"balance": 1}), "account"),
    ("set_balance", (A, -1), "balance"),
    ("set_balance", (A, "10"), "balance"),
    ("set_balance", (A, 2**256), "balance"),
    ("set_nonce", (A, 2**64), "nonce"),
    ("set_code", (A, None), "code"),
    ("set_code", (A, "60"), "code"),
    ("set_storage", (A, 1, -1), "value"),
    ("set_storage", (A, 1, 2**256), "value"),
    ("set_block_hash", (1, b"\x01"), "block_hash"),
    ("set_block_hash", (2**64, bytes(32)), "number"),
    ("revert", ("one",), "snapshot"),
    ("discard", (-1,), "snapshot"),
    ("proof", (A, [-1]), "slots"),
    ("set_account", (A, None), "account"),
    ("apply", (None,), "diff"),
    ("apply", ({},), "diff"),
    ("undo", (None,), "diff"),
    ("complete", (b"",), "diff"),
    ("state_root", (b"",), "diff"),
]


def test_a_code_is_no_longer_than_what_can_run() -> None:
    state, code = MemoryState(), bytes(2**30 + 1)
    for give in (
        lambda: state.set_code(A, code),
        lambda: state.set_account(A, Account(code=code)),
        lambda: EVM(state).call(A, overrides={A: {"code": code}}),
        lambda: EVM(state).message(A, code=code),
    ):
        with pytest.raises(InputError, match=r"expected at most 2\*\*30 bytes of code, got 1073741825"):
            give()
    assert len(state) == 0


@pytest.mark.parametrize(("method", "arguments", "named"), WRONG_ARGUMENTS)
def test_wrong_arguments_are_named(method: str, arguments: tuple[Any, ...], named: str) -> None:
    state = MemoryState()
    with pytest.raises(InputError, match=f"'{named}'"):
        getattr(state, method)(*arguments)
    assert len(state) == 0


@pytest.mark.parametrize("number", [0, 1, 2**64 - 1])
def test_unknown_snapshots_are_refused(number: int) -> None:
    state = MemoryState()
    with pytest.raises(StateError, match=f"snapshot {number} is not known"):
        state.revert(number)
    with pytest.raises(StateError, match=f"snapshot {number} is not known"):
        state.discard(number)


# ---- threads


class Labelled(MemoryState):
    label = ""


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda state: pickle.loads(pickle.dumps(state))])
def test_a_state_can_be_pickled_and_copied_with_its_block_hashes(way: Callable[[Labelled], Labelled]) -> None:
    state = Labelled({A: Account(1, 2, b"\x00", {3: 4, 2**256 - 1: 5}), B: Account(balance=7)})
    state.label = "mine"
    state.set_block_hash(8, b"\x09" * 32)
    twin = way(state)
    assert twin == state and type(twin) is Labelled and twin.label == "mine"
    assert twin.block_hash(8) == b"\x09" * 32
    assert twin.state_root() == state.state_root()
    twin.set_balance(A, 3)
    assert state.balance(A) == 2


def test_writers_and_readers_in_many_threads() -> None:
    """Every reader sees the two balances that a writer sets together, as they were set together."""
    state = MemoryState({A: Account(storage={0: 0, 1: 0})})
    errors: list[BaseException] = []
    stop = threading.Event()

    def write(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(300):
            value = rng.getrandbits(256) | 1
            state.set_account(A, Account(storage={0: value, 1: value}))

    def read() -> None:
        while not stop.is_set():
            slots = state.slots(A)
            if slots.get(0) != slots.get(1):
                errors.append(AssertionError(f"torn read: {slots}"))
                return

    readers = [threading.Thread(target=read) for _ in range(4)]
    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert not errors


def test_state_objects_are_freed() -> None:
    """Making and dropping large states keeps the process's memory bounded (the tables are not garbage of Python)."""
    resource = pytest.importorskip("resource")

    def make() -> None:
        state = MemoryState({bytes([i]) * 20: Account(code=bytes(i * 100), storage={1: 1}) for i in range(1, 100)})
        number = state.snapshot()
        for address in state:
            state.delete_account(address)
        state.copy()
        state.revert(number)

    for _ in range(3):
        make()
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(60):
        make()
    unit = 1 if sys.platform == "darwin" else 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < 20_000_000


class Callback:
    """A text stream for a tracer that calls a function for every line: Python code that runs inside a call."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def write(self, text: str) -> None:
        self.function()


CODE = bytes.fromhex("6001600255" * 20 + "00")


def test_writing_from_inside_a_call_is_refused_not_deadlocked() -> None:
    state = MemoryState({A: Account(code=CODE)})
    tracer = EIP3155Tracer(Callback(lambda: state.set_balance(B, 1)))
    with pytest.raises(StateError, match="this thread is inside a call that reads the state"):
        EVM(state).call(A, tracer=tracer)
    assert B not in state
    state.set_balance(B, 1)


def test_a_reader_who_waits_for_a_writer_does_not_keep_the_gil_from_a_call() -> None:
    state = MemoryState({A: Account(code=CODE)})
    seen: list[int] = []
    writer = threading.Thread(target=lambda: state.set_balance(B, 1))
    reader = threading.Thread(target=lambda: seen.append(state.balance(B)))

    def look() -> None:
        for thread in (writer, reader):
            if not thread.ident:
                thread.start()
                thread.join(0.1)  # the one waits for this call, the other for the one

    EVM(state).call(A, tracer=EIP3155Tracer(Callback(look)))
    writer.join()
    reader.join()
    assert seen == [1]


def test_reading_from_inside_a_call_while_a_writer_waits() -> None:
    state = MemoryState({A: Account(code=CODE)})
    seen: set[int] = set()
    written = threading.Event()

    def write() -> None:
        state.set_balance(B, 1)
        written.set()

    writer = threading.Thread(target=write)

    def look() -> None:
        if not writer.ident:
            writer.start()
        written.wait(0.005)
        seen.add(state.balance(B))

    EVM(state).call(A, tracer=EIP3155Tracer(Callback(look)))
    writer.join()
    assert seen == {0}
    assert state.balance(B) == 1


# ---- fork

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
threads_and_fork = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def succeeds_in_child(work: Callable[[], bool]) -> bool:
    """Whether `work` gives True in a forked child. One that hangs is ended by the system."""
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        done = 1
        try:
            done = 0 if work() else 1
        finally:
            os._exit(done)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@forks
@threads_and_fork
def test_a_child_forked_while_a_call_runs_reads_and_writes() -> None:
    state = MemoryState({A: Account(code=CODE)})
    inside, forked = threading.Event(), threading.Event()

    def stay() -> None:
        inside.set()
        forked.wait()

    def write() -> bool:
        state.set_balance(B, 1)
        return state.balance(B) == 1 and EVM(state).call(A).success

    def call() -> None:
        EVM(state).call(A, tracer=EIP3155Tracer(Callback(stay)))

    calling = threading.Thread(target=call)
    writing = threading.Thread(target=lambda: state.set_balance(A, 7))
    calling.start()
    inside.wait()
    writing.start()  # and waits for the call
    try:
        assert succeeds_in_child(write)
    finally:
        forked.set()
        calling.join()
        writing.join()
    assert (state.balance(A), B in state) == (7, False)


@forks
@threads_and_fork
def test_a_child_forked_inside_a_call_is_inside_it_too() -> None:
    state = MemoryState({A: Account(code=CODE)})
    children: list[bool] = []

    def refused() -> bool:
        with pytest.raises(StateError, match="this thread is inside a call"):
            state.set_balance(B, 1)
        return state.balance(B) == 0

    def fork() -> None:
        if not children:
            children.append(succeeds_in_child(refused))

    EVM(state).call(A, tracer=EIP3155Tracer(Callback(fork)))
    assert children == [True]


@forks
@threads_and_fork
def test_children_forked_while_others_write_have_a_whole_state() -> None:
    """Threads set two balances together, and ask for roots of a trie that is kept."""
    state = MemoryState({address: Account(balance=1, storage={0: 5, 1: 5}) for address in ADDRESSES})
    stop = threading.Event()

    def write(seed: int) -> None:
        rng = random.Random(seed)
        while not stop.is_set():
            value = rng.getrandbits(200) | 1
            state.set_account(rng.choice(ADDRESSES), Account(balance=1, storage={0: value, 1: value}))

    def ask() -> None:
        while not stop.is_set():
            state.state_root()

    def is_whole() -> bool:
        whole = all(state.storage(address, 0) == state.storage(address, 1) for address in ADDRESSES)
        state.set_balance(A, 7)
        return whole and state.state_root() == MemoryState(state.dump()).state_root()

    others = [threading.Thread(target=write, args=(seed,)) for seed in range(2)] + [threading.Thread(target=ask)]
    for thread in others:
        thread.start()
    try:
        assert all(succeeds_in_child(is_whole) for _ in range(40))
    finally:
        stop.set()
        for thread in others:
            thread.join()
