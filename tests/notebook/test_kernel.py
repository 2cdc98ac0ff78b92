"""The front in a real kernel, as a front end sees it: one display, updates, interrupts, errors, no comms left."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.notebook.kernel import Cell, Kernel
from workbench.notebook import runs
from workbench.notebook.display import VIEW_MIME, WIDGET_MIME

pytestmark = pytest.mark.filterwarnings("ignore")  # jupyter_client's own, about TCP and event loops
OPEN_COMMS = "import comm; len(comm.get_comm_manager().comms)"


def closed(kernel: Kernel, seconds: float = 10.0) -> bool:
    """Whether the last widget is closed soon: after the final output, on a thread, if the run is in the background."""
    deadline = time.monotonic() + seconds
    while (left := kernel.value(OPEN_COMMS)) != "0" and time.monotonic() < deadline:
        time.sleep(0.1)
    return left == "0"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernel-home")


@pytest.fixture(scope="module")
def kernel(place: Path) -> Iterator[Kernel]:
    made = Kernel({**os.environ, "WORKBENCH_HOME": str(place), "WORKBENCH_WORKERS": "1"})
    yield made
    made.close()


def test_n12_n19_a_short_run_is_one_display(kernel: Kernel) -> None:
    cell = kernel.run("%%slow 2 -o c")
    assert cell.reply["status"] == "ok" and cell.outputs == ["display_data"]
    assert cell.of("update_display_data", "comm_open") == []
    (shown,) = cell.of("display_data")
    assert set(shown["data"]) == {"text/plain", "text/html", "image/png", VIEW_MIME}
    assert kernel.value("(len(c), c is _, c is Out[max(Out)])").startswith("(2, True")


def test_n22_n32_a_long_run_is_live_then_static(kernel: Kernel) -> None:
    cell = kernel.run("%%slow 36 -o c")
    assert cell.outputs == ["display_data"]
    (first,) = cell.of("display_data")
    assert WIDGET_MIME in first["data"] and "slow count | " in first["data"]["text/plain"]
    (last,) = cell.of("update_display_data")
    assert WIDGET_MIME not in last["data"] and last["data"]["text/plain"].startswith("36 counted")
    assert last["transient"] == first["transient"] and "display_id" in first["transient"]
    times = {kind: [t for t, m in cell.messages if m["msg_type"] == kind] for kind in ("status", "display_data")}
    assert times["display_data"][0] - times["status"][0] >= 0.5
    opened = {content["comm_id"] for content in cell.of("comm_open")}
    assert opened and opened == {content["comm_id"] for content in cell.of("comm_close")}
    (progress,) = [c["comm_id"] for c in cell.of("comm_open") if "run_id" in c["data"]["state"]]
    updates = [t for t, m in cell.messages if m["msg_type"] == "comm_msg" and m["content"]["comm_id"] == progress]
    assert len(updates) >= 2
    assert (len(updates) - 1) / (updates[-1] - updates[0]) <= 10.5
    assert kernel.value(OPEN_COMMS) == "0"


@pytest.mark.parametrize("steps", [2, 20])
def test_what_comes_before_the_run_stands_in_its_place(kernel: Kernel, steps: int) -> None:
    cell = kernel.run(f'%%slow {steps} --before "getting ready"')
    (first,) = cell.of("display_data")
    *_, last = cell.of("update_display_data")
    assert first["data"]["text/plain"] == "getting ready" and first["transient"] == last["transient"]
    assert last["data"]["text/plain"].startswith(f"{steps} counted") and WIDGET_MIME not in last["data"]
    assert bool(cell.of("comm_open")) == (steps == 20), "a widget where the run is long enough for one"
    assert kernel.value(OPEN_COMMS) == "0"


def test_what_never_became_a_run_says_so(kernel: Kernel) -> None:
    cell = kernel.run('%%slow 2 --refuse --before "getting ready"')
    assert cell.reply["status"] == "error"
    assert [one["data"]["text/plain"] for one in cell.of("update_display_data")] == ["It did not begin."]


def test_n40_running_again_gives_the_same_output_and_leaves_nothing(kernel: Kernel) -> None:
    first, second = (kernel.run("%%slow 13").of("update_display_data")[-1]["data"] for _ in range(2))
    assert first == second
    assert kernel.value(OPEN_COMMS) == "0"


def test_previews_come_at_most_four_times_a_second(kernel: Kernel) -> None:
    cell = kernel.run("%%slow 30")
    (bars,) = [c["comm_id"] for c in cell.of("comm_open") if "bars" in c["data"]["state"]]
    # by the kernel's clock: how fast messages arrive here says nothing about how often they were sent
    grown = [
        m["header"]["date"].timestamp() for _, m in cell.messages
        if m["msg_type"] == "comm_msg" and m["content"]["comm_id"] == bars and "bars" in m["content"]["data"]["state"]
    ]  # fmt: skip
    assert grown, "the timeline never grew"
    assert len(grown) <= 4 * (grown[-1] - grown[0]) + 2


def test_n21_progress_comes_at_most_ten_times_a_second(kernel: Kernel) -> None:
    cell = kernel.run("%%slow 40")  # a step each 50 ms
    (view,) = [c["comm_id"] for c in cell.of("comm_open") if "done" in c["data"]["state"]]
    told = [
        m["header"]["date"].timestamp() for _, m in cell.messages
        if m["msg_type"] == "comm_msg" and m["content"]["comm_id"] == view and "done" in m["content"]["data"]["state"]
    ]  # fmt: skip
    assert len(told) > 2, "the count never moved"
    assert len(told) <= 10 * (told[-1] - told[0]) + 2


def test_n20_n42_without_widgets_the_live_view_is_plain(kernel: Kernel) -> None:
    kernel.run(
        "import sys, workbench.notebook as front\n"
        "vars(front).pop('widgets', None); sys.modules['workbench.notebook.widgets'] = None"
    )
    cell = kernel.run("%%slow 20")
    kernel.run("del sys.modules['workbench.notebook.widgets']")
    updates = cell.of("update_display_data")
    assert WIDGET_MIME not in cell.of("display_data")[0]["data"] and cell.of("comm_open") == []
    assert len(updates) >= 2 and "<progress" in updates[0]["data"]["text/html"]
    assert "<progress" not in updates[-1]["data"]["text/html"]


def test_n13_n23_interrupt(kernel: Kernel) -> None:
    running, queued = kernel.send("%%slow 100 -o part"), kernel.send("after = 1")
    time.sleep(0.9)
    kernel.manager.interrupt_kernel()
    interrupted = time.monotonic()
    cell = kernel.wait(running)
    assert cell.replied - interrupted < 1.0
    assert cell.reply["status"] == "error" and cell.reply["ename"] == "Stopped"
    (error,) = cell.of("error")
    assert kernel.wait(queued).reply["status"] == "aborted"
    found = int(kernel.value("len(part)"))
    assert 0 < found < 100
    assert error["traceback"] == [
        f"Stopped at {found} of 100 steps; what was found is kept in part.", "Run the cell again to go on from there."
    ]  # fmt: skip
    assert kernel.value("bool(part.partial), 'after' in globals()") == "(True, False)"
    last = cell.of("update_display_data")[-1]["data"]
    assert last["text/plain"].startswith(error["traceback"][0]) and WIDGET_MIME not in last
    assert kernel.value(OPEN_COMMS) == "0"


def test_an_early_interrupt(kernel: Kernel) -> None:
    running = kernel.send("%%slow 100 -o part")
    time.sleep(0.3)
    kernel.manager.interrupt_kernel()
    cell = kernel.wait(running)
    assert cell.outputs == ["display_data", "error"] and cell.reply["ename"] == "Stopped"


def test_background_updates_after_the_cell(kernel: Kernel) -> None:
    cell = kernel.run("%%slow 16 -b -o later")
    assert cell.outputs == ["display_data"]
    assert cell.replied - cell.started < 0.5
    assert kernel.value("type(later).__name__, later is _") == "('Run', True)"

    def counted(cell: Cell) -> bool:
        updates = cell.of("update_display_data")
        return bool(updates) and updates[-1]["data"]["text/plain"].startswith("16 counted")

    assert counted(kernel.until(cell, counted))
    updates = cell.of("update_display_data")
    assert WIDGET_MIME not in updates[-1]["data"]
    assert closed(kernel)


def test_a_function_call_shows_progress_and_ends_as_one_line(kernel: Kernel) -> None:
    cell = kernel.run("from tests.notebook.slow import count\ncount(14).result()")
    assert cell.outputs == ["display_data", "execute_result"]
    assert cell.of("update_display_data")[-1]["data"]["text/plain"] == "slow count: 14 of 14 steps"
    assert cell.of("execute_result")[0]["data"]["text/plain"].startswith("14 counted")
    quick = kernel.run("count(2).result()")
    assert quick.outputs == ["execute_result"]
    assert kernel.value(OPEN_COMMS) == "0"


def test_n24_errors_are_two_lines_in_the_red_box(kernel: Kernel) -> None:
    cell = kernel.run("%%vquery a.mp4 --acuracy 1\nx")
    assert cell.reply["status"] == "error"
    assert cell.of("error")[0]["traceback"] == ["No option --acuracy.", "Did you mean --accuracy?"]
    assert cell.outputs == ["error"]


def test_a_failed_run_is_shown_as_it_stood(kernel: Kernel) -> None:
    cell = kernel.run("%%slow 13 --fail -o broken")
    assert cell.outputs == ["display_data", "error"]
    last = cell.of("update_display_data")[-1]["data"]
    assert last["text/plain"].startswith("slow count: failed at 13 of 13 steps") and WIDGET_MIME not in last
    assert kernel.value("'broken' in globals()") == "False"


def test_n18_quiet_and_help(kernel: Kernel) -> None:
    cell = kernel.run("%%slow 13 -q")
    assert cell.of("display_data") == [
        {
            "data": {"text/plain": "<Table '13 counted': 13 rows>"},
            "metadata": {},
            "transient": cell.of("display_data")[0]["transient"],
        }
    ]
    assert cell.of("update_display_data", "comm_open") == []
    shown = kernel.run("%%vquery --help")
    assert shown.reply["status"] == "ok" and shown.outputs == ["stream"]


def test_warnings_are_notes_after_the_result(kernel: Kernel) -> None:
    cell = kernel.run("%%slow 2 --warns")
    texts = [content["data"]["text/plain"] for content in cell.of("display_data")]
    assert texts[0].startswith("2 counted") and texts[1:] == ["warning: Something is odd.\nLook at it."]


def test_n03_inspect_and_complete_replies(kernel: Kernel) -> None:
    reply = _ask(kernel, kernel.client.inspect("%%vquery", 8))
    assert reply["found"] and "--accuracy" in reply["data"]["text/plain"]
    code = "%%vquery a.mp4 --acc"
    reply = _ask(kernel, kernel.client.complete(code, len(code)))
    assert reply["matches"] == ["--accuracy"] and code[reply["cursor_start"] : reply["cursor_end"]] == "--acc"
    code = "%%vquery a.mp4\nclass Q(Query):\n    car: Vehi"
    assert _ask(kernel, kernel.client.complete(code, len(code)))["matches"] == ["Vehicle"]


def _ask(kernel: Kernel, message_id: str) -> dict[str, Any]:
    return kernel.wait(message_id).reply


def test_n30_the_record_and_a_cancel_from_outside(kernel: Kernel, place: Path) -> None:
    running = kernel.send("%%slow 200 -o part")
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + 10
    while not found and time.monotonic() < deadline:
        found = [record for record in runs.records(place) if record["state"] == "running"]
    (record,) = found
    assert record["kind"] == "slow" and record["kernel_id"] in kernel.manager.connection_file
    threading.Timer(0.3, lambda: runs.request_cancel(record["run_id"], place)).start()
    began = time.monotonic()
    cell = kernel.wait(running)
    assert cell.replied - began < 3.0
    assert cell.reply["ename"] == "Stopped" and cell.reply["evalue"].startswith("Cancelled at ")
    assert runs.read(record["run_id"], place)["state"] == "cancelled"
    assert runs.read(record["run_id"], place)["partial"] is True


QUERY = """%%vquery clip --detector boxes -o found
class Late(Query):
    car: Car
    where = car.x1 > {least} and car.label in kinds
    select = car.id, start, end
"""


def test_a_real_query(kernel: Kernel) -> None:
    made = kernel.run(
        "import numpy as np, pandas as pd\n"
        "from workbench import video\n"
        "clip = video.from_array(np.zeros((30, 48, 64, 3), np.uint8), fps=10)\n"
        "boxes = pd.DataFrame({'frame': range(30), 'x1': np.arange(30.0), 'y1': 10.0, 'x2': np.arange(30) + 10.0,\n"
        "                      'y2': 30.0, 'label': 'car', 'score': 0.9})\n"
        "least, kinds = '12px', ['car', 'bus']"
    )
    assert made.reply["status"] == "ok", made.of("error")
    cell = kernel.run(QUERY)
    assert cell.reply["status"] == "ok", cell.of("error", "stream")
    assert cell.outputs == ["display_data"], cell.of("stream")
    last = (cell.of("update_display_data") or cell.of("display_data"))[-1]["data"]
    assert last["text/plain"].startswith("VideoResult: 1 event, 1 object in 1 video; 00:03 searched, exact")
    assert "<script" not in last["text/html"] and "<svg" in last["text/html"]
    assert VIEW_MIME in last and WIDGET_MIME not in last and len(str(last)) < 300_000
    assert kernel.value("type(found).__name__, len(found), bool(found.partial), found is _, 'Late' in globals()") == (
        "('VideoResult', 1, False, True, True)"
    )
    assert kernel.value("import duckdb; duckdb.sql('select round(start, 3) from found').fetchall()") == "[(1.3,)]"
    again = kernel.run(QUERY)
    assert (again.of("update_display_data") or again.of("display_data"))[-1]["data"]["text/plain"] == last["text/plain"]
    assert kernel.value(OPEN_COMMS) == "0"


def test_a_killed_kernel_leaves_a_lost_run(kernel: Kernel, place: Path) -> None:
    """The last test of this file: nothing runs in this kernel any more."""
    run_id = kernel.value("get_ipython().run_cell_magic('slow', '400 -b', 'x').run_id").strip("'")
    assert runs.read(run_id, place)["state"] in ("queued", "running")
    kernel.manager.signal_kernel(9)
    deadline = time.monotonic() + 10
    while kernel.manager.is_alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert runs.read(run_id, place)["state"] == "lost"
