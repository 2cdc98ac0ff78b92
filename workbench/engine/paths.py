"""Paths for people: a table that repeats a long folder in each row tells nothing but its file names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

__all__ = ["short_names"]


def short_names(paths: Iterable[Any]) -> dict[str, str]:
    """Return the shortest end of each path that tells it from the others: its file name, where that is enough.

    What is no text is left out.

    >>> short_names(["/data/a/cam1.mp4", "/data/b/cam1.mp4", "/data/b/cam2.mp4", "sample:street"])
    {'/data/a/cam1.mp4': 'a/cam1.mp4', '/data/b/cam1.mp4': 'b/cam1.mp4', '/data/b/cam2.mp4': 'cam2.mp4', \
'sample:street': 'sample:street'}
    """
    parts = {path: PurePath(path).parts for path in dict.fromkeys(path for path in paths if isinstance(path, str))}
    length = dict.fromkeys(parts, 1)
    while True:
        found = {path: str(PurePath(*parts[path][-length[path] :])) if parts[path] else path for path in parts}
        shown: dict[str, list[str]] = {}
        for path, name in found.items():
            shown.setdefault(name, []).append(path)
        longer = [p for same in shown.values() if len(same) > 1 for p in same if length[p] < len(parts[p])]
        if not longer:
            return found
        for path in longer:
            length[path] += 1
