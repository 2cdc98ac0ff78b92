"""What to say when a query found nothing: what came closest, and how many objects passed each part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from workbench.video.language import tree
from workbench.video.language.nouns import counted, noun
from workbench.video.language.show import show
from workbench.video.language.tree import CompiledQuery, Node
from workbench.video.operators.bind import Space, rows_of_type
from workbench.video.operators.occurrences import Occurrences
from workbench.video.operators.temporal import Temporal

__all__ = ["nearest_miss"]


def nearest_miss(query: CompiledQuery, temporal: Temporal) -> tuple[str, str]:
    """Return two lines: `No events. Closest: ...` and `61 people seen; 18 entered yard.`

    Costly properties are looked at where they were computed, never computed for this.
    """
    # an evaluation of its own: looking again is no work of the query, so it does not count in its figures
    again = replace(temporal, stats={}, _alone={})
    return _closest(query, again), _funnel(query, again)


def _who(query: CompiledQuery, found: Occurrences | Space, binding: int) -> str:
    pairs = zip(found.names, found.ids[binding].tolist(), strict=True)
    return " and ".join(f"{noun(query.variable(name).type)} {number}" for name, number in pairs) or "the scene"


# ------------------------------------------------------------------------------------------------------------ closest


def _closest(query: CompiledQuery, again: Temporal) -> str:
    for node in _parts(query.where):
        if isinstance(node, tree.Lasts):
            found = _longest(query, node, again)
        elif isinstance(node, tree.Compare):
            found = _best_value(query, node, again)
        else:
            found = None
        if found:
            return f"No events. Closest: {found}."
    return "No events."


def _parts(node: Node) -> list[Node]:
    """Return what an event needs all of: the operands of `and`, the steps of a sequence."""
    inner = node.operands if isinstance(node, tree.And) else node.steps if isinstance(node, tree.Sequence) else ()
    return [part for operand in inner for part in _parts(operand)] if inner else [node]


def _longest(query: CompiledQuery, node: tree.Lasts, again: Temporal) -> str | None:
    if again.cost(node.operand):
        return None
    found = again.occurrences(replace(node, duration=0.0), {})
    spans = found.spans
    if not len(spans):
        return None
    lengths = spans.end - spans.start
    best = int(np.argmax(lengths))
    if lengths[best] >= node.duration - 1e-6:
        return None
    operand = node.operand
    stayed = isinstance(operand, tree.InRegion) and operand.name == "inside"
    verb = "stayed" if stayed else f"kept {show(operand)} for"
    return f"{_who(query, found, int(spans.binding[best]))} {verb} {lengths[best]:.1f} s (limit {node.duration:g} s)"


def _best_value(query: CompiledQuery, node: tree.Compare, again: Temporal) -> str | None:
    """Say which value came closest to the limit of a comparison with a number, among rows the rest has left."""
    left, op, right = node.left, node.op, node.right
    if isinstance(left, tree.Constant):
        turned = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
        left, op, right = right, turned.get(op, op), left
    if not isinstance(left, tree.Property) or not isinstance(right, tree.Constant) or op in ("==", "!="):
        return None
    if not isinstance(right.value, (int, float)) or isinstance(right.value, bool) or again.cost(left):
        return None
    parts = [part for part in _parts(query.where) if part is not node and part.kind == "condition"]
    others = [part for part in parts if not again.cost(part)]
    # as a conjunct that is true wherever the value is known, so that its variables are bound
    known = tree.Known(value=left)
    evaluator, everywhere = again.evaluator(tree.And(operands=(known, *others)), {})
    space = evaluator.space
    rest = everywhere
    for part in others:
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


def _funnel(query: CompiledQuery, again: Temporal) -> str:
    tracks = again.tracks
    kinds = {noun(variable.type): variable.type for variable in query.variables}
    seen = [len(np.unique(tracks.id[rows_of_type(tracks, kind)])) for kind in kinds.values()]
    if kinds:
        said = [" and ".join(counted(number, word) for number, word in zip(seen, kinds, strict=True)) + " seen"]
    else:
        said = [f"{counted(len(tracks.frames), 'frame')} seen"]
    earlier: list[Node] = []
    for part in _parts(query.where):
        inner = part.operand if isinstance(part, tree.Lasts) else part
        if again.cost(inner) or not all(seen):
            break
        if part.kind == "condition":
            earlier.append(part)
            asked = earlier[0] if len(earlier) == 1 else tree.And(operands=tuple(earlier))
        else:
            asked = inner
        passed = len(np.unique(again.occurrences(asked, {}).spans.binding))
        said.append(f"{passed} {_phrase(inner)}")
        if not passed:
            break
    return "; ".join(said) + "."


def _phrase(node: Node) -> str:
    match node:
        case tree.InRegion(name="inside" | "enters", region=region):
            return f"entered {region.name}"
        case tree.InRegion(region=region):
            return f"left {region.name}"
        case tree.Crosses(shape=shape):
            return f"crossed {shape.name}"
    return f"with {show(node)}"
