"""What this machine can do, as the planner sees it: shipped constants until it is calibrated."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from workbench.fusion.ops import OPS

__all__ = ["DeviceModel", "device_model", "predicted_ms"]


@dataclass(frozen=True)
class DeviceModel:
    """Speeds of a device.

    Attributes
    ----------
    device : str
    bandwidth_gbps : dict of str to float
        By level: L1, L2, L3, memory.
    launch_us : float
        What starting a kernel costs.
    op_ns : dict of str to float
        An element of each operation, float64, one core.
    """

    device: str
    bandwidth_gbps: dict[str, float] = field(default_factory=dict)
    launch_us: float = 8.0
    op_ns: dict[str, float] = field(default_factory=dict)

    @property
    def memory(self) -> float:
        """Bandwidth of memory in GB/s."""
        return self.bandwidth_gbps["memory"]


@cache
def device_model(device: str = "cpu") -> DeviceModel:
    """Return the model of a device."""
    bandwidth = {"L1": 100.0, "L2": 50.0, "L3": 20.0, "memory": 10.0}
    return DeviceModel(device, bandwidth, 8.0, {name: op.cost for name, op in OPS.items()})


def predicted_ms(model: DeviceModel, nbytes: float, ns: float, threads: int = 1) -> float:
    """Return milliseconds: the longer of moving bytes and computing, plus the start."""
    return max(nbytes / model.memory / 1e6, ns / 1e6 / threads) + model.launch_us / 1e3
