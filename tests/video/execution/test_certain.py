"""What is called certain before the end of a video is the beginning of the whole answer."""

from __future__ import annotations

import random
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.video import scenes
from tests.video.operators.drawn import LABELS, REGIONS, TYPES, QueryDraw, draw_tracks
from workbench.video import api
from workbench.video.execution.certain import certain_events, lookahead
from workbench.video.language import tree
from workbench.video.models.given import given_spec
from workbench.video.operators.answer import answer_tables
from workbench.video.operators.evaluate import evaluate
from workbench.video.tracks import Frames, Tracks

SPEC = given_spec(scenes.truth())
X = tree.Variable("x", TYPES[3])
Y = tree.Variable("y", TYPES[2])
INSIDE = tree.InRegion(name="inside", var="x", region=REGIONS[3])
NEAR = tree.Relation(name="near", var="x", other="y", limit=300.0)


def lasting(node: tree.Node, duration: float = 0.5) -> tree.Lasts:
    return tree.Lasts(operand=node, duration=duration)


def query(where: tree.Node, *variables: tree.Variable, **options: Any) -> tree.CompiledQuery:
    return tree.CompiledQuery("Q", variables or (X,), where, (), options.pop("group", ()), **options)


def known_at(tracks: Tracks, position: int, rng: random.Random) -> tuple[Tracks, float]:
    """Return what may be known of tracks when the frames before a position are folded, and the settled time.

    A track that goes on may have another label then, or not be there yet.
    """
    frames = tracks.frames
    now = float(frames.time[position]) if position < len(frames) else np.inf
    open_ids = [int(number) for number in tracks.ids if (tracks.time[tracks.id == number] >= now - 0.3).any()]
    begun = [number for number in open_ids if tracks.time[tracks.id == number].min() < now]
    settled = min([now, *(float(tracks.time[tracks.id == number].min()) for number in begun)])
    label = tracks.label.copy()
    keep = tracks.time < now
    for number in begun:
        mine = tracks.id == number
        if rng.random() < 0.3:
            keep &= ~mine
        label[mine] = rng.randrange(len(LABELS))
    known = Tracks(
        Frames(frames.frame[:position], frames.time[:position], frames.dt), tracks.width, tracks.height, tracks.labels,
        tracks.id[keep], tracks.frame[keep], tracks.time[keep], label[keep], tracks.score[keep], tracks.box[keep],
        tracks.interpolated[keep],
    )  # fmt: skip
    return known, settled


def events(asked: tree.CompiledQuery, tracks: Tracks, *, ongoing: bool) -> pd.DataFrame:
    found = evaluate(asked, tracks, ongoing=ongoing)
    return answer_tables(asked, found, tracks, "v")["events"]


def check(asked: tree.CompiledQuery, tracks: Tracks, rng: random.Random) -> int:
    """Assert that what is certain at some moments stays; return how many events were certain early."""
    whole = events(asked, tracks, ongoing=False)
    early = 0
    for position in sorted(rng.sample(range(1, len(tracks.frames) + 1), 3)):
        known, settled = known_at(tracks, position, rng)
        job: Any = SimpleNamespace(
            complete=False, given_tracks=False, next_time=settled,
            fold=SimpleNamespace(open_since=lambda settled=settled: settled),
        )  # fmt: skip
        now = events(asked, known, ongoing=True)
        count = certain_events(now, job, lookahead(asked, SPEC))
        early += count
        pd.testing.assert_frame_equal(now.head(count), whole.head(count), check_dtype=False)
    return early


@pytest.mark.parametrize(
    ("where", "variables"),
    [
        (INSIDE, (X,)),
        (NEAR, (X, Y)),
        (tree.And(operands=(NEAR, INSIDE)), (X, Y)),
        (lasting(NEAR), (X, Y)),
        (tree.Or(operands=(lasting(NEAR), lasting(tree.And(operands=(INSIDE, NEAR)), 1.0))), (X, Y)),
    ],
)
def test_certain_events_of_one_and_two_objects_stay(where: tree.Node, variables: tuple[tree.Variable, ...]) -> None:
    rng = random.Random(7)
    asked = query(where, *variables)
    assert lookahead(asked, SPEC) == 0.0
    early = sum(check(asked, draw_tracks(rng, rng.randint(4, 8), rng.randint(30, 60)), rng) for _ in range(25))
    assert early >= 5


def test_certain_events_of_random_queries_stay() -> None:
    rng = random.Random(11)
    early = 0
    for _ in range(200):
        drawn = QueryDraw(rng)
        drawn.scale = None
        asked = drawn.query()
        needs_crops = any(
            isinstance(node, tree.Property) and node.name not in PLAIN for part in whole(asked) for node in part.walk()
        )
        if not needs_crops:
            early += check(replace(asked, group=()), draw_tracks(rng, rng.randint(3, 8), rng.randint(20, 60)), rng)
    assert early >= 10


PLAIN = {"score", "x1", "x2", "y1", "y2", "width", "height", "area", "speed", "heading", "age", "time", "frame", "id",
         "still", "label", "start", "end", "duration", "box", "center", "foot", "crossed_to", "first"}  # fmt: skip


def whole(asked: tree.CompiledQuery) -> tuple[tree.Node, ...]:
    return (asked.where, *asked.select)


def test_what_waits_for_the_end_is_never_certain_before() -> None:
    bag = replace(SPEC, suitcases=True)
    assert lookahead(query(INSIDE), bag) is None
    assert lookahead(query(INSIDE, group=(tree.Every(seconds=10.0),)), SPEC) is None
    assert lookahead(query(INSIDE, scale=tree.ScaleSpec("person", 1.7)), SPEC) is None
    # an event may begin before its second object is seen
    later = tree.Sequence(steps=(lasting(INSIDE), lasting(NEAR)))
    assert lookahead(query(later, X, Y), SPEC) is None
    assert lookahead(query(tree.Or(operands=(lasting(INSIDE), lasting(NEAR))), X, Y), SPEC) is None
    assert lookahead(query(tree.Never(condition=INSIDE, after=lasting(INSIDE), within=5.0)), SPEC) is None
    # both are there from the first step on
    sooner = tree.Sequence(steps=(lasting(NEAR), lasting(INSIDE)))
    assert lookahead(query(sooner, X, Y), SPEC) == 0.0
    assert lookahead(query(tree.And(operands=(lasting(INSIDE), lasting(NEAR))), X, Y), SPEC) == 0.0


def test_what_others_do_in_the_frame_counts_until_the_event_has_ended() -> None:
    crowd = tree.Quantified(name="any", variable=Y, condition=NEAR)
    assert lookahead(query(crowd), SPEC) == 0.5
    assert lookahead(query(lasting(crowd, 2.0)), SPEC) == 3.0
    assert lookahead(query(tree.Before(first=lasting(crowd), then=lasting(INSIDE))), SPEC) is None
    events = pd.DataFrame({"start": [1.0, 2.0, 3.0], "end": [2.0, 9.0, 4.0]})
    fold = SimpleNamespace(open_since=lambda: None)
    job: Any = SimpleNamespace(complete=False, given_tracks=False, next_time=8.0, fold=fold)
    assert certain_events(events, job, 0.5) == 1
    assert certain_events(events, job, 0.0) == 3
    assert certain_events(events, job, None) == 0


@pytest.mark.usefixtures("cluster")
def test_a_limit_on_boxes_without_ids_gives_the_beginning_of_the_answer(clip: Any) -> None:
    text = 'class Q(Query):\n    thing: Object\n    where = lasts(thing.x1 > "20px", "1s")\n'
    boxes = scenes.truth().drop(columns="id")
    full = api.vquery(clip, text, detector=boxes)
    assert len(full) >= 4
    for limit in (1, 3):
        part = api.vquery(clip, text, detector=boxes, limit=limit)
        pd.testing.assert_frame_equal(part.events, full.events.head(limit))
        assert part.searched["end"].iloc[-1] <= 30.0
