"""`motion`: what differs from the background, named by its shape; needs no weights and any fixed camera.

The background of each 5-minute window is learnt from up to 48 of its frames and then frozen, so that what is found in a
frame does not depend on which frames were looked at before: the work can be cut anywhere.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.video.models.base import DetectionSession, DetectorSpec, Floats, Image

__all__ = ["WINDOW", "Motion", "load_motion", "sample_frames"]

WINDOW = 300.0  # seconds that share a background
SAMPLES = 48  # frames from which it is learnt
LEAST_AREA = 0.0005  # of the picture: smaller blobs are noise
LEAST_CAR = 0.002  # of the picture
TALL, WIDE = 1.3, 1.2
SCORE = 0.9
LABELS = ("person", "car", "suitcase", "object")
SHAKE = 9  # px at working size: what stands this near in the background is no news (a camera that sways)
NEAR = 12  # grey levels that count as equal; more where the exposure has changed, since no gain fits all colours
NEAR_BY_GAIN = 60
SHADOW_FROM = 0.3  # share of the background's brightness down to which a darker pixel is a shadow
_COARSE = 4  # every fourth row and column tells the exposure
_KEPT_WINDOWS = 4  # backgrounds in memory, for each process


def sample_frames(times: Floats, keyframes: NDArray[np.int64], window: int) -> NDArray[np.int64]:
    """Return the frames of a window from which its background is learnt.

    One for each of 48 equal strata of time: the keyframe nearest to the middle if the stratum has one (these are cheap
    to decode), else the frame nearest to the middle.

    Parameters
    ----------
    times : ndarray of float64
        Time of each frame of the source in seconds.
    keyframes : ndarray of int64
    window : int
        Counted from 0.
    """
    inside = np.flatnonzero(np.floor((times + 1e-6) / WINDOW) == window)
    if len(inside) <= SAMPLES:
        return inside.astype(np.int64)
    first, last = times[inside[0]], times[inside[-1]]
    stratum = np.minimum(((times[inside] - first) / (last - first) * SAMPLES).astype(np.int64), SAMPLES - 1)
    middle = first + (stratum + 0.5) * (last - first) / SAMPLES
    order = np.lexsort((inside, np.abs(times[inside] - middle), ~np.isin(inside, keyframes), stratum))
    _, best = np.unique(stratum[order], return_index=True)
    return np.sort(inside[order][best]).astype(np.int64)


class Background:
    """What a window looks like without anything moving; frozen, so that the order of questions does not matter.

    Parameters
    ----------
    samples : list of ndarray (height, width, 3)
        Frames of the window at working size.
    """

    def __init__(self, samples: Sequence[Image]) -> None:
        import cv2

        coarse = np.stack([image[::_COARSE, ::_COARSE] for image in samples]).astype(np.float32)
        self._usual = np.median(coarse, axis=0) + 1
        self._model = cv2.createBackgroundSubtractorMOG2(history=SAMPLES, varThreshold=16, detectShadows=True)
        # With the default of 0.9 a bag seen in 18 of 48 frames would count as background.
        self._model.setBackgroundRatio(0.5)
        self._model.setShadowThreshold(SHADOW_FROM)
        for count, image in enumerate(samples, start=1):
            # 1/n weighs all frames alike; the default rate would favour the first ones.
            self._model.apply(self._exposed(image)[0], learningRate=1 / count)
        still = self._model.getBackgroundImage()
        around = np.ones((SHAKE, SHAKE), np.uint8)
        self._low, self._high = cv2.erode(still, around), cv2.dilate(still, around)

    def _exposed(self, image: Image) -> tuple[Image, float]:
        """Return the image at the window's usual exposure, and its own: a bright car makes cameras darken the rest."""
        import cv2

        gain = float(np.median((image[::_COARSE, ::_COARSE].astype(np.float32) + 1) / self._usual))
        gain = min(max(gain, 0.25), 4.0)
        return np.asarray(cv2.convertScaleAbs(image, alpha=1 / gain), np.uint8), gain

    def foreground(self, image: Image) -> NDArray[np.uint8]:
        """Return 255 where the image differs from the background, else 0."""
        exposed, gain = self._exposed(image)
        moving = self._model.apply(exposed, learningRate=0) == 255  # shadows are 127
        rows, columns = np.nonzero(moving)
        pixels = exposed[rows, columns].astype(np.int16)
        away = np.maximum(self._low[rows, columns] - pixels, pixels - self._high[rows, columns]).max(axis=1)
        mask = np.zeros(moving.shape, np.uint8)
        mask[rows, columns] = np.where(away > NEAR + NEAR_BY_GAIN * abs(1 - gain), 255, 0)
        return mask


class Motion:
    """Background subtraction at most `height` px high.

    Parameters
    ----------
    height : int
        Pictures are scaled down to this height, px.
    """

    batch = 64
    labels = LABELS

    def __init__(self, height: int) -> None:
        self.height = height
        self._known: OrderedDict[tuple[str, int], Background] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, source: Any) -> DetectionSession:
        """Return a session on the frames of one source; backgrounds are learnt as they are needed."""
        name = str(source.video_id())

        def detect(images: Sequence[Image], frames: Sequence[int], times: Sequence[float]) -> list[Floats]:
            found = []
            for image, time in zip(images, times, strict=True):
                with self._lock:
                    mask = self._background(source, name, int((time + 1e-6) // WINDOW)).foreground(self._small(image))
                found.append(_boxes(mask, image.shape[1], image.shape[0]))
            return found

        return detect

    def _small(self, image: Image) -> Image:
        import cv2

        if image.shape[0] <= self.height:
            return image
        width = max(1, round(image.shape[1] * self.height / image.shape[0]))
        return np.asarray(cv2.resize(image, (width, self.height), interpolation=cv2.INTER_AREA), np.uint8)

    def _background(self, source: Any, name: str, window: int) -> Background:
        if (name, window) not in self._known:
            wanted = sample_frames(source.times(), source.keyframes(), window)
            samples = [self._small(image) for _, _, image in source.frames_at(wanted)]
            self._known[name, window] = Background(samples)
            while len(self._known) > _KEPT_WINDOWS:
                self._known.popitem(last=False)
        self._known.move_to_end((name, window))
        return self._known[name, window]


def _boxes(mask: NDArray[np.uint8], width: int, height: int) -> Floats:
    """Return labelled boxes (k, 6) in px of the source from a foreground mask."""
    import cv2

    solid = cv2.morphologyEx(mask, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)))
    solid = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9)))
    contours, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    whole = mask.shape[0] * mask.shape[1]
    across, down = width / mask.shape[1], height / mask.shape[0]
    rows = []
    for contour in contours:
        share = cv2.contourArea(contour) / whole
        if share < LEAST_AREA:
            continue
        x, y, wide, high = cv2.boundingRect(contour)
        # A sliver along the picture's edge is what is left, or not yet there, of something outside.
        if (y == 0 or y + high == mask.shape[0]) and 3 * high < wide:
            continue
        if (x == 0 or x + wide == mask.shape[1]) and 6 * wide < high:
            continue
        tall, broad = high * down, wide * across
        label = "person" if tall >= TALL * broad else "car" if broad >= WIDE * tall and share >= LEAST_CAR else "object"
        rows.append((x * across, y * down, (x + wide) * across, (y + high) * down, SCORE, LABELS.index(label)))
    found = np.array(rows, np.float64).reshape(-1, 6)
    return found[np.lexsort((found[:, 1], found[:, 0]))]


def load_motion(spec: DetectorSpec, threads: int) -> Motion:
    """Build the detector."""
    return Motion(spec.size)
