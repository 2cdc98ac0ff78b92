"""`VideoResult`: its tables in other forms, exports that other programs read, clips, and what is shown of it."""

import base64
import html.parser
import json
import re
import time

import numpy as np
import pandas as pd
import pytest

from tests.video import scenes
from workbench.engine.errors import WorkbenchError
from workbench.video import api
from workbench.video.models.given import read_mot
from workbench.video.result.export import to_mot
from workbench.video.result.result import VideoResult
from workbench.video.result.timeline import MOST_BARS, Timeline
from workbench.video.source import probe

CARS = """
class Cars(Query):
    car: Car
    where = car.x1 > "20px"
    select = car.id, start, end, max(car.speed)
"""
COUNTS = """
class Counts(Query):
    car: Car
    where = car.x1 > "20px"
    group = every("10s")
    select = count(), count(car.id)
"""


@pytest.fixture(scope="module")
def result(clip, tmp_path_factory):
    """Return the three cars of the scene, found in given boxes."""
    return api.vquery(clip, CARS, detector=scenes.truth())


@pytest.fixture(scope="module")
def nothing(clip):
    text = CARS.replace('car.x1 > "20px"', 'lasts(car.x1 > "20px", "20s")')
    return api.vquery(clip, text, detector=scenes.truth())


def test_the_headline_and_the_first_events(result):
    lines = str(result).split("\n")
    assert lines[0] == "VideoResult: 3 events, 3 objects in 1 video; 00:30 searched, exact"
    assert repr(result) == lines[0]
    assert "car_id" in lines[1]
    assert len(lines) == 5


def test_repr_is_quick_and_never_raises(result):
    repr(result)
    began = time.perf_counter()
    for _ in range(100):
        repr(result)
    assert (time.perf_counter() - began) / 100 < 1e-3
    assert repr(VideoResult.__new__(VideoResult)) == "<VideoResult>"


def test_without_events_the_nearest_miss_and_the_funnel(nothing):
    lines = str(nothing).split("\n")
    assert lines[0] == "VideoResult: 0 events, 0 objects in 1 video; 00:30 searched, exact"
    assert lines[1].startswith("No events. Closest: car ")
    assert lines[2].startswith("3 cars seen")
    blocks = nothing.view_data()["blocks"]
    assert [block["text"] for block in blocks if block["kind"] == "note"] == lines[1:3]
    assert not any(block["kind"] in ("image", "clip") for block in blocks)


def test_the_status_line(result, nothing):
    assert result.summary == "3 events, 3 cars | 00:30 of 00:30 | exact"
    assert nothing.summary == "0 events, 0 cars | 00:30 of 00:30 | exact"


def test_a_long_path_is_shown_as_its_file_name(clip, result):
    from workbench.engine.render import plain_bundle
    from workbench.notebook.display import mimebundle

    assert result.events["video"].unique().tolist() == [str(clip)]
    assert clip.name in str(result)
    assert str(clip.parent) not in str(result)
    html = mimebundle(result)["text/html"]
    assert f'<td title="{clip}">{clip.name}</td>' in html
    assert html.count(str(clip.parent)) == html.count(f'title="{clip.parent}')
    assert str(clip.parent) not in plain_bundle(result)["text/plain"]
    assert result.timeline().alt == f"Timeline of {clip.name}: 3 events in 00:30"
    assert result.timeline().state()["lanes"][0]["label"] == clip.name


def test_the_main_table_is_groups_where_there_are_groups(clip, result):
    assert result.to_pandas() is result.events
    assert len(result) == 3
    groups = api.vquery(clip, COUNTS, detector=scenes.truth())
    assert groups.to_pandas() is groups.groups
    assert groups.groups["count"].sum() == len(groups) == 3
    assert [row.count_car_id for row in groups] == groups.groups["count_car_id"].tolist()
    assert str(groups).split("\n")[1].split()[:3] == ["video", "start", "end"]


def test_tables_in_other_forms(result):
    pl = pytest.importorskip("polars")
    assert isinstance(result.polars("objects"), pl.DataFrame)
    assert result.arrow("events").column_names == list(result.events.columns)
    assert result.to_arrow().num_rows == 3
    assert result.to_polars().height == 3
    assert result[0:2].equals(result.events.iloc[0:2])


def test_sql_knows_the_tables_by_their_names(result):
    long = result.sql("select event, duration from events where duration > 7.5 order by event")
    assert long["event"].tolist() == result.events.loc[result.events["duration"] > 7.5, "event"].tolist()
    joined = result.sql("select count(*) as n from frames join objects using (video, id)")
    assert joined["n"].item() == len(result.frames)
    assert result.sql("select * from searched")["end"].tolist() == [30.0]
    with pytest.raises(WorkbenchError) as caught:
        result.sql("select * from evnts")
    assert "evnts" in caught.value.message
    assert caught.value.hint == "Tables: events, objects, frames, groups, errors, searched."


def test_a_wrong_table_or_event_says_what_there_is(result, nothing):
    with pytest.raises(WorkbenchError) as caught:
        result.arrow("event")
    assert caught.value.lines() == ["A video result has no table 'event'.", "Did you mean 'events'?"]
    with pytest.raises(WorkbenchError) as caught:
        result.clip(7)
    assert caught.value.lines() == ["There is no event 7.", "Events are numbered 0 to 2."]
    with pytest.raises(WorkbenchError) as caught:
        nothing.clip(0)
    assert caught.value.lines() == ["There is no event 0.", "The result has no events."]
    with pytest.raises(WorkbenchError) as caught:
        result.thumbnail(99)
    assert caught.value.lines() == ["No object of this result has id 99.", "See .objects."]


def test_views_on_duckdbs_default_connection(clip, result):
    import duckdb

    assert result.bind_views("red") == ["red", "red_objects", "red_frames"]
    assert duckdb.sql("select count(*) from red").fetchall() == [(3,)]
    assert duckdb.sql("select count(*) from red_frames").fetchall() == [(len(result.frames),)]
    groups = api.vquery(clip, COUNTS, detector=scenes.truth())
    assert groups.bind_views("red") == ["red", "red_objects", "red_frames", "red_groups"]
    assert result.bind_views("red")[-1] == "red_frames"
    with pytest.raises(duckdb.CatalogException):
        duckdb.sql("select * from red_groups")


def test_coco(result, tmp_path):
    path = tmp_path / "boxes.json"
    document = result.to_coco(path)
    assert json.loads(path.read_text()) == document
    assert [category["name"] for category in document["categories"]] == ["car"]
    frames = {image["id"]: image for image in document["images"]}
    video = result.videos[0].source.name
    rows = []
    for item in document["annotations"]:
        image = frames[item["image_id"]]
        assert (image["width"], image["height"]) == (128, 96)
        name, _, frame = image["file_name"].rpartition("#")
        assert name == video
        x, y, w, h = item["bbox"]
        assert item["area"] == w * h
        assert item["iscrowd"] == 0
        rows.append((int(frame), item["track_id"], x, y, x + w, y + h, item["score"]))
    back = pd.DataFrame(rows, columns=["frame", "id", "x1", "y1", "x2", "y2", "score"])
    expected = result.frames.drop_duplicates(["frame", "id"])[back.columns].sort_values(["frame", "id"])
    pd.testing.assert_frame_equal(back, expected.reset_index(drop=True))


def test_mot_reads_back_as_boxes(result, tmp_path):
    path = result.to_mot(tmp_path / "boxes.txt")
    first = path.read_text().split("\n")[0].split(",")
    assert len(first) == 10
    assert first[-3:] == ["-1", "-1", "-1"]
    back = read_mot(path, label="car")
    expected = result.frames.drop_duplicates(["frame", "id"]).sort_values(["frame", "id"])
    columns = ["frame", "id", "x1", "y1", "x2", "y2", "score"]
    pd.testing.assert_frame_equal(back[columns], expected[columns].reset_index(drop=True))


def test_mot_of_several_videos_is_a_folder(result, tmp_path):
    one = result.frames.assign(video="a/cam.mp4")
    two = result.frames.assign(video="b/cam.mp4").head(5)
    folder = to_mot(pd.concat([one, two]), ["a/cam.mp4", "b/cam.mp4"], tmp_path / "mot")
    files = sorted(path.name for path in folder.iterdir())
    assert files == ["cam-2.txt", "cam.txt"]
    assert len((folder / "cam-2.txt").read_text().splitlines()) == 5


def _decoded(path):
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(stream)], stream.codec_context.name


def test_a_clip_holds_the_event_and_its_pad(result):
    event = result.events.iloc[1]
    clip = result.clip(1, pad="0.5s", boxes=False)
    first, last = clip.frame_range
    assert first == round((event["start"] - 0.5) * 10)
    assert last == round((event["end"] + 0.5) * 10) - 1
    pictures, codec = _decoded(clip.path)
    assert codec == "h264"
    assert len(pictures) == last - first + 1
    assert pictures[0].shape == (96, 128, 3)
    assert clip.data == clip.path.read_bytes()
    middle = len(pictures) // 2
    assert np.abs(pictures[middle].astype(int) - scenes.frames()[first + middle].astype(int)).mean() < 12


def test_a_clip_shows_boxes_and_is_kept(result):
    plain, drawn = result.clip(0, boxes=False), result.clip(0)
    assert plain.path != drawn.path
    assert result.clip(0).path == drawn.path
    assert result.clip(0, height=48).height == 48
    assert drawn.poster[:2] == b"\xff\xd8"
    with pytest.raises(WorkbenchError, match="height must be a whole number of at least 2, got 0"):
        result.clip(0, height=0)
    with pytest.raises(WorkbenchError, match="pad needs a unit, got 1"):
        result.clip(0, pad=1)


def test_a_poster_is_the_best_frame_with_its_box(result):
    import cv2

    row = result.objects.iloc[0]
    frame, corners = int(row["best_frame"]), row[["x1", "y1", "x2", "y2"]].astype(int).tolist()
    plain = scenes.frames()[frame].astype(int)
    posters = [result.clip(0).poster, next(b for b in result.view_data()["blocks"] if b["kind"] == "clip")["poster"]]
    for poster in (*posters, result.clip(0, boxes=False).poster):
        picture = cv2.imdecode(np.frombuffer(poster, np.uint8), cv2.IMREAD_COLOR).astype(int)
        changed = np.abs(picture - plain).max(axis=2) > 90
        edge = changed[corners[1], corners[0] : corners[2]].mean()
        assert (edge > 0.8) == (poster in posters)


def test_a_clip_plays_inline(result):
    clip = result.clip(0)
    (block,) = clip.view_data()["blocks"]
    assert block["kind"] == "clip"
    head, _, data = block["state"]["asset"].partition(",")
    assert head == "data:video/mp4;base64"
    assert base64.b64decode(data) == clip.data
    start, end = result.events.loc[0, ["start", "end"]]
    assert block["state"]["offset"] == pytest.approx(start - 1.0, abs=0.11)
    assert block["state"]["time"] == start  # the pad before the event is not what the reader asked for
    assert block["state"]["hits"] == [{"start": start, "end": end, "label": clip.title}]
    from workbench.notebook.display import mimebundle

    bundle = mimebundle(clip)
    assert "<video" in bundle["text/html"]
    assert repr(clip).startswith("<Clip of ")


@pytest.mark.parametrize(("codec", "name"), [("h264", "all.mp4"), ("vp9", "all.webm")])
def test_to_mp4_writes_the_events_one_after_another(result, tmp_path, codec, name):
    path = result.to_mp4(tmp_path / name, events=[1, 0], pad="0s", codec=codec)
    pictures, found = _decoded(path)
    assert found == {"h264": "h264", "vp9": "vp9"}[codec] or found.startswith("libvpx")
    counts = result.events["frame_end"] - result.events["frame_start"] + 1
    assert len(pictures) == counts[1] + counts[0]


def test_one_event_is_a_choice_of_events_too(result, tmp_path):
    one, same = (result.to_mp4(tmp_path / f"{kind}.mp4", events=kind) for kind in (0, [0]))
    assert probe(one).frames == probe(same).frames
    with pytest.raises(WorkbenchError, match=r"There is no event first\."):
        result.to_mp4(tmp_path / "x.mp4", events="first")


@pytest.mark.parametrize("write", ["to_mp4", "to_mot", "to_coco"])
def test_what_cannot_be_written_says_where(result, tmp_path, write):
    path = tmp_path / "nowhere" / "x.file.mp4"
    with pytest.raises(WorkbenchError) as caught:
        getattr(result, write)(path)
    assert caught.value.lines() == [
        f"{path} cannot be written (No such file or directory).", f"There is no folder {path.parent}; make it first.",
    ]  # fmt: skip


def test_to_mp4_of_nothing_is_an_error(result, nothing, tmp_path):
    with pytest.raises(WorkbenchError, match="There is no event to write"):
        nothing.to_mp4(tmp_path / "x.mp4")
    with pytest.raises(WorkbenchError, match="No codec is named 'h265'"):
        result.to_mp4(tmp_path / "x.mp4", codec="h265")
    assert not list(tmp_path.glob("*.mp4"))


def test_a_thumbnail_is_rgb(result):
    red = result.thumbnail(1)
    assert red.shape[0] == 96
    assert red.dtype == np.uint8
    middle = red[40:60, red.shape[1] // 3 : 2 * red.shape[1] // 3].mean(axis=(0, 1))
    assert middle[0] > 150 > 100 > middle[2]


def test_blocks(result):
    data = result.view_data()
    kinds = [block["kind"] for block in data["blocks"]]
    assert kinds == ["summary", "timeline", "image", "clip", "table", "table", "table", "plan"]
    timeline = data["blocks"][1]["state"]
    assert [bar["label"] for bar in timeline["bars"]] == ["car 1", "car 3", "car 5"]
    assert timeline["searched"] == [[0.0, 30.0]]
    player = data["blocks"][3]["state"]
    assert player["time"] == result.events["start"].iloc[0] == player["offset"] + 0.5
    assert player["hits"][0].keys() == {"start", "end", "label"}
    assert (player["width"], player["height"], player["fps"]) == (128, 96, 10.0)
    time, boxes = player["frames"][0]
    assert player["offset"] <= time
    assert len(boxes[0]) == 7
    json.dumps({**player, "asset": ""}, allow_nan=False)


def test_a_preview_decodes_nothing_and_has_one_table(result, monkeypatch):
    source = result.videos[0].source
    monkeypatch.setattr(type(source), "frames_at", lambda *_: pytest.fail("decoded"))
    shown = result.preview_data()["blocks"]
    assert [block["kind"] for block in shown] == ["summary", "timeline", "table"]
    assert shown[0]["text"] == result.summary
    assert shown[2]["frame"] is result.events


class _Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_the_static_form_has_no_script_and_stays_under_its_cap(result):
    from workbench.notebook.display import mimebundle

    first, second = mimebundle(result), mimebundle(result)
    assert first == second
    text = first["text/html"]
    assert len(text) <= 300_000
    parser = _Tags()
    parser.feed(text)
    names = {tag for tag, _ in parser.tags}
    assert "script" not in names
    assert {"svg", "img", "table", "details"} <= names
    assert not any(name.startswith("on") for _, attributes in parser.tags for name in attributes)


def test_names_are_escaped(tmp_path, clip):
    import shutil

    evil = tmp_path / "<script>alert(1)</script>&.mp4".replace("/", "_")
    shutil.copy(clip, evil)
    boxes = scenes.truth().assign(label=lambda table: table["label"].replace("car", "<img src=x onerror=alert(1)>"))
    answer = api.vquery(evil, CARS.replace("car: Car", "car: Object"), detector=boxes)
    from workbench.engine.render import plain_bundle
    from workbench.notebook.display import mimebundle

    for text in (mimebundle(answer)["text/html"], plain_bundle(answer)["text/html"], answer.timeline().to_svg()):
        parser = _Tags()
        parser.feed(text)
        assert not any(tag == "script" or "onerror" in attributes for tag, attributes in parser.tags)
        assert "<script>alert" not in text


def test_without_the_notebook_room_there_is_plain_html(result):
    from workbench.engine.render import plain_bundle

    bundle = plain_bundle(result)
    assert "3 events, 3 cars" in bundle["text/plain"]
    assert "<table>" in bundle["text/html"]


def test_a_video_that_is_gone_leaves_the_answer(clip, tmp_path):
    import shutil

    moved = tmp_path / "moved.mp4"
    shutil.copy(clip, moved)
    answer = api.vquery(moved, CARS, detector=scenes.truth())
    moved.unlink()
    kinds = [block["kind"] for block in answer.view_data()["blocks"]]
    assert kinds.count("note") == 2
    assert "3 events" in str(answer)


def test_the_flag_partial_is_true_or_false_and_gives_what_is_known(result):
    assert not result.partial
    assert repr(result.partial) == "False"
    assert result.partial() is result
    result.cancel()
    assert result.wait()
    assert result.status == "done"


def test_a_timeline_puts_bars_that_overlap_in_lanes():
    timeline = Timeline("a.mp4", 10.0, [(0, 2, "a", "event"), (1, 3, "b", "event"), (2, 4, "c", "event")], [(0, 10)])
    assert [bar["lane"] for bar in timeline.state()["bars"]] == ["0", "1", "0"]
    assert timeline.to_svg().count("<rect") == 4
    assert timeline.to_svg() == timeline._repr_svg_()


def test_a_timeline_says_what_it_leaves_out():
    bars = [(i / 1000, i / 1000 + 0.001, "x", "event") for i in range(MOST_BARS + 5)]
    timeline = Timeline("a.mp4", 10.0, bars, [], [(5, 6)])
    assert len(timeline.state()["bars"]) == MOST_BARS
    assert "first 2,000 of 2,005 events" in timeline.to_svg()
    assert re.search(r"<title>skipped</title>", timeline.to_svg())
