"""A run's place on a Dask worker, and what the driver calls there.

The state is kept on the Worker object, so that it outlives a generation, and so that calls from the driver find it
while the task is busy. Tensors go by gloo; commands and reports go by Dask; the store serves rendezvous alone.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.engine.errors import one_line

if TYPE_CHECKING:
    from workbench.training.data import Source
    from workbench.training.handing import Kept, Origin
    from workbench.training.job import Job
    from workbench.training.op import Op
    from workbench.training.optimizers import Recipe
    from workbench.training.runner import Runner
    from workbench.training.shadow import Log
    from workbench.training.stage import StageSpec
    from workbench.training.state import StageState

__all__ = [
    "TOPIC", "Go", "Join", "Part", "Seat", "Setup", "clock", "command", "cut_off", "doing", "fetch", "forget", "hold",
    "install", "interrupt", "kept_of", "leave", "pid", "save", "seat_of", "serve", "settle", "well",
]  # fmt: skip

#: topic of all reports
TOPIC = "workbench-training"
#: seconds after a notice in which the run may take its stage elsewhere
GRACE = 20.0

_ATTRIBUTE, _KEPT = "_workbench_training", "_workbench_kept"
_BEFORE, _ENDING, _CUT, _AT_WORK = "_workbench_before", "_workbench_ending", "_workbench_cut", "_workbench_at_work"
#: calls of a stack that are told, from the innermost one on
CALLS = 8


@dataclass(frozen=True)
class Part:
    """A stage that a rank runs, or keeps a copy of."""

    spec: StageSpec
    replica: int
    replicas: int
    scale: float
    updates: int = 0


@dataclass(frozen=True)
class Setup:
    """What a rank is given once.

    `threads` are those of the user's process: sums come out the same only with as many. `batches` are those committed
    before. `copies` are stages that other ranks run. Who `heeds` notices keeps working after a SIGTERM until its stage
    is elsewhere. With `origins` its stages come without weights, and these are to be had there.
    """

    rank: int
    job: Job
    parts: tuple[Part, ...]
    recipe: Recipe
    source: Source
    threads: int
    device: str | None = None
    batches: int = 0
    copies: tuple[Part, ...] = ()
    heeds: bool = False
    origins: tuple[Origin, ...] = ()


@dataclass(frozen=True)
class Join:
    """Begin a generation: find the others, go back to a commit.

    Parameters
    ----------
    generation : int
    ranks : dict of int to tuple of int
        Those that take part, and the stages that each of them runs.
    host, port : str, int
        Of the store.
    groups : dict of int to list of int
        Ranks that take part in the reduce of a stage.
    batches : int
        The commit to begin from.
    rate : float or None
        Bytes per second of the emulated link.
    half : bool
        Whether float32 travels as float16.
    gone : frozenset of str
        Addresses of workers that are lost: nobody asks them for anything.
    """

    generation: int
    ranks: dict[int, tuple[int, ...]]
    host: str
    port: int
    groups: dict[int, list[int]]
    batches: int
    rate: float | None = None
    half: bool = False
    gone: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Go:
    """Run spans: `(first batch, batches)` each, and the program for each number of batches."""

    generation: int
    spans: tuple[tuple[int, int], ...]
    programs: dict[int, list[Op]]


@dataclass
class Seat:
    """The place of a run on a worker."""

    run: str
    setup: Setup
    #: the Dask worker
    worker: Any = None
    inbox: queue.Queue[Any] = field(default_factory=queue.Queue)
    lock: threading.Lock = field(default_factory=threading.Lock)
    left: bool = False
    #: drops all traffic, as if its network were gone
    cut: bool = False
    #: newest generation that is to end at the next operation
    halted: int = -1
    #: batches that are begun, and up to which they may be; whether what is beyond is given up, or waits
    begun: int = 0
    limit: int | None = None
    settled: bool = False
    states: dict[int, StageState] = field(default_factory=dict)
    runner: Runner | None = None
    generation: int = -1
    #: the thread that works
    thread: int = 0
    #: commit -> where its stages are to be written
    saves: dict[int, Save] = field(default_factory=dict)
    #: gradients for those who copy its stages meanwhile
    log: Log | None = None

    def stopped(self) -> bool:
        """Whether to leave at the next operation."""
        while self.cut and not self.left:
            time.sleep(0.01)
        return self.left or self.halted >= self.generation

    def may_begin(self, batches: int) -> bool | None:
        """Whether the batches up to a number may be begun; None: not yet."""
        with self.lock:
            if self.limit is not None and batches > self.limit:
                return False if self.settled else None
            self.begun = batches
            return True


@dataclass(frozen=True)
class Save:
    """A checkpoint that a rank writes some of its stages for."""

    folder: str
    stages: tuple[int, ...]
    tell: Callable[[dict[str, Any]], object]


# called by the driver through `Client.run`, on the worker's event loop: they must not wait


def install(run: str, setup: bytes, dask_worker: Any = None) -> None:
    """Put a rank's setup on its worker."""
    # Here, as the task and the calls would import them at once, each waiting for the other's half.
    from workbench.training import rank, runner, state, transport  # noqa: F401

    seats = _seats(dask_worker)
    seats[run] = Seat(run, pickle.loads(setup), dask_worker)
    if seats[run].setup.heeds:
        _heed(dask_worker)


def pid(run: str) -> int:
    """Return the worker's process."""
    return os.getpid()


def clock(run: str) -> float:
    """Return the worker's Unix time."""
    return time.time()


def command(run: str, messages: dict[int, bytes], dask_worker: Any = None) -> None:
    """Give a rank its commands."""
    seat = _seats(dask_worker)[run]
    for order in pickle.loads(messages[seat.setup.rank]):
        if isinstance(order, Go):
            with seat.lock:
                seat.begun, seat.limit, seat.settled = order.spans[0][0] if order.spans else 0, None, False
        seat.inbox.put(order)


def interrupt(run: str, generation: int, dask_worker: Any = None) -> None:
    """End what a rank is doing in a generation at its next operation."""
    seat = _seats(dask_worker).get(run)
    if seat is not None:
        seat.halted = max(seat.halted, generation)


def hold(run: str, dask_worker: Any = None) -> int:
    """Have a rank begin no other span, and return the batches that it has begun."""
    seat = _seats(dask_worker)[run]
    with seat.lock:
        seat.limit, seat.settled = seat.begun, False
        return seat.begun


def settle(run: str, batches: int, dask_worker: Any = None) -> None:
    """Have a rank go on up to a commit, and pause there."""
    seat = _seats(dask_worker)[run]
    with seat.lock:
        seat.limit, seat.settled = batches, True


def cut_off(run: str, dask_worker: Any = None) -> None:
    """Drop all that a rank sends and receives, as if its network were gone."""
    seat = _seats(dask_worker).get(run)
    if seat is not None:
        seat.cut = True
        setattr(dask_worker, _CUT, run)


def doing(run: str, dask_worker: Any = None) -> tuple[str, int, float, str] | None:
    """Return the operation that a rank is at, its stage, since how many seconds, and the thread's calls."""
    seat = _seats(dask_worker).get(run)
    found = None if seat is None or seat.runner is None else seat.runner.doing
    if seat is None or found is None:
        return None
    op, since = found
    frame = sys._current_frames().get(seat.thread)
    calls = [] if frame is None else traceback.extract_stack(frame)[-CALLS:]
    told = " > ".join(f"{call.name} ({os.path.basename(call.filename)}:{call.lineno})" for call in calls)
    return op.kind, op.stage, time.monotonic() - since, told


def well(run: str, dask_worker: Any = None) -> bool | None:
    """Whether a worker that a run gave up can be used again: it was late, and neither cut off nor told to go.

    None: not yet, as what it was told to leave still holds it up.
    """
    if run not in _seats(dask_worker) and run in getattr(dask_worker, _AT_WORK, ()):
        return None
    return getattr(dask_worker, _CUT, None) != run and getattr(dask_worker, _ENDING, None) is None


def fetch(run: str, batches: int, stages: Sequence[int], dask_worker: Any = None) -> bytes | None:
    """Return the weights, buffers and optimizer state of stages at a commit, pickled; None if it is not kept."""
    seat = _seats(dask_worker).get(run)
    if seat is None:
        return None
    if not seat.states:  # it has not yet what it is to begin with: then what it had before
        from workbench.training import handing

        had = handing.fetched(kept_of(dask_worker).get(run), batches)
        return pickle.dumps(had, protocol=5) if had else None
    states = [seat.states[stage] for stage in stages if stage in seat.states]
    if len(states) < len(stages) or not all(batches in state.snapshots for state in states):
        return None
    found = {}
    for state in states:
        kept = state.snapshots[batches]
        weights = {name: tensor.detach().cpu() for name, tensor in kept.weights.items()}
        buffers = {name: tensor.cpu() for name, tensor in kept.first.items()}
        found[state.spec.index] = (weights, buffers, kept.optimizer)
    return pickle.dumps(found, protocol=5)


def save(run: str, batches: int, folder: str, stages: dict[int, tuple[int, ...]], dask_worker: Any = None) -> bool:
    """Have a rank write stages as they are at a commit; False if it has passed it."""
    seat = _seats(dask_worker).get(run)
    if seat is None:
        return False
    seat.saves[batches] = Save(
        folder, stages[seat.setup.rank], lambda message: dask_worker.log_event(TOPIC, {**signed(seat), **message})
    )
    if save_due(seat, batches):
        return True
    # Either the commit is still to come, and finds the order; or it is over, and may have found it.
    return batches > newest(seat) or seat.saves.pop(batches, None) is None


def leave(run: str, dask_worker: Any = None) -> None:
    """Let the task end, and forget the run."""
    seat = _seats(dask_worker).pop(run, None)
    if seat is not None:
        seat.left = True
        seat.inbox.put(None)
    _rest(dask_worker)


def forget(run: str, dask_worker: Any = None) -> None:
    """Forget what was kept of a run for those who go on with it."""
    kept_of(dask_worker).pop(run, None)
    _rest(dask_worker)


def kept_of(worker: Any) -> dict[str, Kept]:
    """Return what a worker keeps of runs for those who go on with them."""
    found: dict[str, Kept] = worker.__dict__.setdefault(_KEPT, {})
    return found


def seat_of(run: str, worker: Any) -> Seat | None:
    """Return the place of a run on a worker."""
    return _seats(worker).get(run)


def _seats(worker: Any) -> dict[str, Seat]:
    found: dict[str, Seat] | None = getattr(worker, _ATTRIBUTE, None)
    if found is None:
        found = {}
        setattr(worker, _ATTRIBUTE, found)
    return found


def signed(seat: Seat) -> dict[str, Any]:
    """Return what every message of a rank begins with."""
    return {"run": seat.run, "rank": seat.setup.rank, "generation": seat.generation}


def newest(seat: Seat) -> int:
    """Return the newest commit of a rank."""
    return min((max(state.snapshots, default=0) for state in list(seat.states.values())), default=0)


def save_due(seat: Seat, batches: int) -> bool:
    """Write what is to be written for a commit, beside the training, whose tensors of a commit nobody changes."""
    order = seat.saves.get(batches)
    if order is None:
        return False
    kept = {stage: seat.states[stage].snapshots.get(batches) for stage in order.stages if stage in seat.states}
    if len(kept) < len(order.stages) or None in kept.values() or seat.saves.pop(batches, None) is None:
        return False
    threading.Thread(target=_write, args=(order, batches, kept), name="workbench-training-save", daemon=True).start()
    return True


def _write(order: Save, batches: int, kept: dict[int, Any]) -> None:
    from workbench.training import checkpoint

    for stage, state in kept.items():
        told: dict[str, Any] = {"batches": batches, "folder": order.folder, "stage": stage}
        try:
            shard = checkpoint.write(
                order.folder, stage, checkpoint.contents(state.weights, state.first, state.optimizer)
            )
        except Exception as error:  # whatever a disk does, training goes on
            order.tell({"kind": "unsaved", **told, "error": one_line(error)})
        else:
            order.tell({"kind": "saved", **told, "shard": pickle.dumps(shard, protocol=5)})


# the task


def serve(run: str) -> None:
    """Work for a run until it is over: the one task of a rank."""
    import distributed

    from workbench.training.blocks import kept_blocks
    from workbench.training.rank import Rank

    worker = distributed.get_worker()
    distributed.secede()  # the worker has one thread: others may use it, and calls get in
    seat = _seats(worker).get(run)
    if seat is None:  # the run was over before the task began
        return
    at_work: list[str] = worker.__dict__.setdefault(_AT_WORK, [])
    at_work.append(run)
    try:
        with kept_blocks():
            Rank(seat, lambda message: worker.log_event(TOPIC, message)).run()
    finally:
        at_work.remove(run)


# notices


def _heed(worker: Any) -> None:
    """Tell the run of a SIGTERM, instead of ending at once."""
    if threading.current_thread() is not threading.main_thread() or getattr(worker, _BEFORE, None) is not None:
        return
    setattr(worker, _BEFORE, signal.signal(signal.SIGTERM, lambda *_: _noticed(worker)))


def _noticed(worker: Any) -> None:
    def tell() -> None:
        for seat in list(_seats(worker).values()):
            worker.log_event(TOPIC, {**signed(seat), "kind": "notice"})

    if getattr(worker, _ENDING, None) is None:
        worker.loop.asyncio_loop.call_soon_threadsafe(tell)
        timer = threading.Timer(GRACE, _end, (worker,))
        timer.daemon = True
        timer.start()
        setattr(worker, _ENDING, timer)


def _end(worker: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _rest(worker: Any) -> None:
    """Heed no notices where there is nothing that anybody may need."""
    if not _seats(worker) and not kept_of(worker):
        _heed_no_more(worker)


def _heed_no_more(worker: Any) -> None:
    before = getattr(worker, _BEFORE, None)
    if before is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)
        setattr(worker, _BEFORE, None)
    timer = getattr(worker, _ENDING, None)
    if timer is not None:
        timer.cancel()
        os.kill(os.getpid(), signal.SIGTERM)  # now as it was meant
