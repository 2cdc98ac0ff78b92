"""Plans: the published examples, every way to cut small graphs, and what may not make a plan worse."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.training import Cluster, partition, read_profile

PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "pipedream"
needs_published = pytest.mark.skipif(not PUBLISHED.exists(), reason="needs the published profiles")


@needs_published
@pytest.mark.parametrize(
    ("name", "states", "config", "time", "single", "parallel", "last"),
    [
        ("vgg16", 40, "3-1", 0.205520896, 0.672535, 0.583206382, "node18"),
        ("resnet50", 240, "2-2", 0.162880924, 0.443419, 0.187525846, None),
    ],
)
def test_worked_examples(
    name: str, states: int, config: str, time: float, single: float, parallel: float, last: str | None
) -> None:
    profile = read_profile(PUBLISHED / f"{name}.graph.txt")
    plan = partition(profile, Cluster([4], [1e9]), activation_compression=1, compat=True)
    assert (plan.states, plan.config, plan.machines_used, plan.compat) == (states, config, 4, True)
    assert (plan.time, plan.single_time, plan.data_parallel_time) == pytest.approx((time, single, parallel), rel=1e-9)
    assert plan.speedup == pytest.approx(single / time) and plan.speedup_over_data_parallel == pytest.approx(
        parallel / time
    )
    assert plan.stages[0].nodes[0] == "node1"
    if last:
        assert plan.stages[0].nodes[-1] == last
