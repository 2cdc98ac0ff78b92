"""Tables of boxes, their errors word for word, and MOT files."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from workbench.engine.errors import WorkbenchError
from workbench.video.models.given import GivenBoxes, read_mot
from workbench.video.models.registry import resolve
from workbench.video.operators.detect import detect_frames, per_frame, table_labels
from workbench.video.operators.track import fold_for
from workbench.video.tracks import Frames

HINT = "Columns: frame, x1, y1, x2, y2[, label, score, id]."


def table(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"frame": [10, 10, 12], "x1": 0, "y1": 1, "x2": [5, 6, 7], "y2": 9} | columns)


def frames(count: int = 20) -> Frames:
    return Frames(np.arange(count), np.arange(count) / 10)


@pytest.mark.parametrize(
    ("boxes", "message", "hint"),
    [
        (table().drop(columns="x2"), "The table of boxes lacks 'x2'.", HINT),
        (table(id=3), "The table of boxes has id 3 twice in frame 10.", HINT),
        (table(frame=[1.5, 2, 3]), "The table of boxes has a 'frame' that is not a whole number.", HINT),
        (table(frame=[-1, 2, 3]), "The table of boxes has frame -1.", "Frames count from 0."),
        (table(y1=[1, None, 1]), "The table of boxes has a missing 'y1'.", HINT),
        (table(y1=["a", "b", "c"]), "The table of boxes has a 'y1' that is not a number.", HINT),
        (
            table(x2=[5, 0, 5]),
            "The table of boxes has a box without width or height in frame 10.",
            "x1, y1 is the upper left corner and x2, y2 the lower right.",
        ),
    ],
)
def test_errors(boxes: pd.DataFrame, message: str, hint: str) -> None:
    with pytest.raises(WorkbenchError) as raised:
        resolve(boxes)
    assert str(raised.value) == f"{message}\n{hint}"


def test_boxes_without_ids_are_detections() -> None:
    spec = resolve(table(score=[0.2, 0.4, 0.3]))
    assert (spec.kind, spec.labels) == ("given", ("object",))
    loaded = pickle.loads(pickle.dumps(spec)).load()
    source = SimpleNamespace(name="a.mp4", times=lambda: np.arange(20) / 10)
    found = detect_frames(loaded, source, [9, 10, 12, 30])  # no picture is asked for; frame 30 does not exist
    assert found.frames.tolist() == [9, 10, 12]
    assert found.table["score"].to_pylist() == [0.4, 0.2, 0.3]
    assert [len(rows) for rows in per_frame(found.table, found.frames)] == [0, 2, 1]
    assert table_labels(found.table) == ("object",)


def test_boxes_of_low_score_make_tracks_all_the_same() -> None:
    boxes = pd.DataFrame({"frame": range(5), "x1": 0.0, "y1": 0.0, "x2": 9.0, "y2": 9.0, "score": 0.01})
    spec = resolve(boxes)
    source = SimpleNamespace(name="", times=lambda: np.arange(5) / 10)
    found = detect_frames(spec.load(), source, range(5))
    fold = fold_for(spec, 0.1)
    fold.step(found.frames, found.times, per_frame(found.table, found.frames))
    assert fold.tracks(frames(5), 50, 50).id.tolist() == [1] * 5


def test_given_tracks_are_kept_as_they_are() -> None:
    boxes = GivenBoxes(table(id=[7, 3, 7], label=["car", "dog", "bus"], score=[0.5, np.nan, 1.0]))
    tracks = boxes.tracks(frames(), 100, 50)
    assert tracks.id.tolist() == [3, 7, 7]
    assert tracks.frame.tolist() == [10, 10, 12]  # the gap stays open
    assert tracks.label_names().tolist() == ["dog", "car", "bus"]
    assert tracks.interpolated.tolist() == [True, False, False]
    np.testing.assert_allclose(tracks.time, [1.0, 1.0, 1.2])


def test_rows_of_other_videos_are_left_out() -> None:
    boxes = GivenBoxes(table(video=["a.mp4", "b.mp4", "a.mp4"], id=[1, 1, 1]))
    assert boxes.tracks(frames(), 9, 9, "b.mp4").frame.tolist() == [10]
    assert boxes.tracks(frames(), 9, 9, "folder/a.mp4").frame.tolist() == [10, 12]
    assert len(boxes.tracks(frames(), 9, 9, "c.mp4")) == 0


def test_the_content_makes_the_version() -> None:
    assert resolve(table()).version == resolve(table()).version
    assert resolve(table()).version != resolve(table(x1=1)).version
    assert resolve(table()).version != resolve(table(label="car")).version


def test_an_empty_table() -> None:
    spec = resolve(table().iloc[:0])
    source = SimpleNamespace(name="", times=lambda: np.arange(3) / 10)
    assert len(detect_frames(spec.load(), source, [0, 1]).table) == 0
    assert len(fold_for(spec, 0.1).tracks(frames(), 9, 9)) == 0


def test_read_mot(tmp_path: Path) -> None:
    path = tmp_path / "gt.txt"
    path.write_text("2,4,10,20,5,6,1,-1,-1,-1\n1,4,9.5,20,5,6,0,-1,-1,-1\n1,2,0,0,3,3,1,-1,-1,-1\n")
    boxes = read_mot(path, label="car")
    assert boxes.columns.tolist() == ["frame", "id", "label", "score", "x1", "y1", "x2", "y2"]
    assert boxes.to_numpy().tolist() == [
        [0, 2, "car", 1.0, 0, 0, 3, 3],
        [0, 4, "car", 0.0, 9.5, 20, 14.5, 26],
        [1, 4, "car", 1.0, 10, 20, 15, 26],
    ]
    assert resolve(boxes).load().tracks(frames(), 99, 99).id.tolist() == [2, 4, 4]  # type: ignore[attr-defined]


def test_read_mot_of_detections_has_no_ids(tmp_path: Path) -> None:
    path = tmp_path / "det.txt"
    path.write_text("1,-1,9,20,5,6,43.1\n1,-1,1,2,5,6,-0.5\n")
    boxes = read_mot(path)
    assert "id" not in boxes
    assert boxes["score"].tolist() == [43.1, -0.5]


def test_read_mot_errors(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match=r"There is no file .*none\.txt\."):
        read_mot(tmp_path / "none.txt")
    (tmp_path / "odd.txt").write_text("some words\nand more\n")
    with pytest.raises(WorkbenchError) as raised:
        read_mot(tmp_path / "odd.txt")
    assert str(raised.value) == "odd.txt is not in MOT format.\nLines are frame,id,x,y,width,height,score,..."
    (tmp_path / "empty.txt").write_text("")
    assert len(read_mot(tmp_path / "empty.txt")) == 0
