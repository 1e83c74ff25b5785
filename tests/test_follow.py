"""Following a chain: the state in Redis is the one after the head, through restarts, reorganisations and failures."""

from __future__ import annotations

import fcntl
import json
import lzma
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from evmcore.bench import replay
from evmcore.block_sources import Advance, BlocksWithState, ChainFile, Rewind
from evmcore.blocks import Block, Header
from evmcore.cli import main
from evmcore.errors import InputError, InvalidBlock, ReorgTooDeep, StateError, WrongParent
from evmcore.follower import ExecutingChanger, Follower, Progress, StatefulChanger
from evmcore.state.layout import Keys
from evmcore.state.loading import Loader
from evmcore.state.publisher import Publisher
from evmcore.state.sources import from_block, from_memory
from tests.faulty_proxy import FaultyProxy
from tests.redis_server import RedisServer
from tests.rpc_compat import head_state
from tests.shared_files import shared_path
from tests.small_chain import GENESIS, SmallChain, chain_bytes, genesis_file
from tests.stored_state import Stored, keccak256, read_state, state_of
from tests.waiting import PATIENCE

KEYS = Keys(77)


class Following:
    """A follower of a chain file in this process, on a state loaded from the small chain's genesis."""

    def __init__(self, redis: Any, chain: SmallChain, path: Path, **options: Any) -> None:
        self.publisher = Publisher(redis, 77, **options)
        if self.publisher.head() is None:
            Loader(self.publisher, chain.genesis.header, complete=True).run(
                from_memory(chain.states[chain.genesis.hash])
            )
        self.source = ChainFile(path, chain.genesis.header)
        self.source.ancestors = self.publisher.ancestors
        self.changer = ExecutingChanger(self.publisher, chain.config)
        self.reports: list[Progress] = []
        self.follower = Follower(self.publisher, self.source, self.changer, report=self.reports.append)

    def __enter__(self) -> Following:
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()
        self.publisher.close()


@pytest.fixture
def chain() -> SmallChain:
    return SmallChain()


def write(path: Path, blocks: list[Block]) -> Path:
    path.write_bytes(chain_bytes(blocks))
    return path


# ---- the chain of the execution APIs


def test_the_chain_of_the_execution_apis_ends_in_its_head_state(
    client: Any,
    server: RedisServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = shared_path("rpc-compat", "chain")
    files = ["--chain", str(folder / "chain.rlp"), "--genesis", str(folder / "genesis.json")]
    where = ["--redis", server.url]
    assert main(["follow", *where, *files, "--until", "20", "--quiet"]) == 0
    assert "block 20 " in capsys.readouterr().out
    # The rules of the chain are kept with the state.
    assert main(["follow", *where, *files[:2], "--chain-id", "3503995874084926"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 35 and lines[0].startswith("block 21 ")
    head = "d226371d0b1551adb03fb52b71f08e3e11247fe9b1af994768af8cdaa8e7dcd7"
    assert lines[-1].startswith(f"head: block 54 0x{head}, 34 blocks in ")
    assert read_state(client, 3503995874084926) == head_state(folder / "headstate.json")


def test_a_chain_id_that_is_not_that_of_the_genesis_is_refused(
    client: Any, server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shared_path("rpc-compat", "chain")
    files = ["--chain", str(folder / "chain.rlp"), "--genesis", str(folder / "genesis.json")]
    assert main(["follow", "--redis", server.url, *files, "--chain-id", "5"]) == 2
    assert "--chain-id 5: the genesis is of chain 3503995874084926" in capsys.readouterr().err
    assert client.keys() == []


def test_blocks_can_be_executed_on_several_threads(client: Any, server: RedisServer) -> None:
    folder = shared_path("rpc-compat", "chain")
    files = ["--chain", str(folder / "chain.rlp"), "--genesis", str(folder / "genesis.json")]
    assert main(["follow", "--redis", server.url, *files, "--threads", "2", "--no-state-root", "--quiet"]) == 0
    assert read_state(client, 3503995874084926) == head_state(folder / "headstate.json")


@pytest.mark.parametrize("threads", ["1", "2"])
def test_blocks_can_be_executed_on_the_state_in_redis(client: Any, server: RedisServer, threads: str) -> None:
    folder = shared_path("rpc-compat", "chain")
    files = ["--chain", str(folder / "chain.rlp"), "--genesis", str(folder / "genesis.json")]
    where = ["--redis", server.url, "--execute-on", "redis", "--threads", threads, "--quiet"]
    assert main(["follow", *where, *files, "--until", "20"]) == 0
    assert main(["follow", *where, *files]) == 0
    assert read_state(client, 3503995874084926) == head_state(folder / "headstate.json")


def test_branches_are_followed_on_the_state_in_redis(
    client: Any, server: RedisServer, chain: SmallChain, tmp_path: Path
) -> None:
    trunk = chain.grow(chain.genesis, 8)
    first, second = chain.grow(trunk[-1], 4, b"first"), chain.grow(trunk[-1], 6, b"second")
    path = write(tmp_path / "chain.rlp", [*trunk, *first, *second])
    files = ("--chain", str(path), "--genesis", genesis_file(tmp_path))
    assert main(["follow", "--redis", server.url, "--execute-on", "redis", *files, "--quiet"]) == 0
    assert client.hget(KEYS.head, "hash") == second[-1].hash
    assert read_state(client, 77) == state_of(chain.states[second[-1].hash])


# ---- restarts and signals


def follow_command(redis: RedisServer, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "evmcore", "follow", "--redis", redis.url, *arguments]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_follower_that_was_ended_goes_on_where_it_stopped(
    client: Any,
    server: RedisServer,
    chain: SmallChain,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    blocks = chain.grow(chain.genesis, 400)
    path = write(tmp_path / "chain.rlp", blocks)
    files = ("--chain", str(path), "--genesis", genesis_file(tmp_path))
    ended_early = 0
    for _ in range(3):
        process = follow_command(server, *files)
        assert process.stdout is not None
        # It stands still until what it writes is read, so that it is not done with all blocks before the signal comes.
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
        for _ in range(20):
            process.stdout.readline()
        process.send_signal(number)
        output, errors = process.communicate(timeout=PATIENCE)
        if number == signal.SIGTERM:
            assert process.returncode == 0 and errors == ""
            assert output.splitlines()[-1].startswith("head: block ")
        head = int(client.hget(KEYS.head, "number"))
        ended_early += head < 400
        block = blocks[head - 1]
        assert client.hget(KEYS.head, "hash") == block.hash
        assert read_state(client, 77) == state_of(chain.states[block.hash])
    assert ended_early
    assert main(["follow", "--redis", server.url, *files, "--quiet"]) == 0
    assert read_state(client, 77) == state_of(chain.states[blocks[-1].hash])


def test_a_second_follower_ends_the_first(
    client: Any,
    server: RedisServer,
    chain: SmallChain,
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "chain.rlp", chain.grow(chain.genesis, 3000))
    process = follow_command(server, "--chain", str(path), "--genesis", genesis_file(tmp_path), "--no-state-root")
    assert process.stdout is not None
    process.stdout.readline()
    Publisher(client, 77).close()
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert "evmcore follow: error: another writer took over {evm:77}: its epoch is 2, this one's 1" in errors


# ---- branches


def test_a_branch_that_comes_later_becomes_the_chain(client: Any, chain: SmallChain, tmp_path: Path) -> None:
    trunk = chain.grow(chain.genesis, 5)
    first = chain.grow(trunk[-1], 6, b"first")
    second = chain.grow(trunk[-1], 4, b"second")
    third = chain.grow(first[2], 2, b"third")
    path = write(tmp_path / "chain.rlp", [*trunk, *first, *second, *third])
    with Following(client, chain, path) as following:
        head = following.follower.run()
        assert head.hash == third[-1].hash
        assert read_state(client, 77) == state_of(chain.states[third[-1].hash])
        assert following.changer.state == chain.states[third[-1].hash]
        hashes = following.publisher.block_hashes()
        assert hashes == {block.header.number: block.hash for block in [chain.genesis, *trunk, *first[:3], *third]}
        assert sum(report.reverted for report in following.reports) == 2


def test_branches_are_followed_after_a_restart_at_any_block(client: Any, chain: SmallChain, tmp_path: Path) -> None:
    """What was executed by an earlier process is taken back too."""
    trunk = chain.grow(chain.genesis, 3)
    first, second = chain.grow(trunk[-1], 4, b"first"), chain.grow(trunk[-1], 5, b"second")
    path = write(tmp_path / "chain.rlp", [*trunk, *first, *second])
    for until in range(1, 8):
        client.flushall()
        with Following(client, chain, path) as following:
            following.follower.run(last=until)
        with Following(client, chain, path) as following:
            assert following.follower.run().hash == second[-1].hash
        assert read_state(client, 77) == state_of(chain.states[second[-1].hash])


def test_a_branch_from_before_the_feed_is_refused(client: Any, chain: SmallChain, tmp_path: Path) -> None:
    client.config_set("stream-node-max-entries", 1)
    trunk = chain.grow(chain.genesis, 12)
    branch = chain.grow(trunk[1], 12, b"other")
    path = write(tmp_path / "chain.rlp", [*trunk, *branch])
    try:
        with Following(client, chain, path, ring=8) as following, pytest.raises(ReorgTooDeep):
            following.follower.run()
    finally:
        client.config_set("stream-node-max-entries", 100)
    assert read_state(client, 77) == state_of(chain.states[trunk[-1].hash])


# ---- a file without the head


@pytest.mark.parametrize("first", [0, 5, 6])
@pytest.mark.parametrize("execute_on", ["memory", "redis"])
def test_a_file_of_another_branch_is_followed_from_where_the_two_part(
    client: Any,
    server: RedisServer,
    chain: SmallChain,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    first: int,
    execute_on: str,
) -> None:
    """Whether it has all the blocks or begins shortly before that one, or on it."""
    trunk = chain.grow(chain.genesis, 6)
    old, new = chain.grow(trunk[-1], 4, b"old"), chain.grow(trunk[-1], 2, b"new")
    command = ["follow", "--redis", server.url, "--genesis", genesis_file(tmp_path)]
    assert main([*command, "--chain", str(write(tmp_path / "old.rlp", [*trunk, *old])), "--quiet"]) == 0
    capsys.readouterr()
    path = write(tmp_path / "new.rlp", [*trunk, *new][first:])
    where = ["--chain-id", "77", "--execute-on", execute_on]
    assert main([*command[:3], *where, "--chain", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"back to block 6 0x{trunk[-1].hash.hex()}"
    assert lines[-1].startswith(f"head: block 8 0x{new[-1].hash.hex()}, 2 blocks in ")
    assert read_state(client, 77) == state_of(chain.states[new[-1].hash])


def test_a_file_whose_last_block_is_before_the_head_changes_nothing(
    client: Any, chain: SmallChain, tmp_path: Path
) -> None:
    blocks = chain.grow(chain.genesis, 6)
    for end in (6, 4, 1):
        with Following(client, chain, write(tmp_path / "chain.rlp", blocks[:end])) as following:
            assert following.follower.run().hash == blocks[-1].hash
            assert sum(report.reverted for report in following.reports) == 0
    assert read_state(client, 77) == state_of(chain.states[blocks[-1].hash])


def test_a_branch_that_is_lighter_than_where_it_parts_from_is_no_reason_to_go_back(tmp_path: Path) -> None:
    """Before the merge, when weights count."""
    trunk = [Header(difficulty=7)]
    for number in range(1, 6):
        trunk.append(Header(number=number, difficulty=10, parent_hash=trunk[-1].hash))
    light = Header(number=4, difficulty=9, parent_hash=trunk[3].hash)
    heavy = Header(number=5, difficulty=12, parent_hash=light.hash)
    for branch, ways in (([light], [None]), ([light, heavy], [Rewind(trunk[4].hash), Rewind(trunk[3].hash)])):
        source = ChainFile(write(tmp_path / "chain.rlp", [Block(header) for header in [*trunk[:5], *branch]]))
        source.ancestors = lambda: [(header.number, header.hash) for header in trunk[4::-1]]
        assert [source.next(header) for header in trunk[5:3:-1]][: len(ways)] == ways
        source.close()


def test_a_file_that_parts_from_the_state_before_the_feed_says_how_far_that_goes(
    client: Any, server: RedisServer, chain: SmallChain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client.config_set("stream-node-max-entries", 1)
    trunk = chain.grow(chain.genesis, 12)
    branch = chain.grow(trunk[1], 12, b"other")
    try:
        with Following(client, chain, write(tmp_path / "old.rlp", trunk), ring=8) as following:
            following.follower.run()
            oldest, oldest_hash = list(following.publisher.ancestors())[-1]
    finally:
        client.config_set("stream-node-max-entries", 100)
    assert 3 < oldest < 12 and oldest_hash == trunk[oldest - 1].hash
    command = ["follow", "--redis", server.url, "--chain-id", "77", "--genesis", genesis_file(tmp_path), "--chain"]
    reach = f"to block {oldest} 0x{oldest_hash.hex()}, to which it can go back: "
    for blocks, said in (
        ([*trunk[:2], *branch], f"{reach}the state has to be loaded anew"),
        (branch[oldest:], f"{reach}the blocks {oldest + 1} to {oldest + 2} are missing"),
        (trunk[: oldest - 2], f"{reach}the blocks {oldest - 1} to {oldest} are missing"),
    ):
        assert main([*command, str(write(tmp_path / "new.rlp", blocks))]) == 2
        error = capsys.readouterr().err
        assert f"none of those from block 12 0x{trunk[-1].hash.hex()}, where the state is, {said}" in error
    assert client.hget(KEYS.head, "hash") == trunk[-1].hash


# ---- what is wrong with input


def test_an_invalid_block_ends_the_follower_at_its_parent(
    client: Any,
    server: RedisServer,
    chain: SmallChain,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    blocks = chain.grow(chain.genesis, 4)
    bad = Block(blocks[3].header, withdrawals=blocks[2].withdrawals)
    path = write(tmp_path / "chain.rlp", [*blocks[:3], bad])
    files = ["--chain", str(path), "--genesis", genesis_file(tmp_path)]
    assert main(["follow", "--redis", server.url, *files, "--quiet"]) == 1
    assert "error: the block after block 3: block: INVALID_WITHDRAWALS_ROOT" in capsys.readouterr().err
    assert read_state(client, 77) == state_of(chain.states[blocks[2].hash])


def test_a_file_that_is_not_made_of_blocks_is_refused_by_position(chain: SmallChain, tmp_path: Path) -> None:
    blocks = chain.grow(chain.genesis, 2)
    data = chain_bytes(blocks)
    path = tmp_path / "chain.rlp"
    path.write_bytes(data[:-5])
    with pytest.raises(InvalidBlock, match=f"block at byte {len(blocks[0].encode())}"):
        ChainFile(path)
    path.write_bytes(chain_bytes([blocks[1], blocks[1], chain.genesis]))
    with pytest.raises(InvalidBlock, match="UNKNOWN_PARENT"):
        ChainFile(path)
    with pytest.raises(InputError, match="No such file"):
        ChainFile(tmp_path / "none")


def test_a_chain_file_may_begin_with_the_genesis(
    client: Any, server: RedisServer, chain: SmallChain, tmp_path: Path
) -> None:
    blocks = chain.grow(chain.genesis, 3)
    path = write(tmp_path / "chain.rlp", [chain.genesis, *blocks])
    files = ["--chain", str(path), "--genesis", genesis_file(tmp_path)]
    assert main(["follow", "--redis", server.url, *files, "--quiet"]) == 0
    assert read_state(client, 77) == state_of(chain.states[blocks[2].hash])


def test_total_difficulties_count_the_genesis_once_or_are_not_known(tmp_path: Path) -> None:
    headers = [Header(difficulty=7)]
    for number in range(1, 4):
        headers.append(Header(number=number, difficulty=10, parent_hash=headers[-1].hash))
    blocks = [Block(header) for header in headers]
    for first, before_last in ((0, 27), (1, 27), (2, None)):
        source = ChainFile(write(tmp_path / "chain.rlp", blocks[first:]), headers[0])
        step = source.next(headers[2])
        assert isinstance(step, Advance) and step.block == blocks[3]
        assert step.parent_difficulty == before_last
        source.close()


@pytest.mark.parametrize("first", [0, 1])
def test_a_chain_file_on_another_genesis_is_refused_before_anything_is_loaded(
    first: int, client: Any, server: RedisServer, chain: SmallChain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = [chain.genesis, *chain.grow(chain.genesis, 2)]
    path = write(tmp_path / "chain.rlp", blocks[first:])
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**GENESIS, "timestamp": "0x1"}))
    assert main(["follow", "--redis", server.url, "--chain", str(path), "--genesis", str(other)]) == 2
    assert f"begins with block {first} 0x{blocks[first].hash.hex()}" in capsys.readouterr().err
    assert client.dbsize() == 0


def test_a_chain_file_of_other_blocks_is_refused(client: Any, chain: SmallChain, tmp_path: Path) -> None:
    blocks = chain.grow(chain.genesis, 5)
    with Following(client, chain, write(tmp_path / "a.rlp", blocks[:2])) as following:
        following.follower.run()
    with (
        Following(client, chain, write(tmp_path / "b.rlp", blocks[3:])) as following,
        pytest.raises(InputError, match=r"begins with block 4 on .*, the state is at block 2 .*: block 3 is missing"),
    ):
        following.follower.run()


def test_a_state_with_another_root_than_its_head_is_not_followed_from(
    client: Any, chain: SmallChain, tmp_path: Path
) -> None:
    publisher = Publisher(client, 77)
    state = chain.states[chain.genesis.hash].copy()
    state.set_balance(b"\1" * 20, 1)
    Loader(publisher, chain.genesis.header, complete=True).run(from_memory(state))
    with pytest.raises(StateError, match="the state in Redis has the root 0x"):
        ExecutingChanger(publisher, chain.config)
    publisher.close()


def test_selected_accounts_are_not_enough_to_execute(client: Any, chain: SmallChain) -> None:
    publisher = Publisher(client, 77)
    Loader(publisher, chain.genesis.header).run(from_memory(chain.states[chain.genesis.hash]))
    with pytest.raises(StateError, match="some accounts only"):
        ExecutingChanger(publisher, chain.config)
    publisher.close()


# ---- a server that comes and goes


def test_the_server_may_be_cut_off_at_any_byte(
    client: Any,
    server: RedisServer,
    chain: SmallChain,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("evmcore.follower.LONGEST_PAUSE", 0.01)
    trunk = chain.grow(chain.genesis, 25)
    branch = chain.grow(trunk[-4], 25, b"other")
    path = write(tmp_path / "chain.rlp", [*trunk, *branch])
    with FaultyProxy(server.port) as proxy, Following(proxy.url, chain, path) as following:
        proxy.cut_replies_after(*range(1, 2000, 97), *range(2000, 20_000, 1500))
        head = following.follower.run()
        assert proxy.cuts > 3
        assert head.hash == branch[-1].hash
        assert read_state(client, 77) == state_of(chain.states[branch[-1].hash])


def test_stopping_while_the_server_is_away_says_so(chain: SmallChain, tmp_path: Path) -> None:
    blocks = chain.grow(chain.genesis, 3)
    path = write(tmp_path / "chain.rlp", blocks)
    with RedisServer(tmp_path / "redis") as server, Following(server.url, chain, path) as following:
        following.follower.run(last=1)
        server.kill()
        stop = threading.Event()
        threading.Timer(0.5, stop.set).start()
        begun = time.monotonic()
        with pytest.raises(StateError, match="cannot be reached"):
            following.follower.run(stop)
        assert time.monotonic() - begun < PATIENCE / 2
        server.start()
        with pytest.raises(StateError, match="no state is loaded"):
            following.follower.run()


# ---- mainnet blocks with their state


def expected_state(path: Path, tracked: Stored) -> Stored:
    """The tracked accounts after a block, by the file's own account of what it changes."""
    with lzma.open(path) as file:
        after = json.load(file)["postState"]
    state = dict(tracked)
    for address, account in tracked.items():
        change = after.get("0x" + address.hex(), {})
        if change is None or account is None:
            state[address] = None if change is None else account
            continue
        slots = dict(account[3])
        slots.update({int(key, 16): int(value, 16) for key, value in change.get("storage", {}).items()})
        nonce, balance = (
            int(change.get(name, hex(old)), 16) for name, old in zip(("nonce", "balance"), account[:2], strict=True)
        )
        assert keccak256(account[2]).hex() == change.get("codeHash", "0x" + keccak256(account[2]).hex())[2:]
        state[address] = (nonce, balance, account[2], slots)
    return state


@pytest.mark.parametrize("number", [4369999, 7279999, 12243999])
def test_mainnet_blocks_change_the_accounts_that_are_kept(client: Any, number: int) -> None:
    """The state after one block, as far as it is known, and the next block on it."""
    first, second = (shared_path("blocks", f"{n}.json.xz") for n in (number, number + 1))
    real = replay.load(first)
    fields = replay.read(first)
    publisher = Publisher(client, 1)
    accounts = from_block(fields["preState"], real.block, real.chain, real.block_hashes)
    Loader(publisher, real.block.header).run(accounts)
    before = read_state(client)
    assert len(before) > 3
    source = BlocksWithState([replay.load(second)])
    head = Follower(publisher, source, StatefulChanger(source)).run()
    assert head.number == number + 1
    after = read_state(client)
    assert after != before
    known = expected_state(second, before)
    for address, account in after.items():
        assert account == known[address], address.hex()
    # And back again.
    publisher.revert()
    assert read_state(client) == before
    publisher.close()


def test_a_block_that_does_not_follow_is_refused(client: Any) -> None:
    first, other = (shared_path("blocks", f"{n}.json.xz") for n in (4369999, 7280000))
    real = replay.load(first)
    publisher = Publisher(client, 1)
    Loader(publisher, real.block.header).run([])
    source = BlocksWithState([real, replay.load(other)])
    with pytest.raises(WrongParent, match=r"block 7280000 .* the head is block 4369999"):
        Follower(publisher, source, StatefulChanger(source)).run()
    publisher.close()
