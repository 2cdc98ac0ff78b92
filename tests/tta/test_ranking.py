"""Rankings: tau against scipy and a plain loop over pairs; the table of thresholds against plain loops over runs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tta.fakes import FakeEntries, FakeRun, curves, reaching
from workbench.engine.errors import WorkbenchError
from workbench.tta.ranking import concordance, labels, sensitivity

time = st.one_of(st.integers(0, 6).map(float), st.just(math.nan))
times = st.lists(st.tuples(time, time), max_size=14)


@settings(max_examples=100, deadline=None)
@given(times)
def test_c03_concordance_counts_pairs(pairs: list[tuple[float, float]]) -> None:
    found = concordance([x for x, _ in pairs], [y for _, y in pairs])
    both = [(x, y) for x, y in pairs if x == x and y == y]
    agree = sum((a[0] - b[0]) * (a[1] - b[1]) > 0 for a, b in itertools.combinations(both, 2))
    disagree = sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for a, b in itertools.combinations(both, 2))
    assert found[:3] == (len(both), agree, disagree)
    tau = (agree - disagree) / (agree + disagree) if agree + disagree else math.nan
    assert found.tau == pytest.approx(tau, nan_ok=True)


def test_c03_tau_without_ties_is_kendalls() -> None:
    from scipy.stats import kendalltau

    rng = np.random.default_rng(4)
    x, y = rng.normal(size=60), rng.normal(size=60)
    assert concordance(x, y).tau == pytest.approx(kendalltau(x, y).statistic, abs=1e-12)


def test_c03_pairs_are_counted_block_by_block(monkeypatch) -> None:
    from workbench.tta import ranking

    rng = np.random.default_rng(5)
    x, y = rng.integers(0, 9, (2, 101)).astype(float)
    expected = concordance(x, y)
    monkeypatch.setattr(ranking, "_BLOCK", 300)
    assert concordance(x, y) == expected


def test_c03_tiny_differences_are_differences() -> None:
    assert concordance([0.0, 1e-300], [0.0, 1e-300]).concordant == 1


def plain(runs: list[FakeRun], level: float, reference: float) -> dict[str, object]:
    first = {run.name: run.time_to(level) for run in runs}
    base = {run.name: run.time_to(reference) for run in runs}
    hits = {name: t for name, t in first.items() if t == t}
    both = [name for name in hits if base[name] == base[name]]
    agree = disagree = 0
    for a, b in itertools.combinations(both, 2):
        sign = (first[a] - first[b]) * (base[a] - base[b])
        agree, disagree = agree + (sign > 0), disagree + (sign < 0)
    ratios = sorted(first[name] / base[name] for name in both if base[name])
    middle = len(ratios) // 2
    median = (ratios[middle] + ratios[~middle]) / 2 if ratios else math.nan
    winner = sorted(hits, key=lambda name: (hits[name], name))[0] if hits else ""
    return {
        "threshold": level, "n": len(runs), "reached": len(hits), "reach_share": len(hits) / len(runs),
        "confirmed": sum(run.time_to(level, 2) == run.time_to(level, 2) for run in runs), "winner": winner,
        "winner_seconds": hits[winner] if winner else math.nan, "common": len(both), "concordant": agree,
        "discordant": disagree, "tau": (agree - disagree) / (agree + disagree) if agree + disagree else math.nan,
        "median_ratio": median,
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_c03_sensitivity_equals_plain_loops(seed: int) -> None:
    runs, levels = curves(seed), [90.0, 96.5, 94.0, 92, 99, 90.0]
    found = sensitivity(runs, levels)
    assert found.dtypes.astype(str).to_dict() == {
        "threshold": "float64", "n": "int64", "reached": "int64", "reach_share": "float64", "confirmed": "int64",
        "winner": "str", "winner_seconds": "float64", "common": "int64", "concordant": "int64", "discordant": "int64",
        "tau": "float64", "median_ratio": "float64",
    }  # fmt: skip
    assert list(found["threshold"]) == levels
    for row, level in zip(found.to_dict("records"), levels, strict=True):
        expected = plain(runs, level, 94.0)
        assert list(row) == list(expected)
        for key, value in expected.items():
            assert row[key] == (pytest.approx(value, nan_ok=True) if isinstance(value, float) else value), key


def test_c03_the_reference_agrees_with_itself() -> None:
    found = sensitivity(curves(1), [94]).iloc[0]
    assert found["discordant"] == 0
    assert found["tau"] == 1.0
    assert found["median_ratio"] == 1.0


def test_c03_scaling_all_times_keeps_tau_and_ratios() -> None:
    runs = curves(2)
    for run in runs:
        run.rows = [(s, e, 7.5 * t, v) for s, e, t, v in run.rows]
    here, there = sensitivity(curves(2), [90, 92]), sensitivity(runs, [90, 92])
    columns = ["tau", "concordant", "median_ratio", "winner", "reached"]
    assert here[columns].equals(there[columns])


def test_c03_ties_of_the_winner_go_by_name() -> None:
    runs = [*reaching([5.0], name="b"), *reaching([5.0], name="a"), *reaching([6.0], name="0")]
    row = sensitivity(runs, 98).iloc[0]
    assert (row["winner"], row["winner_seconds"]) == ("a/0", 5.0)


def test_c03_a_time_of_zero_has_no_ratio_with_itself() -> None:
    runs = [FakeRun([(0, 1.0, 0.0, 99.0)], name="zero"), *reaching([4.0])]
    assert sensitivity(runs, 98)["median_ratio"].iloc[0] == 1.0
    assert math.isnan(sensitivity(runs[:1], 98)["median_ratio"].iloc[0])


def test_c03_nobody_reaches_and_nobody_is_there() -> None:
    row = sensitivity(curves(1), [500]).iloc[0]
    assert (row["reached"], row["winner"], row["common"]) == (0, "", 0)
    assert math.isnan(row["tau"]) and math.isnan(row["median_ratio"]) and math.isnan(row["winner_seconds"])
    empty = sensitivity([], [94]).iloc[0]
    assert empty["n"] == 0 and math.isnan(empty["reach_share"])


def test_c03_running_interrupted_and_lost_runs_are_not_counted() -> None:
    runs = reaching([5.0, 6.0, 7.0, 8.0])
    for run, state in zip(runs, ("running", "interrupted", "lost", "failed"), strict=True):
        run.state = state
    row = sensitivity(runs, 98).iloc[0]
    assert (row["n"], row["winner"]) == (1, "a/3")


def test_c03_units_are_named_by_seed_or_by_id_where_seeds_repeat() -> None:
    runs = [*reaching([5.0, 6.0]), *reaching([7.0]), FakeRun([], name="entry", seed=None)]
    assert labels(runs) == [runs[0].id, "a/1", runs[2].id, "entry"]


def test_c03_entries_and_their_tasks() -> None:
    entries = FakeEntries(CIFAR10=curves(1), ImageNet=curves(2))
    assert sensitivity(entries, [94], task="CIFAR10").equals(sensitivity(curves(1), [94]))
    assert sensitivity(FakeEntries(CIFAR10=curves(1)), [94]).equals(sensitivity(curves(1), [94]))
    assert sensitivity(FakeEntries(), [94], reference=94)["n"].tolist() == [0]
    with pytest.raises(WorkbenchError) as error:
        sensitivity(entries, [94])
    assert str(error.value) == 'The entries hold several tasks: CIFAR10, ImageNet.\nPass task="CIFAR10".'
    with pytest.raises(WorkbenchError) as error:
        sensitivity(entries, [94], task="CIFAR")
    assert str(error.value) == "No task CIFAR.\nDid you mean CIFAR10?"


def test_c03_runs_of_several_targets_need_a_reference() -> None:
    runs = [*reaching([5.0]), *reaching([6.0], threshold=97.0, name="b")]
    with pytest.raises(WorkbenchError) as error:
        sensitivity(runs, [94])
    assert str(error.value) == "The runs have several targets: 97, 98.\nPass reference=98."
    assert sensitivity(runs, [94], reference=97)["common"].tolist() == [2]


@pytest.mark.parametrize("levels", ["94", [math.nan], [94, None], [], [math.inf], None, True])
def test_c03_thresholds_are_numbers(levels) -> None:
    with pytest.raises(WorkbenchError, match="thresholds must be finite numbers; got"):
        sensitivity(curves(1), levels)
