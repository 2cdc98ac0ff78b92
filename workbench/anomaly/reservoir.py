"""A sample of a stream that forgets: weighted reservoir sampling whose weights fade with the age of a pane.

Chao's procedure (M. T. Chao, A general purpose unequal probability sampling plan, Biometrika 1982) with decay: of n
rows with weights w, each is in the sample of k with probability k w / sum(w), or 1 where that is more ("overweight").
Rows of one pane weigh the same, so overweight rows are kept in groups, one a pane, and a group stops being overweight
as a whole.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Reservoir"]


class _Group:
    """Rows of one pane that are in the sample for certain, `rows[:count]`, and what each of them weighs."""

    def __init__(self, weight: float, width: int) -> None:
        self.weight, self.count = weight, 0
        self.rows = np.empty((64, width))

    def extend(self, rows: NDArray[np.float64]) -> None:
        end = self.count + len(rows)
        if end > len(self.rows):
            more = np.empty((max(end, 2 * len(self.rows)), self.rows.shape[1]))
            more[: self.count] = self.rows[: self.count]
            self.rows = more
        self.rows[self.count : end] = rows
        self.count = end


class Reservoir:
    """A sample of at most `size` rows.

    Parameters
    ----------
    size : int
        k: rows in the sample.
    width : int
        Numbers in a row.
    seed : int
    decay : float
        Share of every row's weight that is forgotten at the end of a pane, 0 <= decay < 1.
    """

    def __init__(self, size: int, width: int = 1, seed: int = 0, decay: float = 0.0) -> None:
        self.size, self.width, self.decay = size, width, decay
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._rows = np.empty((size, width))  # the first `_count` are in the sample by chance
        self._count = 0
        self._weight = 0.0  # of all rows seen that are not overweight
        self._groups: deque[_Group] = deque()  # overweight rows, lightest pane first
        self._certain = 0  # rows in these
        self._scale = 1.0  # weight of a row of the present pane, in the units of `_weight`

    def __len__(self) -> int:
        return self._count + self._certain

    @property
    def values(self) -> NDArray[np.float64]:
        """The rows in the sample, float64 (m, width), in no order."""
        if not self._groups:
            return self._rows[: self._count].copy()
        return np.concatenate([self._rows[: self._count], *(each.rows[: each.count] for each in self._groups)])

    def add(self, rows: NDArray[np.float64]) -> None:
        """Offer rows of the present pane, in the order in which they came.

        Parameters
        ----------
        rows : float64 (n,) or (n, width)
        """
        rows = np.asarray(rows, np.float64).reshape(-1, self.width)
        room = self.size - len(self)
        if room > 0:
            self._group().extend(rows[:room])
            self._certain += min(room, len(rows))
            rows = rows[room:]
        if len(rows) and (self._groups or self._overweight()):
            rows = self._one_by_one(rows)
        if len(rows):
            self._many(rows)

    def end_pane(self) -> None:
        """Let the weights of all rows seen so far fade."""
        # The rows that come weigh more from now on, which is the same as that those before weigh less.
        self._scale /= 1.0 - self.decay
        if self._scale > 1e100:
            self._rescale()

    def mark(self) -> Any:
        """Return what `back` needs to undo all that comes."""
        groups = [(each.weight, each.rows[: each.count].copy()) for each in self._groups]
        return self._rows[: self._count].copy(), self._weight, self._scale, self._random.bit_generator.state, groups

    def back(self, mark: Any) -> None:
        """Be as at a mark."""
        rows, self._weight, self._scale, self._random.bit_generator.state, groups = mark
        self._count = len(rows)
        self._rows[: self._count] = rows
        self._hold(groups)

    def _hold(self, groups: Iterable[tuple[float, NDArray[np.float64]]]) -> None:
        self._groups.clear()
        for weight, rows in groups:
            group = _Group(weight, self.width)
            group.extend(rows)
            self._groups.append(group)
        self._certain = sum(each.count for each in self._groups)

    def state(self) -> dict[str, Any]:
        """Return all there is to know, as arrays and plain data."""
        self._rescale()
        return {
            "size": self.size, "width": self.width, "decay": self.decay, "random": self._random.bit_generator.state,
            "rows": self._rows[: self._count].copy(), "weight": self._weight,
            "group_weights": [each.weight for each in self._groups],
            "groups": [each.rows[: each.count].copy() for each in self._groups],
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
        held = [np.asarray(group, np.float64).reshape(-1, made.width) for group in state["groups"]]
        made._hold(zip(map(float, state["group_weights"]), held, strict=True))
        return made

    # ----------------------------------------------------------------------------------------------------- private

    def _overweight(self) -> bool:
        """Return whether a row that comes now is in the sample for certain."""
        return (self.size - 1) * self._scale > self._weight

    def _group(self) -> _Group:
        """Return the group of the present pane."""
        if not self._groups or self._groups[-1].weight != self._scale:
            self._groups.append(_Group(self._scale, self.width))
        return self._groups[-1]

    def _many(self, rows: NDArray[np.float64]) -> None:
        """Take rows none of which is overweight: each enters with probability size * scale / total, the total being
        that with the row.
        """
        at = 0
        while at < len(rows):
            # Rows that may enter are drawn with the probability of the first, of which the last has half at least;
            # then each of them is taken with what its own probability is of that.
            n = min(len(rows) - at, max(64, int(self._weight / self._scale)))
            total = self._weight + self._scale
            drawn = self._drawn(n, min(1.0, self.size * self._scale / total))
            draws = self._random.random((2, len(drawn)))
            enter = draws[0] * (total + drawn * self._scale) < total
            # A slot that is drawn twice holds the later row.
            slots = (draws[1][enter] * self.size).astype(np.int64)
            self._rows[slots] = rows[at + drawn[enter]]
            self._weight += n * self._scale
            at += n

    def _drawn(self, n: int, chance: float) -> NDArray[np.int64]:
        """Return the positions of those of n rows that a chance, the same for each, brings in."""
        if chance > 0.3:
            return (self._random.random(n) < chance).nonzero()[0]
        many = int(n * chance + 6.0 * math.sqrt(n * chance) + 8)
        found = self._random.geometric(chance, many).cumsum() - 1
        while found[-1] < n:
            found = np.concatenate([found, self._random.geometric(chance, many).cumsum() + found[-1]])
        return found[: found.searchsorted(n)]

    def _one_by_one(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take rows while some are overweight, and return those that are left."""
        draws = self._random.random(len(rows))
        at = 0
        while at < len(rows):
            if not self._groups and not self._overweight():
                break
            # Of the k + 1 rows then held one has to go. While no group is freed, it is one of those by chance.
            lightest = self._groups[0].weight if self._groups else self._scale
            begin, count, certain, held = at, self._count, self._certain, self._rows
            while at < len(rows) and (self.size - certain - 1) * lightest > self._weight:
                gone = min(int(draws[at] * count), count - 1)
                held[gone] = held[count - 1]
                count, certain, at = count - 1, certain + 1, at + 1
            if at > begin:
                self._group().extend(rows[begin:at])
                self._count, self._certain = count, certain
            if at < len(rows):
                self._freeing(rows[at], float(draws[at]))
                at += 1
        return rows[at:]

    def _freeing(self, row: NDArray[np.float64], draw: float) -> None:
        """Take a row with which groups stop to be overweight."""
        self._group().extend(row[None])
        self._certain += 1
        by_chance = self._count
        freed: list[_Group] = []
        while self._groups and (self.size - self._certain) * self._groups[0].weight <= self._weight:
            group = self._groups.popleft()
            freed.append(group)
            self._certain -= group.count
            self._weight += group.weight * group.count
        # Each row stays in with its new probability, given that it was in with its old one (freed rows: 1).
        share = (self.size - self._certain) / self._weight if freed else 0.0
        rest = 1.0
        for group in freed:
            leaves = 1.0 - share * group.weight
            if draw < leaves * group.count:
                gone = min(int(draw / leaves), group.count - 1)
                group.rows[gone : group.count - 1] = group.rows[gone + 1 : group.count].copy()
                group.count -= 1
                break
            draw -= leaves * group.count
            rest -= leaves * group.count
        else:
            if by_chance:
                gone = max(0, min(int(draw / rest * by_chance), by_chance - 1)) if rest > 0.0 else 0
                self._rows[gone] = self._rows[by_chance - 1]
                self._count -= 1
            else:  # rounding: the last of the freed rows
                freed[-1].count -= 1
        for group in freed:
            self._rows[self._count : self._count + group.count] = group.rows[: group.count]
            self._count += group.count

    def _rescale(self) -> None:
        """Make a row of the present pane weigh 1 again: weights never grow beyond what a float holds."""
        self._weight /= self._scale
        for each in self._groups:
            each.weight /= self._scale
        self._scale = 1.0
