"""Tables for people: a few rows, exact and aligned, with the number of all rows; as text and as HTML."""

from __future__ import annotations

import html
import math
import numbers
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from workbench.engine.paths import short_names

__all__ = [
    "HTML_ROWS",
    "cell",
    "number",
    "plain_html",
    "row_note",
    "scroller",
    "table_html",
    "table_text",
    "visible_rows",
]

HTML_ROWS = 1000
_CUT = 80
_MANY = 10  # columns beyond which a table is set closer


def number(value: float) -> str:
    """Write a number: whole ones in full, others with 4 significant digits; commas for thousands; NaN is empty.

    >>> number(1532), number(1234.567), number(0.00012345), number(float("nan"))
    ('1,532', '1,235', '0.0001234', '')
    """
    if isinstance(value, numbers.Integral):
        return f"{int(value):,}"
    value = float(value)
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    rounded = float(f"{value:.4g}")
    if math.isinf(rounded):  # the greatest floats round up to no float at all
        return f"{value:.4g}"
    exponent = math.floor(math.log10(abs(rounded)))
    if exponent < -5 or exponent > 14:
        return f"{value:.4g}"
    text = f"{rounded:,.{max(0, 3 - exponent)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def cell(value: Any) -> str:
    """Write one value of a table; missing values are empty."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
        return str(bool(value))
    if isinstance(value, numbers.Real):
        return number(value)  # type: ignore[arg-type]
    try:
        if value != value:  # NaN, NaT
            return ""
    except (TypeError, ValueError):
        pass  # NA and arrays have no truth value
    if type(value).__name__ in ("NAType", "NaTType"):
        return ""
    try:
        return str(value)
    except Exception as error:  # a cell of somebody's own class must not spoil the whole table
        return f"<{type(value).__name__}: {type(error).__name__}>"


def visible_rows(total: int, limit: int, most: int | None = None) -> int:
    """Return how many rows are shown: `limit`, -1 for all; never more than `most`."""
    shown = total if limit < 0 else min(total, limit)
    return shown if most is None else min(shown, most)


def row_note(shown: int, total: int) -> str:
    """Return "20 of 1,532 rows", or nothing where all are shown."""
    return f"{shown:,} of {total:,} rows" if shown < total else ""


def as_pandas(frame: Any) -> Any:
    """Return any kind of table (pandas, polars, Arrow, a result) as a pandas DataFrame."""
    for name in ("to_pandas", "to_dataframe"):
        if hasattr(frame, name):
            return getattr(frame, name)()
    return frame


def _cells(frame: Any, rows: int) -> tuple[list[str], list[list[str]], list[bool]]:
    """Return names, columns of text, and which columns stand on the right."""
    head = frame.iloc[:rows]
    names = [str(name) for name in head.columns]
    columns = [[cell(value) for value in head.iloc[:, index]] for index in range(len(names))]
    numeric = [getattr(dtype, "kind", "O") in "iuf" or _is_numeric(dtype) for dtype in frame.dtypes]
    return names, columns, numeric


def _is_numeric(dtype: Any) -> bool:
    return bool(getattr(dtype, "_is_numeric", False)) and not getattr(dtype, "_is_boolean", False)


def table_text(frame: Any, limit: int, *, title: str = "", files: Sequence[str] = ()) -> str:
    """Return a table as aligned lines, with the note on rows left out; `files` are columns of paths, shown short."""
    frame = as_pandas(frame)
    shown = visible_rows(len(frame), limit)
    lines = [title] if title else []
    if shown:
        names, columns, numeric = _cells(frame, shown)
        columns = [_short(column) if name in files else column for name, column in zip(names, columns, strict=True)]
        parts = [
            _aligned(_clip(name), [_clip(_one_line(value)) for value in column], right)
            for name, column, right in zip(names, columns, numeric, strict=True)
        ]
        lines += ["  ".join(line).rstrip() for line in zip(*parts, strict=True)]
    note = row_note(shown, len(frame))
    return "\n".join([*lines, *([note] if note else [] if len(frame) else ["no rows"])])


def table_html(frame: Any, limit: int, *, title: str = "", files: Sequence[str] = ()) -> str:
    """Return a table as HTML, escaped; long text is cut, and `files` (columns of paths) short, whole in the tooltip."""
    frame = as_pandas(frame)
    shown = visible_rows(len(frame), limit, HTML_ROWS)
    note = row_note(shown, len(frame)) or ("" if len(frame) else "no rows")
    below = f'<div class="wb-muted">{note}</div>' if note else ""
    if not shown and len(frame):
        return f'<div class="wb-muted">{_e(title)}{": " if title else ""}{note}</div>'
    names, columns, numeric = _cells(frame, shown)
    units = frame.attrs.get("units", {}) if isinstance(getattr(frame, "attrs", None), dict) else {}
    mark = ['class="wb-n"' if right else "" for right in numeric]
    head = "".join(
        f'<th scope="col"{_space(attr)}>{_head(name)}{_unit(units, name)}</th>'
        for name, attr in zip(names, mark, strict=True)
    )
    short = [_short(column) if name in files else column for name, column in zip(names, columns, strict=True)]
    rows = "".join(
        "<tr>"
        + "".join(_td(seen[row], attr, whole[row]) for seen, whole, attr in zip(short, columns, mark, strict=True))
        + "</tr>"
        for row in range(shown)
    )
    caption = f"<caption>{_e(title)}</caption>" if title else ""
    table = f"<table{_many(names)}>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return scroller(table, title) + below


def scroller(table: str, title: str = "") -> str:
    """Return a table's HTML in what scrolls if it is too wide, by the keyboard too."""
    return f'<div class="wb-scroll" tabindex="0" role="group" aria-label="{_e(title or "Table")}">{table}</div>'


def plain_html(block: Any) -> str:
    """Return a table block of plain data as HTML: `columns` (names), `rows`, and `total` where it has more rows.

    Numbers stand on the right; None is an empty cell.
    """
    rows, names = list(block.get("rows") or []), [str(name) for name in block.get("columns") or []]
    numeric = [_numbers(row[i] for row in rows) for i in range(len(names))]
    mark = ['class="wb-n"' if right else "" for right in numeric]
    head = "".join(f'<th scope="col"{_space(a)}>{_head(name)}</th>' for name, a in zip(names, mark, strict=True))
    body = []
    for row in rows:
        texts = [_one_line(cell(value)) for value in row]
        body.append(f"<tr>{''.join(_td(text, a, text) for text, a in zip(texts, mark, strict=True))}</tr>")
    note = row_note(len(rows), int(block.get("total") or len(rows)))
    if left_out := int(block.get("left_out") or 0):
        more = f"{left_out:,} more column{'' if left_out == 1 else 's'}"
        note = f"{note}, {more}" if note else more
    below = f'<div class="wb-muted">{note}</div>' if note else ""
    table = f"<table{_many(names)}><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    return scroller(table) + below


def _numbers(values: Iterable[Any]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(isinstance(value, numbers.Real) and not isinstance(value, bool) for value in known)


def _td(text: str, attr: str, whole: str) -> str:
    seen = _clip(text)
    title = f' title="{_e(whole)}"' if seen != whole else ""
    return f"<td{_space(attr)}{title}>{_e(seen)}</td>"


def _head(name: str) -> str:
    """Return the name of a column, which may go on below itself where the table would else be too wide."""
    return _e(_clip(name)).replace("_", "_<wbr>")


def _many(names: Sequence[str]) -> str:
    """Return the class of a table that has to be set closer to fit."""
    return ' class="wb-many"' if len(names) > _MANY else ""


def _short(column: Sequence[str]) -> list[str]:
    names = short_names(column)
    return [names[path] for path in column]


def _unit(units: Any, name: str) -> str:
    unit = units.get(name) if isinstance(units, dict) else None
    return f" <span>{_e(unit)}</span>" if unit else ""


def _space(attr: str) -> str:
    return f" {attr}" if attr else ""


def _clip(text: str) -> str:
    return text if len(text) <= _CUT else text[: _CUT - 1] + "…"


def _one_line(text: str) -> str:
    return text.replace("\r", "").replace("\n", "↵")


def _aligned(name: str, values: Sequence[str], right: bool) -> list[str]:
    width = max(_width(text) for text in (name, *values))
    pad = [" " * (width - _width(text)) for text in (name, *values)]
    return [p + text if right else text + p for p, text in zip(pad, (name, *values), strict=True)]


def _width(text: str) -> int:
    """Return the columns that text takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _e(text: Any) -> str:
    return html.escape(str(text), quote=True)
