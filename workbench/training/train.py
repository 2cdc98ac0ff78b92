"""`train`: what is asked for, checked at once, and the thread that drives it."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from workbench.engine.errors import suggest
from workbench.training import errors, programs
from workbench.training.given import check_device, check_given
from workbench.training.layout import Layout
from workbench.training.units import Interval, as_bandwidth, as_dollars, as_interval

if TYPE_CHECKING:
    import torch
    from torch import nn

    from workbench.training.cluster import Cluster
    from workbench.training.plan import PipelinePlan
    from workbench.training.run import TrainRun

__all__ = ["Target", "train"]

RESILIENCE = ("none", "checkpoint", "redundant")
CHECKPOINT = 60.0  # seconds between two checkpoints, if nothing is said
_TARGET = re.compile(r"\s*([^\W\d]\w*)\s*(>=|<=)\s*(\S+)\s*\Z")


def train(
    model: nn.Module,
    data: Any,
    loss: Callable[[Any, Any], torch.Tensor],
    optimizer: Any,
    *,
    plan: PipelinePlan | None = None,
    cluster: Cluster | None = None,
    workers: int | None = None,
    schedule: str = "auto",
    microbatches: int | None = None,
    batch_size: int | None = None,
    epochs: int = 1,
    steps: int | None = None,
    shuffle: bool = True,
    drop_last: bool = False,
    seed: int = 0,
    validation: Any = None,
    evaluate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    evaluate_every: int = 1,
    target: str | None = None,
    resilience: str = "none",
    redundancy: str = "lazy",
    checkpoint: Any = None,
    flush_every: int | None = None,
    vertical_sync: bool = False,
    recompute: bool = False,
    activation_compression: float | None = None,
    link: Any = None,
    chaos: Any = None,
    backend: str | None = None,
    device: Any = None,
    tracker: Any = None,
    price: float | str | None = None,
    on_demand_price: float | str | None = None,
    resume: Any = None,
    wait: bool = False,
) -> TrainRun:
    """Train a model as a pipeline over the session's workers.

    Parameters
    ----------
    model : Module
        Holds the weights of the last commit when the run ends in any way.
    data : tuple of tensors or arrays, map-style Dataset, or DataLoader over one
    loss : callable
        (output, target) -> mean over the samples.
    optimizer : torch.optim.Optimizer, or callable from parameters to one
    plan : PipelinePlan, optional
        By default the first microbatch is profiled, and a plan is made for `cluster`.
    cluster : Cluster, optional
        By default what the session's workers are found to be.
    workers : int, optional
        By default all that the session has; a local session with fewer starts more.
    schedule : {"auto", "gpipe", "1f1b", "pipedream", "2bw", "ddp"}
    microbatches : int, optional
        In a batch; by default 1 for pipedream, one for each worker for ddp, else twice the stages.
    batch_size : int, optional
        By default a DataLoader's, else 32.
    epochs, steps : int
        How long; `steps` counts batches and wins.
    shuffle, drop_last : bool
    seed : int
        Of the order of the samples and of random layers.
    validation : like `data`, optional
        Gives `loss`, and `top1` (percent) for targets of whole numbers.
    evaluate : callable, optional
        (model) -> metrics; in place of `validation`.
    evaluate_every : int
        Epochs.
    target : str, optional
        "top1>=94" or "loss<=0.1": reaching it ends training at that commit.
    resilience : {"none", "checkpoint", "redundant"}
        What is done about a lost worker: the run ends; it goes on from the last checkpoint; the neighbour, which holds
        a copy, takes over.
    redundancy : {"lazy", "eager"}
        Whether the neighbour computes along only after a loss, or its forwards before.
    checkpoint : str or float, optional
        Between two checkpoints: "60s", a number of seconds, or "100steps". Every 60 s, if there is a `resilience`.
        They stand in `WORKBENCH_HOME`, which all workers have to see, and two are kept.
    flush_every : int, optional
        Microbatches between two commits of pipedream and 2bw; 16 for each stage.
    vertical_sync : bool
        pipedream: a microbatch sees weights of the same age at every stage.
    recompute : bool
        Forward again before the backward, which needs less memory.
    activation_compression : float, optional
        2: float32 travels as float16, which is lossy.
    link : str or float, optional
        Emulated bandwidth of each machine: "100mbit", or bytes per second.
    device : str, optional
        Of the workers, such as "cuda".
    chaos : str or Chaos, optional
        Stops workers of a local session: "kill=2@10s,stall=1@5s".
    price, on_demand_price : float or str, optional
        Dollars for a machine and hour, such as "$0.91": what the run costs is shown while it goes on, beside machines
        on demand if theirs is given too.
    resume : path, optional
        A checkpoint, from which training goes on as if it had never ended; also with another plan.
    tracker : object, optional
        Told of spans and evaluations, if it has `span` and `eval`. It ends the run at the commit that was evaluated by
        answering with a true `stop`, or by raising what is no `Exception`, as `wb.tta.Tracker(..., stop=True)` does:
        that is raised again here, after the end, if `wait`. An `Exception` is an error of the run.
    wait : bool
        Wait for the end.

    Returns
    -------
    TrainRun

    Raises
    ------
    TrainingError
        For an unknown schedule or option.
    ScheduleError
        For microbatches that the batch or the schedule does not allow.
    DataError
        For data without samples, or without length and index.
    NoProgress
        For fewer workers than the plan needs.
    CheckpointError
        For what cannot be resumed from: no checkpoint, a damaged one, or one of another model.
    WorkerLost, ReplicaLost, LossNaN
        From `result()`.
    """
    from workbench.engine import session
    from workbench.training import checkpoint as checkpoints
    from workbench.training import data as data_module
    from workbench.training.chaos import Chaos
    from workbench.training.job import Job
    from workbench.training.optimizers import as_optimizer, recipe_of
    from workbench.training.prepare import Terms, planned
    from workbench.training.run import TrainRun
    from workbench.training.work import Work

    _check_names(schedule, resilience, redundancy)
    check_given(model, loss, evaluate, seed)
    for name, number in (
        ("microbatches", microbatches), ("batch_size", batch_size), ("epochs", epochs), ("steps", steps),
        ("workers", workers), ("evaluate_every", evaluate_every), ("flush_every", flush_every),
    ):  # fmt: skip
        _check_whole(name, number)
    if backend not in (None, "gloo"):
        raise errors.unknown("backend", backend, ("gloo",))
    interval = None if checkpoint is None else as_interval(checkpoint, "checkpoint")
    if interval is None and resilience != "none":
        interval = Interval(CHECKPOINT)
    unrest = Chaos.of(chaos)
    if unrest is not None and session.is_remote():
        raise errors.chaos_elsewhere()
    goal = None if target is None else Target.parse(target)
    rate = None if link is None else as_bandwidth(link, "link")
    prices = [
        None if found is None else as_dollars(found, name)
        for name, found in (("price", price), ("on_demand_price", on_demand_price))
    ]
    half = _check_compression(activation_compression)
    source, batch_size = data_module.source_of(data, batch_size)
    checking = None if validation is None else data_module.source_of(validation, batch_size)[0]
    made = as_optimizer(optimizer, model)
    recipe_of(made, model)  # an optimizer of something else is said now
    if not model.training:
        model.train()
    resumed = None
    if resume is not None:
        resumed = checkpoints.read(resume)
        options = {
            "samples_of_data": source.length, "batch_size": batch_size, "shuffle": shuffle, "drop_last": drop_last,
            "seed": seed,
        }  # fmt: skip
        resumed.check(model, made, options)
        schedule = resumed.facts["schedule"] if schedule == "auto" else schedule

    plan, schedule, addresses = planned(
        model, source, batch_size, loss, plan=plan, cluster=cluster, count=workers, schedule=schedule,
        microbatches=microbatches, seed=seed, compression=activation_compression, rate=rate,
    )  # fmt: skip
    if device is not None:
        check_device(device, addresses)
    layout = Layout.of(plan, schedule)
    same = resumed is not None and resumed.facts["schedule"] == schedule
    if resumed is not None and microbatches is None and same:
        microbatches = int(resumed.facts["microbatches"])
    if resumed is not None and flush_every is None and same:
        flush_every = resumed.facts["flush_every"]
    micro = microbatches or _default_microbatches(schedule, layout, min(batch_size, source.length))
    if micro > min(batch_size, source.length):
        raise errors.too_many_microbatches(min(batch_size, source.length), micro)
    batches = data_module.Batches(source.length, batch_size, micro, shuffle, drop_last, seed)
    if not batches.per_epoch:
        raise errors.DataError(
            f"drop_last leaves no batch: {source.length} samples are fewer than batch_size {batch_size}.",
            "Use a smaller batch_size, or drop_last=False.",
        )
    total = steps if steps is not None else epochs * batches.per_epoch
    copies = resilience == "redundant"
    job = Job(loss, batches, seed, recompute, rounds=schedule == "pipedream", redundant=copies)
    terms = Terms(
        model, made, source, job, schedule, redundancy if copies else None, flush_every, vertical_sync, total,
        None if device is None else str(device),
    )  # fmt: skip
    terms.programs(plan, layout)  # what the schedule does not allow is said now
    if resumed is not None:
        resumed.load(model, made)
    run = TrainRun(
        terms=terms, plan=plan, resilience=resilience, link="" if link is None else str(link), interval=interval,
        resumed=resumed, price=prices[0], on_demand_price=prices[1],
    )  # fmt: skip
    work = Work(
        terms=terms, seating=terms.seating(plan, addresses, 0 if resumed is None else resumed.step),
        resilience=resilience, goal=goal, checking=checking, evaluate=evaluate, every=evaluate_every, tracker=tracker,
        chaos=unrest, rate=rate, half=half,
    )  # fmt: skip
    try:
        run.launch(work)
        if wait:
            run.result()
            if work.way_out is not None:
                raise work.way_out
        return run
    except KeyboardInterrupt:
        run.cancel()  # nobody has it, and could do so
        raise


@dataclasses.dataclass(frozen=True)
class Target:
    """A metric and what it shall reach."""

    metric: str
    sign: str
    value: float

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read "top1>=94".

        Raises
        ------
        TrainingError
            For anything else.
        """
        found = _TARGET.match(text) if isinstance(text, str) else None
        with contextlib.suppress(ValueError):
            if found:
                return cls(found[1], found[2], float(found[3]))
        raise errors.TrainingError(f'"{text}" is no target.', 'Write "top1>=94" or "loss<=0.1".')

    def met(self, metrics: Mapping[str, float]) -> bool:
        """Whether metrics reach it.

        Raises
        ------
        TrainingError
            If the metric is not among them.
        """
        if self.metric not in metrics:
            raise errors.TrainingError(
                f'No metric "{self.metric}".',
                suggest(self.metric, metrics, f"There are: {', '.join(metrics)}.", quote='"{}"'),
            )
        value = metrics[self.metric]
        return value >= self.value if self.sign == ">=" else value <= self.value


def _default_microbatches(schedule: str, layout: Layout, batch_size: int) -> int:
    if schedule == "ddp":  # one for each worker, or all but one would have nothing to do
        return min(layout.ranks, batch_size)
    return programs.default_microbatches(schedule, len(layout.stages), batch_size)


def _check_names(schedule: str, resilience: str, redundancy: str) -> None:
    if schedule not in ("auto", *programs.SCHEDULES):
        raise errors.unknown_schedule(schedule)
    if resilience not in RESILIENCE:
        raise errors.unknown("resilience", resilience, RESILIENCE)
    if redundancy not in programs.REDUNDANCY:
        raise errors.unknown("redundancy", redundancy, programs.REDUNDANCY)


def _check_whole(name: str, value: Any) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise errors.TrainingError(f"{name} is a whole number from 1; got {value!r}.", f"Write {name}=4.")


def _check_compression(value: float | None) -> bool:
    if value not in (None, 1, 2):
        raise errors.TrainingError(
            f"activation_compression is None, 1 or 2; got {value!r}.", "2 sends float32 as float16."
        )
    return value == 2
