"""The spans of a run under way: opened and closed on any thread, and read on any clock at once."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from workbench.engine.errors import WorkbenchError, suggest
from workbench.tta.clock import BESIDE, KINDS, LEFT_OUT, SETUP, SETUP_NS, Span

__all__ = ["Open", "SpanLog", "check_kind"]


def check_kind(kind: Any) -> str:
    """Return a kind of span; another is an error."""
    if kind not in KINDS:
        known = f"Known: {', '.join(KINDS)}."
        raise WorkbenchError(f'No kind of span "{kind}".', suggest(str(kind), KINDS, known, quote='"{}"'))
    return str(kind)


@dataclass(slots=True, eq=False)
class Open:
    """A span that is open: `read` is the clock of the run when an evaluation began."""

    kind: str
    start: int
    depth: int
    thread: int
    read: int = 0
    closed: bool = False


class SpanLog:
    """Spans in nanoseconds since the start of the run, and the run's clock without going through them again.

    The clocks follow one thread at a time: the one that has spans open. Spans that another thread opens meanwhile are
    kept, but no clock stops for work that goes on beside.

    Parameters
    ----------
    clock : str
        The run's.
    """

    def __init__(self, clock: str) -> None:
        self.clock = clock
        #: grows with each edge
        self.version = 0
        self._lock = threading.RLock()
        self._closed: list[Span] = []
        self._stack: list[Open] = []
        self._beside: dict[int, list[Open]] = {}
        self._edges: list[tuple[int, str, str, str]] = []  # time, what opened, what closed, the innermost from then
        self._seen_eval: int | None = None
        self._reset()

    # on any thread

    def open(self, kind: str, now: int) -> Open:
        """Open a span."""
        thread = threading.get_ident()
        with self._lock:
            self.version += 1
            if self._stack and self._stack[0].thread != thread:
                span = Open(kind, now, BESIDE, thread)
                self._beside.setdefault(thread, []).append(span)
                return span
            span = Open(kind, now, len(self._stack), thread)
            if kind == "eval":
                span.read = self._read(self.clock, now)
            self._stack.append(span)
            self._edge(now, kind, "", kind)
            return span

    def close(self, span: Open, now: int) -> list[Span]:
        """Close a span and those left open inside; return the rows of those that were open, inner ones first."""
        with self._lock:
            if span.closed:
                return []
            self.version += 1
            stack = self._stack if span.depth != BESIDE else self._beside.get(span.thread, [])
            rows = []
            while stack:
                inner = stack.pop()
                inner.closed = True
                rows.append((inner.kind, inner.start, max(now, inner.start), inner.depth))
                if inner.depth != BESIDE:
                    self._edge(now, "", inner.kind, stack[-1].kind if stack else "")
                if inner is span:
                    break
            self._closed += rows
            return rows

    def close_all(self, now: int) -> list[Span]:
        """Close what is open, when the run ends."""
        with self._lock:
            outermost = [stack[0] for stack in (self._stack, *self._beside.values()) if stack]
            return [row for span in outermost for row in self.close(span, now)]

    def evaluated(self, now: int, span: Open | None = None) -> int:
        """Return the clock of an evaluation whose call ends now.

        Parameters
        ----------
        now : int
        span : Open, optional
            The `eval` span it was made in, if that has just been closed.
        """
        with self._lock:
            if self._seen_eval is None:
                self._seen_eval = now
                self._at_first_eval(now)
            if self.clock in ("dawnbench", "algoperf"):
                if span is None or span.depth == BESIDE:
                    span = next((each for each in reversed(self._stack) if each.kind == "eval"), None)
                if span is not None:
                    return span.read
            return self._read(self.clock, now)

    @property
    def in_eval(self) -> bool:
        """Whether an `eval` span is open on this thread."""
        thread = threading.get_ident()
        with self._lock:
            own = self._stack if self._stack and self._stack[0].thread == thread else self._beside.get(thread, ())
            return any(span.kind == "eval" for span in own)

    def read(self, now: int, clock: str | None = None) -> int:
        """Return a clock, the run's by default."""
        with self._lock:
            return self._read(clock or self.clock, now)

    def spans(self, now: int) -> list[Span]:
        """Return all spans; those that are open end now."""
        with self._lock:
            under_way = [span for stack in (self._stack, *self._beside.values()) for span in stack]
            return self._closed + [(span.kind, span.start, max(now, span.start), span.depth) for span in under_way]

    def spent(self, now: int) -> dict[str, int]:
        """Return the nanoseconds of each kind of work so far, `""` for that without a span."""
        with self._lock:
            found = dict(self._by_kind)
            found[self._top] = found.get(self._top, 0) + max(now - self._last, 0)
            return found

    def join(self, offset: int, earlier: Iterable[Span], first_eval: int | None) -> None:
        """Put earlier attempts before this one, whose start is now `offset` nanoseconds after the run's."""
        with self._lock:
            self.version += 1
            moved = [(time + offset, opened, closed, top) for time, opened, closed, top in self._edges]
            self._closed = list(earlier) + [(kind, a + offset, b + offset, depth) for kind, a, b, depth in self._closed]
            for stack in (self._stack, *self._beside.values()):
                for span in stack:
                    span.start += offset
            seen = self._seen_eval
            self._seen_eval = first_eval if first_eval is not None else None if seen is None else seen + offset
            self._reset()
            before = [edge for edge in _edges(earlier) if edge[0] <= offset]
            self._edges = []
            for edge in before + moved:
                if self._seen_eval is not None and edge[0] > self._seen_eval and not self._first_eval_told:
                    self._at_first_eval(self._seen_eval)
                self._edge(*edge)
                if edge[1] == "eval":
                    for span in self._stack:
                        if span.kind == "eval" and span.start == edge[0]:
                            span.read = self._read(self.clock, edge[0])
            if self._seen_eval is not None:  # after the last edge
                self._at_first_eval(self._seen_eval)

    # below: sums up to the last edge

    def _reset(self) -> None:
        self._last, self._top = 0, ""
        self._by_kind: dict[str, int] = {}
        self._left_out = 0
        self._setup = 0  # what `mlperf` forgives, fixed at the first training
        self._setup_end: int | None = None
        self._zero, self._zero_left_out = 0, 0  # where `algoperf` starts
        self._next_zero: tuple[int, int] | None = None  # an `init` after the first evaluation, if training is to come
        self._trains = False
        self._first_eval_told = False
        self._setup_at_eval: int | None = None

    def _edge(self, now: int, opened: str, closed: str, top: str) -> None:
        self._edges.append((now, opened, closed, top))
        passed = max(now - self._last, 0)
        self._by_kind[self._top] = self._by_kind.get(self._top, 0) + passed
        if self._top in LEFT_OUT:
            self._left_out += passed
        if self._top in SETUP:
            self._setup += passed
        self._last, self._top = max(now, self._last), top
        if opened in ("data", "train") and self._setup_end is None:
            self._setup_end = self._setup
        if opened == "eval" and not self._first_eval_told:
            self._at_first_eval(now)
        if opened == "train" and not self._trains:
            self._trains = True
            if self._next_zero is not None:
                self._zero, self._zero_left_out = self._next_zero
        if closed == "init" and not self._trains:
            zero = (now, self._left_out)
            if self._first_eval_told:
                self._next_zero = zero
            else:
                self._zero, self._zero_left_out = zero

    def _at_first_eval(self, now: int) -> None:
        if not self._first_eval_told:
            self._first_eval_told = True
            self._setup_at_eval = self._setup + (max(now - self._last, 0) if self._top in SETUP else 0)

    def _read(self, clock: str, now: int) -> int:
        passed = max(now - self._last, 0)
        if clock == "wall":
            return now
        if clock == "mlperf":
            setup = self._setup_end
            if setup is None:
                setup = self._setup_at_eval
            if setup is None:
                setup = self._setup + (passed if self._top in SETUP else 0)
            return now - min(setup, SETUP_NS)
        left_out = self._left_out + (passed if self._top in LEFT_OUT else 0)
        if clock == "dawnbench":
            return now - left_out
        return max(now - self._zero - (left_out - self._zero_left_out), 0)


def _edges(spans: Iterable[Span]) -> list[tuple[int, str, str, str]]:
    """Return the edges of closed spans, as they came."""
    edges: list[tuple[int, str, str, str]] = []
    stack: list[tuple[str, int]] = []

    def close(until: int | None) -> None:
        while stack and (until is None or stack[-1][1] <= until):
            kind, end = stack.pop()
            edges.append((end, "", kind, stack[-1][0] if stack else ""))

    owned = (span for span in spans if span[3] != BESIDE)
    # Of two at one depth that begin at once, the one that took no time came first.
    for kind, start, end, _ in sorted(owned, key=lambda span: (span[1], span[3], span[2])):
        close(start)
        stack.append((kind, min(end, stack[-1][1]) if stack else end))
        edges.append((start, kind, "", kind))
    close(None)
    return edges
