"""What to change about a query that takes long: said of the estimates before it runs, and of the figures after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.engine.plan import Node as Operator

if TYPE_CHECKING:
    from workbench.video.plan.logical import QueryPlan

__all__ = ["advice"]

#: below this, nobody waits; and below this, no change is worth its price
_WORTH_WORDS_MS, _WORTH_CHANGE_MS = 500.0, 10_000.0
_EVERY = 5


def advice(plan: QueryPlan, root: Operator, *, measured: bool = False) -> tuple[str, ...]:
    """Return what takes most of the time, and what would take less.

    Parameters
    ----------
    plan : QueryPlan
    root : Node
        Its operators.
    measured : bool
        Whether the run is over: then its milliseconds count, otherwise the estimates.
    """
    steps = [operator for _, operator in root.walk()]
    costs = [(step.ms if measured else step.est_ms) or 0.0 for step in steps]
    total, cost = sum(costs), max(costs)
    if total < _WORTH_WORDS_MS:
        return ()
    most = steps[costs.index(cost)]
    share, own = f"{100 * cost / total:.0f} %", _duration(cost)
    if measured:
        found = [f"{_called(most)} took {share} of the work: {own} of {_duration(total)}."]
    else:
        found = [f"{_called(most)} takes {share} of the time: about {own} of {_duration(total)}."]
    if total > _WORTH_CHANGE_MS and (change := _change(plan, steps, most, cost, measured)):
        found.append(change)
    return tuple(found)


def _change(plan: QueryPlan, steps: list[Operator], most: Operator, cost: float, measured: bool) -> str:
    if most.op == "detect" and plan.every < _EVERY:
        saved = _duration(cost * (1 - plan.every / _EVERY))
        would = "would have saved" if measured else "would save"
        return f"every={_EVERY} {would} about {saved}; events shorter than {_EVERY} frames may be missed."
    if most.op == "props":
        var, _, name = most.detail.partition(".")
        if not plan.costs.once(var, name):
            return f"@prop(once=True) on {name} would ask once for each object, not at each frame."
        if not any(f"{var}.score" in step.detail for step in steps if step.op == "filter"):
            return f"A test before {most.detail}, such as {var}.score > 0.5, leaves fewer objects to ask about."
    return ""


def _called(step: Operator) -> str:
    return f"{step.op} ({step.detail})" if step.detail else step.op


def _duration(ms: float) -> str:
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 120_000:
        return f"{ms / 1000:.0f} s"
    return f"{ms / 60_000:.0f} min" if ms < 7_200_000 else f"{ms / 3_600_000:.1f} h"
