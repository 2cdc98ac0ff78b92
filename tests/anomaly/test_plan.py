"""Plans: what is estimated before anything runs, and what stands beside it afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.anomaly import plan
from workbench.anomaly.frames import read
from workbench.anomaly.language import request

OPS = ["Rank", "Count", "Collect", "Label", "Score", "Encode", "Read"]


def table(n: int = 1000) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"x": rng.normal(size=n), "a": rng.choice(list("pq"), n), "b": rng.integers(0, 9, n)}).assign(
        flag=lambda frame: frame["x"] > 2
    )


def nodes(of: Any) -> dict[str, Any]:
    return {node.op: node for _, node in of.walk()}


def test_estimates_follow_the_rows_and_the_options() -> None:
    data = read(table())
    made = plan.planned(data, request(data, "x", ["a", "b"], top=0.05, max_combo=2))
    assert [node.op for _, node in made.walk()] == OPS
    found = nodes(made)
    assert found["Read"].est_rows == found["Encode"].est_rows == 1000
    assert found["Collect"].est_rows == 50
    assert found["Score"].detail == "mad of x"
    assert found["Label"].detail == "top 5 %, both tails"
    assert found["Count"].detail == "1 to 2 columns"
    assert all(node.est_ms is not None and node.est_ms > 0 for node in found.values())
    assert all(node.rows is None for node in found.values())
    assert made.notes == ("in this process",)
    larger = nodes(plan.planned(read(table(100_000)), request(data, "x", ["a", "b"])))
    assert larger["Encode"].est_ms > found["Encode"].est_ms
    assert plan.planned(data, request(data, "x", ["a", "b"])) == plan.planned(data, request(data, "x", ["a", "b"]))


def test_percentile_marks_a_share_of_each_tail() -> None:
    data = read(table())
    both = nodes(plan.planned(data, request(data, "x", ["a"], score="percentile", top=0.05)))
    assert both["Collect"].est_rows == 100


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({"where": "x > 1"}, "where x > 1"),
        ({"labels": np.zeros(1000, bool)}, "labels"),
        ({"labels": "flag"}, "labels flag"),
        ({"metric": "x", "compare": "mean_deviation"}, "every row"),
    ],
)
def test_rows_that_are_marked_need_no_score(options: dict[str, Any], label: str) -> None:
    data = read(table())
    found = nodes(plan.planned(data, request(data, by=["a"], **options)))
    assert "Score" not in found
    assert found["Label"].detail == label


def test_c46_actuals_stand_beside_the_estimates() -> None:
    frame = table(2000)
    frame.loc[:99, "x"] = np.nan
    answer = wb.outliers(frame, "x", ["a", "b"])
    rows = {node["op"]: node for node in walk(answer.explain("dict")["root"])}
    assert list(rows) == OPS
    assert rows["Read"]["rows"] == 2000
    assert rows["Score"]["rows"] == rows["Encode"]["rows"] == 1900
    assert rows["Collect"]["rows"] == answer.n_outliers
    assert rows["Count"]["rows"] > 0
    assert rows["Rank"]["rows"] == len(answer)
    assert all(rows[op]["ms"] is not None and rows[op]["est_ms"] is not None for op in OPS if op != "Collect")
    assert "est. rows" in answer.explain()
    assert "note: counted by " in answer.explain()


def walk(node: dict[str, Any]) -> Any:
    yield node
    for child in node["children"]:
        yield from walk(child)


def test_steps_add_up() -> None:
    actuals = plan.Actuals()
    for _ in range(2):
        with actuals.step("Read", rows=5.0):
            pass
    actuals.add("Read", bytes=2.0)
    actuals.add("Read", bytes=3.0)
    actuals.note("once")
    actuals.note("once")
    assert actuals.figures["Read"]["rows"] == 5.0
    assert actuals.figures["Read"]["bytes"] == 5.0
    assert actuals.figures["Read"]["ms"] > 0
    assert actuals.notes == ["once"]


def test_large_files_are_read_in_tasks(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    table().to_parquet(tmp_path / "t.parquet")
    data = read(tmp_path / "t.parquet")
    assert not plan.in_tasks(data)
    monkeypatch.setattr(plan, "LARGE", 10)
    assert plan.in_tasks(data)
    assert not plan.in_tasks(read(table()))
