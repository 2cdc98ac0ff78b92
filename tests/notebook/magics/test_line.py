"""The splitter and the references of a magic's line."""

from __future__ import annotations

import shlex
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.engine.errors import WorkbenchError
from workbench.notebook.magics.line import Scope, quote, split, split_items


def texts(line: str) -> list[str]:
    return [token.text for token in split(line)]


@given(st.text("ab ,'\"\\-{}$\t#=", max_size=30))
def test_it_splits_as_shlex_does(line: str) -> None:
    try:
        expected = shlex.split(line, comments=False, posix=True)
    except ValueError:
        with pytest.raises(WorkbenchError):
            split(line)
        return
    assert texts(line) == expected


@given(st.text(max_size=40))
def test_a_quoted_text_reads_back_as_itself(text: str) -> None:
    (token,) = split(quote(text))
    assert Scope({}, {}).resolve(token) == (text, False)


def test_list_items_are_parted_by_commas_and_blanks_outside_quotes() -> None:
    items = split_items(split('Segment, "Ship Mode",a,"x,y" ""'))
    assert [item.text for item in items] == ["Segment", "Ship Mode", "a", "x,y", ""]


class Anything:
    """An object that must come through as itself."""


VALUES: dict[str, Any] = {
    "cam": "cam 1", "args": SimpleNamespace(path="a b.mp4", deep=SimpleNamespace(x=3)), "n": 3, "it": Anything(),
    "evil": "'; DROP TABLE t; --", "option": "--limit 0", "braces": "{cam}",
}  # fmt: skip


@pytest.mark.parametrize(
    ("line", "value", "exact"),
    [
        ("{cam}", "cam 1", True),
        ("$cam", "cam 1", True),
        ("{args.path}", "a b.mp4", True),
        ("$args.deep.x", 3, True),
        ("{it}", VALUES["it"], True),
        ("clips/{cam}.mp4", "clips/cam 1.mp4", False),
        ("$cam/$n", "cam 1/3", False),
        ('"{cam}"', "cam 1", True),
        ("{{cam}}", "{cam}", False),
        ("$$cam", "$cam", False),
        ("$5", "$5", False),
        ("a$", "a$", False),
        ("{evil}", "'; DROP TABLE t; --", True),
        ("x{evil}", "x'; DROP TABLE t; --", False),
        ("{option}", "--limit 0", True),
        ("{braces}", "{cam}", True),
        ("x{braces}", "x{cam}", False),
    ],
)
def test_references(line: str, value: Any, exact: bool) -> None:
    (token,) = split(line)
    assert Scope({}, VALUES).resolve(token) == (value, exact)


def test_locals_come_before_the_notebook() -> None:
    (token,) = split("{n}")
    assert Scope({"n": 7}, VALUES).resolve(token) == (7, True)


BRACES = ["Only names fit in braces: {cam} or {args.path}.", "Compute the value in a cell above and use its name."]


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ("{cam[0]}", BRACES),
        ("{}", BRACES),
        ("{cam!r}", BRACES),
        ("{cam", BRACES),
        ("cam}", BRACES),
        ("{1}", BRACES),
        ("{flihgts}", ['No variable named "flihgts" in this notebook.', 'Did you mean "flights"?']),
        ("$zzz", ['No variable named "zzz" in this notebook.', "Assign it in a cell above."]),
        ("{args.pth}", ['No variable named "args.pth" in this notebook.', 'Did you mean "args.path"?']),
        ("$cam.mp4", ['No variable named "cam.mp4" in this notebook.', "To join text, write {cam}.mp4."]),
    ],
)
def test_errors(line: str, lines: list[str]) -> None:
    (token,) = split(line)
    with pytest.raises(WorkbenchError) as caught:
        Scope({}, VALUES | {"flights": 1}).resolve(token)
    assert caught.value.lines() == lines


@pytest.mark.parametrize(
    ("text", "dashed"),
    [("-o", True), ("--limit", True), ("-5", False), ("-.5", False), ("-1e3", False), ("-", False), ('"-o"', False)],
)
def test_what_counts_as_an_option(text: str, dashed: bool) -> None:
    (token,) = split(text)
    assert token.dashed is dashed
