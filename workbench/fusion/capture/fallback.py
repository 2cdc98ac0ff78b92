"""Work that pandas does itself: on forced inputs, at the call, wrapped again and told in the plan."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from workbench.fusion.errors import warn_fallback
from workbench.fusion.expr import Fallback
from workbench.fusion.positions import here, line_of

__all__ = [
    "forced", "is_lazy", "notes_of", "run_in_pandas", "told", "unreported", "warn_anew", "warn_once", "wrap",
]  # fmt: skip

#: (op, place) of warnings that were given
_warned: set[tuple[str, Any]] = set()


def warn_once(op: str, where: Any, library: str = "pandas") -> None:
    """Warn that an operation ran unfused, once at each place."""
    if (op, where) not in _warned:
        _warned.add((op, where))
        warn_fallback(op, line_of(where), library)


def warn_anew() -> None:
    """Forget what was warned of: the next cell says it again."""
    _warned.clear()


def told(op: str, reason: str, **figures: Any) -> Fallback:
    """Return the note on an operation called now, and warn of it."""
    where = here()
    warn_once(op, where)
    return Fallback(op, reason, where, **figures)


def is_lazy(value: Any) -> bool:
    """Return whether a value is one of the lazy objects."""
    return hasattr(type(value), "_fusion_value") or type(value).__name__ in ("LazyArray", "LazyTensor")


def forced(value: Any) -> Any:
    """Return a value with its lazy objects computed, in one plan: also those two levels inside lists, tuples, dicts."""
    waiting: list[Any] = []
    _inside(value, waiting.append)
    if len(waiting) > 1:
        from workbench.fusion.api import computed

        computed(waiting)
    return _inside(value, _value) if waiting else value


def _value(lazy: Any) -> Any:
    return lazy._fusion_value() if hasattr(type(lazy), "_fusion_value") else lazy.compute()


def _inside(value: Any, change: Callable[[Any], Any], depth: int = 2) -> Any:
    """Return a value with the lazy objects in it changed."""
    if is_lazy(value):
        return change(value)
    kind = type(value)
    if kind is slice:
        return slice(*[_inside(each, change, 0) for each in (value.start, value.stop, value.step)])
    if not depth or kind not in (list, tuple, dict):
        return value
    if kind is dict:
        return {key: _inside(each, change, depth - 1) for key, each in value.items()}
    return kind([_inside(each, change, depth - 1) for each in value])


def run_in_pandas(
    op: str, call: Callable[..., Any], /, *args: Any, reason: str = "unsupported operation", **kwargs: Any
) -> Any:
    """Run a call of pandas on forced arguments, and wrap what it returns.

    Parameters
    ----------
    op : str
        How the operation is told.
    call : callable
        Takes the forced arguments; its exceptions are the caller's.
    reason : str
        Why it did not fuse.
    """
    notes = tuple(note for each in (*args, *kwargs.values()) for note in notes_of(each))
    plain, named = [forced(each) for each in args], {key: forced(each) for key, each in kwargs.items()}
    begun = time.perf_counter()
    value = call(*plain, **named)
    took = time.perf_counter() - begun
    read = sum(_size(each) for each in (*plain, *named.values()))
    note = told(op, reason, ms=1e3 * took, bytes_read=read, bytes_written=_size(value))
    note.earlier = notes
    found = wrap(value, (note,))
    if found is value:
        _alone(note)
    return found


def wrap(value: Any, notes: tuple[Fallback, ...] = ()) -> Any:
    """Return what pandas gave as a lazy object if it is a table or a column, else as it is."""
    import pandas as pd

    from workbench.fusion.capture.frame import LazyFrame
    from workbench.fusion.capture.series import LazySeries

    if isinstance(value, pd.DataFrame):
        return LazyFrame._of(value, notes=notes)
    if isinstance(value, pd.Series):
        return LazySeries._of(value, notes=notes)
    return value


def _alone(note: Fallback) -> None:
    """Tell of a call whose result is no table or column, and so part of no later plan."""
    from workbench.fusion import cache
    from workbench.fusion.result import FusionPlan
    from workbench.fusion.telling import tell_fallbacks

    plan = FusionPlan(cache="hit", run_ms=note.ms)
    tell_fallbacks(plan, unreported([note]))
    cache.remember(plan)


def unreported(notes: Sequence[Fallback]) -> list[Fallback]:
    """Return notes, and those before them, that no plan has told yet; from now on they are told."""
    found = []
    for note in notes:
        if not note.reported:
            note.reported = True
            found += [*unreported(note.earlier), note]
    return found


def notes_of(value: Any) -> tuple[Fallback, ...]:
    """Return what ran unfused on the way to a lazy object."""
    return getattr(value, "_notes", ()) if hasattr(type(value), "_fusion_value") else ()


def _size(value: Any) -> int:
    import numpy as np
    import pandas as pd

    if isinstance(value, pd.DataFrame):
        return int(value.memory_usage(index=False).sum())
    return int(value.nbytes) if isinstance(value, (pd.Series, np.ndarray)) else 0
