"""A result's boxes in the formats of other tools: COCO and MOT."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.engine.errors import WorkbenchError

__all__ = ["to_coco", "to_mot", "writing"]


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in two lines why a file cannot be written."""
    try:
        yield
    except OSError as error:
        there = path.parent.is_dir()
        raise WorkbenchError(
            f"{path} cannot be written ({error.strerror or error}).",
            "Choose another place, or make room." if there else f"There is no folder {path.parent}; make it first.",
        ) from error


def distinct_rows(frames: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `.frames`, each (video, frame, id) once, by video order, frame and id."""
    rows = frames.drop_duplicates(["video", "frame", "id"])
    order = {video: index for index, video in enumerate(dict.fromkeys(frames["video"]))}
    return rows.sort_values(
        ["video", "frame", "id"], key=lambda column: column.map(order) if column.name == "video" else column
    ).reset_index(drop=True)


def to_coco(
    frames: pd.DataFrame, sizes: Mapping[str, tuple[int, int]], path: str | os.PathLike[str] | None = None
) -> dict[str, Any]:
    """Return (and write) the boxes as COCO annotations.

    Parameters
    ----------
    frames : DataFrame
        The result's `.frames`.
    sizes : mapping
        Width and height in px of each video.
    path : path, optional
        Where to write the JSON.

    Returns
    -------
    dict
        `images` (file_name `video#frame`), `annotations` (`bbox` is x, y, width, height in px; `score` is null on
        interpolated rows) and `categories`; ids count from 1.
    """
    rows = distinct_rows(frames)
    categories = {name: index for index, name in enumerate(sorted(set(rows["label"])), start=1)}
    images: dict[tuple[str, int], int] = {}
    annotations: list[dict[str, Any]] = []
    for row in rows.itertuples(index=False):
        image = images.setdefault((row.video, int(row.frame)), len(images) + 1)
        width, height = float(row.x2 - row.x1), float(row.y2 - row.y1)
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": image,
                "category_id": categories[row.label],
                "bbox": [float(row.x1), float(row.y1), width, height],
                "area": width * height,
                "iscrowd": 0,
                "score": None if pd.isna(row.score) else float(row.score),
                "track_id": int(row.id),
            }
        )
    document = {
        "images": [
            {"id": index, "file_name": f"{video}#{frame}", "width": sizes[video][0], "height": sizes[video][1]}
            for (video, frame), index in images.items()
        ],
        "annotations": annotations,
        "categories": [{"id": index, "name": name} for name, index in categories.items()],
    }
    if path is not None:
        _write(Path(path), json.dumps(document, allow_nan=False))
    return document


def to_mot(frames: pd.DataFrame, videos: list[str], path: str | os.PathLike[str]) -> Path:
    """Write the boxes as MOT text: `frame+1,id,x,y,w,h,score,-1,-1,-1`; interpolated rows have score -1.

    Parameters
    ----------
    frames : DataFrame
        The result's `.frames`.
    videos : list of str
        All videos of the result; for more than one, `path` is a folder with a file for each.
    path : path

    Returns
    -------
    Path
        The file or folder.
    """
    rows, target = distinct_rows(frames), Path(path)
    if len(videos) <= 1:
        _write(target, _mot_text(rows))
        return target
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
    used: set[str] = set()
    for video in videos:
        stem = name = Path(video).stem or "video"
        while name in used:
            name = f"{stem}-{len(used) + 1}"
        used.add(name)
        _write(target / f"{name}.txt", _mot_text(rows[rows["video"] == video]))
    return target


def _mot_text(rows: pd.DataFrame) -> str:
    lines = []
    for row in rows.itertuples(index=False):
        score = -1 if pd.isna(row.score) else row.score
        numbers = (row.x1, row.y1, row.x2 - row.x1, row.y2 - row.y1, score)
        lines.append(f"{row.frame + 1},{row.id}," + ",".join(f"{float(n):.10g}" for n in numbers) + ",-1,-1,-1\n")
    return "".join(lines)


def _write(path: Path, text: str) -> None:
    # A temporary name, then a rename: no half file where another tool looks for a whole one.
    partial = path.with_name(path.name + ".part")
    with writing(path):
        try:
            partial.write_text(text, encoding="utf-8")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
