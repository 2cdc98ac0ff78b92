"""The words of a run in progress."""

from __future__ import annotations

import io
import sys

import pytest

from workbench.engine.run import Progress
from workbench.notebook.progress import ConsoleLine, counted, progress_line


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (
            Progress(412, 900, "frames", 52.34, 9.32, "detect", 2, 8.0),
            "412 of 900 frames | 45 % | 52.3 frames/s | 9 s left | detect | 2 workers",
        ),
        (Progress(899.9, 900, "frames"), "899.9 of 900 frames | 99 %"),
        (Progress(900, 900, "frames", workers=1), "900 of 900 frames | 100 % | 1 worker"),
        (Progress(1532, None, "frames", 1234.5), "1,532 frames | 1,230 frames/s"),
        (Progress(), ""),
        (Progress(0, 900, "frames", 0.0, None, "open"), "0 of 900 frames | 0 % | open"),
        (Progress(1, 2, "", 0.5, 2.0, message="1 worker lost, 2 tasks redone"),
         "1 of 2 | 50 % | 0.5 units/s | 2 s left | 1 worker lost, 2 tasks redone"),
        (Progress(1, 9, "frames", 0.001, 83.4), "1 of 9 frames | 11 % | 0.001 frames/s | 1:23 min left"),
        (Progress(1, 9, "frames", 0.001, 8000.0), "1 of 9 frames | 11 % | 0.001 frames/s | 2:13:20 h left"),
    ],
)  # fmt: skip
def test_n19_the_line(progress: Progress, line: str) -> None:
    assert progress_line(progress) == line


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress(412, 900, "frames"), "412 of 900 frames"),
        (Progress(1532, 20000, "frames"), "1,532 of 20,000 frames"),
        (Progress(412, float("nan"), "frames"), "412 frames"),
        (Progress(0, None, "frames"), ""),
    ],
)
def test_how_far(progress: Progress, text: str) -> None:
    assert counted(progress) == text


class Stream(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    def fileno(self) -> int:
        raise OSError


def test_a_terminal_has_one_line_that_is_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(True)
    monkeypatch.setattr(sys, "stderr", stream)
    line = ConsoleLine()
    line.write("a long line")
    line.write("short")
    line.clear()
    assert stream.getvalue() == "\ra long line\rshort      \r     \r"


def test_a_log_has_a_line_each_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(False)
    monkeypatch.setattr(sys, "stderr", stream)
    now = [0.0]
    monkeypatch.setattr("workbench.notebook.progress.time.monotonic", lambda: now[0])
    line = ConsoleLine()
    for second in range(25):
        now[0] = float(second)
        line.write(f"at {second}")
    line.clear()
    assert stream.getvalue() == "at 0\nat 10\nat 20\n"
