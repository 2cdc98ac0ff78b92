"""Performance profiles: the score against a fine numerical integral, medians of minima against plain loops."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.engine.errors import WorkbenchError
from workbench.tta.performance import median_of_minimum, profile

TIMES = {
    "adam": {"cifar": 100.0, "wmt": 300.0, "ogbg": math.inf},
    "sgd": {"cifar": 80.0, "wmt": 900.0, "ogbg": 50.0},
    "shampoo": {"cifar": 330.0, "wmt": None, "ogbg": 60.0},
}
tables = st.dictionaries(
    st.sampled_from("abcd"),
    st.dictionaries(st.sampled_from("xyz"), st.one_of(st.floats(0.5, 50), st.just(math.inf)), min_size=1),
    min_size=1,
)


def test_c29_fixed_case() -> None:
    found = profile(TIMES)
    inf = math.inf
    expected = pd.DataFrame(
        {"cifar": [1.25, 1.0, inf], "wmt": [1.0, 3.0, inf], "ogbg": [inf, 1.0, 1.2]}, index=["adam", "sgd", "shampoo"]
    )
    np.testing.assert_array_equal(found.ratios, expected)
    assert list(found.ratios.index) == list(expected.index)
    assert found.ratios.index.name == "submission"
    scores = dict(found.scores.itertuples(index=False))
    assert list(scores) == ["sgd", "adam", "shampoo"]
    assert scores["sgd"] == pytest.approx((1 + 1 / 3 + 1) / 3)
    assert scores["adam"] == pytest.approx((2.75 / 3 + 1 + 0) / 3)
    assert scores["shampoo"] == pytest.approx((2.8 / 3) / 3)
    assert found.scores.dtypes.astype(str).tolist() == ["str", "float64"]
    assert found.curves.dtypes.astype(str).tolist() == ["str", "float64", "float64"]


@settings(max_examples=25, deadline=None)
@given(tables, st.sampled_from([1.5, 4.0, 9.0]))
def test_c29_score_is_the_integral_of_the_curve(times: dict, max_tau: float) -> None:
    found = profile(times, max_tau=max_tau)
    workloads = {w for own in times.values() for w in own}
    grid = np.linspace(1, max_tau, 20_001)
    middle = (grid[1:] + grid[:-1]) / 2
    best = {w: min(own.get(w, math.inf) for own in times.values()) for w in workloads}
    for name, score in found.scores.itertuples(index=False):
        ratios = [times[name].get(w, math.inf) / best[w] if best[w] < math.inf else math.inf for w in workloads]
        rho = np.mean([middle >= r for r in ratios], axis=0)
        assert score == pytest.approx(rho.mean(), abs=2e-4)
        own = found.curves[found.curves["submission"] == name]
        for tau, share in zip(own["tau"], own["rho"], strict=True):
            assert share == pytest.approx(np.mean([r <= tau * (1 + 1e-12) for r in ratios]))


@settings(max_examples=25, deadline=None)
@given(tables, st.floats(1, 5))
def test_c29_a_score_never_rises_as_its_time_grows(times: dict, factor: float) -> None:
    name = sorted(times)[0]
    workload = sorted(times[name])[0]
    slower = {k: dict(v) for k, v in times.items()}
    slower[name][workload] *= factor
    before, after = (dict(profile(t).scores.itertuples(index=False))[name] for t in (times, slower))
    assert after <= before + 1e-12


@settings(max_examples=30, deadline=None)
@given(tables, st.floats(0.1, 10))
def test_c29_scaling_a_workload_keeps_all(times: dict, factor: float) -> None:
    scaled = {k: {w: s * (factor if w == "x" else 1) for w, s in v.items()} for k, v in times.items()}
    here, there = profile(times, max_tau=7.3).scores, profile(scaled, max_tau=7.3).scores
    np.testing.assert_allclose(
        here.sort_values("submission")["score"], there.sort_values("submission")["score"], atol=1e-9
    )


def test_c29_a_workload_nobody_reaches_stays_in_the_denominator() -> None:
    found = profile({"a": {"x": 1.0, "y": math.nan}, "b": {"x": 2.0}})
    assert dict(found.scores.itertuples(index=False)) == {"a": 0.5, "b": pytest.approx((2 / 3) / 2)}


def test_c29_a_ratio_of_max_tau_is_a_hit_worth_nothing() -> None:
    found = profile({"a": {"x": 1.0}, "b": {"x": 4.0}, "c": {"x": 4.0001}})
    assert found.ratios["x"].tolist() == [1.0, 4.0, math.inf]
    last = found.curves[found.curves["tau"] == 4.0].set_index("submission")["rho"]
    assert last.to_dict() == {"a": 1.0, "b": 1.0, "c": 0.0}


def test_c29_times_of_zero() -> None:
    assert profile({"a": {"x": 0.0}, "b": {"x": 1.0}, "c": {"x": 0.0}}).ratios["x"].tolist() == [1.0, math.inf, 1.0]


def test_c28_median_over_studies_of_the_minimum_over_trials() -> None:
    rng = np.random.default_rng(6)
    rows = [
        (s, w, study, trial, float(rng.integers(1, 20)) if rng.random() > 0.3 else math.inf)
        for s in "ab" for w in "xyz" for study in range(5) for trial in range(3)
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["submission", "workload", "study", "trial", "seconds"])

    def plain(s: str, w: str) -> float:
        studies = [[t for a, b, c, _, t in rows if (a, b, c) == (s, w, study)] for study in range(5)]
        return statistics.median(min(trials) for trials in studies)

    found = profile(frame, max_tau=1e9)
    for w in "xyz":
        best = min(plain(s, w) for s in "ab")
        for s in "ab":
            expected = plain(s, w) / best if plain(s, w) < math.inf else math.inf
            assert found.ratios.loc[s, w] == expected


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.one_of(st.integers(1, 9).map(float), st.just(math.inf))), min_size=1))
def test_c28_median_of_minimum_by_loop(trials: list[tuple[int, float]]) -> None:
    least = [min(t for s, t in trials if s == study) for study in {s for s, _ in trials}]
    assert median_of_minimum([s for s, _ in trials], [t for _, t in trials]) == statistics.median(least)


def test_c28_columns_study_and_trial_may_be_left_out() -> None:
    frame = pd.DataFrame({"submission": ["a", "a", "b"], "workload": ["x"] * 3, "seconds": [3.0, 2.0, 4.0]})
    assert profile(frame).ratios["x"].tolist() == [1.0, 2.0]


def test_c29_shown() -> None:
    found = profile(TIMES)
    assert repr(found) == "<Profile: 3 submissions, 3 workloads; best sgd, score 0.778 (ratios up to 4)>"
    text = found._repr_mimebundle_()["text/plain"]
    assert "best sgd" in text
    assert "shampoo" in text
    blocks = {block["kind"]: block for block in found.view_data()["blocks"]}
    curve = blocks["curve"]["state"]["series"][0]
    assert curve["name"] == "sgd"
    assert len(curve["x"]) == len(curve["y"])
    assert (curve["x"][0], curve["x"][-1]) == (1.0, 4.0)
    assert found.to_pandas() is found.scores


def test_c29_nothing_to_compare() -> None:
    assert len(profile({})) == 0
    assert "0 submissions" in repr(profile({}))
    lone = profile({"a": {}})
    assert math.isnan(lone.scores["score"].iloc[0])
    assert "1 submission, 0 workloads" in repr(lone)
    assert profile({"a": {}, "b": {"x": 1.0}}).scores["submission"].tolist() == ["b", "a"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: profile(TIMES, max_tau=1), "max_tau is 1; it is a ratio above 1."),
        (lambda: profile([1]), "times is list; it is a dict of dicts or a DataFrame."),
        (lambda: profile({"a": 3.0}), "times['a'] is float, not {workload: seconds}."),
        (lambda: profile({"a": {"x": -1.0}}), "times has -1.0; times are seconds from 0.\nA miss is None, NaN or inf."),
        (lambda: profile({"a": {"x": "soon"}}), "times has 'soon'; times are seconds from 0."),
        (
            lambda: profile(pd.DataFrame({"submision": ["a"], "workload": ["x"], "seconds": [1.0]})),
            "times has no column submission.\nDid you mean 'submision'?",
        ),
    ],
)
def test_c29_mistakes(call, message: str) -> None:
    with pytest.raises(WorkbenchError) as error:
        call()
    assert str(error.value).startswith(message)
