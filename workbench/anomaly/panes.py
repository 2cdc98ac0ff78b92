"""How a stream is cut into panes: by push, by rows, or by time with a watermark for rows that come late."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from workbench.anomaly.data import kind_name
from workbench.anomaly.stream_tables import put_together
from workbench.engine.errors import WorkbenchError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Cut", "Pane", "Panes"]


@dataclass(frozen=True)
class Cut:
    """Where panes end.

    Attributes
    ----------
    kind : {"push", "rows", "time"}
        Each push is a pane; panes have as many rows; panes have a length, aligned to the epoch.
    length : int
        Rows, or nanoseconds.
    lateness : int
        Nanoseconds that a row may be late.
    """

    kind: Literal["push", "rows", "time"] = "push"
    length: int = 0
    lateness: int = 0


@dataclass(frozen=True, eq=False)
class Pane:
    """A closed pane.

    Attributes
    ----------
    number : int
        From 0; panes of time count from the first one with rows, empty ones too.
    start, end : int
        Row numbers, or nanoseconds since the epoch; the end is excluded.
    table : Arrow table
        Its rows, in the order in which they came.
    origin : int64 (n,)
        Number of each row among all rows that were pushed.
    late : int
        Rows that were dropped since a pane before told of some, as theirs was closed.
    timeless : int
        Rows that were dropped since then, as they have no time.
    """

    number: int
    start: int
    end: int
    table: pa.Table
    origin: NDArray[np.int64]
    late: int = 0
    timeless: int = 0


@dataclass(eq=False)
class Panes:
    """The rows that are not yet in a closed pane.

    Parameters
    ----------
    cut : Cut
    """

    cut: Cut
    pushed: int = 0
    _timeless: int = 0
    _late: int = 0
    _first: int | None = None
    _next: int = 0  # the earliest pane that is still open; panes of time: since the epoch
    _latest: int | None = None
    #: a pane of rows, and its first row: panes after one that was closed short follow it
    _base: tuple[int, int] = (0, 0)
    _open: dict[int, list[tuple[pa.Table, Any]]] = field(default_factory=dict)

    def add(self, table: pa.Table, times: NDArray[np.int64] | None = None) -> list[Pane]:
        """Take rows, and return the panes that they close, in order.

        Parameters
        ----------
        table : Arrow table
        times : int64 (n,), optional
            Nanoseconds since the epoch, for panes of time; the least int64 where a row has none.
        """
        origin = np.arange(self.pushed, self.pushed + table.num_rows)
        self.pushed += table.num_rows
        if self.cut.kind == "push":
            self._next += 1
            return [Pane(self._next - 1, int(origin[0]) if len(origin) else self.pushed, self.pushed, table, origin)]
        if self.cut.kind == "time":
            assert times is not None
            return self._by_time(table, times, origin)
        number, start = self._base
        where = (origin - start) // self.cut.length + number
        for number, begin, end in _stretches(where):
            self._open.setdefault(number, []).append((table.slice(begin, end - begin), origin[begin:end]))
        return [self._closed(number) for number in sorted(self._open) if self._start(number + 1) <= self.pushed]

    def close(self) -> list[Pane]:
        """Close what is open, full or not; the rows that come next are in the pane after that."""
        numbers = sorted(self._open)
        closed = [self._closed(number, number == numbers[-1]) for number in numbers]
        if closed and self.cut.kind == "rows":
            self._base = closed[-1].number + 1, self.pushed
        return closed

    def state(self) -> dict[str, Any]:
        """Return all there is to know, as tables and plain data."""
        tables = []
        for number, parts in sorted(self._open.items()):
            for table, origin in parts:
                tables.append((number, table, origin.tolist()))
        return {
            "pushed": self.pushed, "timeless": self._timeless, "late": self._late, "first": self._first,
            "next": self._next, "latest": self._latest, "base": list(self._base), "open": tables,
        }  # fmt: skip

    @classmethod
    def from_state(cls, cut: Cut, state: Mapping[str, Any]) -> Panes:
        """Return the panes that gave a state."""
        made = cls(cut, int(state["pushed"]), int(state["timeless"]), int(state["late"]), state["first"])
        made._next, made._latest = int(state["next"]), state["latest"]
        made._base = state["base"][0], state["base"][1]
        for number, table, origin in state["open"]:
            made._open.setdefault(number, []).append((table, np.array(origin, np.int64)))
        return made

    # ----------------------------------------------------------------------------------------------------- private

    def _by_time(self, table: pa.Table, times: NDArray[np.int64], origin: NDArray[np.int64]) -> list[Pane]:
        known = times != np.iinfo(np.int64).min
        self._timeless += int(len(times) - np.count_nonzero(known))
        if not known.any():
            return []
        where = times // self.cut.length
        latest = int(times[known].max())
        self._latest = latest if self._latest is None else max(self._latest, latest)
        bound = (self._latest - self.cut.lateness) // self.cut.length  # this pane and later ones are open
        if self._first is None:
            self._first = int(where[known].min())
            self._next = min(self._first, bound)  # rows before the first one may still come
        late = known & (where < self._next)
        self._late += int(np.count_nonzero(late))
        kept = np.flatnonzero(known & ~late)
        for number in np.unique(where[kept]).tolist():
            rows = kept[where[kept] == number]
            self._open.setdefault(number, []).append((table.take(rows), origin[rows]))
        ended = [number for number in sorted(self._open) if number < bound]
        closed = [self._closed(number, number == ended[-1]) for number in ended]
        self._next = max(self._next, bound)
        return closed

    def _closed(self, number: int, last: bool = True) -> Pane:
        """Close a pane; the last of those closed at once tells of the rows that were dropped: its answer is seen."""
        parts = self._open.pop(number)
        table = put_together([part for part, _ in parts])
        late = timeless = 0
        if last:
            late, timeless, self._late, self._timeless = self._late, self._timeless, 0, 0
        self._next = max(self._next, number + 1)
        origin = np.concatenate([rows for _, rows in parts])
        start = self._start(number)
        end = start + self.cut.length if self.cut.kind == "time" else start + table.num_rows
        return Pane(number - (self._first or 0), start, end, table, origin, late, timeless)

    def _start(self, number: int) -> int:
        """Return where a pane begins."""
        if self.cut.kind == "time":
            return number * self.cut.length
        return self._base[1] + (number - self._base[0]) * self.cut.length


def _stretches(where: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """Return (value, begin, end) of each run of equal values."""
    if not len(where):
        return []
    begins = np.flatnonzero(np.concatenate([[True], where[1:] != where[:-1]]))
    ends = np.append(begins[1:], len(where))
    return [(int(where[b]), int(b), int(e)) for b, e in zip(begins, ends, strict=True)]


def nanoseconds(column: pa.ChunkedArray, name: str) -> NDArray[np.int64]:
    """Return a timestamp column as nanoseconds since the epoch (UTC); the least int64 for null.

    Raises
    ------
    WorkbenchError
        If it holds no timestamps, or one that nanoseconds cannot count.
    """
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), np.iinfo(np.int64).min)
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("s"))
        kind = column.type
    if not pa.types.is_timestamp(kind):
        raise WorkbenchError(
            f'"{name}" is {kind_name(kind)}; the time of a stream must be a timestamp.',
            f'Convert it first, such as pandas.to_datetime(df["{name}"]).',
        )
    scale = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[kind.unit]
    missing = column.is_null().to_numpy(zero_copy_only=False)
    whole = column.cast(pa.int64()).fill_null(0).to_numpy()
    if (np.abs(whole) > np.iinfo(np.int64).max // scale).any():
        raise WorkbenchError(
            f'"{name}" holds times before 1678 or after 2262.', "Leave these rows out: panes are cut in nanoseconds."
        )
    return np.where(missing, np.iinfo(np.int64).min, whole * scale)
