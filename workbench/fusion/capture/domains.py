"""Rows: which rows of which frame a column runs over, and how their labels come about.

A frame's rows are a domain. A filter makes a child of it, a sort another; a column moves down to a child by the same
step, and keeps its labels. Columns of one domain combine by position.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.positions import here

if TYPE_CHECKING:
    import pandas as pd

    from workbench.fusion.capture.columns import Column
    from workbench.fusion.expr import Dim, Expr

__all__ = ["Counted", "Domain", "Keyed", "Known", "Labels", "Taken", "default_positions", "same_expr"]


class Labels:
    """How the index of a domain comes about: from the values of some expressions."""

    def exprs(self) -> list[Expr]:
        """Return what has to be computed for it."""
        return []

    def build(self, values: Sequence[Any], length: int) -> pd.Index:
        """Return the index from what was computed."""
        raise NotImplementedError

    def level_names(self) -> Sequence[Any]:
        """Return the names of its levels."""
        return [None]


class Known(Labels):
    """An index that is there."""

    def __init__(self, index: pd.Index) -> None:
        self.index = index

    def build(self, values: Sequence[Any], length: int) -> pd.Index:
        """Return the index."""
        return self.index

    def level_names(self) -> Sequence[Any]:
        """Return the names of its levels."""
        return list(self.index.names)


class Counted(Labels):
    """0, 1, 2, …"""

    def build(self, values: Sequence[Any], length: int) -> pd.Index:
        """Return the range of this length."""
        import pandas as pd

        return pd.RangeIndex(length)


class Taken(Labels):
    """Labels of an index that is there, at computed positions."""

    def __init__(self, index: pd.Index, positions: Expr) -> None:
        self.index, self.positions = index, positions

    def exprs(self) -> list[Expr]:
        """Return the positions."""
        return [self.positions]

    def build(self, values: Sequence[Any], length: int) -> pd.Index:
        """Return the labels at the positions."""
        return self.index.take(values[0])

    def level_names(self) -> Sequence[Any]:
        """Return the names of its levels."""
        return list(self.index.names)


class Keyed(Labels):
    """An index made of columns: the keys of groups, or what `set_index` named.

    Parameters
    ----------
    columns : sequence of Column
        Of the domain whose labels these are.
    names : sequence
        Of the levels.
    """

    def __init__(self, columns: Sequence[Column], names: Sequence[Any]) -> None:
        self.columns, self.names = tuple(columns), tuple(names)

    def level_names(self) -> Sequence[Any]:
        """Return the names of its levels."""
        return self.names

    def exprs(self) -> list[Expr]:
        """Return those of the columns."""
        return [each for column in self.columns for each in column.exprs()]

    def build(self, values: Sequence[Any], length: int) -> pd.Index:
        """Return the index, of several levels if there are several columns."""
        import pandas as pd

        arrays, at = [], 0
        for column in self.columns:
            count = len(column.exprs())
            found = column.build(values[at : at + count])
            arrays.append(found.array if isinstance(found, pd.Series) else found)
            at += count
        if len(arrays) == 1:
            return pd.Index(arrays[0], name=self.names[0])
        return pd.MultiIndex.from_arrays(arrays, names=self.names)


class Domain:
    """The rows of a frame.

    Parameters
    ----------
    parent : Domain, optional
        Whose rows these were.
    kind : {"root", "filter", "take", "slice", "relabel"}
        How they came from the parent's: those of a mask, those at positions, a slice, or all with other labels.
    by : Expr or slice, optional
        The mask, the positions (-1 for rows that are missing), or the slice.
    labels : Labels, optional
        Of a root or a relabelled domain; a filter and a take keep the parent's.
    size : int or Size
        How many rows.
    """

    __slots__ = (
        "__weakref__",
        "_children",
        "_derived",
        "_groups",
        "_labels",
        "_lifted",
        "by",
        "depth",
        "kind",
        "parent",
        "settled",
        "size",
    )

    def __init__(
        self,
        size: Dim,
        *,
        parent: Domain | None = None,
        kind: str = "root",
        by: Any = None,
        labels: Labels | None = None,
    ) -> None:
        self.parent, self.kind, self.by, self.size = parent, kind, by, size
        self._labels = labels
        self._derived: Labels | None = None
        self._children: list[Domain] = []
        self._lifted: dict[int, tuple[Expr, Expr]] = {}
        self._groups: list[tuple[list[Expr], bool, bool, ir.Size]] = []
        self.depth: int = 0 if parent is None else parent.depth + 1
        #: the root of the computed rows, once they were: from then on columns are borrowed from there
        self.settled: Domain | None = None

    @classmethod
    def root(cls, index: pd.Index) -> Domain:
        """Return the rows of a frame that is there."""
        return cls(len(index), labels=Known(index))

    @property
    def labels(self) -> Labels:
        """How the index comes about."""
        if self._labels is not None:
            return self._labels
        if self._derived is None:
            self._derived = self._inherited()
        return self._derived

    @property
    def index(self) -> pd.Index | None:
        """The index, if it is there without any work."""
        return self._labels.index if isinstance(self._labels, Known) else None

    def filter(self, mask: Expr) -> Domain:
        """Return the rows where a mask over this domain holds; the same object for an equal mask."""
        for child in self._children:
            if child.kind == "filter" and child.by is not None and same_expr(child.by, mask):
                return child
        size = ir.Size(f"count#{mask.number}", mask, self.size)
        if mask.where is None:
            mask.where = here()
        child = Domain(size, parent=self, kind="filter", by=mask)
        self._children = [*self._children[-15:], child]
        return child

    def groups(self, keys: list[Expr], sort: bool, dropna: bool) -> ir.Size:
        """Return how many groups the rows make by some keys; the same object for equal keys."""
        for known, *how, size in self._groups:
            same = how == [sort, dropna] and len(known) == len(keys)
            if same and all(same_expr(a, b) for a, b in zip(known, keys, strict=True)):
                return size
        size = ir.Size(f"groups#{keys[0].number}")
        self._groups = [*self._groups[-15:], (keys, sort, dropna, size)]
        return size

    def take(self, positions: Expr, labels: Labels | None = None) -> Domain:
        """Return the rows at positions."""
        return Domain(positions.shape[0], parent=self, kind="take", by=positions, labels=labels)

    def slice(self, rows: Any) -> Domain:
        """Return the rows of a slice by position."""
        if isinstance(self.size, int) and self.index is not None:
            start, stop, step = rows.indices(self.size)
            size = len(range(start, stop, step))
            return Domain(size, parent=self, kind="slice", by=rows, labels=Known(self.index[rows]))
        if self.kind == "relabel":
            assert self.parent is not None
            return self.take(self.parent.slice(rows).places(self.parent))
        # a root of which only the run tells the length has keys for its labels
        like = self.by if self.kind in ("filter", "take") else self.labels.exprs()[0]
        count = _counted if self.kind == "filter" else len
        length = ir.Size(f"slice#{like.number}")
        found = ir.extern("slice", lambda by: np.arange(count(by), dtype=np.int64)[rows], (like,), np.int64, (length,))
        found.calls = 0
        return self.take(found)

    def relabel(self, labels: Labels) -> Domain:
        """Return the same rows under other labels."""
        return Domain(self.size, parent=self, kind="relabel", labels=labels)

    def full(self, value: Expr) -> Expr | None:
        """Return a single value for each row; None if how many there are is told by no mask."""
        top = self
        while top.parent is not None:
            top = top.parent
        if not isinstance(top.size, int):
            return None
        return self.lift(ir.view(value, "broadcast", (top.size,), (top.size,)), top, fill=value.data)

    def lift(self, expr: Expr, home: Domain, fill: Any = None) -> Expr:
        """Return an expression over an ancestor's rows, over these.

        Parameters
        ----------
        fill : scalar, optional
            What stands in rows that are missing.
        """
        if home is self:
            return expr
        assert self.parent is not None
        known = self._lifted.get(id(expr))
        if known is not None:
            return known[1]
        above = self.parent.lift(expr, home, fill)
        if self.kind == "filter":
            assert self.by is not None
            assert isinstance(self.size, ir.Size)
            found = ir.filter_(above, self.by, self.size)
        elif self.kind == "take":
            assert self.by is not None
            found = ir.gather(above, self.by, fill=fill)
        elif self.kind == "slice":
            rows = (("slice", self.by.start, self.by.stop, self.by.step),)
            found = ir.view(above, "index", rows, (self.size,))
        else:
            found = above
        if found is not above:
            # a frame's rows are picked by one call, whatever the number of its columns
            found.calls = 0 if self._lifted or self.kind == "relabel" else 1
            found.where = getattr(self.by, "where", None)
        self._lifted[id(expr)] = (expr, found)
        return found

    def under(self, other: Domain, *, labelled: bool = False) -> bool:
        """Return whether these rows were made of another domain's, or are the same.

        Parameters
        ----------
        labelled : bool
            Under the same labels.
        """
        each: Domain | None = self
        while each is not None and each.depth > other.depth:
            if labelled and (each.kind == "relabel" or each._own_labels()):
                return False
            each = each.parent
        return each is other

    def unmoved(self, other: Domain) -> bool:
        """Return whether these are another domain's rows, under whatever labels."""
        each: Domain | None = self
        while each is not None and each is not other:
            if each.kind != "relabel":
                return False
            each = each.parent
        return each is other

    def same_rows(self, other: Domain) -> bool:
        """Return whether columns of both combine by position: one domain, or equal indexes that are there."""
        if self is other:
            return True
        mine, theirs = self.index, other.index
        if mine is None or theirs is None or self.size != other.size:
            return False
        return bool(mine.is_(theirs) or mine.equals(theirs))

    def positions(self) -> tuple[Domain, Expr | None]:
        """Return the nearest domain whose labels are its own, and where its rows went, None if they stayed."""
        top = self
        while top.parent is not None and top._labels is None:
            top = top.parent
        return top, None if top is self else self.places(top)

    def places(self, top: Domain) -> Expr:
        """Return the positions of these rows among those of an ancestor."""
        chain: list[Domain] = []
        each = self
        while each is not top:
            chain.append(each)
            assert each.parent is not None
            each = each.parent
        first = chain.pop()
        while first.kind == "relabel" and chain:
            first = chain.pop()
        if first.kind == "slice":
            assert first.parent is not None
            assert isinstance(first.parent.size, int)
            found = ir.leaf(np.arange(first.parent.size, dtype=np.int64)[first.by])
        else:
            found = first.by if first.kind == "take" else _where(first.by, first.size)
        return self.lift(found, first, fill=-1)

    def _own_labels(self) -> bool:
        return self._labels is not None and not isinstance(self._labels, (Taken, Known)) and self.parent is not None

    def _inherited(self) -> Labels:
        top, where = self.positions()
        if where is None:
            return top.labels
        above = top.labels
        if isinstance(above, Known):
            return Taken(above.index, where)
        if isinstance(above, Keyed):
            return Keyed([column.on(self) for column in above.columns], above.names)
        if isinstance(above, Taken):
            return Taken(above.index, self.lift(above.positions, top))
        return _Picked(where)


class _Picked(Labels):
    """Of 0, 1, 2, … some."""

    def __init__(self, positions: Expr) -> None:
        self.positions = positions

    def exprs(self) -> list[Expr]:
        return [self.positions]

    def build(self, values: Sequence[Any], length: int) -> pd.Index:
        import pandas as pd

        found = values[0]
        return pd.RangeIndex(int(found.max()) + 1 if len(found) else 0).take(found)


def default_positions(labels: Labels, like: Expr | None) -> Expr | None:
    """Return labels as numbers, if they are those of rows counted from 0; `like` is over as many rows."""
    import pandas as pd

    if isinstance(labels, _Picked):
        return labels.positions
    if isinstance(labels, Counted):
        return None if like is None else ir.rows(like)
    index: Any = getattr(labels, "index", None)
    if type(index) is not pd.RangeIndex or index.start != 0 or index.step != 1 or index.name is not None:
        return None
    return labels.positions if isinstance(labels, Taken) else ir.leaf(np.arange(len(index)))


def _where(mask: Expr, size: Dim) -> Expr:
    assert isinstance(size, ir.Size)
    found = ir.filter_(ir.rows(mask), mask, size)
    found.calls = 0
    return found


def _counted(mask: Any) -> int:
    return int(np.count_nonzero(mask))


def same_expr(first: Expr, second: Expr, limit: int = 200) -> bool:
    """Return whether two expressions are equal node by node; False also if there are too many to look at."""
    pairs, seen = [(first, second)], 0
    while pairs:
        a, b = pairs.pop()
        if a is b:
            continue
        seen += 1
        if seen > limit or len(a.inputs) != len(b.inputs) or _own(a) != _own(b):
            return False
        pairs += zip(a.inputs, b.inputs, strict=True)
    return True


def _own(node: Expr) -> Any:
    key = node.key()
    assert isinstance(key, tuple)
    return key[: len(key) - len(node.inputs)] if node.inputs else key
