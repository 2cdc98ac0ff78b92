"""Pictures out: video files that browsers play, JPEG bytes, boxes drawn on frames, contact sheets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.engine.errors import WorkbenchError, suggest

__all__ = ["CODECS", "contact_sheet", "draw_boxes", "fitted", "jpeg", "write_video"]

Image = NDArray[np.uint8]

#: codec -> (FFmpeg's encoder, its options, the endings of files that hold it in browsers)
CODECS: dict[str, tuple[str, dict[str, str], tuple[str, ...]]] = {
    "h264": ("libx264", {"preset": "veryfast", "crf": "23"}, (".mp4", ".m4v", ".mov", ".mkv")),
    "vp9": (
        "libvpx-vp9",
        {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "crf": "33", "b": "0"},
        (".webm", ".mkv", ".mp4"),
    ),
    "av1": ("libsvtav1", {"preset": "9", "crf": "35"}, (".mp4", ".webm", ".mkv")),
}
#: Ticks a second of the files that are written: every usual frame rate falls on whole ticks.
_TICKS = 90_000
_SHEET_MOST = 24
#: Greys of a contact sheet: paper, an empty place, ink. Dark, since it stands on white pages and on black ones.
_PAPER, _PLACE, _INK = 34, 22, 225
#: Line colours by label (BGR): easy to tell apart, also for the colour-blind.
_PALETTE = (
    (39, 127, 255), (180, 119, 31), (86, 180, 0), (167, 121, 204), (0, 94, 213), (233, 180, 86), (66, 228, 240),
    (189, 103, 148),
)  # fmt: skip


def write_video(
    path: str | os.PathLike[str],
    frames: Iterable[Image] | Iterable[tuple[float, Image]],
    *,
    fps: float,
    width: int,
    height: int,
    codec: str = "h264",
    quality: int | None = None,
    threads: int = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a video that browsers play: 8-bit 4:2:0, even sizes, and in MP4 with the index in front.

    Parameters
    ----------
    path : path-like
        Where to; an existing file is replaced once the new one is whole. `h264` and `av1` are for `.mp4`, `vp9` is for
        `.webm`.
    frames : iterable of uint8 (height, width, 3), or of (seconds, picture)
        BGR. Of another size, they are scaled to fit, with black bars. With seconds (ascending) the file keeps these
        times, counted from the first; without, frames follow at `fps`.
    fps : float
        Frames per second (with seconds: nominal).
    width, height : int
        px; odd sizes are rounded up by one.
    codec : {"h264", "vp9", "av1"}
    quality : int, optional
        Constant rate factor: lower is better and larger; by default 23, 33 and 35.
    threads : int
        Encoder threads; 0 lets the encoder choose.
    options : dict, optional
        The encoder's own options, over ours.

    Returns
    -------
    Path

    Raises
    ------
    WorkbenchError
        For a codec that is not known or not in this build of PyAV, an ending that cannot hold it, or no frames.
    """
    import av

    target = Path(path)
    encoder, settings = _encoder(codec, target)
    if quality is not None:
        settings["crf"] = str(quality)
    settings |= options or {}
    if not fps > 0 or not np.isfinite(fps):
        raise WorkbenchError(f"fps must be a number above 0, got {fps!r}.", "Write fps=25.")
    width, height = max(2, width + width % 2), max(2, height + height % 2)
    partial = target.with_name(f".{target.stem}.partial{target.suffix}")
    muxing = {"movflags": "+faststart"} if target.suffix.lower() in (".mp4", ".m4v", ".mov") else {}
    written = 0
    try:
        with _own_priority(), av.open(os.fspath(partial), "w", options=muxing) as container:
            stream = container.add_stream(encoder, rate=Fraction(fps).limit_denominator(60_000), options=settings)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.time_base = stream.codec_context.time_base = Fraction(1, _TICKS)
            stream.codec_context.thread_count = threads
            # Browsers take unmarked video for BT.709; PyAV converts by BT.601, so the file says so.
            context = stream.codec_context
            context.colorspace, context.color_range = 5, 1
            last, begin = -1, None
            for item in frames:
                if isinstance(item, tuple):
                    seconds, image = item
                    begin = seconds if begin is None else begin
                    ticks = round((seconds - begin) * _TICKS)
                else:
                    image, ticks = item, round(written / fps * _TICKS)
                picture = av.VideoFrame.from_ndarray(_fit(image, width, height), format="bgr24")
                picture = picture.reformat(format="yuv420p", dst_colorspace=5, dst_color_range=1)
                last = picture.pts = max(ticks, last + 1)
                picture.time_base = Fraction(1, _TICKS)
                picture.pict_type = 0
                container.mux(stream.encode(picture))
                written += 1
            if written:
                container.mux(stream.encode(None))
        if not written:
            raise WorkbenchError(f"There are no frames to write to {target.name}.", "Choose events that have frames.")
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return target


@contextmanager
def _own_priority() -> Iterator[None]:
    """Leave this thread as urgent as it was: SVT-AV1 makes the one that opens it a real-time thread where it may."""
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != before[0]:
            os.sched_setscheduler(0, *before)


def draw_boxes(
    image: Image,
    boxes: NDArray[np.float64],
    labels: Sequence[str] = (),
    *,
    colors: Sequence[tuple[int, int, int]] | None = None,
) -> Image:
    """Return a copy of a picture with boxes and their labels drawn on it.

    Parameters
    ----------
    image : uint8 (height, width, 3)
        BGR.
    boxes : float64 (n, 4)
        x1, y1, x2, y2 in px.
    labels : sequence of str
        One for each box, or none. Boxes of one label (up to its first space or `#`) share a colour.
    colors : sequence of (blue, green, red), optional
        A colour for each box in place of those.
    """
    import cv2

    drawn = np.ascontiguousarray(image).copy()
    height, width = drawn.shape[:2]
    thick = max(1, round(height / 270))
    size = min(1.0, max(0.38, height / 1000))
    for row, (x1, y1, x2, y2) in enumerate(np.asarray(boxes, np.float64).reshape(-1, 4)):
        label = str(labels[row]) if row < len(labels) else ""
        color = colors[row] if colors is not None else _color(label)
        corner = (int(np.clip(round(x1), 0, width - 1)), int(np.clip(round(y1), 0, height - 1)))
        other = (int(np.clip(round(x2) - 1, 0, width - 1)), int(np.clip(round(y2) - 1, 0, height - 1)))
        cv2.rectangle(drawn, corner, other, color, thick, cv2.LINE_8)
        if label:
            _write(drawn, _plain(label), corner, other, color, size, thick)
    return drawn


def jpeg(image: Image, quality: int = 80) -> bytes:
    """Return a BGR picture as JPEG bytes (`quality` 1 to 100)."""
    import cv2

    done, data = cv2.imencode(".jpg", np.ascontiguousarray(image), [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    if not done:
        raise WorkbenchError(f"A picture of shape {image.shape} cannot be written as JPEG.", "Give uint8 BGR pictures.")
    return bytes(data.tobytes())


def contact_sheet(
    crops: Sequence[Image],
    captions: Sequence[str] = (),
    *,
    columns: int = 8,
    cell: tuple[int, int] = (112, 96),
    quality: int = 72,
) -> bytes:
    """Return one JPEG with pictures side by side.

    Parameters
    ----------
    crops : sequence of uint8 (height, width, 3)
        BGR; the first 24 are shown. Each keeps its shape inside its cell; an empty one leaves its cell empty.
    captions : sequence of str
        One line below each picture, or none.
    columns : int
        Pictures in a row at most.
    cell : (int, int)
        Width and height of a picture's place in px.
    quality : int
        JPEG quality, 1 to 100.

    Returns
    -------
    bytes
        Empty without pictures.
    """
    import cv2

    shown = crops[:_SHEET_MOST]
    if not shown:
        return b""
    width, height = cell
    line = 16 if any(captions) else 0
    across = min(columns, len(shown))
    down = -(-len(shown) // across)
    gap = 4
    sheet = np.full((down * (height + line + gap) + gap, across * (width + gap) + gap, 3), _PAPER, np.uint8)
    for number, image in enumerate(shown):
        x = gap + number % across * (width + gap)
        y = gap + number // across * (height + line + gap)
        sheet[y : y + height, x : x + width] = _fit(image, width, height, fill=_PLACE) if image.size else _PLACE
        if line and number < len(captions):
            text = _plain(str(captions[number]))
            while text and cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.36, 1)[0][0] > width:
                text = text[:-1]
            place = (x + 1, y + height + 12)
            cv2.putText(sheet, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (_INK,) * 3, 1, cv2.LINE_AA)
    return jpeg(sheet, quality)


def fitted(width: int, height: int, most: int) -> tuple[int, int]:
    """Return the even size of a picture scaled down to at most `most` lines; a smaller one keeps its size."""
    scale = min(1.0, most / height)
    return tuple(max(2, 2 * round(side * scale / 2)) for side in (width, height))  # type: ignore[return-value]


def _encoder(codec: str, path: Path) -> tuple[str, dict[str, str]]:
    import av

    if codec not in CODECS:
        raise WorkbenchError(
            f"No codec is named '{codec}'.", suggest(str(codec), CODECS, "Use 'h264', 'vp9' or 'av1'.")
        )
    name, settings, endings = CODECS[codec]
    if path.suffix.lower() not in endings:
        raise WorkbenchError(
            f"{path.name}: a {path.suffix or 'nameless'} file cannot hold {codec} that browsers play.",
            f"Name it {path.stem}{endings[0]}.",
        )
    if name not in av.codecs_available:
        have = [known for known, (encoder, _s, _e) in CODECS.items() if encoder in av.codecs_available]
        raise WorkbenchError(f"This PyAV cannot write {codec}.", f"Use codec={have[0]!r}." if have else "Reinstall av.")
    if name == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "1")  # errors only: it writes a page to stderr for each file otherwise
    return name, dict(settings)


def _fit(image: Image, width: int, height: int, *, fill: int = 0) -> Image:
    """Scale a picture into a place, keeping its shape."""
    import cv2

    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    lines, columns = image.shape[:2]
    canvas: Any = np.full((height, width, 3), fill, np.uint8)
    if (lines, columns) != (height, width) and 0 <= height - lines <= 1 and 0 <= width - columns <= 1:
        # An odd size, rounded up: repeat the edge rather than blur the whole picture.
        return np.pad(image, ((0, height - lines), (0, width - columns), (0, 0)), mode="edge")
    scale = min(width / columns, height / lines)
    inner = (max(1, min(width, round(columns * scale))), max(1, min(height, round(lines * scale))))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    x, y = (width - inner[0]) // 2, (height - inner[1]) // 2
    canvas[y : y + inner[1], x : x + inner[0]] = cv2.resize(np.ascontiguousarray(image), inner, interpolation=how)
    return canvas


def _color(label: str) -> tuple[int, int, int]:
    import zlib

    name = label.split("#")[0].split(" ")[0]
    return _PALETTE[zlib.crc32(name.encode()) % len(_PALETTE)] if name else _PALETTE[0]


def _plain(text: str) -> str:
    # OpenCV's fonts have ASCII only; another letter is drawn as several question marks.
    return text.encode("ascii", "replace").decode()


def _write(
    image: Image, text: str, corner: tuple[int, int], other: tuple[int, int], color: Any, size: float, thick: int
) -> None:
    """Write a label on a filled bar above its box, or inside where there is no room above."""
    import cv2

    (wide, high), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    x = max(0, min(corner[0] - thick // 2, image.shape[1] - wide - 4))
    top = corner[1] - high - base - 1
    top = top if top >= 0 else min(corner[1], image.shape[0] - high - base - 1)
    cv2.rectangle(image, (x, max(0, top)), (x + wide + 4, max(0, top) + high + base), color, cv2.FILLED)
    dark = 0.114 * color[0] + 0.587 * color[1] + 0.299 * color[2] < 140
    ink = (255, 255, 255) if dark else (0, 0, 0)
    cv2.putText(image, text, (x + 2, max(0, top) + high + 1), cv2.FONT_HERSHEY_SIMPLEX, size, ink, 1, cv2.LINE_AA)
