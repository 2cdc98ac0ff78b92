"""What a video result looks like: its status line, its text, and the blocks that the notebook draws."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.engine.errors import WorkbenchError
from workbench.engine.render import table_text, with_short_names
from workbench.engine.units import format_clock
from workbench.video.language.nouns import counted, noun_of_all
from workbench.video.language.tree import RegionShape
from workbench.video.result.clip import Stretch, cut
from workbench.video.result.crops import MOST, sheet
from workbench.video.result.proof import accuracy_word
from workbench.video.result.stretches import first_hit

if TYPE_CHECKING:
    import pandas as pd

    from workbench.video.result.facts import VideoFacts
    from workbench.video.result.result import VideoResult

__all__ = ["blocks", "preview", "status_line", "text"]

#: rows of a table in the static form, and in text
ROWS = 10
#: columns that hold paths, which are shown as file names
_FILES = ("video",)
#: the static form stays below 300 KB: a clip in it, before base64, at most this
_CLIP_BYTES = 100_000
_CLIP_PAD, _CLIP_SECONDS, _CLIP_LINES = 0.5, 6.0, 240
#: videos of which a timeline is drawn, and a clip is shown, at most
_MOST_TIMELINES, _MOST_CLIPS = 12, 3
#: boxes in the player's state at most; it stays well under the 2 MiB that a view may have
_MOST_FRAMES = 4000


def status_line(result: VideoResult) -> str:
    """Return `37 events, 21 cars | 02:10 of 10:00 | 41 s left | cached 62 % | exact`."""
    wanted = sum(max(0.0, facts.wanted[1] - facts.wanted[0]) for facts in result.videos)
    frames = sum(facts.frames for facts in result.videos)
    cached = sum(facts.cached for facts in result.videos)
    events = len(result.events)
    parts = [
        f"{events:,} event{'' if events == 1 else 's'}, {_objects(result)}",
        f"{format_clock(_seconds(result))} of {format_clock(round(wanted, 2))}",
    ]
    eta = result._run.progress.eta_s if result.status == "running" and result._run is not None else None
    if eta is not None:
        parts.append(f"{_left(eta)} left")
    if cached:
        parts.append(f"cached {100 * cached // max(1, frames)} %")
    parts.append(accuracy_word(result.proofs) if result.status in ("done", "running") else result.status)
    return " | ".join(parts)


def text(result: VideoResult) -> str:
    """Return the headline and the first events; without events the nearest miss and the funnel."""
    lines = [result.headline()]
    if len(result.groups.columns):
        lines.append(_table_text(result.groups))
    elif len(result.events):
        lines.append(_table_text(result.events))
    if not len(result.events):
        lines += _nearest(result)
    lines += [f"note: {note}" for note in result.notes]
    return "\n".join(lines)


def blocks(result: VideoResult) -> list[dict[str, Any]]:
    """Return the blocks of `view_data`."""
    found = _head(result)
    found += _sheet(result)
    if result.status != "running" and len(result.events):
        found += _players(result)
    found += _tables(result)
    found.append({"kind": "plan", "plan": result.plan})
    return found


def preview(result: VideoResult) -> list[dict[str, Any]]:
    """Return the blocks of `preview_data`: nothing is decoded for them."""
    return [*_head(result), _table(result, "groups" if len(result.groups.columns) else "events")]


def player_state(result: VideoResult, facts: VideoFacts) -> dict[str, Any]:
    """Return the state of the player module over a video itself: its events, regions and boxes."""
    name = facts.source.name
    events = result.events[result.events["video"] == name]
    path = getattr(facts.source, "path", None)
    return {
        "asset": "",
        "mime": "video/mp4",
        "source": _route(path),
        "width": facts.info.width,
        "height": facts.info.height,
        "fps": facts.info.fps,
        "time": float(events["start"].iloc[0]) if len(events) else 0.0,
        "offset": 0.0,
        "regions": [
            {"name": shape.name, "points": [list(p) for p in shape.in_pixels(facts.info.width, facts.info.height)]}
            for shape in result.query.shapes
            if isinstance(shape, RegionShape)
        ],
        "hits": [
            {"start": float(start), "end": float(end), "label": f"event {number}"}
            for number, start, end in zip(events["event"], events["start"], events["end"], strict=True)
        ],
        "frames": _overlay(result, name),
    }


# ----------------------------------------------------------------------------------------------------------- private


def _head(result: VideoResult) -> list[dict[str, Any]]:
    """Return what stands first: the status line, what the reader has to know, and when the events were."""
    found: list[dict[str, Any]] = [{"kind": "summary", "text": status_line(result)}]
    if not len(result.events):
        found += [{"kind": "note", "level": "info", "text": line} for line in _nearest(result)]
    told = set(result.told)
    found += [{"kind": "note", "level": "info" if note in told else "warning", "text": note} for note in result.notes]
    shown = _shown(result, _MOST_TIMELINES)
    for name in shown:
        timeline = result.timeline(name)
        found.append({"kind": "timeline", "state": timeline.state(), "alt": timeline.alt})
    if len(shown) < len(result.videos):
        more = counted(len(result.videos) - len(shown), "more video")
        found.append({"kind": "note", "level": "info", "text": f"{more}; timeline(video) draws each."})
    return found


def _shown(result: VideoResult, most: int) -> list[str]:
    """Return the names of the videos that there is room for, in order: those with events before those without."""
    names = [facts.source.name for facts in result.videos]
    having = set(result.events["video"])
    chosen = sorted(names, key=lambda name: name not in having)[:most]
    return [name for name in names if name in chosen]


def _players(result: VideoResult) -> list[dict[str, Any]]:
    """Return a short clip of the first event of each of the first videos that have any."""
    first = result.events.drop_duplicates("video").head(_MOST_CLIPS)
    return [block for number in first["event"] for block in _player(result, int(number), _CLIP_BYTES // len(first))]


def _player(result: VideoResult, number: int, most_bytes: int) -> list[dict[str, Any]]:
    """Return a short clip of an event, without burnt-in boxes: the player draws them."""
    event = result._event(number)
    facts = result._facts(event.video)
    title, opens = f"event {int(event.event)}", first_hit(event, result._rows(event))
    try:
        stretch = result._stretch(event, _CLIP_PAD, False)
        times = facts.source.times()
        short = stretch.frames[times[stretch.frames] < times[stretch.frames[0]] + _CLIP_SECONDS]
        clip = cut(
            Stretch(stretch.source, short, {}), height=_CLIP_LINES, title=title, quality=30, most_bytes=most_bytes,
            poster=result._poster(event), time=opens,
        )  # fmt: skip
    except (WorkbenchError, OSError) as error:
        # The file is gone or damaged: the answer stands without its pictures, and says so.
        return [_no_pictures(f"No clip of {os.path.basename(facts.source.name)}", error)]
    if clip is None:
        return []
    state = player_state(result, facts) | {"asset": "", "mime": clip.mime, "offset": clip.offset, "time": opens}
    last = float(times[short[-1]]) + 1.0
    state["frames"] = [item for item in state["frames"] if clip.offset - 1.0 <= item[0] <= last]
    # What was drawn on a smaller picture still has the source's coordinates: width and height are the source's.
    label = f"{title}, {format_clock(event.start)}"
    if len(result.videos) > 1:
        label += f" of {os.path.basename(facts.source.name)}"
    block = {"kind": "clip", "state": state, "data": clip.data, "poster": clip.poster, "label": label}
    return [block]


def _sheet(result: VideoResult) -> list[dict[str, Any]]:
    if not len(result.objects):
        return []
    parts = [
        (facts.source, rows)
        for facts in result.videos
        if len(rows := result.objects[result.objects["video"] == facts.source.name])
    ]
    try:
        picture = sheet(parts)
    except (WorkbenchError, OSError) as error:
        return [_no_pictures("No pictures of the objects", error)]
    shown, total = min(MOST, len(result.objects)), len(result.objects)
    alt = f"Best picture of {shown:,} of {total:,} objects" if shown < total else f"Best picture of {total:,} objects"
    return [{"kind": "image", "data": picture, "mime": "image/jpeg", "alt": alt}] if picture else []


def _no_pictures(what: str, error: Exception) -> dict[str, Any]:
    return {"kind": "note", "level": "warning", "text": f"{what}: {str(error).splitlines()[0]}"}


def _tables(result: VideoResult) -> list[dict[str, Any]]:
    names = ["events", "objects", "frames"]
    if len(result.groups.columns):
        names.insert(0, "groups")
    if len(result.errors):
        names.append("errors")
    if len(result.proof):
        names.append("proof")
    return [_table(result, name) for name in names]


def _table(result: VideoResult, name: str) -> dict[str, Any]:
    return {"kind": "table", "name": name, "frame": result.table(name), "limit": ROWS, "files": _FILES}


def _table_text(frame: pd.DataFrame) -> str:
    shown = with_short_names(frame.head(ROWS), _FILES)
    return table_text(shown, ROWS) + (f"\n{ROWS:,} of {len(frame):,} rows" if len(frame) > ROWS else "")


def _overlay(result: VideoResult, video: str) -> list[list[Any]]:
    """Return `[[t, [[x1, y1, x2, y2, track, label, score], ...]], ...]`, each object once a frame."""
    rows = result.frames[result.frames["video"] == video].drop_duplicates(["frame", "id"]).sort_values(["frame", "id"])
    found: list[list[Any]] = []
    columns = ["frame", "time", "x1", "y1", "x2", "y2", "id", "label", "score"]
    last = None
    for frame, time, *box, number, label, score in rows[columns].itertuples(index=False, name=None):
        if frame != last:
            if len(found) >= _MOST_FRAMES:
                break
            found.append([float(time), []])
            last = frame
        found[-1][1].append(
            [*(round(float(side), 1) for side in box), int(number), label, None if np.isnan(score) else round(score, 3)]
        )
    return found


def _route(path: Any) -> str:
    """Return a video's path as a front end may ask its server for it: relative to the notebook's folder, or ""."""
    if path is None:
        return ""
    relative = os.path.relpath(path)
    return "" if relative.startswith("..") else relative.replace(os.sep, "/")


def _nearest(result: VideoResult) -> list[str]:
    if result.status == "running":
        return []
    return result.nearest or ["No events."]


def _objects(result: VideoResult) -> str:
    return counted(len(result.objects), noun_of_all(result.query.variables))


def _seconds(result: VideoResult) -> float:
    return round(sum(facts.seconds for facts in result.videos), 2)


def _left(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
