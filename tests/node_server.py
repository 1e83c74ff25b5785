"""A node for tests: JSON-RPC over HTTP on 127.0.0.1, from a chain in memory, and what may be wrong with nodes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from evmcore import rlp
from evmcore._hash import keccak256
from evmcore.blocks import Block
from evmcore.execution import execute_block
from evmcore.service.dispatch import Dispatcher
from evmcore.service.library import CallService
from evmcore.service.memory_source import MemorySource
from evmcore.service.methods import METHODS
from evmcore.state import MemoryState
from evmcore.state.proofs import storage_root, storage_trie
from evmcore.trie import proof

Handler = Callable[[list[Any]], Any]


def state_trie(state: MemoryState) -> dict[bytes, bytes]:
    """What the state trie holds: 20-byte address (not yet hashed) to RLP of nonce, balance, storage root, code hash."""
    return {
        address: rlp.encode(
            [
                state.nonce(address),
                state.balance(address),
                storage_root(state.slots(address)),
                state.code_hash(address),
            ]
        )
        for address in state.addresses()
    }


class RpcFailure(Exception):
    """An error answer."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class TestNode:
    """Answers from a `MemorySource`; `own` methods come first, `refused` ones do not exist. Counts the requests."""

    __test__ = False

    def __init__(self, genesis: Mapping[str, Any]) -> None:
        self.genesis = genesis
        self.source = MemorySource.from_genesis(genesis)
        self.dispatcher = Dispatcher(CallService(self.source), METHODS)
        self.blocks: dict[bytes, Block] = {}
        self.states: dict[bytes, MemoryState] = {self.source.head().hash: MemoryState(genesis["alloc"])}
        self.refused: set[str] = set()
        self.own: dict[str, Handler] = {
            "debug_storageRangeAt": self._storage_range,
            "debug_traceBlockByHash": self._trace_block,
            "eth_getProof": self._proof,
        }
        self._tries: dict[bytes, dict[bytes, bytes]] = {}
        self._traces: dict[bytes, list[Any]] = {}
        self.counts: dict[str, int] = {}
        self.status = 200
        self._lock = threading.Lock()

    def add(self, *blocks: Block) -> None:
        """Imports blocks; after the merge the last one is the head."""
        with self._lock:
            for block in blocks:
                self.source.import_blocks([block])
                state = self.states[block.header.parent_hash].copy()
                fork = self.source.chain.fork_of(block.header.number, block.header.timestamp, block.header.difficulty)
                execute_block(block, state, self.source.chain, fork=fork, commit=True)
                self.states[block.hash] = state
                self.blocks[block.hash] = block

    def answer(self, body: bytes) -> bytes:
        request = json.loads(body)
        with self._lock:
            if isinstance(request, list):
                return b"[" + b",".join(self._one(item) for item in request) + b"]"
            return self._one(request)

    def _one(self, request: dict[str, Any]) -> bytes:
        method = request["method"]
        self.counts[method] = self.counts.get(method, 0) + 1
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
        try:
            if method in self.refused:
                raise RpcFailure(-32601, f"the method {method} does not exist/is not available")
            if method not in self.own:
                return self.dispatcher.answer(json.dumps(request).encode()).body
            answer["result"] = self.own[method](request["params"])
        except RpcFailure as error:
            answer["error"] = {"code": error.code, "message": str(error)}
        return json.dumps(answer).encode()

    def _proof(self, params: list[Any]) -> Any:
        """As the service does it, with each block's trie items made once."""
        address, slots, number = params
        block_hash = self.source.pin(number if number == "latest" else int(number, 16)).block_hash
        state = self.states[block_hash]
        if block_hash not in self._tries:
            self._tries[block_hash] = state_trie(state)
        key = bytes.fromhex(address[2:])
        storage = storage_trie(state.slots(key))

        def nodes(items: dict[bytes, bytes], key: bytes) -> list[str]:
            return ["0x" + node.hex() for node in proof(items, key, secure=True)]

        return {
            "accountProof": nodes(self._tries[block_hash], key),
            "storageProof": [{"key": slot, "proof": nodes(storage, bytes.fromhex(slot[2:]))} for slot in slots],
        }

    # ---- what the service does not have

    def _storage_range(self, params: list[Any]) -> Any:
        """The storage before a transaction of a block: here only the first, or after the last."""
        block_hash, index, address, start, limit = params
        block = self.blocks[bytes.fromhex(block_hash[2:])]
        if index not in (0, len(block.transactions)):
            raise RpcFailure(-32000, "transaction index out of range")
        at = block.header.parent_hash if index == 0 else block.hash
        if index == 0 and not block.transactions:
            at = block.header.parent_hash
        slots = self.states[at].slots(bytes.fromhex(address[2:]))
        hashed = sorted((keccak256(slot.to_bytes(32, "big")), slot) for slot in slots)
        page = [pair for pair in hashed if pair[0] >= bytes.fromhex(start[2:])]
        return {
            "storage": {
                "0x" + name.hex(): {"key": f"0x{slot:064x}", "value": f"0x{slots[slot]:064x}"}
                for name, slot in page[:limit]
            },
            "nextKey": "0x" + page[limit][0].hex() if len(page) > limit else None,
        }

    def _trace_block(self, params: list[Any]) -> Any:
        """What geth's prestateTracer gives in diff mode, from the states between the transactions."""
        block = self.blocks[bytes.fromhex(params[0][2:])]
        assert params[1] == {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}
        if block.hash not in self._traces:
            self._traces[block.hash] = self._trace(block)
        return self._traces[block.hash]

    def _trace(self, block: Block) -> list[Any]:
        states = [self._state_after(block, count) for count in range(len(block.transactions) + 1)]
        return [
            {"txHash": "0x" + transaction.hash.hex(), "result": difference(before, after)}
            for transaction, before, after in zip(block.transactions, states, states[1:], strict=False)
        ]

    def _state_after(self, block: Block, count: int) -> MemoryState:
        """After so many transactions, without what comes at the end of the block."""
        state = self.states[block.header.parent_hash].copy()
        header = block.header
        fork = self.source.chain.fork_of(header.number, header.timestamp, header.difficulty)
        withdrawals = () if block.withdrawals is not None else None
        part = Block(header, block.transactions[:count], block.ommers, withdrawals)
        hashes = {block.header.number: block_hash for block_hash, block in self.blocks.items()}
        execute_block(
            part, state, self.source.chain, fork=fork, validate=False, commit=True, reward=-1, block_hashes=hashes
        )
        return state


def difference(before: MemoryState, after: MemoryState) -> dict[str, Any]:
    """Two states as geth's prestateTracer tells them apart: without unchanged fields, zero slots, absent accounts."""
    pre: dict[str, Any] = {}
    post: dict[str, Any] = {}
    for address in sorted({*before.addresses(), *after.addresses()}):
        name = "0x" + address.hex()
        old, new = before.account(address), after.account(address)
        if old == new:
            continue
        old_slots, new_slots = before.slots(address), after.slots(address)
        changed = {slot for slot in old_slots.keys() | new_slots.keys() if old_slots.get(slot) != new_slots.get(slot)}
        if old is not None:
            pre[name] = {"balance": hex(old.balance)}
            if old.nonce:
                pre[name]["nonce"] = old.nonce
            if old.code:
                pre[name]["code"] = "0x" + old.code.hex()
            was = {f"0x{slot:064x}": f"0x{old_slots[slot]:064x}" for slot in changed if slot in old_slots}
            if was:
                pre[name]["storage"] = was
        if new is not None:
            post[name] = {}
            if old is None or new.balance != old.balance:
                post[name]["balance"] = hex(new.balance)
            if new.nonce != (old.nonce if old else 0):
                post[name]["nonce"] = new.nonce
            if new.code != (old.code if old else b"") and new.code:
                post[name]["code"] = "0x" + new.code.hex()
            now = {f"0x{slot:064x}": f"0x{new_slots[slot]:064x}" for slot in changed if slot in new_slots}
            if now:
                post[name]["storage"] = now
    return {"pre": pre, "post": post}


@contextmanager
def serving(node: TestNode) -> Iterator[str]:
    """Serves a node on 127.0.0.1; gives its address."""

    class Request(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # One piece for head and body, sent at once.
        wbufsize = 1 << 16
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = node.answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(node.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Request)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
