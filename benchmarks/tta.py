"""Benchmarks of time to accuracy: `python -m benchmarks.tta [FIGURE ...]`.

Each figure stands beside its target or peer and is written to `results/tta.json`. Peers (JSONL, SQLite, TensorBoard,
Trackio, W&B offline, MLflow) are measured in the same run, in a Python of their own where `WORKBENCH_PEERS` names one;
those that are not there are left out. The entries of DAWNBench come from `WORKBENCH_MIRROR`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import Figure, write
from benchmarks.tta_peers import measure

CALLS = 100_000
#: calls of trackers that take far longer for one
FEWER = {"trackio": 2_000, "wandb": 2_000, "mlflow": 200, "tensorboard": 20_000}
PACKAGES = ("numpy", "pandas", "pyarrow", "scipy", "anywidget", "ipywidgets")


def tracker(name: str, **more: Any) -> Any:
    import workbench as wb

    return wb.tta.Tracker(name, {"top1": 94}, **more)


def log_call() -> list[Figure]:
    """Dense points: what a call costs the training loop, and what the writer adds."""
    with tracker("log") as t:
        t.log(0, loss=0.5)
        begun = time.process_time()
        found = measure(lambda step, value: t.log(step, loss=value), CALLS)
        before_end = time.process_time() - begun
    whole = time.process_time() - begun  # with what the writer still had to do
    figures = [
        Figure("log call, median wall", found["wall_us"], "us", "<= 2", found["wall_us"] <= 2, details=found),
        Figure("log call, CPU in the caller", found["caller_us"], "us", "<= 1", found["caller_us"] <= 1),
        Figure(
            "log call, CPU with the writer", 1e6 * whole / CALLS, "us", "<= 3", 1e6 * whole / CALLS <= 3,
            note="until the run has ended and its points are in Parquet",
            details={"until_last_call_us": 1e6 * before_end / CALLS},
        ),
    ]  # fmt: skip
    for name, least in (
        ("jsonl", 0),
        ("sqlite", 0),
        ("tensorboard", 0),
        ("trackio", 0),
        ("wandb", 50),
        ("mlflow", 1000),
    ):
        peer = _peer(name)
        if peer is None:
            print(f"{name}: not installed; see WORKBENCH_PEERS")
            continue
        ours = 1e6 * whole / CALLS
        ratio = peer["process_us"] / ours
        figures.append(
            Figure(
                f"log call, CPU beside {name}", ours, "us", f">= {least}x" if least else "",
                ratio >= least if least else None, name, peer["process_us"], ratio, details=peer,
            )
        )  # fmt: skip
    return figures


def _peer(name: str) -> dict[str, float] | None:
    """Return what a call of another tracker costs, measured now; None where it is not installed."""
    python = sys.executable if name in ("jsonl", "sqlite") else os.environ.get("WORKBENCH_PEERS", sys.executable)
    with tempfile.TemporaryDirectory() as folder:
        words = [python, "-m", "benchmarks.tta_peers", name, str(FEWER.get(name, CALLS)), str(Path(folder) / name)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    line = next((line for line in done.stdout.splitlines() if line.startswith("FIGURES ")), None)
    if line is None:
        print(done.stderr[-300:])
        return None
    found: dict[str, float] = json.loads(line.removeprefix("FIGURES "))
    return found


def eval_call() -> list[Figure]:
    """An evaluation of plain values."""
    walls = []
    with tracker("eval", eval_count=10_000) as t, t.span("eval"):
        for step in range(1_000):
            begun = time.perf_counter()
            t.eval(step=step, n=10_000, top1=50.0)
            walls.append(time.perf_counter() - begun)
    value = 1e6 * statistics.median(walls)
    details = {"p99_us": 1e6 * sorted(walls)[-10]}
    return [Figure("eval call, plain values, median", value, "us", "<= 100", value <= 100, details=details)]


def overhead() -> list[Figure]:
    """Steps of 1 ms of CPU, with and without a `log` each, in turns."""

    def steps(each: Callable[[int], object], count: int = 400) -> float:
        begun = time.thread_time()
        for step in range(count):
            end = time.thread_time() + 0.001
            while time.thread_time() < end:
                pass
            each(step)
        return time.thread_time() - begun

    with tracker("overhead") as t:
        t.log(0, loss=1.0)
        pairs = [(steps(lambda step: None), steps(lambda step: t.log(step, loss=1.0))) for _ in range(9)]
    share = 100 * (statistics.median(b for _, b in pairs) / statistics.median(a for a, _ in pairs) - 1)
    return [Figure("training overhead, 1 ms steps", share, "%", "<= 0.1", share <= 0.1, note="CPU of the loop")]


def scale(runs: int = 10_000, points: int = 10_000) -> list[Figure]:
    """A store of many runs: the board over all of them, and one curve.

    Twelve runs are written; the others are copies of their rows, without points, which neither question looks at.
    """
    import numpy as np

    from workbench.tta.store import open_store

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(12):
            with tracker(f"recipe-{number % 4}", store=folder, seed=number) as t:
                for step, value in enumerate(rng.random(points)):
                    t.log(step, loss=value)
                for step in range(15):
                    t.eval(step=step, n=10_000, top1=lambda step=step: 80.0 + step)
            run = t.run
        curve = _best(lambda: len(run.points))
        store = open_store(folder)
        _multiply(store, runs)
        board = _best(lambda: len(store.board()))
        one = _best(lambda: len(store.records("recipe-1")[0].evals))
        rows = len(store.board())
    return [
        Figure(f"board of {rows:,} runs", 1e3 * board, "ms", "<= 100", board <= 0.1),
        Figure(f"one curve of {points:,} points", 1e3 * curve, "ms", "<= 20", curve <= 0.02),
        Figure("records of a recipe, the first curve", 1e3 * one, "ms"),
    ]  # fmt: skip


def scan(runs: int = 300, points: int = 10_000) -> list[Figure]:
    """The first crossing of each of many runs, from their dense points: in the database, then in Parquet."""
    import numpy as np

    from workbench.tta import archive
    from workbench.tta.store import open_store

    rng = np.random.default_rng(0)
    ids, expected = [], {}
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
        for seed in range(runs):
            values = np.linspace(0, 1, points) + rng.normal(0, 0.05, points)
            sink = store.sink(f"run-{seed:04}", here=False)
            sink.start({"name": "scan", "metric": "top1", "goal": "max", "target": 0.9, "seed": seed})
            sink.points([("top1", step, 1000 * step, value, step) for step, value in enumerate(values.tolist())])
            sink.end("finished", {"end_ns": 1000 * points})
            ids.append(sink.id)
            if (values >= 0.9).any():
                expected[sink.id] = int((values >= 0.9).argmax())

        def cpu() -> float:
            begun = time.process_time()
            found = store.first_points("top1", 0.9)
            spent = time.process_time() - begun
            assert dict(zip(found["run"], found["step"], strict=True)) == expected
            return spent

        rows = min(cpu() for _ in range(3))
        for run in ids:
            archive.archive(store.path, run)
        files = min(cpu() for _ in range(3))
        store.close()
    named = f"{runs * points / 1e6:g} M points, all first crossings"
    return [
        Figure(f"{named}, in SQLite", rows, "CPU s", "<= 0.5", rows <= 0.5),
        Figure(f"{named}, in Parquet", files, "CPU s", "<= 0.5", files <= 0.5),
    ]


def _multiply(store: Any, runs: int) -> None:
    """Copy the rows of runs (not their points) within the database until there are `runs`."""
    import sqlite3

    store.flush()
    connection = sqlite3.connect(store.path)
    columns = {
        table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")] for table in ("run", "crossing")
    }
    [(last, known)] = connection.execute("SELECT max(num), count(*) FROM run").fetchall()
    others = [name for name in columns["run"] if name not in ("num", "id")]
    crossed = [name for name in columns["crossing"] if name != "run"]
    for copy in range(1, runs // known + 1):
        shift = copy * last
        named, picked = ", ".join(others), ", ".join(others)
        connection.execute(
            f"INSERT INTO run (num, id, {named}) SELECT num + ?, id || '-' || ?, {picked} FROM run WHERE num <= ?",
            (shift, copy, last),
        )
        named = ", ".join(crossed)
        connection.execute(
            f"INSERT INTO crossing (run, {named}) SELECT run + ?, {named} FROM crossing WHERE run <= ?", (shift, last)
        )
    connection.commit()
    connection.close()


def _best(work: Callable[[], Any], repeats: int = 5) -> float:
    """Return the median seconds of several calls, after one that warms."""
    work()
    found = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return statistics.median(found)


def widget(evaluations: int = 10_000, seconds: float = 8.0) -> list[Figure]:
    """The live chart of a run with many evaluations: redraws a second, and the CPU that drawing takes."""
    from workbench.notebook.live_curve import LiveCurve
    from workbench.tta.live_state import LiveState

    with tracker("widget", eval_count=10_000) as t:
        with t.span("eval"):
            for step in range(evaluations):
                t.eval(step=step, n=10_000, top1=50.0 + step / evaluations)
        drawn: list[float] = []
        view = LiveCurve("widget", LiveState(t), lambda: (0.0, None), t.stop)
        view._kernel = True
        view._first = lambda state: {"text/plain": ""}  # type: ignore[method-assign]
        view._publish = lambda bundle: setattr(view, "_shown", True)  # type: ignore[method-assign]
        view._widget = object()
        view._update = lambda state: drawn.append(_sent(view, state))  # type: ignore[method-assign]
        view.start()
        before, begun = time.process_time(), time.perf_counter()
        while time.perf_counter() - begun < seconds:
            t.log(0, loss=0.1)
            time.sleep(0.05)
        cpu, wall = time.process_time() - before, time.perf_counter() - begun
        view._widget = None
        view.finish(None, "finished")
        t.stop()
    rate, share = len(drawn) / wall, 100 * cpu / wall
    return [
        Figure("widget, redraws a second", rate, "1/s", "<= 4", rate <= 4,
               details={"bytes_a_redraw": statistics.median(drawn) if drawn else 0, "evaluations": evaluations}),
        Figure("widget, share of one core", share, "%", "<= 5", share <= 5, note="with the tracker's own threads"),
    ]  # fmt: skip


def _sent(view: Any, state: dict[str, Any]) -> int:
    """Return the bytes of what has changed, which is what a front end gets."""
    return len(json.dumps({name: value for name, value in state.items() if value != view._last.get(name)}))


def entries() -> list[Figure]:
    """The record: reading all entries, and a board."""
    import workbench as wb

    root = Path(os.environ.get("WORKBENCH_MIRROR", "")) / "dawnbench"
    if not root.is_dir():
        print("entries: no dawnbench/ in WORKBENCH_MIRROR")
        return []
    read = _best(lambda: wb.tta.read_dawnbench(root).table, 3)
    found = wb.tta.read_dawnbench(root)
    board = _best(lambda: [wb.tta.leaderboard(found, task=task) for task in found.tasks])
    return [
        Figure("reading all DAWNBench entries", 1e3 * read, "ms", details={"entries": len(found)}),
        Figure("leaderboards of the three tasks", 1e3 * board, "ms"),
    ]


def digits(seeds: int = 10) -> list[Figure]:
    """Ten seeds of a small network on the digits, one after another and on two workers."""
    import numpy as np

    import workbench as wb
    from workbench.tta import samples

    data = samples.digits()

    def train(tracker: Any, seed: int, hidden: int = 512, epochs: int = 15, size: int = 32) -> None:
        random = np.random.default_rng(seed)
        weights = [random.normal(0, (2 / n) ** 0.5, (n, m)).astype(np.float32) for n, m in ((64, hidden), (hidden, 10))]
        speed = [np.zeros_like(w) for w in weights]
        for epoch in range(epochs):
            order = random.permutation(len(data.train_y))
            for start in range(0, len(order), size):
                rows = order[start : start + size]
                share = (epoch + start / len(order)) / epochs
                rate = 0.2 * (share / 0.3 if share < 0.3 else (1 - share) / 0.7)
                x, y = data.train_x[rows], data.train_y[rows]
                inner = np.maximum(x @ weights[0], 0)
                wrong = inner @ weights[1]
                wrong = np.exp(wrong - wrong.max(1, keepdims=True))
                wrong /= wrong.sum(1, keepdims=True)
                wrong[np.arange(len(y)), y] -= 1
                slopes = x.T @ ((wrong @ weights[1].T) * (inner > 0)) / len(y), inner.T @ wrong / len(y)
                for weight, fast, slope in zip(weights, speed, slopes, strict=True):
                    fast *= 0.9
                    fast -= rate * slope
                    weight += fast
            answers = (np.maximum(data.val_x @ weights[0], 0) @ weights[1]).argmax(1)
            tracker.eval(step=epoch, n=300, top1=lambda right=answers == data.val_y: 100 * np.mean(right))

    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        runs = wb.tta.repeat(
            train, seeds=range(seeds), target={"top1": 97}, name="digits", eval_count=300, store=folder
        )
        wall = time.perf_counter() - begun
    row = runs.summary().iloc[0]
    details = {"reached": int(row["reached"]), "mean_s": float(row["mean"]), "cv": float(row["cv"])}
    return [
        Figure(f"digits, {seeds} seeds", wall, "s", "< 30", wall < 30, details=details,
               note="a small network in NumPy, 15 epochs, with the start of the workers")
    ]  # fmt: skip


FIGURES: dict[str, Callable[[], list[Figure]]] = {
    "log": log_call, "eval": eval_call, "overhead": overhead, "scale": scale, "scan": scan, "widget": widget,
    "entries": entries, "digits": digits,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", nargs="*", choices=[*FIGURES, []], help="all by default")
    chosen = parser.parse_args().figures or list(FIGURES)
    with tempfile.TemporaryDirectory() as home:
        os.environ["WORKBENCH_HOME"] = home  # nothing of a benchmark is kept
        for name in chosen:
            write("tta", FIGURES[name](), PACKAGES)


if __name__ == "__main__":
    main()
