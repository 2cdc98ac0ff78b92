"""Who is where at each frame of the generated street: everything that is random about it is drawn here.

Six people and seven cars, one of each colour. Ada stays in the yard for half a minute; Bo passes by; Cy enters the
shop; Di comes out of it; Ed enters it too; Flo puts down a suitcase and leaves. Then nobody for a quarter of the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["COLOURS", "DOOR", "FPS", "HEIGHT", "ROAD", "SECONDS", "WIDTH", "YARD", "Actor", "Pose", "script"]

WIDTH, HEIGHT, FPS, SECONDS = 768, 432, 25, 60
COLOURS = ("white", "gray", "yellow", "red", "green", "blue", "black")

#: Regions and the line of the scene, in px.
YARD = ((516, 116), (740, 116), (756, 160), (508, 160))
ROAD = ((0, 278), (768, 278), (768, 426), (0, 426))
DOOR = ((200, 214), (300, 214))
DOOR_SIDES = ("shop", "street")

_PAVEMENT, _THRESHOLD, _DOOR_X = 250.0, 190.0, 250.0
_LANES = ((414.0, +1, 124), (340.0, -1, 112))  # foot, direction, length of a car
_PERSON, _PERSON_FAR = 92, 80  # heights in px on the pavement and in the yard
_SUITCASE = (27, 27)
#: px between a suitcase and the feet of who puts it down behind.
BEHIND = 22.0


@dataclass(frozen=True)
class Pose:
    """How a figure is drawn at one frame."""

    x: float  # middle of the foot line, px
    y: float  # foot line, px
    phase: float = 0.0  # of the step or the wheels, in turns
    stride: float = 0.0  # 0 standing .. 1 walking
    lean: float = 0.0  # 0 upright .. 1 bent down to the ground
    view: str = "right"  # right, left, front or back
    alpha: float = 1.0  # in a doorway: fades
    carries: bool = False


@dataclass
class Actor:
    """A figure with its way: a pose for each frame in which it is on stage."""

    id: int
    label: str
    color: str
    size: tuple[int, int]  # width, height of the figure at rest, px
    style: int = 0
    poses: dict[int, Pose] = field(default_factory=dict)


class _Walk:
    """A way built from stretches: walk to a point, stand, bend; each writes poses from the last frame on."""

    def __init__(self, actor: Actor, start: float, x: float, y: float, view: str, carries: bool = False) -> None:
        self.actor, self.frame = actor, round(start * FPS)
        self.x, self.y, self.view, self.carries = x, y, view, carries
        self.phase = 0.0

    def _put(self, stride: float, lean: float = 0.0, alpha: float = 1.0) -> None:
        self.actor.poses[self.frame] = Pose(
            self.x, self.y, self.phase % 1.0, stride, lean, self.view, alpha, self.carries
        )
        self.frame += 1

    def to(self, x: float, y: float, speed: float, fade: float = 0.0) -> _Walk:
        """Walk at `speed` px/s; `fade` > 0 appears over so many seconds, < 0 disappears at the end."""
        distance = float(np.hypot(x - self.x, y - self.y))
        count = max(1, round(distance / speed * FPS))
        across = abs(x - self.x) >= abs(y - self.y)
        self.view = ("right" if x > self.x else "left") if across else ("front" if y > self.y else "back")
        x0, y0 = self.x, self.y
        for step in range(1, count + 1):
            self.x, self.y = x0 + (x - x0) * step / count, y0 + (y - y0) * step / count
            self.phase += distance / count / (0.62 * self.actor.size[1])
            edge = min(step, count + 1 - step)
            shown = step if fade > 0 else count - step
            self._put(min(1.0, edge / 5), alpha=min(1.0, shown / (abs(fade) * FPS)) if fade else 1.0)
        return self

    def stand(self, seconds: float) -> _Walk:
        """Stand, shifting one's weight a little."""
        x0, count = self.x, round(seconds * FPS)
        for step in range(count):
            self.x = x0 + 1.2 * np.sin(2 * np.pi * step / FPS / 2.6) * min(1.0, step / 8, (count - step) / 8)
            self._put(0.0)
        self.x = x0
        return self

    def bend(self, seconds: float, down: bool) -> _Walk:
        """Bend down to the ground, or come up again."""
        count = round(seconds * FPS)
        for step in range(1, count + 1):
            share = step / count if down else 1 - step / count
            self._put(0.0, lean=float(np.sin(share * np.pi / 2)))
        return self


def script(seed: int, seconds: float = SECONDS) -> list[Actor]:
    """Return the actors of a street, ids counting from 1 in order of appearance.

    Parameters
    ----------
    seed : int
        What varies: colours, clothes, speeds, moments, lanes.
    seconds : float
        Length; a shorter street ends earlier, and is the same until then.
    """
    rng = np.random.default_rng([seed, 20231])
    actors = [*_people(rng), *_cars(rng)]
    last = round(seconds * FPS)
    for actor in actors:
        actor.poses = {frame: pose for frame, pose in actor.poses.items() if 0 <= frame < last}
    actors = sorted((actor for actor in actors if actor.poses), key=lambda actor: (min(actor.poses), actor.label))
    for number, actor in enumerate(actors, start=1):
        actor.id = number
    return actors


def _people(rng: np.random.Generator) -> Iterator[Actor]:
    # White and gray shirts would drown in the pavement's light stone.
    shirts = rng.permutation(("yellow", "red", "green", "blue", "black", str(rng.choice(("red", "green", "blue")))))
    styles = rng.permutation(6)
    jitter = rng.uniform(-0.35, 0.35, 8)
    pace = rng.uniform(72.0, 80.0, 8)

    def person(number: int, height: int = _PERSON) -> Actor:
        return Actor(0, "person", str(shirts[number]), (round(0.36 * height), height), int(styles[number]))

    ada = person(0, _PERSON_FAR)
    walk = _Walk(ada, 2.6 + jitter[0], 800, 142, "left").to(690, 142, 50)
    stay, side = 37.0 + jitter[0], False
    while walk.frame < (stay - 5.6) * FPS:
        x = float(rng.uniform(548, 606)) if not side else float(rng.uniform(646, 706))
        walk.to(x, float(rng.uniform(132, 150)), float(rng.uniform(30, 40))).stand(float(rng.uniform(0.8, 2.2)))
        side = not side
    walk.stand(stay - walk.frame / FPS).to(800, 142, 52)
    yield ada

    bo = person(1)
    _Walk(bo, 0.4 + abs(jitter[1]), -24, _PAVEMENT, "right").to(792, _PAVEMENT - 2, pace[1])
    yield bo

    di = person(3)
    walk = _Walk(di, 6.2 + jitter[3], _DOOR_X, _THRESHOLD, "front")
    walk.to(_DOOR_X, _PAVEMENT, 34, fade=0.4).to(-24, _PAVEMENT, pace[3])
    yield di

    cy = person(2)
    walk = _Walk(cy, 14.2 + jitter[2], -24, _PAVEMENT, "right").to(_DOOR_X, _PAVEMENT, pace[2])
    walk.to(_DOOR_X, _THRESHOLD, 34, fade=-0.4)
    yield cy

    ed = person(4)
    walk = _Walk(ed, 20.0 + jitter[4], 792, _PAVEMENT, "left").to(_DOOR_X, _PAVEMENT, pace[4])
    walk.to(_DOOR_X, _THRESHOLD, 34, fade=-0.4)
    yield ed

    flo = person(5)
    spot = float(rng.uniform(400, 430))
    walk = _Walk(flo, 32.0 + jitter[5], 792, _PAVEMENT, "left", carries=True)
    walk.to(spot - BEHIND, _PAVEMENT, 82).bend(0.4, down=True)
    walk.carries = False
    # The suitcase is an object of its own from the moment it is let go.
    case = Actor(0, "suitcase", "blue", _SUITCASE)
    put_down = walk.frame
    for frame in range(put_down, SECONDS * FPS):
        case.poses[frame] = Pose(spot, _PAVEMENT)
    # Up, a step away, a look around within 60 px of it, and off.
    walk.bend(0.24, down=False).to(spot - 50, _PAVEMENT, 110).stand(1.5).to(-24, _PAVEMENT, 92)
    yield flo
    yield case


def _cars(rng: np.random.Generator) -> Iterator[Actor]:
    order = rng.permutation(COLOURS)
    starts = 1.0 + 6.0 * np.arange(7) + rng.uniform(-0.5, 0.5, 7)
    lanes = rng.permutation([0, 1, 0, 1, 0, 1, int(rng.integers(2))])
    for color, start, lane in zip(order, starts, lanes, strict=True):
        foot, way, length = _LANES[lane]
        car = Actor(0, "car", str(color), (length, round(0.385 * length)), int(rng.integers(3)))
        speed = float(rng.uniform(8.2, 9.4)) * (1.0 if lane == 0 else 0.95)  # px a frame
        x = -length / 2 if way > 0 else WIDTH + length / 2
        frame, phase = round(float(start) * FPS), 0.0
        while -length / 2 <= x <= WIDTH + length / 2:
            x, frame = x + way * speed, frame + 1
            phase += speed / (np.pi * 0.21 * length)
            car.poses[frame] = Pose(x, foot, phase % 1.0, view="right" if way > 0 else "left")
        yield car


def visible(box: NDArray[np.int64], size: tuple[int, int]) -> bool:
    """Return whether enough of a figure is in the picture to count as there: a quarter of its box."""
    x1, y1, x2, y2 = box
    width, height = min(x2, WIDTH) - max(x1, 0), min(y2, HEIGHT) - max(y1, 0)
    return bool(width > 0 and height > 0 and width * height >= 0.25 * size[0] * size[1])
