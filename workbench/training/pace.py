"""What a machine takes beside a profile: for each byte of a stage's parameters, and together with others."""

from __future__ import annotations

import math
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["Pace", "pace", "work_on"]

#: changes when something else is measured
VERSION = 3

#: bytes of parameters that are updated to measure it: more than caches hold, as nets are whose updates take long
AMOUNT = 32 * 2**20

#: how often each is measured, and seconds that a figure is kept
REPEATS, KEPT = 5, 86400.0

#: what one machine is measured for alone
_ALONE = ("update", "reduce", "kept", "add")


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds for each byte of parameters, and what machines take together; nothing where no machine was measured.

    Parameters
    ----------
    update : float
        Of an optimizer's step, weights in new storage.
    kept : float
        Of a step that leaves the optimizer's state too as it was, for the commit that keeps it.
    add : float
        Of adding the gradient of another microbatch.
    reduce : float
        Of what a reduce does beside sending: gradients are put into one block, and those of others are added.
    collective : float
        Of what gloo takes for a reduce, beside its link's time.
    message : float
        Seconds of a message, beside its link's time.
    one_way : float
        Share of a link's bytes per second that one message has for itself: what a link carries counts both directions.
    compute, memory : tuple of (int, float)
        (machines at work, times as long as for one), of a net's forwards and backwards, and of what no cache holds.
    post : float
        Seconds of a message in which its sender does nothing else; they are a part of `message`.
    fill : float
        Seconds for each byte of a message in which its sender does nothing else.
    outgoing, incoming : float
        Seconds of computing that a machine loses for each byte of a message while that is under way: the system has
        packets to see to, on the same processor.
    drag : float
        Share by which computing takes longer on the average than in the median, which is what a profile has.
    spread : float
        Variance of what a second of computing takes, in seconds. Who waits for others waits for the slowest.
    """

    update: float = 0.0
    reduce: float = 0.0
    kept: float = 0.0
    add: float = 0.0
    collective: float = 0.0
    message: float = 0.0
    one_way: float = 1.0
    compute: tuple[tuple[int, float], ...] = ()
    memory: tuple[tuple[int, float], ...] = ()
    post: float = 0.0
    fill: float = 0.0
    outgoing: float = 0.0
    incoming: float = 0.0
    drag: float = 0.0
    spread: float = 0.0


def pace() -> Pace:
    """Return the pace of this machine's processor, as measured within a day, or else now, in under a second.

    Like a profile it is taken here, for workers that are like this machine. The update is that of SGD with momentum:
    that of plain SGD is shorter, and that of Adam longer.
    """
    import torch

    from workbench.engine.keys import key
    from workbench.engine.store import store

    name = f"{platform.node()} {platform.processor()}"
    kept = key("training.pace", VERSION, name, torch.get_num_threads(), torch.__version__)
    found = store().get_json(kept)
    if found is not None and 0 <= time.time() - found["at"] < KEPT:
        return _paced(found)
    begin = time.perf_counter()
    measured = _measured()
    store().put_json(
        kept,
        {name: getattr(measured, name) for name in _ALONE} | {"at": time.time()},
        kind="pace",
        cost_s=time.perf_counter() - begin,
    )
    return measured


def work_on(count: int) -> dict[str, Callable[[], None]]:
    """Return what is done with a number of parameters, in memory of its own: name of a pace -> a run of it."""
    import torch

    # Numbers that stay normal: those below are slow.
    weights, gradient, other = torch.ones(count), torch.full((count,), 1e-3), torch.ones(count)
    momentum = torch.zeros(count)

    def update() -> None:
        # As SGD does it, which itself would first import a compiler, for seconds.
        nonlocal weights
        math.isfinite(gradient.sum().item())
        momentum.mul_(0.9).add_(gradient)
        weights = weights.add(momentum, alpha=-1e-3)  # the old ones belong to a version

    def kept() -> None:
        nonlocal weights, momentum
        math.isfinite(gradient.sum().item())
        momentum = momentum.mul(0.9).add_(gradient)  # the old one belongs to a commit
        weights = weights.add(momentum, alpha=-1e-3)

    def reduce() -> None:
        torch.cat([gradient, gradient[:1]])[:-1].add_(other)

    def add() -> None:
        other.add_(gradient)

    return {"update": update, "reduce": reduce, "kept": kept, "add": add}


def _measured() -> Pace:
    from workbench.training.blocks import kept_blocks

    count = AMOUNT // 4
    with kept_blocks():  # as training has it
        work = work_on(count)
        return _paced({name: _middle(work[name]) / AMOUNT for name in _ALONE})


def _paced(taken: Mapping[str, float]) -> Pace:
    return Pace(taken["update"], taken["reduce"], taken["kept"], taken["add"])


def _middle(task: Callable[[], None]) -> float:
    """Return the median seconds of some runs, as a profile has it: what disturbs them disturbs training too."""
    task()  # has its memory from here on
    found = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        task()
        found.append(time.perf_counter() - begin)
    return statistics.median(found)
