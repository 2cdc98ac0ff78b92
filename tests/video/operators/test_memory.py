"""Columns kept between evaluations change no answer and save every call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from tests.video.operators.scenes import compare, own, query, thing, walk
from workbench.video.language import tree
from workbench.video.language.tree import Window
from workbench.video.operators.answer import answer_tables
from workbench.video.operators.evaluate import evaluate
from workbench.video.operators.memory import ColumnMemory, tracks_digest

LINE = [(100 + 10 * i, 200) for i in range(12)]
CALLS: list[Any] = []


def value(result: Any = None, **options: Any) -> tree.UserProperty:
    options = {"name": "value", "fingerprint": "f1", **options}
    return own(lambda self, x1: CALLS.append(x1) or (x1 if result is None else result), "x1", **options)


def ask(
    memory: ColumnMemory, where: tree.Node, *properties: tree.UserProperty, feet: Any = LINE
) -> dict[str, pd.DataFrame]:
    CALLS.clear()
    asked, tracks = query(where, kind=thing(*properties)), walk({1: feet})
    found = evaluate(asked, tracks, columns=memory.columns(asked, tracks), video="v")
    tables = answer_tables(asked, found, tracks, "v")
    memory.keep(asked, found)
    return tables


def test_a_second_question_calls_only_for_new_rows() -> None:
    memory = ColumnMemory()
    some = tree.And(operands=(compare("x1", ">", 150), compare("value", ">", 170)))
    ask(memory, some, value())
    assert len(CALLS) == 5
    first = ask(memory, some, value())
    assert not CALLS
    assert first["events"].equals(ask(ColumnMemory(), some, value())["events"])
    everything = ask(memory, compare("value", ">", 120), value())
    assert len(CALLS) == 7
    assert everything["events"].equals(ask(ColumnMemory(), compare("value", ">", 120), value())["events"])


def test_what_was_edited_is_called_again() -> None:
    where = compare("value", ">", 120)
    memory = ColumnMemory()
    ask(memory, where, value())
    for edited in (value(fingerprint="f2"), value(window=Window(rows=1)), value(once=True)):
        ask(memory, where, edited)
        assert CALLS
    ask(memory, where, value(), feet=[(101, 200), *LINE[1:]])
    assert len(CALLS) == 12
    ask(memory, where, value())
    assert not CALLS


def test_a_change_in_what_a_property_needs_counts() -> None:
    upper = own(lambda self, value: value, "value", name="upper", fingerprint="u")
    where = compare("upper", ">", 120)
    memory = ColumnMemory()
    ask(memory, where, value(), upper)
    ask(memory, where, value(), upper)
    assert not CALLS
    ask(memory, where, value(fingerprint="f2"), upper)
    assert len(CALLS) == 12
    ask(memory, where, value(fingerprint=None), upper)
    ask(memory, where, value(fingerprint=None), upper)
    assert len(CALLS) == 12


def test_failures_are_listed_every_time() -> None:
    fails = own(lambda self, x1: 1 / (x1 - 110), "x1", name="value", fingerprint="f")
    upper = own(lambda self, value: value, "value", name="upper", fingerprint="u")
    memory = ColumnMemory()
    tables = [ask(memory, compare("upper", "<", 100), fails, upper)["errors"] for _ in range(2)]
    assert tables[0]["frame"].tolist() == [2]
    pd.testing.assert_frame_equal(*tables)


def test_the_memory_is_bounded() -> None:
    memory = ColumnMemory(most=2)
    where = compare("value", ">", 120)
    for number in range(3):
        ask(memory, where, value(fingerprint=str(number)))
    ask(memory, where, value(fingerprint="2"))
    assert not CALLS
    ask(memory, where, value(fingerprint="0"))
    assert CALLS
    memory.clear()
    ask(memory, where, value(fingerprint="0"))
    assert CALLS


def test_the_digest_sees_every_column() -> None:
    tracks = walk({1: LINE})
    others = [
        replace(tracks, width=5), replace(tracks, labels=("x",)), replace(tracks, score=tracks.score + 1),
        replace(tracks, box=tracks.box + 1), replace(tracks, interpolated=~tracks.interpolated),
    ]  # fmt: skip
    assert len({tracks_digest(one) for one in (tracks, *others)}) == 6
    assert tracks_digest(tracks) == tracks_digest(walk({1: LINE}))
