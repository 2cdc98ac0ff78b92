"""What to say when a query found nothing: what came closest, and how many objects passed each part."""

from __future__ import annotations

import numpy as np

from workbench.video.language import tree
from workbench.video.language.nouns import counted, noun
from workbench.video.language.show import show
from workbench.video.language.tree import CompiledQuery, Node
from workbench.video.operators.bind import Space
from workbench.video.operators.evaluate import Evaluator
from workbench.video.operators.intervals import joined, runs
from workbench.video.tracks import Bools

__all__ = ["nearest_miss"]


def nearest_miss(query: CompiledQuery, evaluator: Evaluator) -> tuple[str, str]:
    """Return two lines: `No events. Closest: ...` and `61 people seen; 18 entered yard.`

    Costly properties are looked at where they were computed, never computed for this.
    """
    # an evaluator of its own: looking again is no work of the query, so it does not count in its figures
    again = Evaluator(evaluator.space, evaluator.properties)
    return _closest(query, again), _funnel(query, again)


def _who(query: CompiledQuery, space: Space, binding: int) -> str:
    pairs = zip(query.variables, space.ids[binding].tolist(), strict=True)
    return " and ".join(f"{noun(variable.type)} {number}" for variable, number in pairs)


# ------------------------------------------------------------------------------------------------------------ closest


def _closest(query: CompiledQuery, evaluator: Evaluator) -> str:
    space = evaluator.space
    if not len(space):
        return "No events."
    for node in _parts(query.where):
        if isinstance(node, tree.Lasts):
            found = _longest(query, node, evaluator)
        elif isinstance(node, tree.Compare):
            found = _best_value(query, node, evaluator)
        else:
            found = None
        if found:
            return f"No events. Closest: {found}."
    return "No events."


def _parts(node: Node) -> list[Node]:
    return [part for operand in node.operands for part in _parts(operand)] if isinstance(node, tree.And) else [node]


def _longest(query: CompiledQuery, node: tree.Lasts, evaluator: Evaluator) -> str | None:
    space = evaluator.space
    if evaluator.cost(node.operand):
        return None
    spans, matched = evaluator.spans(node.operand, np.ones(len(space), bool))
    spans = joined(spans, node.gap) if node.operand.kind == "interval" else runs(space, matched, node.gap)
    if not len(spans):
        return None
    lengths = spans.end - spans.start
    best = int(np.argmax(lengths))
    if lengths[best] >= node.duration - 1e-6:
        return None
    operand = node.operand
    stayed = isinstance(operand, tree.InRegion) and operand.name == "inside"
    verb = "stayed" if stayed else f"kept {show(operand)} for"
    return f"{_who(query, space, int(spans.binding[best]))} {verb} {lengths[best]:.1f} s (limit {node.duration:g} s)"


def _best_value(query: CompiledQuery, node: tree.Compare, evaluator: Evaluator) -> str | None:
    """Say which value came closest to the limit of a comparison with a number, among rows the rest has left."""
    left, op, right = node.left, node.op, node.right
    if isinstance(left, tree.Constant):
        turned = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
        left, op, right = right, turned.get(op, op), left
    if not isinstance(left, tree.Property) or not isinstance(right, tree.Constant) or op in ("==", "!="):
        return None
    if not isinstance(right.value, (int, float)) or isinstance(right.value, bool) or evaluator.cost(left):
        return None
    space = evaluator.space
    everywhere = np.ones(len(space), bool)
    rest = everywhere
    for part in _parts(query.where):
        if part is not node and part.kind == "condition" and not evaluator.cost(part):
            rest = rest & evaluator.condition(part, everywhere).true
    column = evaluator.value(left, everywhere)
    rows = np.flatnonzero(column.valid & rest & ~evaluator.condition(node, everywhere).true)
    if not len(rows) or len(rows) < np.count_nonzero(column.valid & rest):
        return None
    values = column.values[rows].astype(float)
    best = int(rows[np.argmax(values) if op in (">", ">=") else np.argmin(values)])
    unit = _unit_text(right)
    limit = right.text or f"{right.value:g}{unit}"
    who = _who(query, space, int(space.binding[best]))
    return f"{who} had {left.name} {float(column.values[best]):.3g}{unit} (limit {limit})"


def _unit_text(node: tree.Constant) -> str:
    return f" {node.dimension}" if node.dimension else ""


# ------------------------------------------------------------------------------------------------------------- funnel


def _funnel(query: CompiledQuery, evaluator: Evaluator) -> str:
    space = evaluator.space
    seen = len(space.ids)
    if len(query.variables) == 1:
        said = [f"{counted(seen, noun(query.variables[0].type))} seen"]
    else:
        said = [f"{seen} pairs seen together" if seen != 1 else "1 pair seen together"]
    left = np.ones(len(space), bool)
    for part in _parts(query.where):
        mask = _passed(part, evaluator, left)
        if mask is None or not seen:
            break
        inner = part.operand if isinstance(part, tree.Lasts) else part
        left = left & mask if part.kind == "condition" else left
        passed = len(np.unique(space.binding[mask & left if part.kind == "condition" else mask]))
        said.append(f"{passed} {_phrase(inner)}")
        if not passed:
            break
    return "; ".join(said) + "."


def _passed(part: Node, evaluator: Evaluator, left: Bools) -> Bools | None:
    """Return where a part, or the condition inside its `lasts`, is true; None if that would cost calls."""
    inner = part.operand if isinstance(part, tree.Lasts) else part
    if evaluator.cost(inner):
        return None
    if inner.kind == "condition":
        return evaluator.condition(inner, np.ones(len(left), bool)).true
    return evaluator.spans(inner, np.ones(len(left), bool))[1]


def _phrase(node: Node) -> str:
    match node:
        case tree.InRegion(name="inside" | "enters", region=region):
            return f"entered {region.name}"
        case tree.InRegion(region=region):
            return f"left {region.name}"
        case tree.Crosses(shape=shape):
            return f"crossed {shape.name}"
    return f"with {show(node)}"
