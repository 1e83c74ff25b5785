"""Observers of a run: pass one as `tracer` to `EVM.call`, `EVM.message`, `EVM.transact` or `EVM.deploy`.

A run with a tracer uses the interpreter's slower build and holds the GIL at each event; a run without one pays nothing.
One tracer observes one run at a time and starts afresh with the next.
"""

from __future__ import annotations

from evmcore.tracing._access import AccessListTracer
from evmcore.tracing._calls import CallTracer
from evmcore.tracing._dependencies import DependencyTracer
from evmcore.tracing._hooks import Tracer
from evmcore.tracing._mux import MuxTracer
from evmcore.tracing._prestate import PrestateTracer
from evmcore.tracing._steps import EIP3155Tracer, StructLogTracer

__all__ = [
    "AccessListTracer",
    "CallTracer",
    "DependencyTracer",
    "EIP3155Tracer",
    "MuxTracer",
    "PrestateTracer",
    "StructLogTracer",
    "Tracer",
]
