"""Planning for a GPU, measured without one: CPU seconds for a thousand nodes, and what compiled code takes.

Times of the kernels themselves need a device, and are not measured here.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from benchmarks.measure import Figure, median, write
from tests.fusion.gpu import patterns
from tests.fusion.gpu.patterns import PATTERNS, leaf, number, reduced
from workbench.fusion import expr as ir
from workbench.fusion.expr import Expr
from workbench.fusion.graph import walk

__all__ = ["planning", "structure"]


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


def structure() -> list[Figure]:
    """Return for each pattern how many launches it takes, with what is read from its code for sm_90a."""
    from workbench.fusion.gpu.aot import compiled
    from workbench.fusion.gpu.planning import planned
    from workbench.fusion.plan.model import device_model

    found = []
    for name, (make, most) in PATTERNS.items():
        _, roots, stored = make(False)
        kernels = [compiled(each) for each in planned(roots, device_model("cuda:sm_90"), stored).kernels]
        details = {
            each.name: {"registers": each.registers, "spills": each.spills, "vector_bytes": each.vector_bytes}
            for each in kernels
        }
        met = len(kernels) <= most and not any(each.spills for each in kernels)
        note = "time on a GPU: not measured"
        found.append(Figure(name, len(kernels), "launches", f"<= {most}", met, note=note, details=details))
    return found


def main() -> None:
    """Measure, print, write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry", action="store_true", help="write nothing")
    options = parser.parse_args()
    figures = [*planning(), *structure()]
    if options.dry:
        print(*figures, sep="\n")
    else:
        print(write("fusion_gpu", figures))


if __name__ == "__main__":
    main()
