"""Tracers for the commands: EIP-3155 lines on stderr."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

from evmcore.tracing import EIP3155Tracer, Tracer


def tracer_factory(options: argparse.Namespace) -> Callable[[], Tracer] | None:
    """A function that makes the tracers for the trace flags; None if tracing is off."""
    if not options.trace:
        return None

    def make() -> Tracer:
        return EIP3155Tracer(
            sys.stderr,
            stack=not options.trace_nostack,
            memory=options.trace_memory and not options.trace_nomemory,
            return_data=options.trace_returndata and not options.trace_noreturndata,
        )

    return make


def print_state_root(root: bytes) -> None:
    """Prints the line that ends a case's trace; goevmlab looks for exactly this text."""
    print(json.dumps({"stateRoot": "0x" + root.hex()}), file=sys.stderr)
