"""Tables in parts: the same answer for any division of the rows, small things that travel, cancelling in each round."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.anomaly.parts import PartedData, Serial, serial
from workbench.anomaly import api, dask_rounds, execution, file_parts, language, part_counter, part_tasks, plan
from workbench.anomaly.cube import Cube
from workbench.anomaly.frames import read
from workbench.anomaly.seasonal import Seasonal
from workbench.engine import session, tasks
from workbench.engine.run import Run

__all__ = ["serial"]


def table(n: int = 4000, seed: int = 0) -> pa.Table:
    """Return rows with text, whole numbers, fractions, nulls, and a column that another one tells."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "x": rng.normal(100, 10, n).round(3),
            "y": rng.normal(0, 1, n).round(3),
            "u": rng.uniform(0, 50, n).round(2),
            "a": rng.choice(np.array(["p", "q", "r", "", None], dtype=object), n),
            "b": rng.integers(0, 6, n),
            "c": rng.choice([0.5, 1.0, 2.5, np.nan], n),
            "ts": pd.date_range("2026-01-01", periods=n, freq="7min"),
            "w": rng.integers(1, 5, n).astype(float),
        }
    )
    frame["even"] = frame["b"] % 2 == 0
    frame.loc[frame["a"].eq("q") & (frame["b"] == 2), "x"] += 60
    frame.loc[rng.random(n) < 0.02, "x"] = np.nan
    frame["flag"] = np.where(rng.random(n) < 0.05, -1, 1)
    return pa.Table.from_pandas(frame, preserve_index=False)


def ask(data: Any, **options: Any) -> Any:
    return execution.answer(data, language.request(data, **options))


def assert_same(answer: Any, other: Any) -> None:
    pd.testing.assert_frame_equal(answer.to_pandas(q_value=True), other.to_pandas(q_value=True), check_exact=True)
    assert answer.sets == other.sets
    assert answer.notes == other.notes
    assert answer.cutoff == other.cutoff or np.isnan(answer.cutoff.low)
    figures = ("n_rows", "n_outliers", "n_left_out", "compare", "by", "metric")
    assert [getattr(answer, name) for name in figures] == [getattr(other, name) for name in figures]
    pd.testing.assert_frame_equal(answer.dependencies, other.dependencies)


BY = ["a", "b", "c", "u", "even"]
QUESTIONS: dict[str, dict[str, Any]] = {
    "mad": {"metric": "x", "by": BY},
    "low tail": {"metric": "x", "by": BY, "tail": "low"},
    "zscore": {"metric": "x", "by": ["a", ("b", 2), ("u", 3)], "score": "zscore"},
    "percentile": {"metric": "x", "by": BY, "score": "percentile"},
    "mcd": {"metric": ["x", "y"], "by": ["a", "b"]},
    "rcov": {"metric": ["x", "y"], "by": ["a", "b"], "score": "rcov"},
    "callable": {"metric": "x", "by": ["a", "b"], "score": lambda x: np.argsort(np.argsort(x[:, 0]))},
    "seasonal": {"metric": "x", "by": ["a", "b"], "score": Seasonal("ts", "24h")},
    "threshold": {"metric": "x", "by": BY, "threshold": 4.5},
    "nothing": {"metric": "x", "by": BY, "threshold": 1e6},
    "where": {"by": BY, "where": "x > 115 AND u < 40"},
    "where nothing": {"by": BY, "where": "u > 1000"},
    "where over all rows": {"by": BY, "where": "x > (SELECT quantile_cont(x, 0.95) FROM data)"},
    "labels": {"by": BY, "labels": "flag"},
    "marks": {"by": BY, "labels": np.arange(4000) % 37 == 0},
    "not minimal": {"metric": "x", "by": BY, "minimal": False, "max_combo": 4},
    "global": {"metric": "x", "by": BY, "compare": "global_ratio"},
    "mean shift": {"metric": "x", "by": BY, "where": "u > 45", "compare": "mean_shift", "min_ratio": 1.01},
    "mean deviation": {"metric": "x", "by": BY, "compare": "mean_deviation", "min_ratio": 0.05},
    "cube": {"metric": Cube("w", "x"), "by": ["a", "b"], "tail": "high", "min_ratio": 1.1},
    "cube with where": {"metric": Cube("w"), "by": ["a", "b"], "where": "x > 115"},
    "star": {"metric": "x"},
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_c47_any_partitioning_gives_the_same_answer(name: str, serial: Serial) -> None:
    options = {"top": 0.05, "min_ratio": 1.2, **QUESTIONS[name]}
    whole = ask(read(table()), **options)
    for cuts in ([], [1300, 1300, 2600], [1, 600, 1200, 1800, 2400, 3000]):
        assert_same(ask(PartedData(table(), cuts), **options), whole)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 1000),
    n=st.integers(1, 300),
    places=st.lists(st.floats(0, 1), max_size=6),
    top=st.sampled_from([0.02, 0.1, 0.3]),
    score=st.sampled_from(["mad", "zscore", "percentile"]),
)
def test_c47_random_cuts(seed: int, n: int, places: Sequence[float], top: float, score: str, serial: Serial) -> None:
    rows = table(n, seed)
    options: dict[str, Any] = {"metric": "x", "by": BY, "top": top, "score": score, "min_ratio": 1.1}
    cuts = sorted(int(place * n) for place in places)
    assert_same(ask(PartedData(rows, cuts, "the table"), **options), ask(read(rows), **options))


def test_c34_three_rounds_and_small_things_travel(serial: Serial) -> None:
    rng = np.random.default_rng(5)
    n = 400_000
    rows = pa.table(
        {
            "x": rng.normal(size=n),
            **{name: rng.integers(0, card, n) for name, card in {"a": 5, "b": 20, "c": 50}.items()},
        }
    )
    answer = ask(PartedData(rows, [100_000, 200_000, 300_000]), metric="x", by=["a", "b", "c"], min_ratio=1.2)
    assert len(answer)
    stages = [key.removeprefix("outliers-") for key, _ in serial.rounds]
    # the median is one pass, MAD and cutoff the next; orders 2 and 3 are counted together
    assert stages == ["read", "score", "score", "collect", "count"]
    assert all(tasks == 4 for _, tasks in serial.rounds)
    assert sum(serial.sent.values()) < rows.nbytes / 10
    serial.rounds.clear()
    ask(PartedData(rows, [200_000]), by=["a", "b", "c"], where="x > 2", min_ratio=1.5)
    assert [key for key, _ in serial.rounds] == ["outliers-collect", "outliers-count"]


def test_orders_two_and_three_go_together_only_while_they_are_few(
    serial: Serial, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"metric": "x", "by": BY, "top": 0.2, "min_ratio": 1.5}
    together = ask(PartedData(table(), [1000]), **options)
    rounds = [key for key, _ in serial.rounds].count("outliers-count")
    serial.rounds.clear()
    monkeypatch.setattr(part_counter, "TOGETHER", 3)
    apart = ask(PartedData(table(), [1000]), **options)
    assert [key for key, _ in serial.rounds].count("outliers-count") == rounds + 1 == 2
    assert_same(apart, together)


def test_c21_large_dictionaries_stay_where_they_are(serial: Serial, monkeypatch: pytest.MonkeyPatch) -> None:
    n = 20_000
    rng = np.random.default_rng(6)
    ids = np.array([f"id{i:06}" for i in range(n)])
    ids[rng.random(n) < 0.05] = "id000007"
    rows = pa.table({"id": ids, "g": rng.integers(0, 5, n), "x": np.where(ids == "id000007", 9.0, 0.0) + rng.random(n)})
    options: dict[str, Any] = {"metric": "x", "by": ["id", "g"], "tail": "high", "top": 0.04}
    whole = ask(read(rows), **options)
    assert whole.sets == [{"id": "id000007"}]
    monkeypatch.setattr(part_tasks, "TRAVELS", 100)
    answer = ask(PartedData(rows, [5000, 10_000]), **options)
    assert answer.sets == whole.sets
    pd.testing.assert_frame_equal(answer.to_pandas(), whole.to_pandas(), check_exact=True)
    assert serial.sent["outliers-collect"] < 120_000


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_hardly_any_rows(rows: int, serial: Serial) -> None:
    few = table().slice(3, rows)
    for options in ({"metric": "x"}, {"where": "u > 1"}, {"labels": np.ones(rows, bool)}, {"labels": "flag"}):
        if rows and isinstance(options.get("labels"), str):
            continue  # they are all 1
        answer = ask(PartedData(few, [0, rows], "the table"), by=["a", "b"], **options)
        assert_same(answer, ask(read(few), by=["a", "b"], **options))


def test_all_metrics_missing_in_some_parts_and_in_all(serial: Serial) -> None:
    rows = table(200)
    gone = pa.array([None if i < 120 else float(i) for i in range(200)], pa.float64())
    some = rows.set_column(0, "x", gone)
    assert_same(ask(PartedData(some, [50, 100], "the table"), metric="x", by=BY), ask(read(some), metric="x", by=BY))
    none = rows.set_column(0, "x", pa.nulls(200, pa.float64()))
    assert_same(ask(PartedData(none, [50, 100], "the table"), metric="x", by=BY), ask(read(none), metric="x", by=BY))


@pytest.mark.parametrize("stage", ["read", "score", "collect", "count"])
def test_c35_cancelled_in_each_round(stage: str, serial: Serial) -> None:
    data = PartedData(table(), [1000, 2000, 3000])
    options: dict[str, Any] = {"metric": "x", "by": BY, "top": 0.05, "min_ratio": 1.2}
    work = execution.Work(data, language.request(data, **options))
    held: list[Run[Any]] = []
    seen: list[str] = []

    def cancel(key: str, index: int) -> None:
        seen.append(key)
        if key == f"outliers-{stage}" and index == 1:
            held[0].cancel()

    serial.before = cancel

    def start(run: Run[Any]) -> Any:
        held.append(run)
        return work(run)

    run = Run.start(start, kind="outliers", title="test")
    result = run.result(timeout=60)
    assert run.state == "cancelled"
    assert seen[-1] == f"outliers-{stage}"  # nothing ran after it
    if stage == "count":
        assert result.notes[-1] == "stopped after 1-column explanations"
        assert_rows = ask(read(table()), **options, max_combo=1)
        pd.testing.assert_frame_equal(result.to_pandas(), assert_rows.to_pandas())
    else:
        assert result is None


@pytest.mark.parametrize(
    ("condition", "alone"),
    [
        ("x > 1 AND a = 'b'", True),
        ("upper(a) = 'B' OR c IS NULL", True),
        ("x > (SELECT avg(x) FROM data)", False),
        ("row_number() OVER () > 3", False),
        ("rank() OVER (ORDER BY x) < 5", False),
        ("this is no condition(", False),
    ],
)
def test_conditions_on_each_row_by_itself(condition: str, alone: bool) -> None:
    assert dask_rounds.row_by_row(condition) is alone


def test_the_plan_of_rounds_has_actuals(serial: Serial) -> None:
    answer = ask(PartedData(table(), [1000]), metric="x", by=BY)
    node = answer.explain("dict")["root"]
    rows = {}
    while True:
        rows[node["op"]] = node["rows"]
        if not node["children"]:
            break
        (node,) = node["children"]
    assert rows["Read"] == 4000
    assert rows["Collect"] == answer.n_outliers
    assert "read in tasks" in answer.explain()


# ------------------------------------------------------------------------------------------------------- on a cluster


def assert_same_rows(frame: Any, other: Any) -> None:
    pd.testing.assert_frame_equal(frame.reset_index(drop=True), other.reset_index(drop=True), check_dtype=False)


@pytest.mark.slow
def test_c34_dask_frames_of_any_make(cluster: Any, tmp_path: Path) -> None:
    frame = table(3000).to_pandas()
    options: dict[str, Any] = {"metric": "x", "by": BY, "top": 0.05, "min_ratio": 1.2}
    whole = wb.outliers(frame, **options)
    frame.to_parquet(tmp_path / "t.parquet", row_group_size=700)
    made = dd.from_pandas(frame, npartitions=3)
    for data in (
        made,
        made.persist(),
        dd.read_parquet(tmp_path / "t.parquet", split_row_groups=True),
        made.assign(z=1)[["x", "z", *BY]],
    ):
        assert_same(wb.outliers(data, **options), whole)


@pytest.mark.slow
def test_c34_rows_behind_a_dask_answer(cluster: Any) -> None:
    frame = table(3000).to_pandas()
    made = dd.from_pandas(frame, npartitions=3)
    for options in (
        {"metric": "x", "score": "percentile"},
        {"metric": "x", "score": lambda x: x[:, 0]},
        {"metric": "x", "where": "x > 118", "compare": "mean_shift"},
    ):
        whole = wb.outliers(frame, by=["a", "b"], min_ratio=0.9, **options)
        answer = wb.outliers(made, by=["a", "b"], min_ratio=0.9, **options)
        assert_same(answer, whole)
        assert isinstance(answer.outliers, dd.DataFrame)
        assert_same_rows(answer.outliers.compute(), whole.outliers)
        assert_same_rows(answer.rows(0), whole.rows(0))
        assert_same_rows(answer.rows(0, limit=5), whole.rows(0, limit=5))
    assert_same_rows(made[answer.filter(0)].compute(), frame[whole.filter(0)])
    pd.testing.assert_frame_equal(answer.histogram(0), whole.histogram(0))
    single = wb.outliers(made, by=["b"], where="x > 118")  # no row is left out, and one condition is all there is
    assert_same_rows(made[single.filter(0)].compute(), frame[wb.outliers(frame, by=["b"], where="x > 118").filter(0)])
    for i, again in ((0, "within"), (0, "without")):
        assert_same(getattr(answer, again)(i), getattr(whole, again)(i))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_c35_files_too_large_for_one_process(
    form: str, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = table(3000).to_pandas().drop(columns=["ts", "even"])
    path = tmp_path / f"t.{form}"
    frame.to_parquet(path, row_group_size=700) if form == "parquet" else frame.to_csv(path, index=False)
    options: dict[str, Any] = {"metric": "x", "by": ["a", "b", "c", "u"], "top": 0.05, "min_ratio": 1.2}
    whole = wb.outliers(path, **options)
    star = wb.outliers(path, "x")
    monkeypatch.setattr(plan, "LARGE", 1000)
    monkeypatch.setattr(file_parts, "BLOCK", 20_000)
    answer = wb.outliers(path, **options)
    assert "read in tasks" in answer.explain()
    assert_same(answer, whole)
    assert isinstance(answer.outliers, pd.DataFrame)
    assert_same_rows(answer.outliers, whole.outliers)
    assert answer.filter(0) == whole.filter(0)
    assert_same_rows(answer.rows(0), whole.rows(0))
    assert answer.without(0).n_rows == whole.without(0).n_rows
    assert_same(wb.outliers(path, "x"), star)


class Killer:
    """Calls a function, but ends its worker the first time one item is met; each call leaves a file."""

    def __init__(self, function: Any, folder: Path) -> None:
        self.function, self.folder = function, folder

    def __call__(self, item: Any) -> Any:
        index = item[0].index
        (self.folder / f"{index}-{uuid.uuid4().hex}").touch()
        flag = self.folder / "killed"
        if index == 2 and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.function(item)


@pytest.mark.slow
def test_c35_a_worker_killed_in_each_round(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = table(3000).to_pandas()
    options: dict[str, Any] = {"metric": "x", "by": BY, "top": 0.05, "min_ratio": 1.2}
    whole = wb.outliers(frame, **options)
    stream = tasks.stream
    folders: list[tuple[str, Path]] = []

    def killing(function: Any, items: Any, *, key: str, **others: Any) -> Any:
        folder = tmp_path / f"{len(folders)}"
        folder.mkdir()
        first = key not in [known for known, _ in folders]
        folders.append((key, folder))
        if not first:
            (folder / "killed").touch()
        return stream(Killer(function, folder), items, key=key, **others)

    monkeypatch.setattr(tasks, "stream", killing)
    run = api.start_outliers(dd.from_pandas(frame, npartitions=20), **options)
    answer = run.result(timeout=250)
    assert_same(answer, whole)
    assert any(event.kind == "worker_lost" for event in run.events())
    hit = dict(reversed(folders))  # the first of each kind
    assert set(hit) == {f"outliers-{stage}" for stage in ("read", "score", "collect", "count")}
    for key, folder in folders:
        calls = [len(list(folder.glob(f"{index}-*"))) for index in range(20)]
        assert min(calls) == 1
        # What the dead worker had done and not yet told may be done again, eight tasks at most; all else is not.
        assert sum(calls) <= 20 + (8 if folder == hit[key] else 0)


@pytest.mark.slow
def test_c47_one_worker_or_two(cluster: Any) -> None:
    frame = table(3000).to_pandas()
    options: dict[str, Any] = {"metric": ["x", "y"], "by": BY, "top": 0.05, "min_ratio": 1.2}
    two = wb.outliers(dd.from_pandas(frame, npartitions=5), **options)
    try:
        session.session(workers=1)
        one = wb.outliers(dd.from_pandas(frame, npartitions=2), **options)
    finally:
        session.session(workers=2)
    assert_same(one, two)
    assert_same(one, wb.outliers(frame, **options))
