"""What is seen of profiles and plans: one line, the reason, the drawing, all of it without script."""

from __future__ import annotations

import dataclasses
import itertools
import pickle
import xml.etree.ElementTree as ET

import pandas as pd

from workbench.training import Cluster, Node, PipelinePlan, Profile, partition
from workbench.training.drawing import MOST, bars


def model(count: int = 6, head: float = 1e6) -> Profile:
    nodes = [Node("x", "Input0", 0.0, 0.0, (8e6,), 0.0)]
    nodes += [Node(f"n{place}", f"Linear<{place}> & co", 1.0, 2.0, (1e6,), 4e6) for place in range(count)]
    nodes.append(Node("head", "Linear", 1.0, 2.0, (1e3,), head))
    names = [node.id for node in nodes]
    return Profile(tuple(nodes), tuple(itertools.pairwise(names)), 32)


def test_lines() -> None:
    profile = model()
    assert repr(profile) == (
        "Profile of 8 nodes · 7.0 ms forward, 14 ms backward · 14 MB activations · 25 MB parameters · batch of 32"
    )
    plan = partition(profile, Cluster([4], ["10gbit"]))
    assert repr(plan).startswith(f"PipelinePlan {plan.config} · ") and f"{plan.speedup:.1f}x one machine" in repr(plan)


def test_explain_lists_each_stage_and_marks_the_slowest() -> None:
    plan = partition(model(), Cluster([3], ["1gbit"]), straight=True)
    lines = plan.explain().splitlines()
    table = [line for line in lines if line[:1].isdigit() and " ms" in line]
    assert [line.split()[0] for line in table] == ["0", "1", "2"]
    slowest = max(plan.stages, key=lambda stage: stage.time)
    assert ["<- the slowest" in line for line in table] == [stage is slowest for stage in plan.stages]
    assert any(line.startswith("why: the cut after n") and "data parallelism sends" in line for line in lines)
    assert plan.explain("dict")["plan"] == plan.to_pandas().to_dict("records")
    assert plan.explain("html").startswith("<pre>")
    # what is said of the links adds up to what the table says
    for stage, parts in zip(plan.stages, plan.options.parts, strict=True):
        assert abs(sum(parts) - stage.communication_seconds) < 1e-15
    whole = partition(model(head=1.0), Cluster([2], [1e15]))
    assert "why: no cut is faster than one stage on 2 machines" in whole.explain()
    assert "one machine is fastest" in partition(model(), Cluster([1], [1e9])).explain()


def test_a_plan_made_by_hand_is_told_too() -> None:
    plan = partition(model(), Cluster([2], ["1gbit"]), straight=True)
    bare = PipelinePlan(**{field.name: getattr(plan, field.name) for field in dataclasses.fields(PipelinePlan)})
    assert bare == plan and repr(bare) == repr(plan) and "<- the slowest" in bare.explain()


def test_what_was_asked_for_travels_with_the_plan() -> None:
    plan = partition(model(), Cluster([2, 2], ["10gbit", "1gbit"]), schedule="1f1b", redundant=True)
    again = pickle.loads(pickle.dumps(plan))
    assert again == plan and again.options == plan.options and again.explain() == plan.explain()
    assert "schedule 1f1b" in plan.explain() and "copies of the next stage" in plan.explain()


def test_table() -> None:
    table = partition(model(), Cluster([2], ["1gbit"]), straight=True).to_pandas()
    floats = [
        "compute_seconds", "communication_seconds", "time", "parameter_bytes", "activation_bytes", "output_bytes",
        "memory_bytes",
    ]  # fmt: skip
    kinds = {"stage": "int64", "first_node": "str", "last_node": "str", "nodes": "int64", "replicas": "int64"}
    kinds |= dict.fromkeys(floats, "float64") | {"in_flight": "int64", "versions": "int64"}
    assert table.dtypes.astype(str).to_dict() == kinds
    assert table.nodes.sum() == 8 and table.first_node[0] == "x" and table.last_node[1] == "head"


def test_drawing_has_a_block_for_each_stage_and_no_script() -> None:
    profile = model()
    plan = partition(profile, Cluster([3], ["1gbit"]), straight=True)
    svg, alt = bars(profile, plan.stages)
    assert alt == "Time, activations and parameters of 8 nodes, cut into 3 stages"
    root = ET.fromstring(svg)
    titles = [title.text or "" for title in root.iter("{http://www.w3.org/2000/svg}title")]
    assert [title.split(":")[0] for title in titles[:3]] == ["stage 0", "stage 1", "stage 2"]
    assert sum(title.startswith("head: ") for title in titles) == 3
    assert "script" not in svg and "Linear&lt;0&gt; &amp; co" in svg
    rects = list(root.iter("{http://www.w3.org/2000/svg}rect"))
    assert all(float(rect.get("height", "0")) > 0 and float(rect.get("width", "0")) > 0 for rect in rects)


def test_many_nodes_share_bars() -> None:
    svg, _ = bars(model(5 * MOST))
    count = len(list(ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}rect")))
    assert MOST < count <= 3 * MOST


def test_blocks_and_bundle() -> None:
    profile = model()
    plan = partition(profile, Cluster([2], ["1gbit"]), straight=True)
    assert [block["kind"] for block in plan.view_data()["blocks"]] == ["summary", "svg", "note", "table"]
    assert [block["kind"] for block in profile.view_data()["blocks"]] == ["summary", "svg", "table"]
    assert isinstance(plan.view_data()["blocks"][-1]["frame"], pd.DataFrame)
    assert repr(plan) in plan._repr_mimebundle_()["text/plain"]
