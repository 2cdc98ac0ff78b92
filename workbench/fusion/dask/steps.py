"""Recorded calls: what is done to each partition, as plain data that travels to workers."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Step", "called"]


@dataclass(frozen=True, eq=False)
class Step:
    """One recorded call: `getattr(operator or object, name)` on values and other steps; picklable.

    Attributes
    ----------
    how : {"leaf", "item", "attribute", "method", "operator", "ufunc"}
    name : str
    args : tuple
        Steps or plain values; of a leaf its number.
    kwargs : dict
    """

    how: str
    name: str = ""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] | None = None

    def on(self, leaves: Sequence[Any], known: dict[int, Any] | None = None) -> Any:
        """Return what the call gives, with these values for the leaves."""
        known = {} if known is None else known
        if id(self) not in known:
            args = [each.on(leaves, known) if isinstance(each, Step) else each for each in self.args]
            kwargs = {
                key: each.on(leaves, known) if isinstance(each, Step) else each
                for key, each in (self.kwargs or {}).items()
            }
            known[id(self)] = leaves[self.args[0]] if self.how == "leaf" else called(self.how, self.name, args, kwargs)
        return known[id(self)]


def called(how: str, name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Return what a call gives; `how` and `name` as in `Step`."""
    if how == "item":
        return args[0][args[1]]
    if how == "operator":
        return getattr(operator, name)(*args)
    if how == "ufunc":
        return getattr(np, name)(*args, **kwargs)
    found = args[0]
    for part in name.split("."):
        found = getattr(found, part)
    return found if how == "attribute" else found(*args[1:], **kwargs)
