"""What copies cost while nobody is lost: `python -m benchmarks.training_overhead [--runs N] [--trial]`.

Four local workers train a model whose layers sleep, as two cores cannot compute four stages at once: without copies,
with copies that are only kept up (lazy), and with the copies' forwards run ahead (eager). What that costs is predicted
by the simulator from what operations took in the run without copies. With few microbatches the bubbles hold the
redundant work, with many they do not. Runs of the three alternate. With `--trial` one of each is made, and nothing is
written.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from typing import TYPE_CHECKING

if __name__ == "__main__":
    os.environ["WORKBENCH_HOME"] = tempfile.mkdtemp(prefix="workbench-benchmark-")

from benchmarks.measure import Figure, write
from benchmarks.training_replay import BACKWARD, BATCH, FORWARD, STAGES, measured, record

if TYPE_CHECKING:
    from workbench.training import TrainRun

#: microbatches of a step: bubbles that hold the redundant work, and ones that do not
MICROBATCHES = (4, 16)
KINDS = (None, "lazy", "eager")
EPOCHS = 4
#: share of a step that copies may cost where bubbles hold their work, and by which a prediction may miss
MOST, WITHIN = 0.10, 0.15


def seconds_of(run: TrainRun) -> float:
    """Return the median seconds of a step, without the first ones, which load what the others have."""
    return float(run.losses["seconds"].diff().iloc[3:].median())


def predicted(run: TrainRun, redundancy: str | None) -> float:
    """Return the seconds of a step with copies, from what operations took in a run without."""
    from workbench.training.simulate.workload import PlanWork

    return float(PlanWork(measured(run), "1f1b", run.microbatches, redundancy).unit((frozenset(),)).seconds)


def figures_of(microbatches: int, rounds: list[dict[str | None, tuple[float, float]]]) -> list[Figure]:
    """Return what the runs came to.

    Parameters
    ----------
    microbatches : int
    rounds : list of dict
        Kind of copies -> measured and predicted seconds of a step.
    """
    bubble, work = (STAGES - 1) * (FORWARD + BACKWARD), microbatches * FORWARD
    held, figures = bubble >= work, []
    told_of = f"bubbles of {bubble:.2g} s {'hold' if held else 'are less than'} the forwards of {work:.2g} s"
    for kind in KINDS:
        real = statistics.median(one[kind][0] for one in rounds)
        expected = statistics.median(one[kind][1] for one in rounds)
        close = abs(expected / real - 1) <= WITHIN
        name = f"overhead: {microbatches} microbatches, {kind or 'no copies'}"
        figures.append(
            Figure(
                f"{name}, a step predicted", expected, "s", "within 15 % of the run", close,
                peer="measured", peer_value=real, ratio=expected / real, note=f"median of {len(rounds)}; layers sleep",
            )
        )  # fmt: skip
        if kind is not None:
            more = statistics.median(one[kind][0] / one[None][0] for one in rounds) - 1
            told = statistics.median(one[kind][1] / one[None][1] for one in rounds) - 1
            figures.append(
                Figure(
                    name, 100 * more, "% longer steps", f"< {100 * MOST:g} %" if held else "",
                    more < MOST if held else None, peer="predicted", peer_value=100 * told,
                    note=told_of,
                )
            )  # fmt: skip
    return figures


def main(arguments: list[str]) -> None:
    """Train with and without copies, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="of each kind")
    parser.add_argument("--trial", action="store_true")
    chosen = parser.parse_args(arguments)
    import torch

    from workbench.engine import session

    torch.set_num_threads(1)
    figures: list[Figure] = []
    assert all(microbatches <= BATCH for microbatches in MICROBATCHES)
    with session.local_workers(STAGES):
        for microbatches in MICROBATCHES[: 1 if chosen.trial else None]:
            rounds = []
            for _ in range(1 if chosen.trial else chosen.runs):
                runs = {kind: record("", EPOCHS, microbatches, kind) for kind in KINDS}
                rounds.append({kind: (seconds_of(run), predicted(runs[None], kind)) for kind, run in runs.items()})
                print(f"{microbatches} microbatches: {rounds[-1]}", flush=True)
            figures += figures_of(microbatches, rounds)
    if chosen.trial:
        for figure in figures:
            print(figure)
    else:
        write("training_overhead", figures, ("torch", "distributed"))


if __name__ == "__main__":
    main(sys.argv[1:])
