"""What the first frames show decides the order of the rest; the answer is the same, with fewer calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.video import asking
from workbench.video.execution import run as running

pytestmark = pytest.mark.usefixtures("cluster")

#: `dull` is true of everything and `wide` of few, which nobody knows beforehand
TWO = """
class Seen(Object):
    @prop
    def dull(self, image):
        return 1.0
    @prop
    def wide(self, image):
        return float(image.shape[1])
class Wide(Query):
    thing: Seen
    where = thing.dull > 0 and thing.wide > 15
"""


def calls(answer: Any) -> dict[str, float]:
    return {node.detail: node.rows for _, node in answer.plan.walk() if node.op == "props"}


def test_the_order_follows_what_was_measured(clip: Path, bright: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = asking.quietly(clip, TWO, detector="bright")
    assert len(answer) >= 3
    made = calls(answer)
    cars = int(answer.frames["matched"].sum())
    # by the end all rows were asked how wide they are, and the other only where they are wide
    assert made["thing.wide"] > 1.5 * made["thing.dull"]
    assert made["thing.dull"] <= cars + 25
    assert "order changed after" in answer.explain()
    # asked again, the order stays and everything is known
    again = asking.quietly(clip, TWO, detector="bright")
    assert calls(again) == made
    assert all(node.cache_hits == 1.0 for _, node in again.plan.walk() if node.op == "props")
    # without a change the answer is the same, for more calls
    monkeypatch.setattr(running, "_SHOWN", 10**9)
    monkeypatch.setenv("WORKBENCH_HOME", str(bright / "another"))
    as_written = asking.quietly(clip, TWO, detector="bright")
    assert "order changed" not in as_written.explain()
    assert calls(as_written)["thing.dull"] > made["thing.dull"]
    for name in ("events", "objects", "frames"):
        for other in (again, as_written):
            pd.testing.assert_frame_equal(other.table(name), answer.table(name), check_exact=True)
