"""`%%pipeline`: train a model over the session's workers."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Mapping
from types import CodeType
from typing import Any

from workbench.engine.errors import WorkbenchError
from workbench.notebook import display, live
from workbench.notebook.magics.base import Argument, Call, MagicSpec, Option, Positional, whole
from workbench.notebook.magics.python import compiled

__all__ = ["REDUNDANCY", "RESILIENCE", "SCHEDULES", "SPEC"]

EXAMPLE = """%%pipeline net train_set --workers 2 --schedule 1f1b --epochs 5 -o run
net = make_net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
validation = test_set"""
#: those of `workbench.training`, which a completion must not import; a test holds them together
SCHEDULES = ("auto", "gpipe", "1f1b", "pipedream", "2bw", "ddp")
RESILIENCE = ("none", "checkpoint", "redundant")
REDUNDANCY = ("eager", "lazy")
#: what the run is called where the line does not say
NAME = "_pipeline"
#: names of the notebook that are passed on where they are there
OPTIONAL = ("validation", "evaluate", "plan", "tracker")


def _count(name: str, help: str, metavar: str, example: str, dest: str = "", default: int | None = None) -> Option:
    return Option(
        name, help, dest=dest, metavar=metavar, convert=whole, says="a whole number of at least 1", example=example,
        default=default,
    )  # fmt: skip


def _choice(name: str, help: str, choices: tuple[str, ...], default: str) -> Option:
    return Option(
        name, f"{help}: {', '.join(choices)}", metavar="NAME", default=default, choices=lambda: choices
    )  # fmt: skip


NOTES = (
    "The cell runs first, as ordinary Python; then MODEL and DATA are looked up in the notebook, and so",
    "are, where they are there: loss (else cross_entropy), optimizer (else SGD, lr 0.01, momentum 0.9),",
    "validation (data), evaluate (model -> metrics), plan, tracker. MODEL holds the weights of the last",
    "commit however the run ends. The value is a TrainRun, NAME or _pipeline: .losses, .metrics,",
    ".timeline, .incidents, .plan, .throughput, .explain(), .cancel(). Interrupt the kernel, or click",
    "Stop, to end it early.",
    "Schedules: gpipe and 1f1b give the weights of training in one process; pipedream and 2bw go on",
    "without draining the pipe, with weights that are a little stale; ddp is data parallelism, to compare",
    "with; auto simulates them and takes the fastest. Resilience: with redundant each worker keeps a copy",
    "of its neighbour's stage, so that a lost one costs a moment; checkpoint goes back to the last one.",
)
OPTIONS = (
    _count("workers", "workers to train on; by default all that the session has", "N", "4"),
    _choice("schedule", "order of the work, see below", SCHEDULES, "auto"),
    _count("micro", "microbatches of a batch; by default what suits the schedule", "M", "8", dest="microbatches"),
    _count("batch", "samples in a batch; by default that of a DataLoader, else 32", "B", "64", dest="batch_size"),
    _count("epochs", "how often the data is gone through; by default once", "E", "5", default=1),
    _count("steps", "batches in all; wins over --epochs", "N", "500"),
    _choice("resilience", "what is kept for when a worker is lost, by default nothing", RESILIENCE, "none"),
    _choice("redundancy", "when the copies of redundant compute: at once, or only after a loss", REDUNDANCY, "lazy"),
    Option("checkpoint", "save every 60s or 100steps; implies --resilience checkpoint", metavar="T"),
    Option("resume", "checkpoint to go on from: a folder, or a name for one", metavar="PATH"),
    Option("chaos", "to try it out: kill=2@10s kills worker 2 after 10 s; also stall, cut, notice", metavar="WHAT"),
    Option("link", "emulated bandwidth of each machine, such as 100mbit", metavar="RATE"),
    Option("price", "of a machine and hour, such as $0.91: what the run costs is shown", metavar="DOLLARS"),
    Option("target", "what ends the training: top1>=94, loss<=0.1", metavar="METRIC>=X"),
    Option(
        "seed", "of the order of the samples and of random layers", metavar="S", default=0, convert=whole,
        says="a whole number", example="1",
    ),
)  # fmt: skip


def run(call: Call) -> Any:
    """Run the cell, then start to train what it made: a `TrainRun`."""
    __tracebackhide__ = True
    from workbench.training import train

    _execute(call)
    options = dict(call.options)
    if options["checkpoint"] is not None and options["resilience"] == "none":
        options["resilience"] = "checkpoint"
    model, data = (_named(call, argument) for argument in call.arguments)
    model = _as_model(model, call.arguments[0])
    names = call.scope.notebook
    options["resume"] = _folder(options["resume"], names)
    options |= {name: names[name] for name in OPTIONAL if names.get(name) is not None}
    loss, optimizer = names.get("loss"), names.get("optimizer")
    if loss is None:
        import torch

        loss = torch.nn.functional.cross_entropy
    live.preparing(
        f"{call.arguments[0].value if isinstance(call.arguments[0].value, str) else 'The model'} is "
        "profiled, its stages are planned, workers are made ready ..."
    )
    found = train(model, data, loss, _sgd if optimizer is None else optimizer, **options)
    if call.out is None:
        names[NAME] = found
    return found


def _execute(call: Call) -> None:
    """Run the cell's body in the notebook's name space."""
    __tracebackhide__ = True
    if not call.has_body:
        return
    shell = display._shell()

    def make(source: str, filename: str) -> CodeType:
        tree = shell.transform_ast(ast.parse(source, filename))
        return compile(tree, filename, "exec", dont_inherit=True)

    exec(compiled(shell, call.body, make), shell.user_ns)


def _named(call: Call, argument: Argument) -> Any:
    """Return what an argument stands for: an object by reference, or the value of a name."""
    if argument.referred or not isinstance(argument.value, str):
        return argument.value
    return call.scope.lookup(argument.value)


def _as_model(value: Any, argument: Argument) -> Any:
    import torch

    if not isinstance(value, torch.nn.Module) and callable(value):
        value = value()
    if not isinstance(value, torch.nn.Module):
        raise WorkbenchError(
            f"{argument.value} is a {type(value).__name__}, not a torch.nn.Module or a function that gives one.",
            SPEC.first_line,
        )
    return value


def _folder(text: str | None, names: Mapping[str, Any]) -> Any:
    """Return the folder that a word stands for: the value of a name, where there is no folder of that name."""
    if text is None or os.path.exists(text):
        return text
    known = names.get(text)
    return known if isinstance(known, (str, os.PathLike)) else text


def _sgd(parameters: Any) -> Any:
    import torch

    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9)


def _joined(line: str) -> str:
    """Return the line with its target as one word: blanks may stand around the sign."""
    return re.sub(r"(--target[ =]+[\"']?[^\W\d]\w*)\s*(>=|<=)\s*(?=\S)", r"\1\2", line, count=1)


SPEC = MagicSpec(
    name="pipeline",
    summary="Train a torch model as a pipeline over workers: planned, scheduled and shown as it goes.",
    call=run,
    example=EXAMPLE,
    positionals=(
        Positional(
            "MODEL", "a module, or a function that gives one", "a name: a torch.nn.Module, or a function giving one"
        ),
        Positional("DATA", "(X, y), a Dataset or a DataLoader", "a name: (X, y), a map-style Dataset, or a DataLoader"),
    ),
    options=OPTIONS,
    body="optional",
    kinds=("line", "cell"),
    requires={"torch": "train"},
    prepare=_joined,
    notes=NOTES,
    again="The model holds the weights of the last commit.",
)
