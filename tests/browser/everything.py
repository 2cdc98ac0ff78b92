"""One output of every kind of result, whose names, values and error texts would run were they ever read as HTML.

`window.taken` is what each of them sets: a page on which it stays undefined has read none of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from nbformat.v4 import new_output

import workbench as wb
from tests.browser.test_spot import priced
from tests.notebook.report import notebooks as nb
from tests.training.test_view import lost_and_recovered
from tests.tta.test_live_state import record
from tests.video import scenes
from workbench.engine.errors import WorkbenchError
from workbench.engine.result import Table
from workbench.notebook import display
from workbench.training import RandomTrace, simulate
from workbench.training.simulate.models import MODELS
from workbench.tta.run import Run
from workbench.tta.runs import Runs

#: without a slash, so that a file can have it as its name
NAME = "<img src=x onerror=taken=1>"
BAD = f"{NAME}</script><script>taken=2</script></title></style>\"' onload='taken=3"
#: the question of a video: its words are shown in the cell, its values in the answer
QUERY = f"""
class Mine(Car):
    @prop
    def shade(self, frame):
        if frame == 40:
            raise ValueError({NAME!r})
        return {BAD!r}
class Shades(Query):
    car: Mine
    where = known(car.shade)
    select = car.id, car.shade, start, end
"""


def film(folder: Path) -> Any:
    """Return an answer on a file with such a name: labels, values, regions and an error of a property."""
    place = scenes.write_scene(folder / f"{NAME}.mp4", 120)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return wb.vquery(place, QUERY.replace("(Car)", "(Object)"), detector=scenes.truth(120).assign(label=BAD))


def table() -> pd.DataFrame:
    """Return rows of which those with a bad value are outliers."""
    random = np.random.default_rng(0)
    rows = pd.DataFrame({NAME: random.choice([BAD, "a", "b"], 900), "hour": random.integers(0, 4, 900).astype(str)})
    rows[f"{NAME}s"] = random.normal(0, 1, 900) + 9 * (rows[NAME] == BAD)
    return rows


def trained() -> Any:
    """Return a run of priced machines that lost a worker."""
    run = priced(lost_and_recovered())
    run.add_incident("stall", BAD, step=2)
    run.add_metrics(3, {BAD: 1.0})
    return run


def recipe(name: str, slower: float) -> Runs:
    """Return four runs of a recipe."""
    made = []
    for seed in range(4):
        one = record([80.0, 92.0 + seed, 94.0 + seed, 96.0], id=f"{slower}{seed}", name=name, seed=seed,
                     warnings=(BAD,), environment={"host": f"{BAD}{slower}"})  # fmt: skip
        one.evals["dawnbench_s"] *= slower + seed / 50
        made.append(Run(one))
    return Runs(made)


def results(folder: Path) -> Iterator[tuple[str, Any]]:
    """Give the words of a cell and its result, one of each kind."""
    rows = table()
    metric = f"{NAME}s"
    yield f"%%vquery clip.mp4 -o found\n{QUERY}", film(folder)
    yield "%outliers rows", wb.outliers(rows, metric, [NAME, "hour"], top=0.3, min_ratio=0.5)
    yield "%%diff\nSELECT", wb.diff(rows[rows[metric] > 4], rows[rows[metric] <= 4], on=[NAME, "hour"])
    values = {"x": np.linspace(0, 1, 5000), "np": np}
    yield "%%fuse\n# " + BAD, wb.fusion.run_cell(f"s = np.exp(-x * x)  # {BAD}\ns.sum()", values, compare=("numpy",))
    yield "%%pipeline net data", trained()
    yield "simulate(model)", simulate(replace(MODELS["BERT"], name=BAD), trace=RandomTrace(), duration="24h", seed=1)
    a, b = recipe(BAD, 1.0), recipe("plain", 1.6)
    yield f"%%tta top1>=94 --name '{BAD}'", a[0]
    yield "runs", a
    yield "compare(a, b)", wb.tta.compare(a, b)
    yield "%workbench runs", Table(pd.DataFrame({BAD: [BAD, None], "done": [1.5, 2.0]}), BAD)


def write(folder: Path, name: str = "everything.ipynb", **metadata: Any) -> Path:
    """Write the notebook of all of them, with an error, a figure and printed words beside them."""
    cells = [nb.text(f"# Everything\n\nA line of text, and `{NAME}`.")]
    for number, (source, result) in enumerate(results(folder), start=1):
        cells.append(nb.code(source, [nb.display(display.render_hook(result))], number))
    error = WorkbenchError(BAD, f"Did you mean {BAD}?")
    traceback = list(error._render_traceback_())
    figure = {"data": [{"type": "bar", "x": [BAD], "y": [1], "name": BAD}], "layout": {"title": {"text": BAD}}}
    cells += [
        nb.code("wrong", [new_output("error", ename="WorkbenchError", evalue=BAD, traceback=traceback)], 21),
        nb.code("figure", [nb.display({nb.PLOTLY: figure, "text/plain": "figure"})], 22),
        nb.code(f"print({BAD!r})", [new_output("stream", name="stdout", text=f"{BAD}\n")], 23),
    ]
    return nb.write(folder / name, cells, **metadata)
