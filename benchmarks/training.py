"""Benchmarks of training: `python -m benchmarks.training [PART ...] [--rounds N] [--trial]`.

`planner`: the graph's states and the search for the best cuts, of published profiles; CPU seconds, as the machine may
have other work. Nothing that was kept is used: each round begins with an empty store.
`model`: a torch model is profiled and planned, from nothing; wall seconds.
`simulate`: the simulator's CPU seconds, and what policies cost on the traces of spot markets. All scale is simulated.
`links`, `prediction`, `accuracy`: two emulated hosts and links of a real rate (`benchmarks.training_links`); these need
root, and a machine that has nothing else to do. `--minutes` ends `links` early; the next call goes on from there.
With `--trial` nothing is written.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    os.environ["WORKBENCH_HOME"] = tempfile.mkdtemp(prefix="workbench-benchmark-")
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy is imported: its threads would count as CPU time

from benchmarks import training_links
from benchmarks.measure import Figure, write

DATA = Path(__file__).parents[1].parent / "shared" / "data"
PROFILES, TRACES = DATA / "pipedream", DATA / "traces"
PACKAGES = ("numpy", "pandas", "torch", "dask")
ROUNDS = 5

#: profile, machines, bytes/s, seconds allowed; time that PipeDream's own optimizer finds, where it was run
PLANS: list[tuple[str, list[int], list[float], float, float | None]] = [
    ("alexnet", [4], [1e9], 0.3, 0.03421714133333333),
    ("vgg16", [4], [1e9], 0.3, 0.205520896),
    ("vgg16", [16], [1e9], 0.3, 0.056529767384615376),
    ("vgg16", [4, 4], [12.5e9, 1.25e9], 0.3, 0.06683970317333332),
    ("resnet18", [4, 4], [1e9, 125e6], 0.3, 0.095138081),
    ("squeezenet1_0", [4], [1e9], 0.3, 0.074414),
    ("gnmt", [4], [1e9], 0.3, 0.025868),
    ("gnmt", [4, 4], [1e9, 125e6], 0.3, 0.100663296),
    ("resnet50", [4], [1e9], 0.3, 0.162880924),
    ("resnet50", [4, 4], [1e9, 125e6], 1.0, None),
    ("densenet121", [4], [1e9], 0.3, 0.089976),
    ("densenet121", [16], [1e9], 0.3, None),
    ("densenet121", [4, 4], [1e9, 125e6], 0.3, None),
    ("gnmt_large", [4], [1e9], 1.0, None),
    ("gnmt_large", [16], [1e9], 5.0, None),
    ("gnmt_large", [4, 4], [1e9, 125e6], 15.0, None),
    ("inception_v3", [4], [1e9], 10.0, None),
]


def planner(rounds: int) -> list[Figure]:
    """Plan published profiles with PipeDream's formulas; stop if a time is not the one that its optimizer finds."""
    from workbench.engine.store import store
    from workbench.training import Cluster, partition, read_profile

    figures = []
    for name, machines, bandwidth, allowed, expected in PLANS:
        profile = read_profile(PROFILES / f"{name}.graph.txt")
        cluster = Cluster(machines, bandwidth)
        times = []
        for _ in range(rounds):
            store().clear()
            begin = time.process_time()
            plan = partition(profile, cluster, compat=True, activation_compression=1)
            times.append(time.process_time() - begin)
        if expected is not None and abs(plan.time - expected) > 1e-9 * expected:
            sys.exit(f"{name} on {machines}: {plan.time!r} s where PipeDream's optimizer finds {expected!r} s")
        title = f"planner: {name} on {'x'.join(map(str, machines))}"
        middle = statistics.median(times)
        figures.append(
            Figure(
                title,
                middle,
                "s of CPU",
                f"<= {allowed:g} s",
                middle <= allowed,
                details={"states": plan.states, "config": plan.config, "time": plan.time, "rounds": times},
            )
        )
    return figures


def model(rounds: int) -> list[Figure]:
    """Profile and plan a VGG-like net, batch of 16."""
    import torch
    from torch import nn

    from workbench.engine.store import store
    from workbench.training import Cluster, partition, profile

    layers: list[nn.Module] = []
    channels = 3
    for wide in (32, 64, 128):
        layers += [nn.Conv2d(channels, wide, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        channels = wide
    net = nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(128 * 16, 4096), nn.ReLU(), nn.Linear(4096, 2048), nn.Linear(2048, 10)
    )
    batch = (torch.randn(16, 3, 32, 32), torch.randint(0, 10, (16,)))
    times = []
    for _ in range(rounds):
        store().clear()
        begin = time.perf_counter()
        plan = partition(profile(net, batch, loss=nn.functional.cross_entropy), Cluster([2], ["100mbit"]))
        times.append(time.perf_counter() - begin)
    middle = statistics.median(times)
    details = {"config": plan.config, "speedup_over_data_parallel": plan.speedup_over_data_parallel, "rounds": times}
    return [Figure("model: profile and plan a VGG-like net", middle, "s", "<= 10 s", middle <= 10, details=details)]


#: runs of one round; seconds that Bamboo's simulator takes for one, and the runs of its experiment
RUNS, PEER_SECONDS, EXPERIMENT = 400, 1.5, 50_000


def simulate(rounds: int) -> list[Figure]:
    """Simulate hundreds of machines, many random markets, and three policies on two traces."""
    return [*_large(rounds), *_monte_carlo(rounds), *_policies()]


def _large(rounds: int) -> list[Figure]:
    from workbench.training import Cluster, Node, Profile, partition
    from workbench.training import simulate as simulated

    nodes = tuple(Node(f"node{i}", f"Linear({i})", 10.0, 20.0, (1e6,), 1e7) for i in range(64))
    edges = tuple((f"node{i}", f"node{i + 1}") for i in range(63))
    plan = partition(Profile(nodes, edges, 8), Cluster([64], ["10gbit"]), straight=True)
    figures = []
    for schedule, steps in (("1f1b", 1000 // 125), ("pipedream", 1000)):
        micro = 1000 // steps
        times = []
        for _ in range(rounds):
            begin = time.process_time()
            found = simulated(plan, schedule=schedule, microbatches=micro, policy="none", nodes=512)
            times.append(time.process_time() - begin)
        middle = statistics.median(times)
        figures.append(
            Figure(
                f"simulate: 512 machines, 1,000 minibatches, {schedule}",
                middle,
                "s of CPU",
                "<= 5 s",
                middle <= 5,
                details={"pipelines": 8, "stages": 64, "throughput": found.throughput, "rounds": times},
            )
        )
    return figures


def _monte_carlo(rounds: int) -> list[Figure]:
    from workbench.training import RandomTrace
    from workbench.training import simulate as simulated

    times, values = [], []
    for part in range(rounds):
        begin = time.process_time()
        for seed in range(part * RUNS, (part + 1) * RUNS):
            values.append(simulated("BERT", trace=RandomTrace(0.1, 0.5), seed=seed, compat=True).value)
        times.append((time.process_time() - begin) / RUNS)
    middle = statistics.median(times)
    mean = statistics.mean(values)
    error = statistics.stdev(values) / len(values) ** 0.5
    return [
        Figure(
            "simulate: one run of BERT on a random market",
            middle,
            "s of CPU",
            "<= 0.015 s",
            middle <= PEER_SECONDS / 100,
            "Bamboo's simulator, as its authors measured it",
            PEER_SECONDS,
            PEER_SECONDS / middle,
            details={"runs": len(values), "value": mean, "standard error": error, "rounds": times},
        ),
        Figure(
            f"simulate: {EXPERIMENT:,} runs on two cores",
            middle * EXPERIMENT / 2,
            "s",
            "<= 300 s",
            middle * EXPERIMENT / 2 <= 300,
            note="from the figure above; runs share nothing",
        ),
    ]


def _policies() -> list[Figure]:
    from workbench.training import Cluster, partition, read_profile
    from workbench.training import simulate as simulated

    figures = []
    # A model whose steps are computing, and one whose steps are all-reduces: copies double those.
    for model in ("resnet50", "gnmt"):
        plan = partition(read_profile(PROFILES / f"{model}.graph.txt"), Cluster([8], ["10gbit"]), straight=True)
        for trace, nodes in itertools.product(("p3-trace", "g4dn-trace"), (32, 128, 512)):
            found = {
                policy: simulated(plan, trace=TRACES / f"{trace}.csv", nodes=nodes, policy=policy)
                for policy in ("redundant", "checkpoint", "none")
            }
            ours = found["redundant"]
            details = {
                policy: {
                    "throughput": one.throughput,
                    "cost": one.cost,
                    "value": one.value,
                    "lost_samples": one.lost_samples,
                    "fatal_failures": one.fatal_failures,
                }
                for policy, one in found.items()
            }
            title = f"simulate: {trace}, {model}, {nodes} machines"
            figures.append(
                Figure(
                    f"{title}, redundant",
                    ours.throughput,
                    "samples/s",
                    peer="checkpoints every 5 min",
                    peer_value=found["checkpoint"].throughput,
                    ratio=ours.throughput / found["checkpoint"].throughput,
                    note="simulated",
                    details=details,
                )
            )
            figures.append(
                Figure(
                    f"{title}, value",
                    ours.value,
                    "samples/s per $/h",
                    peer="on demand",
                    peer_value=ours.on_demand["value"],
                    ratio=ours.value / ours.on_demand["value"],
                    note="simulated",
                )
            )
    return figures


PARTS: dict[str, Callable[[int], list[Figure]]] = {
    "planner": planner, "model": model, "simulate": simulate, "links": training_links.links,
    "prediction": training_links.prediction, "accuracy": training_links.accuracy,
}  # fmt: skip


def main() -> None:
    """Run the parts that are asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--trial", action="store_true")
    options = parser.parse_args()
    for name in options.parts or list(PARTS):
        if name not in PARTS:
            sys.exit(f"No part {name}. There are {', '.join(PARTS)}.")
    warnings.simplefilter("ignore")  # of layers that dominate: known of these models
    if options.trial:
        training_links.KEPT, training_links.OTHERS = Path(os.environ["WORKBENCH_HOME"]) / "trial.json", math.inf
    for name in options.parts or list(PARTS):
        if name == "links":
            figures = training_links.links(options.rounds, options.minutes)
        else:
            figures = PARTS[name](options.rounds)
        if options.trial:
            print("\n".join(map(str, figures)))
        else:
            write("training", figures, PACKAGES)


if __name__ == "__main__":
    main()
