"""`%%vquery`: what it hands to the video functions, with these faked."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from tests.notebook.slow import Count
from workbench.engine.plan import Node, Plan
from workbench.engine.run import Run
from workbench.video import api

BODY = "class Any(Query):\n    thing: Object\n    where = thing.score > 0.5\n"


class Asked:
    """What the last call was given."""

    source: Any = None
    query: Any = None
    options: dict[str, Any]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    seen = Asked()

    def start_vquery(source: Any, query: Any, **options: Any) -> Run[Count]:
        seen.source, seen.query, seen.options = source, query, options
        return Run.start(lambda run: Count(2, 2), kind="vquery", title="faked", unit="frames")

    def explain(source: Any, query: Any, **options: Any) -> Plan:
        seen.source, seen.query, seen.options = source, query, options
        return Plan(Node("decode", str(source)))

    monkeypatch.setattr(api, "start_vquery", start_vquery)
    monkeypatch.setattr(api, "explain", explain)
    return seen


DEFAULTS = {"detector": None, "start": None, "end": None, "every": 1, "limit": None, "accuracy": None, "fresh": False}


def given(asked: Asked) -> dict[str, Any]:
    return {name: value for name, value in asked.options.items() if name != "namespace"}


def test_defaults(front: Any, asked: Asked) -> None:
    value = front.value(f"%%vquery cam1.mp4 -o red\n{BODY}")
    assert asked.source == "cam1.mp4" and given(asked) == DEFAULTS
    assert asked.query.__name__ == "Any" and asked.options["namespace"] is front.shell.user_ns
    assert front.names["red"] is value


def test_all_options(front: Any, asked: Asked) -> None:
    front.value(
        "%%vquery cam1.mp4 --from 30s --to 01:30 --every 2 --limit 20 --accuracy 0.9 --detector motion --fresh\n" + BODY
    )
    assert given(asked) == {
        "detector": "motion", "start": "30s", "end": "01:30", "every": 2, "limit": 20, "accuracy": 0.9, "fresh": True
    }  # fmt: skip


def test_a_bare_name_is_a_file_then_a_variable_then_text(
    front: Any, asked: Asked, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clip = object()
    front.shell.user_ns.update(clip=clip, kept=type("Kept", (), {"clip": clip})())
    front.value(f"%%vquery clip\n{BODY}")
    assert asked.source is clip
    front.value(f"%%vquery kept.clip\n{BODY}")
    assert asked.source is clip
    (tmp_path / "clip").touch()
    front.value(f"%%vquery clip\n{BODY}")
    assert asked.source == "clip"
    front.value(f"%%vquery {{clip}}\n{BODY}")
    assert asked.source is clip
    front.value(f"%%vquery nothing\n{BODY}")
    assert asked.source == "nothing"


def test_a_source_by_reference_is_never_looked_up_again(front: Any, asked: Asked) -> None:
    front.shell.user_ns.update(name="other", other=object())
    front.value(f"%%vquery {{name}}\n{BODY}")
    assert asked.source == "other"


def test_a_detector_may_be_a_variable(front: Any, asked: Asked) -> None:
    boxes = pd.DataFrame({"frame": [0], "x1": [0.0], "y1": [0.0], "x2": [1.0], "y2": [1.0]})
    front.shell.user_ns.update(boxes=boxes, motion=boxes)
    front.value(f"%%vquery a.mp4 --detector boxes\n{BODY}")
    assert asked.options["detector"] is boxes
    front.value(f"%%vquery a.mp4 --detector motion\n{BODY}")
    assert asked.options["detector"] == "motion"
    front.value(f"%%vquery a.mp4 --detector {{motion}}\n{BODY}")
    assert asked.options["detector"] is boxes


def test_what_the_cell_declares_becomes_variables(front: Any, asked: Asked) -> None:
    front.value(f"%%vquery a.mp4\nyard = Region((0, 0), (9, 0), (9, 9))\n{BODY}")
    assert "yard" in front.names and front.names["Any"] is asked.query


def test_n27_a_wrong_body_says_where_and_runs_nothing(front: Any, asked: Asked) -> None:
    assert front.error("%%vquery a.mp4\nclass Red(Query):\n    car: Car\n    where = car.colour == 'red'\n") == [
        "Car has no property 'colour' (line 3).",
        "        where = car.colour == 'red'",
        "                ^",
        "Did you mean 'color'?",
    ]
    assert asked.source is None


def test_explain_gives_the_plan_and_runs_nothing(front: Any, asked: Asked) -> None:
    value = front.value(f"%%vquery a.mp4 --explain -o plan\n{BODY}")
    assert isinstance(value, Plan) and front.names["plan"] is value
    assert set(given(asked)) == set(DEFAULTS) - {"fresh"} and front.shown == []


def test_live_follows_the_source_in_the_background(front: Any, asked: Asked) -> None:
    from workbench.video.source_live import LiveSource

    value = front.value(f"%%vquery camera:0 --live -o red\n{BODY}")
    assert isinstance(asked.source, LiveSource) and asked.source.name == "camera:0"
    assert isinstance(value, Run) and front.names["red"] is value and given(asked) == DEFAULTS
    assert isinstance(front.value(f"%%vquery camera:0\n{BODY}"), Count)


def test_wrong_values_are_told_by_the_functions_themselves(front: Any) -> None:
    assert front.error(f"%%vquery a.mp4 --every 0\n{BODY}") == [
        "every must be a whole number of at least 1, got 0.", "Use every=1 for each frame."
    ]  # fmt: skip


def test_no_video(front: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert front.error(f"%%vquery cam*.mp4\n{BODY}")[0] == "No video matches 'cam*.mp4'."
