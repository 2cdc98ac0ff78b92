"""Rewrites keep the answer and put the work in order."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.video.language.test_forms import HEAD, TYPE, intervals, nested
from workbench.video.language.compile import compile_query
from workbench.video.language.show import show
from workbench.video.language.tree import (
    And,
    Compare,
    CompiledQuery,
    Constant,
    Node,
    Not,
    Or,
    Property,
    Relation,
    Truth,
)
from workbench.video.plan.cost import Costs, Figures
from workbench.video.plan.rules import CALLS, CHEAP, JOINT, order, pushed, rank, reorder, shared, split, stage


def ask(where: str, **figures: object) -> tuple[CompiledQuery, Costs]:
    text = (
        HEAD
        + TYPE.replace("once=True", 'once=True, version="1"')
        + f"class Q(Query):\n    x: Mine\n    where = {where}\n"
    )
    query = compile_query(text).__compiled__
    return query, Costs({one.name: one.type for one in query.variables}, Figures(**figures))  # type: ignore[arg-type]


def ordered(where: str, **figures: object) -> list[str]:
    query, costs = ask(where, **figures)
    return [show(node) for node in order(split(query.where), costs)]


def test_conjuncts_are_split_and_nothing_else() -> None:
    query, _ = ask("x.still and (x.id == 1 and x.id == 2) and (x.id == 3 or x.id == 4)")
    assert [show(node) for node in split(query.where)] == [
        "x.still",
        "x.id == 1",
        "x.id == 2",
        "x.id == 3 or x.id == 4",
    ]
    single, _ = ask("x.still or x.yellow")
    assert split(single.where) == (single.where,)


def test_columns_come_before_calls_and_a_score_test_before_models() -> None:
    assert ordered('x.color == "red" and x.yellow and x.inside(yard) and x.score > 0.5') == [
        "x.inside(yard)", "x.score > 0.5", 'x.color == "red"', "x.yellow",
    ]  # fmt: skip


def test_models_go_by_cost_over_what_they_drop() -> None:
    both = 'x.color == "red" and x.yellow'
    assert ordered(both, ms={"color": 1.0, "Mine.yellow": 50.0}) == ['x.color == "red"', "x.yellow"]
    assert ordered(both, ms={"color": 50.0, "Mine.yellow": 1.0}) == ["x.yellow", 'x.color == "red"']
    # twice as dear, but it drops far more
    figures = {"ms": {"color": 10.0, "Mine.yellow": 20.0}}
    assert ordered(both, **figures, selectivity={'x.color == "red"': 0.95, "x.yellow": 0.01})[0] == "x.yellow"


def test_a_test_that_drops_nothing_comes_last_in_its_stage() -> None:
    assert ordered('x.color == "red" and x.yellow', selectivity={'x.color == "red"': 1.0})[0] == "x.yellow"


def test_a_property_that_was_asked_for_costs_nothing_more() -> None:
    found = ordered(
        'x.yellow and x.color == "red" and x.color != "blue"',
        ms={"color": 30.0, "Mine.yellow": 40.0}, selectivity={'x.color != "blue"': 0.9, "x.yellow": 0.3},
    )  # fmt: skip
    assert found == ['x.color == "red"', 'x.color != "blue"', "x.yellow"]


def test_once_values_are_counted_per_track() -> None:
    _, costs = ask("x.yellow and x.tall > 1")
    once, each = Truth(Property("x", "yellow")), Compare(">", Property("x", "tall"), Constant(1))
    assert rank(once, costs) < 8.0 * 5 / 50
    assert rank(each, costs) > 0.02


def test_stages() -> None:
    _, costs = ask("x.still")
    near = Relation("near", "x", "y", 5.0)
    costs = Costs({**costs.types, "y": costs.types["x"]})
    assert stage(Truth(Property("x", "still")), costs) == CHEAP
    assert stage(near, costs) == JOINT
    assert stage(And((near, Truth(Property("y", "yellow")))), costs) == CALLS
    tests = (Truth(Property("y", "yellow")), near, Truth(Property("x", "still")))
    assert order(tests, costs) == tests[::-1]
    assert pushed(tests) == {"y": (tests[0],), "x": (tests[2],)}


def test_operands_inside_are_in_order_too() -> None:
    query, costs = ask('lasts((x.yellow and x.still) or not (x.color == "red" and x.id == 1), "3s")')
    text = show(reorder(query.where, costs))
    assert text == 'lasts(not (x.id == 1 and x.color == "red") or x.still and x.yellow, "3s")'


def test_an_or_takes_first_what_is_likely_true() -> None:
    query, costs = ask("x.id == 1 or x.id != 2")
    assert show(reorder(query.where, costs)) == "x.id != 2 or x.id == 1"


def canonical(node: Node) -> object:
    """Return the node with the operands of and, or as sets: their order and number do not change an answer."""
    if isinstance(node, And | Or):
        return (type(node).__name__, frozenset(map(canonical, node.operands)))
    children = tuple(map(canonical, node.children()))
    return (type(node).__name__, children) if children else node


@given(st.one_of(nested, intervals))
@settings(max_examples=60, deadline=None)
def test_reordering_loses_and_adds_nothing(where: str) -> None:
    query, costs = ask(where)
    parts = split(query.where)
    taken = order([reorder(node, costs) for node in parts], costs)
    assert {canonical(node) for node in taken} == {canonical(node) for node in parts}
    assert len(taken) == len(parts)
    stages = [stage(node, costs) for node in taken]
    assert stages == sorted(stages)
    assert order(taken, costs) == taken


def test_shared_subtrees() -> None:
    query, _ = ask('(x.color == "red" and x.still) or (x.color == "red" and not x.still)')
    assert [show(node) for node in shared([query.where])] == ['x.color == "red"', "x.still"]
    whole = And((Compare("==", Property("x", "id"), Constant(1)), Truth(Property("x", "still"))))
    assert shared([whole, Not(whole)]) == (whole,)
    assert shared([whole]) == ()
