"""States written in Python: a SQLite-backed one gives the same answers as the memory state, and mistakes are named."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from Crypto.Hash import keccak

from evmcore import EVM, Transaction, execute_block
from evmcore._diff import AccountFields, StateDiff
from evmcore.errors import InputError, StateError
from evmcore.state import AccountInfo, Backend, MemoryState, State, as_backend
from evmcore.state._view import read_account
from evmcore.types import Account, BlockEnv
from tests.small_blocks import block_of, transfer

SENDER, OTHER = b"\xaa" * 20, b"\xbb" * 20

# Stores calldata's second word under its first; destroys itself for one byte of calldata; returns slot 0 for none.
STORE = bytes.fromhex("3615601757366001146014576020356000355500" + "5b33ff" + "5b60005460005260206000f3")
# Makes a contract from calldata with CREATE2 and salt zero.
FACTORY = bytes.fromhex("366000600037" + "60003660006000f55000")


def init_code(runtime: bytes) -> bytes:
    return bytes((0x60, len(runtime), 0x80, 0x60, 11, 0x60, 0, 0x39, 0x60, 0, 0xF3)) + runtime


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def hash_of(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


class SqliteState(State):
    """Accounts, slots, codes and block hashes in a SQLite file; one connection per thread, one transaction per diff."""

    SCHEMA = """
        create table if not exists accounts (address blob primary key, nonce blob, balance blob, code_hash blob);
        create table if not exists slots (address blob, slot blob, value blob, primary key (address, slot));
        create table if not exists codes (code_hash blob primary key, code blob);
        create table if not exists block_hashes (number blob primary key, hash blob);
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.local = threading.local()
        self.connections: list[sqlite3.Connection] = []
        self.db.executescript(self.SCHEMA)

    @property
    def db(self) -> sqlite3.Connection:
        if not hasattr(self.local, "db"):
            self.local.db = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None)
            self.connections.append(self.local.db)
        return self.local.db  # type: ignore[no-any-return]

    def close(self) -> None:
        for connection in self.connections:
            connection.close()

    def row(self, query: str, *values: bytes) -> tuple[Any, ...] | None:
        return self.db.execute(query, values).fetchone()  # type: ignore[no-any-return]

    def account(self, address: bytes) -> AccountInfo | None:
        row = self.row("select nonce, balance, code_hash from accounts where address = ?", address)
        if row is None:
            return None
        has_storage = self.row("select 1 from slots where address = ?", address) is not None
        return AccountInfo(int.from_bytes(row[0], "big"), int.from_bytes(row[1], "big"), row[2], has_storage)

    def storage(self, address: bytes, slot: int) -> int:
        row = self.row("select value from slots where address = ? and slot = ?", address, word(slot))
        return 0 if row is None else int.from_bytes(row[0], "big")

    def code(self, address: bytes, code_hash: bytes) -> bytes:
        row = self.row("select code from codes where code_hash = ?", code_hash)
        if row is None:
            raise LookupError(f"no code of hash {code_hash.hex()}")
        return row[0]  # type: ignore[no-any-return]

    def block_hash(self, number: int) -> bytes | None:
        row = self.row("select hash from block_hashes where number = ?", word(number))
        return None if row is None else row[0]

    def set_block_hash(self, number: int, block_hash: bytes) -> None:
        self.db.execute("insert or replace into block_hashes values (?, ?)", (word(number), block_hash))

    def fields(self, address: bytes) -> AccountFields | None:
        found = self.account(address)
        return None if found is None else AccountFields(found.nonce, found.balance, found.code_hash)

    def apply(self, diff: StateDiff) -> None:
        self.db.execute("begin immediate")
        try:
            for change in diff.account_changes:
                if self.fields(change.address) != change.old:
                    raise StateError(f"account 0x{change.address.hex()} is not what the diff starts from")
            for slot in diff.storage_changes:
                if self.storage(slot.address, slot.key) != slot.old:
                    raise StateError(f"slot {slot.key:#x} of 0x{slot.address.hex()} is not what the diff starts from")
            for change in diff.account_changes:
                if change.wiped or change.new is None:
                    self.db.execute("delete from slots where address = ?", (change.address,))
                self.db.execute("delete from accounts where address = ?", (change.address,))
                if change.new is not None:
                    nonce, balance, code_hash = change.new
                    row = (change.address, word(nonce), word(balance), code_hash)
                    self.db.execute("insert into accounts values (?, ?, ?, ?)", row)
            for slot in diff.storage_changes:
                self.db.execute("delete from slots where address = ? and slot = ?", (slot.address, word(slot.key)))
                if slot.new:
                    self.db.execute(
                        "insert into slots values (?, ?, ?)", (slot.address, word(slot.key), word(slot.new))
                    )
            for item in diff.codes.items():
                self.db.execute("insert or replace into codes values (?, ?)", item)
            self.db.execute("commit")
        except BaseException:
            self.db.execute("rollback")
            raise

    def as_memory(self) -> MemoryState:
        state = MemoryState()
        for (address,) in self.db.execute("select address from accounts").fetchall():
            info = self.account(address)
            assert info is not None
            rows = self.db.execute("select slot, value from slots where address = ?", (address,)).fetchall()
            slots = {int.from_bytes(slot, "big"): int.from_bytes(value, "big") for slot, value in rows}
            code = b"" if info.code_hash == hash_of(b"") else self.code(address, info.code_hash)
            state.set_account(address, Account(info.nonce, info.balance, code, slots))
        return state


@pytest.fixture
def sqlite_state(tmp_path: Path) -> Iterator[SqliteState]:
    state = SqliteState(tmp_path / "state.db")
    yield state
    state.close()


def fund(state: MemoryState | SqliteState, address: bytes, balance: int) -> None:
    """Gives a new account a balance, through a diff: the one way in that both backends have."""
    fields = {"nonce": "0x0", "balance": hex(balance), "codeHash": "0x" + hash_of(b"").hex()}
    change = {"0x" + address.hex(): {"old": None, "new": fields}}
    state.apply(StateDiff.from_json({"accounts": change, "storage": {}, "codes": {}}))


def run_random_transactions(states: list[Any], seed: int, count: int, fork: str) -> list[list[StateDiff]]:
    """The same transactions on every state: transfers, storage writes, contracts destroyed and made again."""
    rng = random.Random(seed)
    evms = [EVM(state, fork) for state in states]
    diffs: list[list[StateDiff]] = [[] for _ in states]
    for state in states:
        fund(state, SENDER, 10**18)

    def everywhere(nonce: int, **fields: Any) -> None:
        results = []
        for evm, kept in zip(evms, diffs, strict=True):
            result = evm.transact(Transaction(sender=SENDER, nonce=nonce, gas_price=0, gas_limit=3_000_000, **fields))
            kept.append(result.diff)
            results.append((result.status, result.gas_used, result.output, result.created_address))
        assert len(set(results)) == 1

    everywhere(0, to=None, data=init_code(FACTORY))
    factory = next(change.address for change in diffs[0][0].account_changes if change.new.code_hash == hash_of(FACTORY))
    child_code = init_code(STORE)
    child = hash_of(b"\xff" + factory + bytes(32) + hash_of(child_code))[12:]
    for nonce in range(1, count):
        kind = rng.randrange(8)
        if kind == 0:
            everywhere(nonce, to=rng.choice((SENDER, OTHER, rng.randbytes(20))), value=rng.randrange(1000))
        elif kind == 1:
            everywhere(nonce, to=factory, data=child_code)
        elif kind == 2:
            everywhere(nonce, to=child, data=b"\x01", value=rng.randrange(2))
        else:
            value = rng.choice((0, 1, rng.getrandbits(256)))
            everywhere(nonce, to=child, data=word(rng.randrange(10)) + word(value))
    return diffs


@pytest.mark.parametrize("fork", ["istanbul", "shanghai", "osaka"])
def test_sqlite_and_memory_agree(sqlite_state: SqliteState, fork: str) -> None:
    memory = MemoryState()
    for_memory, for_sqlite = run_random_transactions([memory, sqlite_state], seed=7, count=60, fork=fork)
    assert sqlite_state.as_memory() == memory
    assert sqlite_state.as_memory().state_root() == memory.state_root()
    assert [diff.account_changes for diff in for_memory] == [diff.account_changes for diff in for_sqlite]


@pytest.mark.parametrize("seed", range(6))
def test_diffs_of_real_transactions_are_undone_exactly(seed: int) -> None:
    state = MemoryState()
    diffs = run_random_transactions([state], seed, 80, "shanghai")[0]
    assert any(change.wiped for diff in diffs for change in diff.account_changes)
    joined = diffs[0]
    for diff in diffs[1:]:
        joined = joined.compose(diff)
    last = state.dump()
    start = MemoryState()
    fund(start, SENDER, 10**18)
    again = start.copy()
    again.apply(joined)
    assert again.dump() == last
    again.undo(joined)
    assert again.dump() == start.dump()
    for diff in reversed(diffs):
        state.undo(diff)
    assert state.dump() == start.dump()
    for diff in diffs:
        state.apply(StateDiff.from_bytes(diff.to_bytes()))
    assert state.dump() == last


def test_calls_in_native_threads(sqlite_state: SqliteState) -> None:
    fund(sqlite_state, SENDER, 10**18)
    evm = EVM(sqlite_state)
    address = evm.deploy(init_code(STORE), sender=SENDER).created_address
    fields: dict[str, Any] = {"sender": SENDER, "nonce": 1, "gas_price": 0, "gas_limit": 99_999}
    evm.transact(Transaction(to=address, data=word(0) + word(5), **fields))
    results = evm.call_many([{"to": address}] * 40, threads=4)
    assert {result.output for result in results} == {word(5)}


def test_block_hashes_come_from_the_state(sqlite_state: SqliteState) -> None:
    sqlite_state.set_block_hash(9, b"\x09" * 32)
    code = bytes.fromhex("600940600052600840602052" + "60406000f3")
    evm = EVM(sqlite_state, block=BlockEnv(number=10))
    assert evm.message(OTHER, code=code).output == b"\x09" * 32 + bytes(32)


# ---- mistakes of the state's author


class Faulty(State):
    """Answers with what it was given; exceptions are raised."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    def answer(self, method: str, usual: Any) -> Any:
        given = self.answers.get(method, usual)
        if isinstance(given, BaseException):
            raise given
        return given

    def account(self, address: bytes) -> Any:
        return self.answer("account", AccountInfo(1, 10**18, hash_of(STORE)))

    def storage(self, address: bytes, slot: int) -> Any:
        return self.answer("storage", 0)

    def code(self, address: bytes, code_hash: bytes) -> Any:
        return self.answer("code", STORE)

    def block_hash(self, number: int) -> Any:
        return self.answer("block_hash", None)


BLOCKHASH_CODE = bytes.fromhex("600940")
WRONG_ANSWERS: list[tuple[str, Any, str]] = [
    ("account", 5, r"Faulty.account must give Account, AccountInfo or None, got int: 5"),
    ("account", {"balance": 1}, r"Faulty.account must give .*, got dict"),
    ("storage", None, r"Faulty.storage must give an int in \[0, 2\*\*256\), got NoneType"),
    ("storage", -1, r"got int: -1"),
    ("storage", 2**256, r"got int: 1157"),
    ("storage", b"\x00", r"got bytes"),
    ("storage", True, r"got bool"),
    ("code", None, r"Faulty.code must give bytes, got NoneType"),
    ("code", "0x00", r"Faulty.code must give bytes, got str"),
    ("code", b"\x00\x01\x02", r"Faulty.code gave 3 bytes of hash 0x\w+ for 0xbbbb\w+, whose code has the hash 0x"),
    ("block_hash", 5, r"Faulty.block_hash must give 32 bytes or None, got int"),
    ("block_hash", b"\x01", r"Faulty.block_hash must give 32 bytes or None, got bytes"),
]


@pytest.fixture
def fresh_code() -> bytes:
    """Code that no cache has seen yet."""
    return STORE + random.randbytes(8)


@pytest.mark.parametrize(("method", "answer", "message"), WRONG_ANSWERS)
def test_wrong_answers_are_named(method: str, answer: Any, message: str, fresh_code: bytes) -> None:
    usual = AccountInfo(1, 10**18, hash_of(fresh_code))
    state = Faulty(**{"account": usual, "code": fresh_code, method: answer})
    evm = EVM(state, block=BlockEnv(number=10))
    with pytest.raises(StateError) as caught:
        if method == "block_hash":
            evm.message(OTHER, code=BLOCKHASH_CODE)
        else:
            evm.call(OTHER)
    assert isinstance(caught.value.__cause__, StateError)
    caught.match("could not be read")
    with pytest.raises(StateError, match=message):
        raise caught.value.__cause__


def test_bytes_of_another_library_are_taken(fresh_code: bytes) -> None:
    class HexBytes(bytes):
        """A kind of bytes, as web3 gives them."""

    info = AccountInfo(1, 10**18, HexBytes(hash_of(fresh_code)))
    state = Faulty(account=info, code=HexBytes(fresh_code), block_hash=HexBytes(b"\x09" * 32))
    evm = EVM(state, block=BlockEnv(number=10))
    assert evm.call(HexBytes(OTHER), HexBytes(word(0)), sender=HexBytes(SENDER)).success
    assert (
        evm.message(HexBytes(OTHER), code=HexBytes(BLOCKHASH_CODE + bytes.fromhex("60005260206000f3"))).output
        == b"\x09" * 32
    )


@pytest.mark.parametrize("method", ["account", "storage", "code", "block_hash"])
def test_exceptions_stop_the_call_and_are_its_cause(method: str, fresh_code: bytes) -> None:
    problem = ConnectionError("the node is gone")
    usual = AccountInfo(1, 10**18, hash_of(fresh_code))
    state = Faulty(**{"account": usual, "code": fresh_code, method: problem})
    evm = EVM(state, block=BlockEnv(number=10))
    for _ in range(2):
        with pytest.raises(StateError) as caught:
            if method == "block_hash":
                evm.message(OTHER, code=BLOCKHASH_CODE)
            else:
                evm.call(OTHER)
        assert caught.value.__cause__ is problem
    state.answers.clear()
    if method not in ("account", "code"):
        assert evm.call(OTHER).output == word(0)


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_is_no_failure_of_the_state(signal: type[BaseException]) -> None:
    state = Faulty(account=signal())
    evm = EVM(state)
    block = block_of(transfer(1, OTHER), transfer(2, OTHER))
    runs: list[Callable[[], object]] = [
        lambda: evm.call(OTHER),
        lambda: evm.call_many([(OTHER,)]),
        lambda: execute_block(block, state, "cancun", threads=1, validate=False),
        lambda: read_account(as_backend(state), OTHER),
    ]
    for run in runs:
        with pytest.raises(signal):
            run()


def test_errors_of_threads_do_not_mix() -> None:
    class PerThread(State):
        def account(self, address: bytes) -> Account | None:
            raise LookupError(threading.get_ident())

    evm = EVM(PerThread())
    wrong: list[object] = []

    def run() -> None:
        for _ in range(50):
            try:
                evm.call(OTHER)
            except StateError as error:
                cause = error.__cause__
                if not isinstance(cause, LookupError) or cause.args != (threading.get_ident(),):
                    wrong.append(cause)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_is_not_defined_says_so() -> None:
    class Nothing(State):
        pass

    with pytest.raises(StateError) as caught:
        EVM(Nothing()).call(OTHER)
    assert str(caught.value.__cause__) == "Nothing must define account(address)"

    class NoCode(State):
        def account(self, address: bytes) -> AccountInfo:
            return AccountInfo(1, 0, hash_of(b"no such code"))

    with pytest.raises(StateError) as caught:
        EVM(NoCode()).call(OTHER)
    assert "NoCode must define code(address, code_hash)" in str(caught.value.__cause__)


def test_accounts_may_bring_their_code() -> None:
    class Fixed(State):
        def account(self, address: bytes) -> Account | None:
            return Account(1, 0, STORE) if address == OTHER else None

        def storage(self, address: bytes, slot: int) -> int:
            return 42

    assert EVM(Fixed()).call(OTHER).output == word(42)


def test_a_state_without_apply_is_read_only() -> None:
    evm = EVM(Faulty(account=None))
    with pytest.raises(StateError, match=r"Faulty is read-only: define apply\(diff\)"):
        evm.deploy(init_code(STORE))
    with pytest.raises(StateError, match="does not support snapshots"):
        as_backend(Faulty()).snapshot()


# ---- what a caller may give


def test_as_backend() -> None:
    memory = MemoryState()
    assert as_backend(memory) is memory
    state = Faulty()
    assert as_backend(state).state is state  # type: ignore[attr-defined]
    made = as_backend({OTHER: Account(1)})
    assert isinstance(made, MemoryState)
    assert made.nonce(OTHER) == 1
    assert isinstance(made, Backend)


@pytest.mark.parametrize("state", [None, 5, "latest", [], object(), State])
def test_what_is_no_state_is_refused(state: Any) -> None:
    with pytest.raises(InputError, match="argument 'state': expected MemoryState"):
        as_backend(state)


@pytest.mark.parametrize("wrong", [None, {}, b""])
def test_what_is_no_diff_is_not_completed(wrong: Any) -> None:
    with pytest.raises(InputError, match="argument 'diff': expected StateDiff, got"):
        as_backend(Faulty()).complete(wrong)


# ---- threads


def test_calls_see_one_state_while_diffs_are_applied() -> None:
    """Slots 0 and 1 are always changed together; every call must find them equal."""
    compare = bytes.fromhex("600154600054" + "1460005260206000f3")
    state = MemoryState({OTHER: Account(code=compare, storage={0: 1, 1: 1})})
    evm = EVM(state)
    slots = {"0x0": {"old": "0x1", "new": "0x2"}, "0x1": {"old": "0x1", "new": "0x2"}}
    diff = StateDiff.from_json({"accounts": {}, "storage": {"0x" + OTHER.hex(): slots}, "codes": {}})
    stop = threading.Event()
    counts = [0] * 4
    errors: list[Any] = []

    def read(which: int) -> None:
        try:
            while not stop.is_set():
                outputs = [evm.call(OTHER).output]
                if which == 0:
                    outputs += [result.output for result in evm.call_many([{"to": OTHER}] * 8, threads=2)]
                if set(outputs) != {word(1)}:
                    errors.append(outputs)
                counts[which] += 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read, args=(which,)) for which in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(1500):
        state.apply(diff)
        state.undo(diff)
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert min(counts) > 0
    assert state.slots(OTHER) == {0: 1, 1: 1}
