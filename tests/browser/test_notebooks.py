"""The project's notebooks run from top to bottom, and the tour becomes one offline file that draws everything."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

import workbench as wb
from tests.video.models.mirror import needs_mirror

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def text_of(cell: Any) -> str:
    """Return the plain text of a cell's outputs, one below the other; a slow machine shows a progress line first."""
    return "\n".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in cell.get("outputs", [])
    )


def executed(notebook: Path, before: str = "") -> list[Any]:
    """Run a notebook as papermill and nbmake do, after some code, and return its cells."""
    from nbclient import NotebookClient

    content = nbformat.read(notebook, as_version=4)
    if before:
        content.cells.insert(0, nbformat.v4.new_code_cell(before))
    NotebookClient(content, timeout=300, resources={"metadata": {"path": str(notebook.parent)}}).execute()
    return list(content.cells)


@pytest.fixture
def shared(offline: tuple[Any, Any], tmp_path: Path) -> Callable[[list[Any]], Any]:
    """Make executed cells one page, open that without a network, see to it that all of it is drawn; return the tab."""

    def open_report(cells: list[Any]) -> Any:
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "shared.ipynb")
        tab, told = offline
        tab.goto(wb.report(tmp_path / "shared.ipynb", limit="64MiB").path.as_uri())
        tab.wait_for_selector("html[data-ready='1']", timeout=60_000)
        tab.wait_for_function(
            "[...document.querySelectorAll('video')].every(video => video.readyState >= 2)", timeout=60_000
        )
        assert told.outside == []
        assert told.errors == []
        assert "Traceback" not in tab.inner_text("body")
        return tab

    return open_report


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run `workbench demo` with an empty store and without any mirror; return the page and what was printed."""
    folder = tmp_path_factory.mktemp("demo")
    environment = {k: v for k, v in os.environ.items() if k != "WORKBENCH_MIRROR"} | {"WORKBENCH_HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, "-m", "workbench", "demo", "-o", str(folder / "tour.html")],
        env=environment, capture_output=True, text=True, cwd=folder, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "tour.html", done.stdout


def test_the_demo_names_each_section_and_the_page(tour: tuple[Path, str]) -> None:
    page, printed = tour
    titles = [
        line.lstrip("# ")
        for cell in nbformat.read(ROOT / "notebooks/00_tour.ipynb", as_version=4).cells
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
        if line.startswith("#")
    ]
    assert [line[: len(title)] for line, title in zip(printed.splitlines(), titles, strict=False)] == titles
    assert printed.splitlines()[-1].startswith(str(page))
    assert page.stat().st_size < 2_000_000


def test_the_tour_draws_everything_without_a_network(tour: tuple[Path, str], browser: Any) -> None:
    page, _ = tour
    context = browser.new_context(offline=True)
    tab = context.new_page()
    requests: list[str] = []
    errors: list[str] = []
    tab.on("request", lambda request: requests.append(request.url))
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(page.as_uri())
    tab.wait_for_function("document.documentElement.dataset.ready === '1'")
    tab.wait_for_function("[...document.querySelectorAll('video')].every(video => video.readyState >= 2)")
    assert [url for url in requests if not url.startswith(("file:", "blob:", "data:"))] == []
    assert errors == []
    assert tab.locator("video").count() >= 4
    body = tab.inner_text("body")
    assert "1 event, 1 car" in body
    assert "Traceback" not in body
    context.close()


def test_questions_about_a_street(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Callable[[list[Any]], Any]
) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    monkeypatch.delenv("WORKBENCH_MIRROR", raising=False)
    cells = executed(ROOT / "notebooks/01_video.ipynb")
    street = wb.video.samples.street()
    truth, events = street.truth, street.events.set_index("kind")

    def rows(name: str) -> list[list[str]]:
        """The cells of a table below its head."""
        text = next(text_of(cell) for cell in cells if re.match(rf"(%%.* -o )?{re.escape(name)}\b", cell.source))
        lines = text[text.index("VideoResult:") :].splitlines()[2:] if "VideoResult:" in text else text.splitlines()[1:]
        return [line.split() for line in lines if line and not line.startswith("note:")]

    def within(row: list[str], start: float, end: float) -> bool:
        """Whether an event of one object is at these times: boxes that are seen end a little off those that are."""
        return abs(float(row[3]) - start) < 1 and abs(float(row[4]) - end) < 1

    (red,) = rows("red")
    car = truth[truth["id"] == events.loc["red_car", "id"]]
    assert red[-2] == "red" and within(red, car["time"].min() + 0.5, car["time"].max())
    (loiter,), (stays,) = rows("loiter"), rows("stays")
    assert within(loiter, 3.2, 38.5) and float(stays[3]) == pytest.approx(3.2, abs=0.3)
    crossed = sorted(
        (20.0 * (start // 20), "shop" if start != 19.24 else "street") for start in events.loc["crossing", "start"]
    )
    assert sorted((float(row[1]), row[3]) for row in rows("traffic")) == crossed
    assert [row[3] for row in rows("queue")] == ["3", "2", "0"]
    assert [round(float(row[2])) for row in rows("busy")] == [3, 15, 32]
    (left,) = rows("left")
    assert float(left[4]) == pytest.approx(events.loc["bag_left", "start"], abs=1) and float(left[5]) == 60.0
    assert [round(float(row[4])) for row in rows("meetings")] == [7, 20, 32]
    yellow = truth[(truth["color"] == "yellow") & (truth["label"] == "car")]
    (fast,) = rows("fast")
    assert within(fast, yellow["time"].min() + 0.5, yellow["time"].max())
    assert len(rows("lively")) == 2
    (crossing,) = rows("live")
    assert float(crossing[3]) == pytest.approx(6.88, abs=0.2)
    durations = [float(row[-1]) for row in rows("meetings.sql")]
    assert len(durations) == 3 and durations == sorted(durations, reverse=True)
    assert any("(1.0, 0.43" in text_of(cell) for cell in cells)
    tab = shared(cells)
    assert tab.locator(".wb-player video").count() >= 9
    assert tab.locator("img").count() >= 1
    # the yard can be drawn anew in a page without a kernel
    assert (
        tab.locator(".wb-region-code").inner_text() == "yard = Region((516, 116), (740, 116), (756, 160), (508, 160))"
    )
    tab.get_by_role("application").press("Backspace")
    assert tab.locator(".wb-region-code").inner_text() == "yard = Region((516, 116), (740, 116), (756, 160))"


@needs_mirror
def test_real_video(shared: Callable[[list[Any]], Any]) -> None:
    cells = executed(ROOT / "notebooks/08_real_clips.ipynb")
    summaries = [line for cell in cells for line in text_of(cell).splitlines() if line.startswith("VideoResult:")]
    # vehicles, red cars, directions, and moving things without any weights
    assert [line.split(" in ")[0] for line in summaries] == [
        "VideoResult: 4 events, 4 objects",
        "VideoResult: 1 event, 1 object",
        "VideoResult: 4 events, 4 objects",
        "VideoResult: 4 events, 4 objects",
    ]
    assert shared(cells).locator(".wb-player video").count() >= 4


def test_c51_outliers_of_flights_orders_and_a_video(shared: Callable[[list[Any]], Any]) -> None:
    # As in a clean clone: without the packages of the tests.
    cells = executed(ROOT / "notebooks/02_outliers.ipynb", "import sys\nsys.modules['bokeh_sampledata'] = None")
    shown = {cell.source.splitlines()[0]: text_of(cell) for cell in cells if cell.cell_type == "code"}

    def answer(start: str) -> list[str]:
        text = next(text for line, text in shown.items() if line.startswith(start))
        return [" ".join(line.split()) for line in text.splitlines()]

    flights = answer("%outliers flights")
    assert flights[0].startswith("327,346 rows, 3,254 outliers (0.99 %), arr_delay > 190, ")
    assert "1 month = 6 and hour = 18 ratio 5.7 [4.6, 6.9] support 2.9 % 94 of 1,711" in flights
    orders = answer("%%outliers orders")
    assert orders[1].startswith("1 Sub-Category = Tables and State = Illinois")
    assert orders[2].startswith("2 Sub-Category = Binders and State = Texas")
    assert answer("%%diff -o december")[1].startswith("1 dest = MCO and hour = 18 ratio 22.6")
    assert answer("%%diff")[0]
    assert answer("%%outliers boxes")[1].startswith("1 label = suitcase")
    assert any(line.startswith("1 ") for line in answer("%outliers days"))
    assert shared(cells).locator(".wb-ranked").count() >= 4


def test_c58_time_to_accuracy_of_digits_and_of_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Callable[[list[Any]], Any]
) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    cells = executed(ROOT / "notebooks/05_time_to_accuracy.ipynb")
    texts = [text_of(cell) for cell in cells if cell.cell_type == "code"]

    def answer(start: str) -> str:
        return next(text for text in texts if text.startswith(start))

    assert answer("digits-one-cycle: top1 >= 97 ") and "confirmed by 2: " in answer("digits-one-cycle: top1 >= 97 ")
    assert "of 8 reached 97 (" in answer("digits-one-cycle, 8 seeds: 8 of 8 seeds")
    assert any("digits-one-cycle and digits-constant" in text or " faster than " in text or " fewer steps " in text
               for text in texts)  # fmt: skip
    assert any("on fresh data" in text for text in texts)
    if (Path(os.environ.get("WORKBENCH_MIRROR", "")) / "dawnbench").is_dir():
        assert "7.85 times as fast = epochs 1.6 (23 %) x time per epoch 4.91 (77 %)" in answer("davidcpage")
        assert any("apple_resnet9_8v100_pytorch   0:00:10" in text for text in texts)
    assert shared(cells).locator(".wb-curve").count() >= 1


def test_fused_cells_agree_with_plain_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Callable[[list[Any]], Any]
) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    cells = executed(ROOT / "notebooks/03_fusion.ipynb")
    shown = [text_of(cell) for cell in cells if cell.cell_type == "code"]
    fused = [text for text in shown if " kernel" in text and " → " in text]
    assert len(fused) == 5, fused  # four cells and a function
    assert any("numba" in text and "largest error" in text for text in fused)
    lines = [line for text in shown for line in text.splitlines()]
    assert any(line.startswith("(numpy.ndarray, ") for line in lines)
    assert any(line.startswith("(True, 286, ") for line in lines)
    assert shown[-1].splitlines()[-1] == "True"
    assert shared(cells).locator("svg").count() >= 2  # before and after


def test_stitched_models_train_as_eager_ones_and_are_planned_for_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Callable[[list[Any]], Any]
) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    cells = executed(ROOT / "notebooks/04_stitching.ipynb")
    shown = [text_of(cell) for cell in cells if cell.cell_type == "code"]
    assert any(text.startswith("equal losses: True") for text in shown)
    assert any("library call (matmul)" in text for text in shown)
    assert any("kernels of eager code; 6 of ours beside the library's" in text for text in shown)
    [forecast] = [text for text in shown if "ms predicted for cuda:sm_90" in text or " → 1 kernel · " in text]
    assert "mean, var → divide" in forecast
    page = shared(cells)
    assert page.locator("svg").count() >= 4  # before and after, twice
    assert "@triton.jit" in page.inner_text("body")


def test_pipelines_train_as_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Callable[[list[Any]], Any]
) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    cells = executed(ROOT / "notebooks/06_pipeline.ipynb")
    shown = [text_of(cell) for cell in cells if cell.cell_type == "code"]
    assert any("TrainRun 1f1b 1-1 · step 57/57 · loss " in text for text in shown)
    assert any("equal weights: True, equal losses: True" in text for text in shown)
    assert any("pipedream" in text and "bytes/sample" in text for text in shown)
    assert any("equal losses: True\n" in text and "failover" in text for text in shown)  # of the run that lost a worker
    assert any("TrainRun 1f1b 1-1 · step 76/76 · loss " in text for text in shown)  # gone on from its checkpoint
    assert any("on demand" in text and "samples lost" in text for text in shown)
    assert "Simulation BERT · redundant · random" in shown[-1]
    assert shared(cells).locator(".wb-gantt").count() >= 3


def test_one_story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Callable[[list[Any]], Any]) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    monkeypatch.delenv("WORKBENCH_MIRROR", raising=False)
    shutil.copy(ROOT / "notebooks/07_story.ipynb", tmp_path)  # it writes a page beside itself
    cells = executed(tmp_path / "07_story.ipynb")
    shown = {cell.source.splitlines()[0]: text_of(cell) for cell in cells if cell.cell_type == "code"}

    def answer(start: str) -> list[str]:
        text = next(text for line, text in shown.items() if line.startswith(start))
        return [" ".join(line.split()) for line in text.splitlines()]

    assert answer("%%vquery")[0] == "VideoResult: 28 events, 28 objects in 2 videos; 02:00 searched, exact"
    assert answer("seen.objects")[2:] == ["sample:street 7 6 1", "sample:street(1) 7 6 1"]
    assert answer("%outliers")[0].startswith("277 rows, 55 outliers (19.86 %), there > 16.11, ")
    assert answer("%outliers")[1] == "1 zone = yard ratio 7.5 [4.3, 12.9] support 74.5 % 41 of 78"
    assert sum(line.split()[-2] == "yard" and float(line.split()[-1]) > 35 for line in answer("longest")[1:]) == 2
    assert " → 1 kernel" in answer("%%fuse")[0]
    assert "checked: largest error" in answer("%%fuse")[-1]
    assert any("1 lost, 0 updates lost" in line for line in answer("%%pipeline"))
    last = next(line.split() for line in reversed(answer("print(run.metrics")) if " top1 " in line)
    assert float(last[3]) > 95
    failover = next(line.split() for line in answer("print(run.metrics") if " failover " in line)
    # steps replayed (none where the kill fell between two), steps lost
    assert failover[-2] in ("0", "1") and failover[-1] == "0"
    told = next(line for line in answer("%%tta") if line.startswith("street-outlines:"))
    assert told.startswith("street-outlines: top1 >= 95 reached at ") and "confirmed by 2: " in told
    assert answer("with torch.no_grad")[2:] == ["car 7 0 0", "person 0 6 0", "suitcase 0 0 1"]
    assert (tmp_path / "street-outlines.html").stat().st_size > 10_000
    tab = shared(cells)
    for part in (".wb-player video", ".wb-ranked", ".wb-gantt", ".wb-curve"):
        assert tab.locator(part).count() >= 1, part


def test_every_notebook_is_run_by_a_test_and_keeps_no_outputs() -> None:
    found = {path.name: path for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert set(found) == {
        "00_tour.ipynb", "01_video.ipynb", "02_outliers.ipynb", "03_fusion.ipynb", "04_stitching.ipynb",
        "05_time_to_accuracy.ipynb", "06_pipeline.ipynb", "07_story.ipynb", "08_real_clips.ipynb",
    }  # fmt: skip
    for path in found.values():
        for cell in nbformat.read(path, as_version=4).cells:
            assert not cell.get("outputs") and cell.get("execution_count") is None, path.name
