"""Training processes that are killed: forked from one that has imported everything, so that 100 of them are cheap.

The server reads a line of JSON for each process on its standard input and answers with its id. What a process has been
told to be on disk it appends to a file, before it goes on; what it has logged it keeps in shared memory, as a kill
leaves both.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench.tta import liveness

#: step and time (ns since 1970) of the last point that was logged
LAST = struct.Struct("qq")


def train(folder: str, told: str, seed: int, resume: str | None, target: float, steps: int) -> None:
    """Log a point each step and evaluate every tenth, for good or for some steps; say what is acknowledged."""
    from workbench.tta.store import open_store
    from workbench.tta.tracker import Tracker

    handle = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(*words: Any) -> None:
        os.write(handle, (" ".join(map(str, words)) + "\n").encode())

    with open(told + ".last", "wb") as file:
        file.write(bytes(LAST.size))
    with open(told + ".last", "r+b") as file:
        last = mmap.mmap(file.fileno(), LAST.size)
    store = open_store(folder)
    first = 0
    if resume is not None:
        # as a checkpoint would tell; steps go on after all that anyone has seen
        first = max((row[1] for row in store.log(store.attempts(resume)).evals), default=-1) + 1
    say("try")
    with Tracker(
        "killed", {"top1": target}, seed=seed, store=folder, resume=resume, eval_count=100, confirm=2, steps=10**6
    ) as t:
        say("started", t.run.id, time.time_ns(), time.perf_counter_ns())
        if resume is not None:
            t.resume(first)
        crossed = False
        for step in range(first, first + steps):
            with t.span("train"):
                t.log(step, loss=1 / (step + 1))
                LAST.pack_into(last, 0, step, time.time_ns())
                time.sleep(0.0003)
            if step % 10 == 9:
                status = t.eval(step=step, top1=lambda step=step: float(step), n=100)
                if status.reached and not crossed:
                    crossed = True
                    say("crossed", step)
                if step % 50 == 49:
                    assert store.flush()
                    say("acknowledged", step)
    say("ended", t.run.id, time.time_ns())


def serve() -> None:
    """Fork a process for each line."""
    # all that a process would import: it is to train, not to load
    import pandas  # noqa: F401
    import psutil  # noqa: F401

    from workbench.tta import checkpoints, lifetime, reading, tracked, tracker  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                train(**asked)
                from workbench.tta import archive, writer

                archive.wait()
                writer.close_all()
                code = 0
            except BaseException as error:
                with open(asked["told"], "a") as file:
                    file.write(f"error {error!r}\n")
            finally:
                os._exit(code)
        print(child, flush=True)


class Server:
    """Starts training processes."""

    def __init__(self) -> None:
        code = "import warnings; warnings.simplefilter('ignore'); from tests.tta.killed import serve; serve()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
        )

    def start(self, **asked: Any) -> Child:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return Child(int(self.process.stdout.readline()), asked)

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()


class Child:
    """One training process."""

    def __init__(self, pid: int, asked: dict[str, Any]) -> None:
        self.pid, self.asked = pid, asked
        self.started = liveness.process_started(pid)
        self.killed_ns = 0

    def told(self) -> list[list[str]]:
        path = Path(self.asked["told"])
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def said(self, word: str) -> list[str] | None:
        """The last line that begins with a word."""
        return next((line for line in reversed(self.told()) if line[0] == word), None)

    def gone(self) -> bool:
        return not liveness.running(self.pid, self.started)

    def wait(self) -> None:
        while not self.gone():
            time.sleep(0.002)

    def kill(self) -> None:
        if not self.gone():  # its id may be another's by now
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self.killed_ns = time.time_ns()
        self.wait()

    def last(self) -> tuple[int, int]:
        """Step and time of the last point logged."""
        step, at = LAST.unpack(Path(self.asked["told"] + ".last").read_bytes())
        return step, at
