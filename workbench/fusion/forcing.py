"""The code that forces: the options of its cell or call, and lines of it that force small work again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from workbench.fusion.expr import Expr
from workbench.fusion.positions import here, line_of

__all__ = ["DEFAULTS", "again", "asked", "chosen", "needed", "scope"]

#: options of runs that nobody named options for
DEFAULTS: dict[str, Any] = {}
#: a line may force so many times in a cell before small work is replayed, and work of so many elements is not small
MOST_TIMES, MOST_ELEMENTS = 32, 20_000

_NOT_SAID = {"device": "auto", "threads": None, "exact": False, "check": False}


class _Scope:
    """What a cell or a call has forced so far."""

    def __init__(self) -> None:
        self.times: dict[Any, int] = {}
        self.lines: dict[Any, Any] = {}
        self.told: set[Any] = set()

    def line(self, where: Any) -> Any:
        """Return the line of a position; spelled out once."""
        found = self.lines.get(where)
        if found is None:
            found = self.lines[where] = where[0], line_of(where)
        return found


_scopes: list[_Scope] = []
_needs: list[bool] = []


@contextmanager
def scope(options: dict[str, Any]) -> Iterator[None]:
    """Run the code of a cell or call: what it forces takes its options, and lines are counted."""
    before = dict(DEFAULTS)
    DEFAULTS.update({name: value for name, value in options.items() if value != _NOT_SAID[name]})
    _scopes.append(_Scope())
    try:
        yield
    finally:
        _scopes.pop()
        DEFAULTS.clear()
        DEFAULTS.update(before)


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
