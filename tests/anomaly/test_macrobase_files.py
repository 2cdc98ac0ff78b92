"""Every file that MacroBase was tested with: `wb.outliers` and `wb.diff` on the file, brute force on its text.

Rows are read and marked here by other means than the package's own.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

import workbench as wb
from tests.anomaly.brute import Line, brute
from tests.anomaly.tables import COMPARE, macrobase

Rows = list[dict[str, Any]]


def read(name: str) -> Rows:
    """Return the rows of a file; a column of numbers is one of int or float."""
    raw = macrobase(name).read_bytes()
    text = (gzip.decompress(raw) if name.endswith(".gz") else raw).decode()
    rows: Rows = list(csv.DictReader(io.StringIO(text)))
    for column in rows[0]:
        for kind in (int, float):
            try:
                numbers = [kind(row[column]) for row in rows]
            except ValueError:
                continue
            for row, number in zip(rows, numbers, strict=True):
                row[column] = number
            break
    return rows


def column(rows: Rows, name: str) -> np.ndarray:
    return np.array([row[name] for row in rows], dtype=np.float64)


def only(rows: Rows, by: Sequence[str]) -> Rows:
    return [{name: row[name] for name in by} for row in rows]


def told(result: Any) -> list[Line]:
    frame = result.to_pandas()
    figures = (frame[name].astype(float) for name in ("support", "ratio", "outlier_count", "total_count"))
    return [Line(*each) for each in zip(result.sets, *figures, strict=True)]


def assert_same(result: Any, theirs: list[Line], digits: float = 0.0) -> None:
    """Assert that a result says the same; with `digits`, ties of figures that are not exact may fall either way."""
    ours = told(result)
    if digits:
        ours, theirs = (sorted(lines, key=lambda line: repr(line.values)) for lines in (ours, theirs))
    assert [line.values for line in ours] == [line.values for line in theirs]
    np.testing.assert_allclose([line[1:] for line in ours], [line[1:] for line in theirs], rtol=digits)


def by_mad(x: np.ndarray, top: float = 0.01) -> np.ndarray:
    r = np.abs(x - np.median(x))
    return r > np.quantile(r, 1 - top, method="weibull")


def by_percentile(x: np.ndarray, top: float = 0.01) -> np.ndarray:
    return x > np.quantile(x, 1 - top, method="weibull")


# ----------------------------------------------------------------------------------------------------- rows as they are

RATIOS = {"prevalence_difference": 0.1, "mean_deviation": 0.3, "mean_shift": 1.05}
FILES = [
    ("sample.csv", "usage", ["location", "version"]),
    ("sample.csv", "latency", ["location", "version"]),
    ("sample_lib.csv", "usage", ["location", "version"]),
    ("sample_lib.csv", "latency", ["version", "location"]),
    ("triple.csv", "m", ["A", "B", "C", "D"]),
    ("wide.csv", "m", [f"c{i}" for i in range(11)]),
    ("sensor10k.csv.gz", "power_drain", ["device_id", "model", "firmware_version"]),
    ("sensor10k.csv.gz", "temperature", ["model", "firmware_version"]),
    ("tiny_predicate.csv", "power", ["version", "location", "release"]),
]


@pytest.mark.parametrize("compare", COMPARE)
@pytest.mark.parametrize(("name", "metric", "by"), FILES)
def test_c13_c16_c17_c23_files_of_rows(name: str, metric: str, by: list[str], compare: str) -> None:
    rows = read(name)
    x = column(rows, metric)
    combo = 3 if len(by) == 3 or len(by) == 11 else len(by)
    options = {"compare": compare, "min_ratio": RATIOS.get(compare, 1.5), "max_combo": combo, "min_support": 0.02}
    for score, mark in (("mad", by_mad), ("percentile", by_percentile)):
        tail = "both" if score == "mad" else "high"
        result = wb.outliers(macrobase(name), metric, by, score=score, top=0.05, tail=tail, **options)
        theirs = brute(only(rows, by), mark(x, 0.05), metric=x.tolist(), **options)
        assert_same(result, theirs, 1e-12 if compare == "mean_deviation" else 0.0)
        if compare != "mean_deviation":
            assert result.n_outliers == mark(x, 0.05).sum()


# The files end in a blank line, which is no row.


@pytest.mark.parametrize(
    ("name", "where", "mark", "by"),
    [
        ("tiny_predicate.csv", "power > 90", lambda row: row["power"] > 90, ["version", "location", "release"]),
        ("tiny_predicate.csv", "location = 'CAN'", lambda row: row["location"] == "CAN", ["version"]),
        ("sample.csv", "usage > 1000", lambda row: row["usage"] > 1000, ["location", "version"]),
        ("sample_lib.csv", "latency < 100", lambda row: row["latency"] < 100, ["location", "version"]),
        ("wide.csv", "m > 50", lambda row: row["m"] > 50, [f"c{i}" for i in range(11)]),
    ],
)
@pytest.mark.parametrize("minimal", [True, False])
def test_c07_c18_files_marked_by_a_condition(
    name: str, where: str, mark: Callable[[dict[str, Any]], bool], by: list[str], minimal: bool
) -> None:
    rows = read(name)
    rules: Any = {"min_support": 0.1, "min_ratio": 1.2, "max_combo": min(3, len(by)), "minimal": minimal}
    result = wb.outliers(macrobase(name), None, by, where=where, **rules)
    theirs = brute(only(rows, by), [mark(row) for row in rows], **rules)
    assert theirs
    assert_same(result, theirs)


# --------------------------------------------------------------------------------------------------------------- cubes


def cutoff(values: np.ndarray, counts: np.ndarray, top: float, high: bool) -> float:
    """Walk the values from their end until enough rows are behind."""
    order = np.argsort(-values if high else values, kind="stable")
    reached = np.cumsum(counts[order]) >= np.floor(top * counts.sum()) * (1 - 1e-9)
    return float(values[order[np.argmax(reached)]])


def phi(z: np.ndarray) -> np.ndarray:
    return np.where(z > 3.5, 1.0, np.where(z < -3.5, 0.0, norm.cdf(z)))


@pytest.mark.parametrize("tail", ["high", "low", "both"])
@pytest.mark.parametrize("top", [0.02, 0.1, 0.3])
@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("sample_cubed.csv", ["location", "version", "release"]),
        ("sample_cubed_meanshift.csv", ["location", "version", "device"]),
    ],
)
def test_c32_cubes_of_means_and_deviations(name: str, by: list[str], top: float, tail: str) -> None:
    rows = read(name)
    count, mean, std = (column(rows, each) for each in ("count", "mean", "std"))
    outliers = np.zeros(len(rows))
    if tail != "low":
        outliers += count * (1 - phi((cutoff(mean, count, top, True) - mean) / std))
    if tail != "high":
        outliers += count * phi((cutoff(mean, count, top, False) - mean) / std)
    outliers = np.minimum(outliers, count)
    cube = wb.anomaly.Cube("count", "mean", "std")
    result = wb.outliers(macrobase(name), cube, by, top=top, tail=tail, min_support=0.02, min_ratio=1.02)
    theirs = brute(only(rows, by), outliers, weights=count, min_support=0.02, min_ratio=1.02)
    assert theirs
    assert_same(result, theirs, 1e-9)


@pytest.mark.parametrize("tail", ["high", "low"])
@pytest.mark.parametrize("top", [0.02, 0.1, 0.3])
def test_c32_cubes_of_quantiles(top: float, tail: str) -> None:
    rows = read("sample_cubed_quantiles.csv")
    shares = {0.0: "min", 0.1: "p10", 0.5: "p50", 0.9: "p90", 1.0: "max"}
    count = column(rows, "count")
    middles, weights = [], []
    for (p, low), (q, high) in pairwise(shares.items()):
        middles.append((column(rows, low) + column(rows, high)) / 2)
        weights.append((q - p) * count)
    cut = cutoff(np.concatenate(middles), np.concatenate(weights), top, tail == "high")
    below = []
    for row in rows:
        share, strictly = 0.0, tail == "low"
        for (p, low), (q, high) in pairwise(shares.items()):
            a, b = row[low], row[high]
            if b < cut or (b == cut and not strictly):
                share = q
            elif a < cut:
                share = p + (q - p) * (cut - a) / (b - a)
        below.append(share)
    outliers = count * (1 - np.array(below) if tail == "high" else np.array(below))
    by = ["location", "version"]
    cube = wb.anomaly.Cube("count", quantiles=shares)
    result = wb.outliers(
        macrobase("sample_cubed_quantiles.csv"), cube, by, top=top, tail=tail, min_support=0.02, min_ratio=1.02
    )
    theirs = brute(only(rows, by), outliers, weights=count, min_support=0.02, min_ratio=1.02)
    assert theirs
    assert_same(result, theirs, 1e-9)


@pytest.mark.parametrize("compare", COMPARE[:5])
def test_c16_c32_cubes_marked_by_a_condition(compare: str) -> None:
    rows = read("sample_cubedshift.csv")
    by = ["location", "version", "language"]
    count, mean = column(rows, "count"), column(rows, "meanLatency")
    marked = column(rows, "time") == 2
    cube = wb.anomaly.Cube("count", mean="meanLatency")
    options = {"compare": compare, "min_support": 0.01, "min_ratio": RATIOS.get(compare, 1.05)}
    result = wb.outliers(macrobase("sample_cubedshift.csv"), cube, by, where="time = 2", **options)
    theirs = brute(only(rows, by), marked * count, weights=count, metric=mean, **options)
    assert theirs
    assert_same(result, theirs)


def test_c16_c32_deviation_of_a_cube() -> None:
    rows = read("sample_cubed_meanshift.csv")
    by = ["location", "version", "device"]
    count, mean, std = (column(rows, each) for each in ("count", "mean", "std"))
    cube = wb.anomaly.Cube("count", mean="mean", std="std")
    centre = np.average(mean, weights=count)
    # The reference knows no deviation inside a row: its own unit is the deviation of the rows' means.
    outer = np.sqrt(np.average((mean - centre) ** 2, weights=count))
    whole = np.sqrt(np.average(std**2 + mean**2, weights=count) - centre**2)
    result = wb.outliers(
        macrobase("sample_cubed_meanshift.csv"), cube, by, compare="mean_deviation", min_ratio=0.5, min_support=0.1
    )
    theirs = brute(
        only(rows, by), count, weights=count, metric=mean, compare="mean_deviation", min_ratio=0.5 * whole / outer,
        min_support=0.1,
    )  # fmt: skip
    assert theirs
    assert_same(result, [line._replace(ratio=line.ratio * outer / whole) for line in theirs], 1e-12)


# --------------------------------------------------------------------------------------------------- DIFF over a join


def joined(left: Rows, right: Rows) -> Rows:
    common = left[0].keys() & right[0].keys()
    return [{**a, **b} for a in left for b in right if all(a[name] == b[name] for name in common)]


@pytest.mark.parametrize(
    ("number", "on", "ratio", "support"),
    [(1, ["state"], 1.1, 0.2), (8, ["state", "app"], 1.1, 0.2), (9, ["A1", "A2", "A3", "A4"], 1.2, 0.05)],
)
@pytest.mark.parametrize("compare", COMPARE[:4])
def test_c28_c31_diff_of_joined_files(number: int, on: list[str], ratio: float, support: float, compare: str) -> None:
    pytest.importorskip("workbench.anomaly.diffs")
    import pandas as pd

    R, S, T = (read(f"dj_{name}{number}.csv") for name in "RST")
    first, second = joined(R, T), joined(S, T)
    rows = only(first + second, on)
    options = {"min_support": support, "min_ratio": 0.05 if compare == "prevalence_difference" else ratio}
    theirs = brute(rows, [1.0] * len(first) + [0.0] * len(second), compare=compare, **options)
    result = wb.diff(
        f"SELECT * FROM DIFF (R NATURAL JOIN T) r, (S NATURAL JOIN T) s ON {', '.join(on)} "
        f"WITH MIN RATIO {options['min_ratio']} MIN SUPPORT {support} COMPARE BY {compare}(COUNT(*)) MAX COMBO 3",
        R=pd.DataFrame(R), S=pd.DataFrame(S), T=pd.DataFrame(T),
    )  # fmt: skip
    frame = result.to_pandas()
    ours = [
        Line(*each)
        for each in zip(
            result.sets, frame["support"], frame[compare], frame["outlier_count"], frame["total_count"], strict=True
        )
    ]
    assert theirs
    assert ours == theirs
