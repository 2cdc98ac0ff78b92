"""What the tests of the store share: facts of a run as a tracker states them, and rows."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.tta.sink import new_id
from workbench.tta.store import Store, open_store
from workbench.tta.store_sink import StoreSink

SECOND = 10**9


def facts(run: str | None = None, **more: Any) -> dict[str, Any]:
    """The row of `Sink.start`."""
    made: dict[str, Any] = {
        "id": run or new_id(), "name": "resnet9", "seed": 0, "attempt": 1, "parent": None, "joined": False,
        "state": "running", "task": None, "clock": "dawnbench", "goal": "max", "metric": "top1", "target": 94.0,
        "unit": None, "confirm": 1, "steps": None, "schedule": None, "price": None, "eval_hash": "", "eval_count": None,
        "started_ns": time.time_ns(), "rank": 0, "first_in_process": False, "environment": {"threads": 2},
        "resumed_step": None,
    }  # fmt: skip
    return made | more


def evaluation(
    seq: int, value: float | None, at_s: float | None = None, *, metric: str = "top1", **more: Any
) -> tuple[Any, ...]:
    """A row of `Sink.eval`."""
    row: dict[str, Any] = {
        "seq": seq, "step": 10 * seq, "epoch": float(seq), "metric": metric, "value": value, "n": 10_000,
        "t_ns": round((seq + 1 if at_s is None else at_s) * SECOND), "cpu_ns": (seq + 1) * SECOND, "energy_mj": None,
    } | more  # fmt: skip
    return tuple(row.values())


def dense(count: int, first: int = 0, metric: str = "loss") -> list[tuple[Any, ...]]:
    """Rows of `Sink.points`."""
    return [(metric, step, step * 1_000_000, 1 / (step + 1), step) for step in range(first, first + count)]


def begun(store: Store, **more: Any) -> StoreSink:
    """A run that has started."""
    row = facts(**more)
    sink = store.sink(row["id"])
    sink.start(row)
    return sink


def finished(
    store: Store | Path,
    values: Sequence[float | None] = (90.0, 94.0),
    *,
    state: str = "finished",
    points: int = 0,
    **more: Any,
) -> str:
    """A run with an evaluation a second, and its end; its id."""
    sink = begun(store if isinstance(store, Store) else open_store(store), **more)
    for seq, value in enumerate(values):
        sink.eval([evaluation(seq, value)])
    sink.points(dense(points))
    end = (len(values) + 1) * SECOND
    sink.end(state, {"end_ns": end, "cpu_ns": end, "gap": math.nan})
    sink.close()
    return sink.id
