"""The same work on this package's engine, as tasks to be timed; every task is checked once before it is."""

from __future__ import annotations

import time
from collections.abc import Mapping

from evmcore import EVM, BlockResult, MemoryState, execute_block
from evmcore.bench import replay
from evmcore.bench.cases import CALLEE, CALLER, Case
from evmcore.bench.measure import Task
from evmcore.bench.peer import BlockWork
from evmcore.bench.workloads import Outcome, Workload
from evmcore.blocks import Block
from evmcore.errors import EvmcoreError
from evmcore.forks import Activation, ChainConfig, Fork
from evmcore.types import Account


def workload_chain(fork: Fork) -> ChainConfig:
    return ChainConfig(1, (Activation(fork, block=0, timestamp=0),))


class WrongResult(EvmcoreError):
    """The engine gave another result than the expected one; there is no point in timing it."""


def state_of(case: Case) -> MemoryState:
    return MemoryState(
        {CALLER: Account(balance=10**18), CALLEE: Account(nonce=1, code=case.code, storage=dict(case.storage))}
    )


def message(case: Case) -> Task:
    """A bare message: execution only. Raises WrongResult if output or gas differ from the case's."""
    evm = EVM(state_of(case), fork=case.fork)
    data, gas = case.data, case.gas_limit
    result = evm.message(CALLEE, data, sender=CALLER, gas=gas)
    if not result.success or result.output != case.output:
        raise WrongResult(f"{case.name}: {case.output.hex()} expected, got {result!r}")
    if case.gas_used is not None and result.gas_used != case.gas_used:
        raise WrongResult(f"{case.name}: {case.gas_used} gas expected, got {result.gas_used}")
    return Task(lambda: evm.message(CALLEE, data, sender=CALLER, gas=gas))


def call(case: Case) -> Task:
    """The same as a call the way a user makes it: with intrinsic gas and all that belongs to a transaction."""
    evm = EVM(state_of(case), fork=case.fork)
    data, gas = case.data, case.gas_limit
    for each in (data, *case.others):
        result = evm.call(CALLEE, each, sender=CALLER, gas=gas)
        if not result.success or result.output != case.output:
            raise WrongResult(f"{case.name}: {case.output.hex()} expected, got {result!r}")
    if case.others:
        next_input = case.next_input()
        return Task(lambda: evm.call(CALLEE, next_input(), sender=CALLER, gas=gas))
    return Task(lambda: evm.call(CALLEE, data, sender=CALLER, gas=gas))


class BlockRun:
    """Executes blocks one after the other on one state; each can be timed before the state moves on."""

    def __init__(self, state: MemoryState, chain: ChainConfig, block_hashes: Mapping[int, bytes] | None = None) -> None:
        self.state = state
        self._chain = chain
        self._block_hashes = block_hashes

    def execute(self, block: Block, commit: bool = False) -> BlockResult:
        """Transactions, system calls, rewards and withdrawals, up to the state diff. No roots, and nothing is compared
        with the header."""
        return execute_block(
            block, self.state, self._chain, block_hashes=self._block_hashes, validate=False, commit=commit
        )

    def work(self, name: str, block: Block) -> BlockWork:
        """The same for a peer, on the present state."""
        return work_of(name, block, self.state, self._chain, self._block_hashes)

    def task(self, block: Block) -> Task:
        """The block to be timed on the present state, which stays as it is."""
        return Task(lambda: self.execute(block))

    def advance(self, block: Block) -> int:
        """Executes the block for good. Returns the gas used. Raises WrongResult if a transaction failed."""
        result = self.execute(block, commit=True)
        for index, receipt in enumerate(result.receipts):
            if receipt.status != 1:
                raise WrongResult(f"block {block.header.number}: transaction {index} failed")
        return int(result.gas_used)


def work_of(
    name: str, block: Block, state: MemoryState, chain: ChainConfig, block_hashes: Mapping[int, bytes] | None
) -> BlockWork:
    """What a peer needs to execute the block, with the gas that it has to use."""
    result = execute_block(block, state, chain, block_hashes=block_hashes, validate=False)
    accounts = {address: state.account(address) for address in state}
    alloc = {address: account for address, account in accounts.items() if account is not None}
    gas_used = [receipt.gas_used for receipt in result.receipts]
    return BlockWork(name, chain, block, alloc, block_hashes or {}, gas_used)


def workload_run(workload: Workload) -> BlockRun:
    return BlockRun(MemoryState(workload.alloc), workload_chain(workload.fork))


def check_outcome(name: str, state: MemoryState, outcome: Outcome) -> None:
    """Raises WrongResult unless the state has every balance and slot of the outcome."""
    for address, balance in outcome.balances.items():
        if state.balance(address) != balance:
            raise WrongResult(f"{name}: 0x{address.hex()}: balance {balance} expected, got {state.balance(address)}")
    for address, slots in outcome.storage.items():
        for slot, value in slots.items():
            if state.storage(address, slot) != value:
                got = state.storage(address, slot)
                raise WrongResult(f"{name}: 0x{address.hex()}: slot {slot:#x}: {value:#x} expected, got {got:#x}")


def real_run(real: replay.RealBlock) -> tuple[BlockRun, int]:
    """A real block on its state, and the nanoseconds of its first execution, when no code has been analysed yet. Raises
    WrongResult if its receipts or its gas are not those of the file."""
    run = BlockRun(MemoryState(real.alloc), real.chain, real.block_hashes)
    start = time.thread_time_ns()
    result = run.execute(real.block)
    first = time.thread_time_ns() - start
    if result.gas_used != real.gas_used:
        raise WrongResult(f"block {real.name}: {real.gas_used} gas expected, got {result.gas_used}")
    problem = replay.difference(real.receipts, result.receipts)
    if problem is not None:
        raise WrongResult(f"block {real.name}: {problem}")
    return run, first
