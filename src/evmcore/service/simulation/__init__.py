"""eth_simulateV1: blocks that could follow a block, and what calls in them would do.

`request` reads the request, `headers` lays out the blocks, `checks` says which calls no block may have, `run` executes,
`render` shapes the answer.
"""

from __future__ import annotations

from evmcore.service.simulation.request import SimulatedBlock, SimulationRequest, simulation_request
from evmcore.service.simulation.run import SimulationLimits, simulate

__all__ = ["SimulatedBlock", "SimulationLimits", "SimulationRequest", "simulate", "simulation_request"]
