"""`fuse`: a function whose array and table work is captured and computed in one plan."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from workbench.fusion import errors
from workbench.fusion.capture.function import routed
from workbench.fusion.capture.storage import forget, share
from workbench.fusion.forcing import scope
from workbench.fusion.ops import supported

__all__ = ["fuse", "is_lazy", "wrap"]


def fuse(
    fn: Callable[..., Any] | None = None,
    *,
    device: str = "auto",
    threads: int | None = None,
    exact: bool = False,
    check: bool = False,
) -> Any:
    """Make a function of ordinary NumPy and pandas code a fused one: a decorator, with or without parentheses.

    Each call wraps arrays and tables among the arguments, also one level inside lists, tuples and dicts, runs the
    function once, and computes all results in one plan. Functions of pandas that it calls run in their lazy form, or
    get what lazy objects stand for.

    Parameters
    ----------
    fn : callable
    device, threads, exact, check
        As in `compute`.

    Returns
    -------
    callable
        With `.plan`, of the last call, and `.original`.

    Raises
    ------
    FusionTypeError
        If `fn` is a torch module.
    """
    if fn is None:
        return functools.partial(fuse, device=device, threads=threads, exact=exact, check=check)
    if type(fn).__module__.startswith("torch") or any(c.__module__.startswith("torch.nn") for c in type(fn).__mro__):
        raise errors.fuse_of_module()
    options = {"device": device, "threads": threads, "exact": exact, "check": check}
    original, function = fn, routed(fn)

    @functools.wraps(original)
    def fused(*args: Any, **kwargs: Any) -> Any:
        seen: dict[int, Any] = {}
        lazy_args = [_inside(each, lambda v: wrap(v, seen)) for each in args]
        lazy_kwargs = {key: _inside(each, lambda v: wrap(v, seen)) for key, each in kwargs.items()}
        share(seen.values())
        from workbench.fusion.api import computed

        waiting: list[Any] = []
        try:
            with scope(options):
                result = function(*lazy_args, **lazy_kwargs)
            _inside(result, lambda v: waiting.append(v) if is_lazy(v) else None)
            # writes to the arguments are part of what the call does
            written = [each for each in seen.values() if is_written(each)]
            values, plan = computed([*waiting, *written], **options)
        except KeyboardInterrupt:
            forget(seen.values())
            raise
        fused.plan = plan  # type: ignore[attr-defined]
        by_id = {id(each): value for each, value in zip(waiting, values, strict=False)}
        return _inside(result, lambda v: by_id.get(id(v), v))

    fused.plan = None  # type: ignore[attr-defined]
    fused.original = original  # type: ignore[attr-defined]
    return fused


def is_lazy(value: Any) -> bool:
    """Return whether a value is one of our lazy objects."""
    return hasattr(type(value), "_parts")


def is_written(value: Any) -> bool:
    """Return whether a wrapped argument has writes that its original does not have yet."""
    store = getattr(value, "_store", None)
    return store is not None and store.dirty


def wrap(value: Any, seen: dict[int, Any]) -> Any:
    """Return the lazy form of an array or table, the same one for the same object; others as they are."""
    if id(value) in seen:
        return seen[id(value)]
    found = value
    kind = type(value)
    if kind is np.ndarray:
        if supported(value.dtype):
            from workbench.fusion.api import array

            found = array(value)
    elif kind.__module__.partition(".")[0] in ("pandas", "dask") and kind.__name__ in ("DataFrame", "Series"):
        from workbench.fusion.capture.frame import frame  # type: ignore[import-untyped,attr-defined,unused-ignore]

        found = frame(value)
    if found is not value:
        seen[id(value)] = found
    return found


def _inside(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return a value with `change` applied to it, or to what is one level inside a list, tuple or dict."""
    kind = type(value)
    if kind in (list, tuple):
        return kind([change(each) for each in value])
    if kind is dict:
        return {key: change(each) for key, each in value.items()}
    return change(value)
