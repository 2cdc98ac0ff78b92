"""The static form of the `ranked` block: the table that `static/ranked.js` draws, without a script or a kernel.

All figures are written by `engine.ranked`, so the text form says the same.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.engine import ranked as words
from workbench.notebook import tables
from workbench.notebook.draw import Bar, Drawing, Line, Path, Text

__all__ = ["PAGE", "drawing", "table_html"]

#: rows that are seen at once
PAGE = 10
_BAR, _SHARE, _HIGH = 110.0, 60.0, 12.0
_RIGHT = ("rank", "number", "count_of")

#: thrice the class, as pages have rules of their own for all tables
_ROOT = ".wb .wb-rt.wb-rt"
STYLE = (
    ".wb .wb-rt.wb-rt{container-type:inline-size}"
    f"{_ROOT} td,{_ROOT} th{{padding:4px 14px 4px 4px;vertical-align:baseline}}"
    f"{_ROOT} td.wb-rt-c{{white-space:normal}}"
    f"{_ROOT} .wb-rt-chip{{display:inline-block;border:1px solid var(--wb-grid);border-radius:9px;padding:0 7px;"
    "background:var(--wb-track);max-width:44ch;box-sizing:border-box;overflow:hidden;text-overflow:ellipsis;"
    "white-space:nowrap;vertical-align:bottom}"
    f"{_ROOT} .wb-rt-chip span,{_ROOT} .wb-rt-and,{_ROOT} .wb-rt-same,{_ROOT} .wb-rt-i{{color:var(--wb-muted)}}"
    f"{_ROOT} th .wb-rt-th{{color:inherit;font-weight:inherit}}"
    f"{_ROOT} .wb-rt-same{{display:block;font-size:11px;white-space:normal}}"
    f"{_ROOT} svg.wb-rt-bar{{display:inline-block;vertical-align:-1px;margin-right:8px;max-width:none}}"
    # The drill-down stands below its whole row, though the cell is narrow: it takes no width of its own.
    f"{_ROOT} .wb-rt-out{{width:0}}{_ROOT} summary.wb-rt-s{{color:inherit}}"
    f"{_ROOT} .wb-rt-body{{width:860px;width:calc(100cqw - 64px);white-space:normal;box-sizing:border-box;"
    "border-left:3px solid var(--wb-accent);padding:4px 0 2px 10px;margin:8px 0 4px}"
    f"{_ROOT} .wb-rt-body>*{{margin:0 0 6px}}{_ROOT} .wb-rt-body td,{_ROOT} .wb-rt-body th{{padding:2px 10px 2px 0}}"
    f"{_ROOT} .wb-rt-body pre{{white-space:pre-wrap;overflow-wrap:anywhere}}"
)


def table_html(
    state: Mapping[str, Any], draw: Callable[[list[dict[str, Any]]], str], *, most: int = 200, page: int | None = None
) -> str:
    """Return a ranked table as HTML: the first rows, the others in `<details>`, each with its drill-down.

    Parameters
    ----------
    state : mapping
        Of the block; its columns name their formats.
    draw : callable
        Draws blocks as HTML: those of `state["details"]`.
    most : int
        Rows at most.
    page : int, optional
        Rows that are seen at once.
    """
    columns, rows = list(state.get("columns") or []), list(state.get("rows") or [])[:most]
    page = int(state.get("page") or PAGE) if page is None else page
    details = state.get("details") or {}
    scales = [_scale(column, [row[i] for row in rows]) for i, column in enumerate(columns)]
    drawn = [
        _row(columns, row, scales, draw(details[str(index)]) if details.get(str(index)) else "")
        for index, row in enumerate(rows)
    ]
    named = [i for i, column in enumerate(columns) if _is(column, "chips")]
    widest = max((len(words.cell_text(columns[i], row[i])) for i in named for row in rows), default=0)
    between = any(isinstance(cell, Mapping) and cell.get("low") is not None for row in rows for cell in row)
    parts = [_table(columns, drawn[:page], widest, between)]
    if len(drawn) > page:
        more = _table(columns, drawn[page:], widest, between)
        parts.append(f"<details><summary>Show all {len(drawn):,}</summary>{more}</details>")
    total = int(state.get("total") or 0)
    if total > len(drawn):
        parts.append(f'<div class="wb-muted">{len(drawn):,} of {total:,} explanations; to_pandas() has all.</div>')
    return f'<style>{STYLE}</style><div class="wb-rt">{"".join(parts)}</div>'


def drawing(state: Mapping[str, Any], rows: int = PAGE) -> Drawing:
    """Draw the first rows as a picture, for viewers that show no HTML."""
    columns, shown = list(state.get("columns") or []), list(state.get("rows") or [])[:rows]
    high, top = 22.0, 26.0
    total = int(state.get("total") or len(state.get("rows") or []))
    alt = f"Ranked table: {total:,} explanation{'' if total == 1 else 's'}"
    picture = Drawing(0, top + high * len(shown) + 4, alt)
    x = 4.0
    for i, column in enumerate(columns):
        cells = [row[i] for row in shown]
        texts = [_plain(column, cell) for cell in cells]
        scale = _scale(column, [row[i] for row in state.get("rows") or []])
        bar = {"ratio": _BAR, "share": _SHARE}.get(str(column.get("format")), 0.0)
        label = str(column.get("label") or column.get("name") or "")
        # Pillow's letters and the browser's are of nearly one width at 11 px.
        wide = max([6.4 * len(label), *(6.4 * len(text) for text in texts)]) + (bar + 8 if bar else 0)
        right = column.get("format") in _RIGHT
        anchor, at = ("end", x + wide) if right else ("start", x)
        picture.add(Text(at, 15, label, "text", anchor))
        for line, (cell, text) in enumerate(zip(cells, texts, strict=True)):
            y = top + high * line
            if bar and cell is not None:
                picture.add(*_shapes(column, cell, scale, x, y + 4))
            picture.add(Text(at + (bar + 8 if bar else 0), y + 14, text, "text", anchor))
        x += wide + 16
    picture.width = x
    picture.add(Line(0, 21, x, 21, "grid"))
    return picture


# -------------------------------------------------------------------------------------------------------------- cells


@dataclass(frozen=True)
class _Scale:
    """Where a figure stands between 0 and 1: logarithmic around 1 for ratios, from 0 for differences and shares."""

    low: float
    high: float
    linear: bool
    room: float = 1.0

    def at(self, number: float) -> float:
        if number == math.inf:
            return 1.0
        if not self.linear and number <= 0:
            return 0.0
        if self.linear:
            place = (number - self.low) / (self.high - self.low)
        else:
            place = math.log(number / self.low) / math.log(self.high / self.low)
        return min(max(place * self.room, 0.0), 1.0)


def _scale(column: Mapping[str, Any], cells: Sequence[Any]) -> _Scale:
    if _is(column, "share"):
        return _Scale(0.0, max([words.as_float(cell) for cell in cells if cell is not None] + [1e-9]), True)
    linear = bool(column.get("linear"))
    known = [cell for cell in cells if isinstance(cell, Mapping)]
    given = [words.as_float(cell.get(key)) for cell in known for key in ("value", "low", "high")]
    finite = [number for number in given if math.isfinite(number) and (linear or number > 0)]
    endless = any(words.as_float(cell.get("value")) == math.inf for cell in known)
    base, end = (0.0, 1e-9) if linear else (1.0, 1.01)
    return _Scale(min([base, *finite]), max([end, *finite]), linear, 0.9 if endless else 1.0)


def _row(columns: Sequence[Mapping[str, Any]], row: Sequence[Any], scales: Sequence[_Scale], details: str) -> str:
    cells = "".join(
        f"<td{_class(column)}>{_cell(column, cell, scale, details)}</td>"
        for column, cell, scale in zip(columns, row, scales, strict=True)
    )
    return f"<tr>{cells}</tr>"


def _cell(column: Mapping[str, Any], cell: Any, scale: _Scale, details: str) -> str:
    kind = column.get("format")
    if cell is None:
        return ""
    if kind == "chips":
        same = "".join(f'<span class="wb-rt-same">same rows: {_e(words.chips(one))}</span>' for one in _same(cell))
        head = _chips(words.pairs(cell)) + same
        if not details:
            return head
        body = f'<div class="wb-rt-out"><div class="wb-rt-body">{details}</div></div>'
        return f'<details><summary class="wb-rt-s">{head}</summary>{body}</details>'
    if kind == "ratio":
        text = words.ratio(cell)
        value, _, between = text.partition(" ")
        inner = f' <span class="wb-rt-i">{_e(between)}</span>' if between else ""
        return f"{_svg(column, cell, scale, _BAR)}{_e(value)}{inner}"
    if kind == "share":
        return f"{_svg(column, cell, scale, _SHARE)}{_e(words.share(cell))}"
    if kind == "spark":
        return _svg(column, cell, scale, 72.0, label=f"{len(cell)} panes: {_plain(column, cell)}")
    return _e(_plain(column, cell))


def _chips(pairs: Sequence[Sequence[Any]]) -> str:
    """Draw conditions; what is cut stands whole in the tooltip."""
    parts = []
    for name, value in pairs:
        seen = words.chips([(name, value)])
        whole = f"{name} = {words.NULL if value is None else value}"
        column, given = words.chips([(name, "")]), words.value(value)
        title = f' title="{_e(whole)}"' if whole != seen or len(seen) > 40 else ""
        parts.append(f'<span class="wb-rt-chip"{title}><span>{_e(column)}</span>{_e(given)}</span>')
    return '<span class="wb-rt-and"> ∧ </span>'.join(parts)


def _same(cell: Any) -> Sequence[Any]:
    return (cell.get("same") or []) if isinstance(cell, Mapping) else []


def _plain(column: Mapping[str, Any], cell: Any) -> str:
    """Return a cell's figure without the column's word, which its header says."""
    return words.cell_text({key: item for key, item in column.items() if key != "word"}, cell)


def _svg(column: Mapping[str, Any], cell: Any, scale: _Scale, width: float, label: str = "") -> str:
    picture = Drawing(width, _HIGH, label)
    picture.add(*_shapes(column, cell, scale, 0.0, 0.0))
    # The figures beside a bar say what it shows.
    drawn = picture.svg().replace('role="img"', 'class="wb-rt-bar" role="img"', 1)
    return drawn if label else drawn.replace('role="img" aria-label=""', 'aria-hidden="true"', 1)


def _shapes(column: Mapping[str, Any], cell: Any, scale: _Scale, x: float, y: float) -> list[Any]:
    kind = column.get("format")
    if kind == "share":
        part = scale.at(words.as_float(cell))
        return [
            Bar(x, y, _SHARE, _HIGH, "track", radius=2),
            Bar(x, y, max(1.0, _SHARE * part), _HIGH, "accent", opacity=0.55, radius=2),
        ]
    if kind == "spark":
        return _spark(cell, x, y)
    value, low, high = (words.as_float(cell.get(key)) for key in ("value", "low", "high"))
    shapes: list[Any] = []
    if not math.isnan(value):
        base = scale.at(0.0 if scale.linear else 1.0)
        left, right = sorted((base, scale.at(value)))
        shapes.append(Bar(x + _BAR * left, y, max(2.0, _BAR * (right - left)), _HIGH, "accent", opacity=0.55, radius=2))
    if not (math.isnan(low) or math.isnan(high)):
        left, right = x + _BAR * scale.at(low), x + _BAR * scale.at(high)
        middle = y + _HIGH / 2
        shapes += [Line(left, middle, right, middle, "text"), Line(left, y + 2, left, y + _HIGH - 2, "text")]
        if high != math.inf:
            shapes.append(Line(right, y + 2, right, y + _HIGH - 2, "text"))
    return shapes


def _spark(cell: Sequence[Any], x: float, y: float) -> list[Any]:
    known = [words.as_float(number) for number in cell]
    finite = [number for number in known if math.isfinite(number)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    shapes, run = [], []
    for index, number in enumerate([*known, math.nan]):
        if math.isfinite(number):
            place = y + _HIGH - 2 - (_HIGH - 4) * (number - low) / ((high - low) or 1.0)
            run.append((x + 2 + 68 * index / max(1, len(known) - 1), place))
        elif run:
            shapes.append(Path(run if len(run) > 1 else [run[0], (run[0][0] + 2, run[0][1])], "accent"))
            run = []
    return shapes


# -------------------------------------------------------------------------------------------------------------- parts


def _table(columns: Sequence[Mapping[str, Any]], rows: Sequence[str], widest: int, between: bool) -> str:
    head = "".join(f'<th scope="col"{_class(one)}{_wide(one, widest)}>{_label(one, between)}</th>' for one in columns)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return tables.scroller(table, "Explanations")


def _wide(column: Mapping[str, Any], widest: int) -> str:
    # So that the two tables of one answer stand in line.
    return f' style="min-width:min({min(widest, 40)}ch,42cqw)"' if _is(column, "chips") else ""


def _label(column: Mapping[str, Any], between: bool) -> str:
    label = _e(str(column.get("label") or column.get("name") or ""))
    if not _is(column, "ratio"):
        return label
    title = f"bars {'from 0' if column.get('linear') else 'on a logarithmic scale from 1'}"
    if not between:
        return f'<span class="wb-rt-th" title="{title}">{label}</span>'
    return f'<span class="wb-rt-th" title="with its 95 % interval; {title}">{label}</span> <span>[95 %]</span>'


def _is(column: Mapping[str, Any], kind: str) -> bool:
    return bool(column.get("format") == kind)


def _class(column: Mapping[str, Any]) -> str:
    if _is(column, "chips"):
        return ' class="wb-rt-c"'
    return ' class="wb-n"' if column.get("format") in _RIGHT else ""


def _e(text: Any) -> str:
    return html.escape(str(text), quote=True)
