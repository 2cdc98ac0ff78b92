"""What `repeat` is about to do, as a plan: seeds, seconds and cost, as earlier runs of the recipe took them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.engine.plan import Plan
    from workbench.tta.record import Record
    from workbench.tta.worker import Recipe

__all__ = ["counted", "plan_of", "with_actual"]


def plan_of(recipe: Recipe, seeds: int, at_once: int, earlier: list[Record]) -> Plan:
    """Return what is to be done, and how long it will take if seeds take what earlier ones took."""
    from statistics import median

    from workbench.engine.plan import Node, Plan
    from workbench.tta.price import as_price

    lengths = [length for record in earlier if (length := _length(record)) > 0]
    each = median(lengths) if lengths else math.nan
    notes = [f"{at_once} at once"]
    in_all: float | None = None
    if lengths:
        in_all = each * math.ceil(seeds / at_once)
        notes.append(f"{each:.3g} s a seed, the median of {counted(len(lengths), 'earlier run')}")
        price = as_price(recipe.tracker.get("price"))
        if price is not None and not math.isnan(price.rate):
            notes.append(f"${in_all / 3600 * price.rate:.2f} at ${price.usd_per_hour:g}/h")
    each_ms, all_ms = (None, None) if in_all is None else (each * 1e3, in_all * 1e3)
    run = Node("train", f"{recipe.name}(tracker, seed)", est_rows=float(seeds), est_ms=each_ms)
    root = Node("repeat", counted(seeds), est_rows=float(seeds), est_ms=all_ms, children=(run,))
    return Plan(root, notes=tuple(notes))


def with_actual(plan: Plan, rows: int, seconds: float) -> Plan:
    """Return the plan with how many seeds there were and how long they took."""
    from dataclasses import replace

    return replace(plan, root=replace(plan.root, rows=float(rows), ms=seconds * 1e3))


def counted(number: int, one: str = "seed") -> str:
    """Return `1 seed`, `3 seeds`."""
    return f"{number} {one if number == 1 else one + 's'}"


def _length(record: Record) -> float:
    last = record.evals["wall_s"].max() if len(record.evals) else math.nan
    return float(last) if last == last else 0.0
