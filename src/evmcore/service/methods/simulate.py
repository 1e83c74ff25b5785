"""eth_simulateV1."""

from __future__ import annotations

from typing import Any

from evmcore._diff import StateDiff
from evmcore.errors import StateError
from evmcore.service.context import Context
from evmcore.service.method import rpc
from evmcore.service.simulation import SimulationLimits, simulate, simulation_request
from evmcore.service.simulation.run import NO_ROOT
from evmcore.state import Backend


@rpc("eth_simulateV1", required=1, quick=False)
def simulate_v1(context: Context, simulation: Any, block: Any) -> list[dict[str, Any]]:
    request = simulation_request(simulation)
    pin = context.pin_of(block, "1")
    service = context.service
    limits = SimulationLimits(gas=service.limits.gas, timeout=context.timeout())
    hashes = pin.block_hashes()
    archive = service.source.archive
    block = None if archive is None else archive.block_by_hash(pin.block_hash)

    def work(backend: Backend) -> list[dict[str, Any]]:
        problems: list[StateError] = []

        def root(diff: StateDiff) -> bytes:
            """By the archive, for states that cannot tell. On guesses it fails: what comes later is still found out."""
            assert archive is not None and block is not None
            try:
                return archive.state_root(block, diff)
            except StateError as error:
                problems.append(error)
                return NO_ROOT

        other_root = None if block is None else root
        answer = simulate(backend, service.source.chain, pin.header, hashes, request, limits, other_root)
        if problems:
            raise problems[0]
        return answer

    answer = pin.run(work)
    context.gas_used += sum(int(entry["gasUsed"], 16) for entry in answer)
    return answer
