"""Names and units of columns."""

from __future__ import annotations

import pytest

from workbench.engine.units import Dimension
from workbench.video.language.items import item_columns
from workbench.video.language.tree import Aggregate, Constant, Every, Node, Property, RegionOf

S = Dimension(s=1)
NAMES = [
    (Property("car", "id"), ("car_id",)),
    (Property("bag", "box"), ("bag_x1", "bag_y1", "bag_x2", "bag_y2")),
    (Property("bag", "center"), ("bag_center_x", "bag_center_y")),
    (Property("bag", "foot"), ("bag_foot_x", "bag_foot_y")),
    (Property("", "duration", S), ("duration",)),
    (Aggregate("count"), ("count",)),
    (Aggregate("count", Property("person", "id")), ("count_person_id",)),
    (Aggregate("max", Property("taxi", "speed")), ("max_taxi_speed",)),
    (Aggregate("mean", Property("", "duration", S)), ("mean_duration",)),
    (Every(60.0), ("start", "end")),
    (RegionOf("car", ()), ("region",)),
]


@pytest.mark.parametrize(("item", "columns"), NAMES)
def test_columns(item: Node, columns: tuple[str, ...]) -> None:
    assert item_columns(item) == columns


def test_other_nodes_are_no_items() -> None:
    with pytest.raises(TypeError, match="Constant is no item"):
        item_columns(Constant(1))
