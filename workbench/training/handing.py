"""Stages that go from worker to worker, when a run goes on with other workers or another plan.

What a seating came to stays on its workers until those of the next one have what they need: each takes what it has
itself, and asks the others for the rest, over the connections that Dask's workers have among them. Nothing of it passes
through the process that drives the run.
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from workbench.training.transport import PeerError, poll
from workbench.training.worker import kept_of, seat_of

if TYPE_CHECKING:
    from workbench.training.shadow import Log
    from workbench.training.state import Snapshot, StageState
    from workbench.training.worker import Part, Setup

__all__ = [
    "Kept",
    "Origin",
    "Raw",
    "Taken",
    "fetched",
    "filled",
    "gather",
    "give",
    "hollow",
    "keep",
    "packed",
    "pieces",
    "unpacked",
]

#: bytes that one answer holds, but for a tensor that is larger; what is behind it may go on meanwhile
PIECE = 2**24
#: seconds that a connection, and an answer, may take, after which another worker is asked
CONNECT, PATIENCE = 5.0, 30.0
#: how often all are asked, and seconds between: who has just been lost is known to be a moment later
ROUNDS, NAP = 3, 0.3


@dataclass(frozen=True)
class Origin:
    """Where a part of the model can be had as it is at a commit.

    Parameters
    ----------
    stage : int
        Of the seating before.
    names : frozenset of str
        Of its parameters and buffers.
    addresses : tuple of str
        Workers that keep it, in the order in which they are asked.
    """

    stage: int
    names: frozenset[str]
    addresses: tuple[str, ...]

    def without(self, gone: Collection[str]) -> Origin:
        """Return it without workers that are lost."""
        return dataclasses.replace(self, addresses=tuple(each for each in self.addresses if each not in gone))


@dataclass(frozen=True)
class Kept:
    """What a worker keeps of a seating.

    Parameters
    ----------
    batches : int
        The commit.
    stages : dict of int to Snapshot
    log : Log or None
        Gradients of the updates before, for those who have copied the stages meanwhile.
    """

    batches: int
    stages: dict[int, Snapshot]
    log: Log | None = None


@dataclass
class Taken:
    """Parameters, buffers, and what the optimizer keeps, by name.

    Parameters
    ----------
    tensors : dict of str to Tensor
    state : dict
        Name of a parameter -> what is kept for it.
    """

    tensors: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)
    state: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)


# on the client: setups without weights


def hollow(tree: nn.Module) -> nn.Module:
    """Return a stage's modules with tensors that have a shape and no memory."""
    empty: dict[int, Any] = {
        id(parameter): nn.Parameter(torch.empty_like(parameter, device="meta"), parameter.requires_grad)
        for parameter in tree.parameters()
    }
    empty |= {id(buffer): torch.empty_like(buffer, device="meta") for buffer in tree.buffers()}
    return copy.deepcopy(tree, empty)


# on a worker, called through `Client.run` or by another worker


def keep(run: str, batches: int, dask_worker: Any = None) -> dict[int, tuple[int, frozenset[str]]]:
    """Keep the stages of a rank as they are at a commit, beyond its seat; return their updates and names."""
    seat = seat_of(run, dask_worker)
    if seat is None:
        return {}
    states: dict[int, StageState] = {stage: state for stage, state in seat.states.items() if batches in state.snapshots}
    stages = {stage: state.snapshots[batches] for stage, state in states.items()}
    kept_of(dask_worker)[run] = Kept(batches, stages, seat.log)
    return {stage: (found.updates, frozenset([*found.weights, *found.buffers])) for stage, found in stages.items()}


async def give(
    run: str, batches: int, stage: int, names: Sequence[str], dask_worker: Any = None
) -> dict[str, tuple[Any, Any]] | None:
    """Return tensors of a stage at a commit, with what the optimizer keeps for them; None if it is not kept.

    Parameters
    ----------
    names : sequence of str

    Returns
    -------
    dict of str to (tensor, state), or None
        As arrays of bytes, which Dask sends as they stand in memory.
    """
    found = kept_of(dask_worker).get(run)
    if found is None or found.batches != batches or stage not in found.stages:
        return None
    snapshot = found.stages[stage]
    tensors = {**snapshot.weights, **snapshot.first}
    parts = {name: (tensors[name], snapshot.optimizer.get(name)) for name in names}
    return await asyncio.to_thread(pytree.tree_map, packed, parts)


# on a worker, for a rank that begins


def gather(
    run: str,
    batches: int,
    wanted: Mapping[str, torch.Tensor],
    origins: Iterable[Origin],
    dask_worker: Any,
    stopped: Callable[[], bool],
    taken: Taken | None = None,
) -> Taken:
    """Return tensors at a commit: those that this worker keeps itself, and the others from those that do.

    Parameters
    ----------
    wanted : mapping of str to Tensor
        Name -> a tensor of that shape.
    origins : iterable of Origin
    stopped : callable
        Whether to leave.
    taken : Taken, optional
        What is here already.

    Raises
    ------
    PeerError
        If nobody has them (any more).
    Interrupted
    """
    taken, own = Taken() if taken is None else taken, kept_of(dask_worker).get(run)
    for origin in origins:
        names = [name for name in wanted if name in origin.names and name not in taken.tensors]
        if not names:
            continue
        if own is not None and own.batches == batches and origin.stage in own.stages:
            snapshot = own.stages[origin.stage]
            tensors = {**snapshot.weights, **snapshot.first}
            for name in names:
                taken.tensors[name] = tensors[name].detach()
                if name in snapshot.optimizer:
                    taken.state[name] = dict(snapshot.optimizer[name])
            continue
        for piece in pieces(names, wanted):
            for name, (tensor, state) in _asked(run, batches, origin, piece, dask_worker, stopped).items():
                taken.tensors[name] = unpacked(tensor)
                if state is not None:
                    taken.state[name] = pytree.tree_map(unpacked, state, is_leaf=lambda leaf: isinstance(leaf, Raw))
    missing = [name for name in wanted if name not in taken.tensors]
    if missing:
        raise PeerError(-1, f"nobody has {missing[0]}")
    return taken


def filled(setup: Setup, taken: Taken) -> Setup:
    """Return a setup with the weights, the buffers and the optimizer's state that were taken."""

    def full(part: Part) -> Part:
        tree = part.spec.tree
        known: dict[int, Any] = {
            id(parameter): nn.Parameter(taken.tensors[name], parameter.requires_grad)
            for name, parameter in tree.named_parameters()
        }
        # buffers are written to where they are
        known |= {id(buffer): taken.tensors[name].clone() for name, buffer in tree.named_buffers()}
        return dataclasses.replace(part, spec=dataclasses.replace(part.spec, tree=copy.deepcopy(tree, known)))

    return dataclasses.replace(
        setup, parts=tuple(map(full, setup.parts)), copies=tuple(map(full, setup.copies)),
        recipe=dataclasses.replace(setup.recipe, state=taken.state), origins=(),
    )  # fmt: skip


def fetched(found: Kept | None, batches: int) -> dict[int, tuple[Any, Any, Any]]:
    """Return what is kept of a commit: weights, buffers and optimizer state of each stage."""
    if found is None or found.batches != batches:
        return {}
    return {stage: (state.weights, state.first, state.optimizer) for stage, state in found.stages.items()}


# below: how it is asked for


def _asked(
    run: str, batches: int, origin: Origin, names: Sequence[str], worker: Any, stopped: Callable[[], bool]
) -> dict[str, tuple[Any, Any]]:
    """Return what the first worker that answers has."""
    why = "nobody keeps it"
    for number in range(ROUNDS):
        for address in origin.addresses:
            try:
                found = ask(worker, address, give, (run, batches, origin.stage, list(names)), stopped)
            except OSError as error:  # it has gone, or is silent
                why = f"{address}: {error}"
                continue
            if found is not None:
                answer: dict[str, tuple[Any, Any]] = found
                return answer
        until = time.monotonic() + NAP
        if number + 1 < ROUNDS:
            poll(lambda until=until: time.monotonic() >= until, stopped)  # type: ignore[misc]
    raise PeerError(-1, f"stage {origin.stage} is not to be had: {why}")


def ask(
    worker: Any, address: str, function: Callable[..., Any], arguments: tuple[Any, ...], stopped: Callable[[], bool]
) -> Any:
    """Call a function on another worker, as a client's `run` does, without a client between.

    Raises
    ------
    OSError
        If it has gone, or does not answer.
    Interrupted
    """
    from distributed.core import clean_exception, send_recv
    from distributed.protocol.pickle import dumps

    async def called() -> Any:
        # Dask would try for half a minute to reach one that has gone.
        comm = await worker.rpc.connect(address, timeout=CONNECT)
        try:
            message = {"op": "run", "function": dumps(function), "args": dumps(arguments), "kwargs": dumps({})}
            return await asyncio.wait_for(send_recv(comm, **message), PATIENCE)
        finally:
            worker.rpc.reuse(address, comm)

    future = asyncio.run_coroutine_threadsafe(called(), worker.loop.asyncio_loop)
    try:
        poll(future.done, stopped)
    finally:
        future.cancel()
    try:
        answer = future.result()
    except (RuntimeError, futures.CancelledError) as error:  # this worker is closing itself
        raise ConnectionError(str(error) or "closed") from error
    if answer["status"] != "OK":
        raise OSError(str(clean_exception(**answer)[1]))
    return answer["result"]


def pieces(names: Sequence[str], wanted: Mapping[str, torch.Tensor]) -> list[list[str]]:
    """Return the names in lists of which each is answered at once."""
    lists: list[list[str]] = [[]]
    room = PIECE
    for name in names:
        size = wanted[name].numel() * wanted[name].element_size()
        if lists[-1] and size > room:
            lists.append([])
            room = PIECE
        lists[-1].append(name)
        room -= size
    return lists


@dataclass(frozen=True)
class Raw:
    """A tensor as an array of bytes, whatever its type is."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    data: Any


def packed(value: Any) -> Any:
    """Return a tensor as bytes, as it is sent; anything else as it is."""
    if not isinstance(value, torch.Tensor):
        return value
    whole = value.detach().cpu().contiguous().reshape(-1)
    return Raw(value.dtype, tuple(value.shape), whole.view(torch.uint8).numpy())


def unpacked(value: Any) -> Any:
    """Return the tensor of bytes that came; anything else as it is."""
    if not isinstance(value, Raw):
        return value
    # In memory of torch's own: products may come out otherwise where a tensor stands at another alignment.
    own = torch.empty(value.data.size, dtype=torch.uint8)
    own.numpy()[:] = value.data
    return own.view(value.dtype).reshape(value.shape)
