"""The words of a ranked table: its figures, conditions and lines, the same in text, HTML and pictures.

A `ranked` block's state has `columns` ({name, label, format, ...}) and `rows`. Cells by format: `rank` int; `chips`
`{"chips": [[column, value or None], ...], "same": [chips, ...]}`; `ratio` `{"value", "low", "high"}`, where "inf" is
infinity; `share` 0 to 1; `count_of` `[o, t]`; `spark` numbers; `text`, `number`. A column's `word` is put before its
figures in text.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = [
    "NULL",
    "as_float",
    "cell_text",
    "chips",
    "count",
    "counts",
    "figure",
    "is_ranked",
    "lines",
    "number",
    "pairs",
    "ratio",
    "same_rows",
    "share",
    "spark",
    "value",
]

#: how a null that is part of an explanation is written
NULL = "∅"
_CUT = 80
_STEPS = "▁▂▃▄▅▆▇█"


def is_ranked(state: Mapping[str, Any]) -> bool:
    """Return whether the columns of a state name their formats; others are plain tables."""
    return any(column.get("format") in ("chips", "ratio") for column in state.get("columns") or [])


def as_float(cell: Any) -> float:
    """Return a figure of a state as a float: "inf" is infinity, None is NaN."""
    return math.nan if cell is None else float(cell)


def figure(number: Any) -> str:
    """Write a ratio: one decimal, none from 100 on, two significant digits below 1.

    >>> figure(5.123), figure(1234.5), figure(0.0123), figure(float("inf")), figure(float("nan"))
    ('5.1', '1,234', '0.012', '∞', '')
    """
    number = as_float(number)
    if math.isnan(number):
        return ""
    if math.isinf(number):
        return "∞" if number > 0 else "-∞"
    size = abs(number)
    if size >= 99.95:
        return f"{number:,.0f}" if size < 1e15 else f"{number:.2g}"
    if size >= 0.995:
        return f"{number:.1f}"
    return f"{number:.2g}" if size else "0"


def share(part: Any) -> str:
    """Write a share as percent: one decimal, two significant digits below 0.1 %.

    >>> share(0.0321), share(1.0), share(0.00042), share(0.0)
    ('3.2 %', '100 %', '0.042 %', '0 %')
    """
    percent = 100 * as_float(part)
    if math.isnan(percent):
        return ""
    if percent in (0, 100):
        return f"{percent:.0f} %"
    if abs(percent) >= 0.0995:
        # 99.96 % is not all of it
        return f"{min(percent, 99.9) if percent < 100 else percent:.1f} %"
    return f"{percent:.2g} %"


def number(value: Any) -> str:
    """Write a number with 4 significant digits, whole ones in full.

    >>> number(1234567), number(150.2345), number(0.000123456), number(49.0)
    ('1,234,567', '150.2', '0.0001235', '49')
    """
    value = as_float(value)
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    rounded = float(f"{value:.4g}")
    if math.isinf(rounded):  # the largest floats have no rounder one above them
        return f"{value:.4g}"
    exponent = math.floor(math.log10(abs(rounded)))
    if not -5 <= exponent <= 14:
        return f"{value:.4g}"
    text = f"{rounded:,.{max(0, 3 - exponent)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def count(value: Any) -> str:
    """Write a count; weighted ones have 4 significant digits where they are not whole."""
    return number(value)


def counts(cell: Sequence[Any]) -> str:
    """Write `104 of 1,960`."""
    return f"{count(cell[0])} of {count(cell[1])}"


def ratio(cell: Mapping[str, Any]) -> str:
    """Write `5.1 [4.6, 5.7]`, or the value alone where there is no interval."""
    low, high = figure(cell.get("low")), figure(cell.get("high"))
    between = f" [{low}, {high}]" if low and high else ""
    return f"{figure(cell.get('value'))}{between}"


def value(of: Any) -> str:
    """Write the value of a condition in one line."""
    return NULL if of is None else _cut(_one_line(str(of)))


def chips(pairs: Iterable[Sequence[Any]], joint: str = " and ") -> str:
    """Write `dest = SFO and hour = 18`."""
    return joint.join(f"{_cut(_one_line(str(column)))} = {value(of)}" for column, of in pairs)


def spark(numbers: Sequence[Any]) -> str:
    """Write numbers as a row of small bars, from 0 to the greatest; a gap where there is none.

    >>> spark([1, 4, None, 8])
    '▂▄ █'
    """
    known = [as_float(n) for n in numbers]
    finite = [n for n in known if math.isfinite(n)]
    top = max(finite, default=0.0)
    return "".join(" " if math.isnan(n) else _STEPS[-1] if math.isinf(n) else _STEPS[_step(n, top)] for n in known)


def cell_text(column: Mapping[str, Any], cell: Any) -> str:
    """Write a cell in one line, with the column's word before it."""
    words = _cell(column, cell)
    return f"{column['word']} {words}" if column.get("word") and words else words


def lines(state: Mapping[str, Any], limit: int) -> list[str]:
    """Return a ranked table as aligned lines, the folded ones below their first, and how many are left out.

    Parameters
    ----------
    state : mapping
        Of a `ranked` block.
    limit : int
        Rows at most; -1 for all.
    """
    columns, rows = list(state.get("columns") or []), list(state.get("rows") or [])
    total = int(state.get("total") or len(rows))
    shown = rows if limit < 0 else rows[:limit]
    cells = [[cell_text(column, cell) for column, cell in zip(columns, row, strict=True)] for row in shown]
    widths = [max((_width(row[i]) for row in cells), default=0) for i in range(len(columns))]
    found = []
    for row, texts in zip(shown, cells, strict=True):
        parts = []
        for column, text, width in zip(columns, texts, widths, strict=True):
            gap = " " * (width - _width(text))
            parts += [gap + text if column.get("format") == "rank" else text + gap] if width else []
        found.append("  ".join(parts).rstrip())
        indent = " " * (widths[0] + 2 if columns and columns[0].get("format") == "rank" else 2)
        found += [f"{indent}same rows: {chips(same)}" for same in same_rows(columns, row)]
    if len(shown) < total:
        found.append(f"{len(shown):,} of {total:,} explanations")
    return found if total else ["no explanations"]


def same_rows(columns: Sequence[Mapping[str, Any]], row: Sequence[Any]) -> list[Any]:
    """Return the conditions folded under a row."""
    return [
        same
        for column, cell in zip(columns, row, strict=True)
        if column.get("format") == "chips" and isinstance(cell, Mapping)
        for same in cell.get("same") or []
    ]


def pairs(cell: Any) -> Sequence[Sequence[Any]]:
    """Return the (column, value) pairs of a `chips` cell."""
    return (cell.get("chips") or []) if isinstance(cell, Mapping) else cell or []


def _cell(column: Mapping[str, Any], cell: Any) -> str:
    kind = column.get("format")
    if cell is None:
        return ""
    if kind == "chips":
        return chips(pairs(cell))
    if kind == "ratio":
        return ratio(cell)
    if kind == "share":
        return share(cell)
    if kind == "count_of":
        return counts(cell)
    if kind == "spark":
        return spark(cell)
    if kind == "rank":
        return str(cell)
    if kind == "number":
        return number(cell)
    return _cut(_one_line(str(cell)))


def _step(number: float, top: float) -> int:
    return 0 if top <= 0 or number <= 0 else min(len(_STEPS) - 1, int(number / top * len(_STEPS) - 1e-9))


def _one_line(text: str) -> str:
    return text.replace("\r", "").replace("\n", "↵")


def _cut(text: str) -> str:
    return text if len(text) <= _CUT else text[: _CUT - 1] + "…"


def _width(text: str) -> int:
    """Return the columns that text takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
