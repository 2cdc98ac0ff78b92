"""The rules of Bamboo's simulator, to its last peculiarity: the same counts, the same averages.

Times are whole milliseconds. Events of one time and kind leave the queue in the order that `heapq` gives them, which
depends on all that was pushed before. Steps between two other events are nevertheless counted, not queued: pushing an
event that is earlier than all others and popping it again mostly leaves a heap as it was, and where it does not, the
steps go one by one.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush
from operator import is_

from workbench.training.errors import SimulationError
from workbench.training.failover import should_reconfigure
from workbench.training.simulate.models import ModelSpec, SimCosts
from workbench.training.simulate.outcome import Outcome
from workbench.training.traces import HOUR, Arrivals, Event

__all__ = ["replay"]

_ADD, _REMOVE, _GENERATE, _READY, _GLOBAL, _LOCAL, _STEP = range(1, 8)
_STOPPED, _RENDEZVOUS, _RUNNING = range(3)


class _Event(int):
    """`time * 8 + kind`, which is all that is compared, with what it is about."""

    about: object


class _Machine:
    __slots__ = ("positions", "ready", "running", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.ready = self.running = False
        #: (pipeline, stage) that it runs
        self.positions: list[tuple[int, int]] = []


def replay(
    spec: ModelSpec,
    events: Iterable[Event] | Arrivals,
    *,
    costs: SimCosts,
    price: float,
    duration: float | None = None,
) -> Outcome:
    """Train a model on machines that come and go.

    Parameters
    ----------
    spec : ModelSpec
    events : iterable of (ms, action, node), or Arrivals
        A trace in its order, or draws.
    costs : SimCosts
        Its creation and global rendezvous; the local one is the model's.
    price : float
        Dollars per machine-hour.
    duration : float, optional
        Seconds; else until the model's number of steps, or the last event.

    Raises
    ------
    SimulationError
        For more pipelines than the model's table has, and for training that would never end.
    """
    run = _Replay(spec, events, costs, price, None if duration is None else round(duration * 1000))
    run.run()
    return run.outcome()


class _Replay:
    def __init__(
        self,
        spec: ModelSpec,
        events: Iterable[Event] | Arrivals,
        costs: SimCosts,
        price: float,
        duration: int | None,
    ) -> None:
        self.spec, self.price, self.duration = spec, price, duration
        self.create, self.rendezvous_ms = round(costs.create * 1000), round(costs.global_rendezvous * 1000)
        self.local_ms = round(spec.local_rendezvous * 1000)
        self.limit = spec.steps if duration is None else None
        self.heap: list[_Event] = []
        self.machines: dict[str, _Machine] = {}
        self.state = _STOPPED
        self.gathered: list[str] = []
        self.waiting = self.pipelines = self.stages = self.version = 0
        #: machines with two positions
        self.overloaded = 0
        self.step_ms = 0
        #: steps done and time at which a loss made steps slower
        self.slowed: tuple[int, int] | None = None
        self.handled = False
        self.steps = self.fatal = 0
        self.start = self.previous = -1
        self.removals: list[int] = []
        self.lived = 0
        self.ended = 0
        # The machines' curve: its integral up to `changed`, from where on there are `count`; None before its first
        # value, which holds from 0.
        self.area = 0
        self.changed = 0
        self.count: int | None = None
        #: sum over steps of milliseconds of the step over its machine-milliseconds
        self.samples_per_machine = 0.0
        self.area_before = 0
        self.rows: list[tuple[int, int, int, int]] = []
        self.arrivals = events if isinstance(events, Arrivals) else None
        if self.arrivals is not None:
            for node in self.arrivals.first():
                self.push(0, _ADD, node)
            self.push(0, _GENERATE)
            if self.limit is None and duration is None:
                raise _endless(spec)
        else:
            assert not isinstance(events, Arrivals)
            for time, action, node in events:
                self.push(time, _ADD if action == "add" else _REMOVE, node)

    def push(self, time: int, kind: int, about: object = None) -> None:
        event = _Event(time * 8 + kind)
        event.about = about
        heappush(self.heap, event)

    def run(self) -> None:
        heap, duration = self.heap, self.duration
        handlers = (
            None, self.add, self.remove, self.generate, self.ready, self.global_timeout, self.local_timeout, self.step,
        )  # fmt: skip
        now = 0
        while heap:
            event = heappop(heap)
            now, kind = event >> 3, event & 7
            if duration is not None and now > duration:
                now = duration
                break
            handlers[kind](now, event.about)  # type: ignore[misc]
            if self.limit is not None and self.steps == self.limit:
                now = self.previous
                break
            if (not heap or heap[0] >> 3 != now) and now:
                self.note(now)
        self.ended = now

    def note(self, now: int) -> None:
        """Note the machines there are once all events of a time are done."""
        count = len(self.machines)
        if count == self.count:
            return
        if self.count is None:
            self.area = now * count
            self.row(0)
        else:
            self.area += (now - self.changed) * self.count
            self.row(now)
        self.changed, self.count = now, count

    def row(self, now: int) -> None:
        self.rows.append((now, len(self.machines), self.pipelines, self.step_ms if self.state == _RUNNING else 0))

    def integral(self, now: int) -> int:
        """Return the machine-milliseconds from 0 to now, which no change follows yet."""
        count = len(self.machines) if self.count is None else self.count
        return self.area + (now - self.changed) * count

    # -- machines ----------------------------------------------------------------------------------------------------

    def add(self, now: int, node: object) -> None:
        self.machines[str(node)] = _Machine(now)
        self.push(now + self.create, _READY, node)

    def ready(self, now: int, node: object) -> None:
        machine = self.machines.get(str(node))
        if machine is None:
            return
        machine.ready = True
        if self.state == _STOPPED:
            self.begin_rendezvous(now, _GLOBAL)
        elif self.state == _RENDEZVOUS:
            self.gathered.append(str(node))
        else:
            self.waiting += 1

    def remove(self, now: int, node: object) -> None:
        machine = self.machines.pop(str(node), None)
        if machine is None:
            return
        self.removals.append(now)
        self.lived += now - machine.start
        if machine.running and self.is_fatal(machine):
            self.fatal += 1
            self.begin_rendezvous(now, _GLOBAL)
            return
        if self.state == _RUNNING and self.slowed is None:
            self.slowed, self.handled = (self.steps, now), False
            self.step_ms = int(1.5 * self.step_ms)
            self.row(now)

    def is_fatal(self, machine: _Machine) -> bool:
        """Let the neighbour take a lost machine's position over, if it can."""
        if len(machine.positions) > 1:
            self.overloaded -= 1
            return True
        pipeline, stage = machine.positions[0]
        before = (pipeline, stage - 1 if stage else self.stages - 1)
        for other in self.machines.values():
            if before in other.positions:
                if len(other.positions) > 1:
                    return True
                other.positions.append((pipeline, stage))
                self.overloaded += 1
                break
        return False

    def generate(self, now: int, about: object) -> None:
        assert self.arrivals is not None
        self.push(now + HOUR, _GENERATE)
        for time, action, node in self.arrivals.hour(now, list(self.machines)):
            self.push(time, _ADD if action == "add" else _REMOVE, node)

    # -- forming pipelines -------------------------------------------------------------------------------------------

    def begin_rendezvous(self, now: int, kind: int) -> None:
        self.state = _RENDEZVOUS
        self.gather(now, kind)

    def gather(self, now: int, kind: int) -> None:
        self.gathered = [node for node, machine in self.machines.items() if machine.ready or machine.running]
        self.push(now + (self.rendezvous_ms if kind == _GLOBAL else self.local_ms), kind)

    def global_timeout(self, now: int, about: object) -> None:
        self.timeout(now, _GLOBAL)

    def local_timeout(self, now: int, about: object) -> None:
        self.timeout(now, _LOCAL)

    def timeout(self, now: int, kind: int) -> None:
        if any(node not in self.machines for node in self.gathered):
            self.gather(now, kind)
            return
        count, stages = len(self.gathered), self.spec.stages
        self.pipelines, self.stages = (count // stages, stages) if count >= stages else (0, 0)
        placed = self.pipelines * self.stages
        for place, node in enumerate(self.gathered):
            machine = self.machines[node]
            self.overloaded -= len(machine.positions) > 1
            machine.running = place < placed
            machine.ready = not machine.running
            machine.positions = [divmod(place, stages)] if machine.running else []
        self.waiting = count - placed
        self.slowed, self.handled = None, False
        self.version += 1
        self.gathered = []
        if not self.pipelines:
            self.state = _STOPPED
            self.row(now)
            return
        self.state = _RUNNING
        self.step_ms = round(self.spec.seconds(self.pipelines) * 1000)
        if self.step_ms < 1:
            raise SimulationError(f"{self.spec.name} has steps of no time.", "Give step_seconds above zero.")
        if self.start < 0:
            self.start = self.previous = now
            self.area_before = self.integral(now)
        self.row(now)
        self.push(now + self.step_ms, _STEP, self.version)

    # -- steps -------------------------------------------------------------------------------------------------------

    def step(self, now: int, version: object) -> None:
        if version != self.version:
            return
        if self.slowed is not None and not self.handled and self.slowed[0] == self.steps:
            self.handled = True
            self.push(now + int((now - self.slowed[1]) * 0.5), _STEP, version)
            return
        area = self.integral(now)
        used = area - self.area_before
        length = now - self.previous
        self.samples_per_machine += length / used if used else float("nan")
        self.steps += 1
        self.previous, self.area_before = now, area
        if should_reconfigure(self.overloaded, self.waiting, self.pipelines, self.spec.stages):
            self.begin_rendezvous(now, _LOCAL)
            return
        skipped = self.skippable(now)
        if skipped:
            now += skipped * self.step_ms
            self.steps += skipped
            self.samples_per_machine += skipped / len(self.machines)
            self.previous, self.area_before = now, self.integral(now)
            if self.limit is not None and self.steps == self.limit:
                return
        self.push(now + self.step_ms, _STEP, version)

    def skippable(self, now: int) -> int:
        """Return how many steps come before any other event and leave the queue as it is."""
        heap, step = self.heap, self.step_ms
        if not heap and self.limit is None and self.duration is None:
            raise _endless(self.spec)
        if heap:
            # All steps whose key is below that of the first event.
            count = (heap[0] - 1 - now * 8 - _STEP) // (step * 8)
        else:
            assert self.limit is not None or self.duration is not None
            count = self.limit if self.limit is not None else self.duration // step  # type: ignore[operator]
        if self.limit is not None:
            count = min(count, self.limit - self.steps)
        if self.duration is not None:
            count = min(count, (self.duration - now) // step)
        # The machines counted at this moment must be those of the whole stretch.
        if count < 2 or self.count != len(self.machines):
            return 0
        before = heap[:]
        event = _Event((now + step) * 8 + _STEP)
        heappush(heap, event)
        heappop(heap)
        if all(map(is_, heap, before)):
            return count
        heap[:] = before
        return 0

    # -- result ------------------------------------------------------------------------------------------------------

    def outcome(self) -> Outcome:
        trained = self.steps > 0
        total = self.previous if trained else 0
        time = total / 1000
        nan = float("nan")
        machines = nan
        if total:
            machines = self.integral(total) / total
        seconds = (self.previous - self.start) / 1000 if trained else 0.0
        samples = self.steps * self.spec.samples_per_step
        gaps = len(self.removals) - 1
        lives = len(self.removals) + len(self.machines)
        lived = self.lived + sum(self.ended - machine.start for machine in self.machines.values())
        hourly = 1000 * self.spec.samples_per_step
        value = nan
        if trained and self.price and seconds:
            value = self.samples_per_machine * hourly / (self.price * (self.previous - self.start))
        return Outcome(
            seconds=time,
            steps=self.steps,
            samples=samples,
            lost_samples=0,
            throughput=samples / seconds if seconds else nan,
            cost=machines * self.price,
            value=value,
            instances=machines,
            preemptions=len(self.removals),
            fatal_failures=self.fatal,
            interval_hours=(self.removals[-1] - self.removals[0]) / gaps / HOUR if gaps > 0 else 0.0,
            lifetime_hours=lived / lives / HOUR if lives else 0.0,
            rows=[
                (at / 1000, nodes, pipelines, self.spec.samples_per_step * 1000 / step if step else 0.0)
                for at, nodes, pipelines, step in self.rows
            ],
        )


def _endless(spec: ModelSpec) -> SimulationError:
    return SimulationError(f"{spec.name} has no number of steps, and would train without end.", 'Give duration="12h".')
