"""Short names of paths: as short as they can be told apart."""

import pytest

from workbench.engine.paths import short_names


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        ([], []),
        (["/data/site/cam1.mp4"], ["cam1.mp4"]),
        (["clips/cam1.mp4", "clips/cam2.mp4"], ["cam1.mp4", "cam2.mp4"]),
        (["/x/a/cam.mp4", "/x/b/cam.mp4", "/x/b/door.mp4"], ["a/cam.mp4", "b/cam.mp4", "door.mp4"]),
        (["/x/a/1/cam.mp4", "/x/b/1/cam.mp4"], ["a/1/cam.mp4", "b/1/cam.mp4"]),
        (["cam.mp4", "/x/cam.mp4"], ["cam.mp4", "x/cam.mp4"]),
        (["sample:street"], ["sample:street"]),
        (["", "/"], ["", "/"]),
    ],
)
def test_names(paths, names):
    assert short_names(paths) == dict(zip(paths, names, strict=True))


def test_what_is_no_text_is_left_out():
    assert short_names(["/a/b.mp4", None, float("nan"), "/a/b.mp4"]) == {"/a/b.mp4": "b.mp4"}
