"""Times of stitched kernels on a GPU beside eager torch and Inductor; answers are checked against float64 first."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch

from tests.fusion.gpu.compiling import compiled

__all__ = ["LAUNCHES", "PEERS", "SANITIZED", "barrier", "sanitized", "times"]

#: who computes it; each is timed with the same inputs
PEERS = ("eager", "Inductor", "Inductor combo cooperative", "workbench", "workbench, CUDA graphs")
#: launches of a kernel with a barrier across the grid
LAUNCHES = 10_000
#: what checks the kernels with a barrier and those with a table
SANITIZED = "compute-sanitizer --tool {tool} {python} -m pytest -q tests/fusion/gpu/test_device.py -k barrier"
#: largest error that is allowed, beside the largest value
ALLOWED = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-2}
OPTIONS = {"combo_kernels": True, "triton.cooperative_reductions": True}


def filled(inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return random tensors on the GPU of the forms of some without memory."""
    generator = torch.Generator("cuda").manual_seed(0)
    return [torch.randn(x.shape, generator=generator, device="cuda", dtype=torch.float32).to(x.dtype) for x in inputs]


def times(function: Callable[..., Any], inputs: list[torch.Tensor]) -> dict[str, Any]:
    """Return for each peer the median milliseconds of a call, and the error against float64.

    A peer that fails, or whose answer differs, has the reason instead of a time.
    """
    from triton.testing import do_bench

    given = filled(inputs)
    wanted = _flat(function(*[x.double() for x in given]))
    made: list[Any] = []
    calls = {
        "eager": function,
        "Inductor": torch.compile(function),
        "Inductor combo cooperative": torch.compile(function, options=OPTIONS),
        "workbench": compiled(function, made),
        "workbench, CUDA graphs": compiled(function, [], graphs=True),
    }
    found: dict[str, Any] = {}
    for name, call in calls.items():
        torch._dynamo.reset()
        try:
            error = worst(_flat(call(*given)), wanted)
        except Exception as reason:  # a peer that cannot do it is told, the others go on
            found[name] = f"{type(reason).__name__}: {str(reason)[:200]}"
            continue
        allowed = max(ALLOWED.get(x.dtype, 1e-5) for x in given)
        if not error <= allowed:
            found[name] = f"differs: {error:.3g}, allowed {allowed:.3g}"
            continue
        ms = do_bench(lambda call=call: call(*given), warmup=50, rep=300, return_mode="median")
        found[name] = {"ms": ms, "error": error}
    found["regions"] = len(made)
    found["left to torch"] = [row.reason for each in made for row in each.reasons]
    return found


def worst(found: list[torch.Tensor], wanted: list[torch.Tensor]) -> float:
    """Return the largest error, each tensor's beside its own largest value."""
    pairs = zip(found, wanted, strict=True)
    return max(float((a.double() - b).abs().max() / b.abs().max().clamp(min=1.0)) for a, b in pairs)


def barrier(many: int = LAUNCHES) -> dict[str, Any]:
    """Return whether so many launches of a kernel with a barrier end, all with the same bits."""
    x = torch.randn(1 << 22, device="cuda")
    run = compiled(lambda x: x * torch.clamp(1.0 / (x * x).sum().sqrt(), max=1.0), made := [])
    first, differ = run(x), torch.zeros((), dtype=torch.int64, device="cuda")
    for _ in range(many):
        differ += (run(x) != first).any()
    torch.cuda.synchronize()
    phases = max(each.phases for call in made for each in call.last.program.sources)
    return {"launches": many, "differ": int(differ), "phases": phases}


def sanitized() -> dict[str, str]:
    """Return what the checkers of memory and of races say; their commands where they are not there."""
    found = {}
    for tool in ("memcheck", "racecheck", "synccheck"):
        command = SANITIZED.format(tool=tool, python=sys.executable)
        if not torch.cuda.is_available() or shutil.which("compute-sanitizer") is None:
            found[tool] = f"not measured: {SANITIZED.format(tool=tool, python='python')}"
            continue
        done = subprocess.run(command.split(), capture_output=True, text=True, check=False, timeout=900)
        lines = [line for line in (done.stdout + done.stderr).splitlines() if "ERROR SUMMARY" in line]
        found[tool] = lines[-1].strip("= ") if lines else f"exit {done.returncode}"
    return found


def _flat(value: Any) -> list[torch.Tensor]:
    return [value] if isinstance(value, torch.Tensor) else list(value)
