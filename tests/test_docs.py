"""The documentation is whole: each magic and each result has its page, and Sphinx builds it without a warning."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_magic_has_a_page_with_its_usage() -> None:
    magics = {path.stem for path in (ROOT / "workbench" / "notebook" / "magics").glob("*.py")}
    index = (DOCS / "index.md").read_text()
    for name in ("vquery", "outliers", "diff", "fuse", "pipeline", "tta", "workbench"):
        assert name in magics
        assert f"generated/usage/{name}.txt" in (DOCS / "magics" / f"{name}.md").read_text()
        assert index.count(f"magics/{name}") == 2  # in the table and in the contents


def test_each_result_has_a_page(generate: ModuleType) -> None:
    results = {path.stem: json.loads(path.read_text()) for path in (ROOT / "benchmarks" / "results").glob("*.json")}
    with_figures = {stem for stem, result in results.items() if "figures" in result}
    assert with_figures <= set(generate.RESULTS)
    pages = dict(generate.figures())
    for stem in with_figures:
        page = pages[f"figures/{stem}.md"]
        assert page.count("**missed**") == sum(each["met"] is False for each in results[stem]["figures"])
        assert page.count("\n|") == len(results[stem]["figures"]) + 2


def test_figures_are_shown_as_they_are(generate: ModuleType) -> None:
    figure = {"name": "a|b", "value": 0.123456, "unit": "s", "target": "<= 1", "met": False, "peer": "pandas"}
    figure |= {"peer_value": 12_345, "ratio": 99_999.5, "note": "two\nlines"}
    page = generate.figure_page(
        "T", {"machine": {"cpu": "Z80", "cores": 2, "packages": {"numpy": "2"}}, "figures": [figure]}
    )
    assert "0 of 1 targets are met. Measured on: Z80, 2 cores." in page
    assert "| a\\|b | 0.1235 s | <= 1 | **missed** | pandas: 12,345 (1e+05 ×) | two lines |" in page


@pytest.mark.slow
def test_the_first_answers_are_as_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's cells, of the README and of the first page, without any weights, on a clip that lies beside them."""
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell, new_notebook

    from tests.video import scenes

    monkeypatch.delenv("WORKBENCH_MIRROR", raising=False)
    scenes.write_scene(tmp_path / "my.mp4", 120)
    text = "".join((ROOT / page).read_text("utf-8") for page in ("README.md", "docs/start.md"))
    blocks = [textwrap.dedent(found) for found in re.findall(r"\n   ```python\n(.*?)\n   ```", text, re.DOTALL)]
    asked = [number for number, block in enumerate(blocks) if block.startswith("%%vquery ")]
    assert (len(blocks), asked) == (4, [1, 3])
    cells = [
        new_code_cell(block.replace("/path/to/", "")) for block in [*blocks, "print(found.events.columns.tolist())"]
    ]
    book = new_notebook(cells=cells)
    NotebookClient(book, timeout=200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert "'start', 'end'" in cells[-1].outputs[0]["text"]
    for number in asked:
        shown = "".join(str(output) for output in cells[number].outputs)
        assert "VideoResult: " in shown and "motion" in shown  # the detector that needs nothing, and it says so


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path, generate: ModuleType) -> None:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", str(tmp_path / "trees")]
    done = subprocess.run(
        [*command, str(DOCS), str(tmp_path / "out" / "html")], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    site = tmp_path / "out" / "html"
    assert 'id="workbench.video.Car"' in (site / "generated/api/video.html").read_text(), "as a reader imports it"
    assert "Watch a training cell" in (site / "magics" / "tta.html").read_text()
    for title, module in generate.API.items():
        page = (site / "generated" / "api" / f"{module.rpartition('.')[2]}.html").read_text()
        assert title in page
        assert '<dl class="py ' in page
    pages = [path.read_text() for path in site.rglob("*.html")]
    assert len(pages) > 25
    assert not any('src="http' in page or 'rel="stylesheet" href="http' in page for page in pages)  # read offline
