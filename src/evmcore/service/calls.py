"""Calls on the state of a block: the common part of eth_call, eth_estimateGas and eth_createAccessList."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from evmcore._engine import EVM
from evmcore._results import CallResult, Status
from evmcore.blocks import Header
from evmcore.errors import ExecutionAborted, InvalidTransaction
from evmcore.errors import TransactionReason as Reason
from evmcore.estimates import AccessEstimate
from evmcore.forks import ChainConfig, Fork
from evmcore.headers import GAS_PER_BLOB, blob_base_fee
from evmcore.service.allowance import Allowance
from evmcore.service.limits import Limits
from evmcore.service.moves import precompile_moves
from evmcore.service.outcomes import call_error, exception_error
from evmcore.service.parse import BlockOverrides, CallObject, StateOverrides
from evmcore.service.pool import TransactionPool
from evmcore.service.prices import fee_cap
from evmcore.service.rpc_errors import SERVER_ERROR, RpcError
from evmcore.service.source import CallHint, Pin, Source, WouldBlock
from evmcore.state import Backend
from evmcore.state._view import read_account
from evmcore.tracing import Tracer
from evmcore.transactions import MAX_TX_GAS
from evmcore.types import BlockEnv

__all__ = ["NO_OVERRIDES", "Calls", "block_environment", "chain_at", "hint_of"]

T = TypeVar("T")

Changes: TypeAlias = "BlockOverrides | Mapping[str, Any]"
"""The changes of the block environment for a call: parsed from a request, or fields of `BlockEnv`."""

KEPT_EVMS: Final = 64
MIN_TX_GAS: Final = 21_000
NEED_MORE_GAS: Final = frozenset({Reason.INTRINSIC_GAS_TOO_LOW, Reason.INTRINSIC_GAS_BELOW_FLOOR_GAS_COST})
NO_OVERRIDES: Final = StateOverrides()
NO_CHANGES: Final = BlockOverrides()


def chain_at(chain: ChainConfig, header: Header) -> ChainConfig:
    """A chain that has the rules of one block's fork, and its blob schedule, at every block."""
    fork = chain.fork_of(header.number, header.timestamp, header.difficulty)
    return ChainConfig.of_fork(fork, chain.chain_id, chain.blob_schedule_at(header.number, header.timestamp))


def block_environment(header: Header, block_hashes: Mapping[int, bytes]) -> BlockEnv:
    """The block environment that code sees in the block with that header."""
    return BlockEnv(
        number=header.number,
        timestamp=header.timestamp,
        coinbase=header.coinbase,
        gas_limit=header.gas_limit,
        base_fee=header.base_fee_per_gas or 0,
        prevrandao=header.mix_hash,
        difficulty=header.difficulty,
        excess_blob_gas=header.excess_blob_gas,
        block_hashes=block_hashes,
    )


def hint_of(call: CallObject) -> CallHint:
    """The hint that a source gets before a call."""
    return CallHint(call.to, call.data, call.sender or bytes(20), call.access_list or ())


class _Engines:
    """EVMs by block, made once and shared by all calls on the block."""

    def __init__(self, chain: ChainConfig) -> None:
        self._chain = chain
        self._lock = threading.Lock()
        self._evms: dict[tuple[bytes, bool, int], tuple[Backend, EVM]] = {}

    def evm(self, pin: Pin, backend: Backend, free: bool) -> EVM:
        """The EVM of a pinned block. `free`: the base fee is zero, as calls without a price see it."""
        # The entry keeps the backend alive, so that no other object can have its id. A source may have several backends
        # for one block, for threads that run at once.
        key = (pin.block_hash, free, id(backend))
        known = self._evms.get(key)
        if known is not None:
            return known[1]
        env = block_environment(pin.header, pin.block_hashes())
        evm = EVM(backend, chain_at(self._chain, pin.header), env)
        if free and env.base_fee:
            evm = evm.with_block({"base_fee": 0})
        with self._lock:
            self._evms.pop(key, None)
            while len(self._evms) >= KEPT_EVMS:
                self._evms.pop(next(iter(self._evms)))
            self._evms[key] = (backend, evm)
        return evm


@dataclass(slots=True)
class _Run:
    """One prepared call: the arguments of `EVM.call`, except gas and overrides that depend on the state."""

    call: CallObject
    arguments: dict[str, Any]
    overrides: StateOverrides
    changes: dict[str, Any]
    base_fee: int


def _check_lists(call: CallObject) -> None:
    """Raises `InvalidTransaction` for empty lists, which geth distinguishes from missing lists."""
    if call.blob_hashes is not None and not call.blob_hashes:
        creates = Reason.TYPE_3_TX_CONTRACT_CREATION
        raise InvalidTransaction(creates if call.to is None else Reason.TYPE_3_TX_ZERO_BLOBS)
    if call.authorization_list is not None and not call.authorization_list:
        creates = Reason.TYPE_4_TX_CONTRACT_CREATION
        raise InvalidTransaction(creates if call.to is None else Reason.TYPE_4_EMPTY_AUTHORIZATION_LIST)


class Calls:
    """Runs the calls of requests on blocks of a source, within limits. Safe for use from several threads."""

    def __init__(self, source: Source, limits: Limits) -> None:
        self.source = source
        self.limits = limits
        self.engines = _Engines(source.chain)
        self.pool = TransactionPool()

    def run_call(
        self,
        allowance: Allowance,
        pin: Pin,
        call: CallObject,
        overrides: StateOverrides = NO_OVERRIDES,
        changes: Changes = NO_CHANGES,
        *,
        watch: Callable[[], Tracer] | None = None,
        timeout: float | None = None,
    ) -> CallResult:
        """Runs a call on a block; returns its result, also if it reverts.

        `watch` makes the tracer of a run; if there are several runs, the last one counts. `timeout`: seconds, if less
        than the time left for the request.
        """
        run = self._prepare(pin, call, overrides, changes)
        gas = self.gas_limit(call.gas)

        def work(backend: Backend) -> CallResult:
            _check_lists(call)
            evm, seen = self._evm(run, pin, backend, gas)
            limit = allowance.timeout(timeout)
            tracer = None if watch is None else watch()
            return evm.call(**run.arguments, gas=gas, overrides=seen, timeout=limit, tracer=tracer)

        result = self._run(allowance, pin, run, work)
        allowance.gas_used += result.gas_used
        return result

    def estimate(
        self,
        allowance: Allowance,
        pin: Pin,
        call: CallObject,
        overrides: StateOverrides = NO_OVERRIDES,
        changes: Changes = NO_CHANGES,
    ) -> int:
        """The least gas limit with which a call succeeds. `RpcError` as geth answers when it fails with any."""
        run = self._prepare(pin, call, overrides, changes)

        def work(backend: Backend) -> tuple[int, int | None, CallResult | None]:
            evm, seen = self._evm(run, pin, backend, None)
            most = self._most_gas(run, evm, backend)
            try:
                _check_lists(call)
                estimate = evm.estimate_gas(**run.arguments, gas=most, overrides=seen, timeout=allowance.timeout())
            except InvalidTransaction as error:
                if error.reason not in NEED_MORE_GAS:
                    refusal = exception_error(error)
                    raise RpcError(refusal.code, f"{refusal.message} (supplied gas {most})") from error
                return most, None, None
            return most, estimate.gas, estimate.result

        most, gas, result = self._run(allowance, pin, run, work)
        if result is not None:
            allowance.gas_used += result.gas_used
        if gas is not None:
            return gas
        if result is None or result.status == Status.OUT_OF_GAS:
            raise RpcError(SERVER_ERROR, f"gas required exceeds allowance ({most})")
        error = call_error(result)
        assert error is not None
        raise error

    def access_list(
        self,
        allowance: Allowance,
        pin: Pin,
        call: CallObject,
        overrides: StateOverrides = NO_OVERRIDES,
        changes: Changes = NO_CHANGES,
    ) -> AccessEstimate:
        """The access list of a call, and the run that uses it."""
        if call.blob_hashes is not None:  # geth makes a transaction of the call, and words the same errors differently
            if not call.blob_hashes:
                raise RpcError(SERVER_ERROR, "need at least 1 blob for a blob transaction")
            if call.to is None:
                raise RpcError(SERVER_ERROR, 'missing "to" in blob transaction')
        run = self._prepare(pin, call, overrides, changes)
        gas = self.gas_limit(call.gas)

        def work(backend: Backend) -> AccessEstimate:
            _check_lists(call)
            evm, seen = self._evm(run, pin, backend, gas)
            return evm.create_access_list(**run.arguments, gas=gas, overrides=seen, timeout=allowance.timeout())

        estimate = self._run(allowance, pin, run, work)
        allowance.gas_used += estimate.result.gas_used
        return estimate

    # ---- the parts

    def _run(self, allowance: Allowance, pin: Pin, run: _Run, work: Callable[[Backend], T]) -> T:
        try:
            return pin.run(work, hint_of(run.call), wait=not allowance.inline)
        except ExecutionAborted:
            if allowance.inline:
                raise WouldBlock("the call takes longer") from None
            raise

    def _prepare(self, pin: Pin, call: CallObject, overrides: StateOverrides, changes: Changes) -> _Run:
        if changes is NO_CHANGES:
            environment: dict[str, Any] = {}
        else:
            environment = changes.environment() if isinstance(changes, BlockOverrides) else dict(changes)
        own = self.source.chain.chain_id
        if call.chain_id is not None and call.chain_id != own:
            raise RpcError(SERVER_ERROR, f"chainId does not match node's (have={call.chain_id}, want={own})")
        base_fee = environment.get("base_fee", pin.header.base_fee_per_gas or 0)
        arguments = call.arguments(base_fee)
        arguments.pop("gas", None)
        if overrides:
            moves = precompile_moves(overrides, chain_at(self.source.chain, pin.header).activations[0].fork)
            if moves:
                arguments["precompile_moves"] = moves
        price = fee_cap(call)
        if call.names_price and price < base_fee:
            raise RpcError(
                SERVER_ERROR,
                f"err: max fee per gas less than block base fee: address 0x{(call.sender or bytes(20)).hex()}, "
                f"maxFeePerGas: {price}, baseFee: {base_fee} (supplied gas {self.gas_limit(call.gas)})",
            )
        if call.blob_hashes is not None or call.max_fee_per_blob_gas is not None:
            self._price_blobs(pin, call, environment)
        return _Run(call, arguments, overrides, environment, base_fee)

    def _price_blobs(self, pin: Pin, call: CallObject, environment: dict[str, Any]) -> None:
        """A call without a price for blob gas sees a blob base fee of zero, as in geth; a call whose price is too low
        is refused."""
        price = call.max_fee_per_blob_gas or 0
        if not price:
            environment["blob_base_fee"] = 0
            return
        header = pin.header
        schedule = self.source.chain.blob_schedule_at(header.number, header.timestamp)
        fee = environment.get("blob_base_fee")
        if fee is None and schedule is not None:
            fee = blob_base_fee(header.excess_blob_gas or 0, schedule)
        if call.blob_hashes and price < (fee or 0):
            raise RpcError(
                SERVER_ERROR,
                f"err: max fee per blob gas less than block blob gas fee: address 0x{(call.sender or bytes(20)).hex()} "
                f"blobGasFeeCap: {price}, blobBaseFee: {fee} (supplied gas {self.gas_limit(call.gas)})",
            )

    def gas_limit(self, gas: int | None) -> int:
        """The gas limit of a call: the requested limit, up to the cap."""
        cap = self.limits.gas
        if gas is None or gas <= cap:
            return cap if gas is None else gas
        if self.limits.reject_gas:
            raise RpcError(SERVER_ERROR, f"gas {gas} exceeds the limit of this server, {cap}")
        return cap

    def _evm(self, run: _Run, pin: Pin, backend: Backend, gas: int | None) -> tuple[EVM, dict[bytes, Any] | None]:
        """The EVM for a run, and its overrides, after checking that the sender can pay.

        geth takes the price of the gas from the sender before it runs any code, and BALANCE shows that.
        """
        call = run.call
        evm = self.engines.evm(pin, backend, not call.names_price)
        if run.changes:
            evm = self._changed(evm, run, pin, backend)
        overrides = run.overrides.accounts
        value = call.value or 0
        if gas is None or not (value or call.names_price):
            return evm, overrides or None
        sender = call.sender or bytes(20)
        balance = self._balance(run, backend, sender)
        price = fee_cap(call)
        blob_price = (call.max_fee_per_blob_gas or 0) * len(call.blob_hashes or ()) * GAS_PER_BLOB
        need = value + gas * price + blob_price
        if balance < need:
            raise RpcError(
                SERVER_ERROR,
                f"err: insufficient funds for gas * price + value: address 0x{sender.hex()} have {balance} want {need} "
                f"(supplied gas {gas})",
            )
        cost = gas * int(run.arguments["gas_price"])
        if cost:
            overrides = {**overrides, sender: {**overrides.get(sender, {}), "balance": balance - cost}}
        return evm, overrides or None

    def _changed(self, evm: EVM, run: _Run, pin: Pin, backend: Backend) -> EVM:
        """The EVM in a block with overrides, by the rules of the fork in force in that block."""
        changes = dict(run.changes)
        if not run.call.names_price and "base_fee" in changes:
            changes["base_fee"] = 0
        if "block_hashes" in changes:
            changes["block_hashes"] = {**pin.block_hashes(), **changes["block_hashes"]}
        elif "number" in changes:
            changes["block_hashes"] = pin.block_hashes()
        if "number" not in changes and "timestamp" not in changes:
            return evm.with_block(changes)
        header, chain = pin.header, self.source.chain
        number, timestamp = changes.get("number", header.number), changes.get("timestamp", header.timestamp)
        fork = chain.fork_of(number, timestamp, header.difficulty)
        rules = ChainConfig.of_fork(fork, chain.chain_id, chain.blob_schedule_at(number, timestamp))
        return EVM(backend, rules, evm.block).with_block(changes)

    @staticmethod
    def _balance(run: _Run, backend: Backend, address: bytes) -> int:
        override = run.overrides.accounts.get(address, {})
        if "balance" in override:
            return int(override["balance"])
        account = read_account(backend, address)
        return 0 if account is None else account.balance

    def _most_gas(self, run: _Run, evm: EVM, backend: Backend) -> int:
        """The gas limit with which an estimate starts. `RpcError` if the sender cannot even pay the value."""
        call = run.call
        most = evm.block.gas_limit if call.gas is None or call.gas < MIN_TX_GAS else call.gas
        if evm.fork >= Fork.OSAKA:
            most = min(most, MAX_TX_GAS)
        value = call.value or 0
        price = fee_cap(call)
        if value or price:
            balance = self._balance(run, backend, call.sender or bytes(20))
            if value > balance or (price and value == balance):  # nothing is left to pay for gas
                raise RpcError(SERVER_ERROR, "insufficient funds for transfer")
            if price:
                most = min(most, (balance - value) // price)
        return min(most, self.limits.gas)
