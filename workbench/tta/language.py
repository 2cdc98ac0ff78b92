"""The first line of `%%tta`: `METRIC>=TARGET [options]`, checked at once, with errors that say the fix. Pure."""

from __future__ import annotations

import ast
import hashlib
import keyword
import math
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workbench.engine.errors import WorkbenchError, suggest
from workbench.engine.units import parse_quantity
from workbench.tta.dawnbench_rules import RULES
from workbench.tta.record import CLOCKS
from workbench.tta.target import GOALS, Target, bad_target

__all__ = ["OPTIONS", "TASKS", "USAGE", "Request", "Task", "check_task", "parse_line", "recipe_name"]


@dataclass(frozen=True)
class Task:
    """What is known of a named task.

    Attributes
    ----------
    name : str
    eval_count : int or None
        Items of its evaluation set.
    metric : str
        Its official metric, under which it is exported.
    threshold : float
        The official one; it is never taken for the target.
    """

    name: str
    eval_count: int | None
    metric: str
    threshold: float


TASKS = {rule.task: Task(rule.task, rule.items, rule.metric, rule.threshold) for rule in RULES.values()}

_EXAMPLE = "%%tta top1>=97 --stop --confirm 2"

USAGE = """\
%%tta METRIC>=TARGET [--goal max|min] [--task NAME] [--clock dawnbench|mlperf|algoperf|wall] [--price USD_PER_HOUR]
      [--stop] [--confirm K] [--max-cost USD] [--max-time T] [--name RECIPE] [-o NAME]"""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the first line asks for.

    Attributes
    ----------
    metric, target, goal
        The target; `goal` is `"max"` for `>=`, `"min"` for `<=`.
    task, clock, price, stop, confirm, max_cost, max_time, name
        As for `Tracker`; `max_time` is in seconds. None, or the default of `Tracker`, where it was not given.
    out : str or None
        The name that the run is bound to.
    quiet, help : bool
    """

    metric: str
    target: float
    goal: str
    task: str | None = None
    clock: str = "dawnbench"
    price: float | None = None
    stop: bool = False
    confirm: int = 1
    max_cost: float | None = None
    max_time: float | None = None
    name: str | None = None
    out: str | None = None
    quiet: bool = False
    help: bool = False

    def arguments(self, cell: str) -> dict[str, Any]:
        """Return the keyword arguments of the `Tracker` of a cell with this body."""
        import datetime as dt

        limit = None if self.max_time is None else dt.timedelta(seconds=self.max_time)
        return {
            "name": recipe_name(cell) if self.name is None else self.name,
            "target": {self.metric: self.target},
            "goal": self.goal, "task": self.task, "clock": self.clock, "price": self.price, "stop": self.stop,
            "confirm": self.confirm, "max_cost": self.max_cost, "max_time": limit,
        }  # fmt: skip


_TARGET = re.compile(r"\s*([^\W\d]\w*)\s*(>=|<=)\s*(\S+)", re.UNICODE)


def parse_line(line: str) -> Request:
    """Read the first line of a cell, with or without its `%%tta`.

    Raises
    ------
    WorkbenchError
        The two lines of what is wrong with it.
    """
    line = re.sub(r"\A\s*%%tta\b", "", line)
    if re.match(r"\s*(-h|--help)(\s|\Z)", line):
        return Request(metric="", target=math.nan, goal="max", help=True)
    found = _TARGET.match(line)
    if found is None:
        # options may stand before the target as well
        return _anywhere(line)
    return _request(found, line[found.end() :])


def recipe_name(cell: str) -> str:
    """Return the recipe of a cell without `--name`: equal for the same code, whatever its comments and layout.

    Parameters
    ----------
    cell : str
        Python, as IPython has transformed it.

    Raises
    ------
    SyntaxError
    """
    code = ast.unparse(ast.parse(cell))
    return f"cell-{hashlib.sha256(code.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def check_task(task: Any) -> str | None:
    """Return a task's name, None for none; an official one in other letters is an error, any other name is free."""
    if task is None:
        return None
    if not isinstance(task, str) or not task.strip():
        raise WorkbenchError(f"The task is a name, not {task!r}.", f"Known: {', '.join(TASKS)}; or a name of your own.")
    plain = {re.sub(r"[\W_]", "", name).lower(): name for name in TASKS}
    official = plain.get(re.sub(r"[\W_]", "", task).lower())
    if official is not None and official != task:
        raise WorkbenchError(f"No task {task}.", f"Did you mean {official}?")
    return task


# -------------------------------------------------------------------------------------------------------- the options


def _usd(text: str) -> float:
    quantity = parse_quantity(text)
    value = quantity.value if quantity is not None and text.startswith("$") else _float(text)
    return value


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _above_zero(text: str) -> float:
    if (value := _usd(text)) <= 0:
        raise ValueError(text)
    return value


def _count(text: str) -> int:
    if not re.fullmatch(r"\+?\d+", text) or int(text) < 1:
        raise ValueError(text)
    return int(text)


def _duration(text: str) -> float:
    quantity = parse_quantity(text)
    if quantity is None and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text):
        raise WorkbenchError(f"--max-time {text} has no unit.", f"Write {text}s, {text}min or {text}h.")
    if quantity is None or str(quantity.dimension) != "s" or not quantity.value > 0:
        raise ValueError(text)
    return quantity.value


def _clock(text: str) -> str:
    if text not in CLOCKS:
        raise WorkbenchError(f'No clock "{text}".', suggest(text, CLOCKS, f"Known: {', '.join(CLOCKS)}.", quote='"{}"'))
    return text


def _goal(text: str) -> str:
    if text not in GOALS:
        raise ValueError(text)
    return text


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError(text)
    return text


def _variable(text: str) -> str:
    if not text.isidentifier() or keyword.iskeyword(text):
        raise WorkbenchError(f'-o needs a variable name; got "{text}".', "Example: -o run")
    return text


@dataclass(frozen=True)
class _Option:
    """An option: the field it sets, how its value is read (None: a flag), what it is, and an example."""

    field: str
    convert: Callable[[str], Any] | None = None
    says: str = ""
    example: str = ""


OPTIONS = {
    "--goal": _Option("goal", _goal, "max or min", "min"),
    "--task": _Option("task", check_task, "a name", "CIFAR10"),
    "--clock": _Option("clock", _clock, "a clock", "wall"),
    "--price": _Option("price", _usd, "USD per hour of the whole cluster", "3.06"),
    "--stop": _Option("stop"),
    "--confirm": _Option("confirm", _count, "a whole number from 1", "2"),
    "--max-cost": _Option("max_cost", _above_zero, "a number of USD above 0", "5"),
    "--max-time": _Option("max_time", _duration, "a time above 0", "20min"),
    "--name": _Option("name", _text, "a name", "digits-cnn"),
    "--out": _Option("out", _variable, "a variable name", "run"),
    "--quiet": _Option("quiet"),
    "--help": _Option("help"),
}
_SHORT = {"-o": "--out", "-q": "--quiet", "-h": "--help"}


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        what = "A quote is not closed." if "quotation" in str(error) else "A backslash ends the line."
        raise WorkbenchError(what, f"Example: {_EXAMPLE}") from None


def _anywhere(line: str) -> Request:
    """Read a line whose options stand before its target, or that has no target."""
    words = _words(line)
    place = 0
    while place < len(words) and words[place].startswith("-"):
        name, equals, _ = words[place].partition("=")
        option = OPTIONS.get(_SHORT.get(name, name))
        if option is None:
            raise _unknown(name)
        place += 1 if equals or option.convert is None else 2
    for stop in range(place + 1, min(place + 3, len(words)) + 1):
        if (found := _TARGET.fullmatch(" ".join(words[place:stop]))) is not None:
            return _request(found, shlex.join(words[:place] + words[stop:]))
    if _SHORT.keys() & set(words[:place]) & {"-h"} or "--help" in words[:place]:
        return Request(metric="", target=math.nan, goal="max", help=True)
    rest = " ".join(words[place:])
    error = bad_target(rest.split(" --")[0])
    if (near := re.match(r"\s*([^\W\d]\w*)\s*(?:=?>|=?<|==?|=<)\s*([\d.]\S*)", rest)) is not None:
        sign = "<=" if "<" in rest[: near.end()] else ">="
        error = WorkbenchError(error.message, f"{error.hint} Write {near[1]}{sign}{near[2]}.")
    elif not rest:
        error = WorkbenchError(error.message, f"Example: {_EXAMPLE}")
    raise error


def _request(found: re.Match[str], rest: str) -> Request:
    metric, sign, number = found[1], found[2], found[3]
    try:
        value = float(number)
    except ValueError:
        raise WorkbenchError(bad_target(None).message, f"Found {metric}{sign}{number}.") from None
    goal = "max" if sign == ">=" else "min"
    if keyword.iskeyword(metric):
        raise WorkbenchError(bad_target(None).message, f"{metric} is a word of Python, so it cannot be logged.")
    target = Target.of({metric: value}, goal)
    given = _options(_words(rest))
    if given.get("goal", goal) != goal:
        other = "<=" if sign == ">=" else ">="
        raise WorkbenchError(
            f"{metric}{sign}{number} means goal {goal}, but --goal says {given['goal']}.",
            f"Drop --goal, or write {metric}{other}{number}.",
        )
    return Request(**{**given, "metric": metric, "target": target.value, "goal": goal})


def _options(words: list[str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    todo = list(reversed(words))
    while todo:
        word = todo.pop()
        if not re.match(r"-[^\W\d]|--", word):
            raise WorkbenchError(f'%%tta does not take "{word}".', f"Example: {_EXAMPLE}")
        name, equals, value = word.partition("=")
        if not name.startswith("--") and len(name) > 2 and name[:2] in _SHORT:
            option = OPTIONS[_SHORT[name[:2]]]
            if option.convert is None:  # -qh
                todo.append(f"-{word[2:]}")
                name, equals, value = word[:2], "", ""
            elif f"-{name}" not in OPTIONS:  # -orun; `-out` is no `-o ut`
                name, equals, value = word[:2], "=", word[2:]
        if name in ("-b", "--background"):
            raise WorkbenchError(
                "%%tta cannot run in the background: its body runs in this notebook.", "Drop --background."
            )
        option_or_none = OPTIONS.get(_SHORT.get(name, name))
        if option_or_none is None:
            raise _unknown(name)
        option = option_or_none
        if option.field in given:
            raise WorkbenchError(f"{name} stands twice.", f"Example: {_EXAMPLE}")
        if option.convert is None:
            if equals:
                raise WorkbenchError(f"{name} takes no value.", f"Write {name} alone.")
            given[option.field] = True
            continue
        if not equals:
            if not todo or re.match(r"--?[^\W\d]", todo[-1]):
                raise WorkbenchError(f"{name} needs a value.", f"Example: {name} {option.example}")
            value = todo.pop()
        try:
            given[option.field] = option.convert(value)
        except (ValueError, OverflowError):
            raise WorkbenchError(
                f'{name} is {option.says}; got "{value}".', f"Example: {name} {option.example}"
            ) from None
    return given


def _unknown(name: str) -> WorkbenchError:
    near = suggest(name.lstrip("-"), [option[2:] for option in OPTIONS], "", quote="--{}")
    return WorkbenchError(f"No option {name}.", near or "%%tta --help lists all options.")
