"""Runs the programs of all ranks in simulated time.

A rank runs its operations in order. Sends do not wait; a receive waits for its message. A machine has one half-duplex
channel for all its messages, first come first served: a message takes its time on the sender's channel, and the same
time on the receiver's, where it starts no earlier. Where each direction has a share of the channel, messages wait only
for those of their own. A reduce starts when all its members are there and keeps them all; it does not take the channel,
as in the planner's cost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import sqrt
from random import Random

from workbench.training.errors import ScheduleError
from workbench.training.op import COMPUTE, RECEIVES, SENDS, Op

__all__ = ["Durations", "Programs", "Schedule", "interpret", "members_of"]

Programs = Mapping[int, Sequence[Op]]
#: receiver, kind of receive, sending stage, microbatch, step, sender
_Key = tuple[int, str, int, int, int, int]
#: share of a time that is left to rounding
_SLACK = 1e-12
#: key, place in the sender's program, the receiver's channel, seconds
_Message = tuple[_Key, int, int, float]


@dataclass(frozen=True, slots=True)
class Durations:
    """What operations take, in seconds; what is left out takes none.

    Parameters
    ----------
    busy : dict of str to dict of int to float
        Kind -> stage -> seconds on the rank (`forward`, `backward`, `frc`, `brc`, `load`, `step`).
    transfer : dict of str to dict of int to float
        Kind of send -> sending stage -> seconds on the link.
    bytes : dict of str to dict of int to float
        Kind of send -> sending stage -> bytes.
    reduce : callable
        (stage, members) -> seconds.
    reduce_bytes : callable
        (stage, members) -> bytes that each member sends.
    level : dict of str to dict of int to int
        Kind of send -> sending stage -> level of the link; left out is level 0.
    units : sequence of dict of int to int
        For each level: rank -> the unit whose one channel it shares. Empty: each rank has its own, at all levels.
    lag : dict of str to dict of int to float
        Kind of send -> sending stage -> seconds that a message takes after the channel is free again.
    crowd : dict of str to sequence of float
        Kind of `busy` -> how many times as long it takes while none, one, two, … ranks are at work, all of them in the
        end. Empty: as long as alone.
    one_way : float
        Share of the channel that messages of one direction have: below one, each direction has its own.
    toll : tuple of float
        Seconds of work that a sender, and a receiver, loses for each byte of a message while that is under way.
    spread : float
        Variance of what a second of work takes, in seconds: work is then drawn from normal distributions.
    """

    busy: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    transfer: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    bytes: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    reduce: Callable[[int, int], float] = lambda stage, members: 0.0
    reduce_bytes: Callable[[int, int], float] = lambda stage, members: 0.0
    level: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    units: Sequence[Mapping[int, int]] = ()
    lag: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    crowd: Mapping[str, Sequence[float]] = field(default_factory=dict)
    one_way: float = 1.0
    toll: tuple[float, float] = (0.0, 0.0)
    spread: float = 0.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """When each operation ran: lists in the order of each rank's program.

    Parameters
    ----------
    programs : dict
    start, end : dict of int to list of float
        Seconds since the span began. A send starts when its channel takes it and ends when its message is there; a
        receive starts when its rank begins to wait.
    order : dict of int to list of int
        Place of each operation in one order in which all of them, of all ranks, could be run one after the other.
    seconds : float
        When the last rank was done.
    """

    programs: Programs
    start: dict[int, list[float]]
    end: dict[int, list[float]]
    order: dict[int, list[int]]
    seconds: float

    def busy(self) -> dict[int, float]:
        """Return the seconds in which each rank computes."""
        return {
            rank: sum(self.end[rank][i] - self.start[rank][i] for i, op in enumerate(ops) if op.kind in COMPUTE)
            for rank, ops in self.programs.items()
        }

    def bubble(self) -> float:
        """Return the share of the ranks' time in which they do not compute."""
        available = self.seconds * len(self.programs)
        return 1 - sum(self.busy().values()) / available if available > 0 else 0.0


def interpret(programs: Programs, durations: Durations, seed: int = 0) -> Schedule:
    """Run all programs to their end.

    Parameters
    ----------
    programs : dict of int to sequence of Op
    durations : Durations
    seed : int
        Of what is drawn, for each rank in the order of its operations; unused where work has no spread.

    Raises
    ------
    ScheduleError
        If ranks wait for one another in a circle, or a message is sent or awaited alone.
    """
    return _Interpreter(programs, durations, seed).run()


class _Interpreter:
    def __init__(self, programs: Programs, durations: Durations, seed: int) -> None:
        self.programs, self.durations = programs, durations
        self.schedule = Schedule(
            programs,
            {rank: [0.0] * len(ops) for rank, ops in programs.items()},
            {rank: [0.0] * len(ops) for rank, ops in programs.items()},
            {rank: [0] * len(ops) for rank, ops in programs.items()},
            0.0,
        )
        #: the operation that each rank is at
        self.at = dict.fromkeys(programs, 0)
        #: when each channel is free: both directions of it at once, or each by itself, (channel, whether it is out)
        self.free: dict[tuple[int, bool], float] = {}
        self.levels = bool(durations.units)
        self.members = members_of(programs)
        self.gathered: dict[tuple[int, int], list[int]] = {}
        self.arrived: dict[_Key, float] = {}
        self.waiting: set[_Key] = set()
        # (time, tie, rank that goes on, None), or (time, tie, sender, message that its channel takes now)
        self.heap: list[tuple[float, int, int, _Message | None]] = []
        self.ties = 0
        self.places = 0
        #: rank at work -> seconds that are left, if it were alone, and the kind; since when, and a number of the change
        self.working: dict[int, tuple[float, str]] = {}
        self.since = 0.0
        self.change = 0
        self.dynamic = bool(durations.crowd or any(durations.toll))
        #: rank -> (begin, end, seconds of work) of messages under way that it has yet to lose work to
        self.owed: dict[int, list[tuple[float, float, float]]] = {}
        self.drawn = {rank: Random(f"{seed} {rank}") for rank in programs} if durations.spread else {}

    def run(self) -> Schedule:
        for rank in self.programs:
            self.push(0.0, rank)
        heap, now = self.heap, 0.0
        while heap:
            now, _, rank, message = heappop(heap)
            if message is None:
                if rank >= 0:
                    self.go_on(rank, now)
                elif -rank == self.change:
                    self.finish(now)
            else:
                self.deliver(rank, now, *message)
        self.check_complete()
        done = self.schedule
        return Schedule(done.programs, done.start, done.end, done.order, now)

    def push(self, time: float, rank: int, message: _Message | None = None) -> None:
        heappush(self.heap, (time, self.ties, rank, message))
        self.ties += 1

    def go_on(self, rank: int, now: float) -> None:
        """Run a rank's operations from now until one takes time."""
        ops, busy = self.programs[rank], self.durations.busy
        starts, ends, order = self.schedule.start[rank], self.schedule.end[rank], self.schedule.order[rank]
        position = self.at[rank]
        while position < len(ops):
            op = ops[position]
            kind = op.kind
            starts[position] = ends[position] = now
            order[position] = self.places
            self.places += 1
            self.at[rank] = position
            if kind in busy:
                seconds = busy[kind].get(op.stage, 0.0)
                if seconds > 0 and self.drawn:
                    noise = self.drawn[rank].gauss(0.0, sqrt(self.durations.spread * seconds))
                    seconds = max(seconds + noise, seconds / 2)
                if seconds > 0 and self.dynamic:
                    self.at[rank] = position + 1
                    self.elapse(now)
                    self.working[rank] = seconds + self.pay(rank, now, seconds), kind
                    self.next_end(now)
                    return
                if seconds > 0:
                    ends[position] = now + seconds
                    self.at[rank] = position + 1
                    self.push(now + seconds, rank)
                    return
            elif kind in SENDS:
                self.send(rank, now, op, position)
            elif kind in RECEIVES:
                sender_stage = op.stage - 1 if kind == "recv_act" else op.stage + 1 if kind == "recv_grad" else op.stage
                key = (rank, kind, sender_stage, op.microbatch, op.step, op.peer)
                there = self.arrived.pop(key, None)
                if there is None:
                    self.waiting.add(key)
                    return
                if there > now:
                    ends[position] = there
                    self.at[rank] = position + 1
                    self.push(there, rank)
                    return
            elif kind == "reduce" and not self.reduced(rank, now, op):
                return
            position += 1
        self.at[rank] = position

    def elapse(self, now: float) -> None:
        """Let the ranks at work come nearer to their ends."""
        passed, self.since = now - self.since, now
        for rank, (left, kind) in self.working.items():
            self.working[rank] = left - passed / self.times(kind), kind

    def times(self, kind: str) -> float:
        """Return how many times as long an operation takes while so many are at work."""
        known = self.durations.crowd.get(kind)
        return known[min(len(self.working), len(known) - 1)] if known else 1.0

    def next_end(self, now: float) -> None:
        """Come back when the next rank is done, unless others begin or end before."""
        self.change += 1
        if self.working:
            soonest = min(left * self.times(kind) for left, kind in self.working.values())
            self.push(now + max(soonest, 0.0), -self.change)

    def finish(self, now: float) -> None:
        """End what is done now."""
        ends = {rank: left * self.times(kind) for rank, (left, kind) in self.working.items()}
        self.elapse(now)
        soonest = min(ends.values())
        # what is left may be less than nothing, by rounding
        for rank in [rank for rank, end in ends.items() if end <= soonest + _SLACK * (abs(soonest) + now)]:
            del self.working[rank]
            self.schedule.end[rank][self.at[rank] - 1] = now
            self.push(now, rank)
        self.next_end(now)

    def send(self, rank: int, now: float, op: Op, position: int) -> None:
        key = (op.peer, SENDS[op.kind], op.stage, op.microbatch, op.step, rank)
        costs = self.durations.transfer.get(op.kind)
        seconds = costs.get(op.stage, 0.0) if costs is not None else 0.0
        if seconds <= 0:
            there = now + self.lag(key)
            self.schedule.end[rank][position] = there
            self.arrive(key, there)
            return
        channel, taking = rank, op.peer
        if self.levels:
            units = self.durations.units[self.durations.level[op.kind][op.stage]]
            channel, taking = units[rank], units[op.peer]
        begins, _ = self.take(channel, True, now, seconds)
        self.schedule.start[rank][position] = begins
        if begins > now:
            self.push(begins, rank, (key, position, taking, seconds))
        else:
            self.deliver(rank, now, key, position, taking, seconds)

    def deliver(self, sender: int, now: float, key: _Key, position: int, channel: int, seconds: float) -> None:
        """Let a message take its time on the receiver's channel."""
        begins, ends = self.take(channel, False, now, seconds)
        if self.dynamic:
            for rank, paid, at, until in ((sender, 0, now, now + ends - begins), (key[0], 1, begins, ends)):
                self.owe(rank, now, at, until, self.durations.toll[paid] * self.size(key))
        there = ends + self.lag(key)
        self.schedule.end[sender][position] = there
        self.arrive(key, there)

    def take(self, channel: int, out: bool, now: float, seconds: float) -> tuple[float, float]:
        """Give a message a channel as soon as it is free; return when it has it, and when all of it is through."""
        share = self.durations.one_way
        place = channel, out and share < 1.0
        begins = max(now, self.free.get(place, 0.0))
        ends = self.free[place] = begins + seconds / share
        return begins, ends

    def size(self, key: _Key) -> float:
        known = self.durations.bytes.get(RECEIVES[key[1]])
        return known.get(key[2], 0.0) if known is not None else 0.0

    def owe(self, rank: int, now: float, begins: float, ends: float, seconds: float) -> None:
        """Let a rank lose work to a message that is under way for a time: what it works on, and what comes next."""
        if seconds <= 0 or rank not in self.programs:
            return
        self.owed.setdefault(rank, []).append((begins, ends, seconds))
        if rank in self.working:
            self.elapse(now)
            left, kind = self.working[rank]
            self.working[rank] = left + self.pay(rank, now, left * self.times(kind)), kind
            self.next_end(now)

    def pay(self, rank: int, now: float, seconds: float) -> float:
        """Return what a rank loses to messages in the next seconds; who has nothing to do meanwhile loses nothing."""
        later, lost = [], 0.0
        for begins, ends, owed in self.owed.pop(rank, ()):
            if ends <= now:
                continue
            if begins < now:
                owed *= (ends - now) / (ends - begins)
            begins = max(begins, now)
            left = max(1.0 - owed / (ends - begins), 0.0)  # of each second meanwhile
            work = max(now + seconds - begins, 0.0)
            share = 1.0 if work >= left * (ends - begins) else work / left / (ends - begins)
            lost += owed * share
            if share < 1.0:
                later.append((begins + share * (ends - begins), ends, owed * (1.0 - share)))
        if later:
            self.owed[rank] = later
        return lost

    def lag(self, key: _Key) -> float:
        known = self.durations.lag.get(RECEIVES[key[1]])
        return known.get(key[2], 0.0) if known is not None else 0.0

    def arrive(self, key: _Key, there: float) -> None:
        if key not in self.waiting:
            if key in self.arrived:
                raise ScheduleError(f"rank {key[5]} sends {_told(key)} to rank {key[0]} twice.")
            self.arrived[key] = there
            return
        self.waiting.remove(key)
        self.released(key[0], there)
        self.push(there, key[0])

    def released(self, rank: int, now: float) -> None:
        """Note that what a rank waited for is there."""
        position = self.at[rank]
        self.schedule.end[rank][position] = now
        self.schedule.order[rank][position] = self.places
        self.places += 1
        self.at[rank] = position + 1

    def reduced(self, rank: int, now: float, op: Op) -> bool:
        """Join a reduce; return whether the rank goes on at once."""
        name = (op.stage, op.step)
        group = self.gathered.setdefault(name, [])
        group.append(rank)
        if len(group) < self.members[name]:
            return False
        del self.gathered[name]
        seconds = self.durations.reduce(op.stage, len(group))
        for member in group:
            self.released(member, now + seconds)
            if member != rank or seconds > 0:
                self.push(now + seconds, member)
        return seconds <= 0

    def check_complete(self) -> None:
        stuck = {rank: ops[self.at[rank]] for rank, ops in self.programs.items() if self.at[rank] < len(ops)}
        if stuck:
            told = ", ".join(
                f"rank {rank} at {op.kind} of stage {op.stage} (microbatch {op.microbatch}, step {op.step})"
                for rank, op in list(stuck.items())[:4]
            )
            raise ScheduleError(
                f"These programs never end: {told}.", "Every send needs its receive, in an order that ends."
            )
        if self.arrived:
            key = next(iter(self.arrived))
            raise ScheduleError(f"rank {key[5]} sends {_told(key)} to rank {key[0]}, which never receives it.")


def members_of(programs: Programs) -> Counter[tuple[int, int]]:
    """Return how many ranks take part in the reduce of a (stage, step)."""
    return Counter((op.stage, op.step) for ops in programs.values() for op in ops if op.kind == "reduce")


def _told(key: _Key) -> str:
    return f"{RECEIVES[key[1]]} of stage {key[2]} (microbatch {key[3]}, step {key[4]})"
