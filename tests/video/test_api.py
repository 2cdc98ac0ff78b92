"""The public functions: what they take, what they give, and how they stop."""

import ast
import pathlib
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.video import scenes
from workbench.engine.errors import Stopped, WorkbenchError
from workbench.video.models import registry

pytestmark = pytest.mark.usefixtures("cluster")

QUERY = """
class Cars(Query):
    car: Car
    where = car.x1 > "20px"
"""
DETECT = {"video": "str", "frame": "int64", "time": "float64", "label": "str", "score": "float64"}
BOX = dict.fromkeys(("x1", "y1", "x2", "y2"), "float64")
TRACKS = {"video": "str", "frame": "int64", "time": "float64", "id": "int64", "label": "str", "score": "float64"}


@pytest.fixture
def bright(seen):
    registry.register_detector(
        "bright", scenes.counting_detector(seen), labels=["car", "person"], version=str(seen), threshold=0.3
    )
    yield seen
    registry._REGISTERED.pop("bright")


def _dtypes(frame):
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


def test_detect(clip, bright):
    table = wb.video.detect(clip, detector="bright")
    assert _dtypes(table) == DETECT | BOX
    assert set(table["label"]) == {"car", "person"}
    assert table["video"].unique().tolist() == [str(clip)]
    order = table.sort_values(["frame", "score", "x1", "y1"], ascending=[True, False, True, True])
    assert order.index.tolist() == list(range(len(table)))
    assert np.allclose(table["time"], table["frame"] / 10)
    cars = wb.video.detect(clip, detector="bright", labels="car", start="5s", end="12s", every=5)
    expected = table[(table["label"] == "car") & table["frame"].between(50, 119) & (table["frame"] % 5 == 0)]
    pd.testing.assert_frame_equal(cars, expected.reset_index(drop=True))
    assert len(wb.video.detect(clip, detector="bright", threshold=0.95)) == 0
    assert _dtypes(wb.video.detect(clip, detector="bright", threshold=0.95)) == DETECT | BOX
    assert scenes.counted(bright) == 300


def test_detect_wants_a_threshold_between_0_and_1(clip):
    with pytest.raises(WorkbenchError) as caught:
        wb.video.detect(clip, detector=scenes.truth(), threshold=30)
    assert caught.value.lines() == ["threshold must be between 0 and 1, got 30.", "Use threshold=0.3."]


def test_tracks(clip, bright):
    table = wb.video.tracks(clip, detector="bright")
    assert _dtypes(table) == TRACKS | BOX | {"interpolated": "bool"}
    assert table["id"].unique().tolist() == [1, 2, 3, 4, 5]
    assert table.groupby("id")["label"].first().tolist() == ["car", "person", "person", "car", "car"]
    people = wb.video.tracks(clip, detector="bright", labels=["person"])
    pd.testing.assert_frame_equal(people, table[table["label"] == "person"].reset_index(drop=True))
    solid = wb.video.tracks(clip, detector="bright", interpolate=False)
    assert not solid["interpolated"].any()
    given = wb.video.tracks(clip, detector=scenes.truth())
    assert given["id"].unique().tolist() == [1, 2, 3, 4, 5]
    assert len(given) == len(scenes.truth())


def test_a_table_of_tracks_is_a_table_of_given_boxes(clip, bright):
    table = wb.video.tracks(clip, detector="bright")
    again = wb.video.tracks(clip, detector=table)
    pd.testing.assert_frame_equal(again, table)


def test_explain_runs_nothing(clip, bright):
    plan = wb.video.explain(clip, QUERY, detector="bright", every=2)
    assert scenes.counted(bright) == 0
    operators = [node.op for _, node in plan.walk()]
    assert operators[-2:] == ["detect", "decode"]
    assert next(node for _, node in plan.walk() if node.op == "detect").est_rows == 150


def test_a_class_asks_the_same_as_its_text(clip):
    from workbench.video import Car, Query

    class Cars(Query):
        car: Car
        where = car.x1 > "20px"  # noqa: F821

    text = wb.vquery(clip, QUERY, detector=scenes.truth())
    pd.testing.assert_frame_equal(wb.vquery(clip, Cars, detector=scenes.truth()).events, text.events)


def test_names_of_a_text_are_looked_up_where_it_is_asked(clip):
    least = "60px"
    answer = wb.vquery(clip, QUERY.replace('"20px"', "least"), detector=scenes.truth())
    expected = wb.vquery(clip, QUERY.replace("20px", least), detector=scenes.truth())
    pd.testing.assert_frame_equal(answer.events, expected.events)


def test_star_import_brings_the_words_of_a_query():
    names = {}
    exec("from workbench.video import *", names)
    assert {"Query", "Car", "Person", "prop", "lasts", "Region", "Line", "vquery", "tracks"} <= set(names)
    assert not {"any", "all", "sum", "min", "max"} & set(names)
    assert callable(names["tracks"])


def test_the_function_tracks_and_its_module_do_not_hide_one_another():
    code = (
        "import workbench.video.tracks, workbench as wb\n"
        "from workbench.video.tracks import Tracks\n"
        "assert callable(wb.video.tracks), wb.video.tracks\n"
        "from workbench.video import tracks\n"
        "assert tracks is wb.video.tracks\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, workbench.video\n"
        "heavy = {'cv2', 'av', 'onnxruntime', 'pandas', 'distributed', 'duckdb', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every must be a whole number of at least 1, got 0."),
        ({"limit": -1}, "limit must be a whole number of at least 1, got -1."),
        ({"start": 5}, "start needs a unit, got 5."),
        ({"detector": "yolo"}, "No detector is named 'yolo'."),
        ({"detector": pd.DataFrame({"frame": [0]})}, "The table of boxes lacks 'x1'."),
    ],
)
def test_a_bad_option_is_an_error_before_anything_runs(clip, options, message):
    with pytest.raises(WorkbenchError) as caught:
        wb.vquery(clip, QUERY, **options)
    assert caught.value.message == message
    assert caught.value.hint


def test_a_region_outside_the_picture_is_an_error(clip):
    text = "yard = Region((0, 0), (50, 0), (50, 960))\n" + QUERY.replace('car.x1 > "20px"', "car.inside(yard)")
    with pytest.raises(WorkbenchError) as caught:
        wb.vquery(clip, text, detector=scenes.truth())
    assert caught.value.lines() == [
        "yard has a corner at (50, 960) but scene.mp4 is 128x96.",
        'Use corners inside the picture, or "%" units.',
    ]


def test_an_interrupt_raises_stopped_with_what_was_found(tmp_path, seen):
    from workbench.video.source import from_array

    source = from_array(scenes.frames(120), fps=10.0)

    def slow(images):
        (seen / f"{time.monotonic_ns()}").touch()
        time.sleep(0.05 * len(images))
        return [scenes.bright_boxes(image) for image in images]

    def interrupt():
        while len(list(seen.iterdir())) < 12:
            time.sleep(0.02)
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    registry.register_detector("slow", slow, labels=["car", "person"], version=str(seen), batch=4)
    try:
        with pytest.raises(Stopped) as caught:
            wb.vquery(source, QUERY, detector="slow")
    finally:
        registry._REGISTERED.pop("slow")
    assert isinstance(caught.value, KeyboardInterrupt)
    assert caught.value.message.startswith("Stopped at ")
    assert caught.value.result is not None
    assert list(caught.value.result.events.columns)[:3] == ["event", "video", "car_id"]


def test_the_room_imports_nothing_of_the_notebook():
    root = pathlib.Path(wb.__file__).parent / "video"
    for path in [*root.glob("*.py"), *(root / "execution").glob("*.py"), *(root / "result").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not any(name.startswith("workbench.notebook") for name in names), path
