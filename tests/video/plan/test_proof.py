"""The proof of a choice, in words and in the plan's operators."""

from __future__ import annotations

import json

from workbench.engine.plan import Node, Plan
from workbench.video.plan.canary import Cascade, Skip, Trial
from workbench.video.plan.proof import Proof, with_proofs
from workbench.video.shares import Measured

SMALL = Trial(Cascade((Skip("background", 8.0),), 0.5), Measured(80, 80, 90 - 10), Measured(78, 79, 79), 0.4)
COARSE = Trial(Cascade(every=3), Measured(80, 70, 80), Measured(70, 70, 70))
EARLY = Trial(Cascade(scale=0.75), Measured(20, 17, 20), Measured(17, 17, 17), 1.0, False)
PROOF = Proof(
    "cam1.mp4", 0.95, 4000, 120, 80, 73, (SMALL, COARSE, EARLY), 0, remarks=("not tried: every=5.",), frame_ms=20.0
)
EXACT = Plan(
    Node(
        "track",
        children=(Node("detect", "yolox", 4000, 4000, est_ms=80_000, children=(Node("decode", "", 4000, 4000),)),),
    ),
    ("detect took 90 %.",),
    ("shared: x",),
)


def test_it_says_what_was_chosen_and_what_was_not_and_why() -> None:
    assert list(PROOF.lines()) == [
        "cam1.mp4: accuracy 0.95 by skip frames within 8 of the background; detector on pictures of 50 % size: recall "
        "1.000 (at least 0.954), precision 1.000 (at least 0.953) on a canary of 120 of 4,000 frames (3.0 %), 80 of "
        "them positive; 12 % of the exact plan's detection.",
        "cam1.mp4: not used: every=3 (recall 0.875 (at least 0.785), precision 1.000 (at least 0.948)).",
        "cam1.mp4: not used: detector on pictures of 75 % size (given up early: 17 of 20 objects found, 17 of 17 "
        "right).",
        "cam1.mp4: not tried: every=5.",
    ]


def test_an_exact_search_says_what_the_canary_saw() -> None:
    without = Proof("cam1.mp4", 0.95, 4000, 400, 12, 73)
    assert list(without.lines()) == [
        "cam1.mp4: exact, after a canary of 400 of 4,000 frames (10.0 %), 12 of them positive."
    ]
    assert list(Proof("cam1.mp4", 0.95, 100, reason="too short").lines()) == []


def test_it_is_kept_as_plain_data() -> None:
    assert Proof.from_dict(json.loads(json.dumps(PROOF.to_dict()))) == PROOF


def test_the_plan_has_an_operator_skip_and_the_smaller_detector() -> None:
    plan = with_proofs(EXACT, [PROOF], skipped=2300)
    steps = {node.op: node for _, node in plan.walk()}
    assert [node.op for _, node in plan.walk()] == ["track", "detect", "skip", "decode"]
    assert steps["detect"].detail == "yolox at 50 % size"
    assert (steps["detect"].est_rows, steps["detect"].rows) == (1600, 1700)
    assert steps["detect"].est_ms == 20.0 * 4000 * SMALL.cost
    assert steps["skip"].detail == "frames within 8 of the background"
    assert (steps["skip"].est_rows, steps["skip"].rows) == (1600, 1700)
    assert plan.notes == ("shared: x", *PROOF.lines())
    assert plan.advice == ()


def test_before_a_run_nothing_was_skipped_yet() -> None:
    planned = Plan(Node("detect", "yolox", 4000, children=(Node("decode"),)))
    steps = {node.op: node for _, node in with_proofs(planned, [PROOF]).walk()}
    assert steps["skip"].rows is None
    assert steps["detect"].rows is None


def test_where_nothing_cheaper_was_used_the_plan_is_the_exact_one_with_the_proof() -> None:
    without = Proof("cam1.mp4", 0.95, 4000, 400, 12, 73)
    plan = with_proofs(EXACT, [without])
    assert plan.root == EXACT.root
    assert plan.notes == ("shared: x", *without.lines())
    assert plan.advice == EXACT.advice


def test_videos_that_were_chosen_for_differently_are_summed() -> None:
    other = Proof("cam2.mp4", 0.95, 1000, 100, 80, 73, (EARLY, Trial(Cascade(every=2), *[Measured(80, 80, 80)] * 2)), 1,
                  frame_ms=10.0)  # fmt: skip
    steps = {node.op: node for _, node in with_proofs(EXACT, [PROOF, other], 0).walk()}
    assert steps["detect"].est_rows == 1600 + 500
    assert steps["detect"].est_ms == 20.0 * 4000 * SMALL.cost + 10.0 * 1000 * 0.5
    assert steps["detect"].detail == "yolox (as chosen for each video)"
