from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.tta.stored import SECOND, begun, evaluation, facts, finished
from workbench.tta import liveness, writer
from workbench.tta.store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made = open_store(tmp_path / "tta")
    yield made
    made.close()


def gone_process() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def remote(store: Store, silent_s: float, **more: Any) -> str:
    """A running run of which nothing was heard for some seconds; its id."""
    row = facts(started_ns=time.time_ns() - 1000 * SECOND, **more)
    sink = store.sink(row["id"], here=False)
    sink.start(row)
    sink.close()
    connection = sqlite3.connect(store.path)
    connection.execute(
        "UPDATE heartbeat SET t_utc = ? WHERE run = (SELECT num FROM run WHERE id = ?)",
        (time.time_ns() - round(silent_s * SECOND), sink.id),
    )
    connection.commit()
    connection.close()
    return sink.id


HERE = {"host": liveness.host(), "boot_id": liveness.boot_id()}


def states(store: Store) -> list[str]:
    return [record.state for record in store.records()]


def kept(store: Store) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(store.path)
    try:
        return connection.execute("SELECT state, ended_utc IS NULL FROM run ORDER BY started_utc, num").fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("silent_s", "where", "pid", "lost"),
    [
        (9.0, HERE, "gone", False),  # its writer may be held up
        (11.0, HERE, "gone", True),
        (11.0, HERE, "alive", False),
        (119.0, HERE, "alive", False),
        (121.0, HERE, "alive", True),  # it sleeps, or is stuck
        (-11.0, HERE, "gone", True),  # the clock was set back since
        (-5.0, HERE, "gone", False),
        (11.0, {"host": "elsewhere", "boot_id": "b"}, "gone", False),  # what runs there cannot be seen
        (119.0, {"host": "elsewhere", "boot_id": "b"}, "gone", False),
        (121.0, {"host": "elsewhere", "boot_id": "b"}, "alive", True),
        (-1000.0, {"host": "elsewhere", "boot_id": "b"}, "alive", False),
        (119.0, {"host": liveness.host(), "boot_id": "before"}, "gone", False),
        (121.0, {"host": liveness.host(), "boot_id": "before"}, "gone", True),
    ],
)
def test_c54_when_a_run_is_lost(silent_s: float, where: dict[str, str], pid: str, lost: bool) -> None:
    number = os.getpid() if pid == "alive" else gone_process()
    assert lost is liveness.is_lost(
        silent_s=silent_s, run_host=where["host"], run_boot_id=where["boot_id"], pid=number, pid_started=None
    )


def test_c54_a_later_process_with_the_same_id_is_another() -> None:
    mine = liveness.process_started()
    if mine is None:
        pytest.skip("the system does not tell when a process started")
    assert liveness.running(os.getpid(), mine) and liveness.running(os.getpid())
    assert not liveness.running(os.getpid(), mine - 1)
    facts = {"silent_s": 11.0, "run_host": liveness.host(), "run_boot_id": liveness.boot_id(), "pid": os.getpid()}
    assert not liveness.is_lost(**facts, pid_started=mine)  # type: ignore[arg-type]
    assert liveness.is_lost(**facts, pid_started=mine - 1)  # type: ignore[arg-type]


def test_a_process_that_has_ended_and_is_not_waited_for_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read()  # until it ends
    while liveness.running(process.pid):
        time.sleep(0.01)
    process.wait()
    process.stdout.close()
    assert not liveness.running(process.pid) and not liveness.running(0) and not liveness.running(-1)


def test_c54_lost_runs_are_shown_so_and_set_so_by_the_next_writer(store: Store) -> None:
    remote(store, 11.0, pid=gone_process(), **HERE)
    remote(store, 5.0, pid=gone_process(), **HERE)
    remote(store, 11.0, pid=os.getpid(), **HERE)
    remote(store, 200.0, pid=1, host="elsewhere", boot_id="b")
    finished(store)
    assert states(store) == ["lost", "running", "running", "lost", "finished"]
    assert [record.state for record in store.records(state="lost")] == ["lost", "lost"]
    assert len(store.records(state="running")) == 2
    assert kept(store)[:4] == [("running", 1)] * 4  # looking changes nothing
    store.close()
    store.sink("x")  # a writer
    assert kept(store)[:4] == [("lost", 0), ("running", 1), ("running", 1), ("lost", 0)]
    assert states(store) == ["lost", "running", "running", "lost", "finished"]


def test_c54_a_lost_run_ends_at_its_last_heartbeat(store: Store) -> None:
    run = remote(store, 50.0, pid=gone_process(), **HERE)
    store.close()
    store.sink("x")
    connection = sqlite3.connect(store.path)
    ended = connection.execute("SELECT ended_utc FROM run WHERE id = ?", (run,)).fetchone()[0]
    connection.close()
    assert abs(time.time_ns() - 50 * SECOND - ended) < 30 * SECOND


def test_a_run_of_this_process_says_that_it_is_alive(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "BEAT_S", 0.05)
    begun(store)
    connection = sqlite3.connect(store.path)

    def beat() -> Any:
        return connection.execute("SELECT t_utc, t_ns FROM heartbeat").fetchone()

    first = beat()
    while (later := beat()) == first:
        time.sleep(0.01)
    assert later[0] > first[0] and later[1] > first[1]
    connection.close()


def test_c54_a_run_that_slept_runs_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "BEAT_S", 0.05)
    sink = begun(store)
    connection = sqlite3.connect(store.path, isolation_level=None)
    connection.execute("UPDATE run SET state = 'lost', ended_utc = 1")  # by another process, while this one slept
    sink._beaten -= 1000
    while connection.execute("SELECT state, ended_utc FROM run").fetchone() != ("running", None):
        time.sleep(0.01)
    connection.execute("UPDATE run SET state = 'lost', ended_utc = 1")
    sink.end("finished", {})
    assert connection.execute("SELECT state FROM run").fetchone() == ("finished",)
    connection.close()


def test_c54_a_run_elsewhere_is_alive_when_something_comes_from_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "BEAT_S", 0.05)
    row = facts(pid=1, host="elsewhere", boot_id="b")
    sink = store.sink(row["id"], here=False)
    sink.start(row)
    connection = sqlite3.connect(store.path, isolation_level=None)

    def beat() -> int:
        return int(connection.execute("SELECT t_utc FROM heartbeat").fetchone()[0])

    first = beat()
    time.sleep(0.5)
    assert beat() == first  # this process is alive, but that says nothing of the other
    sink.eval([evaluation(0, 95.0)])
    while beat() == first:
        time.sleep(0.01)
    second = beat()
    sink.alive()
    while beat() == second:
        time.sleep(0.01)
    connection.close()


def test_c54_a_process_beside_this_one_is_seen(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker on this host that says nothing for minutes is alive as long as its process is."""
    monkeypatch.setattr(liveness, "BEAT_S", 0.05)
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    row = facts(pid=process.pid, **HERE)
    sink = store.sink(row["id"], here=False)
    sink.start(row)
    connection = sqlite3.connect(store.path, isolation_level=None)

    def beat() -> int:
        return int(connection.execute("SELECT t_utc FROM heartbeat").fetchone()[0])

    first = beat()
    while beat() == first:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert process.stdin is not None
    process.stdin.close()
    time.sleep(0.3)
    last = beat()
    time.sleep(0.3)
    assert beat() == last
    sink.update({})  # as a worker says it that was quiet for long
    while beat() == last:
        time.sleep(0.01)
    connection.close()


def test_a_clock_that_jumps_while_a_run_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """UTC moves, monotonic time does not: neither evaluations nor the state show it."""
    monkeypatch.setattr(liveness, "BEAT_S", 0.02)
    sink = begun(store)
    sink.eval([evaluation(0, 90.0, 1)])
    real = time.time_ns
    for jump in (-3600, 7200):
        monkeypatch.setattr(time, "time_ns", lambda jump=jump: real() + jump * SECOND)
        found = writer.existing(store.path)
        assert found is not None
        before = found._beat
        while found._beat == before:
            time.sleep(0.01)
        store.flush()
        assert states(store) == ["running"]
    sink.eval([evaluation(1, 95.0, 2)])
    sink.end("finished", {"end_ns": 3 * SECOND})
    monkeypatch.undo()
    (record,) = store.records()
    assert record.evals["wall_s"].tolist() == [1.0, 2.0] and record.state == "finished"


def test_where_there_is_no_proc_psutil_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    liveness.boot_id.cache_clear()
    monkeypatch.setattr(Path, "exists", lambda self: False)
    monkeypatch.setattr(Path, "read_text", lambda self, **_: (_ for _ in ()).throw(OSError()))
    try:
        assert liveness.boot_id().isdigit()
        started = liveness.process_started()
        assert started is not None and liveness.running(os.getpid(), started)
        assert not liveness.running(os.getpid(), started - 1000)
        assert not liveness.running(gone_process())
    finally:
        liveness.boot_id.cache_clear()
