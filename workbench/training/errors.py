"""Errors and warnings of training: what is wrong, and how to fix it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from workbench.engine.errors import WorkbenchError, WorkbenchWarning, did_you_mean
from workbench.training.units import show_bytes, show_seconds

__all__ = [
    "CheckpointError",
    "ClusterError",
    "DataError",
    "LossNaN",
    "NoProgress",
    "NotPipelinableError",
    "PartitionError",
    "PeerStalled",
    "ProfileError",
    "ReplicaLost",
    "ScheduleError",
    "SimulationError",
    "StageMemoryError",
    "TraceError",
    "TrainingError",
    "UnbalancedPlanWarning",
    "WorkerLost",
]

SCHEDULES = ("auto", "gpipe", "1f1b", "pipedream", "2bw", "ddp")

Path = str | os.PathLike[str]

#: the name of what is no layer's fault
THE_DATA = "the data"


class TrainingError(WorkbenchError):
    """A mistake in what was asked of training."""


class StageMemoryError(TrainingError):
    """No plan fits into the workers' memory."""


class NotPipelinableError(TrainingError):
    """A model that cannot be traced or cut."""


class ProfileError(TrainingError):
    """A profile that cannot be read."""


class ClusterError(TrainingError):
    """A cluster whose description does not fit together."""


class PartitionError(TrainingError):
    """A partition that does not exist."""


class ScheduleError(TrainingError):
    """A schedule that cannot be run with these microbatches."""


class DataError(TrainingError):
    """Data that cannot be trained on."""


class LossNaN(TrainingError):
    """A loss that is no longer a number; the weights stay at the last finite commit."""


class WorkerLost(TrainingError):
    """A worker was lost in a run that keeps no copies."""


class ReplicaLost(TrainingError):
    """Both copies of a stage were lost."""


class NoProgress(TrainingError):
    """Too few workers are left to go on."""


class TraceError(TrainingError):
    """A trace that cannot be read."""


class SimulationError(TrainingError):
    """A simulation without the figures it needs."""


class CheckpointError(TrainingError):
    """A checkpoint that does not fit the model, or is damaged."""


class UnbalancedPlanWarning(WorkbenchWarning):
    """One layer takes most of the time, so that cutting gains little."""


class PeerStalled(WorkbenchWarning):
    """A peer is silent although its worker is alive; the run cuts it off."""


def stage_memory(
    stage: int,
    nodes: tuple[str, str],
    needed: float,
    available: float,
    *,
    versions: int,
    parameter_bytes: float,
    in_flight: int,
    activation_bytes: float,
    kept_bytes: float = 0.0,
    remedies: Sequence[str] = (),
) -> StageMemoryError:
    """Return the error for a plan of which one stage does not fit.

    Parameters
    ----------
    stage : int
    nodes : (str, str)
        Its first and last node.
    needed, available : float
        Bytes on one worker.
    versions, in_flight : int
        Copies of the weights, and of the activations.
    parameter_bytes, activation_bytes : float
        Bytes of one copy.
    kept_bytes : float
        Bytes beside these: gradient, optimizer, another stage's copy.
    remedies : sequence of str
        What would fit, each with its bytes.
    """
    first, last = nodes
    place = first if first == last else f"{first} to {last}"
    rest = f" + {show_bytes(kept_bytes)} for gradient and optimizer" if kept_bytes else ""
    return StageMemoryError(
        f"Stage {stage} ({place}) needs {show_bytes(needed)}: {_count(versions, 'weight version')} × "
        f"{show_bytes(parameter_bytes)} + {_count(in_flight, 'in-flight activation')} × {show_bytes(activation_bytes)}"
        f"{rest}; a worker has {show_bytes(available)}.",
        f"Try {_either(remedies)}." if remedies else "Use workers with more memory, or a smaller microbatch.",
    )


def unbalanced(layer: str, share: float, stages: int, config: str | None, gain: float) -> UnbalancedPlanWarning:
    """Return the warning for a layer that takes more than half of the time.

    Parameters
    ----------
    layer : str
    share : float
        Its part of the time of one machine, in (0, 1].
    stages : int
        Stages that were asked for, or machines there are.
    config : str or None
        A plan that replicates it, if one is faster.
    gain : float
        That plan's speedup over one machine.
    """
    return UnbalancedPlanWarning(
        f'Layer "{layer}" alone is {share * 100:.0f} % of the time; {_count(stages, "stage")} give at most '
        f"{1 / share:.1f}x.",
        f"Replicate it: plan {config} gives {gain:.1f}x." if config else "Split it into several modules.",
    )


def depends_on_data(file: str, line: int, code: str) -> NotPipelinableError:
    """Return the error for code that cannot be traced, as what it does hangs on values."""
    return NotPipelinableError(
        f'{file}:{line}: "{code}" depends on data.', "Move the branch into one submodule, or mark it a leaf."
    )


def cannot_trace(file: str, line: int, code: str, reason: str) -> NotPipelinableError:
    """Return the error for code that cannot be traced for another reason."""
    return NotPipelinableError(
        f'{file}:{line}: "{code}" cannot be traced: {reason}.', "Move it into one submodule, or mark it a leaf."
    )


def crosses_without_tensor(file: str, line: int, code: str, kind: str) -> NotPipelinableError:
    """Return the error for a value that would have to cross a cut and is no tensor."""
    return NotPipelinableError(
        f'{file}:{line}: "{code}" gives a {kind}, which cannot cross from one stage to the next.',
        "Return tensors, or keep its maker and its user in one submodule.",
    )


def parameter_shared(name: str, first: str, second: str) -> NotPipelinableError:
    """Return the error for a plan that puts one parameter into two stages."""
    return NotPipelinableError(
        f'Parameter "{name}" is shared by {first} and {second}, which are in different stages.',
        "Partition a profile of this model: it keeps them together.",
    )


def profile_line(path: Path, line: int, expected: str, text: str) -> ProfileError:
    """Return the error for a line of a graph.txt that is none."""
    return ProfileError(
        f'{os.fspath(path)}:{line}: expected "{expected}", found "{_short(text)}".',
        "A node line has id, description and four values; see wb.training.read_profile.",
    )


def edge_without_node(path: Path, edge: tuple[str, str]) -> ProfileError:
    """Return the error for an edge to a node that is not there."""
    return ProfileError(
        f"{os.fspath(path)}: edge {edge[0]} -- {edge[1]} names a node that is not in the file.",
        "Add the node line or remove the edge.",
    )


def edge_in_cycle(path: Path, edge: tuple[str, str]) -> ProfileError:
    """Return the error for edges that go in a circle."""
    return ProfileError(
        f"{os.fspath(path)}: edge {edge[0]} -- {edge[1]} closes a cycle.", "Remove the edge that leads back."
    )


def levels_differ(machines: int, bandwidth: int) -> ClusterError:
    """Return the error for lists of a cluster that differ in length."""
    return ClusterError(
        f"machines has {_count(machines, 'level')}, bandwidth has {bandwidth}.",
        "Give one bandwidth (bytes/s) for each level.",
    )


def too_few_cuts(stages: int, states: int) -> PartitionError:
    """Return the error for more stages than the profile can be cut into."""
    return PartitionError(
        f"{_count(stages, 'stage')} wanted, the profile can be cut into {states}.",
        "Use fewer machines or straight=False.",
    )


def unknown(kind: str, name: object, names: Iterable[str], hint: str | None = None) -> TrainingError:
    """Return the error for a schedule, policy, model or option that is not known.

    Parameters
    ----------
    kind : str
        "schedule", "policy", "model", "option".
    name : object
        What was written.
    names : iterable of str
        What could have been meant.
    hint : str, optional
        Second line; else the names.
    """
    known = list(names)
    near = did_you_mean(str(name), known)
    meant = f'; did you mean "{near}"?' if near else "."
    return TrainingError(f'Unknown {kind} "{name}"{meant}', hint or f"Use {_either(known)}.")


def unknown_schedule(name: object) -> TrainingError:
    """Return the error for a schedule that is not known, or for `auto` where one has to be named."""
    if name == "auto":
        return TrainingError(
            'Unknown schedule "auto": here one has to be named.',
            f"Use {_either(SCHEDULES[1:])}; wb.training.auto(plan) chooses.",
        )
    return unknown("schedule", name, SCHEDULES)


def too_few_microbatches(stages: int, microbatches: int) -> ScheduleError:
    """Return the error for 2bw with fewer microbatches than stages."""
    return ScheduleError(
        f"2bw needs at least {_count(stages, 'microbatch')} for {_count(stages, 'stage')}; got {microbatches}.",
        f"Use --micro {stages}.",
    )


def too_many_microbatches(samples: int, microbatches: int) -> ScheduleError:
    """Return the error for more microbatches than samples in a batch."""
    return ScheduleError(
        f"A batch of {_count(samples, 'sample')} cannot make {_count(microbatches, 'microbatch')}.",
        f"Use --micro {samples} or a larger batch.",
    )


def no_index() -> DataError:
    """Return the error for data that can only be walked through."""
    return DataError("Training needs data with a length and an index.", "Pass a map-style Dataset or tensors.")


def no_samples() -> DataError:
    """Return the error for data without a sample."""
    return DataError("The data has no samples.", "Pass a map-style Dataset or tensors.")


def loss_nan(
    value: str, step: int, stage: int, node: str | None, version: int, behind: int, direction: str = "forward"
) -> LossNaN:
    """Return the error for a loss that is no number.

    Parameters
    ----------
    value : str
        "NaN" or "Inf".
    step, stage : int
    node : str or None
        The first node that gave it, if known, or `THE_DATA`.
    version, behind : int
        Weight version in use, and how many updates it is behind.
    direction : str
        "forward" or "backward".
    """
    if node == THE_DATA:
        return LossNaN(
            f"{value} at step {step}, stage {stage}: values of the data itself are not finite; weight version "
            f"{version}.",
            "Leave such samples out, or replace what they lack.",
        )
    where = f', first in "{node}" {direction}' if node else ""
    stale = f" ({behind} behind)" if behind else ""
    return LossNaN(
        f"{value} at step {step}, stage {stage}{where}; weight version {version}{stale}.",
        'Lower the learning rate, or use schedule="1f1b" to rule out staleness.'
        if behind
        else "Lower the learning rate.",
    )


def worker_recovered(
    worker: int, stage: int, step: int, holder: int, seconds: float, replayed: int, slower: float
) -> tuple[str, str]:
    """Return the two lines of an incident: a worker was lost, and its neighbour had its copy."""
    return (
        f"worker {worker} (stage {stage}) lost at step {step}; worker {holder} has its copy; resumed in "
        f"{show_pause(seconds)}, {_count(replayed, 'step')} replayed, nothing lost.",
        f"Steps are {slower:.1f}x slower until a worker joins.",
    )


def worker_handed_over(
    worker: int, stage: int, step: int, holder: int, seconds: float, slower: float
) -> tuple[str, str]:
    """Return the two lines of an incident: a worker will go, and its neighbour has taken its work over."""
    return (
        f"worker {worker} (stage {stage}) will go; its work was handed over at step {step} to worker {holder}, which "
        f"has its copy; resumed in {show_pause(seconds)}, nothing replayed, nothing lost.",
        f"Steps are {slower:.1f}x slower until a worker joins.",
    )


def worker_lost(worker: int, stage: int, step: int) -> WorkerLost:
    """Return the error for a lost worker in a run without copies."""
    return WorkerLost(
        f"worker {worker} (stage {stage}) lost at step {step}; this run keeps no copies.",
        "Use --resilience redundant, or checkpoint.",
    )


def replica_lost(
    workers: Sequence[int], stage: int, restored: int | None = None, steps: int = 0, seconds: float = 0.0
) -> ReplicaLost:
    """Return the error for a stage of which no copy is left.

    Parameters
    ----------
    workers : sequence of int
    stage : int
    restored : int or None
        Step of the checkpoint that was restored; None if there is none.
    steps, seconds : int, float
        What was lost since.
    """
    names = " and ".join(str(worker) for worker in workers)
    lost = f"workers {names} (neighbours)" if len(workers) > 1 else f"worker {names}"
    return ReplicaLost(
        f"{lost} lost: no copy of stage {stage}.",
        "There is no checkpoint to go back to; use --checkpoint 60s."
        if restored is None
        else f"Restored checkpoint step {restored}; {_count(steps, 'step')} ({show_seconds(seconds)}) lost.",
    )


def no_progress(left: int, stages: int, needed: float, wanted: int, fewer: tuple[int, float] | None) -> NoProgress:
    """Return the error for too few workers.

    Parameters
    ----------
    left, stages : int
        Workers left, and stages of the plan.
    needed : float
        Bytes that the stages need together.
    wanted : int
        Workers that are missing.
    fewer : (int, float) or None
        Stages of a plan that would do, and its bytes on a worker.
    """
    other = (
        f"run.replan(stages={fewer[0]}) needs {show_bytes(fewer[1])} each."
        if fewer
        else "no smaller plan fits into memory."
    )
    return NoProgress(
        f"{_count(left, 'worker')} left; {_count(stages, 'stage')} need {show_bytes(needed)}.",
        f"Waiting for {wanted} more; {other}",
    )


def peer_stalled(stage: int, silent: float, heartbeat: float) -> PeerStalled:
    """Return the warning for a peer that says nothing while its worker lives."""
    return PeerStalled(
        f"no message from stage {stage} for {show_pause(silent)}; its worker is alive (heartbeat "
        f"{show_pause(heartbeat)} ago).",
        "Its stack is in run.incidents.",
    )


def chaos_elsewhere() -> TrainingError:
    """Return the error for chaos on a cluster that this session did not start."""
    return TrainingError(
        "--chaos only stops workers that this session started.", "Use wb.session() without a remote address."
    )


def trace_row(path: Path, line: int, text: str) -> TraceError:
    """Return the error for a row of a trace that is none."""
    return TraceError(
        f'{os.fspath(path)}:{line}: "{_short(text)}" is neither "ms,add|remove,name" nor a count row.',
        "See read_trace.",
    )


def no_step_time(model: str, pipelines: int) -> SimulationError:
    """Return the error for a table of step times that ends too early."""
    return SimulationError(
        f"{model} has no step time for {_count(pipelines, 'pipeline')}.",
        "Use compat=False with a plan, or fewer nodes.",
    )


def resume_differs(path: Path, saved: Iterable[str], now: Iterable[str]) -> CheckpointError:
    """Return the error for a checkpoint of another model.

    Parameters
    ----------
    path : path
    saved, now : iterable of str
        Names of the parameters in the checkpoint and in the model.
    """
    before, after = list(saved), list(now)
    new = [name for name in after if name not in set(before)]
    gone = [name for name in before if name not in set(after)]
    told = [f"{word}: {_some(names)}" for word, names in (("new", new), ("gone", gone)) if names]
    detail = f" ({'; '.join(told)})" if told else ""
    return CheckpointError(
        f"{os.fspath(path)} was saved for a model with {_count(len(before), 'parameter')}; this has {len(after)}"
        f"{detail}.",
        "Resume with the same model.",
    )


def resume_shape(path: Path, name: str, saved: tuple[int, ...], now: tuple[int, ...]) -> CheckpointError:
    """Return the error for a checkpoint in which a tensor has another shape."""
    return CheckpointError(
        f"{os.fspath(path)} was saved with {name} of shape {saved}; this model's has {now}.",
        "Resume with the same model.",
    )


def resume_option(path: Path, name: str, saved: object, now: object) -> CheckpointError:
    """Return the error for going on with another option than a run began with."""
    return CheckpointError(
        f"{os.fspath(path)} was saved with {name}={saved}; this run has {now}.", f"Resume with {name}={saved}."
    )


def checkpoint_missing(path: Path, exists: bool) -> CheckpointError:
    """Return the error for a folder that is no checkpoint, or none yet."""
    return CheckpointError(
        f"{os.fspath(path)} {'has no manifest.json' if exists else 'is not there'}: it is no complete checkpoint.",
        "Give a folder that run.checkpoint() returned, or that run.incidents names.",
    )


def checkpoint_damaged(path: Path, file: str) -> CheckpointError:
    """Return the error for a checkpoint of which a file is not what was written."""
    return CheckpointError(
        f"{os.fspath(path)} is damaged: {file} is not as it was written.",
        "Resume from another checkpoint of the run; two are kept.",
    )


def checkpoint_newer(path: Path) -> CheckpointError:
    """Return the error for a checkpoint whose layout is not known here."""
    return CheckpointError(f"{os.fspath(path)} was written by a newer version.", "Update workbench.")


def show_pause(seconds: float) -> str:
    """Write a pause: `0.4 s`, `20 s`."""
    return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"


def _count(number: int, noun: str) -> str:
    plural = noun + ("es" if noun.endswith("ch") else "s")
    return f"{number} {noun if number == 1 else plural}"


def _either(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:57]}..."
