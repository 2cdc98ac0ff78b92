"""The rules of DAWNBench: each task's metric, threshold, columns and evaluation count, and what a problem is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from workbench.engine.errors import WorkbenchError, suggest

__all__ = ["KINDS", "METRIC_COLUMNS", "RULES", "Problem", "Rule", "rule_of", "sorted_problems", "task_of"]

KINDS = ("train", "inference")

#: a metric's name in the files -> its column in tables
METRIC_COLUMNS = {"top1Accuracy": "top1_accuracy", "top5Accuracy": "top5_accuracy", "f1Score": "f1_score"}


@dataclass(frozen=True)
class Rule:
    """What DAWNBench asks of one task."""

    task: str
    #: the metric judged, and the least value of it
    metric: str
    threshold: float
    #: all metrics of a training TSV
    metrics: tuple[str, ...]
    #: the most a metric can be: 100 for percent, 1 for a fraction
    top: float
    #: items that an evaluation must judge
    items: int | None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a training TSV."""
        return ("epoch", "hours", *self.metrics)


RULES = {
    rule.task: rule
    for rule in (
        Rule("CIFAR10", "top1Accuracy", 94.0, ("top1Accuracy",), 100.0, 10_000),
        Rule("ImageNet", "top5Accuracy", 93.0, ("top1Accuracy", "top5Accuracy"), 100.0, 50_000),
        # the README of the collection says 0.73, its checks and its site 0.75
        Rule("SQuAD", "f1Score", 0.75, ("f1Score",), 1.0, None),
    )
}


@dataclass(frozen=True)
class Problem:
    """Something wrong with a DAWNBench entry.

    Parameters
    ----------
    severity : {"error", "warning"}
    code : str
        Such as `time_order`.
    path : str
        Of the file, relative to what was read, with `/`.
    row : int, optional
        1 is the first data row.
    message, fix : str
    """

    severity: str
    code: str
    path: str
    row: int | None
    message: str
    fix: str

    def __str__(self) -> str:
        return f"{self.message}\n{self.fix}" if self.fix else self.message


def sorted_problems(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems by path, row (a whole file first) and code."""
    return sorted(problems, key=lambda p: (p.path, p.row or 0, p.code))


def rule_of(task: str) -> Rule:
    """Return the rule of a task; another name is an error."""
    if task not in RULES:
        raise WorkbenchError(
            f"No task {task}.", suggest(str(task), RULES, f"The tasks are {', '.join(RULES)}.", quote="{}")
        )
    return RULES[task]


def task_of(names: Iterable[str]) -> str | None:
    """Return the task that metric columns or fields tell, None if they tell none."""
    known = set(names)
    if "f1Score" in known:
        return "SQuAD"
    if "top5Accuracy" in known:
        return "ImageNet"
    return "CIFAR10" if "top1Accuracy" in known else None
