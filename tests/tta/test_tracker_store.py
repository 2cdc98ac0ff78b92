"""The tracker and the store: what was logged comes back, and an unfinished run is gone on with."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import pytest

from tests.tta.ticking import Ticking
from workbench.engine.errors import WorkbenchError
from workbench.tta import liveness
from workbench.tta.history import runs
from workbench.tta.problems import TTAWarning
from workbench.tta.store import open_store
from workbench.tta.tracker import Tracker

pytestmark = pytest.mark.usefixtures("closed")


def tracker(**more: object) -> Tracker:
    return Tracker("digits", {"top1": 97}, **{"seed": 0, **more})  # type: ignore[arg-type]


def train(t: Tracker, clock: Ticking, steps: range, best: float = 96.0) -> None:
    for step in steps:
        with t.span("train"):
            clock.forward(10)
            t.log(step, loss=1 / (step + 1))
        with t.span("checkpoint"):
            clock.forward(1)
        t.eval(step=step, n=300, top1=clock.takes(2, best if step == steps[-1] else 90.0))


def test_a_run_comes_back_as_it_was(clock: Ticking, home: Path) -> None:
    with tracker(price=3.06, steps=5, schedule="s", eval_count=300, confirm=2, task="digits") as t:
        with t.span("data"):
            clock.forward(1)
            with t.span("init"):
                clock.forward(0.5)
        train(t, clock, range(5), 98.0)
        t.note("it is warm")
    (home / "tta" / "runs.sqlite").stat()
    (found,) = runs("digits")
    assert found.id == t.id and found.state == "finished" and found.seed == 0 and found.task == "digits"
    for table in ("evals", "spans", "points", "crossings"):
        assert getattr(found, table).equals(getattr(t.run, table)), table
    assert found.explain() == t.run.explain() and "note: it is warm" in found.explain()
    assert found.environment == t.run.environment and found.price == t.run.price
    assert found.record.started == t.run.record.started


def test_it_is_there_while_it_goes_on(clock: Ticking) -> None:
    with tracker() as t:
        train(t, clock, range(2))
        (found,) = runs("digits")
        assert found.state == "running" and found.evals.equals(t.run.evals) and len(found.points) == 2
        assert len(t.run.points) == 2
    assert runs("digits", state="finished")[0].id == t.id


def test_a_folder_of_its_own(clock: Ticking, tmp_path: Path, home: Path) -> None:
    with tracker(store=tmp_path / "runs") as t:
        train(t, clock, range(2))
    assert len(runs("digits", store=tmp_path / "runs")) == 1 and not (home / "tta" / "runs.sqlite").exists()
    assert t.run.points["value"].tolist() == [1.0, 0.5]
    open_store(tmp_path / "runs").close()


def interrupted(ticks: Ticking, steps: range, **more: object) -> Tracker:
    with pytest.raises(KeyboardInterrupt), tracker(**more) as t:  # noqa: PT012
        train(t, ticks, steps)
        t.note("of the first")
        raise KeyboardInterrupt
    return t


def test_c55_a_resumed_run_has_an_honest_clock(clock: Ticking) -> None:
    first = interrupted(clock, range(3))  # 39 s, of which 9 are evaluation and saving
    clock.forward(192)
    with pytest.warns(TTAWarning) as said, tracker(resume=first.id) as t:  # noqa: PT031
        assert t.resumed and t.run.attempt == 2 and len(t.run.evals) == 3
        train(t, clock, range(3, 6), 98.0)
    assert said[0].filename == __file__
    assert str(said[0].message) == (
        "Run resumed after 00:03:12 down.\ndawnbench clock: left out; wall and cost: included."
    )
    evals = t.run.evals
    assert evals["eval"].tolist() == list(range(6)) and evals["step"].tolist() == list(range(6))
    assert evals["dawnbench_s"].tolist() == [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]
    assert evals["wall_s"].tolist() == [13.0, 26.0, 39.0, 244.0, 257.0, 270.0]
    assert evals["mlperf_s"].tolist() == evals["wall_s"].tolist()
    down = t.run.spans[t.run.spans["kind"] == "down"]
    assert down["seconds"].tolist() == [192.0] and t.run.time_to() == 60.0
    assert "down 3:12 not counted" in t.run.explain()
    assert evals["cpu_s"].is_monotonic_increasing
    # the store has one run of both attempts, the same to the last figure
    (found,) = runs("digits")
    assert found.id == t.id and found.attempt == 2
    assert found.notes == t.run.notes == ["of the first"] and found.warnings == t.run.warnings
    assert found.record.first_in_process == first.run.record.first_in_process == t.run.record.first_in_process
    for table in ("evals", "spans", "points"):
        assert getattr(found, table).equals(getattr(t.run, table)), table
    assert found.time_to(clock="wall") == 270.0


@pytest.mark.parametrize(
    ("name", "text"),
    [("wall", "wall clock: included; cost: included."), ("mlperf", "mlperf clock: included; wall and cost: included."),
     ("algoperf", "algoperf clock: left out; wall and cost: included.")],
)  # fmt: skip
def test_c55_what_counts_is_said(clock: Ticking, name: str, text: str) -> None:
    first = interrupted(clock, range(1), clock=name)
    with pytest.warns(TTAWarning) as said, tracker(resume=first.id, clock=name):
        pass
    assert str(said[0].message).splitlines()[1] == text


def test_c55_budgets_and_confirmation_go_on(clock: Ticking) -> None:
    first = interrupted(clock, range(3), max_time="45s")
    with pytest.warns(TTAWarning), tracker(resume=first.run, max_time="45s") as t:
        train(t, clock, range(3, 9))
    assert t.run.state == "budget" and len(t.run.evals) == 4  # `log` leaves at 50 s of both
    first = interrupted(clock, range(1), seed=1, confirm=2)
    with pytest.raises(KeyboardInterrupt), tracker(seed=2, confirm=2) as one:  # noqa: PT012
        one.eval(step=0, top1=lambda: 98.0)
        raise KeyboardInterrupt
    with pytest.warns(TTAWarning), tracker(seed=2, confirm=2, stop=True, resume=one.id) as t:
        t.eval(step=1, top1=lambda: 98.0)  # the second in a row
    assert t.run.state == "reached" and t.run.crossings["step"].tolist() == [0, 1]


def test_c55_resume_finds_the_last_attempt_itself(clock: Ticking) -> None:
    first = interrupted(clock, range(3))
    place = first.checkpoint_dir
    (place / "last.npz").write_bytes(b"weights")
    with tracker() as t:
        assert not t.resumed and t.run.attempt == 1
        assert (t.checkpoint_dir / "last.npz").read_bytes() == b"weights"
        clock.forward(4)  # reading it
        with pytest.warns(TTAWarning, match="Run resumed after 00:00:00 down") as said:
            t.resume(2)
        assert said[0].filename == __file__
        assert t.resumed and t.run.attempt == 2
        train(t, clock, range(2, 4), 98.0)
    assert t.run.evals["step"].tolist() == [0, 1, 2, 2, 3]  # what was done twice took its time twice
    assert t.run.evals["dawnbench_s"].tolist() == [10.0, 20.0, 30.0, 44.0, 54.0]
    (found,) = runs("digits")
    assert found.evals.equals(t.run.evals) and found.attempt == 2
    with tracker(seed=5) as t, pytest.raises(WorkbenchError, match="no attempt to go on with"):
        t.resume(1)
    with tracker() as t, pytest.raises(WorkbenchError, match="no attempt to go on with"):
        t.resume(1)  # the last one has finished


def test_c55_only_the_same_unfinished_run_is_gone_on_with(clock: Ticking) -> None:
    first = interrupted(clock, range(1))

    def told(**more: object) -> tuple[str, str]:
        with pytest.raises(WorkbenchError) as raised:
            tracker(**more).__enter__()
        return raised.value.message, raised.value.hint

    assert told(resume=first.id, seed=3) == (
        "The earlier run has seed 0, not 3.", "Pass seed=0 to go on with it, or start a run of its own.",
    )  # fmt: skip
    assert told(resume=first.id, clock="wall")[0] == "The earlier run has clock 'dawnbench', not 'wall'."
    assert told(resume=first.id[:-1])[0] == f"No run {first.id[:-1]}."
    with tracker(seed=7) as ended:
        pass
    assert told(resume=ended.id, seed=7)[0] == f"Run {ended.id} has ended (finished): it cannot be gone on with."
    with tracker(seed=8) as running:
        assert told(resume=running.id, seed=8)[0].startswith(f"Run {running.id} is still running (process ")
    assert len(runs("digits")) == 3  # of those refused there is no trace


def test_c55_a_killed_process_is_gone_on_with(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = """
    import os, signal, time
    import workbench as wb
    with wb.tta.Tracker("digits", {"top1": 97}, seed=0) as t:
        (t.checkpoint_dir / "at").write_text("1")
        for step in range(3):
            time.sleep(0.02)
            t.log(step, loss=0.5)
            t.eval(step=step, top1=lambda: 98.0 if step == 2 else 90.0)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120)
    assert done.returncode == -9, done.stderr
    monkeypatch.setattr(liveness, "SILENT_S", 0.0)
    (lost,) = runs("digits")
    assert lost.state == "lost" and lost.evals["step"].tolist() == [0, 1, 2]  # a crossing is acknowledged
    assert lost.crossings["reached"].tolist() == [True, False]
    resumed = tracker(resume=lost.id, stop=True, confirm=2)
    with pytest.warns(TTAWarning, match="Run resumed after"), resumed as t:  # noqa: PT031
        assert (t.checkpoint_dir / "at").read_text() == "1"
        t.eval(step=3, top1=lambda: 98.0)
    assert t.run.state == "reached" and t.run.evals["step"].tolist() == [0, 1, 2, 3]
    assert t.run.evals["wall_s"].is_monotonic_increasing and len(runs("digits")) == 1


def test_checkpoints_of_a_run_that_ended_are_put_aside(clock: Ticking) -> None:
    with tracker() as t:
        first = t.checkpoint_dir
        assert not list(first.iterdir())
        assert t.checkpoint_dir == first and first.is_dir()
        (first / "last").write_text("trained")
    with tracker() as t:
        assert t.checkpoint_dir == first and not (first / "last").exists()
        assert (first.with_name(first.name + ".before") / "last").read_text() == "trained"
        with tracker() as other:  # beside it
            assert other.checkpoint_dir != first and other.checkpoint_dir.is_dir()
    with tracker(seed=1) as t:
        assert t.checkpoint_dir != first


def test_warnings_are_kept_through_a_kill(clock: Ticking) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with tracker() as t:
            t.eval(top1=50.0)
            (found,) = runs("digits")
            assert found.warnings == t.run.warnings and len(found.warnings) == 1
        assert runs("digits")[0].warnings == t.run.warnings


def test_a_forked_child_cannot_log(home: Path) -> None:
    script = """
    import os, sys, warnings
    import workbench as wb
    warnings.simplefilter("ignore")
    with wb.tta.Tracker("digits", {"top1": 97}) as t:
        t.log(0, loss=1.0)
        log = t.log
        span = t.span("train")
        child = os.fork()
        if child == 0:
            for call in (lambda: log(1, loss=1.0), lambda: t.eval(top1=lambda: 99.0), lambda: t.note("x"),
                         lambda: span.__enter__(), lambda: t.plan(3)):
                try:
                    call()
                except wb.tta.Tracker.__init__.__globals__["WorkbenchError"] as error:
                    print(error.message, error.hint, flush=True)
            try:
                t.__exit__(None, None, None)
                with wb.tta.Tracker("own", {"top1": 97}) as own:
                    own.eval(top1=lambda: 98.0)
                print(own.run.state, flush=True)
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        t.log(2, loss=1.0)
        t.eval(top1=lambda: 98.0)
    print(len(t.run.points), len(t.run.evals), [(r.name, r.state) for r in wb.tta.runs()])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    told = "This run was started before the process was forked. Log in the process that opened the tracker."
    assert done.stdout.splitlines() == [told] * 5 + ["finished", "2 1 [('digits', 'finished'), ('own', 'finished')]"]
