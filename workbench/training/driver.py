"""The driver of a run: seats on workers, generations, commits, and what happens when a worker is lost."""

from __future__ import annotations

import contextlib
import math
import pickle
import queue
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.engine import session
from workbench.training import worker
from workbench.training.layout import Layout

if TYPE_CHECKING:
    import torch
    from distributed import Client, Future

    from workbench.training.op import Op
    from workbench.training.run import TrainRun
    from workbench.training.saver import Saver

__all__ = ["Cancelled", "Driver", "Lost"]

POLL = 0.05  # seconds between looks at what only asking tells
LOOK = 1.0  # seconds between looks at tasks and heartbeats
SILENT = 20.0  # seconds without a heartbeat after which a worker counts as lost
EXPLAIN = 2.0  # seconds that a failed transfer waits for its reason: a lost worker, or an error on the other side
SAVE = 60.0  # seconds that a run's end waits for a checkpoint on its way
LEAVE = 1.2  # seconds that a cancelled run waits for its workers

_listening: dict[str, queue.Queue[dict[str, Any]]] = {}


class Cancelled(Exception):
    """The run was cancelled."""


class Lost(Exception):
    """Workers were lost."""

    def __init__(self, ranks: set[int]) -> None:
        super().__init__(ranks)
        self.ranks = ranks


@dataclass
class _Rank:
    """What the driver knows of a rank."""

    address: str
    setup: bytes
    state: str = "new"  # joined, busy, paused, stopped, failed, lost
    batches: int = 0
    late: float = 0.0
    task: Future | None = None
    beats: int = -1
    heard: float = field(default_factory=time.monotonic)


class Driver:
    """Drives the workers of one run; used by one thread.

    Parameters
    ----------
    run : TrainRun
    client : distributed.Client
    addresses : sequence of str
        Of the workers, by rank.
    setups : sequence of bytes
        A pickled `worker.Setup` for each rank.
    layout : Layout
    programs : callable
        Batches in a span -> the program of each rank.
    flush : int
        Batches in a span.
    sizes : callable
        Batch -> samples of its microbatches.
    rate : float or None
        Bytes per second of the emulated link.
    half : bool
        Whether float32 travels as float16.
    saver : Saver, optional
        Orders checkpoints.
    """

    def __init__(
        self,
        run: TrainRun,
        client: Client,
        addresses: Sequence[str],
        setups: Sequence[bytes],
        layout: Layout,
        programs: Callable[[int], Mapping[int, list[Op]]],
        flush: int,
        sizes: Callable[[int], list[int]],
        *,
        rate: float | None = None,
        half: bool = False,
        saver: Saver | None = None,
    ) -> None:
        self._saver = saver
        self._run, self._client, self._layout = run, client, layout
        self._ranks = [_Rank(address, setup) for address, setup in zip(addresses, setups, strict=True)]
        self._programs, self._flush, self._sizes = programs, flush, sizes
        self._rate, self._half = rate, half
        self._inbox: queue.Queue[dict[str, Any]] = queue.Queue()
        self._generation = -1
        self._store: Any = None
        self._looked = 0.0
        self._forget: Callable[[], None] = lambda: None
        self._reason: dict[str, Any] | None = None

    # the life of a run

    def start(self, batches: int = 0) -> None:
        """Put the run on its workers and let them find each other, to begin from a commit."""
        _listen(self._client, self._run.run_id, self._inbox)
        self._forget = session.on_worker_lost(self._on_lost)
        for rank, known in enumerate(self._ranks):
            if isinstance(self._call(worker.install, known.setup, ranks=[rank])[0], BaseException):
                raise Lost({rank})
            known.setup = b""  # the worker has it
            known.late = self._lateness(rank)
        for rank, known in enumerate(self._ranks):
            known.task = self._client.submit(
                worker.serve, self._run.run_id, workers=[known.address], allow_other_workers=False, retries=0,
                pure=False, key=f"train-{self._run.run_id[:12]}-{rank}", priority=10,
            )  # fmt: skip
        self.join(batches)

    def join(self, batches: int) -> None:
        """Begin a generation from a commit."""
        self._generation += 1
        host, port = self._open_store()
        order = worker.Join(
            self._generation, len(self._ranks), host, port, self._groups(), batches, self._rate, self._half
        )
        for known in self._ranks:
            known.state, known.batches = "joining", batches
        self._command(dict.fromkeys(range(len(self._ranks)), order))
        self._wait({"joined"})

    def go(self, first: int, last: int) -> None:
        """Train batches `first` to `last` - 1, and commit.

        Raises
        ------
        Cancelled, Lost
        Exception
            What the model, the loss or the data raised on a worker.
        """
        spans = [(at, min(self._flush, last - at)) for at in range(first, last, self._flush)]
        programs = {count: self._programs(count) for count in {count for _, count in spans}}
        for known in self._ranks:
            known.state = "busy"
        self._tick([first])
        self._command(
            {
                rank: worker.Go(tuple(spans), {count: list(found[rank]) for count, found in programs.items()})
                for rank in range(len(self._ranks))
            }
        )
        begun, before = time.monotonic(), self._run._spent
        ends = [at + count for at, count in spans]
        try:
            while not self._settled({"paused"}):
                self._listen_once()
                self._tick(ends)
                self._run._spent = before + time.monotonic() - begun
        finally:
            self._run._spent = before + time.monotonic() - begun

    def save(self, batches: int, folder: str) -> set[int] | None:
        """Have every stage written as it is at a commit; return the stages, or None if a rank has passed it."""
        stages: dict[int, tuple[int, ...]] = {}
        for stage, ranks in enumerate(self._layout.stages):
            rank = next(rank for rank in ranks if self._ranks[rank].state != "lost")
            stages[rank] = (*stages.get(rank, ()), stage)
        answers = self._call(worker.save, batches, folder, stages, ranks=stages)
        return set(range(len(self._layout.stages))) if all(answer is True for answer in answers) else None

    def finish_saves(self) -> None:
        """Wait for what is being written, after the last step."""
        until = time.monotonic() + SAVE
        while self._saver is not None and self._saver.pending(self.committed) and time.monotonic() < until:
            self._listen_once()
            self._tick([self.committed])

    @property
    def committed(self) -> int:
        """Batches that all ranks have committed."""
        return min(known.batches for known in self._ranks)

    def weights(self, batches: int) -> dict[int, tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], Any]]:
        """Return weights, buffers and optimizer state of a commit, of each stage that a living rank has."""
        found: dict[int, Any] = {}
        for stage, ranks in enumerate(self._layout.stages):
            for rank in ranks:
                if stage in found or self._ranks[rank].state == "lost":
                    continue
                answer = self._call(worker.fetch, batches, ranks=[rank])[0]
                if isinstance(answer, bytes):
                    found |= pickle.loads(answer)
        return found

    def halt(self) -> int:
        """Stop all ranks at their next operation; return the last commit that all living ones have."""
        living = self._living()
        for rank in living:
            if self._ranks[rank].state in ("busy", "joining"):
                self._ranks[rank].state = "stopping"
        self._call(worker.interrupt, ranks=living)
        until = time.monotonic() + LEAVE
        while time.monotonic() < until and any(known.state == "stopping" for known in self._ranks):
            with contextlib.suppress(queue.Empty):
                self._hear(self._inbox.get(timeout=POLL))
        return min((self._ranks[rank].batches for rank in self._living()), default=0)

    def close(self) -> None:
        """Let the workers go; nothing of the run stays behind."""
        self._forget()
        with contextlib.suppress(Exception):  # a session that has ended has nothing left to close
            present = self._client.scheduler_info(n_workers=-1)["workers"]
            self._call(worker.leave, ranks=[rank for rank, known in enumerate(self._ranks) if known.address in present])
        tasks = [known.task for known in self._ranks if known.task is not None]
        until = time.monotonic() + LEAVE
        while time.monotonic() < until and any(
            task.status == "pending" for task, known in zip(tasks, self._ranks, strict=False) if known.state != "lost"
        ):
            time.sleep(0.01)
        for task in tasks:
            with contextlib.suppress(Exception):
                task.cancel(force=True) if task.status == "pending" else task.release()
        for known in self._ranks:
            known.task = None
        _unlisten(self._client, self._run.run_id)
        self._store = None

    # below: talking to the workers

    def _tick(self, ends: Sequence[int]) -> None:
        if self._saver is not None:
            self._saver.tick(self.save, ends, self.committed)

    def _living(self) -> list[int]:
        return [rank for rank, known in enumerate(self._ranks) if known.state != "lost"]

    def _call(self, function: Callable[..., Any], *arguments: Any, ranks: Iterable[int]) -> list[Any]:
        """Call a function of `worker` on ranks; what failed gives its exception."""
        addresses = [self._ranks[rank].address for rank in ranks]
        if not addresses:
            return []
        answers = self._client.run(function, self._run.run_id, *arguments, workers=addresses, on_error="return")
        return [answers.get(address) for address in addresses]

    def _lateness(self, rank: int) -> float:
        """Return how many seconds a worker's clock is ahead of ours; on this machine it is the same clock."""
        host = _host(self._ranks[rank].address)
        if host == _own_host(self._ranks[rank].address):
            return 0.0
        best, found = math.inf, 0.0
        for _ in range(5):
            asked = time.time()
            answer = self._call(worker.clock, ranks=[rank])[0]
            took = time.time() - asked
            if isinstance(answer, float) and took < best:
                best, found = took, answer - asked - took / 2
        return found

    def _command(self, orders: Mapping[int, Any]) -> None:
        messages = {rank: pickle.dumps(order, protocol=5) for rank, order in orders.items()}
        for rank, answer in zip(orders, self._call(worker.command, messages, ranks=orders), strict=True):
            if answer is not None:
                self._ranks[rank].state = "lost"
        self._check_lost()

    def _wait(self, states: set[str]) -> None:
        while not self._settled(states):
            self._listen_once()

    def _settled(self, states: set[str]) -> bool:
        return all(known.state in states for known in self._ranks)

    def _listen_once(self) -> None:
        """Take one message, if there is any, and raise what has to be raised."""
        if self._run.cancelled.is_set():
            raise Cancelled
        try:
            self._hear(self._inbox.get(timeout=POLL))
        except queue.Empty:
            self._look()
        self._check_lost()
        if self._reason is not None:
            self._explain(self._reason)

    def _hear(self, message: dict[str, Any]) -> None:
        kind = message["kind"]
        if kind == "lost":
            for known in self._ranks:
                if known.address == message["address"]:
                    known.state = "lost"
            return
        if kind in ("saved", "unsaved"):
            if self._saver is not None:
                self._saver.hear(message)
            return
        if message["generation"] != self._generation:
            return
        known = self._ranks[message["rank"]]
        known.heard = time.monotonic()
        if kind == "progress":
            known.batches = max(known.batches, message["batches"])
            report = pickle.loads(message["report"])
            self._run.take(message["rank"], self._generation, report, self._sizes, known.late)
            self._run.advance(self.committed)
        elif kind in ("joined", "paused"):
            known.state = kind
        else:
            known.state = "stopped"
            known.batches = message["batches"]
            if kind in ("peer", "error") and (self._reason is None or kind == "error"):
                self._reason = message

    def _explain(self, reason: dict[str, Any]) -> None:
        """Raise why a rank has failed: an error of its own, or that of the one that it could not reach."""
        if reason["kind"] == "error":
            error: BaseException = pickle.loads(reason["error"])
            raise error
        until = time.monotonic() + EXPLAIN
        while time.monotonic() < until:
            with contextlib.suppress(queue.Empty):
                self._hear(self._inbox.get(timeout=POLL))
            self._check_lost()
            if self._reason is not None and self._reason["kind"] == "error":
                raise pickle.loads(self._reason["error"])
        # Nobody says more: whom it could not reach is given up.
        rank = reason["peer"] if reason["peer"] >= 0 else reason["rank"]
        self._ranks[rank].state = "lost"
        raise Lost({rank})

    def _check_lost(self) -> None:
        lost = {rank for rank, known in enumerate(self._ranks) if known.state == "lost"}
        if lost:
            raise Lost(lost)

    def _on_lost(self, address: str, keys: list[str]) -> None:
        self._inbox.put({"kind": "lost", "address": address})

    def _look(self) -> None:
        """See whether tasks and heartbeats are still there."""
        now = time.monotonic()
        if now - self._looked < LOOK:
            return
        # After a pause of our own (a stopped process, a sleeping laptop) nobody is blamed for being silent.
        asleep = self._looked and now - self._looked > 5 * LOOK
        self._looked = now
        present = self._client.scheduler_info(n_workers=-1)["workers"]
        for rank, known in enumerate(self._ranks):
            if known.address not in present or (known.task is not None and known.task.status in ("error", "cancelled")):
                known.state = "lost"
            if self._store is None or len(self._ranks) == 1 or known.state in ("lost", "new", "joining"):
                continue
            beats = self._store.add(f"{self._run.run_id}/alive/{rank}", 0)
            if beats != known.beats or asleep:
                known.beats, known.heard = beats, now
            elif now - known.heard > SILENT:
                self._run.add_incident(
                    "stall", f"worker {rank} has been silent for {now - known.heard:.0f} s", worker=rank,
                    stage=self._layout.place(rank)[0], step=self.committed,
                )  # fmt: skip
                known.state = "lost"

    def _groups(self) -> dict[int, list[int]]:
        """Return who takes part in the reduce of each stage."""
        members: dict[int, set[int]] = {}
        for rank, ops in self._programs(1).items():
            for op in ops:
                if op.kind == "reduce":
                    members.setdefault(op.stage, set()).add(rank)
        return {stage: sorted(found) for stage, found in members.items()}

    def _open_store(self) -> tuple[str, int]:
        """Return host and port of the run's store, which this process keeps, on the network of the workers alone."""
        import datetime

        from torch import distributed

        if self._store is None:
            self._host = _own_host(self._ranks[0].address)
            with socket.create_server((self._host, 0)) as listener:
                port = listener.getsockname()[1]
                descriptor = listener.detach()
            self._store = distributed.TCPStore(
                self._host, port, None, True, datetime.timedelta(seconds=30), wait_for_workers=False,
                master_listen_fd=descriptor, use_libuv=True,
            )  # fmt: skip
        return self._host, self._store.port


def _host(address: str) -> str:
    return address.rpartition("://")[2].rpartition(":")[0].strip("[]")


def _own_host(address: str) -> str:
    """Return this machine's address on the network that leads to a worker."""
    host = _host(address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))  # sends nothing
        return str(probe.getsockname()[0])


def _listen(client: Client, run: str, inbox: queue.Queue[dict[str, Any]]) -> None:
    _listening[run] = inbox
    client.subscribe_topic(worker.TOPIC, _on_event)


def _unlisten(client: Client, run: str) -> None:
    _listening.pop(run, None)
    if not _listening:
        with contextlib.suppress(Exception):  # the session may have ended
            client.unsubscribe_topic(worker.TOPIC)


def _on_event(event: tuple[float, Any]) -> None:
    # Runs on the client's event loop: must not wait.
    message = event[1]
    inbox = _listening.get(message["run"]) if isinstance(message, dict) else None
    if inbox is not None:
        inbox.put(message)
