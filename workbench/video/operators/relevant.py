"""What of a single frame a query asks about, and whether two looks at a frame show the same of it.

A frame's boxes are all that the canary of `accuracy` has: no tracks, and so no history. Conditions that a frame alone
decides (regions, scores, sizes) leave out the boxes that cannot matter, but only where the query asks for nothing that
depends on other frames of the same object: its speed in the region follows from boxes before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from workbench.video.language import tree
from workbench.video.language.tree import CompiledQuery, Node, ObjectType, Variable
from workbench.video.models.base import DetectorSpec
from workbench.video.models.boxes import iou_matrix
from workbench.video.models.labels import BAGS, SMALL, VEHICLES, track_groups
from workbench.video.operators.bind import bind, rows_of_type
from workbench.video.operators.evaluator import Evaluator
from workbench.video.operators.properties import Properties
from workbench.video.shares import Measured
from workbench.video.tracks import Bools, Floats, Frames, Ints, Tracks

__all__ = ["Boxes", "Compared", "Relevance", "compare", "hull", "predicted", "relevance_of"]

#: overlap from which two boxes are of one object
SAME = 0.5
#: the tracker's own: boxes of two frames are of one object if, grown by this share, they overlap by so much
_GROW, _NEAR = 0.3, 0.2
#: properties that a single box tells
_OF_A_BOX = frozenset(("label", "score", "x1", "y1", "x2", "y2", "box", "center", "foot", "width", "height", "area"))
#: properties that other frames of the object tell
_OF_A_TRACK = frozenset(("speed", "heading", "still", "age", "first", "last", "crossed_to"))
_TESTS = (
    tree.And, tree.Or, tree.Not, tree.Compare, tree.Contains, tree.Truth, tree.Known, tree.Constant, tree.Property,
    tree.Arithmetic, tree.Negate, tree.Function, tree.Choose, tree.InRegion, tree.RegionOf,
)  # fmt: skip


@dataclass(frozen=True)
class Boxes:
    """Boxes of some frames, sorted by frame."""

    frame: Ints
    label: np.ndarray[tuple[int], np.dtype[np.str_]]
    score: Floats
    box: Floats = field(repr=False)

    def __len__(self) -> int:
        return len(self.frame)

    def take(self, mask: Bools | Ints) -> Boxes:
        """Return the boxes of a mask, or of positions."""
        return Boxes(self.frame[mask], self.label[mask], self.score[mask], self.box[mask])


@dataclass(frozen=True)
class Relevance:
    """Which boxes of a frame can matter to a query.

    Attributes
    ----------
    query : CompiledQuery
    tests : Mapping
        For each variable, those inside quantifiers included, the conditions that its box alone must not fail.
    spec : DetectorSpec
        Whose tracker's scores say which boxes count.
    width, height : int
        Of the picture, px.
    history : str or None
        What the query asks of an object that follows from several of its frames (its speed, say).
    """

    query: CompiledQuery
    tests: Mapping[str, tuple[Node, ...]]
    spec: DetectorSpec
    width: int
    height: int
    history: str | None = None

    def types(self) -> dict[str, ObjectType]:
        """Return the types that matter, with all labels that a track of theirs may have in one frame.

        A track's label is that of most of its frames: in a single one, a car may be called a truck.
        """
        types = dict(self.query.types())
        if self.query.scale is not None and self.query.scale.mode == "person":
            types[""] = ObjectType("Person", ("person",))
        return {name: replace(kind, labels=self._labels(kind)) for name, kind in types.items()}

    def of(self, boxes: Boxes) -> dict[str, Bools]:
        """Return for each variable which boxes can be its object."""
        tracks = self._tracks(boxes)
        found = {}
        for name, kind in self.types().items():
            mask = rows_of_type(tracks, kind)
            if self.tests.get(name) and len(boxes):
                mask = mask & self._passes(Variable(name, kind), tracks, self.tests[name])
            found[name] = mask
        return found

    def sure(self, boxes: Boxes) -> Bools:
        """Return which boxes have a score with which a track goes on, whatever was seen before."""
        tracking = self.spec.tracking
        if isinstance(tracking, str):  # a tracker of one's own: it gets what `detect` returns
            return boxes.score >= self.spec.threshold
        least = np.full(len(boxes), tracking[1])
        if self.spec.small is not None:
            least[np.isin(boxes.label, list(SMALL))] = self.spec.small[1]
        return boxes.score >= least

    def positive(self, boxes: Boxes) -> Ints:
        """Return the frames that show something that the query asks about, ascending."""
        sure = self.sure(boxes)
        shown = np.zeros(len(boxes), bool)
        for mask in self.of(boxes).values():
            shown |= mask & sure
        return np.unique(boxes.frame[shown])

    # ------------------------------------------------------------------------------------------------------ private

    def _labels(self, kind: ObjectType) -> tuple[str, ...] | None:
        if kind.labels is None or self.spec.together:
            return None
        known = tuple(dict.fromkeys((*self.spec.labels, *VEHICLES, *BAGS, *kind.labels)))
        groups = [{known[index] for index in group} for group in track_groups(known)]
        return tuple(sorted(set().union(*(group for group in groups if group & set(kind.labels)))))

    def _tracks(self, boxes: Boxes) -> Tracks:
        """Return each box as a track of its own."""
        names, label = np.unique(boxes.label, return_inverse=True)
        frame = np.unique(boxes.frame)
        count = len(boxes)
        return Tracks(
            Frames(frame, frame.astype(np.float64)), self.width, self.height, tuple(map(str, names)),
            np.arange(1, count + 1), boxes.frame, boxes.frame.astype(np.float64), label.astype(np.int64), boxes.score,
            boxes.box, np.zeros(count, bool),
        )  # fmt: skip

    def _passes(self, variable: Variable, tracks: Tracks, tests: Sequence[Node]) -> Bools:
        space = bind(tracks, (variable,))
        evaluator = Evaluator(space, Properties(tracks, self.query, None, None, ""), {variable.name: variable.type})
        passed = np.zeros(len(tracks), bool)
        rows = space.track_rows(variable.name)
        open_ = np.ones(len(space), bool)
        for test in tests:
            column = evaluator.condition(test, open_, exact=True)
            open_ &= column.true | ~column.valid  # what is missing is not false
        passed[rows[open_]] = True
        return passed


def relevance_of(query: CompiledQuery, tests: Sequence[Node], spec: DetectorSpec, width: int, height: int) -> Relevance:
    """Return what of single frames a query asks about.

    Parameters
    ----------
    query : CompiledQuery
    tests : sequence of Node
        The conditions that all rows of an event go through (`QueryPlan.filters`).
    spec : DetectorSpec
    width, height : int
        Of the picture, px.
    """
    kept: dict[str, tuple[Node, ...]] = {}
    history = None
    for name, kind in query.types().items():
        if (asked := _history(query, Variable(name, kind))) is not None:
            history = history or asked
            kept[name] = ()
    for variable in query.variables:
        if variable.name in kept:
            continue
        own = [test for test in tests if test.variables() == {variable.name} and _of_a_box(test)]
        kept[variable.name] = tuple(own)
    return Relevance(query, kept, spec, width, height, history)


def hull(relevance: Relevance) -> list[tuple[tuple[float, float], ...]] | None:
    """Return the regions (corners in px) outside of which nothing matters; None: everything does."""
    regions = []
    for name in relevance.types():
        inside = [test for test in relevance.tests.get(name, ()) if isinstance(test, tree.InRegion)]
        if not inside:
            return None
        regions.append(inside[0].region.in_pixels(relevance.width, relevance.height))
    return regions or None


@dataclass(frozen=True)
class Compared:
    """What two looks at some frames have in common, one number for each frame.

    Attributes
    ----------
    objects, found : int64 (n,)
        Objects of the first look, and those of them that the second has too.
    claims, right : int64 (n,)
        Objects of the second look, and those of them that the first has too.
    """

    objects: Ints
    found: Ints
    claims: Ints
    right: Ints

    def recall(self, looked: Bools) -> Measured:
        """Return the share of objects found if only the frames of a mask are looked at."""
        return Measured(int(np.count_nonzero(self.objects)), int(self.found[looked].sum()), int(self.objects.sum()))

    def precision(self, looked: Bools) -> Measured:
        """Return the share of claims that are right if only the frames of a mask are looked at."""
        claims = self.claims[looked]
        return Measured(int(np.count_nonzero(claims)), int(self.right[looked].sum()), int(claims.sum()))


def compare(relevance: Relevance, truth: Boxes, other: Boxes, frames: Ints) -> Compared:
    """Return what another look at some frames has in common with the true one.

    An object is a box of a score with which a track goes on; it is found where the other look has such a box on it, for
    the same variable.

    Parameters
    ----------
    relevance : Relevance
    truth, other : Boxes
    frames : int64 (n,)
        Those that count, ascending.
    """
    left, right = truth.take(np.isin(truth.frame, frames)), other.take(np.isin(other.frame, frames))
    mine, theirs = relevance.of(left), relevance.of(right)
    return Compared(
        *_found_in(relevance, left, right, mine, theirs, frames),
        *_found_in(relevance, right, left, theirs, mine, frames),
    )


def predicted(boxes: Boxes, frames: Ints, before: Ints, after: Ints, times: Floats) -> Boxes:
    """Return what frames show if only some are looked at: boxes between those of the two frames around each.

    Parameters
    ----------
    boxes : Boxes
        Of the frames that are looked at.
    frames, before, after : int64 (n,)
        Frames, and for each those around it; `before` may be the frame itself, or lie behind it where there is none.
    times : float64 (frames of the source,)
        Seconds.

    Returns
    -------
    Boxes
        A box that has none near it in the other frame is left out: it may begin or end there, and what is seen in too
        few frames is no track.
    """
    rows: list[tuple[Ints, Boxes]] = []
    for frame, earlier, later in zip(frames.tolist(), before.tolist(), after.tolist(), strict=True):
        if earlier > frame:
            continue
        start, stop = np.searchsorted(boxes.frame, [earlier, earlier + 1])
        here = boxes.take(np.arange(len(boxes))[start:stop])
        if frame != earlier:
            start, stop = np.searchsorted(boxes.frame, [later, later + 1])
            share = (times[frame] - times[earlier]) / (times[later] - times[earlier]) if later > frame else 0.0
            here = _between(here, boxes.box[start:stop], share)
        rows.append((np.full(len(here), frame), here))
    if not rows:
        return boxes.take(np.zeros(len(boxes), bool))
    return Boxes(
        np.concatenate([frame for frame, _ in rows]),
        np.concatenate([part.label for _, part in rows]),
        np.concatenate([part.score for _, part in rows]),
        np.concatenate([part.box for _, part in rows]),
    )


def _between(first: Boxes, later: Floats, share: float) -> Boxes:
    """Return boxes this share of the way to those of a later frame that the tracker would take for the same ones."""
    overlap = iou_matrix(_grown(first.box), _grown(later))
    mine, theirs = linear_sum_assignment(-overlap)
    near = overlap[mine, theirs] >= _NEAR
    mine, theirs = mine[near], theirs[near]
    kept = first.take(mine)
    return replace(kept, box=(1 - share) * kept.box + share * later[theirs])


def _grown(box: Floats) -> Floats:
    size = np.column_stack((box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]))
    return np.column_stack((box[:, :2] - _GROW * size, box[:, 2:] + _GROW * size))


def _found_in(
    relevance: Relevance,
    asked: Boxes,
    other: Boxes,
    mine: Mapping[str, Bools],
    theirs: Mapping[str, Bools],
    frames: Ints,
) -> tuple[Ints, Ints]:
    sure, other_sure = relevance.sure(asked), relevance.sure(other)
    objects, found = np.zeros(len(frames), np.int64), np.zeros(len(frames), np.int64)
    place = np.searchsorted(frames, asked.frame)
    begins = np.searchsorted(other.frame, asked.frame, side="left")
    ends = np.searchsorted(other.frame, asked.frame, side="right")
    for name, mask in mine.items():
        usable = theirs[name] & other_sure
        for row in np.flatnonzero(mask & sure):
            objects[place[row]] += 1
            beside = np.arange(begins[row], ends[row])[usable[begins[row] : ends[row]]]
            if len(beside) and iou_matrix(asked.box[row : row + 1], other.box[beside]).max() >= SAME:
                found[place[row]] += 1
    return objects, found


def _of_a_box(test: Node) -> bool:
    for node in test.walk():
        if not isinstance(node, _TESTS):
            return False
        if isinstance(node, tree.Property) and node.name not in _OF_A_BOX:
            return False
        if isinstance(node, tree.InRegion) and node.name != "inside":
            return False
    return True


def _history(query: CompiledQuery, variable: Variable) -> str | None:
    """Return what the query asks of a variable that follows from other frames than the one it is in, if anything."""
    for node in query.nodes():
        if variable.name not in node.variables():
            continue
        if isinstance(node, tree.InRegion) and node.name != "inside":
            return node.name
        if isinstance(node, tree.Crosses):
            return "crosses"
        if isinstance(node, tree.Turns):
            return "turns"
        if isinstance(node, tree.OwnRelation):
            return node.function.name
        if isinstance(node, tree.Measure) and node.name == "closing":
            return node.name
        if isinstance(node, tree.Property) and node.var == variable.name and _remembers(variable.type, node.name, ()):
            return node.name
    return None


def _remembers(kind: ObjectType, name: str, above: tuple[str, ...]) -> bool:
    own = kind.property(name)
    if own is None:
        return name in _OF_A_TRACK
    if own.window is not None or name in above:
        return True
    return any(_remembers(kind, argument, (*above, name)) for argument in own.arguments)
