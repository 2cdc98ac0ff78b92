"""What a tracker does: it keeps the log of one attempt, judges evaluations, and says when to stop."""

from __future__ import annotations

import math
import os
import sys
import threading
import warnings
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from workbench.engine.errors import WorkbenchError
from workbench.tta.arguments import Settings, number, step_of
from workbench.tta.budget import Budgets
from workbench.tta.judge import Judge
from workbench.tta.pointlog import PointLog
from workbench.tta.problems import TTAWarning
from workbench.tta.projection import LEAST, Earlier, Projection, arrived, pace
from workbench.tta.sink import new_id
from workbench.tta.spanlog import Open, SpanLog
from workbench.tta.status import Status, StopTraining

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from workbench.tta.beside import Beside
    from workbench.tta.reading import Log
    from workbench.tta.store import Store

__all__ = ["FORKED", "Previous", "Tracking"]

#: seconds that an evaluation waits for earlier runs to be read
HISTORY_S = 1.0
#: `log` never has to look closer
_NEVER = 2**63 - 1

FORKED = ("This run was started before the process was forked.", "Log in the process that opened the tracker.")


@dataclass(frozen=True)
class Previous:
    """The attempt before this one.

    Attributes
    ----------
    id : str
    attempt : int
    started_ns : int
        UTC anchor of the first attempt of the run.
    log : Log
        Of all attempts so far, on one axis.
    notes, warnings : tuple of str
        Of all attempts so far.
    contended, first_in_process : bool
        Of any attempt so far, and of the first one.
    """

    id: str
    attempt: int
    started_ns: int
    log: Log
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    contended: bool = False
    first_in_process: bool = False


class Tracking:
    """One attempt under way. Its own times are nanoseconds since its start; the run's are `offset` later.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.target = settings.target
        self.id = new_id()
        self.pid = os.getpid()
        self.lock = threading.RLock()
        self.state = "new"
        #: grows with each change that can be seen
        self.version = 0
        # what it is
        self.steps, self.schedule = settings.steps, settings.schedule
        self.first_in_process = False
        self.zero = self.cpu_zero = self.started_ns = 0
        self.end_ns: int | None = None
        self.end_cpu_ns: int | None = None
        self.previous: Previous | None = None
        self.rank = 0
        self.store: Store | None = None
        self.checkpoints: Path | None = None
        self.joined = False
        self.resumed_step: int | None = None
        self.offset = self.cpu_before = self.energy_before = 0
        # what it has seen
        self.spans = SpanLog(settings.clock)
        self.points = PointLog()
        self.evals: list[tuple[Any, ...]] = []
        self.earlier_evals: list[tuple[Any, ...]] = []
        self.count = self.own_count = 0  # evaluations of the run, and of this attempt
        self.span_count = 0
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.gap = math.nan
        self.status = Status()
        # how it is judged
        self.judge = Judge(self.target, settings.confirm)
        rate = math.nan if settings.price is None else settings.price.rate
        self.rate = rate
        self.budgets = Budgets(settings.max_time, settings.max_cost, settings.max_energy, rate)
        self.history = [Earlier([], self.steps)]
        self.read_history: Callable[[int, str | None], Any] | None = None
        self.reading: threading.Thread | None = None
        self.judged_steps: list[int] = []
        self.judged_seconds: list[float] = []
        self.crossed_at = math.nan
        self.fresh_done = False
        self.said: set[str] = set()
        # how it is left
        self.gate = [_NEVER]
        self.stopping = ""
        self.forked = False
        # where it goes
        self.sink: Any = None
        self.beside: Beside | None = None

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return 1 if self.previous is None else self.previous.attempt + 1

    # time

    def now(self) -> int:
        """Return nanoseconds since the attempt's start, or its length once it has ended."""
        if self.end_ns is not None:
            return self.end_ns
        return perf_counter_ns() - self.zero if self.zero else 0

    def sync(self) -> None:
        """Wait for what a device still does."""
        if self.settings.sync is not None:
            self.settings.sync()
            return
        torch = sys.modules.get("torch")
        cuda = getattr(torch, "cuda", None)  # torch may be half imported
        if cuda is not None and cuda.is_initialized():
            cuda.synchronize()

    def energy(self) -> int | None:
        """Return millijoules so far, of all attempts; None if they are not measurable."""
        read = None if self.beside is None else self.beside.energy.read()
        return None if read is None else read + self.energy_before

    def cost(self, seconds: float) -> float:
        """Return what seconds cost, USD."""
        return seconds / 3600 * self.rate

    # whether it is open

    def check_open(self, what: str) -> None:
        """Raise where nothing can be logged."""
        if self.forked or self.pid != os.getpid():
            raise WorkbenchError(*FORKED)
        if self.state == "new":
            raise WorkbenchError("The tracker has not been entered.", "Write with wb.tta.Tracker(…) as t: around it.")
        if self.state != "running":
            raise WorkbenchError("The run has ended: nothing more is logged.", f"Call {what} inside the with block.")

    def changed(self) -> None:
        """Tell those who look that something is new."""
        self.version += 1

    def warn(self, message: str, hint: str, *, stacklevel: int = 4) -> None:
        """Keep a warning with the run, and give it at the line of the person who has called a method of the tracker."""
        with self.lock:
            self.keep_warning(message, hint)
        warnings.warn(TTAWarning(message, hint), stacklevel=stacklevel)

    def keep_warning(self, message: str, hint: str) -> None:
        """Keep a warning with the run."""
        self.warnings.append(f"{message} {hint}".strip())
        self.changed()
        if self.sink is not None and self.state == "running":
            self.sink.update({"warnings": list(self.warnings)})

    # spans

    def open(self, kind: str) -> Open:
        """Open a span."""
        self.sync()
        with self.lock:
            self.check_open("span")
            self.changed()
            return self.spans.open(kind, perf_counter_ns() - self.zero + self.offset)

    def close(self, span: Open) -> int:
        """Close a span; return when that was."""
        if not self.forked:
            self.sync()
        now = perf_counter_ns()
        with self.lock:
            if self.state == "running" and self.pid == os.getpid():
                self.put_spans(self.spans.close(span, now - self.zero + self.offset))
                self.changed()
        return now

    def put_spans(self, rows: list[Any]) -> None:
        """Hand closed spans to the sink, in the attempt's own time."""
        for kind, start, end, depth in rows:
            self.sink.span((self.span_count, kind, start - self.offset, end - self.offset, depth))
            self.span_count += 1

    # points

    def logger(self) -> Callable[..., None]:
        """Return the function that logs dense points; all that is not needed each time is outside of it."""
        append, gate, now, look = self.points.queue.append, self.gate, perf_counter_ns, self.look

        def log(step: int, **metrics: Any) -> None:
            if type(step) is not int or not 0 <= step <= _NEVER:
                step = step_of(step)
            time = now()
            for name, value in metrics.items():
                append((name, step, time, value if type(value) is float else number(value, name)))
            if time >= gate[0]:
                look(time)

        return log

    def look(self, time: int) -> None:
        """Look closer after a point: whether the run is open, and whether it is to be left."""
        self.check_open("log")
        with self.lock:
            wall = time - self.zero + self.offset
            reading = self.spans.read(wall)
            if not self.stopping:
                self.stopping = self.budgets.spent(reading, wall, self.energy() if self.limits_energy else None)
            self.set_gate(time, reading, wall)
        if self.stopping:
            raise self.leave(None)

    def set_gate(self, time: int, reading: int, wall: int) -> None:
        """Let `log` pass without a look for as long as no budget can be spent."""
        left = self.budgets.left_ns(reading, wall)
        self.gate[0] = _NEVER if left == math.inf else time + max(int(left), 0)
        if self.stopping or self.forked or self.state != "running":
            self.gate[0] = -1  # also where that has come about meanwhile

    @property
    def limits_energy(self) -> bool:
        """Whether there is a budget of energy."""
        return self.settings.max_energy is not None

    def tick(self) -> None:
        """Look after what no call may be there to look after; now and then, on a thread beside."""
        energy = self.energy() if self.limits_energy else None
        if energy is not None and energy >= self.budgets.energy_mj:
            self.gate[0] = -1

    def ask_to_stop(self) -> None:
        """Have the next `log` or `eval` leave the run."""
        with self.lock:
            if self.state == "running" and not self.stopping:
                self.stopping = "cancelled"
                self.gate[0] = -1
                self.changed()

    def leave(self, status: Status | None) -> StopTraining:
        """Return what leaves the block."""
        self.gate[0] = -1
        self.changed()
        if status is None:
            facts = {**self.status.__dict__, "stop": True, "reason": self.stopping}
            status = Status(**facts)
        return StopTraining(self.stopping, status, self.id)

    # projection

    def earlier(self) -> Earlier:
        """Return what earlier runs of the recipe with this schedule say."""
        if (reading := self.reading) is not None:
            reading.join(HISTORY_S)
            self.reading = None  # one that takes longer is not waited for again
        return self.history[0]

    def plan(self, steps: int | None, schedule: str | None) -> None:
        """Take the planned length and schedule, and have the earlier runs with these read."""
        with self.lock:
            self.steps, self.schedule = steps, schedule
            self.history = found = [Earlier([], steps)]
            self.reading = None
            if steps is not None and self.read_history is not None:
                self.reading = threading.Thread(
                    target=self._read, args=(found, steps, schedule), name="workbench-tta-history", daemon=True
                )
                self.reading.start()
            self.changed()

    def _read(self, found: list[Earlier], steps: int, schedule: str | None) -> None:
        """Read earlier runs; those that cannot be read are none. Takes no lock: who holds it may wait for this."""
        assert self.read_history is not None
        with suppress(Exception):  # told by who writes there
            found[0] = Earlier(self.read_history(steps, schedule), steps)

    def project(self, seconds: float) -> Projection:
        """Return when the target will be reached, as seen from the last evaluation."""
        known = self.earlier()
        if self.judge.reached:
            return arrived(self.crossed_at, known.runs, known.reached)
        if not self.judged_steps:
            return known.project(None)
        rate = pace(self.judged_steps, self.judged_seconds) if known.runs >= LEAST else math.nan
        return known.project(self.judged_steps[-1], seconds, rate)
