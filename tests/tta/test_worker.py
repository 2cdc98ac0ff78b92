"""What a worker knows without the driver's database: earlier runs as told, earlier attempts as spooled."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workbench.tta import worker
from workbench.tta.record import Record, evals_table
from workbench.tta.worker import Past, Recipe, past, tidy
from workbench.tta.worker_sink import WorkerSink, spool_path


class Attempts:
    """Stands for what the scheduler keeps."""

    def __init__(self, *ids: str) -> None:
        self.ids, self.started = list(ids), 5 * 10**9

    def begin(self, run: str) -> None:
        self.ids.append(run)


def recipe(folder: str | None = None) -> Recipe:
    return Recipe(lambda tracker, seed: None, "r", {"top1": 97}, {}, folder, "group", None, 2)


def store(folder: Path, found: Any = (), earlier: Any = (), *ids: str) -> Any:
    return worker._WorkerStore(recipe(str(folder)), WorkerSink(lambda batch: None), Attempts(*ids), earlier, found)


def row(run: str, **facts: Any) -> dict[str, Any]:
    return {
        "id": run, "name": "r", "seed": 1, "attempt": 1, "parent": None, "joined": False, "state": "running",
        "task": None, "clock": "dawnbench", "goal": "max", "metric": "top1", "target": 97.0, "unit": None,
        "confirm": 1, "steps": None, "schedule": None, "price": None, "eval_hash": "", "eval_count": None,
        "started_ns": time.time_ns(), "host": "h", "pid": 1, "boot_id": "b", "rank": 0, "first_in_process": True,
        "environment": {}, **facts,
    }  # fmt: skip


def evals(count: int) -> Any:
    return ("eval", [(i, i, None, "top1", 90.0 + i, None, (i + 1) * 10**9, i, None) for i in range(count)])


def test_past_is_what_projections_need() -> None:
    values = [90.0, 98.0, 97.0, 99.0]
    rows = [{"eval": i, "step": 2 * i, "metric": "top1", "value": v, "wall_s": 3.0 * i} for i, v in enumerate(values)]
    facts: dict[str, Any] = {"id": "a", "name": "r", "metric": "top1", "target": 97.0, "steps": 8, "schedule": "s"}
    found = past(Record(**facts, evals=evals_table(rows)))
    assert found == Past(("top1", 97.0, "max", "s", 8), 2, 6, 1.5)
    none = past(Record(**facts, evals=evals_table([])))
    assert (none.crossing, none.last) == (None, None)
    assert math.isnan(none.pace)


def test_a_worker_s_store_has_the_history_that_it_was_told(tmp_path: Path) -> None:
    facts = ("top1", 97.0, "max", "s", 8)
    mine = store(tmp_path, (), [Past(facts, 5, 7, 1.0), Past((*facts[:3], "other", 8), 6, 7, 1.0)])
    assert mine.history("r", "top1", 97, "max", "s", 8, clock="wall") == [(5, 7, 1.0)]
    assert mine.history("r", "top1", 97, "max", None, 8) == []
    with mine.reading() as connection:
        assert connection is None  # the driver's database is never opened
    assert list(tmp_path.glob("*.sqlite")) == []


def test_the_attempt_before_is_read_from_its_spool(tmp_path: Path) -> None:
    found = [("A", 0, [("start", row("A")), evals(3)]), ("A", 2, [("span", (0, "train", 0, 4 * 10**9, 0))])]
    with store(tmp_path, found, (), "A") as mine:
        previous = worker._previous(mine, Attempts("A"), 1)
        assert (previous.id, previous.attempt) == ("A", 1)
        assert [one[1] for one in previous.log.evals] == [0, 1, 2]
        assert previous.log.last_ns == 4 * 10**9
        place = Path(mine._temporary)
        assert place.is_dir()
    assert not place.exists()


def test_attempts_that_were_joined_come_as_one_log(tmp_path: Path) -> None:
    began = time.time_ns()
    found = [
        ("A", 0, [("start", row("A", started_ns=began)), evals(2)]),
        ("B", 0, [("start", row("B", attempt=2, parent="A", started_ns=began + 60 * 10**9)),
                  ("update", {"joined": True, "resumed_step": 2}), evals(1)]),
    ]  # fmt: skip
    with store(tmp_path, found, (), "A", "B") as mine:
        previous = worker._previous(mine, Attempts("A", "B"), 1)
    assert (previous.id, previous.attempt, previous.started_ns) == ("B", 2, began)
    assert [one[6] // 10**9 for one in previous.log.evals] == [1, 2, 61]


def test_an_attempt_on_another_machine_is_known_by_its_id(tmp_path: Path) -> None:
    with store(tmp_path, (), (), "A") as mine:
        previous = worker._previous(mine, Attempts("A"), 1)
    assert (previous.id, previous.attempt, previous.started_ns) == ("A", 1, 5 * 10**9)
    assert previous.log.evals == []


def test_only_spools_of_dead_processes_are_left_behind(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for pid, run in ((os.getpid(), "mine"), (os.getppid(), "living"), (ended.pid, "dead")):
        path = spool_path(tmp_path, "group", 1)
        sink = WorkerSink(lambda batch: None, path.with_name(f"1-0-{pid}.log"))
        sink.start(row(run))
        sink.close()
    assert [batch[0] for batch in worker._left_behind(tmp_path / "group", 1)] == ["dead"]
    assert list(worker._left_behind(tmp_path / "group", 2)) == []
    assert list(worker._left_behind(tmp_path / "none", 1)) == []


def test_a_folder_that_is_not_of_this_machine_is_not_used(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert worker._usable(str(tmp_path / "new" / "tta")) == str(tmp_path / "new" / "tta")
    assert worker._usable(str(blocked / "tta")) is None
    assert worker._usable(None) is None


@pytest.mark.parametrize(("state", "wanted"), [("executing", True), ("cancelled", False), ("released", False)])
def test_a_task_that_was_cancelled_is_not_wanted(state: str, wanted: bool) -> None:
    tasks = {"k": SimpleNamespace(state=state)}
    one = SimpleNamespace(state=SimpleNamespace(tasks=tasks))
    assert worker._wanted(one, "k") is wanted
    assert not worker._wanted(one, "other")


def test_tidy_takes_the_spools_of_a_call_away(tmp_path: Path) -> None:
    place = tmp_path / worker.SPOOLS / "group"
    place.mkdir(parents=True)
    tidy("group", SimpleNamespace(local_directory=str(tmp_path / "worker-1")))
    assert not place.exists()
    tidy("group")
