"""EVM.lua as the peer: the same programs inside a Redis server, as a Redis function, and on this engine.

EVM.lua (https://github.com/evertonfraga/evm.lua) interprets EVM code in Lua on the server's own thread. Its source is
given by the user; its two sample programs are run as it ships them. Calls a second are given by the clock and by
processor time: what one core does, wherever the rest of the machine's time goes.
"""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from evmcore import EVM, BlockEnv, MemoryState
from evmcore.bench import report
from evmcore.bench.engine import WrongResult
from evmcore.bench.redis_fed import redis_fed
from evmcore.bench.redis_server import private_server
from evmcore.errors import EvmcoreError, InputError
from evmcore.types import Account

WORD: Final = 1 << 256
PIPELINE: Final = 64
# Nobody waits longer for one answer of the peer; a program that never ends blocks the whole server.
PATIENCE: Final = 20.0
# PUSH0 MSTORE PUSH1 32 PUSH0 RETURN: the peer returns what is on the stack, an EVM what is in memory.
RETURN_TOP: Final = bytes.fromhex("5f5260205ff3")


class LuaError(EvmcoreError):
    """The peer, or the server it runs in, cannot be used."""


@dataclass(frozen=True)
class Program:
    """Code that leaves one word on the stack; `right` is None where the EVM stops with an error."""

    name: str
    code: bytes
    right: int | None
    storage: dict[int, int] = field(default_factory=dict)

    @property
    def address(self) -> bytes:
        return bytes.fromhex("d9145cce52d386f254917e481eb44e9943f391") + bytes([len(self.code) + sum(self.code) & 255])


# What load.sh stores.
SAMPLES: Final = (
    Program("sample 1: two slots added", bytes.fromhex("60005460015401"), 42, {0: 0x1E, 1: 0x0C}),
    Program("sample 2: 2 + 250", bytes.fromhex("600260fa01"), 252),
)


def _word(value: int) -> str:
    return f"7f{value % WORD:064x}"


_M1 = WORD - 1
# Each a property of the EVM that a program relies on.
PROGRAMS: Final = (
    Program("2 - 3", bytes.fromhex("6003600203"), _M1),
    Program("1 < 2", bytes.fromhex("6002600110"), 1),
    Program("-1 < 0, signed", bytes.fromhex("5f" + _word(-1) + "12"), 1),
    Program("PUSH7 2^56 - 1", bytes.fromhex("66" + "ff" * 7), 2**56 - 1),
    Program("(2^56 - 1)^2", bytes.fromhex("66" + "ff" * 7 + "8002"), (2**56 - 1) ** 2),
    Program("2^255 * 2", bytes.fromhex("6002" + _word(2**255) + "02"), 0),
    Program("2^256 - 1 + 1", bytes.fromhex("6001" + _word(-1) + "01"), 0),
    Program("-4 / 2, signed", bytes.fromhex("6002" + _word(-4) + "05"), WORD - 2),
    Program("3 ^ 200", bytes.fromhex("60c860030a"), pow(3, 200, WORD)),
    Program("2^255 + 7 mod 10", bytes.fromhex("600a" + _word(2**255 + 7) + "06"), (2**255 + 7) % 10),
    Program("1 << 200", bytes.fromhex("600160c81b"), 1 << 200),
    Program("not 0", bytes.fromhex("5f19"), _M1),
    Program(
        "Keccak-256 of nothing",
        bytes.fromhex("5f5f20"),
        0xC5D2460186F7233C927E7DB2DCC703C0E500B653CA82273B7BFAD8045D85A470,
    ),
    Program("a word through memory", bytes.fromhex(_word(2**255 + 1) + "5f525f51"), 2**255 + 1),
    Program("JUMPI taken", bytes.fromhex("6001600657fe5b602a"), 42),
    Program("jump into PUSH data", bytes.fromhex("600456605b602a"), None),
    Program("stack underflow", bytes.fromhex("600101"), None),
)


# ---- the server


class Connection:
    """A connection of our own to the server: requests are sent packed, replies read by hiredis."""

    def __init__(self, path: str) -> None:
        try:
            import hiredis
        except ImportError:
            raise InputError("--peer-lua: the package hiredis is missing (pip install 'evmcore[redis]')") from None
        self._hiredis = hiredis
        self._reader = hiredis.Reader()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(path)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def pack(self, *words: bytes | str) -> bytes:
        packed: bytes = self._hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub takes one word only
        return packed

    def exchange(self, packed: bytes, count: int = 1) -> list[Any]:
        """Sends, and reads that many replies; an error reply is an exception object among them."""
        self._socket.sendall(packed)
        replies: list[Any] = []
        while len(replies) < count:
            reply = self._reader.gets()
            if reply is False:
                try:
                    data = self._socket.recv(65_536)
                except TimeoutError:
                    raise LuaError(f"--peer-lua: the server has not answered for {PATIENCE:g} s") from None
                if not data:
                    raise LuaError("--peer-lua: the server closed the connection")
                self._reader.feed(data)
            else:
                replies.append(reply)
        return replies

    def ask(self, *words: bytes | str) -> Any:
        """One command. Raises LuaError for an error reply."""
        (reply,) = self.exchange(self.pack(*words))
        if isinstance(reply, self._hiredis.ReplyError):
            raise LuaError(f"--peer-lua: {words[0]!r}: {reply}")
        return reply

    def is_error(self, reply: object) -> bool:
        return isinstance(reply, self._hiredis.ReplyError)

    def processor_time(self) -> float:
        """Seconds of the server's processor time so far, of its main thread where it tells."""
        info = dict(line.split(":", 1) for line in self.ask("INFO", "cpu").decode().split() if ":" in line)
        suffix = "_main_thread" if "used_cpu_user_main_thread" in info else ""
        return float(info["used_cpu_user" + suffix]) + float(info["used_cpu_sys" + suffix])


# ---- the peer


class LuaPeer:
    """EVM.lua, loaded into a server."""

    def __init__(self, connection: Connection, source: bytes) -> None:
        self.redis = connection
        self.redis.ask("FUNCTION", "LOAD", "REPLACE", source)
        # Whether the programs end where their code ends, as in the EVM, or want a STOP (00) after it.
        self.needs_stop = False
        self.store(SAMPLES[1])
        self.needs_stop = isinstance(self.run(SAMPLES[1]), str)

    @staticmethod
    def _key(program: Program) -> str:
        return "0x" + program.address.hex()

    def store(self, program: Program) -> None:
        """Code and slots under every name that a version of the interpreter reads them by."""
        key = self._key(program)
        self.redis.ask("SET", key, (program.code + bytes(self.needs_stop)).hex(" "))
        for slot, value in program.storage.items():
            for name in (f"{slot}", f"{slot:02X}", f"0x{slot:064x}"):
                self.redis.ask("SET", f"{key}:{name}", f"0x{value:064x}")

    def request(self, program: Program) -> bytes:
        return self.redis.pack("FCALL", "eth_call", "1", self._key(program))

    def run(self, program: Program) -> int | str | None:
        """The word it returns, the text of its error, or None for no value."""
        (reply,) = self.redis.exchange(self.request(program))
        if self.redis.is_error(reply):
            return str(reply)
        if isinstance(reply, bytes):
            try:
                return int(reply, 16)
            except ValueError:
                return reply.decode(errors="replace")
        return reply if isinstance(reply, int) else None


@dataclass(frozen=True)
class Speed:
    """Calls of one kind: how many, in how much time, on how much processor time of ours and of the server's."""

    calls: int
    seconds: float
    own: float
    server: float = 0.0

    @property
    def by_clock(self) -> float:
        return self.calls / self.seconds

    @property
    def per_core(self) -> float:
        return self.calls / max(self.own + self.server, 1e-9)


def processor_time() -> float:
    """Seconds that this process has used, all threads together."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def timed(batch: Callable[[], int], seconds: float, server: Callable[[], float] | None = None) -> Speed:
    """Runs `batch` (which says how many calls it made) for about `seconds`."""
    calls = 0
    theirs = server() if server else 0.0
    own, start = processor_time(), time.perf_counter()
    while True:
        calls += batch()
        elapsed = time.perf_counter() - start
        if elapsed >= seconds:
            break
    own = processor_time() - own
    return Speed(calls, elapsed, own, server() - theirs if server else 0.0)


def own_engine(program: Program) -> EVM:
    """This engine with the program deployed in memory, after checking what it returns."""
    code = program.code + RETURN_TOP
    state = MemoryState({program.address: Account(nonce=1, code=code, storage=dict(program.storage))})
    evm = EVM(state, fork="cancun", block=BlockEnv())
    result = evm.call(program.address)
    got = int.from_bytes(result.output, "big") if result.success else None
    if got != program.right:
        raise WrongResult(f"{program.name}: {program.right} expected, got {result!r}")
    return evm


# ---- the measurement


class LuaBench:
    """One run: what each returns, then how fast."""

    def __init__(self, source: bytes, seconds: float) -> None:
        self.source, self.seconds = source, seconds
        self.record: dict[str, Any] = {}

    def run(self) -> None:
        with private_server() as server, Connection(server.path) as redis:
            peer = LuaPeer(redis, self.source)
            self._results(peer)
            for program in SAMPLES:
                self._speed(peer, program, f"unix://{server.path}")

    def _results(self, peer: LuaPeer) -> None:
        lines, wrong = [], 0
        for program in (*SAMPLES, *PROGRAMS):
            own_engine(program)
            peer.store(program)
            theirs = peer.run(program)
            agrees = isinstance(theirs, str) if program.right is None else theirs == program.right
            wrong += not agrees
            lines.append([program.name, _shown(program.right), _shown(theirs), "" if agrees else "wrong"])
        if peer.needs_stop:
            print("EVM.lua: programs that end without STOP are errors; a STOP was added to each.\n")
        print(report.table(["program", "EVM, evmcore", "EVM.lua", ""], lines) + "\n")
        self.record["results"] = {"programs": len(lines), "wrong": wrong, "needs_stop": peer.needs_stop}
        for program in SAMPLES:
            if peer.run(program) != program.right:
                raise LuaError(f"--peer-lua: {program.name}: returns {_shown(peer.run(program))}, not {program.right}")

    def _speed(self, peer: LuaPeer, program: Program, url: str) -> None:
        redis = peer.redis
        get = redis.pack("GET", peer._key(program))
        one = peer.request(program)
        evm = own_engine(program)
        address = program.address

        def single() -> int:
            for _ in range(1_000):
                evm.call(address)
            return 1_000

        def piped(message: bytes) -> Callable[[], int]:
            packed = message * PIPELINE
            return lambda: len(redis.exchange(packed, PIPELINE))

        server = redis.processor_time
        rows = {
            "GET, pipelined 64 deep": timed(piped(get), self.seconds, server),
            "EVM.lua, one at a time": timed(lambda: len(redis.exchange(one)), self.seconds, server),
            "EVM.lua, pipelined 64 deep": timed(piped(one), self.seconds, server),
            "evmcore, state in memory": timed(single, self.seconds),
        }
        with redis_fed(url, program.code + RETURN_TOP, dict(program.storage), program.right) as fed:
            rows["evmcore, hot from Redis, one at a time"] = timed(fed.hot(1), self.seconds, server)
            rows["evmcore, hot from Redis, 64 together"] = timed(fed.hot(PIPELINE), self.seconds, server)
            rounds = fed.state.status().counters["cold_rounds"]
            cold = timed(fed.cold(1), self.seconds, server)
            rounds = fed.state.status().counters["cold_rounds"] - rounds
            rows["evmcore, cold from Redis, one at a time"] = cold
            rows["evmcore, cold from Redis, 64 together"] = timed(fed.cold(PIPELINE), self.seconds, server)
        base = rows["EVM.lua, pipelined 64 deep"]
        lines = [
            [name, report.number(row.by_clock), report.number(row.per_core),
             f"{row.by_clock / base.by_clock:.2f}", f"{row.per_core / base.per_core:.2f}"]
            for name, row in rows.items()
        ]  # fmt: skip
        headers = [program.name, "calls/s", "calls/s per core", "to EVM.lua", "per core"]
        print(report.table(headers, lines))
        print(f"cold calls, one at a time: {rounds / cold.calls:.2f} requests to Redis each\n")
        self.record[program.name] = {name: vars(row) for name, row in rows.items()}


def _shown(value: int | str | None) -> str:
    if value is None:
        return "error"
    if isinstance(value, str):
        text = " ".join(value.split())
        return f"error: {text[:40]}"
    return str(value) if -(10**9) < value < 10**9 else (hex(value) if len(hex(value)) < 24 else hex(value)[:20] + "...")


def run(path: Path, seconds: float) -> dict[str, Any]:
    """Measures against the EVM.lua in this file, and returns the record. Raises InputError, LuaError, WrongResult."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise InputError(f"--peer-lua: {path}: {error.strerror}") from None
    bench = LuaBench(source, seconds)
    bench.run()
    return bench.record


__all__: Sequence[str] = ("PROGRAMS", "SAMPLES", "LuaError", "Program", "run")
