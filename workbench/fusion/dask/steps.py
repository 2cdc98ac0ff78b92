"""Recorded calls: what is done to each partition, as plain data that travels to workers."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Step", "called", "last_merge", "tables"]


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
    table : DataFrame
        Of a leaf: a table that each partition is joined with. It travels on its own, not with the step.
    """

    how: str
    name: str = ""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] | None = None
    table: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "table": None}

    def parts(self) -> list[Step]:
        """Return the steps that it is made of."""
        return [each for each in (*self.args, *(self.kwargs or {}).values()) if isinstance(each, Step)]

    def on(self, leaves: Mapping[Any, Any], known: dict[int, Any] | None = None) -> Any:
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


def tables(step: Step) -> dict[Any, Any]:
    """Return the tables that partitions are joined with, by the number of their leaf."""
    found: dict[Any, Any] = {}
    stack = [step]
    while stack:
        each = stack.pop()
        if each.table is not None:
            found[each.args[0]] = each.table
        stack += each.parts()
    return found


def last_merge(step: Step) -> Step | None:
    """Return the step that last gave the rows new labels, counted from 0 in each partition."""
    level = [step]
    while level:
        for each in level:
            if each.how == "method" and each.name == "merge":
                return each
        level = [part for each in level for part in each.parts()]
    return None
