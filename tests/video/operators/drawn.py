"""Random tracks, types and queries for the comparison with the reference."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from workbench.engine.units import Dimension
from workbench.video.language import tree
from workbench.video.language.tree import UserProperty, Window
from workbench.video.tracks import Frames, Tracks

WIDTH, HEIGHT = 640, 480
LABELS = ("person", "car", "bus", "backpack")
SECONDS = Dimension(s=1)
TIMES = ("time", "age", "first", "last")

REGIONS = (
    tree.RegionShape("yard", ((100, 100), (400, 100), (400, 300), (100, 300))),
    tree.RegionShape("wedge", ((50, 400), (300, 50), (600, 250), (320, 220))),
    tree.RegionShape("notch", ((200, 0), (640, 0), (640, 480), (200, 480), (420, 240))),
    tree.RegionShape(
        "half", ((0.0, 0.5), (1.0, 0.5), (1.0, 1.0), (0.0, 1.0)), ((True, True),) * 4,
    ),
)  # fmt: skip
LINES = (
    tree.LineShape("door", ((300, 50), (300, 450)), ("west", "east")),
    tree.LineShape("slope", ((100, 100), (500, 400))),
    tree.LineShape("short", ((250, 240), (350, 240)), ("up", "down")),
)


# ---------------------------------------------------------------------------------------------- properties of one's own


def _streak(self: Any, streak: Any, fast: Any) -> int:
    before = streak[-1] if len(streak) else None
    return (before or 0) + 1 if fast[-1] else 0


def _glow(self: Any, image: Any) -> float:
    if image[1] % 7 == 0:
        raise ValueError("dark crop")
    return float(image[0] * 10 + image[1] % 5)


def _pairs(self: Any, x1: list[float], y1: list[float]) -> list[float | None]:
    return [None if a > 500 else a - b for a, b in zip(x1, y1, strict=True)]


def _lit(self: Any, image: list[Any]) -> list[bool]:
    if any(crop[1] % 11 == 0 for crop in image):
        raise ValueError("one is dark")
    return [crop[1] % 2 == 0 for crop in image]


def _peak(self: Any, speed: Any) -> float | None:
    known = [float(value) for value in speed if value == value]
    return max(known) if known else None


def _own(name: str, function: Any, *arguments: str, **options: Any) -> UserProperty:
    return UserProperty(name, "Thing", function, arguments, **options)


OWN = (
    _own("fast", lambda self, speed: speed > 60, "speed"),
    _own("ratio", lambda self, width, height: width / height, "width", "height"),
    _own("zone", lambda self, x1: "left" if x1 < 200 else "right" if x1 > 350 else None, "x1"),
    _own("jerk", lambda self, speed: float(abs(speed[-1] - speed[0])), "speed", window=Window(seconds=1.0)),
    _own("trail", lambda self, x1, foot: float(x1[0] + len(foot) + foot[:, 1].max()), "x1", "foot",
         window=Window(rows=5), partial=True),
    _own("calm", lambda self, still, label: sum(1 for v in still if v) + len(label), "still", "label",
         window=Window(seconds=0.7)),
    _own("streak", _streak, "streak", "fast", window=Window(seconds=1.0)),
    _own("count", lambda self, count, score: len(count) + sum(v is not None for v in count), "count", "score",
         window=Window(rows=3), partial=True),
    _own("peak", _peak, "speed", once=True),
    _own("mood", lambda self, image: ("calm", "busy", None, "calm")[(image[0] + image[1] // 3) % 4], "image",
         once=True),
    _own("size", lambda self, image: float(image[1] % 4), "image", once=True),
    _own("code", lambda self, image: image[1] % 3, "image", once=True),
    _own("crops", lambda self, images: len(images) * 100 + images[0][1] % 10, "images", once=True),
    _own("glow", _glow, "image"),
    _own("blend", lambda self, image, x1: float(sum(c[1] for c in image if c is not None) + x1[-1]), "image", "x1",
         window=Window(rows=3)),
    _own("pairs", _pairs, "x1", "y1", batch=3),
    _own("lit", _lit, "image", batch=4),
    _own("hot", lambda self, glow, speed: glow + speed, "glow", "speed"),
    _own("warm", lambda self, glow: float(np.nanmax(glow)) if glow.dtype.kind == "f" and (glow == glow).any() else None,
         "glow", window=Window(seconds=0.5)),
    _own("tint", lambda self, color, x1: color + ("!" if x1 > 300 else ""), "color", "x1"),
    _own("mix", lambda self, color, label, mood, peak, frame: f"{color}{label}{mood}{len(frame)}{peak > 30}",
         "color", "label", "mood", "peak", "frame", once=True),
    _own("far", lambda self, center: float(np.hypot(*center)) > 300, "center"),
    _own("gone", lambda self, crossed_to: sum(side is not None for side in crossed_to), "crossed_to",
         window=Window(seconds=2.0), partial=True),
)  # fmt: skip

TYPES = (
    tree.ObjectType("Thing", None, ("Object",), OWN),
    tree.ObjectType("Person", ("person",), ("Object",), OWN),
    tree.ObjectType("Vehicle", ("car", "bus"), ("Object",), OWN),
    tree.ObjectType("Plain", ("person", "car"), ("Object",), ()),
)

NUMBERS = (
    "score", "x1", "x2", "y1", "y2", "width", "height", "area", "speed", "heading", "age", "time", "first", "last",
    "frame", "id",
)  # fmt: skip
OWN_NUMBERS = (
    "ratio", "jerk", "trail", "calm", "streak", "count", "peak", "size", "code", "crops", "glow", "blend", "pairs",
    "hot", "warm", "gone",
)  # fmt: skip
THRESHOLDS = {
    "score": (0.5, 0.7), "area": (500.0, 2000.0), "speed": (0, 20.0, 60.0), "heading": (44.9, 180.5, 301.0),
    "age": (0.2, 0.5, 1.0), "time": (0.48, 1.0, 2.0), "first": (0, 0.4), "last": (1.0, 2.0), "id": (2, 4),
    "frame": (10, 30), "ratio": (0.4, 1.0), "jerk": (10.0,), "trail": (300.0,), "calm": (8, 12), "streak": (1, 3),
    "count": (2, 4), "peak": (30.0, 100.0), "size": (1.0, 2.0), "code": (1,), "crops": (305,), "glow": (12.0, 33.0),
    "blend": (200.0,), "pairs": (0, 50), "hot": (40.0,), "warm": (21.0,), "gone": (0, 1),
}  # fmt: skip


# ------------------------------------------------------------------------------------------------------------- tracks


def draw_tracks(rng: random.Random, ids: int, frames: int) -> Tracks:
    """Draw tracks with gaps, interpolated rows, odd boxes, and even or variable frame times."""
    every = rng.choice((1, 1, 1, 2, 5))
    step = rng.choice((0.04, 0.1, 1001 / 30000, 0.25, None))
    times = [0.0]
    for _ in range(frames - 1):
        times.append(times[-1] + (step * every if step else rng.choice((0.02, 0.04, 0.1, 0.1, 0.5, 0.6, 1.3))))
    if step:
        times = [i * every * step for i in range(frames)]
    begin = rng.choice((0, 0, 7))
    position = Frames(
        np.array([(begin + i) * every for i in range(frames)], np.int64),
        np.array([time + begin * (step or 0.04) * every for time in times], float),
    )
    rows: list[tuple[Any, ...]] = []
    number = 0
    for _ in range(ids):
        number += rng.choice((1, 1, 2, 5))
        label = rng.randrange(len(LABELS))
        start = rng.choice((0, rng.randrange(frames)))
        length = rng.choice((1, 5, frames, frames, frames))
        x, y = rng.randrange(0, 1100) / 2, rng.randrange(100, 900) / 2
        width, height = rng.choice((10, 20, 31, 60)), rng.choice((2, 40, 60, 100, 150))
        if rng.random() < 0.03:
            width = height = 0
        motion = rng.choice(("walk", "walk", "rest", "circle", "pace"))
        angle, pace = rng.uniform(0, 6), rng.choice((0.5, 4, 15, 40))
        drop = rng.choice((0.0, 0.0, 0.1, 0.5))
        mine = []
        for i in range(start, min(frames, start + length)):
            if motion == "walk":
                x, y = x + rng.randint(-8, 12) / 2, y + rng.randint(-9, 9) / 2
            elif motion == "circle":
                angle += rng.choice((0.1, 0.3))
                x, y = x + round(pace * np.cos(angle)), y + round(pace * np.sin(angle))
            elif motion == "pace":
                if rng.random() < 0.08:
                    pace = -pace
                x += pace
            if rng.random() < drop:
                continue
            mine.append((i, x, y))
        for at, (i, a, b) in enumerate(mine):
            filled = 0 < at < len(mine) - 1 and rng.random() < drop
            score = float("nan") if filled else rng.choice((0.3, 0.5, 0.55, 0.9))
            rows.append((number, i, label, score, (a - width / 2, b - height, a + width / 2, b), filled))
    rows.sort(key=lambda row: row[:2])
    at = np.array([row[1] for row in rows], np.int64)
    return Tracks(
        position, WIDTH, HEIGHT, LABELS, np.array([row[0] for row in rows], np.int64), position.frame[at],
        position.time[at], np.array([row[2] for row in rows], np.int64), np.array([row[3] for row in rows], float),
        np.array([row[4] for row in rows], float).reshape(-1, 4), np.array([row[5] for row in rows], bool),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ queries


class QueryDraw:
    """Draws queries of one variable."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.kind = rng.choice((TYPES[0], TYPES[0], TYPES[1], TYPES[2], TYPES[3]))
        self.scale = rng.choice((None, None, None, tree.ScaleSpec("uniform", 3.5, ((0, 0), (30, 40)))))

    @property
    def var(self) -> str:
        """The variable that the next part is about."""
        return "x"

    def property(self, name: str) -> tree.Property:
        return tree.Property(var=self.var, name=name, dimension=SECONDS if name in TIMES else None)

    def number_name(self) -> str:
        own = self.kind.properties and self.rng.random() < 0.4
        return self.rng.choice(OWN_NUMBERS if own else NUMBERS)

    def number(self, depth: int = 1) -> tree.Node:
        rng = self.rng
        draw = rng.random()
        if depth == 0 or draw < 0.7:
            return self.property(self.number_name())
        if draw < 0.85:
            left, right = self.number(depth - 1), rng.choice((self.number(depth - 1), tree.Constant(value=2)))
            return tree.Arithmetic(op=rng.choice("+-*/"), left=left, right=right)
        if draw < 0.9:
            return tree.Negate(operand=self.number(depth - 1))
        if draw < 0.95:
            name = rng.choice(("abs", "min", "max"))
            count = 1 if name == "abs" else rng.choice((2, 3))
            return tree.Function(name=name, arguments=tuple(self.number(depth - 1) for _ in range(count)))
        then, otherwise = self.number(depth - 1), self.number(depth - 1)
        return tree.Choose(condition=self.condition(0), then=then, otherwise=otherwise)

    def compare(self) -> tree.Node:
        rng = self.rng
        op = rng.choice(("<", "<=", ">", ">=", "==", "!="))
        if rng.random() < 0.75:
            name = self.number_name()
            value = rng.choice(THRESHOLDS.get(name, (100, 200.5, 320)))
            constant = tree.Constant(value=value, dimension=SECONDS if name in TIMES else tree.NUMBER)
            sides: tuple[tree.Node, tree.Node] = (self.property(name), constant)
        else:
            sides = (self.number(), rng.choice((self.number(), tree.Constant(value=100))))
        left, right = sides if rng.random() < 0.8 else sides[::-1]
        return tree.Compare(op=op, left=left, right=right)

    def text(self) -> tree.Node:
        rng = self.rng
        names = ["label", "color", "kind", "crossed_to"] + (["zone", "mood", "tint"] if self.kind.properties else [])
        value: tree.Node = self.property(rng.choice(names))
        if rng.random() < 0.2:
            value = tree.RegionOf(var=self.var, regions=tuple(rng.sample(REGIONS, 2)))
        words = ("person", "car", "red", "blue", "red!", "left", "calm", "west", "yard", "half")
        if rng.random() < 0.4:
            return tree.Contains(item=value, collection=tree.Constant(value=tuple(rng.sample(words, 4))))
        return tree.Compare(op=rng.choice(("==", "!=")), left=value, right=tree.Constant(value=rng.choice(words)))

    def condition(self, depth: int) -> tree.Node:
        rng = self.rng
        draw = rng.random()
        if depth and draw < 0.45:
            node = rng.choice((tree.And, tree.And, tree.Or))
            return node(operands=tuple(self.condition(depth - 1) for _ in range(rng.choice((2, 2, 3)))))
        if depth and draw < 0.55:
            return tree.Not(operand=self.condition(depth - 1))
        pick = rng.randrange(9)
        if pick < 3:
            return self.compare()
        if pick == 3:
            return self.text()
        if pick == 4:
            names = ["still"] + (["fast", "lit", "far", "streak"] if self.kind.properties else [])
            return tree.Truth(value=self.property(rng.choice(names)))
        if pick == 5:
            return tree.Known(value=self.number())
        if pick == 6:
            by = rng.choice(("foot", "foot", "center", "box"))
            return tree.InRegion(name="inside", var=self.var, region=rng.choice(REGIONS), by=by)
        if pick == 7:
            return tree.InRegion(name=rng.choice(("enters", "leaves")), var=self.var, region=rng.choice(REGIONS))
        line = rng.choice(LINES)
        return tree.Crosses(var=self.var, shape=line, to=rng.choice((None, *line.sides)))

    def interval(self, depth: int) -> tree.Node:
        rng = self.rng
        draw = rng.random()
        if depth and draw < 0.3:
            node = rng.choice((tree.And, tree.Or))
            return node(operands=tuple(self.interval(depth - 1) for _ in range(rng.choice((2, 2, 3)))))
        if draw < 0.42:
            by, over = rng.choice((60.0, 30.0, 90.0)), rng.choice((3.0, 1.0))
            return tree.Turns(var=self.var, side=rng.choice(("left", "right")), by=by, over=over)
        inner = self.interval(depth - 1) if depth and rng.random() < 0.2 else self.condition(rng.choice((0, 1, 2)))
        duration, gap = rng.choice((0.0, 0.1, 0.5, 1.0, 2.0)), rng.choice((0.5, 0.5, 0.0, 0.1, 1.0))
        return tree.Lasts(operand=inner, duration=duration, gap=gap)

    def aggregate(self) -> tree.Aggregate:
        rng = self.rng
        name = rng.choice(("count", "count", "mean", "min", "max", "sum", "first", "last"))
        if name == "count" and rng.random() < 0.5:
            return tree.Aggregate(name="count")
        if rng.random() < 0.2:
            return tree.Aggregate(name=name, argument=tree.Property(var="", name="duration", dimension=SECONDS))
        if name in ("count", "first", "last", "min", "max") and rng.random() < 0.3:
            return tree.Aggregate(name=name, argument=self.property(rng.choice(("label", "color"))))
        return tree.Aggregate(name=name, argument=self.property(self.number_name()))

    def select(self) -> tuple[tree.Node, ...]:
        rng = self.rng
        items: list[tree.Node] = []
        for _ in range(rng.choice((0, 1, 2, 3))):
            draw = rng.random()
            if draw < 0.4:
                items.append(self.aggregate())
            elif draw < 0.5:
                name = rng.choice(("start", "end", "duration"))
                items.append(tree.Property(var="", name=name, dimension=SECONDS))
            else:
                extra = ("label", "color", "kind", "crossed_to", "still", "box", "center", "foot")
                own = ("zone", "mood", "fast", "lit", "tint", "mix") if self.kind.properties else ()
                items.append(self.property(rng.choice((self.number_name(), rng.choice(extra + own)))))
        return tuple(items)

    def group(self) -> tuple[tree.Node, ...]:
        rng = self.rng
        keys: list[tree.Node] = []
        if rng.random() < 0.6:
            keys.append(tree.Every(seconds=rng.choice((0.5, 1.0, 60.0))))
        if rng.random() < 0.4:
            keys.append(self.property(rng.choice(("label", "color", "id", "crossed_to", "y1"))))
        if rng.random() < 0.2:
            keys.append(tree.RegionOf(var=self.var, regions=tuple(rng.sample(REGIONS, 2))))
        return tuple(keys)

    def query(self) -> tree.CompiledQuery:
        rng = self.rng
        where = (
            self.condition(rng.choice((0, 1, 2, 3))) if rng.random() < 0.55 else self.interval(rng.choice((0, 1, 2)))
        )
        group = self.group() if rng.random() < 0.4 else ()
        return tree.CompiledQuery(
            "Drawn", (tree.Variable("x", self.kind),), where, self.select(), group, scale=self.scale
        )  # fmt: skip
