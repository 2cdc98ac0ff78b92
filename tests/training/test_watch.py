"""What can be asked of a run that goes on."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from torch import nn

from tests.training import nets
from workbench.training import TrainingError, checkpoint, view
from workbench.training.data import Batches, source_of
from workbench.training.job import Job, Report
from workbench.training.prepare import Terms
from workbench.training.run import TrainRun


def run_of() -> TrainRun:
    model = nets.mlp()
    source = source_of(nets.samples())[0]
    batches = Batches(nets.SAMPLES, nets.BATCH, 1)
    job = Job(nn.functional.cross_entropy, batches, nets.SEED)
    terms = Terms(model, nets.momentum(model.parameters()), source, job, "1f1b", None, None, False, 6, None)
    return TrainRun(terms=terms, plan=nets.cut_after(model, 3), resilience="none")


def step(run: TrainRun, batch: int) -> None:
    """Commit a batch whose loss is its number."""
    run.take(1, 0, Report(batch + 1, [(batch, 0, float(batch), 0.0)]), lambda _: [16], 0.0)
    run.publish(lambda: run)


@pytest.mark.parametrize("error", [None, ValueError("no")])
def test_watched_to_its_end(error: Exception | None, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    run, seen = run_of(), threading.Event()

    def told(shown: TrainRun) -> str:
        seen.set()
        return f"{shown.steps} {shown.state}"

    def work(run: TrainRun) -> TrainRun:
        step(run, 0)
        assert seen.wait(60)  # somebody has looked
        step(run, 1)
        if error is not None:
            raise error
        return run

    monkeypatch.setattr(view, "LOOK", 0.01)
    monkeypatch.setattr(view, "_in_kernel", lambda: False)
    monkeypatch.setattr(view, "line", told)
    run.launch(work)
    run.watch()
    assert run.progress.state == ("failed" if error else "finished")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"2 {run.state}" and len(lines) > 1


def test_one_display_is_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    run, seen = run_of(), threading.Event()
    shown: list[tuple[str, str]] = []

    class Handle:
        def update(self, bundle: dict[str, Any], raw: bool) -> None:
            assert raw
            shown.append(("update", bundle["text/plain"]))

    def display(bundle: dict[str, Any], raw: bool, display_id: bool) -> Handle:
        assert raw and display_id
        shown.append(("new", bundle["text/plain"]))
        seen.set()
        return Handle()

    def work(run: TrainRun) -> TrainRun:
        step(run, 0)
        assert seen.wait(60)
        return run

    monkeypatch.setattr(view, "LOOK", 0.01)
    monkeypatch.setattr(view, "_in_kernel", lambda: True)
    monkeypatch.setattr("IPython.display.display", display)
    run.launch(work)
    run.watch()
    assert [kind for kind, _ in shown] == ["new"] + ["update"] * (len(shown) - 1)
    assert len(shown) > 1 and "TrainRun 1f1b 1-1" in shown[-1][1] and "step 1/6" in shown[-1][1]


def test_what_has_ended_is_saved_and_not_replanned() -> None:
    def work(run: TrainRun) -> TrainRun:
        step(run, 0)
        return run

    run = run_of()
    with pytest.raises(TrainingError, match=r"stages is a whole number from 1; got 0\."):
        run.replan(stages=0)
    run.launch(work)
    run.result()
    with pytest.raises(TrainingError, match=r"The run has ended\."):
        run.replan(stages=1)
    found = checkpoint.read(run.checkpoint())
    assert found.step == 1 and found.facts["samples"] == 16
    model = nets.mlp()
    found.load(model, nets.momentum(model.parameters()))
    assert nets.same(model, run.model)


def test_a_line_says_what_was_lost() -> None:
    run = run_of()
    assert "lost" not in repr(run)
    run.add_incident("lost", "worker 1 (stage 1) lost at step 4.", worker=1)
    assert repr(run).endswith("· 1 lost, 0 updates lost")
    run.add_incident("restore", "Restored checkpoint step 1; 3 steps lost.", worker=1, lost_steps=3, lost_samples=48)
    assert repr(run).endswith("· 1 lost, 3 updates lost")


def test_the_first_operation_of_a_kind_says_nothing_of_those_that_follow() -> None:
    run = run_of()

    def told(rank: int, kind: str, *seconds: float) -> None:
        rows: Any = [(0, kind, 0, 0, run._since, run._since + took, 0) for took in seconds]
        run.take(rank, 0, Report(0, [], rows), lambda _: [16], 0.0)

    assert run.longest(0, "forward") is None
    told(0, "forward", 12.0)
    assert run.longest(0, "forward") == pytest.approx(12.0)
    told(0, "forward", 0.25, 0.5)
    told(0, "forward", 0.25)
    told(0, "backward", 3.0)
    assert run.longest(0, "forward") == pytest.approx(0.5)
    assert run.longest(0, "backward") == pytest.approx(3.0)
    assert run.longest(1, "forward") is None
