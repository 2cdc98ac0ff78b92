"""Logs that come in pieces, twice, late or not at all, give the same tables as logs that come at once."""

from __future__ import annotations

import math
import os
import pickle
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.tta import worker_sink
from workbench.tta.sink import MemorySink, Sink
from workbench.tta.worker_sink import Replay, WorkerSink, clean, owner, spool_path, spooled


def log(evals: int = 3) -> list[tuple[Any, ...]]:
    """The operations of a short run."""
    rows = [("eval", [(i, i, None, "top1", 90.0 + i, 300, i * 10, i, None)]) for i in range(evals)]
    points = [("points", [("loss", i, i * 10, 1.0 / (i + 1), i)]) for i in range(evals)]
    middle = [operation for pair in zip(rows, points, strict=True) for operation in pair]
    return [
        ("start", {"id": "R", "seed": 1}), *middle, ("span", (0, "train", 0, 100, 0)), ("note", "hello"),
        ("crossing", {"metric": "top1", "threshold": 91.0}), ("end", "finished", {"gap": math.inf}),
    ]  # fmt: skip


def seen(sink: MemorySink) -> tuple[Any, ...]:
    return sink.row, sink.evals, sink.dense, sink.spans, sink.notes, sink.crossings, sink.state, sink.closed


def whole() -> tuple[Any, ...]:
    sink = MemorySink()
    Replay(sink).take(0, log())
    return seen(sink)


@st.composite
def deliveries(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Batches (first, after last) in any order, some twice, that together have all operations."""
    length = len(log())
    cuts = sorted(draw(st.sets(st.integers(1, length - 1))))
    pieces = list(zip([0, *cuts], [*cuts, length], strict=True))
    overlapping = draw(st.lists(st.tuples(st.integers(0, length), st.integers(0, length)), max_size=4))
    return draw(st.permutations(pieces + [(min(pair), max(pair)) for pair in overlapping]))


@given(deliveries())
def test_c52_any_split_repeated_and_reordered_gives_the_same(batches) -> None:
    sink = MemorySink()
    replay = Replay(sink)
    for first, after in batches:
        replay.take(first, log()[first:after])
    assert seen(sink) == whole()


@given(st.sets(st.integers(1, len(log()) - 2)))
def test_c52_what_is_lost_holds_nothing_up_for_good(lost) -> None:
    sink = MemorySink()
    replay = Replay(sink)
    for place, operation in enumerate(log()[:-1]):
        if place not in lost:
            replay.take(place, [operation])
    replay.end("lost")
    assert sink.state == "lost"
    assert sink.closed
    kept = [op for place, op in enumerate(log()) if place not in lost and op[0] == "eval"]
    assert sink.evals == [row for _, rows in kept for row in rows]


def test_what_comes_after_the_end_is_passed_over() -> None:
    sink = MemorySink()
    replay = Replay(sink)
    replay.take(0, log()[:3])
    replay.end("lost")
    before = len(sink.evals)
    replay.take(3, log()[3:])
    replay.take(0, log())
    replay.end("finished")
    assert (len(sink.evals), sink.state) == (before, "lost")


def run_through(sink: WorkerSink) -> None:
    for name, *rest in log():
        getattr(sink, name)(*rest)


def test_c52_batches_and_the_log_tell_the_same(tmp_path: Path) -> None:
    sent: list[Any] = []
    sink = WorkerSink(sent.append, tmp_path / "group" / "1-0-1.log", every=0.01)
    assert isinstance(sink, Sink)
    run_through(sink)
    sink.close()
    assert sink.state == "finished"
    assert sink.log == log()
    for batches in (sent, list(spooled(tmp_path / "group" / "1-0-1.log")), [("R", 0, sink.log)]):
        memory = MemorySink()
        replay = Replay(memory)
        for run, first, operations in pickle.loads(pickle.dumps(batches)):
            assert run == "R"
            replay.take(first, operations)
        assert seen(memory) == whole()


def test_rows_go_out_now_and_then_with_what_the_tracker_holds() -> None:
    arrived = threading.Event()
    sent: list[Any] = []

    def send(batch: Any) -> None:
        sent.append(batch)
        if any(operation[0] == "points" for operation in batch[2]):
            arrived.set()

    sink = WorkerSink(send, every=0.01)
    waiting = [("loss", 0, 5, 0.5, 0)]

    def pull() -> None:
        if waiting:
            sink.points([waiting.pop()])

    assert sink.attach(pull)
    sink.start({"id": "R"})
    assert sent[0] == ("R", 0, [("start", {"id": "R"})])
    assert arrived.wait(10)
    assert sink.read_points() == [("loss", 0, 5, 0.5, 0)]
    sink.close()


def test_many_points_are_several_operations() -> None:
    sink = WorkerSink(lambda batch: None)
    sink.points([("loss", i, i, 0.0, i) for i in range(10_000)])
    assert len(sink.log) == 3
    assert len(sink.read_points()) == 10_000


def test_a_driver_or_a_disk_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    def gone(batch: Any) -> None:
        raise OSError("no scheduler")

    blocked = tmp_path / "file"
    blocked.write_text("")
    sink = WorkerSink(gone, blocked / "spool.log")
    run_through(sink)
    sink.close()
    assert sink.log == log()


def test_a_spool_that_was_cut_off_is_read_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    sink = WorkerSink(lambda batch: None, path)
    run_through(sink)
    sink.close()
    every = list(spooled(path))
    path.write_bytes(path.read_bytes()[:-3])
    assert list(spooled(path)) == every[:-1]
    assert list(spooled(tmp_path / "none.log")) == []


def test_spools_have_an_owner_and_are_cleaned(tmp_path: Path) -> None:
    path = spool_path(tmp_path, "group", -3)
    assert owner(path) == os.getpid()
    path.parent.mkdir()
    path.write_text("x")
    old = tmp_path / "old"
    old.mkdir()
    os.utime(old, (0, time.time() - 30 * 86400))
    recent = tmp_path / "recent"
    recent.mkdir()
    clean(tmp_path, "group")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["recent", "workbench-home"]
    clean(tmp_path / "none", "group")


@pytest.mark.parametrize("state", ["finished", "failed"])
def test_state(state: str) -> None:
    sink = WorkerSink(lambda batch: None)
    assert sink.state == "running"
    sink.end(state, {})
    assert sink.state == state


def test_a_worker_that_is_quiet_for_long_says_that_its_run_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_sink, "QUIET", 0.0)
    sent: list[Any] = []
    sink = WorkerSink(sent.append, every=0.01)
    sink.start({"id": "R"})
    while len(sent) < 2:
        time.sleep(0.01)
    sink.close()
    assert sent[1] == ("R", 1, [("update", {})])
