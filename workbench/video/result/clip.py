"""Clips: a stretch of a video as a small file that browsers play, kept in the store."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.engine.units import format_bytes, format_clock
from workbench.video.source import Source

__all__ = ["Clip", "Stretch", "cut", "title_of", "write_stretches"]

#: a clip of more bytes is linked, not embedded
EMBED_LIMIT = 8 * 2**20
#: goes into the key of kept clips; a new look must not meet old files
_VERSION = "1"
_MIME = {".mp4": "video/mp4", ".webm": "video/webm"}

Boxes = Mapping[int, tuple[NDArray[np.float64], Sequence[str]]]


@dataclass(frozen=True)
class Stretch:
    """Frames of one source, with the boxes to draw on them.

    Attributes
    ----------
    source : Source
    frames : int64 (n,)
        Source indices, ascending.
    boxes : mapping
        For a source index the boxes (k, 4) in px and their labels.
    """

    source: Source
    frames: NDArray[np.int64]
    boxes: Boxes


@dataclass(frozen=True)
class Clip:
    """A part of a video around an event; plays inline.

    Attributes
    ----------
    path : Path
        The file, H.264 in MP4; in the store, so copy what is to stay.
    frame_range : (int, int)
        First and last frame of the source in it.
    offset : float
        Time of its first frame in the source, s.
    time : float or None
        Where a player opens it, in seconds of the source; at its beginning by default.
    hits : sequence of (start, end, label)
        The events in it, in seconds of the source.
    """

    path: Path
    video: str
    frame_range: tuple[int, int]
    offset: float
    fps: float
    width: int
    height: int
    title: str = ""
    poster: bytes = b""
    time: float | None = None
    hits: Sequence[tuple[float, float, str]] = ()

    @cached_property
    def data(self) -> bytes:
        """The file's bytes."""
        return self.path.read_bytes()

    @property
    def mime(self) -> str:
        """The file's MIME type."""
        return _MIME.get(self.path.suffix, "application/octet-stream")

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __repr__(self) -> str:
        first, last = self.frame_range
        return f"<Clip of {self.video}: frames {first} to {last}, {self.width}x{self.height}>"

    def state(self) -> dict[str, Any]:
        """Return the state of the player module; the asset is a data URI if the file is small enough."""
        small = self.path.stat().st_size <= EMBED_LIMIT
        return {
            "asset": f"data:{self.mime};base64,{base64.b64encode(self.data).decode()}" if small else "",
            "mime": self.mime,
            "source": "" if small else os.fspath(self.path),
            "width": self.width,
            "height": self.height,
            "fps": self.fps,
            "time": self.offset if self.time is None else self.time,
            "offset": self.offset,
            "regions": [],
            "hits": [{"start": start, "end": end, "label": label} for start, end, label in self.hits],
            "frames": [],
        }

    def view_data(self) -> dict[str, Any]:
        """Return the blocks that the notebook draws."""
        block = {
            "kind": "clip",
            "state": self.state(),
            "path": os.fspath(self.path),
            "title": self.title,
            "poster": self.poster,
        }
        return {"title": self.title, "blocks": [block]}

    def explain(self) -> str:
        """Return what the clip shows."""
        first, last = self.frame_range
        return f"frames {first} to {last} of {self.video}, {format_bytes(self.path.stat().st_size)}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        from workbench.engine.render import mimebundle

        return mimebundle(self, include, exclude)


def cut(
    stretch: Stretch,
    *,
    height: int,
    title: str,
    quality: int | None = None,
    most_bytes: int | None = None,
    poster: Stretch | None = None,
    time: float | None = None,
    hits: Sequence[tuple[float, float, str]] = (),
) -> Clip | None:
    """Return the clip of a stretch, written once and then found in the store.

    Parameters
    ----------
    stretch : Stretch
        At least one frame.
    height : int
        Lines of the clip at most; a smaller video keeps its size.
    title : str
    quality : int, optional
        Of H.264, lower is better.
    most_bytes : int, optional
        None is returned if the file is larger.
    poster : Stretch, optional
        The frame that stands for the clip, with its boxes; by default the middle one.
    time, hits
        As for `Clip`.
    """
    import tempfile
    from time import perf_counter

    from workbench.engine import store as artefacts
    from workbench.video.operators.encode import fitted

    source = stretch.source
    info = source.info()
    width, lines = fitted(info.width, info.height, height)
    name = artefacts.key(
        "clip", _VERSION, source.video_id(), stretch.frames, height, quality, _facts(stretch)
    )  # fmt: skip
    kept = artefacts.store().get_file(name)
    if kept is None:
        began = perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            made = write_stretches(Path(folder) / "clip.mp4", [stretch], width=width, height=lines, quality=quality)
            kept = artefacts.store().put_file(name, made, suffix=".mp4", kind="clip", cost_s=perf_counter() - began)
            # Where the store is full or cannot be written, the clip stays beside for this process.
            kept = kept if kept is not None else _outside(made)
    picture = _poster(poster or _middle(stretch), width, lines)
    if most_bytes is not None and kept.stat().st_size > most_bytes:
        return None
    times = source.times()
    first, last = int(stretch.frames[0]), int(stretch.frames[-1])
    return Clip(
        kept,
        source.name,
        (first, last),
        float(times[first]),
        _rate(times, stretch.frames),
        width,
        lines,
        title,
        picture,
        time,
        hits,
    )


def write_stretches(
    path: Path,
    stretches: Sequence[Stretch],
    *,
    width: int,
    height: int,
    codec: str = "h264",
    quality: int | None = None,
) -> Path:
    """Write stretches one after another into one video file of this size."""
    from workbench.video.operators.encode import write_video

    def pictures() -> Iterator[tuple[float, NDArray[np.uint8]]]:
        begin = 0.0
        for stretch in stretches:
            times = stretch.source.times()[stretch.frames]
            for time, image in _drawn(stretch, width, height):
                yield begin + time - times[0], image
            begin += float(times[-1] - times[0]) + 1.0 / _rate(stretch.source.times(), stretch.frames)

    rate = _rate(stretches[0].source.times(), stretches[0].frames)
    return write_video(path, pictures(), fps=rate, width=width, height=height, codec=codec, quality=quality)


def _drawn(stretch: Stretch, width: int, height: int) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Yield (seconds, picture) of a stretch, with its boxes and no larger than needed."""
    import cv2

    from workbench.video.operators.encode import draw_boxes

    for frame, time, image in stretch.source.frames_at(stretch.frames):
        scale = min(1.0, width / image.shape[1], height / image.shape[0])
        if scale < 1.0:
            size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        boxes, labels = stretch.boxes.get(int(frame), (np.empty((0, 4)), ()))
        yield time, draw_boxes(image, boxes * scale, list(labels)) if len(boxes) else image


def _rate(times: NDArray[np.float64], frames: NDArray[np.int64]) -> float:
    """Return pictures per second of these frames."""
    steps = np.diff(times[frames]) if len(frames) > 1 else np.diff(times)
    step = float(np.median(steps)) if len(steps) else 0.04
    return float(min(max(1.0 / step, 0.1), 240.0)) if step > 0 else 25.0


def _middle(stretch: Stretch) -> Stretch:
    return Stretch(stretch.source, stretch.frames[len(stretch.frames) // 2 :][:1], stretch.boxes)


def _poster(one: Stretch, width: int, height: int) -> bytes:
    """Return the picture of one frame; kept, since a frame in the middle of a group costs all before it."""
    from workbench.engine import store as artefacts
    from workbench.video.operators.encode import jpeg

    shown = {frame: boxes for frame, boxes in one.boxes.items() if frame in one.frames}
    name = artefacts.key(
        "poster",
        _VERSION,
        one.source.video_id(),
        one.frames,
        width,
        height,
        _facts(Stretch(one.source, one.frames, shown)),
    )
    if (kept := artefacts.store().get_file(name)) is not None:
        return Path(kept).read_bytes()
    for _, image in _drawn(one, width, height):
        picture = jpeg(image, 75)
        artefacts.store().put_file(name, picture, suffix=".jpg", kind="clip", cost_s=0.1)
        return picture
    return b""


def _facts(stretch: Stretch) -> dict[str, Any]:
    """Return the boxes as part of a key."""
    return {str(frame): [boxes, list(labels)] for frame, (boxes, labels) in stretch.boxes.items()}


def _outside(path: Path) -> Path:
    import atexit
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="workbench-clip-"))
    atexit.register(shutil.rmtree, folder, True)
    return Path(shutil.copy2(path, folder / path.name))


def title_of(event: int, start: float, end: float) -> str:
    """Return the words above a clip."""
    return f"event {event}: {format_clock(start)} to {format_clock(end)}"
