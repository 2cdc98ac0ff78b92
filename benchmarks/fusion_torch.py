"""Models of torch trained by `torch.compile(backend="workbench")` beside eager and Inductor, on the CPU.

Every peer runs the same steps (forward, backward, AdamW) in one process in alternating rounds; losses are compared.
Time is wall clock, the median of the rounds, with the threads that torch takes by default and with one. It wants a
machine that does nothing else. Models are written as each is through.

    python -m benchmarks.fusion_torch [--models mlp,dien] [--threads 2,1] [--seconds 10] [--no-inductor] [--graphs 100]

Random graphs, whose order by predicted time is compared with that by measured time, are measured in CPU time.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from benchmarks.measure import Figure, write
from tests.fusion.capture.fx.models import Convolutional, Interest

__all__ = ["MODELS", "Runs", "correlation", "prepared", "timed"]


class Transformer(nn.Module):
    """Post-norm encoder layers over embeddings."""

    def __init__(self, words: int = 512, width: int = 128, layers: int = 2) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.layers = nn.ModuleList(
            [
                nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, activation="gelu", batch_first=True)
                for _ in range(layers)
            ]
        )
        self.head = nn.Linear(width, words)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return scores of words."""
        x = self.words(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def _mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(256, 1024), nn.GELU(), nn.LayerNorm(1024), nn.Linear(1024, 1024), nn.GELU(), nn.Linear(1024, 10)
    )


#: name -> what makes the model, and its inputs
MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[], tuple[torch.Tensor, ...]]]] = {
    "mlp": (_mlp, lambda: (torch.randn(512, 256),)),
    "cnn": (lambda: Convolutional(32), lambda: (torch.randn(16, 3, 64, 64),)),
    "transformer": (Transformer, lambda: (torch.randint(0, 512, (16, 64)),)),
    "dien": (lambda: Interest(16, 36), lambda: (torch.randn(16, 256, 36), torch.randn(256, 36))),
}


@dataclass
class Runs:
    """A model as each backend trains it, ready to be timed: compiled, and five steps on.

    Attributes
    ----------
    model : str
    threads : int
        Of torch, which kernels were compiled for.
    steps : dict
        Backend -> a step of training (forward, backward, AdamW), which returns the loss.
    errors : dict
        Backend -> the largest relative difference of the five losses from eager's.
    """

    model: str
    threads: int
    steps: dict[str, Callable[[], float]]
    errors: dict[str, float]


def prepared(name: str, backends: list[str], threads: int) -> Runs:
    """Compile a model for each backend, and check that all train it alike.

    Raises
    ------
    AssertionError
        If losses of a backend are not eager's.
    """
    torch.set_num_threads(threads)
    make, inputs = MODELS[name]
    torch.manual_seed(0)
    first, batch = make(), inputs()
    runs: dict[str, Callable[[], float]] = {}
    for backend in backends:
        model = copy.deepcopy(first)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        eager = backend == "eager"
        call = model if eager else torch.compile(model, backend=backend)
        step = optimizer.step if eager else torch.compile(optimizer.step, backend=backend)

        def run(call: Any = call, step: Any = step, optimizer: Any = optimizer) -> float:
            optimizer.zero_grad()
            loss = call(*batch).square().mean()
            loss.backward()
            step()
            return float(loss.detach())

        runs[backend] = run
    losses = {backend: [run() for _ in range(5)] for backend, run in runs.items()}
    errors = {
        backend: max(abs(a - b) / max(abs(b), 1e-9) for a, b in zip(some, losses["eager"], strict=True))
        for backend, some in losses.items()
    }
    assert max(errors.values()) <= ALIKE, f"{name}: losses differ from eager's by {errors}"
    return Runs(name, threads, runs, errors)


def timed(runs: Runs, seconds: float) -> dict[str, Any]:
    """Return for each backend the milliseconds of a step, measured in rounds that alternate for some seconds.

    Who begins a round changes from one to the next: what one leaves in caches is each one's in turn.
    """
    torch.set_num_threads(runs.threads)
    order = list(runs.steps)
    once = min(_once(run) for run in runs.steps.values())
    steps = max(1, int(0.02 / once))  # of a round: enough for its clock
    wall: dict[str, list[float]] = {backend: [] for backend in order}
    cpu: dict[str, list[float]] = {backend: [] for backend in order}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(wall[order[0]]) < FEWEST:
        for backend in order:
            run, start, used = runs.steps[backend], time.perf_counter(), time.process_time()
            for _ in range(steps):
                run()
            wall[backend].append(1e3 * (time.perf_counter() - start) / steps)
            cpu[backend].append(1e3 * (time.process_time() - used) / steps)
        order.append(order.pop(0))
    found: dict[str, Any] = {
        "model": runs.model,
        "threads": runs.threads,
        "rounds": len(wall[order[0]]),
        "steps": steps,
    }
    for backend, some in wall.items():
        found[backend] = {
            "wall_ms": round(statistics.median(some), 4),
            "min_ms": round(min(some), 4),
            "cpu_ms": round(statistics.median(cpu[backend]), 4),
            "ratio": round(statistics.median(wall["eager"]) / statistics.median(some), 4),
            "ratio_min": round(min(wall["eager"]) / min(some), 4),
            "loss_error": runs.errors[backend],
        }
    return found


def _once(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


PACKAGES = ("numpy", "torch", "llvmlite")
#: how much losses may differ from eager's, and how many rounds are the fewest
ALIKE, FEWEST = 1e-3, 7
#: what times of random graphs are
CLOCK = "CPU time of the process, one thread, the least of the rounds"

MAPS: list[Any] = [torch.exp, torch.tanh, torch.sin, torch.sqrt, torch.relu, torch.neg, torch.sigmoid, torch.erf]
#: name -> one step of a random graph, of x and of another input of its shape
STEPS: dict[str, Callable[[torch.Tensor, torch.Tensor, Any], torch.Tensor]] = {
    "map": lambda x, y, op: op(x.abs().clamp(max=4)) + 1,  # nothing overflows
    "both": lambda x, y, op: op(y) * x + y,
    "choose": lambda x, y, op: torch.where(x > y, op(y), x),
    "row": lambda x, y, op: x / (x.abs().sum(1, keepdim=True) + 1),
    "column": lambda x, y, op: x - x.mean(0),
    "softmax": lambda x, y, op: torch.softmax(x, 1),
    "norm": lambda x, y, op: torch.nn.functional.layer_norm(x, x.shape[1:]),
    "most": lambda x, y, op: x - x.amax(1, keepdim=True),
}
#: random graphs of which one is also run by Inductor, whose compiler takes seconds for each
EVERY = 10


def random_graphs(count: int) -> list[tuple[list[tuple[str, Any]], tuple[int, int], torch.dtype]]:
    """Return random graphs: the steps of each, the shape of its inputs, their dtype."""
    generator = torch.Generator().manual_seed(0)

    def pick(some: Any) -> Any:
        return some[int(torch.randint(len(some), (), generator=generator))]

    found = []
    for _ in range(count):
        shape = (pick([16, 64, 256, 1024, 4096]), pick([32, 64, 256, 1024]))
        steps = [(pick(["map", "both", *STEPS]), pick(MAPS)) for _ in range(pick([1, 2, 4, 8]))]
        found.append((steps, shape, pick([torch.float32, torch.float32, torch.float64])))
    return found


def correlation(count: int = 100, inductor: bool = False) -> dict[str, Any]:
    """Return how well the order of random graphs by time is predicted, and how they compare with eager.

    Predicted are the milliseconds of the cost model's kernels; measured, on one thread, CPU milliseconds of a run: the
    least of five. Answers are compared with eager's, in float64.
    """
    from scipy.stats import spearmanr

    from workbench.fusion.capture.fx.graphs import Graph
    from workbench.fusion.capture.fx.plans import traced

    rows: list[dict[str, Any]] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for number, (steps, shape, dtype) in enumerate(random_graphs(count)):
            inputs = [torch.rand(shape, dtype=dtype) + 0.1 for _ in range(2)]
            function = _chain(steps)
            graph = Graph(traced(function, inputs))
            wanted = function(*[each.double() for each in inputs])
            found = graph.run(list(inputs))
            error = float((found.double() - wanted).abs().max() / wanted.abs().max().clamp(min=1e-9))
            assert error < (1e-3 if dtype == torch.float32 else 1e-9), (steps, error)
            row = {
                "steps": [name for name, _ in steps],
                "shape": shape,
                "dtype": str(dtype).removeprefix("torch."),
                "kernels": graph.plan.launches,
                "predicted_ms": sum(kernel.predicted_ms for kernel in graph.plan.kernels),
                "measured_ms": _least(lambda graph=graph, inputs=inputs: graph.run(list(inputs))),
                "eager_ms": _least(lambda function=function, inputs=inputs: function(*inputs)),
                "error": error,
            }
            if inductor and number % EVERY == 0:
                peer = torch.compile(function, backend="inductor", dynamic=False)
                torch.testing.assert_close(peer(*inputs).double(), wanted, rtol=1e-3, atol=1e-3)
                row["inductor_ms"] = _least(lambda peer=peer, inputs=inputs: peer(*inputs))
                torch._dynamo.reset()
            rows.append(row)
    finally:
        torch.set_num_threads(threads)
    predicted, measured = [row["predicted_ms"] for row in rows], [row["measured_ms"] for row in rows]
    peers = [row for row in rows if "inductor_ms" in row]
    return {
        "graphs": count,
        "rank_correlation": round(float(spearmanr(predicted, measured).statistic), 4),
        "eager_over_ours": round(statistics.median(row["eager_ms"] / row["measured_ms"] for row in rows), 3),
        "inductor_over_ours": (
            round(statistics.median(row["inductor_ms"] / row["measured_ms"] for row in peers), 3) if peers else None
        ),
        "rows": rows,
    }


def _least(run: Callable[[], Any], rounds: int = 5) -> float:
    """Return the least CPU milliseconds of a run, of some rounds that take a few each."""
    start = time.process_time()
    run()
    once = max(time.process_time() - start, 1e-6)
    many = max(1, min(100, int(5e-3 / once)))
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(many):
            run()
        best = min(best, 1e3 * (time.process_time() - start) / many)
    return best


def _chain(steps: list[tuple[str, Any]]) -> Callable[..., torch.Tensor]:
    def function(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        for kind, op in steps:
            x = STEPS[kind](x, y, op)
        return x

    return function


def figures_of(row: dict[str, Any]) -> list[Figure]:
    """Return the figures of a model: its time beside each peer's."""
    found = []
    ours = row["workbench"]["wall_ms"]
    threads = "1 thread" if row["threads"] == 1 else f"{row['threads']} threads"
    for peer in ("eager", "inductor"):
        if peer in row:
            theirs = row[peer]["wall_ms"]
            met = theirs / ours >= 1 / 1.05 if peer == "eager" else None
            target = "<= 1.05 x eager" if peer == "eager" else ""
            name = f"{row['model']}, {threads}, a step of training beside {peer}"
            note = f"wall clock, median of {row['rounds']} alternating rounds of {row['steps']} steps"
            found.append(Figure(name, ours, "ms", target, met, peer, theirs, theirs / ours, note, details=row))
    return found


def main() -> None:
    """Measure, and write `results/fusion_torch.json`."""
    default = torch.get_num_threads()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="that a model is measured for, at the least")
    parser.add_argument("--threads", default=f"{default},1" if default > 1 else "1", help="of torch: one run for each")
    parser.add_argument("--inductor", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--graphs", type=int, default=100, help="compare predicted and measured cost of so many")
    parser.add_argument("--name", default="fusion_torch", help="of the file of results")
    options = parser.parse_args()
    backends = ["eager", "workbench", *(["inductor"] if options.inductor else [])]
    for name in filter(None, options.models.split(",")):
        for threads in map(int, options.threads.split(",")):
            row = timed(prepared(name, backends, threads), options.seconds)
            write(options.name, figures_of(row), PACKAGES)
            torch._dynamo.reset()
    if options.graphs:
        figures = []
        ranks = correlation(options.graphs, options.inductor)
        rank, eager = ranks["rank_correlation"], ranks["eager_over_ours"]
        name = f"rank correlation, predicted and measured, {options.graphs} random graphs"
        figures.append(Figure(name, rank, "", ">= 0.8", rank >= 0.8, note=CLOCK, details=ranks))
        figures.append(Figure("random graphs, median of eager over ours", eager, "x", "", None))
        if ranks["inductor_over_ours"] is not None:
            name = "random graphs, median of Inductor over ours"
            figures.append(Figure(name, ranks["inductor_over_ours"], "x", "", None))
        write(options.name, figures, PACKAGES)


if __name__ == "__main__":
    main()
