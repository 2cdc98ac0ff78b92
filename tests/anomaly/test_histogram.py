"""Histograms: every counted row is in one bin, by an independent reference; hostile values; the pictures."""

from __future__ import annotations

import math
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from workbench.anomaly import drawing, histogram
from workbench.anomaly.score import Cutoff
from workbench.notebook.svg import clean_svg

FLOATS = st.floats(allow_nan=True, allow_infinity=True, width=64)


@settings(max_examples=80, deadline=None)
@given(values=st.lists(FLOATS, max_size=60))
def test_each_row_is_in_the_one_bin_whose_ends_it_lies_between(values: list[float]) -> None:
    x = np.array(values, dtype=np.float64)
    edges = histogram.edges_of(x)
    if edges is None:
        assert not np.isfinite(x).any()
        return
    (counts,) = histogram.bin_counts(histogram.bins_of(x, edges), [None])
    frame = histogram.frame_of(edges, [counts, counts, counts])
    assert len(frame) == 60
    assert frame["left"][0] == -math.inf
    assert frame["right"][59] == math.inf
    assert (frame["right"].to_numpy()[:-1] == frame["left"].to_numpy()[1:]).all()
    expected = [
        sum(1 for v in values if (left <= v < right) or (right == math.inf and v == math.inf))
        for left, right in zip(frame["left"], frame["right"], strict=True)
    ]
    assert counts.tolist() == expected
    assert counts.sum() == np.count_nonzero(~np.isnan(x))


def test_bins_are_of_equal_width_between_the_two_points() -> None:
    x = np.random.default_rng(0).normal(0, 1, 50_000)
    edges = histogram.edges_of(x)
    assert edges is not None
    low, high = np.quantile(x, [0.001, 0.999], method="weibull")
    assert edges[0] == pytest.approx(low, abs=1e-12)
    assert edges[-1] == pytest.approx(high, abs=1e-12)
    np.testing.assert_allclose(np.diff(edges), (high - low) / 60)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(0, 3000), parts=st.integers(1, 7), seed=st.integers(0, 999), sort=st.booleans())
def test_points_of_parts_are_those_of_all_rows(n: int, parts: int, seed: int, sort: bool) -> None:
    x = np.random.default_rng(seed).normal(0, 1, n).round(1)
    x[::7] = np.nan
    x = np.sort(x) if sort else x
    found = histogram.points_of([histogram.tails(part) for part in np.array_split(x, parts)])
    edges = histogram.edges_of(x)
    if found is None:
        assert edges is None or sort  # sorted rows put all small values in one part
    else:
        assert edges is not None
        assert (histogram.between(*found) == edges).all()


def test_weights_count_as_rows() -> None:
    x, w = np.array([1.0, 2.0, 3.0, np.nan]), np.array([10.0, 1.0, 5.0, 7.0])
    edges = histogram.edges_of(x, w)
    assert edges is not None
    counts = histogram.bin_counts(histogram.bins_of(x, edges), [w, np.array([True, False, True, True])])
    assert (counts[0].sum(), counts[1].sum()) == (16.0, 2)
    assert counts[0].dtype == np.float64


def test_long_columns_are_counted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(0, 1, 1000)
    edges = histogram.edges_of(x)
    assert edges is not None
    whole = histogram.bin_counts(histogram.bins_of(x, edges), [None, x > 1], x < 2)
    monkeypatch.setattr(histogram, "_CHUNK", 7)
    parts = histogram.bin_counts(histogram.bins_of(x, edges), [None, x > 1], x < 2)
    assert all((a == b).all() for a, b in zip(whole, parts, strict=True))


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    table = pd.DataFrame(
        {"x": rng.normal(100, 10, 4000), "y": rng.normal(0, 1, 4000), "a": rng.choice(list("uvw"), 4000)}
    )
    table.loc[table["a"].eq("u") & (rng.random(4000) < 0.05), "x"] += 90
    table.loc[:9, "x"] = np.nan
    table.loc[10, "x"] = np.inf
    table.loc[11, "x"] = -np.inf
    return table


def test_c41_the_histogram_of_an_answer_counts_its_rows(frame: pd.DataFrame) -> None:
    r = wb.outliers(frame, "x", ["a"])
    every, first = r.histogram(), r.histogram(0)
    assert list(every.columns) == ["left", "right", "rows", "outliers", "selected"]
    assert [str(dtype) for dtype in every.dtypes] == ["float64"] * 2 + ["int64"] * 3
    assert (len(every), every["rows"].sum(), every["outliers"].sum()) == (60, r.n_rows, r.n_outliers)
    assert every["selected"].sum() == 0
    assert first["selected"].sum() == r.to_pandas()["total_count"][0]
    assert (first["selected"] <= first["rows"]).all()
    beyond = every[every["left"] >= r.cutoff.high]
    assert (beyond["rows"] == beyond["outliers"]).all()
    inside = every[(every["left"] >= r.cutoff.low) & (every["right"] <= r.cutoff.high)]
    assert inside["outliers"].sum() == 0


def test_of_several_metrics_it_is_their_score(frame: pd.DataFrame) -> None:
    table = frame.dropna().iloc[2:]
    r = wb.outliers(table, ["x", "y"], ["a"], score="rcov")
    found = r.histogram()
    assert found["rows"].sum() == r.n_rows
    beyond = found[found["left"] >= r.cutoff.score]
    assert len(beyond)
    assert (beyond["rows"] == beyond["outliers"]).all()


def test_of_a_seasonal_metric_it_is_what_trend_and_season_leave() -> None:
    rng, n = np.random.default_rng(3), 2000
    table = pd.DataFrame({"t": pd.date_range("2026-01-01", periods=n, freq="h"), "k": rng.choice(["u", "v"], n)})
    table["x"] = 100 + 20 * np.sin(np.arange(n) * 2 * np.pi / 24) + rng.normal(0, 1, n)
    table.loc[table["k"].eq("u") & (rng.random(n) < 0.03), "x"] += 15
    r = wb.outliers(table, "x", ["k"], score=wb.anomaly.Seasonal("t", "1d", 24), top=0.02)
    found = r.histogram()
    beyond = found[(found["left"] >= r.cutoff.high) | (found["right"] <= r.cutoff.low)]
    assert len(beyond)
    assert (beyond["rows"] == beyond["outliers"]).all()
    assert "residual of x > " in str(r)
    (svg,) = [block for block in r.view_data()["blocks"] if block["kind"] == "svg"]
    assert svg["alt"].startswith("Histogram of residual of x: 2,000 rows, 40 outliers")


def test_without_a_metric_it_has_no_rows(frame: pd.DataFrame) -> None:
    r = wb.outliers(frame, by=["a"], where="x > 150")
    assert list(r.histogram(0).columns) == ["left", "right", "rows", "outliers", "selected"]
    assert len(r.histogram()) == 0
    assert not [block for block in r.view_data()["blocks"] if block["kind"] == "svg"]
    with_metric = wb.outliers(frame, "x", ["a"], where="x > 150")
    assert len(with_metric.histogram()) == 60


def test_of_a_cube_it_adds_up_weights() -> None:
    cube = pd.DataFrame(
        {"m": [1.0, 5.0, 9.0, 9.5], "n": [100.0, 200.0, 10.0, 5.0], "s": 0.1, "a": ["u", "v", "w", "w"]}
    )
    r = wb.outliers(cube, wb.anomaly.Cube("n", "m", "s"), ["a"], top=0.03, tail="high")
    found = r.histogram()
    assert found["rows"].sum() == 315.0
    assert found["rows"].dtype == "float64"
    assert found["outliers"].sum() == pytest.approx(r.n_outliers)


# ----------------------------------------------------------------------------------------------------------- pictures


def picture(frame: pd.DataFrame, **options: Any) -> tuple[str, str, ElementTree.Element]:
    svg, alt = drawing.histogram(frame, "latency", Cutoff(49.8, 150.2, 4.2), **options)
    return svg, alt, ElementTree.fromstring(svg)


def texts(root: ElementTree.Element) -> list[str]:
    return [part.text or "" for part in root.iter("{http://www.w3.org/2000/svg}text")]


def counted(values: np.ndarray, marked: np.ndarray) -> pd.DataFrame:
    edges = histogram.edges_of(values)
    assert edges is not None
    return histogram.frame_of(edges, histogram.bin_counts(histogram.bins_of(values, edges), [None, marked, marked]))


def test_c02_cutoffs_stand_in_the_units_of_the_metric() -> None:
    x = np.random.default_rng(0).normal(100, 20, 5000)
    found = counted(x, np.abs(x - 100) > 50.2)
    svg, alt, root = picture(found, selected="a = u")
    assert {"< 49.8", "> 150.2"} <= set(texts(root))
    assert "cutoff > 150.2 or < 49.8" in alt
    assert root.get("role") == "img"
    assert root.get("aria-label") == alt
    assert clean_svg(svg) != ""
    assert "<script" not in svg and "var(--wb-" in svg


def test_a_cutoff_beyond_the_picture_stands_at_its_edge() -> None:
    _, _, root = picture(counted(np.linspace(60, 140, 100), np.zeros(100, bool)))
    assert {"← < 49.8", "→ > 150.2"} <= set(texts(root))


def test_names_and_values_are_escaped() -> None:
    found = counted(np.arange(100.0), np.arange(100) > 90)
    bad = '<script>alert("1")</script>&\x00\x1b'
    for svg, alt in (
        drawing.histogram(found, bad, None, selected=bad),
        drawing.in_out(found, bad, Cutoff(math.nan, math.nan, math.nan), bad),
    ):
        assert "<script" not in svg
        assert ElementTree.fromstring(svg).get("aria-label")
        assert "<script>" in alt  # plain text, escaped where it is drawn


@pytest.mark.parametrize(
    "values",
    [
        [0.0],
        [5.0, 5.0],
        [1e308, -1e308],
        [1e-310, 2e-310],
        [1.0, np.nextafter(1.0, 2.0)],
        [2.0**60, 2.0**60 + 256],
        [2.0**60] * 3,
        [-1.7976931348623157e308],
        [0.0, 5e-324],
        [0.0, 1e15],
    ],
)
def test_any_finite_values_can_be_drawn(values: list[float]) -> None:
    x = np.array(values)
    found = counted(x, x > x[0])
    assert found["rows"].sum() == len(x)
    for svg, _ in (drawing.histogram(found, "x"), drawing.in_out(found, "x", None, "a = 1")):
        assert "nan" not in svg
        assert "inf" not in svg
        ElementTree.fromstring(svg)


def test_heights_go_by_the_square_root() -> None:
    found = counted(np.repeat([0.0, 100.0], [400, 100]), np.zeros(500, bool))
    svg, _ = drawing.histogram(found, "x")
    path = next(part.get("d") for part in ElementTree.fromstring(svg) if part.tag.endswith("path"))
    heights = [float(part.split("h")[0]) for part in path.split("v")[1:]]  # type: ignore[union-attr]
    assert heights[1] == pytest.approx(heights[0] / 2, abs=0.02)
