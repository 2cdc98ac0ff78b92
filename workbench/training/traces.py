"""Traces: when machines of a spot market come and go, from files or drawn at random."""

from __future__ import annotations

import datetime as dt
import math
import os
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.engine.errors import warn
from workbench.training.errors import TraceError, TrainingError, trace_row

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Arrivals", "RandomTrace", "Trace", "drawn", "read_trace", "scaled"]

HOUR = 3_600_000  # ms

#: (ms, "add" or "remove", node)
Event = tuple[int, str, str]


@dataclass(frozen=True, eq=False)
class Trace:
    """When machines come and go.

    Attributes
    ----------
    events : DataFrame
        `time float64` (s), `action str` ("add" or "remove"), `node str`; in the order of time.
    name : str
    duration : float
        Seconds from 0 to the last row.
    """

    events: pd.DataFrame
    name: str
    duration: float

    def nodes(self) -> pd.DataFrame:
        """Return how many machines there are: `time float64, count int64`, a row at 0 and at each change."""
        import numpy as np
        import pandas as pd

        change = np.where(self.events["action"].to_numpy() == "add", 1, -1)
        times = self.events["time"].to_numpy(dtype="float64")
        after = pd.DataFrame({"time": times, "count": change.cumsum().astype("int64")})
        last = after.groupby("time", sort=True, as_index=False).last()
        if not len(last) or last["time"].iloc[0] > 0:
            start = pd.DataFrame({"time": [0.0], "count": np.zeros(1, dtype="int64")})
            last = pd.concat([start, last], ignore_index=True) if len(last) else start
        return last

    def __repr__(self) -> str:
        most = int(self.nodes()["count"].max())
        adds = int((self.events["action"] == "add").sum())
        return (
            f"<Trace {self.name}: {self.duration / 3600:.3g} h, at most {most} machines, {adds} added, "
            f"{len(self.events) - adds} removed>"
        )


@dataclass(frozen=True)
class RandomTrace:
    """Machines that come and go at random, hour by hour.

    Parameters
    ----------
    removal : float, optional
        Chance of a machine to be removed within an hour; None: a table by the hour of the day.
    addition : float or "random", optional
        Chance of a free place to be filled within an hour; "random" draws one for each hour of the day.
    capacity : int, optional
        The most machines there are; None: what the model or the plan asks for.
    start_hour : int
        Hour of the day, 0 to 23, at which time 0 is.

    Raises
    ------
    TrainingError
        For chances outside 0 to 1, and hours and capacities that are none.
    """

    removal: float | None = None
    addition: float | str | None = None
    capacity: int | None = None
    start_hour: int = 0

    def __post_init__(self) -> None:
        for name, value in (("removal", self.removal), ("addition", self.addition)):
            chance = value is None or (name == "addition" and value == "random")
            if not chance and not (isinstance(value, (int, float)) and 0 <= value <= 1):
                raise TrainingError(f"{name} is a chance from 0 to 1; got {value!r}.", f"Write {name}=0.05.")
        if self.capacity is not None and self.capacity < 1:
            raise TrainingError(f"capacity is a number of machines; got {self.capacity!r}.", "Write capacity=48.")
        if self.start_hour not in range(24):
            raise TrainingError(f"start_hour is an hour from 0 to 23; got {self.start_hour!r}.", "Write start_hour=0.")


def _by_hour(default: float, at_night: float, in_the_afternoon: float) -> list[float]:
    return [default] * 3 + [at_night] * 3 + [default] * 9 + [in_the_afternoon] * 8 + [default]


_ADDITION = _by_hour(0.05, 0.50, 0.0)
_REMOVAL = _by_hour(0.05, 0.01, 0.25)


class Arrivals:
    """The draws of a random trace, in the one order that makes them repeatable.

    Parameters
    ----------
    trace : RandomTrace
    capacity : int
        Where the trace has none.
    seed : int
    """

    def __init__(self, trace: RandomTrace, capacity: int, seed: int) -> None:
        draw = random.Random(seed)
        self.random, self.within_hour = draw.random, draw.randrange
        self.capacity = trace.capacity or capacity
        self.start_hour = trace.start_hour
        if trace.addition is None:
            self.addition = _ADDITION
        elif isinstance(trace.addition, str):
            self.addition = [draw.random() for _ in range(24)]
        else:
            self.addition = [float(trace.addition)] * 24
        self.removal = _REMOVAL if trace.removal is None else [float(trace.removal)] * 24
        self.named = 0

    def first(self) -> list[str]:
        """Return the machines that are there at the start."""
        chance = self.addition[self.start_hour]
        return [self._name() for _ in range(self.capacity) if chance > self.random()]

    def hour(self, now: int, living: Sequence[str]) -> list[Event]:
        """Return what happens in the hour from now (ms), given the living machines in the order of their creation."""
        hour = (self.start_hour + now // HOUR) % 24
        leaves, comes, draw = self.removal[hour], self.addition[hour], self.random
        removals = [(self._moment(now), name) for name in living if leaves > draw()]
        free = self.capacity - len(living) + len(removals)
        additions = [self._moment(now) for _ in range(free) if comes > draw()]
        heapify(removals)
        heapify(additions)
        count, events = len(living), []
        while removals or additions:
            if removals and (not additions or removals[0][0] < additions[0]):
                moment, name = heappop(removals)
                events.append((moment, "remove", name))
                count -= 1
                continue
            moment = heappop(additions)
            if count == self.capacity:
                continue
            name = self._name()
            events.append((moment, "add", name))
            count += 1
            if leaves > draw():
                end = self._moment(now)
                if end >= moment:
                    heappush(removals, (end, name))
        return events

    def _moment(self, now: int) -> int:
        return now + self.within_hour(0, 3600) * 1000

    def _name(self) -> str:
        self.named += 1
        return f"node{self.named}"


_COUNT = re.compile(r"\d+\Z")
_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\Z")


def read_trace(path: str | os.PathLike[str], *, seed: int = 0) -> Trace:
    """Read when machines come and go.

    Parameters
    ----------
    path : path
        Rows are `ms,add|remove,name`; or `seconds,count` (a first field with a decimal point is hours) or
        `date, time, count`: counts of machines, of which the last one at a time holds. Time 0 of counts is the first
        row; growth adds new machines, shrinkage removes machines drawn from the living.
    seed : int
        Of that draw.

    Raises
    ------
    TraceError
        With path and line, for a row that is none of these, or of another kind than the first.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise TraceError(f"{os.fspath(path)}: {error.strerror or error}.", "See read_trace.") from error
    rows = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise trace_row(path, 1, "")
    fields = [part.strip() for part in rows[0][1].split(",")]
    if len(fields) == 3 and fields[1] in ("add", "remove"):
        events, duration = _from_events(list(_events(path, rows)), path)
    else:
        events, duration = _from_counts(list(_counts(path, rows)), path, seed)
    return _trace(events, Path(path).stem, duration)


def _from_events(
    events: list[tuple[int, float, str, str]], path: str | os.PathLike[str]
) -> tuple[list[tuple[float, str, str]], float]:
    ordered = sorted(events, key=lambda event: event[1])
    if ordered != events:
        _went_back(path)
    living: set[str] = set()
    for number, _, action, node in ordered:
        if (action == "add") == (node in living):
            told = "is added again" if action == "add" else "is removed and was not there"
            raise TraceError(f'{os.fspath(path)}:{number}: "{node}" {told}.', "See read_trace.")
        living ^= {node}
    return [event[1:] for event in ordered], ordered[-1][1]


def _events(path: str | os.PathLike[str], rows: list[tuple[int, str]]) -> Iterator[tuple[int, float, str, str]]:
    for number, text in rows:
        fields = [part.strip() for part in text.split(",")]
        if len(fields) != 3 or not _COUNT.match(fields[0]) or fields[1] not in ("add", "remove") or not fields[2]:
            raise trace_row(path, number, text)
        yield number, int(fields[0]) / 1000, fields[1], fields[2]


def _counts(path: str | os.PathLike[str], rows: list[tuple[int, str]]) -> Iterator[tuple[float, int]]:
    dated = rows[0][1].count(",") == 2
    for number, text in rows:
        fields = [part.strip() for part in text.split(",")]
        if len(fields) != 2 + dated or not _COUNT.match(fields[-1]):
            raise trace_row(path, number, text)
        if dated:
            try:
                moment = dt.datetime.fromisoformat(f"{fields[0]} {fields[1]}+00:00").timestamp()
            except ValueError:
                raise trace_row(path, number, text) from None
        elif not _NUMBER.match(fields[0]):
            raise trace_row(path, number, text)
        else:
            moment = float(fields[0]) * (3600 if "." in fields[0] else 1)
            if moment == math.inf:
                raise trace_row(path, number, text)
        yield moment, int(fields[-1])


def _from_counts(
    counts: list[tuple[float, int]], path: str | os.PathLike[str], seed: int
) -> tuple[list[tuple[float, str, str]], float]:
    ordered = sorted(counts, key=lambda row: row[0])
    if ordered != counts:
        _went_back(path)
    start = ordered[0][0]
    last = {moment - start: count for moment, count in ordered}
    return _machines(last, seed), ordered[-1][0] - start


def scaled(trace: Trace, nodes: int, seed: int) -> Trace:
    """Return a trace whose counts are scaled so that the largest is `nodes`, rounding down.

    Machines that leave are drawn as from a file of counts.
    """
    curve = trace.nodes()
    most = int(curve["count"].max()) if len(curve) else 0
    if not most:
        return trace
    counts = dict(zip(curve["time"].tolist(), (curve["count"] * nodes // most).tolist(), strict=True))
    return _trace(_machines(counts, seed), trace.name, trace.duration)


def drawn(trace: RandomTrace, capacity: int, seed: int, duration: float) -> list[tuple[float, str, str]]:
    """Return what happens in a random trace until a duration (s), in the order of time."""
    arrivals = Arrivals(trace, capacity, seed)
    living = arrivals.first()
    events: list[Event] = [(0, "add", node) for node in living]
    for now in range(0, int(duration * 1000) + 1, HOUR):
        found = sorted(arrivals.hour(now, living), key=lambda event: event[:2])
        for _, action, node in found:
            if action == "add":
                living.append(node)
            else:
                living.remove(node)
        events += found
    return [(moment / 1000, action, node) for moment, action, node in events if moment <= duration * 1000]


def _machines(counts: Mapping[float, int], seed: int) -> list[tuple[float, str, str]]:
    draw = random.Random(seed)
    events: list[tuple[float, str, str]] = []
    living: list[int] = []
    named = 0
    for moment, count in counts.items():
        for _ in range(count - len(living)):
            named += 1
            living.append(named)
            events.append((moment, "add", f"node{named}"))
        if count < len(living):
            gone = draw.sample(living, len(living) - count)
            events += [(moment, "remove", f"node{number}") for number in gone]
            living = [number for number in living if number not in gone]
    return events


def _went_back(path: str | os.PathLike[str]) -> None:
    warn(f"{os.fspath(path)}: rows go back in time.", "They are sorted.", stacklevel=4)


def _trace(events: Sequence[tuple[float, str, str]], name: str, duration: float) -> Trace:
    import pandas as pd

    columns = {
        "time": pd.Series([time for time, _, _ in events], dtype="float64"),
        "action": pd.Series([action for _, action, _ in events], dtype="str"),
        "node": pd.Series([node for _, _, node in events], dtype="str"),
    }
    return Trace(pd.DataFrame(columns), name, float(duration))
