"""What workers take when they work together: in each other's way, and for what they send.

All of them measure at the same time, by turns: how much longer computing takes with some of them at it, as processes
that share cores, caches and memory are slower than one alone; by how much that differs from one time to the next; what
a reduce takes beside its link's time; how long a message takes that has nothing in it; and how much computing is lost
while one with something in it is under way.
"""

from __future__ import annotations

import math
import statistics
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from workbench.training.pace import Pace

if TYPE_CHECKING:
    from workbench.training.transport import Transport

__all__ = ["Together", "calibrated"]

#: changes when something else is measured
VERSION = 5

#: seconds that a figure is kept, and that measuring may take
KEPT, PATIENCE = 86400.0, 60.0

#: how often turns are taken, and seconds of one; what a reduce is measured with: bytes at most, and seconds of its link
ROUNDS, TURN, AMOUNT, SECONDS = 3, 0.15, 32 * 2**20, 0.25

#: workers that are measured together at most: a cluster's other machines are like them
MOST = 8

#: seconds of a turn in which all compute, whose times are also compared with each other
LAST = 0.4

#: what is believed of that at most: a time over the one in the middle, and a drag; more is another's work, which passes
LONGEST, MOST_DRAG = 1.5, 0.1

#: how often a reduce and a message are measured
REDUCES, MESSAGES = 3, 20

#: pairs of runs with and without a message under way; its bytes at most, and the share of a run that it takes
BESIDE, LARGE, SHARE = 16, 4 * 2**20, 0.5


#: what a pace has as it was measured
_SAME = ("message", "post", "fill", "outgoing", "incoming", "drag", "spread")


@dataclass(frozen=True, slots=True)
class Together:
    """What was measured.

    Parameters
    ----------
    compute, memory : tuple of (int, float)
        (workers at it, times as long as for one), beginning with 1, of a net's forwards and backwards, and of what no
        cache holds.
    reduce : float
        Seconds for each byte, whatever they are spent on.
    message, post : float
        Seconds; those of `post` the sender spends on it.
    fill : float
        Seconds that a sender spends on each byte.
    outgoing, incoming : float
        Seconds of computing that are lost for each byte.
    drag, spread : float
        As a `Pace` has them.
    """

    compute: tuple[tuple[int, float], ...]
    memory: tuple[tuple[int, float], ...]
    reduce: float
    message: float
    post: float = 0.0
    fill: float = 0.0
    outgoing: float = 0.0
    incoming: float = 0.0
    drag: float = 0.0
    spread: float = 0.0


@dataclass(frozen=True, slots=True)
class _Part:
    """What one of them saw: see `Together`; and seconds of each run when all compute."""

    compute: tuple[tuple[int, float], ...]
    memory: tuple[tuple[int, float], ...]
    reduce: float
    message: float
    post: float
    fill: float
    lost: float
    runs: list[float]


def calibrated(pace: Pace, client: Any, addresses: list[str], bandwidth: float) -> Pace:
    """Return a pace with what workers take together, as measured within a day, or else now, in a few seconds.

    Where that cannot be measured, and with a single worker, it is returned as it is.

    Parameters
    ----------
    pace : Pace
    client : distributed.Client
    addresses : list of str
        Of the workers.
    bandwidth : float
        Bytes per second of their slowest link, or of the one that a run will emulate.
    """
    from workbench.engine.keys import key
    from workbench.engine.store import store

    some = addresses[:: max(1, -(-len(addresses) // MOST))][:MOST]
    if len(some) < 2:
        return pace
    kept = key("training.together", VERSION, sorted(_host(address) for address in some), round(bandwidth))
    found = store().get_json(kept)
    if found is None or not 0 <= time.time() - found["at"] < KEPT:
        begin = time.perf_counter()
        measured = _measured(client, some, bandwidth)
        if measured is None:
            return pace
        found = {**asdict(measured), "at": time.time()}
        store().put_json(kept, found, kind="pace", cost_s=time.perf_counter() - begin)
    count = len(some)
    on_link = 4 * (count - 1) / (bandwidth * count)
    return replace(
        pace,
        compute=tuple((int(number), float(times)) for number, times in found["compute"]),
        memory=tuple((int(number), float(times)) for number, times in found["memory"]),
        collective=max(float(found["reduce"]) - on_link, 0.0),
        **{name: float(found[name]) for name in _SAME},
    )


def _measured(client: Any, addresses: list[str], bandwidth: float) -> Together | None:
    """Have workers measure; None if one of them cannot, or is not heard of in time."""
    import torch
    from distributed import wait

    from workbench.training.crew import open_store, own_host

    name, host = f"wb-together-{uuid.uuid4().hex}", own_host(addresses[0])
    size = int(min(AMOUNT, max(2**20, bandwidth * SECONDS / 2))) // 4 * 4
    futures: list[Any] = []
    try:
        store = open_store(host)
        futures += [
            client.submit(
                _take_part, place, len(addresses), host, store.port, size, bandwidth, torch.get_num_threads(),
                workers=[address], allow_other_workers=False, pure=False, key=f"{name}-{place}",
            )
            for place, address in enumerate(addresses)
        ]  # fmt: skip
        wait(futures, timeout=PATIENCE)
        parts: list[_Part] = [future.result(timeout=1.0) for future in futures]
    except Exception:  # a session that is busy, or has another network: the simulator counts what it knows
        return None
    finally:
        client.cancel(futures, force=True)
    first = parts[0]
    return Together(
        first.compute, first.memory, first.reduce, first.message, first.post, first.fill, first.lost, parts[1].lost,
        *_noise([part.runs for part in parts]),
    )  # fmt: skip


def _noise(runs: list[list[float]]) -> tuple[float, float]:
    """Return the drag and the spread of what several workers saw, each with runs of the same work.

    Noise comes as in a random walk: the variance of a time grows with the time.
    """
    drags, spreads = [], []
    for some in runs:
        middle = statistics.median(some)
        believed = [min(seconds, LONGEST * middle) for seconds in some]
        drags.append(statistics.fmean(believed) / middle - 1)
        spreads.append(statistics.pvariance(believed) / middle)
    return min(max(statistics.fmean(drags), 0.0), MOST_DRAG), statistics.fmean(spreads)


def _host(address: str) -> str:
    return address.rpartition("//")[2].rpartition(":")[0].strip("[]")


# what runs on the workers


def _take_part(place: int, count: int, host: str, port: int, size: int, bandwidth: float, threads: int) -> _Part:
    """Measure together with the others; what the first one finds is what counts, but for how much runs differ."""
    import datetime

    import torch
    from torch import distributed

    from workbench.training.blocks import kept_blocks
    from workbench.training.pace import work_on
    from workbench.training.rank import group_of
    from workbench.training.transport import Transport

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        store = distributed.TCPStore(host, port, None, False, timeout=datetime.timedelta(seconds=PATIENCE / 2))
        group = group_of(distributed.PrefixStore("together", store), place, count, host)
        transport = Transport(group, lambda: False)

        def meet() -> None:
            group.allreduce([torch.zeros(1)]).wait()

        def by_turns(task: Callable[[], object], last: float) -> tuple[tuple[tuple[int, float], ...], list[float]]:
            task()  # has its memory from here on
            runs: dict[int, list[float]] = {number: [] for number in _turns(count)}
            # over and over: a machine may be slower for a second, and that is then in all of them
            for number in ROUNDS * list(runs):
                meet()
                if place < number:
                    runs[number] += _runs(task, last if number == count else TURN)[1:]
                meet()
            taken = {number: statistics.median(some) if some else 0.0 for number, some in runs.items()}
            alone = taken[1]
            times = tuple((number, max(seconds / alone, 1.0) if alone else 1.0) for number, seconds in taken.items())
            return times, runs[count]

        with kept_blocks():
            net = _net()
            compute, runs = by_turns(net, LAST)
            memory, _ = by_turns(work_on(AMOUNT // 4)["update"], TURN)
            block, taken = torch.zeros(size // 4), []
            for _ in range(REDUCES):
                meet()
                begin = time.perf_counter()
                transport.all_reduce(group, block)
                taken.append(time.perf_counter() - begin)
        reduce = sorted(taken)[len(taken) // 2] / size
        message, post = _message(transport, place) if place < 2 else (0.0, 0.0)
        meet()
        fill, lost = _beside(transport, place, net, meet, _amount(bandwidth, statistics.median(runs)), post)
        meet()
        return _Part(compute, memory, reduce, message, post, fill, lost, runs)
    finally:
        torch.set_num_threads(before)


def _turns(count: int) -> list[int]:
    """Return how many are at work at once: one, two, four, …, all."""
    return sorted({min(2**power, count) for power in range(count.bit_length() + 1)})


def _runs(task: Callable[[], object], seconds: float) -> list[float]:
    """Return the seconds of the runs of one turn."""
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end or len(taken) < 3:
        task()
        taken.append(time.perf_counter() - begin)
    return taken


def _amount(bandwidth: float, seconds: float) -> int:
    """Return the numbers of a message that is under way for a part of a run; a link's rate is of both directions."""
    return int(min(max(SHARE * seconds * bandwidth / 2, 2**16), LARGE)) // 4


def _beside(
    transport: Transport, place: int, task: Callable[[], object], meet: Callable[[], None], count: int, post: float
) -> tuple[float, float]:
    """Return the seconds for each byte that sending takes, and that a task loses while a message is under way.

    The first worker sends to the second; both work meanwhile, and without a message by turns. The others only meet.
    """
    import torch

    block, both = torch.zeros(count), place < 2
    taken: dict[bool, list[float]] = {True: [], False: []}
    fills: list[float] = []
    if place == 1:
        transport.expect(0, 2, [1] * (BESIDE + 1))
    for number in range(2 * BESIDE + 2):
        under_way = number % 2 == 0
        meet()
        if under_way and place == 0:
            begin = time.perf_counter()
            transport.send(1, 2, 1, (block,))
            fills.append(time.perf_counter() - begin)
        if both:
            begin = time.perf_counter()
            task()
            taken[under_way].append(time.perf_counter() - begin)
        if under_way and place == 1:
            transport.receive(0, 2)
    if not both:
        return 0.0, 0.0
    # the first pair is not counted: its message tells what it looks like
    lost = statistics.median(taken[True][1:]) - statistics.median(taken[False][1:])
    fill = statistics.median(fills[1:]) - post if fills else 0.0
    return max(fill, 0.0) / (4 * count), max(lost, 0.0) / (4 * count)


def _net() -> Callable[[], None]:
    """Return a forward and a backward of a small net.

    Its activations and weights fill caches that processors share, as those of nets that are trained do: where one of
    them alone still finds a part of them there, several at work find less.
    """
    import torch
    from torch.nn import functional

    image = torch.ones(16, 3, 32, 32)
    weights = [
        torch.full(shape, 1 / math.prod(shape[1:]), requires_grad=True)
        for shape in ((64, 3, 3, 3), (128, 64, 3, 3), (512, 128 * 8 * 8))
    ]

    def run() -> None:
        value = image
        for weight in weights[:-1]:
            value = functional.conv2d(value, weight, padding=1)
            value = functional.max_pool2d(functional.relu(value, inplace=True), 2)
        functional.linear(value.flatten(1), weights[-1]).sum().backward()
        for weight in weights:
            weight.grad = None

    return run


def _message(transport: Transport, place: int) -> tuple[float, float]:
    """Return the seconds of a message from the first two workers to each other, and what sending it takes of them.

    The first is half of a message there and back.
    """
    import torch

    other, taken, posts = 1 - place, list[float](), list[float]()

    def send() -> None:
        begin = time.perf_counter()
        transport.send(other, 0, 1, (torch.zeros(1),))
        posts.append(time.perf_counter() - begin)

    transport.expect(other, 0, [1] * MESSAGES)
    for _ in range(MESSAGES):
        begin = time.perf_counter()
        if place == 0:
            send()
        transport.receive(other, 0)
        if place == 1:
            send()
        taken.append((time.perf_counter() - begin) / 2)
    return statistics.median(taken), statistics.median(posts)
