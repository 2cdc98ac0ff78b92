"""One offline HTML file from a notebook: clips, plots and players work, and nothing is asked of the network."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.engine.errors import WorkbenchError, suggest
from workbench.engine.units import as_bytes
from workbench.notebook.report.assets import Asset, frame
from workbench.notebook.report.outputs import BASIC_TRACES, Outputs, filters, traces
from workbench.notebook.report.security import data_script, inline_script, policy

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Report", "check_folder", "estimate", "read", "render", "report", "save"]

#: size of all clips together, where nothing else is said
DEFAULT_LIMIT = "20MiB"

_STATIC = Path(__file__).parents[1] / "static"


@dataclass(frozen=True)
class Report:
    """A report that has been written.

    Attributes
    ----------
    path : Path
        The file; `os.fspath(report)` works.
    bytes : int
        Its size.
    assets : DataFrame
        `kind` (clip, image, plot, view, script), `name`, `cell` (0-based, -1: of the whole page), `bytes`, `included`.
    warnings : list of str
        What a reader should know: clips left out, scripts switched off.
    """

    path: Path
    bytes: int
    rows: Sequence[Asset] = field(repr=False)
    warnings: list[str] = field(default_factory=list)

    @cached_property
    def assets(self) -> pd.DataFrame:
        """The table of assets, made when it is asked for: the command writes reports without pandas."""
        return frame(self.rows)

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __repr__(self) -> str:
        return f"<Report {self.path}, {self.bytes:,} bytes, {len(self.rows)} assets>"


def report(
    notebook: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    execute: bool = False,
    parameters: Mapping[str, Any] | None = None,
    hide_code: bool = False,
    limit: str = DEFAULT_LIMIT,
    title: str | None = None,
    timeout: float = 600,
    allow_errors: bool = False,
    trust_outputs: bool = False,
) -> Report:
    """Write a notebook as one HTML file that works without a network.

    Parameters
    ----------
    notebook : path
        The notebook; it is never changed.
    output : path, optional
        The file to write; by default `<notebook stem>.html` beside the notebook.
    execute : bool
        Run a copy of the notebook first, in its folder.
    parameters : mapping, optional
        Values for the cell tagged `parameters`; implies `execute`.
    hide_code : bool
        Leave the inputs of cells out.
    limit : str
        Size of all clips together, for example "20MiB".
    title : str, optional
        Title of the page; by default the notebook's own, or its name.
    timeout : float
        Seconds that one cell may take.
    allow_errors : bool
        Write the report although a cell failed.
    trust_outputs : bool
        Let scripts in other libraries' outputs run.

    Returns
    -------
    Report

    Raises
    ------
    WorkbenchError
        There is no such notebook or folder, it cannot be read, a cell failed, or `limit` is no size.
    """
    source = _existing(Path(notebook))
    target = source.with_suffix(".html") if output is None else Path(output)
    check_folder(target)
    size = as_bytes(_configured(limit), "limit")
    content = read(source)
    with ThreadPoolExecutor(1) as aside:
        # nbconvert takes a second to load and to compile its templates; a kernel that runs the cells does not need it.
        made = aside.submit(_exporter, hide_code)
        if parameters is not None or execute:
            from workbench.notebook.report import execute as running

            if parameters:
                running.inject(content, parameters)
            running.execute(content, source.absolute().parent, timeout=timeout, allow_errors=allow_errors)
        exporter = made.result()
    return save(content, source, target, limit=size, exporter=exporter, title=title, trust_outputs=trust_outputs)


def _configured(limit: str) -> str:
    """Return `%config Workbench.report_limit` in a notebook that has set it, where the call names no other limit."""
    front = sys.modules.get("workbench.notebook.config")
    configured = getattr(front, "_settings", None)
    return str(configured.report_limit) if limit == DEFAULT_LIMIT and configured is not None else limit


def save(content: Any, source: Path, target: Path, *, limit: int, **options: Any) -> Report:
    """Write the report of a notebook in memory; `source` says where it lies, `options` are those of `render`."""
    page, rows, warnings = render(content, source, limit=limit, **options)
    _write(target, page)
    return Report(target, len(page), rows, warnings)


def estimate(
    notebook: str | os.PathLike[str],
    *,
    limit: str = DEFAULT_LIMIT,
    hide_code: bool = False,
    roots: list[Path] | None = None,
) -> dict[str, Any]:
    """Return what a report of a notebook would hold, without writing it: `bytes`, and `assets` as a list of rows."""
    source, size = _existing(Path(notebook)), as_bytes(limit, "limit")
    page, rows, _ = render(read(source), source, limit=size, hide_code=hide_code, roots=roots)
    return {"bytes": len(page), "assets": frame(rows).to_dict("records")}


def read(source: Path) -> Any:
    """Return the notebook, in the current format, with an id for each cell that is the same at each reading."""
    import nbformat

    try:
        content = nbformat.read(source, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, UnicodeDecodeError, AttributeError, KeyError):
        raise WorkbenchError(f"{source} is not a notebook.", "Give the path of an .ipynb file.") from None
    content.metadata.pop("widgets", None)
    content.nbformat_minor = max(5, content.get("nbformat_minor", 5))
    for index, cell in enumerate(content.cells):
        if not cell.get("id"):
            cell["id"] = f"cell-{index}"
    return content


def render(
    content: Any,
    source: Path,
    *,
    limit: int,
    hide_code: bool = False,
    title: str | None = None,
    trust_outputs: bool = False,
    roots: list[Path] | None = None,
    exporter: Any = None,
) -> tuple[bytes, list[Asset], list[str]]:
    """Return the page, its assets and the warnings; the same notebook gives the same bytes.

    `exporter` is one that `_exporter` has made already; `hide_code` is a matter of its own then.
    """
    outputs = Outputs(content, source.absolute().parent, trust=trust_outputs, roots=roots)
    outputs.convert()
    outputs.fit(limit)
    title = title or content.metadata.get("title") or source.stem
    body = _body(exporter or _exporter(hide_code), content, outputs, source, title)
    scripts, hashes, rows = _scripts(outputs)
    # After nbconvert, which parses the whole page: what is large never goes through its parser.
    body = re.sub(r"(<head>)", rf"\1\n{policy([*hashes, *outputs.hashes])}", body, count=1)
    head, _, tail = body.rpartition("</body>")
    page = outputs.parts.put_back(f"{head}{scripts}\n</body>{tail}")
    return page.encode("utf-8", "replace"), [*outputs.assets, *rows], outputs.warnings


def _exporter(hide_code: bool) -> Any:
    """Return nbconvert's exporter with our template, compiled."""
    import nbformat.v4
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    offline = dict.fromkeys(
        ("mathjax_url", "require_js_url", "jquery_url", "mermaid_js_url", "mermaid_layout_elk_js_url"), ""
    )
    exporter = HTMLExporter(
        config=Config(),
        template_name="workbench-report",
        extra_template_basedirs=[os.fspath(Path(__file__).parent / "template")],
        embed_images=True,
        exclude_input=hide_code,
        exclude_input_prompt=hide_code,
        exclude_output_prompt=hide_code,
        **offline,
    )
    exporter.log.setLevel("ERROR")
    cells = [nbformat.v4.new_markdown_cell("x", id="0"), nbformat.v4.new_code_cell("1", id="1")]
    first = nbformat.v4.new_notebook(cells=cells)
    _body(
        exporter, first, Outputs(first, Path(), trust=False), Path("first.ipynb"), ""
    )  # compiles what every page needs
    return exporter


def _body(exporter: Any, content: Any, outputs: Outputs, source: Path, title: str) -> str:
    from nbconvert.filters.highlight import Highlight2HTML

    from workbench.notebook.report.highlight import highlight_cell

    language = content.metadata.get("language_info", {})
    plain = Highlight2HTML(pygments_lexer=language.get("pygments_lexer", language.get("name")) or "ipython3")
    ours = {**filters(outputs), "highlight_code": highlight_cell(plain)}
    exporter.filters.update(ours)  # in place: a new dict would have every template compiled again
    for name, each in ours.items():
        exporter.register_filter(name, each)
    content.metadata["title"] = title
    resources = {
        "metadata": {"name": source.stem, "path": os.fspath(source.absolute().parent)},
        "wb_dark_css": exporter.environment.loader.get_source(exporter.environment, "static/theme-dark.css")[0],
    }
    page: str = exporter.from_notebook_node(content, resources=resources)[0]
    return page


def _scripts(outputs: Outputs) -> tuple[str, list[str], list[Asset]]:
    """Return the scripts at the end of the page, their hashes and their rows."""
    made: list[str] = []
    hashes: list[str] = []
    rows: list[Asset] = []

    def add(name: str, source: str) -> None:
        element, source_hash = inline_script(source)
        made.append(element)
        hashes.append(source_hash)
        rows.append(Asset("script", name, -1, len(source.encode())))

    if outputs.plots:
        made.append(data_script("wb-plots", outputs.plots))
        add(*_plotly(outputs))
    used = sorted({view["module"] for bundle in outputs.bundles for view in bundle.views})
    if used:
        modules = {name: (_STATIC / f"{name}.js").read_text("utf-8") for name in used}
        made.append(data_script("wb-modules", modules))
        rows += [Asset("script", f"{name}.js", -1, len(text.encode())) for name, text in modules.items()]
        made.append(data_script("wb-bundles", [bundle.views for bundle in outputs.bundles]))
    add("runtime.js", (Path(__file__).parent / "runtime.js").read_text("utf-8"))
    return "\n".join(made), hashes, rows


def _plotly(outputs: Outputs) -> tuple[str, str]:
    small = _STATIC / "vendor" / "plotly-basic.min.js"
    if traces(outputs.plots) <= BASIC_TRACES and small.is_file():
        return small.name, small.read_text("utf-8")
    from plotly.offline import get_plotlyjs

    return "plotly.min.js", get_plotlyjs()


def _existing(source: Path) -> Path:
    if source.is_file():
        return source
    folder = source.parent
    if not folder.is_dir():
        raise _missing_folder(folder)
    near = suggest(source.name, [path.name for path in folder.glob("*.ipynb")], quote="{}")
    raise WorkbenchError(f"No notebook at {source}.", near or "Give the path of an .ipynb file.")


def check_folder(target: Path) -> None:
    """Raise if the folder of `target` is not there: better before the work than after it."""
    if not target.absolute().parent.is_dir():
        raise _missing_folder(target.parent)


def _missing_folder(folder: Path) -> WorkbenchError:
    names = [path.name for path in folder.parent.iterdir() if path.is_dir()] if folder.parent.is_dir() else []
    return WorkbenchError(f"No folder at {folder}.", suggest(folder.name, names, "Make it first.", quote="{}"))


def _write(target: Path, page: bytes) -> None:
    """Write to a temporary name in the same folder, then rename: a killed process leaves no half report."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(page)
        os.replace(temporary, target)
    except OSError as error:
        raise WorkbenchError(
            f"{target} cannot be written ({error.strerror}).", "Choose another place with -o."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
