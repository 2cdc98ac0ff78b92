"""Stages that are copied to a newcomer while training goes on, so that little is left for when it stands.

A newcomer takes weights and what the optimizer keeps of them piece by piece, each as it is at the newest commit, and
from then on the gradients of every update, from which its own optimizer makes what the stage's made of them, bit by
bit. At the commit at which it joins, it lacks the last gradients alone. Whatever goes wrong meanwhile, what it does not
have then goes the way of all that others have: `handing`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from workbench.training import handing
from workbench.training.transport import Interrupted, PeerError, poll
from workbench.training.worker import kept_of, seat_of

if TYPE_CHECKING:
    from workbench.training.handing import Origin
    from workbench.training.state import StageState
    from workbench.training.worker import Setup

__all__ = [
    "FEW",
    "MANY",
    "ROOM",
    "Log",
    "Shadow",
    "begin",
    "end",
    "follow",
    "gradients",
    "piece",
    "progress",
    "taken",
    "unfollow",
]

#: updates whose gradients a worker keeps for those who copy a stage, at least and at most; who is later copies anew
FEW, MANY = 2, 8
#: bytes that they take, where these allow for it
ROOM = 2**28
#: how often a part is copied anew for that, before it is left for when training stands
TRIES = 3
NAP = 0.02  # seconds between looks for what is new
LATE = 5.0  # seconds that who has everything may take to come up to the others, who may be faster
_SHADOW = "_workbench_shadow"


@dataclass
class Log:
    """Gradients of the newest updates of a rank's stages, for those who copy them.

    Parameters
    ----------
    token : str
        Of the attempt that it is for.
    """

    token: str
    lock: threading.Lock = field(default_factory=threading.Lock)
    #: stage -> batch -> name of a parameter -> summed gradient
    entries: dict[int, dict[int, dict[str, torch.Tensor]]] = field(default_factory=lambda: defaultdict(dict))

    def note(self, batch: int, state: StageState) -> None:
        """Keep what a stage's update is made from."""
        if state.copy:
            return
        with self.lock:
            kept = self.entries[state.spec.index]
            if batch in kept:
                # Replayed after a loss: where fewer replicas add up, the last bits may be others, and nobody shall have
                # both.
                self.token = ""
            kept[batch] = dict(state.summed())
            size = sum(gradient.nbytes for gradient in kept[batch].values())
            for old in [each for each in kept if each <= batch - max(FEW, min(MANY, ROOM // max(size, 1)))]:
                del kept[old]

    def since(self, stage: int, batch: int) -> dict[int, dict[str, torch.Tensor]] | None:
        """Return the gradients from a batch on; None if some of them are not there (any more)."""
        with self.lock:
            kept = {each: found for each, found in self.entries[stage].items() if each >= batch}
            first = min(self.entries[stage], default=None)
        if first is None or first > batch:
            return None
        return dict(sorted(kept.items()))


# on workers that train, called through `Client.run`, or by a newcomer


def follow(run: str, token: str, dask_worker: Any = None) -> dict[int, frozenset[str]]:
    """Have a rank keep gradients from now on; return the stages that it runs, and the names of their parameters."""
    seat = seat_of(run, dask_worker)
    if seat is None:
        return {}
    seat.log = Log(token)
    return {stage: frozenset(state.parameters) for stage, state in seat.states.items() if not state.copy}


def unfollow(run: str, token: str, dask_worker: Any = None) -> None:
    """Have a rank keep no gradients any more, for that attempt."""
    seat = seat_of(run, dask_worker)
    if seat is not None and seat.log is not None and seat.log.token in ("", token):
        seat.log = None


async def piece(
    run: str, token: str, stage: int, names: Sequence[str], dask_worker: Any = None
) -> tuple[int, dict[str, tuple[Any, Any]]] | str:
    """Return parameters at the newest commit, and that; or that it is to be asked later, or has no use."""
    seat = seat_of(run, dask_worker)
    if seat is None or seat.log is None or seat.log.token != token or stage not in seat.states:
        return "gone"
    snapshots = dict(seat.states[stage].snapshots)
    newest = max(snapshots)
    if seat.log.since(stage, newest) is None:
        return "later"  # of the update after this commit nothing is kept: of that after the next one it will be
    found = snapshots[newest]
    parts = {name: (found.weights[name], found.optimizer.get(name)) for name in names}
    return newest, await asyncio.to_thread(pytree.tree_map, handing.packed, parts)


async def gradients(
    run: str, token: str, stage: int, names: Sequence[str], batch: int, dask_worker: Any = None
) -> dict[int, dict[str, Any]] | None:
    """Return the gradients of committed updates from a batch on, as many as fit; None if they are not there."""
    seat, kept = seat_of(run, dask_worker), kept_of(dask_worker).get(run)
    if seat is not None and seat.log is not None and stage in seat.states:
        log, newest = seat.log, max(seat.states[stage].snapshots)
    elif kept is not None and kept.log is not None:
        log, newest = kept.log, kept.batches
    else:
        return None
    if log.token != token:
        return None
    found = {} if batch >= newest else log.since(stage, batch)
    if found is None:
        return None
    wanted, sent, size = frozenset(names), dict[int, dict[str, torch.Tensor]](), 0
    for each, parts in found.items():
        if each >= newest or size >= handing.PIECE:
            break
        sent[each] = {name: part for name, part in parts.items() if name in wanted}
        size += sum(part.nbytes for part in sent[each].values())
    return await asyncio.to_thread(pytree.tree_map, handing.packed, sent)


# on a newcomer


def begin(run: str, token: str, made: bytes, origins: tuple[Origin, ...], dask_worker: Any = None) -> None:
    """Copy what a rank will need, beside the training of others."""
    import pickle

    end(run, "", dask_worker)
    shadow = Shadow(run, token, pickle.loads(made), origins, dask_worker)
    _shadows(dask_worker)[run] = shadow
    shadow.start()


def progress(run: str, token: str, dask_worker: Any = None) -> tuple[bool, int]:
    """Return whether all that can be had is here but for the last gradients, and the bytes that have come."""
    shadow = _shadows(dask_worker).get(run)
    return (True, 0) if shadow is None else (shadow.ready or not shadow.is_alive(), shadow.bytes)


def end(run: str, token: str, dask_worker: Any = None) -> None:
    """Have what was copied forgotten; with a token, if it is of that attempt."""
    shadow = _shadows(dask_worker).get(run)
    if shadow is not None and token in ("", shadow.token):
        shadow.over.set()
        del _shadows(dask_worker)[run]


def taken(run: str, batches: int, worker: Any, stopped: Callable[[], bool]) -> handing.Taken:
    """Return what was copied, at a commit at which all stand; what could not be brought there is left out.

    Raises
    ------
    Interrupted
    """
    shadow = _shadows(worker).pop(run, None)
    return handing.Taken() if shadow is None else shadow.finish(batches, stopped)


@dataclass
class _Piece:
    """Parameters that were copied at once, and their part of the optimizer.

    Parameters
    ----------
    origin : Origin
    names : list of str
    """

    origin: Origin
    names: list[str]
    tries: int = 0
    #: the commit that it is at; None: not copied
    at: int | None = None
    parameters: dict[str, nn.Parameter] = field(default_factory=dict)
    optimizer: Any = None

    def take(self, at: int, parts: dict[str, tuple[Any, Any]], setup: Setup, wanted: dict[str, torch.Tensor]) -> None:
        """Begin with parameters at a commit."""
        found = pytree.tree_map(handing.unpacked, parts, is_leaf=lambda leaf: isinstance(leaf, handing.Raw))
        self.parameters = {
            name: nn.Parameter(tensor, wanted[name].requires_grad) for name, (tensor, _) in found.items()
        }
        recipe = setup.recipe.only(self.names)
        recipe.state.update({name: state for name, (_, state) in found.items() if state is not None})
        self.optimizer, self.at = recipe.make(self.parameters), at

    def update(self, batch: int, found: dict[str, Any]) -> None:
        """Make the update of a batch."""
        known = {name: handing.unpacked(found[name]) for name in self.names if name in found}
        if known:
            for name, parameter in self.parameters.items():
                parameter.grad = known.get(name)
            self.optimizer.step()
            for parameter in self.parameters.values():
                parameter.grad = None
        self.at = batch + 1


class Shadow(threading.Thread):
    """Copies what a rank will need, while others train.

    Parameters
    ----------
    run, token : str
    setup : Setup
        What the rank will be given; without weights.
    origins : tuple of Origin
        Who runs which stage.
    worker : object
        The Dask worker.
    """

    def __init__(self, run: str, token: str, setup: Setup, origins: tuple[Origin, ...], worker: Any) -> None:
        super().__init__(name="workbench-training-shadow", daemon=True)
        self._run, self.token, self._setup, self._worker = run, token, setup, worker
        self.over = threading.Event()
        #: whether all is here but for the last gradients; bytes that have come
        self.ready, self.bytes = False, 0
        parts = [*setup.parts, *setup.copies]
        self._wanted = {name: each for part in parts for name, each in part.spec.tree.named_parameters()}
        self._pieces = [
            _Piece(origin, names)
            for origin in origins
            for names in handing.pieces([name for name in self._wanted if name in origin.names], self._wanted)
            if names
        ]

    def run(self) -> None:
        """Copy, and follow the updates, until the rank joins or there is no use in it."""
        threads, since = torch.get_num_threads(), None
        torch.set_num_threads(self._setup.threads)  # numbers come out the same only with as many
        try:
            while not self.over.is_set():
                copied, behind = self._copy(self.over.is_set), self._follow(self.over.is_set)
                whole = all(each.at is not None or each.tries >= TRIES for each in self._pieces)
                since = time.monotonic() if since is None and whole else since
                self.ready = whole and (behind <= 1 or (since is not None and time.monotonic() - since > LATE))
                if not copied and not behind:
                    self.over.wait(NAP)
        except (OSError, PeerError, Interrupted):
            return  # what there is may still be of use
        finally:
            torch.set_num_threads(threads)

    def finish(self, batches: int, stopped: Callable[[], bool]) -> handing.Taken:
        """Return what is here as it is at a commit."""
        self.over.set()
        poll(lambda: not self.is_alive(), stopped)
        found = handing.Taken()
        # Once more of all: whether what was copied still counts.
        while self._follow(stopped, last=True):
            pass
        for each in self._pieces:
            if each.at == batches:
                state = each.optimizer.state
                found.tensors |= {name: parameter.detach() for name, parameter in each.parameters.items()}
                found.state |= {name: dict(state[own]) for name, own in each.parameters.items() if own in state}
        return found

    # below: asking

    def _copy(self, stopped: Callable[[], bool]) -> bool:
        """Copy one piece, if there is one that can be had; return whether one came."""
        for each in self._pieces:
            if each.at is None and each.tries < TRIES:
                answer = self._ask(each.origin, piece, each.names, stopped)
                if answer == "gone":
                    raise ConnectionError("it is not to be had there")
                if answer != "later":
                    at, parts = answer
                    each.take(at, parts, self._setup, self._wanted)
                    self.bytes += _size(parts)
                    return True
        return False

    def _follow(self, stopped: Callable[[], bool], *, last: bool = False) -> int:
        """Make the updates that there are of what was copied; return how many came of any piece."""
        groups: dict[tuple[int, int], list[_Piece]] = defaultdict(list)
        for each in self._pieces:
            if each.at is not None:
                groups[each.origin.stage, each.at].append(each)
        most = 0
        for (_, at), pieces in groups.items():
            names = [name for each in pieces for name in each.names]
            try:
                found = self._ask(pieces[0].origin, gradients, names, stopped, at)
            except OSError:
                if not last:
                    raise
                found = None
            if found is None:  # too late: copied anew, or left out
                for each in pieces:
                    each.at, each.tries = None, each.tries + 1
                continue
            self.bytes += _size(found)
            most = max(most, len(found))
            for batch in sorted(found):
                for each in pieces:
                    each.update(batch, found[batch])
        return most

    def _ask(self, origin: Origin, function: Any, names: list[str], stopped: Callable[[], bool], *more: int) -> Any:
        arguments = (self._run, self.token, origin.stage, names, *more)
        return handing.ask(self._worker, origin.addresses[0], function, arguments, stopped)


def _size(value: Any) -> int:
    leaves = pytree.tree_leaves(value, is_leaf=lambda leaf: isinstance(leaf, handing.Raw))
    return sum(leaf.data.nbytes for leaf in leaves if isinstance(leaf, handing.Raw))


def _shadows(worker: Any) -> dict[str, Shadow]:
    found: dict[str, Shadow] = worker.__dict__.setdefault(_SHADOW, {})
    return found
