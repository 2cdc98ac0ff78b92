"""Plans: trees of named operators with estimated and actual rows, bytes, time and cache hits."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, overload

from workbench.engine.units import format_bytes

__all__ = ["Node", "Plan"]


@dataclass(frozen=True)
class Node:
    """One operator.

    Attributes
    ----------
    op, detail : str
        What it does, and on what.
    est_rows, rows : float or None
        Rows that leave it: estimated, and as counted by a run.
    est_bytes, bytes : float or None
        Their size.
    est_ms, ms : float or None
        Its own time in milliseconds, children not counted.
    cache_hits : float or None
        Share of its rows found in the store, 0 to 1.
    children : tuple of Node
        Where its rows come from.
    """

    op: str
    detail: str = ""
    est_rows: float | None = None
    rows: float | None = None
    est_bytes: float | None = None
    bytes: float | None = None
    est_ms: float | None = None
    ms: float | None = None
    cache_hits: float | None = None
    children: tuple[Node, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "children", tuple(self.children))

    def walk(self) -> Iterator[tuple[int, Node]]:
        """Yield (depth, node) of this node and all below it, parents first."""
        yield 0, self
        for child in self.children:
            for depth, node in child.walk():
                yield depth + 1, node

    def to_dict(self) -> dict[str, Any]:
        """Return the tree as plain data; what is unknown is None."""
        names = ("op", "detail", "est_rows", "rows", "est_bytes", "bytes", "est_ms", "ms", "cache_hits")
        return {name: getattr(self, name) for name in names} | {"children": [c.to_dict() for c in self.children]}


@dataclass(frozen=True)
class Plan:
    """A tree of operators, with advice and notes for the reader. Equal if all of it is equal.

    Attributes
    ----------
    root : Node
    advice : tuple of str
        What would make it faster.
    notes : tuple of str
        What was decided, and why.
    """

    root: Node
    advice: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "advice", tuple(self.advice))
        object.__setattr__(self, "notes", tuple(self.notes))

    def walk(self) -> Iterator[tuple[int, Node]]:
        """Yield (depth, node), parents first."""
        return self.root.walk()

    @overload
    def explain(self, format: Literal["text", "html"] = ...) -> str: ...
    @overload
    def explain(self, format: Literal["dict"]) -> dict[str, Any]: ...
    def explain(self, format: str = "text") -> str | dict[str, Any]:
        """Show the plan, estimates beside actuals.

        Parameters
        ----------
        format : {"text", "html", "dict"}

        Returns
        -------
        str or dict
            The dict has keys `root` (a nested dict of nodes), `advice` and `notes` (lists of str).
        """
        if format == "dict":
            return {"root": self.root.to_dict(), "advice": list(self.advice), "notes": list(self.notes)}
        if format == "html":
            return self._html()
        if format == "text":
            return str(self)
        raise ValueError(f"format is 'text', 'html' or 'dict'; got {format!r}")

    def __str__(self) -> str:
        header, rows = self._cells()
        lines = [header, *rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
        text = [
            "  ".join(
                cell.ljust(width) if column == 0 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        return "\n".join([*text, *(f"note: {note}" for note in self.notes), *(f"advice: {a}" for a in self.advice)])

    def __repr__(self) -> str:
        return f"<Plan {self.root.op}, {sum(1 for _ in self.walk())} operators>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._html()}

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        """Return the header and a row of text for each operator, without columns of which nothing is known."""
        columns = [
            ("est. rows", "est_rows", _count),
            ("rows", "rows", _count),
            ("est. bytes", "est_bytes", format_bytes),
            ("bytes", "bytes", format_bytes),
            ("est. ms", "est_ms", _milliseconds),
            ("ms", "ms", _milliseconds),
            ("cached", "cache_hits", lambda share: f"{int(share * 100)} %"),
        ]
        nodes = list(self.walk())
        known = [column for column in columns if any(getattr(node, column[1]) is not None for _, node in nodes)]
        rows = []
        for depth, node in nodes:
            name = "  " * depth + node.op + (f" {node.detail}" if node.detail else "")
            values = ((getattr(node, attribute), write) for _, attribute, write in known)
            rows.append([name, *("" if value is None else write(value) for value, write in values)])
        return ["operator", *(title for title, _, _ in known)], rows

    def _html(self) -> str:
        header, _ = self._cells()
        _, rows = self._cells()
        number = ' style="text-align:right"'
        head = "".join(f"<th{number if i else ''}>{html.escape(title)}</th>" for i, title in enumerate(header))
        body = []
        for (depth, _), row in zip(self.walk(), rows, strict=True):
            first = (
                f'<td style="text-align:left;padding-left:{0.5 + 1.2 * depth:g}em">{html.escape(row[0].strip())}</td>'
            )
            body.append(f"<tr>{first}{''.join(f'<td{number}>{html.escape(cell)}</td>' for cell in row[1:])}</tr>")
        said = [f"<li>{html.escape(text)}</li>" for text in (*self.notes, *self.advice)]
        remarks = f"<ul>{''.join(said)}</ul>" if said else ""
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
        return f'<div class="wb-plan">{table}{remarks}</div>'


def _count(value: float) -> str:
    return f"{round(value):,}"


def _milliseconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
