"""The state of a run's chart: what the live widget, the saved notebook and the report all show."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.tta.live_state import EARLIER, POINTS, LiveState, series_of, state_of
from workbench.tta.price import Price
from workbench.tta.projection import Projection, unknown
from workbench.tta.record import Record, evals_table, spans_table
from workbench.tta.run import Run
from workbench.tta.runs import Runs


def record(values: list[float], *, target: float = 94.0, n: int | None = 10_000, **more: Any) -> Record:
    rows = [
        {
            "eval": i, "step": i, "metric": "top1", "value": v, "n": n, "wall_s": 1.5 * (i + 1), "dawnbench_s": i + 1.0,
        }
        for i, v in enumerate(values)
    ]  # fmt: skip
    more = {"id": "r0", "name": "resnet9", "seed": 0, "clock": "dawnbench", "clocks": ("wall", "dawnbench"), **more}
    return Record(metric="top1", target=target, evals=evals_table(rows), **more)


def facts(state: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {fact["label"]: (fact["value"], fact["note"]) for fact in state["facts"]}


def test_c57_a_run_that_goes_on() -> None:
    projection = Projection(True, 12.0, 14.0, math.inf, 12, 11, text="12 s or never, from 12 earlier runs; 11 reached")
    now = {"seconds": 3.2, "cost_usd": 0.0031, "energy_j": 1234.0, "projection": projection, "stopping": False}
    live = record([71.3, 90.0, 93.2], state="running", price=Price(3.06), steps=24, warnings=("careful\nread it",))
    state = state_of(live, now=now)
    assert state["title"] == "resnet9 seed 0: top1 >= 94" and state["status"] == "running"
    assert state["running"] and state["now"] == 3.2 and state["notes"] == ["careful\nread it"]
    assert state["projection"] == {
        "known": True, "low": 12.0, "median": 14.0, "high": None,
        "text": "12 s or never, from 12 earlier runs; 11 reached",
    }  # fmt: skip
    assert facts(state) == {
        "Now": ("3.2 s", "step 2 of 24"), "top1": ("93.20 ± 0.49", "best 93.20"),
        "Cost so far": ("$0.0031", "$3.06/h"), "Energy so far": ("1.23 kJ", ""),
    }  # fmt: skip
    [series] = state["series"]
    assert series["x"] == [1.0, 2.0, 3.0] and series["labels"] == ["step 0", "step 1", "step 2"]
    error = 1.96 * math.sqrt(0.932 * 0.068 / 10_000) * 100
    assert series["lo"][2] == pytest.approx(93.2 - error) and series["hi"][2] == pytest.approx(93.2 + error)
    assert json.dumps(state, allow_nan=False)


def test_c12_what_cannot_be_told_says_why() -> None:
    state = state_of(record([], state="running"), now={"seconds": 0.4, "projection": unknown("no evaluation yet")})
    assert state["series"] == [] and state["status"] == "running, no evaluation yet"
    assert state["projection"]["text"] == "cannot tell: no evaluation yet" and not state["projection"]["known"]
    assert facts(state)["top1"] == ("none yet", "no evaluation yet")


def test_c58_first_and_confirmed_stand_side_by_side() -> None:
    spans = spans_table(
        [
            {"kind": "train", "start_s": 0, "end_s": 9, "seconds": 9.0, "depth": 0},
            {"kind": "eval", "start_s": 9, "end_s": 10, "seconds": 1.0, "depth": 0},
        ]
    )
    ended = record(
        [90, 94.0, 93.9, 94.2, 94.3, 93.0], price=Price(3.06, date="2026-11-01"), spans=spans, gap=-0.4,
        state="finished", environment={"energy": "no counter"},
    )  # fmt: skip
    state = state_of(ended)
    assert not state["running"] and state["projection"] is None and state["now"] is None
    assert facts(state) == {
        "TTA, first crossing": ("2 s", "step 1, 94.00 ± 0.47"), "Confirmed by 2": ("5 s", "step 4"),
        "Unstable": ("2 later", "evaluations below"), "Cost": ("$0.0017", "$3.06/h on demand, user, 2026-11-01"),
        "Gap": ("-0.40", "on fresh data"), "Hidden": ("50 %", "of it lies between two evaluations"),
    }  # fmt: skip
    levels = {fact["label"]: fact["level"] for fact in state["facts"]}
    assert levels["Unstable"] == levels["Gap"] == "warning" and levels["TTA, first crossing"] == ""
    assert state["shares"] == [
        {"name": "train", "value": 9.0, "counted": True, "text": "9 s"},
        {"name": "eval", "value": 1.0, "counted": False, "text": "1 s not counted"},
    ]
    assert state["marks"] == [{"x": 2.0, "label": "2 s"}, {"x": 5.0, "label": ""}]
    assert state["foot"] == (
        "Rule: first evaluation with top1 >= 94, dawnbench clock (eval and checkpoint not counted). "
        "Energy not measurable: no counter."
    )


def test_a_miss_names_the_best_and_no_time() -> None:
    state = state_of(record([90.0, 93.87, 92.0], state="finished"))
    assert facts(state)["TTA"] == ("not reached", "best 93.87 at 2 s, 0.13 below")
    assert state["marks"] == [] and "No price: listed by time only." in state["foot"]
    assert facts(state_of(record([math.nan], state="failed")))["TTA"] == ("none", "NaN in every evaluation")
    assert facts(state_of(record([])))["TTA"] == ("none", "no evaluation was logged")
    spot = state_of(record([95.0], price=Price(1.0, kind="spot")))
    assert "boards rank by on-demand" in spot["foot"]
    assert [fact["level"] for fact in spot["facts"] if fact["label"] == "Cost"] == ["warning"]


def test_c60_earlier_runs_are_grey_and_bounded() -> None:
    own = record([90.0, 95.0], id="own")
    others = [record([80.0 + i / 10] * 500, id=f"r{i}") for i in range(EARLIER + 5)]
    other_metric = replace(own, id="x", metric="loss")
    state = state_of(own, earlier=[*others, own, other_metric])
    assert [one.get("role") for one in state["series"]] == ["history"] * EARLIER + [None]
    assert all(len(one["x"]) <= 200 for one in state["series"])


@settings(max_examples=15, deadline=None)
@given(st.integers(POINTS + 1, 3 * POINTS), st.integers(0, 2**32), st.floats(0, 1))
def test_a_long_curve_keeps_its_peaks(size: int, seed: int, missing: float) -> None:
    rng = np.random.default_rng(seed)
    values = np.where(rng.random(size) < missing, math.nan, 100 * rng.random(size)).tolist()
    series = series_of(record(values))
    assert len(series["x"]) <= POINTS
    known = [v for v in values if not math.isnan(v)]
    if known:
        shown = [v for v in series["y"] if v is not None]
        assert max(shown) == max(known) and min(shown) == min(known)


def test_c58_a_run_is_shown_in_all_forms() -> None:
    from workbench.notebook.display import mimebundle

    run = Run(record([90, 94.0, 94.2], notes=("lr <b>0.1</b>",), warnings=("one\ntwo",), environment={"a": {"b": 1}}))
    bundle = mimebundle(run)
    text, html = str(bundle["text/plain"]), str(bundle["text/html"])
    assert text.startswith(
        "resnet9 seed 0: top1 >= 94 reached at 2 s (step 1, 94.00 +- 0.47), confirmed by 2: at 3 s\n"
    )
    assert "dawnbench clock; stable" in text and "warning: one\ntwo" in text and "note: lr <b>0.1</b>" in text
    assert "TTA, first crossing" in html and "Confirmed by 2" in html and "lr &lt;b&gt;0.1" in html
    assert (
        "Rule: first evaluation with top1 &gt;= 94" in html
        and "a.b" in html
        and "http://" not in html.replace("http://www.w3.org/2000/svg", "")
    )
    [view] = bundle["application/vnd.workbench.view+json"]["views"]  # type: ignore[index]
    assert view["module"] == "curve" and view["state"]["target"] == 94.0
    assert mimebundle(run) == bundle


def test_c58_runs_are_shown_together() -> None:
    several = Runs([Run(record([90.0, 94.0 + i], id=f"r{i}", seed=i)) for i in range(3)])
    blocks = several.view_data()["blocks"]
    assert [block["kind"] for block in blocks] == ["summary", "curve", "table", "table"]
    state = blocks[1]["state"]
    assert [one["name"] for one in state["series"]] == ["resnet9/0", "resnet9/1", "resnet9/2"] and not state["x_log"]
    assert "cost_usd" not in blocks[3]["frame"] and list(blocks[3]["frame"]["seed"]) == [0, 1, 2]
    many = Runs([Run(record([90.0, 95.0], id=f"r{i}", seed=i)) for i in range(9)])
    assert {one["role"] for one in many.view_data()["blocks"][1]["state"]["series"]} == {"history"}
    assert Runs([]).view_data()["blocks"][0]["kind"] == "table"


def test_c57_while_nothing_is_logged_only_the_clock_moves() -> None:
    asked = []

    class Tracked:
        version, seconds = 0, 1.0

        def live(self) -> dict[str, Any]:
            return {"version": self.version, "seconds": self.seconds, "cost_usd": 0.1, "stopping": False}

        def live_record(self) -> Record:
            asked.append(self.version)
            return record([90.0] * (1 + self.version), state="running")

    tracked = Tracked()
    state = LiveState(tracked)
    first = state()
    tracked.seconds = 2.0
    second = state()
    assert asked == [0] and (first["now"], second["now"]) == (1.0, 2.0) and facts(second)["Now"][0] == "2 s"
    assert second["series"] is first["series"]
    tracked.version = 1
    assert len(state()["series"][0]["x"]) == 2 and asked == [0, 1]
