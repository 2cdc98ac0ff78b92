from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tta.stored import begun, dense, finished
from workbench.tta import archive
from workbench.tta.problems import TTAWarning
from workbench.tta.store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made = open_store(tmp_path / "tta")
    yield made
    archive.wait()
    made.close()


def rows(store: Store, sql: str = "SELECT count(*) FROM point") -> list[Any]:
    connection = sqlite3.connect(store.path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def files(store: Store) -> list[str]:
    place = archive.folder(store.path)
    return sorted(os.listdir(place)) if place.exists() else []


def logged(store: Store, count: int = 600) -> tuple[str, pd.DataFrame]:
    """A run that is under way with points of two metrics, and the points."""
    sink = begun(store)
    sink.points([row for pair in zip(dense(count), dense(count, metric="lr"), strict=True) for row in pair])
    return sink.id, store.records()[-1].points()


def test_c53_points_of_an_ended_run_move_to_parquet_and_are_read_all_the_same(store: Store) -> None:
    sink = begun(store)
    sink.points(dense(600) + dense(600, metric="lr") + [("loss", 600, 1, float("nan"), 600)])
    before = store.records()[0].points()
    assert len(before) == 1201 and rows(store) == [(1201,)]
    told = sink.read_points()
    sink.end("finished", {})
    sink.close()
    archive.wait()
    assert rows(store) == [(0,)] and len(files(store)) == 1
    assert rows(store, "SELECT file, points FROM archive") == [(files(store)[0], 1201)]
    after = store.records()[0].points()
    pd.testing.assert_frame_equal(after, before)
    assert str(sink.read_points()) == str(told)
    meta = pq.ParquetFile(archive.folder(store.path) / files(store)[0]).metadata
    assert meta.row_group(0).column(1).compression == "ZSTD"
    assert pd.read_parquet(archive.folder(store.path) / files(store)[0])["metric"].tolist()[:2] == ["loss", "lr"]


def test_a_handful_of_points_stays_in_the_database(store: Store) -> None:
    finished(store, points=archive.LEAST - 1)
    archive.wait()
    assert rows(store) == [(archive.LEAST - 1,)] and files(store) == []


def test_a_run_without_points_and_a_run_that_is_not_there(store: Store) -> None:
    run = finished(store)
    assert archive.archive(store.path, run, least=1) == 0
    assert archive.archive(store.path, "none", least=1) == 0
    assert archive.archive(store.path.with_name("none.sqlite"), run) == 0


def test_c53_points_that_come_after_the_archive_are_read_with_it_and_join_it(store: Store) -> None:
    run, _ = logged(store)
    assert archive.archive(store.path, run) == 1200
    sink = store.sink(run, here=False)
    sink.points(dense(5, 600))
    sink.points(dense(50, 100))  # and some come again
    store.flush()
    points = store.records()[0].points()
    assert len(points) == 1205 and points["step"].tolist()[-5:] == [600, 601, 602, 603, 604]
    before = files(store)
    assert archive.archive(store.path, run, least=1) == 55
    assert rows(store) == [(0,)]
    assert len(files(store)) == 1 and files(store) != before
    pd.testing.assert_frame_equal(store.records()[0].points(), points)


@pytest.mark.parametrize("where", ["write", "rename", "sync", "begin", "delete", "commit"])
def test_c53_killed_between_archive_and_delete_nothing_is_lost_or_doubled(tmp_path: Path, where: str) -> None:
    """The process dies at each step; the rows are all there, once, and the next archive takes them."""
    store = open_store(tmp_path / "tta")
    run, expected = logged(store)
    store.close()
    code = """
import os, signal, sys, sqlite3
from pathlib import Path
from workbench.tta import archive
where, database, run = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
die = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
if where == "write":
    import pyarrow.parquet as pq
    real = pq.write_table
    def write_table(*a, **k):
        real(*a, **k)
        die()
    pq.write_table = write_table
elif where == "rename":
    Path.replace = die
elif where == "sync":
    real = archive._sync
    archive._sync = lambda path: die() if path.is_dir() else real(path)
else:
    connect = archive.connect
    class Connection:
        def __init__(self, real):
            self.real = real
        def execute(self, sql, *values):
            if sql.lower().startswith(where):
                die()
            return self.real.execute(sql, *values)
        def __getattr__(self, name):
            return getattr(self.real, name)
    archive.connect = lambda path: Connection(connect(path))
archive.archive(database, run)
"""
    done = subprocess.run([sys.executable, "-c", code, where, str(store.path), run], timeout=60)
    assert done.returncode == -9
    assert rows(store) == [(1200,)] and rows(store, "SELECT count(*) FROM archive") == [(0,)]
    pd.testing.assert_frame_equal(store.records()[0].points(), expected)
    assert archive.archive(store.path, run) == 1200
    assert rows(store) == [(0,)]
    pd.testing.assert_frame_equal(store.records()[0].points(), expected)
    assert rows(store, "PRAGMA integrity_check") == [("ok",)]
    store.close()


def test_rows_that_come_while_the_file_is_written_keep_the_rows_where_they_are(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = logged(store)
    real = archive._write

    def write(*arguments: Any) -> str:
        store.sink(run, here=False).points(dense(1, 700))
        store.flush()
        return real(*arguments)

    monkeypatch.setattr(archive, "_write", write)
    assert archive.archive(store.path, run) == 0
    assert rows(store) == [(1201,)] and rows(store, "SELECT count(*) FROM archive") == [(0,)]
    assert len(store.records()[0].points()) == 1201


@pytest.mark.parametrize("how", ["gone", "cut", "flipped"])
def test_a_damaged_file_is_told_and_the_rest_of_the_run_is_whole(store: Store, how: str) -> None:
    run = finished(store, [93.0, 95.0], points=5000)
    archive.wait()
    path = archive.folder(store.path) / files(store)[0]
    content = bytearray(path.read_bytes())
    if how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 3] ^= 0xFF
        path.write_bytes(content)
    (record,) = store.records()
    with pytest.warns(TTAWarning) as told:
        points = record.points()
    lines = str(told[0].message).split("\n")
    assert lines[0].startswith(f"Dense points are missing: {path.name} cannot be read (")
    assert lines[1] == "Evaluations, spans and times of the run are whole."
    assert len(points) == 0 and list(points.columns) == ["step", "metric", "wall_s", "value"]
    assert record.id == run and record.evals["value"].tolist() == [93.0, 95.0]


def test_a_folder_that_takes_no_file_keeps_the_rows_in_the_database(store: Store) -> None:
    archive.folder(store.path).parent.mkdir(parents=True, exist_ok=True)
    archive.folder(store.path).write_text("a file is in the way")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = finished(store, points=800)
        archive.wait()
    assert rows(store) == [(800,)]
    assert store.records()[0].id == run and len(store.records()[0].points()) == 800


def test_what_processes_left_that_ended_at_once_is_archived_by_the_next_run(store: Store) -> None:
    code = """
import os, sys
from tests.tta.stored import *
store = open_store(sys.argv[1])
for state in ("finished", "lost", "running"):
    sink = begun(store, name=state)
    sink.points(dense(700))
    if state != "running":
        sink.end(state, {})
store.flush()
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", code, str(store.folder)], check=True, timeout=60, cwd=Path.cwd())
    assert rows(store) == [(2100,)]
    finished(store, points=700)
    archive.wait()
    assert rows(store, "SELECT name FROM archive JOIN run ON num = run JOIN recipe ON recipe.id = recipe") == [
        ("finished",),
        ("resnet9",),
    ]
    assert rows(store) == [(1400,)]  # one that may be gone on with stays where it is
    assert [len(record.points()) for record in store.records()] == [700] * 4


POINTS = st.lists(
    st.tuples(
        st.sampled_from(["loss", "lr", "β"]), st.integers(0, 50), st.integers(0, 2**40),
        # SQLite knows one zero
        st.floats().map(lambda v: v + 0.0), st.integers(0, 50),
    ),
    min_size=1, max_size=20, unique_by=lambda row: (row[0], row[1], row[4]),
)  # fmt: skip


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=POINTS, second=POINTS)
def test_c53_any_points_are_the_same_before_and_after(store: Store, first: Any, second: Any) -> None:
    sink = begun(store)
    sink.points(first)
    store.flush()
    archive.archive(store.path, sink.id, least=1)
    known = {(row[0], row[1], row[4]) for row in first}
    sink.points(second)
    store.flush()
    expected = first + [row for row in second if (row[0], row[1], row[4]) not in known]
    for _ in range(2):
        found = sink.read_points()
        assert sorted(map(repr, found)) == sorted(map(repr, expected))
        assert [row[4] for row in found] == sorted(row[4] for row in expected)
        archive.archive(store.path, sink.id, least=1)
    sink.close()
