"""The reference's objects: properties and geometry of rows by their definitions, in plain Python."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from workbench.video.language import tree
from workbench.video.tracks import Tracks

EPS = 1e-6


@dataclass
class Row:
    """One object in one frame."""

    frame: int
    time: float
    span: float
    score: float | None
    box: tuple[float, float, float, float]
    interpolated: bool

    @property
    def foot(self) -> tuple[float, float]:
        return ((self.box[0] + self.box[2]) / 2, self.box[3])

    @property
    def height(self) -> float:
        return self.box[3] - self.box[1]

    @property
    def area(self) -> float:
        return max(0.0, self.box[2] - self.box[0]) * max(0.0, self.box[3] - self.box[1])


@dataclass
class Track:
    """One object."""

    id: int
    label: str
    rows: list[Row]
    memo: dict[Any, Any] = field(default_factory=dict)


Crop = Callable[[Track, Row], Any]


class Objects:
    """The objects of one video, and what is known of each row.

    Parameters
    ----------
    crop : callable
        What a crop of a row shows.
    model : callable
        `model(name, crop)`: what a model of ours says of a crop.
    """

    def __init__(
        self, query: tree.CompiledQuery, tracks: Tracks, video: str, crop: Crop, model: Callable[[str, Any], Any]
    ) -> None:
        self.query, self.video, self.crop, self.model = query, video, crop, model
        self.width, self.height = tracks.width, tracks.height
        self.frames = [int(frame) for frame in tracks.frames.frame]
        self.times = [float(time) for time in tracks.frames.time]
        steps = [b - a for a, b in zip(self.times, self.times[1:], strict=False)]
        self.dt = statistics.median(steps) if steps else 0.04
        self.tracks = self._read(tracks)
        self.types = query.types()
        self.scene = tracks.scene
        self.errors: set[tuple[str, int, int, str]] = set()
        self.scale = self._scale()

    def _read(self, tracks: Tracks) -> list[Track]:
        spans = {}
        for i, frame in enumerate(tracks.frames.frame.tolist()):
            following = self.times[i + 1] - self.times[i] if i + 1 < len(self.times) else self.dt
            spans[frame] = min(following, 2 * self.dt)
        found: dict[int, Track] = {}
        for i in range(len(tracks)):
            number = int(tracks.id[i])
            track = found.setdefault(number, Track(number, tracks.labels[int(tracks.label[i])], []))
            frame, interpolated = int(tracks.frame[i]), bool(tracks.interpolated[i])
            score = None if interpolated else float(tracks.score[i])
            box = tuple(float(value) for value in tracks.box[i])
            track.rows.append(Row(frame, float(tracks.time[i]), spans[frame], score, box, interpolated))  # type: ignore[arg-type]
        return [found[number] for number in sorted(found)]

    def of_type(self, kind: tree.ObjectType) -> list[Track]:
        """The tracks that a variable of a type can bind."""
        scenes = {0} if self.scene else set()
        if kind.name == "Scene":
            return [track for track in self.tracks if track.id in scenes]
        labels = kind.labels
        return [track for track in self.tracks if track.id not in scenes and (labels is None or track.label in labels)]

    # ----------------------------------------------------------------------------------------------------- properties

    def _scale(self) -> Callable[[Any, Any], float] | None:
        spec = self.query.scale
        if spec is None:
            return None
        if spec.mode == "uniform":
            factor = spec.metres / math.dist(*spec.points)
            return lambda p, q: math.dist(p, q) * factor
        seen = [
            (row.box[3], max(row.height, 2.0))
            for track in self.tracks
            for row in track.rows
            if track.label == "person" and not row.interpolated
        ]
        slope, offset = np.polyfit(*zip(*seen, strict=True), 1) if len({y for y, _ in seen}) > 1 else (0.0, seen[0][1])
        if len({y for y, _ in seen}) == 1:
            offset = statistics.fmean(h for _, h in seen)

        def metres(p: Any, q: Any) -> float:
            each = [spec.metres / max(slope * y + offset, 2.0) for _, y in (p, q)]
            return math.dist(p, q) * sum(each) / 2

        return metres

    def _back(self, track: Track, i: int, seconds: float) -> Row | None:
        """The latest row at least so many seconds before."""
        rows = [row for row in track.rows[:i] if row.time <= track.rows[i].time - seconds + EPS]
        return rows[-1] if rows else None

    def value(self, track: Track, i: int, name: str, kind: tree.ObjectType, var: str = "") -> Any:
        """A property of a row; None where missing."""
        own = kind.property(name)
        if own is None:
            asking = [var] if var else [other for other, known in self.types.items() if known == kind]
            return self._built_in(track, i, name, asking)
        key = (kind.name, name, 0 if own.once else i)
        if key not in track.memo:
            track.memo[key] = self._once(track, own, kind) if own.once else self._own(track, i, own, kind)
        return track.memo[key]

    def _built_in(self, track: Track, i: int, name: str, asking: list[str]) -> Any:
        row = track.rows[i]
        x1, y1, x2, y2 = row.box
        simple: dict[str, Any] = {
            "id": track.id, "label": track.label, "score": row.score, "frame": row.frame, "time": row.time,
            "box": row.box, "x1": x1, "y1": y1, "x2": x2, "y2": y2, "center": ((x1 + x2) / 2, (y1 + y2) / 2),
            "foot": row.foot, "width": x2 - x1, "height": y2 - y1, "area": row.area,
            "age": row.time - track.rows[0].time, "first": track.rows[0].time, "last": track.rows[-1].time,
        }  # fmt: skip
        if name in simple:
            return simple[name]
        if name in ("color", "kind"):
            if name not in track.memo:
                shown = [self.model(name, self.crop(track, best)) for best in self.best(track)]
                track.memo[name] = self._vote(shown)
            return track.memo[name]
        if name == "crossed_to":
            for node in self.query.nodes():
                if isinstance(node, tree.Crosses) and node.var in asking:
                    side = self._crossing(track, i, node.shape)
                    if side is not None:
                        return side
            return None
        back = self._back(track, i, 1.0 if name == "still" else 0.5)
        if back is None:
            return None
        dx, dy = row.foot[0] - back.foot[0], row.foot[1] - back.foot[1]
        step = math.sqrt(dx * dx + dy * dy)
        if name == "speed":
            return (step if self.scale is None else self.scale(back.foot, row.foot)) / (row.time - back.time)
        if name == "still":
            return step / (row.time - back.time) / math.sqrt(row.area) < 0.15 if row.area else None
        assert name == "heading"
        if step == 0 or step < 0.01 * math.sqrt(row.area):
            return None
        return math.degrees(math.atan2(-dy, dx)) % 360

    def best(self, track: Track) -> list[Row]:
        """The best crops of a track."""

        def quality(row: Row) -> float:
            assert row.score is not None
            x1, y1, x2, y2 = row.box
            edge = x1 <= 0 or y1 <= 0 or x2 >= self.width or y2 >= self.height
            return row.score * math.sqrt(row.area) * (0.5 if edge else 1)

        left = sorted((row for row in track.rows if not row.interpolated), key=lambda row: (-quality(row), row.frame))
        taken: list[Row] = []
        for row in left:
            if len(taken) < 5 and all(abs(row.time - other.time) >= 0.5 - EPS for other in taken):
                taken.append(row)
        return (taken + [row for row in left if row not in taken])[:5]

    @staticmethod
    def _vote(votes: list[Any]) -> Any:
        cast = [vote for vote in votes if vote is not None]
        if not cast:
            return None
        if all(isinstance(vote, (int, float)) for vote in cast) and any(isinstance(vote, float) for vote in cast):
            return statistics.median(cast)
        return max(cast, key=cast.count)  # of equals, max takes the first

    def _call(self, track: Track, row: Row, prop: tree.UserProperty, arguments: list[Any]) -> Any:
        if prop.batch is not None:
            arguments = [[argument] for argument in arguments]
        try:
            value = prop.function(None, *arguments)
            value = value[0] if prop.batch is not None else value
        except Exception as error:
            self.errors.add((prop.name, track.id, row.frame, f"{type(error).__name__}: {error}"))
            return None
        value = value.item() if isinstance(value, np.generic) else value
        return None if isinstance(value, float) and math.isnan(value) else value

    @staticmethod
    def _array(values: list[Any]) -> Any:
        """What a function is given of a window: numbers with NaN, all bools, or objects with None."""
        known = [value for value in values if value is not None]
        if known and isinstance(known[0], tuple):
            return np.array(values, float)
        if all(type(value) is bool for value in known) and len(known) == len(values):
            return np.array(values, bool)
        if known and all(type(value) is int for value in known) and len(known) == len(values):
            return np.array(values, np.int64)
        if known and all(type(value) in (int, float) for value in known):
            return np.array([math.nan if value is None else value for value in values])
        result = np.empty(len(values), object)
        result[:] = values
        return result

    def _own(self, track: Track, i: int, prop: tree.UserProperty, kind: tree.ObjectType) -> Any:
        row = track.rows[i]
        if prop.window is None:
            if prop.reads_pixels and row.interpolated:
                return None
            arguments = []
            for name in prop.arguments:
                if name == "image":
                    arguments.append(self.crop(track, row))
                elif name == "images":
                    arguments.append([self.crop(track, row)])
                else:
                    arguments.append(self.value(track, i, name, kind))
                if arguments[-1] is None:
                    return None
                if isinstance(arguments[-1], tuple):
                    arguments[-1] = np.array(arguments[-1])
            return self._call(track, row, prop, arguments)
        if prop.window.rows is not None:
            within = list(range(max(0, i - prop.window.rows + 1), i + 1))
            full = i + 1 >= prop.window.rows
        else:
            assert prop.window.seconds is not None
            since = row.time - prop.window.seconds
            within = [j for j in range(i + 1) if track.rows[j].time > since + EPS]
            full = row.time - track.rows[0].time + self.dt >= prop.window.seconds - EPS
        if not full and not prop.partial:
            return None
        arguments = []
        for name in prop.arguments:
            if name in ("image", "images"):
                arguments.append(
                    [None if track.rows[j].interpolated else self.crop(track, track.rows[j]) for j in within]
                )
            elif name == prop.name:
                earlier = np.empty(len(within) - 1, object)
                earlier[:] = [self.value(track, j, name, kind) for j in within[:-1]]
                arguments.append(earlier)
            else:
                arguments.append(self._windowed(track, within, name, kind))
        return self._call(track, row, prop, arguments)

    def _windowed(self, track: Track, within: list[int], name: str, kind: tree.ObjectType) -> Any:
        values = [self.value(track, j, name, kind) for j in within]
        numeric = kind.property(name) is None and name not in ("still", "color", "kind", "crossed_to")
        if numeric and all(value is None for value in values):
            return np.full(len(values), math.nan)
        return self._array(values)

    def _once(self, track: Track, prop: tree.UserProperty, kind: tree.ObjectType) -> Any:
        everywhere = list(range(len(track.rows)))
        given: dict[str, Any] = {}
        for name in prop.arguments:
            if name in ("image", "images"):
                continue
            other = kind.property(name)
            if name in ("label", "color", "kind") or (other is not None and other.once):
                given[name] = self.value(track, 0, name, kind)
                if given[name] is None:
                    return None
            else:
                given[name] = self._windowed(track, everywhere, name, kind)
        if "image" in prop.arguments:
            votes = []
            for row in self.best(track):
                arguments = [self.crop(track, row) if name == "image" else given[name] for name in prop.arguments]
                votes.append(self._call(track, row, prop, arguments))
            return self._vote(votes)
        best = self.best(track) if "images" in prop.arguments else []
        crops = [self.crop(track, row) for row in best]
        where = best[0] if best else track.rows[0]
        return self._call(track, where, prop, [crops if name == "images" else given[name] for name in prop.arguments])

    # ------------------------------------------------------------------------------------------------------- geometry

    @staticmethod
    def inside(point: tuple[float, float], polygon: Any) -> bool:
        """Even-odd rule with the border inside, in exact arithmetic."""
        x, y = map(Fraction, point)
        corners = [(Fraction(a), Fraction(b)) for a, b in polygon]
        count = 0
        for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
            if ay == by:
                if y == ay and min(ax, bx) <= x <= max(ax, bx):
                    return True
                continue
            if not min(ay, by) <= y <= max(ay, by):
                continue
            meets = ax + (y - ay) / (by - ay) * (bx - ax)
            if meets == x:
                return True
            # a corner on the ray belongs to the edge that goes down from it
            if meets < x and y != min(ay, by):
                count += 1
        return count % 2 == 1

    @staticmethod
    def _margin(row: Row) -> Fraction:
        return Fraction(max(2.0, 0.02 * row.height))

    @staticmethod
    def _far(point: tuple[float, float], polygon: Any, margin: Fraction) -> bool:
        """Whether a point is at least the margin from all edges."""
        x, y = map(Fraction, point)
        corners = [(Fraction(a), Fraction(b)) for a, b in polygon]
        for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
            along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2)
            along = min(max(along, Fraction(0)), Fraction(1))
            nx, ny = ax + along * (bx - ax), ay + along * (by - ay)
            if (x - nx) ** 2 + (y - ny) ** 2 < margin**2:
                return False
        return True

    def _passage(self, track: Track, i: int, region: tree.RegionShape) -> str | None:
        polygon = region.in_pixels(self.width, self.height)

        def decided(row: Row) -> bool:
            key = ("decided", region.name, row.frame)
            if key not in track.memo:
                track.memo[key] = self._far(row.foot, polygon, self._margin(row))
            return bool(track.memo[key])

        if not decided(track.rows[i]):
            return None
        earlier = [row for row in track.rows[:i] if decided(row)]
        now = self.inside(track.rows[i].foot, polygon)
        if not earlier or self.inside(earlier[-1].foot, polygon) == now:
            return None
        return "enters" if now else "leaves"

    def _crossing(self, track: Track, i: int, shape: tree.LineShape) -> str | None:
        (px, py), (qx, qy) = (tuple(map(Fraction, point)) for point in shape.in_pixels(self.width, self.height))

        def side(row: Row) -> int:
            key = ("side", shape.name, row.frame)
            if key not in track.memo:
                x, y = map(Fraction, row.foot)
                cross = (qx - px) * (y - py) - (qy - py) * (x - px)
                near = cross**2 < self._margin(row) ** 2 * ((qx - px) ** 2 + (qy - py) ** 2)
                track.memo[key] = 0 if near else 1 if cross > 0 else -1
            return int(track.memo[key])

        now = side(track.rows[i])
        earlier = [row for row in track.rows[:i] if side(row)]
        if not now or not earlier or side(earlier[-1]) == now:
            return None
        # where the step's line meets the line, as a share of the way from p to q
        (ax, ay), (bx, by) = (tuple(map(Fraction, row.foot)) for row in (earlier[-1], track.rows[i]))
        determinant = (qx - px) * (by - ay) - (qy - py) * (bx - ax)
        share = ((ax - px) * (by - ay) - (ay - py) * (bx - ax)) / determinant
        return shape.sides[1 if now > 0 else 0] if 0 <= share <= 1 else None
