"""The tracks that may still grow, and how one frame's boxes are matched to them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.video.tracks import Floats, Ints

__all__ = ["ID", "SERIAL", "Active", "geometry_of"]

CONFIRM_AT = 3  # detections until a track counts
UNCONFIRMED_UNSEEN = 2  # processed frames without a box until an unconfirmed track ends
CONFIRMED_UNSEEN = 2.0  # seconds without a box until a confirmed track ends
GROW = 0.3  # of its size, on each side, before boxes are compared in steps 1 and 3
MATCH_GROWN = 0.2  # least IoU of grown boxes
MATCH_LOW = 0.4  # least plain IoU with a box of low score (step 2)
KEEP_VELOCITY = 0.7  # share of the old velocity; the first one seen counts half
LEAST_STEP = 1e-3  # seconds; two frames of one time must not give an endless velocity

NO_INDEX: Ints = np.empty(0, np.int64)
_PLAIN, _GROWN, _CENTER = slice(0, 4), slice(4, 8), slice(8, 12)
_PLAIN_AREA, _GROWN_AREA = 12, 13
STEP, HITS, SERIAL, ID, GROUP = range(5)


def geometry_of(box: Floats) -> Floats:
    """Return for boxes (n, 4) all that matching needs, (n, 14).

    Plain box, grown box and centre with the second half negated (x1, y1, -x2, -y2): one maximum then intersects two
    boxes, and one sum moves one. Last the areas of both.
    """
    size = box[:, 2:] - box[:, :2]
    center = (box[:, 2:] + box[:, :2]) / 2
    margin = size * GROW
    grown = (1 + 2 * GROW) * size
    return np.column_stack(
        (
            box[:, :2], -box[:, 2:], box[:, :2] - margin, -box[:, 2:] - margin, center, -center,
            size[:, 0] * size[:, 1], grown[:, 0] * grown[:, 1],
        )
    )  # fmt: skip


def _overlap(left: Floats, right: Floats, left_area: Floats, right_area: Floats) -> Floats:
    """Return the IoU (n, m) of boxes whose second half is negated."""
    edges = np.maximum(left[:, None, :], right)
    size = edges[..., :2] + edges[..., 2:]
    np.minimum(size, 0.0, out=size)
    shared = size[..., 0] * size[..., 1]
    return shared / (left_area[:, None] + right_area - shared)


def _assign(overlap: Floats, possible: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Return the pairs (rows, columns) of the assignment with the largest sum of overlaps, among the possible ones."""
    rows, columns = possible.nonzero()
    count = len(rows)
    if count < 2 or (len(set(rows.tolist())) == count and len(set(columns.tolist())) == count):
        return rows, columns
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(np.where(possible, overlap, 0.0), maximize=True)
    good = possible[rows, columns]
    return rows[good], columns[good]


class Active:
    """The tracks that may still grow, as columns: confirmed ones first, by id, then the others, by serial."""

    columns = ("data", "velocity", "seen", "whole", "first")

    def __init__(self) -> None:
        self.data: Floats = np.empty((0, 14))  # geometry of the last box
        self.velocity: Floats = np.empty((0, 4))  # of the centre and its negative, px/s
        self.seen: Floats = np.empty(0)  # time of the last box
        self.whole: Ints = np.empty((0, 5), np.int64)  # processed frame of the last box, boxes, serial, id or 0, group
        self.first: Floats = np.empty((0, 4))  # frame, x1, y1, label of the first box: they order the ids
        self.confirmed = 0  # how many are

    def __len__(self) -> int:
        return len(self.seen)

    def take(self, which: NDArray) -> None:
        for name in self.columns:
            setattr(self, name, getattr(self, name)[which])
        self.confirmed = int(np.count_nonzero(self.whole[:, ID]))

    def match(
        self, step: int, time: float, geometry: Floats, group: Ints, high: NDArray[np.bool_]
    ) -> tuple[Ints, Ints]:
        """Return pairs of positions: of tracks and of one frame's boxes. All groups at once; none meets another."""
        known = self.confirmed
        shift = self.velocity * (time - self.seen)[:, None]
        overlap = _overlap(
            self.data[:, _GROWN] + shift, geometry[:, _GROWN], self.data[:, _GROWN_AREA], geometry[:, _GROWN_AREA]
        )
        possible = overlap >= MATCH_GROWN
        possible &= self.whole[:, GROUP, None] == group
        possible &= high
        tracks, boxes = _assign(overlap[:known], possible[:known])
        if len(boxes) == len(high):
            return tracks, boxes
        if len(tracks) < known and not high.all():
            late = self.whole[:known, STEP] == step - 1
            late[tracks] = False
            more = self._match_low(late.nonzero()[0], (~high).nonzero()[0], shift, geometry, group)
            tracks, boxes = np.concatenate((tracks, more[0])), np.concatenate((boxes, more[1]))
        if len(self) > known:
            possible = possible[known:]
            possible[:, boxes] = False
            young, fresh = _assign(overlap[known:], possible)
            tracks, boxes = np.concatenate((tracks, young + known)), np.concatenate((boxes, fresh))
        return tracks, boxes

    def _match_low(self, late: Ints, weak: Ints, shift: Floats, geometry: Floats, group: Ints) -> tuple[Ints, Ints]:
        if not len(late) or not len(weak):
            return NO_INDEX, NO_INDEX
        mine, theirs = self.data[late], geometry[weak]
        overlap = _overlap(
            mine[:, _PLAIN] + shift[late], theirs[:, _PLAIN], mine[:, _PLAIN_AREA], theirs[:, _PLAIN_AREA]
        )
        possible = (overlap >= MATCH_LOW) & (self.whole[late, GROUP, None] == group[weak])
        rows, columns = _assign(overlap, possible)
        return late[rows], weak[columns]

    def update(self, step: int, time: float, tracks: Ints, geometry: Floats) -> None:
        """Give tracks their new boxes."""
        seen = geometry[:, _CENTER] - self.data[tracks, _CENTER]
        seen /= np.maximum(time - self.seen[tracks], LEAST_STEP)[:, None]
        hits = self.whole[tracks, HITS]
        self.velocity[tracks] = np.where(
            (hits == 1)[:, None], 0.5 * seen, KEEP_VELOCITY * self.velocity[tracks] + (1 - KEEP_VELOCITY) * seen
        )
        self.data[tracks] = geometry
        self.seen[tracks] = time
        self.whole[tracks, STEP] = step
        self.whole[tracks, HITS] = hits + 1

    def start(self, step: int, time: float, geometry: Floats, serials: Ints, group: Ints, first: Floats) -> None:
        """Add a track for each of these boxes."""
        count = len(serials)
        whole = np.column_stack(
            (np.full(count, step), np.ones(count, np.int64), serials, np.zeros(count, np.int64), group)
        )
        self.data = np.concatenate((self.data, geometry))
        self.velocity = np.concatenate((self.velocity, np.zeros((count, 4))))
        self.seen = np.concatenate((self.seen, np.full(count, time)))
        self.whole = np.concatenate((self.whole, whole))
        self.first = np.concatenate((self.first, first))

    def end(self, step: int, time: float) -> None:
        """Drop the tracks that have not been seen for too long."""
        if int(self.whole[:, STEP].min()) == step:
            return
        gone = step - self.whole[:, STEP] >= UNCONFIRMED_UNSEEN
        gone[: self.confirmed] = time - self.seen[: self.confirmed] > CONFIRMED_UNSEEN + 1e-6
        if gone.any():
            self.take(~gone)

    def confirm(self, next_id: int) -> dict[int, int]:
        """Give ids from `next_id` on to the tracks that have their third box now; return id by serial."""
        young = self.whole[self.confirmed :]
        if not len(young) or int(young[:, HITS].max()) < CONFIRM_AT:
            return {}
        ready = np.flatnonzero(young[:, HITS] >= CONFIRM_AT) + self.confirmed
        ready = ready[np.lexsort((self.whole[ready, SERIAL], *self.first[ready].T[::-1]))]
        self.whole[ready, ID] = np.arange(next_id, next_id + len(ready))
        given = dict(zip(self.whole[ready, SERIAL].tolist(), self.whole[ready, ID].tolist(), strict=True))
        order = np.lexsort((self.whole[:, SERIAL], self.whole[:, ID], self.whole[:, ID] == 0))
        self.take(order)
        return given
