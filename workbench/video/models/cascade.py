"""A detector behind tests: frames that fail one are taken for empty, the others are looked at, perhaps smaller."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from workbench.engine import store as artefacts
from workbench.video.models.base import DetectionSession, DetectorSpec, Floats, Image, Loaded
from workbench.video.models.builtin import load_onnx
from workbench.video.models.callables import load_callable
from workbench.video.models.proxies import Proxy
from workbench.video.operators.skip import Background, small_picture
from workbench.video.plan.canary import Cascade

__all__ = ["Gate", "Known", "cascade_spec", "known_digest", "scalable", "smaller"]

#: what a frame was found to hold: boxes (k, 5) of x1 y1 x2 y2 score, and their labels
Known = tuple[Floats, tuple[str, ...]]


@dataclass(frozen=True)
class Gate:
    """What a worker needs to do what a `Cascade` says.

    Attributes
    ----------
    inner : DetectorSpec
        The detector for the frames that pass.
    cascade : Cascade
    background : Background or None
    proxies : tuple of Proxy
    known : Mapping
        Frames of the canary, whose boxes are known already, at full quality.
    """

    inner: DetectorSpec
    cascade: Cascade
    background: Background | None = None
    proxies: tuple[Proxy, ...] = ()
    known: Mapping[int, Known] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        spec: DetectorSpec,
        cascade: Cascade,
        background: Background | None,
        proxies: Sequence[Proxy],
        known: Mapping[int, Known],
    ) -> Gate:
        """Return the gate of a cascade before a detector, with those tests that the cascade has."""
        names = {skip.name for skip in cascade.skips}
        return cls(
            smaller(spec, cascade.scale),
            cascade,
            background if "background" in names else None,
            tuple(proxy for proxy in proxies if proxy.name in names),
            known,
        )

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        """The person's own functions that travel to the workers."""
        return (*self.inner.functions, *(proxy.function for proxy in self.proxies))

    def passes(self, image: Image, time: float) -> bool:
        """Return whether a frame passes all tests; one that a test fails on does, so that nothing is lost by it."""
        for skip in self.cascade.skips:
            if skip.name == "background":
                if self.background is not None and self.background.score(small_picture(image), time) < skip.threshold:
                    return False
                continue
            proxy = next(proxy for proxy in self.proxies if proxy.name == skip.name)
            try:
                score = float(proxy.scores([image])[0])
            except (Exception, SystemExit):
                continue
            if score < skip.threshold:
                return False
        return True


class _Session:
    """The work on one source; `skipped` counts the frames that failed a test."""

    def __init__(self, gate: Gate, inner: Loaded, detect: DetectionSession, labels: list[str]) -> None:
        self.gate, self._inner, self._detect, self._labels = gate, inner, detect, labels
        self.skipped = 0

    def __call__(self, images: Sequence[Image], frames: Sequence[int], times: Sequence[float]) -> list[Floats]:
        found: list[Floats] = [np.empty((0, 6)) for _ in images]
        wanted = []
        for at, (image, frame, time) in enumerate(zip(images, frames, times, strict=True)):
            if frame in self.gate.known:
                found[at] = self._remembered(*self.gate.known[frame])
            elif self.gate.passes(image, time):
                wanted.append(at)
            else:
                self.skipped += 1
        if wanted:
            answers = self._detect(
                [images[at] for at in wanted], [frames[at] for at in wanted], [times[at] for at in wanted]
            )
            number = np.array([self._number(label) for label in self._inner.labels] or [0], np.float64)
            for at, rows in zip(wanted, answers, strict=True):
                named = rows.copy()
                named[:, 5] = number[rows[:, 5].astype(np.int64)] if len(rows) else rows[:, 5]
                found[at] = named
        return found

    def _remembered(self, boxes: Floats, labels: Sequence[str]) -> Floats:
        return np.column_stack((boxes, np.array([self._number(label) for label in labels], np.float64)))

    def _number(self, label: str) -> int:
        if label not in self._labels:
            self._labels.append(label)
        return self._labels.index(label)


class CascadeDetector:
    """A loaded detector behind its tests."""

    def __init__(self, gate: Gate, inner: Loaded) -> None:
        self.gate, self._inner = gate, inner
        # A detector that tells its labels only as it meets them meets fewer of them here.
        self._labels = list(inner.labels)

    @property
    def labels(self) -> tuple[str, ...]:
        """In class order, and in the order in which they were met."""
        return tuple(self._labels)

    @property
    def batch(self) -> int:
        """Most images in one call."""
        return self._inner.batch

    def open(self, source: Any) -> DetectionSession:
        """Return a session for the frames of one source."""
        return _Session(self.gate, self._inner, self._inner.open(source), self._labels)


class _Smaller:
    """A callable that is shown smaller pictures; its boxes are those of the full ones."""

    def __init__(self, inner: Loaded, scale: float) -> None:
        self._inner, self._scale = inner, scale

    @property
    def labels(self) -> tuple[str, ...]:
        return self._inner.labels

    @property
    def batch(self) -> int:
        return self._inner.batch

    def open(self, source: Any) -> DetectionSession:
        detect, scale = self._inner.open(source), self._scale

        def session(images: Sequence[Image], frames: Sequence[int], times: Sequence[float]) -> list[Floats]:
            import cv2

            found = []
            for start in range(0, len(images), max(1, self.batch)):
                part = slice(start, start + max(1, self.batch))
                shown = [
                    np.asarray(cv2.resize(image, _size(image, scale), interpolation=cv2.INTER_AREA), np.uint8)
                    for image in images[part]
                ]
                for image, small, rows in zip(
                    images[part], shown, detect(shown, frames[part], times[part]), strict=True
                ):
                    grown = rows.copy()
                    grown[:, [0, 2]] *= image.shape[1] / small.shape[1]
                    grown[:, [1, 3]] *= image.shape[0] / small.shape[0]
                    found.append(grown)
            return found

        return session


@dataclass(frozen=True)
class _Shrunk:
    spec: DetectorSpec
    scale: float

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        return self.spec.functions


def _size(image: Image, scale: float) -> tuple[int, int]:
    return max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))


def scalable(spec: DetectorSpec) -> bool:
    """Return whether a detector can work on smaller pictures, and saves work by it."""
    if spec.build is load_callable or spec.name == "hog-person":
        return True
    if spec.build is not load_onnx:
        return False
    return spec.name == "yolox-nano" if spec.payload is None else getattr(spec.load(1), "any_size", False)


def smaller(spec: DetectorSpec, scale: float) -> DetectorSpec:
    """Return a detector that works on pictures whose sides are this share of the full ones."""
    if scale == 1.0:
        return spec
    if spec.build is load_callable:
        return replace(spec, build=_load_smaller, payload=_Shrunk(spec, scale), version=f"{spec.version} at {scale:g}")
    size = max(32, round(spec.size * scale / 32) * 32)
    return replace(spec, size=size, version=f"{spec.version} at {size} px")


def cascade_spec(gate: Gate) -> DetectorSpec:
    """Return the detector that does what a cascade says; what it finds is kept apart from what its inner one finds."""
    skips = [(skip.name, skip.threshold) for skip in gate.cascade.skips]
    scenes = None
    if gate.background is not None:
        pictures = gate.background.pictures
        scenes = [sorted(pictures), *(pictures[window] for window in sorted(pictures)), gate.background.mask]
    proxies = [(proxy.name, proxy.version) for proxy in gate.proxies]
    digest = artefacts.key("cascade", skips, scenes, proxies, known_digest(gate.known))
    return replace(
        gate.inner,
        version=f"{gate.inner.version} behind {digest[:32]}",
        build=_load_cascade,
        payload=gate,
        cacheable=gate.inner.cacheable and all(proxy.version for proxy in gate.proxies),
        code=" ".join((gate.inner.code, *(proxy.code for proxy in gate.proxies))),
    )


def known_digest(known: Mapping[int, Known]) -> str:
    """Return a hash of what is known of some frames."""
    frames = sorted(known)
    boxes = np.concatenate([np.empty((0, 5)), *(known[frame][0] for frame in frames)])
    counts = np.array([len(known[frame][0]) for frame in frames], np.int64)
    labels = [list(known[frame][1]) for frame in frames]
    return artefacts.key("known boxes", np.array(frames, np.int64), counts, boxes, labels)


def _load_cascade(spec: DetectorSpec, threads: int) -> CascadeDetector:
    gate: Gate = spec.payload
    return CascadeDetector(gate, gate.inner.load(threads))


def _load_smaller(spec: DetectorSpec, threads: int) -> _Smaller:
    shrunk: _Shrunk = spec.payload
    return _Smaller(shrunk.spec.load(threads), shrunk.scale)
