"""What is seen of a training run: a line, the Gantt chart of the last spans, the losses, incidents and a summary."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.training.told import stage_table
from workbench.training.units import show_bytes, show_seconds

if TYPE_CHECKING:
    from workbench.training.run import TrainRun

__all__ = [
    "KINDS", "gantt_state", "line", "loss_state", "preview", "run_view", "told", "undisturbed", "watch",
]  # fmt: skip

#: kinds of bars, in the order of their colours; each differs by its hatch or height too
KINDS = (
    {"kind": "forward", "role": "compute", "label": "forward", "hatch": False, "part": ""},
    {"kind": "backward", "role": "compute", "label": "backward", "hatch": True, "part": ""},
    {"kind": "send", "role": "transfer", "label": "send", "hatch": False, "part": "upper"},
    {"kind": "recv", "role": "transfer", "label": "receive", "hatch": False, "part": "lower"},
    {"kind": "update", "role": "compute", "label": "update", "hatch": True, "part": "lower"},
    {"kind": "copy", "role": "compute", "label": "copy", "hatch": True, "part": "upper", "rare": True},
    {"kind": "replay", "role": "compute", "label": "replay", "hatch": False, "part": "middle", "rare": True},
    {"kind": "rebuild", "role": "wait", "label": "rebuild", "hatch": True, "part": "middle", "rare": True},
    {"kind": "idle", "role": "idle", "label": "idle", "hatch": True, "part": ""},
    {"kind": "incident", "role": "flag", "label": "incident", "hatch": False, "part": "", "rare": True},
)
_KIND = {
    "forward": "forward", "frc": "copy", "backward": "backward", "brc": "copy", "send_act": "send",
    "send_grad": "send", "send_replica": "send", "recv_act": "recv", "recv_grad": "recv", "recv_replica": "recv",
    "reduce": "update", "step": "update", "rebuild": "rebuild",
}  # fmt: skip
#: what an operation is called in the chart, where its own name is not a word
_WORDS = {
    "frc": "forward of the copy", "brc": "backward of the copy", "send_act": "send activations",
    "send_grad": "send gradients", "send_replica": "send gradients to the copy", "recv_act": "receive activations",
    "recv_grad": "receive gradients", "recv_replica": "receive gradients for the copy", "reduce": "add up gradients",
    "step": "update weights",
}  # fmt: skip
_REPLAYED = ("forward", "backward", "copy")  # what is drawn as a replay when it is done again
BARS = 2000  # in the chart
SPANS = 3  # in the chart of a run that has ended
POINTS = 2000  # of the loss curve
LOOK = 0.5  # seconds between two looks of `watch`


def line(run: TrainRun) -> str:
    """Return the run as one line: schedule, plan, step, loss, samples/s, bubble, losses of workers."""
    done = run.steps
    total = run.progress.total
    parts = [f"TrainRun {run.schedule} {run.config}", f"step {done:,}/{int(total or 0):,}"]
    losses = run.rows("losses")
    if losses:
        parts.append(f"loss {losses[-1][2]:.4g}")
    if run.throughput:
        parts += [f"{run.throughput:,.0f} samples/s", f"bubble {100 * run.bubble:.0f} %"]
    incidents = run.rows("incidents")
    lost = sum(row[1] == "lost" for row in incidents)
    if lost:
        parts.append(f"{lost} lost, {sum(row[7] for row in incidents)} updates lost")
    if run.cost == run.cost:
        parts.append(f"${run.cost:,.2f}/h")
    if run.link:
        parts.append(f"emulated link {run.link}")
    if run.state in ("cancelled", "failed"):
        parts.append(run.state)
    return " · ".join(parts)


def told(run: TrainRun, format: str = "text") -> Any:
    """Return plan and outcome as text, HTML or a dict."""
    facts = _facts(run)
    if format == "dict":
        return {"plan": run.plan.to_pandas().to_dict("records"), "run": dict(facts)}
    lines = [line(run), *(f"{name}: {value}" for name, value in facts)]
    explain = getattr(run.plan, "explain", None)
    plan = explain() if explain is not None else run.plan.to_pandas().to_string(index=False)
    text = "\n".join([*lines, "", str(plan)])
    if format == "html":
        import html

        return f"<pre>{html.escape(text)}</pre>"
    return text


def run_view(run: TrainRun) -> dict[str, Any]:
    """Return the blocks of a run: words, chart of the last spans, losses, incidents, metrics, plan."""
    blocks: list[dict[str, Any]] = [{"kind": "summary", "text": line(run)}]
    blocks += _notes(run)
    state = gantt_state(run)
    if state["bars"]:
        blocks.append({"kind": "gantt", "state": state})
    if run.steps > 1:
        blocks.append({"kind": "curve", "state": loss_state(run), "text": "", "alt": "loss against steps"})
    blocks += _costs(run)
    for name, frame in (("incidents", _incidents(run)), ("metrics", run.metrics)):
        if len(frame):
            blocks.append({"kind": "table", "name": name, "frame": frame})
    blocks.append({"kind": "table", "name": "run", "frame": _table(_facts(run)), "text": False})
    blocks.append({"kind": "table", "name": "plan", "frame": stage_table(run.plan), "text": False})
    return {"blocks": blocks}


def preview(run: TrainRun) -> dict[str, Any]:
    """Return the blocks that are shown while it goes on."""
    blocks: list[dict[str, Any]] = [{"kind": "summary", "text": line(run)}, *_notes(run)]
    state = gantt_state(run)
    if state["bars"]:
        blocks.append({"kind": "gantt", "state": state})
    if run.steps > 1:
        blocks.append({"kind": "curve", "state": loss_state(run), "text": "", "alt": "loss against steps"})
    return {"blocks": [*blocks, *_costs(run)]}


def watch(run: TrainRun) -> None:
    """Show a run until it ends, in one display that is written over; a line for each change where there is none."""
    handle: Any = None
    seen: tuple[int, str] | None = None
    while True:
        over = run.wait(LOOK)
        now = run.version, run.state
        if now != seen:
            seen = now
            if not _in_kernel():
                print(line(run), flush=True)
            elif handle is None:
                handle = _display(run)
            else:
                handle.update(run._repr_mimebundle_(), raw=True)
        if over:
            return


def _in_kernel() -> bool:
    """Whether displays can be written over; who has not imported IPython is in none."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def _display(run: TrainRun) -> Any:
    from IPython.display import display

    return display(run._repr_mimebundle_(), raw=True, display_id=True)


def gantt_state(run: TrainRun, bars: int = BARS) -> dict[str, Any]:
    """Return the chart of the newest operations: a lane for each worker, at most 2,000 bars.

    Parameters
    ----------
    run : TrainRun
    bars : int

    Returns
    -------
    dict
        Of the `gantt` module; times are milliseconds since the first bar.
    """
    stages = {rank: stage.index for stage in run.plan.stages for rank in stage.ranks}
    if run.schedule == "ddp":
        stages = dict.fromkeys(stages, 0)
    rows = [row for row in run.newest("timeline", 4 * bars) if row[2] in _KIND]
    rows.sort(key=lambda row: row[5])
    rows = rows[-bars // 2 :]
    first = _first_step(rows, run)
    rows = [row for row in rows if row[3] >= first]
    begin = min((row[5] for row in rows), default=0.0)
    again = _replays(run)
    drawn: list[dict[str, Any]] = []
    end: dict[int, float] = {}
    for worker, stage, op, step, microbatch, start, stop, generation, size in rows:
        free, kind = end.get(worker), _KIND[op]
        if free is not None and start - free > 1e-4:
            drawn.append(_bar(worker, free - begin, start - begin, "idle", f"idle {show_seconds(start - free)}"))
        label = f"{_WORDS.get(op, op)}, stage {stage}, step {step}"
        label += f", microbatch {microbatch}" if microbatch >= 0 else ""
        label += f": {show_seconds(stop - start)}" + (f", {show_bytes(size)}" if size else "")
        if kind in _REPLAYED and any(one.has(step, generation) for one in again):
            kind, label = "replay", f"replayed {label}"
        drawn.append(_bar(worker, start - begin, stop - begin, kind, label))
        end[worker] = max(stop, free or 0.0)
    # A flag is no operation: it is where its incident was noted, on the row of its worker, or else on the first.
    last = max(end.values(), default=0.0)
    flags = [
        _bar(row[2] if row[2] in stages else min(stages), row[0] - begin, row[0] - begin, "incident", row[9])
        for row in run.rows("incidents")
        if rows and row[1] != "checkpoint" and begin <= row[0] <= last
    ]
    drawn = [*drawn, *flags]
    lanes = [{"id": rank, "label": f"worker {rank} (stage {stages[rank]})"} for rank in sorted(stages)]
    return {"lanes": lanes, "bars": drawn[-bars:], "kinds": [dict(kind) for kind in KINDS], "unit": "ms"}


@dataclass(frozen=True)
class _Replay:
    """Steps that were run again after a loss, from a generation on."""

    steps: range
    generation: int

    def has(self, step: int, generation: int) -> bool:
        return step in self.steps and generation >= self.generation


def _replays(run: TrainRun) -> list[_Replay]:
    """Return what was run again: each failover and restore has a generation of its own."""
    found: list[_Replay] = []
    rebuilt: dict[int, int] = {}
    for row in run.newest("timeline", 4 * BARS):
        if row[2] == "rebuild":
            rebuilt[row[3]] = min(row[7], rebuilt.get(row[3], row[7]))
    for _, kind, _, _, step, _, replayed, *_ in run.rows("incidents"):
        if kind in ("failover", "restore") and step in rebuilt:
            found.append(_Replay(range(step, step + replayed), rebuilt[step]))
    return found


def loss_state(run: TrainRun) -> dict[str, Any]:
    """Return the curve of the losses, and of the loss on the validation data."""
    rows = run.rows("losses")
    step = max(1, len(rows) // POINTS)
    series = [
        {"name": "loss", "x": [float(row[0]) for row in rows[::step]], "y": [float(row[2]) for row in rows[::step]]}
    ]
    checked = [row for row in run.rows("metrics") if row[2] == "loss"]
    if checked and run.validated:
        series.append(
            {"name": "validation", "x": [float(row[0]) for row in checked], "y": [float(row[3]) for row in checked]}
        )
    return {"series": series, "x_label": "step", "y_label": "loss", "target": None, "band": None, "marks": []}


def _first_step(rows: Sequence[tuple[Any, ...]], run: TrainRun) -> int:
    """Return the step with which the last spans begin."""
    if not rows:
        return 0
    span = max(1, (run.flush_every or run.microbatches) // run.microbatches)
    return max(0, (rows[-1][3] // span - SPANS + 1) * span)


def _bar(worker: int, start: float, end: float, kind: str, label: str) -> dict[str, Any]:
    return {"lane": worker, "start": 1000 * start, "end": 1000 * end, "kind": kind, "label": label}


def _facts(run: TrainRun) -> list[tuple[str, str]]:
    samples = run.samples
    facts = [
        ("schedule", run.schedule),
        ("stages", run.config),
        ("microbatches", f"{run.microbatches}"),
        ("batch size", f"{run.batch_size}"),
        ("steps", f"{run.steps:,}"),
        ("samples", f"{samples:,}"),
        ("samples/s", f"{run.throughput:,.1f}"),
        ("bubble", f"{100 * run.bubble:.1f} %"),
        ("bytes sent", show_bytes(run.bytes_sent)),
    ]
    if samples:
        facts.append(("bytes/sample", show_bytes(run.bytes_sent / samples)))
    if run.flush_every:
        facts.append(("committed every", f"{run.flush_every} microbatches, when the pipe drains"))
    if run.plan.data_parallel_bytes and samples:
        planned = run.plan.data_parallel_bytes
        facts.append(("data parallelism would send", f"{show_bytes(planned)} a microbatch"))
    if run.link:
        facts.append(("link", f"emulated, {run.link} for each machine"))
    return facts


def _costs(run: TrainRun) -> list[dict[str, Any]]:
    """Return what the machines cost, beside as many on demand that are never taken away; nothing without a price."""
    import pandas as pd

    bill, ranks = run.bill, sum(len(stage.ranks) for stage in run.plan.stages)
    if bill.price is None or run.cost != run.cost:
        return []
    pace = run.throughput
    calm, other = undisturbed(run), (bill.on_demand_price or 0.0) * ranks
    rows = [
        ("machines", f"{bill.hourly / bill.price if bill.price else bill.machines:.3g}", f"{ranks}"),
        ("a machine, $/h", f"{bill.price:.4g}", f"{bill.on_demand_price or 0.0:.4g}"),
        ("all, $/h", f"{bill.hourly:.4g}", f"{other:.4g}"),
        ("samples/s", f"{pace:,.4g}", f"{calm:,.4g}"),
        ("value, samples/s for $1/h", _ratio(pace, bill.hourly), _ratio(calm, other)),
        ("$ for 1,000,000 samples", _ratio(bill.hourly, 0.0036 * pace), _ratio(other, 0.0036 * calm)),
        ("$ so far", f"{bill.dollars:.4g}", ""),
    ]
    frame = pd.DataFrame(rows, columns=["cost", "this run", "on demand"], dtype="str")
    if bill.on_demand_price is None:
        frame = frame.drop(columns="on demand")
    return [{"kind": "table", "name": "cost", "frame": frame}]


def undisturbed(run: TrainRun) -> float:
    """Return samples/s of the median step: what machines do that nobody takes away."""
    seconds = sorted(after[4] - before[4] for before, after in itertools.pairwise(run.rows("losses")))
    middle = seconds[len(seconds) // 2] if seconds else 0.0
    return run.batch_size / middle if middle > 0 else run.throughput


def _ratio(first: float, second: float) -> str:
    return f"{first / second:.4g}" if second > 0 else ""


def _notes(run: TrainRun) -> list[dict[str, Any]]:
    # A checkpoint that was written is no news: it is in the table.
    told = [row[9] for row in run.rows("incidents") if row[1] != "checkpoint" or " could not be written" in row[9]]
    notes = [{"kind": "note", "level": "warning", "text": text} for text in told[-5:]]
    if run.reached:
        notes.append({"kind": "note", "level": "info", "text": f"target reached at step {run.steps:,}"})
    return notes


def _incidents(run: TrainRun) -> Any:
    """Return the incidents with empty cells where one is of the whole run, and has no worker and no stage."""
    frame = run.incidents
    return frame.assign(
        **{name: frame[name].astype("Int64").mask(frame[name] < 0) for name in ("worker", "stage", "step")}
    )


def _table(facts: Sequence[tuple[str, str]]) -> Any:
    import pandas as pd

    names = pd.Series([name for name, _ in facts], dtype="str")
    return pd.DataFrame({"name": names, "value": pd.Series([value for _, value in facts], dtype="str")})
