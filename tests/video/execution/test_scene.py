"""Questions about the frame itself need no detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.video import asking, scenes
from workbench.video import api
from workbench.video.source import from_array, open_sources
from workbench.video.source_live import live

pytestmark = pytest.mark.usefixtures("cluster")

LIVELY = """
class Lively(Query):
    scene: Scene
    where  = scene.motion > 0.001
    select = start, end, max(scene.motion), mean(scene.brightness)
"""


def test_nothing_is_detected_for_the_scene(clip: Path, bright: Path) -> None:
    answer = asking.quietly(clip, LIVELY, detector="bright", every=5)
    assert scenes.counted(bright) == 0
    assert len(answer) > 0
    detect = next(node for _, node in answer.plan.walk() if node.op == "detect")
    assert (detect.detail, detect.est_ms) == ("nothing", 0)
    # with an object beside it the detector runs, and the frames are the same
    both = asking.quietly(
        clip, LIVELY.replace("scene: Scene", "scene: Scene\n    car: Car"), detector="bright", every=5
    )
    assert scenes.counted(bright) == 60
    assert both.searched.equals(answer.searched)
    assert set(answer.frames["frame"]) >= set(both.frames["frame"]) > set()


def test_brightness_is_that_of_the_pictures(clip: Path) -> None:
    import cv2

    answer = asking.quietly(
        clip, "class Q(Query):\n    s: Scene\n    where = s.brightness >= 0\n    select = mean(s.brightness)", every=10
    )
    (source,) = open_sources(clip)
    grays = [
        cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).mean() / 255
        for _, _, picture in source.frames_at(np.arange(0, 300, 10))
    ]
    assert answer.events["mean_s_brightness"].tolist() == pytest.approx([np.mean(grays)], abs=1e-12)
    assert answer.objects["id"].tolist() == [0]


def test_a_live_source_needs_none_either() -> None:
    pictures = scenes.frames(60)
    expected = asking.quietly(from_array(pictures, fps=10.0), LIVELY)
    answer = asking.quietly(live(from_array(pictures, fps=10.0)), LIVELY, end="1min")
    columns = ["start", "end", "max_scene_motion", "mean_scene_brightness"]
    assert len(expected) > 0
    pd.testing.assert_frame_equal(answer.events[columns], expected.events[columns], check_exact=True)


def test_a_wrong_detector_is_a_mistake_all_the_same(clip: Path) -> None:
    assert asking.error(clip, LIVELY, detector="brigt")[0] == "No detector is named 'brigt'."
    assert [node.detail for _, node in api.explain(clip, LIVELY).walk() if node.op == "detect"] == ["nothing"]
