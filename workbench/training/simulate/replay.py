"""Training on machines that come and go, with honest costs: a loss kills the step in flight.

Between two events of the market training goes on evenly, so that its steps are counted and not queued.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from math import floor, inf, nan

from workbench.training.failover import should_reconfigure
from workbench.training.simulate.models import SimCosts
from workbench.training.simulate.outcome import Outcome
from workbench.training.simulate.workload import Unit, Work

__all__ = ["POLICIES", "Stretch", "replay"]

POLICIES = ("none", "checkpoint", "redundant")
_STOPPED, _FORMING, _RUNNING = range(3)
#: order of events of one time
_ADD, _REMOVE, _READY, _FORM = range(4)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Units that ran one after the other without a change.

    Attributes
    ----------
    start, seconds : float
        When the first one began, and what each takes.
    units : int
    lost : tuple of frozenset of int
        Ranks that each pipeline had lost.
    first_step : int
        Step with which the first unit began.
    """

    start: float
    seconds: float
    units: int
    lost: tuple[frozenset[int], ...]
    first_step: int


def replay(
    work: Work,
    events: Iterable[tuple[float, str, str]],
    *,
    policy: str,
    costs: SimCosts,
    price: float,
    duration: float | None,
    units: int | None = None,
    checkpoint: float = 300.0,
    checkpoint_steps: int | None = None,
    ready: bool = False,
) -> tuple[Outcome, list[Stretch]]:
    """Train on machines that come and go.

    Parameters
    ----------
    work : Work
    events : iterable of (s, "add" or "remove", node)
        In the order of time.
    policy : {"none", "checkpoint", "redundant"}
    costs : SimCosts
    price : float
        Dollars per machine-hour.
    duration : float or None
        Seconds; None: until so many units are done.
    units : int, optional
    checkpoint : float
        Seconds between the starts of two saves.
    checkpoint_steps : int, optional
        Steps between them, instead.
    ready : bool
        Whether machines added at 0 are ready and pipelines formed, as for a cluster of one's own.
    """
    run = _Replay(work, events, policy, costs, price, duration, units, checkpoint, checkpoint_steps)
    run.run(ready)
    return run.outcome(), run.stretches


class _Replay:
    def __init__(
        self,
        work: Work,
        events: Iterable[tuple[float, str, str]],
        policy: str,
        costs: SimCosts,
        price: float,
        duration: float | None,
        units: int | None,
        checkpoint: float,
        checkpoint_steps: int | None,
    ) -> None:
        self.work, self.policy, self.costs, self.price = work, policy, costs, price
        self.end = inf if duration is None else duration
        self.units_left = inf if units is None else units
        self.every, self.every_steps = checkpoint, checkpoint_steps
        self.save = work.state_seconds if costs.save is None else costs.save
        self.load = work.state_seconds if costs.load is None else costs.load
        self.heap = [
            (time, _ADD if action == "add" else _REMOVE, order, node)
            for order, (time, action, node) in enumerate(events)
        ]
        heapify(self.heap)
        self.pushed = len(self.heap)
        #: node -> whether it is ready, in the order of creation
        self.machines: dict[str, bool] = {}
        self.created: dict[str, float] = {}
        self.state = _STOPPED
        #: node -> (pipeline, rank), as pipelines were last formed; their machines hold what was trained
        self.placed: dict[str, tuple[int, int]] = {}
        self.lost: list[frozenset[int]] = []
        self.waiting = 0
        self.broken = self.must_load = self.changed = False
        #: seconds that forming pipelines takes this time, and again if a machine is lost meanwhile
        self.forming = 0.0
        self.unit = Unit(inf, 0.0, 0, 0)
        #: when the unit in flight began, or will begin after a pause
        self.clock = 0.0
        self.steps = self.samples = self.thrown = 0
        self.saved = (0, 0)
        self.saving: tuple[float, int, int] | None = None
        self.due: float = checkpoint if checkpoint_steps is None else checkpoint_steps
        self.removals: list[float] = []
        self.lived = self.area = self.noted = 0.0
        self.fatal = 0
        self.rows: list[tuple[float, int, int, float]] = []
        self.stretches: list[Stretch] = []

    # -- time --------------------------------------------------------------------------------------------------------

    def run(self, ready: bool) -> None:
        if ready:
            while self.heap:
                self.created[self.heap[0][3]] = 0.0
                self.machines[heappop(self.heap)[3]] = True
            self.form(0.0)
            self.row(0.0)
        now = 0.0
        while self.units_left > 0:
            then = min(self.heap[0][0] if self.heap else inf, self.end)
            if then == inf and self.state != _RUNNING:
                break
            self.advance(then)
            if self.heap and self.heap[0][0] < then:
                continue  # pipelines are formed anew in between
            now = then
            if not self.heap or self.heap[0][0] > self.end or self.units_left <= 0:
                break
            self.handle(now)
        if self.end == inf:
            self.end = self.clock if self.state == _RUNNING else 0.0 if now == inf else now
        self.cut_off()
        self.note(self.end)

    def handle(self, now: float) -> None:
        """Handle all events of one time and kind."""
        kind = self.heap[0][1]
        nodes = []
        while self.heap and self.heap[0][:2] == (now, kind):
            nodes.append(heappop(self.heap)[3])
        self.note(now)
        if kind == _ADD:
            for node in nodes:
                self.machines[node] = False
                self.created[node] = now
                self.push(now + self.costs.create, _READY, node)
        elif kind == _REMOVE:
            self.remove(now, [node for node in nodes if node in self.machines])
        elif kind == _READY:
            for node in nodes:
                if node in self.machines:
                    self.machines[node] = True
                    self.waiting += 1
                    self.changed = True
            if self.state == _STOPPED and self.enough():
                self.begin_forming(now, self.costs.global_rendezvous + (self.load if self.must_load else 0.0))
        elif kind == _FORM:
            if self.broken:
                self.begin_forming(now, self.forming)
            else:
                self.form(now)
        self.row(now)

    def push(self, time: float, kind: int, node: str = "") -> None:
        heappush(self.heap, (time, kind, self.pushed, node))
        self.pushed += 1

    def note(self, now: float) -> None:
        self.area += (now - self.noted) * len(self.machines)
        self.noted = now

    def row(self, now: float) -> None:
        running = self.state == _RUNNING
        pace = self.unit.samples / self.unit.seconds if running and self.unit.seconds else 0.0
        self.rows.append((now, len(self.machines), len(self.lost) if running else 0, pace))

    # -- training ----------------------------------------------------------------------------------------------------

    def advance(self, then: float) -> None:
        """Train until then, or until pipelines are to be formed anew after a step."""
        while self.state == _RUNNING and self.units_left > 0 and then > self.clock:
            seconds = self.unit.seconds
            if seconds <= 0:
                break
            if then == inf:
                count = self.units_left
            else:
                # A rounding error is no reason to lose a step that ends now.
                count = min(floor((then - self.clock) / seconds + 1e-9), self.units_left)
            if count < 1:
                return
            if not self.changed:
                self.train(int(count))
                return
            self.changed = False
            self.train(1)
            overloaded = sum(map(len, self.lost))
            due = should_reconfigure(overloaded, self.waiting, len(self.lost), self.work.ranks)
            if due and self.enough():  # else who runs two stages goes on, and nobody waits
                self.begin_forming(self.clock, self.costs.local_rendezvous)
                self.row(self.clock)

    def cut_off(self) -> None:
        """Count the steps of a span that the end finds on its way: nothing of it was lost."""
        if self.state == _RUNNING and self.unit.ends:
            done = bisect_right(self.unit.ends, self.end - self.clock)
            self.steps += done
            self.samples += self.unit.samples * done // self.unit.steps

    def train(self, count: int) -> None:
        unit, start = self.unit, self.clock
        last = self.stretches[-1] if self.stretches else None
        lost = tuple(self.lost)
        if last and last.lost == lost and abs(last.start + last.units * last.seconds - start) < 1e-9 * max(start, 1.0):
            self.stretches[-1] = Stretch(last.start, last.seconds, last.units + count, lost, last.first_step)
        else:
            self.stretches.append(Stretch(start, unit.seconds, count, lost, self.steps))
        if self.policy != "none":
            self.checkpoints(start, count)
        self.steps += count * unit.steps
        self.samples += count * unit.samples
        self.units_left -= count
        self.clock = start + count * unit.seconds

    def checkpoints(self, start: float, count: int) -> None:
        """Start the saves that are due within some units; each is complete a while later, and training goes on."""
        unit, done = self.unit, 0
        while True:
            if self.every_steps is None:
                done = max(done + 1, -floor((start - self.due) / unit.seconds + 1e-9))
            else:
                done = max(done + 1, -floor((self.steps - self.due) / unit.steps + 1e-9))
            if done > count:
                return
            now = start + done * unit.seconds
            if self.saving is not None and self.saving[0] > now:
                done = max(done, -floor((start - self.saving[0]) / unit.seconds + 1e-9) - 1)
                continue
            self.complete_save(now)
            self.saving = (now + self.save, self.steps + done * unit.steps, self.samples + done * unit.samples)
            if self.every_steps is None:
                self.due = now + self.every
            else:
                self.due = self.steps + done * unit.steps + self.every_steps

    def complete_save(self, now: float) -> None:
        if self.saving is not None and self.saving[0] <= now:
            self.saved, self.saving = self.saving[1:], None

    # -- losses ------------------------------------------------------------------------------------------------------

    def remove(self, now: float, nodes: list[str]) -> None:
        hit: dict[int, set[int]] = {}
        for node in nodes:
            if self.machines.pop(node):
                self.waiting -= node not in self.placed
                self.broken |= self.state == _FORMING
            self.removals.append(now)
            self.lived += now - self.created[node]
            place = self.placed.pop(node, None)
            if place is not None:
                hit.setdefault(place[0], set()).add(place[1])
        if not hit:
            return
        alive = self.policy == "redundant" and all(
            self.work.survives(self.lost[pipeline], frozenset(ranks)) for pipeline, ranks in hit.items()
        )
        if not alive:
            self.restore(now)
            return
        for pipeline, ranks in hit.items():
            self.lost[pipeline] |= ranks
        if self.state == _RUNNING:
            self.changed = True
            self.unit = self.work.unit(tuple(self.lost))
            self.clock = now + self.costs.detect + self.costs.rebuild

    def restore(self, now: float) -> None:
        """Go back to the last complete checkpoint, or to the start."""
        self.complete_save(now)
        self.saving = None
        if self.policy == "none":
            self.saved = (0, 0)
        steps, samples = self.saved
        self.thrown += self.samples - samples
        self.steps, self.samples = steps, samples
        self.due = self.every + now if self.every_steps is None else steps + self.every_steps
        self.fatal += 1
        self.placed, self.lost, self.must_load = {}, [], self.policy != "none"
        self.waiting = sum(self.machines.values())
        self.heap = [event for event in self.heap if event[1] != _FORM]
        heapify(self.heap)
        delay = self.costs.detect + self.costs.restart + (self.load if self.must_load else 0.0)
        self.begin_forming(now, delay)

    # -- forming pipelines -------------------------------------------------------------------------------------------

    def enough(self) -> bool:
        return sum(self.machines.values()) >= self.work.ranks

    def begin_forming(self, now: float, delay: float) -> None:
        self.state, self.broken, self.forming = _FORMING, False, delay
        self.push(now + delay, _FORM)

    def form(self, now: float) -> None:
        machines = [node for node, is_ready in self.machines.items() if is_ready]
        pipelines = len(machines) // self.work.ranks
        if not pipelines:
            # Who is left keeps what was trained, and waits.
            self.state = _STOPPED
            return
        self.must_load = False
        self.placed = {
            node: divmod(place, self.work.ranks) for place, node in enumerate(machines[: pipelines * self.work.ranks])
        }
        self.lost = [frozenset()] * pipelines
        self.waiting = len(machines) - len(self.placed)
        self.changed = False
        self.unit = self.work.unit(tuple(self.lost))
        self.state, self.clock = _RUNNING, now + self.unit.fill

    # -- result ------------------------------------------------------------------------------------------------------

    def outcome(self) -> Outcome:
        total = self.end
        machines = self.area / total if total > 0 else nan
        pace = self.samples / total if total > 0 else nan
        cost = machines * self.price
        gaps, lives = len(self.removals) - 1, len(self.removals) + len(self.machines)
        lived = self.lived + sum(total - self.created[node] for node in self.machines)
        return Outcome(
            seconds=total,
            steps=self.steps,
            samples=self.samples,
            lost_samples=self.thrown,
            throughput=pace,
            cost=cost,
            value=pace / cost if cost > 0 else nan,
            instances=machines,
            preemptions=len(self.removals),
            fatal_failures=self.fatal,
            interval_hours=(self.removals[-1] - self.removals[0]) / gaps / 3600 if gaps > 0 else 0.0,
            lifetime_hours=lived / lives / 3600 if lives else 0.0,
            rows=self.rows,
        )
