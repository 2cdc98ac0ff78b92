"""What a report carries: the parts taken out of outputs, the views and plots that need them, and which clips fit."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape, unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MODULES", "Asset", "Bundle", "Clip", "Parts", "choose", "frame", "read_bundle"]

#: the ES modules that exist; a view of another name is left to its static form
MODULES = tuple(sorted(path.stem for path in (Path(__file__).parents[1] / "static").glob("*.js")))

_DATA = re.compile(r"data:[\w.+-]+/[\w.+-]+(?:;[\w=.+-]+)*;base64,[A-Za-z0-9+/=\s]{512,}")
_TOKEN = re.compile(r"data:wb-part-([0-9a-f]{24}),")
_HOLDER = re.compile(r"""<(?P<tag>[a-z]+)\b[^>]*?\sdata-wb-asset="(?P<id>[^"]*)"[^>]*>""", re.IGNORECASE)


@dataclass
class Asset:
    """One row of `Report.assets`."""

    kind: str
    name: str
    cell: int
    bytes: int
    included: bool = True


class Parts:
    """Long data URIs, taken out of the text while it is worked on and put back at the end."""

    def __init__(self) -> None:
        self._kept: dict[str, str] = {}

    def take(self, text: str) -> str:
        """Return `text` with a short token in place of each long data URI."""
        return _DATA.sub(lambda match: self.keep(match.group()), text)

    def keep(self, uri: str) -> str:
        """Return the token of one data URI; equal URIs share one."""
        name = hashlib.sha256(uri.encode()).hexdigest()[:24]
        self._kept[name] = re.sub(r"\s", "", uri)
        return f"data:wb-part-{name},"

    def put_back(self, text: str) -> str:
        """Return `text` with the data URIs in place of their tokens."""
        return _TOKEN.sub(lambda match: self._kept.get(match.group(1), match.group()), text)

    def size(self, text: str) -> int:
        """Return the bytes, before base64, of the first data URI or token in `text`; 0 where there is none."""
        found = _TOKEN.search(text)
        uri = self._kept.get(found.group(1), "") if found else text
        head, _, body = uri.partition(",")
        if not head.endswith(";base64"):
            return len(body)
        return len(body) * 3 // 4 - body[-2:].count("=")

    def kind(self, text: str) -> str:
        """Return the MIME type of the data URI or token."""
        found = _TOKEN.search(text)
        uri = self._kept.get(found.group(1), "") if found else text
        return uri[5:].partition(",")[0].partition(";")[0]


@dataclass
class Clip:
    """A clip of one output, by its rank there."""

    bundle: int
    rank: int
    asset: str
    token: str
    bytes: int
    row: Asset


@dataclass
class Bundle:
    """One output of ours: its HTML, its views, its clips."""

    cell: int
    html: str
    views: list[dict[str, Any]]
    clips: list[Clip] = field(default_factory=list)

    def element(self, asset: str) -> tuple[int, int, str] | None:
        """Return start, end and text of the element that holds an asset."""
        for match in _HOLDER.finditer(self.html):
            if unescape(match["id"]) == asset:
                close = re.compile(rf"</{match['tag']}\s*>", re.IGNORECASE).search(self.html, match.end())
                void = match["tag"].lower() in ("img", "source", "input")
                end = match.end() if void or close is None else close.end()
                return match.start(), end, self.html[match.start() : end]
        return None

    def replace(self, asset: str, html: str) -> None:
        """Put `html` in place of the element that holds an asset."""
        found = self.element(asset)
        if found is not None:
            self.html = self.html[: found[0]] + html + self.html[found[1] :]

    def leave_out(self, asset: str, note: str) -> None:
        """Put the poster and a note in place of a clip, and drop the views that would play it."""
        found = self.element(asset)
        poster = attribute(found[2], "poster") if found is not None else ""
        image = f'<img src="{escape(poster)}" alt="{escape(note)}">' if poster else ""
        self.replace(asset, f'<div class="wb-left-out">{image}<p>{escape(note)}</p></div>')
        self.views = [view for view in self.views if asset_of(view) != asset or view["module"] != "player"]


def asset_of(view: Mapping[str, Any]) -> str:
    """Return the id under which a view's clip is stored in the HTML."""
    return str(view["state"].get("asset") or view["id"])


def attribute(html: str, name: str) -> str:
    """Return an attribute's value from the first tag that has it, or an empty text."""
    found = re.search(rf"""\s{name}=(?:"([^"]*)"|'([^']*)')""", html, re.IGNORECASE)
    return unescape(found.group(1) or found.group(2) or "") if found else ""


def read_bundle(data: Mapping[str, Any], html: str, cell: int, number: int, parts: Parts) -> Bundle | None:
    """Return the bundle of an output with `view+json`, or None if nothing in it can be shown by a module.

    Parameters
    ----------
    data : mapping
        The content of `application/vnd.workbench.view+json`.
    html : str
        The same output's `text/html`, its long data URIs already taken by `parts`.
    cell, number : int
        Index of the cell; index of the bundle in the report.
    """
    views = [
        {"module": view["module"], "id": str(view["id"]), "state": dict(view["state"])}
        for view in data.get("views", ())
        if isinstance(view, dict) and {"module", "id", "state"} <= view.keys()
        if view["module"] in MODULES and isinstance(view["state"], dict)
    ]
    if not views:
        return None
    bundle = Bundle(cell, html, views)
    for view in views:
        state = view["state"]
        if str(state.get("asset", "")).startswith("data:"):
            # A state that carries its clip itself: stored once, in the HTML, like the others.
            source = parts.take(state["asset"])
            state["asset"] = view["id"]
            if bundle.element(view["id"]) is None:
                bundle.html += f'<video controls data-wb-asset="{escape(view["id"])}" src="{escape(source)}"></video>'
    for rank, match in enumerate(_HOLDER.finditer(bundle.html)):
        asset = unescape(match["id"])
        found = bundle.element(asset)
        source = attribute(found[2], "src") if found is not None else ""
        if found is None or not parts.kind(source).startswith("video/"):
            continue
        name = next((attribute(match.group(), key) for key in ("data-wb-name", "aria-label", "title")
                     if attribute(match.group(), key)), asset)  # fmt: skip
        size = parts.size(source)
        bundle.clips.append(Clip(number, rank, asset, source, size, Asset("clip", name, cell, size)))
    return bundle


def choose(clips: Iterable[Clip], limit: int) -> list[Clip]:
    """Return the clips that do not fit in `limit` bytes; clips enter by rank in their output, then by cell."""
    taken: set[str] = set()
    used, left = 0, []
    for clip in sorted(clips, key=lambda clip: (clip.rank, clip.row.cell, clip.bundle)):
        if clip.token in taken:
            continue
        if used + clip.bytes <= limit:
            used += clip.bytes
            taken.add(clip.token)
        else:
            clip.row.included = False
            left.append(clip)
    return left


def frame(rows: Iterable[Asset]) -> pd.DataFrame:
    """Return the table of assets."""
    import pandas as pd

    listed = list(rows)
    return pd.DataFrame(
        {
            "kind": pd.array([row.kind for row in listed], dtype="str"),
            "name": pd.array([row.name for row in listed], dtype="str"),
            "cell": pd.array([row.cell for row in listed], dtype="int64"),
            "bytes": pd.array([row.bytes for row in listed], dtype="int64"),
            "included": pd.array([row.included for row in listed], dtype="bool"),
        }
    )


def image_embedder(folder: Path) -> Any:
    """Return `embed(src)`: the data URI of an image file at or below `folder`, None where there is none."""
    import mimetypes

    root = folder.resolve()

    def embed(source: str) -> str | None:
        if re.match(r"[a-z][a-z0-9+.-]*:|/", source, re.IGNORECASE):
            return None
        from urllib.parse import unquote

        path = (root / unquote(source.partition("?")[0].partition("#")[0])).resolve()
        kind = mimetypes.guess_type(path.name)[0] or ""
        if not path.is_relative_to(root) or not kind.startswith("image/") or not path.is_file():
            return None
        return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"

    return embed


def cut_clip(
    state: dict[str, Any], folder: Path, roots: Iterable[Path] | None
) -> tuple[str, str, dict[str, Any]] | None:
    """Return (data URI, poster URI, changed state) of a clip cut from a player's `source`, None if it cannot be.

    The stretch is the first hit and 1 s on each side; without hits the first 30 s.
    """
    from workbench.engine.errors import WorkbenchError
    from workbench.video.result.clip import Stretch, cut
    from workbench.video.source import open_sources

    named = str(state.get("source") or "")
    path = Path(os.path.expanduser(named))
    path = path if path.is_absolute() else folder / path
    if not named or not path.is_file():
        return None
    if roots is not None and not any(path.resolve().is_relative_to(root.resolve()) for root in roots):
        return None
    offset = float(state.get("offset") or 0.0)
    hits = sorted((hit["start"], hit["end"]) for hit in state.get("hits") or ())
    start, end = (hits[0][0] - 1.0 - offset, hits[0][1] + 1.0 - offset) if hits else (0.0, 30.0)
    try:
        source = open_sources(str(path))[0]
        times = source.times()
        wanted = ((times >= start - 1e-6) & (times < end - 1e-6)).nonzero()[0]
        if not len(wanted):
            return None
        clip = cut(Stretch(source, wanted, {}), height=480, title="")
        if clip is None:
            return None
        content = clip.data
    except (WorkbenchError, OSError, ValueError, binascii.Error):
        return None
    uri = f"data:{clip.mime};base64,{base64.b64encode(content).decode()}"
    poster = f"data:image/jpeg;base64,{base64.b64encode(clip.poster).decode()}" if clip.poster else ""
    changed = {**state, "mime": clip.mime, "fps": clip.fps, "offset": offset + clip.offset}
    return uri, poster, changed
