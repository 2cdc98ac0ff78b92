"""What a script of SQL with DIFF is read into: statements, the DIFFs in them with their parts, and their places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Aggregate", "Cte", "Diff", "Import", "Outfile", "Plain", "Script", "Side", "Split", "Statement", "show"]


def _place() -> Any:
    # Where something stands does not make it another thing.
    return field(compare=False, default=0)


@dataclass(frozen=True)
class Side:
    """One of the two tables of a DIFF.

    Attributes
    ----------
    text : str
        A FROM item: `t`, `a NATURAL JOIN b`, `(SELECT ...)`, `(a JOIN b USING (k))`.
    query : bool
        Whether it is a select in parentheses.
    alias : str or None
    start, end : int
        Offsets of `text` in the script.
    """

    text: str
    query: bool
    alias: str | None = None
    start: int = _place()
    end: int = _place()


@dataclass(frozen=True)
class Split:
    """`(SPLIT source WHERE condition)`: both sides are of one table. Offsets are those of source and condition."""

    source: str
    condition: str
    start: int = _place()
    end: int = _place()
    condition_start: int = _place()
    condition_end: int = _place()


@dataclass(frozen=True)
class Aggregate:
    """What is compared: "COUNT" of rows, "SUM" or "AVG" of a column."""

    function: str = "COUNT"
    column: str | None = None
    offset: int = _place()

    def __str__(self) -> str:
        from workbench.anomaly.sql_tokens import quoted

        return f"{self.function}({'*' if self.column is None else quoted(self.column)})"


@dataclass(frozen=True)
class Cte:
    """A common table expression in whose scope a DIFF stands."""

    name: str
    recursive: bool
    start: int = _place()
    end: int = _place()


@dataclass(frozen=True)
class Diff:
    """One DIFF.

    Attributes
    ----------
    sides : tuple of two Side, or Split
    on : tuple of str, or None for `*`
    min_ratio, min_support : float or None
        None where the statement does not say.
    compare : str
        Name of the metric.
    aggregate : Aggregate
    max_combo : int or None
    alias : str or None
    inner : tuple of Diff
        Those inside its sides.
    ctes : tuple of Cte
        In whose scope it stands, outermost first.
    on_offsets : tuple of int
        Where the columns stand.
    start, end : int
        Offsets in the script.
    """

    sides: tuple[Side, Side] | Split
    on: tuple[str, ...] | None
    min_ratio: float | None = None
    min_support: float | None = None
    compare: str = "global_ratio"
    aggregate: Aggregate = Aggregate()
    max_combo: int | None = None
    alias: str | None = None
    inner: tuple[Diff, ...] = ()
    ctes: tuple[Cte, ...] = field(compare=False, default=())
    on_offsets: tuple[int, ...] = field(compare=False, default=())
    start: int = _place()
    end: int = _place()

    def walk(self) -> Iterator[Diff]:
        """Yield those inside, then this one: the order in which they can be answered."""
        for diff in self.inner:
            yield from diff.walk()
        yield self


@dataclass(frozen=True)
class Outfile:
    """`INTO OUTFILE 'path'`, with what ends fields and lines. Offsets are those of the whole clause."""

    path: str
    fields: str = ","
    lines: str = "\n"
    start: int = _place()
    end: int = _place()


@dataclass(frozen=True)
class Plain:
    """Where the parts of a statement stand that is `SELECT *` over one DIFF.

    Attributes
    ----------
    start, end : int
        The statement, without OUTFILE.
    select, item : int
        Where its SELECT (or a leading FROM) begins, and where what follows the DIFF does.
    order : int or None
        Where the keys of its ORDER BY end, if it has any.
    """

    start: int
    end: int
    select: int
    item: int
    order: int | None


@dataclass(frozen=True)
class Statement:
    """DuckDB's SQL with the DIFFs in it. Offsets are those of the text, without OUTFILE at its end."""

    diffs: tuple[Diff, ...]
    outfile: Outfile | None = None
    plain: Plain | None = field(compare=False, default=None)
    start: int = _place()
    end: int = _place()


@dataclass(frozen=True)
class Import:
    """`IMPORT FROM CSV FILE 'path' INTO table (column type, ...)`; without columns they are as the file has them."""

    path: str
    table: str
    columns: tuple[tuple[str, str], ...]
    offset: int = _place()


@dataclass(frozen=True)
class Script:
    """A text and its statements, in order."""

    text: str = field(compare=False)
    statements: tuple[Statement | Import, ...]


def show(diff: Diff) -> str:
    """Write a DIFF as SQL: what reads as the same again."""
    from workbench.anomaly.sql_tokens import quoted

    if isinstance(diff.sides, Split):
        head = f"DIFF (SPLIT {diff.sides.source} WHERE {diff.sides.condition})"
    else:
        sides = (side.text + ("" if side.alias is None else f" {quoted(side.alias)}") for side in diff.sides)
        head = f"DIFF {', '.join(sides)}"
    parts = [head, "ON", "*" if diff.on is None else ", ".join(quoted(name) for name in diff.on)]
    if diff.min_ratio is not None or diff.min_support is not None:
        parts.append("WITH")
    if diff.min_ratio is not None:
        parts.append(f"MIN RATIO {diff.min_ratio!r}")
    if diff.min_support is not None:
        parts.append(f"MIN SUPPORT {diff.min_support!r}")
    parts.append(f"COMPARE BY {diff.compare}({diff.aggregate})")
    if diff.max_combo is not None:
        parts.append(f"MAX COMBO {diff.max_combo}")
    if diff.alias is not None:
        parts.append(f"AS {quoted(diff.alias)}")
    return " ".join(parts)
