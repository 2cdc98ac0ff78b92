"""Verdicts on events: kept, found again, and the precision that they give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

from tests.video import asking, scenes
from workbench.engine.errors import WorkbenchError
from workbench.video.shares import wilson

THINGS = """
class Things(Query):
    thing: Object
    where = thing.x1 > "{least}px"
"""


@pytest.mark.parametrize(("right", "count"), [(0, 1), (1, 1), (3, 5), (50, 50), (0, 40), (93, 100), (1, 3000)])
def test_wilsons_interval(right: int, count: int) -> None:
    expected = binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert wilson(right, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


def ask(clip: Any, least: int = 20) -> Any:
    return asking.quietly(clip, THINGS.format(least=least), detector=scenes.truth())


def test_verdicts_are_kept_across_reruns_and_give_the_precision(clip: Path) -> None:
    first = ask(clip)
    assert len(first) >= 4
    assert first.precision is None
    for event, right in ((0, False), (0, True), (1, True), (3, False)):
        first.mark(event, right)
    low, high = wilson(2, 3)
    assert first.precision == pytest.approx((2 / 3, low, high))
    assert ask(clip).precision == first.precision
    # in another condition's answer the events that it shares are known, others are not
    later = ask(clip, least=90)
    shared = later.events.merge(first.events.iloc[[0, 1, 3]], on=["video", "thing_id", "start", "end"])
    assert len(shared) < 3
    assert (later.precision is None) == (len(shared) == 0)


def test_each_video_has_its_own_verdicts(clip: Path, tmp_path: Path) -> None:
    other = scenes.write_scene(tmp_path / "other.mp4", 150)
    both = ask([clip, other])
    last = len(both) - 1
    both.mark(last, False)
    assert both.precision is not None
    assert both.precision[0] == 0.0
    assert ask(other).precision[0] == 0.0


def test_a_wrong_event_or_verdict_says_so(clip: Path) -> None:
    result = ask(clip)
    with pytest.raises(WorkbenchError, match=r"There is no event 99\."):
        result.mark(99, True)
    with pytest.raises(WorkbenchError) as caught:
        result.mark(0, "yes")
    assert caught.value.lines() == ["right must be True or False, got 'yes'.", "Write r.mark(3, True)."]
