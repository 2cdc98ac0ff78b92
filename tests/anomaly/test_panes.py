from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.anomaly.panes import Cut, Pane, Panes, nanoseconds
from workbench.engine.errors import WorkbenchError

NONE = np.iinfo(np.int64).min


def rows(values: Any) -> pa.Table:
    return pa.table({"v": pa.array(values, pa.int64())})


def held(pane: Pane) -> list[int]:
    return pane.table.column("v").to_pylist()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 7), st.integers(0, 12))
def test_panes_of_rows_do_not_depend_on_the_pushes(pushes: list[int], length: int, save: int) -> None:
    panes, closed, at = Panes(Cut("rows", length)), [], 0
    for number, n in enumerate(pushes):
        closed += panes.add(rows(range(at, at + n)))
        at += n
        if number == save:
            panes = Panes.from_state(panes.cut, panes.state())
    assert [held(pane) for pane in closed] == [
        list(range(begin, begin + length)) for begin in range(0, at - at % length, length)
    ]
    assert [(pane.number, pane.start, pane.end) for pane in closed] == [
        (k, k * length, (k + 1) * length) for k in range(at // length)
    ]
    assert [pane.origin.tolist() for pane in closed] == [held(pane) for pane in closed]
    (*last,) = panes.close()
    assert [held(pane) for pane in last] == ([list(range(at - at % length, at))] if at % length else [])
    assert panes.close() == []


def test_panes_go_on_behind_one_that_was_closed_short() -> None:
    panes = Panes(Cut("rows", 4))
    assert len(panes.add(rows(range(6)))) == 1
    (short,) = panes.close()
    assert (short.number, short.start, short.end) == (1, 4, 6)
    panes = Panes.from_state(panes.cut, panes.state())
    (whole,) = panes.add(rows(range(6, 11)))
    assert (whole.number, whole.start, whole.end, held(whole)) == (2, 6, 10, [6, 7, 8, 9])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.one_of(st.integers(-30, 60), st.none()), max_size=8), max_size=8), st.integers(1, 9),
    st.integers(0, 20),
)  # fmt: skip
def test_panes_of_time_hold_the_rows_of_their_time(pushes: list[list[int | None]], length: int, late: int) -> None:
    panes, closed, at = Panes(Cut("time", length, late)), [], 0
    waiting: dict[int, list[int]] = {}
    latest, following = -(10**6), -(10**6)
    dropped = timeless = 0
    for times in pushes:
        known = [time for time in times if time is not None]
        timeless += len(times) - len(known)
        for place, time in enumerate(times):
            if time is not None and time // length < following:
                dropped += 1
            elif time is not None:
                waiting.setdefault(time // length, []).append(at + place)
        found = panes.add(
            rows(range(at, at + len(times))), np.array([NONE if time is None else time for time in times], np.int64)
        )
        at += len(times)
        latest = max([latest, *known])
        if known:
            following = max(following, (latest - late) // length)
        expected = [waiting.pop(number) for number in sorted(waiting) if number < following]
        assert [held(pane) for pane in found] == expected
        closed += found
    rest = panes.close()
    assert [held(pane) for pane in rest] == [waiting[number] for number in sorted(waiting)]
    every = [*closed, *rest]
    assert all(pane.end - pane.start == length and pane.start % length == 0 for pane in every)
    assert [pane.number for pane in every] == sorted({pane.number for pane in every})
    if rest:  # what was dropped is told with a pane that is closed after it
        assert sum(pane.late for pane in every) == dropped
        assert sum(pane.timeless for pane in every) == timeless
    if every:
        assert every[0].number <= 0 or closed


def test_each_push_is_a_pane() -> None:
    panes = Panes(Cut())
    one, two = panes.add(rows([1, 2])) + panes.add(rows([3]))
    assert (one.number, one.start, one.end, two.number, two.start, two.end) == (0, 0, 2, 1, 2, 3)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_times_are_nanoseconds_of_utc(unit: str, zone: str | None) -> None:
    moment = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC if zone else None)
    column = pa.chunked_array([pa.array([moment, None], pa.timestamp(unit, zone))])
    assert nanoseconds(column, "ts").tolist() == [
        int(dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC).timestamp()) * 10**9,
        NONE,
    ]


def test_dates_nothing_text_and_times_that_nanoseconds_cannot_count() -> None:
    assert nanoseconds(pa.chunked_array([pa.array([dt.date(1970, 1, 2)])]), "ts").tolist() == [86400 * 10**9]
    assert nanoseconds(pa.chunked_array([pa.nulls(2)]), "ts").tolist() == [NONE, NONE]
    with pytest.raises(WorkbenchError, match='"ts" is text; the time of a stream must be a timestamp'):
        nanoseconds(pa.chunked_array([pa.array(["today"])]), "ts")
    with pytest.raises(WorkbenchError, match='"ts" holds times before 1678 or after 2262'):
        nanoseconds(pa.chunked_array([pa.array([dt.datetime(9999, 12, 31)], pa.timestamp("us"))]), "ts")
