from __future__ import annotations

import multiprocessing
import os
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tta.stored import SECOND, begun, dense, evaluation, facts, finished
from workbench.engine.errors import WorkbenchError
from workbench.tta import schema, writer
from workbench.tta.problems import TTAWarning
from workbench.tta.store import Store, open_store

FULL = "The disk is full: the run is kept in memory."
MAKE_ROOM = "Make room: what is missing is written then; the run goes on."


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(writer, "RETRY_S", 0.0)
    made = open_store(tmp_path / "tta")
    yield made
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.close()


def on_disk(store: Store, sql: str) -> list[Any]:
    connection = sqlite3.connect(store.path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def until(what: Any) -> None:
    """Wait for what comes when it comes."""
    while not what():
        time.sleep(0.01)


def pages(store: Store) -> None:
    """Let the database grow no further."""
    connection = writer.existing(store.path)._connection  # type: ignore[union-attr]
    connection.execute("PRAGMA max_page_count = 1")


def room(store: Store) -> None:
    writer.existing(store.path)._connection.execute("PRAGMA max_page_count = 1000000")  # type: ignore[union-attr]


# --------------------------------------------------------------------------------------------------------- acknowledged


def test_c51_start_crossing_and_end_are_on_disk_when_they_return(store: Store) -> None:
    sink = begun(store)
    assert on_disk(store, "SELECT state FROM run") == [("running",)]
    for seq in range(3):
        sink.eval([evaluation(seq, 94.0)])
        sink.points(dense(10, 10 * seq))
        sink.crossing({"metric": "top1", "threshold": 94.0 + seq, "confirm": 1, "seq": seq, "seconds": 1.0})
        # and all before it
        assert on_disk(store, "SELECT count(*) FROM eval") == [(seq + 1,)]
        assert on_disk(store, "SELECT count(*) FROM point") == [(10 * seq + 10,)]
    sink.end("reached", {})
    assert on_disk(store, "SELECT state FROM run") == [("reached",)]


def test_c51_acknowledged_commits_are_forced_onto_the_disk_and_others_are_not(store: Store) -> None:
    sink = begun(store)
    connection = writer.existing(store.path)._connection  # type: ignore[union-attr]
    said: list[str] = []
    connection.set_trace_callback(said.append)
    sink.crossing({"metric": "top1", "threshold": 94.0, "confirm": 1})
    sink.points(dense(3))
    store.flush()
    connection.set_trace_callback(None)
    told = [line for line in said if line.split()[0] in ("PRAGMA", "BEGIN", "COMMIT")]
    full = told.index("PRAGMA synchronous = FULL")
    assert told[full : full + 4] == [
        "PRAGMA synchronous = FULL",
        "BEGIN IMMEDIATE",
        "COMMIT",
        "PRAGMA synchronous = NORMAL",
    ]
    assert told.count("PRAGMA synchronous = FULL") == 1 and told[-1] == "COMMIT"


def test_what_a_tracker_gathers_is_taken_before_each_commit(store: Store) -> None:
    sink = begun(store)
    held = dense(5)

    def pull() -> None:
        rows, held[:] = list(held), []
        sink.points(rows)

    assert sink.attach(pull) is True
    assert store.flush()  # whoever waits, waits for that too
    assert on_disk(store, "SELECT count(*) FROM point") == [(5,)]
    held += dense(5, 5)
    until(lambda: on_disk(store, "SELECT count(*) FROM point") == [(10,)])  # and without being asked
    held += dense(5, 10)
    sink.end("finished", {})
    assert on_disk(store, "SELECT count(*) FROM point") == [(15,)]
    assert sink.read_points() == dense(15)


def test_a_tracker_that_fails_keeps_nobody_elses_rows(store: Store) -> None:
    first, second = begun(store), begun(store)

    def pull() -> None:
        raise ZeroDivisionError("no")

    first.attach(pull)
    second.points(dense(5))
    assert store.flush()
    assert on_disk(store, "SELECT count(*) FROM point") == [(5,)]
    with pytest.warns(TTAWarning, match=rf"Points of run {first.id} were not taken: ZeroDivisionError: no\."):
        first.eval([evaluation(0, 1.0)])


def test_rows_of_many_threads_and_a_run_beside(store: Store) -> None:
    sinks = [begun(store, seed=seed) for seed in range(3)]

    def work(sink: Any) -> None:
        for at in range(0, 3000, 10):
            sink.points(dense(10, at))

    threads = [threading.Thread(target=work, args=(sink,)) for sink in sinks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for sink in sinks:
        sink.end("finished", {})
    assert on_disk(store, "SELECT count(*) FROM point GROUP BY run") == [(3000,)] * 3


def test_a_tracker_that_logs_more_than_a_commit_holds(store: Store) -> None:
    sink = begun(store)
    sink.points(dense(3 * writer.COMMIT_ROWS + 7))
    assert store.flush()
    assert len(sink.read_points()) == 3 * writer.COMMIT_ROWS + 7


def test_numbers_of_numpy_are_numbers_and_a_row_that_no_table_takes_keeps_no_other(store: Store) -> None:
    sink = begun(store, seed=np.int64(3), target=np.float64(94))
    sink.points([("loss", np.int64(1), np.int64(2), np.float32(0.5), np.int64(0))])
    sink.points(dense(2, 1))
    sink.eval([evaluation(np.int64(0), np.float64(95), n=np.int64(10))])  # type: ignore[arg-type]
    sink.span((0, "train", 0, 1, 0, "what?"))
    sink.note("after it")
    assert store.flush()
    with pytest.warns(TTAWarning, match=r"A row of run \w+ is left out \(span\)"):
        sink.eval([evaluation(1, 96.0)])
    (record,) = store.records()
    assert record.seed == 3 and record.evals["value"].tolist() == [95.0, 96.0]
    assert record.points()["value"].tolist() == [0.5, 0.5, 1 / 3] and record.notes == ("after it",)


def test_values_that_are_no_numbers_to_sqlite(store: Store) -> None:
    sink = begun(store)
    sink.points([("loss", 0, 0, float("nan"), 0), ("loss", 1, 1, float("inf"), 1), ("loss", 2, 2, -2.5, 2)])
    sink.points([("big", 10**30, 3, 1.0, 3)])
    store.flush()
    values = [row[3] for row in sink.read_points()]
    assert str(values) == "[nan, inf, -2.5, 1.0]"


def test_a_store_that_was_closed_is_opened_for_who_goes_on(store: Store) -> None:
    sink = begun(store)
    store.close()
    sink.points(dense(3))
    sink.end("finished", {})
    assert store.records()[0].state == "finished" and len(sink.read_points()) == 3


def test_nothing_wakes_the_thread_between_runs(store: Store) -> None:
    finished(store)
    found = writer.existing(store.path)
    assert found is not None and not found.sinks
    assert [t.name for t in threading.enumerate()].count("workbench-tta-writer") >= 1
    time.sleep(0.3)  # what is under way
    before = found._committed
    time.sleep(0.5)
    assert found._committed == before


# ---------------------------------------------------------------------------------------------------- a disk that fails


def test_a_full_disk_keeps_the_run_in_memory_with_one_warning(store: Store) -> None:
    before = finished(store, [90.0])
    sink = begun(store, name="later")
    pages(store)
    values = [90.0 + seq for seq in range(6)]
    sink.points(dense(2000))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for seq, value in enumerate(values):
            sink.eval([evaluation(seq, value)])
            store.flush()
        sink.crossing({"metric": "top1", "threshold": 94.0, "confirm": 1, "seq": 4, "seconds": 5.0})
        sink.note("still here")
    assert [str(warning.message).split("\n") for warning in told] == [[FULL, MAKE_ROOM]]
    # what this process logged, it sees; other runs too
    one, two = store.records()
    assert (one.id, two.id, two.state, two.notes) == (before, sink.id, "running", ("still here",))
    assert one.evals["value"].tolist() == [90.0]
    assert two.evals["value"].tolist() == values and len(two.points()) == 2000
    sink.end("finished", {})
    assert store.records()[1].state == "finished"
    assert on_disk(store, "SELECT count(*) FROM eval") == [(1,)]  # all or nothing: no half batch is there
    room(store)
    assert store.flush()
    assert on_disk(store, "SELECT count(*) FROM eval") == [(7,)]
    assert on_disk(store, "SELECT count(*) FROM point") == [(2000,)]
    assert store.records()[1].evals["value"].tolist() == values


def test_a_disk_that_is_full_from_the_start(store: Store) -> None:
    def full(path: Path) -> Any:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "connect", full)
        with pytest.warns(TTAWarning, match="The disk is full"):
            run = finished(store, [93.0, 95.0], points=20)
        (record,) = store.records()
        assert (record.id, record.state) == (run, "finished")
        assert record.evals["value"].tolist() == [93.0, 95.0] and len(record.points()) == 20
        assert not store.path.exists()
    assert store.flush()
    assert on_disk(store, "SELECT id, state FROM run") == [(run, "finished")]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = open_store(tmp_path / "file" / "tta")
    with pytest.warns(TTAWarning, match=r"The folder of runs cannot be written \(.*\): the run is kept in memory"):
        run = finished(store, [93.0, 95.0])
    assert [record.id for record in store.records()] == [run]
    assert store.records()[0].evals["value"].tolist() == [93.0, 95.0]
    store.close()


def test_a_file_that_cannot_be_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    finished(store)
    store.close()
    real = schema.connect

    def read_only(path: Path) -> Any:
        connection = real(path)
        connection.execute("PRAGMA query_only = ON")  # what root cannot be kept from by permissions
        return connection

    monkeypatch.setattr(writer, "connect", read_only)
    with pytest.warns(TTAWarning, match="The folder of runs cannot be written") as told:
        run = finished(store, [93.0, 95.0], name="kept", points=9)
    assert len(told) == 1
    assert [record.name for record in store.records()] == ["resnet9", "kept"]
    assert store.records()[1].id == run and len(store.records()[1].points()) == 9


def test_a_lock_held_by_another_program_in_the_middle_of_a_run(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "BUSY_S", 0.1)
    sink = begun(store)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        sink.eval([evaluation(0, 95.0)])
        sink.crossing({"metric": "top1", "threshold": 94.0, "confirm": 1, "seq": 0, "seconds": 1.0})
    assert len(told) == 1 and str(told[0].message).startswith(
        "runs.sqlite is locked by another program: the run is kept in memory."
    )
    assert store.records()[0].evals["value"].tolist() == [95.0]
    other.execute("ROLLBACK")
    other.close()
    assert store.flush()
    assert on_disk(store, "SELECT value FROM eval") == [(95.0,)]


def test_a_database_that_is_moved_away_is_begun_anew_with_what_it_lacks(store: Store) -> None:
    sink = begun(store)
    sink.eval([evaluation(0, 95.0)])
    store.flush()
    content = store.path.read_bytes()
    found = writer.existing(store.path)
    assert found is not None and len(content) > 0
    # damage seen by the writer itself: it goes on in memory, and says so
    with pytest.MonkeyPatch.context() as patch:

        def damaged(*_: Any) -> None:
            raise sqlite3.DatabaseError("database disk image is malformed")

        patch.setattr(writer.Tables, "apply", damaged)
        sink.eval([evaluation(1, 96.0)])
        found.wait()
    with pytest.warns(TTAWarning, match=r"cannot be written \(database disk image is malformed\)"):
        sink.eval([evaluation(2, 97.0)])
    assert store.flush()
    assert on_disk(store, "SELECT value FROM eval ORDER BY seq") == [(95.0,), (96.0,), (97.0,)]


def test_a_real_limit_of_the_size_of_files(tmp_path: Path) -> None:
    """The process may write no file over 64 KiB: as a full disk, and with the system's own errors."""
    code = """
import resource, signal, sys, warnings
from pathlib import Path
from tests.tta.stored import begun, dense, evaluation
from workbench.tta import writer
from workbench.tta.store import open_store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
warnings.simplefilter("always")
writer.RETRY_S = 0
store = open_store(sys.argv[1])
sink = begun(store)
resource.setrlimit(resource.RLIMIT_FSIZE, (262144, resource.RLIM_INFINITY))
with warnings.catch_warnings(record=True) as told:
    for at in range(0, 40000, 1000):
        sink.points(dense(1000, at))
        sink.eval([evaluation(at // 1000, 90.0)])
        store.flush()
    sink.end("finished", {})
assert len(told) == 1, [str(w.message) for w in told]
(record,) = store.records()
assert len(record.points()) == 40000 and len(record.evals) == 40 and record.state == "finished"
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert store.flush()
print("all of it")
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "tta")], capture_output=True, text=True, cwd=Path.cwd(), timeout=120
    )
    assert done.stdout == "all of it\n", done.stderr
    connection = sqlite3.connect(tmp_path / "tta" / "runs.sqlite")
    assert connection.execute("SELECT count(*) FROM point").fetchone() == (40000,)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


# ------------------------------------------------------------------------------------------------------- many processes


def _write(folder: str, seed: int, worst: Any) -> None:
    store = open_store(folder)
    sink = begun(store, seed=seed)
    longest = 0.0
    for at in range(20):
        sink.points(dense(200, 200 * at))
        sink.eval([evaluation(at, 90.0 + at)])
        begin = time.perf_counter()
        sink.crossing({"metric": "top1", "threshold": 90.0 + at, "confirm": 1, "seq": at, "seconds": 1.0})
        longest = max(longest, time.perf_counter() - begin)
    sink.end("finished", {})
    store.close()
    worst.put(longest)


def test_c51_eight_processes_write_at_once(tmp_path: Path, record_property: Any) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.tta.test_writer"])
    worst = context.Queue()
    processes = [context.Process(target=_write, args=(str(tmp_path / "tta"), seed, worst)) for seed in range(8)]
    for process in processes:
        process.start()
    longest = max(worst.get(timeout=120) for _ in processes)
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 8
    record_property("worst_commit_s", round(longest, 3))
    store = open_store(tmp_path / "tta")
    records = store.records()
    assert sorted(record.seed for record in records if record.seed is not None) == list(range(8))
    assert all(len(record.evals) == 20 and record.state == "finished" for record in records)
    assert on_disk(store, "SELECT count(*) FROM point") == [(8 * 4000,)]
    assert on_disk(store, "SELECT count(*) FROM crossing") == [(160,)]
    assert on_disk(store, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_may_not_log_to_its_parents_run(store: Store) -> None:
    sink = begun(store)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        said = "nothing"
        try:
            sink.points(dense(3))
        except WorkbenchError as error:
            said = error.message
        try:
            finished(store, name="of the child")
            said += " But its own run is fine."
        finally:
            os.write(write, said.encode())
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as pipe:
        assert pipe.read() == "This run was started before the process was forked. But its own run is fine."
    sink.points(dense(3))
    sink.end("finished", {})
    assert {record.name: record.state for record in store.records()} == {
        "resnet9": "finished",
        "of the child": "finished",
    }
    assert len(sink.read_points()) == 3


def test_what_is_queued_when_the_process_ends_is_committed(tmp_path: Path) -> None:
    code = (
        "import sys; from tests.tta.stored import *; s = open_store(sys.argv[1]); k = begun(s); "
        "k.points(dense(100)); k.eval([evaluation(0, 95.0)])"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "tta")], check=True, cwd=Path.cwd(), timeout=60)
    store = open_store(tmp_path / "tta")
    assert on_disk(store, "SELECT count(*) FROM point") == [(100,)]
    assert on_disk(store, "SELECT value FROM eval") == [(95.0,)]


def test_facts_are_stated_by_the_sink_where_the_tracker_does_not(store: Store) -> None:
    row = {name: value for name, value in facts().items() if name != "started_ns"}
    sink = store.sink(row["id"])
    sink.start(row)
    ((pid, started, began),) = on_disk(store, "SELECT pid, pid_started, started_utc FROM run")
    assert pid == os.getpid() and (started is None or started > 0) and abs(began - time.time_ns()) < 60 * SECOND
