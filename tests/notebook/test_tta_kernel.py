"""`%%tta` in a real kernel: the cells of the design, live while they run, interrupted, and stopped from outside."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.notebook.kernel import Kernel
from workbench.notebook import runs

SETUP = """
import time, random
class net: value = 80.0
val = None
def train_one_epoch(model):
    time.sleep(0.02); model.value = min(99.0, model.value + 2)
def accuracy(model, data): return model.value
def train_step(): time.sleep(0.001); return 1.0
def validate(): net.value += 2; return 1.0 / (net.value - 79)
def main(tracker):
    for epoch in range(4): tracker.eval(step=epoch, epoch=epoch + 0.5, top1=lambda: 93.0 + epoch)
"""
STOPS = """%%tta top1>=97 --stop --confirm 2 --name digits-cnn -o run
tta.plan(steps=15, schedule="onecycle-15")            # lets the projection use earlier runs
for epoch in range(15):
    train_one_epoch(net)
    tta.eval(step=epoch, n=300, top1=lambda: accuracy(net, val))   # a callable is timed as evaluation"""
LOSS = """%%tta val_loss<=0.10 --goal min --clock wall --max-time 20min
for step in range(2000):
    tta.log(step, loss=train_step())
    if step % 50 == 0: tta.eval(step=step, val_loss=validate())"""
TASK = """%%tta top1>=94 --task CIFAR10 --price 3.06 --max-cost 5 --name resnet9
main(tracker=tta)"""
LONG = """%%tta top1>=99 --name slow -o run
tta.plan(100)
for step in range(100):
    with tta.span("train"): time.sleep(0.1)
    tta.eval(step=step, n=300, top1=lambda: 50.0 + step / 10)"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    home = tmp_path_factory.mktemp("home")
    kernel = Kernel({**os.environ, "WORKBENCH_HOME": str(home)})
    kernel.home = home  # type: ignore[attr-defined]
    assert kernel.run(SETUP).reply["status"] == "ok"
    yield kernel
    kernel.close()


def shown(cell: Any) -> dict[str, Any]:
    """Return the last bundle of the one display of a cell."""
    return dict(cell.of("display_data", "update_display_data")[-1]["data"])


def test_c07_a_cell_that_stops_at_its_target(kernel: Kernel) -> None:
    cell = kernel.run(STOPS)
    assert cell.reply["status"] == "ok" and cell.outputs == ["display_data"]
    text = shown(cell)["text/plain"]
    assert text.startswith("digits-cnn: top1 >= 97 reached at") and "confirmed by 2: at" in text
    assert kernel.value("(run.state, len(run.evals), 'tta' in globals(), _ is run)") == "('reached', 10, False, True)"


def test_a_loss_that_falls(kernel: Kernel) -> None:
    kernel.run("net.value = 80.0")
    cell = kernel.run(LOSS)
    assert cell.reply["status"] == "ok", cell.of("error")
    assert "val_loss <= 0.1 reached" in shown(cell)["text/plain"]
    assert kernel.value("(_.clock, len(_.points), _.price)") == "('wall', 2000, None)"


def test_a_task_with_a_price(kernel: Kernel) -> None:
    cell = kernel.run(TASK)
    assert cell.reply["status"] == "ok", cell.of("error")
    assert "resnet9: top1 >= 94 reached" in shown(cell)["text/plain"]
    assert kernel.value("(_.task, _.price.usd_per_hour, _.record.eval_count)") == "('CIFAR10', 3.06, 10000)"


def test_c57_live_then_interrupted(kernel: Kernel) -> None:
    cell_id, after = kernel.send(LONG), kernel.send("1 + 1")
    cell = kernel.until(kernel.more(_cell(kernel, cell_id), 0.0), lambda c: len(c.of("comm_msg")) > 4, 20)
    first = cell.of("display_data")[0]
    assert "application/vnd.jupyter.widget-view+json" in first["data"] and "Now" in first["data"]["text/html"]
    begun = time.monotonic()
    kernel.manager.interrupt_kernel()
    cell = kernel.wait(cell_id)
    assert cell.replied - begun < 3
    assert (cell.reply["status"], cell.reply["ename"]) == ("error", "Stopped")
    last = shown(cell)
    assert "application/vnd.jupyter.widget-view+json" not in last
    assert "Stopped at step" in last["text/plain"] and "TTA" in last["text/html"]
    assert kernel.wait(after).reply["status"] == "aborted", "Run All stops here"
    assert kernel.value("(run.state, len(run.evals) > 3, 'tta' in globals())") == "('interrupted', True, False)"
    opened = {message["comm_id"] for message in cell.of("comm_open")}
    closed = {message["comm_id"] for message in cell.of("comm_close")}
    assert opened and opened == closed
    times = [at for at, message in cell.messages if message["msg_type"] == "comm_msg"]
    assert len(times) <= 2 * 4 * (cell.replied - cell.messages[0][0]) + 8, "at most 4 redraws a second"


def test_c57_stopped_from_the_panel_while_the_cell_runs(kernel: Kernel) -> None:
    home: Path = kernel.home  # type: ignore[attr-defined]
    cell_id = kernel.send(LONG)
    cell = kernel.until(_cell(kernel, cell_id), lambda c: len(c.of("display_data")) > 0, 20)
    [record] = [one for one in runs.records(home) if one["state"] == "running"]
    assert (record["kind"], record["title"], record["total"]) == ("tta", "slow: top1 >= 99", 100)
    runs.request_cancel(record["run_id"], home)
    cell = kernel.wait(cell_id)
    assert cell.reply["ename"] == "Stopped" and kernel.value("run.state") == "'interrupted'"
    assert runs.read(record["run_id"], home)["state"] == "cancelled"


def test_c57_stop_is_heard_while_the_cell_runs(kernel: Kernel) -> None:
    """What JupyterLab does: the press comes over a subshell of the kernel."""
    cell_id = kernel.send(LONG)
    cell = kernel.until(_cell(kernel, cell_id), lambda c: len(c.of("display_data")) > 0, 20)
    [comm] = [one["comm_id"] for one in cell.of("comm_open") if "_esm" in one["data"].get("state", {})]
    client = kernel.client
    message = client.session.msg("create_subshell_request", {})
    client.control_channel.send(message)
    subshell = client.get_control_msg(timeout=10)["content"].get("subshell_id")
    if subshell is None:
        pytest.skip("this kernel has no subshells: Stop is heard at the end of the cell, an interrupt at once")
    press = client.session.msg(
        "comm_msg", {"comm_id": comm, "data": {"method": "update", "state": {"stopping": True}, "buffer_paths": []}}
    )
    press["header"]["subshell_id"] = subshell
    client.shell_channel.send(press)
    cell = kernel.wait(cell_id)
    assert cell.reply.get("ename") == "Stopped", cell.reply
    assert kernel.value("(run.state, len(run.evals) < 80)") == "('interrupted', True)"


def test_a_target_that_another_thread_reaches_is_no_stop(kernel: Kernel) -> None:
    """As `wb.training.train` reaches it, which then ends its own run: the panel shows that, and nobody pressed Stop."""
    cell = kernel.run(
        """%%tta top1>=50 --stop -o late
import contextlib, threading, time

def work():
    with contextlib.suppress(BaseException):
        tta.eval(step=1, n=10, top1=60.0)

time.sleep(1.5)  # the panel is there by then
thread = threading.Thread(target=work)
thread.start()
thread.join()
time.sleep(2.5)"""
    )
    assert cell.reply["status"] == "ok"
    assert kernel.value("late.state") == "'finished'"  # by itself, not interrupted


def test_help_and_inspect(kernel: Kernel) -> None:
    cell = kernel.run("%%tta?")
    text = str(cell.reply.get("payload")) + str(cell.of("stream", "display_data"))
    assert "METRIC&gt;=TARGET" in text or "METRIC>=TARGET" in text


def _cell(kernel: Kernel, message_id: str) -> Any:
    """Return what has come so far of a cell that runs."""
    from tests.notebook.kernel import Cell

    cell = Cell({}, started=time.monotonic())
    cell.messages = kernel._messages.setdefault(message_id, [])
    return cell
