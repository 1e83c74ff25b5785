"""The request and response files of the execution APIs, and how their own driver compares with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from evmcore.blocks import Block
from evmcore.service.memory_source import MemorySource
from tests.rpc_server import Client
from tests.shared_files import SHARED, shared_path
from tests.stored_state import Stored, keccak256

# Methods after which the server is not as it was before.
CHANGING = ("eth_sendRawTransaction", "testing_", "txpool_")

# Fields that the schema does not ask for.
OPTIONAL = frozenset({"deleteStrategy", "memory", "storage", "returnData", "error", "refund"})


@dataclass(frozen=True)
class Case:
    """One file: pairs of a request and the expected response. `shape_only`: the response is one valid example."""

    name: str
    pairs: tuple[tuple[Any, Any], ...]
    shape_only: bool

    @property
    def changes_state(self) -> bool:
        return any(request["method"].startswith(CHANGING) for request, _ in self.pairs)


def read_case(path: Path) -> Case:
    requests: list[Any] = []
    pairs: list[tuple[Any, Any]] = []
    shape_only = False
    for line in path.read_text().splitlines():
        if line.startswith("//"):
            shape_only = shape_only or line[2:].strip().startswith("speconly:")
        elif line.startswith(">>"):
            requests.append(json.loads(line[2:]))
        elif line.startswith("<<"):
            pairs.append((requests.pop(), json.loads(line[2:])))
    assert pairs and not requests, f"{path}: requests without a response"
    return Case(f"{path.parent.name}/{path.stem}", tuple(pairs), shape_only)


def cases() -> list[Case]:
    """All cases; none where the shared files are absent."""
    return [read_case(path) for path in sorted((SHARED / "rpc-compat" / "tests").glob("*/*.io"))]


@lru_cache
def chain_files() -> tuple[Any, tuple[Block, ...]]:
    folder = shared_path("rpc-compat", "chain")
    genesis = json.loads((folder / "genesis.json").read_text())
    return genesis, tuple(Block.decode_stream((folder / "chain.rlp").read_bytes()))


def chain_source() -> MemorySource:
    """The chain of the cases, imported."""
    genesis, blocks = chain_files()
    source = MemorySource.from_genesis(genesis)
    source.import_blocks(blocks)
    return source


def run_case(client: Client, case: Case) -> str | None:
    """Sends a case's requests; says what differs."""
    for request, expected in case.pairs:
        got = client.answer(request)
        problem = next(shape_differences(expected, got) if case.shape_only else differences(expected, got), None)
        if problem is not None:
            return f"{request['method']}: {problem}"
    return None


def differences(expected: Any, got: Any, path: str = "") -> Iterator[str]:
    """Where values differ; the messages of errors may."""
    if isinstance(expected, dict) and isinstance(got, dict):
        skipped = {"message"} if path.rpartition(".")[2] == "error" and "code" in expected else set()
        for key in sorted((expected.keys() | got.keys()) - skipped):
            if key not in got:
                yield f"{path}.{key} is missing, expected {_short(expected[key])}"
            elif key not in expected:
                yield f"{path}.{key} is {_short(got[key])}, expected nothing"
            else:
                yield from differences(expected[key], got[key], f"{path}.{key}")
    elif isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            yield f"{path} has {len(got)} entries, expected {len(expected)}: {_short(got)}, expected {_short(expected)}"
        for index, (left, right) in enumerate(zip(expected, got, strict=False)):
            yield from differences(left, right, f"{path}[{index}]")
    elif expected != got or isinstance(expected, bool) is not isinstance(got, bool):
        yield f"{path} is {_short(got)}, expected {_short(expected)}"


def shape_differences(expected: Any, got: Any, path: str = "") -> Iterator[str]:
    """Where a value is not built like the example: other keys, other types, hex of a fixed size that has another."""
    if isinstance(expected, dict) and isinstance(got, dict):
        if path.endswith((".pending", ".queued", ".pending.*", ".queued.*", ".storage")):
            return  # keyed by accounts, nonces, slots
        for key in sorted((expected.keys() ^ got.keys()) - OPTIONAL):
            yield f"{path}.{key} is there only {'in the example' if key in expected else 'in the answer'}"
        for key in sorted(expected.keys() & got.keys()):
            yield from shape_differences(expected[key], got[key], f"{path}.{key}")
    elif isinstance(expected, list) and isinstance(got, list):
        if expected and not got:
            yield f"{path} is empty"
        for index, entry in enumerate(got if expected else ()):
            yield from shape_differences(expected[0], entry, f"{path}[{index}]")
    elif _kind(expected) != _kind(got):
        yield f"{path} is {_short(got)}, the example has {_short(expected)}"


def _kind(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return type(value).__name__
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str) and value.startswith("0x"):
        return "hash" if len(value) == 66 else "address" if len(value) == 42 else "hex"
    return type(value).__name__


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else text[:200] + "..."


def head_state(path: Path) -> Stored:
    """`headstate.json` as `read_state` gives states."""
    state: Stored = {}
    for address, account in json.loads(path.read_text())["accounts"].items():
        code = bytes.fromhex(account.get("code", "0x")[2:])
        assert keccak256(code).hex() == account["codeHash"][2:]
        slots = {int(key, 16): int(value, 16) for key, value in account.get("storage", {}).items()}
        state[bytes.fromhex(address[2:])] = (account["nonce"], int(account["balance"]), code, slots)
    return state
