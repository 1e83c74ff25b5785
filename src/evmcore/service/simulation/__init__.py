"""eth_simulateV1: blocks that could follow a block, and the outcomes of calls in them.

`request` parses the request, `headers` builds the blocks, `checks` finds the calls that no block may contain, `run`
executes, `render` builds the answer.
"""

from __future__ import annotations

from evmcore.service.simulation.request import SimulatedBlock, SimulationRequest, simulation_request
from evmcore.service.simulation.run import SimulationLimits, simulate

__all__ = ["SimulatedBlock", "SimulationLimits", "SimulationRequest", "simulate", "simulation_request"]
