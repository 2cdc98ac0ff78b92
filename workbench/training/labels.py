"""The search where what fits hangs on the neighbours: copies of the next stage, and microbatches by number of stages.

The table of `solve` keeps one best time for each cell. Here a cell keeps each way that is not worse in all respects:
time, memory left on its last stage, the copy that its first stage asks of the last one, and stages.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.training.cluster import Cluster
from workbench.training.costs import Costs, Place
from workbench.training.solve import Cut, top_level

__all__ = ["CANDIDATES", "cuts_that_fit"]

#: segments times machines above which going through them one by one takes too long
CANDIDATES = 2_000_000


@dataclass(frozen=True, slots=True)
class _Label:
    time: float
    left: float
    first_copy: float
    stages: int
    start: int
    end: int
    replicas: int
    used: int
    before: _Label | None

    def beats(self, other: _Label, *, count: bool) -> bool:
        return (
            self.time <= other.time
            and self.left >= other.left
            and self.first_copy <= other.first_copy
            and (not count or self.stages <= other.stages)
        )


def cuts_that_fit(
    costs: Costs, cluster: Cluster, most: int, least: float, bound: float, *, straight: bool = False
) -> list[Cut]:
    """Return the stages of the best plan of at most so many stages on one level of machines; none if none fits.

    Parameters
    ----------
    costs : Costs
        With a limit on memory.
    cluster : Cluster
        Of one level.
    most : int
    least, bound : float
        Seconds that no plan can be below, and that one must be below to be of interest.
    straight : bool
    """
    assert costs.memory is not None
    level, states, units = top_level(costs, cluster, straight, False), costs.states, cluster.size
    cells: list[list[list[_Label]]] = [[[] for _ in range(units + 1)] for _ in range(len(states))]
    for end in range(len(states)):
        before = np.flatnonzero(states.inside(end))
        starts = np.concatenate(([0], before + 1))
        copies = np.broadcast_to(costs.copied(starts, end), starts.shape).tolist()
        for used in range(1, units + 1):
            if end == len(states) - 1 and used < units:
                continue
            cell = cells[end][used]
            for replicas in range(1, (1 if straight else used) + 1):
                # what is faster than any plan can be is equal: there are fewer ways to keep
                times = np.maximum(level.segments(starts, end, replicas, units - used, Place(), begins=False), least)
                left = (costs.memory - costs.held(starts, end, Place(), units - used, replicas)).tolist()
                if replicas == used and times[0] < bound:
                    label = _Label(float(times[0]), left[0], copies[0], 1, 0, end, replicas, used, None)
                    _add(cell, label, count=most < units)
                for number in np.flatnonzero(times[1:] < bound) + 1 if replicas < used else ():
                    for earlier in cells[before[number - 1]][used - replicas]:
                        if earlier.stages < most and earlier.left >= copies[number]:
                            label = _Label(
                                max(earlier.time, float(times[number])),
                                left[number],
                                earlier.first_copy,
                                earlier.stages + 1,
                                int(starts[number]),
                                end,
                                replicas,
                                used,
                                earlier,
                            )
                            _add(cell, label, count=most < units)
    # the last stage holds the copy of the first one
    whole = [label for label in cells[-1][units] if label.left >= label.first_copy]
    last = min(whole, key=lambda label: (label.time, label.stages), default=None)
    found: list[Cut] = []
    while last is not None:
        segment = (last.start, last.end, last.before is None)
        found.append(Cut(last.start, last.end, (last.replicas,), (segment,), Place(), units - last.used))
        last = last.before
    return found[::-1]


def _add(cell: list[_Label], label: _Label, *, count: bool) -> None:
    if not any(other.beats(label, count=count) for other in cell):
        cell[:] = [other for other in cell if not label.beats(other, count=count)]
        cell.append(label)
