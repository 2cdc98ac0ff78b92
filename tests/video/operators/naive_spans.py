"""The reference's intervals, and what joins, cuts and chains them; in plain Python."""

from __future__ import annotations

from dataclasses import dataclass

from tests.video.operators.naive_objects import EPS


@dataclass(frozen=True)
class Span:
    """An interval: its bounds, and the positions of its first and last true frame."""

    start: float
    end: float
    first: int
    last: int


def join(spans: list[Span], gap: float) -> list[Span]:
    result: list[Span] = []
    for span in spans:
        if result and span.start - result[-1].end <= gap + EPS:
            before = result[-1]
            last = max(before.last, span.last)
            result[-1] = Span(before.start, max(before.end, span.end), min(before.first, span.first), last)
        else:
            result.append(span)
    return result


def intersect(left: list[Span], right: list[Span]) -> list[Span]:
    result = []
    for a in left:
        for b in right:
            begin, end = max(a, b, key=lambda s: s.start), min(a, b, key=lambda s: s.end)
            if end.end - begin.start > EPS:
                result.append(Span(begin.start, end.end, begin.first, end.last))
    return sorted(set(result), key=lambda span: (span.start, span.end))


def unite(spans: list[Span]) -> list[Span]:
    return join(sorted(spans, key=lambda span: span.start), 0.0)


def chain(steps: list[list[Span]], within: float | None) -> list[Span]:
    result = []
    for last in steps[-1]:
        now: Span | None = last
        for earlier in reversed(steps[:-1]):
            assert now is not None
            ended = [span for span in earlier if span.end <= now.start + EPS]
            now = max(ended, key=lambda span: (span.end, span.start), default=None)
            if now is None:
                break
        if now is not None and (within is None or last.start - now.end <= within + EPS):
            result.append(Span(now.start, last.end, now.first, last.last))
    return sorted(set(result), key=lambda span: (span.start, span.end))
