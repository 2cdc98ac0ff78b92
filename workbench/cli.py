"""The program `workbench`: demo, lab, report, doctor, fetch, cache.

Exit codes: 0 done; 1 failed (a cell raised, a required part is missing, a hash is wrong); 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from workbench.engine.errors import WorkbenchError, WorkbenchWarning
from workbench.notebook.tour import tour

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.
    """
    if argv is None:
        # A process of our own: jsonschema, which nbformat loads, takes a second and a half to compile a grammar of IRIs
        # where it finds this package; notebooks hold none.
        sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    words = list(sys.argv[1:] if argv is None else argv)
    # What follows "--" is JupyterLab's, whatever it looks like.
    cut = words.index("--") if "--" in words else len(words)
    own, passed = words[:cut], words[cut + 1 :]
    parser = _parser()
    try:
        arguments = parser.parse_args(own)
    except SystemExit as stop:
        return int(stop.code or 0)
    if passed and arguments.command != "lab":
        print(f'workbench {arguments.command} takes nothing after "--".', file=sys.stderr)
        return 2
    arguments.passed = passed
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            return int(arguments.run(arguments))
        except WorkbenchError as error:
            print("\n".join(error.lines()), file=sys.stderr)
        except BrokenPipeError:
            # The reader of a pipe went away (`workbench cache | head`): nothing is left to be said.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except KeyboardInterrupt:
            print("Stopped.", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    import workbench

    parser = argparse.ArgumentParser(
        prog="workbench", description="Interactive analytics in Jupyter.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"workbench {workbench.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        made.set_defaults(run=run)
        return made

    demo = add("demo", _demo, "Run the tour on the sample scene and write its report; needs no network and no GPU.")
    demo.add_argument("-o", "--output", default="tour.html", metavar="OUT.html")
    demo.add_argument("--timeout", type=_seconds, default=600.0, metavar="SECONDS", help="of one cell")

    lab = add("lab", _lab, "Open JupyterLab.")
    lab.usage = "workbench lab [DIR] [--port N] [--no-browser] [-- JUPYTERLAB ARGUMENTS]"
    lab.add_argument("folder", nargs="?", metavar="DIR", help="default: notebooks/")
    lab.add_argument("--port", type=int, metavar="N")
    lab.add_argument("--no-browser", action="store_true")

    report = add("report", _report, "Write a notebook as one HTML file that works offline.")
    report.add_argument("notebook", metavar="NB")
    report.add_argument("-o", "--output", metavar="OUT.html", help="default: beside the notebook")
    report.add_argument("--execute", action="store_true", help="run a copy of the notebook first")
    report.add_argument("-p", dest="parameters", nargs=2, action="append", metavar=("NAME", "VALUE"),
                        help="set a parameter; implies --execute")  # fmt: skip
    report.add_argument("--hide-code", action="store_true")
    report.add_argument("--limit", default="20MiB", help="size of all clips together (default 20MiB)")
    report.add_argument("--title")
    report.add_argument("--timeout", type=_seconds, default=600.0, metavar="SECONDS", help="of one cell")
    report.add_argument("--allow-errors", action="store_true", help="write it although a cell failed")
    report.add_argument("--trust-outputs", action="store_true", help="let scripts of other libraries run")

    doctor = add("doctor", _doctor, "Show what is needed and what is here.")
    doctor.add_argument("--json", action="store_true")

    fetch = add("fetch", _fetch, "Fetch model weights and sample clips; their hashes are checked.")
    fetch.add_argument("names", nargs="*", metavar="NAME")
    fetch.add_argument("--list", action="store_true", help="show what there is")

    cache = add("cache", _cache, "Show what is kept in the store.")
    cache.add_argument("--clear", action="store_true", help="remove it all")
    cache.add_argument("--json", action="store_true")
    return parser


# ------------------------------------------------------------------------------------------------------------ commands


def _demo(arguments: argparse.Namespace) -> int:
    import tempfile

    from workbench.notebook.report import exporter
    from workbench.notebook.report.execute import execute

    source = tour()
    target = Path(arguments.output)
    exporter.check_folder(target)
    content = exporter.read(source)
    started = time.perf_counter()
    sections = Sections(content.cells)
    with tempfile.TemporaryDirectory(prefix="workbench-demo-") as spare:
        # In a clone it runs where it lies, as it does for its reader; a wheel's own folder is not written to.
        folder = source.parent if source.parent.name == "notebooks" else Path(spare)
        try:
            execute(content, folder, timeout=arguments.timeout, allow_errors=False, watch=sections.reach)
        finally:
            sections.end()
    made = exporter.save(content, source, target, limit=20 * 2**20)
    print(f"{made.path} ({made.bytes / 1e6:.1f} MB, {time.perf_counter() - started:.1f} s)")
    return 0


class Sections:
    """Prints one line for each section (a markdown heading and the cells below it) with its time."""

    def __init__(self, cells: Sequence[Any]) -> None:
        self._titles: list[str | None] = [_heading(cell) for cell in cells]
        self._title: str | None = None
        self._since = 0.0

    def reach(self, index: int) -> None:
        """Note that a cell begins; its heading may stand in any cell since the last one that ran."""
        title = self._titles[index]
        if title is not None and title != self._title:
            self.end()
            self._title, self._since = title, time.perf_counter()
            print(f"{title:<48}", end="", flush=True)

    def end(self) -> None:
        """End the line of the section that is going on."""
        if self._title is not None:
            print(f"{time.perf_counter() - self._since:8.1f} s", flush=True)
            self._title = None


def _heading(cell: Any) -> str | None:
    if cell.cell_type != "markdown":
        return None
    lines = [line.strip() for line in cell.source.splitlines() if line.lstrip().startswith("#")]
    return lines[0].lstrip("#").strip() if lines else None


def _lab(arguments: argparse.Namespace) -> int:
    import importlib.util
    import subprocess

    if importlib.util.find_spec("jupyterlab") is None:
        raise WorkbenchError("workbench lab needs jupyterlab, which is not installed.", 'pip install "workbench[lab]"')
    if arguments.folder is not None:
        folder = Path(arguments.folder)
        if not folder.is_dir():
            raise WorkbenchError(f"No folder at {folder}.", "Give a folder of notebooks.")
    else:
        near = (Path("notebooks"), Path(__file__).parents[1] / "notebooks")
        folder = next((place for place in near if place.is_dir()), Path("."))
    command = [sys.executable, "-m", "jupyterlab", os.fspath(folder)]
    command += ["--port", str(arguments.port)] if arguments.port is not None else []
    command += ["--no-browser"] if arguments.no_browser else []
    command += arguments.passed
    if os.name == "posix":
        sys.stdout.flush()
        os.execv(sys.executable, command)
    return 1 if subprocess.call(command) else 0


def _report(arguments: argparse.Namespace) -> int:
    from workbench.notebook.report import report

    made = report(
        arguments.notebook,
        arguments.output,
        execute=arguments.execute,
        parameters={name: parameter(text) for name, text in arguments.parameters} if arguments.parameters else None,
        hide_code=arguments.hide_code,
        limit=arguments.limit,
        title=arguments.title,
        timeout=arguments.timeout,
        allow_errors=arguments.allow_errors,
        trust_outputs=arguments.trust_outputs,
    )
    for text in made.warnings:
        print(text, file=sys.stderr)
    print(f"{made.path} ({made.bytes / 1e6:.1f} MB)")
    return 0


def parameter(text: str) -> Any:
    """Return the value of `-p NAME VALUE`: JSON if it parses, True, False and None as in Python, else the text."""
    python = {"True": True, "False": False, "None": None}
    if text in python:
        return python[text]
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return text


def _no_constant(text: str) -> Any:
    raise ValueError(text)  # NaN is no JSON


def _doctor(arguments: argparse.Namespace) -> int:
    from workbench import doctor

    found = doctor.rows()
    good = doctor.ok(found)
    if arguments.json:
        print(json.dumps({"ok": good, "rows": [row._asdict() for row in found]}, indent=2))
        return 0 if good else 1
    for required in (True, False):
        print("Required" if required else "\nOptional")
        print(_table([[row.name, "yes" if row.found else "NO" if required else "no", row.detail]
                      for row in found if row.required is required]))  # fmt: skip
    missing = [row for row in found if row.required and not row.found]
    counted = "1 required part is" if len(missing) == 1 else f"{len(missing)} required parts are"
    print(f"\n{counted} missing." if missing else "\nNothing that is required is missing.")
    for row in missing:
        print(f"{row.name}: {row.detail}", file=sys.stderr)
    return 0 if good else 1


def _fetch(arguments: argparse.Namespace) -> int:
    from workbench.engine.fetch import asset, assets, available, fetch
    from workbench.engine.units import format_bytes

    if arguments.list or not arguments.names:
        rows = [
            [row.name, format_bytes(row.bytes), "here" if available(row.name) else "not here", row.licence]
            for row in assets().itertuples()
        ]
        print(_table(rows))
        return 0
    for name in arguments.names:
        started = time.perf_counter()
        try:
            path = fetch(name)
        except WorkbenchError as error:
            if f"workbench fetch {name}" not in error.hint:
                raise
            # Elsewhere that is the way out; here it is what has just been tried.
            where = f"Try again with a network, or set WORKBENCH_MIRROR to what holds {asset(name).path}."
            raise WorkbenchError(error.message, where) from error
        print(f"{name}: {path} ({format_bytes(path.stat().st_size)}, {time.perf_counter() - started:.1f} s)")
    return 0


def _cache(arguments: argparse.Namespace) -> int:
    from workbench.engine.store import home, store
    from workbench.engine.units import format_bytes

    kept = store().clear() if arguments.clear else store().entries()
    total = int(kept["bytes"].sum())
    if arguments.json:
        print(json.dumps({"bytes": total, "entries": kept.to_dict("records"), "path": os.fspath(home())}, indent=2))
        return 0
    rows = []
    for row in kept.itertuples():
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(row.used))
        rows.append([row.kind, format_bytes(row.bytes), f"{row.cost_s:.1f} s", used, row.key[:12]])
    if rows:
        print(_table([["kind", "size", "cost", "last used", "key"], *rows]))
    done = "removed from" if arguments.clear else "in"
    print(f"{len(rows):,} artefact{'' if len(rows) == 1 else 's'}, {format_bytes(total)}, {done} {home()}")
    return 0


# ------------------------------------------------------------------------------------------------- shared by commands


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds above 0")
    return value


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as aligned text; further lines of a cell stand below its first."""
    if not rows:
        return ""
    widths = [max(len(row[i].splitlines()[0]) if row[i] else 0 for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.splitlines() or [""] for cell in row]
        for depth in range(max(len(cell) for cell in cells)):
            texts = [cell[depth] if depth < len(cell) else "" for cell in cells]
            lines.append("  ".join(text.ljust(width) for text, width in zip(texts, widths, strict=True)).rstrip())
    return "\n".join(lines)


def _show_warning(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
    """Show our warnings as their two lines, and keep those of other libraries out of a command's output."""
    if issubclass(category, WorkbenchWarning):
        print(message, file=sys.stderr)
