from __future__ import annotations

import math
import random
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tta.stored import SECOND, begun, dense, evaluation, facts, finished
from workbench.engine.errors import WorkbenchError
from workbench.tta import schema, writer
from workbench.tta.price import Price
from workbench.tta.record import EVAL_COLUMNS, POINT_COLUMNS, SPAN_COLUMNS
from workbench.tta.run import Run
from workbench.tta.sink import Sink
from workbench.tta.store import Store, checkpoint_folder, open_store
from workbench.tta.tables import Tables


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made = open_store(tmp_path / "tta")
    yield made
    made.close()


def test_the_default_folder_is_in_workbench_home(home: Path) -> None:
    assert open_store().path == home / "tta" / "runs.sqlite"
    assert open_store().records() == []
    assert not open_store().folder.exists()  # nothing is made by looking


def test_c51_the_database_is_in_wal_mode_with_a_version(store: Store) -> None:
    finished(store)
    connection = sqlite3.connect(store.path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_a_sink_is_a_sink(store: Store) -> None:
    assert isinstance(store.sink("x"), Sink)


def test_a_run_is_read_back_as_it_was_told(store: Store) -> None:
    price = Price(3.06, date="2026-01-31")
    sink = begun(
        store, seed=7, task="CIFAR10", steps=24, schedule="onecycle", price=price, confirm=2, eval_hash="3f19",
        eval_count=10_000, first_in_process=True,
    )  # fmt: skip
    sink.span((0, "train", 0, 2 * SECOND, 0))
    sink.span((1, "eval", 2 * SECOND, 3 * SECOND, 0))
    sink.eval([evaluation(0, 94.0, 3), evaluation(0, math.nan, 3, metric="loss", n=None, epoch=None)])
    sink.note("a note")
    sink.points(dense(3))
    sink.end("reached", {"gap": -0.5, "contended": True, "end_ns": 4 * SECOND, "warnings": ("loud",)})
    (record,) = store.records()
    assert (record.id, record.name, record.seed, record.attempt, record.state) == (sink.id, "resnet9", 7, 1, "reached")
    assert (record.task, record.clock, record.goal, record.metric, record.target) == (
        "CIFAR10", "dawnbench", "max", "top1", 94.0,
    )  # fmt: skip
    assert (record.confirm, record.steps, record.schedule, record.price) == (2, 24, "onecycle", price)
    assert record.environment == {"threads": 2}
    assert (record.notes, record.warnings) == (("a note",), ("loud",))
    assert (record.eval_hash, record.eval_count, record.gap) == ("3f19", 10_000, -0.5)
    assert (record.contended, record.first_in_process) == (True, True)
    assert record.started is not None and abs(record.started.timestamp() - time.time()) < 60
    evals = record.evals
    assert {name: str(kind) for name, kind in evals.dtypes.items()} == EVAL_COLUMNS
    assert evals["metric"].tolist() == ["top1", "loss"]  # as logged, not by name
    assert evals["wall_s"].tolist() == [3.0, 3.0] and evals["dawnbench_s"].tolist() == [2.0, 2.0]
    assert evals["n"].tolist()[0] == 10_000 and pd.isna(evals["n"].tolist()[1])
    assert evals["se"].iloc[0] == pytest.approx(0.2375, abs=1e-4)
    assert math.isnan(evals["value"].iloc[1]) and math.isnan(evals["epoch"].iloc[1])
    assert {name: str(kind) for name, kind in record.spans.dtypes.items()} == SPAN_COLUMNS
    assert record.spans["kind"].tolist() == ["train", "eval"]
    points = record.points()
    assert {name: str(kind) for name, kind in points.dtypes.items()} == POINT_COLUMNS
    assert points["value"].tolist() == [1, 1 / 2, 1 / 3] and points["wall_s"].tolist() == [0, 0.001, 0.002]
    assert Run(record).time_to() == 2.0


def test_facts_that_become_known_later_are_kept(store: Store) -> None:
    sink = begun(store)
    sink.update({"steps": 15, "schedule": "onecycle-15"})
    sink.update({"environment": {"gpu": "none"}, "price": Price(1.0)})
    (record,) = store.records()
    assert (record.steps, record.schedule, record.environment) == (15, "onecycle-15", {"gpu": "none"})
    assert (record.name, record.target, record.state) == ("resnet9", 94.0, "running")
    assert record.price == Price(1.0)
    sink.end("failed", {})
    assert store.records()[0].steps == 15


def test_records_by_recipe_task_and_state(store: Store) -> None:
    a = finished(store, name="a", task="CIFAR10")
    b = finished(store, name="b", state="budget")
    c = begun(store, name="b").id
    assert [r.id for r in store.records()] == [a, b, c]
    assert [r.id for r in store.records("b")] == [b, c]
    assert [r.id for r in store.records(task="CIFAR10")] == [a]
    assert [r.id for r in store.records(state="running")] == [c]
    assert [r.id for r in store.records(state=("budget", "finished"))] == [a, b]
    assert store.records("none") == []
    assert store.record(b).id == b
    with pytest.raises(WorkbenchError, match="No run x"):
        store.record("x")


def test_other_ranks_are_no_runs(store: Store) -> None:
    run = finished(store)
    finished(store, rank=1)
    assert [r.id for r in store.records()] == [run]


def test_two_notebooks_read_and_write_one_folder(store: Store) -> None:
    sink = begun(store)
    other = sqlite3.connect(store.path, timeout=5)  # another program
    other.execute("INSERT INTO metric(name) VALUES ('theirs')")
    other.commit()
    sink.points(dense(5, metric="mine"))
    sink.eval([evaluation(0, 95.0)])
    assert store.flush()
    assert other.execute("SELECT count(*) FROM point").fetchone() == (5,)
    other.close()
    assert store.records()[0].points()["metric"].tolist() == ["mine"] * 5


# ----------------------------------------------------------------------------------------------- batches, any which way


def _operations() -> list[tuple[str, str, Any]]:
    """A log of two attempts of two runs as operations, in the order made."""
    made: list[tuple[str, str, Any]] = []
    for run in ("run-a", "run-b"):
        made.append(("facts", run, (0, facts(run, started_ns=1, pid=1, host="h", boot_id="b"))))
        made.append(("facts", run, (1, {"steps": 4, "schedule": "s"})))
        for seq in range(4):
            made.append(("point", run, dense(3, 3 * seq) + dense(3, 3 * seq, "lr")))
            made.append(
                ("span", run, [(2 * seq, "train", seq, seq + 1, 0), (2 * seq + 1, "eval", seq + 1, seq + 2, 0)])
            )
            made.append(("eval", run, [evaluation(seq, 90.0 + seq), evaluation(seq, None, metric="loss")]))
            made.append(("note", run, ("note", seq, f"note {seq}")))
        made.append(("crossing", run, {"metric": "top1", "threshold": 93.0, "confirm": 1, "seq": 3, "seconds": 1.5}))
        made.append(("facts", run, (2, {"environment": {"late": True}, "price": Price(2.0)})))
        made.append(("facts", run, (3, {"state": "finished", "ended_ns": 9, "end_ns": 8, "steps": 5})))
    return made


def _split(operations: list[tuple[str, str, Any]], rng: random.Random) -> list[tuple[str, str, Any]]:
    """Split rows that come together anew; the metrics of an evaluation stay together."""
    made = []
    for kind, run, payload in operations:
        if kind in ("point", "span") and rng.random() < 0.7:
            cut = rng.randint(0, len(payload))
            made += [(kind, run, payload[:cut]), (kind, run, payload[cut:])]
        else:
            made.append((kind, run, payload))
    return made


def _tables(operations: list[tuple[str, str, Any]], batches: int, rng: random.Random) -> dict[str, list[Any]]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(connection)
    tables = Tables(connection)
    cuts = sorted(rng.randint(0, len(operations)) for _ in range(batches - 1))
    for first, last in zip([0, *cuts], [*cuts, len(operations)], strict=True):
        connection.execute("BEGIN")
        tables.apply(operations[first:last])
        connection.execute("COMMIT")
    name = "(SELECT id FROM run WHERE num = run)"
    asked = {
        "run": "SELECT run.id, seed, state, started_utc, ended_utc, end_ns, environment, host, name, schedule, steps, "
        "target, clock FROM run JOIN recipe ON recipe.id = run.recipe ORDER BY 1",
        "eval": f"SELECT {name}, seq, step, epoch, metric, value, n, t_ns, place FROM eval ORDER BY 1, 2, 5",
        "point": f"SELECT {name}, metric.name, step, t_ns, v, seq FROM point JOIN metric USING(k) ORDER BY 1, 2, 3",
        "span": f"SELECT {name}, seq, kind, start_ns, end_ns FROM span ORDER BY 1, 2",
        "note": f"SELECT {name}, seq, text FROM note ORDER BY 1, 2",
        "crossing": f"SELECT {name}, threshold, seconds FROM crossing ORDER BY 1",
        "price": f"SELECT {name}, usd_per_hour FROM price ORDER BY 1",
    }
    return {table: connection.execute(sql).fetchall() for table, sql in asked.items()}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), batches=st.integers(1, 12), repeats=st.integers(0, 30))
def test_c52_any_split_repetition_and_order_of_batches_gives_the_same_tables(
    seed: int, batches: int, repeats: int
) -> None:
    rng = random.Random(seed)
    operations = _operations()
    expected = _tables(operations, 1, rng)
    assert len(expected["run"]) == 2 and len(expected["point"]) == 48 and len(expected["eval"]) == 16
    assert expected["run"][0][2] == "finished" and expected["run"][0][-3] == 5
    shuffled = _split(operations, rng)
    shuffled += rng.choices(shuffled, k=repeats)
    rng.shuffle(shuffled)
    assert _tables(shuffled, batches, rng) == expected


# ------------------------------------------------------------------------------------------------------------- attempts


def test_c55_attempts_that_go_on_are_one_run_and_time_down_is_a_span(store: Store) -> None:
    start = time.time_ns() - 1000 * SECOND
    first = begun(store, started_ns=start)
    first.span((0, "train", 0, 10 * SECOND, 0))
    first.span((1, "eval", 10 * SECOND, 12 * SECOND, 0))
    first.eval([evaluation(0, 80.0, 12)])
    first.span((2, "train", 12 * SECOND, 20 * SECOND, 0))
    first.end("failed", {"end_ns": 20 * SECOND, "cpu_ns": 30 * SECOND})
    second = begun(
        store, started_ns=start + 212 * SECOND, attempt=2, parent=first.id, joined=True, resumed_step=0,
    )  # fmt: skip
    second.span((0, "train", 0, 5 * SECOND, 0))
    second.span((1, "eval", 5 * SECOND, 6 * SECOND, 0))
    second.eval([evaluation(0, 95.0, 6, step=10)])
    second.end("reached", {"end_ns": 7 * SECOND})
    (record,) = store.records()
    assert (record.id, record.attempt, record.state) == (second.id, 2, "reached")
    evals = record.evals
    assert evals["eval"].tolist() == [0, 1] and evals["step"].tolist() == [0, 10]
    assert evals["wall_s"].tolist() == [12.0, 218.0]  # down counts
    assert evals["dawnbench_s"].tolist() == [10.0, 23.0]  # 10 + 8 + 5: neither eval nor down counts
    assert evals["mlperf_s"].tolist() == [12.0, 218.0]
    assert evals["cpu_s"].tolist() == [1.0, 31.0]
    assert record.spans.query("kind == 'down'")[["start_s", "end_s"]].values.tolist() == [[20.0, 212.0]]
    assert store.record(first.id).id == second.id


def test_c55_an_attempt_that_starts_anew_is_a_run_of_its_own(store: Store) -> None:
    first = finished(store, state="lost")
    second = finished(store, attempt=2, parent=first)
    assert [(r.id, r.attempt, r.state) for r in store.records()] == [(first, 1, "lost"), (second, 2, "finished")]


def test_c55_a_clock_set_back_between_attempts_makes_no_time_negative(store: Store) -> None:
    start = time.time_ns()
    first = begun(store, started_ns=start)
    first.eval([evaluation(0, 80.0, 12)])
    first.end("failed", {"end_ns": 20 * SECOND})
    second = begun(store, started_ns=start - 3600 * SECOND, attempt=2, parent=first.id, joined=True, resumed_step=0)
    second.eval([evaluation(0, 95.0, 6)])
    second.end("finished", {})
    # the order of attempts is told by their parents, not by clocks
    (record,) = store.records()
    assert record.id == second.id
    assert record.evals["wall_s"].tolist() == [12.0, 26.0]


def test_c55_what_can_be_gone_on_with(store: Store) -> None:
    run = finished(store, state="interrupted")
    assert [attempt.id for attempt in store.unfinished(run)] == [run]
    log = store.log(store.unfinished(run))
    assert (log.last_ns, log.cpu_ns, len(log.evals)) == (3 * SECOND, 3 * SECOND, 2)
    done = finished(store)
    with pytest.raises(WorkbenchError) as error:
        store.unfinished(done)
    assert error.value.lines() == [
        f"Run {done} has ended (finished): it cannot be gone on with.",
        "Only runs that are lost, interrupted or failed can be resumed.",
    ]
    with pytest.raises(WorkbenchError, match="is still running"):
        store.unfinished(begun(store).id)
    with pytest.raises(WorkbenchError, match="No run nothing"):
        store.unfinished("nothing")
    assert store.latest("resnet9", 0) is not None and store.latest("resnet9", 1) is None


def test_checkpoint_folders_are_of_recipe_and_seed(store: Store) -> None:
    place = store.checkpoint_dir("a/b: c", 3)
    assert place.is_dir() and place == store.checkpoint_dir("a/b: c", 3)
    assert place.parent.parent == store.folder / "checkpoints"
    others = {
        checkpoint_folder(store.folder, name, seed)
        for name, seed in (("a/b: c", 4), ("a/b: c", None), ("a-b- c", 3), ("", 3), ("..", 3))
    }
    assert len(others) == 5 and place not in others
    assert all(store.folder / "checkpoints" in other.parents for other in others)


# --------------------------------------------------------------------------------------------------- files that are bad


def test_a_database_that_stays_locked_is_told_in_two_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "BUSY_S", 0.2)
    (tmp_path / "tta").mkdir()
    other = sqlite3.connect(tmp_path / "tta" / "runs.sqlite", isolation_level=None)
    other.execute("CREATE TABLE theirs(x)")
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    store = open_store(tmp_path / "tta")
    for opened in (lambda: store.sink("x"), store.records):
        with pytest.raises(WorkbenchError) as error:
            opened()
        assert error.value.lines() == [
            "runs.sqlite is locked by another program.",
            "Keep WORKBENCH_HOME on a local disk.",
        ]
    other.execute("ROLLBACK")
    other.close()


@pytest.mark.parametrize("how", ["no database", "cut", "overwritten"])
def test_a_damaged_database_is_told_in_two_lines_and_kept(tmp_path: Path, how: str) -> None:
    store = open_store(tmp_path / "tta")
    for _ in range(3):
        finished(store, points=400)
    store.close()
    content = store.path.read_bytes()
    if how == "no database":
        content = b"these are not runs, and it is long enough to be looked at" * 100
    elif how == "cut":
        content = content[:5000]
    else:
        content = content[:100] + b"\xff" * 4000 + content[4100:]
    store.path.write_bytes(content)
    with pytest.raises(WorkbenchError) as error:
        store.sink("x")
    message, hint = error.value.lines()
    assert message.startswith("runs.sqlite is damaged: ") and message.endswith(".")
    assert hint == (f"Move {store.path} away: a new one is begun. What can be read is saved by sqlite3's .recover.")
    with pytest.raises(WorkbenchError, match="is damaged"):
        store.records()
    assert store.path.read_bytes() == content
    store.path.rename(tmp_path / "aside.sqlite")
    run = finished(store)
    assert [record.id for record in store.records()] == [run]
    store.close()


def test_a_newer_database_is_left_alone(store: Store) -> None:
    finished(store)
    store.close()
    connection = sqlite3.connect(store.path)
    connection.execute(f"PRAGMA user_version = {schema.VERSION + 4}")
    connection.close()
    for opened in (lambda: store.sink("x"), store.records):
        with pytest.raises(WorkbenchError) as error:
            opened()
        assert error.value.lines() == [
            f"runs.sqlite was written by a newer Workbench: schema {schema.VERSION + 4}, "
            f"this one knows up to {schema.VERSION}.",
            "Update workbench, or set WORKBENCH_HOME to another folder.",
        ]


def test_an_older_database_is_brought_up_to_date_by_who_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "tta")
    run = finished(store)
    store.close()
    monkeypatch.setattr(
        schema, "MIGRATIONS", (*schema.MIGRATIONS, ("CREATE TABLE later(x)", "INSERT INTO later VALUES (1)"))
    )
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    errors: list[BaseException] = []

    def opened() -> None:
        try:
            schema.connect(store.path).close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=opened) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    connection = sqlite3.connect(store.path)
    assert connection.execute("SELECT x FROM later").fetchall() == [(1,)]
    connection.close()
    assert [record.id for record in store.records()] == [run]


def test_a_migration_that_fails_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    finished(store)
    store.close()
    before = schema.VERSION
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("CREATE TABLE later(x)", "NONSENSE")))
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    with pytest.raises(sqlite3.OperationalError):
        schema.connect(store.path)
    monkeypatch.undo()
    connection = sqlite3.connect(store.path)
    assert connection.execute("PRAGMA user_version").fetchone() == (before,)
    assert connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'later'").fetchone() is None
    connection.close()


def test_a_folder_that_is_a_file_is_read_as_an_error(tmp_path: Path) -> None:
    (tmp_path / "tta").write_text("")
    with pytest.raises(WorkbenchError, match="cannot be read"):
        open_store(tmp_path / "tta").records()


def test_a_folder_that_cannot_be_written_is_read(tmp_path: Path) -> None:
    store = open_store(tmp_path / "tta")
    run = finished(store, points=3)
    store.close()
    writer.close_all()
    connection = schema.reading(store.path)
    assert connection.execute("SELECT id FROM run").fetchall() == [(run,)]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM run")
    connection.close()
