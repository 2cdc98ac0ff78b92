"""From what `train` was given to what the workers get: a plan, addresses, and a setup for each rank."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import workbench.training
from workbench.engine import session
from workbench.training import errors
from workbench.training.worker import Part, Setup

if TYPE_CHECKING:
    import torch
    from torch import nn

    from workbench.training.cluster import Cluster
    from workbench.training.data import Source
    from workbench.training.job import Job
    from workbench.training.layout import Layout
    from workbench.training.optimizers import Recipe
    from workbench.training.plan import PipelinePlan

__all__ = ["planned", "setups"]


def planned(
    model: nn.Module,
    source: Source,
    batch_size: int,
    loss: Callable[[Any, Any], torch.Tensor],
    *,
    plan: PipelinePlan | None,
    cluster: Cluster | None,
    workers: int | None,
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
    wanted = workers
    if plan is not None:
        needed = sum(len(stage.ranks) for stage in plan.stages)
        if wanted is not None and wanted < needed:
            raise _too_few(wanted, plan)
        wanted = needed
    addresses = _workers(wanted)
    if plan is not None and len(addresses) < needed:
        raise _too_few(len(addresses), plan)
    if plan is None:
        plan, schedule = _made(
            model, source, batch_size, loss, cluster, len(addresses), schedule, microbatches, seed, compression, rate
        )
    elif schedule == "auto":
        schedule = workbench.training.auto(plan, microbatches=microbatches, seed=seed).schedule
    return plan, schedule, addresses[: sum(len(stage.ranks) for stage in plan.stages)]


def setups(
    model: nn.Module, plan: PipelinePlan, layout: Layout, job: Job, recipe: Recipe, source: Source, device: Any
) -> list[bytes]:
    """Return what each rank is given, pickled.

    Raises
    ------
    NotPipelinableError
        If the model cannot be traced, or not be cut as the plan says.
    """
    import cloudpickle
    import torch

    from workbench.training.cut import cut
    from workbench.training.tracing import trace

    graph = trace(model, source.inputs(job.batches.seed))
    places = {}
    if len(layout.stages) > 1:
        places = {name: part.index for part in plan.stages for name in part.nodes}
        _check_plan(plan, places, graph)
    specs = cut(graph, model, places)
    specs = [dataclasses.replace(spec, tree=_on_host(spec.tree)) for spec in specs]
    made = []
    for rank in range(layout.ranks):
        index, replica = layout.place(rank)
        replicas = len(layout.stages[index])
        scale = replicas / len(layout.stages[0]) if job.rounds else 1.0
        part = Part(specs[index], replica, replicas, scale)
        own = source.only(inputs=index == 0, target=index == len(specs) - 1)
        names = [name for name, _ in specs[index].tree.named_parameters()]
        setup = Setup(
            rank, job, (part,), recipe.only(names), own, torch.get_num_threads(),
            None if device is None else str(device),
        )  # fmt: skip
        made.append(cloudpickle.dumps(setup, protocol=5))
    return made


def _workers(wanted: int | None) -> list[str]:
    """Return the addresses of as many workers as there are, or as are wanted: a local session starts more."""
    client = session.session()
    found = client.scheduler_info(n_workers=-1)["workers"]
    if wanted is not None and len(found) < wanted and not session.is_remote():
        client = session.session(workers=wanted)
        found = client.scheduler_info(n_workers=-1)["workers"]
    ordered = sorted(found, key=lambda address: (str(type(found[address]["name"])), found[address]["name"]))
    return ordered if wanted is None else ordered[:wanted]


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
    from workbench.training.data import Batches
    from workbench.training.partition import partition
    from workbench.training.profiler import profile

    size = min(batch_size, source.length)
    pieces = microbatches or (1 if schedule in ("pipedream", "ddp") else min(2 * workers, size))
    *inputs, target = source.load(Batches(source.length, size, pieces, seed=seed), 0, 0)
    argument = inputs[0] if len(inputs) == 1 else tuple(inputs)
    found = profile(model, (argument, target), loss=loss, repeats=3, warmup=1)
    where = cluster if cluster is not None else _cluster(workers, rate)
    if where.size > workers:
        raise errors.NoProgress(
            f"The cluster has {where.size} machines, the session {workers} workers.",
            f"Use workers={where.size}, or a smaller cluster.",
        )
    if schedule == "auto":
        choice = workbench.training.auto(found, where, microbatches=microbatches, seed=seed)
        return choice.plan, choice.schedule
    plan = partition(
        found, where, schedule="pipedream" if schedule == "ddp" else schedule, activation_compression=compression
    )
    if schedule != "ddp" and len(plan.stages) == 1 and workers > 1:
        # Who names a pipeline's schedule wants a pipeline: for replicas of one stage there is ddp.
        plan = partition(found, where, straight=True, schedule=schedule, activation_compression=compression)
    return plan, schedule


def _cluster(workers: int, rate: float | None) -> Cluster:
    """Return the cluster of these workers: its links are what is emulated, or what is measured."""
    from workbench.training.cluster import Cluster

    if rate is not None or workers == 1:
        return Cluster([workers], [rate or 1e9])
    found = Cluster.detect()
    return found if found.size == workers else Cluster([workers], [min(found.bandwidth)])


def _check_plan(plan: PipelinePlan, places: dict[str, int], graph: Any) -> None:
    names = {node.name for node in graph.nodes}
    strange = [name for name in places if name not in names]
    if strange:
        raise errors.NotPipelinableError(
            f'The plan has a node "{strange[0]}" that this model has not.', "Profile this model and partition that."
        )


def _on_host(tree: nn.Module) -> nn.Module:
    """Return a stage's modules in this host's memory, as they travel from there."""
    import copy

    tensors = [*tree.parameters(), *tree.buffers()]
    return copy.deepcopy(tree).cpu() if any(tensor.device.type != "cpu" for tensor in tensors) else tree
