"""Regions, lines and scales as a person writes them, and the checked shapes that the tree holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.engine.errors import WorkbenchError
from workbench.engine.units import Dimension, parse_quantity
from workbench.video.language.tree import LineShape, RegionShape, ScaleSpec

Point = tuple[float, float]
Shares = tuple[tuple[bool, bool], ...]

_PIXELS, _PERCENT, _METRES = Dimension(px=1), Dimension(percent=1), Dimension(m=1)


@dataclass(frozen=True, slots=True, init=False)
class Region:
    """A polygon in the picture.

    Parameters
    ----------
    *points : (x, y)
        Corners in order around it: px of the source, or text such as ``"50%"`` (of width or height).

    Examples
    --------
    >>> Region((360, 367), (773, 267), (1143, 480)).points[0]
    (360.0, 367.0)
    """

    points: tuple[Point, ...]
    percent: Shares

    def __init__(self, *points: Any) -> None:
        if len(points) == 1 and not _is_point(points[0]):
            points = tuple(points[0])
        found, percent = _points(points, "Region((x, y), ...)")
        object.__setattr__(self, "points", found)
        object.__setattr__(self, "percent", percent)

    @classmethod
    def rect(cls, x1: Any, y1: Any, x2: Any, y2: Any) -> Region:
        """Return the rectangle between two opposite corners; px, or text such as ``"50%"``."""
        return cls((x1, y1), (x2, y1), (x2, y2), (x1, y2))


@dataclass(frozen=True, slots=True, init=False)
class Line:
    """A directed line to cross.

    Parameters
    ----------
    start, end : (x, y)
        px of the source, or text such as ``"50%"``.
    sides : (str, str)
        Names of the two sides: left of the way from start to end first.
    """

    points: tuple[Point, Point]
    sides: tuple[str, str]
    percent: Shares

    def __init__(self, start: Any, end: Any, *, sides: Sequence[str] = ("left", "right")) -> None:
        (first, second), percent = _points((start, end), "Line((x, y), (x, y))")
        if first == second:
            raise WorkbenchError("A line needs two different points.", "Write Line((120, 610), (540, 600)).")
        names = tuple(sides) if not isinstance(sides, str) else (sides,)
        if len(names) != 2 or not all(isinstance(name, str) and name for name in names) or names[0] == names[1]:
            raise WorkbenchError("sides are two different names.", 'Write sides=("street", "lobby").')
        object.__setattr__(self, "points", (first, second))
        object.__setattr__(self, "sides", names)
        object.__setattr__(self, "percent", percent)


@dataclass(frozen=True, slots=True, init=False)
class Scale:
    """What turns px into metres.

    Parameters
    ----------
    *points : (x, y), (x, y), length
        Two points in px and the length between them, such as ``"3.5m"``.
    person : str, optional
        Height of a person, such as ``"1.7m"``.
    ground : sequence of (x, y, X, Y), optional
        At least four points: px in the picture, metres on the ground.
    """

    spec: ScaleSpec

    def __init__(self, *points: Any, person: Any = None, ground: Any = None) -> None:
        given = [bool(points), person is not None, ground is not None]
        if sum(given) != 1:
            raise WorkbenchError(
                "A scale is one of: two points and a length, person=, ground=.",
                'Write Scale((100, 300), (220, 300), "3.5m") or Scale(person="1.7m").',
            )
        if person is not None:
            spec = ScaleSpec("person", _metres(person, "1.7m"))
        elif ground is not None:
            spec = ScaleSpec("ground", points=_ground(ground))
        else:
            spec = _uniform(points)
        object.__setattr__(self, "spec", spec)


# -------------------------------------------------------------------------------------------------- for the compiler


def region_shape(name: str, value: Any) -> RegionShape | None:
    """Return the checked shape of a region, a shape, or a list of points; None for anything else.

    Raises
    ------
    WorkbenchError
        If it has fewer than three corners, no area, or crosses itself.
    """
    if isinstance(value, (RegionShape, Region)):
        points, percent = value.points, value.percent
    elif isinstance(value, (list, tuple)) and len(value) > 2 and all(_is_point(point) for point in value):
        points, percent = _points(value, name)
    else:
        return None
    if len(points) > 1 and points[0] == points[-1] and (not percent or percent[0] == percent[-1]):
        points, percent = points[:-1], percent[:-1]
    # px and shares cannot be compared before the size of the picture is known; `outside` checks those
    uniform = all(px == percent[0][0] for px, _ in percent) and all(py == percent[0][1] for _, py in percent)
    if len(points) < 3 or (uniform and not is_simple(points)):
        raise WorkbenchError(f"{name} is not a simple polygon.", "List at least 3 corners in order around it.")
    return RegionShape(name, points, percent)


def line_shape(name: str, value: Any) -> LineShape | None:
    """Return the shape of a line; None for anything else."""
    if isinstance(value, LineShape):
        return LineShape(name, value.points, value.sides, value.percent)
    return LineShape(name, value.points, value.sides, value.percent) if isinstance(value, Line) else None


def check_shapes(shapes: Iterable[RegionShape | LineShape], width: int, height: int, video: str) -> None:
    """Check that all corners lie in a picture of this size, or they were drawn on another one.

    Half a pixel beyond an edge is still its pixel.

    Raises
    ------
    WorkbenchError
        Naming the first corner outside, or a region that crosses itself.
    """
    for shape in shapes:
        points = shape.in_pixels(width, height)
        for x, y in points:
            if not (-0.5 <= x <= width + 0.5 and -0.5 <= y <= height + 0.5):
                raise WorkbenchError(
                    f"{shape.name} has a corner at ({x:g}, {y:g}) but {video} is {width}x{height}.",
                    'Use corners inside the picture, or "%" units.',
                )
        if isinstance(shape, RegionShape) and not is_simple(points):
            raise WorkbenchError(
                f"{shape.name} is not a simple polygon.", "List at least 3 corners in order around it."
            )


def is_simple(points: Sequence[Point]) -> bool:
    """Return whether the closed polygon has an area and its edges meet at their common corners only."""
    count = len(points)
    edges = [(points[i], points[(i + 1) % count]) for i in range(count)]
    if count < 3 or any(start == end for start, end in edges):
        return False
    if sum(a[0] * b[1] - b[0] * a[1] for a, b in edges) == 0 or len(set(points)) < count:
        return False
    for i in range(count):
        (a, b), (_, c) = edges[i], edges[(i + 1) % count]
        turned_back = (b[0] - a[0]) * (c[0] - b[0]) + (b[1] - a[1]) * (c[1] - b[1]) < 0
        if _side(a, b, c) == 0 and turned_back:
            return False
        for j in range(i + 2, count):
            if (i, j) != (0, count - 1) and _meet(edges[i], edges[j]):
                return False
    return True


# ------------------------------------------------------------------------------------------------------------ helpers


def _side(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _meet(one: tuple[Point, Point], two: tuple[Point, Point]) -> bool:
    (a, b), (c, d) = one, two
    sides = (_side(a, b, c), _side(a, b, d), _side(c, d, a), _side(c, d, b))
    signs = [(side > 0) - (side < 0) for side in sides]
    if signs[0] != signs[1] and signs[2] != signs[3]:
        return True
    on = ((a, b, c), (a, b, d), (c, d, a), (c, d, b))
    return any(sign == 0 and _within(*corners) for sign, corners in zip(signs, on, strict=True))


def _within(a: Point, b: Point, c: Point) -> bool:
    return min(a[0], b[0]) <= c[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= c[1] <= max(a[1], b[1])


def _is_point(value: Any) -> bool:
    try:
        return len(value) == 2 and not isinstance(value, str) and all(_is_coordinate(part) for part in value)
    except TypeError:
        return False


def _is_coordinate(value: Any) -> bool:
    return isinstance(value, str) or (hasattr(value, "__float__") and not hasattr(value, "__len__"))


def _points(values: Iterable[Any], what: str) -> tuple[tuple[Point, ...], Shares]:
    points: list[Point] = []
    shares: list[tuple[bool, bool]] = []
    for value in values:
        if not _is_point(value):
            raise WorkbenchError(f"A corner is (x, y), got {value!r}.", f"Write {what}.")
        (x, px), (y, py) = _coordinate(value[0]), _coordinate(value[1])
        points.append((x, y))
        shares.append((px, py))
    return tuple(points), tuple(shares) if any(px or py for px, py in shares) else ()


def _coordinate(value: Any) -> tuple[float, bool]:
    if isinstance(value, str):
        quantity = parse_quantity(value)
        if quantity is None or quantity.dimension not in (_PIXELS, _PERCENT):
            raise WorkbenchError(f'A corner is in px or "%", got "{value}".', 'Write (120, 610) or ("10%", "90%").')
        number, share = quantity.value, quantity.dimension == _PERCENT
    else:
        number, share = float(value), False
    if not math.isfinite(number):
        raise WorkbenchError(f"A corner is in px, got {number}.", 'Write (120, 610) or ("10%", "90%").')
    return number, share


def _metres(value: Any, example: str) -> float:
    quantity = parse_quantity(value) if isinstance(value, str) else None
    if quantity is None or quantity.dimension != _METRES:
        bare = isinstance(value, (int, float)) and not isinstance(value, bool)
        message = f"Scale() needs a unit, got {value:g}." if bare else f"Scale() takes metres, got {value!r}."
        raise WorkbenchError(message, f'Write "{example}".')
    if not quantity.value > 0:
        raise WorkbenchError(f'Scale() takes a length above 0, got "{value}".', f'Write "{example}".')
    return quantity.value


def _uniform(points: tuple[Any, ...]) -> ScaleSpec:
    example = 'Write Scale((100, 300), (220, 300), "3.5m").'
    if len(points) != 3:
        raise WorkbenchError("Scale() takes two points and the length between them.", example)
    (start, end), percent = _points(points[:2], 'Scale((x, y), (x, y), "3.5m")')
    if percent:
        raise WorkbenchError("The points of a scale are in px.", example)
    if start == end:
        raise WorkbenchError("A scale needs two different points.", example)
    return ScaleSpec("uniform", _metres(points[2], "3.5m"), (start, end))


def _ground(pairs: Any) -> tuple[tuple[float, ...], ...]:
    example = "Write Scale(ground=((x, y, X, Y), ...)) with x, y in px and X, Y in metres."
    try:
        found = tuple(tuple(float(part) for part in pair) for pair in pairs)
    except (TypeError, ValueError):
        raise WorkbenchError("ground= takes points of four numbers.", example) from None
    if len(found) < 4 or any(len(pair) != 4 or not all(map(math.isfinite, pair)) for pair in found):
        raise WorkbenchError("ground= takes at least 4 points of four numbers.", example)
    return found
