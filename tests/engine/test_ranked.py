"""The words of a ranked table."""

from __future__ import annotations

import math
from typing import Any

import pytest

from workbench.engine import ranked

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5.123, "5.1"), (5.0, "5.0"), (0.995, "1.0"), (0.994, "0.99"), (99.94, "99.9"), (99.96, "100"),
        (1234.5, "1,234"), (0.0123, "0.012"), (-0.25, "-0.25"), (-12.34, "-12.3"), (0, "0"), (INF, "∞"),
        (-INF, "-∞"), ("inf", "∞"), (NAN, ""), (None, ""), (1e300, "1e+300"), (1e-12, "1e-12"),
    ],
)  # fmt: skip
def test_figures(value: Any, text: str) -> None:
    assert ranked.figure(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0321, "3.2 %"), (0.06, "6.0 %"), (1, "100 %"), (0, "0 %"), (0.9996, "99.9 %"), (0.001, "0.1 %"),
        (0.00099, "0.099 %"), (0.000042, "0.0042 %"), (None, ""),
    ],
)  # fmt: skip
def test_shares(value: Any, text: str) -> None:
    assert ranked.share(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1960, "1,960"), (150.2345, "150.2"), (49.0, "49"), (1234567.8, "1,235,000"), (0.5, "0.5"), (-200, "-200"),
        (1e20, "1e+20"), (3.1e-9, "3.1e-09"), (NAN, ""), (INF, "∞"), (0.1 + 0.2, "0.3"),
    ],
)  # fmt: skip
def test_numbers(value: Any, text: str) -> None:
    assert ranked.number(value) == text


def test_ratios_and_their_intervals() -> None:
    assert ranked.ratio({"value": 5.1, "low": 4.6, "high": 5.7}) == "5.1 [4.6, 5.7]"
    assert ranked.ratio({"value": "inf", "low": 2.5, "high": "inf"}) == "∞ [2.5, ∞]"
    assert ranked.ratio({"value": 2.0, "low": None, "high": None}) == "2.0"


def test_chips() -> None:
    assert ranked.chips([["dest", "SFO"], ["hour", 18]]) == "dest = SFO and hour = 18"
    assert ranked.chips([["origin", None]]) == "origin = ∅"
    assert ranked.chips([["a\nb", "c\r\nd"]]) == "a↵b = c↵d"
    long = ranked.chips([["k", "x" * 200]])
    assert len(long) == 84
    assert long.endswith("…")


def test_sparks() -> None:
    assert ranked.spark([1, 2, 4, 8]) == "▁▂▄█"
    assert ranked.spark([None, 3.0, "inf", 0]) == " ██▁"
    assert ranked.spark([]) == ""
    assert ranked.spark([0, 0]) == "▁▁"


COLUMNS: list[dict[str, Any]] = [
    {"name": "rank", "format": "rank"},
    {"name": "explanation", "format": "chips"},
    {"name": "ratio", "format": "ratio", "word": "ratio"},
    {"name": "panes", "format": "spark"},
    {"name": "note", "format": "text"},
]


def row(rank: int, value: str, same: list[Any] | None = None) -> list[Any]:
    cell = {"chips": [["名", value]], "same": same or []}
    return [rank, cell, {"value": rank, "low": None, "high": None}, [1, 2], None if rank % 2 else "two"]


def test_lines_are_aligned_in_a_terminal() -> None:
    rows = [row(9, "東京"), row(10, "ab")]
    assert ranked.lines({"columns": COLUMNS, "rows": rows}, 20) == [
        " 9  名 = 東京  ratio 9.0   ▄█",
        "10  名 = ab    ratio 10.0  ▄█  two",
    ]


def test_folded_rows_stand_below_their_first() -> None:
    state = {"columns": COLUMNS[:2], "rows": [row(1, "a", [[["code", "1"]]])[:2], row(3, "b")[:2]], "total": 5}
    assert ranked.lines(state, 20) == ["1  名 = a", "   same rows: code = 1", "3  名 = b", "2 of 5 explanations"]
    assert ranked.lines(state, 1) == ["1  名 = a", "   same rows: code = 1", "1 of 5 explanations"]
    assert ranked.lines(state, 0) == ["0 of 5 explanations"]
    assert ranked.lines({"columns": COLUMNS, "rows": []}, 20) == ["no explanations"]
    assert len(ranked.lines(state, -1)) == 4


def test_only_tables_with_formats_are_ranked() -> None:
    assert ranked.is_ranked({"columns": COLUMNS})
    assert not ranked.is_ranked({"columns": [{"name": "a", "label": "A"}]})
    assert not ranked.is_ranked({})
