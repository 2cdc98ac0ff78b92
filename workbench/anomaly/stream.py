"""Outliers of rows that arrive: `outliers_stream` and `OutlierStream`."""

from __future__ import annotations

import re
import time as clock
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly import checks
from workbench.anomaly.panes import Cut, Pane, Panes, nanoseconds
from workbench.engine.errors import WorkbenchError

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

_ROWS = re.compile(r"^\s*([0-9][0-9_,]*)\s*rows?\s*$")
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
        self.panes = Panes(_cut(options))
        self.result: Explanations | None = None
        self.labels: NDArray[np.bool_] = np.zeros(0, bool)
        self.request: Request | None = None
        self._state: FadeState | WindowState | None = None
        self._rows: list[dict[str, Any]] = []
        self._closed: list[Pane] = []
        self._columns: list[str] = []
        _check(options)

    def push(self, data: Any) -> Explanations | None:
        """Take rows; return the result of the last pane that they closed, None if they closed none.

        Parameters
        ----------
        data : DataFrame, Arrow table, path
            As in `outliers`.

        Raises
        ------
        WorkbenchError
            For a mistake in the question (at the first push), or rows with other columns than the first.
        """
        from workbench.anomaly.frames import read

        frame = read(data, name=self.name)
        table = self._table(frame)
        if not table.num_rows:
            self.labels = np.zeros(0, bool)
            return None
        times = None
        if self.panes.cut.kind == "time":
            times = nanoseconds(table.column(self.options["time"]), self.options["time"])
        begin = self.panes.pushed
        self.labels = np.zeros(table.num_rows, bool)
        return self._take(self.panes.add(table, times), begin)

    def close(self) -> Explanations | None:
        """Close the pane that is open, full or not, and return its result; None if no row waits."""
        begin = self.panes.pushed - len(self.labels)
        return self._take(self.panes.close(), begin)

    def __iter__(self) -> Iterator[Explanations]:
        """Take in the source, and yield the result of each pane as it closes."""
        from workbench.anomaly.follow import frames_of

        for frame in frames_of(self.source):
            result = self.push(frame)
            if result is not None:
                yield result
        result = self.close()
        if result is not None:
            yield result

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
        return pa.table({name: frame.column(name) for name in self._columns})

    def _begin(self, frame: Any) -> None:
        from workbench.anomaly.language import request

        options = self.options
        time = options["time"]
        if time is not None:
            frame.check(time)
        self.request = request(frame, options["metric"], options["by"], **{key: options[key] for key in _ASKED})
        if options["window"] is None:
            used = [*self.request.metrics, *(name for name, _ in self.request.by), *([time] if time else [])]
            if self.request.where is not None:
                from workbench.anomaly.predicate import checked_columns

                used += checked_columns(frame, self.request.where)
            self._columns = list(dict.fromkeys(used))
        else:
            self._columns = list(frame.schema)  # the rows behind an answer are whole
        self._make_state()

    def _make_state(self) -> None:
        from workbench.anomaly.stream_fade import FadeState
        from workbench.anomaly.stream_window import WindowState

        assert self.request is not None
        options, memory = self.options, _bytes(self.options["memory"])
        if options["window"] is None:
            self._state = FadeState(self.request, options["decay"], options["reservoir"], memory, self.name)
        else:
            panes = _length(options["window"], "window")[1] // self.panes.cut.length
            self._state = WindowState(self.request, panes, memory, self.name)

    def _take(self, closed: list[Pane], begin: int) -> Explanations | None:
        result = None
        self._closed += closed
        while self._closed:  # a pane whose answer fails, or is interrupted, waits for the next push
            pane = self._closed[0]
            started = clock.perf_counter()
            assert self._state is not None
            assert self.request is not None
            notes = list(self.request.notes) if not self._rows else []
            if pane.late:
                rows, lateness = "row" if pane.late == 1 else "rows", self.options["lateness"]
                were = "was" if pane.late == 1 else "were"
                notes.append(f"{pane.late} {rows} older than the window {were} dropped (allowed lateness {lateness}).")
            result, flags, cutoff = self._state.close(pane, notes)
            del self._closed[0]
            self.result = result
            mine = pane.origin >= begin
            self.labels[pane.origin[mine] - begin] = flags[mine]
            self._rows.append(
                {
                    "pane": pane.number, "start": pane.start, "end": pane.end, "rows": pane.table.num_rows,
                    "outliers": int(np.count_nonzero(flags)), "late": pane.late,
                    "cutoff_low": np.nan if cutoff is None else cutoff.low,
                    "cutoff_high": np.nan if cutoff is None else cutoff.high, "seconds": clock.perf_counter() - started,
                }
            )  # fmt: skip
        return result


# -------------------------------------------------------------------------------------------------------------- checks


def _check(options: dict[str, Any]) -> None:
    options["decay"] = checks.check_decay(options["decay"])
    if options["window"] is not None and options["decay"]:
        raise WorkbenchError(
            "window and decay exclude each other.", "Use window for exact windows, decay for fading memory."
        )
    if options["metric"] is None and options["where"] is None:
        raise WorkbenchError("No metric, where or labels given.", "Name a metric, or mark the rows with where.")
    if hasattr(options["score"], "period") and options["window"] is None:
        raise WorkbenchError("A Seasonal score needs whole periods of rows.", "Give a window of several periods.")
    if options["compare"] in ("mean_shift", "mean_deviation") and options["window"] is None:
        raise WorkbenchError(f"{options['compare']} needs all rows it compares.", "Give a window.")
    options["reservoir"] = checks.check_count("reservoir", options["reservoir"], "a number of rows", 1, 10_000)
    _bytes(options["memory"])


def _cut(options: dict[str, Any]) -> Cut:
    """Return where panes end, from window, slide, time and lateness."""
    window, slide = options["window"], options["slide"]
    if window is None and slide is None:
        return Cut()
    kind, length = _length(slide if slide is not None else window, "slide" if slide is not None else "window")
    if window is not None:
        other, whole = _length(window, "window")
        if other != kind:
            raise WorkbenchError(
                "window and slide are of two kinds.", 'Give both in rows or both as times: "10m", "1m".'
            )
        if whole % length:
            raise WorkbenchError(
                f"window {window} is not a multiple of slide {slide}.", 'Give such as window="10m", slide="1m".'
            )
    if kind == "time" and options["time"] is None:
        raise WorkbenchError(
            f'"{window if window is not None else slide}" is a time, and time= is not given.',
            'Name a timestamp column: time="ts"; or count rows: "100000rows".',
        )
    lateness = _duration(options["lateness"], "lateness") if kind == "time" else 0
    return Cut("time" if kind == "time" else "rows", length, lateness)


def _length(value: Any, name: str) -> tuple[str, int]:
    """Return ("rows", n) or ("time", nanoseconds)."""
    match = _ROWS.match(value) if isinstance(value, str) else None
    if match:
        rows = int(match[1].replace("_", "").replace(",", ""))
        return "rows", checks.check_count(name, rows, "a number of rows", 1, 100_000)
    if isinstance(value, (int, float)):
        raise WorkbenchError(f"{name}={value!r} has no unit.", f'Write {name}="10m" or {name}="{value}rows".')
    length = _duration(value, name)
    if length <= 0:
        raise WorkbenchError(f"{name} is {value!r}; it is a length of time.", f'Write {name}="10m".')
    return "time", length


def _duration(value: Any, name: str) -> int:
    from workbench.anomaly.durations import as_nanoseconds

    return as_nanoseconds(value, name)


def _bytes(memory: Any) -> int:
    from workbench.engine.units import as_bytes

    return as_bytes(memory, "memory") if isinstance(memory, str) else int(memory)
