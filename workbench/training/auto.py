"""`auto`: every schedule is simulated, and the fastest that fits is chosen."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.engine.result import Result
from workbench.training.cluster import Cluster
from workbench.training.errors import (
    StageMemoryError,
    TrainingError,
    unknown,
    unknown_schedule,
)
from workbench.training.graph import Profile
from workbench.training.partition import partition
from workbench.training.plan import PipelinePlan
from workbench.training.programs import SCHEDULES
from workbench.training.simulate.entry import microbatches_of, simulate
from workbench.training.simulate.replay import POLICIES
from workbench.training.simulate.result import Simulation
from workbench.training.simulate.workload import PlanWork
from workbench.training.traces import RandomTrace, Trace
from workbench.training.units import as_size, show_bytes

if TYPE_CHECKING:
    import os

    import pandas as pd

__all__ = ["Choice", "auto"]

_COLUMNS = {
    "schedule": "str", "resilience": "str", "config": "str", "throughput": "float64", "memory_bytes": "float64",
    "communication_bytes": "float64", "bubble": "float64", "cost": "float64", "value": "float64",
    "lost_samples": "float64", "fits": "bool", "chosen": "bool",
}  # fmt: skip
_NAN = float("nan")


@dataclass(frozen=True)
class _Candidate:
    schedule: str
    policy: str
    plan: PipelinePlan | None
    work: PlanWork | None
    simulation: Simulation | None
    fits: bool

    @property
    def throughput(self) -> float:
        return self.simulation.throughput if self.simulation is not None else _NAN

    def row(self, chosen: bool) -> tuple[Any, ...]:
        if self.plan is None or self.work is None or self.simulation is None:
            return (self.schedule, self.policy, "", *[_NAN] * 7, False, False)
        return (
            self.schedule,
            self.policy,
            self.plan.config,
            self.simulation.throughput,
            max(stage.memory_bytes for stage in self.plan.stages),
            self.plan.communication_bytes,
            self.work.bubble(),
            self.simulation.cost,
            self.simulation.value,
            float(self.simulation.lost_samples),
            self.fits,
            chosen,
        )


class Choice(Result):
    """The schedules that were simulated, and the one that is fastest.

    Attributes
    ----------
    schedule, resilience : str
    plan : PipelinePlan
    simulation : Simulation
    margin : float
        Its samples per second over those of the next; nan if there is no other.
    table : DataFrame
        One row for each schedule and policy, best first; what does not fit comes last.
    """

    def __init__(self, candidates: Sequence[_Candidate]) -> None:
        import pandas as pd

        ranked = sorted(candidates, key=_rank)
        best = ranked[0]
        assert best.plan is not None
        assert best.simulation is not None
        self.schedule, self.resilience = best.schedule, best.policy
        self.plan, self.simulation = best.plan, best.simulation
        others = [candidate.throughput for candidate in ranked[1:] if candidate.fits]
        self.margin = best.throughput / others[0] if others and others[0] > 0 else _NAN
        rows = [candidate.row(candidate is best) for candidate in ranked]
        self.table = pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)

    def to_pandas(self) -> pd.DataFrame:
        """Return the table."""
        return self.table

    def explain(self, format: str = "text") -> Any:
        """Say what was chosen and what the others would do, as text."""
        lines = [
            repr(self),
            "",
            "Simulated under the profile's times; nothing was run.",
            "",
            self.table.to_string(index=False),
        ]
        return "\n".join(lines)

    def view_data(self) -> dict[str, Any]:
        """Return the winner with its margin, the table, and the winner's simulation."""
        blocks: list[dict[str, Any]] = [
            {"kind": "summary", "text": repr(self)},
            {"kind": "note", "level": "info", "text": "Simulated under the profile's times; nothing was run."},
            {"kind": "table", "name": "candidates", "frame": _shown(self.table)},
        ]
        if len(self.simulation.curve) > 1:  # without losses there is nothing to see in it
            blocks += [block for block in self.simulation.view_data()["blocks"] if block["kind"] == "svg"]
        return {"blocks": blocks}

    def __repr__(self) -> str:
        ahead = f" · {self.margin:.2f}x the next" if self.margin == self.margin else ""
        safe = "" if self.resilience == "none" else f" · {self.resilience}"
        return f"Choice {self.schedule} {self.plan.config}{safe} · {self.simulation.throughput:.4g} samples/s{ahead}"


def auto(
    profile_or_plan: Profile | PipelinePlan,
    cluster: Cluster | None = None,
    *,
    schedules: Iterable[str] | None = None,
    policies: Iterable[str] = ("none",),
    trace: str | os.PathLike[str] | Trace | RandomTrace | None = None,
    nodes: int | None = None,
    microbatches: int | None = None,
    batches: int = 64,
    memory: float | str | None = None,
    seed: int = 0,
) -> Choice:
    """Simulate schedules and policies, and choose the fastest that fits into memory.

    Parameters
    ----------
    profile_or_plan : Profile or PipelinePlan
        A profile is partitioned for each schedule; a plan is taken as it is, but for ddp, which has one stage.
    cluster : Cluster, optional
        For a profile; a plan has its own.
    schedules : iterable of str, optional
        None: gpipe, 1f1b, pipedream, 2bw and ddp.
    policies : iterable of str
        none, checkpoint, redundant.
    trace : path, Trace or RandomTrace, optional
    nodes : int, optional
    microbatches : int, optional
        In a step; None: as `simulate` has it.
    batches : int
        Steps that are simulated where there is no trace, the filling of the pipe with them.
    memory : float or str, optional
        Bytes of a machine; else the cluster's.
    seed : int

    Raises
    ------
    TrainingError
        For unknown schedules and policies, and where nothing fits.
    """
    if isinstance(profile_or_plan, PipelinePlan):
        cluster = cluster or profile_or_plan.cluster
    elif not isinstance(profile_or_plan, Profile) or not isinstance(cluster, Cluster):
        raise TrainingError(
            "auto takes a profile and a cluster, or a plan.", "Use wb.training.auto(profile, Cluster([4], [1e9]))."
        )
    names = list(SCHEDULES if schedules is None else schedules)
    chosen = list(policies)
    for name in names:
        if name not in SCHEDULES:
            raise unknown_schedule(name)
    for policy in chosen:
        if policy not in POLICIES:
            raise unknown("policy", policy, POLICIES)
    limit = cluster.memory if memory is None else as_size(memory, "memory")
    candidates = [
        _candidate(profile_or_plan, cluster, name, policy, trace, nodes, microbatches, batches, limit, seed)
        for name in dict.fromkeys(names)
        for policy in dict.fromkeys(chosen)
    ]
    if not candidates:
        raise TrainingError("Nothing to choose from.", "Name at least one schedule and one policy.")
    if not any(candidate.fits for candidate in candidates):
        if isinstance(profile_or_plan, Profile):
            partition(profile_or_plan, cluster, memory=limit, schedule=names[0])  # says what is too large
        raise TrainingError("No schedule fits into memory.", "Use workers with more memory, or more of them.")
    return Choice(candidates)


def _candidate(
    given: Profile | PipelinePlan,
    cluster: Cluster,
    schedule: str,
    policy: str,
    trace: Any,
    nodes: int | None,
    microbatches: int | None,
    batches: int,
    limit: float | None,
    seed: int,
) -> _Candidate:
    plan = _plan(given, cluster, schedule, policy == "redundant", limit)
    if plan is None:
        return _Candidate(schedule, policy, None, None, None, False)
    micro = microbatches_of(plan, schedule) if microbatches is None else microbatches
    if schedule == "2bw":
        micro = max(micro, len(plan.stages))
    work = PlanWork(plan, schedule, micro, "lazy" if policy == "redundant" else None)
    duration = None
    if trace is None:
        unit = work.unit((frozenset(),) * max((nodes or work.ranks) // work.ranks, 1))
        duration = unit.fill + unit.seconds * max(1, batches // unit.steps)
    elif isinstance(trace, RandomTrace):
        duration = 86400.0
    simulation = simulate(
        plan,
        trace=trace,
        policy=policy,
        nodes=nodes,
        seed=seed,
        duration=duration,
        schedule=schedule,
        microbatches=micro,
    )
    largest = max(stage.memory_bytes for stage in plan.stages)
    return _Candidate(schedule, policy, plan, work, simulation, limit is None or largest <= limit)


def _plan(
    given: Profile | PipelinePlan, cluster: Cluster, schedule: str, redundant: bool, limit: float | None
) -> PipelinePlan | None:
    """Return the plan of a schedule, or None where none fits."""
    if isinstance(given, PipelinePlan):
        if schedule != "ddp" or len(given.stages) == 1:
            return given
        profile, cluster = given.profile, given.cluster
    else:
        profile = given
    # That one layer takes most of the time is told where a plan is asked for, not for each candidate.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return partition(profile, cluster, memory=limit, schedule=schedule, redundant=redundant)
        except StageMemoryError:
            return None


def _rank(candidate: _Candidate) -> tuple[bool, bool, float]:
    pace = candidate.throughput
    return not candidate.fits, pace != pace, -pace if pace == pace else 0.0


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table for people: bytes in words, and without what no candidate has."""
    shown = table.assign(
        **{
            name: [show_bytes(value) if value == value else "" for value in table[name]]
            for name in ("memory_bytes", "communication_bytes")
        }
    )
    return shown if table["lost_samples"].any() else shown.drop(columns="lost_samples")
