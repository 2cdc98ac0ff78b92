from __future__ import annotations

import pytest

from workbench.engine.progress import Event, Progress, Rate


def test_percent_is_floored() -> None:
    assert Progress(done=999.9, total=1000).percent == 99
    assert Progress(done=1000, total=1000).percent == 100
    assert Progress(done=1200, total=1000).percent == 100
    assert Progress(done=5).percent is None
    assert Progress(done=0, total=0).percent is None


def test_rate_from_the_beginning() -> None:
    rate = Rate(100.0)
    assert rate.per_second(100.0, 0) == 0
    rate.add(102.0, 10)
    assert rate.per_second(102.0, 10) == 5
    assert rate.per_second(105.0, 10) == 2


def test_rate_counts_the_last_ten_seconds_only() -> None:
    rate = Rate(0.0)
    for second in range(1, 31):
        rate.add(float(second), 100.0 if second <= 20 else 100.0 + (second - 20))
    assert rate.per_second(30.0, 110.0) == pytest.approx(1.0)
    assert rate.per_second(100.0, 110.0) == 0


def test_a_count_that_falls_gives_no_negative_rate() -> None:
    rate = Rate(0.0)
    rate.add(1.0, 10)
    rate.add(12.0, 5)
    assert rate.per_second(12.0, 5) == 0


def test_many_updates_keep_few_samples() -> None:
    rate = Rate(0.0)
    for step in range(1, 20_001):
        rate.add(step / 1000, step)
        rate.per_second(step / 1000, step)
    assert len(rate._samples) < 500
    assert rate.per_second(20.0, 20_000) == pytest.approx(1000, rel=0.01)


def test_events_hold_what_they_are_given() -> None:
    event = Event(1.0, "worker_lost", {"tasks": 2})
    assert (event.time, event.kind, event.data["tasks"]) == (1.0, "worker_lost", 2)
    assert Event(1.0, "started").data == {}
