"""Outliers of rows that arrive: `outliers_stream` and `OutlierStream`."""

from __future__ import annotations

import math
import time as clock
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly.panes import Pane, Panes, nanoseconds
from workbench.anomaly.stream_guard import uninterrupted
from workbench.anomaly.stream_options import bytes_of, check_options, cut_of, length_of
from workbench.engine.errors import one_line

if TYPE_CHECKING:
    import os

    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

    from workbench.anomaly.language import Request
    from workbench.anomaly.results import Explanations
    from workbench.anomaly.stream_fade import FadeState
    from workbench.anomaly.stream_window import WindowState
    from workbench.engine.run import Run

__all__ = ["OutlierStream", "outliers_stream", "start_follow"]

#: entries of the question that `language.request` checks
_ASKED = ("score", "top", "tail", "where", "min_support", "min_ratio", "max_combo", "compare", "seed")


def outliers_stream(
    source: Any = None,
    *,
    metric: Any = None,
    by: Any,
    score: Any = "mad",
    top: float = 0.01,
    tail: str = "both",
    where: str | None = None,
    min_support: float = 0.01,
    min_ratio: float = 3.0,
    max_combo: int = 3,
    compare: str = "risk_ratio",
    window: str | int | None = None,
    slide: str | int | None = None,
    decay: float = 0.0,
    time: str | None = None,
    lateness: str = "0s",
    reservoir: int = 10_000,
    memory: str | int = "512MiB",
    seed: int = 0,
) -> OutlierStream:
    """Ask the question of `outliers` of rows that arrive.

    Parameters
    ----------
    source : iterable, async iterable or folder, optional
        Frames, or a folder that receives files; `for result in stream` takes them in. None: rows are pushed.
    metric, by, score, top, tail, where, min_support, min_ratio, max_combo, compare, seed
        As in `outliers`.
    window : str, optional
        `"10m"` or `"100000rows"`: exact windows, tumbling, or sliding by `slide`.
    slide : str, optional
        Length of a pane; without it each window is one pane, and without a window each push is.
    decay : float
        Share that is forgotten at each pane end, 0 <= decay < 1; not with `window`.
    time : str, optional
        A timestamp column, for windows and panes of time.
    lateness : str
        How late a row may be before its pane is closed.
    reservoir : int
        Rows in a sample, without a window.
    memory : str or int
        Bytes for the rows of the window, or for counts and codes.

    Returns
    -------
    OutlierStream

    Raises
    ------
    WorkbenchError
        For a mistake in the arguments; mistakes about columns show at the first push.
    """
    if source is not None:
        from workbench.anomaly.follow import check_source

        check_source(source)
    return OutlierStream(
        source=source, metric=metric, by=by, score=score, top=top, tail=tail, where=where, min_support=min_support,
        min_ratio=min_ratio, max_combo=max_combo, compare=compare, window=window, slide=slide, decay=decay, time=time,
        lateness=lateness, reservoir=reservoir, memory=memory, seed=seed,
    )  # fmt: skip


def start_follow(source: Any, **options: Any) -> Run[Explanations]:
    """Take in a source on a thread of its own; see `follow.start_follow`."""
    from workbench.anomaly import follow

    return follow.start_follow(source, **options)


class OutlierStream:
    """Rows that arrive, cut into panes; made by `outliers_stream`, whose arguments these are.

    Attributes
    ----------
    result : Explanations or None
        That of the last pane.
    labels : bool array
        For the rows of the last push, which are outliers; rows of a pane that is still open are not yet.
    history : DataFrame
        A row a pane.
    error_bound : float
        By how many rows a total may be too high; 0 while counts are exact.
    """

    def __init__(self, *, source: Any = None, name: str = "the stream", **options: Any) -> None:
        self.source, self.name, self.options = source, name, options
        self.panes = Panes(cut_of(options))
        self.result: Explanations | None = None
        self.labels: NDArray[np.bool_] = np.zeros(0, bool)
        self.request: Request | None = None
        self._state: FadeState | WindowState | None = None
        self._rows: list[dict[str, Any]] = []
        self._closed: list[Pane] = []
        self._columns: list[str] = []
        self._asked = False  # whether the question has been checked on a whole pane
        self._tried: int | None = None  # the pane that failed
        self._left_out: list[tuple[int, str]] = []  # panes that failed twice
        check_options(options)

    def push(self, data: Any) -> Explanations | None:
        """Take rows; return the result of the last pane that they closed, None if they closed none.

        Parameters
        ----------
        data : DataFrame, table, relation, path, dict or list of dicts
            As in `outliers`; a dict of columns, or rows as dicts, too.

        Raises
        ------
        WorkbenchError
            For a mistake in the question (at the first push), or rows that do not fit it; these are not taken then. If
            a pane cannot be answered, its rows are: the next push tries again, and then goes on without that pane.
        """
        from workbench.anomaly.stream_tables import frame_of

        frame = frame_of(data, self.name)
        table = self._table(frame)
        times = None
        if table.num_rows and self.panes.cut.kind == "time":
            times = nanoseconds(table.column(self.options["time"]), self.options["time"])
        begin = self.panes.pushed
        self.labels = np.zeros(table.num_rows, bool)
        if table.num_rows and self.panes.cut.kind == "push":
            self._closed += self.panes.add(table)
        elif table.num_rows:
            with uninterrupted():
                self._closed += self.panes.add(table, times)
        return self._take(begin)

    def close(self) -> Explanations | None:
        """Close the pane that is open, full or not, and return its result; None if no row waits.

        The stream can be used further: the rows that come next are in the pane after that.
        """
        begin = self.panes.pushed - len(self.labels)
        with uninterrupted():
            self._closed += self.panes.close()
        return self._take(begin)

    def __iter__(self) -> Iterator[Explanations]:
        """Take in the source, and yield the result of each pane as it closes."""
        from workbench.anomaly.follow import frames_of

        for frame in frames_of(self.source):
            self.push(frame)
            yield from self._results
        self.close()
        yield from self._results

    @property
    def history(self) -> pd.DataFrame:
        """A row a pane: pane, start, end, rows, outliers, late, cutoff_low, cutoff_high, seconds."""
        import pandas as pd

        edge = "datetime64[ns]" if self.panes.cut.kind == "time" else "int64"
        kinds = {
            "pane": "int64", "start": edge, "end": edge, "rows": "int64", "outliers": "int64", "late": "int64",
            "cutoff_low": "float64", "cutoff_high": "float64", "seconds": "float64",
        }  # fmt: skip
        return pd.DataFrame(
            {name: pd.Series([row[name] for row in self._rows]).astype("int64" if kind == edge else kind).astype(kind)
             for name, kind in kinds.items()}
        )  # fmt: skip

    @property
    def error_bound(self) -> float:
        """By how many rows a total may be too high; 0 while counts are exact."""
        counts = getattr(self._state, "counts", None)
        return 0.0 if counts is None else float(counts.error_bound)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Keep all there is to know in `path` (an Arrow file) and `path` + ".json", each written by rename."""
        from workbench.anomaly.checkpoint import save

        save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> OutlierStream:
        """Return the stream that was saved; it goes on with the next push."""
        from workbench.anomaly.checkpoint import load

        return load(cls, path)

    def __repr__(self) -> str:
        rows = f"{self.panes.pushed:,} rows in {len(self._rows):,} pane{'' if len(self._rows) == 1 else 's'}"
        return f"<OutlierStream: {rows}>"

    # ----------------------------------------------------------------------------------------------------- private

    def _table(self, frame: Any) -> pa.Table:
        """Return the columns of a push as one Arrow table, and check the question on the first."""
        import pyarrow as pa

        from workbench.anomaly.data import check_number

        if self.request is None:
            self._begin(frame)
        assert self.request is not None
        for name in self._columns:
            frame.check(name)
        for name in self.request.metrics:
            check_number(name, frame.schema[name])
        # the rows behind the answer of a window are whole, and "*" chooses among all columns of a pane
        whole = self.options["window"] is not None or not self._asked
        names = list(frame.schema) if whole else self._columns
        frame.want(names)
        return pa.table({name: frame.column(name) for name in names})

    def _begin(self, frame: Any) -> None:
        """Check the question on the rows that came first."""
        options, every = self.options, self.options["by"] == "*" and self.panes.cut.kind != "push"
        time = options["time"]
        if time is not None:
            frame.check(time)
        # a few rows do not tell which columns are fit for "*": that waits for a whole pane
        by = (
            options["by"] if not every else [name for name in frame.schema if name not in _names(options["metric"])][:1]
        )
        asked = self._request(frame, by)
        used = [*asked.metrics, *(name for name, _ in asked.by if not every), *([time] if time else [])]
        if asked.where is not None:
            from workbench.anomaly.predicate import checked_columns

            used += checked_columns(frame, asked.where)
        score: Any = asked.score
        if hasattr(score, "period"):
            used.append(score.time)
        self._columns = list(dict.fromkeys(used))
        self._asked = self.panes.cut.kind == "push"
        self.request = asked
        if self._asked:
            self._make_state()

    def _request(self, data: Any, by: Any) -> Request:
        from workbench.anomaly.language import request

        return request(data, self.options["metric"], by, **{key: self.options[key] for key in _ASKED})

    def _ask(self, pane: Pane) -> None:
        """Check the question on the first pane: what it says of columns is said of whole panes."""
        from workbench.anomaly.frames import read

        self.request = self._request(read(pane.table, name=self.name), self.options["by"])
        self._columns = list(dict.fromkeys([*self._columns, *(name for name, _ in self.request.by)]))
        self._make_state()
        self._asked = True

    def _make_state(self) -> None:
        from workbench.anomaly.stream_fade import FadeState
        from workbench.anomaly.stream_window import WindowState

        assert self.request is not None
        options, memory = self.options, bytes_of(self.options["memory"])
        if options["window"] is None:
            self._state = FadeState(self.request, options["decay"], options["reservoir"], memory, self.name)
        else:
            panes = length_of(options["window"], "window")[1] // self.panes.cut.length
            self._state = WindowState(self.request, panes, memory, self.name)

    def _take(self, begin: int) -> Explanations | None:
        """Answer the panes that are closed; one that fails, or is interrupted, waits for the next push."""
        self._results: list[Explanations] = []
        while self._closed:
            pane = self._closed[0]
            try:
                self._results.append(self._answer(pane, begin))
            except Exception as error:
                if self._tried != pane.number:
                    self._tried = pane.number
                    raise
                self._leave_out(pane, error)
        return self._results[-1] if self._results else None

    def _answer(self, pane: Pane, begin: int) -> Explanations:
        started = clock.perf_counter()
        if not self._asked:
            self._ask(pane)
        state = self._state
        assert state is not None
        result, flags, cutoff = state.close(pane, self._notes(pane))
        with uninterrupted():
            state.keep(pane)
            del self._closed[0]
            self.result, self._tried = result, None
            # of a window later answers tell too which of its panes are missing
            self._left_out = [each for each in self._left_out if 0 < pane.number - each[0] < self._reach - 1]
            mine = pane.origin >= begin
            self.labels[pane.origin[mine] - begin] = flags[mine]
            limits = (np.nan, np.nan) if cutoff is None else (cutoff.low, cutoff.high)
            self._record(pane, int(np.count_nonzero(flags)), limits, clock.perf_counter() - started)
        return result

    @property
    def _reach(self) -> float:
        """Panes in a window."""
        return float(getattr(self._state, "panes", 0)) or math.inf

    def _leave_out(self, pane: Pane, error: Exception) -> None:
        """Go on without a pane that has failed twice: it would fail for ever."""
        rows = f"{pane.table.num_rows:,} row{'' if pane.table.num_rows == 1 else 's'}"
        with uninterrupted():
            self._left_out.append((pane.number, f"Pane {pane.number} ({rows}) was left out: {one_line(error)}."))
            del self._closed[0]
            self._tried = None
            self._record(pane, 0, (np.nan, np.nan), 0.0)

    def _notes(self, pane: Pane) -> list[str]:
        """Return what is to be said of how a pane came about."""
        assert self.request is not None
        notes = list(self.request.notes) if not self._rows else []
        notes += [note for number, note in self._left_out if number > pane.number - self._reach]
        if pane.timeless:
            verb = ("row has", "was") if pane.timeless == 1 else ("rows have", "were")
            notes.append(f"{pane.timeless:,} {verb[0]} no {self.options['time']} and {verb[1]} left out.")
        if pane.late:
            rows, were = ("row", "was") if pane.late == 1 else ("rows", "were")
            lateness = self.options["lateness"]
            notes.append(f"{pane.late} {rows} older than the window {were} dropped (allowed lateness {lateness}).")
        return notes

    def _record(self, pane: Pane, outliers: int, limits: tuple[float, float], seconds: float) -> None:
        self._rows.append(
            {
                "pane": pane.number, "start": pane.start, "end": pane.end, "rows": pane.table.num_rows,
                "outliers": outliers, "late": pane.late, "cutoff_low": limits[0], "cutoff_high": limits[1],
                "seconds": seconds,
            }
        )  # fmt: skip


def _names(metric: Any) -> list[str]:
    return [] if metric is None else [metric] if isinstance(metric, str) else list(metric)
