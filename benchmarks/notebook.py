"""Benchmarks of the front of the house: `python -m benchmarks.notebook [FIGURE ...]`.

Each figure stands beside its target and its peer, measured in turns, and is written to `results/notebook.json`:
starting, reports beside nbconvert's, the size of a notebook beside one with a `FigureWidget`, the overhead of a magic,
completion, interrupt and cancel in a real kernel, a notebook run beside `jupyter execute`, and one opened in a real
JupyterLab with and without the extension. Times are of the wall, what a person waits for: nothing else may run.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from benchmarks import notebook_kernel, notebook_lab
from benchmarks.measure import Figure, write

PACKAGES = ("ipython", "ipykernel", "jupyterlab", "nbconvert", "nbclient", "plotly", "ipywidgets", "anywidget")
ROUNDS = 5

#: a player with two clips, and two plots
SHOWN = (
    "%load_ext workbench\nimport plotly.io as pio",
    "%%vquery sample:street --limit 2\nclass RedCars(Query):\n    car: Car\n    where = car.color == 'red'",
    "import plotly.graph_objects as go\ngo.Figure(go.Scatter(y=[n * n % 37 for n in range(200)]))",
    "go.Figure(go.Bar(x=list('abc'), y=[3, 1, 2]))",
)
#: without this, nbconvert's page shows no plot of a notebook that nbclient ran
EMBEDDED = "pio.renderers.default = 'notebook'"
#: a chart that grows for two seconds, ours and plotly's
LIVE = (
    "%load_ext workbench\nimport time",
    "%%tta top1>=93 --name live\nfor step in range(20):\n    time.sleep(0.1)\n"
    "    tta.eval(step=step, n=1000, top1=5.0 * step)",
)
WIDGET = (
    "import time\nimport plotly.graph_objects as go",
    "figure = go.FigureWidget(go.Scatter(x=[], y=[]))\ndisplay(figure)\nfor step in range(20):\n    time.sleep(0.1)\n"
    "    figure.data[0].update(x=list(range(step)), y=[5.0 * s for s in range(step)])",
)


def startup() -> list[Figure]:
    """`import workbench` and `%load_ext workbench` in a fresh Python that has IPython, beside `import pandas`."""
    shell = "from IPython.core.interactiveshell import InteractiveShell as S; s = S.instance(); import time; "
    timed = shell + "t = time.perf_counter(); {}; print('TOOK', time.perf_counter() - t)"
    ours = "import workbench; s.run_line_magic('load_ext', 'workbench')"
    taken = in_turns(lambda: _told(timed.format(ours)), lambda: _told(timed.format("import pandas")), ROUNDS * 2)
    return [beside("import workbench and %load_ext", taken, "s", "< 0.5", taken[0] < 0.5, "import pandas")]


def report() -> list[Figure]:
    """A report of two plots and a player with two clips, beside nbconvert's page; both opened without a network."""
    with tempfile.TemporaryDirectory() as folder:
        notebook = executed(Path(folder) / "shown.ipynb", SHOWN)
        with_plotly = executed(Path(folder) / "peer.ipynb", (SHOWN[0], EMBEDDED, *SHOWN[1:]))
        ours, peer = Path(folder) / "ours.html", Path(folder) / "peer.html"
        taken = in_turns(
            lambda: _command("workbench", "report", notebook, "-o", ours),
            lambda: _command("jupyter", "nbconvert", "--to", "html", "--output", peer, with_plotly),
        )
        pages = notebook_lab.opened_offline(ours), notebook_lab.opened_offline(peer)
        sizes = ours.stat().st_size / 1e6, peer.stat().st_size / 1e6
    share, name, faults = sizes[0] / sizes[1], "nbconvert --to html", [sum(page.values()) for page in pages]
    return [
        beside("report of 2 plots and 2 clips, time", taken, "s", "<= 2", taken[0] <= 2, name),
        beside("report of 2 plots and 2 clips, size", sizes, "MB", "<= 0.35 x peer", share <= 0.35, name),
        Figure(
            "report without a network, requests and errors", faults[0], "", "0", faults[0] == 0,
            details={"ours": pages[0], "nbconvert": pages[1]},
            note=f"nbconvert's page: {pages[1]['requests']} requests, {pages[1]['errors']} errors",
        ),
    ]  # fmt: skip


def size() -> list[Figure]:
    """A notebook with one live chart, as it is saved, beside one with a `FigureWidget`."""
    with tempfile.TemporaryDirectory() as folder:
        ours = executed(Path(folder) / "ours.ipynb", LIVE, widgets=True).stat().st_size / 1e6
        peer = executed(Path(folder) / "peer.ipynb", WIDGET, widgets=True).stat().st_size / 1e6
    return [beside("notebook with one live chart", (ours, peer), "MB", "<= 0.2", ours <= 0.2, "FigureWidget")]


def cells(count: int = 52) -> list[Figure]:
    """A notebook of many small cells, run and written as a report, beside `jupyter execute`, which only runs it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cells.ipynb"
        nbformat.write(new_notebook(cells=[new_code_cell(f"x{n} = {n}\nx{n}") for n in range(count)]), path)
        taken = in_turns(
            lambda: _command("workbench", "report", path, "-o", path.with_suffix(".html"), "--execute"),
            lambda: _command("jupyter", "execute", "--output", "done.ipynb", path),
        )
    met = taken[0] <= taken[1]
    return [beside(f"running {count} small cells, with the report", taken, "s", "<= peer", met, "jupyter execute")]


def executed(path: Path, sources: Sequence[str], *, widgets: bool = False) -> Path:
    """Run cells as a notebook, with the state of widgets kept as JupyterLab keeps it, and save it."""
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    with tempfile.TemporaryDirectory() as home:
        os.environ["WORKBENCH_HOME"] = home
        try:
            NotebookClient(notebook, timeout=300, kernel_name="python3", store_widget_state=widgets).execute()
        finally:
            del os.environ["WORKBENCH_HOME"]
    nbformat.write(notebook, path)
    return path


def in_turns(ours: Callable[[], float], peer: Callable[[], float], rounds: int = ROUNDS) -> tuple[float, float]:
    """Return the medians of two measurements that take turns, so that both meet the same machine."""
    pairs = [(ours(), peer()) for _ in range(rounds)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def beside(
    name: str, taken: tuple[float, float], unit: str, target: str, met: bool | None, peer: str, note: str = ""
) -> Figure:
    """Return a figure of ours with its peer's; the ratio is peer over ours: more is better."""
    return Figure(name, taken[0], unit, target, met, peer, taken[1], taken[1] / taken[0], note)


def _told(program: str) -> float:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found = re.search(r"^TOOK (\S+)", done.stdout, re.MULTILINE)
    if found is None:
        raise RuntimeError(done.stdout[-300:] + done.stderr[-300:])
    return float(found[1])


def _command(name: str, *words: str | Path) -> float:
    """Run a program that is installed beside this Python; return how long it took, in seconds."""
    begun = time.perf_counter()
    program = Path(sys.executable).parent / name
    subprocess.run([program, *words], capture_output=True, check=True)
    return time.perf_counter() - begun


def kernel() -> list[Figure]:
    """What a person waits for in a running kernel."""
    (ours, plain), (completed, alone), interrupted, cancelled = notebook_kernel.measured()
    overhead, lists = 1e3 * (ours - plain), (1e3 * completed, 1e3 * alone)
    stopped, ended = statistics.median(interrupted), statistics.median(cancelled)
    return [
        Figure("overhead of %outliers over the call", overhead, "ms", "<= 20", overhead <= 20,
               details={"magic_ms": 1e3 * ours, "call_ms": 1e3 * plain}, note="whole cells, the answer drawn"),
        beside("completion reply", lists, "ms", "<= 50", lists[0] <= 50, "IPython alone"),
        Figure("interrupt to reply", stopped, "s", "<= 1", max(interrupted) <= 1, details={"all_s": interrupted}),
        Figure("cancel on the panel's route to the end of the cell", ended, "s", "<= 3", max(cancelled) <= 3,
               details={"all_s": cancelled}),
    ]  # fmt: skip


def opening() -> list[Figure]:
    """A notebook opened in a browser that was never there, with the extension and without."""
    taken = notebook_lab.opened()
    more = 100 * (taken[0] / taken[1] - 1)
    name = "opening a notebook, cold"
    figure = beside(name, taken, "s", "<= 5 % more", more <= 5, "JupyterLab without the extension", f"{more:+.1f} %")
    return [figure]


FIGURES = {each.__name__: each for each in (startup, report, size, kernel, cells, opening)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", nargs="*", choices=[*FIGURES, []], help="all, if none is named")
    for name in parser.parse_args().figures or FIGURES:
        write("notebook", FIGURES[name](), PACKAGES)


if __name__ == "__main__":
    main()
