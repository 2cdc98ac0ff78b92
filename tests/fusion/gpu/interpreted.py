"""Runs patterns through Triton's interpreter, in a process of its own: the switch is read when Triton is imported.

Called as `python -m tests.fusion.gpu.interpreted NAME…`, where a number is the seed of a random graph, it prints a JSON
object: for each pattern and each device, the largest relative error against NumPy in float64, and the phases of each
launch.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from typing import Any

import numpy as np

from workbench.fusion.eager import evaluate
from workbench.fusion.expr import Expr
from workbench.fusion.plan.model import DeviceModel, device_model

__all__ = ["GPU", "SMALL", "errors"]

GPU = device_model("cuda:sm_90")
#: a device so small that tiny arrays are split among its blocks
SMALL = dataclasses.replace(GPU, limits=dataclasses.replace(GPU.limits, units=4, shared_bytes=256))


def errors(leaves: list[Expr], roots: list[Expr], stored: list[Any], model: DeviceModel, seed: int = 0) -> Any:
    """Return the largest error of some roots on random numbers, and the phases of each launch."""
    import torch

    from workbench.fusion.gpu.planning import program_of

    rng = np.random.default_rng(seed)
    program = program_of(leaves, roots, model, stored)
    arrays = [rng.normal(size=each.shape).astype(each.dtype) for each in leaves]  # type: ignore[arg-type]
    found = program(*[torch.from_numpy(each) for each in arrays])
    known = {
        id(each): array.astype(np.float64) if array.dtype.kind == "f" else array
        for each, array in zip(leaves, arrays, strict=True)
    }
    worst = 0.0
    for value, wanted in zip(found, evaluate(roots, known), strict=True):
        assert tuple(value.shape) == np.shape(wanted)
        wanted = np.asarray(wanted, np.float64)
        value = value.double()
        same = np.where(np.isnan(value.numpy()) & np.isnan(wanted), 0.0, np.abs(value.numpy() - wanted))
        worst = max(worst, float(np.max(same, initial=0.0) / max(1.0, np.nanmax(np.abs(wanted), initial=0.0))))
    return worst, [each.phases for each in program.sources]


def main(names: list[str]) -> None:
    """Print what came of some patterns."""
    from tests.fusion.gpu.patterns import PATTERNS
    from tests.fusion.gpu.random_graphs import random_graph
    from workbench.fusion.gpu.tasks import Unsupported

    found: dict[str, Any] = {}
    for name in names or PATTERNS:
        for label, model in (("large", GPU), ("small", SMALL)):
            key = f"{name} / {label}"
            if not name.isdecimal():
                found[key] = errors(*PATTERNS[name][0](True), model)
                continue
            try:
                found[key] = errors(*random_graph(int(name)), model, int(name))
            except Unsupported as reason:
                found[key] = None, str(reason)
            except Exception as error:
                raise AssertionError(f"random graph {name}") from error
    print(json.dumps(found))


if __name__ == "__main__":
    if os.environ.get("TRITON_INTERPRET") != "1":
        sys.exit("set TRITON_INTERPRET=1")
    with np.errstate(all="ignore"):
        main(sys.argv[1:])
