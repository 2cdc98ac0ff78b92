"""What a tracker does: it keeps the log of one attempt, judges evaluations, and says when to stop."""

from __future__ import annotations

import math
import os
import sys
import threading
import warnings
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter_ns, process_time_ns
from typing import TYPE_CHECKING, Any

from workbench.engine.errors import WorkbenchError, did_you_mean, one_line
from workbench.tta.arguments import Settings, number, step_of, whole
from workbench.tta.budget import Budgets
from workbench.tta.clock import DOWN, clock_seconds
from workbench.tta.evalset import wrong_count
from workbench.tta.judge import Crossed, Judge, Warned
from workbench.tta.pointlog import PointLog
from workbench.tta.problems import TTAWarning
from workbench.tta.projection import Earlier, Projection, arrived, pace
from workbench.tta.sink import new_id
from workbench.tta.spanlog import Open, SpanLog
from workbench.tta.statistics import accuracy_se
from workbench.tta.status import Status, StopTraining

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
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
    """

    id: str
    attempt: int
    started_ns: int
    log: Log


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
        self.history = Earlier([], self.steps)
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
        return perf_counter_ns() - self.zero if self.end_ns is None else self.end_ns

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

    def warn(self, message: str, hint: str, *, once: str = "", stacklevel: int = 4) -> None:
        """Keep a warning with the run, and give it."""
        with self.lock:
            if once and once in self.said:
                return
            self.said.add(once)
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
            for value in metrics.values():
                if type(value) is not float:
                    metrics = {name: number(value, name) for name, value in metrics.items()}
                    break
            time = now()
            if time < gate[0]:
                append((step, time, metrics))
            else:
                look(time, (step, time, metrics))

        return log

    def look(self, time: int, point: tuple[int, int, dict[str, float]] | None = None) -> None:
        """Look closer: whether the run is open, and whether it is to be left."""
        self.check_open("log")
        if point is not None:
            self.points.queue.append(point)
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

    # evaluations

    def evaluate(self, step: Any, n: Any, epoch: Any, metrics: Mapping[str, Any]) -> Status:
        """Take one evaluation."""
        self.check_open("eval")
        if self.stopping:
            raise self.leave(None)
        place = None if step is None else step_of(step)
        at_epoch = None if epoch is None else number(epoch, "epoch")
        judged = self.judged(n)
        if not metrics:
            raise WorkbenchError("eval needs a metric.", f"Write eval({self.target.metric}=…).")
        values, span, told = self.measure(metrics)
        if span is None:
            self.sync()
        time = perf_counter_ns() if span is None else span[1]
        with self.lock:
            self.check_open("eval")
            status, found = self.take(place, at_epoch, judged, values, time, None if span is None else span[0], told)
        for crossed in found:
            self.sink.crossing(self.crossing_row(crossed, status))
        if any(crossed.confirm == self.settings.confirm for crossed in found):
            told += self.take_fresh(status.value)
        for message, hint in told:
            self.warn(message, hint, stacklevel=5)
        if status.stop:
            raise self.leave(status)
        return status

    def judged(self, n: Any) -> int | None:
        """Return the samples judged; another number than declared is an error."""
        if n is None:
            return None
        count = whole(n, "n", 1, "n=10_000")
        declared = self.settings.eval_set.count
        if declared is not None and count != declared:
            raise wrong_count(count, declared)
        return count

    def measure(self, metrics: Mapping[str, Any]) -> tuple[dict[str, float], tuple[Open, int] | None, list[Warned]]:
        """Return the values of metrics; callables are run inside an `eval` span, which is returned with its end."""
        if not any(map(callable, metrics.values())):
            values = {name: number(value, name) for name, value in metrics.items()}
            told = []
            if not self.spans.in_eval and "eval" not in self.said:
                self.said.add("eval")
                told.append(
                    Warned(
                        "eval got a value outside an eval span, so its time counts as training.",
                        f"Pass {next(iter(metrics))}=lambda: ….",
                    )
                )
            return values, None, told
        span = self.open("eval")
        try:
            values = {
                name: number(value() if callable(value) else value, name)  # inside: reading a device takes time too
                for name, value in metrics.items()
            }
        finally:
            end = self.close(span)
        return values, (span, end), []

    def take(
        self, step: int | None, epoch: float | None, n: int | None, values: dict[str, float], time: int,
        span: Open | None, told: list[Warned],
    ) -> tuple[Status, list[Crossed]]:  # fmt: skip
        """Keep and judge an evaluation."""
        metric = self.target.metric
        if metric in values:
            self.judge.check(values[metric])
        at = self.count if step is None else step
        for name, value in values.items():
            if not math.isfinite(value):
                if (odd := self.judge.odd_value(name, value, at)) is not None:
                    told.append(odd)
                if name == metric and self.target.meets(value):
                    values[name] = math.nan  # an infinite accuracy is none
        told += self.odd_order(at, values)
        own = time - self.zero
        wall = own + self.offset
        seconds = self.spans.evaluated(wall, span) / 1e9
        cpu = process_time_ns() - self.cpu_zero
        energy = self.energy()
        used = None if energy is None else energy - self.energy_before
        rows = [(self.own_count, at, epoch, name, value, n, own, cpu, used) for name, value in values.items()]
        self.own_count += 1
        self.evals += rows
        self.count += 1
        self.sink.eval(rows)
        found: list[Crossed] = []
        if metric in values:
            value = values[metric]
            found = self.judge.judge(value)
            if found and found[0].confirm == 1:
                self.crossed_at = seconds
            if (low := self.judge.unit_warning()) is not None:
                told.append(low)
            self.judged_steps.append(at)
            self.judged_seconds.append(seconds)
        reading = self.spans.read(wall)
        reason = self.stopping or self.reason_to_stop(at, reading, wall, energy)
        self.stopping = reason
        self.set_gate(time, reading, wall)
        self.status = Status(
            reached=self.judge.reached,
            confirmed=self.judge.confirmed,
            stop=bool(reason),
            reason=reason,
            step=at,
            value=values.get(metric, math.nan),
            se=accuracy_se(
                values.get(metric, math.nan), n or self.settings.eval_set.count, percent=self.target.percent,
                goal=self.target.goal,
            ),
            seconds=seconds,
            cost_usd=self.cost(seconds),
            energy_j=math.nan if energy is None else energy / 1e3,
            projection=self.project(seconds),
        )  # fmt: skip
        self.changed()
        return self.status, found

    def odd_order(self, step: int, values: Mapping[str, float]) -> list[Warned]:
        """Return what is odd about where an evaluation stands and what it holds."""
        told = []
        last = self.judged_steps[-1] if self.judged_steps else -1
        if step < last and self.resumed_step is None and "order" not in self.said:
            self.said.add("order")
            told.append(
                Warned(
                    f"Step {step} comes after step {last}: evaluations count in the order logged.",
                    "After going back to a checkpoint, call resume(step).",
                )
            )
        metric = self.target.metric
        if metric not in values and not self.judged_steps and "metric" not in self.said:
            near = did_you_mean(metric, values)
            if near is not None:
                self.said.add("metric")
                told.append(Warned(f'The target is of "{metric}", but eval got "{near}".', f"Did you mean {metric}=…?"))
        return told

    def reason_to_stop(self, step: int, reading: int, wall: int, energy: int | None) -> str:
        """Return why the run is to be left, `""` if it is not."""
        if self.judge.confirmed and self.settings.stop:
            return "target"
        if spent := self.budgets.spent(reading, wall, energy):
            return spent
        if self.settings.hopeless and not self.judge.reached and self.earlier().hopeless(step):
            return "hopeless"
        return ""

    def crossing_row(self, crossed: Crossed, status: Status) -> dict[str, Any]:
        """Return the row of a crossing."""
        seq, step, epoch, metric, value, _, t_ns, _, _ = next(
            row for row in reversed(self.evals) if row[3] == self.target.metric
        )
        return {
            "metric": metric, "threshold": self.target.value, "confirm": crossed.confirm, "seq": seq, "step": step,
            "epoch": epoch, "value": value, "t_ns": t_ns, "seconds": status.seconds, "cost_usd": status.cost_usd,
            "energy_j": status.energy_j,
        }  # fmt: skip

    # projection

    def earlier(self) -> Earlier:
        """Return what earlier runs of the recipe with this schedule say."""
        if (reading := self.reading) is not None:
            reading.join(HISTORY_S)
            self.reading = None  # one that takes longer is not waited for again
        return self.history

    def plan(self, steps: int | None, schedule: str | None) -> None:
        """Take the planned length and schedule, and have the earlier runs with these read."""
        with self.lock:
            self.steps, self.schedule = steps, schedule
            self.history = Earlier([], steps)
            self.reading = None
            if steps is not None and (read := self.read_history) is not None:
                self.reading = threading.Thread(
                    target=self.read, args=(read, steps, schedule), name="workbench-tta-history", daemon=True
                )
                self.reading.start()
            self.changed()

    def read(self, read: Callable[[int, str | None], Any], steps: int, schedule: str | None) -> None:
        """Read earlier runs; those that cannot be read are none."""
        with suppress(Exception):  # told by who writes there
            found = Earlier(read(steps, schedule), steps)
            with self.lock:
                if (self.steps, self.schedule) == (steps, schedule):
                    self.history = found

    def project(self, seconds: float) -> Projection:
        """Return when the target will be reached, as seen from the last evaluation."""
        known = self.earlier()
        if self.judge.reached:
            return arrived(self.crossed_at, known.runs, known.reached)
        if not self.judged_steps:
            return known.project(None)
        return known.project(self.judged_steps[-1], seconds, pace(self.judged_steps, self.judged_seconds))

    # going on with an earlier attempt

    def join(self) -> None:
        """Put the earlier attempts before this one: one run, whose clocks go on."""
        previous = self.previous
        if previous is None or self.joined:
            return
        log = previous.log
        with self.lock:
            self.joined = True
            offset = max(self.started_ns - previous.started_ns, log.last_ns)
            earlier = [*log.spans, *([(DOWN, log.last_ns, offset, 0)] if offset > log.last_ns else [])]
            first_eval = min((row[6] for row in log.evals), default=None)
            self.spans.join(offset, earlier, first_eval)
            self.offset, self.cpu_before, self.energy_before = offset, log.cpu_ns or 0, log.energy_mj or 0
            self.earlier_evals = list(log.evals)
            self.count = self.own_count + (log.evals[-1][0] + 1 if log.evals else 0)
            self.judge_again()
            self.gate[0] = -1  # budgets are nearer now
            self.changed()
        seconds = round((offset - log.last_ns) / 1e9)
        down = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        clock = self.settings.clock
        counts = "left out" if clock in ("dawnbench", "algoperf") else "included"
        rest = "cost" if clock == "wall" else "wall and cost"
        self.warn(f"Run resumed after {down} down.", f"{clock} clock: {counts}; {rest}: included.", stacklevel=5)

    def judge_again(self) -> None:
        """Judge all evaluations of the run from the first on."""
        self.judge = Judge(self.target, self.settings.confirm)
        rows = [row for row in self.all_evals() if row[3] == self.target.metric]
        seconds = clock_seconds(
            self.spans.spans(self.now() + self.offset), [row[6] for row in rows], self.settings.clock
        )
        self.judged_steps = [row[1] for row in rows]
        self.judged_seconds = seconds.tolist()
        for row, at in zip(rows, self.judged_seconds, strict=True):
            if self.judge.judge(math.nan if row[4] is None else row[4]) and math.isnan(self.crossed_at):
                self.crossed_at = at

    def all_evals(self) -> list[tuple[Any, ...]]:
        """Return the evaluations of the run in its own time, those of earlier attempts first."""
        before, offset, cpu, energy = self.earlier_evals, self.offset, self.cpu_before, self.energy_before
        if not self.joined:
            return list(self.evals)
        first = before[-1][0] + 1 if before else 0
        return before + [
            (seq + first, step, epoch, metric, value, n, t + offset, used + cpu, None if mj is None else mj + energy)
            for seq, step, epoch, metric, value, n, t, used, mj in self.evals
        ]

    # fresh data

    def take_fresh(self, value: float) -> list[Warned]:
        """Judge on data held out to the end, once."""
        if self.settings.fresh is None or self.fresh_done:
            return []
        self.fresh_done = True
        span = self.open("eval")
        try:
            self.gap = number(self.settings.fresh(), "fresh") - value
        except Exception as error:
            return [Warned(f"fresh= failed ({one_line(error)}), so there is no gap.", "Return the metric as a number.")]
        finally:
            self.close(span)
        self.sink.update({"gap": self.gap})
        return []
