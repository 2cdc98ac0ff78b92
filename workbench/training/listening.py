"""What is heard from the ranks of a run: progress, errors, notices, losses, and silence."""

from __future__ import annotations

import pickle
import queue
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from workbench.training import errors, worker
from workbench.training.crew import answer
from workbench.training.run import COMPUTE

if TYPE_CHECKING:
    from concurrent.futures import Future

    from workbench.training.chaos import Unrest
    from workbench.training.crew import Crew
    from workbench.training.roster import Roster
    from workbench.training.run import TrainRun
    from workbench.training.saver import Saver

__all__ = ["Cancelled", "Listener", "Lost"]

POLL = 0.05  # seconds between looks at what only asking tells
LOOK = 1.0  # seconds between looks at tasks and heartbeats
SILENT = 5.0  # seconds without a heartbeat after which a worker is cut off
PATIENT = 60.0  # the same for a run that its loss would end: a starved worker is no reason to end one
#: seconds without a message after which ranks are asked what they do; who is at one operation for as long, and for so
#: many times its longest one of that kind, is stalled
STALLED, MANY = 20.0, 10.0
FIRST = 600.0  # seconds of the first operation of a kind, which loads a lot
STARVED = 3.0  # seconds without a heartbeat that say that its machine has no time for a worker
EXPLAIN = 2.0  # seconds that a failed transfer waits for its reason: a lost worker, or an error on the other side


class Cancelled(Exception):
    """The run was cancelled."""


class Lost(Exception):
    """Workers were lost."""


class Listener:
    """Takes what ranks and their cluster tell, and notes it in their roster.

    Parameters
    ----------
    run : TrainRun
    crew : Crew
    roster : Roster
    sizes : callable
        Batch -> samples of its microbatches.
    woken : callable
        Called with the Unix time of the first operation of a generation, as one rank after the other tells it.
    resilience : {"none", "checkpoint", "redundant"}
    chaos : Unrest or None
    saver : Saver or None
    """

    def __init__(
        self,
        run: TrainRun,
        crew: Crew,
        roster: Roster,
        sizes: Callable[[int], list[int]],
        woken: Callable[[float], object],
        *,
        resilience: str,
        chaos: Unrest | None,
        saver: Saver | None,
    ) -> None:
        self._run, self._crew, self._roster, self._sizes, self._woken = run, crew, roster, sizes, woken
        self._resilience, self._chaos, self._saver = resilience, chaos, saver
        self._looked = 0.0
        #: what a rank failed with, until that is dealt with; when the first loss was noticed, until that is
        self.failed: dict[str, Any] | None = None
        self.since = 0.0
        #: looks in a row without a message, ranks that are asked what they do, and those that it was told of
        self._still = 0
        self._asked: dict[int, Future[Any]] = {}
        self._told: set[int] = set()
        #: what living ranks were told last, and have not answered
        self.calls: dict[int, Future[Any]] = {}

    def once(self) -> None:
        """Take one message, if there is any, and raise what has to be raised.

        Raises
        ------
        Cancelled
        Lost
            If a worker is lost, or could not be reached.
        Exception
            What the model, the loss or the data raised on a worker.
        """
        if self._run.cancelled.is_set():
            raise Cancelled
        self.take()
        self.check_lost()
        self.raise_error()
        if self.failed is not None:
            if self._resilience == "none":
                self._explain(self.failed)
            raise Lost

    def take(self) -> None:
        """Take one message, or look around if there is none for a moment."""
        if self._run.cancelled.is_set():
            raise Cancelled
        self._check_calls()
        if not self.hear():
            self._look()

    def hear(self) -> bool:
        """Note a message, or return that none comes."""
        try:
            self._note(self._crew.inbox.get(timeout=POLL))
        except queue.Empty:
            return False
        return True

    def lose(self, rank: int) -> None:
        """Note that a rank is lost."""
        if self._roster.ranks[rank].state != "lost":
            self._roster.ranks[rank].state = "lost"
            self._run.bill.staff(len(self._roster.living()))
            self.since = self.since or self._stopped_at(rank) or time.time()

    def give_up(self, failure: dict[str, Any]) -> None:
        """Note that the rank is lost that another could not reach, or that failed itself."""
        self.lose(failure["peer"] if failure["peer"] >= 0 else failure["rank"])

    def check_lost(self) -> None:
        """Raise `Lost` if a loss has not been dealt with."""
        if any(rank not in self._roster.replaced for rank in self._roster.lost()):
            raise Lost

    def raise_error(self) -> None:
        """Raise what the model, the loss or the data raised on a worker."""
        if self.failed is not None and self.failed["kind"] == "error":
            raise pickle.loads(self.failed["error"])

    def _stopped_at(self, rank: int) -> float:
        """Return when we stopped a worker ourselves, if we did."""
        return 0.0 if self._chaos is None else self._chaos.when(rank)

    def _check_calls(self) -> None:
        """Give up ranks that could not be told what they were to be told."""
        for rank, call in list(self.calls.items()):
            if call.done():
                del self.calls[rank]
                if isinstance(answer(call), BaseException):
                    self.lose(rank)

    def _note(self, message: dict[str, Any]) -> None:
        kind = message["kind"]
        if kind == "lost":
            rank = self._crew.rank_of(message["address"])
            if rank is not None:
                self.lose(rank)
            return
        if kind in ("saved", "unsaved"):
            if self._saver is not None:
                self._saver.hear(message)
            return
        if kind == "notice":
            self._notice(message["rank"])
            return
        if message["generation"] != self._roster.generation:
            return
        known = self._roster.ranks[message["rank"]]
        if known.state == "lost":
            return
        known.missed = self._still = 0
        self._told.discard(message["rank"])
        known.batches = max(known.batches, message.get("batches", 0))
        if kind == "progress":
            report = pickle.loads(message["report"])
            self._run.take(message["rank"], self._roster.generation, report, self._sizes, known.late)
            self._run.advance(self._roster.committed)
        elif kind == "woken":
            self._woken(message["when"] - known.late)
        elif kind == "joined":
            known.ended = kind
            if not known.trains:
                known.state = "idle"
        else:
            known.state, known.ended = "idle", kind
            known.begun = max(known.begun, message.get("begun", 0))
            if kind in ("peer", "error") and (self.failed is None or kind == "error"):
                self.failed = message

    def _notice(self, rank: int) -> None:
        roster = self._roster
        if self._resilience != "redundant" or rank in roster.replaced or rank in roster.leaving:
            return
        stage = roster.seating.layout.place(rank)[0]
        self._run.add_incident(
            "notice", f"worker {rank} (stage {stage}) will go; its work is handed over at the next commit.",
            worker=rank, stage=stage, step=roster.committed,
        )  # fmt: skip
        roster.leaving.add(rank)

    def _explain(self, reason: dict[str, Any]) -> None:
        """Wait for why a rank has failed: an error of the one that it could not reach, or that one's loss."""
        until = time.monotonic() + EXPLAIN
        while time.monotonic() < until:
            self.take()
            self.check_lost()
            self.raise_error()
        # Nobody says more: whom it could not reach is given up.
        self.give_up(reason)

    def _look(self) -> None:
        """See whether tasks and heartbeats are still there."""
        now = time.monotonic()
        if now - self._looked < LOOK:
            return
        self._looked = now
        for rank in self._crew.missing(self._roster.living()):
            self.lose(rank)
        self._look_closer()
        most = PATIENT if self._resilience == "none" else SILENT
        for rank in self._roster.living():
            known = self._roster.ranks[rank]
            beats = self._crew.beats(rank)
            if not beats:
                continue  # alone, or not yet among the others
            # Counted in looks: after a pause of our own (a stopped process, a sleeping laptop) nobody is blamed.
            known.missed = 0 if beats != known.beats else known.missed + 1
            known.beaten = known.beaten if known.missed else now
            known.beats = beats
            if known.missed * LOOK > most:
                self._run.add_incident(
                    "stall", f"worker {rank} has been silent for {known.missed * LOOK:.0f} s", worker=rank,
                    stage=self._roster.seating.layout.place(rank)[0], step=self._roster.committed,
                )  # fmt: skip
                self.lose(rank)

    def _look_closer(self) -> None:
        """Ask what ranks do of which nothing is heard, and give up who stays at one operation for too long."""
        roster, asked = self._roster, self._asked
        self._asked = {}
        at_work = [rank for rank in roster.living() if roster.ranks[rank].state == "busy" and roster.ranks[rank].trains]
        self._still = self._still + 1 if at_work else 0
        if self._still * LOOK < STALLED:
            return
        # All the others wait for it: what computes is what holds them up.
        # Where much else runs an answer may take longer than the time between two looks: it is waited for.
        asked = {rank: call for rank, call in asked.items() if rank in at_work}
        waiting = {rank: call for rank, call in asked.items() if not call.done()}
        for rank, told in {rank: answer(call) for rank, call in asked.items() if rank not in waiting}.items():
            if not isinstance(told, tuple) or rank in self._told:
                continue
            kind, stage, seconds, stack = told
            beat = time.monotonic() - roster.ranks[rank].beaten if roster.ranks[rank].beaten else 0.0
            longest = self._run.longest(rank, kind)
            most = FIRST if longest is None else max(STALLED, MANY * longest)
            if kind not in COMPUTE or seconds <= most or beat > STARVED:
                continue
            self._told.add(rank)
            warning = errors.peer_stalled(stage, seconds, beat)
            warnings.warn(warning, stacklevel=2)
            self._run.add_incident(
                "stall", f"{warning.message} It is at the {kind} of worker {rank}: {stack}", worker=rank, stage=stage,
                step=roster.committed,
            )  # fmt: skip
            if self._resilience != "none":  # where its loss would end the run, it may still come to an end itself
                self._crew.tell(worker.leave, ranks=[rank])
                self.lose(rank)
        others = [rank for rank in at_work if rank not in waiting]
        self._asked = {**waiting, **dict(zip(others, self._crew.tell(worker.doing, ranks=others), strict=True))}
