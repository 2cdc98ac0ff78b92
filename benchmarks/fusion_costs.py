"""What fusion costs beside its kernels: capturing, planning, compiling; and what the kernels make of the machine."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.fusion_workloads import WORKLOADS
from benchmarks.measure import Figure

__all__ = ["costs"]

THREADS = "WORKBENCH_FUSION_THREADS"


def costs(rows: int) -> list[Figure]:
    """Return the figures that are not a race.

    Parameters
    ----------
    rows : int
        Of the workloads that bandwidth, threads and predictions are measured with.
    """
    return [*_capture(), _compile(), *_even(), *_kernels(rows), *_threads(rows)]


def _best(run: Callable[[], Any], rounds: int = 7, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the least seconds of some rounds."""
    best = float("inf")
    for _ in range(rounds):
        begin = clock()
        run()
        best = min(best, clock() - begin)
    return best


def _twenty(x: Any) -> Any:
    """Return an expression of 20 calls."""
    for k in range(10):
        x = x * (1.0 + k / 10) + 0.5
    return x


def _capture() -> list[Figure]:
    from workbench import fusion

    x = fusion.array(np.ones(100))
    capture = _best(lambda: [_twenty(x) for _ in range(100)]) / 100
    _twenty(x).compute()

    def again() -> None:
        for _ in range(100):
            _twenty(x).compute()

    whole = _best(again) / 100
    plan = fusion.plans()[-1]
    hit = whole - capture
    return [
        Figure("capture of 20 operations", 1e6 * capture, "us", "<= 50", capture <= 50e-6),
        Figure(
            "plan hit, run of 100 elements", 1e3 * hit, "ms", "<= 1", hit <= 1e-3, details={"plan_ms": plan.plan_ms}
        ),
    ]


def _compile() -> Figure:
    """CPU time of a kernel of 50 operations whose object code nobody has."""
    from workbench import fusion

    a = np.linspace(0.1, 0.9, 1000)
    others = np.random.default_rng().random(5)  # constants of no run before, whose object code is kept
    found = []
    for other in others:
        x = fusion.array(a)
        y = x
        for j in range(24):
            y = y * (1.0 + (other + j) / 100) + x
        y = np.exp(-y) + np.sqrt(x)
        begin = time.process_time()
        y.compute(threads=1)
        found.append(time.process_time() - begin)
    best = 1e3 * min(found)
    return Figure("compile, kernel of 52 operations", best, "CPU ms", "<= 40", best <= 40, details={"all": found})


def _even() -> list[Figure]:
    """The least number of elements from which on fusion is not slower than NumPy, the plan known."""
    from workbench.fusion import fuse

    code = WORKLOADS["black_scholes"](1000)
    figures = []
    for name, function in (("20 operations", _twenty), ("Black-Scholes", code.function)):
        even, times = None, {}
        for many in (200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000):
            data = WORKLOADS["black_scholes"](many)._data if name != "20 operations" else {"x": np.ones(many)}
            fused = fuse(function)
            fused(**data)
            ours = _best(lambda fused=fused, data=data: fused(**data), 15)  # type: ignore[misc]
            plain = _best(lambda function=function, data=data: function(**data), 15)  # type: ignore[misc]
            times[many] = (1e6 * ours, 1e6 * plain)
            if ours > plain:
                even = None
            elif even is None:
                even = many
        value = float(even) if even is not None else float("inf")
        figures.append(
            Figure(f"break-even, {name}", value, "elements", "<= 20000", value <= 20_000, details={"us": times})
        )
    return figures


def _kernels(rows: int) -> list[Figure]:
    """Share of the bandwidth on crime index; how well the order of kernels by time is predicted."""
    from scipy.stats import spearmanr

    predicted, measured, figures = [], [], []
    for name, make in WORKLOADS.items():
        work = make(rows // 5)
        with warnings.catch_warnings(action="ignore"):
            for _ in range(3):
                work._fused()
        for kernel in work.plan().kernels:
            if kernel.kind not in ("extern", "fallback") and kernel.measured_ms:
                predicted.append(kernel.predicted_ms)
                measured.append(kernel.measured_ms)
        if name == "crime_index":
            big = make(rows)
            share = 0.0
            for _ in range(7):
                big._fused()
                share = max(share, big.plan().kernels[0].bandwidth_pct)
            figures.append(Figure("crime index, share of bandwidth", share, "%", ">= 80", share >= 80))
    rank = float(spearmanr(predicted, measured).statistic)
    details = {"kernels": len(predicted)}
    figures.append(Figure("rank correlation, predicted and measured", rank, "", ">= 0.8", rank >= 0.8, details=details))
    return figures


def _threads(rows: int) -> list[Figure]:
    """Two threads against one."""
    figures = []
    before = os.environ.pop(THREADS, None)
    try:
        for name in ("black_scholes", "crime_index", "filter_group"):
            work = WORKLOADS[name](rows)
            times = {}
            for threads in ("1", "2"):
                os.environ[THREADS] = threads
                work._fused()
                times[threads] = 1e3 * _best(work._fused)
            ratio = times["1"] / times["2"]
            figures.append(
                Figure(
                    f"two threads, {work.name}", ratio, "x one", ">= 1.7", ratio >= 1.7, "ms, one", times["1"], ratio
                )
            )
            if name == "filter_group":
                figures.append(_torch_with_two(work, times["2"]))
    finally:
        if before is not None:
            os.environ[THREADS] = before
    return figures


def _torch_with_two(work: Any, ours: float) -> Figure:
    """torch.compile with two threads, whose adding up into a table becomes atomic, against ours with two."""
    import torch

    try:
        run = work.others["torch.compile"](work.names)
        torch.set_num_threads(2)  # peers are made for one
        run()
        theirs = 1e3 * _best(run)
    finally:
        torch.set_num_threads(1)
    ratio = theirs / ours
    return Figure(
        f"two threads, {work.name}: torch.compile", ratio, "x ours", ">= 2.5", ratio >= 2.5, "ms", theirs, ratio
    )
