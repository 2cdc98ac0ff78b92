"""Records of runs: whole files, private, listed, cancelled from outside, lost with their process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from workbench.engine.errors import WorkbenchWarning
from workbench.engine.run import Run
from workbench.notebook import runs

pytestmark = pytest.mark.usefixtures("alone")
WHERE = {"kernel_id": "k1", "notebook": "a.ipynb", "cell_id": "c1"}


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the views that a loaded shell gives to every run."""
    monkeypatch.setattr("workbench.engine.run._on_start", [])


def start(work: Any, **more: Any) -> Run[Any]:
    return Run.start(work, kind="test", title="a test " + "x" * 100, unit="steps", **more)


def record(home: Path, **more: Any) -> dict[str, Any]:
    """Write a record by hand and return it."""
    import psutil

    made: dict[str, Any] = {
        "run_id": "a" * 32, "kind": "k", "title": "t", "state": "running", "done": 1.0, "total": None, "unit": "",
        "eta_s": None,
        "started": psutil.Process().create_time() + 5, "updated": 2.0, "ended": None, "workers": 0, "partial": False,
        "message": "", "kernel_id": "", "pid": os.getpid(), "notebook": "", "cell_id": "",
    } | more  # fmt: skip
    path = runs.folder(home) / f"{made['run_id']}.json"
    path.write_text(json.dumps(made))
    return made


def test_a_record_from_start_to_end(home: Path) -> None:
    go = threading.Event()

    def work(run: Run[int]) -> int:
        run.update(done=1, message="hello")
        go.wait(5)
        return 3

    run = start(work, total=4)
    recorder = runs.watch(run, WHERE)
    while not run.progress.done:
        time.sleep(0.01)
    recorder.save(every=0)
    (found,) = runs.records(home)
    assert list(found) == list(runs.COLUMNS)
    assert found["state"] == "running" and found["done"] == 1.0 and found["total"] == 4.0 and found["ended"] is None
    assert found["message"] == "hello" and found["pid"] == os.getpid() and len(found["title"]) == 80
    assert (found["kernel_id"], found["notebook"], found["cell_id"]) == ("k1", "a.ipynb", "c1")
    go.set()
    run.wait(5)
    recorder.save()
    found = runs.read(run.run_id)
    assert found["state"] == "finished" and found["ended"] >= found["started"] and not found["partial"]
    assert recorder.run is None  # no record keeps a result alive


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
def test_only_the_owner_can_read(home: Path) -> None:
    run = start(lambda run: None)
    run.wait(5)
    runs.watch(run, WHERE)
    assert (home / "runs").stat().st_mode & 0o777 == 0o700
    assert (home / "runs" / f"{run.run_id}.json").stat().st_mode & 0o777 == 0o600
    assert not [path for path in (home / "runs").iterdir() if path.name.startswith(".")]


def test_saving_is_throttled_but_not_for_a_new_state(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(runs, "_write", lambda path, content: written.append(json.loads(content)["state"]))
    go = threading.Event()

    def work(run: Run[None]) -> None:
        go.wait(5)

    run = start(work)
    recorder = runs.Recorder(run, WHERE)
    while run.state != "running":
        time.sleep(0.01)
    for count in range(20):
        run.update(done=count)
        recorder.save()
    assert written == ["running"]
    go.set()
    run.wait(5)
    recorder.save()
    assert written == ["running", "finished"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"run_id": "' + "a" * 32 + '"}', "null", "\x00\xff"],
)
def test_half_written_and_foreign_files_are_ignored(home: Path, text: str) -> None:
    (runs.folder(home) / f"{'a' * 32}.json").write_text(text)
    (runs.folder(home) / "notes.json").write_text("{}")
    assert runs.records(home) == []


@pytest.mark.parametrize("change", [{"pid": "1"}, {"done": "x"}, {"partial": 1}, {"title": None}, {"started": True}])
def test_fields_of_another_type_are_foreign(home: Path, change: dict[str, Any]) -> None:
    record(home, **change)
    assert runs.records(home) == []


def test_newest_first_ties_by_id(home: Path) -> None:
    for number, started in ((3, 5.0), (1, 7.0), (2, 5.0)):
        record(home, run_id=str(number) * 32, state="finished", started=started)
    assert [found["run_id"][0] for found in runs.records(home)] == ["1", "2", "3"]


def test_a_record_whose_process_is_gone_is_lost(home: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    record(home, pid=gone.pid)
    assert runs.records(home)[0]["state"] == "lost"
    record(home, pid=gone.pid, state="finished")
    assert runs.records(home)[0]["state"] == "finished"


def test_a_later_process_of_the_same_number_is_not_it(home: Path) -> None:
    record(home, started=1.0)
    assert runs.records(home)[0]["state"] == "lost"
    record(home)
    assert runs.records(home)[0]["state"] == "running"


def test_a_cancel_file_cancels(home: Path) -> None:
    def work(run: Run[int]) -> int:
        run.cancelled.wait(120)
        return 1

    run = start(work)
    runs.watch(run, WHERE)
    assert runs.request_cancel(run.run_id) in ("queued", "running")
    assert run.wait(60) and run.state == "cancelled"
    assert not (home / "runs" / f"{run.run_id}.cancel").exists()


def test_cancel_while_the_kernel_sleeps(home: Path) -> None:
    """The watcher is a thread of its own: `time.sleep` and C loops that release the lock do not hold it up."""

    def work(run: Run[int]) -> int:
        while not run.cancelled.is_set():
            sum(range(10_000))
        return 1

    run = start(work)
    runs.watch(run, WHERE)
    threading.Timer(0.1, lambda: runs.request_cancel(run.run_id)).start()
    until = time.monotonic() + 60
    while run.state != "cancelled" and time.monotonic() < until:
        time.sleep(0.8)
    assert run.state == "cancelled"


def test_what_cannot_be_cancelled_or_removed(home: Path) -> None:
    for bad in ("b" * 32, "../x", "A" * 32, ""):
        with pytest.raises(KeyError):
            runs.request_cancel(bad)
    record(home, state="finished")
    with pytest.raises(runs.Ended):
        runs.request_cancel("a" * 32)
    runs.remove("a" * 32)
    assert runs.records(home) == []
    record(home)
    with pytest.raises(runs.Ended):
        runs.remove("a" * 32)


def test_old_records_are_pruned(home: Path) -> None:
    for number in range(6):
        record(home, run_id=f"{number:032x}", state="finished", started=float(number))
    record(home, run_id="f" * 32)
    runs.prune(home, keep=2)
    assert [found["run_id"] for found in runs.records(home)] == ["f" * 32, f"{5:032x}", f"{4:032x}"]


def test_a_full_disk_is_one_warning_and_the_run_goes_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs, "_write", full)
    monkeypatch.setattr(runs.Recorder, "_warned", False)
    run = start(lambda run: 3)
    recorder = runs.Recorder(run, WHERE)
    with pytest.warns(WorkbenchWarning, match=r"^Runs cannot be recorded: No space left on device\."):
        recorder.save()
    run.wait(5)
    recorder.save(every=0)  # no second warning: it would be an error here
    assert run.result() == 3


def test_a_record_holds_no_code(home: Path) -> None:
    run = start(lambda run: None)
    run.wait(5)
    runs.watch(run, WHERE)
    assert "lambda" not in (home / "runs" / f"{run.run_id}.json").read_text()


def test_frame_of_nothing() -> None:
    frame = runs.frame([])
    assert list(frame.columns) == list(runs.COLUMNS) and len(frame) == 0
    assert str(frame["pid"].dtype) == "int64" and str(frame["done"].dtype) == "float64"
