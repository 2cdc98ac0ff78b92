"""Stitched kernels for a GPU: what planning takes, what the kernels are, and on a GPU their times beside their peers'.

Without a GPU the figures of structure are read from plans and from code compiled for sm_90a, and what needs a device is
told as "not measured".
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from benchmarks.measure import Figure, median, write
from tests.fusion.gpu import patterns
from tests.fusion.gpu.patterns import leaf, number, reduced
from workbench.fusion import expr as ir
from workbench.fusion.expr import Expr
from workbench.fusion.graph import walk

__all__ = ["endurance", "planning", "structure", "told"]


def _recurrent(steps: int = 62) -> list[Expr]:
    xs, t = [leaf(256, 36) for _ in range(steps)], leaf(256, 36)
    state, aux = t, []
    for x in xs:
        gate = ir.map_("multiply", ir.map_("expit", x), patterns.softmax(ir.map_("multiply", x, t)))
        kept = ir.map_("multiply", ir.map_("subtract", number(1), gate), state)
        state = ir.map_("add", kept, ir.map_("multiply", gate, ir.map_("tanh", x)))
        aux.append(reduced("sum", ir.map_("multiply", x, state), [1], keep=False))
    return [state, *aux]


def _optimizer(tensors: int = 59) -> list[Expr]:
    return patterns.adam(False)[1][: 3 * tensors]


def _layers(many: int = 71) -> list[Expr]:
    x, weight = leaf(8192, 1024), leaf(1024)
    for _ in range(many):
        x = patterns.gelu(patterns.layer_norm(ir.map_("add", x, x), weight, weight))
    return [x]


def planning() -> list[Figure]:
    """Return the CPU seconds that a plan of about a thousand nodes takes, from expressions to source."""
    from workbench.fusion.gpu.planning import planned
    from workbench.fusion.plan.model import device_model

    model = device_model("cuda:sm_90")
    made: list[tuple[str, Callable[[], list[Expr]]]] = [
        ("recurrent steps", _recurrent),
        ("Adam", _optimizer),
        ("norm layers", _layers),
    ]
    found = []
    for name, make in made:

        def once(make: Callable[[], list[Expr]] = make) -> float:
            roots = make()
            begin = time.process_time()
            planned(roots, model)
            return time.process_time() - begin

        seconds, nodes = median(once), sum(each.kind != "Const" for each in walk(make()))
        found.append(Figure(f"plan {name}, {nodes} nodes", seconds, "CPU s", "<= 1", seconds <= 1))
    return found


def structure(only: str = "") -> list[Figure]:
    """Return for each pattern and model what its kernels are, and on a GPU what they take."""
    import torch

    from benchmarks.fusion_gpu_graphs import WORKLOADS
    from benchmarks.fusion_gpu_timing import PEERS, times

    found = []
    for name, (make, most) in WORKLOADS.items():
        if only not in name:
            continue
        function, inputs = make(False)
        details = told(function, inputs)
        if torch.cuda.is_available():
            details["times"], note = times(function, inputs), f"measured on {torch.cuda.get_device_name()}"
        else:
            details["times"], note = dict.fromkeys(PEERS, "not measured"), "not measured"
        launches, spills = details["launches"], sum(each["spills"] for each in details["kernels"].values())
        target = f"<= {most}" if most else ""
        met = launches <= most and not spills if most else not spills
        figure = Figure(name, launches, "launches", target, met, note=f"times: {note}", details=details)
        _beside(figure)
        found.append(figure)
    return found


def _beside(figure: Figure) -> None:
    """Put our time beside that of Inductor, where both were measured."""
    ours, other = (figure.details["times"].get(each) for each in ("workbench", "Inductor"))
    if isinstance(ours, dict) and isinstance(other, dict):
        figure.peer, figure.peer_value, figure.ratio = "Inductor ms", other["ms"], other["ms"] / ours["ms"]


def told(function: Callable[..., Any], inputs: list[Any]) -> dict[str, Any]:
    """Return what a plan says of a function, and what is read from its code for sm_90a."""
    import workbench as wb
    from workbench.fusion.gpu.aot import compiled

    begin = time.process_time()
    plan = wb.fusion.plan_graph(function, inputs)
    seconds = time.process_time() - begin
    kernels: dict[str, Any] = {}
    known: dict[str, Any] = {}
    for source in plan.sources:
        text = source.text.replace(source.name, "kernel")
        if text not in known:
            code = compiled(source)
            known[text] = {
                "registers": code.registers, "spills": code.spills, "vector_bytes": code.vector_bytes,
                "warps": code.num_warps, "shared_bytes": code.shared_bytes, "barrier": code.barrier,
                "walks": code.walks, "retries": code.retries,
            }  # fmt: skip
        kernels[source.name] = known[text]
    ours = [each for each in plan.kernels if each.kind not in ("extern", "fallback", "inductor")]
    return {
        "launches": plan.launches,
        "library_calls": sum(each.kind == "extern" for each in plan.kernels),
        "left_to_torch": sum(each.kind == "fallback" for each in plan.kernels),
        "kernels_before": plan.kernels_before,
        "bytes_before": plan.bytes_before,
        "bytes_after": plan.bytes_after,
        "predicted_us": round(1e3 * sum(each.predicted_ms or 0.0 for each in ours), 2),
        "plan_cpu_s": round(seconds, 3),
        "kernels": kernels,
    }


def endurance() -> list[Figure]:
    """Return whether many launches with a barrier end alike, and what compute-sanitizer says; both need a GPU."""
    import torch

    from benchmarks.fusion_gpu_timing import LAUNCHES, barrier, sanitized

    if not torch.cuda.is_available():
        note = "not measured"
        return [
            Figure("launches of the global scheme", 0, "launches", f"{LAUNCHES}", None, note=note),
            Figure("compute-sanitizer", 0, "tools", "3", None, note=note, details=sanitized()),
        ]
    found, said = barrier(), sanitized()
    note = f"measured on {torch.cuda.get_device_name()}"
    clean = sum("0 errors" in each for each in said.values())
    return [
        Figure(
            "launches of the global scheme", found["launches"], "launches", f"{LAUNCHES}",
            not found["differ"] and found["phases"] > 1, note=note, details=found,
        ),
        Figure("compute-sanitizer", clean, "tools", "3", clean == 3, note=note, details=said),
    ]  # fmt: skip


def main() -> None:
    """Measure, print, write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry", action="store_true", help="write nothing")
    parser.add_argument("--only", default="", help="patterns and models whose names hold this")
    options = parser.parse_args()
    figures = structure(options.only) if options.only else [*planning(), *endurance(), *structure()]
    if options.dry:
        print(*figures, sep="\n")
    else:
        print(write("fusion_gpu", figures, ("numpy", "torch", "triton")))


if __name__ == "__main__":
    main()
