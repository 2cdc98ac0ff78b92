"""What can be asked of a run that goes on."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.training import nets
from workbench.training import TrainingError, view
from workbench.training.job import Report
from workbench.training.run import TrainRun


def run_of() -> TrainRun:
    model = nets.mlp()
    return TrainRun(
        model=model, optimizer=nets.momentum(model.parameters()), plan=nets.cut_after(model, 3), schedule="1f1b",
        resilience="none", microbatches=1, batch_size=16, per_epoch=3, total=6,
    )  # fmt: skip


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


def test_what_comes_later_says_so() -> None:
    run = run_of()
    with pytest.raises(TrainingError, match=r"replan\(stages=1\) is not available yet\.") as caught:
        run.replan(stages=1)
    assert caught.value.hint
    with pytest.raises(TrainingError, match=r"checkpoint\(\) is not available yet\."):
        run.checkpoint()
