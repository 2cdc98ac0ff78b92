"""What a simulation found: plain numbers, from which tables and pictures are made when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Outcome"]


@dataclass(slots=True)
class Outcome:
    """Totals and averages of one simulation.

    Attributes
    ----------
    seconds : float
        What the averages are over.
    steps, samples, lost_samples : int
        That survive, and that were trained and thrown away.
    throughput : float
        Samples per second.
    cost : float
        Dollars per hour.
    value : float
        Samples per second for a dollar per hour.
    instances : float
        Machines on average.
    preemptions, fatal_failures : int
    interval_hours : float
        Mean time between two removals; 0 with fewer than two.
    lifetime_hours : float
        Mean life of a machine, up to the end for those that survive.
    rows : list of (float, int, int, float)
        Time, machines, pipelines and samples per second, at each change.
    """

    seconds: float
    steps: int
    samples: int
    lost_samples: int
    throughput: float
    cost: float
    value: float
    instances: float
    preemptions: int
    fatal_failures: int
    interval_hours: float
    lifetime_hours: float
    rows: list[tuple[float, int, int, float]] = field(default_factory=list)
