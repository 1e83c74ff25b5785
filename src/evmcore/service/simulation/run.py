"""Runs simulated blocks one after the other on a session over the pinned state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from evmcore._diff import StateDiff
from evmcore._results import TransactionResult
from evmcore._session import Session
from evmcore._time_limit import TimeLimit
from evmcore.blocks import Block, Header
from evmcore.errors import ExecutionAborted, InvalidBlock, InvalidTransaction
from evmcore.forks import ChainConfig, Fork
from evmcore.headers import blob_base_fee
from evmcore.service.moves import precompile_moves
from evmcore.service.parse import CallObject
from evmcore.service.roots import NO_ROOT
from evmcore.service.rpc_errors import SERVER_ERROR, TIMEOUT, RpcError
from evmcore.service.simulation.checks import call_transaction, check_transaction, invalid_call
from evmcore.service.simulation.headers import begun_block, finished_block
from evmcore.service.simulation.render import simulated_block_json
from evmcore.service.simulation.request import SimulatedBlock, SimulationRequest, with_gaps_filled
from evmcore.state import Backend
from evmcore.state._view import DiffView
from evmcore.transactions import Transaction

__all__ = ["SimulationLimits", "simulate"]


@dataclass(frozen=True, slots=True)
class SimulationLimits:
    """`blocks`: the maximum number, including filled gaps. `gas`: for all calls together. `timeout`: for everything, in
    seconds, None for no limit. `root_work`: accounts that may be hashed for state roots, over all blocks. If the state
    is larger, or cannot compute a root at all, the blocks have a state root of zeros."""

    blocks: int = 256
    gas: int = 50_000_000
    timeout: float | TimeLimit | None = 5.0
    root_work: int = 1_000_000


def simulate(
    backend: Backend,
    chain: ChainConfig,
    base: Header,
    block_hashes: Mapping[int, bytes],
    request: SimulationRequest,
    limits: SimulationLimits | None = None,
    root: Callable[[StateDiff], bytes] | None = None,
) -> list[dict[str, Any]]:
    """The answer of eth_simulateV1 for blocks that follow `base`, whose state is `backend`.

    `block_hashes`: of `base` and of the blocks before it that BLOCKHASH can reach. `root`: computes the root of the
    state after a diff, if `backend` cannot. Raises `RpcError`, and the errors of the execution (`StateError`,
    `ResourceError`).
    """
    return _Simulation(backend, chain, base, block_hashes, request, limits or SimulationLimits(), root).run()


class _Simulation:
    def __init__(
        self,
        backend: Backend,
        chain: ChainConfig,
        base: Header,
        block_hashes: Mapping[int, bytes],
        request: SimulationRequest,
        limits: SimulationLimits,
        root: Callable[[StateDiff], bytes] | None,
    ) -> None:
        self.backend = backend
        self.chain = chain
        self.base = base
        self.request = request
        self.limits = limits
        self.other_root = root
        self.hashes = dict(block_hashes)
        self.gas_pool = limits.gas
        self.limit = TimeLimit.of(limits.timeout)
        self.session = Session(backend, chain, timeout=self.limit)

    def run(self) -> list[dict[str, Any]]:
        blocks = with_gaps_filled(self.request.blocks, self.base, self.limits.blocks)
        self.root = _root_function(self.backend, len(blocks), self.limits.root_work, self.other_root)
        answers: list[dict[str, Any]] = []
        parent = self.base
        try:
            for block in blocks:
                self.check_time()
                made, answer = self.block(block, parent)
                answers.append(answer)
                parent = made.header
        except ExecutionAborted:
            raise RpcError(TIMEOUT, f"execution aborted (timeout = {self.limit.seconds or 0:g}s)") from None
        except InvalidBlock as error:
            raise RpcError(SERVER_ERROR, str(error)) from error
        return answers

    def check_time(self) -> None:
        if self.limit.is_over:
            raise ExecutionAborted("the time for the simulation is over")

    def block(self, wanted: SimulatedBlock, parent: Header) -> tuple[Block, dict[str, Any]]:
        """Runs a block with all its calls: the finished block, and its JSON-RPC value."""
        changes, session = wanted.changes, self.session
        begun, fork = begun_block(self.chain, parent, changes, self.request.validation)
        self.hashes[parent.number] = parent.hash
        moves = precompile_moves(wanted.overrides, fork)
        session.override(wanted.overrides.accounts)
        session.move_precompiles(moves)
        session.begin_block(
            begun,
            fork=fork,
            block_hashes=self.hashes,
            blob_base_fee=changes.blob_base_fee,
            lax_requests=True,
        )
        first_log = session.logs_seen
        fee = changes.blob_base_fee
        if fee is None and fork >= Fork.CANCUN:
            schedule = self.chain.blob_schedule_at(begun.header.number, begun.header.timestamp)
            assert schedule is not None  # every fork from Cancun on has one
            fee = blob_base_fee(begun.header.excess_blob_gas or 0, schedule)
        transactions: list[Transaction] = []
        results: list[TransactionResult] = []
        for call in wanted.calls:
            self.check_time()
            transaction, result = self.call(call, begun.header, fork, fee or 0)
            transactions.append(transaction)
            results.append(result)
        begun = replace(begun, transactions=tuple(transactions))
        outcome = session.end_block(begun)
        block = finished_block(begun, outcome, self.state_root(outcome.diff))
        return block, simulated_block_json(block, results, self.request.full_transactions, first_log)

    def call(
        self, call: CallObject, header: Header, fork: Fork, blob_fee: int
    ) -> tuple[Transaction, TransactionResult]:
        session, validation = self.session, self.request.validation
        london = fork >= Fork.LONDON
        transaction = call_transaction(call, session, header, self.gas_pool, self.chain.chain_id, london)
        fees = check_transaction(transaction, session, header, blob_fee, fork, validation)
        try:
            result = session.run(
                transaction,
                nonce=validation,
                fees=fees.gas,
                blob_fee=fees.blobs,
                eoa=False,
                gas_cap=False,
                blob_limit=False,
                show_transfers=self.request.trace_transfers,
            )
        except InvalidTransaction as error:
            raise invalid_call(error) from error
        self.gas_pool -= result.gas_used
        return transaction, result

    def state_root(self, diff: StateDiff) -> bytes:
        return NO_ROOT if self.root is None else self.root(diff)


def _root_function(
    backend: Backend, blocks: int, most: int, other: Callable[[StateDiff], bytes] | None
) -> Callable[[StateDiff], bytes] | None:
    """The function that computes the root of the state after a diff: the backend's, or `other` if the backend has none.
    None if it would take too long."""
    store: Any = backend
    while isinstance(store, DiffView):
        store = store.base
    if not (hasattr(store, "state_root") and hasattr(store, "__len__")):
        return other
    if len(store) * blocks > most:
        return None
    function: Callable[[StateDiff], bytes] = cast(Any, backend).state_root
    return function
