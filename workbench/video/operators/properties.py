"""Property columns on demand: built-in ones at once, one's own and model ones only for the rows asked for.

Asking for a row of a property with a window asks for the rows of its window first; a once-property is asked for whole
tracks; whatever was computed is never computed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.engine.errors import WorkbenchError
from workbench.video.language.tree import CompiledQuery, Crosses, ObjectType, OwnRelation, UserProperty
from workbench.video.operators.calls import call_property, own_values, window_array
from workbench.video.operators.columns import (
    AskedColumn,
    CallResults,
    Column,
    PixelCalls,
    PixelProperty,
    PropertyColumns,
    plain,
)
from workbench.video.operators.geometry import crossings, make_scale
from workbench.video.operators.motion_props import BUILT_IN, MODEL, History, built_in
from workbench.video.operators.stacked import rows_at_once, windows_at_once
from workbench.video.operators.vote import MOST_CROPS, best_crops, crop_quality, mean_vector, vote, votes_needed
from workbench.video.tracks import Bools, Ints, Tracks

__all__ = ["Properties", "is_costly", "is_once", "reads_pixels"]

_PIXELS = ("image", "images")


def _same(self: Any, image: Any) -> Any:
    return image


#: gives the crop itself, for functions that run here
_CROP = UserProperty("image", "Object", _same, ("image",))


def is_once(kind: ObjectType, name: str) -> bool:
    """Return whether a property has one value for the whole track that must be computed."""
    own = kind.property(name)
    return own.once if own is not None else name in MODEL


def is_costly(kind: ObjectType, name: str) -> bool:
    """Return whether a property calls a function or a model."""
    return kind.property(name) is not None or name in MODEL


def reads_pixels(kind: ObjectType, name: str, _seen: tuple[str, ...] = ()) -> bool:
    """Return whether a property, or one that it needs, needs crops."""
    own = kind.property(name)
    if own is None:
        return name in MODEL
    needs = [argument for argument in own.arguments if argument not in (*_seen, name)]
    return own.reads_pixels or any(reads_pixels(kind, argument, (*_seen, name)) for argument in needs)


class Properties:
    """The properties of the objects of one video, as columns over all rows of its tracks.

    Parameters
    ----------
    tracks : Tracks
    query : CompiledQuery
        Gives the scale, and the lines that `crossed_to` speaks of.
    pixels : PixelCalls or None
        Runs calls that need crops.
    columns : PropertyColumns, optional
        Results of an earlier evaluation of the same tracks.
    video : str
        Name of the video in error rows.
    """

    def __init__(
        self,
        tracks: Tracks,
        query: CompiledQuery,
        pixels: PixelCalls | None,
        columns: PropertyColumns | None = None,
        video: str = "",
    ) -> None:
        self.tracks, self.query, self.pixels, self.video = tracks, query, pixels, video
        self.columns = PropertyColumns(len(tracks)) if columns is None else columns
        self.history = History(tracks)
        #: property -> calls made
        self.calls: dict[str, int] = {}
        #: of each relation of one's own: rows of the objects -> what its function gave, None for missing
        self.relations: dict[OwnRelation, dict[tuple[int, ...], Any]] = {}
        self._built_in: dict[tuple[str, str], Column] = {}
        self._errors: list[tuple[str, int, int, str, str]] = []

    @cached_property
    def scale(self) -> Any:
        """The query's scale on these tracks, or None."""
        return make_scale(self.query.scale, self.tracks)

    @cached_property
    def _quality(self) -> NDArray[np.float64]:
        return crop_quality(self.tracks)

    def best_crops(self, track: int, most: int = MOST_CROPS) -> Ints:
        """Return the rows of the best crops of a track (index in `tracks.ids`), best first."""
        return best_crops(self.tracks, track, self._quality, most)

    def errors(self) -> pd.DataFrame:
        """Return the failed calls, by property, id and frame."""
        rows = sorted(set(self._errors))
        names, ids, frames, errors, texts = zip(*rows, strict=True) if rows else ((), (), (), (), ())
        return pd.DataFrame(
            {
                "property": pd.Series(list(names), dtype="str"),
                "video": pd.Series([self.video] * len(rows), dtype="str"),
                "id": np.array(ids, np.int64),
                "frame": np.array(frames, np.int64),
                "error": pd.Series(list(errors), dtype="str"),
                "traceback": pd.Series(list(texts), dtype="str"),
            }
        )

    # --------------------------------------------------------------------------------------------------------- asking

    def column(self, kind: ObjectType, name: str, rows: Bools, var: str = "") -> Column:
        """Return a property over all rows; where not asked for, a costly one may be missing.

        Parameters
        ----------
        kind : ObjectType
            The type whose property it is.
        name : str
        rows : ndarray of bool, shape (rows of the tracks,)
            Where the value is needed.
        var : str
            The variable, for `crossed_to`.
        """
        own = kind.property(name)
        if own is None and name not in MODEL:
            return self._cheap(kind, name, var)
        column = self.columns.get(kind.name, name)
        wanted = rows & ~column.asked
        if wanted.any():
            if own is None:
                family = next((base for base in ("Vehicle", "Person") if kind.is_a(base)), "Object")
                self._vote(PixelProperty(name, family), column, wanted, {})
            elif own.once:
                self._once(kind, own, column, wanted)
            elif name in own.arguments:
                self._recursive(kind, own, column, wanted)
            else:
                self._rows(kind, own, column, np.flatnonzero(wanted))
        return column.column()

    def _cheap(self, kind: ObjectType, name: str, var: str = "") -> Column:
        key = (name, var or kind.name) if name == "crossed_to" else (name, "")
        if key not in self._built_in:
            if name in BUILT_IN:
                self._built_in[key] = built_in(name, self.history, self.scale if name == "speed" else None)
            elif name == "crossed_to":
                self._built_in[key] = self._crossed_to(kind, var)
            else:
                raise WorkbenchError(f"There is no property '{name}' of tracks.", "Write it with @prop.")
        return self._built_in[key]

    def _crossed_to(self, kind: ObjectType, var: str) -> Column:
        """Name the side crossed to at the frame of a crossing of a line of the condition (the first that is met).

        As an argument of a property, of any variable of its type.
        """
        tracks = self.tracks
        asking = [var] if var else [name for name, known in self.query.types().items() if known == kind]
        names, known = np.full(len(tracks), "", object), np.zeros(len(tracks), bool)
        for node in self.query.nodes():
            if isinstance(node, Crosses) and node.var in asking:
                line = node.shape.in_pixels(tracks.width, tracks.height)
                to = crossings(tracks.foot, tracks.box, tracks.owner, line)
                fresh = (to >= 0) & ~known
                names[fresh] = np.array(node.shape.sides, object)[to[fresh]]
                known |= fresh
        return Column(names.astype(str) if len(tracks) else np.empty(0, "U1"), known)

    def _run(
        self, prop: UserProperty | PixelProperty, calls: list[Ints] | None, arguments: dict[str, list[Any]], rows: Ints
    ) -> list[Any]:
        """Run calls, one for each of `rows` (where an error is reported), and return their values."""
        if calls is None:
            assert isinstance(prop, UserProperty)
            results = call_property(prop, arguments, len(rows))
        elif self.pixels is None:
            raise WorkbenchError(f"{prop.name} needs pictures, and there are only boxes.", "Give a video as source.")
        else:
            results = CallResults(*self.pixels(prop, calls, arguments)) if calls else CallResults([], [])
        self.failed(prop.name, len(rows), rows, results.failed)
        return list(results.values)

    def failed(self, name: str, made: int, rows: Sequence[int] | Ints, failed: Sequence[tuple[int, str, str]]) -> None:
        """Count calls that were made, and note those that failed.

        Parameters
        ----------
        name : str
            Of the property.
        made : int
        rows : sequence of int
            For each call, the row of the tracks at which its error is reported.
        failed : sequence of (call, error, traceback)
        """
        self.calls[name] = self.calls.get(name, 0) + made
        for call, error, text in failed:
            where = (int(self.tracks.id[rows[call]]), int(self.tracks.frame[rows[call]]))
            self._errors.append((name, *where, error, text))

    def vectors(self, kind: ObjectType, rows: Bools) -> Column:
        """Return the embeddings over all rows as objects, one for each track; known at least where asked for."""
        self.column(kind, "embedding", rows)
        return self.columns.get(kind.name, "embedding").objects()

    def crops(self, rows: Ints) -> list[Any]:
        """Return the crops at these rows, None on interpolated ones."""
        shown = [int(row) for row in rows if not self.tracks.interpolated[row]]
        found = self._run(_CROP, [np.array([row]) for row in shown], {}, np.array(shown, np.int64)) if shown else []
        known = dict(zip(shown, found, strict=True))
        return [known.get(int(row)) for row in rows]

    # ------------------------------------------------------------------------------------------ a value for each row

    def _rows(self, kind: ObjectType, prop: UserProperty, column: AskedColumn, rows: Ints) -> None:
        if prop.window is None:
            self._plain_rows(kind, prop, column, rows)
            return
        starts, full = self.history.window(prop.window)
        keep = np.ones(len(rows), bool) if prop.partial else full[rows]
        column.fill_same(rows[~keep], None)
        rows = rows[keep]
        if not len(rows):
            return
        starts, stops = starts[rows], rows + 1
        needed = spread(starts, stops, len(self.tracks))
        names = [name for name in prop.arguments if name not in _PIXELS]
        for name in names:
            self.column(kind, name, needed)
        past = {name: self._past(kind, name) for name in names}
        values, left = windows_at_once(prop, past, starts, stops, partial(self._windows, kind))
        self.failed(prop.name, int(np.count_nonzero(~left)), rows, ())
        column.fill(rows[~left], [value for value, open_ in zip(values, left.tolist(), strict=True) if not open_])
        if not left.any():
            return
        rows, starts, stops = rows[left], starts[left], stops[left]
        arguments = {name: self._windows(kind, name, starts, stops) for name in names}
        column.fill(rows, self._run(prop, self._window_crops(prop, starts, stops), arguments, rows))

    def _plain_rows(self, kind: ObjectType, prop: UserProperty, column: AskedColumn, rows: Ints) -> None:
        missing = self.tracks.interpolated[rows] if prop.reads_pixels else np.zeros(len(rows), bool)
        given: dict[str, Column] = {}
        for name in sorted(prop.arguments, key=lambda name: is_costly(kind, name)):
            if name not in _PIXELS:
                # a row that lacks a cheap argument is not asked for a costly one
                mask = np.zeros(len(self.tracks), bool)
                mask[rows[~missing]] = True
                given[name] = self.column(kind, name, mask)
                missing = missing | ~given[name].valid[rows]
        column.fill_same(rows[missing], None)
        rows = rows[~missing]
        values = rows_at_once(prop, given, rows)
        if values is None:
            arguments = {name: argument.python(rows) for name, argument in given.items()}
            calls = [rows[i : i + 1] for i in range(len(rows))] if prop.reads_pixels else None
            values = self._run(prop, calls, arguments, rows)
        else:
            self.failed(prop.name, len(rows), rows, ())
        column.fill(rows, values)

    def _past(self, kind: ObjectType, name: str) -> Column | AskedColumn:
        return self.columns.get(kind.name, name) if is_costly(kind, name) else self._cheap(kind, name)

    def _windows(self, kind: ObjectType, name: str, starts: Ints, stops: Ints) -> list[Any]:
        """Return an argument's values in each window, as arrays; it was asked for there before."""
        bounds = zip(starts.tolist(), stops.tolist(), strict=True)
        if not is_costly(kind, name):
            column = self._cheap(kind, name)
            return [window_array(column, start, stop) for start, stop in bounds]
        values = self.columns.get(kind.name, name).values
        return [own_values(values[start:stop].tolist()) for start, stop in bounds]

    def _window_crops(self, prop: UserProperty, starts: Ints, stops: Ints) -> list[Ints] | None:
        if not prop.reads_pixels:
            return None
        shown = np.where(self.tracks.interpolated, -1, np.arange(len(self.tracks)))
        return [shown[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]

    def _recursive(self, kind: ObjectType, prop: UserProperty, column: AskedColumn, wanted: Bools) -> None:
        """Fill all rows up to the last wanted one of each track: the k-th rows of all tracks together, in order."""
        assert prop.window is not None
        tracks, history = self.tracks, self.history
        rows = np.flatnonzero(wanted)
        last = np.full(len(tracks.ids), -1)
        np.maximum.at(last, tracks.owner[rows], rows)
        rows = np.flatnonzero((np.arange(len(tracks)) <= last[tracks.owner]) & ~column.asked)
        starts, full = history.window(prop.window)
        keep = np.ones(len(rows), bool) if prop.partial else full[rows]
        column.fill_same(rows[~keep], None)
        rows = rows[keep]
        needed = spread(starts[rows], rows + 1, len(tracks))
        others = [name for name in prop.arguments if name not in (*_PIXELS, prop.name)]
        for name in others:
            self.column(kind, name, needed)
        depth = rows - history.start[rows]
        for group in np.split(rows[np.argsort(depth, kind="stable")], np.flatnonzero(np.diff(np.sort(depth))) + 1):
            if not len(group):
                continue
            first, stop = starts[group], group + 1
            arguments = {name: self._windows(kind, name, first, stop) for name in others}
            own: list[Any] = []
            for start, row in zip(first.tolist(), group.tolist(), strict=True):
                earlier = np.empty(row - start, object)
                earlier[:] = column.values[start:row]
                own.append(earlier)
            arguments[prop.name] = own
            column.fill(group, self._run(prop, self._window_crops(prop, first, stop), arguments, group))

    # ---------------------------------------------------------------------------------------- one value for each track

    def _once(self, kind: ObjectType, prop: UserProperty, column: AskedColumn, wanted: Bools) -> None:
        tracks = np.unique(self.tracks.owner[wanted])
        given: dict[str, dict[int, Any]] = {}
        for name in prop.arguments:
            if name in _PIXELS:
                continue
            mask = np.zeros(len(self.tracks), bool)
            for track in tracks.tolist():
                mask[self.tracks.offsets[track] : self.tracks.offsets[track + 1]] = True
            argument = self.column(kind, name, mask)
            single = name == "label" or is_once(kind, name)
            given[name] = {track: self._whole(kind, name, argument, track, single) for track in tracks.tolist()}
            if single:
                lacking = [track for track in tracks.tolist() if given[name][track] is None]
                for track in lacking:
                    column.fill_same(self._span(track), None)
                tracks = tracks[~np.isin(tracks, lacking)]
        if "image" in prop.arguments:
            self._vote(prop, column, np.isin(self.tracks.owner, tracks), given)
            return
        arguments = {name: [values[track] for track in tracks.tolist()] for name, values in given.items()}
        rows, calls = self.tracks.offsets[tracks], None
        if prop.reads_pixels:
            calls = [self.best_crops(track) for track in tracks.tolist()]
            rows = np.array([crops[0] if len(crops) else row for crops, row in zip(calls, rows, strict=True)], np.int64)
        for track, value in zip(tracks.tolist(), self._run(prop, calls, arguments, rows), strict=True):
            column.fill_same(self._span(track), value)

    def _span(self, track: int) -> Ints:
        return np.arange(self.tracks.offsets[track], self.tracks.offsets[track + 1])

    def _whole(self, kind: ObjectType, name: str, argument: Column, track: int, single: bool) -> Any:
        start, stop = self.tracks.offsets[track : track + 2].tolist()
        if single:
            return argument.python([start])[0]
        if not is_costly(kind, name):
            return window_array(argument, start, stop)
        return own_values(self.columns.get(kind.name, name).values[start:stop].tolist())

    def _vote(
        self,
        prop: UserProperty | PixelProperty,
        column: AskedColumn,
        wanted: Bools,
        given: dict[str, dict[int, Any]],
    ) -> None:
        """Look at the best crops of each track until the vote is decided, all tracks together."""
        tracks = np.unique(self.tracks.owner[wanted]).tolist()
        crops = {track: self.best_crops(track) for track in tracks}
        votes: dict[int, list[Any]] = {track: [] for track in tracks}
        while wave := [(track, int(row)) for track in tracks for row in _next_crops(crops[track], votes[track])]:
            rows = np.array([row for _, row in wave], np.int64)
            arguments = {name: [values[track] for track, _ in wave] for name, values in given.items()}
            calls = [rows[i : i + 1] for i in range(len(rows))]
            for (track, _), value in zip(wave, self._run(prop, calls, arguments, rows), strict=True):
                votes[track].append(plain(value))
        decided = mean_vector if prop.name == "embedding" and isinstance(prop, PixelProperty) else vote
        for track in tracks:
            column.fill_same(self._span(track), decided(votes[track]))


def _next_crops(crops: Ints, votes: Sequence[Any]) -> Ints:
    return crops[len(votes) : len(votes) + votes_needed(votes, len(crops))]


def spread(starts: Ints, stops: Ints, count: int) -> Bools:
    """Return a mask of `count` rows that is true in all ranges [start, stop)."""
    steps = np.zeros(count + 1, np.int64)
    np.add.at(steps, starts, 1)
    np.add.at(steps, stops, -1)
    return np.asarray(np.cumsum(steps[:-1]) > 0)
