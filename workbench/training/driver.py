"""The driver of a run: generations, commits, and what happens when a worker is lost."""

from __future__ import annotations

import contextlib
import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.training import errors, handing, worker
from workbench.training.listening import Cancelled, Listener, Lost
from workbench.training.resilience import Loss, Recovery, decide, slower
from workbench.training.roster import Roster

if TYPE_CHECKING:
    import torch

    from workbench.training.chaos import Unrest
    from workbench.training.crew import Crew
    from workbench.training.resilience import Restore, Seating
    from workbench.training.run import TrainRun
    from workbench.training.saver import Saver

__all__ = ["Cancelled", "Change", "Driver", "Lost"]

SAVE = 60.0  # seconds that a run's end waits for a checkpoint on its way
LEAVE = 1.2  # seconds that a cancelled run waits for its workers
KEEP = 60.0  # seconds that ranks have to say what they keep
TRIES = 3  # transfers that fail in a row with nobody lost, before a rank is given up


class Change(Exception):
    """The run is to go on with other workers, or another plan."""


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
        self._run, self._crew, self._sizes = run, crew, sizes
        self._resilience, self._restore, self._chaos, self._saver = resilience, restore, chaos, saver
        self._change, self._rate, self._half = change, rate, half
        self._roster = Roster(seating)
        self._listener = Listener(
            run, crew, self._roster, sizes, self._resumed, resilience=resilience, chaos=chaos, saver=saver
        )
        #: the generation that the next training must be of: ranks join anew until it is
        self._wanted = 0
        self._tries = 0
        self._pause: _Pause | None = None
        #: (incident, since when, step from which is replayed or None) of going back, or of another seating, up to its
        #: first operation
        self._back: tuple[int, float, int | None] | None = None

    # the life of a run

    def start(self) -> None:
        """Put the run on its workers and let them find each other."""
        self._seat(self._roster.seating)
        # Who is lost on the way is missed by the first `go`.
        with contextlib.suppress(Lost):
            self._send(self._roster.seating.batches, None, join=True)
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
                    self._listener.check_lost()
                    self._send(at, last, join=self._roster.generation < self._wanted)
                    self._until_idle(ends=self._ends(at, last), since=(begun, before))
                    at = None
                    if self._roster.leaving - self._roster.replaced:
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

    def keep(self, batches: int) -> tuple[handing.Origin, ...] | None:
        """Have all ranks keep their stages as they are at a commit, at which they stand, beyond their seats.

        Returns
        -------
        tuple of Origin, or None
            Where each stage is to be had: first who runs it, then whose copy has seen the same updates. None if a
            stage is not to be had: a worker is lost.
        """
        roster, origins = self._roster, []
        living = roster.living()
        answers = self._crew.call(handing.keep, batches, ranks=living, patience=KEEP)
        told = {rank: answer for rank, answer in zip(living, answers, strict=True) if isinstance(answer, dict)}
        for stage in range(len(roster.seating.layout.stages)):
            runner = roster.at_work(stage)
            if runner is None or stage not in told.get(runner, {}):
                return None
            updates, names = told[runner][stage]
            others = [
                rank for rank, found in told.items() if rank != runner and found.get(stage, (None,))[0] == updates
            ]
            addresses = tuple(roster.seating.addresses[rank] for rank in (runner, *others))
            origins.append(handing.Origin(stage, names, addresses))
        return tuple(origins)

    def reseat(self, seating: Seating) -> None:
        """Go on with another seating, of a commit at which all ranks stand."""
        if self._saver is not None:
            self._saver.drop()
        self._seat(seating)

    def goes_on(self, incident: int, since: float) -> None:
        """Have an incident, since a Unix time, last until the first operation of the next training."""
        self._back = incident, since, None

    def gone_addresses(self) -> set[str]:
        """Return the workers that are lost, or have said that they will go."""
        return {self._roster.seating.addresses[rank] for rank in {*self._roster.lost(), *self._roster.leaving}}

    def save(self, batches: int, folder: str) -> set[int] | None:
        """Have every stage written as it is at a commit; return the stages, or None if a rank has passed it."""
        stages: dict[int, tuple[int, ...]] = {}
        every = range(len(self._roster.seating.layout.stages))
        for stage in every:
            rank = self._roster.at_work(stage)
            if rank is None:
                return None
            stages[rank] = (*stages.get(rank, ()), stage)
        answers = self._crew.call(worker.save, batches, folder, stages, ranks=stages)
        return set(every) if all(answer is True for answer in answers) else None

    def finish_saves(self) -> None:
        """Wait for what is being written, after the last step."""
        until = time.monotonic() + SAVE
        while self._saver is not None and self._saver.pending(self.committed) and time.monotonic() < until:
            self._listener.once()
            self._tick([self.committed])

    @property
    def committed(self) -> int:
        """Batches that all ranks have committed."""
        return self._roster.committed

    def weights(self, batches: int) -> dict[int, tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], Any]]:
        """Return weights, buffers and optimizer state of a commit, of each stage that a living rank has."""
        found: dict[int, Any] = {}
        for stage in range(len(self._roster.seating.layout.stages)):
            rank = self._roster.at_work(stage)
            if rank is not None:
                answer = self._crew.call(worker.fetch, batches, (stage,), ranks=[rank], patience=60.0)[0]
                if isinstance(answer, bytes):
                    found |= pickle.loads(answer)
        return found

    def halt(self) -> int:
        """Stop all ranks at their next operation; return the last commit that all living ones have."""
        self._interrupt()
        until = time.monotonic() + LEAVE
        while time.monotonic() < until and self._roster.busy():
            self._listener.hear()
        return self.committed

    def close(self) -> None:
        """Let the workers go; nothing of the run stays behind."""
        if self._chaos is not None:
            self._chaos.end()
        self._crew.unseat(range(len(self._roster.ranks)))
        self._crew.close()

    # below: generations

    def _seat(self, seating: Seating) -> None:
        """Put the run on the workers of a seating."""
        if self._roster.ranks:
            self._crew.unseat(range(len(self._roster.ranks)))
        self._roster.seat(seating)
        for rank in self._crew.seat(seating.addresses, seating.setups):
            self._listener.lose(rank)
        for rank in self._roster.living():
            self._roster.ranks[rank].late = self._crew.lateness(rank)
        self._run.bill.staff(len(self._roster.living()))
        self._wanted = self._roster.generation + 1
        if self._chaos is not None:
            self._chaos.begin(self._crew, len(self._roster.ranks))

    def _ends(self, first: int, last: int) -> list[int]:
        return [min(at + self._roster.seating.flush, last) for at in range(first, last, self._roster.seating.flush)]

    def _send(self, first: int, last: int | None, *, join: bool) -> None:
        """Begin a generation from a commit, if asked to, and train up to a batch, if there is one."""
        roster = self._roster
        if join:
            roster.generation += 1
        living, orders = roster.living(), dict[int, list[Any]]()
        for rank in living:
            known, orders[rank] = roster.ranks[rank], []
            known.state, known.ended, known.begun, known.trains = "busy", "", first, last is not None
            if join:
                known.batches = first
        if join:
            host, port = self._crew.store()
            gone = frozenset(roster.seating.addresses[rank] for rank in roster.lost())
            found = worker.Join(
                roster.generation, roster.stages(), host, port, roster.groups(), first, self._rate, self._half, gone
            )
            orders = {rank: [found] for rank in living}
        if last is not None:
            flush = roster.seating.flush
            spans = tuple((at, min(flush, last - at)) for at in range(first, last, flush))
            programs = {count: roster.programs(count) for count in {count for _, count in spans}}
            for rank in living:
                own = {count: list(made[rank]) for count, made in programs.items()}
                orders[rank].append(worker.Go(roster.generation, spans, own))
        messages = {rank: pickle.dumps(order, protocol=5) for rank, order in orders.items()}
        self._listener.calls = dict(zip(living, self._crew.tell(worker.command, messages, ranks=living), strict=True))

    def _ask(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call a function of `worker` on all living ranks, after what they were told before."""
        while self._listener.calls:
            self._listener.once()
        living = self._roster.living()
        answers = self._crew.tell(function, *arguments, ranks=living)
        self._listener.calls = dict(zip(living, answers, strict=True))
        while self._listener.calls:
            self._listener.once()
        return [call.result() for call in answers]

    def _tick(self, ends: Sequence[int]) -> None:
        if self._saver is not None:
            self._saver.tick(self.save, ends, self.committed)

    def _until_idle(self, ends: Sequence[int] = (), since: tuple[float, float] | None = None) -> None:
        """Wait until all ranks stand; with `ends` while they train."""
        while self._roster.busy():
            self._listener.once()
            if ends:
                self._tick(ends)
                if self._chaos is not None:
                    self._chaos.tick(self.committed)
                if self._change(len(self._roster.replaced)):
                    raise Change
                if self._roster.leaving - self._roster.replaced:
                    self.pause()
            if since is not None:
                self._run._spent = since[1] + time.monotonic() - since[0]

    # below: losses

    def _recover(self) -> int:
        """Have the survivors stand still, and do what is decided about the loss; return where to go on."""
        roster = self._roster
        self._stand()
        lost = frozenset(roster.lost())
        fresh, living = lost - roster.replaced, roster.living()
        self._tries = 0 if fresh else self._tries + 1
        if self._tries >= TRIES and self._listener.failed is not None:
            self._listener.give_up(self._listener.failed)
            return self._recover()
        self._listener.failed = None
        commits = {rank: roster.ranks[rank].batches for rank in living}
        begun = max((max(roster.ranks[rank].begun, roster.ranks[rank].batches) for rank in living), default=0)
        loss = Loss(lost, fresh, commits, begun)
        if not fresh:  # a transfer failed, and nobody is gone
            self._wanted = roster.generation + 1
            return loss.start
        return self._carry_out(loss)

    def _hand_over(self) -> int:
        """Take the work of ranks that will go to their holders; all stand at one commit."""
        roster = self._roster
        fresh = frozenset(roster.leaving) - roster.replaced
        lost = roster.replaced | fresh
        commits = {rank: roster.ranks[rank].batches for rank in roster.living() if rank not in fresh}
        loss = Loss(lost, fresh, commits, self.committed, notice=True)
        programs = roster.seating.programs(1)
        if not commits or decide(self._resilience, programs, roster.seating.plan, loss).kind != "failover":
            raise Change  # no neighbour can take it over: while all are there still, everything moves elsewhere
        self._listener.since = time.time()
        for rank in fresh:
            roster.ranks[rank].state = "lost"
        self._run.bill.staff(len(roster.living()))
        self._crew.tell(worker.leave, ranks=fresh)
        return self._carry_out(loss)

    def _carry_out(self, loss: Loss) -> int:
        """Do what is decided about a loss; return the batches from which to go on."""
        seating, living = self._roster.seating, self._roster.living()
        recovery = decide(self._resilience, seating.programs(1), seating.plan, loss)
        if not living and recovery.kind == "failover":
            recovery = Recovery("restore", 0, error=recovery.error)
        self._end_back(self._listener.since or time.time())  # what it was to begin with has not come to its start
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
        self._roster.replaced = loss.lost
        self._pause = _Pause(
            self._listener.since if missed is None else missed.since, recovery,
            loss.fresh if missed is None else loss.fresh | missed.lost,
            max(replayed, 0 if missed is None else missed.replayed), loss.notice,
        )  # fmt: skip
        self._listener.since = 0.0
        self._wanted = self._roster.generation + 1
        return recovery.start

    def _go_back(self, loss: Loss, recovery: Recovery) -> int:
        """Go on from the last checkpoint."""
        # with nobody left to ask, what is known is what has been told
        since, before = self._listener.since, self.committed if self._roster.living() else self._run.steps
        seating = None if self._restore is None else self._restore(loss)
        if seating is None:
            assert recovery.error is not None
            raise recovery.error
        steps = max(before - seating.batches, 0)
        samples = sum(sum(self._sizes(batch)) for batch in range(seating.batches, before))
        seconds = self._run.seconds_since(seating.batches)
        lost = sorted(loss.fresh)
        stage = self._roster.seating.layout.place(lost[0])[0]
        told = errors.replica_lost(lost, stage, seating.batches, steps, seconds)
        message = recovery.error.message if recovery.error is not None else told.message
        self._run.forget(seating.batches)
        self._listener.since, self._pause = 0.0, None
        self._seat(seating)
        number = self._run.add_incident(
            "restore", f"{message} {told.hint}", worker=lost[0], stage=stage, step=seating.batches,
            pause=time.time() - since, replayed=steps, lost_steps=steps, lost_samples=samples,
        )  # fmt: skip
        self._back = number, since, seating.batches
        return seating.batches

    def _resumed(self, when: float) -> None:
        """Note that a recovery has come to its first operation."""
        pause, self._pause = self._pause, None
        back = self._end_back(when)
        if back is not None and back[2] is not None:
            self._run.add_pause(self._roster.stages(), back[1], when, back[2], self._roster.generation)
        if pause is None:
            return
        place, seconds = self._roster.seating.layout.place, max(when - pause.since, 0.0)
        factor = slower(self._roster.seating.plan, self._roster.stages())
        for rank in sorted(pause.lost):
            facts = rank, place(rank)[0], pause.recovery.start, pause.recovery.hosts[rank], seconds
            if pause.notice:
                told, hint = errors.worker_handed_over(*facts, factor)
            else:
                told, hint = errors.worker_recovered(*facts, pause.replayed, factor)
            self._run.add_incident(
                "notice" if pause.notice else "failover", f"{told} {hint}", worker=rank, stage=place(rank)[0],
                step=pause.recovery.start, pause=seconds, replayed=pause.replayed,
            )  # fmt: skip
        self._run.add_pause(self._roster.stages(), pause.since, when, pause.recovery.start, self._roster.generation)

    def _end_back(self, when: float) -> tuple[int, float, int | None] | None:
        """Note when the pause of going back, or of another seating, was over; return what it was of."""
        back, self._back = self._back, None
        if back is not None:
            self._run.prolong(back[0], back[1], max(when, back[1]))
        return back

    def _stand(self) -> None:
        """End what all ranks are doing, and wait until they have; who says nothing is lost in the end."""
        self._interrupt()
        while self._roster.busy():
            self._listener.take()
            self._listener.raise_error()

    def _interrupt(self) -> None:
        # Nobody waits for the answers: who can be reached says itself that it has stopped.
        self._crew.tell(worker.interrupt, self._roster.generation, ranks=self._roster.living())
