"""The value of each answer of a stream in the last panes."""

from __future__ import annotations

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

#: columns, codes and values of sets
Part = tuple["NDArray[np.int32]", "NDArray[np.int64]", "NDArray[np.float64]"]
Parts = Sequence[Part]


class Sparks:
    """Sets and their values in the last panes; nothing is looked up before somebody asks.

    Parameters
    ----------
    panes : tuple
        As of another one.
    """

    def __init__(self, panes: tuple[_Values, ...] = ()) -> None:
        self._panes = panes

    def after(self, parts: Callable[[], Parts]) -> Sparks:
        """Return what is known with one pane more.

        Parameters
        ----------
        parts : callable
            Gives columns, codes and values of its sets, in parts; codes mean the same in all panes.
        """
        return Sparks((*self._panes, _Values(parts))[-SHOWN:])

    def of(self, sets: Sets) -> list[list[float | None]]:
        """Return for each of some sets its values up to the last pane, None where a pane had none."""
        keys = hashes(sets.columns, sets.codes).tolist()
        found = [each.by_key for each in self._panes]
        return [[each.get(key) for each in found] for key in keys]


class _Values:
    def __init__(self, parts: Callable[[], Parts]) -> None:
        self._parts: Callable[[], Parts] | None = parts
        self._by_key: dict[int, float] = {}

    @property
    def by_key(self) -> dict[int, float]:
        parts, made = self._parts, self._by_key
        if parts is not None:
            for columns, codes, value in parts():
                made.update(zip(hashes(columns, codes).tolist(), value.tolist(), strict=True))
            self._parts = None
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {"_parts": None, "_by_key": self.by_key}
