"""pyrevm as the peer: the same messages and transactions, on an engine of its own."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Any

from evmcore.bench.cases import CALLEE, CALLER, Case, own
from evmcore.bench.measure import Task
from evmcore.bench.peer import BlockWork, PeerError
from evmcore.errors import InputError
from evmcore.types import Account


def _hex(value: bytes) -> str:
    return "0x" + value.hex()


class Pyrevm:
    """Runs on pyrevm, the newest Python binding of revm there is (0.3.7 carries revm 8).

    A message goes through `message_call`; a snapshot before and a revert after it, which pyrevm needs to have the
    same state again, are outside the timed part. What a call to an empty program takes is its overhead; times without
    it are called *net*.
    """

    name = "pyrevm"

    def __init__(self) -> None:
        try:
            self._module: Any = import_module("pyrevm")
        except ImportError as error:
            raise InputError("--peer pyrevm: it is not installed (pip install 'evmcore[bench]')") from error
        self.version = version("pyrevm")

    def close(self) -> None:
        """Nothing is open."""

    def empty(self) -> Task:
        return self.case(own()[0])

    def _engine(self, fork: str, alloc: Mapping[bytes, Account]) -> Any:
        engine = self._module.EVM(spec_id=fork.upper(), gas_limit=10**12)
        for address, account in alloc.items():
            info = self._module.AccountInfo(nonce=account.nonce, balance=account.balance, code=account.code or None)
            engine.insert_account_info(_hex(address), info)
            for slot, value in account.storage.items():
                engine.insert_account_storage(_hex(address), slot, value)
        return engine

    def case(self, case: Case) -> Task:
        """A case to be timed. Raises PeerError if pyrevm does not give the expected output."""
        alloc = {
            CALLER: Account(balance=10**18),
            CALLEE: Account(nonce=1, code=case.code, storage=dict(case.storage)),
        }
        engine = self._engine(case.fork, alloc)
        caller, callee = _hex(CALLER), _hex(CALLEE)
        data = case.data
        # Its limit includes the intrinsic gas (EIP-2028: 16 a byte of calldata, 4 a zero byte).
        gas = case.gas_limit + 21_000 + sum(16 if byte else 4 for byte in data)
        checkpoint: Any = None

        def before() -> None:
            nonlocal checkpoint
            checkpoint = engine.snapshot()

        def run() -> Any:
            return engine.message_call(caller, callee, calldata=data, gas=gas)

        def after() -> None:
            engine.revert(checkpoint)

        before()
        try:
            output = bytes(run() or b"")
        except RuntimeError as error:
            raise PeerError(f"pyrevm cannot run {case.name}: {error}") from error
        after()
        if output != case.output:
            raise PeerError(f"pyrevm gives another output for {case.name}: 0x{output.hex()}")
        if case.others:
            next_input = case.next_input()
            return Task(lambda: engine.message_call(caller, callee, calldata=next_input(), gas=gas), before, after)
        return Task(run, before, after)

    def analysis(self, codes: list[bytes]) -> list[Task]:
        """Messages to codes that stop at once, each of which has its code analysed first; and as many to a code of one
        byte."""
        stop = b"\x00"
        addresses = [number.to_bytes(20, "big") for number in range(0x10_000, 0x10_000 + len(codes))]
        tasks = []
        for whole in (codes, [b""] * len(codes)):
            alloc = {CALLER: Account(balance=10**18)}
            for address, code in zip(addresses, whole, strict=True):
                alloc[address] = Account(nonce=1, code=stop + code)
            engine = self._engine("cancun", alloc)
            caller, callees = _hex(CALLER), [_hex(address) for address in addresses]

            def run(engine: Any = engine, caller: str = caller, callees: list[str] = callees) -> None:
                for callee in callees:
                    engine.message_call(caller, callee, gas=100_000)

            tasks.append(Task(run))
        return tasks

    def block(self, work: BlockWork) -> Task:
        """A message call for each transaction, prepared: only the calls are timed. Raises PeerError for blocks whose
        transactions are more than that."""
        header = work.block.header
        engine = self._engine(work.chain.activations[-1].fork.title, work.alloc)
        engine.set_block_env(
            self._module.BlockEnv(
                number=header.number,
                timestamp=header.timestamp,
                coinbase=_hex(header.coinbase),
                gas_limit=header.gas_limit,
                basefee=header.base_fee_per_gas,
                prevrandao=bytes(32),
            )
        )
        calls = []
        for tx in work.block.transactions:
            if tx.sender is None or tx.to is None or tx.type != 2 or tx.access_list:
                raise PeerError("pyrevm runs calls alone: creations, access lists, blobs and delegations are left out")
            price = (header.base_fee_per_gas or 0) + (tx.max_priority_fee_per_gas or 0)
            calls.append((_hex(tx.sender), _hex(tx.to), tx.data, tx.value, tx.gas_limit, price))
        checkpoint: Any = None

        def before() -> None:
            nonlocal checkpoint
            checkpoint = engine.snapshot()

        def run() -> None:
            for sender, to, data, value, gas, price in calls:
                engine.message_call(sender, to, calldata=data, value=value, gas=gas, gas_price=price)

        def after() -> None:
            engine.revert(checkpoint)

        return Task(run, before, after)
