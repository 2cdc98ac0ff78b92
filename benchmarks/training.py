"""Benchmarks of training: `python -m benchmarks.training [PART ...] [--rounds N] [--trial]`.

`planner`: the graph's states and the search for the best cuts, of published profiles; CPU seconds, as the machine may
have other work. Nothing that was kept is used: each round begins with an empty store.
`model`: a torch model is profiled and planned, from nothing; wall seconds.
With `--trial` nothing is written.
"""

from __future__ import annotations

import argparse
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

from benchmarks.measure import Figure, write

PROFILES = Path(__file__).parents[1].parent / "shared" / "data" / "pipedream"
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


PARTS: dict[str, Callable[[int], list[Figure]]] = {"planner": planner, "model": model}


def main() -> None:
    """Run the parts that are asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--trial", action="store_true")
    options = parser.parse_args()
    for name in options.parts or list(PARTS):
        if name not in PARTS:
            sys.exit(f"No part {name}. There are {', '.join(PARTS)}.")
    warnings.simplefilter("ignore")  # of layers that dominate: known of these models
    for name in options.parts or list(PARTS):
        figures = PARTS[name](options.rounds)
        if options.trial:
            print("\n".join(map(str, figures)))
        else:
            write("training", figures, PACKAGES)


if __name__ == "__main__":
    main()
