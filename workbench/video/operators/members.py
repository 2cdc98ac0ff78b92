"""The objects that a quantifier goes over: for each row of a space, those of a type in the same frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.video.language import tree
from workbench.video.language.tree import Node
from workbench.video.operators.bind import Near, Space, companions, rows_of_type
from workbench.video.operators.columns import Column
from workbench.video.operators.geometry import UniformScale
from workbench.video.operators.properties import Properties
from workbench.video.tracks import Bools, Floats, Ints

__all__ = ["Members", "members_of", "near_in"]


@dataclass(frozen=True)
class Members:
    """Objects of a type beside rows of a space.

    Parameters
    ----------
    space : Space
        A row for each object and each different row of the outer space, as far as the condition names its variables.
    owner : ndarray of int64
        For each row, which of these different rows it stands beside; ascending.
    groups : int
        Number of different rows.
    row : ndarray of int64
        For each row that was asked for, the different row that it is.
    need : ndarray of bool
        The rows of the outer space that were asked for.
    """

    space: Space
    owner: Ints
    groups: int
    row: Ints
    need: Bools

    def count(self, which: Bools) -> Ints:
        """Return how many of these objects stand beside each different row."""
        return np.bincount(self.owner[which], minlength=self.groups)

    def total(self, values: Floats) -> Column:
        """Return the sum of values beside each different row, added in the order of ids."""
        return Column.known(np.bincount(self.owner, weights=values, minlength=self.groups).astype(float))

    def scatter(self, column: Column) -> Column:
        """Return what is known of the different rows at the rows of the outer space."""
        values: NDArray[np.generic] = np.zeros(len(self.need), column.values.dtype)
        valid = np.zeros(len(self.need), bool)
        values[self.need], valid[self.need] = column.values[self.row], column.valid[self.row]
        return Column(values, valid)


def members_of(node: tree.Quantified | tree.Total, space: Space, need: Bools, properties: Properties | None) -> Members:
    """Return the objects of a node's type beside the rows of a space, less those that its condition names.

    Parameters
    ----------
    node : Quantified or Total
    space : Space
    need : ndarray of bool
        The rows that matter.
    properties : Properties, optional
        Gives the scale for leaving out objects that are too far away to count; None leaves out none.
    """
    tracks, free = space.tracks, node.variables()
    columns = [number for number, name in enumerate(space.names) if name in free]
    variables = tuple(space.variables[number] for number in columns)
    rows, position = space.rows[need][:, columns], space.position[need]
    first, row = _different(rows, position, len(tracks))
    rows, position = rows[first], position[first]
    parts = [node.test] if node.test is not None else []
    if isinstance(node, tree.Quantified) and node.name == "any":
        parts.append(node.condition)
    close = None
    for near in near_in(parts, properties):
        for number, variable in enumerate(variables):
            if near.names == {variable.name, node.variable.name} and (close is None or near.limit < close[1]):
                close = (number, near.limit)
    more = np.flatnonzero(rows_of_type(tracks, node.variable.type))
    owner, right = companions(tracks, rows, position, more, close)
    keep = np.ones(len(owner), bool)
    for column in range(len(variables)):
        keep &= tracks.id[rows[owner, column]] != tracks.id[right]
    owner, right = owner[keep], right[keep]
    order = np.lexsort((right, owner))
    owner, right = owner[order], right[order]
    members = Space(
        tracks, (*variables, node.variable), np.column_stack((rows[owner], right)), position[owner], owner,
        np.empty((0, len(variables) + 1), np.int64),
    )  # fmt: skip
    return Members(members, owner, len(rows), row, need)


def _different(rows: Ints, position: Ints, count: int) -> tuple[Ints, Ints]:
    """Return where each different row stands first, and which of these each row is."""
    if rows.shape[1] == 0:
        key = position
    elif rows.shape[1] <= 2:
        key = rows[:, 0] if rows.shape[1] == 1 else rows[:, 0] * count + rows[:, 1]
    else:
        _, first, row = np.unique(rows, axis=0, return_index=True, return_inverse=True)
        return first, np.reshape(row, -1)
    _, first, row = np.unique(key, return_index=True, return_inverse=True)
    return first, row


def near_in(parts: list[Node], properties: Properties | None) -> Iterator[Near]:
    """Yield how near two objects must be for all of these conditions to be true, in px."""
    if properties is None:
        return
    for part in parts:
        if isinstance(part, tree.And):
            yield from near_in(list(part.operands), properties)
            continue
        match part:
            case tree.Relation(name="near", var=var, other=other, limit=limit, dimension=dimension):
                metric = bool(dimension.m)
            case tree.Compare(
                op="<" | "<=",
                left=tree.Measure(name="distance", var=var, other=other, dimension=dimension),
                right=tree.Constant(value=int() | float() as limit),
            ):
                metric = dimension is not None and bool(dimension.m)
            case tree.Relation(name="overlaps" | "inside", var=var, other=other, limit=limit) if limit >= 0:
                # boxes that meet have feet no further apart than the largest box is wide and high
                box = properties.tracks.box
                size = np.abs(box[:, 2:] - box[:, :2]).max(axis=0, initial=0.0)
                limit, metric = float(np.sqrt(size @ size)) * (1 + 1e-9), False
            case _:
                continue
        if metric:
            scale = properties.scale
            if not isinstance(scale, UniformScale) or scale.factor <= 0:
                continue
            limit = limit / scale.factor * (1 + 1e-9)
        yield Near(frozenset((var, other)), float(limit))
