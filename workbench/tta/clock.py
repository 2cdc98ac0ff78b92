"""The four clocks, computed from one log of spans in monotonic nanoseconds. Pure.

Of nested spans the innermost one counts, and time without a span is training time. A span is a tuple `(kind, start_ns,
end_ns, depth)`; those of depth -1, of a thread beside the one whose spans are the clocks', count for none.

=============  ==========================================================================  ============================
clock          not counted                                                                 an evaluation's time
=============  ==========================================================================  ============================
`wall`         nothing                                                                     when the call ends
`dawnbench`    `eval`, `checkpoint`, `down`                                                start of its `eval` span
`mlperf`       `init` and `compile` before the first `data` or `train`, at most 1,800 s    when the call ends
`algoperf`     all before the end of the last `init` before the first `train`; `eval`,     start of its `eval` span
               `checkpoint`, `down`
=============  ==========================================================================  ============================

A log without a span of training is taken to train from its first evaluation on: a later `init` moves no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Ints = NDArray[np.int64]

__all__ = ["BESIDE", "DOWN", "KINDS", "SETUP_NS", "Span", "Timeline", "clock_seconds", "join_attempts", "span_columns"]

Span = tuple[str, int, int, int]

#: kinds of spans that a person opens, and the one between attempts
KINDS = ("init", "data", "compile", "warmup", "train", "eval", "checkpoint", "other")
DOWN = "down"
#: what is not the run's work, on clocks that leave it out
LEFT_OUT = ("eval", "checkpoint", DOWN)
#: `mlperf` forgives that much setting up
SETUP, SETUP_NS = ("init", "compile"), 1_800_000_000_000
#: depth of a span of a thread beside
BESIDE = -1


class Timeline:
    """Which kind of work went on when: edges in nanoseconds, and the kind of the innermost span from each on.

    Parameters
    ----------
    spans : iterable of (kind, start_ns, end_ns, depth)
        Properly nested, in any order; an inner span that ends after its outer one is cut there.
    """

    def __init__(self, spans: Iterable[Sequence[Any]]) -> None:
        #: in the order opened
        self.spans: list[Span] = sorted(
            ((str(kind), int(start), int(end), int(depth)) for kind, start, end, depth in spans if depth != BESIDE),
            key=lambda span: (span[1], span[3], -span[2]),
        )
        times, kinds = [0], [""]
        stack: list[tuple[str, int]] = []

        def close(until: int | None) -> None:
            while stack and (until is None or stack[-1][1] <= until):
                times.append(stack.pop()[1])
                kinds.append(stack[-1][0] if stack else "")

        for kind, start, end, _ in self.spans:
            close(start)
            stack.append((kind, min(end, stack[-1][1]) if stack else end))
            times.append(start)
            kinds.append(kind)
        close(None)
        self._times = np.array(times, np.int64)
        self._kinds = kinds

    def spent(self, kinds: Sequence[str], times: ArrayLike, since: int = 0, until: int | None = None) -> Ints:
        """Return the nanoseconds spent on these kinds of work up to each time, within a window."""
        asked = np.clip(np.asarray(times, np.int64), since, until)
        total = self._total(kinds)
        edge = np.searchsorted(self._times, asked, side="right") - 1
        inside = np.array([kind in kinds for kind in self._kinds])
        upto = total[edge] + np.where(inside[edge], asked - self._times[edge], 0)
        if since <= 0:
            return upto
        before: Ints = upto - self.spent(kinds, since)
        return before

    def _total(self, kinds: Sequence[str]) -> Ints:
        """Return the time spent on these kinds up to each edge."""
        inside = np.array([kind in kinds for kind in self._kinds[:-1]], dtype=np.int64)
        return np.concatenate(([0], np.cumsum(inside * np.diff(self._times)))).astype(np.int64)

    def began(self, kinds: Sequence[str]) -> int | None:
        """Return when the first span of these kinds began."""
        return min((start for kind, start, _, _ in self.spans if kind in kinds), default=None)

    def eval_starts(self, times: ArrayLike) -> Ints:
        """Return for each time the start of the innermost `eval` span it lies in or ends with, else the time itself."""
        asked = np.asarray(times, np.int64)
        order = np.argsort(asked, kind="stable")
        found, ordered = asked.copy(), asked[order]
        # of those that hold a time the innermost starts last, so later ones overwrite
        for kind, start, end, _ in self.spans:
            if kind == "eval":
                low, high = np.searchsorted(ordered, start, "left"), np.searchsorted(ordered, end, "right")
                found[order[low:high]] = start
        return found

    def read(self, clock: str, times: ArrayLike, first_eval: int | None = None) -> Ints:
        """Return a clock in nanoseconds at moments.

        Parameters
        ----------
        clock : {"wall", "dawnbench", "mlperf", "algoperf"}
        times : array-like of int
        first_eval : int, optional
            When the first evaluation was in.
        """
        asked = np.asarray(times, np.int64)
        if clock == "wall":
            return asked
        if clock == "dawnbench":
            return asked - self.spent(LEFT_OUT, asked)
        if clock == "mlperf":
            end = self._training_began(("data", "train"), first_eval)
            return asked - np.minimum(self.spent(SETUP, asked, until=end), SETUP_NS)
        zero = self._training_began(("train",), first_eval)
        start = max(
            (end for kind, _, end, _ in self.spans if kind == "init" and (zero is None or end <= zero)), default=0
        )
        since = np.maximum(asked, start)
        return since - start - self.spent(LEFT_OUT, since, since=start)

    def _training_began(self, kinds: Sequence[str], first_eval: int | None) -> int | None:
        began = self.began(kinds)
        if began is not None:
            return began
        evals = [moment for moment in (self.began(("eval",)), first_eval) if moment is not None]
        return min(evals, default=None)


def clock_seconds(spans: Iterable[Sequence[Any]] | Timeline, evals: ArrayLike, clock: str) -> NDArray[np.float64]:
    """Return the time of each evaluation on a clock.

    Parameters
    ----------
    spans : iterable of (kind, start_ns, end_ns, depth), or Timeline
    evals : array-like of int, (n,)
        When each evaluation's call ended, in nanoseconds since the start, in the order logged.
    clock : {"wall", "dawnbench", "mlperf", "algoperf"}

    Returns
    -------
    ndarray of float64, (n,)
        Seconds; they never go back.
    """
    line = spans if isinstance(spans, Timeline) else Timeline(spans)
    times = np.asarray(evals, np.int64).ravel()
    if not len(times):
        return np.empty(0, np.float64)
    asked = line.eval_starts(times) if clock in ("dawnbench", "algoperf") else times
    return np.maximum.accumulate(line.read(clock, asked, int(times.min()))) / 1e9


def join_attempts(
    attempts: Sequence[tuple[int, int, Iterable[Sequence[Any]]]],
) -> tuple[list[int], list[Span]]:
    """Put the attempts of a run on one axis of time.

    Parameters
    ----------
    attempts : sequence of (started_ns, last_ns, spans)
        Of each attempt, in order: its UTC anchor, the time of its last sign of life and its spans, both since its own
        start.

    Returns
    -------
    offsets : list of int
        To be added to the times of each attempt.
    spans : list of Span
        Of all attempts, with a `down` span between any two. A UTC clock that went back makes no time negative.
    """
    offsets: list[int] = []
    spans: list[Span] = []
    over = 0
    for number, (started, last, own) in enumerate(attempts):
        offset = max(started - attempts[0][0], over) if number else 0
        if offset > over:
            spans.append((DOWN, over, offset, 0))
        offsets.append(offset)
        spans += [(str(kind), int(start) + offset, int(end) + offset, int(depth)) for kind, start, end, depth in own]
        over = max(offset + int(last), over)
    return offsets, spans


def span_columns(spans: Iterable[Sequence[Any]]) -> dict[str, list[Any]]:
    """Return the columns of the table of spans: seconds on the wall clock, in the order opened.

    `seconds` is own time, without inner spans.
    """
    listed = sorted(
        ((str(kind), int(start), int(end), int(depth)) for kind, start, end, depth in spans),
        key=lambda span: (span[1], span[3], -span[2]),
    )
    own = [end - start for _, start, end, _ in listed]
    stack: list[int] = []
    for place, (_, start, end, depth) in enumerate(listed):
        if depth == BESIDE:
            continue
        while stack and listed[stack[-1]][2] <= start:
            stack.pop()
        if stack:
            own[stack[-1]] -= min(end, listed[stack[-1]][2]) - start
        stack.append(place)
    return {
        "kind": [span[0] for span in listed],
        "start_s": [span[1] / 1e9 for span in listed],
        "end_s": [span[2] / 1e9 for span in listed],
        "seconds": [time / 1e9 for time in own],
        "depth": [span[3] for span in listed],
    }
