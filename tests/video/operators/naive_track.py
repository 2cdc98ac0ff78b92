"""The tracker by its definition, one group at a time, in plain Python; slow, and sharing nothing with the package."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

VEHICLES = ("car", "truck", "bus", "motorcycle")
BAGS = ("backpack", "handbag", "suitcase")
Box = tuple[float, float, float, float]


@dataclass
class Track:
    """A track: its rows are (frame, time, label, score, box)."""

    rows: list[tuple[int, float, int, float, Box]]
    seen_at: int
    serial: int
    vx: float = 0.0
    vy: float = 0.0
    id: int = 0

    @property
    def box(self) -> Box:
        return self.rows[-1][4]

    def at(self, time: float) -> Box:
        gone = time - self.rows[-1][1]
        x1, y1, x2, y2 = self.box
        return (x1 + self.vx * gone, y1 + self.vy * gone, x2 + self.vx * gone, y2 + self.vy * gone)


def family(label: str) -> str:
    """Return the name of the group that a label is tracked in."""
    return "vehicles" if label in VEHICLES else "bags" if label in BAGS else label


def iou(a: Box, b: Box) -> float:
    """Return the intersection over union."""
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return wide * high / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - wide * high)


def grown(box: Box) -> Box:
    """Return a box grown by 0.3 of its size on each side."""
    w, h = 0.3 * (box[2] - box[0]), 0.3 * (box[3] - box[1])
    return (box[0] - w, box[1] - h, box[2] + w, box[3] + h)


def best_pairs(left: list[Box], right: list[Box], least: float) -> list[tuple[int, int]]:
    """Return the assignment with the largest sum of overlaps of at least `least`."""
    if not left or not right:
        return []
    overlaps = np.array([[iou(a, b) for b in right] for a in left])
    overlaps[overlaps < least] = 0
    rows, columns = linear_sum_assignment(overlaps, maximize=True)
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if overlaps[r, c] > 0]


@dataclass
class NaiveTracker:
    """Tracks of one video."""

    labels: tuple[str, ...]
    low: float
    high: float
    new: float
    active: dict[str, list[Track]] = field(default_factory=dict)
    done: list[Track] = field(default_factory=list)
    count: int = 0
    serial: int = 0
    next_id: int = 1

    def step(self, frame: int, time: float, rows: list[tuple[float, ...]]) -> None:
        """Take in the boxes (x1, y1, x2, y2, score, label) of the next frame."""
        groups: dict[str, list[tuple[float, ...]]] = {}
        for row in rows:
            if row[4] >= self.low:
                groups.setdefault(family(self.labels[int(row[5])]), []).append(row)
        for name in {*groups, *self.active}:
            self._group(name, frame, time, groups.get(name, []))
        ready = [t for tracks in self.active.values() for t in tracks if not t.id and len(t.rows) >= 3]
        for track in sorted(ready, key=lambda t: (t.rows[0][0], t.rows[0][4][0], t.rows[0][4][1], t.rows[0][2])):
            track.id = self.next_id
            self.next_id += 1
        self.count += 1

    def _group(self, name: str, frame: int, time: float, rows: list[tuple[float, ...]]) -> None:
        merged: list[tuple[float, ...]] = []
        for row in sorted(rows, key=lambda r: (-r[4], r[0], r[1], r[5])):
            if all(iou(row[:4], other[:4]) <= 0.7 for other in merged):  # type: ignore[arg-type]
                merged.append(row)
        merged.sort(key=lambda r: (r[0], r[1]))
        tracks = self.active.setdefault(name, [])
        strong = [row for row in merged if row[4] >= self.high]
        weak = [row for row in merged if row[4] < self.high]
        used: set[int] = set()
        moved: list[tuple[Track, tuple[float, ...]]] = []

        def match(some: list[Track], boxes: list[tuple[float, ...]], least: float, grow: bool) -> None:
            shape = grown if grow else (lambda box: box)
            free = [row for row in boxes if id(row) not in used]
            pairs = best_pairs([shape(t.at(time)) for t in some], [shape(r[:4]) for r in free], least)  # type: ignore[arg-type]
            for left, right in pairs:
                used.add(id(free[right]))
                moved.append((some[left], free[right]))

        match([t for t in tracks if t.id], strong, 0.2, True)
        taken = {id(t) for t, _ in moved}
        match([t for t in tracks if t.id and id(t) not in taken and t.seen_at == self.count - 1], weak, 0.4, False)
        match([t for t in tracks if not t.id], strong, 0.2, True)
        for track, row in moved:
            self._move(track, frame, time, row)
        for row in merged:
            if id(row) not in used and row[4] >= self.new:
                self.serial += 1
                tracks.append(Track([(frame, time, int(row[5]), row[4], row[:4])], self.count, self.serial))  # type: ignore[list-item,arg-type]
        for track in list(tracks):
            unseen = self.count - track.seen_at
            if (track.id and time - track.rows[-1][1] > 2 + 1e-6) or (not track.id and unseen >= 2):
                tracks.remove(track)
                self.done.append(track)

    def _move(self, track: Track, frame: int, time: float, row: tuple[float, ...]) -> None:
        x1, y1, x2, y2 = track.box
        past = max(time - track.rows[-1][1], 1e-3)
        vx = ((row[0] + row[2]) - (x1 + x2)) / 2 / past
        vy = ((row[1] + row[3]) - (y1 + y2)) / 2 / past
        first = len(track.rows) == 1
        track.vx = 0.5 * vx if first else 0.7 * track.vx + 0.3 * vx
        track.vy = 0.5 * vy if first else 0.7 * track.vy + 0.3 * vy
        track.rows.append((frame, time, int(row[5]), row[4], row[:4]))  # type: ignore[arg-type]
        track.seen_at = self.count

    def confirmed(self) -> dict[int, list[tuple[int, float, int, float, Box]]]:
        """Return the rows of each id."""
        every = [*self.done, *(track for tracks in self.active.values() for track in tracks)]
        return {track.id: track.rows for track in sorted(every, key=lambda t: t.id) if track.id}
