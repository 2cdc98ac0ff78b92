"""A copy is run with its parameters; the file is not touched, and a failed cell leaves nothing behind."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import nbformat
import pytest

import workbench as wb
from tests.notebook.report import notebooks as nb
from workbench.engine.errors import WorkbenchError
from workbench.notebook.report.execute import inject

VALUES: dict[str, Any] = {"n": 3, "who": "O'Brien \"x\"\n", "on": True, "none": None, "rate": 0.5,
                          "many": [1, (2, "a")], "table": {"a": [1.5], "b": {}}, "inf": -math.inf}  # fmt: skip


def sources(cells: list[Any], values: dict[str, Any]) -> list[str]:
    notebook = nbformat.v4.new_notebook(cells=cells)
    inject(notebook, values)
    return [cell.source.splitlines()[0] if cell.source else "" for cell in notebook.cells]


def test_values_stand_after_the_tagged_cell_or_first() -> None:
    cells = [nb.text("# t"), nb.code("n = 1", tags=["parameters"]), nb.code("n + 1")]
    assert sources(cells, {"n": 2}) == ["# t", "n = 1", "# Parameters", "n + 1"]
    assert sources([nb.text("# t"), nb.code("2")], {"n": 2}) == ["# Parameters", "# t", "2"]


def test_earlier_values_are_replaced() -> None:
    cells = [nb.code("n = 1", tags=["parameters"]), nb.code("# old", tags=["injected-parameters"]), nb.code("n")]
    assert sources(cells, {"n": 2}) == ["n = 1", "# Parameters", "n"]


def test_values_come_back_as_they_are() -> None:
    notebook = nbformat.v4.new_notebook()
    inject(notebook, VALUES)
    names: dict[str, Any] = {}
    exec(notebook.cells[0].source, names)
    assert {name: names[name] for name in VALUES} == {**VALUES, "many": [1, [2, "a"]]}
    assert notebook.cells[0].metadata.tags == ["injected-parameters"]


@pytest.mark.parametrize("tags", [["parameters"], [], ["injected-parameters"]])
def test_the_cell_is_the_one_that_papermill_writes(tmp_path: Path, tags: list[str]) -> None:
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    spec = {"name": "python3", "language": "python", "display_name": "Python 3"}
    cells = [nb.text("# t"), nb.code("n = 1", tags=tags), nb.code("n")]
    path = nb.write(tmp_path / "n.ipynb", cells, kernelspec=spec)
    values = {"n": 2, "name": 'x \\ "y"\n', "flag": True, "none": None, "items": [1, 2.5, "a"], "map": {"a": 1}}
    theirs = parameterize_notebook(load_notebook_node(str(path)), values)
    ours = nbformat.read(path, as_version=4)
    inject(ours, values)
    assert [cell.source.strip() for cell in ours.cells] == [cell.source.strip() for cell in theirs.cells]
    assert [cell.metadata.get("tags", []) for cell in ours.cells] == [cell.metadata.tags for cell in theirs.cells]


def test_an_object_is_no_parameter() -> None:
    with pytest.raises(WorkbenchError, match="The parameter n is a set"):
        inject(nbformat.v4.new_notebook(), {"n": {1}})


@pytest.mark.slow
def test_a_copy_is_run_in_the_notebooks_folder(tmp_path: Path) -> None:
    (tmp_path / "beside.txt").write_text("from beside")
    cells = [
        nb.code("n = 1", tags=["parameters"], count=None),
        nb.code("print(open('beside.txt').read(), n * 21)", count=None),
    ]
    path = nb.write(tmp_path / "n.ipynb", cells)
    before = path.read_bytes()
    first = wb.report(path, parameters={"n": 2}, execute=True).path.read_bytes()
    assert b"from beside 42" in first
    assert b"celltag_injected-parameters" in first
    assert path.read_bytes() == before
    assert wb.report(path, parameters={"n": 2}).path.read_bytes() == first


@pytest.mark.slow
def test_a_failed_cell_leaves_nothing_unless_it_may(tmp_path: Path) -> None:
    cells = [nb.text("# t"), nb.code("1", count=None), nb.code("raise ValueError('no such column')", count=None)]
    path = nb.write(tmp_path / "n.ipynb", cells)
    target = tmp_path / "out.html"
    with pytest.raises(WorkbenchError) as caught:
        wb.report(path, target, execute=True)
    assert caught.value.lines() == [
        "Cell 2 failed: ValueError: no such column.",
        "Nothing was written. To write it anyway: --allow-errors",
    ]
    assert not target.exists()
    made = wb.report(path, target, execute=True, allow_errors=True)
    assert "no such column" in made.path.read_text("utf-8")


@pytest.mark.slow
def test_a_slow_cell_is_told_so(tmp_path: Path) -> None:
    path = nb.write(tmp_path / "n.ipynb", [nb.code("import time; time.sleep(60)", count=None)])
    with pytest.raises(WorkbenchError) as caught:
        wb.report(path, execute=True, timeout=2)
    assert caught.value.lines()[0] == "Cell 1 failed: it took longer than 2 s."
    assert not path.with_suffix(".html").exists()
