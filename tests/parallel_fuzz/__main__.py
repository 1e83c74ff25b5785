"""Long runs: `python -m tests.parallel_fuzz --blocks N --seed S --threads 2,3,8`.

Every seed makes one case. A case with a difference is reduced and printed with its seed; `--replay SEED` runs one
again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from evmcore.forks import Fork
from tests.parallel_blocks import executors_for
from tests.parallel_fuzz.cases import make_case
from tests.parallel_fuzz.check import Difference, check_case, minimised
from tests.parallel_fuzz.lists import check_lists


def describe(difference: Difference) -> str:
    """Describes a failing case: seed, fork, difference, block and state."""
    case = difference.case
    header = case.block.header
    lines = [
        f"seed {case.seed}, fork {case.fork.title}: {difference.words}",
        f"  coinbase 0x{header.coinbase.hex()} gas limit {header.gas_limit} base fee {header.base_fee_per_gas}",
    ]
    for number, tx in enumerate(case.block.transactions):
        to = "creation" if tx.to is None else "0x" + tx.to.hex()
        price = tx.gas_price if tx.gas_price is not None else (tx.max_fee_per_gas, tx.max_priority_fee_per_gas)
        lines.append(
            f"  {number}: type {tx.type} from 0x{(tx.sender or b'').hex()} nonce {tx.nonce} to {to} value {tx.value}"
            f" gas {tx.gas_limit} price {price} data {tx.data.hex() or '-'}"
        )
        lines += [
            f"     authorizes {auth.address.hex()} nonce {auth.nonce} chain {auth.chain_id} for "
            f"{(auth.recover_authority() or b'').hex()}"
            for auth in tx.authorization_list
        ]
    lines += [f"  withdrawal of {item.amount} gwei to 0x{item.address.hex()}" for item in case.block.withdrawals or ()]
    lines += [
        f"  0x{address.hex()}: nonce {account.nonce} balance {account.balance} storage {account.storage}"
        f" code {account.code.hex() or '-'}"
        for address, account in sorted(case.alloc.items())
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.parallel_fuzz", description=__doc__)
    parser.add_argument("--blocks", type=int, default=1000, help="seeds to run (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the first one (default %(default)s)")
    parser.add_argument("--threads", default="2,3,8", help="numbers of threads (default %(default)s)")
    parser.add_argument("--repeat", type=int, default=1, help="executions on each number (default %(default)s)")
    parser.add_argument("--fork", help="a fork for all blocks instead of a random one each")
    parser.add_argument("--lists", action="store_true", help="only with access lists given, right ones and wrong ones")
    parser.add_argument("--bins", action="store_true", help="only in bins, dealt out at random")
    parser.add_argument("--replay", type=int, metavar="SEED", help="run this seed only, 200 times on each number")
    parser.add_argument("--no-delays", action="store_true", help="contracts without busy loops")
    parser.add_argument("--keep-going", action="store_true", help="go on after a difference")
    parser.add_argument("--dump", type=Path, metavar="FILE", help="append differences to this file")
    options = parser.parse_args(arguments)
    threads = tuple(int(part) for part in options.threads.split(","))
    executors = executors_for(threads)
    fork = None if options.fork is None else Fork.from_name(options.fork)
    seeds = range(options.seed, options.seed + options.blocks)
    repetitions = options.repeat
    if options.replay is not None:
        seeds, repetitions = range(options.replay, options.replay + 1), max(200, repetitions)
    counts: Counter[str] = Counter()
    failed = 0
    start = time.monotonic()
    for seed in seeds:
        case = make_case(seed, fork=fork, delays=not options.no_delays)
        if options.lists:
            found = check_lists(case, threads, counts)
        else:
            found = check_case(case, executors, counts, repetitions=repetitions, bins=options.bins)
        if found is None:
            continue
        failed += 1
        if not options.lists:
            found = minimised(found, executors, max(50, repetitions), bins=options.bins)
        text = describe(found)
        print(text, flush=True)
        if options.dump is not None:
            with options.dump.open("a") as file:
                print(text, file=file)
        if not options.keep_going:
            break
    print(f"{time.monotonic() - start:.1f} s, {failed} seeds with a difference")
    for name, count in sorted(counts.items()):
        print(f"  {name}: {count}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
