"""What the objects of a query are called in a sentence: `1 person`, `21 cars`."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.video.language.catalogue import TYPES
from workbench.video.language.tree import ObjectType, Variable

__all__ = ["counted", "noun", "noun_of_all"]

_PLURALS = {"person": "people", "bus": "buses"}


def noun(kind: ObjectType) -> str:
    """Return the word for one object of a type: that of the nearest built-in type, as own names are no words."""
    return next((name for name in (kind.name, *kind.bases) if name in TYPES), "Object").lower()


def noun_of_all(variables: Sequence[Variable]) -> str:
    """Return the word for the objects of several variables: `object` where they differ."""
    words = {noun(variable.type) for variable in variables}
    return words.pop() if len(words) == 1 else "object"


def counted(number: int, word: str) -> str:
    """Return a number of objects in words.

    >>> counted(1, "person"), counted(1532, "person"), counted(0, "car")
    ('1 person', '1,532 people', '0 cars')
    """
    return f"{number:,} {word if number == 1 else _PLURALS.get(word, word + 's')}"
