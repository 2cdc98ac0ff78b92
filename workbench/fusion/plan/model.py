"""What this machine can do, as the planner sees it: shipped constants until it is calibrated."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from workbench.fusion.ops import OPS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DeviceModel", "device_model", "predicted_ms", "set_model"]


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

    def to_pandas(self) -> pd.DataFrame:
        """Return one row for each constant: what, value, unit."""
        import pandas as pd

        rows = [(f"bandwidth {level}", value, "GB/s") for level, value in self.bandwidth_gbps.items()]
        rows += [("launch", self.launch_us, "us"), *[(name, value, "ns") for name, value in self.op_ns.items()]]
        return pd.DataFrame(rows, columns=["what", "value", "unit"])

    @property
    def memory(self) -> float:
        """Bandwidth of memory in GB/s."""
        return self.bandwidth_gbps["memory"]


_models: dict[str, DeviceModel] = {}


def device_model(device: str = "cpu") -> DeviceModel:
    """Return the model of a device: as it was calibrated, else shipped constants."""
    return _models.get(device) or _shipped(device)


def set_model(device: str, model: DeviceModel) -> None:
    """Use a model from now on in this process."""
    _models[device] = model


@cache
def _shipped(device: str) -> DeviceModel:
    bandwidth = {"L1": 100.0, "L2": 50.0, "L3": 20.0, "memory": 10.0}
    return DeviceModel(device, bandwidth, 8.0, {name: op.cost for name, op in OPS.items()})


def predicted_ms(model: DeviceModel, nbytes: float, ns: float, threads: int = 1) -> float:
    """Return milliseconds: the longer of moving bytes and computing, plus the start."""
    return max(nbytes / model.memory / 1e6, ns / 1e6 / threads) + model.launch_us / 1e3
