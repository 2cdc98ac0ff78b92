"""The driver of a run: generations, commits, and what happens when a worker is lost."""

from __future__ import annotations

import contextlib
import pickle
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.training import errors, worker
from workbench.training.crew import answer
from workbench.training.failover import failover
from workbench.training.resilience import Loss, Recovery, decide, hosts_of, slower

if TYPE_CHECKING:
    from concurrent.futures import Future

    import torch

    from workbench.training.chaos import Unrest
    from workbench.training.crew import Crew
    from workbench.training.op import Op
    from workbench.training.resilience import Restore, Seating
    from workbench.training.run import TrainRun
    from workbench.training.saver import Saver

__all__ = ["Cancelled", "Change", "Driver", "Lost"]

POLL = 0.05  # seconds between looks at what only asking tells
LOOK = 1.0  # seconds between looks at tasks and heartbeats
SILENT = 5.0  # seconds without a heartbeat after which a worker is cut off
PATIENT = 60.0  # the same for a run that its loss would end: a starved worker is no reason to end one
EXPLAIN = 2.0  # seconds that a failed transfer waits for its reason: a lost worker, or an error on the other side
SAVE = 60.0  # seconds that a run's end waits for a checkpoint on its way
LEAVE = 1.2  # seconds that a cancelled run waits for its workers
TRIES = 3  # transfers that fail in a row with nobody lost, before a rank is given up


class Cancelled(Exception):
    """The run was cancelled."""


class Change(Exception):
    """The run is to go on with other workers, or another plan."""


class Lost(Exception):
    """Workers were lost."""


@dataclass
class _Rank:
    """What the driver knows of a rank."""

    state: str = "idle"  # or busy, lost
    #: what the last generation came to: joined, paused, stopped, peer, error
    ended: str = ""
    batches: int = 0
    begun: int = 0
    #: whether it was told to train, after joining
    trains: bool = False
    late: float = 0.0
    beats: int = -1
    #: looks in a row without a sign of life
    missed: int = 0


@dataclass
class _Pause:
    """A recovery that has not come to its first operation."""

    since: float
    recovery: Recovery
    lost: frozenset[int]
    replayed: int
    notice: bool


class Driver:
    """Drives the workers of one run; used by one thread.

    Parameters
    ----------
    run : TrainRun
    crew : Crew
    seating : Seating
        Where the run begins.
    sizes : callable
        Batch -> samples of its microbatches.
    resilience : {"none", "checkpoint", "redundant"}
    restore : callable, optional
        Loss -> the seating to go on with from the last checkpoint.
    chaos : Unrest, optional
        What is to be stopped when.
    saver : Saver, optional
        Orders checkpoints.
    change : callable, optional
        Ranks that run two stages -> whether to go on with another seating.
    rate : float or None
        Bytes per second of the emulated link.
    half : bool
        Whether float32 travels as float16.
    """

    def __init__(
        self,
        run: TrainRun,
        crew: Crew,
        seating: Seating,
        sizes: Callable[[int], list[int]],
        *,
        resilience: str = "none",
        restore: Restore | None = None,
        chaos: Unrest | None = None,
        saver: Saver | None = None,
        change: Callable[[int], bool] = lambda overloaded: False,
        rate: float | None = None,
        half: bool = False,
    ) -> None:
        self._run, self._crew, self._seating, self._sizes = run, crew, seating, sizes
        self._resilience, self._restore, self._chaos, self._saver = resilience, restore, chaos, saver
        self._change, self._rate, self._half = change, rate, half
        self._ranks: list[_Rank] = []
        #: of the ranks, and the one that the next training must be of: they join anew until it is
        self._generation, self._wanted = -1, 0
        self._looked = 0.0
        self._failed: dict[str, Any] | None = None
        self._tries = 0
        #: ranks whose loss has been dealt with; when the first of the others was noticed
        self._known: frozenset[int] = frozenset()
        self._since = 0.0
        #: what living ranks were told last, and have not answered
        self._calls: dict[int, Future[Any]] = {}
        self._leaving: set[int] = set()
        self._pause: _Pause | None = None
        self._made: dict[tuple[int, frozenset[int]], Mapping[int, list[Op]]] = {}

    # the life of a run

    def start(self) -> None:
        """Put the run on its workers and let them find each other."""
        self._seat(self._seating)
        # Who is lost on the way is missed by the first `go`.
        with contextlib.suppress(Lost):
            self._send(self._seating.batches, None, join=True)
            self._until_idle()

    def go(self, first: int, last: int) -> None:
        """Train batches `first` to `last` - 1, and commit, whoever is lost meanwhile.

        Raises
        ------
        Cancelled
        Change
            If it is to go on with another seating; the ranks are at work still.
        WorkerLost, ReplicaLost
            Where nothing makes up for a lost worker.
        Exception
            What the model, the loss or the data raised on a worker.
        """
        begun, before = time.monotonic(), self._run._spent
        self._tick([first])
        try:
            at: int | None = first
            while at is not None:
                try:
                    self._check_lost()
                    self._send(at, last, join=self._generation < self._wanted)
                    self._until_idle(ends=self._ends(at, last), since=(begun, before))
                    at = None
                    if self._leaving - self._known:
                        at = self._hand_over()
                except Lost:
                    at = self._recover()
            self._resumed(time.time())
        finally:
            self._run._spent = before + time.monotonic() - begun

    def pause(self) -> int:
        """Have all ranks stop at one commit, and return it; nothing is replayed when they go on.

        Raises
        ------
        Lost
        """
        target = max(self._ask(worker.hold))
        self._ask(worker.settle, target)
        self._until_idle()
        return self.committed

    def reseat(self, seating: Seating) -> None:
        """Go on with another seating, of a commit at which all ranks stand."""
        if self._saver is not None:
            self._saver.drop()
        self._seat(seating)

    def lost_addresses(self) -> set[str]:
        """Return the workers that are lost."""
        return {self._seating.addresses[rank] for rank, known in enumerate(self._ranks) if known.state == "lost"}

    def save(self, batches: int, folder: str) -> set[int] | None:
        """Have every stage written as it is at a commit; return the stages, or None if a rank has passed it."""
        stages: dict[int, tuple[int, ...]] = {}
        for stage in range(len(self._seating.layout.stages)):
            rank = self._at_work(stage)
            if rank is None:
                return None
            stages[rank] = (*stages.get(rank, ()), stage)
        answers = self._crew.call(worker.save, batches, folder, stages, ranks=stages)
        return set(range(len(self._seating.layout.stages))) if all(answer is True for answer in answers) else None

    def finish_saves(self) -> None:
        """Wait for what is being written, after the last step."""
        until = time.monotonic() + SAVE
        while self._saver is not None and self._saver.pending(self.committed) and time.monotonic() < until:
            self._listen_once()
            self._tick([self.committed])

    @property
    def committed(self) -> int:
        """Batches that all ranks have committed."""
        return min((self._ranks[rank].batches for rank in self._living()), default=0)

    def weights(self, batches: int) -> dict[int, tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], Any]]:
        """Return weights, buffers and optimizer state of a commit, of each stage that a living rank has."""
        found: dict[int, Any] = {}
        for stage in range(len(self._seating.layout.stages)):
            rank = self._at_work(stage)
            if rank is not None:
                answer = self._crew.call(worker.fetch, batches, (stage,), ranks=[rank], patience=60.0)[0]
                if isinstance(answer, bytes):
                    found |= pickle.loads(answer)
        return found

    def halt(self) -> int:
        """Stop all ranks at their next operation; return the last commit that all living ones have."""
        self._interrupt()
        until = time.monotonic() + LEAVE
        while time.monotonic() < until and self._busy():
            with contextlib.suppress(queue.Empty):
                self._hear(self._crew.inbox.get(timeout=POLL))
        return self.committed

    def close(self) -> None:
        """Let the workers go; nothing of the run stays behind."""
        if self._chaos is not None:
            self._chaos.end()
        self._crew.unseat(range(len(self._ranks)))
        self._crew.close()

    # below: generations

    def _seat(self, seating: Seating) -> None:
        """Put the run on the workers of a seating."""
        if self._ranks:
            self._crew.unseat(range(len(self._ranks)))
        self._seating, self._known, self._leaving = seating, frozenset(), set()
        self._made = {}
        self._ranks = [_Rank(batches=seating.batches) for _ in seating.addresses]
        for rank in self._crew.seat(seating.addresses, seating.setups):
            self._lose(rank)
        for rank in self._living():
            self._ranks[rank].late = self._crew.lateness(rank)
        self._wanted = self._generation + 1
        if self._chaos is not None:
            self._chaos.begin(self._crew, len(self._ranks))

    def _ends(self, first: int, last: int) -> list[int]:
        return [min(at + self._seating.flush, last) for at in range(first, last, self._seating.flush)]

    def _send(self, first: int, last: int | None, *, join: bool) -> None:
        """Begin a generation from a commit, if asked to, and train up to a batch, if there is one."""
        if join:
            self._generation += 1
        living, orders = self._living(), dict[int, list[Any]]()
        for rank in living:
            known, orders[rank] = self._ranks[rank], []
            known.state, known.ended, known.begun, known.trains = "busy", "", first, last is not None
            if join:
                known.batches = first
        if join:
            host, port = self._crew.store()
            found = worker.Join(
                self._generation, self._stages(), host, port, self._groups(), first, self._rate, self._half
            )
            orders = {rank: [found] for rank in living}
        if last is not None:
            flush = self._seating.flush
            spans = tuple((at, min(flush, last - at)) for at in range(first, last, flush))
            programs = {count: self._programs(count) for count in {count for _, count in spans}}
            for rank in living:
                own = {count: list(made[rank]) for count, made in programs.items()}
                orders[rank].append(worker.Go(self._generation, spans, own))
        messages = {rank: pickle.dumps(order, protocol=5) for rank, order in orders.items()}
        self._calls = dict(zip(living, self._crew.tell(worker.command, messages, ranks=living), strict=True))

    def _ask(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call a function of `worker` on all living ranks, after what they were told before."""
        while self._calls:
            self._listen_once()
        living = self._living()
        answers = self._crew.tell(function, *arguments, ranks=living)
        self._calls = dict(zip(living, answers, strict=True))
        while self._calls:
            self._listen_once()
        return [call.result() for call in answers]

    def _programs(self, count: int) -> Mapping[int, list[Op]]:
        """Return the programs of the living ranks."""
        key = count, self._known
        if key not in self._made:
            programs = self._seating.programs(count)
            self._made[key] = failover(programs, self._seating.plan, self._known) if self._known else programs
        return self._made[key]

    def _stages(self) -> dict[int, tuple[int, ...]]:
        """Return living rank -> the stages that it runs."""
        layout = self._seating.layout
        stages: dict[int, tuple[int, ...]] = {rank: (layout.place(rank)[0],) for rank in self._living()}
        for gone, host in hosts_of(layout, self._known).items():
            if host in stages:
                stages[host] = (*stages[host], layout.place(gone)[0])
        return stages

    def _at_work(self, stage: int) -> int | None:
        """Return a living rank that runs a stage."""
        return next((rank for rank, stages in self._stages().items() if stage in stages), None)

    def _groups(self) -> dict[int, list[int]]:
        """Return who takes part in the reduce of each stage."""
        members: dict[int, set[int]] = {}
        for rank, ops in self._programs(1).items():
            for op in ops:
                if op.kind == "reduce":
                    members.setdefault(op.stage, set()).add(rank)
        return {stage: sorted(found) for stage, found in members.items()}

    # below: losses

    def _recover(self) -> int:
        """Have the survivors stand still, and do what is decided about the loss; return where to go on."""
        self._stand()
        lost = frozenset(rank for rank, known in enumerate(self._ranks) if known.state == "lost")
        fresh, living = lost - self._known, self._living()
        self._tries = 0 if fresh else self._tries + 1
        if self._tries >= TRIES and self._failed is not None:
            self._lose(self._failed["peer"] if self._failed["peer"] >= 0 else self._failed["rank"])
            return self._recover()
        self._failed = None
        commits = {rank: self._ranks[rank].batches for rank in living}
        begun = max((max(self._ranks[rank].begun, self._ranks[rank].batches) for rank in living), default=0)
        loss = Loss(lost, fresh, commits, begun)
        if not fresh:  # a transfer failed, and nobody is gone
            self._wanted = self._generation + 1
            return loss.start
        return self._carry_out(loss)

    def _hand_over(self) -> int:
        """Take the work of ranks that will go to their holders; all stand at one commit."""
        fresh = frozenset(self._leaving) - self._known
        lost = self._known | fresh
        commits = {rank: self._ranks[rank].batches for rank in self._living() if rank not in fresh}
        loss = Loss(lost, fresh, commits, self.committed, notice=True)
        self._since = time.time()
        programs = self._seating.programs(1)
        if not commits or decide(self._resilience, programs, self._seating.plan, loss).kind != "failover":
            self._leaving -= fresh  # nobody can take the work over before it is really lost
            self._run.add_incident(
                "notice", "a worker will go, and no other holds its copy", step=self.committed
            )  # fmt: skip
            self._wanted = self._generation
            return self.committed
        for rank in fresh:
            self._ranks[rank].state = "lost"
        self._crew.tell(worker.leave, ranks=fresh)
        return self._carry_out(loss)

    def _carry_out(self, loss: Loss) -> int:
        """Do what is decided about a loss; return the batches from which to go on."""
        seating, living = self._seating, self._living()
        recovery = decide(self._resilience, seating.programs(1), seating.plan, loss)
        if not living and recovery.kind == "failover":
            recovery = Recovery("restore", 0, error=recovery.error)
        place = seating.layout.place
        for rank in sorted(loss.fresh):
            stage = place(rank)[0]
            told = errors.worker_lost(rank, stage, loss.start).message.partition(";")[0] + "."
            if recovery.kind == "fail" and recovery.error is not None:
                told = recovery.error.message
            if not loss.notice:
                self._run.add_incident("lost", told, worker=rank, stage=stage, step=loss.start)
        if recovery.kind == "fail" and recovery.error is not None:
            raise recovery.error
        if self._saver is not None:
            self._saver.drop()
        if recovery.kind == "restore":
            return self._go_back(loss, recovery)
        replayed = 0 if loss.notice else max(min(loss.begun - loss.start, seating.flush), 0)
        missed = self._pause
        self._known = loss.lost
        self._pause = _Pause(
            self._since if missed is None else missed.since, recovery,
            loss.fresh if missed is None else loss.fresh | missed.lost,
            max(replayed, 0 if missed is None else missed.replayed), loss.notice,
        )  # fmt: skip
        self._since = 0.0
        self._wanted = self._generation + 1
        return recovery.start

    def _go_back(self, loss: Loss, recovery: Recovery) -> int:
        """Go on from the last checkpoint."""
        # with nobody left to ask, what is known is what has been told
        since, before = self._since, self.committed if self._living() else self._run.steps
        seating = None if self._restore is None else self._restore(loss)
        if seating is None:
            assert recovery.error is not None
            raise recovery.error
        steps = max(before - seating.batches, 0)
        samples = sum(sum(self._sizes(batch)) for batch in range(seating.batches, before))
        seconds = self._run.seconds_since(seating.batches)
        lost = sorted(loss.fresh)
        stage = self._seating.layout.place(lost[0])[0]
        told = errors.replica_lost(lost, stage, seating.batches, steps, seconds)
        message = recovery.error.message if recovery.error is not None else told.message
        self._run.forget(seating.batches)
        self._since, self._pause = 0.0, None
        self._seat(seating)
        self._run.add_incident(
            "restore", f"{message} {told.hint}", worker=lost[0], stage=stage, step=seating.batches,
            pause=time.time() - since, replayed=steps, lost_steps=steps, lost_samples=samples,
        )  # fmt: skip
        return seating.batches

    def _resumed(self, when: float) -> None:
        """Note that a recovery has come to its first operation."""
        pause, self._pause = self._pause, None
        if pause is None:
            return
        place, seconds = self._seating.layout.place, max(when - pause.since, 0.0)
        factor = slower(self._seating.plan, self._stages())
        for rank in sorted(pause.lost):
            told, hint = errors.worker_recovered(
                rank, place(rank)[0], pause.recovery.start, pause.recovery.hosts[rank], seconds, pause.replayed, factor
            )
            self._run.add_incident(
                "notice" if pause.notice else "failover", f"{told} {hint}", worker=rank, stage=place(rank)[0],
                step=pause.recovery.start, pause=seconds, replayed=pause.replayed,
            )  # fmt: skip
        self._run.add_pause(self._stages(), pause.since, when, pause.recovery.start, self._generation)

    def _stand(self) -> None:
        """End what all ranks are doing, and wait until they have; who says nothing is lost in the end."""
        self._interrupt()
        while self._busy():
            self._take_message()
            self._raise_error()

    def _interrupt(self) -> None:
        # Nobody waits for the answers: who can be reached says itself that it has stopped.
        self._crew.tell(worker.interrupt, self._generation, ranks=self._living())

    # below: listening

    def _tick(self, ends: Sequence[int]) -> None:
        if self._saver is not None:
            self._saver.tick(self.save, ends, self.committed)

    def _living(self) -> list[int]:
        return [rank for rank, known in enumerate(self._ranks) if known.state != "lost"]

    def _busy(self) -> bool:
        return any(known.state == "busy" for known in self._ranks)

    def _lose(self, rank: int) -> None:
        if self._ranks[rank].state != "lost":
            self._ranks[rank].state = "lost"
            self._since = self._since or self._stopped_at(rank) or time.time()

    def _stopped_at(self, rank: int) -> float:
        """Return when we stopped a worker ourselves, if we did."""
        return 0.0 if self._chaos is None else self._chaos.when(rank)

    def _check_calls(self) -> None:
        """Give up ranks that could not be told what they were to be told."""
        for rank, call in list(self._calls.items()):
            if call.done():
                del self._calls[rank]
                if isinstance(answer(call), BaseException):
                    self._lose(rank)

    def _check_lost(self) -> None:
        if any(known.state == "lost" and rank not in self._known for rank, known in enumerate(self._ranks)):
            raise Lost

    def _until_idle(self, ends: Sequence[int] = (), since: tuple[float, float] | None = None) -> None:
        """Wait until all ranks stand; with `ends` while they train."""
        while self._busy():
            self._listen_once()
            if ends:
                self._tick(ends)
                if self._chaos is not None:
                    self._chaos.tick(self.committed)
                if self._change(len(self._known)):
                    raise Change
                if self._leaving - self._known:
                    self.pause()
            if since is not None:
                self._run._spent = since[1] + time.monotonic() - since[0]

    def _listen_once(self) -> None:
        """Take one message, if there is any, and raise what has to be raised."""
        if self._run.cancelled.is_set():
            raise Cancelled
        self._take_message()
        self._check_lost()
        self._raise_error()
        if self._failed is not None:
            if self._resilience == "none":
                self._explain(self._failed)
            raise Lost

    def _take_message(self) -> None:
        if self._run.cancelled.is_set():
            raise Cancelled
        self._check_calls()
        try:
            self._hear(self._crew.inbox.get(timeout=POLL))
        except queue.Empty:
            self._look()

    def _hear(self, message: dict[str, Any]) -> None:
        kind = message["kind"]
        if kind == "lost":
            rank = self._crew.rank_of(message["address"])
            if rank is not None:
                self._lose(rank)
            return
        if kind in ("saved", "unsaved"):
            if self._saver is not None:
                self._saver.hear(message)
            return
        if kind == "notice":
            self._notice(message["rank"])
            return
        if message["generation"] != self._generation:
            return
        known = self._ranks[message["rank"]]
        if known.state == "lost":
            return
        known.missed = 0
        known.batches = max(known.batches, message.get("batches", 0))
        if kind == "progress":
            report = pickle.loads(message["report"])
            self._run.take(message["rank"], self._generation, report, self._sizes, known.late)
            self._run.advance(self.committed)
        elif kind == "woken":
            self._resumed(message["when"] - known.late)
        elif kind == "joined":
            known.ended = kind
            if not known.trains:
                known.state = "idle"
        else:
            known.state, known.ended = "idle", kind
            known.begun = max(known.begun, message.get("begun", 0))
            if kind in ("peer", "error") and (self._failed is None or kind == "error"):
                self._failed = message

    def _notice(self, rank: int) -> None:
        if self._resilience != "redundant" or rank in self._known or rank in self._leaving:
            return
        stage = self._seating.layout.place(rank)[0]
        self._run.add_incident(
            "notice", f"worker {rank} (stage {stage}) will go; its work is handed over at the next commit.",
            worker=rank, stage=stage, step=self.committed,
        )  # fmt: skip
        self._leaving.add(rank)

    def _raise_error(self) -> None:
        """Raise what the model, the loss or the data raised on a worker."""
        if self._failed is not None and self._failed["kind"] == "error":
            raise pickle.loads(self._failed["error"])

    def _explain(self, reason: dict[str, Any]) -> None:
        """Wait for why a rank has failed: an error of the one that it could not reach, or that one's loss."""
        until = time.monotonic() + EXPLAIN
        while time.monotonic() < until:
            self._take_message()
            self._check_lost()
            self._raise_error()
        # Nobody says more: whom it could not reach is given up.
        self._lose(reason["peer"] if reason["peer"] >= 0 else reason["rank"])

    def _look(self) -> None:
        """See whether tasks and heartbeats are still there."""
        now = time.monotonic()
        if now - self._looked < LOOK:
            return
        self._looked = now
        for rank in self._crew.missing(self._living()):
            self._lose(rank)
        most = PATIENT if self._resilience == "none" else SILENT
        for rank in self._living():
            known = self._ranks[rank]
            beats = self._crew.beats(rank)
            if not beats:
                continue  # alone, or not yet among the others
            # Counted in looks: after a pause of our own (a stopped process, a sleeping laptop) nobody is blamed.
            known.missed = 0 if beats != known.beats else known.missed + 1
            known.beats = beats
            if known.missed * LOOK > most:
                self._run.add_incident(
                    "stall", f"worker {rank} has been silent for {known.missed * LOOK:.0f} s", worker=rank,
                    stage=self._seating.layout.place(rank)[0], step=self.committed,
                )  # fmt: skip
                self._lose(rank)
