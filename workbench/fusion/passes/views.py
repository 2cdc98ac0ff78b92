"""Views are pushed down to where memory is: a slice of a sum is the sum of slices, and costs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.fusion.expr import Expr, view
from workbench.fusion.graph import walk
from workbench.fusion.passes.cost import costs
from workbench.fusion.passes.rewrite import rebuilt
from workbench.fusion.plan.inline import compiles

__all__ = ["push_views"]

ELEMENTWISE = ("Map", "Select", "Cast")
#: nanoseconds an element beyond which work is not done again for each view of it
DEAR = 3.0


def push_views(roots: Sequence[Expr]) -> dict[int, Expr]:
    """Return what nodes become with no view above an elementwise operation, but a dear one that is also used else."""
    order = walk(roots, masks=False)
    cost = costs(order)
    base: dict[int, Expr] = {}
    uses: dict[int, int] = {}
    for node in order:
        if node.kind == "View":
            below = base[id(node)] = base.get(id(node.inputs[0]), node.inputs[0])
            uses[id(below)] = uses.get(id(below), 0) + 1
    plain = {id(each) for node in order if node.kind != "View" for each in node.inputs} | {id(root) for root in roots}
    new: dict[int, Expr] = {}
    known: dict[object, Expr] = {}
    for node in order:
        made = rebuilt(node, tuple([new[id(each)] for each in node.inputs]))
        if node.kind == "View":
            below = base[id(node)]
            if cost[id(below)] <= DEAR or uses[id(below)] + (id(below) in plain) == 1:
                made = _pushed(made, known)
        new[id(node)] = known.setdefault(made.key(), made)
    return new


def _pushed(node: Expr, known: dict[object, Expr]) -> Expr:
    x = node.inputs[0]
    if x.kind == "Reduce":
        return _reduced(node, x)
    if x.kind not in ELEMENTWISE or not compiles(x):
        return node
    spec = node.attr("spec")
    inputs = []
    for each in x.inputs:
        found = _through(each, node, x, spec)
        if found is None:
            return node
        found = _pushed(found, known) if found.kind == "View" else found
        inputs.append(known.setdefault(found.key(), found))
    made = Expr(x.kind, x.name, tuple(inputs), x.attrs, x.dtype, node.shape, x.where, x.data)
    made.calls, made.call = x.calls, x.call
    return made


def _through(each: Expr, node: Expr, x: Expr, spec: Any) -> Expr | None:
    """Return an input of x as the view would see it; None where that takes its values broadcast."""
    if not each.shape:
        return each
    if each.shape == x.shape:
        return view(each, node.name, spec, node.shape, node.where)
    if node.name == "reshape":
        return None
    if node.name == "transpose":
        ahead = len(x.shape) - len(each.shape)
        if ahead:
            key: tuple[Any, ...] = (*(None,) * ahead, Ellipsis)
            each = view(each, "index", key, (*(1,) * ahead, *each.shape), node.where)
        return view(each, "transpose", spec, tuple([each.shape[axis] for axis in spec]), node.where)
    return _sliced(each, x, spec, node.where)


def _sliced(each: Expr, x: Expr, spec: tuple[Any, ...], where: Any) -> Expr:
    """Return a smaller input under a key meant for the whole: axes it lacks, or has once, stay so."""
    key: list[Any] = []
    entries = list(spec)
    left = len(each.shape)
    while entries and left:
        entry = entries.pop()
        if entry is None:
            key.append(None)
            continue
        left -= 1
        if each.shape[left] == 1 and x.shape[left - len(each.shape)] != 1:
            key.append(0 if not isinstance(entry, tuple) else ("slice", None, None, None))
        else:
            key.append(entry)
    key.reverse()
    return view(each, "index", tuple(key), sliced_shape(each.shape, tuple(key)), where)


def sliced_shape(shape: tuple[Any, ...], spec: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the shape of a view by a key of slices, integers and None, one entry for each axis."""
    found: list[Any] = []
    axis = 0
    for entry in spec:
        if entry is None:
            found.append(1)
            continue
        if isinstance(entry, tuple):
            size = shape[axis]
            whole = entry[1:] in ((None, None, None), (None, None, 1), (0, None, None), (0, None, 1))
            found.append(size if whole else len(range(*slice(*entry[1:]).indices(size))))
        axis += 1
    return (*found, *shape[axis:])


def _reduced(node: Expr, x: Expr) -> Expr:
    """A view that only puts length 1 where the reduction took an axis is the reduction with its axes kept."""
    if x.attr("keepdims"):
        return node
    source = x.inputs[0].shape
    axes = x.attr("axes")
    kept = tuple([1 if k in axes else d for k, d in enumerate(source)])
    if node.shape != kept:
        return node
    if node.name == "index":
        spec = node.attr("spec")
        plain = all(each is None or each == ("slice", None, None, None) for each in spec)
        places = [k for k, each in enumerate(spec) if each is None]
        if not plain or places != list(axes):
            return node
    elif node.name != "reshape":
        return node
    attrs = tuple([(key, True if key == "keepdims" else value) for key, value in x.attrs])
    made = Expr("Reduce", x.name, x.inputs, attrs, x.dtype, kept, x.where)
    made.calls = x.calls
    return made
