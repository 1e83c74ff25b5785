"""`python -m tests.fuzz`: long runs of the differential fuzzer, from the project's root."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.fuzz.births import make_births
from tests.fuzz.cases import FORKS, make_block, make_case
from tests.fuzz.chains import make_chain
from tests.fuzz.engine import answer, block_answer, chain_differences
from tests.fuzz.minimise import minimise
from tests.fuzz.oracle import DEFAULT_PYTHON, ENVIRONMENT_VARIABLE, Oracle, oracle_python
from tests.fuzz.sweeps import make_sweep

Maker = Callable[[int, str], dict[str, Any]]


def _cases(make: Maker, seed: int, count: int, fork: str) -> Iterator[dict[str, Any]]:
    for number in range(seed, seed + count):
        yield make(number, fork) | {"seed": number}


def compare(
    oracle: Oracle, seed: int, count: int, fork: str = "", dump: Path | None = None, make: Maker = make_case
) -> tuple[Counter[str], list[str]]:
    """Runs cases on both sides: counts by outcome, and a line for each difference, minimised and kept in `dump`."""
    counts: Counter[str] = Counter()
    differences: list[str] = []
    suspects: list[dict[str, Any]] = []
    for case, expected in oracle.ask_all(_cases(make, seed, count, fork), oracle.receive):
        (fork_name,) = case["post"]
        counts[fork_name] += 1
        if expected.crash:
            counts["(specification crashed)"] += 1
            continue
        counts["(rejected)"] += bool(expected.rejected)
        if any(not answer(case, switch).agrees(expected) for switch in (False, True)):
            suspects.append(case)
    for case in suspects:

        def differs(candidate: dict[str, Any]) -> bool:
            expected = oracle.ask(candidate)
            return not expected.crash and any(
                not answer(candidate, switch).agrees(expected) for switch in (False, True)
            )

        small = minimise(case, differs) if dump is not None else case
        line = (
            f"seed {case['seed']} {next(iter(case['post']))}: engine {answer(small)}, specification {oracle.ask(small)}"
        )
        if dump is not None:
            path = dump / f"fuzz-{case['seed']}.json"
            path.write_text(json.dumps({f"fuzz-{case['seed']}": small}, indent=1))
            line += f" ({path})"
        differences.append(line)
    return counts, differences


def _answered(
    oracle: Oracle, cases: Iterator[dict[str, Any]], counts: Counter[str]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Cases with the specification's answers, where it did not crash; counts all of them."""
    for case, expected in oracle.ask_all(cases, oracle.receive_raw):
        counts[case["fork"]] += 1
        if "crash" in expected:
            counts["(specification crashed)"] += 1
        else:
            yield case, expected


def compare_blocks(
    oracle: Oracle, seed: int, count: int, fork: str = "", dump: Path | None = None, make: Maker = make_block
) -> tuple[Counter[str], list[str]]:
    """As `compare`, for blocks of several transactions; a difference is kept as it is, not minimised."""
    counts: Counter[str] = Counter()
    differences: list[str] = []
    for case, expected in _answered(oracle, _cases(make, seed, count, fork), counts):
        counts["(transactions)"] += len(case["txs"])
        counts["(rejected)"] += len(expected["rejected"])
        found = block_answer(case)
        if found != expected:
            name = next(name for name in expected if found[name] != expected[name])
            line = f"seed {case['seed']} {case['fork']}: {name}: "
            line += f"engine {found[name]}, specification {expected[name]}"
            if dump is not None:
                path = dump / f"fuzz-block-{case['seed']}.json"
                path.write_text(json.dumps(case, indent=1))
                line += f" ({path})"
            differences.append(line[:1000])
    return counts, differences


def compare_chains(
    oracle: Oracle, seed: int, count: int, fork: str = "", dump: Path | None = None
) -> tuple[Counter[str], list[str]]:
    """As `compare_blocks`, for chains of blocks that are sound or have a flaw: which of them are valid."""
    counts: Counter[str] = Counter()
    differences: list[str] = []
    for case, expected in _answered(oracle, _cases(make_chain, seed, count, fork), counts):
        for step in expected["steps"]:
            counts["(blocks valid)" if not step["why"] else "(blocks refused)"] += 1
            for variant in step["variants"]:
                counts["(variants valid)" if not variant["why"] else "(variants refused)"] += 1
        found = chain_differences(case, expected)
        if found and dump is not None:
            (dump / f"fuzz-chain-{case['seed']}.json").write_text(
                json.dumps({"case": case, "answer": expected}, indent=1)
            )
        differences += [f"seed {case['seed']} {case['fork']}: {line}"[:1000] for line in found]
    return counts, differences


def compare_sweeps(
    oracle: Oracle, seed: int, count: int, fork: str = "", dump: Path | None = None
) -> tuple[Counter[str], list[str]]:
    """As `compare`, for sweeps of gas over fused sequences."""
    return compare(oracle, seed, count, fork, dump, make_sweep)


def compare_births(
    oracle: Oracle, seed: int, count: int, fork: str = "", dump: Path | None = None
) -> tuple[Counter[str], list[str]]:
    """As `compare_blocks`, for contracts that are created and destroyed again and again."""
    return compare_blocks(oracle, seed, count, fork, dump, make_births)


COMPARISONS = {
    "transactions": compare,
    "blocks": compare_blocks,
    "births": compare_births,
    "chains": compare_chains,
    "sweeps": compare_sweeps,
}


def main() -> int:
    """Runs the fuzzer; 1 when there is a difference, 2 when the specification is not installed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=2000, help="how many cases (default 2000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first case; the others follow (default 0)")
    parser.add_argument("--fork", choices=[*FORKS], default="", help="only this fork")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--blocks", action="store_true", help="blocks of several transactions instead of single ones")
    kinds.add_argument("--births", action="store_true", help="blocks that create and destroy contracts again and again")
    kinds.add_argument("--chains", action="store_true", help="chains of blocks, sound ones and ones with a flaw")
    kinds.add_argument("--sweeps", action="store_true", help="calls with every amount of gas")
    parser.add_argument("--dump", type=Path, default=Path("fuzz-failures"), help="folder for minimised differences")
    options = parser.parse_args()
    python = oracle_python()
    if python is None:
        print(
            f"the executable specification is not installed: set {ENVIRONMENT_VARIABLE} to the interpreter of an "
            f"environment with ethereum-execution, or make one at {DEFAULT_PYTHON.parents[1]}",
            file=sys.stderr,
        )
        return 2
    options.dump.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    with Oracle(python) as oracle:
        kind = next((name for name in COMPARISONS if getattr(options, name, False)), "transactions")
        run = COMPARISONS[kind]
        counts, differences = run(oracle, options.seed, options.cases, options.fork, options.dump)
    for name, count in sorted(counts.items()):
        print(f"{name:<28}{count:>8}")
    print(f"{options.cases} cases in {time.perf_counter() - start:.0f} s, {len(differences)} differences")
    print("\n".join(differences))
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
