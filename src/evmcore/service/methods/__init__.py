"""The methods, grouped by topic. Each file has functions marked with `rpc`."""

from __future__ import annotations

from evmcore.service.method import Method, collect
from evmcore.service.methods import blocks, calls, chain, config, fees, logs, pool, simulate, state, tracing

__all__ = ["METHODS"]

METHODS: dict[str, Method] = collect(blocks, calls, chain, config, fees, logs, pool, simulate, state, tracing)
