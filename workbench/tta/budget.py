"""Budgets of a run: time on its clock, cost on the wall clock, energy; and until when none can be spent. Pure."""

from __future__ import annotations

import math

__all__ = ["Budgets"]


class Budgets:
    """What a run may take.

    Parameters
    ----------
    max_time : float, optional
        Seconds on the run's clock.
    max_cost : float, optional
        USD at `rate` per hour of wall time.
    max_energy : float, optional
        Joules.
    rate : float
        USD per hour.
    """

    def __init__(
        self, max_time: float | None, max_cost: float | None, max_energy: float | None, rate: float = math.nan
    ) -> None:
        self.clock_ns = math.inf if max_time is None else max_time * 1e9
        self.wall_ns = math.inf if max_cost is None or math.isnan(rate) else max_cost / rate * 3600e9
        self.energy_mj = math.inf if max_energy is None else max_energy * 1e3

    def spent(self, clock_ns: int, wall_ns: int, energy_mj: float | None) -> str:
        """Return which budget is spent, `""` for none."""
        if clock_ns >= self.clock_ns:
            return "time"
        if wall_ns >= self.wall_ns:
            return "cost"
        if energy_mj is not None and energy_mj >= self.energy_mj:
            return "energy"
        return ""

    def left_ns(self, clock_ns: int, wall_ns: int) -> float:
        """Return for how long neither time nor cost can be spent: no clock goes faster than the wall clock."""
        return min(self.clock_ns - clock_ns, self.wall_ns - wall_ns)
