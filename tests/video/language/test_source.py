"""Classes remember where they were written."""

from __future__ import annotations

import pickle
import sys

import pytest

from workbench.engine.errors import WorkbenchError
from workbench.video.language.source import Origin, find_class
from workbench.video.language.vocabulary import Car, Query

LIMIT = 3


def make():
    inner = 5

    class Asked(
        Query,
    ):
        x: Car
        where = x.id > inner and x.id < LIMIT  # noqa: F821

    return Asked


def test_the_statement_of_a_class_and_what_its_names_meant() -> None:
    cls = make()
    origin = cls.__origin__
    assert origin.filename == make.__code__.co_filename
    assert (origin.names["inner"], origin.names["LIMIT"], origin.names["Car"]) == (5, 3, Car)
    assert "pickle" not in origin.names
    cell, node = find_class(origin, "Asked")
    assert node.name == "Asked"
    assert cell.place.lines[node.lineno - 1].strip() == "class Asked("


def test_a_name_that_is_not_there_is_gone() -> None:
    with pytest.raises(WorkbenchError, match="The source of Other cannot be found"):
        find_class(make().__origin__, "Other")
    with pytest.raises(WorkbenchError, match="The source of Asked cannot be found"):
        find_class(None, "Asked")


def test_a_file_that_is_no_python_any_more_is_gone() -> None:
    origin = Origin("x.py", ("class Asked(\n",), 1, {}, {})
    with pytest.raises(WorkbenchError, match="cannot be found"):
        find_class(origin, "Asked")


def test_an_origin_travels_without_its_notebook() -> None:
    again = pickle.loads(pickle.dumps(make().__origin__))
    assert again.names == {}
    assert again.outside == {}
    assert again.lines


def test_no_frame_no_origin() -> None:
    assert Origin.of_frame(None, "Asked") is None
    found = Origin.of_frame(sys._getframe(), "Nothing")
    assert found is not None
    assert found.names == {}
