"""Runs whose ranks are threads of this process, with messages by hand: the protocol without processes and sockets.

The driver, the ranks and what they run are the real ones; only what carries messages, and what dies, is not.
"""

from __future__ import annotations

import asyncio
import itertools
import pickle
import queue
import random
import signal
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from tests.training import nets
from workbench.training import data as data_module
from workbench.training import worker
from workbench.training.driver import Driver
from workbench.training.job import Job
from workbench.training.layout import Layout
from workbench.training.plan import PipelinePlan
from workbench.training.prepare import Terms
from workbench.training.rank import Rank
from workbench.training.run import TrainRun
from workbench.training.transport import Interrupted, PeerError, poll
from workbench.training.worker import Join, Seat


class Killed(BaseException):
    """A rank ends here, without a word."""


@dataclass(frozen=True)
class Kill:
    """A rank that is to end, and where.

    Parameters
    ----------
    rank : int
    at : int
        Before its so manieth operation, counted over all generations; -1 with `join`.
    after : bool
        After that operation instead.
    join : int
        While it joins this generation.
    kind : str
        Operations of this kind alone are counted.
    how : {"kill", "stall", "cut", "hang"}
        Whether it ends, stands still, is cut off from all others, or never comes to an end of what it is at.
    """

    rank: int
    at: int = -1
    after: bool = False
    join: int = -1
    kind: str = ""
    how: str = "kill"


class Hub:
    """What lies between the ranks."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.messages: dict[tuple[int, int, int, int], deque[Any]] = defaultdict(deque)
        self.sums: dict[tuple[Any, ...], dict[int, torch.Tensor]] = defaultdict(dict)
        self.met: dict[int, set[int]] = defaultdict(set)
        self.dead: set[int] = set()
        self.silent: set[int] = set()


class Wire:
    """A transport of one rank in one generation."""

    def __init__(self, hub: Hub, generation: int, rank: int, stopped: Callable[[], bool]) -> None:
        self._hub, self._generation, self._rank, self._stopped = hub, generation, rank, stopped
        self._sums: dict[Any, int] = defaultdict(int)
        self.sent = 0

    def expect(self, peer: int, tag: int, samples: Iterable[int]) -> None:
        pass

    def send(self, peer: int, tag: int, samples: int, values: Any, *, exact: bool = False) -> int:
        if peer in self._hub.dead and random.random() < 0.5:  # sockets may take some more before they notice
            raise PeerError(peer, "gone")
        with self._hub.lock:
            self._hub.messages[self._generation, self._rank, peer, tag].append(pytree.tree_map(_copied, values))
        return 1

    def receive(self, peer: int, tag: int) -> tuple[Any, int, float]:
        inbox = self._hub.messages[self._generation, peer, self._rank, tag]
        poll(lambda: bool(inbox), self._stopped)
        return inbox.popleft(), 1, time.time()

    def all_reduce(self, group: tuple[int, tuple[int, ...]], block: torch.Tensor) -> int:
        number = self._sums[group] = self._sums[group] + 1
        with self._hub.lock:
            parts = self._hub.sums[self._generation, group, number]
            parts[self._rank] = block.clone()
        poll(lambda: len(parts) == len(group[1]), self._stopped)
        total = torch.zeros_like(block)
        for rank in group[1]:
            total += parts[rank]
        block.copy_(total)
        return 1


class ThreadRank(Rank):
    """A rank that a `Kill` may end."""

    def __init__(self, seat: Seat, send: Any, hub: Hub, kill: Kill | None) -> None:
        super().__init__(seat, send)
        self._hub, self._kill, self._count = hub, kill, itertools.count()
        self.killed = False

    def _join(self, order: Join) -> None:
        super()._join(order)
        runner: Any = self._seat.runner
        runner._do = {kind: self._watched(kind, action) for kind, action in runner._do.items()}

    def _connect(self, order: Join) -> Any:
        rank = self._seat.setup.rank
        if self._kill is not None and self._kill.join == order.generation:
            raise Killed
        with self._hub.lock:
            met = self._hub.met[order.generation]
            met.add(rank)
        poll(lambda: len(met) == len(order.ranks), self._seat.stopped)
        self._groups = {stage: (stage, tuple(members)) for stage, members in order.groups.items()}
        return Wire(self._hub, order.generation, rank, self._seat.stopped)

    def _part(self, patience: float) -> None:
        if self._seat.runner is not None:
            self._seat.runner.part()

    def _watched(self, kind: str, action: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def run(op: Any) -> Any:
            kill = self._kill
            if kill is None or kill.kind not in ("", kind) or next(self._count) != kill.at:
                return action(op)
            if kill.after:
                action(op)
            if kill.how == "kill":
                raise Killed
            if kill.how != "hang":
                self._hub.silent.add(self._seat.setup.rank)
            if kill.how == "cut":
                self._seat.cut = True
                return None if kill.after else action(op)
            while not self._seat.left:  # stopped: it neither works nor beats until the run is over
                time.sleep(0.005)
            raise Interrupted

        return run


class Host:
    """What a rank takes for its Dask worker."""

    def __init__(self, inbox: queue.Queue[Any], others: dict[str, Host] | None = None) -> None:
        self._inbox, self.others = inbox, {} if others is None else others
        self._workbench_before = signal.getsignal(signal.SIGTERM)
        self.silent = False

    def log_event(self, topic: str, message: Any) -> None:
        if not self.silent:
            self._inbox.put(message)


@dataclass
class ThreadCrew:
    """The workers of a run, as threads."""

    run: str
    kills: Sequence[Kill] = ()
    #: seconds after which the cluster tells that a worker is lost
    noticed: float = 0.0
    inbox: queue.Queue[Any] = field(default_factory=queue.Queue)
    hub: Hub = field(default_factory=Hub)
    #: those of the ranks, and of all addresses there ever were
    hosts: dict[int, Host] = field(default_factory=dict)
    machines: dict[str, Host] = field(default_factory=dict)
    threads: list[threading.Thread] = field(default_factory=list)
    pulses: dict[int, int] = field(default_factory=lambda: defaultdict(lambda: 1))

    def host(self, address: str) -> Host:
        return self.machines.setdefault(address, Host(self.inbox, self.machines))

    def seat(self, addresses: Sequence[str], made: Sequence[bytes]) -> list[int]:
        for rank, (address, setup) in enumerate(zip(addresses, made, strict=True)):
            host = self.hosts[rank] = self.host(address)
            worker.install(self.run, setup, host)
            seat = worker._seats(host)[self.run]
            kill = next((kill for kill in self.kills if kill.rank == rank), None)
            thread = threading.Thread(
                target=self._serve, args=(rank, host, ThreadRank(seat, host_log(host), self.hub, kill))
            )
            self.threads.append(thread)
            thread.start()
        return []

    def _serve(self, rank: int, host: Host, work: ThreadRank) -> None:
        try:
            work.run()
        except Killed:
            host.silent = True
            self.hub.dead.add(rank)
            time.sleep(self.noticed)
            self.inbox.put({"kind": "lost", "address": str(rank)})

    def tell(self, function: Callable[..., Any], *arguments: Any, ranks: Iterable[int]) -> list[Future[Any]]:
        found = []
        for rank in ranks:
            future: Future[Any] = Future()
            if rank in self.hub.dead:
                future.set_exception(ConnectionError("gone"))
            else:
                try:
                    future.set_result(function(self.run, *arguments, dask_worker=self.hosts[rank]))
                except KeyError as error:
                    future.set_exception(error)
            found.append(future)
        return found

    def call(
        self, function: Callable[..., Any], *arguments: Any, ranks: Iterable[int], patience: float = 0
    ) -> list[Any]:
        return [future.exception() or future.result() for future in self.tell(function, *arguments, ranks=ranks)]

    def unseat(self, ranks: Iterable[int]) -> None:
        for rank in ranks:
            worker.leave(self.run, self.hosts[rank])

    def close(self) -> None:
        for thread in self.threads:
            thread.join(240)
            assert not thread.is_alive()

    def rank_of(self, address: str) -> int | None:
        return int(address)

    def missing(self, ranks: Iterable[int]) -> list[int]:
        return []

    def lateness(self, rank: int) -> float:
        return 0.0

    def beats(self, rank: int) -> int | None:
        if rank not in self.hub.silent:
            self.pulses[rank] += 1
        return self.pulses[rank]

    def store(self) -> tuple[str, int]:
        return "", 0


def ask(
    host: Host, address: str, function: Callable[..., Any], arguments: tuple[Any, ...], stopped: Callable[[], bool]
) -> Any:
    """Call a function on another machine, in place of `handing.ask`."""
    other = host.others[address]
    if other.silent:
        raise ConnectionError(f"{address} has gone")
    return pickle.loads(pickle.dumps(asyncio.run(function(*arguments, dask_worker=other))))


def host_log(host: Host) -> Callable[[dict[str, Any]], None]:
    return lambda message: host.log_event(worker.TOPIC, message)


@dataclass
class Outcome:
    """What a run came to."""

    run: TrainRun
    model: nn.Module
    losses: list[float]
    #: updates of each stage at the end, as its rank counts them
    updates: dict[int, int]


def train(
    model: nn.Module,
    make: nets.Make,
    plan: PipelinePlan,
    schedule: str,
    steps: int,
    *,
    microbatches: int = 4,
    flush: int = 1,
    redundancy: str | None = "lazy",
    resilience: str = "redundant",
    kills: Sequence[Kill] = (),
    noticed: float = 0.0,
    during: Callable[[Driver, ThreadCrew], None] | None = None,
    recompute: bool = False,
) -> Outcome:
    """Train `model` on `nets.samples()` with a thread for each rank."""
    layout = Layout.of(plan, schedule)
    source, _ = data_module.source_of(nets.samples())
    batches = data_module.Batches(nets.SAMPLES, nets.BATCH, microbatches, seed=nets.SEED)
    optimizer = make(model.parameters())
    job = Job(
        nn.functional.cross_entropy, batches, nets.SEED, recompute, rounds=schedule == "pipedream",
        redundant=redundancy is not None,
    )  # fmt: skip
    terms = Terms(
        model, optimizer, source, job, schedule, redundancy, flush * microbatches, False, steps, None
    )  # fmt: skip
    run = TrainRun(terms=terms, plan=plan, resilience=resilience)
    seating = terms.seating(plan, [str(rank) for rank in range(layout.ranks)])
    crew: Any = ThreadCrew(run.run_id, kills, noticed)

    def sizes(batch: int) -> list[int]:
        return [batches.count(batch, piece) for piece in range(microbatches)]

    driver = Driver(run, crew, seating, sizes, resilience=resilience)
    updates: dict[int, int] = {}
    try:
        driver.start()
        if during is not None:
            during(driver, crew)
        driver.go(0, steps)
        found = driver.weights(steps)
        assert sorted(found) == list(range(len(layout.stages)))
        for rank, stages in driver._roster.stages().items():
            states = worker._seats(crew.hosts[rank])[run.run_id].states
            updates |= {stage: states[stage].updates for stage in stages}
        own = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        with torch.no_grad():
            for weights, buffers, _ in found.values():
                for name, tensor in (*weights.items(), *buffers.items()):
                    own[name].copy_(tensor)
    finally:
        driver.halt()
        driver.close()
    return Outcome(run, model, run.losses.loss.tolist(), updates)


def _copied(value: Any) -> Any:
    return value.detach().clone().requires_grad_(value.requires_grad) if isinstance(value, torch.Tensor) else value
