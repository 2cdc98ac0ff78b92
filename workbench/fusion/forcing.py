"""The code that forces: the options of its cell or call, and what of its loops is not to be done again and again.

A line that forces small work many times replays its calls. What two forces have in common is kept at the second, so
that a loop which asks for a number in each round, as training does for its loss, goes on from the last round.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from workbench.fusion.cpu import memory
from workbench.fusion.expr import Expr
from workbench.fusion.positions import here, line_of

__all__ = [
    "DEFAULTS",
    "again",
    "asked",
    "chosen",
    "forecasting",
    "forecasts",
    "hold",
    "keep",
    "needed",
    "places_rows",
    "scope",
    "shared",
]

#: options of runs that nobody named options for
DEFAULTS: dict[str, Any] = {}
#: a line may force so many times in a cell before small work is replayed, and work of so many elements is not small
MOST_TIMES, MOST_ELEMENTS = 32, 20_000

#: what many elements is made of is kept from so many nodes on: to read it back has to be worth it
FEWEST_NODES = 16
_COMPUTED = frozenset({"Map", "Select", "Cast", "Reduce", "Scan", "Gather", "Extern", "Concat"})

#: bytes from which on places of rows are kept, and how many are
_LEAST_HELD = 1 << 12
_held = [0]
_lock = threading.Lock()

_NOT_SAID = {"device": "auto", "threads": None, "exact": False, "check": False}


class _Scope:
    """What a cell or a call has forced so far."""

    def __init__(self) -> None:
        self.times: dict[Any, int] = {}
        self.lines: dict[Any, Any] = {}
        self.told: set[Any] = set()
        #: what was forced, and what that was made of
        self._seen: weakref.WeakSet[Expr] | None = None

    @property
    def seen(self) -> weakref.WeakSet[Expr]:
        """What was forced so far, and what that was made of; most code forces nothing before its end."""
        if self._seen is None:
            self._seen = weakref.WeakSet()
        return self._seen

    def line(self, where: Any) -> Any:
        """Return the line of a position; spelled out once."""
        found = self.lines.get(where)
        if found is None:
            found = self.lines[where] = where[0], line_of(where)
        return found


_scopes: list[_Scope] = []
#: lists that get a plan for a GPU of all that is computed, innermost last: of cells that asked for one that is not here
forecasts: list[list[Any]] = []
_needs: list[bool] = []


class scope:
    """Run the code of a cell or call: what it forces takes its options, and lines are counted."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = {name: value for name, value in options.items() if value != _NOT_SAID[name]}

    def __enter__(self) -> None:
        self._before = dict(DEFAULTS)
        DEFAULTS.update(self._options)
        _scopes.append(_Scope())

    def __exit__(self, *error: object) -> None:
        _scopes.pop()
        DEFAULTS.clear()
        DEFAULTS.update(self._before)


@contextmanager
def forecasting(wanted: bool) -> Iterator[list[Any]]:
    """Give a list to which, if that is wanted, a plan for a GPU is added of all that is computed meanwhile."""
    found: list[Any] = []
    if wanted:
        forecasts.append(found)
    try:
        yield found
    finally:
        if wanted:
            forecasts.pop()


def chosen(**options: Any) -> dict[str, Any]:
    """Return the options of a run: those that nobody named are those of the cell."""
    if not DEFAULTS:
        return options
    return {name: DEFAULTS.get(name, value) if value == _NOT_SAID[name] else value for name, value in options.items()}


def needed(compute: Callable[[], Any]) -> Any:
    """Return a value that Python asks for: a number, a truth, an iterator."""
    _needs.append(True)
    try:
        return compute()
    finally:
        _needs.pop()


def asked() -> Any:
    """Return the position of the line where Python asks for a value, the first time that it does in a cell or call."""
    if not _scopes or not _needs:
        return None
    where, found = here(), _scopes[-1]
    line = found.line(where)
    if line in found.told:
        return None
    found.told.add(line)
    return where


def again(leaves: Sequence[Expr]) -> tuple[bool, Any]:
    """Return whether a line has forced small work more often than compiled work pays for.

    Returns
    -------
    replay : bool
    where : tuple or None
        The position of the line, the first time that it is so.
    """
    if not _scopes:
        return False, None
    where, found = here(), _scopes[-1]
    line = found.line(where)
    if any(getattr(leaf.data, "size", 0) >= MOST_ELEMENTS for leaf in leaves):
        return False, None
    times = found.times[line] = found.times.get(line, 0) + 1
    if times <= MOST_TIMES:
        return False, None
    return True, where if times == MOST_TIMES + 1 else None


def shared(roots: Sequence[Expr], order: Sequence[Expr]) -> list[Expr]:
    """Return the nodes that were computed for an earlier force too, and that what is new begins at.

    Parameters
    ----------
    roots, order : sequence of Expr
        What is forced, and all nodes of it.
    """
    if not _scopes:
        return []
    seen = _scopes[-1].seen
    new = [node for node in order if node not in seen]
    deep = len(order) - len(new) >= FEWEST_NODES
    seen.update(node for node in new if node.kind not in ("Leaf", "Const"))
    found: dict[int, Expr] = {}
    fresh, asked_for = {id(node) for node in new}, {id(node) for node in roots}
    for node in new:
        for each in node.inputs if node.kind != "Item" else ():
            while each.kind in ("View", "Broadcast"):
                each = each.inputs[0]
            if id(each) not in fresh and id(each) not in asked_for and _is_kept(each, deep):
                found[id(each)] = each
    return list(found.values())


def _is_kept(node: Expr, deep: bool) -> bool:
    if node.kind not in _COMPUTED or node.valid is not None or node.dtype.kind not in "biuf":
        return False
    lengths = [length for length in node.shape if isinstance(length, int)]
    return len(lengths) == node.ndim and (deep or math.prod(lengths) < MOST_ELEMENTS)


def places_rows(node: Expr) -> bool:
    """Return whether a node tells where rows of a table stand, or which group they are of: what takes long to find."""
    if node.kind == "GroupReduce":
        return "codes" in node.attr("ops")
    return node.kind in ("Sort", "Join") or (node.kind == "Extern" and node.name.startswith("groupby."))


def hold(node: Expr, order: Sequence[Expr], value: Any) -> None:
    """Keep what a node gives that places rows, for whoever asks for the same rows again, if there is room for it.

    Parameters
    ----------
    node : Expr
    order : sequence of Expr
        The nodes that were forced: of a node with several results, those results are kept.
    value : ndarray or tuple of ndarray
    """
    if isinstance(value, tuple):
        for each in order:
            if each.kind == "Item" and each.inputs[0] is node:
                hold(each, (), value[each.attr("index")])
        return
    size = value.nbytes
    with _lock:
        if size < _LEAST_HELD or _held[0] + size > memory.pool.most:
            return
        _held[0] += size
    keep(node, value)
    weakref.finalize(node, _released, size)


def _released(size: int) -> None:
    with _lock:
        _held[0] -= size


def keep(node: Expr, value: Any) -> None:
    """Make a node a leaf over what was computed for it."""
    node.kind, node.inputs, node.attrs, node.call = "Leaf", (), (("kept", True),), None
    node.data = np.asarray(value)
