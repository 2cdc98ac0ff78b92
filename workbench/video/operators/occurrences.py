"""Spans of bindings of some variables, and the joining of those of different variables on the ones they share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from workbench.video.operators.bind import Space, bindings_of
from workbench.video.operators.intervals import JOIN, Spans, joined, places_within, runs
from workbench.video.tracks import Bools, Ints

__all__ = ["Joiner", "Occurrences"]


@dataclass(frozen=True)
class Occurrences:
    """When a condition or an interval holds, for bindings of the variables that it is about.

    Parameters
    ----------
    names : tuple of str
    ids : ndarray of int64, shape (bindings, variables)
        Sorted, each binding once; those without spans may be left out.
    spans : Spans
    matched : ndarray of int64
        Sorted keys binding * base + position of the frames at which the condition, or that of a part, is true.
    base : int
        Above every position of a frame.
    """

    names: tuple[str, ...]
    ids: Ints
    spans: Spans
    matched: Ints
    base: int

    @classmethod
    def of_rows(cls, space: Space, true: Bools, gap: float = JOIN) -> Occurrences:
        """Return the runs of true rows of a space."""
        base = len(space.tracks.frames) + 1
        rows = np.flatnonzero(true)
        matched = space.binding[rows] * base + space.position[rows]
        return cls(space.names, space.ids, runs(space, true, gap), matched, base)

    def given(self, spans: Spans) -> Occurrences:
        """Return other spans of the same bindings, and what of the matched frames lies in them."""
        binding, position = np.divmod(self.matched, self.base)
        return replace(self, spans=spans, matched=self.matched[places_within(spans, binding, position, self.base)])

    def also(self, matched: Ints) -> Occurrences:
        """Return the same with more matched frames."""
        return replace(self, matched=np.union1d(self.matched, matched))

    def compact(self) -> Occurrences:
        """Return the same without the bindings that have no span."""
        kept = np.unique(self.spans.binding)
        if len(kept) == len(self.ids):
            return self
        number = np.full(len(self.ids), -1)
        number[kept] = np.arange(len(kept))
        binding, position = np.divmod(self.matched, self.base)
        here = number[binding] >= 0  # numbers grow, so the keys stay in order
        matched = number[binding[here]] * self.base + position[here]
        return replace(self, ids=self.ids[kept], spans=self.spans.of(number[self.spans.binding]), matched=matched)

    def spread(self, names: tuple[str, ...], ids: Ints, source: Ints) -> Occurrences:
        """Return the same for other bindings: the k-th of `ids` has the spans of the binding `source[k]` (-1: none)."""
        spans, matched = self.spans, self.matched
        which, place = _copies(spans.binding, source)
        span = spans.take(place).of(which)
        owner, position = np.divmod(matched, self.base)
        which, place = _copies(owner, source)
        return Occurrences(names, ids, span, which * self.base + position[place], self.base)


def _copies(owner: Ints, source: Ints) -> tuple[Ints, Ints]:
    """Return (new binding, place in `owner`, which is sorted) for each that belongs to the source of a new binding."""
    low = np.searchsorted(owner, source, side="left")
    count = np.searchsorted(owner, source, side="right") - low
    which = np.repeat(np.arange(len(source)), count)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count) + low[which]


@dataclass(frozen=True)
class Joiner:
    """Joins bindings on the variables that they share.

    Parameters
    ----------
    order : sequence of str
        All variables, in the order of the columns of joined bindings.
    ordered : collection of (name, name)
        Of these two the first binds the lower id.
    tracks_of : callable
        The ids that a variable can bind.
    """

    order: Sequence[str]
    ordered: Collection[tuple[str, str]]
    tracks_of: Callable[[str], Ints]

    def together(self, parts: Sequence[Occurrences]) -> list[Occurrences]:
        """Return the parts for the bindings of all their variables together.

        Bindings come from those parts that have spans.
        """
        parts = [part.compact() for part in parts]
        names, ids = parts[0].names, parts[0].ids
        for part in parts[1:]:
            names, ids = self.join(names, ids, part.names, part.ids)
        return [part.spread(names, ids, place(part.ids, _columns(ids, names, part.names))) for part in parts]

    def extended(self, part: Occurrences, names: Collection[str]) -> Occurrences:
        """Return a part for bindings of more variables, which bind every track that they can."""
        part, more = part.compact(), [name for name in self.order if name in names and name not in part.names]
        own, ids = part.names, part.ids
        for name in more:
            own, ids = self.join(own, ids, (name,), self.tracks_of(name)[:, None])
        return part.spread(own, ids, place(part.ids, _columns(ids, own, part.names)))

    def join(
        self, left: tuple[str, ...], left_ids: Ints, right: tuple[str, ...], right_ids: Ints
    ) -> tuple[tuple[str, ...], Ints]:
        """Return the names of both sides, and the bindings that agree on the names they share."""
        shared = [name for name in left if name in right]
        codes = np.concatenate((_columns(left_ids, left, shared), _columns(right_ids, right, shared)))
        _, code = np.unique(codes, axis=0, return_inverse=True) if shared else (None, np.zeros(len(codes), np.int64))
        mine, theirs = np.split(np.reshape(code, -1), [len(left_ids)])
        order = np.argsort(theirs, kind="stable")
        which, place_ = _copies(theirs[order], mine)
        other = order[place_]
        fresh = [name for name in right if name not in left]
        names = tuple(name for name in self.order if name in (*left, *fresh))
        joined_ids = np.column_stack((left_ids[which], _columns(right_ids, right, fresh)[other]))
        ids = _columns(joined_ids, (*left, *fresh), names)
        ids = ids[self._allowed(names, ids, left, fresh)]
        ids = ids[np.lexsort(ids.T[::-1])] if ids.shape[1] else ids
        return names, ids[bindings_of(ids)[1]]

    def _allowed(self, names: tuple[str, ...], ids: Ints, left: Collection[str], fresh: Collection[str]) -> Bools:
        """Return which bindings bind no track twice, and of what can be exchanged the lower id first."""
        keep = np.ones(len(ids), bool)
        for one in left:
            for other in fresh:
                mine, theirs = ids[:, names.index(one)], ids[:, names.index(other)]
                if (one, other) in self.ordered:
                    keep &= mine < theirs
                elif (other, one) in self.ordered:
                    keep &= theirs < mine
                else:
                    keep &= mine != theirs
        return keep

    def once(self, part: Occurrences) -> Occurrences:
        """Return a part without the bindings of which another with exchanged tracks stands for the same."""
        keep = np.ones(len(part.ids), bool)
        for one, other in self.ordered:
            if one in part.names and other in part.names:
                keep &= part.ids[:, part.names.index(one)] < part.ids[:, part.names.index(other)]
        return part if keep.all() else replace(part, spans=part.spans.take(keep[part.spans.binding])).compact()

    def projected(self, part: Occurrences, names: tuple[str, ...]) -> Occurrences:
        """Return a part for fewer variables: the spans of all bindings that agree on these, joined."""
        if part.names == names:
            return part
        part = part.compact()
        kept = _columns(part.ids, part.names, names)
        order = np.lexsort(kept.T[::-1]) if names else np.arange(len(kept))
        number = np.zeros(len(kept), np.int64)
        binding, first = bindings_of(kept[order])
        number[order] = binding
        if not names:
            number, first = np.zeros(len(kept), np.int64), np.zeros(min(len(kept), 1), np.int64)
        owner, position = np.divmod(part.matched, part.base)
        matched = np.unique(number[owner] * part.base + position)
        spans = joined(part.spans.of(number[part.spans.binding]).sorted(), JOIN)
        return Occurrences(names, kept[order][first], spans, matched, part.base)


def _columns(ids: Ints, names: Sequence[str], wanted: Sequence[str]) -> Ints:
    return ids[:, [list(names).index(name) for name in wanted]]


def place(ids: Ints, wanted: Ints) -> Ints:
    """Return for each wanted row its place in `ids`, -1 where it is not there."""
    if not ids.shape[1]:
        return np.zeros(len(wanted), np.int64) if len(ids) else np.full(len(wanted), -1)
    if ids.shape[1] == 1:
        found = np.minimum(np.searchsorted(ids[:, 0], wanted[:, 0]), max(len(ids) - 1, 0))
        known = ids[found, 0] == wanted[:, 0] if len(ids) else np.zeros(len(wanted), bool)
        return np.where(known, found, -1)
    _, code = np.unique(np.concatenate((ids, wanted)), axis=0, return_inverse=True)
    code = np.reshape(code, -1)
    number = np.full(len(code) + 1, -1)
    number[code[: len(ids)]] = np.arange(len(ids))
    return number[code[len(ids) :]]
