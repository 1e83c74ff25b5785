"""eth_simulateV1."""

from __future__ import annotations

from typing import Any

from evmcore.service.context import Context
from evmcore.service.method import rpc
from evmcore.service.roots import ArchiveRoots
from evmcore.service.simulation import SimulationLimits, simulate, simulation_request
from evmcore.state import Backend


@rpc("eth_simulateV1", required=1, quick=False)
def simulate_v1(context: Context, simulation: Any, block: Any) -> list[dict[str, Any]]:
    request = simulation_request(simulation)
    pin = context.pin_of(block, "1")
    service = context.service
    limits = SimulationLimits(gas=service.limits.gas, timeout=context.timeout())
    hashes = pin.block_hashes()
    roots = ArchiveRoots.at(context, pin)

    def work(backend: Backend) -> list[dict[str, Any]]:
        answer = simulate(backend, service.source.chain, pin.header, hashes, request, limits, roots)
        if roots is not None:
            roots.check()
        return answer

    answer = pin.run(work)
    context.gas_used += sum(int(entry["gasUsed"], 16) for entry in answer)
    return answer
