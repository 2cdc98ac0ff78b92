from __future__ import annotations

import pytest

from workbench.engine.errors import WorkbenchError
from workbench.training.units import as_bandwidth, as_dollars, as_duration, as_size, show_bytes, show_seconds


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100mbit", 12.5e6),
        ("10gbit", 1.25e9),
        ("1 Gbit/s", 1.25e8),
        ("8kbps", None),
        ("8kbit", 1e3),
        ("8bit", 1.0),
        ("1GB/s", 1e9),
        ("1MiB/s", 2.0**20),
        (1e9, 1e9),
        (5, 5.0),
    ],
)
def test_bandwidth_is_bytes_per_second(text: str | float, rate: float | None) -> None:
    if rate is None:
        with pytest.raises(WorkbenchError, match="link is a rate"):
            as_bandwidth(text, "link")
    else:
        assert as_bandwidth(text, "link") == rate


@pytest.mark.parametrize("value", ["1GB", "fast", "", 0, -1, float("nan"), float("inf"), True, None, [1], "0mbit"])
def test_bandwidths_that_are_none(value: object) -> None:
    with pytest.raises(WorkbenchError, match="link"):
        as_bandwidth(value, "link")


def test_others() -> None:
    assert as_size("2GB", "memory") == 2e9 and as_size("2GiB", "memory") == 2.0**31 and as_size(7, "memory") == 7
    assert as_duration("60s", "checkpoint") == 60 and as_duration(1.5, "checkpoint") == 1.5
    assert as_duration("2min", "checkpoint") == 120 and as_dollars("$0.91", "price") == 0.91
    for read, value in ((as_size, "2s"), (as_duration, "2GB"), (as_dollars, "2"), (as_size, -1), (as_duration, "")):
        with pytest.raises(WorkbenchError, match="it is"):
            read(value, "it")


def test_written_for_people() -> None:
    assert [show_bytes(x) for x in (0, 12, 999.6, 410e6, 3.1e9, 2e9, 1e16)] == [
        "0 B", "12 B", "1.0 kB", "410 MB", "3.1 GB", "2.0 GB", "10 PB",
    ]  # fmt: skip
    assert [show_seconds(x) for x in (0, 14, 0.2055, 1.44, 3e-6, 200, 20000)] == [
        "0 s", "14 s", "206 ms", "1.4 s", "3.0 µs", "3.3 min", "5.6 h",
    ]  # fmt: skip
