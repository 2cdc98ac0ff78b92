"""What a run's machines cost: the cost model of the simulator, for machines that are really there."""

from __future__ import annotations

import math
import threading
import time

__all__ = ["Bill"]


class Bill:
    """Counts machine-hours while a run goes on.

    Parameters
    ----------
    price : float or None
        Dollars for a machine and hour; None: nothing is priced.
    on_demand_price : float or None
        The same of a machine that nobody takes away, to compare with.
    """

    def __init__(self, price: float | None = None, on_demand_price: float | None = None) -> None:
        self.price, self.on_demand_price = price, on_demand_price
        self._lock = threading.Lock()
        self._runs = False
        self._count, self._since = 0, 0.0
        self._machines = self._passed = 0.0

    def staff(self, count: int) -> None:
        """Say that so many machines are at work from here on; with the first ones time begins."""
        now = time.monotonic()
        with self._lock:
            self._add(now)
            self._runs, self._count = self._runs or count > 0, count

    def close(self) -> None:
        """Say that the run is over."""
        self.staff(0)
        self._runs = False

    @property
    def machines(self) -> int:
        """How many there are now."""
        return self._count

    @property
    def dollars(self) -> float:
        """What they have cost; NaN without a price."""
        return math.nan if self.price is None else self.price * self._now()[0] / 3600

    @property
    def hourly(self) -> float:
        """Dollars per hour: the time integral of the machines over the time, times the price; NaN without one."""
        machines, passed = self._now()
        return math.nan if self.price is None or not passed else self.price * machines / passed

    def _now(self) -> tuple[float, float]:
        """Return machine-seconds and seconds."""
        with self._lock:
            self._add(time.monotonic())
            return self._machines, self._passed

    def _add(self, now: float) -> None:
        if self._runs:
            self._passed += now - self._since
            self._machines += (now - self._since) * self._count
        self._since = now
