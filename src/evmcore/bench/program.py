"""A peer that is a program of its own, spoken to in lines of JSON. The protocol: peers/README.md of the repository."""

from __future__ import annotations

import json
import os
import selectors
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from evmcore.bench.cases import CALLEE, CALLER, Case
from evmcore.bench.measure import SHORT_NS, runs_within
from evmcore.bench.peer import BlockWork, PeerError
from evmcore.errors import InputError
from evmcore.headers import blob_base_fee
from evmcore.transactions import Transaction
from evmcore.types import Account, to_bytes, to_uint

ANSWER_SECONDS: Final = 300.0  # for one answer; the longest that any of them needs is some seconds
END_SECONDS: Final = 5.0
CHUNK: Final = 1 << 16


def _octets(value: bytes | None) -> str | None:
    return None if value is None else "0x" + value.hex()


def _number(value: int | None) -> str | None:
    return None if value is None else hex(value)


def alloc_json(alloc: Mapping[bytes, Account]) -> dict[str, Any]:
    """Accounts in the protocol's form."""
    return {
        "0x" + address.hex(): {
            "nonce": hex(account.nonce),
            "balance": hex(account.balance),
            "code": _octets(account.code),
            "storage": {hex(slot): hex(value) for slot, value in account.storage.items()},
        }
        for address, account in alloc.items()
    }


def transaction_json(tx: Transaction) -> dict[str, Any]:
    """A transaction with its sender in the protocol's form. Fields that its type does not have are None."""
    fields: dict[str, Any] = {
        "type": tx.type,
        "sender": _octets(tx.sender or tx.recover_sender()),
        "nonce": hex(tx.nonce),
        "gas_limit": hex(tx.gas_limit),
        "to": _octets(tx.to),
        "value": hex(tx.value),
        "data": _octets(tx.data),
        "gas_price": _number(tx.gas_price),
        "max_fee_per_gas": _number(tx.max_fee_per_gas),
        "max_priority_fee_per_gas": _number(tx.max_priority_fee_per_gas),
        "max_fee_per_blob_gas": _number(tx.max_fee_per_blob_gas),
        "access_list": None,
        "blob_versioned_hashes": None,
        "authorization_list": None,
    }
    if tx.type >= 1:
        fields["access_list"] = [
            {"address": _octets(address), "storage_keys": [_octets(key.to_bytes(32, "big")) for key in keys]}
            for address, keys in tx.access_list
        ]
    if tx.type == 3:
        fields["blob_versioned_hashes"] = [_octets(versioned) for versioned in tx.blob_versioned_hashes]
    if tx.type == 4:
        fields["authorization_list"] = [
            {
                "chain_id": hex(each.chain_id),
                "address": _octets(each.address),
                "nonce": hex(each.nonce),
                "y_parity": hex(each.y_parity),
                "r": hex(each.r),
                "s": hex(each.s),
            }
            for each in tx.authorization_list
        ]
    return fields


def block_json(work: BlockWork, threads: int) -> dict[str, Any]:
    """The request to execute a block."""
    header, (activation,) = work.block.header, work.chain.activations
    excess, schedule = header.excess_blob_gas, activation.blob_schedule
    return {
        "do": "block",
        "fork": activation.fork.title,
        "chain_id": hex(work.chain.chain_id),
        "alloc": alloc_json(work.alloc),
        "block_hashes": {hex(number): _octets(block_hash) for number, block_hash in work.block_hashes.items()},
        "header": {
            "number": hex(header.number),
            "timestamp": hex(header.timestamp),
            "coinbase": _octets(header.coinbase),
            "gas_limit": hex(header.gas_limit),
            "difficulty": hex(header.difficulty),
            "prev_randao": _octets(header.mix_hash),
            "base_fee_per_gas": _number(header.base_fee_per_gas),
            "excess_blob_gas": _number(excess),
            "blob_base_fee": hex(blob_base_fee(excess, schedule)) if excess is not None and schedule else None,
        },
        "transactions": [transaction_json(tx) for tx in work.block.transactions],
        "threads": threads,
    }


class Program:
    """A program that runs work on another engine. Raises InputError if there is no such program, and `PeerError` if it
    does not speak the protocol."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # In a session of its own: Ctrl-C is for the bench, which then ends the program.
            self._process = subprocess.Popen(
                [path.resolve()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            raise InputError(f"--peer {path}: cannot be started: {error.strerror}") from error
        self._rest = b""
        try:
            self._read_hello(self._answer())
        except PeerError:
            self.close()
            raise

    def _read_hello(self, hello: dict[str, Any]) -> None:
        try:
            self.name, self.version = str(hello["name"]), str(hello["version"])
            self.does = frozenset(hello["does"])
            self.on_threads = bool(hello["threads"])
        except (KeyError, TypeError) as error:
            raise PeerError(f"{self.path}: it does not say what it is: {hello!r:.200}") from error

    def close(self) -> None:
        """Ends the program."""
        with suppress(OSError):  # what it was sent last, and does not read any more
            _stream(self._process.stdin).close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _stream(self._process.stdout).close()

    def empty(self) -> None:
        """Programs time themselves."""
        return None

    def case(self, case: Case) -> ProgramTask:
        self._check("message")
        alloc = {
            CALLER: Account(balance=10**18),
            CALLEE: Account(nonce=1, code=case.code, storage=dict(case.storage)),
        }
        answer = self.ask(
            do="message",
            fork=case.fork,
            alloc=alloc_json(alloc),
            sender=_octets(CALLER),
            to=_octets(CALLEE),
            data=_octets(case.data),
            gas=hex(case.gas_limit),
        )
        output, gas_used = self._take(answer, "output", to_bytes), self._take(answer, "gas_used", to_uint)
        if answer.get("success") is not True or output != case.output:
            raise PeerError(f"{self.name} gives another output for {case.name}: {_octets(output)}")
        if case.gas_used is not None and gas_used != case.gas_used:
            raise PeerError(f"{self.name} uses other gas for {case.name}: {gas_used} instead of {case.gas_used}")
        return ProgramTask(self, by_wall=False)

    def block(self, work: BlockWork, threads: int = 1, by_wall: bool = False) -> ProgramTask:
        """See `Peer`; on more than one thread by the engine's parallel execution. `by_wall`: timed by the wall clock,
        however long it takes."""
        self._check("block")
        answer = self.ask(**block_json(work, threads))
        gas_used = answer.get("gas_used")
        if not isinstance(gas_used, list) or len(gas_used) != len(work.gas_used):
            raise PeerError(
                f"{self.name} gives no gas for each of the {len(work.gas_used)} transactions of {work.name}"
            )
        for index, (given, expected) in enumerate(zip(gas_used, work.gas_used, strict=True)):
            if to_uint(given, "gas_used") != expected:
                raise PeerError(
                    f"{self.name} gives another result for {work.name}: transaction {index} uses {given} gas, "
                    f"not {hex(expected)}"
                )
        return ProgramTask(self, by_wall)

    def ask(self, **request: Any) -> dict[str, Any]:
        """The answer to a request. Raises `PeerError` with the program's own words if it cannot do that."""
        stdin = _stream(self._process.stdin)
        try:
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
        except OSError as error:
            raise PeerError(f"{self.path}: it ended: exit code {self._process.wait()}") from error
        answer = self._answer()
        if "error" in answer:
            raise PeerError(f"{self.name}: {answer['error']!s:.300}")
        return answer

    def _check(self, what: str) -> None:
        if what not in self.does:
            raise PeerError(f"{self.name}: does no {what}s")

    def _take(self, answer: dict[str, Any], name: str, convert: Any) -> Any:
        try:
            return convert(answer[name], name)
        except (KeyError, InputError) as error:
            raise PeerError(f"{self.name}: no {name} in its answer: {answer!r:.200}") from error

    def _answer(self) -> dict[str, Any]:
        line = self._line()
        try:
            answer = json.loads(line)
        except ValueError as error:
            raise PeerError(f"{self.path}: no JSON: {line[:200]!r}") from error
        if not isinstance(answer, dict):
            raise PeerError(f"{self.path}: an object is needed, got {line[:200]!r}")
        return answer

    def _line(self) -> bytes:
        """The next line of the program's output. Raises `PeerError` where it ends first, or takes too long."""
        stdout = _stream(self._process.stdout)
        latest = time.monotonic() + ANSWER_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                if not selector.select(latest - time.monotonic()):
                    self._process.kill()
                    raise PeerError(f"{self.path}: no answer within {ANSWER_SECONDS:.0f} seconds")
                read = os.read(stdout.fileno(), CHUNK)
                if not read:
                    raise PeerError(f"{self.path}: it ended: exit code {self._process.wait()}")
                self._rest += read
        line, _, self._rest = self._rest.partition(b"\n")
        return line


@dataclass(frozen=True)
class ProgramTask:
    """What a program was asked to do last, to be timed by the program."""

    program: Program
    by_wall: bool  # however long it takes

    def sample(self, budget_ns: int) -> float:
        """See `Timed`; the clocks are those of `Task`, but what timing takes is not subtracted."""
        (first,) = self._run(1)["wall_ns"]
        taken = self._run(runs_within(budget_ns, first))
        return statistics.median(taken["cpu_ns" if first > SHORT_NS and not self.by_wall else "wall_ns"])

    def _run(self, times: int) -> dict[str, Sequence[int]]:
        answer = self.program.ask(do="run", times=times)
        for name in ("wall_ns", "cpu_ns"):
            values = answer.get(name)
            if not isinstance(values, list) or len(values) != times or not all(type(value) is int for value in values):
                raise PeerError(f"{self.program.name}: {name}: {times} whole numbers expected, got {values!r:.100}")
        return answer


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None, "both are pipes"
    return stream
