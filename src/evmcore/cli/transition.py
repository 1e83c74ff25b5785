"""The transition of `t8n`, from parsed JSON to JSON: a block's transactions on a state, without the invalid ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from evmcore import rlp
from evmcore._hash import keccak256
from evmcore.blocks import EMPTY_OMMERS_HASH, Block, Header, encode_withdrawal
from evmcore.cli.arguments import CommandError
from evmcore.cli.fixtures import fields
from evmcore.cli.fixtures.fields import mapping, sequence, uint
from evmcore.cli.fixtures.source import FixtureError
from evmcore.cli.t8n_codes import CONFIG_ERROR, EVM_ERROR, JSON_ERROR, RLP_ERROR
from evmcore.engine import BlockResult, execute_block
from evmcore.errors import EvmcoreError, InputError, InvalidBlock, InvalidTransaction, RlpError
from evmcore.forks import ChainConfig, Fork
from evmcore.headers import next_base_fee, next_difficulty, next_excess_blob_gas
from evmcore.state import MemoryState
from evmcore.tracing import Tracer
from evmcore.transactions import Transaction
from evmcore.trie import ordered_root
from evmcore.types import Log, Receipt, Withdrawal


@dataclass(frozen=True)
class TransitionInput:
    """The parsed inputs; `reward` is in wei, negative for none."""

    alloc: Any
    env: Any
    txs: Any
    fork: str
    chain_id: int
    reward: int


@dataclass(frozen=True)
class Transition:
    """The outputs in geth's form, and the included transactions."""

    alloc: dict[str, Any]
    result: dict[str, Any]
    body: str
    included: list[Transaction]


def transition(inputs: TransitionInput, tracer: Tracer | None = None) -> Transition:
    """Applies the transactions. Raises `CommandError` with geth's exit code for invalid inputs."""
    try:
        config = ChainConfig.from_network(inputs.fork, inputs.chain_id)
    except InputError as error:
        raise CommandError(f"--state.fork: {error}", CONFIG_ERROR) from None
    try:
        state = MemoryState(fields.alloc("alloc", inputs.alloc))
        env = _Env(mapping("env", inputs.env), config)
        transactions, rejected = _transactions(inputs, env.fork)
    except (FixtureError, fields.Oversized) as error:
        raise CommandError(str(error), JSON_ERROR) from None
    block = env.block()
    included, result = _execute(block, transactions, rejected, state, config, env, inputs.reward, tracer)
    return Transition(
        alloc=state.dump(),
        result=_result(result, included, rejected, env),
        body="0x" + rlp.encode([_body_item(transaction) for transaction in included]).hex(),
        included=included,
    )


class _Env:
    """The `env` section: fields of the header, or the parent's fields from which they follow."""

    def __init__(self, env: Mapping[str, Any], config: ChainConfig) -> None:
        self.env = env
        self.config = config
        self.number = self.need("currentNumber", 64)
        self.timestamp = self.need("currentTimestamp", 64)
        difficulty = self.take("currentDifficulty")
        self.fork = config.fork_of(self.number, self.timestamp, 1 if difficulty is None else difficulty)
        self.difficulty = 0 if self.fork >= Fork.PARIS else self._difficulty(difficulty)
        self.base_fee = self._base_fee() if self.fork >= Fork.LONDON else None
        self.excess_blob_gas = self._excess_blob_gas() if self.fork >= Fork.CANCUN else None
        self.block_hashes = {
            uint("env.blockHashes key", number, 64): fields.fixed(f"env.blockHashes[{number}]", block_hash, 32)
            for number, block_hash in mapping("env.blockHashes", env.get("blockHashes") or {}).items()
        }

    def take(self, name: str, bits: int = 256) -> int | None:
        value = self.env.get(name)
        return None if value is None else uint(f"env.{name}", value, bits)

    def need(self, name: str, bits: int = 256, why: str = "") -> int:
        value = self.take(name, bits)
        if value is None:
            if why:
                raise CommandError(f"env: {why} needs {name!r}", CONFIG_ERROR)
            raise CommandError(f"env: missing field {name!r}", JSON_ERROR)
        return value

    def _difficulty(self, given: int | None) -> int:
        if given is not None:
            return given
        why = "a difficulty that is not given (currentDifficulty)"
        ommers = self.env.get("parentUncleHash")
        has_ommers = ommers is not None and fields.fixed("env.parentUncleHash", ommers, 32) not in (
            EMPTY_OMMERS_HASH,
            bytes(32),
        )
        parent_timestamp = self.need("parentTimestamp", 64, why)
        if parent_timestamp >= self.timestamp:
            raise CommandError("env: currentTimestamp is not after parentTimestamp", CONFIG_ERROR)
        return next_difficulty(
            self.fork,
            self.number,
            self.timestamp,
            parent_timestamp,
            self.need("parentDifficulty", 256, why),
            has_ommers,
        )

    def _base_fee(self) -> int:
        given = self.take("currentBaseFee")
        if given is not None:
            return given
        why = "a base fee that is not given (currentBaseFee)"
        parent = Header(
            base_fee_per_gas=self.need("parentBaseFee", 256, why),
            gas_limit=self.take("parentGasLimit", 64) or self.need("currentGasLimit", 64),
            gas_used=self.take("parentGasUsed", 64) or 0,
        )
        return next_base_fee(parent)

    def _excess_blob_gas(self) -> int:
        given = self.take("currentExcessBlobGas", 64)
        if given is not None:
            return given
        schedule = self.config.blob_schedule_at(self.number, self.timestamp)
        assert schedule is not None  # every fork from Cancun on has one
        parent = Header(
            base_fee_per_gas=self.take("parentBaseFee") or 0,
            withdrawals_root=bytes(32),
            blob_gas_used=self.take("parentBlobGasUsed", 64) or 0,
            excess_blob_gas=self.take("parentExcessBlobGas", 64) or 0,
        )
        return next_excess_blob_gas(parent, self.fork, schedule)

    def block(self) -> Block:
        """A block without transactions, with these header fields."""
        try:
            return self._block()
        except (FixtureError, fields.Oversized, InputError) as error:
            raise CommandError(f"env: {error}", JSON_ERROR) from None

    def _block(self) -> Block:
        fork, env = self.fork, self.env
        more: dict[str, Any] = {}
        if fork >= Fork.PARIS:
            more["mix_hash"] = self.need("currentRandom", 256, "a block after the merge").to_bytes(32, "big")
        if fork >= Fork.LONDON:
            more["base_fee_per_gas"] = self.base_fee
        if fork >= Fork.SHANGHAI:
            more["withdrawals_root"] = bytes(32)
        if fork >= Fork.CANCUN:
            root = env.get("parentBeaconBlockRoot")
            if root is None:
                raise CommandError("env: a block from Cancun on needs 'parentBeaconBlockRoot'", CONFIG_ERROR)
            more["parent_beacon_block_root"] = fields.fixed("parentBeaconBlockRoot", root, 32)
            more["excess_blob_gas"] = self.excess_blob_gas
            more["blob_gas_used"] = 0
        if fork >= Fork.PRAGUE:
            more["requests_hash"] = bytes(32)
        header = Header(
            parent_hash=self.block_hashes.get(self.number - 1, bytes(32)),
            coinbase=fields.fixed("currentCoinbase", fields.field("env", env, "currentCoinbase"), 20),
            difficulty=self.difficulty,
            number=self.number,
            gas_limit=self.need("currentGasLimit", 64),
            timestamp=self.timestamp,
            **more,
        )
        return Block(header, ommers=self._ommers(), withdrawals=self._withdrawals())

    def _ommers(self) -> tuple[Header, ...]:
        ommers = []
        for i, entry in enumerate(sequence("ommers", self.env.get("ommers") or [])):
            delta = uint(
                f"ommers[{i}].delta", fields.field(f"ommers[{i}]", mapping(f"ommers[{i}]", entry), "delta"), 64
            )
            if not 1 <= delta <= min(self.number, 7):
                raise FixtureError(f"ommers[{i}].delta: expected 1 to 7 generations, got {delta}")
            address = fields.fixed(f"ommers[{i}].address", fields.field(f"ommers[{i}]", entry, "address"), 20)
            ommers.append(Header(number=self.number - delta, coinbase=address))
        return tuple(ommers)

    def _withdrawals(self) -> tuple[Withdrawal, ...] | None:
        if self.fork < Fork.SHANGHAI:
            return None
        entries = self.env.get("withdrawals")
        if entries is None:
            raise CommandError("env: a block from Shanghai on needs 'withdrawals'", CONFIG_ERROR)
        return tuple(
            Withdrawal.from_json(mapping(f"withdrawals[{i}]", entry))
            for i, entry in enumerate(sequence("withdrawals", entries))
        )


# ---- transactions


def _transactions(inputs: TransitionInput, fork: Fork) -> tuple[dict[int, Transaction], dict[int, str]]:
    """The valid transactions with their senders by index, and the reasons why the others are invalid."""
    transactions: dict[int, Transaction] = {}
    rejected: dict[int, str] = {}
    if isinstance(inputs.txs, str):
        items: list[Any] = _encoded(fields.data("txs", inputs.txs))
    else:
        items = list(sequence("txs", [] if inputs.txs is None else inputs.txs))
    for index, item in enumerate(items):
        try:
            transaction = (
                Transaction.decode(item)
                if isinstance(item, bytes)
                else _from_json(f"txs[{index}]", item, inputs.chain_id, fork)
            )
            transactions[index] = replace(transaction, sender=transaction.recover_sender(fork, inputs.chain_id))
        except InvalidTransaction as error:
            rejected[index] = str(error)
    return transactions, rejected


def _encoded(data: bytes) -> list[bytes]:
    """The encodings in an RLP list: a legacy transaction is a list itself, the others are strings."""
    try:
        items = rlp.decode(data)
    except RlpError as error:
        raise CommandError(f"txs: {error}", RLP_ERROR) from None
    if not isinstance(items, list):
        raise CommandError("txs: expected an RLP list of transactions", RLP_ERROR)
    return [item if isinstance(item, bytes) else rlp.encode(item) for item in items]


def _from_json(where: str, item: Any, chain_id: int, fork: Fork) -> Transaction:
    """A signed transaction, or one to be signed with its `secretKey`."""
    item = dict(mapping(where, item))
    for name in ("to", "chainId"):
        if item.get(name) == "":
            del item[name]
    key = item.pop("secretKey", None)
    protected = item.pop("protected", True)
    try:
        transaction = Transaction.from_json(item)
        if key is None or transaction.r or transaction.s:
            return transaction
        has_chain_id = transaction.type > 0 or (protected and fork >= Fork.SPURIOUS_DRAGON)
        unsigned = replace(
            transaction, chain_id=(transaction.chain_id or chain_id) if has_chain_id else None, v=0, sender=None
        )
        return unsigned.sign(fields.fixed(f"{where}.secretKey", key, 32))
    except InputError as error:
        raise FixtureError(f"{where}: {error}") from None


def _execute(
    block: Block,
    transactions: dict[int, Transaction],
    rejected: dict[int, str],
    state: MemoryState,
    config: ChainConfig,
    env: _Env,
    reward: int,
    tracer: Tracer | None,
) -> tuple[list[Transaction], BlockResult]:
    """Executes the block repeatedly, each time without the transaction that made it invalid the time before."""
    while True:
        places = list(transactions)
        attempt = replace(block, transactions=tuple(transactions.values()))
        settings: dict[str, Any] = {
            "fork": env.fork,
            "block_hashes": env.block_hashes,
            "validate": False,
            "check_state_root": True,
            "reward": reward,
        }
        try:
            result = execute_block(attempt, state, config, commit=tracer is None, **settings)
            if tracer is not None:
                result = execute_block(attempt, state, config, commit=True, tracer=tracer, **settings)
            return list(attempt.transactions), result
        except InvalidBlock as error:
            cause = error.__cause__
            if not isinstance(cause, InvalidTransaction) or cause.index is None:
                raise CommandError(str(error), EVM_ERROR) from None
            place = places[cause.index]
            rejected[place] = f"{cause.reason}" + (f": {cause.detail}" if cause.detail else "")
            del transactions[place]
        except EvmcoreError as error:
            raise CommandError(str(error), EVM_ERROR) from None


# ---- outputs


def _body_item(transaction: Transaction) -> Any:
    """A transaction as in a block's body: an RLP list for legacy transactions, a string for the others."""
    return rlp.decode(transaction.encode()) if transaction.type == 0 else transaction.encode()


def _log(log: Log, receipt: Receipt, index: int, log_index: int, number: int) -> dict[str, Any]:
    return {
        "address": "0x" + log.address.hex(),
        "topics": ["0x" + topic.hex() for topic in log.topics],
        "data": "0x" + log.data.hex(),
        "blockNumber": hex(number),
        "transactionHash": "0x" + (receipt.transaction_hash or b"").hex(),
        "transactionIndex": hex(index),
        "blockHash": "0x" + bytes(32).hex(),
        "logIndex": hex(log_index),
        "removed": False,
    }


def _receipt(receipt: Receipt, index: int, first_log: int, number: int) -> dict[str, Any]:
    out: dict[str, Any] = {"type": hex(receipt.type)} if receipt.type else {}
    out["root"] = "0x" + (receipt.state_root or b"").hex()
    out["status"] = hex(receipt.status if receipt.status is not None else 0)
    out["cumulativeGasUsed"] = hex(receipt.cumulative_gas_used)
    out["logsBloom"] = "0x" + receipt.bloom.hex()
    out["logs"] = [_log(log, receipt, index, first_log + i, number) for i, log in enumerate(receipt.logs)]
    out["transactionHash"] = "0x" + (receipt.transaction_hash or b"").hex()
    out["contractAddress"] = "0x" + (receipt.contract_address or bytes(20)).hex()
    out["gasUsed"] = hex(receipt.gas_used)
    out["effectiveGasPrice"] = hex(receipt.effective_gas_price)
    out["blockHash"] = "0x" + bytes(32).hex()
    out["transactionIndex"] = hex(index)
    return out


def _result(result: BlockResult, included: list[Transaction], rejected: dict[int, str], env: _Env) -> dict[str, Any]:
    receipts: list[dict[str, Any]] = []
    logs: list[Log] = []
    for index, receipt in enumerate(result.receipts):
        receipts.append(_receipt(receipt, index, len(logs), env.number))
        logs.extend(receipt.logs)
    out: dict[str, Any] = {
        "stateRoot": "0x" + result.state_root().hex(),
        "txRoot": "0x" + ordered_root([transaction.encode() for transaction in included]).hex(),
        "receiptsRoot": "0x" + (result.receipts_root or b"").hex(),
        "logsHash": "0x" + keccak256(rlp.encode([[log.address, list(log.topics), log.data] for log in logs])).hex(),
        "logsBloom": "0x" + result.logs_bloom.hex(),
        "receipts": receipts,
    }
    if rejected:
        out["rejected"] = [{"index": index, "error": error} for index, error in sorted(rejected.items())]
    out["currentDifficulty"] = hex(env.difficulty) if env.fork < Fork.PARIS else None
    out["gasUsed"] = hex(result.gas_used)
    if env.base_fee is not None:
        out["currentBaseFee"] = hex(env.base_fee)
    if env.fork >= Fork.SHANGHAI:
        withdrawals = result.block.withdrawals or ()
        out["withdrawalsRoot"] = "0x" + ordered_root([encode_withdrawal(entry) for entry in withdrawals]).hex()
    if env.excess_blob_gas is not None:
        out["currentExcessBlobGas"] = hex(env.excess_blob_gas)
        out["blobGasUsed"] = hex(result.blob_gas_used)
    if result.requests is not None and result.requests_hash is not None:
        out["requestsHash"] = "0x" + result.requests_hash.hex()
        out["requests"] = ["0x" + request.hex() for request in result.requests]
    return out
