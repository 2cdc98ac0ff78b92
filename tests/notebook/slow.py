"""A magic for the tests: `%%slow STEPS` counts in steps of 50 ms, with everything that a real run has."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import pandas as pd

from workbench.engine.errors import WorkbenchError, warn
from workbench.engine.result import Table
from workbench.engine.run import Run
from workbench.notebook.config import settings
from workbench.notebook.live import preparing
from workbench.notebook.magics.base import Call, MagicSpec, Option, Positional, number, register, whole

STEP = 0.05


class Count(Table):
    """The numbers counted so far, on a timeline too."""

    def __init__(self, count: int, total: int) -> None:
        super().__init__(pd.DataFrame({"n": range(count), "half": [n / 2 for n in range(count)]}), f"{count} counted")
        self.total = total
        self.notes: list[str] = []

    def view_data(self) -> dict[str, Any]:
        bars = [{"lane": "0", "start": n, "end": n + 0.5, "kind": "event", "label": f"n {n}"} for n in self.frame["n"]]
        state = {
            "lanes": [{"id": "0", "label": "count"}], "bars": bars, "duration": float(self.total), "searched": [],
            "skipped": [], "selected": None, "time": 0.0,
        }  # fmt: skip
        summary, table = super().view_data()["blocks"]
        return {"blocks": [summary, {"kind": "timeline", "state": state}, table]}


def count(steps: int, *, fail: bool = False, warns: bool = False, deaf: bool = False) -> Run[Count]:
    """Start to count."""

    def work(run: Run[Count]) -> Count:
        done = 0
        run.publish(partial(Count, done, steps))
        for step in range(steps):
            if run.cancelled.is_set() and not deaf:
                break
            time.sleep(STEP)
            done = step + 1
            run.update(done=done, stage="count")
            run.publish(partial(Count, done, steps))
        if warns:
            warn("Something is odd.", "Look at it.")
        if fail:
            raise WorkbenchError("It broke.", "Mend it.")
        return Count(done, steps)

    return Run.start(work, kind="slow", title="slow count", unit="steps", total=steps)


def call(call: Call) -> Any:
    options = dict(call.options)
    options.pop("top")
    options.pop("by")
    if before := options.pop("before"):
        preparing(before)
        time.sleep(STEP)
    if options.pop("refuse"):
        raise WorkbenchError("It cannot begin.", "Mend it.")
    return count(int(call.arguments[0].value), **options)


SPEC = MagicSpec(
    "slow",
    "Count slowly.",
    call,
    "%%slow 20 -o counted\nbody",
    positionals=(Positional("STEPS", "a number of steps"),),
    options=(
        Option("fail", "raise an error at the end", kind="flag"),
        Option("warns", "warn at the end", kind="flag"),
        Option("before", "what is said before it begins"),
        Option("refuse", "raise an error before it begins", kind="flag"),
        Option("deaf", "do not heed a cancel", kind="flag"),
        Option("top", "a share", convert=number(0, 1), says="a number from 0 to 1", example="0.01", default=0.01),
        Option("by", "columns", kind="list", metavar="COLUMN"),
    ),
    body="optional",
)
#: a magic whose body would run in the notebook
HERE = MagicSpec("here", "Run here.", lambda call: call, "%%here\n1", body="required", background=False)
#: a magic of an extra that is not installed
TRAIN = MagicSpec(
    "train", "Train.", lambda call: call, "%train", body="none", kinds=("line",), requires={"no_torch": "train"}
)
#: a magic with all kinds of options, that gives back what it was given
ECHO = MagicSpec(
    "echo",
    "Give back.",
    lambda call: {"arguments": [a.value for a in call.arguments], **call.options},
    "%echo table --by a, b",
    positionals=(Positional("TABLE", "a table", required=False), Positional("OTHER", "another", required=False)),
    options=(
        Option("metric", "a column"),
        Option("by", "columns", kind="list"),
        Option("min-support", "a share", short="m"),
        Option("limit", "a number", convert=whole, says="a whole number", example="3"),
        Option("fast", "a flag", kind="flag", short="f"),
    ),
    body="none",
    kinds=("line",),
)


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext tests.notebook.slow`, after `%load_ext workbench`."""
    for spec in (SPEC, HERE, TRAIN, ECHO):
        register(settings(shell), spec)
