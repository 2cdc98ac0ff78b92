"""What a machine takes for each byte of a stage's parameters: an update, and the copies around a reduce."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Pace", "pace"]

#: changes when something else is measured
VERSION = 1

#: bytes of parameters that are updated to measure it: more than caches hold, as nets are whose updates take long
AMOUNT = 32 * 2**20

#: how often each is measured, and seconds that a figure is kept
REPEATS, KEPT = 5, 86400.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds for each byte of parameters; nothing where no machine was measured.

    Parameters
    ----------
    update : float
        Of an optimizer's step in new storage.
    reduce : float
        Of what a reduce does beside sending: gradients are put into one block, and those of others are added.
    """

    update: float = 0.0
    reduce: float = 0.0


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
        return Pace(float(found["update"]), float(found["reduce"]))
    begin = time.perf_counter()
    measured = _measured()
    store().put_json(
        kept,
        {"update": measured.update, "reduce": measured.reduce, "at": time.time()},
        kind="pace",
        cost_s=time.perf_counter() - begin,
    )
    return measured


def _measured() -> Pace:
    import torch

    from workbench.training.blocks import kept_blocks

    count = AMOUNT // 4
    # Numbers that stay normal: those below are slow.
    weights, gradient, other = torch.ones(count), torch.full((count,), 1e-3), torch.ones(count)
    momentum = torch.zeros(count)

    def update() -> None:
        # As SGD does it, which itself would first import a compiler, for seconds.
        nonlocal weights
        math.isfinite(gradient.sum().item())
        weights = weights.clone()  # the old ones belong to a version
        momentum.mul_(0.9).add_(gradient)
        weights.add_(momentum, alpha=-1e-3)

    def reduce() -> None:
        torch.cat([gradient, gradient[:1]])[:-1].add_(other)

    with kept_blocks():  # as training has it
        return Pace(_shortest(update) / AMOUNT, _shortest(reduce) / AMOUNT)


def _shortest(task: Callable[[], None]) -> float:
    """Return the seconds of the shortest of some runs: what else runs here only ever adds to them."""
    task()  # has its memory from here on
    found = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        task()
        found.append(time.perf_counter() - begin)
    return min(found)
