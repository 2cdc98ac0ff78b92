"""Other engines raced on the same expression: same inputs, alternating rounds, answers checked."""

from __future__ import annotations

import gc
import importlib
import statistics
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion.errors import FusionTypeError, unknown_peer

if TYPE_CHECKING:
    import pandas as pd

    from workbench.fusion.expr import Expr

__all__ = ["COLUMNS", "PEERS", "checked_peers", "compare"]

#: engines that there are words for, in `peers/`
PEERS = ("numpy", "pandas", "numba", "polars", "jax", "inductor")
#: columns of a comparison, with their dtypes
COLUMNS = {
    "peer": "str", "ms": "float64", "min_ms": "float64", "first_ms": "float64", "ratio": "float64",
    "max_error": "float64", "status": "str",
}  # fmt: skip


def checked_peers(peers: Sequence[str]) -> tuple[str, ...]:
    """Return the names of peers, each once.

    Raises
    ------
    FusionError
        For one that is not known.
    """
    for name in peers:
        if name not in PEERS:
            raise unknown_peer(name)
    return tuple(dict.fromkeys(peers))


def compare(
    *lazies: Any, peers: Sequence[str] = ("numpy",), rounds: int = 5, threads: int | None = None
) -> pd.DataFrame:
    """Race other engines on what lazy objects stand for.

    All get the same inputs and as many threads as they can be told to use. Each runs once before the rounds; its first
    run holds its compilation. Then they take turns. Answers are held to those of the original calls.

    Parameters
    ----------
    *lazies : LazyArray, LazyFrame, LazySeries
        Not computed yet: one that is computed is an array like any other.
    peers : sequence of str
        numpy, pandas, numba, polars, jax, inductor. The first two replay the captured calls.
    rounds : int
        After the first run.
    threads : int, optional
        As many as this process may use if not given.

    Returns
    -------
    DataFrame
        `peer, ms` (median), `min_ms, first_ms, ratio` (its median by ours), `max_error, status`: "ok", "not installed",
        "not expressible: <op>" or "differs". The first row is workbench.

    Raises
    ------
    FusionError
        For an unknown peer.
    """
    names = checked_peers(peers)
    exprs = [part for each in lazies for part in _parts(each)]
    count = _threads(threads)
    wanted, slack = _reference(exprs)
    racers = [_Racer("workbench", lambda: _ours(exprs, count))]
    racers += [_Racer(name, lambda name=name: _peer(name, exprs, count)) for name in names]  # type: ignore[misc]
    for racer in racers:
        racer.first(wanted, slack)
    for _ in range(max(1, rounds)):
        for racer in racers:
            racer.again()
    return _table(racers)


def _parts(lazy: Any) -> list[Expr]:
    if not hasattr(lazy, "_parts"):
        raise FusionTypeError(
            f"Cannot compare a value of type {type(lazy).__name__}.", "Pass lazy objects: wb.fusion.array or frame."
        )
    found: list[Expr] = lazy._needs() if hasattr(lazy, "_needs") else lazy._parts()
    return found


def _threads(threads: int | None) -> int:
    from workbench.fusion.run import _threads as resolved

    return resolved(threads)


def _reference(exprs: Sequence[Expr]) -> tuple[list[Any], list[float]]:
    """Return what the original calls give, and for each how far float sums may be from it."""
    from workbench.fusion.check import _slack
    from workbench.fusion.eager import evaluate

    known: dict[int, Any] = {}
    return evaluate(exprs, known), [_slack(each, known) for each in exprs]


def _ours(exprs: Sequence[Expr], threads: int) -> Callable[[], list[Any]]:
    from workbench.fusion.run import _compiled
    from workbench.fusion.structure import structure

    # races are no part of what the process computed, so their plans are not remembered
    return lambda: _compiled(exprs, structure(exprs), "cpu", threads, False, time.perf_counter())[0]


def _peer(name: str, exprs: Sequence[Expr], threads: int) -> Callable[[], list[Any]]:
    build: Callable[..., Callable[[], list[Any]]] = importlib.import_module(f"workbench.fusion.peers.{name}").build
    return build(exprs, threads)


class _Racer:
    """One engine, its times and whether it agrees."""

    def __init__(self, name: str, build: Callable[[], Callable[[], list[Any]]]) -> None:
        self.name, self.build = name, build
        self.run: Callable[[], list[Any]] | None = None
        self.times: list[float] = []
        self.first_ms = self.error = float("nan")
        self.status = "ok"

    def first(self, wanted: Sequence[Any], slack: Sequence[float]) -> None:
        """Build it, run it once, and check its answers."""
        from workbench.fusion.peers.graph import NotExpressible

        begin = time.perf_counter()
        try:
            run = self.build()
            found = run()
        except NotExpressible as error:
            self.status = f"not expressible: {error}"
            return
        except ImportError as error:
            missing = getattr(error, "name", None)
            self.status = "not installed" if missing else f"not installed: {error}"
            return
        except KeyboardInterrupt:
            raise
        except Exception as error:
            if self.name == "workbench":
                raise
            self.status = f"not expressible: {type(error).__name__}"
            return
        self.first_ms = 1e3 * (time.perf_counter() - begin)
        self.run = run
        self.error, fits = _difference(found, wanted, slack)
        if not fits:
            self.status = "differs"

    def again(self) -> None:
        """Run it in its turn."""
        if self.run is None:
            return
        gc.collect(0)
        begin = time.perf_counter()
        found = self.run()
        self.times.append(1e3 * (time.perf_counter() - begin))
        del found


def _difference(found: Sequence[Any], wanted: Sequence[Any], slack: Sequence[float]) -> tuple[float, bool]:
    from workbench.fusion.check import difference

    largest, fits = 0.0, True
    for value, eager, bound in zip(found, wanted, slack, strict=True):
        eager = np.asarray(eager)
        value = np.asarray(value)
        # engines have their own types for counts and flags; the values have to agree
        if value.dtype != eager.dtype and _castable(value, eager):
            value = value.astype(eager.dtype)
        error, _, fit = difference(value, eager, bound)
        largest, fits = max(largest, error), fits and fit
    return largest, fits


def _castable(value: np.ndarray, eager: np.ndarray) -> bool:
    if value.dtype.kind in "iub" and eager.dtype.kind in "iub":
        return bool((value.astype(eager.dtype) == value).all())
    return value.dtype.kind == eager.dtype.kind == "f" and value.dtype.itemsize >= eager.dtype.itemsize


def _table(racers: Sequence[_Racer]) -> pd.DataFrame:
    import pandas as pd

    nan = float("nan")
    medians = [statistics.median(each.times) if each.times else nan for each in racers]
    rows: dict[str, list[Any]] = {
        "peer": [each.name for each in racers],
        "ms": medians,
        "min_ms": [min(each.times, default=nan) for each in racers],
        "first_ms": [each.first_ms for each in racers],
        "ratio": [each / medians[0] for each in medians],
        "max_error": [each.error for each in racers],
        "status": [each.status for each in racers],
    }
    return pd.DataFrame(rows).astype(COLUMNS)
