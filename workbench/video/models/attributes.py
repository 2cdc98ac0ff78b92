"""The built-in properties that need pixels: `color`, `kind` and `embedding`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from workbench.engine.errors import WorkbenchError
from workbench.video.models.base import Image, model_threads
from workbench.video.models.colour import COLOURS, central, colour_words

__all__ = ["KINDS", "PixelModel", "pixel_property"]

KINDS = ("car", "van", "truck", "bus")
_ASSET = "vehicle-attributes"
_PERSONS = "person-reidentification"
_TALL, _WIDE = 256, 128  # px, of the picture that the network of persons takes
_VEHICLES = ("Vehicle", "Car", "Truck", "Bus", "Motorcycle")
_SIDE = 72  # px, of the network's square input
_WHITE_FROM = 165  # brightness (0..255) that a quarter of a white vehicle's middle reaches, in shade too


class PixelModel(Protocol):
    """A property computed from crops."""

    name: str
    version: str  # part of cache keys
    batch: int  # most crops in one call
    once: bool  # one value for a whole track, by vote over its best crops
    notes: tuple[tuple[str, str], ...]  # what is to be announced

    def __call__(self, crops: Sequence[Image]) -> list[Any]:
        """Return a value for each crop (BGR)."""


class ColourWords:
    """`color` by hue, saturation and brightness."""

    name, batch, once = "color", 256, True

    def __init__(self, part: str, notes: tuple[tuple[str, str], ...] = ()) -> None:
        self.part, self.notes = part, notes
        self.version = f"hsv/1/{part}"

    def __call__(self, crops: Sequence[Image]) -> list[str]:
        return [colour_words(crop, part=self.part) for crop in crops]


class VehicleAttributes:
    """`color` or `kind` of vehicles by Intel's vehicle-attributes-recognition-barrier-0039.

    Source: Open Model Zoo, Apache-2.0; 72x72 BGR crops, one softmax for the colour and one for the kind.
    """

    batch, once = 32, True
    notes: tuple[tuple[str, str], ...] = ()

    def __init__(self, name: str) -> None:
        from workbench.engine.fetch import asset

        self.name = name
        self.version = f"{_ASSET}/2/{asset(_ASSET).sha256[:16]}/{name}"

    def __call__(self, crops: Sequence[Image]) -> list[str]:
        import cv2

        runtime = _runtime()
        found: list[str] = []
        names = COLOURS if self.name == "color" else KINDS
        for start in range(0, len(crops), self.batch):
            blob = np.stack(
                [
                    cv2.resize(crop, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR).transpose(2, 0, 1)
                    for crop in crops[start : start + self.batch]
                ]
            ).astype(np.float32)
            (scores,) = runtime.run(["color" if self.name == "color" else "type"], {"input": blob})
            found += [names[index] for index in scores.reshape(len(blob), -1).argmax(axis=1)]
        if self.name == "color":
            found = [_dimmed(word, crop) for word, crop in zip(found, crops, strict=True)]
        return found


class PersonEmbedding:
    """`embedding` of persons by Intel's person-reidentification-retail-0248: 256 float32 of length 1.

    Source: Open Model Zoo, Apache-2.0; 256x128 BGR crops, channels last. Crops go one by one: in batches the network's
    answers are off by 0.02.
    """

    name, batch, once = "embedding", 32, True
    notes: tuple[tuple[str, str], ...] = ()

    def __init__(self) -> None:
        from workbench.engine.fetch import asset

        self.version = f"{_PERSONS}/1/{asset(_PERSONS).sha256[:16]}"

    def __call__(self, crops: Sequence[Image]) -> list[NDArray[np.float32]]:
        import cv2

        runtime, found = _runtime(_PERSONS), []
        for crop in crops:
            scaled = cv2.resize(crop, (_WIDE, _TALL), interpolation=cv2.INTER_LINEAR).astype(np.float32)
            (answer,) = runtime.run(None, {runtime.get_inputs()[0].name: scaled[None]})
            vector = answer.reshape(-1).astype(np.float32)
            found.append(vector / max(float(np.linalg.norm(vector)), 1e-12))
        return found


def _dimmed(word: str, crop: Image) -> str:
    """Call a white that is not bright gray: the network takes plain gray paint for white, with full confidence."""
    if word != "white":
        return word
    return "gray" if np.percentile(central(crop, "middle").max(axis=2), 75) < _WHITE_FROM else word


_RUNTIMES: dict[tuple[str, int], Any] = {}
_LOCK = threading.Lock()


def _runtime(name: str = _ASSET) -> Any:
    from workbench.engine.fetch import fetch
    from workbench.video.models.onnx import open_runtime

    threads = model_threads()
    with _LOCK:
        if (name, threads) not in _RUNTIMES:
            _RUNTIMES[name, threads] = open_runtime(fetch(name).read_bytes(), threads)
        return _RUNTIMES[name, threads]


def pixel_property(name: str, type_name: str) -> PixelModel:
    """Return the model of a built-in property for objects of a type.

    Parameters
    ----------
    name : "color", "kind" or "embedding"
    type_name : str
        The built-in type that the object's type is or derives from: `Vehicle` (or one below it), `Person`, another.

    Raises
    ------
    WorkbenchError
        If the weights of `kind` or `embedding` cannot be had; `color` falls back to words by hue, with a note.
    """
    from workbench.engine.fetch import fetch

    if name == "kind":
        fetch(_ASSET)
        return VehicleAttributes("kind")
    if name == "embedding":
        fetch(_PERSONS)
        return PersonEmbedding()
    if name != "color":
        raise WorkbenchError(f"There is no built-in property '{name}' that reads pixels.", "Did you mean 'color'?")
    if type_name == "Person":
        return ColourWords("torso")
    if type_name not in _VEHICLES:
        return ColourWords("middle")
    try:
        fetch(_ASSET)
    except WorkbenchError as error:
        if "wrong hash" in error.message:
            raise
        return ColourWords(
            "middle",
            (
                (
                    "The weights for the colour of vehicles cannot be had; color is told by hue, which is cruder.",
                    f"Run workbench fetch {_ASSET}, or set WORKBENCH_MIRROR.",
                ),
            ),
        )
    return VehicleAttributes("color")
