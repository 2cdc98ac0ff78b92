"""The value of each answer of a stream in the last panes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly.stream_sets import hashes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.anomaly.sets import Sets

__all__ = ["Sparks"]

#: panes that are shown at most
SHOWN = 30

Parts = Sequence[tuple["NDArray[np.int32]", "NDArray[np.int64]", "NDArray[np.float64]"]]


class Sparks:
    """Sets and their values in the last panes; nothing is looked up before somebody asks."""

    def __init__(self) -> None:
        self._panes: deque[_Values] = deque(maxlen=SHOWN)

    def after(self, parts: Parts) -> Callable[[Sets], list[list[float | None]]]:
        """Take a pane: columns, codes and values of sets, in parts; codes mean the same in all panes.

        Returns
        -------
        callable
            Gives for each of some sets its values up to this pane, None where a pane had none.
        """
        self._panes.append(_Values(parts))
        panes = tuple(self._panes)

        def values(sets: Sets) -> list[list[float | None]]:
            keys = hashes(sets.columns, sets.codes).tolist()
            found = [each.by_key for each in panes]
            return [[each.get(key) for each in found] for key in keys]

        return values


class _Values:
    def __init__(self, parts: Parts) -> None:
        self._parts: Parts | None = parts
        self._by_key: dict[int, float] = {}

    @property
    def by_key(self) -> dict[int, float]:
        parts, made = self._parts, self._by_key
        if parts is not None:
            for columns, codes, value in parts:
                made.update(zip(hashes(columns, codes).tolist(), value.tolist(), strict=True))
            self._parts = None
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {"_parts": None, "_by_key": self.by_key}
