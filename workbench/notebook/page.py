"""The blocks of a result as one output: text, static HTML without script, a picture, and the states of its views.

Every string that reaches HTML passes `escape`. Element ids come from a counter in the output, so the same result gives
the same output.
"""

from __future__ import annotations

import base64
import html
import io
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from workbench.engine import ranked as words
from workbench.engine.units import format_bytes
from workbench.notebook import charts, curves, ranked, tables
from workbench.notebook.config import settings
from workbench.notebook.draw import Drawing
from workbench.notebook.svg import clean_svg
from workbench.notebook.theme import STYLE, plotly_template, root_class

__all__ = ["Page", "escape", "note_html", "note_text", "plain", "wrap"]

_VIEW_BYTES = 2 * 2**20  # a larger state stays out of the notebook
_RANKED_ROWS = 200

escape = html.escape


def wrap(inner: str) -> str:
    """Return HTML as one output: our root element with its style sheet."""
    return f'<div class="{root_class(settings().theme)}"><style>{STYLE}</style>{inner}</div>'


class Page:
    """The blocks of one output, drawn once for text, HTML and views."""

    def __init__(self, blocks: list[dict[str, Any]]) -> None:
        self.blocks = blocks
        self.views: list[dict[str, Any]] = []
        self.states: list[tuple[str, dict[str, Any]]] = []
        self.figures: list[dict[str, Any]] = []
        self._drawings: list[Drawing] = []
        self._posters: list[bytes] = []
        self._assets = 0
        self.lines: list[str] = []
        self.parts: list[str] = []
        self._tables = 0
        self._left = settings().clip_bytes
        for kind, group in _grouped(blocks):
            if kind == "clip":
                self._clips(group)
            else:
                for block in group:
                    _DRAW.get(kind, Page._unknown)(self, block)

    def text(self) -> str:
        return "\n".join(part for part in self.lines if part)

    def html(self) -> str:
        return wrap("".join(self.parts))

    def png(self) -> bytes | None:
        if self._posters:
            return _small_png(self._posters[0])
        theme = settings().theme
        return self._drawings[0].png(theme) if self._drawings else None

    # blocks without a module

    def _summary(self, block: dict[str, Any]) -> None:
        self.lines.append(str(block["text"]))
        self.parts.append(f'<div class="wb-summary">{escape(str(block["text"]))}</div>')

    def _note(self, block: dict[str, Any]) -> None:
        level = str(block.get("level", "info"))
        self.lines.append(note_text(level, str(block["text"])))
        self.parts.append(note_html(level, str(block["text"])))

    def _table(self, block: dict[str, Any]) -> None:
        frame, name = tables.as_pandas(block["frame"]), str(block.get("name") or "")
        limit = settings().display_limit
        if "limit" in block and limit == type(settings()).display_limit.default_value:
            limit = int(block["limit"])  # a result's own number of rows, unless the reader has set another
        self._tables += 1
        files = tuple(block.get("files") or ())
        text = block.get("text", True)  # False: what would only lengthen a log; or the text itself
        if isinstance(text, str):
            self.lines.append(text)
        elif text:
            self.lines.append(tables.table_text(frame, limit, title=name if self._tables > 1 else "", files=files))
        drawn = tables.table_html(frame, limit, title="" if self._tables > 1 else name, files=files)
        if self._tables > 1:
            count = "1 row" if len(frame) == 1 else f"{len(frame):,} rows"
            drawn = f"<details><summary>{escape(name or 'Table')} ({count})</summary>{drawn}</details>"
        self.parts.append(drawn)

    def _figure(self, block: dict[str, Any]) -> None:
        figure = plain(block["plotly"])
        layout = figure.setdefault("layout", {})
        layout.setdefault("template", plotly_template(settings().theme))
        layout.setdefault("autosize", True)
        self.figures.append(figure)
        self.lines.append(str(block.get("alt") or "figure"))
        state = _figure_state(figure)
        if state["series"]:
            self._chart(charts.curve(state), str(block.get("alt") or ""))
        else:
            self.parts.append(f'<div class="wb-muted">{escape(str(block.get("alt") or "figure"))}</div>')

    def _svg(self, block: dict[str, Any]) -> None:
        alt = str(block.get("alt") or "")
        # "" where the text form says it elsewhere
        self.lines.append(str(block.get("text", alt)))
        drawn = clean_svg(str(block["svg"]))
        drawn = f"<div>{drawn}</div>" if drawn else f'<div class="wb-muted">{escape(alt)}</div>'
        if block.get("fold"):  # of a group one is open at a time: a switch without a script
            group = f' name="{escape(str(block["group"]))}"' if block.get("group") else ""
            opened = " open" if block.get("open") else ""
            drawn = f"<details{group}{opened}><summary>{escape(str(block['fold']))}</summary>{drawn}</details>"
        self.parts.append(drawn)

    def _image(self, block: dict[str, Any]) -> None:
        alt = str(block.get("alt") or "")
        self.lines.append(alt)
        size = "".join(f' {side}="{int(block[side])}"' for side in ("width", "height") if block.get(side))
        source = _uri(block["data"], str(block.get("mime") or "image/jpeg"))
        self.parts.append(f'<div><img src="{escape(source)}" alt="{escape(alt)}"{size}></div>')

    def _plan(self, block: dict[str, Any]) -> None:
        # Text outputs are lines in a log: the plan is one `explain()` away and stays out of them.
        self.parts.append(f"<details><summary>Plan</summary>{block['plan'].explain('html')}</details>")

    def _code(self, block: dict[str, Any]) -> None:
        text, fold = str(block["text"]), str(block.get("fold") or "")
        drawn = f'<pre data-language="{escape(str(block.get("language") or ""))}">{escape(text)}</pre>'
        if fold:  # long text that few read: closed in a page, and not in a log at all
            self.parts.append(f"<details><summary>{escape(fold)}</summary>{drawn}</details>")
            return
        self.lines.append(text)
        self.parts.append(drawn)

    def _unknown(self, block: dict[str, Any]) -> None:
        raise ValueError(f"no block of kind {block.get('kind')!r} can be shown")

    # blocks with a module

    def _timeline(self, block: dict[str, Any]) -> None:
        state = dict(block["state"])
        self._left_out("bars", state, charts.BARS)
        drawing = charts.timeline(state)
        drawing.alt = str(block.get("alt") or drawing.alt)
        self._view("timeline", state, self._drawn(drawing))
        self._cut_note("bars", block["state"], charts.BARS)

    def _curve(self, block: dict[str, Any]) -> None:
        state = dict(block["state"])
        names = ", ".join(str(one.get("name", "")) for one in state.get("series") or [])
        # `text`: what its figures say in words
        self.lines.append(str(block.get("text", f"Curves: {names}")))
        longest = max((len(one["x"]) for one in state.get("series") or []), default=0)
        state["series"] = [charts.thinned(one) for one in state.get("series") or []]
        drawing = charts.curve(state)
        drawing.alt = str(block.get("alt") or drawing.alt)
        self._view("curve", state, curves.card_html(state, self._drawn(drawing)))
        if longest > charts.POINTS:
            self._say(
                f"{charts.POINTS:,} of {longest:,} points a series are drawn; each bucket's least and greatest are."
            )

    def _gantt(self, block: dict[str, Any]) -> None:
        state = dict(block["state"])
        self._left_out("bars", state, charts.GANTT_BARS)
        drawing = charts.gantt(state)
        self.lines.append(drawing.alt)
        self._view("gantt", state, self._drawn(drawing))
        self._cut_note("bars", block["state"], charts.GANTT_BARS)

    def _ranked(self, block: dict[str, Any]) -> None:
        state = dict(block["state"])
        if words.is_ranked(state):
            limit = settings().display_limit
            self.lines += words.lines(state, limit)
            self._left_out("rows", state, _RANKED_ROWS)
            if limit == 0:
                self.parts.append(f'<div class="wb-muted">{escape(self.lines[-1])}</div>')
                return
            self._drawings.append(ranked.drawing(state))
            self._view("ranked", state, ranked.table_html(state, self._inner))
            return
        import pandas as pd

        self._left_out("rows", state, _RANKED_ROWS)
        columns = [str(column.get("label") or column["name"]) for column in state.get("columns") or []]
        frame = pd.DataFrame(state.get("rows") or [], columns=columns)
        limit = settings().display_limit
        self.lines.append(tables.table_text(frame, limit))
        self._view("ranked", state, tables.table_html(frame, limit))
        self._cut_note("rows", block["state"], _RANKED_ROWS)

    def _region(self, block: dict[str, Any]) -> None:
        """Draw a frame with the corners on it; the module takes the same picture from here."""
        state, data = dict(block["state"]), block["state"]["asset"]
        drawing = charts.outline(state)
        name = state["asset"] = f"a{self._assets}"
        self._assets += 1
        self._posters.append(_bytes(data))
        self.lines.append(str(state["code"]))
        still = (
            f'<img src="{escape(_uri(data, "image/jpeg"))}" data-wb-asset="{name}" alt="{escape(drawing.alt)}" '
            f'width="{drawing.width:g}">{drawing.svg()}'
        )
        self._view("region", state, f'<div class="wb-drawn">{still}</div><pre>{escape(str(state["code"]))}</pre>')
        self.states[-1] = ("region", {**self.states[-1][1], "asset": _uri(data, "image/jpeg")})

    def _inner(self, blocks: list[dict[str, Any]]) -> str:
        """Draw the plain blocks inside another block; its text form leaves them out."""
        parts = []
        for block in blocks:
            if block["kind"] == "table":
                parts.append(tables.plain_html(block))
            elif block["kind"] in ("svg", "code", "note", "summary"):
                inner = Page([block])
                parts += inner.parts
        return "".join(parts)

    def _clips(self, blocks: list[dict[str, Any]]) -> None:
        parts, left_out = [], 0
        for block in blocks:
            part, inside = self._clip(block)
            parts.append(part)
            left_out += not inside
        self.parts.append(f'<div class="wb-clips">{"".join(parts)}</div>')
        if left_out:
            limit = settings().clip_bytes
            more = format_bytes(4 * limit).replace(" ", "")
            self._note(
                {
                    "level": "warning",
                    "text": f"Showing {len(blocks) - left_out} of {len(blocks)} clips ({format_bytes(limit)}).\n"
                    f'More: %config Workbench.clip_limit = "{more}"',
                }
            )

    def _clip(self, block: dict[str, Any]) -> tuple[str, bool]:
        """Return a clip as a `<figure>`, and whether its video is in it."""
        state = dict(block.get("state") or {})
        label = str(block.get("label") or block.get("title") or block.get("alt") or "clip")
        path = str(block.get("path") or state.get("source") or "")
        mime = str(state.get("mime") or "video/mp4")
        data = block.get("data") or (state["asset"] if str(state.get("asset", "")).startswith("data:") else None)
        size = len(data) * 3 // 4 if isinstance(data, str) else len(data or b"")
        inside = bool(data) and size <= self._left
        poster = _uri(block["poster"], "image/jpeg") if block.get("poster") else ""
        if block.get("poster"):
            self._posters.append(_bytes(block["poster"]))
        name = f"a{self._assets}"
        self._assets += 1
        width = f' width="{int(state["width"])}"' if state.get("width") else ""
        self.lines.append(label if inside or not path else f"{label}: {path}")
        caption = f"<figcaption>{escape(label)}{'' if inside or not path else f': {escape(path)}'}</figcaption>"
        if not inside:
            image = f'<img src="{escape(poster)}" alt="{escape(label)}"{width}>' if poster else ""
            return f"<figure>{image}{caption}</figure>", False
        self._left -= size
        state["asset"] = name
        still = f' poster="{escape(poster)}"' if poster else ""
        video = (
            f'<video controls preload="metadata" data-wb-asset="{name}" aria-label="{escape(label)}"{width}{still} '
            f'src="{escape(_uri(data, mime))}"></video>'
        )
        # A player names its hits itself: then the caption gives way to it, together with the still form.
        named = bool(state.get("hits"))
        slot = self._slot("player", state, f"<figure>{video}{caption}</figure>" if named else video)
        if self.states and self.states[-1][1].get("asset") == name:
            # A live widget has no element to take the clip from.
            self.states[-1] = ("player", {**self.states[-1][1], "asset": _uri(data, mime)})
        return slot if named else f"<figure>{slot}{caption}</figure>", True

    # below: shared by these

    def _drawn(self, drawing: Drawing) -> str:
        self._drawings.append(drawing)
        return drawing.svg()

    def _chart(self, drawing: Drawing, alt: str) -> None:
        drawing.alt = alt or drawing.alt
        self.parts.append(f"<div>{self._drawn(drawing)}</div>")

    def _view(self, module: str, state: dict[str, Any], static: str) -> None:
        self.parts.append(self._slot(module, state, static))

    def _slot(self, module: str, state: dict[str, Any], static: str) -> str:
        """Return the static form in an element that the module may take over."""
        clean = plain(state)
        if (size := len(json.dumps(clean))) >= _VIEW_BYTES:
            self._say(
                f"Drawn, but not interactive: its data ({format_bytes(size)}) are more than a notebook should hold "
                f"({format_bytes(_VIEW_BYTES)}). All of it is in the result's tables."
            )
            return f"<div>{static}</div>"
        name = f"v{len(self.views)}"
        self.views.append({"module": module, "id": name, "state": clean})
        self.states.append((module, clean))
        return f'<div data-wb-view="{name}">{static}</div>'

    def _left_out(self, name: str, state: dict[str, Any], most: int) -> None:
        state[name] = list(state.get(name) or [])[:most]

    def _cut_note(self, name: str, state: Mapping[str, Any], most: int) -> None:
        total = len(state.get(name) or [])
        if total > most:
            self._say(f"{most:,} of {total:,} {name} are drawn.")

    def _say(self, text: str) -> None:
        self.lines.append(text)
        self.parts.append(f'<div class="wb-muted">{escape(text)}</div>')


_DRAW: dict[str, Callable[[Page, dict[str, Any]], None]] = {
    "summary": Page._summary, "note": Page._note, "table": Page._table, "figure": Page._figure, "svg": Page._svg,
    "image": Page._image, "plan": Page._plan, "code": Page._code, "timeline": Page._timeline, "curve": Page._curve,
    "gantt": Page._gantt, "ranked": Page._ranked, "region": Page._region,
}  # fmt: skip


def _grouped(blocks: list[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield runs of blocks of one kind."""
    for kind, group in itertools.groupby(blocks, key=lambda block: str(block["kind"])):
        yield kind, list(group)


def note_text(level: str, text: str) -> str:
    return f"{'note' if level == 'info' else level}: {text}"


def note_html(level: str, text: str) -> str:
    known = level if level in ("info", "warning", "error") else "info"
    return f'<div class="wb-note wb-{known}" role="note">{escape(text)}</div>'


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: NumPy made plain, what is not finite made None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return str(value)


def _bytes(data: Any) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    return base64.b64decode(str(data).partition(",")[2] or str(data))


def _uri(data: Any, mime: str) -> str:
    """Return binary data (bytes, base64 text or a data URI) as a data URI."""
    if isinstance(data, str):
        return data if data.startswith("data:") else f"data:{mime};base64,{data}"
    return f"data:{mime};base64,{base64.b64encode(bytes(data)).decode('ascii')}"


def _small_png(picture: bytes, width: int = 320) -> bytes | None:
    """Return a picture as a PNG of at most `width` px; None if it cannot be read."""
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(picture)).convert("RGB")
    except (UnidentifiedImageError, OSError):
        return None
    image.thumbnail((width, width))
    out = io.BytesIO()
    image.quantize(128).save(out, "PNG", optimize=True)
    return out.getvalue()


def _figure_state(figure: Mapping[str, Any]) -> dict[str, Any]:
    """Return the lines of a plotly figure as a curve's state, for its static form."""
    series = []
    for trace in figure.get("data") or []:
        x, y = trace.get("x"), trace.get("y")
        columns = isinstance(x, list) and isinstance(y, list) and len(x) == len(y)
        drawn = trace.get("type", "scatter") in ("scatter", "scattergl", "bar")
        if drawn and columns and all(isinstance(v, (int, float, type(None))) for v in [*x, *y]):
            series.append({"name": trace.get("name") or "", "x": x, "y": y})
    layout = figure.get("layout") or {}
    titles = {axis: _title(layout.get(axis)) for axis in ("xaxis", "yaxis")}
    return {"series": series, "x_label": titles["xaxis"], "y_label": titles["yaxis"]}


def _title(axis: Any) -> str:
    title = (axis or {}).get("title") or ""
    return str(title.get("text") or "") if isinstance(title, Mapping) else str(title)
