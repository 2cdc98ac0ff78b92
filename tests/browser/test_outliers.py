"""Outliers in a real JupyterLab: sorted, looked into, asked again, copied; and the same facts without a kernel."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

import workbench as wb
from tests.browser.conftest import PATIENCE, Lab, Told, command, themed, wait_idle
from tests.browser.test_lab import SHOTS, SPEC
from tests.browser.test_ranked import texts
from tests.notebook.report import notebooks as nb
from workbench.anomaly import samples
from workbench.engine import ranked

SETUP = "%load_ext workbench\nfrom workbench.anomaly import samples\nflights = samples.flights()"
QUESTION = "%%outliers flights --metric arr_delay --by carrier, origin, dest, month, hour -o why"
DIFF = """%%diff -o late
SELECT * FROM DIFF (SPLIT flights WHERE arr_delay > 180) ON carrier, dest, hour
WITH MIN RATIO 2 MIN SUPPORT 0.01 COMPARE BY risk_ratio(COUNT(*)) MAX COMBO 2 ORDER BY risk_ratio DESC"""
#: the question asked again has an answer, or an error
ENDED = "() => !document.querySelector('.wb-r-status').textContent.startsWith('Asking')"
COPIED = (
    "async () => { window.copied = []; navigator.clipboard.writeText = async text => { window.copied.push(text); }; }"
)


@pytest.fixture(scope="module")
def notebook(lab: Lab) -> Path:
    """Return a notebook with one question about flights."""
    cells = [nb.code(SETUP, count=None), nb.code(QUESTION, count=None)]
    return nb.write(lab.folder / "outliers.ipynb", cells, kernelspec=SPEC)


def facts(page: Any) -> tuple[list[list[str]], str]:
    """Return the cells of the ranked table, and the header line above it."""
    page.locator("tr.wb-r-row").first.scroll_into_view_if_needed()
    return texts(page), page.locator(".wb-summary").first.inner_text()


def saved(notebook: Path) -> Any:
    return nbformat.read(notebook, as_version=4)


def stored_state(notebook: Path) -> dict[str, Any]:
    """Return the state of the panel as the saved notebook holds it."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    [output] = [output for output in cells[1]["outputs"] if output["output_type"] == "display_data"]
    assert "application/vnd.jupyter.widget-view+json" not in output["data"]
    [view] = [view for view in output["data"][nb.VIEW]["views"] if view["module"] == "ranked"]
    return dict(view["state"])


@pytest.mark.slow
def test_c41_flights_from_the_question_to_a_saved_answer(lab: Lab, browser: Any, notebook: Path) -> None:
    SHOTS.mkdir(exist_ok=True)
    page = lab.open(browser, notebook)
    told: list[str] = []
    page.on("pageerror", lambda error: told.append(str(error)))
    command(page, "notebook:run-all-cells")
    page.get_by_text("327,346 rows").first.wait_for(timeout=PATIENCE)
    wait_idle(page)
    lab.needs_extension()
    rows, header = facts(page)
    assert re.match(r"327,346 rows, 3,2\d\d outliers \(0\.\d\d %\), arr_delay > \d", header)
    assert rows[0][1] == "month = 6 ∧ hour = 18"

    # sort, with the keyboard too
    support = page.get_by_role("columnheader", name="Support").get_by_role("button")
    support.click()
    shares = [float(row[3].removesuffix(" %")) for row in texts(page)]
    assert shares == sorted(shares, reverse=True)
    page.get_by_role("columnheader", name="#").get_by_role("button").press("Enter")
    assert texts(page) == rows

    # drill down
    page.locator("tr.wb-r-row").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    region = page.get_by_role("region", name=rows[2][1].replace(" ∧ ", " and "))
    assert region.locator("svg").first.is_visible()
    assert "arr_delay" in region.locator("table").inner_text()

    # copy
    page.evaluate(COPIED)
    page.get_by_role("button", name="Copy SQL").click()
    page.get_by_role("status").get_by_text("Copied").wait_for()
    page.screenshot(path=SHOTS / "outliers-light.png")

    # exclude and rerun, and back
    page.get_by_role("button", name="Exclude and rerun").click(timeout=20_000)
    page.wait_for_function(ENDED, timeout=PATIENCE)
    assert page.get_by_role("button", name="‹ Back").is_visible(), page.locator(".wb-r-status").inner_text()
    again, named = texts(page), page.locator(".wb-r-summary").inner_text()
    left = 327_346 - int(rows[2][4].split(" of ")[1].replace(",", ""))
    assert named.startswith(f"{left:,} rows")
    assert rows[2][1] not in [row[1] for row in again]
    page.screenshot(path=SHOTS / "outliers-again.png")
    page.get_by_role("button", name="‹ Back").click()
    assert texts(page) == rows

    # copied SQL selects the rows of that line; the notebook holds the same answer
    [sql] = page.evaluate("window.copied")
    import duckdb

    flights = samples.flights()
    [(count,)] = duckdb.connect().execute(f"SELECT count(*) FROM flights WHERE {sql}").fetchall()
    assert f"{count:,}" == rows[2][4].split(" of ")[1]

    command(page, "docmanager:save")
    page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty", timeout=PATIENCE)
    kept = stored_state(notebook)
    assert "live" not in kept and kept["selected"] is None
    assert [ranked.cell_text(kept["columns"][4], row[4]) for row in kept["rows"][:10]] == [row[4] for row in rows]
    assert len(flights) > left

    # without a kernel
    for session in json.loads(lab.call("GET", "api/sessions")[1]):
        assert lab.call("DELETE", f"api/sessions/{session['id']}")[0] == 204
    page.reload()
    page.locator("tr.wb-r-row").first.wait_for(timeout=PATIENCE)
    assert facts(page) == (rows, header)
    page.locator("tr.wb-r-row").nth(2).click()
    assert page.get_by_role("region").locator("svg").first.is_visible()
    page.wait_for_timeout(500)
    assert page.get_by_role("button", name="Exclude and rerun").count() == 0, "a new kernel does not hold the answer"
    assert told == []
    themed(page, "Dark")
    page.screenshot(path=SHOTS / "outliers-dark.png")
    themed(page, "Light")
    page.context.close()


@pytest.mark.slow
def test_c44_the_report_shows_the_same_facts(
    lab: Lab, notebook: Path, offline: tuple[Any, Told], tmp_path: Path
) -> None:
    if not saved(notebook).cells[1].outputs:
        pytest.skip("nothing was saved: the test before has to pass first")
    page, told = offline
    kept = stored_state(notebook)
    report = wb.report(notebook, tmp_path / "report.html")
    page.goto(report.path.as_uri())
    page.wait_for_function("document.documentElement.dataset.ready === '1'")
    rows, header = facts(page)
    plain = "".join(saved(notebook).cells[1].outputs[0]["data"]["text/plain"])
    assert plain.splitlines()[0] == header
    for line, row in zip([line for line in plain.splitlines() if re.match(r"\s*\d+  ", line)], rows, strict=False):
        figures = [row[0], row[1].replace(" ∧ ", " and "), f"ratio {row[2]}", f"support {row[3]}", row[4]]
        assert re.sub(r"\s+", " ", line).strip() == " ".join(figures)
    page.get_by_role("columnheader", name="Support").get_by_role("button").click()
    page.locator("tr.wb-r-row").first.press("Enter")
    assert page.get_by_role("region").locator("svg").first.is_visible()
    assert page.get_by_role("button", name="Exclude and rerun").count() == 0
    page.screenshot(path=SHOTS / "outliers-report.png")
    assert told.errors == [] and told.outside == []
    assert kept["rows"][0][0] == 1


@pytest.mark.slow
def test_c44_the_static_form_needs_no_script(lab: Lab, notebook: Path, browser: Any) -> None:
    if not saved(notebook).cells[1].outputs:
        pytest.skip("nothing was saved: the test before has to pass first")
    data = saved(notebook).cells[1].outputs[0]["data"]
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.set_content("".join(data["text/html"]))
    text = re.sub(r"\s+", " ", page.locator("body").text_content())
    plain = "".join(data["text/plain"])
    lines = plain.splitlines()
    assert lines[0] in text
    for line in [line for line in lines if re.match(r"\s*\d+  ", line)]:
        for figure in re.findall(r"\d[\d,.]* \[.*?\]|[\d.]+ %|[\d,]+ of [\d,]+$", line):
            assert figure in text, line
    context.close()


@pytest.mark.slow
def test_query_cells_of_outliers_and_diff_are_coloured(lab: Lab, browser: Any) -> None:
    lab.needs_extension()
    cells = [nb.code(QUESTION + "\nSELECT * FROM flights -- all", count=None), nb.code(DIFF, count=None)]
    page = lab.open(browser, nb.write(lab.folder / "colours.ipynb", cells, kernelspec=SPEC))
    types = "window.jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model.mimeType)"
    assert page.evaluate(types) == ["text/x-workbench-diff"] * 2
    colour = """word => {
      const span = [...document.querySelectorAll('.jp-Cell .cm-line span')].find(span => span.textContent === word);
      return span ? getComputedStyle(span).color : null;
    }"""
    words = ("%%diff", "--metric", "DIFF", "SELECT", "risk_ratio", "0.01", "-- all")
    colours = {word: page.evaluate(colour, word) for word in words}
    assert None not in colours.values(), colours
    assert colours["DIFF"] == colours["SELECT"] and len(set(colours.values())) >= 4, colours
    page.context.close()
