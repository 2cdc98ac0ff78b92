"""Widgets, modules and extension agree on names: one state, one file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from workbench.notebook.widgets import CurveWidget, GanttWidget, PlayerWidget, RankedWidget, RunWidget, TimelineWidget

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "workbench" / "notebook" / "static"
LAB = ROOT / "extensions" / "workbench-lab"

STATES = {
    "player": "asset mime source width height fps time offset regions hits frames",
    "timeline": "lanes bars duration searched skipped selected time",
    "gantt": "lanes bars kinds unit",
    "ranked": "columns rows details sort selected page total key live",
    "curve": (
        "title status running stopping now series x_label x_unit x_log y_label target band marks projection facts "
        "shares foot"
    ),
    "run": "run_id title state done total unit rate eta_s stage workers elapsed message stopping",
}
CLASSES = {
    "curve": CurveWidget,
    "gantt": GanttWidget,
    "player": PlayerWidget,
    "ranked": RankedWidget,
    "timeline": TimelineWidget,
    "run": RunWidget,
}


@pytest.mark.parametrize("module", STATES)
def test_synced_traits_are_the_state(module: str) -> None:
    kind = CLASSES[module]
    synced = {name for name in kind.class_trait_names(sync=True) if not name.startswith("_")}
    assert synced - {"layout", "tabbable", "tooltip"} == set(STATES[module].split())


@pytest.mark.parametrize("module", STATES)
def test_modules_read_nothing_else(module: str) -> None:
    source = (STATIC / f"{module}.js").read_text("utf-8")
    read = set(re.findall(r"model\.(?:get|set)\('(\w+)'", source))
    assert read <= set(STATES[module].split())


@pytest.mark.parametrize("module", STATES)
def test_widgets_carry_the_module_itself(module: str) -> None:
    widget = CLASSES[module]()
    assert widget._esm == (STATIC / f"{module}.js").read_text("utf-8")
    widget.close()


def test_unknown_numbers_are_none() -> None:
    widget = RunWidget(total=None, eta_s=None, rate=None)
    assert (widget.total, widget.eta_s, widget.rate, widget.stopping) == (None, None, None, False)
    widget.close()


def test_selection_comes_and_goes() -> None:
    widget = TimelineWidget(selected=[1.0, 2.0])
    widget.selected = None
    assert widget.selected is None
    widget.close()


def test_the_extension_knows_each_module() -> None:
    modules = {path.stem for path in STATIC.glob("*.js")}
    assert {path.name.removesuffix(".d.ts") for path in (LAB / "src" / "esm").glob("*.d.ts")} == modules
    view = (LAB / "src" / "view.ts").read_text("utf-8")
    assert set(re.findall(r"from './esm/(\w+)\.js'", view)) == modules


def test_the_extension_ships_the_same_bytes() -> None:
    copies = LAB / "lib" / "esm"
    if not copies.is_dir():
        pytest.skip("the extension was not built in this folder")
    for path in STATIC.glob("*.js"):
        assert (copies / path.name).read_bytes() == path.read_bytes(), f"{path.name}: build the extension again"
