"""One-line cells of ours get a second line; all others stay as they are."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.notebook.magics.cells import second_line


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["%%vquery --help"], ["%%vquery --help\n", "\n"]),
        (["%%vquery --help\n"], ["%%vquery --help\n", "\n"]),
        (["%%vquery"], ["%%vquery\n", "\n"]),
        (["%%vquery a\n", "x\n"], ["%%vquery a\n", "x\n"]),
        (["%%vquery?"], ["%%vquery?"]),
        (["%%vquery a.mp4?"], ["%%vquery a.mp4?"]),
        (["%%timeit"], ["%%timeit"]),
        (["%%vqueryx"], ["%%vqueryx"]),
        (["%workbench"], ["%workbench"]),
        (["%%workbench"], ["%%workbench"]),
        (["1 + 1"], ["1 + 1"]),
        ([], []),
    ],
)
def test_second_line(front: Any, lines: list[str], expected: list[str]) -> None:
    assert second_line(lines) == expected
