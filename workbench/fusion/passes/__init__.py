"""Rewrites of the graph before it is cut into kernels; each leaves the answer as it is."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.fusion.expr import Expr
from workbench.fusion.graph import walk

__all__ = ["optimise"]


def optimise(roots: Sequence[Expr], exact: bool = False, moments: bool = False) -> tuple[list[Expr], dict[int, Expr]]:
    """Return the roots rewritten, and for each node of theirs, by id, what became of it.

    Parameters
    ----------
    roots : sequence of Expr
    exact : bool
    moments : bool
        Variances over any axes stay one node, whose partial results the back end merges.
    """
    from workbench.fusion.passes.algebra import simplify
    from workbench.fusion.passes.columns import split_variance
    from workbench.fusion.passes.groups import merge_groups
    from workbench.fusion.passes.rewrite import rewrite
    from workbench.fusion.passes.variances import exact_variances
    from workbench.fusion.passes.views import push_views

    order = walk(roots)
    split = exact_variances() if exact else split_variance
    became = rewrite(order, simplify if moments else lambda node: split(simplify(node)))
    after: dict[int, Expr] | None = push_views([became[id(root)] for root in roots])
    while after is not None:
        became = {number: after.get(id(node), node) for number, node in became.items()}
        after = merge_groups(walk([became[id(root)] for root in roots], masks=False))
    return [became[id(root)] for root in roots], became
