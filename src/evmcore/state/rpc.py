"""A node as a source of state: accounts and storage by JSON-RPC, proven against a block's state root."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from evmcore import rlp
from evmcore._hash import keccak256
from evmcore.blocks import EMPTY_TRIE_ROOT, Header
from evmcore.errors import InputError, NodeError, RlpError, StateError
from evmcore.state.base import EMPTY_CODE_HASH, AccountInfo, State
from evmcore.state.proof_checks import verify_proof
from evmcore.state.proofs import storage_root
from evmcore.state.rpc_client import METHOD_NOT_FOUND, Call, RpcClient
from evmcore.state.sources import SourceAccount
from evmcore.types import to_bytes, to_hash, to_object, to_uint

log = logging.getLogger(__name__)

# Accounts in one batch of requests, slots in one proof, and slots in one page of a whole storage.
ACCOUNTS_PER_BATCH: Final = 32
SLOTS_PER_PROOF: Final = 256
SLOTS_PER_PAGE: Final = 4096
# Error codes of a node that does not offer a method, or not for this block.
_NOT_OFFERED: Final = (METHOD_NOT_FOUND, -32004)

BlockName = int | str | bytes


class ProvenAccount(NamedTuple):
    """An account as in a block's state root, with `storage_root` and the values of the requested slots.

    `proven` is False if the node offers no proofs and its values are trusted; `storage_root` is then None.
    """

    exists: bool
    nonce: int
    balance: int
    code_hash: bytes
    storage_root: bytes | None
    slots: dict[int, int]
    proven: bool = True


def block_parameter(block: BlockName) -> Any:
    """A block as a parameter of a request: a number, a tag, or the 32 bytes of a hash (EIP-1898)."""
    if isinstance(block, bytes):
        return {"blockHash": "0x" + block.hex()}
    return hex(block) if isinstance(block, int) else block


class Node:
    """Asks a node about state. Safe for use from several threads, one question at a time.

    Each method raises `StateUnavailable` and `NodeError` as `RpcClient` does, `StateError` for an invalid answer.
    """

    def __init__(self, client: RpcClient | str) -> None:
        self.client = RpcClient(client) if isinstance(client, str) else client
        self._lock = threading.Lock()
        self._proofs_offered = True
        self._places: tuple[bytes, list[tuple[bytes, int]]] = (b"", [])

    def close(self) -> None:
        self.client.close()

    def batch(self, calls: Sequence[Call]) -> list[Any]:
        """As `RpcClient.batch`."""
        with self._lock:
            return self.client.batch(calls)

    def call(self, method: str, *params: Any) -> Any:
        """As `RpcClient.call`."""
        with self._lock:
            return self.client.call(method, *params)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turns `InputError`s of converters into `StateError`s: the values are the node's, not the caller's."""
        try:
            yield
        except InputError as error:
            raise StateError(f"node {self.client.name}: {error}") from error

    # ---- chain

    def chain_id(self) -> int:
        with self._reading():
            return to_uint(self.call("eth_chainId"), "eth_chainId")

    def block(self, block: BlockName, full: bool = False) -> Mapping[str, Any] | None:
        """A block as JSON, by number, tag or hash; None if the node does not have it. Its hash is checked."""
        if isinstance(block, bytes):
            found = self.call("eth_getBlockByHash", "0x" + block.hex(), full)
        else:
            found = self.call("eth_getBlockByNumber", block_parameter(block), full)
        with self._reading():
            return None if found is None else checked_block(found)

    def header(self, block: BlockName) -> Header:
        """A block's header. `StateError` if the node does not have it."""
        found = self.block(block)
        if found is None:
            shown = "0x" + block.hex() if isinstance(block, bytes) else block
            raise StateError(f"node {self.client.name} has no block {shown}")
        with self._reading():
            return Header.from_json(found)

    # ---- accounts

    def accounts(
        self, header: Header, wanted: Mapping[bytes, Sequence[int]], by_number: bool = True
    ) -> dict[bytes, ProvenAccount]:
        """Accounts, each with some slots, after a block; each is proven against the header's state root.

        `by_number`: names the block by its number, which every node understands, instead of its hash. Raises
        `StateError` naming the account if a proof fails: the node's chain may have changed meanwhile.
        """
        block = block_parameter(header.number if by_number else header.hash)
        found: dict[bytes, ProvenAccount] = {}
        pieces = [(address, part) for address in sorted(wanted) for part in _parts(list(wanted[address]))]
        with self._reading():
            for at in range(0, len(pieces), ACCOUNTS_PER_BATCH):
                for address, part, account in self._some(header, block, pieces[at : at + ACCOUNTS_PER_BATCH]):
                    if address in found:
                        found[address].slots.update(account.slots)
                    else:
                        found[address] = account
                    assert len(account.slots) == len(set(part))
        return found

    def _some(
        self, header: Header, block: Any, pieces: list[tuple[bytes, list[int]]]
    ) -> Iterator[tuple[bytes, list[int], ProvenAccount]]:
        if self._proofs_offered:
            calls: list[Call] = [
                ("eth_getProof", ["0x" + address.hex(), [f"0x{slot:064x}" for slot in part], block])
                for address, part in pieces
            ]
            answers = self.batch(calls)
            for (address, part), answer in zip(pieces, answers, strict=True):
                if isinstance(answer, NodeError):
                    if answer.code not in _NOT_OFFERED:
                        raise answer
                    log.warning("%s: its answers are taken at their word", answer)
                    self._proofs_offered = False
                    break
                yield address, part, check_account(header.state_root, address, part, answer)
            else:
                return
        for address, part in pieces:
            yield address, part, self._unproven(block, address, part)

    def _unproven(self, block: Any, address: bytes, slots: list[int]) -> ProvenAccount:
        name = "0x" + address.hex()
        calls: list[Call] = [(f"eth_get{what}", [name, block]) for what in ("Balance", "TransactionCount", "Code")]
        calls += [("eth_getStorageAt", [name, f"0x{slot:064x}", block]) for slot in slots]
        answers = self.batch(calls)
        for answer in answers:
            if isinstance(answer, NodeError):
                raise answer
        balance, nonce = to_uint(answers[0], "eth_getBalance"), to_uint(answers[1], "eth_getTransactionCount", 64)
        code = to_bytes(answers[2], "eth_getCode")
        values = [to_uint(answer, "eth_getStorageAt") for answer in answers[3:]]
        return ProvenAccount(
            bool(balance or nonce or code),
            nonce,
            balance,
            keccak256(code),
            None,
            dict(zip(slots, values, strict=True)),
            False,
        )

    def code(self, address: bytes, code_hash: bytes, header: Header) -> bytes:
        """The code of an account after a block. `StateError` if its hash is not `code_hash`."""
        return self.codes({address: code_hash}, header)[address]

    def codes(self, hashes: Mapping[bytes, bytes], header: Header, by_number: bool = True) -> dict[bytes, bytes]:
        """The codes of accounts after a block, by address; `hashes` are the expected hashes. Raises `StateError`."""
        asked = [address for address, code_hash in hashes.items() if code_hash != EMPTY_CODE_HASH]
        block = block_parameter(header.number if by_number else header.hash)
        answers = self.batch([("eth_getCode", ["0x" + address.hex(), block]) for address in asked])
        codes = dict.fromkeys(hashes, b"")
        for address, answer in zip(asked, answers, strict=True):
            if isinstance(answer, NodeError):
                raise answer
            with self._reading():
                codes[address] = checked_code(address, hashes[address], answer)
        return codes

    # ---- whole storage

    def storage(self, address: bytes, header: Header, root: bytes) -> dict[int, int] | None:
        """The whole storage of an account after a block, if its root is `root`; None if the node does not return it.

        Uses `debug_storageRangeAt`, which gives the state before a transaction: the first of the next block or, if
        there is no next block yet, the position after the last transaction of the block itself.
        """
        if root == EMPTY_TRIE_ROOT:
            return {}
        with self._reading():
            return self._whole(address, header, root)

    def _whole(self, address: bytes, header: Header, root: bytes) -> dict[int, int] | None:
        problem = ""
        for block, index in self._places_after(header):
            try:
                slots = self._pages(address, block, index)
            except NodeError as error:
                if error.code == METHOD_NOT_FOUND:
                    return None
                problem = str(error)
                continue
            if slots is None:
                problem = "the node does not know the slots' numbers (preimages)"
                continue
            if storage_root(slots) == root:
                return slots
            problem = f"it has the root 0x{storage_root(slots).hex()}, the block 0x{root.hex()}"
        log.warning("account 0x%s: the node's debug_storageRangeAt is of no use: %s", address.hex(), problem)
        return None

    def _places_after(self, header: Header) -> list[tuple[bytes, int]]:
        if self._places[0] == header.hash:
            return self._places[1]
        places = []
        child = self.block(header.number + 1)
        if child is not None and to_hash(child.get("parentHash"), "parentHash") == header.hash:
            places.append((to_hash(child.get("hash"), "hash"), 0))
        block = self.block(header.hash)
        transactions = block.get("transactions") if block is not None else None
        if isinstance(transactions, list):
            places.append((header.hash, len(transactions)))
        self._places = (header.hash, places)
        return places

    def _pages(self, address: bytes, block: bytes, index: int) -> dict[int, int] | None:
        slots: dict[int, int] = {}
        start = "0x" + bytes(32).hex()
        while True:
            name = "0x" + address.hex()
            page = self.call("debug_storageRangeAt", "0x" + block.hex(), index, name, start, SLOTS_PER_PAGE)
            page = to_object(page, "debug_storageRangeAt")
            entries = to_object(page.get("storage") or {}, "storage")
            for hashed, entry in entries.items():
                entry = to_object(entry, "storage")
                if entry.get("key") is None:
                    return None
                key = to_uint(entry["key"], "storage key")
                if keccak256(key.to_bytes(32, "big")) != to_hash(hashed, "storage key hash"):
                    raise StateError(f"account {name}: slot {key:#x} is given with the hash of another")
                slots[key] = to_uint(entry.get("value"), "storage value")
            following = page.get("nextKey")
            if following is None:
                return slots
            if to_hash(following, "nextKey") <= to_hash(start, "nextKey"):
                raise StateError(f"account {name}: debug_storageRangeAt goes in circles at {following}")
            start = following


def _parts(slots: list[int]) -> list[list[int]]:
    return [slots[at : at + SLOTS_PER_PROOF] for at in range(0, len(slots), SLOTS_PER_PROOF)] or [[]]


def checked_block(found: Any) -> Mapping[str, Any]:
    """A block's JSON, after checking that its header has the given hash. Raises `StateError`."""
    block: Mapping[str, Any] = to_object(found, "block")
    header = Header.from_json(block)
    if header.hash != to_hash(block.get("hash"), "hash"):
        raise StateError(
            f"block {header.number}: the header has the hash 0x{header.hash.hex()}, the node says {block.get('hash')}: "
            "it is damaged, or of a fork that is not known here"
        )
    return block


def checked_code(address: bytes, code_hash: bytes, found: Any) -> bytes:
    """A code, after checking its hash. Raises `StateError`."""
    code = to_bytes(found, "eth_getCode")
    if keccak256(code) != code_hash:
        raise StateError(
            f"account 0x{address.hex()}: the code has the hash 0x{keccak256(code).hex()}, 0x{code_hash.hex()} is right"
        )
    return code


def check_account(state_root: bytes, address: bytes, slots: Sequence[int], answer: Any) -> ProvenAccount:
    """The account that the answer of eth_getProof proves. Raises `StateError` if the proof fails."""
    answer = to_object(answer, "eth_getProof")
    name = f"account 0x{address.hex()}"
    try:
        leaf = verify_proof(state_root, address, _nodes(answer.get("accountProof")))
        if leaf is None:
            return ProvenAccount(False, 0, 0, EMPTY_CODE_HASH, EMPTY_TRIE_ROOT, dict.fromkeys(slots, 0))
        items = rlp.decode_list(rlp.decode(leaf), "account")
        if len(items) != 4:
            raise RlpError(f"RLP: account: expected 4 fields, got {len(items)}")
        nonce, balance = rlp.decode_uint(items[0], "nonce", 64), rlp.decode_uint(items[1], "balance")
        root, code_hash = rlp.decode_fixed(items[2], "storage root", 32), rlp.decode_fixed(items[3], "code hash", 32)
        given = answer.get("storageProof") or []
        if not isinstance(given, list) or len(given) != len(slots):
            raise StateError("the storage proofs are not those asked for")
        values = {}
        for slot, entry in zip(slots, given, strict=True):
            value = verify_proof(root, slot.to_bytes(32, "big"), _nodes(to_object(entry, "storageProof").get("proof")))
            values[slot] = 0 if value is None else rlp.decode_uint(rlp.decode(value), f"slot {slot:#x}")
    except (StateError, RlpError) as error:
        raise StateError(f"{name}: the node's proof does not hold: {error}") from error
    return ProvenAccount(True, nonce, balance, code_hash, root, values)


def _nodes(value: Any) -> list[bytes]:
    if not isinstance(value, list):
        raise InputError(f"eth_getProof: a list of nodes is needed, got {value!r:.60}")
    return [to_bytes(node, "eth_getProof") for node in value]


def from_node(
    node: Node, header: Header, addresses: Collection[bytes], slots: Mapping[bytes, Collection[int]] | None = None
) -> Iterator[SourceAccount]:
    """Accounts after a block from a node, ascending by address.

    Storage is complete if the node returns it (`debug_storageRangeAt`) and its root is the proven one, or if the
    account has none; otherwise only the given slots are known.
    """
    wanted = sorted(addresses)
    slots = slots or {}
    for at in range(0, len(wanted), ACCOUNTS_PER_BATCH):
        part = wanted[at : at + ACCOUNTS_PER_BATCH]
        found = node.accounts(header, {address: sorted(slots.get(address, ())) for address in part})
        codes = node.codes({address: account.code_hash for address, account in found.items()}, header)
        for address in part:
            account = found[address]
            if not account.exists:
                yield SourceAccount(address, absent=True)
                continue
            whole = None if account.storage_root is None else node.storage(address, header, account.storage_root)
            yield SourceAccount(
                address,
                account.nonce,
                account.balance,
                account.code_hash,
                codes[address],
                (account.slots if whole is None else whole).items(),
                whole is not None,
            )


class RpcState(State):
    """The state after one block, read from a node on demand; each answer is proven against the state root."""

    def __init__(self, node: Node, header: Header) -> None:
        self.node = node
        self.header = header

    def account(self, address: bytes) -> AccountInfo | None:
        account = self.node.accounts(self.header, {address: ()})[address]
        if not account.exists:
            return None
        has_storage = account.storage_root not in (None, EMPTY_TRIE_ROOT)
        return AccountInfo(account.nonce, account.balance, account.code_hash, has_storage)

    def storage(self, address: bytes, slot: int) -> int:
        return self.node.accounts(self.header, {address: (slot,)})[address].slots[slot]

    def code(self, address: bytes, code_hash: bytes) -> bytes:
        return self.node.code(address, code_hash, self.header)

    def block_hash(self, number: int) -> bytes | None:
        block = self.node.block(number)
        return None if block is None else to_hash(block["hash"], "hash")
