"""Texts of all kinds: whatever a cell holds, the answer is a query or a WorkbenchError with a place in it."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.video.language.test_forms import HEAD, TYPE
from workbench.engine.errors import WorkbenchError
from workbench.video.language.compile import compile_query
from workbench.video.language.parse import Place, construct, parse_cell

CELL = HEAD + TYPE + 'class Asked(Query):\n    x: Mine\n    where = lasts(x.inside(yard) and x.color == "red", "3s")\n'

TOKENS = [
    "x", "y", "Car", "Query", ".", ".color", ".speed", ".inside", "(", ")", "[", "]", "{", "}", "yard", "door", "limit",
    '"30s"', '"5px/s"', "'red'", "1", "0.5", "None", "True", "and", "or", "not", "in", "is", "if", "else", "for",
    "lambda", ":=", "==", "<", ">", "=", "+", "-", "*", "/", "**", "//", "%", "@", "&", "|", "~", ",", ":", "...", "$",
    "$limit",
    "lasts", "any", "sum", "min", "abs", "known", "count", "every", "start", "await", "yield", "f'{x}'", "b'1'", "1j",
    "\n", "\n    ", "#", "\\", "\t", "é", "class", "def", "async", "type",
]  # fmt: skip


def mistake(text: str) -> WorkbenchError | None:
    """Return what is wrong with a cell, if anything; every other exception goes on and fails the test."""
    try:
        compile_query(text)
    except WorkbenchError as error:
        return error
    return None


def answered(text: str) -> None:
    error = mistake(text)
    if error is None:
        return
    assert error.message
    assert "\n" not in error.message + error.hint
    if error.line is not None:
        assert error.text is not None
        assert error.column is not None
        assert 0 <= error.column <= len(error.text)


@given(st.lists(st.sampled_from(TOKENS), max_size=12).map(" ".join))
@settings(max_examples=120, deadline=None)
def test_any_tokens_as_a_condition(text: str) -> None:
    answered(f"{HEAD}class Asked(Query):\n    x: Car\n    where = {text}\n")


@given(st.lists(st.sampled_from(TOKENS), max_size=12).map(" ".join))
@settings(max_examples=60, deadline=None)
def test_any_tokens_as_a_cell(text: str) -> None:
    answered(text)


@given(st.integers(0, len(CELL) - 1), st.integers(0, 12), st.sampled_from(["", *TOKENS]))
@settings(max_examples=60, deadline=None)
def test_any_edit_of_a_cell(start: int, length: int, inserted: str) -> None:
    answered(CELL[:start] + inserted + CELL[start + length :])


@given(st.text(max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_text(text: str) -> None:
    answered(text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a = $b", {(1, 5)}), ("a = '$b'", set()), ('a = "\\"$b"', set()), ("# $b", set()),
        ("'''\n$b\n''' + $c", {(3, 7)}),
        ('"""a\\"""$b"""', set()), ("é = $b + $c", {(1, 6), (1, 11)}), ("a = 5 $", None),
    ],
)  # fmt: skip
def test_dollars(text: str, names: set[tuple[int, int]] | None) -> None:
    if names is None:
        with pytest.raises(WorkbenchError):
            parse_cell(text)
        return
    cell = parse_cell(text)
    assert cell.references == names
    found = {(node.lineno, node.col_offset) for node in ast.walk(cell.module) if cell.is_reference(node)}
    assert found == names


def test_indented_text_keeps_its_columns() -> None:
    cell = parse_cell("\n    a = 1\n    # b\n    c = 2\n")
    node = cell.module.body[1]
    error = cell.place.error(node, "m", "h")
    assert (error.line, error.column, error.text) == (4, 4, "    c = 2")


def test_a_place_beyond_the_text_has_no_line() -> None:
    error = Place(("a",)).error((5, 0), "m", "h")
    assert (error.line, error.column, error.text) == (None, None, None)


def test_names_of_constructs() -> None:
    for text, called in [
        ("x ** 2", "**"),
        ("x[1]", "[...]"),
        ("f(1)(2)", "(...)"),
        ("[*x]", "[...]"),
        ("a.b(c)", "a.b()"),
    ]:
        assert construct(ast.parse(text).body[0]) == called
