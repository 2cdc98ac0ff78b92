"""Plans: operators, estimates and advice, without running anything."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from workbench.engine.plan import Node as Operator
from workbench.video.language.compile import compile_query
from workbench.video.language.show import show
from workbench.video.plan.cost import Figures
from workbench.video.plan.logical import QueryPlan, naive_plan, plan_query

INFO: Any = SimpleNamespace(width=768, height=432, frames=15000, fps=25.0)
CELL = """\
yard = Region((0, 0), (100, 0), (100, 100))
class T(Car):
    @prop(once=True)
    def taxi(self, image): return 1
    @prop(window="1s")
    def jerk(self, speed): return 1
class Q(Query):
    x: T
"""


def plan(rest: str, detector: str = "yolox-nano", **options: Any) -> QueryPlan:
    return plan_query(compile_query(CELL + rest).__compiled__, info=INFO, detector=detector, **options)


def operators(made: QueryPlan) -> list[tuple[str, str]]:
    """Return (op, detail) from the source to the answer."""
    return [(node.op, node.detail) for _, node in made.to_plan().root.walk()][::-1]


def step(made: QueryPlan, op: str, detail: str = "") -> Operator:
    return next(node for _, node in made.to_plan().root.walk() if node.op == op and detail in node.detail)


def test_the_operators_in_order() -> None:
    made = plan("    where = x.taxi and x.color == 'red' and x.score > 0.5\n    select = x.id, max(x.jerk)\n")
    assert operators(made) == [
        ("decode", ""), ("detect", "yolox-nano"), ("track", "x: T"), ("filter", "x.score > 0.5"), ("props", "x.color"),
        ("filter", 'x.color == "red"'), ("props", "x.taxi"), ("filter", "x.taxi"), ("intervals", "runs of true frames"),
        ("props", "x.jerk"), ("aggregate", "x.id, max(x.jerk)"),
    ]  # fmt: skip


def test_the_naive_plan_takes_all_as_written() -> None:
    query = compile_query(CELL + "    where = x.taxi and x.score > 0.5\n").__compiled__
    naive = naive_plan(query, info=INFO, detector="given")
    assert operators(naive) == [
        ("detect", "given boxes"), ("track", "x: T"), ("props", "x.taxi"), ("filter", "x.taxi"),
        ("filter", "x.score > 0.5"), ("intervals", "runs of true frames"),
    ]  # fmt: skip
    assert naive.to_plan().notes == ("naive: everything as written",)
    better = plan_query(query, info=INFO, detector="given")
    assert cost(better) < cost(naive)


def cost(made: QueryPlan) -> float:
    return sum(node.est_ms or 0 for _, node in made.to_plan().root.walk())


def test_intervals_show_what_rows_go_through() -> None:
    made = plan("    where = lasts(x.taxi and x.inside(yard), '30s', gap='2s')\n")
    assert operators(made)[3:] == [
        ("filter", "x.inside(yard)"), ("props", "x.taxi"), ("filter", "x.taxi"),
        ("intervals", 'lasts(x.inside(yard) and x.taxi, "30s", gap="2s")'),
    ]  # fmt: skip
    assert [show(node) for node in made.conjuncts] == ['lasts(x.inside(yard) and x.taxi, "30s", gap="2s")']


def test_intervals_joined_by_and_are_conjuncts() -> None:
    made = plan("    where = lasts(x.taxi, '3s') and x.turns('left')\n")
    assert [show(node) for node in made.conjuncts] == ['x.turns("left", by="60deg", over="3s")', 'lasts(x.taxi, "3s")']
    assert made.where.kind == "interval"


def test_estimates_follow_the_video() -> None:
    made = plan("    where = x.score > 0.5\n")
    assert made.frames == 15000
    assert step(made, "detect").est_rows == 15000
    assert step(made, "decode").est_ms == pytest.approx(768 * 432 * 4e-6 * 15000, rel=0.01)
    fewer = plan("    where = x.score > 0.5\n", every=5)
    assert fewer.frames == 3000
    assert step(fewer, "decode").detail == "every 5th frame"
    assert step(fewer, "decode").est_ms == step(made, "decode").est_ms
    assert step(fewer, "detect").est_ms == (step(made, "detect").est_ms or 0) / 5
    assert plan("    where = x.score > 0.5\n", frames=10).frames == 10
    assert plan_query(made.query).to_plan().advice == ()


def test_measured_figures_replace_guesses() -> None:
    figures = Figures(ms={"T.taxi": 100.0, "detect:yolox-nano": 1.0, "track": 2.0, "decode": 0.5}, rows_per_frame=1.0)
    made = plan("    where = x.taxi\n", figures=figures)
    assert step(made, "detect").est_ms == 15000
    assert step(made, "track").est_ms == 30000
    assert step(made, "decode").est_ms == 7500
    assert step(made, "props").est_ms == 100.0 * 5 * 150
    assert plan("    where = x.taxi\n", figures=figures.to_dict()) == made


def test_advice_names_what_took_most_and_what_would_help() -> None:
    detect = plan("    where = x.score > 0.5\n").to_plan().advice
    assert detect[0].startswith("detect (yolox-nano) takes 9")
    assert detect[1] == "every=5 would save about 4 min; events shorter than 5 frames may be missed."
    dear = Figures(ms={"T.taxi": 500.0})
    once = plan("    where = x.taxi\n", "given", figures=dear).to_plan().advice
    assert once[1] == "A test before x.taxi, such as x.score > 0.5, leaves fewer objects to ask about."
    assert len(plan("    where = x.taxi and x.score > 0.5\n", "given", figures=dear).to_plan().advice) == 1
    each = plan("    where = x.jerk > 1\n", "given", figures=Figures(ms={"T.jerk": 50.0})).to_plan().advice
    assert each[1] == "@prop(once=True) on jerk would ask once for each object, not at each frame."


def test_pixels_are_read_only_if_asked_for() -> None:
    assert not plan("    where = x.score > 0.5\n").reads_pixels
    assert not plan("    where = x.jerk > 1\n").reads_pixels
    assert plan("    where = x.score > 0.5\n    select = x.color\n").reads_pixels
    assert plan("    where = x.score > 0.5\n    group = x.kind\n").properties == (("x", "kind"),)


def test_filters_name_their_nodes() -> None:
    made = plan("    where = x.taxi and x.score > 0.5\n")
    assert {detail: show(node) for detail, node in made.filters().items()} == {
        "x.score > 0.5": "x.score > 0.5",
        "x.taxi": "x.taxi",
    }
    assert set(made.pushed) == {"x"}
    assert made.where.operands == made.conjuncts


def test_shared_subtrees_are_noted() -> None:
    made = plan("    where = (x.color == 'red' and x.still) or (x.color == 'red' and x.age > '3s')\n")
    assert made.to_plan().notes == ('shared: x.color == "red"',)


def test_plans_are_plain_data() -> None:
    one, two = plan("    where = x.taxi\n"), plan("    where = x.taxi\n")
    assert one == two
    assert one.to_plan() == two.to_plan()
    assert "props" in str(one.to_plan())
