"""Advice: of the estimates before a run, of what was measured after it."""

from dataclasses import replace

import pytest

from tests.video.plan.test_logical import plan
from workbench.engine.plan import Node
from workbench.video.plan.advice import advice


def measured(node, **ms):
    return replace(node, ms=ms.get(node.op, 0.0), children=tuple(measured(child, **ms) for child in node.children))


def after(made, **ms):
    return advice(made, measured(made.to_plan().root, **ms), measured=True)


def test_after_a_run_it_is_about_what_was_measured():
    made = plan("    where = x.score > 0.5\n", "motion")
    before = made.to_plan().advice
    assert before[0].startswith("detect (motion) takes ")
    assert "about 45 s of" in before[0]
    assert after(made, detect=322_000.0, decode=20_000.0, track=4_000.0) == (
        "detect (motion) took 93 % of the work: 5 min of 6 min.",
        "every=5 would have saved about 4 min; events shorter than 5 frames may be missed.",
    )
    assert after(made, decode=9_000.0, detect=600.0) == ("decode took 94 % of the work: 9 s of 10 s.",)


def test_what_was_found_in_the_store_needs_none():
    assert after(plan("    where = x.score > 0.5\n"), track=20.0) == ()


@pytest.mark.parametrize(("every", "said"), [(1, "4 min"), (2, "3 min"), (5, None), (9, None)])
def test_every_is_advised_only_where_it_saves(every, said):
    made = plan("    where = x.score > 0.5\n", every=every)
    lines = after(made, detect=300_000.0)
    assert len(lines) == (1 if said is None else 2)
    assert said is None or f"saved about {said};" in lines[1]


def test_decoding_has_no_cheap_way_out():
    assert len(after(plan("    where = x.score > 0.5\n"), decode=300_000.0)) == 1


def test_nothing_to_say_of_a_plan_without_figures():
    assert advice(plan("    where = x.score > 0.5\n"), Node("detect"), measured=True) == ()
