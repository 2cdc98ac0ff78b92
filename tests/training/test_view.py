"""The chart of a run: what was lost, rebuilt and replayed is seen."""

from __future__ import annotations

import re
from typing import Any

from tests.training.test_watch import run_of
from workbench.notebook import charts
from workbench.training import view
from workbench.training.job import Report
from workbench.training.run import TrainRun

Rows = list[tuple[int, str, int, int, float, float, int]]


def take(run: TrainRun, rank: int, generation: int, rows: Rows) -> None:
    """Report operations, with times in seconds since the start of the run."""
    begun = run._since
    told: Rows = [
        (stage, op, step, n, begun + start, begun + end, size) for stage, op, step, n, start, end, size in rows
    ]
    run.take(rank, generation, Report(0, [], told), lambda _: [16], 0.0)


def lost_and_recovered() -> TrainRun:
    """Return a run whose rank 1 was lost in step 1; rank 0 replays it, and goes on."""
    run = run_of()
    take(
        run, 0, 0, [(0, "forward", 0, 0, 0.0, 0.1, 0), (0, "frc", 0, 0, 0.1, 0.2, 0), (0, "forward", 1, 1, 0.3, 0.4, 0)]
    )
    take(run, 1, 0, [(1, "forward", 0, 0, 0.1, 0.2, 0), (1, "backward", 0, 0, 0.2, 0.3, 0)])
    run.add_incident("checkpoint", "saved", step=0)
    run.add_incident("failover", "worker 1 lost; nothing lost.", worker=1, stage=1, step=1, pause=0.3, replayed=1)
    run.add_pause({0: (0, 1)}, run._since + 0.4, run._since + 0.7, 1, 1)
    again: Rows = [
        (0, "forward", 1, 1, 0.7, 0.8, 0), (1, "forward", 1, 1, 0.8, 0.9, 0), (1, "backward", 1, 1, 0.9, 1.0, 0),
        (0, "step", 1, -1, 1.0, 1.1, 0), (0, "forward", 2, 2, 1.2, 1000.0, 0),
    ]  # fmt: skip
    take(run, 0, 1, again)
    return run


def kinds(state: dict[str, Any], kind: str) -> list[str]:
    return [bar["label"].partition(":")[0] for bar in state["bars"] if bar["kind"] == kind]


def test_replays_and_rebuilds_have_looks_of_their_own() -> None:
    state = view.gantt_state(lost_and_recovered())
    assert kinds(state, "replay") == [
        "replayed forward, stage 0, step 1, microbatch 1", "replayed forward, stage 1, step 1, microbatch 1",
        "replayed backward, stage 1, step 1, microbatch 1",
    ]  # fmt: skip
    assert kinds(state, "rebuild") == ["rebuild, stage 0, step 1"]
    assert kinds(state, "copy") == ["forward of the copy, stage 0, step 0, microbatch 0"]
    # what came before the loss, and after the replay, is no replay
    steps = ["0, microbatch 0", "0, microbatch 0", "1, microbatch 1", "2, microbatch 2"]
    assert [label.partition("step ")[2] for label in kinds(state, "forward")] == steps
    assert kinds(state, "update") == ["update weights, stage 0, step 1"]


def test_what_a_restore_does_again_is_a_replay() -> None:
    run = run_of()
    take(run, 0, 0, [(0, "forward", 0, 0, -0.5, -0.4, 0), (0, "forward", 1, 1, -0.4, -0.3, 0)])
    run.add_incident("restore", "Restored checkpoint step 1; 1 step lost.", worker=0, step=1, replayed=1, lost_steps=1)
    run.add_pause({0: (0,)}, run._since - 0.3, run._since + 0.1, 1, 1)
    take(run, 0, 1, [(0, "forward", 1, 1, 0.1, 0.2, 0), (0, "forward", 2, 2, 0.2, 99.0, 0)])
    state = view.gantt_state(run)
    assert kinds(state, "replay") == ["replayed forward, stage 0, step 1, microbatch 1"]
    assert kinds(state, "rebuild") == ["rebuild, stage 0, step 1"]
    assert len(kinds(state, "forward")) == 3


def test_checkpoints_are_noted_where_there_is_none() -> None:
    run = run_of()
    run.add_incident("checkpoint", "folder has step 1, 1 kB.", step=1)
    run.add_incident("checkpoint", "The checkpoint of step 2 could not be written: OSError.", step=2)
    notes = [block["text"] for block in run.view_data()["blocks"] if block["kind"] == "note"]
    assert not any("has step 1" in text for text in notes) and any("could not be written" in text for text in notes)


def test_what_is_of_the_whole_run_names_no_worker() -> None:
    run = run_of()
    run.add_incident("checkpoint", "folder has step 1, 1 kB.", step=1)
    run.add_incident("lost", "worker 0 (stage 0) lost.", worker=0, stage=0, step=2)
    assert run.incidents[["worker", "stage", "step"]].to_numpy().tolist() == [[-1, -1, 1], [0, 0, 2]]
    (shown,) = [block["frame"] for block in run.view_data()["blocks"] if block.get("name") == "incidents"]
    assert shown.worker.isna().tolist() == shown.stage.isna().tolist() == [True, False]
    assert shown.step.tolist() == [1, 2] and shown.worker[1] == shown.stage[1] == 0
    page = re.sub("<td[^>]*>", "<td>", run._repr_mimebundle_({}, {})["text/html"])  # with the front loaded or without
    assert "<td>checkpoint</td><td></td><td></td><td>1</td>" in page
    assert "<td>lost</td><td>0</td><td>0</td><td>2</td>" in page
    one, other = [event.data for event in run.events() if event.kind in ("checkpoint", "lost")]
    assert "worker" not in one and "stage" not in one and one["step"] == 1
    assert (other["worker"], other["stage"], other["step"]) == (0, 0, 2)


def test_incidents_are_flags_on_the_row_of_their_worker() -> None:
    state = view.gantt_state(lost_and_recovered())
    (flag,) = [bar for bar in state["bars"] if bar["kind"] == "incident"]
    assert flag["lane"] == 1 and flag["label"] == "worker 1 lost; nothing lost." and flag["start"] == flag["end"]


def test_every_kind_differs_by_more_than_colour() -> None:
    looks = [(kind["hatch"], kind["part"]) for kind in view.KINDS if kind["role"] not in ("idle", "flag")]
    assert len(set(looks)) == len(looks)
    assert set(view._KIND.values()) <= {kind["kind"] for kind in view.KINDS}


def test_the_still_chart_has_them_in_its_legend() -> None:
    drawn = charts.gantt(view.gantt_state(lost_and_recovered())).svg()
    for word in ("copy", "replay", "rebuild", "incident"):
        assert f">{word}</text>" in drawn
    assert "worker 1 lost; nothing lost." in drawn and "replayed backward, stage 1" in drawn
    run = run_of()
    take(run, 0, 0, [(0, "forward", 0, 0, 0.0, 0.1, 0)])
    drawn = charts.gantt(view.gantt_state(run)).svg()
    assert ">forward</text>" in drawn and ">replay</text>" not in drawn
