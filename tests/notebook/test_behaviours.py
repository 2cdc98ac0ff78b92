"""The list of what a person sees (1 to 42): each has a test that is named after its number, `test_n<number>_…`."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_each_behaviour_has_a_test_of_its_number() -> None:
    found = set()
    for folder in ("notebook", "browser", "engine"):
        for path in (TESTS / folder).rglob("test_*.py"):
            for numbers in re.findall(r"^def test_((?:n\d+_)+)", path.read_text(), re.MULTILINE):
                found |= {int(number) for number in re.findall(r"\d+", numbers)}
    assert found == set(range(1, 43))
