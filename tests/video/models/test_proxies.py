"""Proxies: registering, which queries get them, and what they must return."""

from __future__ import annotations

import numpy as np
import pytest

import workbench as wb
from workbench.engine.errors import WorkbenchError
from workbench.video.models import proxies
from workbench.video.models.proxies import proxies_for, register_proxy

IMAGE = np.full((4, 6, 3), 7, np.uint8)


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxies, "_PROXIES", {})


def brightness(images: list[np.ndarray]) -> list[float]:
    return [float(image.mean()) for image in images]


def test_they_are_listed_in_order_and_replaced_by_name() -> None:
    wb.video.register_proxy("bright", brightness, labels="car")
    wb.video.register_proxy("any", brightness)
    wb.video.register_proxy("bright", brightness, labels=["car", "truck"])
    table = wb.video.proxies()
    assert table.to_dict("list") == {"name": ["bright", "any"], "labels": [["car", "truck"], []]}
    assert str(table["name"].dtype) == "str"


def test_a_query_gets_those_that_speak_for_all_its_types() -> None:
    register_proxy("cars", brightness, labels=("car", "truck"))
    register_proxy("persons", brightness, labels=iter(["person"]))
    register_proxy("any", brightness)

    def names(*types: tuple[str, ...] | None) -> list[str]:
        return [proxy.name for proxy in proxies_for(types)]

    assert names(("car",)) == ["cars", "any"]
    assert names(("car",), ("truck",)) == ["cars", "any"]
    assert names(("car",), ("person",)) == ["any"]
    assert names(("car", "bus")) == ["any"]
    assert names(None) == ["any"]


def test_scores_are_one_number_for_each_picture() -> None:
    register_proxy("bright", brightness)
    register_proxy("sure", lambda images: np.array([True] * len(images)))
    register_proxy("few", lambda images: [1.0])
    register_proxy("one", lambda images: 1.0)
    by_name = {proxy.name: proxy for proxy in proxies_for([None])}
    assert by_name["bright"].scores([IMAGE, 2 * IMAGE]).tolist() == [7.0, 14.0]
    assert by_name["sure"].scores([IMAGE]).tolist() == [1.0]
    for name, found in (("few", "1 scores"), ("one", "float")):
        with pytest.raises(WorkbenchError) as caught:
            by_name[name].scores([IMAGE, IMAGE])
        assert caught.value.lines() == [
            f"The proxy {name} returned {found} for 2 images.", "Return one number for each image.",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "function", "lines"),
    [
        ("red", 3, ["The proxy 'red' needs a function, got int.", "f(images)."]),
        (
            "background",
            brightness,
            ["'background' is the built-in test of frames.", "Register yours under another name."],
        ),
    ],
)
def test_mistakes_are_said(name: str, function: object, lines: list[str]) -> None:
    with pytest.raises(WorkbenchError) as caught:
        register_proxy(name, function)  # type: ignore[arg-type]
    assert caught.value.lines() == lines


def test_a_version_stands_for_what_cannot_be_fingerprinted() -> None:
    lock = __import__("threading").Lock()

    def locked(images: list[np.ndarray]) -> list[float]:
        with lock:
            return [1.0 for _ in images]

    register_proxy("locked", locked)
    register_proxy("told", locked, version="2")
    without, told = proxies_for([None])
    assert without.version == ""
    assert without.notes == (
        ("locked reads 'lock', which cannot be fingerprinted; not cached.", 'Pass version="..." to register_proxy().'),
    )
    assert told.version.endswith("/2")
    assert told.notes == ()
