"""What kernels cost on a GPU: waves of warps, barriers across the grid, registers, units that have nothing to do."""

from __future__ import annotations

import math

from workbench.fusion.plan.cost import SPILL_NS, Costs, Kernel
from workbench.fusion.plan.kernels import Partition
from workbench.fusion.plan.model import DeviceModel
from workbench.fusion.plan.schemes import Built

__all__ = ["GpuCosts", "costs_of", "resident_warps"]

#: threads of a warp and of a block, and lanes of a unit that take an instruction at a time
WARP, BLOCK, LANES = 32, 256, 128
#: elements that a thread takes, registers that it has beside values, and how many one may have
VECTOR, OTHERS, MOST = 4, 16, 255
#: nanoseconds of an operation in the op table that is one instruction
INSTRUCTION_NS = 0.15


class GpuCosts(Costs):
    """The two evaluators for a GPU: lengths count as they are, those of the run as a nominal one."""

    def computing(self, ns: float, built: Built, volume: float, live: int) -> float:
        """Return waves of warps times their instructions by the clock, in nanoseconds."""
        limits = self.model.limits
        warps = max(1.0, volume / WARP / VECTOR)
        resident = limits.units * resident_warps(self.model, live, built.kept_bytes)
        # the last wave takes as long as a full one
        waves = math.ceil(warps / resident) / (warps / resident)
        return ns / INSTRUCTION_NS * waves / (limits.units * LANES * limits.clock_ghz)

    def spill(self, live: int) -> float:
        """Return the nanoseconds an element of values beyond the registers of a thread."""
        over = max(0, OTHERS + VECTOR * live - MOST)
        return SPILL_NS * over / VECTOR / self.model.limits.units

    def penalty(self, found: Kernel) -> float:
        """Return the milliseconds lost to registers that are not there, and to units without a block."""
        volume = max([self.volume(root.space) for root in self.roots(found.mask)], default=0.0)
        blocks = max(1.0, volume / BLOCK / VECTOR)
        idle = max(0.0, 1 - blocks / self.model.limits.units)
        return self.spill(found.registers) * volume / 1e6 + idle * found.ms


def resident_warps(model: DeviceModel, live: int, shared_bytes: float) -> int:
    """Return how many warps a unit has at a time: by threads, by registers, and by shared memory.

    Parameters
    ----------
    model : DeviceModel
    live : int
        Values that a thread has at the same time for each of its elements.
    shared_bytes : float
        Of a block.
    """
    limits = model.limits
    registers = min(MOST, OTHERS + VECTOR * live)
    blocks = min(limits.threads // BLOCK, limits.registers // (registers * BLOCK))
    if shared_bytes:
        blocks = min(blocks, int(limits.shared_bytes // shared_bytes))
    return max(1, blocks) * (BLOCK // WARP)


def costs_of(parts: Partition, model: DeviceModel) -> Costs:
    """Return the evaluators of a device."""
    return Costs(parts, model) if model.device == "cpu" else GpuCosts(parts, model)
