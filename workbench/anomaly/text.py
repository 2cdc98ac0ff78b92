"""What an answer says in words: its header line, and what the metric is called."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from workbench.anomaly.drawing import cutoff_words
from workbench.engine.ranked import count

if TYPE_CHECKING:
    from workbench.anomaly.answer import Answer

__all__ = [
    "counted",
    "header",
    "headline",
    "measured_name",
    "missing_metrics",
    "on_score",
    "ratio_label",
    "seconds_words",
]

#: compare metric -> (header of its column, word before its figure)
RATIOS = {
    "risk_ratio": ("Risk ratio", "ratio"),
    "global_ratio": ("Global ratio", "ratio"),
    "prevalence_ratio": ("Prevalence ratio", "ratio"),
    "prevalence_difference": ("Prevalence difference", "difference"),
    "mean_shift": ("Mean shift", "mean shift"),
    "mean_deviation": ("Mean deviation", "deviation"),
}
_LONGEST = 80


def header(answer: Answer) -> str:
    """Return `1,000,000 rows, 10,000 outliers (1.00 %), latency > 150.2 or < 49.8, 0.05 s`."""
    parts = [counted(answer.n_rows, "row")]
    if answer.compare != "mean_deviation":
        share = f" ({100 * answer.n_outliers / answer.n_rows:.2f} %)" if answer.n_rows else ""
        parts.append(counted(answer.n_outliers, "outlier") + share)
    parts += [words for words in (_marked_by(answer),) if words]
    parts.append(seconds_words(answer.seconds))
    return ", ".join(parts)


def headline(answer: Answer) -> str:
    """Return the one line of `repr`."""
    found = counted(len(answer.order), "explanation")
    of = f" of {metric_name(answer)}" if answer.metric else ""
    return f"<Explanations: {found}{of}; {counted(answer.n_rows, 'row')}, {counted(answer.n_outliers, 'outlier')}>"


def metric_name(answer: Answer) -> str:
    """Return what is measured."""
    if isinstance(answer.metric, str):
        return answer.metric
    return ", ".join(answer.metric) if answer.metric else ""


def measured_name(answer: Answer) -> str:
    """Return what the cutoffs and the histogram are about."""
    return answer.measured_name or metric_name(answer)


def on_score(answer: Answer) -> bool:
    """Return whether the cutoff is one of the score, not of the metric."""
    cutoff = answer.cutoff
    return cutoff is not None and math.isnan(cutoff.low) and math.isnan(cutoff.high) and not math.isnan(cutoff.score)


def missing_metrics(answer: Answer) -> list[str]:
    """Return the metrics for whose absence rows were left out; empty if none were."""
    if not answer.n_left_out or answer.metric is None:
        return []
    return [answer.metric] if isinstance(answer.metric, str) else list(answer.metric)


def ratio_label(compare: str) -> tuple[str, str]:
    """Return the header of the compare metric's column, and the word before its figure."""
    return RATIOS.get(compare, (compare, "ratio"))


def seconds_words(seconds: float) -> str:
    """Write how long it took.

    >>> seconds_words(0.0512), seconds_words(12.34), seconds_words(0.001)
    ('0.05 s', '12 s', '0.01 s')
    """
    return f"{seconds:.0f} s" if seconds >= 9.995 else f"{max(seconds, 0.01):.2f} s"


def counted(n: float, noun: str) -> str:
    """Write a number of things."""
    return f"{count(n)} {noun}{'' if n == 1 else 's'}"


def _marked_by(answer: Answer) -> str:
    if answer.marked_by:
        text = " ".join(answer.marked_by.split())
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    score = on_score(answer)
    return cutoff_words(answer.cutoff, "score" if score else measured_name(answer), score)
