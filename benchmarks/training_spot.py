"""What spot markets cost: `python -m benchmarks.training_spot [--trial]`.

Every trace is replayed at 32 to 512 machines under each policy, for a model whose steps are computing (ResNet-50) and
one whose steps are all-reduces (GNMT), each cut into eight stages with links of 10 Gbit/s. All scale is simulated. The
costs are stated in the results: those of the simulator ("quick"), and those of a cluster whose machines are set up anew
after a loss and load from storage at 1 Gbit/s ("slow"), as where the paper on Bamboo measured its factors of 3.7 in
throughput over checkpoints and 2.4 in value over machines on demand. With `--trial` two traces are taken, and nothing
is written.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

from benchmarks.measure import Figure, write

DATA = Path(__file__).parents[1].parent / "shared" / "data"
PACKAGES = ("numpy", "pandas")
NODES = (32, 64, 128, 256, 512)
POLICIES = ("none", "checkpoint", "redundant")
MODELS = ("resnet50", "gnmt")
PRICE, ON_DEMAND, EVERY = 0.91, 3.06, "5min"
STORAGE = 125e6  # bytes per second of a slow store of checkpoints
RESTART = 240.0  # seconds until machines are set up anew after a loss
#: factors that the paper reports: throughput over checkpoints, value over machines on demand
PAPER = {"checkpoint": 3.7, "on_demand": 2.4}


def spot(traces: list[Path]) -> list[Figure]:
    """Replay traces for each model and cost; one figure each, with the table of machines and policies."""
    from workbench.training import Cluster, SimCosts, partition, read_profile, read_trace

    figures, ratios = [], dict[tuple[str, str, str], list[float]]()
    for model in MODELS:
        plan = partition(
            read_profile(DATA / "pipedream" / f"{model}.graph.txt"), Cluster([8], ["10gbit"]), straight=True
        )
        state = 3 * max(stage.parameter_bytes for stage in plan.stages)  # weights, and twice as much for the optimizer
        slow = SimCosts(restart=RESTART, save=state / STORAGE, load=state / STORAGE)
        for path in traces:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # rows that go back in time are sorted, and that is said
                trace = read_trace(path)
            for name, costs in (("quick", SimCosts()), ("slow", slow)):
                begin = time.process_time()
                rows = [row for nodes in NODES for row in _policies(plan, trace, nodes, costs)]
                spent = time.process_time() - begin
                found = {(row["nodes"], row["policy"]): row for row in rows}
                over = {
                    "checkpoint": [_ratio(found, nodes, "throughput", "checkpoint") for nodes in NODES],
                    "none": [_ratio(found, nodes, "throughput", "none") for nodes in NODES],
                    "on_demand": [found[nodes, "redundant"]["value_over_on_demand"] for nodes in NODES],
                }
                for peer, many in over.items():
                    ratios.setdefault((model, name, peer), []).extend(each for each in many if each is not None)
                ours, theirs = (found[NODES[-1], policy]["throughput"] for policy in ("redundant", "checkpoint"))
                figures.append(
                    Figure(
                        f"spot: {path.stem}, {model}, {name} restart",
                        ours,
                        "samples/s",
                        peer=f"checkpoints every {EVERY}; {NODES[-1]} machines at most",
                        peer_value=theirs,
                        ratio=ours / theirs if theirs else None,
                        note=f"simulated; the paper reports {PAPER['checkpoint']}x over checkpoints and "
                        f"{PAPER['on_demand']}x the value of machines on demand",
                        details={
                            "costs": vars(costs),
                            "price": PRICE,
                            "on_demand_price": ON_DEMAND,
                            "hours": trace.duration / 3600,
                            "cpu_seconds": spent,
                            "over": over,
                            "runs": rows,
                        },
                    )
                )
                print(figures[-1], flush=True)
    for (model, name, peer), many in ratios.items():
        unit = "x value" if peer == "on_demand" else "x throughput"
        figures.append(
            Figure(
                f"spot: redundant over {peer}, {model}, {name} restart, median of all",
                statistics.median(many),
                unit,
                note="simulated; traces and numbers of machines together",
                details={"least": min(many), "most": max(many), "count": len(many), "paper": PAPER.get(peer)},
            )
        )
    return figures


def _policies(plan: Any, trace: Any, nodes: int, costs: Any) -> list[dict[str, Any]]:
    from workbench.training import simulate

    rows = []
    for policy in POLICIES:
        found = simulate(
            plan, trace=trace, nodes=nodes, policy=policy, costs=costs, checkpoint=EVERY, price=PRICE,
            on_demand_price=ON_DEMAND,
        )  # fmt: skip
        row = {
            "nodes": nodes, "policy": policy, "machines": found.instances, "throughput": found.throughput,
            "cost": found.cost, "value": found.value if found.cost else None, "samples": found.samples,
            "lost_samples": found.lost_samples, "preemptions": found.preemptions,
            "fatal_failures": found.fatal_failures,
            "value_over_on_demand": found.value / found.on_demand["value"] if found.cost else None,
        }  # fmt: skip
        rows.append({name: _short(value) for name, value in row.items()})
    return rows


def _ratio(found: dict[tuple[int, str], dict[str, Any]], nodes: int, column: str, peer: str) -> float | None:
    other = found[nodes, peer][column]
    return float(found[nodes, "redundant"][column] / other) if other else None


def _short(value: Any) -> Any:
    """Return six figures of a number, as more say nothing."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def traces() -> list[Path]:
    """Return every trace there is; those named "scaled" are others of them with another number of machines."""
    found = [*sorted((DATA / "traces").glob("*-trace.csv")), *sorted((DATA / "traces" / "aws-2020").glob("*.csv"))]
    found += sorted((DATA / "traces" / "gcloud").glob("*.txt"))
    return [path for path in found if not path.stem.endswith("_scaled")]


def main() -> None:
    """Replay all traces, or two of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trial", action="store_true")
    trial = parser.parse_args().trial
    figures = spot(traces()[:2] if trial else traces())
    if not trial:
        write("training_spot", figures, PACKAGES)
        return
    for figure in figures:
        print(figure)


if __name__ == "__main__":
    main()
