"""Workers lost at random: `python -m benchmarks.training_chaos [--threads N] [--processes N] [--restarts N] [--trial]`.

`--threads`: ranks as threads of this process, ended at any operation (first and last stage, between update and commit,
while others recover): the protocol alone. `--processes`: workers of a local session, killed, stalled or cut off at
random steps; the pause from the signal to the first operation after it is measured. `--restarts`: the same without
copies: all go back to the last checkpoint, and the pause is measured up to the same operation. Every run is compared
bit by bit with plain torch in one process, and each stage's updates are counted. Each run is a line of
`results/training_chaos.jsonl` as soon as it ends; the figures go to `results/training_chaos.json`. What was interrupted
goes on where it was: runs that the log has of the same code are not run again. With `--trial` nothing is written.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    os.environ["WORKBENCH_HOME"] = tempfile.mkdtemp(prefix="workbench-benchmark-")

from benchmarks.measure import RESULTS, Figure, write

STEPS = 6
SAVED = "4steps"  # between two checkpoints of the runs that go back to them
EPOCHS = 10
PLACES = (2, 4, 6)
LOG = RESULTS / "training_chaos.jsonl"
SLOWER = 10.0  # times a failover's pause: what going back to a checkpoint takes at least
TOLD = 20.0  # seconds between two lines of progress
#: ranks that are lost together: no two are neighbours in a ring of four
VICTIMS = ([0], [1], [2], [3], [0, 2], [1, 3])


def in_threads(number: int) -> dict[str, Any]:
    """Train once with threads, of which some end; return what became of it."""
    from tests.training import nets
    from tests.training.resilience.inprocess import Kill, train

    generator = random.Random(number)
    schedule, redundancy = generator.choice(["1f1b", "gpipe"]), generator.choice(["lazy", "eager"])
    kills = [
        Kill(rank, join=generator.choice([0, 1])) if generator.random() < 0.1
        else Kill(rank, generator.randrange(25 * STEPS), generator.random() < 0.5)
        for rank in generator.choice(VICTIMS)
    ]  # fmt: skip
    model = nets.mlp(0.25)
    found = train(
        model, nets.momentum, nets.cut_after(model, *PLACES), schedule, STEPS, redundancy=redundancy, kills=kills,
        noticed=generator.choice([0.0, 0.02]),
    )  # fmt: skip
    losses, reference = _plain(STEPS // 3)
    incidents = found.run.incidents
    return {
        "kind": "threads", "seed": number, "schedule": schedule, "redundancy": redundancy,
        "kills": [vars(kill) for kill in kills], "lost": int((incidents.kind == "lost").sum()),
        "replayed": int(incidents.replayed_steps.max()) if len(incidents) else 0,
        "equal": found.losses == losses and nets.same(model, reference),
        "once": found.updates == dict.fromkeys(range(4), STEPS),
    }  # fmt: skip


def in_processes(number: int, resilience: str = "redundant") -> dict[str, Any]:
    """Train once on four workers, of which some are stopped; return what became of it."""
    import torch

    import workbench as wb
    from tests.training import nets
    from workbench.training.chaos import Chaos

    generator = random.Random(number)
    copies = resilience == "redundant"
    victims = generator.choice(VICTIMS if copies else VICTIMS[:4])
    strikes = [(rank, f"step{generator.randrange(1, 3 * EPOCHS - 1)}") for rank in victims]
    kind = generator.choice(["kill"] * 8 + ["stall", "cut"]) if copies else "kill"
    schedule, redundancy = generator.choice(["1f1b", "gpipe"]), generator.choice(["lazy", "eager"])
    model = nets.mlp(0.25)
    run = wb.training.train(
        model, nets.samples(), torch.nn.functional.cross_entropy, nets.momentum, schedule=schedule, microbatches=4,
        plan=nets.cut_after(model, *PLACES), batch_size=nets.BATCH, epochs=EPOCHS, seed=nets.SEED,
        resilience=resilience, redundancy=redundancy, chaos=Chaos(**{kind: tuple(strikes)}), wait=True,
        checkpoint=None if copies else SAVED,
    )  # fmt: skip
    losses, reference = _plain(EPOCHS)
    incidents = run.incidents
    after = incidents[incidents.kind == ("failover" if copies else "restore")]
    return {
        "kind": kind, "seed": number, "schedule": schedule, "redundancy": redundancy, "strikes": strikes,
        "lost": int((incidents.kind == "lost").sum()), "pauses": sorted(set(after.pause_seconds.round(4))),
        "replayed": int(after.replayed_steps.max()) if len(after) else 0,
        "equal": run.losses.loss.tolist() == losses and nets.same(model, reference),
        "once": run.losses.step.tolist() == list(range(3 * EPOCHS)),
    }  # fmt: skip


def restarted(number: int) -> dict[str, Any]:
    """Do so without copies: all go back to the last checkpoint."""
    return in_processes(number, "checkpoint")


def _plain(epochs: int) -> tuple[list[float], Any]:
    from tests.training import nets

    if epochs not in _known:
        model = nets.mlp(0.25)
        _known[epochs] = nets.plain(model, nets.momentum, 4, epochs=epochs), model
    return _known[epochs]


_known: dict[int, tuple[list[float], Any]] = {}


def code() -> str:
    """Return what tells one state of the runtime and of these runs from another."""
    root = Path(__file__).parents[1]
    files = [*sorted((root / "workbench" / "training").rglob("*.py")), Path(__file__)]
    files += [root / "tests" / "training" / "nets.py", root / "tests" / "training" / "resilience" / "inprocess.py"]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


def logged(path: Path, part: str, made_by: str) -> dict[int, dict[str, Any]]:
    """Return the runs that a log has of a part: seed -> row; a line that was cut off is none."""
    found: dict[int, dict[str, Any]] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if (row.get("part"), row.get("code")) == (part, made_by):
            found[row["seed"]] = row
    return found


def several(
    part: str, work: Callable[[int], dict[str, Any]], seeds: range, log: Path | None, after: Callable[[], Any]
) -> list[dict[str, Any]]:
    """Run one after the other, and log each; one that raises counts as unequal.

    Parameters
    ----------
    part : str
    work : callable
        Seed -> what became of its run.
    seeds : range
    log : Path or None
        Runs that it has are not run again.
    after : callable
        Called after each run.
    """
    made_by = code()
    done = {} if log is None else logged(log, part, made_by)
    rows = [done[seed] for seed in seeds if seed in done]
    missing = [seed for seed in seeds if seed not in done]
    if rows:
        print(f"{part}: {len(rows)} of {len(seeds)} runs are in the log", flush=True)
    begun = last = time.monotonic()
    for count, number in enumerate(missing, 1):
        at = time.monotonic()
        try:
            row = work(number)
        except Exception as error:
            row = {
                "seed": number,
                "equal": False,
                "once": False,
                "lost": 0,
                "error": f"{type(error).__name__}: {error}",
            }
        row = {"part": part, "code": made_by, **row, "seconds": round(time.monotonic() - at, 2)}
        rows.append(row)
        if not (row["equal"] and row["once"]):
            print(json.dumps(row), flush=True)
        if log is not None:
            _append(log, json.dumps(row))
        now = time.monotonic()
        if now - last > TOLD or count == len(missing):
            last = now
            each = (now - begun) / count
            wrong = sum(not (row["equal"] and row["once"]) for row in rows)
            print(
                f"{part}: {len(rows)} of {len(seeds)} runs, {sum(row['lost'] for row in rows)} workers lost, {wrong} "
                f"differ, {each:.1f} s each, {each * (len(missing) - count) / 60:.0f} min left",
                flush=True,
            )
        after()
    return rows


def _whole(client: Any, workers: int) -> None:
    """Wait until who was killed is replaced, however long that takes: the next run has as many again."""
    from workbench.engine import session

    until = time.monotonic() + 900.0
    while len(session.members(client)) < workers:
        session.heal()  # Dask gives up who dies again while it starts
        if time.monotonic() > until:
            raise TimeoutError(f"{len(session.members(client))} of {workers} workers came back")
        time.sleep(0.1)


def _append(log: Path, line: str) -> None:
    log.parent.mkdir(exist_ok=True)
    with log.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # the last one was cut off
                file.write(b"\n")
        file.write(line.encode() + b"\n")


def told(name: str, rows: list[dict[str, Any]], beside: float | None = None) -> list[Figure]:
    """Return what the runs came to; with the median pause of a failover, or 0 if it is not known, beside that."""
    wrong = sum(not (row["equal"] and row["once"]) for row in rows)
    figures = [
        Figure(f"{name}: workers lost", sum(row["lost"] for row in rows), "losses", note=f"in {len(rows)} runs"),
        Figure(f"{name}: runs that differ", wrong, "runs", "0", wrong == 0),
    ]
    # What is silent is noticed after five seconds: those pauses say nothing of the others.
    pauses = sorted(pause for row in rows if row.get("kind") == "kill" for pause in row.get("pauses", ()))
    if pauses:
        median, late = statistics.median(pauses), pauses[int(0.95 * (len(pauses) - 1))]
        if beside is not None:
            ratio = median / beside if beside else None
            goal = f">= {SLOWER:g}x a failover's"
            figures.append(
                Figure(
                    f"{name}: pause, median", median, "s", goal, None if ratio is None else ratio >= SLOWER,
                    "failover" if beside else "", beside or None, ratio, note=f"of {len(pauses)}",
                )
            )  # fmt: skip
            return figures
        figures += [
            Figure(f"{name}: pause, median", median, "s", "<= 0.5", median <= 0.5),
            Figure(f"{name}: pause, 95 %", late, "s", "<= 2", late <= 2),
        ]
    return figures


def main(arguments: list[str]) -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1000, metavar="N")
    parser.add_argument("--processes", type=int, default=0, metavar="N")
    parser.add_argument("--restarts", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trial", action="store_true")
    chosen = parser.parse_args(arguments)
    import torch

    from workbench.engine import session

    torch.set_num_threads(1)
    figures: list[Figure] = []
    failover = 0.0
    log = None if chosen.trial else LOG
    if chosen.threads:
        seeds = range(chosen.seed, chosen.seed + chosen.threads)
        figures += told("threads", several("threads", in_threads, seeds, log, lambda: None))
    if chosen.processes:
        seeds = range(chosen.seed, chosen.seed + chosen.processes)
        with session.local_workers(4) as client:
            rows = several("processes", in_processes, seeds, log, lambda: _whole(client, 4))
        figures += told("processes", rows)
        failover = next((figure.value for figure in figures if figure.name == "processes: pause, median"), 0.0)
    if chosen.restarts:
        seeds = range(chosen.seed, chosen.seed + chosen.restarts)
        with session.local_workers(4) as client:
            rows = several("restarts", restarted, seeds, log, lambda: _whole(client, 4))
        figures += told("restarts", rows, failover)
    if log is not None:
        write("training_chaos", figures, ("torch", "distributed"))
        return
    for figure in figures:
        print(figure)


if __name__ == "__main__":
    main(sys.argv[1:])
