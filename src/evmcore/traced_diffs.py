"""Diffs of blocks that a node executed: from the node's prestateTracer, completed by proofs.

The tracer (geth's, in diff mode) reports which accounts and slots each transaction changed, with the new values. It
does not report changes outside transactions: block and ommer rewards, withdrawals, the system contracts' storage
(EIP-4788, EIP-2935, EIP-7002, EIP-7251). It cannot distinguish a code that became empty (EIP-7702) from an unchanged
code nor, before Spurious Dragon, an empty account from an absent one. These accounts are read from the node after the
block, each proven against the state root if the node offers `eth_getProof`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from evmcore._diff import StateDiff
from evmcore._hash import keccak256
from evmcore.block_sources import Advance
from evmcore.blocks import Block, Header
from evmcore.errors import InputError, StateError
from evmcore.state.base import EMPTY_CODE_HASH
from evmcore.state.layout import Head, Record
from evmcore.state.publisher import Publisher
from evmcore.state.rpc import Node, ProvenAccount
from evmcore.types import to_address, to_bytes, to_hash, to_object, to_uint

log = logging.getLogger(__name__)

BEACON_ROOTS: Final = bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02")  # EIP-4788
BLOCK_HASHES: Final = bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935")  # EIP-2935
REQUEST_QUEUES: Final = (
    bytes.fromhex("00000961ef480eb55e80d19ad83579a64c007002"),  # EIP-7002
    bytes.fromhex("0000bbddc7ce488642fb579f8b00f3a590007251"),  # EIP-7251
)
RING: Final = 8191
TRACER: Final = {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}
SET_CODE: Final = 4  # the transaction type of EIP-7702


@dataclass(slots=True)
class _Traced:
    """An account during the block: its values change from transaction to transaction."""

    exists: bool
    nonce: int
    balance: int
    code_hash: bytes
    destroyed: bool = False
    # The trace is not enough; the account has to be read from the node.
    uncertain: bool = False
    # Slot -> value before the block, and slot -> value after the transactions traced so far.
    old: dict[int, int] = field(default_factory=dict)
    new: dict[int, int] = field(default_factory=dict)


class TracingChanger:
    """Determines the changes of blocks from a node's traces, checked by proofs, without executing the blocks."""

    def __init__(self, publisher: Publisher, node: Node, *, prove_all: bool = True) -> None:
        """`prove_all`: every changed account is read from the node with a proof, not only accounts that the tracer
        does not report completely."""
        self.publisher = publisher
        self.node = node
        self.prove_all = prove_all
        self.complete = publisher.complete()

    def published(self, header: Header, diff: StateDiff) -> None:
        """Nothing is kept from block to block."""

    def rewound(self, head: Head) -> None:
        """Nothing is kept from block to block."""

    def close(self) -> None:
        """The node's connection belongs to the caller."""

    def changes(self, step: Advance, parent: Header, block_hashes: Mapping[int, bytes]) -> StateDiff:
        block = step.block
        traces = self._traces(block)
        silent = unshown_accounts(block)
        named = {address for pre, post in traces for address in (*pre, *post)} | silent.keys()
        order = sorted(named)
        records = {
            address: record
            for address, record in zip(order, self.publisher.tracked(order), strict=True)
            if self.complete or record is not None
        }
        accounts = {address: _begin(record) for address, record in records.items()}
        codes: dict[bytes, bytes] = {}
        for index, (pre, post) in enumerate(traces):
            for address in sorted(pre.keys() | post.keys()):
                if address in accounts:
                    self._transaction(
                        block, index, address, accounts[address], pre.get(address), post.get(address), codes
                    )
        self._settle(block, records, accounts, silent, codes)
        return self._diff(records, accounts, codes)

    def _traces(self, block: Block) -> list[tuple[dict[bytes, Any], dict[bytes, Any]]]:
        if not block.transactions:
            return []
        answer = self.node.call("debug_traceBlockByHash", "0x" + block.hash.hex(), TRACER)
        if not isinstance(answer, list) or len(answer) != len(block.transactions):
            raise StateError(
                f"block {block.header.number}: {len(block.transactions)} transactions, the node's trace has "
                f"{len(answer) if isinstance(answer, list) else type(answer).__name__}"
            )
        traces = []
        for index, entry in enumerate(answer):
            entry = to_object(entry, "trace")
            if entry.get("error") is not None:
                raise StateError(f"block {block.header.number}, transaction {index}: trace: {entry['error']}")
            result = to_object(entry.get("result"), "trace")
            pre, post = (
                {to_address(address, "trace"): to_object(account, "trace") for address, account in part.items()}
                for part in (to_object(result.get("pre") or {}, "pre"), to_object(result.get("post") or {}, "post"))
            )
            traces.append((pre, post))
        return traces

    def _transaction(
        self,
        block: Block,
        index: int,
        address: bytes,
        account: _Traced,
        pre: Mapping[str, Any] | None,
        post: Mapping[str, Any] | None,
        codes: dict[bytes, bytes],
    ) -> None:
        """One account's changes in one transaction."""
        where = f"block {block.header.number}, transaction {index}, account 0x{address.hex()}"
        try:
            before, after = (_slots((part or {}).get("storage")) for part in (pre, post))
            if pre is not None and not account.destroyed:
                self._check_start(where, account, pre)
            for slot, value in before.items():
                account.old.setdefault(slot, value)
            if post is None:
                if block.header.parent_beacon_block_root is not None and account.code_hash != EMPTY_CODE_HASH:
                    # From EIP-6780 on only its balance goes, unless to itself; tracers report it as destroyed.
                    account.balance, account.uncertain = 0, True
                    return
                account.exists, account.destroyed = False, True
                account.nonce, account.balance, account.code_hash = 0, 0, EMPTY_CODE_HASH
                account.new.clear()
                return
            for slot in before.keys() | after.keys():
                account.old.setdefault(slot, 0)
                account.new[slot] = after.get(slot, 0)
            account.exists = True
            if "nonce" in post:
                account.nonce = to_uint(post["nonce"], "nonce", 64)
            if "balance" in post:
                account.balance = to_uint(post["balance"], "balance")
            if "code" in post:
                code = to_bytes(post["code"], "code")
                account.code_hash = keccak256(code)
                codes[account.code_hash] = code
            elif "codeHash" in post:
                account.code_hash = to_hash(post["codeHash"], "codeHash")
        except InputError as error:
            raise StateError(f"{where}: trace: {error}") from error
        if not account.nonce and not account.balance and account.code_hash == EMPTY_CODE_HASH:
            # EIP-161. Before Spurious Dragon the account may exist and be empty.
            account.exists, account.uncertain = False, True

    @staticmethod
    def _check_start(where: str, account: _Traced, pre: Mapping[str, Any]) -> None:
        """Checks that the traced state before the transaction is the state that we have."""
        nonce, balance = to_uint(pre.get("nonce", 0), "nonce", 64), to_uint(pre.get("balance", 0), "balance")
        if (account.nonce, account.balance) != (nonce, balance):
            raise StateError(
                f"{where}: nonce {account.nonce} and balance {account.balance} in the state, "
                f"nonce {nonce} and balance {balance} in the trace"
            )

    # ---- what the tracer does not report

    def _settle(
        self,
        block: Block,
        records: Mapping[bytes, Record | None],
        accounts: dict[bytes, _Traced],
        silent: Mapping[bytes, Sequence[int]],
        codes: dict[bytes, bytes],
    ) -> None:
        """Replaces the values that the tracer cannot report by the node's values after the block."""
        ask = {address: slots for address, slots in silent.items() if address in accounts}
        sets_code = any(transaction.type == SET_CODE for transaction in block.transactions)
        for address, account in accounts.items():
            hidden = account.uncertain or (sets_code and account.code_hash != EMPTY_CODE_HASH)
            if self.prove_all or address in ask or hidden:
                ask[address] = sorted({*ask.get(address, ()), *account.new, *account.old})
        if not ask:
            return
        header = block.header
        for address, found in self.node.accounts(header, ask).items():
            account = accounts[address]
            if found.code_hash not in (account.code_hash, EMPTY_CODE_HASH) and found.code_hash not in codes:
                codes[found.code_hash] = self.node.code(address, found.code_hash, header)
            if address not in silent and not account.uncertain:
                self._compare(block, address, account, found)
            account.exists, account.nonce, account.balance = found.exists, found.nonce, found.balance
            account.code_hash = found.code_hash
            missing = [slot for slot in found.slots if slot not in account.old]
            record = records[address]
            if missing and record is not None and not account.destroyed:
                account.old.update(self.publisher.stored_slots(address, record, missing))
            account.new.update({slot: value for slot, value in found.slots.items() if slot in account.old})

    @staticmethod
    def _compare(block: Block, address: bytes, account: _Traced, found: ProvenAccount) -> None:
        traced = (account.nonce, account.balance, account.new)
        proven = (found.nonce, found.balance, {slot: found.slots[slot] for slot in account.new})
        if traced != proven:
            log.warning(
                "block %d: account 0x%s: trace and proof differ, the proof counts: nonce and balance %s, %s",
                block.header.number,
                address.hex(),
                traced[:2],
                proven[:2],
            )

    # ---- the diff

    def _diff(
        self, records: Mapping[bytes, Record | None], accounts: Mapping[bytes, _Traced], codes: Mapping[bytes, bytes]
    ) -> StateDiff:
        document: dict[str, Any] = {"accounts": {}, "storage": {}, "codes": {}}
        for address, account in accounts.items():
            name = "0x" + address.hex()
            record = records[address]
            existed = record is not None and not record.absent
            assert record is not None or self.complete
            old = _fields(record.nonce, record.balance, record.code_hash) if record is not None and existed else None
            new = _fields(account.nonce, account.balance, account.code_hash) if account.exists else None
            wiped = account.destroyed and existed
            if old != new or wiped:
                document["accounts"][name] = {"old": old, "new": new, **({"wiped": True} if wiped else {})}
            if account.code_hash in codes and (old is None or old["codeHash"] != "0x" + account.code_hash.hex()):
                document["codes"]["0x" + account.code_hash.hex()] = "0x" + codes[account.code_hash].hex()
            olds = account.old
            if wiped and record is not None:
                # The trace has these slots only as they were after the account's first life ended.
                olds = {**olds, **self.publisher.stored_slots(address, record, [*account.new, *account.old])}
            slots = {}
            for slot in account.old.keys() | account.new.keys():
                before, after = olds.get(slot, 0), account.new.get(slot, 0 if account.destroyed else olds.get(slot, 0))
                if before != after or (wiped and after):
                    slots[hex(slot)] = {"old": hex(before), "new": hex(after)}
            if slots and (existed or account.exists):
                document["storage"][name] = slots
        return StateDiff.from_json(document)


def _begin(record: Record | None) -> _Traced:
    if record is None or record.absent:
        return _Traced(False, 0, 0, EMPTY_CODE_HASH)
    return _Traced(True, record.nonce, record.balance, record.code_hash)


def _fields(nonce: int, balance: int, code_hash: bytes) -> dict[str, str]:
    return {"nonce": hex(nonce), "balance": hex(balance), "codeHash": "0x" + code_hash.hex()}


def _slots(value: Any) -> dict[int, int]:
    return {to_uint(key, "slot"): to_uint(word, "value") for key, word in to_object(value or {}, "storage").items()}


def unshown_accounts(block: Block) -> dict[bytes, list[int]]:
    """The accounts that a block changes outside its transactions, with the changed slots if there are any."""
    header = block.header
    accounts: dict[bytes, list[int]] = {header.coinbase: []}
    for ommer in block.ommers:
        accounts[ommer.coinbase] = []
    for withdrawal in block.withdrawals or ():
        accounts[withdrawal.address] = []
    if header.parent_beacon_block_root is not None:
        place = header.timestamp % RING
        accounts[BEACON_ROOTS] = [place, place + RING]
    if header.requests_hash is not None:
        accounts[BLOCK_HASHES] = [(header.number - 1) % RING]
        for queue in REQUEST_QUEUES:
            # Excess, count, head and tail; dequeued requests stay in storage.
            accounts[queue] = [0, 1, 2, 3]
    return accounts
