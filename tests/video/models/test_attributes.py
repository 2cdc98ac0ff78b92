"""Colour words, and the network for the colour and kind of vehicles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.video.models import reference
from tests.video.models.mirror import mirrored, needs_mirror
from workbench.engine.errors import WorkbenchError
from workbench.video.models.attributes import KINDS, pixel_property
from workbench.video.models.colour import COLOURS, colour_words

#: BGR
PAINTS = {
    "white": (235, 240, 238),
    "gray": (120, 125, 122),
    "yellow": (40, 200, 230),
    "red": (40, 30, 180),
    "green": (60, 150, 50),
    "blue": (180, 80, 30),
    "black": (25, 20, 22),
}


@pytest.mark.parametrize("word", COLOURS)
def test_a_painted_crop_has_its_colour_in_sun_and_shade(word: str) -> None:
    random = np.random.default_rng(1)
    for light in (1.0, 0.8) if word in ("white", "gray", "black") else (1.1, 1.0, 0.6):
        crop = np.full((40, 60, 3), 110.0)  # the road around it
        crop[8:32, 12:48] = np.array(PAINTS[word]) * light
        noisy = np.clip(crop + random.normal(0, 4, crop.shape), 0, 255).astype(np.uint8)
        assert colour_words(noisy) == word


def test_a_red_car_with_dark_windows_is_red() -> None:
    crop = np.full((40, 40, 3), PAINTS["red"], np.uint8)
    crop[12:28, 10:22] = (30, 30, 30)
    assert colour_words(crop) == "red"


def test_a_person_has_the_colour_of_the_upper_body() -> None:
    crop = np.full((80, 30, 3), 110, np.uint8)
    crop[12:40] = PAINTS["yellow"]
    crop[40:] = PAINTS["blue"]
    assert colour_words(crop, part="torso") == "yellow"
    assert pixel_property("color", "Person")([crop]) == ["yellow"]


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 5, 3), (1, 300, 3)])
def test_crops_of_any_size_have_a_colour(shape: tuple[int, ...]) -> None:
    assert colour_words(np.full(shape, 255, np.uint8)) == "white"
    assert colour_words(np.zeros(shape, np.uint8), part="torso") == "black"


@needs_mirror
def test_a_vehicle_by_the_network() -> None:
    x1, y1, x2, y2 = (round(side) for side in json.loads(reference.FILE.read_text())["yolox-nano"][1][0][:4])
    crop = reference.picture(*reference.PICTURES[1])[y1:y2, x1:x2]  # a white car from above
    for name, words in (("color", COLOURS), ("kind", KINDS)):
        model = pixel_property(name, "Car")
        assert (model.name, model.once) == (name, True)
        together = model([crop, crop[::2, ::2], crop[40:120]])
        assert set(together) <= set(words)
        assert together == [model([one])[0] for one in (crop, crop[::2, ::2], crop[40:120])]
    assert pixel_property("color", "Vehicle")([crop]) == ["white"]
    assert pixel_property("kind", "Vehicle").version != pixel_property("color", "Vehicle").version
    assert model([]) == []
    # The network is sure that plain gray paint is white; nothing in it is bright, though.
    gray = np.full((60, 90, 3), 90, np.uint8)
    gray[10:50, 8:82] = 145
    gray[18:30, 20:70] = 40
    assert pixel_property("color", "Car")([gray]) == ["gray"]


def test_without_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORKBENCH_MIRROR", str(tmp_path))
    colour = pixel_property("color", "Car")
    assert colour.version.startswith("hsv/")
    assert colour.notes == (
        (
            "The weights for the colour of vehicles cannot be had; color is told by hue, which is cruder.",
            "Run workbench fetch vehicle-attributes, or set WORKBENCH_MIRROR.",
        ),
    )
    assert not pixel_property("color", "Object").notes
    with pytest.raises(WorkbenchError, match="vehicle-attributes cannot be had"):
        pixel_property("kind", "Car")
    with pytest.raises(WorkbenchError, match="person-reidentification cannot be had"):
        pixel_property("embedding", "Person")


@needs_mirror
def test_persons_are_nearer_to_themselves_than_to_others() -> None:
    from workbench.video.models.given import read_mot
    from workbench.video.operators.crops import crop_images
    from workbench.video.source import VideoSource

    boxes = read_mot(mirrored("truth/TUD-Stadtmitte.gt.txt"))
    frames = (20, 50, 80, 110, 140)
    shown = boxes[boxes["frame"].isin(frames) & (boxes["x1"] > 0) & (boxes["x2"] < 640)]
    sides = shown[["x1", "y1", "x2", "y2"]].to_numpy()
    source = VideoSource(mirrored("clips/TUD-Stadtmitte_h264.mp4"))
    crops = list(crop_images(source, shown["frame"].to_numpy(), sides))
    model = pixel_property("embedding", "Person")
    assert (model.name, model.once) == ("embedding", True)
    vectors = model(crops)
    assert all(vector.shape == (256,) and vector.dtype == np.float32 for vector in vectors)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert all(np.array_equal(model([crop])[0], vector) for crop, vector in zip(crops[:3], vectors, strict=False))
    alike = np.array(vectors) @ np.array(vectors).T
    first, second = np.triu_indices(len(vectors), 1)
    same = shown["id"].to_numpy()[first] == shown["id"].to_numpy()[second]
    own, others = alike[first, second][same], alike[first, second][~same]
    assert len(own) >= 15
    assert (own[:, None] > others[None, :]).mean() > 0.75  # the area under the curve; .869 over all of the clip's


def test_no_other_property() -> None:
    with pytest.raises(WorkbenchError, match="There is no built-in property 'shape' that reads pixels"):
        pixel_property("shape", "Car")
