"""Other trackers, one metric a call: `python -m benchmarks.tta_peers NAME CALLS FOLDER` prints what a call costs.

Runs in any Python that has the tracker; Workbench is not imported. Wall time is the median over blocks of calls, CPU
time that of the calling thread and of the process, both until the last call has returned.
"""

from __future__ import annotations

import json
import os
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

BLOCK = 1000


def jsonl(folder: Path) -> tuple[Callable[[int, float], object], Callable[[], object]]:
    file = open(folder / "log.jsonl", "w")  # noqa: SIM115 - closed by the caller

    def log(step: int, value: float) -> None:
        file.write(json.dumps({"step": step, "time": time.time(), "loss": value}) + "\n")

    return log, file.close


def sqlite(folder: Path) -> tuple[Callable[[int, float], object], Callable[[], object]]:
    """One insert a call in WAL mode, committed each 1,000: in the caller, as there is no writer."""
    connection = sqlite3.connect(folder / "log.sqlite")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE point(step, time, name, value)")

    def log(step: int, value: float) -> None:
        connection.execute("INSERT INTO point VALUES (?, ?, ?, ?)", (step, time.time(), "loss", value))
        if step % BLOCK == BLOCK - 1:
            connection.commit()

    return log, lambda: (connection.commit(), connection.close())


def tensorboard(folder: Path) -> tuple[Callable[[int, float], object], Callable[[], object]]:
    """`torch.utils.tensorboard` without torch: its event writer, as it is in the package tensorboard."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))

    def log(step: int, value: float) -> None:
        summary = Summary(value=[Summary.Value(tag="loss", simple_value=value)])
        writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))

    return log, writer.close


def trackio(folder: Path) -> tuple[Callable[[int, float], object], Callable[[], object]]:
    os.environ |= {"TRACKIO_DIR": str(folder), "HF_HUB_OFFLINE": "1"}
    import trackio as tracker

    tracker.init(project="benchmark", embed=False)
    return lambda step, value: tracker.log({"loss": value}, step=step), tracker.finish


def wandb(folder: Path) -> tuple[Callable[[int, float], object], Callable[[], object]]:
    os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    import wandb as tracker

    run = tracker.init(project="benchmark", dir=str(folder), mode="offline")
    return lambda step, value: run.log({"loss": value}, step=step), run.finish


def mlflow(folder: Path) -> tuple[Callable[[int, float], object], Callable[[], object]]:
    import mlflow as tracker

    tracker.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    tracker.set_experiment("benchmark")
    tracker.start_run()
    return lambda step, value: tracker.log_metric("loss", value, step=step), tracker.end_run


PEERS = {function.__name__: function for function in (jsonl, sqlite, tensorboard, trackio, wandb, mlflow)}


def measure(log: Callable[[int, float], object], calls: int) -> dict[str, float]:
    """Return microseconds a call: median wall over blocks, CPU of the caller, CPU of the process."""
    block = min(BLOCK, max(1, calls // 10))
    walls = []
    thread, process = time.thread_time(), time.process_time()
    for start in range(0, calls, block):
        begun = time.perf_counter()
        for step in range(start, start + block):
            log(step, 0.5)
        walls.append((time.perf_counter() - begun) / block)
    done = len(walls) * block
    return {
        "wall_us": 1e6 * statistics.median(walls),
        "caller_us": 1e6 * (time.thread_time() - thread) / done,
        "process_us": 1e6 * (time.process_time() - process) / done,
        "calls": done,
    }


def main() -> None:
    name, calls, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    log, close = PEERS[name](folder)
    for step in range(5):  # what is loaded on first use
        log(step, 0.5)
    # The sentinel parts the figures from what a tracker prints.
    found = measure(lambda step, value: log(step + 5, value), calls)
    close()
    print("\nFIGURES " + json.dumps(found))


if __name__ == "__main__":
    main()
