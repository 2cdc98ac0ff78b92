"""Costs and selectivities, guessed and measured."""

from __future__ import annotations

import json

import pytest

from tests.video.plan.test_rules import ask
from workbench.video.language.tree import Node, Property, Truth
from workbench.video.plan.cost import Costs, Figures, detect_ms


def share(where: str, **figures: object) -> float:
    query, costs = ask(where, **figures)
    return costs.selectivity(query.where)


def test_selectivities_combine() -> None:
    assert share("x.still") == pytest.approx(0.3)
    assert share("not x.still") == pytest.approx(0.7)
    assert share("x.still and x.id == 1") == pytest.approx(0.3 * 0.15)
    assert share("x.still or x.id == 1") == pytest.approx(1 - 0.7 * 0.85)
    assert share("x.id in (1, 2)") == pytest.approx(0.3)
    assert share("x.id in ()") == 0
    assert share("True") == 1
    assert share('lasts(x.still, "3s")') == pytest.approx(0.15)


@pytest.mark.parametrize(
    "where", ["x.crosses(door)", "x.enters(yard)", "known(x.color)", 'x.turns("left")', "x.yellow", 'x.kind != "van"'],
)  # fmt: skip
def test_every_test_keeps_some(where: str) -> None:
    assert 0 < share(where) < 1


def test_what_was_measured_counts() -> None:
    assert share("x.still", selectivity={"x.still": 0.9}) == 0.9


def test_a_property_brings_those_that_it_needs() -> None:
    query, costs = ask("x.yellow and x.tall > 1 and x.jerk > 1 and x.color == 'red'")
    assert costs.costly(query.where) == (("x", "yellow"), ("x", "tall"), ("x", "jerk"), ("x", "color"))
    assert costs.reads_pixels("x", "yellow")
    assert costs.reads_pixels("x", "color")
    assert not costs.reads_pixels("x", "tall")
    assert costs.once("x", "yellow")
    assert not costs.once("x", "jerk")
    assert costs.calls("x", "yellow", 1000, 10) == 50
    assert costs.calls("x", "tall", 1000, 10) == 1000


def test_costs_of_dependent_properties_are_added() -> None:
    from workbench.video.language.compile import compile_query

    text = (
        "class T(Car):\n    @prop\n    def a(self, image): return 1\n    @prop\n    def b(self, a, color): return 1\n"
        "class Q(Query):\n    x: T\n    where = x.b\n"
    )
    kind = compile_query(text).__compiled__.variables[0].type
    costs = Costs({"x": kind}, Figures(ms={"T.a": 1.0, "T.b": 2.0, "color": 100.0}))
    node: Node = Truth(Property("x", "b"))
    assert costs.costly(node) == (("x", "a"), ("x", "color"), ("x", "b"))
    assert costs.row_ms(node) == pytest.approx(1 + 2 + 100 * 5 / 100, rel=0.01)
    assert costs.row_ms(node, [("x", "color")]) == pytest.approx(3, rel=0.01)


def test_figures_survive_the_store() -> None:
    figures = Figures({"color": 2.5}, {"x.still": 0.25}, 4.0, 50.0)
    assert Figures.from_dict(json.loads(json.dumps(figures.to_dict()))) == figures


@pytest.mark.parametrize(
    "data", [None, 5, [], {}, {"ms": 3}, {"ms": {"color": "x"}}, {"ms": {"color": -1}}, {"selectivity": {"a": 3}},
             {"rows_per_frame": 0}, {"rows_per_track": "x"}, {"ms": {"a": float("nan")}}],
)  # fmt: skip
def test_figures_that_make_no_sense_are_guessed(data: object) -> None:
    assert Figures.from_dict(data) == Figures()  # type: ignore[arg-type]


def test_learning() -> None:
    query, costs = ask("x.still")
    learned = Figures(ms={"color": 4.0}).learn(
        ms={"color": 2.0, "Mine.tall": 1.0}, kept={query.where: (200, 50)}, rows_per_frame=7.0
    )
    assert learned.ms == {"color": 3.0, "Mine.tall": 1.0}
    assert learned.selectivity == {"x.still": 0.25}
    assert (learned.rows_per_frame, learned.rows_per_track) == (7.0, 100.0)
    assert Costs(costs.types, learned).selectivity(query.where) == 0.25
    assert learned.learn(kept={query.where: (0, 0)}) == learned


def test_detectors() -> None:
    assert detect_ms("given", Figures()) == 0
    assert detect_ms("yolox-nano", Figures()) > detect_ms("motion", Figures())
    assert detect_ms("my own", Figures()) > 0
    assert detect_ms("motion", Figures(ms={"detect:motion": 9.0})) == 9.0
