"""Merging what blocks have left of a reduction, in the phase after it: in one order, whoever came first."""

from __future__ import annotations

import math
from typing import Any

from workbench.fusion.gpu.memory import TYPES
from workbench.fusion.gpu.tasks import Work
from workbench.fusion.gpu.tiling import Tile

__all__ = ["merged_scalar"]


def merged_scalar(work: Work, tile: Tile, total: int, across: bool) -> Any:
    """Return what writes the merge of partial results: of one row, or for positions of many.

    Parameters
    ----------
    work : Work
        That left them.
    tile : Tile
        Of its task.
    total : int
        Elements that are reduced.
    across : bool
        Whether there is a row of results for each walk, instead of a result of each piece for a row.
    """
    pieces = tile.pieces

    def merge(body: Any, rows: str, mask: str) -> str:
        width = 1 << max(0, pieces - 1).bit_length()
        at = f"tl.arange(0, {width})[None, :]"
        many = math.prod([d for d in work.node.shape if isinstance(d, int)])
        place = f"{at} * {many} + {rows}" if across else f"{rows} * {pieces} + {at}"
        inside = " & ".join([each for each in (f"({at} < {pieces})" if width != pieces else "", mask) if each])
        rule = body.rule(work)

        def load(number: int, other: str) -> str:
            pointer = body.slots.name("part", work.node, number)
            text = f'tl.load({pointer} + {place}, cache_modifier=".cg"'
            # what is not there merges without a change
            text += f", mask={inside}, other={other})" if inside else ")"
            return body.named(text)

        if rule == "moments":
            mean, squares = load(0, "0"), load(1, "0")
            size = tile.length
            last = float(total - size * (pieces - 1))
            n = f"tl.where({at} < {pieces - 1}, {float(size)!r}, tl.where({at} == {pieces - 1}, {last!r}, 0.0))"
            n = body.named(f"({n}).to({TYPES[work.node.dtype.name][1]})")
            every = body.named(f"(tl.sum({mean} * {n}, 1) / {float(total)!r})[:, None]")
            gap = body.named(f"{mean} - {every}")
            found = body.named(f"tl.sum({squares} + {gap} * {gap} * {n}, 1)[:, None]")
            return str(body.variance(work, found, total))
        if rule == "order":
            least = body.extreme(work)
            value = load(0, str(least[len("tl.full([1, 1], ") : least.rindex(", tl.")]))
            places = load(1, str(total))
            return str(body.first(work, value, places, f"({places} < {total})", total)[1])
        value = load(0, _literal(body, work))
        if rule in ("or", "and"):
            value = body.named(f"{value}.to(tl.int32)")
        found = body.named(f"{body.row(rule, value, 1, body.inner(work))}[:, None]")
        node = work.node
        if node.name == "mean":
            found = body.named(f"{found} / {float(total)!r}")
        elif node.dtype.kind == "b":
            found = body.named(f"{found} != 0")
        return str(found)

    return merge


def _literal(body: Any, work: Work) -> str:
    text = body.identity(work)
    return str(text[len("tl.full([1, 1], ") : text.rindex(", tl.")])
