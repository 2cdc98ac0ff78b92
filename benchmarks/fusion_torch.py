"""Models of torch trained by `torch.compile(backend="workbench")` beside eager and Inductor, on the CPU.

Every peer runs the same steps (forward, backward, AdamW) in one process in alternating rounds; losses are compared.
Time is CPU time of the process, which other work on the machine does not change much.

    python -m benchmarks.fusion_torch [--rounds 7] [--steps 10] [--inductor] [--graphs 100] [--output FILE]
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.fusion.capture.fx.models import Convolutional, Interest

__all__ = ["MODELS", "measured"]


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


def measured(name: str, backends: list[str], rounds: int, steps: int) -> dict[str, Any]:
    """Return for each backend the CPU milliseconds of a step, and the losses' largest difference from eager."""
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
    times: dict[str, list[float]] = {backend: [] for backend in runs}
    for _ in range(rounds):
        for backend, run in runs.items():
            start = time.process_time()
            for _ in range(steps):
                run()
            times[backend].append(1e3 * (time.process_time() - start) / steps)
    found: dict[str, Any] = {"model": name}
    base = statistics.median(times["eager"])
    for backend, some in times.items():
        found[backend] = {
            "cpu_ms": round(statistics.median(some), 3),
            "min_ms": round(min(some), 3),
            "ratio": round(base / statistics.median(some), 3),
            "ratio_min": round(min(times["eager"]) / min(some), 3),
            "loss_error": max(
                abs(a - b) / max(abs(b), 1e-9) for a, b in zip(losses[backend], losses["eager"], strict=True)
            ),
        }
    return found


def correlation(count: int = 100) -> float:
    """Return the rank correlation of predicted milliseconds and measured CPU milliseconds over random graphs."""
    from scipy.stats import spearmanr

    from workbench.fusion.capture.fx.graphs import Graph
    from workbench.fusion.capture.fx.plans import traced

    generator = torch.Generator().manual_seed(0)

    def pick(some: list[Any]) -> Any:
        return some[int(torch.randint(len(some), (), generator=generator))]

    maps = [torch.exp, torch.tanh, torch.sin, torch.sqrt, torch.relu, torch.neg, torch.sigmoid, torch.erf]
    predicted, taken = [], []
    for _ in range(count):
        inputs = [torch.rand(pick([64, 256, 1024, 4096]), pick([64, 256, 1024])) + 0.1]
        steps = [(pick(["map", "map", "row"]), pick(maps)) for _ in range(pick([1, 2, 4, 8]))]

        graph = Graph(traced(_chain(steps), inputs))
        for _ in range(2):
            graph.run(list(inputs))
        times = []
        for _ in range(5):
            start = time.process_time()
            graph.run(list(inputs))
            times.append(time.process_time() - start)
        predicted.append(sum(kernel.predicted_ms for kernel in graph.plan.kernels))
        taken.append(min(times))
    return float(spearmanr(predicted, taken).statistic)


def _chain(steps: list[tuple[str, Any]]) -> Callable[[torch.Tensor], torch.Tensor]:
    def function(x: torch.Tensor) -> torch.Tensor:
        for kind, op in steps:
            x = op(x) + 1 if kind == "map" else x / x.sum(1, keepdim=True)
        return x

    return function


def main() -> None:
    """Measure, print a line a model, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--inductor", action="store_true")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--graphs", type=int, default=0, help="compare predicted and measured cost of so many")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    backends = ["eager", "workbench", *(["inductor"] if options.inductor else [])]
    rows = []
    for name in filter(None, options.models.split(",")):
        rows.append(measured(name, backends, options.rounds, options.steps))
        print(json.dumps(rows[-1]), flush=True)
        torch._dynamo.reset()
    ranks = correlation(options.graphs) if options.graphs else None
    if ranks is not None:
        print(json.dumps({"rank_correlation": ranks, "graphs": options.graphs}))
    if options.output is not None:
        machine = {"processor": platform.processor(), "threads": torch.get_num_threads(), "torch": torch.__version__}
        options.output.write_text(json.dumps({"machine": machine, "rows": rows, "rank_correlation": ranks}, indent=1))


if __name__ == "__main__":
    main()
