"""What goes on beside a run, on a thread of its own, so that starting is quick and training is not held up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from workbench.tta import environment
from workbench.tta.contention import Contention
from workbench.tta.energy import EnergyMeter

__all__ = ["Beside"]

#: seconds between looks at other work, between hand-overs of points, and until the environment is looked at
LOOK_S, PULL_S, SETTLED_S = 2.0, 0.1, 1.0


class Beside:
    """The environment, contention and energy of a run, gathered while it trains.

    Parameters
    ----------
    tick : callable
        Called every `LOOK_S`, with the energy so far.
    known : callable
        Called once with what was found of the environment.

    Attributes
    ----------
    environment : dict
    contention : Contention
    energy : EnergyMeter
    pull : callable or None
        Called every `PULL_S`: hands points to a sink that has no thread of its own.
    """

    def __init__(self, tick: Callable[[], None], known: Callable[[dict[str, Any]], None]) -> None:
        self.environment = environment.at_once()
        self.contention = Contention()
        self.energy = EnergyMeter()
        self.pull: Callable[[], None] | None = None
        self._tick, self._known = tick, known
        self._over = threading.Event()
        self._looked = threading.Lock()
        self._complete = False
        #: whether energy counters were looked for
        self.looked = False
        self._thread = threading.Thread(target=self._work, name="workbench-tta-beside", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self) -> None:
        """End, with what was not looked at yet."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(10.0)
        self.contention.look()
        self._look_around(tell=False)
        self.environment |= self.contention.told()
        if self.energy.reason:
            self.environment["energy"] = self.energy.reason

    def _work(self) -> None:
        with suppress(Exception):  # a driver's own errors must not end the thread
            self.energy.start()
        self.looked = True
        begin = looked = time.monotonic()
        settled = False
        while not self._over.wait(self._pause(begin, looked, settled)):
            now = time.monotonic()
            if self.pull is not None:
                self.pull()
            if not settled and now - begin >= SETTLED_S:
                settled = True
                self._look_around(tell=True)
            if now - looked >= LOOK_S:
                looked = now
                self.contention.look()
                self._tick()

    def _pause(self, begin: float, looked: float, settled: bool) -> float:
        if self.pull is not None:
            return PULL_S
        now = time.monotonic()
        due = [looked + LOOK_S] + ([] if settled else [begin + SETTLED_S])
        return max(min(due) - now, 0.001)

    def _look_around(self, *, tell: bool) -> None:
        with self._looked:
            if self._complete:
                return
            self._complete = True
            with suppress(Exception):  # no fact about the machine is worth a run
                self.environment |= environment.in_time()
        if tell:
            with suppress(Exception):
                self._known(dict(self.environment))
