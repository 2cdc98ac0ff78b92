"""Buffers: memory that several lazy arrays may look at, and that writes go to in program order."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.expr import Expr

__all__ = ["Store", "forget", "leaf_of", "look", "owned", "sample", "share", "store_of"]

#: id of the array that owns memory -> stores over it; and leaves over it
_stores: dict[int, list[weakref.ref[Store]]] = {}
_leaves: dict[int, list[weakref.ref[Expr]]] = {}


class Store:
    """A buffer with versions.

    Attributes
    ----------
    expr : Expr
        Its content as it is now.
    memory : ndarray or None
        The user's array that writes go to in the end; None for what a plan computes.
    version : int
        Goes up with each write.
    dirty : bool
        Whether there are writes that `memory` does not have yet.
    """

    def __init__(self, expr: Expr, memory: np.ndarray | None) -> None:
        self.expr, self.memory = expr, memory
        self.version = 0
        self.dirty = False

    def seen_through(self, chain: tuple[Any, ...]) -> Expr:
        """Return the content as a view sees it."""
        found = self.expr
        for how, spec, shape, where in chain:
            found = ir.view(found, how, spec, shape, where)
        return found

    def write(self, expr: Expr) -> None:
        """Give the buffer another content."""
        if self.memory is not None and not self.memory.flags.writeable:
            raise ValueError("assignment destination is read-only")
        self.expr = expr
        self.version += 1
        self.dirty = True
        if self.memory is not None and _others(self):
            self.flush()

    def settled(self, leaf: Expr) -> None:
        """Remember that the content was computed."""
        self.expr = leaf

    def flush(self) -> None:
        """Compute what was written, and put it where the user's array is."""
        if not self.dirty:
            return
        from workbench.fusion.run import force

        self.put(force([self.expr])[0][0])

    def put(self, value: Any) -> None:
        """Put computed content into the user's array."""
        self.dirty = False
        if self.memory is None:
            self.expr = ir.leaf(np.asarray(value))
            return
        spare(self.memory)
        self.memory[...] = value
        self.expr = leaf_of(self.memory)
        for other in _others(self):
            other.expr = leaf_of(other.memory)  # type: ignore[arg-type]
            other.version += 1

    def forget(self) -> None:
        """Drop what was written and is not in the user's array: the work was stopped."""
        if self.dirty and self.memory is not None:
            self.dirty = False
            self.version += 1
            self.expr = leaf_of(self.memory)

    def write_back(self, array: Any, value: Any) -> Any:
        """Put what was computed of a lazy array into the buffer, and return what the array is then."""
        if array._chain:
            self.flush()
            array._seen = self.version
            array._expr = self.seen_through(array._chain)
            return value if self.memory is None else look(self.memory, array._chain)
        self.put(value)
        array._seen = self.version
        array._expr = self.expr
        return self.expr.data


def look(memory: np.ndarray, chain: tuple[Any, ...]) -> Any:
    """Return memory as a chain of views shows it."""
    from workbench.fusion.eager import view_of

    found: Any = memory
    for how, spec, _, _ in chain:
        found = view_of(found, how, spec)
    return found


def owner(array: np.ndarray) -> Any:
    """Return the array that owns the memory."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def leaf_of(array: np.ndarray) -> Expr:
    """Return a leaf over an array: the content of its buffer where it has writes that are not in memory yet."""
    found = ir.leaf(array)
    home = id(owner(array))
    known = _leaves.setdefault(home, [])
    known.append(weakref.ref(found))
    if len(known) > 64:
        _leaves[home] = [each for each in known if each() is not None]
        if len(_leaves) > 4096:
            _sweep()
    for each in _stores.get(home, ()):
        store = each()
        if store is not None and store.dirty and store.memory is not None and np.may_share_memory(store.memory, array):
            store.flush()
    return found


def store_of(array: np.ndarray, expr: Expr) -> Store:
    """Return a store over the user's array, known to others that share its memory."""
    found = Store(expr, array)
    home = id(owner(array))
    alive = [each for each in _stores.get(home, []) if each() is not None]
    _stores[home] = [*alive, weakref.ref(found)]
    return found


def owned(exprs: Sequence[Expr], values: Sequence[Any], leaves: Sequence[Expr]) -> list[Any]:
    """Return results of which none shares memory with an input or another result, unless it is a view of it.

    Work that was found to be the same, or to change nothing, gives one array; eager code gives one for each call, and
    later writes to one must not be seen in another.
    """
    found: list[Any] = []
    taken = [leaf.data for leaf in leaves if isinstance(leaf.data, np.ndarray)]
    for expr, value in zip(exprs, values, strict=True):
        if isinstance(value, np.ndarray) and value.size:
            whole = expr.kind not in ("Leaf", "View", "Broadcast") or expr.attr("kept")
            if whole and any(np.may_share_memory(value, x) for x in taken):
                value = value.copy()
            taken.append(value)
        found.append(value)
    return found


def share(lazies: Iterable[Any]) -> None:
    """Give lazy arrays over overlapping memory stores that know of each other, so that each sees what others write."""
    homes: dict[int, list[Any]] = {}
    for lazy in lazies:
        leaf = getattr(lazy, "_expr", None)
        if leaf is not None and lazy._store is None and leaf.kind == "Leaf" and isinstance(leaf.data, np.ndarray):
            homes.setdefault(id(owner(leaf.data)), []).append(lazy)
    for group in homes.values():
        for lazy in group:
            memory = lazy._expr.data
            if any(each is not lazy and np.may_share_memory(each._expr.data, memory) for each in group):
                lazy._store = store_of(memory, lazy._expr)


def forget(lazies: Iterable[Any]) -> None:
    """Drop what was written through lazy arrays and is not in the users' own.

    A traceback may keep them alive, and what looks at the same memory next would have it written then.
    """
    for lazy in lazies:
        store = getattr(lazy, "_store", None)
        if type(store) is Store:
            store.forget()


def _others(store: Store) -> list[Store]:
    assert store.memory is not None
    found = []
    for each in _stores.get(id(owner(store.memory)), ()):
        other = each()
        if other is None or other is store or other.memory is None:
            continue
        if np.may_share_memory(other.memory, store.memory):
            found.append(other)
    return found


def spare(memory: np.ndarray) -> None:
    """Give the expressions that still read this memory a copy of it, before it is written to."""
    for each in _leaves.get(id(owner(memory)), ()):
        leaf = each()
        # the reference of this frame, the argument, and one for whoever waits
        if leaf is None or not isinstance(leaf.data, np.ndarray) or sys.getrefcount(leaf) <= 2:
            continue
        if np.may_share_memory(leaf.data, memory):
            leaf.data = leaf.data.copy()


def sample(array: np.ndarray) -> bytes | None:
    """Return up to 64 evenly spaced elements as bytes; None where that would mean looking at all of them."""
    if not array.flags.c_contiguous or not array.size:
        return None
    flat = array if array.ndim == 1 else array.reshape(-1)
    step = len(flat) // 64 or 1
    return flat[: 64 * step : step].tobytes()


def _sweep() -> None:
    for home in [home for home, known in _leaves.items() if all(each() is None for each in known)]:
        del _leaves[home]
    for home in [home for home, stores in _stores.items() if all(each() is None for each in stores)]:
        del _stores[home]
