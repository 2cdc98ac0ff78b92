"""`simulate`: what was asked for becomes a workload and a market, and their replay a `Simulation`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from workbench.training.errors import SCHEDULES, SimulationError, TrainingError, unknown, unknown_schedule
from workbench.training.programs import REDUNDANCY, default_microbatches
from workbench.training.simulate import compat as reference
from workbench.training.simulate.models import ModelSpec, SimCosts, model
from workbench.training.simulate.replay import POLICIES, replay
from workbench.training.simulate.result import Simulation
from workbench.training.simulate.workload import PlanWork, SpecWork, Work
from workbench.training.traces import Arrivals, RandomTrace, Trace, drawn, read_trace, scaled
from workbench.training.units import as_dollars, as_duration, as_interval

if TYPE_CHECKING:
    from workbench.training.plan import PipelinePlan

__all__ = ["microbatches_of", "simulate"]

#: steps that are simulated where neither a trace nor a duration gives an end
UNITS = 1000


def simulate(
    plan_or_model: PipelinePlan | ModelSpec | str,
    *,
    trace: str | os.PathLike[str] | Trace | RandomTrace | None = None,
    policy: str = "redundant",
    nodes: int | None = None,
    seed: int = 0,
    duration: float | str | None = None,
    schedule: str = "1f1b",
    microbatches: int | None = None,
    redundancy: str = "lazy",
    checkpoint: float | str = "5min",
    price: float | str = 0.91,
    on_demand_price: float | str = 3.06,
    costs: SimCosts = SimCosts(),  # noqa: B008 (frozen)
    compat: bool = False,
) -> Simulation:
    """Train on machines that come and go, without any: samples per second, cost and value.

    A plan's steps take what its programs take under the profile's times and the planner's links; there are as many
    pipelines as machines allow, and spare machines wait. All scale is simulated.

    Parameters
    ----------
    plan_or_model : PipelinePlan, ModelSpec or str
        The profiled batch is one microbatch, or one sample where its size is not known. A name is that of a known
        model: GPT-2, BERT, ResNet, GNMT, VGG, AlexNet.
    trace : path, Trace, RandomTrace or None
        None: a cluster of one's own, ready at 0, without losses.
    policy : {"redundant", "checkpoint", "none"}
    nodes : int, optional
        Machines; those of a trace are scaled to have so many at most. None: one pipeline, or the trace as it is.
    seed : int
        Of what a trace leaves open.
    duration : float or str, optional
        None: the trace's, or in `compat` until the model's number of steps; without a trace 1,000 steps.
    schedule : {"1f1b", "gpipe", "pipedream", "2bw", "ddp"}
    microbatches : int, optional
        In a step of one pipeline. None: one for pipedream, one a rank for ddp, else twice the stages.
    redundancy : {"lazy", "eager"}
    checkpoint : float or str
        Time between two saves, or `"100steps"`.
    price, on_demand_price : float or str
        Dollars per machine-hour.
    costs : SimCosts
    compat : bool
        The rules of Bamboo's simulator, for a ModelSpec and a trace; policy and costs of losses are its own.

    Raises
    ------
    SimulationError
        Where a figure is missing.
    TraceError
        For a trace that cannot be read.
    TrainingError
        For an unknown model, schedule or policy.
    """
    spec = model(plan_or_model) if isinstance(plan_or_model, str) else plan_or_model
    if policy not in POLICIES:
        raise unknown("policy", policy, POLICIES)
    if redundancy not in REDUNDANCY:
        raise unknown("redundancy", redundancy, REDUNDANCY)
    if nodes is not None and (isinstance(nodes, bool) or not isinstance(nodes, int) or nodes < 1):
        raise TrainingError(f"nodes is a number of machines; got {nodes!r}.", "Write nodes=64.")
    seconds = None if duration is None else as_duration(duration, "duration")
    spot, on_demand = as_dollars(price, "price"), as_dollars(on_demand_price, "on_demand_price")
    if trace is not None and not isinstance(trace, (Trace, RandomTrace)):
        trace = read_trace(trace, seed=seed)
    if isinstance(trace, Trace) and nodes is not None:
        trace = scaled(trace, nodes, seed)
    label = trace.name if isinstance(trace, Trace) else "random" if trace else "no losses"
    if compat:
        if not isinstance(spec, ModelSpec) or trace is None:
            missing = "a trace" if isinstance(spec, ModelSpec) else "a model with known step times"
            raise TrainingError(f"compat=True needs {missing}.", "Use compat=False, or a name such as BERT.")
        market = (
            Arrivals(trace, nodes or spec.capacity, seed)
            if isinstance(trace, RandomTrace)
            else [(round(time * 1000), action, node) for time, action, node in _rows(trace)]
        )
        if seconds is None and spec.steps is None and isinstance(trace, Trace):
            seconds = trace.duration  # or it would train without end
        outcome = reference.replay(spec, market, costs=costs, price=spot, duration=seconds)
        return Simulation(
            outcome, spec.name, "compat", label, spot, on_demand=_on_demand_of(spec, on_demand), costs=costs
        )
    work: Work
    if isinstance(spec, ModelSpec):
        work = SpecWork(spec, policy == "redundant")
        beside = _on_demand_of(spec, on_demand)
    else:
        if schedule not in SCHEDULES or schedule == "auto":
            raise unknown_schedule(schedule)
        micro = microbatches_of(spec, schedule) if microbatches is None else microbatches
        work = PlanWork(spec, schedule, micro, redundancy if policy == "redundant" else None)
        pipelines = max((nodes or work.ranks) // work.ranks, 1)
        beside = _on_demand_plan(PlanWork(spec, schedule, micro, None), pipelines, on_demand)
    events, end, units = _market(trace, work, nodes, seed, seconds)
    every = as_interval(checkpoint, "checkpoint")
    outcome, stretches = replay(
        work,
        events,
        policy=policy,
        costs=costs,
        price=spot,
        duration=end,
        units=units,
        checkpoint=every.seconds,
        checkpoint_steps=every.steps,
        ready=trace is None,
    )
    return Simulation(
        outcome, work.name, policy, label, spot, on_demand=beside, costs=costs, work=work, stretches=stretches
    )


def microbatches_of(plan: PipelinePlan, schedule: str) -> int:
    """Return how many microbatches a step of one pipeline has if nothing is said: under ddp one for each rank."""
    if schedule == "ddp":
        return sum(stage.replicas for stage in plan.stages)
    return default_microbatches(schedule, len(plan.stages))


def _rows(trace: Trace) -> list[tuple[float, str, str]]:
    return [tuple(row) for row in trace.events.itertuples(index=False, name=None)]


def _market(
    trace: Trace | RandomTrace | None, work: Work, nodes: int | None, seed: int, seconds: float | None
) -> tuple[list[tuple[float, str, str]], float | None, int | None]:
    """Return what happens, when it ends, and after how many units it does."""
    if trace is None:
        machines = [(0.0, "add", f"node{number + 1}") for number in range(nodes or work.ranks)]
        if len(machines) < work.ranks:
            raise SimulationError(
                f"{len(machines)} machines are too few: one pipeline of {work.name} has {work.ranks}.",
                f"Use nodes={work.ranks} or more.",
            )
        return machines, seconds, UNITS if seconds is None else None
    if isinstance(trace, Trace):
        return _rows(trace), trace.duration if seconds is None else seconds, None
    if seconds is None:
        raise SimulationError("A random trace has no end.", 'Give duration="24h".')
    spec = work.spec if isinstance(work, SpecWork) else None
    capacity = nodes or (spec.capacity if spec else work.ranks)
    return drawn(trace, capacity, seed, seconds), seconds, None


def _on_demand_of(spec: ModelSpec, price: float) -> dict[str, float]:
    pace = spec.samples_per_step / spec.on_demand_step_seconds if spec.on_demand_step_seconds else float("nan")
    return _beside(spec.on_demand_nodes, pace, price)


def _on_demand_plan(work: PlanWork, pipelines: int, price: float) -> dict[str, float]:
    unit = work.unit((frozenset(),) * pipelines)
    return _beside(pipelines * work.ranks, unit.samples / unit.seconds if unit.seconds else float("nan"), price)


def _beside(machines: int, pace: float, price: float) -> dict[str, float]:
    cost = machines * price
    return {
        "instances": float(machines),
        "throughput": pace,
        "cost": cost,
        "value": pace / cost if cost else float("nan"),
    }
