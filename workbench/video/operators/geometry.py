"""Plane geometry on arrays of points: polygons, lines with sides, pairs of boxes, metres.

Coordinates are px of the source, x to the right and y down. The definitions are those of the language: even-odd rule
with the border inside, crossings between rows that are decided by a margin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.engine.errors import WorkbenchError
from workbench.video.language.tree import ScaleSpec
from workbench.video.tracks import Bools, Floats, Ints, Tracks

__all__ = [
    "GroundScale",
    "PersonScale",
    "Scale",
    "UniformScale",
    "border_distance",
    "box_points",
    "crossings",
    "inside_polygon",
    "length",
    "line_sides",
    "make_scale",
    "passages",
    "relation",
]

Points = Sequence[tuple[float, float]]


def length(vectors: Floats) -> Floats:
    """Return the Euclidean lengths of (n, 2) vectors."""
    # sqrt of a sum, not hypot: both are correctly rounded steps, the same on every machine
    return np.sqrt(vectors[:, 0] * vectors[:, 0] + vectors[:, 1] * vectors[:, 1])


def _edges(polygon: Points) -> list[tuple[float, float, float, float]]:
    corners = [(float(x), float(y)) for x, y in polygon]
    return [(*start, *end) for start, end in zip(corners, corners[1:] + corners[:1], strict=True)]


# ---------------------------------------------------------------------------------------------------------- polygons


def inside_polygon(points: Floats, polygon: Points) -> Bools:
    """Return which points are inside a polygon: even-odd rule, the border counts as inside.

    Parameters
    ----------
    points : ndarray of float64, shape (n, 2)
    polygon : sequence of (x, y)
        Corners in order, not closed.
    """
    x, y = points[:, 0], points[:, 1]
    odd, border = np.zeros(len(points), bool), np.zeros(len(points), bool)
    for x1, y1, x2, y2 in _edges(polygon):
        cross = (x2 - x1) * (y - y1) - (y2 - y1) * (x - x1)
        in_box = (x >= min(x1, x2)) & (x <= max(x1, x2)) & (y >= min(y1, y2)) & (y <= max(y1, y2))
        border |= (cross == 0) & in_box
        # a ray to the right meets this edge: the half-open test counts a corner once
        odd ^= ((y1 > y) != (y2 > y)) & ((cross > 0) if y2 > y1 else (cross < 0))
    return odd | border


def border_distance(points: Floats, polygon: Points) -> Floats:
    """Return the distance of each point to the polygon's border, px."""
    return np.min([_segment_distance(points, *edge) for edge in _edges(polygon)], axis=0)


def _segment_distance(points: Floats, x1: float, y1: float, x2: float, y2: float) -> Floats:
    dx, dy = x2 - x1, y2 - y1
    from_start = points - np.array((x1, y1))
    along = from_start[:, 0] * dx + from_start[:, 1] * dy
    square = dx * dx + dy * dy
    to_ends = np.minimum(length(from_start), length(points - np.array((x2, y2))))
    if not square:
        return to_ends
    # beside the segment: the height over it, which rounds once where products of coordinates are exact
    height = np.abs(dx * from_start[:, 1] - dy * from_start[:, 0]) / np.sqrt(square)
    return np.where((along >= 0) & (along <= square), height, to_ends)


def box_points(boxes: Floats, by: str) -> list[Floats]:
    """Return the points of each box that must be inside a region: foot, center, or the four corners."""
    x1, y1, x2, y2 = boxes.T
    if by == "box":
        return [np.column_stack(corner) for corner in ((x1, y1), (x2, y1), (x2, y2), (x1, y2))]
    middle = (x1 + x2) / 2
    return [np.column_stack((middle, y2 if by == "foot" else (y1 + y2) / 2))]


# --------------------------------------------------------------------------------------------------- lines and borders


def _margin(boxes: Floats) -> Floats:
    return np.maximum(2.0, 0.02 * (boxes[:, 3] - boxes[:, 1]))


def line_sides(points: Floats, line: Points) -> tuple[Floats, Floats]:
    """Return the signed cross product (negative: left of the way as seen) and the distance to the whole line, px."""
    (x1, y1), (x2, y2) = line
    cross = (x2 - x1) * (points[:, 1] - y1) - (y2 - y1) * (points[:, 0] - x1)
    base = float(np.sqrt((x2 - x1) * (x2 - x1) + (y2 - y1) * (y2 - y1)))
    return cross, np.abs(cross) / base if base else np.zeros(len(points))


def _changes(state: Bools, decided: Bools, owner: Ints) -> tuple[Ints, Ints]:
    """Return pairs (row, previous decided row of the same track) at which the state is another."""
    rows = np.flatnonzero(decided)
    before, after = rows[:-1], rows[1:]
    changed = (owner[before] == owner[after]) & (state[before] != state[after])
    return after[changed], before[changed]


def crossings(feet: Floats, boxes: Floats, owner: Ints, line: Points) -> Ints:
    """Return for each row -1 (no crossing), 0 (crosses to the left side) or 1 (crosses to the right side).

    A row is decided when its foot is at least max(2 px, 2 % of the box height) from the line; a crossing is at the
    first decided row on the other side than the previous decided row of the track, if the segment between these two
    feet meets the line's segment.
    """
    cross, distance = line_sides(feet, line)
    after, before = _changes(cross > 0, (distance >= _margin(boxes)) & (cross != 0), owner)
    step = feet[after] - feet[before]
    ends = [step[:, 0] * (y - feet[before, 1]) - step[:, 1] * (x - feet[before, 0]) for x, y in line]
    # the feet are on two sides of the line, so the segments meet where the line's ends are on two sides of the step
    meets = (np.minimum(*ends) <= 0) & (np.maximum(*ends) >= 0)
    to = np.full(len(feet), -1, np.int64)
    to[after[meets]] = cross[after[meets]] > 0
    return to


def passages(feet: Floats, boxes: Floats, owner: Ints, polygon: Points) -> Ints:
    """Return for each row -1 (no passage of the border), 0 (leaves the polygon) or 1 (enters it).

    Rows are decided as for lines, by their distance from the border. Beginning inside is no entry.
    """
    within = inside_polygon(feet, polygon)
    after, _ = _changes(within, border_distance(feet, polygon) >= _margin(boxes), owner)
    to = np.full(len(feet), -1, np.int64)
    to[after] = within[after]
    return to


# ------------------------------------------------------------------------------------------------------ pairs of boxes


def relation(name: str, a: Floats, b: Floats, limit: float) -> Bools:
    """Return where a relation of two boxes holds: `overlaps inside left_of right_of above below`.

    Parameters
    ----------
    a, b : ndarray of float64, shape (n, 4)
    limit : float
        The IoU that `overlaps` must exceed.
    """
    if name == "overlaps":
        sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
        shared = np.where((sides > 0).all(axis=1), sides[:, 0] * sides[:, 1], 0.0)
        total = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1]) + (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) - shared
        return shared > limit * np.maximum(total, 0.0)
    if name == "inside":
        return np.asarray((a[:, :2] >= b[:, :2]).all(axis=1) & (a[:, 2:] <= b[:, 2:]).all(axis=1))
    low, high = {
        "left_of": (a[:, 2], b[:, 0]), "right_of": (b[:, 2], a[:, 0]),
        "above": (a[:, 3], b[:, 1]), "below": (b[:, 3], a[:, 1]),
    }[name]  # fmt: skip
    return np.asarray(low <= high)


# ------------------------------------------------------------------------------------------------------------- metres


class Scale:
    """How far two points of the picture are apart on the ground."""

    def metres(self, start: Floats, end: Floats) -> Floats:
        """Return the distances between (n, 2) points, m."""
        raise NotImplementedError


@dataclass(frozen=True)
class UniformScale(Scale):
    """The same metres per pixel everywhere."""

    factor: float

    def metres(self, start: Floats, end: Floats) -> Floats:
        """Return the distances between (n, 2) points, m."""
        return length(end - start) * self.factor


@dataclass(frozen=True)
class PersonScale(Scale):
    """Metres per pixel from the height of people: `height` px = `slope` * foot y + `offset`."""

    metres_tall: float
    slope: float
    offset: float

    def metres(self, start: Floats, end: Floats) -> Floats:
        """Return the distances between (n, 2) points, with the mean of the metres per pixel at both."""
        each = [self.metres_tall / np.maximum(self.slope * p[:, 1] + self.offset, 2.0) for p in (start, end)]
        return length(end - start) * ((each[0] + each[1]) / 2)


@dataclass(frozen=True)
class GroundScale(Scale):
    """A homography from the picture to the ground, row-major (3, 3)."""

    matrix: tuple[float, ...]

    def metres(self, start: Floats, end: Floats) -> Floats:
        """Return the distances between (n, 2) points on the ground plane, m."""
        return length(self._ground(end) - self._ground(start))

    def _ground(self, points: Floats) -> Floats:
        mapped = np.column_stack((points, np.ones(len(points)))) @ np.array(self.matrix).reshape(3, 3).T
        return mapped[:, :2] / mapped[:, 2:]


def make_scale(spec: ScaleSpec | None, tracks: Tracks) -> Scale | None:
    """Return the scale of a query on these tracks.

    Raises
    ------
    WorkbenchError
        If a scale by person height has fewer than 10 detected people rows, or points do not determine a scale.
    """
    if spec is None:
        return None
    if spec.mode == "person":
        return _person_scale(spec.metres, tracks)
    if spec.mode == "ground":
        return _ground_scale(spec.points)
    base = float(length(np.array([spec.points[1]], float) - np.array([spec.points[0]], float))[0])
    if base == 0:
        raise WorkbenchError("Scale has twice the same point.", 'Write Scale((x, y), (x, y), "3.5m") with two points.')
    return UniformScale(spec.metres / base)


def _person_scale(tall: float, tracks: Tracks) -> PersonScale:
    people = (tracks.label_names() == "person") & ~tracks.interpolated
    if people.sum() < 10:
        raise WorkbenchError(
            f"Scale(person=...) needs at least 10 detected people, got {people.sum()}.",
            'Write Scale((x, y), (x, y), "3.5m") with two points that are 3.5 m apart.',
        )
    y, height = tracks.box[people, 3], np.maximum(tracks.box[people, 3] - tracks.box[people, 1], 2.0)
    centred = y - y.mean()
    spread = float(centred @ centred)
    slope = float(centred @ (height - height.mean())) / spread if spread > 1e-9 else 0.0
    return PersonScale(tall, slope, float(height.mean() - slope * y.mean()))


def _ground_scale(points: tuple[tuple[float, ...], ...]) -> GroundScale:
    # direct linear transformation: each pair gives two rows; the answer is the direction of least stretch
    rows = [
        row
        for x, y, gx, gy in points
        for row in ((x, y, 1, 0, 0, 0, -gx * x, -gx * y, -gx), (0, 0, 0, x, y, 1, -gy * x, -gy * y, -gy))
    ]
    system = np.array(rows, float)
    size = np.abs(system).max(axis=0)
    size[size == 0] = 1.0
    _, values, directions = np.linalg.svd(system / size)
    if len(points) < 4 or values[7] <= 1e-12 * values[0]:
        raise WorkbenchError(
            "Scale(ground=...) needs at least 4 points, no three of them on one line.",
            "Write Scale(ground=((x, y, X, Y), ...)) with px and metres.",
        )
    return GroundScale(tuple(float(value) for value in directions[8] / size))
