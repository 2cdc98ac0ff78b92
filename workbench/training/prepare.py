"""From what `train` was given to what the workers get: a plan, addresses, and a setup for each rank."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import workbench.training
from workbench.engine import session
from workbench.training import errors, programs
from workbench.training.layout import Layout
from workbench.training.resilience import Seating
from workbench.training.worker import Part, Setup

if TYPE_CHECKING:
    import torch
    from torch import nn

    from workbench.training.cluster import Cluster
    from workbench.training.data import Source
    from workbench.training.graph import Profile
    from workbench.training.handing import Origin
    from workbench.training.job import Job
    from workbench.training.pace import Pace
    from workbench.training.plan import PipelinePlan
    from workbench.training.resilience import Programs

__all__ = ["Terms", "enough", "fewer", "planned", "workers"]

FLUSH_EVERY = 16  # microbatches for each stage between two drained pipes of the schedules that keep it full


def planned(
    model: nn.Module,
    source: Source,
    batch_size: int,
    loss: Callable[[Any, Any], torch.Tensor],
    *,
    plan: PipelinePlan | None,
    cluster: Cluster | None,
    count: int | None,
    schedule: str,
    microbatches: int | None,
    seed: int,
    compression: float | None,
    rate: float | None,
) -> tuple[PipelinePlan, str, list[str]]:
    """Return the plan, the schedule, and the addresses of the workers by rank.

    Raises
    ------
    NoProgress
        If there are fewer workers than the plan needs.
    """
    wanted = count
    if plan is not None:
        needed = sum(len(stage.ranks) for stage in plan.stages)
        if wanted is not None and wanted < needed:
            raise _too_few(wanted, plan)
        wanted = needed
    addresses = workers(wanted)
    if plan is not None:
        enough(plan, len(addresses))
    if plan is None:
        plan, schedule = _made(
            model, source, batch_size, loss, cluster, len(addresses), schedule, microbatches, seed, compression, rate
        )
    elif schedule == "auto":
        schedule = workbench.training.auto(plan, microbatches=microbatches, seed=seed).schedule
    return plan, schedule, addresses[: sum(len(stage.ranks) for stage in plan.stages)]


@dataclass(frozen=True)
class Terms:
    """What stays the same in a run whatever plan it has.

    Parameters
    ----------
    model : Module
        Its weights are those that a seating begins with.
    optimizer : Optimizer
        Its state too.
    source : Source
    job : Job
    schedule : str
    redundancy : None, "eager" or "lazy"
        Whether stages are also held by the neighbours.
    flush_every : int or None
        Microbatches between two drained pipes; None: 16 for each stage.
    vertical_sync : bool
    total : int
        Batches of the run.
    device : str or None
        Of the workers.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    source: Source
    job: Job
    schedule: str
    redundancy: str | None
    flush_every: int | None
    vertical_sync: bool
    total: int
    device: str | None

    def flush(self, layout: Layout) -> int:
        """Return the batches between two commits."""
        if self.schedule in programs.FLUSHING:
            return 1
        return max(1, (self.flush_every or FLUSH_EVERY * len(layout.stages)) // self.job.batches.microbatches)

    def flush_every_of(self, plan: PipelinePlan) -> int | None:
        """Return the microbatches between two drained pipes, of a schedule that keeps it full."""
        if self.schedule in programs.FLUSHING:
            return None
        return self.flush(Layout.of(plan, self.schedule)) * self.job.batches.microbatches

    def programs(self, plan: PipelinePlan, layout: Layout) -> Programs:
        """Return what gives the programs of a plan for a number of batches.

        Raises
        ------
        ScheduleError
            For what the schedule does not allow.
        """
        made: dict[int, Any] = {}

        def found(count: int) -> Any:
            if count not in made:
                made[count] = programs.program(
                    plan, self.schedule, self.job.batches.microbatches, steps=count, vertical_sync=self.vertical_sync,
                    redundancy=self.redundancy if layout.ranks > 1 else None,
                )  # fmt: skip
            return made[count]

        found(min(self.flush(layout), self.total))
        return found

    def seating(
        self, plan: PipelinePlan, addresses: Sequence[str], batches: int = 0, origins: Sequence[Origin] = ()
    ) -> Seating:
        """Return the seating of a plan on workers, to go on from a commit.

        Parameters
        ----------
        plan : PipelinePlan
        addresses : sequence of str
            Of the workers, by rank.
        batches : int
            The commit.
        origins : sequence of Origin
            Where the workers get it; without, it is what is in the model and the optimizer.

        Raises
        ------
        ScheduleError
            For what the schedule does not allow.
        NotPipelinableError
            If the model cannot be traced, or not be cut as the plan says.
        """
        layout = Layout.of(plan, self.schedule)
        made, flush = self.programs(plan, layout), self.flush(layout)
        setups = self._setups(plan, layout, made, flush, batches, tuple(origins))
        return Seating(plan, layout, made, addresses, setups, flush, batches)

    def _setups(
        self, plan: PipelinePlan, layout: Layout, made: Programs, flush: int, batches: int, origins: tuple[Origin, ...]
    ) -> list[bytes]:
        """Return what each rank is given, pickled."""
        import cloudpickle
        import torch

        from workbench.training.cut import cut
        from workbench.training.handing import hollow
        from workbench.training.optimizers import recipe_of
        from workbench.training.tracing import trace

        graph = trace(self.model, self.source.inputs(self.job.batches.seed))
        places = {}
        if len(layout.stages) > 1:
            places = {name: part.index for part in plan.stages for name in part.nodes}
            _check_plan(plan, places, graph)
        specs = cut(graph, self.model, places)
        sent = hollow if origins else _on_host
        specs = [dataclasses.replace(spec, tree=sent(spec.tree)) for spec in specs]
        recipe, setups = recipe_of(self.optimizer, self.model), []
        if origins:
            recipe = dataclasses.replace(recipe, state={})

        def part(rank: int) -> Part:
            index, replica = layout.place(rank)
            replicas = len(layout.stages[index])
            scale = replicas / len(layout.stages[0]) if self.job.rounds else 1.0
            return Part(specs[index], replica, replicas, scale, _updates(made, layout, index, flush, batches))

        held: dict[int, list[Part]] = {}
        if self.redundancy is not None:
            for stage in range(len(layout.stages)):
                for holder, owner in layout.copies(stage).items():
                    held.setdefault(holder, []).append(part(owner))
        for rank in range(layout.ranks):
            own, copies = part(rank), held.get(rank, [])
            indices = {known.spec.index for known in (own, *copies)}
            names = [name for known in (own, *copies) for name, _ in known.spec.tree.named_parameters()]
            setup = Setup(
                rank, self.job, (own,), recipe.only(names),
                self.source.only(inputs=0 in indices, target=len(specs) - 1 in indices), torch.get_num_threads(),
                self.device, batches, tuple(copies), heeds=self.redundancy is not None, origins=origins,
            )  # fmt: skip
            setups.append(cloudpickle.dumps(setup, protocol=5))
        return setups


def fewer(plan: PipelinePlan, schedule: str, ranks: int) -> PipelinePlan:
    """Return a plan for another number of workers, cut from the same profile.

    Raises
    ------
    StageMemoryError
        If it does not fit into their memory.
    PartitionError
        If the model cannot be cut into so many stages.
    """
    from workbench.training.cluster import Cluster
    from workbench.training.partition import partition

    memory = plan.options.memory if plan.options.memory is not None else plan.cluster.memory
    return partition(
        plan.profile, Cluster([ranks], [min(plan.cluster.bandwidth)], memory=memory),
        straight=schedule != "ddp" and all(stage.replicas == 1 for stage in plan.stages),
        schedule="pipedream" if schedule == "ddp" else schedule, redundant=plan.options.redundant,
        activation_compression=plan.options.activation_compression,
    )  # fmt: skip


def workers(wanted: int | None = None) -> list[str]:
    """Return the addresses of as many workers as there are, or as are wanted: a local session starts more."""
    client = session.session()
    found = session.members(client)
    if wanted is not None and len(found) < wanted and not session.is_remote():
        with contextlib.suppress(TimeoutError):  # what is there then is counted by who asked
            client = session.session(workers=wanted)
        found = session.members(client)
    ordered = sorted(found, key=lambda address: (str(type(found[address]["name"])), found[address]["name"]))
    return ordered if wanted is None else ordered[:wanted]


def enough(plan: PipelinePlan, count: int) -> None:
    """See that a plan has the workers that it needs.

    Raises
    ------
    NoProgress
    """
    if count < sum(len(stage.ranks) for stage in plan.stages):
        raise _too_few(count, plan)


def _too_few(count: int, plan: PipelinePlan) -> errors.NoProgress:
    needed = sum(len(stage.ranks) for stage in plan.stages)
    total = sum(stage.memory_bytes * stage.replicas for stage in plan.stages)
    told = errors.no_progress(count, needed, total, needed - count, None)
    return errors.NoProgress(told.message, f"Use workers={needed}, or a plan for {count}.")


def _made(
    model: nn.Module,
    source: Source,
    batch_size: int,
    loss: Callable[[Any, Any], torch.Tensor],
    cluster: Cluster | None,
    workers: int,
    schedule: str,
    microbatches: int | None,
    seed: int,
    compression: float | None,
    rate: float | None,
) -> tuple[PipelinePlan, str]:
    """Profile the first microbatch, and plan for the cluster."""
    from workbench.training.auto import Choice
    from workbench.training.data import Batches
    from workbench.training.pace import Pace
    from workbench.training.partition import partition
    from workbench.training.profiler import profile

    size = min(batch_size, source.length)

    def profiled(pieces: int) -> Profile:
        *inputs, target = source.load(Batches(source.length, size, pieces, seed=seed), 0, 0)
        argument = inputs[0] if len(inputs) == 1 else tuple(inputs)
        return profile(model, (argument, target), loss=loss, repeats=3, warmup=1)

    where = cluster if cluster is not None else _cluster(workers, rate)
    if where.size > workers:
        raise errors.NoProgress(
            f"The cluster has {where.size} machines, the session {workers} workers.",
            f"Use workers={where.size}, or a smaller cluster.",
        )
    if schedule == "auto":
        # what is beside a profile decides between schedules; one of another device has no such figures
        on_processor = all(parameter.device.type == "cpu" for parameter in model.parameters())
        if not on_processor:
            where = where.paced(Pace())
        elif where.pace == Pace():
            where = where.paced(_together(where))
        # each schedule has microbatches of its own size, and small ones take longer for a sample
        names: dict[int, list[str]] = {}
        for name in programs.SCHEDULES:
            names.setdefault(microbatches or _pieces(name, where.size, size), []).append(name)
        choices, too_large = [], None
        for pieces, some in names.items():
            try:
                choices.append(
                    workbench.training.auto(
                        profiled(pieces), where, schedules=some, microbatches=microbatches, seed=seed
                    )
                )  # fmt: skip
            except errors.StageMemoryError as error:  # others may fit
                too_large = error
        if not choices and too_large is not None:
            raise too_large
        choice = Choice.of(choices)
        return choice.plan, choice.schedule
    found = profiled(microbatches or _pieces(schedule, where.size, size))
    plan = partition(
        found, where, schedule="pipedream" if schedule == "ddp" else schedule, activation_compression=compression
    )
    if schedule != "ddp" and len(plan.stages) == 1 and workers > 1:
        # Who names a pipeline's schedule wants a pipeline: for replicas of one stage there is ddp.
        plan = partition(found, where, straight=True, schedule=schedule, activation_compression=compression)
    return plan, schedule


def _pieces(schedule: str, workers: int, size: int) -> int:
    """Return how many microbatches a batch will be cut into, if there are as many stages as workers."""
    return min(workers, size) if schedule == "ddp" else programs.default_microbatches(schedule, workers, size)


def _cluster(workers: int, rate: float | None) -> Cluster:
    """Return the cluster of these workers: its links are what is emulated, or what is measured."""
    from workbench.training.cluster import Cluster

    if rate is not None or workers == 1:
        return Cluster([workers], [rate or 1e9])
    found = Cluster.detect()
    return found if found.size == workers else Cluster([workers], [min(found.bandwidth)]).paced(found.pace)


def _together(cluster: Cluster) -> Pace:
    """Return the pace of the session's workers that a cluster stands for, whatever links they are said to have."""
    from workbench.training.calibration import calibrated
    from workbench.training.pace import pace

    return calibrated(pace(), session.session(), workers()[: cluster.size], min(cluster.bandwidth))


def _check_plan(plan: PipelinePlan, places: dict[str, int], graph: Any) -> None:
    names = {node.name for node in graph.nodes}
    strange = [name for name in places if name not in names]
    if strange:
        raise errors.NotPipelinableError(
            f'The plan has a node "{strange[0]}" that this model has not.', "Profile this model and partition that."
        )


def _updates(made: Programs, layout: Layout, stage: int, flush: int, batches: int) -> int:
    """Return the updates of a stage in so many batches."""
    spans, rest = divmod(batches, flush)
    rank = layout.stages[stage][0]
    return sum(
        times * sum(op.kind == "step" and op.stage == stage for op in made(count)[rank])
        for times, count in ((spans, flush), (1, rest))
        if times and count
    )


def _on_host(tree: nn.Module) -> nn.Module:
    """Return a stage's modules in this host's memory, as they travel from there."""
    import copy

    tensors = [*tree.parameters(), *tree.buffers()]
    return copy.deepcopy(tree).cpu() if any(tensor.device.type != "cpu" for tensor in tensors) else tree
