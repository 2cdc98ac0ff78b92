"""Compare metrics, their intervals and p-values: each edge by itself, coverage by simulation, SciPy as a witness."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.anomaly import compare
from workbench.engine.errors import WorkbenchError

INF, NAN = math.inf, math.nan

#: metric, (o, t, O, N), value. The first of each metric is ordinary, the others are its edges in the order of tests.
EDGES = [
    ("risk_ratio", (10, 40, 100, 1000), (10 / 40) / (90 / 960)),
    ("risk_ratio", (0, 40, 100, 1000), 0.0),
    ("risk_ratio", (0, 0, 100, 1000), 0.0),
    ("risk_ratio", (100, 1000, 100, 1000), 0.0),  # every row is inside; that no outlier is outside comes later
    ("risk_ratio", (60, 1000, 60, 1000), 0.0),
    ("risk_ratio", (100, 400, 100, 1000), INF),
    ("risk_ratio", (1, 1, 1, 1), 0.0),
    ("risk_ratio", (0, 40, 0, 1000), 0.0),  # nothing is an outlier
    ("risk_ratio", (40, 40, 1000, 1000), 1.0),  # everything is
    ("global_ratio", (10, 40, 100, 1000), (10 / 40) / (100 / 1000)),
    ("global_ratio", (0, 40, 100, 1000), 0.0),
    ("global_ratio", (0, 0, 100, 1000), 0.0),
    ("global_ratio", (0, 40, 0, 1000), 0.0),
    ("global_ratio", (0, 0, 0, 0), 0.0),
    ("global_ratio", (100, 1000, 100, 1000), 1.0),
    ("global_ratio", (40, 40, 40, 1000), 25.0),
    ("prevalence_ratio", (10, 40, 100, 1000), (10 / 30) / (100 / 900)),
    ("prevalence_ratio", (0, 40, 100, 1000), 0.0),
    ("prevalence_ratio", (0, 0, 100, 1000), 0.0),
    ("prevalence_ratio", (10, 10, 100, 1000), (10 / 1) / (100 / 900)),
    ("prevalence_ratio", (40, 40, 1000, 1000), (40 / 1) / (1000 / 1)),
    ("prevalence_ratio", (0, 40, 0, 1000), 0.0),
    ("prevalence_ratio", (100, 1000, 100, 1000), 1.0),
    ("prevalence_difference", (10, 40, 100, 1000), 10 / 100 - 30 / 900),
    ("prevalence_difference", (0, 40, 0, 1000), 0.0),
    ("prevalence_difference", (40, 40, 1000, 1000), 0.0),
    ("prevalence_difference", (100, 100, 100, 1000), 1.0),
    ("prevalence_difference", (0, 900, 100, 1000), -1.0),
]

Z = 1.959964


@pytest.mark.parametrize(("name", "table", "expected"), EDGES)
def test_c13_c14_every_edge_has_its_value(name: str, table: tuple[int, ...], expected: float) -> None:
    function = getattr(compare, name)
    assert function(*table) == pytest.approx(expected, rel=1e-15)
    assert type(function(*table)) is float
    assert compare.value(name, *table) == function(*table)
    many = function(*(np.array([each, each], dtype=np.int64) for each in table))
    assert many.dtype == np.float64 and many.tolist() == [function(*table)] * 2


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ((30.0, 10.0), 3.0),
        ((-30.0, -10.0), 3.0),
        ((-30.0, 10.0), -3.0),
        ((0.0, 10.0), 0.0),
        ((5.0, 0.0), INF),
        ((0.0, 0.0), NAN),
        ((-5.0, 0.0), NAN),
        ((5.0, NAN), NAN),
        ((NAN, 5.0), NAN),
    ],
)
def test_c16_mean_shift_edges(means: tuple[float, float], expected: float) -> None:
    assert compare.mean_shift(*means) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("given_", "expected"), [((12.0, 10.0, 4.0), 0.5), ((8.0, 10.0, 4.0), 0.5), ((10.0, 10.0, 0.0), 0.0)]
)
def test_c16_mean_deviation_edges(given_: tuple[float, float, float], expected: float) -> None:
    assert compare.mean_deviation(*given_) == expected


def test_six_names_in_order_and_an_unknown_one_lists_them() -> None:
    assert compare.NAMES == (
        "risk_ratio", "global_ratio", "prevalence_ratio", "prevalence_difference", "mean_shift", "mean_deviation",
    )  # fmt: skip
    for call in (compare.value, compare.interval):
        with pytest.raises(WorkbenchError) as caught:
            call("nosuch_ratio", 1, 2, 3, 4)
        assert caught.value.lines() == ['No compare metric "nosuch_ratio".', f"Known: {', '.join(compare.NAMES)}"]
    with pytest.raises(ValueError, match="means"):
        compare.value("mean_shift", 1, 2, 3, 4)


def test_c14_a_least_ratio_left_alone_suits_a_difference() -> None:
    assert compare.default_min_ratio("prevalence_difference", 3.0) == 0.1
    assert compare.default_min_ratio("prevalence_difference", 0.3) == 0.3
    assert compare.default_min_ratio("risk_ratio", 3.0) == 3.0


# ------------------------------------------------------------------------------------------------------- intervals


def _log(ratio: float, v: float) -> tuple[float, float]:
    return ratio * math.exp(-Z * math.sqrt(v)), ratio * math.exp(Z * math.sqrt(v))


INTERVALS = [
    ("risk_ratio", (10, 40, 100, 1000), _log((10 / 40) / (90 / 960), 1 / 10 - 1 / 40 + 1 / 90 - 1 / 960)),
    ("risk_ratio", (0, 40, 100, 1000), (NAN, NAN)),
    ("risk_ratio", (100, 1000, 100, 1000), (NAN, NAN)),
    ("risk_ratio", (10, 10, 100, 1000), _log(1 / (90 / 990), 1 / 90 - 1 / 990)),  # no division by the inliers inside
    (
        "risk_ratio",
        (100, 400, 100, 1000),
        (_log((100.5 / 401) / (0.5 / 601), 1 / 100.5 - 1 / 401 + 1 / 0.5 - 1 / 601)[0], INF),
    ),
    (
        "global_ratio",
        (10, 40, 100, 1000),
        _log((10 / 40) / (100 / 1000), 1 / 10 - 1 / 40 - 1 / 100 - 1 / 1000 + 2 * 10 / (40 * 100)),
    ),
    ("global_ratio", (40, 40, 40, 1000), _log(25.0, 1 / 40 - 1 / 1000)),
    ("global_ratio", (7, 7, 7, 7), (1.0, 1.0)),
    ("global_ratio", (0, 40, 0, 1000), (NAN, NAN)),
    (
        "prevalence_ratio",
        (10, 40, 100, 1000),
        _log((10 / 30) / (100 / 900), 1 / 10 - 1 / 100 + 1 / 30 - 1 / 900),
    ),
    (
        "prevalence_ratio",
        (10, 10, 100, 1000),
        (_log((10.5 / 0.5) / (101 / 901), 1 / 10.5 - 1 / 101 + 1 / 0.5 - 1 / 901)[0], INF),
    ),
    ("prevalence_ratio", (0, 40, 100, 1000), (NAN, NAN)),
    ("prevalence_difference", (0, 40, 0, 1000), (NAN, NAN)),
    ("prevalence_difference", (40, 40, 1000, 1000), (NAN, NAN)),
    # Newcombe (1998), table II (a), method 10: 56/70 against 48/80
    ("prevalence_difference", (56, 104, 70, 150), (0.0524, 0.3339)),
    # table II (e): 10/10 against 0/20
    ("prevalence_difference", (10, 10, 10, 30), (0.6791, 1.0)),
    ("mean_shift", (10, 40, 100, 1000), (NAN, NAN)),
    ("mean_deviation", (10, 40, 100, 1000), (NAN, NAN)),
]


@pytest.mark.parametrize(("name", "table", "expected"), INTERVALS)
def test_c15_every_interval_by_hand(name: str, table: tuple[int, ...], expected: tuple[float, float]) -> None:
    published = {"rel": 0, "abs": 6e-5} if name == "prevalence_difference" else {"rel": 1e-12}
    assert compare.interval(name, *table) == pytest.approx(expected, nan_ok=True, **published)


def test_c15_the_low_end_of_an_infinite_ratio_is_never_above_a_finite_one() -> None:
    # One row alone: with 0.5 in each cell the odds are larger than those of the table.
    low, high = compare.interval("prevalence_ratio", 1, 1, 500, 501)
    assert low <= compare.prevalence_ratio(1, 1, 500, 501) and high == INF


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 60)] * 4), min_size=1, max_size=8), st.sampled_from(compare.COUNT_NAMES))
def test_c15_an_interval_holds_its_ratio_and_arrays_are_scalars_side_by_side(
    tables: list[tuple[int, ...]], name: str
) -> None:
    a, b, c, d = np.array(tables, dtype=np.int64).T
    counts = a, a + b, a + c, a + b + c + d
    values, (low, high) = compare.value(name, *counts), compare.interval(name, *counts)
    for i, table in enumerate(zip(*counts, strict=True)):
        assert compare.value(name, *table) == values[i]
        np.testing.assert_array_equal(compare.interval(name, *table), (low[i], high[i]))
    held = ~np.isnan(low)
    slack = 1e-12
    assert (low[held] <= values[held] + slack).all() and (values[held] <= high[held] + slack).all()
    assert not np.isnan(values).any()
    if name != "prevalence_difference":
        assert ((values == 0) == np.isnan(low)).all() and (np.isnan(low) == np.isnan(high)).all()


@pytest.mark.parametrize("name", compare.COUNT_NAMES)
def test_c14_c15_intervals_cover_the_true_value_95_times_in_100(name: str) -> None:
    rng = np.random.default_rng(20260101)
    tables, truths, sizes = [], [], []
    while len(tables) < 2000:
        n = int(rng.integers(300, 3000))
        shares = rng.dirichlet([1, 1, 1, 1])
        if (shares * n).min() < 5:
            continue
        a, b, c, d = shares
        truth = {
            "risk_ratio": (a / (a + b)) / (c / (c + d)),
            "global_ratio": (a / (a + b)) / (a + c),
            "prevalence_ratio": (a / b) / ((a + c) / (b + d)),
            "prevalence_difference": a / (a + c) - b / (b + d),
        }[name]
        tables.append(rng.multinomial(n, shares))
        truths.append(truth)
        sizes.append(n)
    a, b, c, _ = np.array(tables).T
    low, high = compare.interval(name, a, a + b, a + c, np.array(sizes))
    covered = np.mean((low <= truths) & (truths <= high))
    assert 0.93 <= covered <= 0.97


def test_c16_mean_shift_interval_by_hand_and_its_coverage() -> None:
    out, inn = (40.0, 30.0, 9.0), (400.0, 10.0, 4.0)
    v = 9 * (40 / 39) / (40 * 900) + 4 * (400 / 399) / (400 * 100)
    assert compare.mean_shift_interval(out, inn) == pytest.approx(_log(3.0, v), rel=1e-12)
    for left, right in [
        ((5, 1.0, 1.0), (5, 0.0, 1.0)),
        ((5, -1.0, 1.0), (5, 2.0, 1.0)),
        ((1, 1.0, NAN), (5, 2.0, 1.0)),
    ]:
        assert np.isnan(compare.mean_shift_interval(left, right)).all()
    rng = np.random.default_rng(5)
    x, y = rng.gamma(9, 10, (2000, 60)), rng.gamma(4, 10, (2000, 300))
    moments = [(each.shape[1], each.mean(1), each.var(1)) for each in (x, y)]
    low, high = compare.mean_shift_interval(*moments)
    assert 0.93 <= np.mean((low <= 90 / 40) & (high >= 90 / 40)) <= 0.97


# ---------------------------------------------------------------------------------------------------- significance


def _chance(o: int, t: int, O: int, N: int) -> float:  # noqa: E741
    ways = sum(math.comb(O, k) * math.comb(N - O, t - k) for k in range(o, min(t, O) + 1))
    return ways / math.comb(N, t)


@settings(max_examples=100, deadline=None)
@given(*[st.integers(0, 40)] * 4)
def test_c14_p_values_are_counted_ways(a: int, b: int, c: int, d: int) -> None:
    table = a, a + b, a + c, a + b + c + d
    assert compare.p_values(*table) == pytest.approx(_chance(*table), rel=1e-9)


def test_c14_p_values_of_arrays_and_weights() -> None:
    p = compare.p_values(np.array([3, 0, 5]), np.array([4, 4, 5]), 10, 100)
    assert p == pytest.approx([_chance(3, 4, 10, 100), 1.0, _chance(5, 5, 10, 100)], rel=1e-9)
    assert compare.p_values([2.6], [4.2], 10.4, 99.7) == pytest.approx([_chance(3, 4, 10, 100)], rel=1e-9)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.01, 1.0]), max_size=30))
def test_c14_q_values_are_those_of_benjamini_and_hochberg(p: list[float]) -> None:
    from scipy.stats import false_discovery_control

    q = compare.q_values(p)
    assert q.shape == (len(p),)
    np.testing.assert_allclose(q, false_discovery_control(np.array(p), method="bh") if p else [], rtol=1e-12)
    for i, own in enumerate(p):  # word for word: the least m·p/rank of all that are no smaller
        ranked = sorted(p)
        least = min(len(p) * each / max(k + 1 for k, x in enumerate(ranked) if x == each) for each in p if each >= own)
        assert q[i] == pytest.approx(min(least, 1.0), rel=1e-12)
