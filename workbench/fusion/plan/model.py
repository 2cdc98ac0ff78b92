"""What this machine can do, as the planner sees it: shipped constants until it is calibrated."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from workbench.fusion.ops import OPS

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "DeviceModel", "Limits", "calibrated", "device_model", "generation", "gpu_named", "predicted_ms", "set_model",
]  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """What a device has of each thing that kernels share.

    Attributes
    ----------
    units : int
        Streaming multiprocessors; 1 on a CPU, whose threads take chunks that plans do not know.
    registers : int
        Of a unit; on a CPU vector registers of a core.
    threads : int
        Of a unit.
    shared_bytes : int
        Shared memory of a block; on a CPU what a tile buffer may take, half of L2.
    l2_bytes : int
    clock_ghz : float
    barrier_us : float
        Of a barrier across the grid.
    """

    units: int = 1
    registers: int = 32
    threads: int = 1
    shared_bytes: int = 1 << 19
    l2_bytes: int = 1 << 20
    clock_ghz: float = 3.0
    barrier_us: float = 0.0


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
        An element of each operation, float64, one core; "mispredict" is a branch that was not foreseen.
    limits : Limits
    """

    device: str
    bandwidth_gbps: dict[str, float] = field(default_factory=dict)
    launch_us: float = 8.0
    op_ns: dict[str, float] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    def to_pandas(self) -> pd.DataFrame:
        """Return one row for each constant: what, value, unit."""
        import pandas as pd

        rows = [(f"bandwidth {level}", value, "GB/s") for level, value in self.bandwidth_gbps.items()]
        rows += [("launch", self.launch_us, "us"), *[(name, value, "ns") for name, value in self.op_ns.items()]]
        return pd.DataFrame(rows, columns=["what", "value", "unit"])

    def bandwidth(self, nbytes: float) -> float:
        """Return the bandwidth in GB/s of the smallest level that holds so many bytes."""
        return next((self.bandwidth_gbps[level] for level, size in _HOLDS.items() if nbytes <= size), self.memory)

    @property
    def memory(self) -> float:
        """Bandwidth of memory in GB/s."""
        return self.bandwidth_gbps["memory"]


#: bytes that each level holds
_HOLDS = {"L1": 32 << 10, "L2": 1 << 20, "L3": 16 << 20}

_models: dict[str, DeviceModel] = {}
_generations: list[int] = [0]


def device_model(device: str = "cpu") -> DeviceModel:
    """Return the model of a device: as it was calibrated, else shipped constants."""
    return _models.get(device) or _shipped(device)


def gpu_named(device: str) -> str:
    """Return the name that models know a GPU by: "cuda:sm_90" of "cuda:sm_90a" too, and nothing of "cuda".

    Raises
    ------
    FusionError
        For one that there is no model of.
    """
    from workbench.engine.errors import suggest
    from workbench.fusion.errors import FusionError

    name = re.sub(r"(sm_\d+)a$", r"\1", device)
    known = [each for each in _constants() if each.startswith("cuda:")]
    if device != "cuda" and name not in known:
        raise FusionError(f'Unknown device "{device}".', suggest(device, known, f"Devices: cpu, {', '.join(known)}."))
    return "" if device == "cuda" else name


def set_model(device: str, model: DeviceModel) -> None:
    """Use a model from now on in this process."""
    _models[device] = model
    _generations[0] += 1


def calibrated(device: str = "cpu") -> bool:
    """Return whether this process has measured constants of a device."""
    return device in _models


def generation() -> int:
    """Return a number that is another one whenever a model has changed: plans made before are not used again."""
    return _generations[0]


@cache
def _constants() -> dict[str, Any]:
    import json
    from pathlib import Path

    return dict(json.loads(Path(__file__).with_name("devices.json").read_text(encoding="utf-8")))


@cache
def _shipped(device: str) -> DeviceModel:
    known = _constants()[device]
    ops = {**{name: op.cost for name, op in OPS.items()}, "mispredict": 5.0}
    return DeviceModel(device, known["bandwidth_gbps"], known["launch_us"], ops, Limits(**known["limits"]))


def predicted_ms(model: DeviceModel, nbytes: float, ns: float, threads: int = 1) -> float:
    """Return milliseconds: the longer of moving bytes and computing, plus the start.

    Parameters
    ----------
    model : DeviceModel
    nbytes : float
        That are read and written.
    ns : float
        Of computing on one core.
    threads : int
    """
    return max(nbytes / model.bandwidth(nbytes) / 1e6, ns / 1e6 / threads) + model.launch_us / 1e3
