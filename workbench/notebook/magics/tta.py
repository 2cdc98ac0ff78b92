"""`%%tta`: watch a training cell, and say how long it took to its target."""

from __future__ import annotations

import ast
import contextlib
import re
import shlex
from collections.abc import Iterator
from types import CodeType
from typing import TYPE_CHECKING, Any

from workbench.engine.errors import Stopped, one_line
from workbench.notebook import display, live
from workbench.notebook.magics.base import Call, MagicSpec, Option, Positional
from workbench.notebook.magics.python import compiled
from workbench.notebook.magics.running import bind

if TYPE_CHECKING:
    from workbench.tta.language import Request

__all__ = ["CLOCKS", "NAME", "OPTIONS", "SPEC", "TASKS"]

EXAMPLE = """%%tta top1>=97 --stop --confirm 2 --name digits-cnn -o run
tta.plan(steps=15, schedule="onecycle-15")
for epoch in range(15):
    train_one_epoch(net)
    tta.eval(step=epoch, n=300, top1=lambda: accuracy(net, val))"""
#: the name that stands for the tracker in the cell
NAME = "tta"
#: those of `workbench.tta`, which a completion must not import; a test holds them together
CLOCKS = ("dawnbench", "mlperf", "algoperf", "wall")
TASKS = ("CIFAR10", "ImageNet", "SQuAD")
OPTIONS = (
    Option("goal", "max or min; >= means max, <= means min", metavar="GOAL", choices=lambda: ("max", "min")),
    Option("task", f"{', '.join(TASKS)}, or a name; never changes the target", metavar="NAME", choices=lambda: TASKS),
    Option("clock", ", ".join(CLOCKS), metavar="NAME", choices=lambda: CLOCKS),
    Option("price", "USD per hour of the whole cluster", metavar="USD"),
    Option("stop", "leave the cell at the target", kind="flag"),
    Option("confirm", "evaluations in a row that confirm it", metavar="K"),
    Option("max-cost", "leave the cell when that is spent", metavar="USD"),
    Option("max-time", "leave the cell after 90s, 20min or 1.5h", metavar="T"),
    Option("name", "the recipe; by default told from the code, so that an unchanged cell has a history",
           metavar="RECIPE"),
)  # fmt: skip


def run(call: Call) -> Any:
    """Train: run the cell with a tracker named `tta`, show it live, and return its `Run`."""
    __tracebackhide__ = True
    from workbench.tta.tracker import Tracker

    request = _request(call)
    shell = display._shell()

    def make(source: str, filename: str) -> tuple[CodeType, str]:
        tree = shell.transform_ast(ast.parse(source, filename))
        return compile(tree, filename, "exec", dont_inherit=True), source

    code, recipe = compiled(shell, call.body, make)
    arguments = request.arguments(recipe)
    if not isinstance(call.options["price"], (str, type(None))):
        arguments["price"] = call.options["price"]  # `--price {price}`: the object, with its kind and date
    return _Cell(call, Tracker(**arguments), arguments["name"], request).run(shell, code)


def _joined(line: str) -> str:
    """Return the line with its target as one word: blanks may stand around the sign."""
    return re.sub(r"([^\W\d]\w*)\s*(>=|<=)\s*(?=\S)", r"\1\2", line, count=1)


def _request(call: Call) -> Request:
    """Return what the line asks for; references are values by now."""
    from workbench.tta.language import parse_line

    words = [str(call.arguments[0].value)]
    for option in OPTIONS:
        value = call.options[option.key]
        if option.kind == "flag":
            words += [f"--{option.name}"] if value else []
        elif value is not None and (isinstance(value, str) or option.name != "price"):
            words.append(shlex.quote(f"--{option.name}={value}"))
    return parse_line(" ".join(words))


class _Cell:
    """A training cell that runs: bound and shown however it ends.

    All that takes time (modules, earlier runs, the record) is there before the clocks of the tracker start.
    """

    def __init__(self, call: Call, tracker: Any, name: str, request: Request) -> None:
        from workbench.notebook.live_curve import LiveCurve
        from workbench.tta.live_state import LiveState, earlier_runs

        self.call, self.tracker = call, tracker
        self.warnings: list[Any] = []
        self.earlier = earlier_runs(name, request.metric)
        sign = ">=" if request.goal == "max" else "<="
        self.view = LiveCurve(
            f"{name}: {request.metric} {sign} {request.target:g}",
            LiveState(tracker, self.earlier),
            lambda: _progress(tracker),
            tracker.stop,
            quiet=call.quiet,
        )

    def run(self, shell: Any, code: CodeType) -> Any:
        """Run the code in the notebook's name space."""
        __tracebackhide__ = True
        try:
            with (
                live.attended("call", self.call.quiet) as holder,
                _named(shell.user_ns, self.tracker),
                self.tracker,
            ):
                self.warnings = holder.warnings
                self.view.start()
                exec(code, shell.user_ns)
        except KeyboardInterrupt:
            raise self._stopped(shell) from None
        except BaseException as error:
            self._end(shell, "failed", one_line(error), "error")
            raise
        if self.view.cancelled:
            raise self._stopped(shell)
        return self._end(shell, "finished")

    def _end(self, shell: Any, state: Any, note: str = "", level: str = "warning") -> Any:
        """Bind and show the run, and what was warned of that it does not say itself."""
        if not self.view.started:  # the tracker could not begin
            self.view.finish(None, state)
            return None
        result = self.tracker.run
        result.earlier = self.earlier
        bind(shell, self.call.out, result)
        self.view.finish(result, state, note=note, level=level)
        said = "\n".join(result.warnings)
        for warning in self.warnings:
            if warning.message not in said:
                display.message(str(warning), "warning")
        if not self.call.quiet:
            display.mark_shown(result)
        elif state != "finished":
            display.one_line(result)
        return result

    def _stopped(self, shell: Any) -> Stopped:
        """Return the error that stops Run All; what was logged is shown, and bound."""
        done, total = _progress(self.tracker)
        place = f" at step {done:,.0f}" + (f" of {total:,.0f}" if total else "") if done else ""
        kept = f"kept in {self.call.out}" if self.call.out else "shown above"
        line = f"Stopped{place}; what was logged is {kept}."
        result = self._end(shell, "cancelled", line)
        return Stopped(line, "Run the cell again for a new run.", result=result)


def _progress(tracker: Any) -> tuple[float, float | None]:
    """Return the last step and the planned ones."""
    return float(max(0, tracker.status.step)), tracker.run.steps


@contextlib.contextmanager
def _named(names: dict[str, Any], tracker: Any) -> Iterator[None]:
    """Let the tracker be called `tta`; an earlier value of that name comes back."""
    missing = object()
    before = names.get(NAME, missing)
    names[NAME] = tracker
    try:
        yield
    finally:
        if before is missing:
            names.pop(NAME, None)
        else:
            names[NAME] = before


SPEC = MagicSpec(
    name="tta",
    summary="Watch a training cell: accuracy against time, cost, and when the target was reached.",
    call=run,
    example=EXAMPLE,
    positionals=(
        Positional(
            "METRIC>=TARGET", "what is to be reached, such as top1>=97 or val_loss<=0.1",
            "a metric that the cell logs, >= or <=, and a number; the cell logs with the tracker named tta",
        ),
    ),
    options=OPTIONS,
    background=False,
    prepare=_joined,
)  # fmt: skip
