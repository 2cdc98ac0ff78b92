"""Comparing recipes: which test decides, the ratio, refusals, what is said; on fakes and on real `Run`s."""

from __future__ import annotations

import html
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.tta.fakes import FakeRun, reaching
from workbench.engine.errors import WorkbenchError
from workbench.tta.comparison import Comparison, compare
from workbench.tta.problems import TTAWarning
from workbench.tta.statistics import detectable_ratio, pooled_cv, ratio_of_means, ratio_of_medians

MISS = math.nan
FAST, SLOW = [8.1, 9.0, 7.7, 8.8, 8.4], [9.43, 9.61, 9.7, 10.2, 9.9]
SURE, RARE = [10.0, 11, 11, 12, 12], [13.0, 14, MISS, MISS, MISS]


def test_c31_without_misses_welch_decides_and_mann_whitney_stands_beside() -> None:
    found = compare(reaching(SLOW), reaching(FAST, name="b"))
    assert found.tests.dtypes.astype(str).to_dict() == {
        "a": "str", "b": "str", "test": "str", "statistic": "float64", "p_value": "float64", "p_holm": "float64",
        "primary": "bool",
    }  # fmt: skip
    assert found.tests["test"].tolist() == ["welch", "mann_whitney"]
    assert found.tests["primary"].tolist() == [True, False]
    welch = stats.ttest_ind(SLOW, FAST, equal_var=False)
    exact = stats.mannwhitneyu(SLOW, FAST, method="exact")
    np.testing.assert_allclose(found.tests["p_value"], [welch.pvalue, exact.pvalue], rtol=1e-9)
    np.testing.assert_allclose(found.tests["statistic"], [welch.statistic, exact.statistic], rtol=1e-9)
    assert found.tests["p_holm"].equals(found.tests["p_value"].rename("p_holm"))
    assert found.ratio == pytest.approx(np.mean(SLOW) / np.mean(FAST), rel=1e-12)
    assert (found.ratio_low, found.ratio_high) == ratio_of_means(SLOW, FAST)[1]
    assert found.verdict.startswith(f"b is faster than a: ratio {found.ratio:.2f} (")
    assert "Welch p" in found.verdict


def test_c31_fixed_case_with_misses_the_log_rank_test_decides() -> None:
    found = compare(reaching(SURE), reaching(RARE, name="b", end=15.0))
    assert found.tests["test"].tolist() == ["logrank", "mann_whitney"]
    assert "welch" not in set(found.tests["test"])
    assert round(found.tests["p_value"].iloc[0], 3) == 0.003
    ranked = stats.mannwhitneyu(SURE, [13, 14, math.inf, math.inf, math.inf], method="asymptotic")
    assert found.tests["p_value"].iloc[1] == pytest.approx(ranked.pvalue)
    assert math.isnan(found.ratio) and math.isnan(found.ratio_low)
    assert found.verdict == "a is faster than b: log-rank p 0.003, 5 of 5 against 2 of 5 reached."
    assert compare(reaching(RARE, end=15.0), reaching(SURE, name="b")).verdict == (
        "b is faster than a: log-rank p 0.003, 2 of 5 against 5 of 5 reached."
    )


def test_c31_with_misses_the_ratio_is_of_kaplan_meier_medians() -> None:
    a, b = [10.0, 11, 12, 13, MISS], [5.0, 6, 7, 8, 9]
    found = compare(reaching(a), reaching(b, name="b"))
    times = [15.0 if t != t else t for t in a]
    ratio, ends = ratio_of_medians(times, [t == t for t in a], b, [True] * 5)
    assert (found.ratio, found.ratio_low, found.ratio_high) == (ratio, *ends)
    assert ratio == 12 / 7
    assert "4 of 5 against 5 of 5 reached" in found.verdict


def test_c31_holm_is_over_all_pairs() -> None:
    found = compare(reaching(SLOW), reaching(FAST, name="b"), reaching([8.2, 8.9, 8.0, 8.6, 8.5], name="c"))
    assert found.tests[["a", "b"]].drop_duplicates().to_numpy().tolist() == [["a", "b"], ["a", "c"], ["b", "c"]]
    for primary in (True, False):
        own = found.tests[found.tests["primary"] == primary]
        p = own["p_value"].to_numpy()
        order = np.argsort(p)
        expected = np.minimum(1, np.maximum.accumulate(p[order] * [3, 2, 1]))
        np.testing.assert_allclose(own["p_holm"].to_numpy()[order], expected, rtol=1e-12)
    assert found.ratios[["a", "b"]].to_numpy().tolist() == [["a", "b"], ["a", "c"], ["b", "c"]]
    lines = found.verdict.splitlines()
    assert len(lines) == 3
    assert "(Holm)" in lines[0]
    assert lines[2].startswith("No difference shown between b and c")


def test_c32_the_difference_that_can_be_found_is_told() -> None:
    found = compare(reaching(SLOW), reaching([9.5, 9.7, 9.6, 10.1, 9.8], name="b"))
    expected = detectable_ratio(5, 5, pooled_cv(SLOW, [9.5, 9.7, 9.6, 10.1, 9.8]))
    assert found.ratios["detectable"].iloc[0] == expected
    assert found.verdict.endswith(f"5 and 5 runs detect about {100 * (expected - 1):.0f} %.")


def test_c24_the_table_holds_the_summary_rows() -> None:
    found = compare(reaching(SLOW), reaching(RARE, name="b"))
    assert found.table["recipe"].tolist() == ["a", "b"]
    assert found.table["n"].tolist() == [5, 5]
    assert found.table["reached"].tolist() == [5, 2]
    assert found.to_pandas() is found.table


def test_c31_at_confirm_and_unit() -> None:
    a, b = reaching(SLOW), reaching(FAST, name="b")
    low = compare(a, b, at=93)
    assert low.table["mean"].iloc[0] == pytest.approx(np.mean(SLOW) / 2)
    assert low.table["threshold"].tolist() == [93.0, 93.0]
    assert compare(a, b, confirm=2).table["mean"].iloc[0] == pytest.approx(np.mean(SLOW) + 1)
    steps = compare(a, b, unit="steps")
    assert steps.ratio == 1.0
    assert steps.verdict == "Cannot tell a from b: the times have no spread to test by; ratio 1.00."
    cpu = compare(a, b, unit="cpu_seconds")
    assert cpu.ratio == pytest.approx(np.mean(SLOW) / np.mean(FAST))


def test_c31_fewer_steps() -> None:
    def stepping(steps: list[int], name: str) -> list[FakeRun]:
        return [FakeRun([(s, 1.0, float(s), 99.0)], name=name, seed=i) for i, s in enumerate(steps)]

    found = compare(stepping([10, 11, 12], "a"), stepping([20, 21, 22], "b"), unit="steps")
    assert found.verdict.startswith("a needs fewer steps than b: ratio 0.52 (")


# ---------------------------------------------------------------------------------------------------------- too few


def test_one_run_per_side_is_warned_of() -> None:
    with pytest.warns(TTAWarning) as caught:
        found = compare(reaching([5.0])[0], reaching([4.0], name="b"))
    assert str(caught[0].message) == (
        "1 run per side: no test is possible.\n5 seeds detect about 20 % at CV 10 %; use wb.tta.repeat."
    )
    assert caught[0].filename == __file__
    assert found.tests["p_value"].isna().all()
    assert found.ratio == 1.25
    assert found.verdict == "Cannot tell a from b: a test needs 2 runs per side; ratio 1.25."


def test_one_run_on_one_side_is_named() -> None:
    with pytest.warns(TTAWarning, match="1 run of b: no test is possible"):
        compare(reaching(SLOW), reaching([4.0], name="b"))
    runs = reaching([4.0, 5.0], name="b")
    for run in runs:
        run.state = "lost"
    with pytest.warns(TTAWarning, match="0 runs of b: no test is possible"):
        found = compare(reaching(SLOW), runs)
    assert "2 runs still running, interrupted or lost: not counted." in found.notes


def test_c26_nobody_reached() -> None:
    found = compare(reaching([MISS, MISS]), reaching([MISS, MISS], name="b"))
    assert found.verdict == "Cannot tell a from b: no run reached; 0 of 2 against 0 of 2 reached."


def test_notes_of_few_contended_and_warming_runs() -> None:
    a, b = reaching([10.3, 7.8, 7.8, 7.9]), reaching(FAST, name="b")
    a[0].first_in_process = a[0].contended = True
    found = compare(a, b)
    assert found.notes == [
        "Under 10 runs intervals are wide.",
        'Other work ran beside: wall times are noisy. Judge by unit="steps" or unit="cpu_seconds".',
        "The first run of a in its process was slow: a warm-up, counted all the same.",
    ]
    many = [float(t) for t in np.linspace(8, 9, 10)]
    assert compare(reaching(many), reaching(many, name="b")).notes == []


# ---------------------------------------------------------------------------------------------------------- refusals


def test_c42_runs_judged_on_different_sets_are_refused() -> None:
    a, b = reaching(SLOW, eval_hash="3f19ab00"), reaching(FAST, name="b", eval_hash="9c02cd11")
    with pytest.raises(WorkbenchError) as error:
        compare(a, b)
    assert str(error.value) == (
        "Runs a and b were judged on different sets (3f19…, 9c02…).\nPass allow_different=True to compare anyway."
    )
    found = compare(a, b, allow_different=True)
    assert "Runs a and b were judged on different sets (3f19…, 9c02…)." in found.notes
    assert "note: Runs a and b were judged on different sets" in repr(found)


def test_c42_one_recipe_of_several_sets_is_refused_and_unknown_sets_are_not() -> None:
    a, b = reaching(SLOW, eval_hash="3f19ab00"), reaching(FAST, name="b")
    assert compare(a, b).ratio > 1
    a[2].eval_hash = "77aa"
    with pytest.raises(WorkbenchError, match="Runs of a were judged on different sets"):
        compare(a, b)


def test_c42_different_counts_are_refused() -> None:
    a, b = reaching(SLOW, eval_count=10_000), reaching(FAST, name="b", eval_count=9_984)
    with pytest.raises(WorkbenchError) as error:
        compare(a, b)
    assert str(error.value) == (
        "Runs a and b were judged on different numbers of samples (10,000, 9,984).\n"
        "Pass allow_different=True to compare anyway."
    )
    assert compare(a, b, allow_different=True).ratio > 1


def test_different_clocks_are_refused() -> None:
    a, b = reaching(SLOW), reaching(FAST, name="b", clock="wall", clocks=("wall",))
    with pytest.raises(WorkbenchError) as error:
        compare(a, b)
    assert str(error.value) == (
        "Runs a and b are timed on different clocks (dawnbench, wall).\n"
        'Pass clock="wall", or allow_different=True to compare anyway.'
    )
    assert compare(a, b, clock="wall").notes == ["Under 10 runs intervals are wide."]
    assert compare(a, b, unit="steps").ratio == 1.0
    assert "different clocks" in compare(a, b, allow_different=True).notes[0]
    with pytest.raises(WorkbenchError, match="different clocks"):
        compare(a, reaching(FAST, name="b", clock="mlperf", clocks=("mlperf",)))


def test_different_targets_metrics_and_goals_are_refused() -> None:
    a = reaching(SLOW)
    with pytest.raises(WorkbenchError) as error:
        compare(a, reaching(FAST, name="b", threshold=97.0))
    assert str(error.value) == "Runs a and b have different targets (98, 97).\nPass at=, one threshold for all."
    assert compare(a, reaching(FAST, name="b", threshold=97.0), at=97).ratio > 1
    with pytest.raises(WorkbenchError, match=r"Runs a and b have different metrics \(top1, top5\)"):
        compare(a, reaching(FAST, name="b", metric="top5"))
    with pytest.raises(WorkbenchError, match=r"Runs a and b have different goals \(max, min\)"):
        compare(a, reaching(FAST, name="b", goal="min"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compare(reaching(SLOW), []), "Argument 2 holds no runs.\nwb.tta.runs() lists all that there are."),
        (lambda: compare(reaching(SLOW), "b"), "Pass runs to compare, not str."),
        (lambda: compare(reaching(SLOW), 3), "Pass runs to compare, not int."),
        (lambda: compare(reaching(SLOW), [1.0, 2.0]), "Pass runs to compare, not list."),
        (lambda: compare(reaching(SLOW), reaching(FAST), at="94"), "at is '94'; it is a threshold.\nExample: at=94"),
        (lambda: compare(reaching(SLOW), reaching(FAST), at=math.nan), "at is nan; it is a threshold."),
        (lambda: compare(reaching(SLOW), reaching(FAST), unit="hours"), "No unit hours."),
    ],
)
def test_mistakes(call, message: str) -> None:
    with pytest.raises(WorkbenchError) as error:
        call()
    assert str(error.value).startswith(message)


def test_names_that_repeat_are_numbered() -> None:
    found = compare(reaching(SLOW), reaching(FAST), [*reaching(FAST, name="c"), *reaching(SLOW, name="d")])
    assert found.table["recipe"].tolist() == ["a", "a (2)", "c and 1 more"]


# ---------------------------------------------------------------------------------------------------------- properties


def test_scaling_all_times_keeps_tests_and_ratio() -> None:
    here = compare(reaching(SLOW), reaching(FAST, name="b"))
    there = compare(reaching([60 * t for t in SLOW]), reaching([60 * t for t in FAST], name="b"))
    np.testing.assert_allclose(here.tests["p_value"], there.tests["p_value"], rtol=1e-9)
    np.testing.assert_allclose(here.ratios.iloc[0, 2:].astype(float), there.ratios.iloc[0, 2:].astype(float), rtol=1e-9)


def test_the_same_runs_give_the_same_answer() -> None:
    first, second = (compare(reaching(SLOW), reaching(FAST, name="b")) for _ in range(2))
    for name in ("tests", "table", "ratios"):
        pd.testing.assert_frame_equal(getattr(first, name), getattr(second, name))
    assert repr(first) == repr(second)


# ---------------------------------------------------------------------------------------------------------- shown


def test_c58_shown_as_text_and_html() -> None:
    found = compare(reaching(SURE, name="<b>"), reaching(RARE, name="b"))
    bundle = found._repr_mimebundle_()
    assert "<b> is faster than b: log-rank p 0.003" in bundle["text/plain"]
    assert "mann_whitney" in bundle["text/plain"]
    assert "<b>" not in bundle["text/html"]
    assert html.escape("<b> is faster than b") in bundle["text/html"]
    kinds = [block["kind"] for block in found.view_data()["blocks"]]
    assert kinds == ["summary", "note", "curve", "table", "table", "table"]
    first, second = next(b for b in found.view_data()["blocks"] if b["kind"] == "curve")["state"]["series"]
    assert (first["x"][0], first["y"][0], first["x"][-1], first["y"][-1]) == (0.0, 0.0, 12.0, 1.0)
    assert (second["x"][-1], round(second["y"][-1], 12)) == (15.0, 0.4)


def test_a_repr_never_raises() -> None:
    assert repr(Comparison.__new__(Comparison)) == "<Comparison>"


def test_c31_real_runs() -> None:
    from workbench.tta.record import Record, evals_table
    from workbench.tta.run import Run
    from workbench.tta.runs import Runs

    def runs(name: str, times: list[float]) -> Runs:
        made = []
        for seed, time in enumerate(times):
            rows = [
                {"eval": 0, "step": 0, "epoch": 1.0, "metric": "top1", "value": 90.0, "wall_s": 1.0, "cpu_s": 1.0},
                {"eval": 1, "step": 1, "epoch": 2.0, "metric": "top1", "value": 90.0 if time != time else 98.0,
                 "wall_s": 15.0 if time != time else time, "cpu_s": 2.0 * time},
            ]  # fmt: skip
            evals = evals_table(rows)
            made.append(Run(Record(id=f"{name}{seed}", name=name, seed=seed, metric="top1", target=98.0, evals=evals)))
        return Runs(made)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = compare(runs("a", SURE), runs("b", RARE))
        quick = compare(runs("a", SLOW), runs("b", FAST), unit="cpu_seconds")
    assert round(found.tests["p_value"].iloc[0], 3) == 0.003
    assert found.table.equals(pd.concat([runs("a", SURE).summary(), runs("b", RARE).summary()], ignore_index=True))
    assert quick.ratio == pytest.approx(np.mean(SLOW) / np.mean(FAST))
