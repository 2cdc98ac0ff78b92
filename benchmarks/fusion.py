"""Benchmarks of fusion on the CPU: `python -m benchmarks.fusion [WORKLOAD ...] [--rows N] [--rounds N]`.

Each workload is ordinary NumPy or pandas code that runs unchanged under fusion, beside peers that compute the same from
the same inputs: the plain code itself, and hand-written Polars, DuckDB, Numba, JAX, torch.compile and Weld where the
target table has them; who is not installed is said and left out (`pip install jax`; Weld: see fusion_weld.py).
Everybody has one thread and takes turns in one process; answers are compared before any time is told. The figure is the
peer's fastest round by ours; `costs` measures what is not a race: capture, plans, compiling, threads.
With `--rows` nothing is written: a trial that it all works.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable
from typing import Any

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS",
     "WORKBENCH_FUSION_THREADS"), "1",
)  # fmt: skip
if __name__ == "__main__":
    os.environ.update(ONE_THREAD)  # before any of them is imported

from benchmarks.fusion_costs import costs  # noqa: E402
from benchmarks.fusion_workloads import WORKLOADS, Workload  # noqa: E402
from benchmarks.measure import Figure, write  # noqa: E402

ROWS, ROUNDS = 10_000_000, 7
PACKAGES = ("numpy", "pandas", "scipy", "llvmlite", "polars", "duckdb", "numba", "jax", "torch")


def raced(work: Workload, rounds: int, only: set[str] | None = None) -> list[Figure]:
    """Return a figure for each peer; stop if an answer differs."""
    runners: dict[str, Callable[[], Any]] = {}
    firsts: dict[str, float] = {}
    wanted: Any = None
    for name, make in work.contestants().items():
        if only and name not in only and name != "workbench":
            continue
        begin = time.perf_counter()
        try:
            runner = make()
            answer = runner()
        except ImportError as error:
            print(f"{work.name}: {name} is not installed ({error.name})")
            continue
        firsts[name] = 1e3 * (time.perf_counter() - begin)
        if wanted is None:
            wanted = answer
        elif not work.same(wanted, answer, name):
            sys.exit(f"{work.name}: {name} differs: {answer!r} and {wanted!r}")
        runners[name] = runner
        del answer
    times: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(rounds):
        for name, runner in runners.items():
            gc.collect()
            begin = time.perf_counter()
            found = runner()
            times[name].append(1e3 * (time.perf_counter() - begin))
            del found
    return _figures(work, times, firsts)


def _figures(work: Workload, times: dict[str, list[float]], firsts: dict[str, float]) -> list[Figure]:
    best = {name: min(each) for name, each in times.items()}
    middle = {name: sorted(each)[len(each) // 2] for name, each in times.items()}
    plan = work.plan()
    details = {
        "rows": work.rows, "median": middle["workbench"], "first": firsts["workbench"], "summary": plan.summary(),
        "kernels": [kernel.to_dict() for kernel in plan.kernels], "reasons": sorted({r.op for r in plan.reason_rows}),
    }  # fmt: skip
    found = [Figure(work.name, best["workbench"], "ms", details=details)]
    for name, ms in best.items():
        if name == "workbench":
            continue
        ratio, least = ms / best["workbench"], work.targets.get(name)
        if least is None and name in ("NumPy", "pandas") and work.rows >= 200_000:
            least = 1.0
        target = "" if least is None else f">= {least:g}"
        met = None if least is None else ratio >= least
        figure = Figure(f"{work.name}: {name}", ratio, "x ours", target, met, "ms", ms, ratio, work.notes.get(name, ""))
        figure.details = {"median": middle[name], "first": firsts[name]}
        found.append(figure)
    return found


def main() -> None:
    """Run the workloads that are asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", help=f"of {', '.join(WORKLOADS)}, costs")
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--peers", default="", help="only these, with commas between")
    options = parser.parse_args()
    chosen = options.workloads or [*WORKLOADS, "costs"]
    for name in chosen:
        if name not in (*WORKLOADS, "costs"):
            sys.exit(f"No workload {name}. There are {', '.join(WORKLOADS)}, and costs.")
    only = {each.strip() for each in options.peers.split(",") if each.strip()} or None
    for name in chosen:
        if name == "costs":
            figures = costs(options.rows or ROWS)
        else:
            figures = raced(WORKLOADS[name](options.rows or ROWS), options.rounds, only)
        if options.rows is None:
            write("fusion", figures, PACKAGES)
        else:
            print("\n".join(map(str, figures)))
        gc.collect()


if __name__ == "__main__":
    main()
