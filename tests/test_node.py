"""A node as source: its answers are proven, what it does not tell is never taken for zero, its chain is followed."""

from __future__ import annotations

import http.server
import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evmcore import EVM, rlp
from evmcore.blocks import Block, Header
from evmcore.cli import main
from evmcore.errors import InputError, NodeError, ReorgTooDeep, StateError, StateUnavailable
from evmcore.follower import ExecutingChanger, Follower
from evmcore.node_source import NodeSource
from evmcore.state import rpc_client
from evmcore.state.loading import Loader
from evmcore.state.proof_checks import verify_proof
from evmcore.state.publisher import Publisher
from evmcore.state.rpc import Node, RpcState, check_account, from_node
from evmcore.state.rpc_client import RpcClient
from evmcore.state.sources import from_memory
from evmcore.state.stored import load_memory
from evmcore.traced_diffs import TracingChanger
from evmcore.trie import proof, root_of
from tests.node_server import TestNode, serving
from tests.redis_server import RedisServer
from tests.rpc_compat import head_state
from tests.shared_files import shared_path
from tests.small_chain import GENESIS, WRITER, SmallChain, genesis_file
from tests.stored_state import keccak256, read_state, state_of
from tests.waiting import PATIENCE, until

API_CHAIN_ID = 3503995874084926


@pytest.fixture(scope="module")
def api_node() -> Iterator[tuple[TestNode, str]]:
    """The chain of the execution APIs: 54 blocks of all forks."""
    folder = shared_path("rpc-compat", "chain")
    node = TestNode(json.loads((folder / "genesis.json").read_text()))
    node.add(*Block.decode_stream((folder / "chain.rlp").read_bytes()))
    with serving(node) as url:
        yield node, url


@pytest.fixture
def small() -> Iterator[tuple[SmallChain, TestNode, str]]:
    node = TestNode(GENESIS)
    with serving(node) as url:
        yield SmallChain(), node, url


# ---- proofs


def test_proofs_of_what_is_there_and_what_is_not_hold() -> None:
    rng = random.Random(1)
    for size in (1, 2, 3, 17, 200, 1000):
        items = {rng.randbytes(32): rlp.encode_bytes(rng.randbytes(rng.choice((1, 32, 60)))) for _ in range(size)}
        root = root_of(items, secure=True)
        for key in [*rng.sample(sorted(items), min(size, 30)), *(rng.randbytes(32) for _ in range(30))]:
            assert verify_proof(root, key, proof(items, key, secure=True)) == items.get(key)
    assert verify_proof(root_of({}), bytes(32), []) is None
    assert verify_proof(root_of({}), bytes(32), [b"\x80"]) is None


def test_tampered_proofs_do_not_hold() -> None:
    rng = random.Random(2)
    items = {rng.randbytes(32): rlp.encode_uint(rng.getrandbits(200)) for _ in range(300)}
    root = root_of(items, secure=True)
    for key in rng.sample(sorted(items), 100):
        nodes = proof(items, key, secure=True)
        with pytest.raises(StateError):
            verify_proof(root, key, nodes[:-1])
        with pytest.raises(StateError):
            verify_proof(root, key, [*nodes, nodes[-1]])
        place = rng.randrange(len(nodes))
        node = bytearray(nodes[place])
        node[rng.randrange(len(node))] ^= 1 << rng.randrange(8)
        with pytest.raises(StateError):
            verify_proof(root, key, [*nodes[:place], bytes(node), *nodes[place + 1 :]])
        with pytest.raises(StateError):
            verify_proof(rng.randbytes(32), key, nodes)


def test_proofs_of_geth_hold() -> None:
    """The cases of the execution APIs: requests, and what geth answered."""
    header = list(Block.decode_stream(shared_path("rpc-compat", "chain", "chain.rlp").read_bytes()))[-1].header
    seen = 0
    for path in sorted(shared_path("rpc-compat", "tests", "eth_getProof").glob("*.io")):
        lines = path.read_text().splitlines()
        request = next(json.loads(line[3:]) for line in lines if line.startswith(">> "))
        answer = next(json.loads(line[3:]) for line in lines if line.startswith("<< "))
        if request["params"][2:] not in (["latest"], ["0x36"]) or "result" not in answer:
            continue
        address, slots, _ = request["params"]
        result = answer["result"]
        keys = [int(slot, 16) for slot in slots]
        account = check_account(header.state_root, bytes.fromhex(address[2:]), keys, result)
        assert (hex(account.nonce), hex(account.balance)) == (result["nonce"], result["balance"])
        assert [hex(account.slots[key]) for key in keys] == [entry["value"] for entry in result["storageProof"]]
        seen += 1
    assert seen


# ---- loading


def addresses_of_the_head() -> dict[bytes, Any]:
    return head_state(shared_path("rpc-compat", "chain", "headstate.json"))


def test_accounts_are_loaded_whole_where_the_node_gives_their_storage(
    client: Any, server: RedisServer, api_node: tuple[TestNode, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = addresses_of_the_head()
    path = tmp_path / "accounts"
    path.write_text("# all\n" + "\n".join(address.hex() for address in state))
    nobody = "0x" + "77" * 20
    words = ["load", "--redis", server.url, "--node", api_node[1], "--accounts", str(path), "--account", nobody]
    assert main(words) == 0
    assert "block 54 0xd226371d" in capsys.readouterr().out
    assert read_state(client, API_CHAIN_ID) == {**state, bytes.fromhex(nobody[2:]): None}


def test_storage_in_pages_and_at_an_earlier_block_is_whole_too(
    client: Any, api_node: tuple[TestNode, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evmcore.state.rpc.SLOTS_PER_PAGE", 3)
    test_node, url = api_node
    node = Node(url)
    for number in (10, 40, 46, 53):
        header = node.header(number)
        state = test_node.states[header.hash]
        client.flushall()
        with Publisher(client, API_CHAIN_ID) as publisher:
            Loader(publisher, header).run(from_node(node, header, state.addresses()))
            assert read_state(client, API_CHAIN_ID) == state_of(state)
    node.close()


def test_without_whole_storage_only_the_given_slots_are_known(
    client: Any, api_node: tuple[TestNode, str], tmp_path: Path, server: RedisServer
) -> None:
    test_node, url = api_node
    address, account = next((a, s) for a, s in addresses_of_the_head().items() if s[3])
    slot, value = next(iter(account[3].items()))
    slots = tmp_path / "slots.json"
    slots.write_text(json.dumps({"0x" + address.hex(): [hex(slot), "0x123456"]}))
    test_node.refused = {"debug_storageRangeAt"}
    try:
        assert main(["load", "--redis", server.url, "--node", url, "--slots", str(slots)]) == 0
    finally:
        test_node.refused = set()
    assert read_state(client, API_CHAIN_ID) == {address: (*account[:3], {slot: value, 0x123456: 0})}
    record = client.get(b"{evm:%d}:a:" % API_CHAIN_ID + address)
    assert record[1] == 0, "its storage is not complete"


def test_storage_that_is_not_the_blocks_is_not_taken(
    client: Any, api_node: tuple[TestNode, str], caplog: pytest.LogCaptureFixture
) -> None:
    """A node that leaves out a slot, or knows only hashes of slots: the account is known in part."""
    test_node, url = api_node
    address = next(a for a, s in addresses_of_the_head().items() if len(s[3]) > 1)
    right = test_node.own["debug_storageRangeAt"]

    def without_one(params: list[Any]) -> Any:
        page = right(params)
        page["storage"].popitem()
        return page

    def without_keys(params: list[Any]) -> Any:
        page = right(params)
        next(iter(page["storage"].values()))["key"] = None
        return page

    node = Node(url)
    header = node.header("latest")
    for wrong, message in ((without_one, "it has the root"), (without_keys, "preimages")):
        test_node.own["debug_storageRangeAt"] = wrong
        try:
            accounts = list(from_node(node, header, [address]))
        finally:
            test_node.own["debug_storageRangeAt"] = right
        assert not accounts[0].storage_complete and not list(accounts[0].slots)
        assert message in caplog.text
    node.close()


def test_what_is_not_proven_is_refused(api_node: tuple[TestNode, str]) -> None:
    test_node, url = api_node
    address = next(iter(addresses_of_the_head()))
    node = Node(url)
    header = node.header("latest")
    answer = node.call("eth_getProof", "0x" + address.hex(), [], "latest")
    other = node.call("eth_getProof", "0x" + "77" * 20, [], "latest")
    right = test_node.own["eth_getProof"]
    for wrong in ({**answer, "accountProof": answer["accountProof"][:-1]}, other if other != answer else {}):
        test_node.own["eth_getProof"] = lambda _, wrong=wrong: wrong
        try:
            with pytest.raises((StateError, InputError)):
                list(from_node(node, header, [address]))
        finally:
            test_node.own["eth_getProof"] = right
    contract = next(a for a, s in addresses_of_the_head().items() if s[2])
    test_node.own["eth_getCode"] = lambda _: "0x00"
    try:
        with pytest.raises(StateError, match=f"account 0x{contract.hex()}: the code has the hash"):
            list(from_node(node, header, [contract]))
    finally:
        del test_node.own["eth_getCode"]
        node.close()


def test_a_state_at_the_node_answers_calls(api_node: tuple[TestNode, str]) -> None:
    """The same calls on the node's state over the wire and in memory."""
    test_node, url = api_node
    node = Node(url)
    header = node.header(54)
    memory = test_node.states[header.hash]
    local, remote = EVM(state=memory), EVM(state=RpcState(node, header))
    contracts = [address for address in memory.addresses() if memory.code(address)]
    for address in contracts[:12]:
        for data in (b"", bytes(36)):
            ours, theirs = (evm.call(address, data, gas=300_000) for evm in (local, remote))
            assert (ours.status, ours.output, ours.gas_used) == (theirs.status, theirs.output, theirs.gas_used)
    node.close()


# ---- following


def follow_until(follower: Follower, number: int) -> Any:
    stop = threading.Event()
    timer = threading.Timer(PATIENCE, stop.set)
    timer.start()
    try:
        return follower.run(stop, number)
    finally:
        timer.cancel()


def test_a_node_is_followed_by_executing(
    client: Any, server: RedisServer, api_node: tuple[TestNode, str], capsys: pytest.CaptureFixture[str]
) -> None:
    genesis = str(shared_path("rpc-compat", "chain", "genesis.json"))
    words = ["follow", "--redis", server.url, "--node", api_node[1], "--poll", "0.01"]
    assert main([*words, "--genesis", genesis, "--until", "30"]) == 0
    assert main([*words, "--until", "54", "--quiet"]) == 0
    assert read_state(client, API_CHAIN_ID) == addresses_of_the_head()
    assert capsys.readouterr().out.splitlines()[-1].startswith("head: block 54 0xd226371d")


@pytest.mark.parametrize("prove_all", [True, False])
def test_a_whole_state_is_kept_by_the_nodes_traces(
    client: Any, api_node: tuple[TestNode, str], prove_all: bool
) -> None:
    """All 54 blocks, of all forks, without executing one; the state root tells that nothing is missing."""
    test_node, url = api_node
    genesis = test_node.source.pin(0).header
    with Publisher(client, API_CHAIN_ID) as publisher:
        Loader(publisher, genesis, complete=True).run(from_memory(test_node.states[genesis.hash]))
        node = Node(url)
        changer = TracingChanger(publisher, node, prove_all=prove_all)
        head = follow_until(Follower(publisher, NodeSource(node, publisher.block_hashes), changer), 54)
        memory, _ = load_memory(client, API_CHAIN_ID)
        assert memory.state_root() == head.header.state_root
        assert read_state(client, API_CHAIN_ID) == addresses_of_the_head()
        node.close()


@pytest.mark.parametrize("start", [1, 44])
def test_selected_accounts_are_kept_by_the_nodes_traces(
    client: Any, api_node: tuple[TestNode, str], start: int
) -> None:
    """Every third account, also of those that come to be later, loaded from the node and followed to the head."""
    _, url = api_node
    final = addresses_of_the_head()
    chosen = sorted(final)[start % 3 :: 3]
    node = Node(url)
    header = node.header(start)
    with Publisher(client, API_CHAIN_ID) as publisher:
        Loader(publisher, header).run(from_node(node, header, chosen))
        changer = TracingChanger(publisher, node)
        follow_until(Follower(publisher, NodeSource(node, publisher.block_hashes), changer), 54)
    assert read_state(client, API_CHAIN_ID) == {address: final[address] for address in chosen}
    node.close()


def test_without_proofs_the_node_is_taken_at_its_word(
    client: Any, api_node: tuple[TestNode, str], caplog: pytest.LogCaptureFixture
) -> None:
    test_node, url = api_node
    genesis = test_node.source.pin(0).header
    test_node.refused = {"eth_getProof"}
    try:
        with Publisher(client, API_CHAIN_ID) as publisher:
            Loader(publisher, genesis, complete=True).run(from_memory(test_node.states[genesis.hash]))
            node = Node(url)
            changer = TracingChanger(publisher, node, prove_all=False)
            follow_until(Follower(publisher, NodeSource(node, publisher.block_hashes), changer), 54)
            node.close()
    finally:
        test_node.refused = set()
    # Nobody tells then whether an empty account of before Spurious Dragon is there.
    right = {address: account for address, account in addresses_of_the_head().items() if any(account[:3])}
    assert {a: s for a, s in read_state(client, API_CHAIN_ID).items() if s is not None and any(s[:3])} == right
    assert "taken at their word" in caplog.text


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("eth_getBalance", "lots"),
        ("eth_getTransactionCount", hex(2**64)),
        ("eth_getCode", "0x0"),
        ("eth_getStorageAt", "0x"),
        ("eth_getStorageAt", "0x01" + "00" * 32),
        ("eth_getProof", "no object"),
        ("eth_getProof", {"accountProof": 5}),
        ("eth_chainId", None),
        ("eth_getBlockByNumber", "no object"),
    ],
)
def test_an_answer_that_makes_no_sense_is_the_nodes_failure_and_nobody_elses(
    small: tuple[SmallChain, TestNode, str], method: str, answer: Any
) -> None:
    """Not a bad argument, and never a zero, or a value that no slot can have."""
    chain, test_node, url = small
    test_node.own[method] = lambda params: answer
    if not method.startswith("eth_getProof"):
        test_node.refused = {"eth_getProof"}
    node = Node(url)
    with pytest.raises(StateError, match=r"^node 127\.0\.0\.1:") as caught:
        if method == "eth_chainId":
            node.chain_id()
        header = node.header(0) if method == "eth_getBlockByNumber" else chain.genesis.header
        node.accounts(header, {WRITER: (0,)})
    assert not isinstance(caught.value, StateUnavailable)
    node.close()


@pytest.mark.parametrize("answer", ["null", "7", '"text"', "true", '[{"id": []}, {"id": "1"}]', "[7]", "[]"])
def test_an_answer_to_a_batch_that_is_not_json_rpc_is_no_answer(answer: str) -> None:
    class Request(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    node = http.server.HTTPServer(("127.0.0.1", 0), Request)
    threading.Thread(target=node.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    client = RpcClient(f"http://127.0.0.1:{node.server_address[1]}")
    with pytest.raises(StateUnavailable, match=r"the answer .*is not one of JSON-RPC"):
        client.batch([("eth_chainId", [])])
    client.close()
    node.shutdown()
    node.server_close()


def test_who_takes_no_batches_has_no_more_time_for_all_their_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that takes a second for each."""
    asked: list[Any] = []

    class Request(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(document)
            answer = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "no batches"}}
            if isinstance(document, dict):
                answer = {"jsonrpc": "2.0", "id": document["id"], "result": "0x1"}
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    monkeypatch.setattr(rpc_client, "time", SimpleNamespace(monotonic=lambda: float(len(asked))))
    node = http.server.HTTPServer(("127.0.0.1", 0), Request)
    threading.Thread(target=node.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    client = RpcClient(f"http://127.0.0.1:{node.server_address[1]}", limit=4.0)
    assert client.batch([("eth_chainId", [])] * 2) == ["0x1"] * 2
    with pytest.raises(StateUnavailable, match=r"no answer within 4 s"):
        client.batch([("eth_chainId", [])] * 5)
    client.close()
    node.shutdown()
    node.server_close()


def test_a_trace_from_another_state_is_refused(client: Any, api_node: tuple[TestNode, str]) -> None:
    test_node, url = api_node
    genesis = test_node.source.pin(0).header
    block = next(block for block in test_node.blocks.values() if block.header.number == 1)
    state = test_node.states[genesis.hash].copy()
    touched = [
        bytes.fromhex(a[2:]) for a in test_node._trace_block(["0x" + block.hash.hex(), TRACER])[0]["result"]["pre"]
    ]
    for address in touched:
        state.set_balance(address, 1)
    with Publisher(client, API_CHAIN_ID) as publisher:
        Loader(publisher, genesis).run(from_memory(state, touched))
        node = Node(url)
        follower = Follower(publisher, NodeSource(node, publisher.block_hashes), TracingChanger(publisher, node))
        with pytest.raises(StateError, match=r"block 1, transaction 0, account 0x.* balance 1 in the state"):
            follow_until(follower, 1)
        node.close()


TRACER = {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}


@pytest.mark.parametrize("diffs", [False, True])
def test_branches_of_the_node_are_followed(client: Any, small: tuple[SmallChain, TestNode, str], diffs: bool) -> None:
    chain, test_node, url = small
    trunk = chain.grow(chain.genesis, 6)
    branch = chain.grow(trunk[2], 5, b"other")
    shorter = chain.grow(trunk[3], 1, b"short")
    with Publisher(client, 77) as publisher:
        Loader(publisher, chain.genesis.header, complete=True).run(from_memory(chain.states[chain.genesis.hash]))
        node = Node(url)
        changer = TracingChanger(publisher, node) if diffs else ExecutingChanger(publisher, chain.config)
        follower = Follower(publisher, NodeSource(node, publisher.block_hashes), changer, poll=0.01)
        test_node.add(*trunk)
        follow_until(follower, 6)
        test_node.add(*branch)
        follow_until(follower, 8)
        assert read_state(client, 77) == state_of(chain.states[branch[-1].hash])
        test_node.add(*shorter)
        stop = threading.Event()
        thread = threading.Thread(target=follower.run, args=(stop,))
        thread.start()
        try:
            until(lambda: client.hget("{evm:77}:head", "hash") == shorter[-1].hash)
        finally:
            stop.set()
            thread.join()
        assert read_state(client, 77) == state_of(chain.states[shorter[-1].hash])
        node.close()


def test_a_node_of_another_chain_is_no_branch(client: Any, small: tuple[SmallChain, TestNode, str]) -> None:
    chain, test_node, url = small
    other = chain.grow(chain.genesis, 3, b"other")
    ours = chain.grow(chain.genesis, 2)
    test_node.add(*other)
    with Publisher(client, 77) as publisher:
        Loader(publisher, ours[1].header, complete=True).run(from_memory(chain.states[ours[1].hash]))
        node = Node(url)
        follower = Follower(
            publisher, NodeSource(node, publisher.block_hashes), ExecutingChanger(publisher, chain.config)
        )
        with pytest.raises(ReorgTooDeep):
            follow_until(follower, 3)
        node.close()


def test_a_node_that_goes_away_is_waited_for(
    client: Any, small: tuple[SmallChain, TestNode, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evmcore.follower.LONGEST_PAUSE", 0.05)
    chain, test_node, url = small
    blocks = chain.grow(chain.genesis, 4)
    test_node.add(*blocks[:2])
    with Publisher(client, 77) as publisher:
        Loader(publisher, chain.genesis.header, complete=True).run(from_memory(chain.states[chain.genesis.hash]))
        node = Node(url)
        follower = Follower(
            publisher, NodeSource(node, publisher.block_hashes), ExecutingChanger(publisher, chain.config), poll=0.01
        )
        follow_until(follower, 2)
        right = test_node.answer
        refused: list[bytes] = []

        def refuse(body: bytes) -> bytes:
            refused.append(body)
            if len(refused) == 5:
                test_node.add(*blocks[2:])
                test_node.answer = right  # type: ignore[method-assign]
            return b"<html>bad gateway</html>"

        test_node.answer = refuse  # type: ignore[method-assign]
        assert follow_until(follower, 4).hash == blocks[-1].hash
        assert len(refused) == 5
        node.close()
    assert read_state(client, 77) == state_of(chain.states[blocks[-1].hash])


def test_more_accounts_are_added_while_a_node_is_followed(
    client: Any, small: tuple[SmallChain, TestNode, str], server: RedisServer, tmp_path: Path
) -> None:
    chain, test_node, url = small
    test_node.add(*chain.grow(chain.genesis, 3))
    people = ["0x" + address.hex() for address in chain.states[test_node.source.head().hash].addresses()]
    words = ["load", "--redis", server.url, "--node", url, "--chain-config", genesis_file(tmp_path)]
    assert main([*words, "--account", people[0], "--block", "2"]) == 0
    # Without a block: at the head of what is there, not the node's.
    assert main([*words, "--account", people[1]]) == 0
    assert client.hget("{evm:77}:head", "number") == b"2"
    assert main(["follow", "--redis", server.url, "--node", url, "--diffs", "--until", "3", "--quiet"]) == 0
    final = state_of(chain.states[test_node.source.head().hash])
    assert read_state(client, 77) == {bytes.fromhex(name[2:]): final[bytes.fromhex(name[2:])] for name in people[:2]}
    assert WRITER in final


# ---- the client


def test_errors_of_a_node_have_their_code(api_node: tuple[TestNode, str]) -> None:
    client = RpcClient(api_node[1])
    with pytest.raises(NodeError, match="eth_nothing") as caught:
        client.call("eth_nothing")
    assert caught.value.code == -32601
    good, bad = client.batch([("eth_chainId", []), ("eth_nothing", [])])
    assert good == hex(API_CHAIN_ID) and isinstance(bad, NodeError)
    client.close()


def test_a_node_that_is_not_there_is_unavailable() -> None:
    client = RpcClient("http://127.0.0.1:9", timeout=5)
    with pytest.raises(StateUnavailable, match=r"node 127\.0\.0\.1:9 cannot be reached"):
        client.call("eth_chainId")
    for address in ("127.0.0.1:8545", "ftp://host", "http://", "http://host:99999"):
        with pytest.raises(InputError, match="node address"):
            RpcClient(address)


def test_credentials_in_the_address_are_sent_and_not_shown() -> None:
    seen: list[str] = []

    class Request(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(self.headers["Authorization"])
            self.send_response(401)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    node = http.server.HTTPServer(("127.0.0.1", 0), Request)
    threading.Thread(target=node.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    client = RpcClient(f"http://me:se%63ret@127.0.0.1:{node.server_address[1]}")
    with pytest.raises(StateUnavailable, match="HTTP status 401") as caught:
        client.call("eth_chainId")
    assert "secret" not in str(caught.value)
    assert seen == ["Basic bWU6c2VjcmV0"]
    client.close()
    node.shutdown()
    node.server_close()


def test_a_block_with_another_hash_than_its_own_is_refused(small: tuple[SmallChain, TestNode, str]) -> None:
    chain, test_node, url = small
    test_node.add(*chain.grow(chain.genesis, 1))
    node = Node(url)
    found = node.call("eth_getBlockByNumber", "0x1", True)
    test_node.own["eth_getBlockByNumber"] = lambda _: {**found, "gasLimit": "0x1"}
    with pytest.raises(StateError, match="block 1: the header has the hash"):
        node.block(1)
    node.close()
    assert Header.from_json(found).hash == bytes.fromhex(found["hash"][2:])
    assert keccak256(b"") != b""
