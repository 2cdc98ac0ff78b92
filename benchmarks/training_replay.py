"""Runs that lose workers, and the simulator's replay: `python -m benchmarks.training_replay [--runs N] [--trial]`.

Four local workers train a model whose layers sleep, as two cores cannot compute four stages at once; one is lost, or
two that are no neighbours, or one leaves on notice. What operations took, and how long each pause was, is measured in
that same run; `simulate` then replays its plan on a trace of its losses. Order of events and operations, and
throughput, are compared. With `--trial` one run is made, and nothing is written.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    os.environ["WORKBENCH_HOME"] = tempfile.mkdtemp(prefix="workbench-benchmark-")

import torch
from torch import nn

from benchmarks.measure import Figure, write
from workbench.training.pace import Pace

if TYPE_CHECKING:
    import pandas as pd

    from workbench.training import Simulation, TrainRun
    from workbench.training.plan import PipelinePlan

STAGES, MICROBATCHES, BATCH, SAMPLES, EPOCHS = 4, 4, 16, 64, 10
FORWARD, BACKWARD = 0.02, 0.04  # seconds that a layer sleeps
#: what happens to which ranks; a run has 40 steps, and whoever replaces a lost worker is there long before the last
CHAOS = ("kill=2@step12", "kill=0@step20", "kill=3@step24", "kill=1@step10,kill=3@step16", "notice=2@step15")
WITHIN = 0.15
#: operations whose order is compared
ORDERED = (
    "load", "forward", "backward", "step", "send_act", "recv_act", "send_grad", "recv_grad", "send_replica",
    "recv_replica",
)  # fmt: skip


class _Wait(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, value: torch.Tensor) -> torch.Tensor:
        time.sleep(FORWARD)
        return value.clone()

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        time.sleep(BACKWARD)
        return gradient


class Waiting(nn.Module):
    """A linear layer that takes its time."""

    pipeline_leaf = True

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        """Compute, and wait."""
        return _Wait.apply(self.linear(value))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Compared:
    """A run and its replay.

    Attributes
    ----------
    real, predicted : float
        Samples per second.
    events : bool
        Whether the same workers were at work, one set after the other.
    steps_apart : int
        By how many steps what happened lies apart, at most.
    operations : bool
        Whether every worker did the same operations in the same order, in all steps that the same workers trained.
    across : float
        Share of pairs of operations of different workers that ran in the predicted order, of those that the
        simulator has apart by half an operation or more.
    """

    real: float
    predicted: float
    events: bool
    steps_apart: int
    operations: bool
    across: float

    @property
    def off(self) -> float:
        """How much faster the replay is than the run."""
        return self.predicted / self.real - 1


def record(
    chaos: str, epochs: int = EPOCHS, microbatches: int = MICROBATCHES, redundancy: str | None = "lazy"
) -> TrainRun:
    """Train on the session's workers while some are stopped; with `redundancy` None nobody keeps copies."""
    import workbench as wb
    from tests.training import nets

    torch.manual_seed(0)
    model = nn.Sequential(*(Waiting(6, 6) for _ in range(STAGES - 1)), Waiting(6, 3))
    generator = torch.Generator().manual_seed(1)
    data = torch.randn(SAMPLES, 6, generator=generator), torch.randint(0, 3, (SAMPLES,), generator=generator)
    return wb.training.train(
        model, data, nn.functional.cross_entropy, lambda parameters: torch.optim.SGD(parameters, lr=0.01),
        plan=nets.cut_after(model, *range(1, STAGES)), schedule="1f1b", microbatches=microbatches, batch_size=BATCH,
        epochs=epochs, resilience="none" if redundancy is None else "redundant", redundancy=redundancy or "lazy",
        checkpoint=None if redundancy is None else "1h", chaos=chaos or None, wait=True,
    )  # fmt: skip


def replayed(run: TrainRun, by: str = "time") -> Simulation:
    """Simulate what became of a run, under the costs measured in it.

    Parameters
    ----------
    run : TrainRun
    by : {"time", "step"}
        Whether workers come and go at the recorded times, or at the recorded steps: these are the same on a machine
        that has nothing else to do.
    """
    from workbench.training import SimCosts, Trace, simulate

    begin, end = _span(run.timeline)
    incidents = run.incidents
    incidents = incidents.assign(since=incidents["time"] - incidents["pause_seconds"] - begin)
    taken = incidents[incidents["kind"].isin(["failover", "notice"]) & (incidents["pause_seconds"] > 0)]
    joined = incidents[incidents["kind"] == "reconfigure"]
    costs = SimCosts(
        create=0.0, global_rendezvous=0.0, local_rendezvous=_median(joined), detect=_median(taken), rebuild=0.0
    )
    names = [f"rank{rank}" for rank in range(STAGES)]
    events, gone = [(0.0, "add", name) for name in names], list[str]()
    plan = measured(run)

    def simulated(duration: float) -> Simulation:
        return simulate(
            plan, trace=Trace(_frame(events), "recorded", duration), policy="redundant", schedule="1f1b",
            microbatches=MICROBATCHES, redundancy="lazy", checkpoint=1e6, costs=costs,
        )  # fmt: skip

    def formed() -> float:
        """Return when the simulator is in the midst of the first step of those who are at work in the end."""
        timeline = simulated(1e3).timeline
        newest = timeline[timeline["generation"] == timeline["generation"].max()]
        return float(newest[newest["op"] == "backward"]["start"].min())

    def begins(step: int) -> float:
        """Return when the simulator is in the midst of a step, with all that has happened until then."""
        timeline = simulated(1e3).timeline
        return float(timeline[(timeline["step"] == step) & (timeline["op"] == "backward")]["start"].min())

    earliest = 0.0
    for row in sorted((*taken.itertuples(), *joined.itertuples()), key=lambda row: row.since):
        when = max(earliest, row.since if by == "time" else begins(row.step))
        if row.kind == "reconfigure":  # who is left stays in order, and newcomers come behind
            names = [name for name in names if name not in gone]
            fresh = [f"newcomer{len(events) + number}" for number in range(STAGES - len(names))]
            events += [(when, "add", name) for name in fresh]
            names, gone = [*names, *fresh], []
            # Who is lost before the first operation of newcomers is lost among them, and is taken over as one of them;
            # the simulator would have pipelines formed that have too few, and wait.
            earliest = formed()
        else:
            gone.append(names[row.worker])
            events.append((when, "remove", names[row.worker]))
    return simulated(end - begin if by == "time" else begins(run.steps))


def measured(run: TrainRun) -> PipelinePlan:
    """Return the run's plan with what its operations took: the median of each kind at each stage."""
    from workbench.training import Cluster

    timeline = run.timeline
    took = (timeline["end"] - timeline["start"]).groupby([timeline["op"], timeline["stage"]]).median()
    # A receive lasts from when its message was sent; before that its rank was idle.
    sent = [max(took.get(("recv_act", stage + 1), 0.0), took.get(("recv_grad", stage), 0.0)) for stage in range(STAGES)]
    seconds = {
        kind: [sum(took.get((part, stage), 0.0) for part in parts) for stage in range(STAGES)]
        for kind, parts in {
            "forward": ("load", "forward", "send_act"), "backward": ("backward", "send_grad"), "step": ("step",),
        }.items()
    }  # fmt: skip
    nodes = tuple(
        replace(
            node, forward_ms=1000 * seconds["forward"][stage.index], backward_ms=1000 * seconds["backward"][stage.index]
        )
        for stage in run.plan.stages
        for node in run.plan.profile.nodes
        if node.id in stage.nodes
    )
    # In seconds where the simulator has bytes: a byte takes a second on these links, and to update.
    stages = tuple(
        replace(
            stage, compute_seconds=seconds["forward"][stage.index] + seconds["backward"][stage.index],
            parameter_bytes=seconds["step"][stage.index], output_bytes=sent[stage.index],
        )
        for stage in run.plan.stages
    )  # fmt: skip
    cluster = Cluster([STAGES], [1.0]).paced(Pace(update=1.0, kept=1.0))
    profile = replace(run.plan.profile, nodes=nodes, batch_size=BATCH // run.microbatches)
    return replace(run.plan, stages=stages, profile=profile, cluster=cluster)


def compare(run: TrainRun, simulation: Simulation) -> Compared:
    """Compare a run with its replay."""
    begin, end = _span(run.timeline)
    real, predicted = _trained(run.timeline), _trained(simulation.timeline)
    mine, theirs = _events(real), _events(predicted)
    apart = [abs(one[1] - other[1]) for one, other in zip(mine, theirs, strict=False)]
    cut_off = _last_of_lost(run)
    same = [
        (real[step], predicted[step])
        for step in sorted(real.keys() & predicted.keys())
        if set(real[step]["worker"]) == set(predicted[step]["worker"])
        and not (step in cut_off and len(real[step]) < len(predicted[step]))
    ]
    return Compared(
        run.samples / (end - begin), simulation.throughput, [event[0] for event in mine] == [e[0] for e in theirs],
        max(apart, default=0), bool(same) and all(_order(one) == _order(other) for one, other in same),
        statistics.fmean(share for one, other in same if (share := _across(one, other)) is not None),
    )  # fmt: skip


# below: tables


def _span(timeline: pd.DataFrame) -> tuple[float, float]:
    """Return when training began and ended."""
    return float(timeline["start"].min()), float(timeline["end"].max())


def _last_of_lost(run: TrainRun) -> set[int]:
    """Return the last steps of workers that were killed: the end of what they did there may have died with them."""
    incidents = run.incidents
    return {int(step) - 1 for step in incidents[incidents["kind"] == "failover"]["step"]}


def _trained(timeline: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """Return step -> the operations by which it was trained in the end: those of its last generation."""
    rows = timeline[timeline["op"].isin(ORDERED)]
    rows = rows[rows["generation"] == rows.groupby("step")["generation"].transform("max")]
    return {int(step): table for step, table in rows.groupby("step")}


def _events(trained: dict[int, pd.DataFrame]) -> list[tuple[tuple[int, ...], int]]:
    """Return who was at work, one set of workers after the other, and from which step on."""
    found: list[tuple[tuple[int, ...], int]] = []
    for step, table in sorted(trained.items()):
        at_work = tuple(sorted(set(table["worker"])))
        if not found or found[-1][0] != at_work:
            found.append((at_work, step))
    return found


def _order(table: pd.DataFrame) -> dict[int, list[tuple[str, int, int]]]:
    """Return worker -> its operations, stages and microbatches of the step, in order."""
    first = table["microbatch"].where(table["microbatch"] >= 0).min()
    number = (table["microbatch"] - first).where(table["microbatch"] >= 0, -1).astype(int)
    rows = zip(table["worker"], table["op"], table["stage"], number, strict=True)
    found: dict[int, list[tuple[str, int, int]]] = {}
    for worker, *operation in rows:
        found.setdefault(int(worker), []).append((operation[0], int(operation[1]), int(operation[2])))
    return found


def _across(real: pd.DataFrame, predicted: pd.DataFrame) -> float | None:
    """Return the share of pairs of operations of two workers that ran in the predicted order."""
    columns = ["worker", "stage", "op", "place"]
    tables = []
    for table in (real, predicted):
        table = table[table["op"].isin(("forward", "backward"))]
        tables.append(
            table.assign(place=table["microbatch"] - table["microbatch"].min()).set_index(columns).sort_index()
        )
    real, predicted = tables
    half = float((predicted["end"] - predicted["start"]).min()) / 2
    worker = predicted.index.get_level_values("worker").to_numpy()
    ends, starts = predicted["end"].to_numpy(), predicted["start"].to_numpy()
    pairs = (worker[:, None] != worker[None, :]) & (starts[None, :] - ends[:, None] >= half)
    begun = real["start"].to_numpy()
    right = begun[:, None] < begun[None, :]
    return float(right[pairs].mean()) if pairs.any() else None


def _median(rows: pd.DataFrame) -> float:
    return float(rows["pause_seconds"].median()) if len(rows) else 0.0


def _frame(events: list[tuple[float, str, str]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(events, columns=["time", "action", "node"])


def figures_of(chaos: str, found: Compared) -> list[Figure]:
    """Return what a comparison came to."""
    details, ratio = vars(found), found.predicted / found.real
    return [
        Figure(
            f"replay: {chaos}, throughput", found.predicted, "samples/s", "within 15 % of the run",
            abs(found.off) <= WITHIN, peer="the recorded run", peer_value=found.real, ratio=ratio,
            note="costs measured in the run; layers sleep", details=details,
        ),
        Figure(
            f"replay: {chaos}, order of events and operations", float(found.events and found.operations), "equal", "1",
            found.events and found.operations, note=f"{found.across:.1%} of pairs across workers as predicted",
        ),
    ]  # fmt: skip


def main(arguments: list[str]) -> None:
    """Record, replay and compare each kind of loss."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1, metavar="N", help="of each kind; the median one is told")
    parser.add_argument("--trial", action="store_true")
    chosen = parser.parse_args(arguments)
    from workbench.engine import session

    torch.set_num_threads(1)
    figures: list[Figure] = []
    with session.local_workers(STAGES) as client:
        for chaos in CHAOS[:1] if chosen.trial else CHAOS:
            found = []
            for _ in range(chosen.runs):
                record("", epochs=1)  # what workers load at their first step takes seconds
                run = record(chaos)
                found.append(compare(run, replayed(run)))
                print(chaos, found[-1], flush=True)
                client.wait_for_workers(STAGES, timeout=900)
            figures += figures_of(chaos, sorted(found, key=lambda one: one.off)[len(found) // 2])
    if chosen.trial:
        for figure in figures:
            print(figure)
    else:
        write("training_replay", figures, ("torch", "distributed"))


if __name__ == "__main__":
    main(sys.argv[1:])
