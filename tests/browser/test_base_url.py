"""Behind a hub the server is below a path of its own, as on Binder: tour, players, panel and reports work there."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import PATIENCE, ROOT, running_lab
from tests.browser.counted import READ_FRAME, write_counted
from tests.browser.test_extension import begin, record
from tests.browser.test_lab import SPEC
from tests.notebook.report import notebooks as nb


@pytest.mark.slow
def test_below_a_path_all_is_found(browser: Any, tmp_path: Path) -> None:
    with running_lab(tmp_path, "/user/x") as lab:
        lab.needs_extension()
        # What a reader of Binder begins with, and a notebook whose player has no clip of its own beside it.
        shutil.copy(ROOT / "notebooks" / "00_tour.ipynb", lab.folder)
        write_counted(lab.folder / "cam.mp4")
        html = '<p>1 event</p><div data-wb-view="v0">-</div>'
        nb.write(lab.folder / "cam.ipynb", [nb.code("1", [nb.ours(html, [nb.player()])])], kernelspec=SPEC)
        # begun after this process, or the number of another one would be in its record
        record(lab, "a" * 32, title="gate.mp4", state="running", started=time.time(), notebook="/cam.ipynb")
        page = lab.open(browser, lab.folder / "00_tour.ipynb")
        answers: list[tuple[str, int]] = []
        page.on("response", lambda answer: answers.append((answer.url, answer.status)))
        begin(page, "docmanager:open", path="cam.ipynb")
        page.wait_for_function("document.querySelector('.wb-player video')?.readyState >= 2", timeout=PATIENCE)
        page.get_by_role("button", name="Next hit (])").click()
        page.wait_for_selector(".wb-player[data-frame='25']", timeout=PATIENCE)
        assert page.locator(".wb-player").evaluate(READ_FRAME) == 25
        begin(page, "workbench:show-runs")
        page.get_by_role("button", name="Cancel gate.mp4").click()
        page.get_by_role("button", name="Report", exact=True).click()
        page.get_by_role("dialog").get_by_text("About ").wait_for(timeout=PATIENCE)
        with page.expect_download(timeout=PATIENCE) as caught:
            page.get_by_role("dialog").get_by_role("button", name="Download").click()
        assert Path(caught.value.path()).read_text("utf-8").startswith("<!DOCTYPE html>")
        ours = {(url.split("?")[0].removeprefix(lab.url), status) for url, status in answers if "/workbench/" in url}
        assert ("/workbench/video", 206) in ours and ("/workbench/runs", 200) in ours
        assert (f"/workbench/runs/{'a' * 32}/cancel", 202) in ours
        assert [(url, status) for url, status in ours if status >= 400] == []
        page.context.close()
