"""Training processes killed at random moments: no acknowledged row is lost, no file is damaged, clocks are honest."""

from __future__ import annotations

import itertools
import random
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.tta.killed import Child, Server
from workbench.tta import archive, liveness
from workbench.tta.problems import TTAWarning
from workbench.tta.run import Run
from workbench.tta.store import Store, open_store
from workbench.tta.tracker import Tracker

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")

#: what the monotonic clock and UTC may differ by, as they are read one after the other, s
CLOCKS = 0.05
#: evaluations cross at this step
TARGET = 100.0


@pytest.fixture(scope="module")
def server() -> Any:
    made = Server()
    yield made
    made.close()


class Seed:
    """A run that is killed and gone on with, again and again; and what it was told."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.children: list[Child] = []

    @property
    def resume(self) -> str | None:
        """The last attempt that was begun."""
        begun = [line[1] for child in self.children if (line := child.said("started")) is not None]
        return begun[-1] if begun else None


def go(server: Server, folder: Path, seed: Seed, steps: int) -> Child:
    told = folder / f"told-{seed.number}-{len(seed.children)}"
    child = server.start(
        folder=str(folder / "tta"), told=str(told), seed=seed.number, resume=seed.resume, target=TARGET, steps=steps
    )
    seed.children.append(child)
    return child


def kill_at_random(server: Server, folder: Path, kills: int, at_once: int, rng: random.Random) -> list[Seed]:
    """Kill processes, some at a time, and go on with the runs they leave; at last let each run end."""
    seeds = [Seed(number) for number in range(max(2, kills // 4))]
    turns = itertools.cycle(seeds)
    left = kills
    while left:
        group = [next(turns) for _ in range(min(at_once, left, len(seeds)))]
        children = [go(server, folder, seed, 10**6) for seed in group]
        # a few before they have begun or while they begin, the others well within
        waits = {child: (rng.random() < 0.2, rng.uniform(0.0, 0.3)) for child in children}
        since = {child: time.monotonic() for child in children}
        while waits:
            for child, (early, wait) in list(waits.items()):
                if not early and child.said("started") is None and child.said("error") is None:
                    since[child] = time.monotonic()
                elif time.monotonic() - since[child] >= wait:
                    child.kill()
                    del waits[child]
                    left -= 1
            time.sleep(0.002)
    for at in range(0, len(seeds), at_once):
        children = [go(server, folder, seed, 30) for seed in seeds[at : at + at_once]]
        for child in children:
            child.wait()
    return seeds


def check(store: Store, seeds: list[Seed]) -> dict[str, float]:
    """Check what is on disk against what the processes were told; return figures."""
    connection = sqlite3.connect(store.path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    acknowledged = rows = begun = 0
    windows = []
    for child in (child for seed in seeds for child in seed.children):
        assert child.said("error") is None, child.said("error")
        started = child.said("started")
        if started is None:
            continue
        begun += 1
        run = started[1]
        found = connection.execute("SELECT num FROM run WHERE id = ?", (run,)).fetchone()
        assert found is not None  # the start is acknowledged
        steps = [row[1] for row in store.points(run)]
        first = steps[0] if steps else 0
        # what is there is whole: from the first on, without a gap
        assert steps == list(range(first, first + len(steps)))
        evals = [row[0] for row in connection.execute("SELECT step FROM eval WHERE run = ? ORDER BY seq", found)]
        assert evals == [step for step in range(first, first + 10 * len(evals) + 10) if step % 10 == 9][: len(evals)]
        rows += len(steps) + len(evals)
        if (line := child.said("acknowledged")) is not None:
            acknowledged += 1
            assert evals[-1] >= int(line[1]) and steps[-1] >= int(line[1])
        if (line := child.said("crossed")) is not None:
            crossings = connection.execute(
                "SELECT step FROM crossing WHERE run = ? AND confirm = 1 AND threshold = ?", (*found, TARGET)
            ).fetchall()
            # an attempt that goes on with one that had crossed, and was killed before it could say so, says so
            told = int(line[1])
            before = [row for row in store.log(store.attempts(run)).evals if row[4] >= TARGET and row[1] < told]
            assert crossings == ([] if before else [(told,)])
            # a crossing of its own is durable when it is told; one of an earlier attempt needs no row of this one
            assert before or told in evals
        last, at = child.last()
        if child.said("ended") is not None:
            assert steps[-1] == last  # an end is acknowledged
        elif at:
            lost = last - (steps[-1] if steps else first - 1)
            assert lost >= 0
            # the time of the last point that was logged, less that of the last one that is there
            (kept,) = connection.execute(
                "SELECT started_utc + ifnull((SELECT max(t_ns) FROM point WHERE run = num), 0) FROM run WHERE num = ?",
                found,
            ).fetchone()
            windows.append((at - kept) / 1e9)
    connection.close()
    return {
        "begun": begun,
        "acknowledged": acknowledged,
        "rows": rows,
        "unacknowledged_s": round(max(windows, default=0.0), 3),
        "unacknowledged_median_s": round(sorted(windows)[len(windows) // 2], 3) if windows else 0.0,
    }


def check_clocks(store: Store, seeds: list[Seed]) -> int:
    """Check the clocks of each run against those of its processes; return how often it was gone on with."""
    joins = 0
    for seed in seeds:
        begun = [child for child in seed.children if child.said("started") is not None]
        if not begun:
            continue
        run = begun[-1].said("started")[1]  # type: ignore[index]
        (record,) = [record for record in store.records("killed") if record.id == run]
        assert record.seed == seed.number and record.attempt == len(begun) and record.state == "finished"
        evals = record.evals
        assert evals["eval"].tolist() == list(range(len(evals)))
        assert evals["step"].is_monotonic_increasing and evals["step"].is_unique
        for clock in ("wall", "dawnbench", "mlperf", "algoperf"):
            assert evals[f"{clock}_s"].is_monotonic_increasing
        assert evals["cpu_s"].is_monotonic_increasing
        down = record.spans[record.spans["kind"] == "down"]
        joins += len(down)
        assert len(down) == len(begun) - 1
        starts = []
        for child in begun:
            _, attempt, said, _ = child.said("started")  # type: ignore[misc]
            starts.append(int(store.attempts(attempt)[-1].facts["started_utc"]))
            assert starts[-1] <= int(said) and (child.killed_ns == 0 or starts[-1] <= child.killed_ns)
        for (_, row), before, start in zip(down.iterrows(), begun[:-1], starts[1:], strict=True):
            # down from its last sign of life, which is before the kill, to the next start: no second of it is hidden
            assert row["seconds"] >= (start - before.killed_ns) / 1e9 - CLOCKS
            assert row["end_s"] == pytest.approx((start - starts[0]) / 1e9, abs=1e-6)
        # the wall clock of the last evaluation is that of the wall, and dawnbench leaves out what it says it does
        curve = Run(record).curve(clock="wall")
        total = (int(begun[-1].said("ended")[2]) - starts[0]) / 1e9  # type: ignore[index]
        assert curve["seconds"].iloc[-1] <= total + CLOCKS
        assert curve["seconds"].iloc[-1] >= down["end_s"].max() if len(down) else True
        left_out = record.spans[record.spans["kind"].isin(["down", "eval"])]
        before = left_out[left_out["end_s"] <= evals["wall_s"].iloc[-1] + 1e-9]["seconds"].sum()
        assert evals["dawnbench_s"].iloc[-1] == pytest.approx(evals["wall_s"].iloc[-1] - before, abs=1e-3)
    return joins


def killed(server: Server, tmp_path: Path, kills: int, record_property: Any) -> dict[str, float]:
    store = open_store(tmp_path / "tta")
    seeds = kill_at_random(server, tmp_path, kills, 3, random.Random(kills))
    figures = check(store, seeds) | {"joins": check_clocks(store, seeds)}
    for name, value in figures.items():
        record_property(name, value)
    print(figures)
    archive.wait()
    store.close()
    return figures


def test_c51_c55_a_few_kills(server: Server, tmp_path: Path, record_property: Any) -> None:
    figures = killed(server, tmp_path, 8, record_property)
    assert figures["begun"] >= 4


@pytest.mark.slow
def test_c51_c55_a_hundred_kills(server: Server, tmp_path: Path, record_property: Any) -> None:
    figures = killed(server, tmp_path, 100, record_property)
    assert figures["begun"] >= 50 and figures["acknowledged"] >= 10 and figures["joins"] >= 10


def test_c54_a_killed_run_is_lost_after_ten_seconds_and_can_be_gone_on_with_at_once(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = Seed(0)
    child = go(server, tmp_path, seed, 10**6)
    while child.said("acknowledged") is None:
        time.sleep(0.005)
    child.kill()
    store = open_store(tmp_path / "tta")
    assert [record.state for record in store.records()] == ["running"]
    (attempt,) = store.unfinished(str(seed.resume))
    assert attempt.state == "running" and attempt.unfinished
    monkeypatch.setattr(liveness, "SILENT_S", -1.0)
    assert [record.state for record in store.records()] == ["lost"]
    monkeypatch.undo()
    last = go(server, tmp_path, seed, 20)
    last.wait()
    assert [record.state for record in store.records()] == ["finished"]
    check(store, [seed])
    store.close()


def test_c55_a_supervisor_starts_a_killed_run_again_at_once_by_its_recipe_and_seed(
    server: Server, tmp_path: Path
) -> None:
    seed = Seed(0)
    child = go(server, tmp_path, seed, 10**6)
    while child.said("acknowledged") is None:
        time.sleep(0.005)
    child.kill()
    with Tracker("killed", {"top1": TARGET}, seed=0, store=tmp_path / "tta", eval_count=100, confirm=2) as t:
        with pytest.warns(TTAWarning, match=r"Run resumed after 00:00:\d\d down\."):
            t.resume(50)
        t.eval(step=10_000, top1=lambda: 99.0, n=100)
    store = open_store(tmp_path / "tta")
    (record,) = store.records()
    assert (record.attempt, record.state) == (2, "finished") and record.id == t.run.id
    assert record.evals["step"].iloc[-1] == 10_000 and len(record.evals) > 5
    store.close()
