"""What is kept between runs, and under which key.

* Detections: for (video id, detector version, size, provider), in blocks of source frames with a mask of the frames
  that were processed. They serve any `every`, range, label and score.
* Tracks: for (the detections' key, tracker, every, start, end), with a chain of hashes over the chunks' detections and
  the tracker's state at a checkpoint, so that a later run goes on where an earlier one ended.
* Property values: see `values.py`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.engine import store as artefacts
from workbench.video.tracks import Frames, Tracks

__all__ = ["DetectionCache", "Detections", "FoldRecord", "TrackCache", "no_detections"]

#: source frames in one stored block of detections
BLOCK = 256
#: goes into every key of this room: a new layout must not meet old files
LAYOUT = 1


@dataclass(frozen=True)
class Detections:
    """Detections on some processed frames: rows sorted by frame, in the detector's order within a frame."""

    done: NDArray[np.int64] = field(repr=False)  # frames that were processed, ascending, with or without rows
    frame: NDArray[np.int64] = field(repr=False)
    label: NDArray[np.str_] = field(repr=False)  # text: the labels of a callable are known only when it has run
    score: NDArray[np.float64] = field(repr=False)
    box: NDArray[np.float64] = field(repr=False)  # (n, 4)

    def __len__(self) -> int:
        return len(self.frame)

    def digest(self) -> str:
        """Return a hash of the content."""
        digest = hashlib.blake2b(digest_size=32)
        for array in (self.done, self.frame, self.score, self.box):
            digest.update(np.ascontiguousarray(array).tobytes())
            digest.update(b"|")
        digest.update("\0".join(self.label.tolist()).encode())
        return digest.hexdigest()

    def of(self, frames: NDArray[np.int64]) -> Detections:
        """Return what belongs to these frames."""
        keep = np.isin(self.frame, frames)
        done = self.done[np.isin(self.done, frames)]
        return Detections(done, self.frame[keep], self.label[keep], self.score[keep], self.box[keep])

    def joined(self, other: Detections) -> Detections:
        """Return both together; frames of `other` that are here already are left out."""
        new = other.of(np.setdiff1d(other.done, self.done))
        frame = np.concatenate((self.frame, new.frame))
        order = np.argsort(frame, kind="stable")
        return Detections(
            np.union1d(self.done, new.done),
            frame[order],
            np.concatenate((self.label, new.label))[order],
            np.concatenate((self.score, new.score))[order],
            np.concatenate((self.box, new.box))[order],
        )


def no_detections() -> Detections:
    """Return detections of no frame."""
    return Detections(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.str_), np.empty(0), np.empty((0, 4)))


class DetectionCache:
    """Stored detections of one video by one detector.

    Parameters
    ----------
    base : str or None
        The key that all blocks share; None keeps nothing (a detector that cannot be told from another one).
    """

    def __init__(self, base: str | None) -> None:
        self.base = base
        # The blocks touched last: neighbouring chunks share one.
        self._recent: dict[int, Detections] = {}

    def read(self, frames: NDArray[np.int64]) -> Detections:
        """Return what is known of these frames; `.done` says of which of them."""
        found = no_detections()
        if self.base is None or not len(frames):
            return found
        parts = [self._block(int(number)).of(frames) for number in np.unique(frames // BLOCK)]
        parts = [part for part in parts if len(part.done)]
        if not parts:
            return found
        return Detections(
            np.concatenate([part.done for part in parts]),
            np.concatenate([part.frame for part in parts]),
            np.concatenate([part.label for part in parts]),
            np.concatenate([part.score for part in parts]),
            np.concatenate([part.box for part in parts]),
        )

    def write(self, found: Detections, cost_s: float) -> None:
        """Keep these detections beside those that are there."""
        if self.base is None or not len(found.done):
            return
        for number in np.unique(found.done // BLOCK):
            frames = np.arange(number * BLOCK, (number + 1) * BLOCK)
            # What is new stands before what was there: a fresh run replaces it.
            block = found.of(frames).joined(self._block(int(number)))
            self._remember(int(number), block)
            share = cost_s * len(block.done) / max(1, len(found.done))
            artefacts.store().put_arrays(
                self._key(int(number)),
                {name: getattr(block, name) for name in ("done", "frame", "label", "score", "box")},
                kind="detections",
                cost_s=share,
            )

    def _key(self, number: int) -> str:
        return artefacts.key("detections", LAYOUT, self.base, number)

    def _block(self, number: int) -> Detections:
        if number not in self._recent:
            arrays = artefacts.store().get_arrays(self._key(number))
            self._remember(number, no_detections() if arrays is None else Detections(**arrays))
        return self._recent[number]

    def _remember(self, number: int, block: Detections) -> None:
        self._recent[number] = block
        while len(self._recent) > 4:
            del self._recent[next(iter(self._recent))]


@dataclass
class FoldRecord:
    """How far a fold came: the chain of hashes, one for each folded chunk, and where its checkpoints lie."""

    chain: list[str] = field(default_factory=list)
    #: numbers of chunks after which the state was stored; each holds the rows since the one before
    checkpoints: list[int] = field(default_factory=list)
    complete: bool = False
    seconds: float = 0.0  # of detection and tracking, over all workers


class TrackCache:
    """Stored tracks, and tracker states on the way to them, of one video, detector, tracker, every and range.

    Parameters
    ----------
    base : str or None
        The key that names all of these; None keeps nothing.
    """

    def __init__(self, base: str | None) -> None:
        self.base = base

    def record(self) -> FoldRecord:
        """Return how far earlier runs came."""
        found = artefacts.store().get_json(self._record_key()) if self.base is not None else None
        return FoldRecord(**found) if isinstance(found, dict) else FoldRecord()

    def states(self, record: FoldRecord) -> list[dict[str, NDArray[Any]]]:
        """Return the stored states that can be taken up, in order; the record's checkpoints are cut to these."""
        found: list[dict[str, NDArray[Any]]] = []
        for count in record.checkpoints:
            state = self.state(record.chain[count - 1]) if count <= len(record.chain) else None
            if state is None:
                break
            found.append(state)
        del record.checkpoints[len(found) :]
        return found

    def write_record(self, record: FoldRecord) -> None:
        """Keep how far this run came."""
        if self.base is not None:
            artefacts.store().put_json(self._record_key(), vars(record), kind="fold", cost_s=record.seconds)

    def link(self, previous: str, found: Detections) -> str:
        """Return the next hash of the chain."""
        return artefacts.key("fold", LAYOUT, self.base or "", previous, found.digest())

    def state(self, link: str) -> dict[str, NDArray[Any]] | None:
        """Return the fold's state after the chunk with this hash."""
        return artefacts.store().get_arrays(artefacts.key("state", link)) if self.base is not None else None

    def write_state(self, link: str, state: dict[str, NDArray[Any]], cost_s: float) -> None:
        """Keep a fold's state."""
        if self.base is not None:
            artefacts.store().put_arrays(artefacts.key("state", link), state, kind="fold", cost_s=cost_s)

    def tracks(self, link: str) -> Tracks | None:
        """Return the finished tracks whose last chunk has this hash."""
        if self.base is None:
            return None
        store, name = artefacts.store(), artefacts.key("tracks", link)
        arrays: dict[str, Any] | None = store.get_arrays(name)
        facts = store.get_json(artefacts.key("tracks facts", link))
        if arrays is None or not isinstance(facts, dict):
            return None
        frames = Frames(arrays.pop("frames_frame"), arrays.pop("frames_time"))
        return Tracks(frames, facts["width"], facts["height"], tuple(facts["labels"]), **arrays)

    def write_tracks(self, link: str, tracks: Tracks, cost_s: float) -> None:
        """Keep finished tracks."""
        if self.base is None:
            return
        names = ("id", "frame", "time", "label", "score", "box", "interpolated")
        arrays = {name: getattr(tracks, name) for name in names}
        arrays |= {"frames_frame": tracks.frames.frame, "frames_time": tracks.frames.time}
        facts = {"width": tracks.width, "height": tracks.height, "labels": list(tracks.labels)}
        store = artefacts.store()
        store.put_arrays(artefacts.key("tracks", link), arrays, kind="tracks", cost_s=cost_s)
        store.put_json(artefacts.key("tracks facts", link), facts, kind="tracks", cost_s=cost_s)

    def _record_key(self) -> str:
        return artefacts.key("fold record", LAYOUT, self.base)
