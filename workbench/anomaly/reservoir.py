"""A sample of a stream that forgets: weighted reservoir sampling whose weights fade with the age of a pane.

Chao's procedure (M. T. Chao, A general purpose unequal probability sampling plan, Biometrika 1982) with decay: of n
rows with weights w, each is in the sample of k with probability k w / sum(w), or 1 where that is more ("overweight").
Rows of one pane weigh the same, so overweight rows are kept in groups, one a pane, and a group stops being overweight
as a whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Reservoir"]


class Reservoir:
    """A sample of at most `size` rows.

    Parameters
    ----------
    size : int
        k: rows in the sample.
    width : int
        Numbers in a row.
    seed : int
        Rows draw in the order in which they come, a number each: how they are divided into calls does not matter.
    decay : float
        Share of every row's weight that is forgotten at the end of a pane, 0 <= decay < 1.
    """

    def __init__(self, size: int, width: int = 1, seed: int = 0, decay: float = 0.0) -> None:
        self.size, self.width, self.decay = size, width, decay
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._rows = np.empty((size, width))  # the first `_count` are in the sample by chance
        self._count = 0
        self._weight = 0.0  # of all rows seen that are not overweight
        self._groups: deque[tuple[float, list[NDArray[np.float64]]]] = deque()  # overweight rows, lightest pane first
        self._certain = 0  # rows in these
        self._scale = 1.0  # weight of a row of the present pane, in the units of `_weight`

    def __len__(self) -> int:
        return self._count + self._certain

    @property
    def values(self) -> NDArray[np.float64]:
        """The rows in the sample, float64 (m, width), in no order."""
        certain = [row for _, rows in self._groups for row in rows]
        if not certain:
            return self._rows[: self._count].copy()
        return np.concatenate([self._rows[: self._count], np.array(certain).reshape(-1, self.width)])

    def add(self, rows: NDArray[np.float64]) -> None:
        """Offer rows of the present pane.

        Parameters
        ----------
        rows : float64 (n,) or (n, width)
        """
        rows = np.asarray(rows, np.float64).reshape(-1, self.width)
        draws = self._random.random(len(rows))
        at = 0
        while at < len(rows) and (self._groups or len(self) < self.size or self._overweight()):
            self._one(rows[at], float(draws[at]))
            at += 1
        if at < len(rows):
            self._many(rows[at:], draws[at:])

    def end_pane(self) -> None:
        """Let the weights of all rows seen so far fade."""
        # The rows that come weigh more from now on, which is the same as that those before weigh less.
        self._scale /= 1.0 - self.decay
        if self._scale > 1e100:
            self._rescale()

    def state(self) -> dict[str, Any]:
        """Return all there is to know, as arrays and plain data."""
        self._rescale()
        return {
            "size": self.size, "width": self.width, "decay": self.decay, "random": self._random.bit_generator.state,
            "rows": self._rows[: self._count].copy(), "weight": self._weight,
            "group_weights": [weight for weight, _ in self._groups],
            "groups": [np.array(rows).reshape(-1, self.width) for _, rows in self._groups],
        }  # fmt: skip

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Reservoir:
        """Return the reservoir that gave a state."""
        made = cls(int(state["size"]), int(state["width"]), decay=float(state["decay"]))
        made._random.bit_generator.state = state["random"]
        rows = np.asarray(state["rows"], np.float64).reshape(-1, made.width)
        made._count = len(rows)
        made._rows[: made._count] = rows
        made._weight = float(state["weight"])
        for weight, group in zip(state["group_weights"], state["groups"], strict=True):
            made._groups.append((float(weight), list(np.asarray(group, np.float64).reshape(-1, made.width))))
        made._certain = sum(len(rows) for _, rows in made._groups)
        return made

    # ----------------------------------------------------------------------------------------------------- private

    def _overweight(self) -> bool:
        """Return whether a row that comes now is in the sample for certain."""
        return (self.size - 1) * self._scale > self._weight

    def _many(self, rows: NDArray[np.float64], draws: NDArray[np.float64]) -> None:
        """Take rows none of which is overweight, all at once."""
        totals = np.arange(1, len(rows) + 1, dtype=np.float64)
        totals *= self._scale
        totals += self._weight
        shares = draws * totals  # a row enters with probability size * scale / total
        enter = (shares < self.size * self._scale).nonzero()[0]
        # Given that a row enters, its draw is evenly spread below that probability: it tells the slot too. A slot that
        # is drawn twice holds the later row.
        slots = np.minimum((shares[enter] / self._scale).astype(np.int64), self.size - 1)
        self._rows[slots] = rows[enter]
        self._weight = float(totals[-1])

    def _one(self, row: NDArray[np.float64], draw: float) -> None:
        """Take a row while some are overweight; of the k + 1 rows then held, one has to go."""
        if not self._groups or self._groups[-1][0] != self._scale:
            self._groups.append((self._scale, []))
        self._groups[-1][1].append(row)
        self._certain += 1
        if len(self) <= self.size:
            return
        by_chance = self._count
        freed: list[tuple[float, list[NDArray[np.float64]]]] = []
        while self._groups and (self.size - self._certain) * self._groups[0][0] <= self._weight:
            group = self._groups.popleft()
            freed.append(group)
            self._certain -= len(group[1])
            self._weight += group[0] * len(group[1])
        # Each row stays in with its new probability, given that it was in with its old one (freed rows: 1).
        share = (self.size - self._certain) / self._weight if freed else 0.0
        rest = 1.0
        for group_weight, members in freed:
            leaves = 1.0 - share * group_weight
            if draw < leaves * len(members):
                del members[min(int(draw / leaves), len(members) - 1)]
                break
            draw -= leaves * len(members)
            rest -= leaves * len(members)
        else:
            if by_chance:
                gone = max(0, min(int(draw / rest * by_chance), by_chance - 1)) if rest > 0.0 else 0
                self._rows[gone] = self._rows[by_chance - 1]
                self._count -= 1
            else:  # rounding: the last of the freed rows
                del freed[-1][1][-1]
        for _, members in freed:
            for member in members:
                self._rows[self._count] = member
                self._count += 1

    def _rescale(self) -> None:
        """Make a row of the present pane weigh 1 again: weights never grow beyond what a float holds."""
        self._weight /= self._scale
        self._groups = deque((weight / self._scale, rows) for weight, rows in self._groups)
        self._scale = 1.0
