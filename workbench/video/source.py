"""What may be written for a source, and the sources that it names."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.engine.errors import WorkbenchError, did_you_mean
from workbench.engine.units import as_seconds, format_clock
from workbench.video.source_array import ArraySource, from_array
from workbench.video.source_base import Damage, Source, VideoInfo, checked_source
from workbench.video.source_feed import LIVE
from workbench.video.source_file import VideoSource

__all__ = [
    "ArraySource", "Damage", "Source", "VideoInfo", "VideoSource", "from_array", "open_sources", "probe", "read_frame",
]  # fmt: skip

#: Endings that are offered first when a name is not found.
_ENDINGS = {
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv", ".3gp",
    ".ogv", ".y4m", ".h264", ".264", ".hevc", ".gif",
}  # fmt: skip


def open_sources(source: Any) -> list[Source]:
    """Return the sources that a value names, in order.

    Parameters
    ----------
    source : path-like, str, Sample, Source or list of these
        A path; a glob (its matches sorted); `"sample:street"`; a camera or a stream (`"camera:0"`, `rtsp://...`), which
        is followed. Lists keep their order. A file of exactly that name comes before a glob.

    Returns
    -------
    list of Source
        At least one. Files are opened only when something is asked of them.

    Raises
    ------
    WorkbenchError
        If nothing matches, or the value names something that is not a source.
    """
    if isinstance(source, Source):
        return [checked_source(source)]
    as_source = getattr(source, "source", None)
    if callable(as_source):  # a Sample
        made = as_source()
        if isinstance(made, Source):
            return [made]
    if isinstance(source, (list, tuple)):
        if not source:
            raise WorkbenchError("The list of sources is empty.", 'Write "video.mp4" or ["a.mp4", "b.mp4"].')
        return [item for part in source for item in open_sources(part)]
    if isinstance(source, (str, os.PathLike)):
        return list(_named(os.fspath(source)))
    if isinstance(source, np.ndarray):
        raise WorkbenchError("An array has no times.", "Write wb.video.from_array(frames, fps=25).")
    raise WorkbenchError(
        f"A source is a path, a glob, a list of these or a Source, not {type(source).__name__}.",
        'Write "video.mp4", or use wb.video.from_array for frames in memory.',
    )


def probe(source: Any) -> VideoInfo:
    """Return what is known of one video without decoding it.

    Parameters
    ----------
    source : path-like, str, Sample or Source
        Whatever `open_sources` accepts, naming one video.

    Returns
    -------
    VideoInfo
        `video width height fps frames duration codec variable_rate`.
    """
    return _single(source, "probe").info()


def read_frame(source: Any, at: Any) -> NDArray[np.uint8]:
    """Decode one frame.

    Parameters
    ----------
    source : path-like, str, Sample or Source
        One video.
    at : int, str or timedelta
        Frame index from 0, or a time ("12.5s", "01:30"): the frame that is on screen then.

    Returns
    -------
    uint8 (height, width, 3)
        BGR, origin top left.

    Raises
    ------
    WorkbenchError
        If the video has no such frame, or it cannot be decoded.
    """
    video = _single(source, "read_frame")
    times = video.times()
    if isinstance(at, (int, np.integer)) and not isinstance(at, bool):
        index = int(at)
        if not 0 <= index < len(times):
            known = f"has frames 0 to {len(times) - 1}" if len(times) else "has no frames"
            raise WorkbenchError(
                f"{video.name} {known}, got {index}.", 'Frames count from 0; a time is written "12.5s".'
            )
    else:
        seconds = as_seconds(at, "at")
        duration = video.info().duration
        if seconds < 0 or seconds >= duration:
            raise WorkbenchError(
                f"{video.name} lasts {format_clock(duration)} ({duration:.2f} s), got {at}.",
                "Write a time from the beginning, before its end.",
            )
        index = int(np.searchsorted(times, seconds + 1e-6, side="right")) - 1
    for _index, _time, image in video.frames_at(np.array([index])):
        return image
    raise WorkbenchError(
        f"Frame {index} of {video.name} cannot be decoded.", "The file is damaged there; try a frame before or after."
    )


def _single(source: Any, what: str) -> Source:
    found = open_sources(source)
    if len(found) != 1:
        raise WorkbenchError(f"{what}() takes one video, got {len(found)}.", "Name one of them.")
    return found[0]


def _named(text: str) -> Iterator[Source]:
    """Yield the sources that a text names."""
    kind = text.split(":", 1)[0].lower() + ":" if ":" in text else ""
    path = os.path.expanduser(text)
    if kind and not os.path.exists(path):
        if kind == "sample:":
            from workbench.video.samples import named

            yield named(text).source()
            return
        if kind in LIVE:
            from workbench.video.source_live import live

            yield live(text)
            return
        if "://" in text:
            raise WorkbenchError(
                f"'{text}' is not on this machine, and nothing is fetched by itself.",
                "Download the video first, or follow it: wb.video.live(address).",
            )
    if os.path.isfile(path):
        yield VideoSource(path, text)
        return
    if os.path.isdir(path):
        raise WorkbenchError(f"'{text}' is a folder.", f"Write '{os.path.join(text, '*.mp4')}'.")
    # Pipes and devices are left out: reading one would wait for a writer, and it has no frames to come back to.
    matches = [match for match in sorted(glob.glob(path, recursive=True)) if os.path.isfile(match)]
    if not matches:
        raise _missing(text, path)
    for match in matches:
        yield VideoSource(match, match)


def _missing(text: str, path: str) -> WorkbenchError:
    """Return the error for a name that nothing matches, with the closest name in the nearest folder that exists."""
    wanted = Path(path).name
    folder = Path(path).parent
    while glob.has_magic(str(folder)) or not folder.is_dir():
        if folder.parent == folder:
            break
        wanted, folder = folder.name, folder.parent
    try:
        names = sorted(entry.name for entry in os.scandir(folder))
    except OSError:
        names = []
    videos = [name for name in names if Path(name).suffix.lower() in _ENDINGS]
    near = _nearest(wanted, videos) or _nearest(wanted, names)
    shown = folder if str(folder) != "." else Path.cwd()
    return WorkbenchError(
        f"No video matches '{text}'.", f"Looked in {shown}; closest: {near}." if near else f"Looked in {shown}."
    )


def _nearest(wanted: str, names: list[str]) -> str | None:
    """Return the nearest name; what comes before the ending counts first."""
    stems = {Path(name).stem: name for name in reversed(names)}
    near = did_you_mean("".join(letter for letter in Path(wanted).stem if letter not in "*?[]"), stems)
    return stems[near] if near is not None else did_you_mean(wanted, names)
