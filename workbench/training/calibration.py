"""What workers take when they work together: in each other's way, and for what they send.

All of them measure at the same time, by turns: how much longer computing takes with some of them at it, as processes
that share cores, caches and memory are slower than one alone; what a reduce takes beside its link's time; and how long
a message takes that has nothing in it.
"""

from __future__ import annotations

import math
import statistics
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from workbench.training.pace import Pace

if TYPE_CHECKING:
    from workbench.training.transport import Transport

__all__ = ["Together", "calibrated"]

#: changes when something else is measured
VERSION = 2

#: seconds that a figure is kept, and that measuring may take
KEPT, PATIENCE = 86400.0, 60.0

#: seconds of one turn; what a reduce is measured with: bytes at most, and seconds of the link
TURN, AMOUNT, SECONDS = 0.2, 32 * 2**20, 0.25

#: workers that are measured together at most: a cluster's other machines are like them
MOST = 8

#: how often a reduce and a message are measured
REDUCES, MESSAGES = 3, 20


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
    """

    compute: tuple[tuple[int, float], ...]
    memory: tuple[tuple[int, float], ...]
    reduce: float
    message: float
    post: float = 0.0


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
        found = {
            "compute": measured.compute, "memory": measured.memory, "reduce": measured.reduce,
            "message": measured.message, "post": measured.post, "at": time.time(),
        }  # fmt: skip
        store().put_json(kept, found, kind="pace", cost_s=time.perf_counter() - begin)
    count = len(some)
    on_link = 4 * (count - 1) / (bandwidth * count)
    return replace(
        pace,
        compute=tuple((int(number), float(times)) for number, times in found["compute"]),
        memory=tuple((int(number), float(times)) for number, times in found["memory"]),
        collective=max(float(found["reduce"]) - on_link, 0.0),
        message=float(found["message"]),
        post=float(found["post"]),
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
                _take_part, place, len(addresses), host, store.port, size, torch.get_num_threads(),
                workers=[address], allow_other_workers=False, pure=False, key=f"{name}-{place}",
            )
            for place, address in enumerate(addresses)
        ]  # fmt: skip
        wait(futures, timeout=PATIENCE)
        found: Together = futures[0].result(timeout=1.0)
    except Exception:  # a session that is busy, or has another network: the simulator counts what it knows
        return None
    finally:
        client.cancel(futures, force=True)
    return found


def _host(address: str) -> str:
    return address.rpartition("//")[2].rpartition(":")[0].strip("[]")


# what runs on the workers


def _take_part(place: int, count: int, host: str, port: int, size: int, threads: int) -> Together:
    """Measure together with the others; what the first one finds is what counts."""
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

        def by_turns(task: Callable[[], object]) -> tuple[tuple[int, float], ...]:
            task()  # has its memory from here on
            taken = []
            for number in _turns(count):
                meet()
                taken.append((number, _median(task) if place < number else 0.0))
                meet()
            alone = taken[0][1]
            return tuple((number, max(seconds / alone, 1.0) if alone else 1.0) for number, seconds in taken)

        with kept_blocks():
            compute = by_turns(_net())
            memory = by_turns(work_on(AMOUNT // 4)["update"])
            block, taken = torch.zeros(size // 4), []
            for _ in range(REDUCES):
                meet()
                begin = time.perf_counter()
                transport.all_reduce(group, block)
                taken.append(time.perf_counter() - begin)
        reduce = sorted(taken)[len(taken) // 2] / size
        message, post = _message(transport, place) if place < 2 else (0.0, 0.0)
        meet()
        return Together(compute, memory, reduce, message, post)
    finally:
        torch.set_num_threads(before)


def _turns(count: int) -> list[int]:
    """Return how many are at work at once: one, two, four, …, all."""
    return sorted({min(2**power, count) for power in range(count.bit_length() + 1)})


def _median(task: Callable[[], object]) -> float:
    """Return the median seconds of the runs of one turn."""
    taken: list[float] = []
    end = time.perf_counter() + TURN
    while (begin := time.perf_counter()) < end or len(taken) < 3:
        task()
        taken.append(time.perf_counter() - begin)
    return sorted(taken)[len(taken) // 2]


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
