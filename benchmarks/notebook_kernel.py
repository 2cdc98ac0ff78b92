"""What a person waits for in a real kernel: a magic beside its call, completion, interrupts and cancels, in seconds."""

from __future__ import annotations

import json
import os
import queue
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.browser.conftest import Lab, running_lab

TURNS, STOPS = 15, 5
PATIENCE = 60
TABLE = (
    "import numpy as np, pandas as pd\nimport workbench as wb\nr = np.random.default_rng(0)\n"
    "t = pd.DataFrame({'v': r.random(2000), 'a': r.integers(0, 5, 2000), 'b': r.integers(0, 5, 2000)})"
)
CALL, MAGIC = "wb.outliers(t, 'v', by=['a', 'b'])", "%outliers t --metric v --by a, b"
#: a query on real workers whose detector takes 20 ms a frame: half a minute
SLOW = (
    "import time\n\ndef slow(images):\n    time.sleep(0.02 * len(images))\n"
    "    return [pd.DataFrame(columns=['x1', 'y1', 'x2', 'y2', 'label', 'score']) for _ in images]"
)
LONG = (
    "%%vquery sample:street --fresh --detector {slow} -q\nclass Slow(Query):\n    car: Car\n    where = car.score > 0.5"
)


def measured() -> tuple[tuple[float, float], tuple[float, float], list[float], list[float]]:
    """Return (magic, call), (completion, IPython's alone), the times from interrupt and from cancel to the reply."""
    with tempfile.TemporaryDirectory() as folder, running_lab(Path(folder) / "lab") as lab:
        environment = {**os.environ, "WORKBENCH_HOME": str(lab.home), "WORKBENCH_WORKERS": "2"}
        with _kernel(environment) as (manager, ours), _kernel(environment) as (_, plain):
            for code in ("%load_ext workbench", TABLE):
                _run(ours, code)
            _run(plain, TABLE.replace("import workbench as wb\n", ""))
            pairs = [(_run(ours, MAGIC), _run(ours, CALL)) for _ in range(TURNS + 2)][2:]
            line = "%outliers t --me"
            lists = [(_complete(ours, line), _complete(plain, line)) for _ in range(TURNS + 2)][2:]
            _run(ours, SLOW)
            interrupted = [_stopped(ours, lab, lambda run_id: manager.interrupt_kernel()) for _ in range(STOPS)]
            cancelled = [_stopped(ours, lab, lambda run_id: _cancel(lab, run_id)) for _ in range(STOPS)]
    return _medians(pairs), _medians(lists), interrupted, cancelled


def _medians(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


@contextmanager
def _kernel(environment: dict[str, str]) -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    manager = KernelManager()
    manager.start_kernel(env=environment)
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    try:
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def _run(client: BlockingKernelClient, code: str) -> float:
    """Run a cell until it is idle; return the seconds that it took."""
    begun = time.perf_counter()
    reply = client.execute_interactive(code, timeout=120, output_hook=lambda message: None)
    if reply["content"]["status"] != "ok":
        raise RuntimeError(f"{code}: {reply['content']['ename']}: {reply['content']['evalue']}")
    return time.perf_counter() - begun


def _complete(client: BlockingKernelClient, line: str) -> float:
    begun = time.perf_counter()
    client.complete(line, len(line), reply=True, timeout=60)
    return time.perf_counter() - begun


def _stopped(client: BlockingKernelClient, lab: Lab, stop: Callable[[str], object]) -> float:
    """Start the long query, stop it when frames are done; return the seconds from there to the cell's reply."""
    sent = client.execute(LONG)
    run_id = _at_work(lab)
    begun = time.perf_counter()
    stop(run_id)
    while time.perf_counter() < begun + PATIENCE:
        try:
            reply = client.get_shell_msg(timeout=1)
        except queue.Empty:
            continue
        if reply["parent_header"].get("msg_id") == sent:
            taken = time.perf_counter() - begun
            if reply["content"]["status"] != "error":
                raise RuntimeError("the query had ended before it was stopped")
            _idle(client, sent)  # a cell that comes before this one is over is left out, as in a notebook
            return taken
    raise RuntimeError("the cell goes on a minute after it was stopped")


def _at_work(lab: Lab) -> str:
    """Wait until the query has looked at frames; return the id of its run."""
    end = time.perf_counter() + PATIENCE
    while time.perf_counter() < end:
        _, answer = lab.call("GET", "workbench/runs")
        for run in json.loads(answer)["runs"]:
            if run["state"] == "running" and run["done"]:
                return str(run["run_id"])
        time.sleep(0.1)
    raise RuntimeError("the query does not begin")


def _idle(client: BlockingKernelClient, sent: str) -> None:
    while True:
        message = client.get_iopub_msg(timeout=PATIENCE)
        ours = message["parent_header"].get("msg_id") == sent
        if ours and message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            return


def _cancel(lab: Lab, run_id: str) -> None:
    """Cancel the run on the route that the panel's button calls."""
    status, answer = lab.call("POST", f"workbench/runs/{run_id}/cancel")
    if status != 202:
        raise RuntimeError(answer.decode())
