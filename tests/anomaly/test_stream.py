from __future__ import annotations

import asyncio
import datetime as dt
import os
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from workbench.anomaly import OutlierStream, follow
from workbench.engine.errors import WorkbenchError

QUESTION: dict[str, Any] = {"metric": "x", "by": ["a", "b"]}


def table(n: int, seed: int = 0, shift: float = 0.0, start: str = "2026-01-01") -> pd.DataFrame:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "a": random.choice(["c", "d", "e", None], n, p=[0.4, 0.3, 0.2, 0.1]),
            "b": random.integers(0, 8, n),
            "x": random.normal(100 + shift, 10, n),
        }
    )
    frame.loc[(frame.a == "d") & (frame.b == 3), "x"] += 60
    frame.loc[random.random(n) < 0.02, "x"] = np.nan
    frame["ts"] = pd.Timestamp(start) + pd.to_timedelta(np.arange(n), unit="s")
    return frame


def same(stream: Any, batch: Any) -> None:
    found, expected = stream.to_pandas().drop(columns="since"), batch.to_pandas()
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert stream.sets == batch.sets and (stream.n_rows, stream.n_outliers) == (batch.n_rows, batch.n_outliers)
    assert stream.cutoff == batch.cutoff or np.isnan(stream.cutoff.score)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 400), st.integers(0, 10), st.sampled_from(["mad", "zscore", "percentile"]),
    st.sampled_from(["both", "high", "low"]), st.sampled_from(["risk_ratio", "global_ratio", "prevalence_difference"]),
)  # fmt: skip
def test_c36_one_pane_without_decay_is_the_batch(n: int, seed: int, score: str, tail: str, compare: str) -> None:
    options = {"score": score, "tail": tail, "top": 0.05, "compare": compare, "min_support": 0.0, "min_ratio": 0.1}
    frame = table(n, seed)
    stream = wb.outliers_stream(**QUESTION, **options)
    result = stream.push(frame)
    batch = wb.outliers(frame, "x", ["a", "b"], **options)
    assert result is not None
    same(result, batch)
    np.testing.assert_array_equal(stream.labels, frame.ts.isin(batch.outliers.ts))


def test_c36_tumbling_panes_are_batches() -> None:
    frame = table(1000)
    stream = wb.outliers_stream(**QUESTION, window="250rows", top=0.04)
    results = [stream.push(frame.iloc[i : i + 130]) for i in range(0, 1000, 130)]
    closed = [result for result in results if result is not None]
    assert len(closed) == 4 and stream.close() is None
    for k, result in enumerate(closed):
        same(result, wb.outliers(frame.iloc[250 * k : 250 * (k + 1)], "x", ["a", "b"], top=0.04))
    history = stream.history
    assert history["start"].tolist() == [0, 250, 500, 750] and history["end"].tolist() == [250, 500, 750, 1000]
    assert history.dtypes.astype(str).tolist() == [*["int64"] * 6, *["float64"] * 3]
    assert list(history) == [
        "pane", "start", "end", "rows", "outliers", "late", "cutoff_low", "cutoff_high", "seconds",
    ]  # fmt: skip


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.integers(1, 5), st.integers(20, 90), st.integers(1, 200), st.integers(0, 5))
def test_c36_sliding_windows_are_batches(panes: int, slide: int, step: int, seed: int) -> None:
    frame = table(400, seed)
    question = {"by": ["a", "b"], "top": 0.1, "min_support": 0.0, "min_ratio": 0.5}
    stream = wb.outliers_stream(metric="x", window=f"{panes * slide}rows", slide=f"{slide}rows", **question)
    closed = 0
    for begin in range(0, 400, step):
        result = stream.push(frame.iloc[begin : begin + step])
        if result is None:
            continue
        closed = min(begin + step, 400) // slide
        first = max(0, closed - panes) * slide
        same(result, wb.outliers(frame.iloc[first : closed * slide], "x", **question))
        assert (result.to_pandas()["since"] == max(0, closed - panes)).all()
        full = closed >= panes
        assert full == (not any("not full" in note for note in result.notes))
    assert len(stream.history) == closed


@pytest.mark.parametrize("options", [{"score": "mcd", "metric": ["x", "y"]}, {"where": "x > 120", "metric": None}])
def test_c36_windows_of_several_metrics_and_of_conditions(options: dict[str, Any]) -> None:
    frame = table(600).dropna()
    frame["y"] = frame.x * 0.5 + np.random.default_rng(1).normal(0, 5, len(frame))
    stream = wb.outliers_stream(by=["a", "b"], window="200rows", top=0.05, **options)
    result = stream.push(frame.iloc[:200])
    same(result, wb.outliers(frame.iloc[:200], by=["a", "b"], top=0.05, **options))
    same(stream.push(frame.iloc[200:400]), wb.outliers(frame.iloc[200:400], by=["a", "b"], top=0.05, **options))


def test_c36_windows_of_time_wait_for_late_rows_and_drop_later_ones() -> None:
    frame = table(1200)
    stream = wb.outliers_stream(**QUESTION, top=0.05, window="4m", slide="1m", time="ts", lateness="30s")
    order = np.argsort(np.arange(1200) + np.random.default_rng(0).integers(0, 25, 1200), kind="stable")  # 25 s late
    mixed = frame.iloc[order]
    result = None
    for begin in range(0, 1200, 100):
        result = stream.push(mixed.iloc[begin : begin + 100]) or result
    closed = stream.history
    assert closed["late"].sum() == 0 and (closed["rows"] == 60).all()
    assert closed["start"].dtype == "datetime64[ns]" and closed["start"].is_monotonic_increasing
    window = mixed[(mixed.ts >= closed["end"].iloc[-1] - pd.Timedelta("4m")) & (mixed.ts < closed["end"].iloc[-1])]
    same(result, wb.outliers(window, "x", ["a", "b"], top=0.05))
    assert stream.push(frame.iloc[:37]) is None  # long closed
    final = stream.close()
    assert final is not None and final.notes[0] == "37 rows older than the window were dropped (allowed lateness 30s)."
    assert stream.history["late"].tolist()[-1] == 37


def test_c36_an_open_pane_has_no_labels_yet_and_a_window_that_does_not_fit_is_an_error() -> None:
    frame = table(100)
    stream = wb.outliers_stream(**QUESTION, window="80rows", top=0.1)
    stream.push(frame)
    assert stream.labels[:80].sum() > 0 and not stream.labels[80:].any()
    small = wb.outliers_stream(**QUESTION, window="1000rows", memory="1KiB")
    small.push(frame.iloc[:10])
    with pytest.raises(WorkbenchError, match=r"The rows of the window take .* KiB; memory is 1 KiB\."):
        small.push(pd.concat([frame] * 12))


def recounted(pushed: list[tuple[pd.DataFrame, np.ndarray]], decay: float, sets: list[dict[str, Any]]) -> list[Any]:
    """Support and risk ratio from the raw rows, by weights of (1 - decay) to the power of the age."""
    ages = range(len(pushed) - 1, -1, -1)
    weight = np.concatenate(
        [np.full(len(rows), (1 - decay) ** age) for (rows, _), age in zip(pushed, ages, strict=True)]
    )
    rows = pd.concat([rows for rows, _ in pushed], ignore_index=True)
    flags = np.concatenate([labels for _, labels in pushed])
    known = rows.x.notna().to_numpy()
    answers = []
    for one in sets:
        inside = known.copy()
        for name, value in one.items():
            inside &= rows[name].isna().to_numpy() if value is None else (rows[name] == value).to_numpy()
        o, t = weight[inside & flags].sum(), weight[inside].sum()
        everything, outliers = weight[known].sum(), weight[known & flags].sum()
        rest = (outliers - o) / (everything - t)
        answers.append((o / outliers, o / t / rest if rest else np.inf, o, t))
    return answers


@pytest.mark.parametrize("decay", [0.0, 0.05, 0.7])
def test_c37_support_and_ratio_are_those_of_all_rows_by_their_weights(decay: float) -> None:
    stream = wb.outliers_stream(**QUESTION, top=0.05, decay=decay, min_ratio=1.2)
    pushed, result = [], None
    for pane in range(40):
        frame = table(150 + pane, pane)
        if pane > 25:  # a value that was never there
            frame.loc[frame.b == 5, ["a", "x"]] = ["new", 180.0]
        result = stream.push(frame)
        pushed.append((frame, stream.labels))
    assert result is not None and len(result)
    assert any(one.get("a") == "new" for one in result.sets)
    frame = result.to_pandas()
    live = [entry for age, entry in enumerate(reversed(pushed)) if (1 - decay) ** age >= 2**-20][::-1]
    for row, expected in zip(frame.itertuples(), recounted(live, decay, result.sets), strict=True):
        found = (row.support, row.ratio, row.outlier_count, row.total_count)
        assert found == pytest.approx(expected, rel=1e-9)
        assert row.since == len(pushed) - len(live)


def test_c37_a_row_keeps_the_label_it_got_and_the_cutoff_follows() -> None:
    stream = wb.outliers_stream(metric="x", by=["a"], decay=0.2)
    random = np.random.default_rng(0)
    shares = []
    for pane in range(30):
        frame = pd.DataFrame({"a": "v", "x": random.normal(3 * 0.6745 if pane >= 15 else 0.0, 1.0, 20_000)})
        stream.push(frame)
        shares.append(stream.labels.mean())
    half_life = np.log(2) / -np.log(0.8)
    after = 15 + int(np.ceil(2 * half_life))
    assert np.mean(shares[5:15]) == pytest.approx(0.01, abs=0.002)
    assert shares[15] > 0.011  # the shift is noticed
    assert np.mean(shares[after : after + 4]) == pytest.approx(0.01, abs=0.002)
    history = stream.history
    assert history["outliers"].sum() == round(sum(shares) * 20_000)
    assert history["cutoff_high"].iloc[-1] > history["cutoff_high"].iloc[10] + 1.5


def test_c38_above_the_memory_bound_totals_are_too_high_by_at_most_the_bound() -> None:
    random = np.random.default_rng(0)
    question = {"metric": "x", "by": ["a", "b"], "top": 0.05, "max_combo": 1, "min_ratio": 1.5, "min_support": 0.02}
    exact, small = wb.outliers_stream(**question), wb.outliers_stream(**question, memory="8KiB")
    one = two = None
    for _ in range(20):
        n = 4000
        frame = pd.DataFrame({"a": random.integers(0, 5000, n), "b": random.integers(0, 5, n)})
        frame["x"] = random.normal(0, 1, n) + 30 * (frame.b == 2) * (random.random(n) < 0.2)
        frame.loc[random.random(n) < 0.02, "a"] = 7
        frame.loc[(frame.a == 7) & (random.random(n) < 0.5), "x"] = 60.0
        one, two = exact.push(frame), small.push(frame)
    assert one is not None and two is not None
    assert exact.error_bound == 0.0 and small.error_bound > 0.0
    totals = {repr(s): t for s, t in zip(one.sets, one.to_pandas()["total_count"], strict=True)}
    for s, t in zip(two.sets, two.to_pandas()["total_count"], strict=True):
        assert totals[repr(s)] <= t <= totals[repr(s)] + small.error_bound
    assert {"a": 7} in two.sets


def test_c38_a_set_whose_older_rows_are_gone_is_counted_since_a_later_pane() -> None:
    stream = wb.outliers_stream(**QUESTION, top=0.05, memory="30KiB", min_ratio=4.0)
    pushed, result = [], None
    for pane in range(12):
        frame = table(1000, pane)
        if pane >= 9:  # a value that was never there, wrong in one of its combinations
            frame.loc[frame.index % 7 == 0, "a"] = "z"
            frame.loc[(frame.a == "z") & (frame.b == 6), "x"] = 190.0
        result = stream.push(frame)
        pushed.append((frame, stream.labels))
    assert result is not None
    young = result.to_pandas()
    assert {repr(s): since for s, since in zip(result.sets, young["since"], strict=True)}["{'a': 'z', 'b': 6}"] > 0
    for row, s in zip(young.itertuples(), result.sets, strict=True):
        (expected,) = recounted(pushed[row.since :], 0.0, [s])
        assert (row.support, row.ratio, row.outlier_count, row.total_count) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "options", [{"decay": 0.1}, {"window": "300rows", "slide": "100rows"}, {"slide": "2m", "time": "ts"}]
)
def test_c39_a_saved_stream_goes_on_as_if_nothing_had_happened(tmp_path: Path, options: dict[str, Any]) -> None:
    stream = wb.outliers_stream(metric="x", by=["a", ("b", 3)], top=0.05, reservoir=200, **options)
    for pane in range(5):
        stream.push(table(170, pane, start=f"2026-01-01 00:{3 * pane:02}:00"))
    stream.save(tmp_path / "kept" / "stream")
    loaded = OutlierStream.load(tmp_path / "kept" / "stream")
    pd.testing.assert_frame_equal(loaded.history, stream.history)
    for pane in range(5, 8):
        frame = table(170, pane, start=f"2026-01-01 00:{3 * pane:02}:00")
        one, other = stream.push(frame), loaded.push(frame)
        np.testing.assert_array_equal(stream.labels, loaded.labels)
        if one is None or other is None:
            assert one is other is None
        else:
            pd.testing.assert_frame_equal(one.to_pandas(), other.to_pandas())
    stream.save(tmp_path / "kept" / "stream")
    assert sorted(path.suffix for path in (tmp_path / "kept").iterdir()) == [".arrow", ".json"]


def test_c39_a_kill_between_the_two_files_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.anomaly import checkpoint

    stream = wb.outliers_stream(**QUESTION)
    stream.push(table(50))
    stream.save(tmp_path / "s")
    stream.push(table(50, 1))
    whole = checkpoint._write

    def dies(path: Path, blob: bytes) -> None:
        if path.suffix == ".json":
            raise KeyboardInterrupt
        whole(path, blob)

    monkeypatch.setattr(checkpoint, "_write", dies)
    with pytest.raises(KeyboardInterrupt):
        stream.save(tmp_path / "s")
    assert len(OutlierStream.load(tmp_path / "s").history) == 1
    data = next(tmp_path.glob("*.arrow"))
    for path in tmp_path.glob("*.arrow"):
        path.write_bytes(b"ARROW1\0\0cut")
    with pytest.raises(WorkbenchError, match="is damaged"):
        OutlierStream.load(tmp_path / "s")
    assert data.exists()
    with pytest.raises(WorkbenchError, match="No checkpoint"):
        OutlierStream.load(tmp_path / "none")


def test_c40_iterables_are_followed() -> None:
    frames = [table(200, pane) for pane in range(4)]
    results = list(wb.outliers_stream(iter(frames), **QUESTION, top=0.05))
    assert len(results) == 4

    async def feed() -> AsyncIterator[pd.DataFrame]:
        for frame in frames:
            await asyncio.sleep(0.001)
            yield frame

    run = follow.start_follow(feed(), **QUESTION, top=0.05)
    pd.testing.assert_frame_equal(run.result(30).to_pandas(), results[-1].to_pandas())
    with pytest.raises(WorkbenchError, match="nothing that tables come from"):
        list(wb.outliers_stream(3, **QUESTION))


def test_c40_a_folder_is_followed_until_it_is_stopped(tmp_path: Path) -> None:
    folder = tmp_path / "feed"
    folder.mkdir()
    table(200, 0).to_parquet(folder / "0.parquet")
    run = follow.start_follow(folder, **QUESTION, top=0.05)
    deadline = time.monotonic() + 30
    while run.partial() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    half = tmp_path / "1.parquet"
    table(200, 1).to_parquet(half)
    (folder / "_1.parquet").write_bytes(b"half")
    os.replace(half, folder / "1.parquet")
    while run.progress.done < 400 and time.monotonic() < deadline:
        time.sleep(0.02)
    run.cancel()
    result = run.result(10)
    assert run.state == "cancelled" and result.n_rows == sum(table(200, pane).x.notna().sum() for pane in range(2))
    names = [thread.name for thread in threading.enumerate()]
    assert "workbench-follow" not in names


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"window": "10rows", "decay": 0.1}, "window and decay exclude each other.",
         "Use window for exact windows, decay for fading memory."),
        ({"decay": 1.0}, "decay is 1.0; it is the share forgotten at each pane end.",
         "Give 0 <= decay < 1, such as 0.01."),
        ({"window": "10m"}, '"10m" is a time, and time= is not given.',
         'Name a timestamp column: time="ts"; or count rows: "100000rows".'),
        ({"window": 100}, "window=100 has no unit.", 'Write window="10m" or window="100rows".'),
        ({"window": "10rows", "slide": "3rows"}, "window 10rows is not a multiple of slide 3rows.",
         'Give such as window="10m", slide="1m".'),
        ({"metric": None}, "No metric, where or labels given.", "Name a metric, or mark the rows with where."),
    ],
)  # fmt: skip
def test_mistakes_are_told_before_a_row_comes(options: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(WorkbenchError) as raised:
        wb.outliers_stream(**{**QUESTION, **options})
    assert (raised.value.message, raised.value.hint) == (message, hint)


def test_rows_that_do_not_fit_lose_nothing() -> None:
    stream = wb.outliers_stream(**QUESTION, top=0.05)
    first = stream.push(table(300))
    with pytest.raises(WorkbenchError, match='No column "a"'):
        stream.push(table(10).drop(columns="a"))
    assert stream.push(table(300).iloc[:0]) is None and len(stream.labels) == 0
    nothing = table(20)
    nothing["x"] = np.nan
    again = stream.push(nothing)
    assert first is not None and again is not None
    assert again.n_outliers == first.n_outliers and len(stream.history) == 2


def test_ranges_are_those_of_the_first_pane_and_new_values_renumber_nothing() -> None:
    random = np.random.default_rng(0)
    stream = wb.outliers_stream(metric="x", by=["d", "k"], top=0.05, min_ratio=1.1, min_support=0.0, max_combo=1)
    frames = []
    for pane in range(3):
        d = random.uniform(0, 100 * (pane + 1), 300)
        frames.append(pd.DataFrame({"d": d, "k": [f"v{pane}"] * 300, "x": random.normal(0, 1, 300) + (d > 50)}))
    first = stream.push(frames[0])
    assert first is not None and any("10 equal-count ranges" in note for note in first.notes)
    edges = wb.outliers(frames[0], "x", ["d"], top=0.05, min_ratio=0.0, min_support=0.0, max_combo=1)
    named = set(edges.to_pandas()["d"])
    for frame in frames[1:]:
        result = stream.push(frame)
        assert result is not None and set(result.to_pandas()["d"].dropna()) <= named
    assert stream._state.dictionaries[1].values == ["v0", "v1", "v2"]  # type: ignore[union-attr]


def test_any_table_may_be_pushed_and_types_stay_apart() -> None:
    frame = table(200)
    stream = wb.outliers_stream(metric="x", by=["b", "day", "flag"], top=0.1, min_ratio=0.1, min_support=0.0)
    frame["day"], frame["flag"] = dt.date(2026, 1, 1), frame.b > 3
    assert stream.push(frame) is not None
    result = stream.push(pa.Table.from_pandas(frame))
    assert result is not None
    assert {type(value) for s in result.sets for value in s.values()} <= {int, dt.date, bool}


def test_answers_of_a_stream_have_their_values_in_the_last_panes() -> None:
    stream = wb.outliers_stream(**QUESTION, top=0.05, decay=0.1)
    results = [stream.push(table(600, pane)) for pane in range(3)]
    last = results[-1]
    assert last is not None and len(last)
    sparks, values = last._answer.sparks, last._answer.found.answers.value.tolist()
    assert [line[-1] for line in sparks] == values and {len(line) for line in sparks} == {3}
    assert '"spark"' in str(last.view_data()).replace("'", '"')


def test_a_metric_that_becomes_text_is_refused_and_nothing_is_lost() -> None:
    stream, other = (wb.outliers_stream(**QUESTION, top=0.05) for _ in range(2))
    frame = table(300)
    stream.push(frame), other.push(frame)
    with pytest.raises(WorkbenchError, match=r'"x" is text; a metric must be a number\.'):
        stream.push(frame.astype({"x": "string"}))
    one, two = stream.push(table(300, 1)), other.push(table(300, 1))
    assert one is not None and two is not None
    pd.testing.assert_frame_equal(one.to_pandas(), two.to_pandas())


def test_a_pane_whose_answer_fails_waits_for_the_next_push(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, other = (wb.outliers_stream(**QUESTION, top=0.05, window="100rows") for _ in range(2))
    stream.push(table(50)), other.push(table(50))
    from workbench.anomaly import stream_window

    with monkeypatch.context() as patch:
        patch.setattr(stream_window, "mark", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            stream.push(table(250, 1))
    other.push(table(250, 1))
    one, two = stream.push(table(100, 2)), other.push(table(100, 2))
    assert one is not None and two is not None and len(stream.history) == 4
    pd.testing.assert_frame_equal(one.to_pandas(), two.to_pandas())
