"""Bamboo's simulator as the design tells it, rule by rule, with nothing of ours: readers, draws, events, averages.

Each step is an event, nodes are looked for one by one, and curves are lists of points that are summed up at the end.
"""

from __future__ import annotations

import datetime as dt
import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from workbench.training import ModelSpec, RandomTrace

PRICE = 0.91
ADD, REMOVE, GENERATE, READY, GLOBAL, LOCAL, STEP = 1, 2, 3, 4, 5, 6, 7
CREATE_MS, GLOBAL_MS, HOUR_MS = 45_000, 30_000, 3_600_000

#: (ms, ADD or REMOVE, node)
Row = tuple[int, int, str]


class NoStepTime(Exception):
    """The model's table has no entry for so many pipelines."""


def rows_of(path: Path, seed: int = 0) -> tuple[list[Row], int]:
    """Read any kind of trace; return its rows in ms, and its length."""
    lines = [[field.strip() for field in line.split(",")] for line in path.read_text().splitlines() if line.strip()]
    if lines[0][1] in ("add", "remove"):
        kinds = {"add": ADD, "remove": REMOVE}
        rows = [(int(ms), kinds[action], node) for ms, action, node in lines]
        return rows, rows[-1][0]
    if len(lines[0]) == 3:
        day = dt.datetime(1970, 1, 1)
        moments = [Fraction((dt.datetime.fromisoformat(f"{a}T{b}") - day).total_seconds()) for a, b, _ in lines]
    else:
        moments = [Fraction(field) * (3600 if "." in field else 1) for field, _ in lines]
    counts: dict[Fraction, int] = {}
    for moment, count in sorted(zip(moments, (int(line[-1]) for line in lines), strict=True), key=lambda row: row[0]):
        counts[moment - min(moments)] = count
    draw, living, named, rows = random.Random(seed), list[int](), 0, list[Row]()
    for moment, count in counts.items():
        ms = round(moment * 1000)
        while len(living) < count:
            named += 1
            living.append(named)
            rows.append((ms, ADD, f"node{named}"))
        for number in draw.sample(sorted(living), len(living) - count) if len(living) > count else []:
            living.remove(number)
            rows.append((ms, REMOVE, f"node{number}"))
    return rows, round((max(moments) - min(moments)) * 1000)


class Market:
    """A random trace, drawn hour by hour."""

    def __init__(self, trace: RandomTrace, capacity: int, seed: int) -> None:
        self.draw, self.capacity, self.start_hour = random.Random(seed), capacity, trace.start_hour
        night, afternoon = range(3, 6), range(15, 23)
        add = [0.5 if hour in night else 0.0 if hour in afternoon else 0.05 for hour in range(24)]
        gone = [0.01 if hour in night else 0.25 if hour in afternoon else 0.05 for hour in range(24)]
        if trace.addition == "random":
            add = [self.draw.random() for _ in range(24)]
        elif trace.addition is not None:
            add = [float(trace.addition)] * 24
        self.add, self.gone = add, gone if trace.removal is None else [float(trace.removal)] * 24
        self.names = 0

    def name(self) -> str:
        self.names += 1
        return f"node{self.names}"

    def at_start(self) -> list[str]:
        return [self.name() for _ in range(self.capacity) if self.add[self.start_hour] > self.draw.random()]

    def moment(self, now: int) -> int:
        return now + 1000 * self.draw.randrange(0, 3600)

    def hour(self, now: int, living: list[str]) -> Iterator[Row]:
        hour = (self.start_hour + now // HOUR_MS) % 24
        removals = []
        for node in living:
            if self.gone[hour] > self.draw.random():
                removals.append((self.moment(now), node))
        additions = []
        for _ in range(self.capacity - len(living) + len(removals)):
            if self.add[hour] > self.draw.random():
                additions.append(self.moment(now))
        count = len(living)
        while removals or additions:
            first = min(removals, default=None)
            if first is not None and (not additions or first[0] < min(additions)):
                removals.remove(first)
                count -= 1
                yield first[0], REMOVE, first[1]
                continue
            ms = min(additions)
            additions.remove(ms)
            if count == self.capacity:
                continue
            count += 1
            node = self.name()
            yield ms, ADD, node
            if self.gone[hour] > self.draw.random() and (end := self.moment(now)) >= ms:
                removals.append((end, node))


class Entry:
    """What the heap holds: compared by time and kind alone."""

    def __init__(self, time: int, kind: int, about: Any) -> None:
        self.time, self.kind, self.about = time, kind, about

    def __lt__(self, other: Entry) -> bool:
        return (self.time, self.kind) < (other.time, other.kind)


class Reference:
    """One simulation; `run` gives its averages by the names of `Simulation`."""

    def __init__(self, spec: ModelSpec, market: list[Row] | Market, duration_ms: int | None) -> None:
        self.spec, self.market, self.duration = spec, market, duration_ms
        self.table = {count: round(seconds * 1000) for count, seconds in spec.step_seconds.items()}
        self.queue: list[Entry] = []
        self.born: dict[str, int] = {}  # living nodes in the order of their creation
        self.status: dict[str, str] = {}
        self.runs: dict[str, list[tuple[int, int]]] = {}
        self.system = "STOPPED"
        self.members: list[str] = []
        self.waiting = self.pipelines = self.version = self.step_ms = 0
        self.last_stage: int | None = None
        self.slowdown: tuple[int, int] | None = None  # steps done, time
        self.handled = False
        self.start: int | None = None
        self.ends: list[int] = []  # of the steps
        self.fatal = 0
        self.removed: list[tuple[int, int]] = []  # time, life
        self.curve: list[tuple[int, int]] = []

    def push(self, time: int, kind: int, about: Any = None) -> None:
        heapq.heappush(self.queue, Entry(time, kind, about))

    def run(self) -> dict[str, float]:
        if isinstance(self.market, Market):
            for node in self.market.at_start():
                self.push(0, ADD, node)
            self.push(0, GENERATE)
        else:
            for time, kind, node in self.market:
                self.push(time, kind, node)
        rules: dict[int, Callable[[int, Any], None]] = {
            ADD: self.add, REMOVE: self.remove, GENERATE: self.generate, READY: self.ready,
            GLOBAL: self.global_timeout, LOCAL: self.local_timeout, STEP: self.step,
        }  # fmt: skip
        now = 0
        while self.queue:
            entry = heapq.heappop(self.queue)
            if self.duration is not None and entry.time > self.duration:
                now = self.duration
                break
            now = entry.time
            rules[entry.kind](now, entry.about)
            if self.duration is None and len(self.ends) == self.spec.steps:
                break
            if now > 0 and not (self.queue and self.queue[0].time == now):
                self.curve.append((now, len(self.born)))
        return self.averages(now)

    # events

    def add(self, now: int, node: str) -> None:
        self.born[node], self.status[node], self.runs[node] = now, "CREATING", []
        self.push(now + CREATE_MS, READY, node)

    def ready(self, now: int, node: str) -> None:
        if node not in self.born:
            return
        self.status[node] = "READY"
        if self.system == "STOPPED":
            self.rendezvous(now, GLOBAL)
        elif self.system == "RENDEZVOUS":
            self.members.append(node)
        else:
            self.waiting += 1

    def rendezvous(self, now: int, kind: int) -> None:
        self.system = "RENDEZVOUS"
        self.gather(now, kind)

    def gather(self, now: int, kind: int) -> None:
        self.members = [node for node in self.born if self.status[node] in ("READY", "RUNNING")]
        self.push(now + (GLOBAL_MS if kind == GLOBAL else round(self.spec.local_rendezvous * 1000)), kind)

    def global_timeout(self, now: int, _: Any) -> None:
        self.timeout(now, GLOBAL)

    def local_timeout(self, now: int, _: Any) -> None:
        self.timeout(now, LOCAL)

    def timeout(self, now: int, kind: int) -> None:
        if any(node not in self.born for node in self.members):
            self.gather(now, kind)
            return
        stages = self.spec.stages
        self.pipelines = 0 if len(self.members) < stages else len(self.members) // stages
        self.last_stage = stages - 1 if self.pipelines else None
        positions = [(pipeline, stage) for pipeline in range(self.pipelines) for stage in range(stages)]
        self.waiting = 0
        for place, node in enumerate(self.members):
            if place < len(positions):
                self.status[node], self.runs[node] = "RUNNING", [positions[place]]
            else:
                self.status[node], self.runs[node] = "READY", []
                self.waiting += 1
        self.slowdown, self.handled, self.members = None, False, []
        self.version += 1
        if not self.pipelines:
            self.system = "STOPPED"
            return
        self.system = "RUNNING"
        if self.pipelines not in self.table:
            raise NoStepTime(self.pipelines)
        self.step_ms = self.table[self.pipelines]
        self.push(now + self.step_ms, STEP, self.version)
        if self.start is None:
            self.start = now

    def remove(self, now: int, node: str) -> None:
        status, held = self.status.pop(node), self.runs.pop(node)
        self.removed.append((now, now - self.born.pop(node)))
        if status == "RUNNING" and self.is_fatal(held):
            self.fatal += 1
            self.rendezvous(now, GLOBAL)
            return
        if self.system == "RUNNING" and self.slowdown is None:
            self.slowdown, self.handled = (len(self.ends), now), False
            self.step_ms = int(1.5 * self.step_ms)

    def is_fatal(self, held: list[tuple[int, int]]) -> bool:
        if len(held) == 2:
            return True
        ((pipeline, stage),) = held
        before = stage - 1 if stage > 0 else self.last_stage
        for other in self.born:
            if (pipeline, before) in self.runs[other]:
                if len(self.runs[other]) == 2:
                    return True
                self.runs[other].append((pipeline, stage))
                return False
        return False

    def generate(self, now: int, _: Any) -> None:
        assert isinstance(self.market, Market)
        self.push(now + HOUR_MS, GENERATE)
        for time, kind, node in self.market.hour(now, list(self.born)):
            self.push(time, kind, node)

    def step(self, now: int, version: int) -> None:
        if version != self.version:
            return
        if self.slowdown is not None and not self.handled and self.slowdown[0] == len(self.ends):
            self.push(now + int((now - self.slowdown[1]) * 0.5), STEP, version)
            self.handled = True
            return
        self.ends.append(now)
        overloaded = sum(len(held) == 2 for held in self.runs.values())
        active = self.pipelines * self.spec.stages - overloaded
        crowded = overloaded > 0 and (self.waiting >= overloaded or 2 * overloaded / active > 0.05)
        if crowded or (active + self.waiting) // self.spec.stages > self.pipelines:
            self.rendezvous(now, LOCAL)
        else:
            self.push(now + self.step_ms, STEP, version)

    # averages

    def averages(self, now: int) -> dict[str, float]:
        lives = [life for _, life in self.removed] + [now - born for born in self.born.values()]
        times = [time for time, _ in self.removed]
        gaps = [later - sooner for sooner, later in itertools.pairwise(times)]
        found = {
            "steps": float(len(self.ends)), "fatal_failures": float(self.fatal), "lost_samples": 0.0,
            "preemptions": float(len(times)),
            "interval_hours": sum(gaps) / len(gaps) / HOUR_MS if gaps else 0.0,
            "lifetime_hours": sum(lives) / len(lives) / HOUR_MS if lives else 0.0,
        }  # fmt: skip
        if self.start is None or not self.ends:
            return found
        curve = [(0, self.curve[0][1]), *self.curve]
        total = self.ends[-1]
        area = sum((b - a) * count for (a, count), (b, _) in itertools.pairwise(curve))
        area += (total - curve[-1][0]) * curve[-1][1]
        found["instances"] = area / total
        found["cost"] = found["instances"] * PRICE
        found["throughput"] = self.spec.samples_per_step * len(self.ends) / ((total - self.start) / 1000)
        weighted, place = 0.0, 0
        for begin, end in zip([self.start, *self.ends], self.ends, strict=False):
            used = 0
            while place + 1 < len(curve) and curve[place + 1][0] <= begin:
                place += 1
            at = place
            while at < len(curve) and curve[at][0] < end:  # each piece of the curve that the step lies in
                until = curve[at + 1][0] if at + 1 < len(curve) else end
                used += (min(until, end) - max(curve[at][0], begin)) * curve[at][1]
                at += 1
            length = end - begin
            pace, dollars = self.spec.samples_per_step * 1000 / length, PRICE * used / length
            weighted += length * pace / dollars
        found["value"] = weighted / (total - self.start)
        return found
