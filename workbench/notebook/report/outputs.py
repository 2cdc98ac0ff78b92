"""From the outputs of a notebook to the HTML of a report: one form for each, chosen once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from typing import Any

from workbench.engine.units import format_bytes
from workbench.notebook.report.assets import (
    Asset,
    Bundle,
    Clip,
    Parts,
    asset_of,
    choose,
    cut_clip,
    image_embedder,
    read_bundle,
)  # fmt: skip
from workbench.notebook.report.execute import cell_number
from workbench.notebook.report.security import make_inert

__all__ = ["BASIC_TRACES", "Outputs"]

VIEW = "application/vnd.workbench.view+json"
PLOTLY = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
SCRIPT = "application/javascript"

_IMAGES = ("image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp")

#: what the small plotly bundle can draw
BASIC_TRACES = frozenset({"scatter", "bar", "pie"})
#: traces that fetch maps
_MAPS = frozenset({"scattergeo", "choropleth", "scattermapbox", "choroplethmapbox", "densitymapbox", "scattermap",
                   "choroplethmap", "densitymap"})  # fmt: skip


class Outputs:
    """All outputs of one notebook, made ready for the page.

    Parameters
    ----------
    notebook : NotebookNode
        Changed in place: each output keeps the one form that the report shows.
    folder : Path
        Where relative paths of the notebook start.
    trust : bool
        Keep the scripts of other libraries.
    roots : list of Path or None
        Folders below which a video may be cut; None: anywhere that the person can read.

    Attributes
    ----------
    bundles, plots : list
        What the page's runtime draws, by the number in the HTML.
    assets : list of Asset
    warnings : list of str
    hashes : list of str
        CSP sources of the trusted scripts.
    """

    def __init__(self, notebook: Any, folder: Path, *, trust: bool, roots: list[Path] | None = None) -> None:
        self.notebook, self.folder, self.trust, self.roots = notebook, folder, trust, roots
        self.parts = Parts()
        self.bundles: list[Bundle] = []
        self.plots: list[dict[str, Any]] = []
        self.assets: list[Asset] = []
        self.warnings: list[str] = []
        self.hashes: list[str] = []
        self._embed = image_embedder(folder)
        self._holders: list[Any] = []
        self._index = {cell["id"]: index for index, cell in enumerate(notebook.cells)}

    # --------------------------------------------------------------------------------------------------------- choosing

    def convert(self) -> None:
        """Choose the form of every output."""
        for index, cell in enumerate(self.notebook.cells):
            for name, bundle in (cell.get("attachments") or {}).items():
                for uri in bundle.values():
                    self.assets.append(Asset("image", str(name), index, len(uri) * 3 // 4))
            if cell.cell_type == "code":
                for number, output in enumerate(cell.outputs):
                    if output.output_type in ("display_data", "execute_result"):
                        self._convert(output, index, number)

    def _convert(self, output: Any, cell: int, number: int) -> None:
        data = {kind: _text(content) for kind, content in output.data.items()}
        name = f"cell {cell_number(self.notebook, cell)}, output {number + 1}"
        html = self.parts.take(data["text/html"]) if isinstance(data.get("text/html"), str) else ""
        if isinstance(data.get(VIEW), dict):
            bundle = read_bundle(data[VIEW], html, cell, len(self.bundles), self.parts)
            if bundle is not None:
                bundle.html = self.inert(bundle.html, cell)
                self.bundles.append(bundle)
                self._holders.append(output)
                return
        images = [
            kind for kind in ("image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp") if kind in data
        ]
        if isinstance(data.get(PLOTLY), dict):
            self._keep(output, self._plot(data[PLOTLY], cell, name))
        elif html:
            self._keep(output, self.inert(html, cell))
        elif SCRIPT in data:
            source = str(data[SCRIPT]).replace("</", "<\\/")
            self._keep(output, self.inert(f"<script>{source}</script>", cell))
        elif images:
            self._keep(output, self._image(images[0], data[images[0]], data.get("text/plain", ""), cell, name))
        elif "text/markdown" in data:
            output.data = {"text/markdown": data["text/markdown"]}
        elif "text/latex" in data:
            output.data = {"text/latex": data["text/latex"]}
        else:
            # Widgets of other libraries need a kernel; their text does not.
            text = data.get("text/plain", "(a widget)" if WIDGET in data else "")
            output.data = {"text/plain": text if isinstance(text, str) else json.dumps(text, sort_keys=True)}

    @staticmethod
    def _keep(output: Any, html: str) -> None:
        output.data = {"text/html": html}
        output.metadata = {}

    def _plot(self, figure: dict[str, Any], cell: int, name: str) -> str:
        size = len(json.dumps(figure))
        self.assets.append(Asset("plot", name, cell, size))
        if any(trace.get("type") in _MAPS for trace in figure.get("data", ())):
            self.warn(cell, "has a map, which needs the network; the report shows it empty.", "Export it as an image.")
        self.plots.append({key: figure[key] for key in ("data", "layout", "config") if key in figure})
        height = figure.get("layout", {}).get("height") or 450
        title = figure.get("layout", {}).get("title") or {}
        label = str(title.get("text") if isinstance(title, dict) else title) or name
        return (
            f'<div class="wb-plot" data-wb-plot="{len(self.plots) - 1}" role="group" aria-label="{escape(label)}" '
            f'style="height:{float(height):g}px"></div>'
        )

    def _image(self, kind: str, content: str, alt: str, cell: int, name: str) -> str:
        import base64

        body = base64.b64encode(content.encode()).decode() if kind == "image/svg+xml" else "".join(content.split())
        uri = f"data:{kind};base64,{body}"
        self.assets.append(Asset("image", name, cell, self.parts.size(uri)))
        return f'<img src="{self.parts.keep(uri)}" alt="{escape(alt[:200])}">'

    def inert(self, html: str, cell: int | str) -> str:
        """Return HTML of a cell (index or id) in which nothing runs or loads, and warn of what was switched off."""
        index = self._index.get(cell, 0) if isinstance(cell, str) else cell
        made = make_inert(self.parts.take(html), trust=self.trust, embed=self._embed)
        self.hashes += made.hashes
        if made.scripts:
            hint = "Turn it on: --trust-outputs"
            if self.trust:
                hint = "It is loaded from elsewhere or part of an attribute, which no report runs."
            self.warn(index, "has a script of another library; it is off in the report.", hint)
        if made.outside:
            what = made.outside[0] if len(made.outside[0]) <= 80 else made.outside[0][:79] + "…"
            self.warn(index, f"shows something that is not in the notebook ({what}); it is left out.",
                      "A report loads nothing: store it in the notebook as an image or as data.")  # fmt: skip
        return self.parts.take(made.text())

    def warn(self, cell: int, what: str, hint: str) -> None:
        """Keep a warning of two lines about a cell, once."""
        text = f"Cell {cell_number(self.notebook, cell)} {what}\n{hint}"
        if text not in self.warnings:
            self.warnings.append(text)

    # ------------------------------------------------------------------------------------------------------------ clips

    def fit(self, limit: int) -> None:
        """Cut the clips that are missing, leave out those over `limit` bytes, and write the bundles as outputs."""
        for number, bundle in enumerate(self.bundles):
            for view in [view for view in bundle.views if view["module"] == "player"]:
                self._find_clip(number, bundle, view)
        clips = [clip for bundle in self.bundles for clip in bundle.clips]
        left = choose(clips, limit)
        for clip in left:
            self.bundles[clip.bundle].leave_out(clip.asset, f"Left out: {clip.row.name} ({format_bytes(clip.bytes)}).")
        if left:
            largest = max(left, key=lambda clip: clip.bytes)
            total = sum(clip.bytes for clip in left)
            needed = -(-(total + sum(clip.bytes for clip in clips if clip.row.included)) // 2**20)
            self.warnings.append(
                f"Left out {_count(len(left), 'clip')} ({format_bytes(total)}) over the limit of {format_bytes(limit)};"
                f" largest: {largest.row.name} ({format_bytes(largest.bytes)}).\nMore: --limit {_round_up(needed)}MiB"
            )
        for number, (bundle, output) in enumerate(zip(self.bundles, self._holders, strict=True)):
            self.assets += [clip.row for clip in bundle.clips]
            for view in bundle.views:
                size = len(json.dumps(view["state"], ensure_ascii=False).encode())
                self.assets.append(Asset("view", f"{view['module']} {view['id']}", bundle.cell, size))
            self._keep(output, f'<div data-wb-bundle="{number}">{bundle.html}</div>')
        self.assets.sort(key=lambda row: row.cell)

    def _find_clip(self, number: int, bundle: Bundle, view: dict[str, Any]) -> None:
        asset = asset_of(view)
        if any(clip.asset == asset for clip in bundle.clips):
            return
        state = view["state"]
        cut = cut_clip(state, self.folder, self.roots)
        named = str(state.get("source") or view["id"])
        if cut is None:
            shown = "its poster is shown" if bundle.element(asset) is not None else "its table is shown"
            self.warn(bundle.cell, f"has no clip of {Path(named).name} and the video is not here; {shown}.",
                      "Run the cell again, or write the report where the video is.")  # fmt: skip
            bundle.leave_out(asset, f"No clip of {Path(named).name} is stored.")
            return
        uri, poster, view["state"] = cut
        view["state"]["asset"] = asset
        token = self.parts.keep(uri)
        shown = f' poster="{self.parts.keep(poster)}"' if poster else ""
        video = f'<video controls data-wb-asset="{escape(asset)}" src="{token}"{shown}></video>'
        if bundle.element(asset) is None:
            bundle.html += video
        else:
            bundle.replace(asset, video)
        size = self.parts.size(token)
        row = Asset("clip", f"{Path(named).name} {view['id']}", bundle.cell, size)
        bundle.clips.append(Clip(number, len(bundle.clips), asset, token, size, row))


def filters(outputs: Outputs) -> dict[str, Callable[..., str]]:
    """Return the template's own filters."""
    import re

    def without_links(css: str) -> str:
        # Comments with addresses serve nobody in a page that must hold none; notices of rights stay.
        def keep(match: re.Match[str]) -> str:
            text = match.group()
            return text if "//" not in text or "opyright" in text else ""

        return re.sub(r"/\*.*?\*/", keep, str(css), flags=re.DOTALL)

    return {"wb_inert": outputs.inert, "wb_css": without_links}


def _text(content: Any) -> Any:
    return "".join(content) if isinstance(content, list) and all(isinstance(line, str) for line in content) else content


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number:,} {word}s"


def _round_up(mebibytes: int) -> int:
    """Return the next power of two: a limit that a person would write."""
    return 1 << max(0, mebibytes - 1).bit_length()


def traces(plots: Iterable[dict[str, Any]]) -> set[str]:
    """Return the trace types of all plots, those of templates too: plotly.js checks only what is drawn."""
    return {str(trace.get("type") or "scatter") for plot in plots for trace in plot.get("data") or ()}
