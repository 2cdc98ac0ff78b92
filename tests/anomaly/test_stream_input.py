"""What strangers push into streams: other types, other columns, nothing, and what fails or is interrupted."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import workbench as wb
from tests.anomaly.test_stream import same, table
from workbench.anomaly import OutlierStream
from workbench.engine.errors import WorkbenchError

EVERYTHING: dict[str, Any] = {"metric": "x", "by": ["a", "b"], "top": 0.05, "min_ratio": 0.1, "min_support": 0.0}
FADES, WINDOW = {"decay": 0.1}, {"window": "200rows", "slide": "100rows"}
TIMES = {"window": "4m", "slide": "1m", "time": "ts"}


def equal(one: Any, other: Any) -> None:
    pd.testing.assert_frame_equal(one.to_pandas(), other.to_pandas(), check_exact=True)
    assert one.sets == other.sets


def test_rows_without_a_time_are_left_out_and_told() -> None:
    frame = table(600)
    frame.loc[::10, "ts"] = pd.NaT
    stream = wb.outliers_stream(metric="x", by=["a", "b"], top=0.05, **TIMES)
    result = stream.push(frame)
    assert result is not None and "60 rows have no ts and were left out." in result.notes
    assert stream.push(frame.assign(ts=None)) is None and stream.push(frame.assign(ts=pd.NaT)) is None
    last = stream.close()
    assert last is not None and "1,200 rows have no ts and were left out." in last.notes
    known = frame[frame.ts.notna()]
    same(last, wb.outliers(known[known.ts >= pd.Timestamp("2026-01-01 00:06")], "x", ["a", "b"], top=0.05))


def test_times_of_any_zone_and_none_are_one_time() -> None:
    frame = table(600)
    plain, mixed = (wb.outliers_stream(metric="x", by=["a", "b"], top=0.05, **TIMES) for _ in range(2))
    aware = frame.ts.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
    one, two = plain.push(frame), None
    for begin in range(0, 600, 100):
        part = frame.iloc[begin : begin + 100]
        two = mixed.push(part if begin % 200 else part.assign(ts=aware)) or two
    assert one is not None and two is not None
    equal(one, two)
    pd.testing.assert_frame_equal(plain.history.iloc[:, :6], mixed.history.iloc[:, :6])
    assert len(two.rows(0)) == two.to_pandas()["total_count"][0]


def test_times_without_rows_make_no_panes_but_pass() -> None:
    frame = pd.concat([table(200), table(200, 1, start="2026-01-01 00:07:30"), table(100, 2, start="2026-01-01 03:00")])
    stream, fades = (wb.outliers_stream(metric="x", by=["a", "b"], top=0.05, **each) for each in (
        TIMES, {"slide": "1m", "time": "ts", "decay": 0.3}))  # fmt: skip
    for begin in range(0, 500, 60):
        result = stream.push(frame.iloc[begin : begin + 60])
        if result is not None:
            end = stream.history["end"].iloc[-1]
            same(result, wb.outliers(frame[(frame.ts >= end - pd.Timedelta("4m")) & (frame.ts < end)], "x", ["a", "b"],
                                     top=0.05))  # fmt: skip
    assert stream.history["pane"].tolist() == [0, 1, 2, 3, 7, 8, 9, 10, 180]
    result = fades.push(frame)
    assert result is not None and result.n_rows == pytest.approx(table(100, 2).x[:60].notna().sum())  # the rest is gone


def test_every_column_is_chosen_from_a_whole_pane() -> None:
    frame = table(400)
    stream = wb.outliers_stream(metric="x", by="*", top=0.05, window="200rows")
    for begin in range(0, 400, 3):
        stream.push(frame.iloc[begin : begin + 3])
    assert stream.result is not None and stream.result.by == ["a"]
    same(stream.result, wb.outliers(frame.iloc[200:], "x", "*", top=0.05))
    assert wb.outliers_stream(metric="x", by="*", top=0.05).push(frame).by == ["a"]  # type: ignore[union-attr]
    with pytest.raises(WorkbenchError, match="No column of the stream is fit for"):
        wb.outliers_stream(metric="x", by="*").push(frame.iloc[:1])
    with pytest.raises(WorkbenchError, match='No column "y"'):
        wb.outliers_stream(metric="y", by="*", window="200rows").push(frame)


@pytest.mark.parametrize("options", [FADES, WINDOW, {"slide": "150rows"}])
def test_types_that_change_between_pushes_change_nothing(options: dict[str, Any]) -> None:
    plain, other = (wb.outliers_stream(**EVERYTHING, **options) for _ in range(2))
    changes: list[Any] = [
        lambda f: f.astype({"b": "float64"}), lambda f: f.astype({"a": "category", "b": "Int8"}), lambda f: f,
        lambda f: f.astype({"a": pd.CategoricalDtype(["zz", "e", "d", "c"])}), lambda f: f.astype({"x": "float32"}),
        lambda f: f.astype({"a": object, "b": "UInt64"}),
    ]  # fmt: skip
    for number, change in enumerate(changes):
        frame = table(100, number).astype({"x": "float32"}).astype({"x": "float64"})
        one, two = plain.push(frame), other.push(change(frame))
        assert (one is None) == (two is None)
        if one is not None and two is not None:
            equal(one, two)
            np.testing.assert_array_equal(plain.labels, other.labels)


@pytest.mark.parametrize("options", [FADES, WINDOW, {"slide": "150rows"}])
def test_a_column_without_values_in_a_pane_holds_nulls(options: dict[str, Any]) -> None:
    for order in (["none", "text"], ["text", "none"]):
        stream = wb.outliers_stream(**EVERYTHING, **options)
        for number, kind in enumerate(order):
            frame = pa.Table.from_pandas(table(100, number))
            stream.push(frame if kind == "text" else frame.set_column(0, "a", pa.nulls(100)))
        result = stream.close() or stream.result
        assert result is not None and {one["a"] for one in result.sets if "a" in one} >= {None, "d"}


@pytest.mark.parametrize("options", [FADES, WINDOW])
def test_a_column_that_becomes_text_goes_on_as_text(options: dict[str, Any]) -> None:
    stream, text = (wb.outliers_stream(**EVERYTHING, **options) for _ in range(2))
    for number in range(4):
        frame = table(100, number)
        named = frame.assign(b=frame.b.astype(str))
        one, two = stream.push(frame if number in (0, 3) else named), text.push(named)
    assert one is not None and two is not None
    equal(one, two)
    if "window" in options:
        assert len(one.rows(0)) == one.to_pandas()["total_count"][0]


@pytest.mark.parametrize("options", [FADES, WINDOW])
def test_columns_may_come_and_go_unless_they_are_asked_for(options: dict[str, Any]) -> None:
    stream, plain = (wb.outliers_stream(**EVERYTHING, **options) for _ in range(2))
    for number, change in enumerate([lambda f: f, lambda f: f.assign(z=1), lambda f: f.drop(columns="ts")]):
        one, two = stream.push(change(table(100, number))), plain.push(table(100, number))
    assert one is not None and two is not None
    equal(one, two)
    if "window" in options:
        assert list(one.rows(0).columns) == ["a", "b", "x", "ts", "z", "outlier", "score"]
    with pytest.raises(WorkbenchError, match='No column "a" in the stream'):
        stream.push(table(100, 4).drop(columns="a"))
    equal(stream.push(table(100, 4)), plain.push(table(100, 4)))


@pytest.mark.parametrize("options", [FADES, WINDOW])
def test_rows_come_as_any_table(options: dict[str, Any]) -> None:
    stream, plain = (wb.outliers_stream(**EVERYTHING, **options) for _ in range(2))
    frame = table(100)[["a", "b", "x"]]
    doubled = frame.set_axis([0] * 100)
    forms: list[Any] = [
        frame, pl.from_pandas(frame), pl.from_pandas(frame).lazy(), pa.Table.from_pandas(frame), duckdb.from_df(frame),
        {name: frame[name].tolist() for name in frame}, frame.to_dict("records"), doubled,
    ]  # fmt: skip
    for form in forms:
        equal(stream.push(form), plain.push(frame))
        np.testing.assert_array_equal(stream.labels, plain.labels)
    stream.push({"a": "d", "b": 3, "x": 160.0})
    assert len(stream.labels) == 1
    with pytest.raises(WorkbenchError, match=r"A NoneType is not a table\."):
        stream.push(None)
    with pytest.raises(WorkbenchError, match="The dict is not a table"):
        stream.push({"a": ["d"], "b": [3, 4], "x": [1.0]})


@pytest.mark.parametrize("options", [FADES, WINDOW, TIMES])
def test_nothing_may_be_pushed_and_closed(options: dict[str, Any]) -> None:
    stream = wb.outliers_stream(**EVERYTHING, **options)
    assert stream.close() is None and stream.push(table(0)) is None and stream.close() is None
    assert len(stream.history) == 0 and stream.result is None
    assert (stream.push(table(300)) or stream.close()) is not None


def test_rows_that_come_out_of_order_are_in_the_panes_of_their_times() -> None:
    frame = table(600)
    mixed, plain = (wb.outliers_stream(metric="x", by=["a", "b"], top=0.05, lateness="10m", **TIMES) for _ in range(2))
    mixed.push(frame.sample(frac=1, random_state=3)), plain.push(frame)
    one, two = mixed.close(), plain.close()
    assert one is not None and two is not None and mixed.history["late"].sum() == 0
    equal(one, two)


def test_a_stream_goes_on_after_it_was_closed() -> None:
    stream = wb.outliers_stream(**EVERYTHING, **WINDOW)
    stream.push(table(130))
    result = stream.close()
    assert result is not None and result.n_rows == table(130).x.notna().sum()
    last = stream.push(table(100, 1))
    assert last is not None and stream.close() is None
    history = stream.history
    assert history["pane"].tolist() == [0, 1, 2] and history["start"].tolist() == [0, 100, 130]
    assert history["end"].tolist() == [100, 130, 230]
    both = pd.concat([table(130).iloc[100:], table(100, 1)])
    same(last, wb.outliers(both, **EVERYTHING))


@pytest.mark.parametrize("value", [5.0, np.nan, np.inf])
@pytest.mark.parametrize("options", [FADES, WINDOW, {"score": "zscore"}, {"score": "percentile"}])
def test_a_pane_whose_metric_says_nothing_is_no_end(options: dict[str, Any], value: float) -> None:
    stream = wb.outliers_stream(**EVERYTHING, **options)
    for frame in (table(200).assign(x=value), table(200, 1), table(200, 2).assign(x=value), table(200, 3)):
        result = stream.push(frame)
        assert result is not None and (result.notes or result.n_outliers)
        assert len(stream.labels) == 200
        result.to_pandas(), str(result)
    assert stream.history["rows"].sum() == 800


def test_one_pane_without_outliers_says_what_the_batch_says() -> None:
    frame = table(200).assign(x=5.0)
    result = wb.outliers_stream(metric="x", by=["a"], where="x > 500").push(frame)
    assert result is not None
    assert "No row satisfies x > 500 (largest x is 5), so there is nothing to explain." in result.notes
    result = wb.outliers_stream(metric="x", by=["a"]).push(frame)
    assert result is not None and result.notes == wb.outliers(frame, "x", ["a"]).notes


def test_a_pane_that_always_fails_is_left_out_the_second_time() -> None:
    def score(x: np.ndarray) -> np.ndarray:
        if x.max() > 1e6:
            raise ValueError("too large")
        return np.abs(x[:, 0] - 100)

    for options in (FADES, WINDOW):
        stream, plain = (wb.outliers_stream(**EVERYTHING, **options, score=score) for _ in range(2))
        stream.push(table(100)), plain.push(table(100))
        with pytest.raises(Exception, match="too large"):
            stream.push(table(100, 1).assign(x=1e7))
        result = stream.push(table(100, 2))
        assert result is not None
        (note,) = [note for note in result.notes if "left out: " in note]
        assert note.startswith("Pane 1 (100 rows) was left out: ") and "too large" in note
        assert stream.history["pane"].tolist() == [0, 1, 2] and stream.history["outliers"][1] == 0
        after = [stream.push(table(100, number)) for number in (3, 4)]
        assert not [note for note in after[1].notes if "left out: Pane" in note]  # type: ignore[union-attr]
        if "window" in options:
            equal(after[1], [plain.push(table(100, number)) for number in (1, 2, 3, 4)][-1])


@pytest.mark.parametrize("where", ["label", "count", "search"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_what_is_interrupted_is_done_once(monkeypatch: pytest.MonkeyPatch, where: str, error: type[Any]) -> None:
    from workbench.anomaly import stream_fade, stream_marks

    owner, name = {
        "label": (stream_marks, "fit"),
        "count": (stream_fade, "chosen"),
        "search": (stream_fade.FadeState, "_searched"),
    }[where]
    stream, plain = (wb.outliers_stream(**EVERYTHING, **FADES, reservoir=100) for _ in range(2))
    stream.push(table(150)), plain.push(table(150))

    def fails(*_: Any, **__: Any) -> Any:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fails)
        with pytest.raises(error):
            stream.push(table(150, 1))
    plain.push(table(150, 1))
    equal(stream.push(table(150, 2)), plain.push(table(150, 2)))
    np.testing.assert_array_equal(stream.labels, plain.labels)
    pd.testing.assert_frame_equal(stream.history.iloc[:, :8], plain.history.iloc[:, :8])


def test_a_real_interrupt_while_rows_are_counted_waits_for_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.anomaly.stream_counts import FadingCounts
    from workbench.anomaly.stream_search import Tracker

    stream, plain = (wb.outliers_stream(**EVERYTHING, **FADES) for _ in range(2))
    stream.push(table(150)), plain.push(table(150))
    add, interrupts = Tracker.add, []

    def interrupted(self: Tracker, counts: FadingCounts, pane: Any) -> None:
        if not interrupts:
            interrupts.append(signal.raise_signal(signal.SIGINT))
        add(self, counts, pane)

    with monkeypatch.context() as patch:
        patch.setattr(Tracker, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            stream.push(table(150, 1))
    plain.push(table(150, 1))
    equal(stream.push(table(150, 2)), plain.push(table(150, 2)))


def test_a_stream_without_a_window_says_where_rows_are_to_be_had() -> None:
    result = wb.outliers_stream(**EVERYTHING).push(table(200))
    assert result is not None
    for ask in (lambda: result.rows(0), lambda: result.within(0), lambda: result.without(0), result.histogram,
                lambda: result.outliers):  # fmt: skip
        with pytest.raises(WorkbenchError) as raised:
            ask()
        assert raised.value.message == "A stream without a window keeps no rows."
        assert raised.value.hint.startswith('Give a window, such as window="100000rows", or filter your own table by')


def test_answers_of_a_window_can_be_asked_further_and_have_their_values_by_pane() -> None:
    stream = wb.outliers_stream(metric="x", by=["a", "b"], top=0.05, **WINDOW)
    for number in range(4):
        result = stream.push(table(100, number))
    assert result is not None and len(result)
    frame = pd.concat([table(100, 2), table(100, 3)])
    batch = wb.outliers(frame, "x", ["a", "b"], top=0.05)
    assert result.without(0).sets == batch.without(0).sets and result.within(0).sets == batch.within(0).sets
    sparks, values = result._answer.sparks, result._answer.found.answers.value.tolist()
    assert sparks is not None and [line[-1] for line in sparks] == values and {len(line) for line in sparks} == {4}


def test_every_pane_of_a_source_gives_its_result() -> None:
    stream = wb.outliers_stream(iter([table(250), table(250, 1)]), **EVERYTHING, window="100rows")
    every = pd.concat([table(250), table(250, 1)]).x.notna().to_numpy().reshape(5, 100)
    assert [result.n_rows for result in stream] == every.sum(axis=1).tolist()


def test_a_stream_is_saved_with_all_that_waits(tmp_path: Any) -> None:
    stream = wb.outliers_stream(metric="x", by="*", top=0.05, window="100rows")
    stream.push(table(60))
    stream.save(tmp_path / "s")
    loaded = OutlierStream.load(tmp_path / "s")
    equal(stream.push(table(60, 1)), loaded.push(table(60, 1)))


def test_a_source_is_checked_at_once() -> None:
    with pytest.raises(WorkbenchError) as error:
        wb.outliers_stream(3, metric="m", by=["g"])
    assert error.value.lines() == [
        "A int is nothing that tables come from.",
        "Give an iterable of tables, or a folder that receives files.",
    ]


def test_a_checkpoint_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkbenchError) as error:
        wb.outliers_stream(metric="m", by=["g"]).save(tmp_path / "file" / "state")
    assert error.value.message.startswith("The checkpoint cannot be written (")
    assert error.value.hint == "Give a path in a folder that can be written."
