from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from workbench.tta.clock import DOWN, KINDS, SETUP_NS, Span, Timeline, clock_seconds, join_attempts, span_columns
from workbench.tta.spanlog import SpanLog

S = 1_000_000_000
CLOCKS = ("wall", "dawnbench", "mlperf", "algoperf")


def seconds(spans: list[tuple[str, float, float, int]], evals: list[float], clock: str) -> list[float]:
    exact = [(kind, round(a * S), round(b * S), depth) for kind, a, b, depth in spans]
    return clock_seconds(exact, [round(t * S) for t in evals], clock).tolist()


#: a run by hand: set up 10 s, data 5, compile 20, then two epochs of 30 s training, each judged for 7, and saved for 3
TRACE = [
    ("init", 0, 10, 0), ("data", 10, 15, 0), ("compile", 15, 35, 0), ("train", 35, 65, 0), ("eval", 65, 72, 0),
    ("checkpoint", 72, 75, 0), ("train", 75, 105, 0), ("eval", 105, 112, 0),
]  # fmt: skip


def test_c37_a_trace_by_hand_on_four_clocks() -> None:
    ends = [72.0, 112.0]
    assert seconds(TRACE, ends, "wall") == [72.0, 112.0]
    assert seconds(TRACE, ends, "dawnbench") == [65.0, 95.0]  # 105 less 7 of evaluation and 3 of saving
    assert seconds(TRACE, ends, "mlperf") == [62.0, 102.0]  # init is before the first data span, compile is not
    assert seconds(TRACE, ends, "algoperf") == [55.0, 85.0]  # from the end of init on


def test_c37_a_value_passed_inside_a_span_counts_from_its_start() -> None:
    inside = [71.0, 108.5]  # the call is inside of the `eval` span
    assert seconds(TRACE, inside, "dawnbench") == [65.0, 95.0] and seconds(TRACE, inside, "wall") == inside
    outside = [73.0]  # in the checkpoint: no `eval` span is its own
    assert seconds(TRACE, outside, "dawnbench") == [65.0]
    assert seconds([], [3.0, 4.0], "dawnbench") == [3.0, 4.0]  # without spans all time is training time


def test_c37_setting_up_is_forgiven_for_half_an_hour() -> None:
    slow = [("init", 0, 1000, 0), ("compile", 1000, 2500, 0), ("train", 2500, 2600, 0), ("eval", 2600, 2610, 0)]
    assert seconds(slow, [2610.0], "mlperf") == [810.0]
    # nested: data inside of init ends what is forgiven
    nested = [("init", 0, 100, 0), ("data", 40, 60, 1), ("train", 100, 200, 0)]
    assert seconds(nested, [200.0], "mlperf") == [160.0]


def test_c37_of_nested_spans_the_innermost_counts() -> None:
    spans = [("eval", 10, 30, 0), ("data", 12, 17, 1), ("train", 30, 40, 0)]
    assert seconds(spans, [30.0, 40.0], "dawnbench") == [10.0, 25.0]  # the data of an evaluation counts
    assert seconds(spans, [11.0], "dawnbench") == [10.0]


def test_a_late_init_moves_no_clock_of_a_run_without_training_spans() -> None:
    spans = [("init", 0, 10, 0), ("eval", 20, 25, 0), ("init", 100, 150, 0), ("eval", 200, 210, 0)]
    assert seconds(spans, [25.0, 210.0], "algoperf") == [10.0, 185.0]
    assert seconds(spans, [25.0, 210.0], "mlperf") == [15.0, 200.0]


def test_clocks_never_go_back() -> None:
    assert seconds(TRACE, [112.0, 72.0], "wall") == [112.0, 112.0]
    assert seconds(TRACE, [112.0, 72.0], "dawnbench") == [95.0, 95.0]
    assert len(clock_seconds(TRACE, [], "wall")) == 0


# -------------------------------------------------------------------------------------- random traces, tick by tick


@st.composite
def traces(draw: st.DrawFn, least: int = 0) -> tuple[list[Span], list[int]]:
    """Nested spans in small whole numbers, at least so far apart, and when evaluations were in."""
    spans: list[Span] = []
    stack: list[tuple[str, int]] = []
    now = 0
    evals = []
    for _ in range(draw(st.integers(0, 14))):
        now += draw(st.integers(least, 4))
        what = draw(st.sampled_from(["open", "open", "close", "eval"]))
        if what == "open" and len(stack) < 3:
            stack.append((draw(st.sampled_from(KINDS)), now))
        elif what == "close" and stack:
            kind, start = stack.pop()
            spans.append((kind, start, now, len(stack)))
        elif what == "eval":
            evals.append(now)
    while stack:
        now += draw(st.integers(least, 4))
        kind, start = stack.pop()
        spans.append((kind, start, now, len(stack)))
    return spans, evals


def kind_at(spans: list[Span], tick: int) -> str:
    """The innermost span during [tick, tick + 1)."""
    holding = [span for span in spans if span[1] <= tick < span[2]]
    return max(holding, key=lambda span: span[3])[0] if holding else ""


def by_ticks(spans: list[Span], evals: list[int], clock: str) -> list[int]:
    """The clocks as the table of the design tells them, a tick at a time."""
    train = min((s[1] for s in spans if s[0] == "train"), default=None)
    work = min((s[1] for s in spans if s[0] in ("train", "data")), default=None)
    first = min([s[1] for s in spans if s[0] == "eval"] + evals, default=None)
    train, work = first if train is None else train, first if work is None else work
    zero = max((s[2] for s in spans if s[0] == "init" and (train is None or s[2] <= train)), default=0)
    found: list[int] = []
    for end in evals:
        own = [s for s in spans if s[0] == "eval" and s[1] <= end <= s[2]]
        at = max(s[1] for s in own) if own and clock in ("dawnbench", "algoperf") else end
        total = 0
        for tick in range(at):
            kind = kind_at(spans, tick)
            if clock == "wall":
                total += 1
            elif clock == "mlperf":
                total += not (kind in ("init", "compile") and (work is None or tick < work))
            else:
                total += kind not in ("eval", "checkpoint") and (clock == "dawnbench" or tick >= zero)
        found.append(max(total, found[-1]) if found else total)
    return found


@settings(max_examples=150, deadline=None)
@given(traces())
def test_c37_clocks_equal_a_sum_of_ticks(trace: tuple[list[Span], list[int]]) -> None:
    spans, evals = trace
    for clock in CLOCKS:
        got = (clock_seconds(spans, evals, clock) * 1e9).round().astype(int).tolist()
        assert got == by_ticks(spans, evals, clock), clock


@settings(max_examples=150, deadline=None)
@given(traces(), st.sampled_from(CLOCKS))
def test_c37_the_clock_of_a_run_under_way_is_that_of_its_table(trace: tuple[list[Span], list[int]], clock: str) -> None:
    spans, evals = trace
    log = SpanLog(clock)
    events = sorted(
        [(s[1], 1, s[3], "open", s) for s in spans] + [(s[2], 2, -s[3], "close", s) for s in spans]
        + [(t, 1.5, 0, "eval", None) for t in evals],
        key=lambda event: (event[0], *_order(event)),
    )  # fmt: skip
    opened, read = {}, []
    for now, _, _, what, span in events:
        if what == "open":
            opened[span] = log.open(span[0], now)
        elif what == "close":
            log.close(opened[span], now)
        else:
            read.append(log.evaluated(now))
    closed = log.spans(10**6)
    ends = sorted(evals)
    table = (clock_seconds(closed, ends, clock) * 1e9).round().astype(int)
    # evaluations and edges of one instant may be taken in either order: only those apart from edges are compared
    apart = [place for place, t in enumerate(ends) if all(t not in (s[1], s[2]) for s in spans)]
    if clock in ("mlperf", "algoperf") and any(s[0] in ("train", "data") for s in spans):
        first = min([s[1] for s in spans if s[0] in ("train", "data")])
        apart = [place for place in apart if ends[place] > first]  # before that the future is not known
        if clock == "algoperf":
            trains = [s[1] for s in spans if s[0] == "train"]
            apart = [place for place in apart if not trains or ends[place] > min(trains)]
    running = np.maximum.accumulate(np.array(read, dtype=int)) if read else np.array([], int)
    assert [running[p] for p in apart] == [table[p] for p in apart]


def _order(event: tuple) -> tuple:
    # of one instant: what ends, inner first; then evaluations; then what begins, outer first
    _, _, depth, what, span = event
    if what == "close" and span[1] < span[2]:
        return (0, depth)
    if what == "eval":
        return (1, 0)
    return (2, span[3], 0) if what == "open" else (2, span[3], 1)


@given(traces())
def test_c38_own_times_add_up(trace: tuple[list[Span], list[int]]) -> None:
    spans, _ = trace
    columns = span_columns(spans)
    end = max((s[2] for s in spans), default=0)
    for kind in KINDS:
        own = sum(t for name, t in zip(columns["kind"], columns["seconds"], strict=True) if name == kind)
        assert own * 1e9 == pytest.approx(sum(kind_at(spans, tick) == kind for tick in range(end)), abs=1e-3)


def test_c38_spans_are_in_the_order_opened() -> None:
    columns = span_columns([("data", 2 * S, 3 * S, 1), ("train", S, 5 * S, 0), ("eval", 4 * S, 9 * S, -1)])
    assert columns["kind"] == ["train", "data", "eval"] and columns["depth"] == [0, 1, -1]
    assert columns["seconds"] == [3.0, 1.0, 5.0] and columns["start_s"] == [1.0, 2.0, 4.0]


# ------------------------------------------------------------------------------------------------------------- attempts


def test_c55_time_down_counts_on_wall_and_mlperf_alone() -> None:
    first = (1000 * S, 40 * S, [("train", 0, 40 * S, 0)])
    second = (1100 * S, 30 * S, [("train", 0, 20 * S, 0), ("eval", 20 * S, 30 * S, 0)])
    offsets, spans = join_attempts([first, second])
    assert offsets == [0, 100 * S] and (DOWN, 40 * S, 100 * S, 0) in spans
    end = [130 * S]
    assert [clock_seconds(spans, end, clock)[0] for clock in CLOCKS] == [130.0, 60.0, 130.0, 60.0]


@settings(max_examples=100, deadline=None)
@given(traces(), traces(1), st.integers(0, 9), st.sampled_from(CLOCKS), st.integers(0, 3))
@example(([], [1]), ([("init", 2, 3, 1), ("init", 1, 4, 0)], []), 0, "mlperf", 0)
@example(
    ([("init", 1, 1, 2), ("train", 1, 2, 2), ("init", 0, 2, 1), ("init", 0, 2, 0)], []), ([], []), 0, "algoperf", 0
)
def test_c55_a_run_joined_under_way_reads_as_its_table(
    first: tuple[list[Span], list[int]], second: tuple[list[Span], list[int]], down: int, clock: str, late: int
) -> None:
    """The second attempt joins after `late` of its spans."""
    spans, evals = first
    last = max([span[2] for span in spans] + evals, default=0)
    offset = last + down
    earlier = [*spans, *([(DOWN, last, offset, 0)] if down else [])]
    log = SpanLog(clock)
    events = _events(second[0])
    shift, opened = 0, {}
    for number, (now, what, span) in enumerate(events):
        if number == late:
            log.join(offset, earlier, min(evals, default=None))
            shift = offset
        if what == "open":
            opened[span] = log.open(span[0], now + shift)
        else:
            log.close(opened[span], now + shift)
    if not shift:
        log.join(offset, earlier, min(evals, default=None))
    end = offset + max((now for now, _, _ in events), default=0) + 5
    joined = log.spans(end)
    moved = [(kind, a + offset, b + offset, depth) for kind, a, b, depth in second[0]]
    assert sorted(joined) == sorted(earlier + moved)
    table = (clock_seconds(joined, [*evals, end], clock) * 1e9).round().astype(int)
    alone = Timeline(joined).read(clock, end, min([*evals, end]))
    assert log.read(end) == alone <= table[-1]


def _events(spans: list[Span]) -> list[tuple[int, str, Span]]:
    found = [(s[1], s[3], "open", s) for s in spans] + [(s[2], -s[3], "close", s) for s in spans]
    return [(now, what, s) for now, _, what, s in sorted(found, key=lambda e: (e[0], *_order((e[0], 0, *e[1:]))))]


def test_c39_a_utc_clock_that_was_set_back_makes_no_time_negative() -> None:
    offsets, spans = join_attempts([(1000 * S, 40 * S, []), (900 * S, 5 * S, []), (1041 * S, 1, [])])
    assert offsets == [0, 40 * S, 45 * S] and spans == []


def test_a_span_cut_by_its_outer_one_is_read_all_the_same() -> None:
    line = Timeline([("train", 0, 10, 0), ("eval", 5, 15, 1)])
    assert line.spent(["eval"], [20]).tolist() == [5] and line.spent(["train"], [20]).tolist() == [5]
    assert SETUP_NS == 1800 * S
