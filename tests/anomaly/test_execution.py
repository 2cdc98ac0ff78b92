"""A question at work in this process: the same answer as the reference, partial answers, kept codes, cubes."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings

import workbench as wb
from tests.anomaly.tables import Question, Table, questions, tables
from workbench.anomaly import encode, execution, kept, language
from workbench.anomaly.frames import read
from workbench.engine.run import Run

COUNTS = ("risk_ratio", "global_ratio", "prevalence_ratio", "prevalence_difference")


def lines(answer: Any) -> list[tuple[Any, ...]]:
    """Return sets and figures of an answer, to be compared with the reference."""
    found = answer.to_pandas().iloc[:, [-7, -6, -3, -2]]  # whatever these are called beside the `by` columns
    return [(each, *row) for each, row in zip(answer.sets, found.itertuples(index=False), strict=True)]


def check_against_brute(table: Table, question: Question) -> None:
    frame = table.to_pandas()
    options: dict[str, Any] = question.options() | {"by": list(table.columns)}
    if question.compare == "prevalence_difference" and question.min_ratio == 3.0:
        return  # which means 0.1
    options["max_combo"] = min(options["max_combo"], len(table.columns))
    answer = wb.outliers(frame, labels=np.array(table.outliers) > 0, **options)
    expected = question.brute(table)
    found = lines(answer)
    assert [each for each, *_ in found] == [line.values for line in expected]
    for (_, support, ratio, o, t), line in zip(found, expected, strict=True):
        assert support == pytest.approx(line.support, rel=1e-12)
        assert ratio == pytest.approx(line.ratio, rel=1e-9)
        assert (o, t) == pytest.approx((line.o, line.t), rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(table=tables(weights=None), question=questions(compare=COUNTS))
def test_a_whole_question_equals_the_reference(table: Table, question: Question) -> None:
    assume(set(table.outliers) <= {0, 1})
    check_against_brute(table, question)


def test_c46_the_second_question_encodes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"x": rng.normal(size=3000), "a": rng.choice(list("pqr"), 3000), "b": rng.integers(0, 9, 3000)}
    )
    kept.clear()
    made: list[str] = []
    original = encode.encode_array

    def counted(name: str, *args: Any, **options: Any) -> Any:
        made.append(name)
        return original(name, *args, **options)

    monkeypatch.setattr(kept, "encode_array", counted)
    first = wb.outliers(frame, "x", ["a", "b"])
    assert made == ["a", "b"]
    assert hits(first) == 0.0
    second = wb.outliers(frame.copy(), "x", ["b", "a"], tail="high", top=0.02)
    assert made == ["a", "b"]
    assert hits(second) == 1.0
    frame.loc[0, "a"] = "s"
    assert hits(wb.outliers(frame, "x", ["a", "b"])) == 0.5
    assert made == ["a", "b", "a"]


def hits(answer: Any) -> float:
    node = answer.explain("dict")["root"]
    while node["op"] != "Encode":
        (node,) = node["children"]
    return float(node["cache_hits"])


def test_orders_are_published_as_they_are_finished() -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({name: rng.integers(0, 4, 4000) for name in "abcd"})
    data = read(frame)
    seen: list[tuple[float, str]] = []
    work = execution.Work(data, language.request(data, by=list("abcd"), labels=rng.random(4000) < 0.05, min_ratio=1.3))
    started = threading.Event()

    def held(run: Any) -> Any:
        assert started.wait(10)
        return work(run)

    run = Run.start(held, kind="outliers", title="test")
    run.add_observer(lambda run: seen.append((run.progress.done, run.progress.stage)))
    started.set()
    result = run.result(timeout=30)
    assert {stage for _, stage in seen} >= {"score", "encode", "1-column", "2-column"}
    assert run.state == "finished"
    assert run.partial() is result
    assert not result.partial


def test_explain_marked_takes_weights() -> None:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"a": rng.integers(0, 3, 300), "b": rng.integers(0, 4, 300)})
    data = read(frame)
    flags, weights = rng.random(300) < 0.2, rng.integers(1, 5, 300).astype(float)
    columns = [encode.encode(data, name) for name in "ab"]
    asked = language.request(data, by=["a", "b"], labels=flags, min_ratio=1.1)
    answer = execution.explain_marked(
        columns, flags, data=data, request=asked, weights=weights, weighted=True, notes=["told first"]
    )
    assert answer.notes[0] == "told first"
    assert answer.n_rows == weights.sum()
    assert answer.n_outliers == weights[flags].sum()
    repeated = frame.loc[np.repeat(np.arange(300), weights.astype(int))]
    same = wb.outliers(repeated, by=["a", "b"], labels=np.repeat(flags, weights.astype(int)), min_ratio=1.1)
    pd.testing.assert_frame_equal(
        answer.to_pandas(), same.to_pandas().astype({"outlier_count": "float64", "total_count": "float64"})
    )


def test_c32_cubes_of_single_rows_equal_rows() -> None:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"x": rng.normal(size=400), "a": rng.integers(0, 4, 400), "one": 1})
    bad = (frame["x"] > 1.2).to_numpy()
    rows = wb.outliers(frame, by=["a"], labels=bad, min_ratio=0.5)
    cube = wb.outliers(frame, wb.anomaly.Cube("one"), ["a"], labels=bad, min_ratio=0.5)
    pd.testing.assert_frame_equal(
        cube.to_pandas(), rows.to_pandas().astype({"outlier_count": "float64", "total_count": "float64"})
    )
    shift = {"compare": "mean_shift", "min_ratio": -1e9, "labels": bad, "by": ["a"]}
    pd.testing.assert_frame_equal(
        wb.outliers(frame, wb.anomaly.Cube("one", "x"), **shift).to_pandas().iloc[:, :3],
        wb.outliers(frame, "x", **shift).to_pandas().iloc[:, :3],
    )


def test_a_cube_with_means_names_its_cutoffs() -> None:
    frame = pd.DataFrame(
        {"n": [100.0, 100.0, 100.0, None], "m": [10.0, 10.0, 30.0, 5.0], "s": [1.0, 1.0, 1.0, 1.0], "a": list("uvwx")}
    )
    answer = wb.outliers(frame, wb.anomaly.Cube("n", "m", "s"), ["a"], tail="high", top=0.5)
    assert answer.n_rows == 300.0
    assert answer.n_left_out == 1
    assert answer.notes[0] == "1 row has no n or m or s and was left out (25.0 %)."
    assert answer.cutoff.high == 10.0
    assert answer.n_outliers == pytest.approx(100 + 2 * 50)


def test_work_cancelled_before_it_starts_gives_nothing() -> None:
    data = read(pd.DataFrame({"x": [1.0, 2.0, 3.0], "a": list("uvw")}))
    run: Run[Any] = Run(kind="outliers", title="test")
    run.cancelled.set()
    from workbench.engine.run import RunCancelled

    with pytest.raises(RunCancelled):
        execution.Work(data, language.request(data, "x", ["a"]))(run)
