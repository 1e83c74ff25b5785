"""The load test as a command: `python -m evmcore bench --load URL` and `--load-setup FILE`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from evmcore.bench import report
from evmcore.bench.contracts import contract
from evmcore.bench.load import figures
from evmcore.bench.load.mixes import MIXES, Request, rpc
from evmcore.bench.load.sending import Answers, Sender, Target
from evmcore.bench.load.servers import SOURCES, Server, own_servers
from evmcore.bench.load.trivial import trivial_server
from evmcore.bench.load.world import LoadWorld
from evmcore.cli.arguments import CommandError, positive, seconds

MAX_RATE: Final = 1_000_000
MAX_SECONDS: Final = 3_600.0
# Of one attack. A prepared request is used again after as many others.
MAX_REQUESTS: Final = 5_000_000
POOL: Final = 20_000
POOLS: Final = {"cold": 100_000, "hot": 5_000}


# What has no effect without one of the others.
NEEDS: Final = {
    "size": ("load", "load_setup"),
    **dict.fromkeys(
        (
            *("sources", "workers", "mix", "rates", "duration", "warm_up"),
            *("connections", "clients", "timeout", "no_noop", "remote"),
        ),
        ("load",),
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "load test of a JSON-RPC server",
        "Requests at set rates, whether or not earlier ones were answered; latencies count from when a request was due."
        " Figures have flood's names. Every answer is compared with what it has to be.",
    )
    add = group.add_argument
    whom = "test the server at this URL; 'own': servers that the command starts; 'self': one that does nothing"
    add("--load", metavar="URL", help=whom)
    names = f"with --load own: where their state is (default {','.join(SOURCES)})"
    add("--sources", type=_sources, default=list(SOURCES), metavar="NAMES", help=names)
    add("--workers", type=positive, default=1, metavar="N", help="with --load own: processes of each (default 1)")
    add("--load-setup", metavar="FILE", help="write the genesis file that the server has to start from")
    add("--size", type=positive, default=20, metavar="N", help="N tokens, 100*N holders (default 20)")
    names = f"of {', '.join(MIXES)} (default hot,cold,adversarial); noop goes first in any case"
    add("--mix", type=_mixes, default=["hot", "cold", "adversarial"], metavar="NAMES", help=names)
    rates = "requests a second, or 'max' (default 100,1000,max)"
    add("--rates", type=_rates, default=[100.0, 1000.0, None], metavar="LIST", help=rates)
    add("--duration", type=_seconds, default=10.0, metavar="S", help="length of each attack (default 10)")
    add(
        "--warm-up",
        type=_seconds,
        default=2.0,
        metavar="S",
        help="requests before the hot mix that are not counted (default 2)",
    )
    add("--connections", type=positive, default=256, metavar="N", help="open connections, at most (default 256)")
    add("--clients", type=positive, default=16, metavar="N", help="clients at the rate 'max' (default 16)")
    add("--timeout", type=_seconds, default=10.0, metavar="S", help="timeout of a request (default 10)")
    add("--no-noop", action="store_true", help="do not measure the no-op beside each mix")
    add("--remote", action="store_true", help="allow a URL of another machine")


def _mixes(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in MIXES:
            raise argparse.ArgumentTypeError(f"{name!r:.40} is no mix; there are {', '.join(MIXES)}")
    return names


def _sources(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in SOURCES:
            raise argparse.ArgumentTypeError(f"{name!r:.40} is no source; there are {', '.join(SOURCES)}")
    return names


def _rates(text: str) -> list[float | None]:
    rates: list[float | None] = []
    for part in text.split(","):
        try:
            rate = None if part == "max" else float(part)
        except ValueError:
            rate = 0
        if rate is not None and not 0 < rate <= MAX_RATE:
            raise argparse.ArgumentTypeError(f"{part!r:.40} is not a rate (above 0, up to {MAX_RATE:,}, or 'max')")
        rates.append(rate)
    return rates


def _seconds(text: str) -> float:
    return seconds(text, MAX_SECONDS)


def run(options: argparse.Namespace) -> int:
    """Writes the genesis file, or tests the server. 1: some answer was wrong."""
    if options.size < 2:
        raise CommandError("--size: at least 2 tokens are needed")
    if options.load_setup:
        return _setup(options)
    test = LoadTest(options)
    with _servers(options, test.world) as servers:
        test.run(servers)
    if options.json:
        options.json.write_text(json.dumps(test.record, indent=1) + "\n")
    return 1 if test.wrong else 0


def _setup(options: argparse.Namespace) -> int:
    slots = LoadWorld(options.seed, options.size).write(Path(options.load_setup))
    print(f"{options.load_setup}: {slots:,} slots (seed {options.seed}, size {options.size})")
    return 0


@contextmanager
def _servers(options: argparse.Namespace, world: LoadWorld) -> Iterator[list[Server]]:
    if options.load == "self":
        with trivial_server() as url:
            yield [Server(url)]
    elif options.load == "own":
        with own_servers(world, options.sources, options.workers) as servers:
            yield servers
    else:
        yield [Server(options.load)]


@dataclass
class Attack:
    """One mix at one rate. `cpu`: share of one core that the server took, Redis included; `rounds`: requests to Redis
    for one answer."""

    server: str
    mix: str
    rate: float | None
    answers: Answers
    figures: dict[str, Any]
    deep: dict[str, dict[str, Any]]
    wrong: int
    cpu: float | None
    rounds: float | None

    @property
    def name(self) -> str:
        return f"{self.mix} ({self.server})" if self.server else self.mix


class LoadTest:
    """One run of the command: attacks one after the other, a table, and a record of flood's form."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.world = LoadWorld(options.seed, options.size)
        self.record: dict[str, Any] = {}
        self.wrong = 0
        for rate in options.rates:
            if rate is not None and rate * options.duration > MAX_REQUESTS:
                raise CommandError(
                    f"--rates: {rate:g} for {options.duration:g} s is more than {MAX_REQUESTS:,} requests"
                )
        self.mixes: list[str] = options.mix
        if options.load == "self":
            self.mixes = ["noop"]
        elif not options.no_noop and "noop" not in self.mixes:
            self.mixes = ["noop", *self.mixes]

    def run(self, servers: Sequence[Server]) -> None:
        """Attacks the servers by turns: each mix at each rate."""
        options = self.options
        targets = {server: Target.parse(server.url, remote=options.remote) for server in servers}
        begun = time.time()
        versions = {
            server: "trivial server" if options.load == "self" else self._check(target)
            for server, target in targets.items()
        }
        print(report.machine_line(report.machine()))
        for server, version in versions.items():
            print(f"{server.name or server.url}: {version}")
        print(f"{options.duration:g} s an attack, {options.connections} connections at most\n")
        attacks = []
        with report.progress(len(self.mixes) * len(options.rates) * len(servers)) as bar:
            for mix in self.mixes:
                requests = self._pool(mix)
                asked = dict.fromkeys(servers, 0)
                if mix == "hot":
                    for target in targets.values():
                        self._warm_up(target, requests)
                for rate in options.rates:
                    for server, target in targets.items():
                        # Goes on where the last attack on it ended: nobody is asked for twice who need not be.
                        at = asked[server] % len(requests)
                        attack = self._attack(server, target, mix, rate, requests[at:] + requests[:at])
                        asked[server] += len(attack.answers)
                        attacks.append(attack)
                        bar.step(f"{attack.name} {_rate(rate)}")
        self._print(attacks)
        self._write(attacks, versions, begun)

    def _check(self, target: Target) -> str:
        """The server's name for itself. Raises CommandError if it does not answer, or has another state."""
        token = self.world.flood_tokens[0]
        supply = {"to": "0x" + token.address.hex(), "data": "0x" + contract("Token").call("totalSupply()").hex()}
        asked = [rpc(1, "web3_clientVersion"), rpc(2, "eth_call", supply, "latest")]
        with Sender(target, timeout=self.options.timeout) as sender:
            answers = sender.at_rate([target.request(body) for body in asked], 100, 0.02)
        for error in answers.errors.values():
            raise CommandError(f"--load: the server does not answer: {error}")
        try:
            version, state = (json.loads(body) for body in answers.bodies)
            name = str(version["result"])
        except (ValueError, TypeError, KeyError):
            raise CommandError(
                f"--load: the server does not say what it is: HTTP {answers.status[0]} {answers.bodies[0][:200]!r}"
            ) from None
        if not isinstance(state, dict) or state.get("result") != f"0x{token.supply:064x}":
            raise CommandError(
                f"--load: the server's state is not the test's: start it from the file that --load-setup writes with "
                f"--seed {self.options.seed} --size {self.options.size} (it answered {answers.bodies[1][:200]!r})"
            )
        return name

    def _pool(self, mix: str) -> list[Request]:
        most = sum((rate or MAX_RATE) * self.options.duration for rate in self.options.rates)
        size = min(int(most) + 1, POOLS.get(mix, POOL))
        return list(islice(MIXES[mix](self.world, self.options.seed), size))

    def _warm_up(self, target: Target, requests: Sequence[Request]) -> None:
        with Sender(target, timeout=self.options.timeout) as sender:
            sender.at_most([target.request(request.body) for request in requests], self.options.warm_up, 16)

    def _attack(
        self, server: Server, target: Target, mix: str, rate: float | None, requests: Sequence[Request]
    ) -> Attack:
        options = self.options
        messages = [target.request(request.body) for request in requests]
        rounds, cpu, start = server.rounds(), server.processor_time(), time.monotonic()
        with Sender(target, connections=options.connections, timeout=options.timeout) as sender:
            if rate is None:
                answers = sender.at_most(messages, options.duration, min(options.clients, options.connections))
            else:
                answers = sender.at_rate(messages, rate, options.duration)
        now, seconds = server.processor_time(), time.monotonic() - start
        share = None if now is None or cpu is None else (now - cpu) / seconds
        fetched = server.rounds()
        of_one = None if fetched is None or rounds is None else (fetched - rounds) / max(len(answers), 1)
        verdict = figures.judge(answers, requests)
        self.wrong += verdict.wrong
        for example in verdict.examples:
            print(f"{mix}: wrong answer: {example}", file=sys.stderr)
        all_figures = figures.datum(answers, rate, options.duration)
        deep = figures.deep_metrics(answers, verdict, rate, options.duration)
        return Attack(server.name, mix, rate, answers, all_figures, deep, verdict.wrong, share, of_one)

    # ---- output

    def _print(self, attacks: Sequence[Attack]) -> None:
        headers = ["mix", "rate", "throughput", "success", "p50 ms", "p90", "p95", "p99", "max", "no answer", "wrong",
                   "of no-op", "own cpu", "server cpu", "rounds"]  # fmt: skip
        noop = {(it.server, it.rate): it.figures["throughput"] for it in attacks if it.mix == "noop"}
        lines = []
        for attack in attacks:
            shown = attack.figures
            base = noop.get((attack.server, attack.rate))
            lines.append([
                attack.name,
                _rate(attack.rate),
                report.number(shown["throughput"]),
                f"{100 * shown['success']:.2f}%",
                *(report.number(1e3 * shown[name]) for name in ("p50", "p90", "p95", "p99", "max")),
                str(len(attack.answers.errors)),
                str(attack.wrong),
                f"{shown['throughput'] / base:.2f}" if base else "-",
                f"{100 * attack.answers.cpu:.0f}%",
                "-" if attack.cpu is None else f"{100 * attack.cpu:.0f}%",
                "-" if attack.rounds is None else f"{attack.rounds:.2f}",
            ])  # fmt: skip
        print(report.table(headers, lines) + "\n")
        for attack in attacks:
            for error in attack.figures["errors"]:
                count = sum(text == error for text in attack.answers.errors.values())
                print(f"{attack.name} at {_rate(attack.rate)}: {count} without an answer: {error}")
            if attack.rate is not None and attack.answers.late > 10_000_000:
                late = attack.answers.late / 1e6
                print(f"{attack.name} at {_rate(attack.rate)}: the generator itself was up to {late:.0f} ms late")
        print(f"wrong answers: {self.wrong}")

    def _write(self, attacks: Sequence[Attack], versions: Mapping[Server, str], begun: float) -> None:
        import evmcore

        by_name: dict[str, list[Attack]] = {}
        for attack in attacks:
            by_name.setdefault(attack.name, []).append(attack)
        results = {}
        for name, rows in by_name.items():
            deep = {category: figures.columns([row.deep[category] for row in rows]) for category in figures.CATEGORIES}
            results[name] = figures.columns([row.figures for row in rows]) | {
                "deep_raw_output": None,
                "deep_metrics": deep,
                "deep_rpc_error_pairs": None,
            }
        by_server = {server.name: server for server in versions}
        nodes = {}
        for name, rows in by_name.items():
            server = by_server[rows[0].server]
            nodes[name] = {
                "name": name,
                "url": server.url,
                "remote": None,
                "client_version": versions[server],
                "network": None,
            }
        self.record = {
            "flood_version": None,
            "dependency_versions": {"evmcore": evmcore.__version__},
            "cli_args": list(sys.argv),
            "type": "single_test",
            "t_run_start": begun,
            "t_run_end": time.time(),
            "nodes": nodes,
            "results": results,
            # Not in flood's files.
            "evmcore": {
                "machine": report.machine(),
                "seed": self.options.seed,
                "size": self.options.size,
                "workers": self.options.workers if self.options.load == "own" else None,
                "wrong_answers": {name: [row.wrong for row in rows] for name, rows in by_name.items()},
                "generator_cpu": {name: [row.answers.cpu for row in rows] for name, rows in by_name.items()},
                "generator_late": {name: [row.answers.late / 1e9 for row in rows] for name, rows in by_name.items()},
                "connections": {name: [row.answers.connections for row in rows] for name, rows in by_name.items()},
                "server_cpu": {name: [row.cpu for row in rows] for name, rows in by_name.items()},
                "rounds": {name: [row.rounds for row in rows] for name, rows in by_name.items()},
            },
        }


def _rate(rate: float | None) -> str:
    return "max" if rate is None else f"{rate:g}"
