"""The detectors that come with the package: what they need, and how they are built."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from workbench.engine.errors import WorkbenchError
from workbench.video.models.base import DetectorSpec, Loaded
from workbench.video.models.hog import load_hog
from workbench.video.models.labels import COCO
from workbench.video.models.motion import LABELS as MOTION_LABELS
from workbench.video.models.motion import WINDOW, load_motion

__all__ = ["ASSETS", "builtin_names", "builtin_spec", "load_onnx"]

#: Assets that a detector is made from, the best first: any one of them will do.
ASSETS: dict[str, tuple[str, ...]] = {
    "yolox-nano": ("yolox-nano-dynamic", "yolox-nano"),
    "nanodet": ("nanodet",),
    "fastestdet": ("fastestdet",),
    "light-person": ("light-person",),
}
#: Layout, labels, long side of the input, threshold, tracking, tracking of bags and balls. The scores of tracking but
#: yolox-nano's were chosen by MOTA on TUD-Stadtmitte: .68 nanodet, .62 fastestdet, .79 light-person, .58 hog-person.
_ONNX = {
    "yolox-nano": ("yolox", COCO, 416, 0.3, (0.3, 0.6, 0.7), (0.2, 0.4, 0.5)),
    "nanodet": ("nanodet", COCO, 416, 0.3, (0.3, 0.45, 0.55), (0.2, 0.4, 0.5)),
    "fastestdet": ("fastestdet", COCO, 352, 0.3, (0.4, 0.7, 0.8), (0.3, 0.5, 0.6)),
    "light-person": ("yolox", ("person",), 192, 0.3, (0.3, 0.5, 0.6), None),
}
#: Raised when a built-in detector would give other boxes from the same weights.
_CODE = "1"


def builtin_names() -> tuple[str, ...]:
    """Return their names, in the order in which a stand-in for a missing label is looked for."""
    return (*_ONNX, "hog-person", "motion")


@cache
def builtin_spec(name: str) -> DetectorSpec:
    """Return the description of a built-in detector; nothing is fetched or loaded."""
    if name == "motion":
        return DetectorSpec(
            name, MOTION_LABELS, f"motion/{_CODE}", load_motion, size=270, batch=64, together=True, suitcases=True,
            window=WINDOW,
        )  # fmt: skip
    if name == "hog-person":
        return DetectorSpec(
            name, ("person",), f"hog-person/{_CODE}", load_hog, size=480, tracking=(0.2, 0.4, 0.5)
        )  # fmt: skip
    from workbench.engine.fetch import asset
    from workbench.video.models.onnx import provider

    _, labels, size, threshold, tracking, small = _ONNX[name]
    weights = asset(ASSETS[name][-1]).sha256[:16]
    where = provider()
    return DetectorSpec(
        name, labels, f"{name}/{_CODE}/{weights}", load_onnx, size=size, threshold=threshold, tracking=tracking,
        small=small, provider=where, batch=16 if where == "cuda" else 1,
    )  # fmt: skip


def load_onnx(spec: DetectorSpec, threads: int) -> Loaded:
    """Build the detector of a spec: a built-in one, or one whose payload is (path, layout, some labels only)."""
    from workbench.video.models.onnx import OnnxDetector

    if spec.payload is not None:
        path, layout, some = spec.payload
        any_size = False
    else:
        layout = _ONNX[spec.name][0]
        path, any_size = _weights(spec.name)
        some = False
    return OnnxDetector(
        Path(path), spec.labels, layout, spec.size, batch=spec.batch if spec.provider == "cuda" else 1,
        threads=threads, where=spec.provider, any_size=any_size, some=some,
    )  # fmt: skip


def _weights(name: str) -> tuple[Path, bool]:
    """Return the file, and whether its input size must be freed: the same network, whichever file there is."""
    from workbench.engine.fetch import available, fetch

    choices = ASSETS[name]
    for asset in [choice for choice in choices if available(choice)] or choices:
        try:
            path = fetch(asset)
        except WorkbenchError:
            if asset == choices[-1]:
                raise
            continue
        return path, name == "yolox-nano" and asset == "yolox-nano"
    raise AssertionError("every detector has an asset")
