"""Bindings: which tracks stand for variables, and the frames at which all of them are there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from workbench.video.language.tree import ObjectType, Variable
from workbench.video.tracks import Bools, Floats, Ints, Tracks

__all__ = ["Near", "Space", "bind", "bindings_of", "companions", "rows_of_type"]


@dataclass(frozen=True)
class Space:
    """The rows over which a condition is evaluated: one for each binding and frame of its domain.

    Sorted by binding, then frame; bindings are sorted by their ids in variable order. Without variables there is one
    binding, and every processed frame is a row.

    Parameters
    ----------
    tracks : Tracks
    variables : tuple of Variable
    rows : ndarray of int64, shape (n, variables)
        For each variable, the row of `tracks`.
    position : ndarray of int64, shape (n,)
        For each row, the position of its frame in the processed frames.
    binding : ndarray of int64, shape (n,)
        Index of the binding, into `ids`.
    ids : ndarray of int64, shape (bindings, variables)
        The tracks of each binding.
    """

    tracks: Tracks
    variables: tuple[Variable, ...]
    rows: Ints
    position: Ints
    binding: Ints
    ids: Ints

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the variables."""
        return tuple(variable.name for variable in self.variables)

    @cached_property
    def frame(self) -> Ints:
        """For each row, its frame's index in the source."""
        return self.tracks.frames.frame[self.position]

    @cached_property
    def time(self) -> Floats:
        """For each row, its time."""
        return self.tracks.frames.time[self.position]

    @cached_property
    def end(self) -> Floats:
        """For each row, the end of the time that its frame covers."""
        return self.time + self.tracks.frames.span[self.position]

    def track_rows(self, name: str) -> Ints:
        """Return for each row the row of `tracks` of this variable."""
        return self.rows[:, self.names.index(name)]

    def track_mask(self, name: str, mask: Bools) -> Bools:
        """Return a mask over `tracks`: the rows of this variable in the rows of `mask`."""
        wanted = np.zeros(len(self.tracks), bool)
        wanted[self.track_rows(name)[mask]] = True
        return wanted


def rows_of_type(tracks: Tracks, kind: ObjectType) -> Bools:
    """Return which rows belong to objects of a type: by their track's label, or the row of the scene itself."""
    scene = (tracks.id == 0) if tracks.scene else np.zeros(len(tracks), bool)
    if kind.is_a("Scene"):
        return scene
    if kind.labels is None:
        return ~scene
    wanted = np.array([label in kind.labels for label in tracks.labels], bool)
    return wanted[tracks.label] & ~scene if len(tracks) else np.zeros(0, bool)


# ------------------------------------------------------------------------------------------------------------ joining


@dataclass(frozen=True, slots=True)
class Near:
    """Two variables whose foot points are at most so many px apart wherever a condition can be true."""

    names: frozenset[str]
    limit: float


def bind(
    tracks: Tracks,
    variables: tuple[Variable, ...],
    ordered: Collection[tuple[str, str]] = (),
    alive: Mapping[str, Bools] | None = None,
    near: Sequence[Near] = (),
) -> Space:
    """Return the space of the bindings of variables.

    Variables bind tracks of their types; two variables never bind the same track.

    Parameters
    ----------
    tracks : Tracks
    variables : tuple of Variable
    ordered : collection of (name, name)
        Of these two the first binds the lower id: exchanged they would mean the same.
    alive : mapping, optional
        For a variable, the rows (mask over `tracks`) that can matter; all rows of other variables can.
    near : sequence of Near
        Rows that are further apart cannot matter.
    """
    if not variables:
        count = len(tracks.frames)
        none = np.zeros(count, np.int64)
        return Space(tracks, (), np.empty((count, 0), np.int64), np.arange(count), none, np.empty((1, 0), np.int64))
    rows = np.empty((0, 0), np.int64)
    for column, variable in enumerate(variables):
        mask = rows_of_type(tracks, variable.type)
        if alive is not None and variable.name in alive:
            mask = mask & alive[variable.name]
        more = np.flatnonzero(mask)
        if not column:
            rows = more[:, None]
            continue
        close = _closest(near, variable.name, [one.name for one in variables[:column]])
        left, right = companions(tracks, rows, tracks.position[rows[:, 0]], more, close)
        keep = np.ones(len(left), bool)
        new = tracks.id[right]
        for earlier, other in enumerate(variables[:column]):
            ids = tracks.id[rows[left, earlier]]
            if (other.name, variable.name) in ordered:
                keep &= ids < new
            elif (variable.name, other.name) in ordered:
                keep &= new < ids
            else:
                keep &= ids != new
        rows = np.column_stack((rows[left[keep]], right[keep]))
    numbers, position = tracks.id[rows], tracks.position[rows[:, 0]]
    if len(variables) > 1:
        order = _by_binding(tracks, rows, position)
        rows, numbers, position = rows[order], numbers[order], position[order]
    binding, first = bindings_of(numbers)
    return Space(tracks, variables, rows, position, binding, numbers[first])


def bindings_of(numbers: Ints) -> tuple[Ints, Ints]:
    """Return for sorted rows of ids the number of each one's binding, and the first row of each binding."""
    new = np.ones(len(numbers), bool)
    new[1:] = (numbers[1:] != numbers[:-1]).any(axis=1)
    return np.cumsum(new) - 1, np.flatnonzero(new)


def _by_binding(tracks: Tracks, rows: Ints, position: Ints) -> Ints:
    """Return the order of rows by ids and position: of one number for each, where that has room in 64 bits."""
    base, tops = len(tracks.frames) + 1, len(tracks.ids) + 1
    if base * tops ** rows.shape[1] >= 2**62:
        return np.lexsort((position, *tracks.id[rows].T[::-1]))
    key = np.zeros(len(rows), np.int64)
    for column in tracks.owner[rows].T:
        key = key * tops + column
    return np.argsort(key * base + position, kind="stable")


def _closest(near: Sequence[Near], name: str, others: list[str]) -> tuple[int, float] | None:
    """Return which of the other variables is nearest by, and how near, if any has to be."""
    found = [(one.limit, column) for one in near for column, other in enumerate(others) if one.names == {name, other}]
    return (min(found)[1], min(found)[0]) if found else None


def companions(
    tracks: Tracks, rows: Ints, position: Ints, more: Ints, close: tuple[int, float] | None = None
) -> tuple[Ints, Ints]:
    """Return pairs (index of `rows`, row of the tracks out of `more`) at the same frame.

    Parameters
    ----------
    tracks : Tracks
    rows : ndarray of int64, shape (n, variables)
    position : ndarray of int64, shape (n,)
        Of the frame of each.
    more : ndarray of int64
        Rows of the tracks.
    close : (column, px), optional
        Only pairs in which the foot point of that column's row is no further away.
    """
    if close is not None and np.isfinite(close[1]) and len(more) and len(rows):
        return _grid(tracks, rows[:, close[0]], position, more, close[1])
    at = tracks.position[more]
    order = np.argsort(at, kind="stable")
    at, more = at[order], more[order]
    low = np.searchsorted(at, position, side="left")
    left, place = _ranges(low, np.searchsorted(at, position, side="right"))
    return left, more[place]


def _ranges(low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """Return pairs (index of the range, place in it) for ranges [low, high)."""
    count = np.maximum(high - low, 0)
    left = np.repeat(np.arange(len(count)), count)
    return left, np.arange(len(left)) - np.repeat(np.cumsum(count) - count, count) + low[left]


def _grid(tracks: Tracks, rows: Ints, position: Ints, more: Ints, limit: float) -> tuple[Ints, Ints]:
    """Pair rows whose feet are at most `limit` apart: a grid of cells of this size, each with its neighbours."""
    foot = tracks.foot
    cell = max(limit, 1.0) * (1 + 1e-6)  # so that no rounding of a quotient parts what is just near enough
    # a cell more on each side, so that neighbours of the outermost exist
    lowest = np.floor(foot.min(axis=0) / cell).astype(np.int64) - 1
    wide, high = (np.floor(foot.max(axis=0) / cell).astype(np.int64) + 2 - lowest).tolist()
    if wide * high * (len(tracks.frames) + 1) >= 2**62:  # feet at absurd places: cells have no number of 64 bits
        return companions(tracks, rows[:, None], position, more)

    def cells(feet: Floats) -> Ints:
        place = np.floor(feet / cell).astype(np.int64) - lowest
        return np.asarray(place[:, 0] * high + place[:, 1])

    theirs = tracks.position[more] * (wide * high) + cells(foot[more])
    order = np.argsort(theirs, kind="stable")
    theirs, more = theirs[order], more[order]
    mine = position * (wide * high) + cells(foot[rows])
    # searching in order is several times faster than searching at random
    mine_order = np.argsort(mine, kind="stable")
    mine = mine[mine_order]
    found: list[tuple[Ints, Ints]] = []
    for column in (-1, 0, 1):
        # the cells of a column have numbers in a row: three of them are one range
        low = np.searchsorted(theirs, mine + column * high - 1, side="left")
        left, place = _ranges(low, np.searchsorted(theirs, mine + column * high + 1, side="right"))
        left, right = mine_order[left], more[place]
        step = foot[rows[left]] - foot[right]
        near = np.sqrt(step[:, 0] * step[:, 0] + step[:, 1] * step[:, 1]) <= limit
        found.append((left[near], right[near]))
    return np.concatenate([left for left, _ in found]), np.concatenate([right for _, right in found])
