from __future__ import annotations

import json

import pytest

from workbench.engine.plan import Node, Plan


def plan(**changes: float) -> Plan:
    decode = Node("decode", "cam1.mp4", est_rows=900, rows=900, est_ms=1200.4, ms=1100, bytes=2**20)
    detect = Node("detect", "yolox-nano", est_rows=900, rows=850, ms=0.25, cache_hits=0.629, children=(decode,))
    root = Node("filter", 'person.speed < "5px/s"', rows=12, children=(detect,))
    return Plan(root, advice=("every=5 would take a fifth of the time.",), notes=("using 'motion'",))


def test_text_has_estimates_beside_actuals() -> None:
    assert str(plan()).splitlines() == [
        "operator                       est. rows  rows  bytes  est. ms     ms  cached",
        'filter person.speed < "5px/s"               12',
        "  detect yolox-nano                  900   850                   0.25    62 %",
        "    decode cam1.mp4                  900   900  1 MiB    1,200  1,100",
        "note: using 'motion'",
        "advice: every=5 would take a fifth of the time.",
    ]


def test_columns_of_which_nothing_is_known_are_left_out() -> None:
    assert str(Plan(Node("scan", "table"))).splitlines() == ["operator", "scan table"]


def test_dict_is_plain_data() -> None:
    data = plan().explain("dict")
    assert json.loads(json.dumps(data)) == data
    assert data["notes"] == ["using 'motion'"]
    assert data["root"]["op"] == "filter"
    assert data["root"]["est_rows"] is None
    assert data["root"]["children"][0]["children"][0]["bytes"] == 2**20


def test_html_is_escaped() -> None:
    nasty = Plan(Node("<script>", '"&'), advice=("<b>",), notes=("<i>",))
    text = nasty.explain("html")
    assert "<script>" not in text
    assert "<b>" not in text
    assert "<i>" not in text
    assert "&lt;script&gt; &quot;&amp;" in text


def test_mime_bundle_has_text_and_html() -> None:
    bundle = plan()._repr_mimebundle_()
    assert bundle["text/plain"] == str(plan())
    assert bundle["text/html"].startswith('<div class="wb-plan"><table>')
    assert bundle["text/html"].count("<tr>") == 4


def test_walk_goes_parents_first() -> None:
    assert [(depth, node.op) for depth, node in plan().walk()] == [(0, "filter"), (1, "detect"), (2, "decode")]


def test_equality_is_by_structure() -> None:
    assert plan() == plan()
    assert hash(plan()) == hash(plan())
    assert plan() != Plan(plan().root)
    assert Node("a", children=[Node("b")]) == Node("a", children=(Node("b"),))  # type: ignore[arg-type]


def test_unknown_format() -> None:
    with pytest.raises(ValueError, match="'text', 'html' or 'dict'; got 'xml'"):
        plan().explain("xml")  # type: ignore[call-overload]


def test_repr_is_one_line() -> None:
    assert repr(plan()) == "<Plan filter, 3 operators>"
