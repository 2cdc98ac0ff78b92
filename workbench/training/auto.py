"""`auto`: every schedule is simulated, and the fastest that fits is chosen.

Where machines were measured, two predictions that differ by less than such predictions err by are a tie. It goes to
what sends fewer bytes for a sample, as of all that is predicted, what a link takes is the least certain; then to
schedules without stale weights, then in the order of their names here.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.engine.result import Result
from workbench.training.cluster import Cluster
from workbench.training.errors import (
    PartitionError,
    StageMemoryError,
    TrainingError,
    unknown,
    unknown_schedule,
)
from workbench.training.graph import Profile
from workbench.training.pace import Pace
from workbench.training.partition import partition
from workbench.training.plan import PipelinePlan
from workbench.training.programs import FLUSHING, SCHEDULES
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
#: share by which predictions for one measured cluster, made some minutes apart, differ
TIE = 0.05


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

    @property
    def measured(self) -> bool:
        """Whether the machines' own pace was measured, which has an error."""
        return self.plan is not None and self.plan.cluster.pace != Pace()

    @property
    def config(self) -> str:
        """The stages' replicas."""
        return self.plan.config if self.plan is not None else ""

    @property
    def sent(self) -> float:
        """Bytes for each sample."""
        return self.plan.communication_bytes / (self.plan.profile.batch_size or 1) if self.plan is not None else _NAN

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
        Its samples per second over the most of the others; nan if there is no other. In a tie it may be below one.
    table : DataFrame
        One row for each schedule and policy, best first; what does not fit comes last.
    """

    def __init__(self, candidates: Sequence[_Candidate]) -> None:
        import pandas as pd

        ranked = sorted(candidates, key=_rank)
        tied = _tied(ranked)
        best = min(tied, key=_preferred)
        ranked.remove(best)
        ranked.insert(0, best)
        self._candidates, self._tied = ranked, [candidate for candidate in tied if candidate is not best]
        assert best.plan is not None
        assert best.simulation is not None
        self.schedule, self.resilience = best.schedule, best.policy
        self.plan, self.simulation = best.plan, best.simulation
        others = [candidate.throughput for candidate in ranked[1:] if candidate.fits]
        self.margin = best.throughput / others[0] if others and others[0] > 0 else _NAN
        rows = [candidate.row(candidate is best) for candidate in ranked]
        self.table = pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)

    @property
    def why(self) -> str:
        """What decided."""
        if self._tied:
            names = ", ".join(f"{candidate.schedule} {candidate.config}" for candidate in self._tied)
            return (
                f"{self.schedule} {self.plan.config} and {names} are within {100 * TIE:.0f} %, by which such "
                f"predictions err; {self.schedule} sends the fewest bytes for a sample."
            )
        return f"{self.schedule} {self.plan.config} is the fastest that fits."

    def _told(self) -> list[str]:
        return ["Simulated under the profile's times; nothing was run.", *([self.why] if self._tied else [])]

    @classmethod
    def of(cls, choices: Iterable[Choice]) -> Choice:
        """Return the choice among the candidates of several."""
        return cls([candidate for choice in choices for candidate in choice._candidates])

    def to_pandas(self) -> pd.DataFrame:
        """Return the table."""
        return self.table

    def explain(self, format: str = "text") -> Any:
        """Say what was chosen and what the others would do, as text."""
        lines = [
            repr(self),
            "",
            *self._told(),
            "",
            self.table.to_string(index=False),
        ]
        return "\n".join(lines)

    def view_data(self) -> dict[str, Any]:
        """Return the winner with its margin, the table, and the winner's simulation."""
        blocks: list[dict[str, Any]] = [
            {"kind": "summary", "text": repr(self)},
            *({"kind": "note", "level": "info", "text": text} for text in self._told()),
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
        _best(
            [
                _candidate(plan, name, policy, trace, nodes, microbatches, batches, limit, seed)
                for plan in _plans(profile_or_plan, cluster, name, policy == "redundant", limit)
            ]
            or [_Candidate(name, policy, None, None, None, False)]
        )
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
    plan: PipelinePlan,
    schedule: str,
    policy: str,
    trace: Any,
    nodes: int | None,
    microbatches: int | None,
    batches: int,
    limit: float | None,
    seed: int,
) -> _Candidate:
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


def _plans(
    given: Profile | PipelinePlan, cluster: Cluster, schedule: str, redundant: bool, limit: float | None
) -> list[PipelinePlan]:
    """Return the plans of a schedule that fit; none may.

    The partitioner knows of no reduce but its link's time. Where more was measured, a pipeline without replicas is
    simulated too, should the best plan have some.
    """
    if isinstance(given, PipelinePlan):
        if schedule != "ddp" or len(given.stages) == 1:
            return [given]
        profile, cluster = given.profile, given.cluster
    else:
        profile = given
    found: list[PipelinePlan] = []
    # That one layer takes most of the time is told where a plan is asked for, not for each candidate.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(StageMemoryError):
            found.append(partition(profile, cluster, memory=limit, schedule=schedule, redundant=redundant))
        plain = cluster.pace == Pace() or schedule == "ddp"
        if not plain and (not found or any(stage.replicas > 1 for stage in found[0].stages)):
            with contextlib.suppress(StageMemoryError, PartitionError):
                found.append(
                    partition(
                        profile, cluster, memory=limit, schedule=schedule, redundant=redundant, straight=True
                    )
                )  # fmt: skip
    return found


def _best(candidates: list[_Candidate]) -> _Candidate:
    """Return the best of one schedule's candidates."""
    return min(candidates, key=_rank)


def _tied(ranked: list[_Candidate]) -> list[_Candidate]:
    """Return the candidates between which predictions do not decide, beginning with the fastest."""
    first = ranked[0]
    least = first.throughput * (1 - TIE) if first.measured else first.throughput
    return [
        candidate
        for candidate in ranked
        if candidate is first or (candidate.fits and candidate.policy == first.policy and candidate.throughput >= least)
    ]


def _preferred(candidate: _Candidate) -> tuple[float, bool, int]:
    names = list(SCHEDULES)
    return candidate.sent, candidate.schedule not in FLUSHING, names.index(candidate.schedule)


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
