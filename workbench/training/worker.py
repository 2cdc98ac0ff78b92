"""A rank at work on a Dask worker: one long task that waits for commands, runs its programs, and reports.

The state is kept on the Worker object, so that it outlives a generation, and so that calls from the driver find it
while the task is busy. Tensors go by gloo; commands and reports go by Dask; the store serves rendezvous alone.
"""

from __future__ import annotations

import datetime
import pickle
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.engine.errors import one_line

if TYPE_CHECKING:
    from torch import distributed

    from workbench.training.data import Source
    from workbench.training.job import Job, Report
    from workbench.training.op import Op
    from workbench.training.optimizers import Recipe
    from workbench.training.runner import Runner
    from workbench.training.stage import StageSpec
    from workbench.training.state import StageState

__all__ = [
    "TOPIC", "Go", "Join", "Part", "Seat", "Setup", "clock", "command", "fetch", "install", "interrupt", "leave",
    "save", "serve",
]  # fmt: skip

#: topic of all reports
TOPIC = "workbench-training"
#: seconds that ranks may take to find each other
RENDEZVOUS = 30.0
#: seconds between two signs of life in the store
HEARTBEAT = 1.0
#: seconds that the end of a generation may take before it is left to itself
GOODBYE = 5.0

_ATTRIBUTE = "_workbench_training"


@dataclass(frozen=True)
class Part:
    """A stage that a rank runs."""

    spec: StageSpec
    replica: int
    replicas: int
    scale: float
    updates: int = 0


@dataclass(frozen=True)
class Setup:
    """What a rank is given once.

    `threads` are those of the user's process: sums come out the same only with as many. `batches` are those committed
    before.
    """

    rank: int
    job: Job
    parts: tuple[Part, ...]
    recipe: Recipe
    source: Source
    threads: int
    device: str | None = None
    batches: int = 0


@dataclass(frozen=True)
class Join:
    """Begin a generation: find the others, go back to a commit.

    Parameters
    ----------
    generation, ranks : int
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
    """

    generation: int
    ranks: int
    host: str
    port: int
    groups: dict[int, list[int]]
    batches: int
    rate: float | None = None
    half: bool = False


@dataclass(frozen=True)
class Go:
    """Run spans: `(first batch, batches)` each, and the program for each number of batches."""

    spans: tuple[tuple[int, int], ...]
    programs: dict[int, list[Op]]


@dataclass
class Seat:
    """The place of a run on a worker."""

    run: str
    setup: Setup
    inbox: queue.Queue[Any] = field(default_factory=queue.Queue)
    stop: bool = False
    states: dict[int, StageState] = field(default_factory=dict)
    runner: Runner | None = None
    generation: int = -1
    #: commit -> where its stages are to be written
    saves: dict[int, Save] = field(default_factory=dict)


@dataclass(frozen=True)
class Save:
    """A checkpoint that a rank writes some of its stages for."""

    folder: str
    stages: tuple[int, ...]
    tell: Callable[[dict[str, Any]], object]


# called by the driver through `Client.run`, on the worker's event loop: they must not wait


def install(run: str, setup: bytes, dask_worker: Any = None) -> None:
    """Put a rank's setup on its worker."""
    seats = _seats(dask_worker)
    seats[run] = Seat(run, pickle.loads(setup))


def clock(run: str) -> float:
    """Return the worker's Unix time."""
    return time.time()


def command(run: str, messages: dict[int, bytes], dask_worker: Any = None) -> None:
    """Give a rank its command."""
    seat = _seats(dask_worker)[run]
    seat.inbox.put(pickle.loads(messages[seat.setup.rank]))


def interrupt(run: str, dask_worker: Any = None) -> None:
    """End what a rank is doing at its next operation."""
    seat = _seats(dask_worker).get(run)
    if seat is not None:
        seat.stop = True


def fetch(run: str, batches: int, dask_worker: Any = None) -> bytes | None:
    """Return the weights, buffers and optimizer state of a commit, pickled; None if it is not kept."""
    seat = _seats(dask_worker).get(run)
    if seat is None or not all(batches in state.snapshots for state in seat.states.values()):
        return None
    found = {}
    for state in list(seat.states.values()):
        kept = state.snapshots[batches]
        weights = {name: tensor.detach().cpu() for name, tensor in kept.weights.items()}
        buffers = {name: tensor.cpu() for name, tensor in kept.buffers.items()}
        found[state.spec.index] = (weights, buffers, kept.optimizer)
    return pickle.dumps(found, protocol=5)


def save(run: str, batches: int, folder: str, stages: dict[int, tuple[int, ...]], dask_worker: Any = None) -> bool:
    """Have a rank write stages as they are at a commit; False if it has passed it."""
    seat = _seats(dask_worker).get(run)
    if seat is None:
        return False
    seat.saves[batches] = Save(
        folder, stages[seat.setup.rank], lambda message: dask_worker.log_event(TOPIC, {**_signed(seat), **message})
    )
    if _save(seat, batches):
        return True
    # Either the commit is still to come, and finds the order; or it is over, and may have found it.
    return batches > _newest(seat) or seat.saves.pop(batches, None) is None


def leave(run: str, dask_worker: Any = None) -> None:
    """Let the task end, and forget the run."""
    seat = _seats(dask_worker).pop(run, None)
    if seat is not None:
        seat.stop = True
        seat.inbox.put(None)


def _seats(worker: Any) -> dict[str, Seat]:
    found: dict[str, Seat] | None = getattr(worker, _ATTRIBUTE, None)
    if found is None:
        found = {}
        setattr(worker, _ATTRIBUTE, found)
    return found


def _signed(seat: Seat) -> dict[str, Any]:
    return {"run": seat.run, "rank": seat.setup.rank, "generation": seat.generation}


def _newest(seat: Seat) -> int:
    return min((max(state.snapshots, default=0) for state in list(seat.states.values())), default=0)


def _save(seat: Seat, batches: int) -> bool:
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
                order.folder, stage, checkpoint.contents(state.weights, state.buffers, state.optimizer)
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

    worker = distributed.get_worker()
    distributed.secede()  # the worker has one thread: others may use it, and calls get in
    seat = _seats(worker).get(run)
    if seat is None:  # the run was over before the task began
        return
    with kept_blocks():
        _Rank(seat, lambda message: worker.log_event(TOPIC, message)).run()


class _Rank:
    """The loop of a rank."""

    def __init__(self, seat: Seat, send: Any) -> None:
        self._seat, self._send = seat, send
        self._group: distributed.ProcessGroup | None = None
        self._groups: dict[int, distributed.ProcessGroup] = {}
        self._pulse: _Pulse | None = None

    def run(self) -> None:
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(self._seat.setup.threads)
        try:
            self._prepare()
            while (order := self._seat.inbox.get()) is not None:
                if isinstance(order, Join):
                    self._attempt(self._join, order)
                else:
                    self._attempt(self._go, order)
        finally:
            torch.set_num_threads(threads)
            self._part()
            self._seat.states.clear()
            self._seat.runner = None

    # below: the commands

    def _prepare(self) -> None:
        import torch

        from workbench.training.state import StageState

        setup = self._seat.setup
        device = None if setup.device is None else torch.device(setup.device)
        for part in setup.parts:
            self._seat.states[part.spec.index] = StageState(
                part.spec, part.replica, part.replicas, setup.recipe, part.scale, setup.batches, device, part.updates
            )

    def _join(self, order: Join) -> None:
        from workbench.training.runner import Runner

        self._part()
        seat = self._seat
        seat.stop, seat.generation = False, order.generation
        transport = None
        if order.ranks > 1:
            transport = self._connect(order)
        for state in seat.states.values():
            state.restore(order.batches)
        setup = seat.setup
        device = None
        if setup.device is not None:
            import torch

            device = torch.device(setup.device)
        seat.runner = Runner(
            setup.job, seat.states, setup.source, transport, self._groups, self._report, lambda: seat.stop, device,
            lambda batches: _save(seat, batches),
        )  # fmt: skip
        self._tell("joined")

    def _connect(self, order: Join) -> Any:
        import torch
        from torch import distributed

        from workbench.training.transport import Link, Transport

        store = distributed.TCPStore(
            order.host, order.port, None, False, timeout=datetime.timedelta(seconds=RENDEZVOUS)
        )
        prefix = f"{self._seat.run}/g{order.generation}"
        self._pulse = _Pulse(store, f"{self._seat.run}/alive/{self._seat.setup.rank}")
        rank = self._seat.setup.rank
        self._group = _group(distributed.PrefixStore(prefix, store), rank, order.ranks, order.host)
        for stage, members in sorted(order.groups.items()):
            if rank in members:
                inner = distributed.PrefixStore(f"{prefix}/s{stage}", store)
                self._groups[stage] = _group(inner, members.index(rank), len(members), order.host)
        return Transport(
            self._group,
            lambda: self._seat.stop,
            None if self._seat.setup.device is None else torch.device(self._seat.setup.device),
            torch.float16 if order.half else None,
            None if order.rate is None else Link(order.rate),
        )

    def _go(self, order: Go) -> None:
        runner = self._seat.runner
        assert runner is not None
        for first, count in order.spans:
            runner.span(order.programs[count], first)
        self._tell("paused")

    def _attempt(self, action: Any, order: Any) -> None:
        """Do what was ordered, and say what became of it."""
        from workbench.training.transport import Interrupted, PeerError

        told: tuple[str, dict[str, Any]] | None = None
        try:
            action(order)
        except Interrupted:
            told = "stopped", {}
        except PeerError as error:
            told = "peer", {"peer": error.peer, "reason": error.reason}
        except Exception as error:
            told = "error", {"error": _pickled(error)}
        if told is None:
            return
        # Only now, as an exception's frames hold the connections: the sockets are closed at once, so that the whole
        # ring notices.
        if told[0] != "stopped":
            self._part()
        self._tell(told[0], batches=_newest(self._seat), **told[1])

    def _part(self) -> None:
        """Leave the others: close all connections."""
        if self._seat.runner is not None:
            self._seat.runner = None
        pulse, self._pulse = self._pulse, None
        if pulse is not None:
            pulse.stop()
        # Closing waits for a collective that a silent peer holds up: then it is left behind.
        held = [self._groups, [self._group]]
        self._groups, self._group = {}, None
        closer = threading.Thread(target=_forget, args=(held,), name="workbench-training-close", daemon=True)
        del held
        closer.start()
        closer.join(GOODBYE)

    # below: what is told

    def _report(self, report: Report) -> None:
        self._tell("progress", report=pickle.dumps(report, protocol=5), batches=report.batches)

    def _tell(self, kind: str, **data: Any) -> None:
        self._send({**_signed(self._seat), "kind": kind, **data})


class _Pulse:
    """A sign of life in the store, once a second."""

    def __init__(self, store: distributed.Store, key: str) -> None:
        self._store, self._key = store, key
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="workbench-training-pulse", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(GOODBYE)

    def _beat(self) -> None:
        while True:
            try:
                self._store.add(self._key, 1)
            except RuntimeError:
                return  # the driver has gone, and its worker will end too
            if self._over.wait(HEARTBEAT):
                return


def _group(store: distributed.Store, rank: int, size: int, host: str) -> distributed.ProcessGroup:
    """Return a gloo group of its own: the process's default one is left to the user."""
    from torch import distributed

    options = distributed.ProcessGroupGloo._Options()
    options._devices = [distributed.ProcessGroupGloo.create_device(hostname=_own_host(host))]
    options._timeout = datetime.timedelta(seconds=RENDEZVOUS)
    return distributed.ProcessGroupGloo(store, rank, size, options)


def _own_host(store: str) -> str:
    """Return the address of this machine on the network that leads to the store."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((store, 9))  # sends nothing
        return str(probe.getsockname()[0])


def _forget(held: list[Any]) -> None:
    held.clear()


def _pickled(error: BaseException) -> bytes:
    """Return an error that the driver can raise; one that cannot travel is told in words."""
    import cloudpickle

    try:
        made = cloudpickle.dumps(error)
        pickle.loads(made)
        return bytes(made)
    except Exception:
        from workbench.training.errors import TrainingError

        return pickle.dumps(TrainingError(one_line(error)))
