"""The labels of the built-in detectors, and which of them are tracked together."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

__all__ = ["BAGS", "COCO", "SMALL", "VEHICLES", "closest_labels", "track_groups"]

#: The 80 classes of COCO in the order of the detectors' outputs.
COCO: tuple[str, ...] = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip

VEHICLES = ("car", "truck", "bus", "motorcycle")
BAGS = ("backpack", "handbag", "suitcase")
#: Small things, which detectors see with lower scores: they have thresholds of their own.
SMALL = (*BAGS, "sports ball")

#: Everyday words that no detector has, and the labels that come nearest in meaning.
_RELATED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("forklift", "van", "lorry", "pickup", "tractor", "excavator", "ambulance"), ("truck", "car")),
    **dict.fromkeys(("taxi", "suv", "cab", "jeep", "limousine"), ("car", "truck")),
    **dict.fromkeys(("tram", "metro", "locomotive"), ("train", "bus")),
    **dict.fromkeys(("coach", "minibus"), ("bus", "car")),
    **dict.fromkeys(("bike", "cyclist", "scooter", "moped", "motorbike"), ("bicycle", "motorcycle")),
    **dict.fromkeys(("man", "woman", "child", "pedestrian", "human", "people", "worker", "face", "head"), ("person",)),
    **dict.fromkeys(("bag", "luggage", "purse", "parcel", "package", "box"), ("suitcase", "handbag", "backpack")),
    **dict.fromkeys(("ball", "football", "basketball"), ("sports ball",)),
    **dict.fromkeys(("phone", "smartphone", "mobile"), ("cell phone",)),
    **dict.fromkeys(("plane", "aircraft", "drone", "helicopter"), ("airplane",)),
    **dict.fromkeys(("ship", "ferry", "yacht", "canoe"), ("boat",)),
    **dict.fromkeys(("table", "desk"), ("dining table",)),
    **dict.fromkeys(("sofa",), ("couch",)),
    **dict.fromkeys(("monitor", "screen", "television", "display"), ("tv",)),
}  # fmt: skip


def track_groups(labels: Sequence[str], *, together: bool = False) -> list[tuple[int, ...]]:
    """Return the groups of label indices that are tracked together.

    Parameters
    ----------
    labels : sequence of str
        The detector's labels in class order.
    together : bool
        Put all of them in one group (detectors whose label is a guess from the shape of each box).

    Returns
    -------
    list of tuple of int
        Each index once, groups by their first index: vehicles together, bags together, each other label alone.
    """
    if together:
        return [tuple(range(len(labels)))] if labels else []
    groups: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        family = "<vehicles>" if label in VEHICLES else "<bags>" if label in BAGS else label
        groups.setdefault(family, []).append(index)
    return [tuple(members) for members in groups.values()]


def closest_labels(label: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Return the labels of `known` nearest to `label`: in meaning where that is known, else in spelling."""
    have = sorted(set(known))
    related = [near for near in _RELATED.get(label.lower(), ()) if near in have]
    return related or difflib.get_close_matches(label.lower(), have, n=count, cutoff=0.0)
