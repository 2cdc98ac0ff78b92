"""Runs that a tracker of time to accuracy watches, and ends."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import workbench as wb
from tests.training import nets


def start(tracker: Any, **options: Any) -> Any:
    model = nets.mlp()
    return wb.training.train(
        model, nets.samples(), nn.functional.cross_entropy, nets.momentum, plan=nets.cut_after(model, 3),
        batch_size=nets.BATCH, schedule="1f1b", microbatches=4, seed=nets.SEED, epochs=50,
        evaluate=lambda net: {"size": 7.0}, tracker=tracker, **options,
    )  # fmt: skip


def watched(folder: Path, target: float = 7.0) -> Any:
    return wb.tta.Tracker("sizes", {"size": target}, unit="any", stop=True, confirm=2, store=folder)


def test_a_tracker_that_stops_leaves_its_block_after_a_good_end(workers: Any, tmp_path: Path) -> None:
    reached = False
    with warnings.catch_warnings(), watched(tmp_path) as tracker:
        warnings.simplefilter("error")  # an evaluation outside its span would be counted as training, and warned of
        start(tracker, wait=True)
        reached = True
    assert not reached
    assert tracker.status.confirmed and tracker.run.evals.step.tolist() == [3, 6]


def test_in_the_background_the_run_ends_well(workers: Any, tmp_path: Path) -> None:
    with watched(tmp_path) as tracker:
        run = start(tracker)
        assert run.result(timeout=240) is run
    assert run.state == "finished" and run.steps == 6


@pytest.mark.parametrize("raised", [KeyboardInterrupt, ValueError])
def test_errors_and_interrupts_stay_what_they_are(workers: Any, raised: type[BaseException]) -> None:
    class Tracker:
        def eval(self, **told: Any) -> None:
            raise raised("enough")

    run = start(Tracker())
    with pytest.raises(raised):
        run.result(timeout=240)
    assert run.state == "failed" and run.steps == 3
