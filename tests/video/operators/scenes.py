"""Small scenes and trees for tests: tracks from a few numbers, properties from plain functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from workbench.engine.units import Dimension
from workbench.video.language import tree
from workbench.video.operators.calls import call_property, crops_as_argument
from workbench.video.operators.columns import CallResults, PixelProperty
from workbench.video.tracks import Frames, Tracks

SECONDS = Dimension(s=1)


def walk(
    feet: dict[int, Sequence[tuple[float, float] | None]],
    *,
    fps: float = 10,
    times: Sequence[float] | None = None,
    size: tuple[float, float] = (20, 50),
    labels: dict[int, str] | None = None,
    scores: dict[int, Sequence[float]] | None = None,
    filled: dict[int, Sequence[int]] | None = None,
    picture: tuple[int, int] = (640, 480),
) -> Tracks:
    """Tracks from the foot points of each id, one for each frame; None where the object is not there."""
    count = max((len(points) for points in feet.values()), default=0) if times is None else len(times)
    time = np.arange(count) / fps if times is None else np.array(times, float)
    names = tuple(dict.fromkeys((labels or {}).values())) or ("person",)
    kind = labels or {}
    rows = [
        (number, frame, names.index(kind.get(number, names[0])), point, frame in (filled or {}).get(number, ()))
        for number, points in sorted(feet.items())
        for frame, point in enumerate(points)
        if point is not None
    ]
    seen = scores or {}
    boxes = [(x - size[0] / 2, y - size[1], x + size[0] / 2, y) for _, _, _, (x, y), _ in rows]
    frame = np.array([row[1] for row in rows], np.int64)
    interpolated = np.array([row[4] for row in rows], bool)
    score = np.array([seen[row[0]][row[1]] if row[0] in seen else 0.9 for row in rows], float)
    score[interpolated] = np.nan
    return Tracks(
        Frames(np.arange(count), time), *picture, names, np.array([row[0] for row in rows], np.int64), frame,
        time[frame], np.array([row[2] for row in rows], np.int64), score,
        np.array(boxes, float).reshape(-1, 4), interpolated,
    )  # fmt: skip


def still(count: int, x: float = 100, y: float = 200) -> list[tuple[float, float]]:
    """The same place for `count` frames."""
    return [(x, y)] * count


def thing(
    *properties: tree.UserProperty, name: str = "Object", labels: tuple[str, ...] | None = None
) -> tree.ObjectType:
    """A type of object with properties of one's own."""
    return tree.ObjectType(name, labels, ("Object",), properties)


def own(function: Callable[..., Any], *arguments: str, name: str = "value", **options: Any) -> tree.UserProperty:
    """A property of one's own."""
    return tree.UserProperty(name, "Object", function, arguments, **options)


def query(
    where: tree.Node,
    *select: tree.Node,
    kind: tree.ObjectType | None = None,
    group: tuple[tree.Node, ...] = (),
    scale: tree.ScaleSpec | None = None,
    others: tuple[tree.Variable, ...] = (),
) -> tree.CompiledQuery:
    """A query of the variable x."""
    return tree.CompiledQuery("Q", (tree.Variable("x", kind or thing()), *others), where, select, group, scale)


def prop(name: str, var: str = "x") -> tree.Property:
    """`x.name`, times with their dimension."""
    timed = name in ("time", "age", "first", "last", "start", "end", "duration")
    return tree.Property(var=var, name=name, dimension=SECONDS if timed else None)


def compare(name: str, op: str, value: Any) -> tree.Compare:
    """`x.name op value`."""
    left = prop(name)
    return tree.Compare(op=op, left=left, right=tree.Constant(value=value, dimension=left.dimension or tree.NUMBER))


ALWAYS = tree.Known(value=tree.Property(var="x", name="id"))


class Crops:
    """Runs pixel calls on crops that are (id, frame), and keeps a list of them."""

    def __init__(self, tracks: Tracks, model: Callable[[str, Any], Any] | None = None) -> None:
        self.tracks, self.model = tracks, model
        self.seen: list[tuple[str, int, int]] = []

    def __call__(self, prop: Any, calls: list[Any], arguments: dict[str, list[Any]]) -> CallResults:
        crops = [
            [None if row < 0 else np.array([self.tracks.id[row], self.tracks.frame[row]]) for row in rows]
            for rows in calls
        ]
        self.seen += [(prop.name, *map(int, crop)) for call in crops for crop in call if crop is not None]
        if isinstance(prop, PixelProperty):
            assert self.model is not None
            return CallResults([self.model(prop.name, images[0]) for images in crops], [])
        name = "images" if "images" in prop.arguments else "image"
        given = {**arguments, name: [crops_as_argument(prop, images) for images in crops]}
        return call_property(prop, given, len(calls))
