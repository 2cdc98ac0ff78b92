"""Properties that read pixels, computed on the workers: crops of a few frames at a time, one decode, then the calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.engine import tasks
from workbench.engine.errors import one_line
from workbench.engine.run import Run
from workbench.video.execution.functions import by_value, sendable
from workbench.video.execution.kept_crops import LARGEST, KeptCrops
from workbench.video.execution.notes import Notes
from workbench.video.execution.values import Entry, ValueCache, call_keys, values_key
from workbench.video.language.tree import UserProperty
from workbench.video.models.attributes import pixel_property
from workbench.video.operators.columns import CallResults, PixelProperty
from workbench.video.source import Source
from workbench.video.tracks import Tracks

__all__ = ["CropTask", "PixelWave", "Tally"]

Image = NDArray[np.uint8]
#: crops that were decoded: frames and boxes of the task, and pictures by position
New = tuple[NDArray[np.int64], NDArray[np.float64], dict[int, Image]]
#: values, failures (position, error, traceback), crops
Answers = tuple[list[Any], list[tuple[int, str, str]], New]

#: crops in one task: some tenths of a second of decoding, and small enough to spread over the workers
_CROPS = 64


@dataclass(frozen=True)
class CropTask:
    """Calls on crops of one video: `calls` holds positions in `frames` and `boxes`."""

    source: Source
    frames: NDArray[np.int64]
    boxes: NDArray[np.float64]
    calls: list[list[int]]
    arguments: dict[str, list[Any]]
    #: crops that are known already, by position
    known: dict[int, Image] = field(default_factory=dict)
    #: whether new ones are wanted back
    give: bool = False


@dataclass
class Tally:
    """What a property cost in this run."""

    calls: int = 0
    cached: int = 0
    failed: int = 0
    seconds: float = 0.0
    first_error: str = ""


@dataclass
class PixelWave:
    """The `PixelCalls` of one video: finds kept values, sends the other calls to the workers.

    Parameters
    ----------
    source : Source
    video_id : str
        Part of the key of kept values.
    fresh : bool
        Whether kept values of earlier runs are left aside.
    run : Run, optional
        Whose cancelling stops the calls; the values not yet there stay unknown and are not kept.
    crops : KeptCrops, optional
        Where crops wait for the next property that is asked about the same boxes.
    """

    source: Source
    video_id: str
    fresh: bool = False
    run: Run[Any] | None = None
    tracks: Tracks | None = None
    #: make no more calls: what was never computed stays unknown
    only_known: bool = False
    #: whether some calls were given up as the run was cancelled
    interrupted: bool = False
    on_stage: Callable[[str], object] | None = None
    tallies: dict[str, Tally] = field(default_factory=dict)
    notes: Notes = field(default_factory=Notes)
    crops: KeptCrops | None = None
    _caches: dict[tuple[str, str], ValueCache] = field(default_factory=dict)

    def __call__(
        self,
        prop: UserProperty | PixelProperty,
        calls: list[NDArray[np.int64]],
        arguments: dict[str, list[Any]],
    ) -> CallResults:
        """Return a value for each call; a call that raised is named in `failed` and its value is None."""
        assert self.tracks is not None, "the tracks come first"
        cache, tally = self._cache(prop), self.tallies.setdefault(prop.name, Tally())
        keys = call_keys(self.tracks.frame, self.tracks.box, calls, arguments)
        entries = [cache.get(key) for key in keys]
        missing = [index for index, entry in enumerate(entries) if entry is None]
        tally.calls += len(calls)
        tally.cached += len(calls) - len(missing)
        if missing and not self.only_known:
            self._compute(prop, calls, arguments, missing, keys, entries, cache, tally)
        values, failed = [], []
        for index, entry in enumerate(entries):
            values.append(None if entry is None else entry.value)
            if entry is not None and entry.error is not None:
                failed.append((index, entry.error, entry.traceback))
        tally.failed += len(failed)
        if failed and not tally.first_error:
            tally.first_error = failed[0][1]
        return CallResults(values, failed)

    def close(self) -> None:
        """Write what is new."""
        for cache in self._caches.values():
            cache.flush()

    # ------------------------------------------------------------------------------------------------------ private

    def _compute(
        self,
        prop: UserProperty | PixelProperty,
        calls: list[NDArray[np.int64]],
        arguments: dict[str, list[Any]],
        missing: list[int],
        keys: list[bytes],
        entries: list[Entry | None],
        cache: ValueCache,
        tally: Tally,
    ) -> None:
        assert self.tracks is not None
        if self.on_stage is not None:
            self.on_stage(f"property {prop.name}")
        groups = _groups(self.tracks, calls, missing, prop.batch or 1)
        # Made one by one, as workers come free: crops that are known travel with them.
        items = (_task(self.source, self.tracks, calls, arguments, group, self.crops) for group in groups)
        sendable(self.source)
        with by_value(prop.function if isinstance(prop, UserProperty) else None):
            for outcome in tasks.stream(_worker(prop), items, run=self.run):
                group = groups[outcome.index]
                if outcome.error is not None:
                    # The task was lost three times (a worker that dies on it): these calls failed, for this run.
                    text = one_line(outcome.error)
                    for index in group:
                        entries[index] = Entry(None, text, "")
                    continue
                values, failed, (frames, boxes, images) = outcome.unwrap()
                if self.crops is not None:
                    self.crops.keep(frames, boxes, images)
                tally.seconds += outcome.seconds
                cache.seconds += outcome.seconds
                for index, value in zip(group, values, strict=True):
                    entries[index] = Entry(value)
                for position, error, trace in failed:
                    entries[group[position]] = Entry(None, error, trace)
                for index in group:
                    entry = entries[index]
                    if entry is not None:
                        cache.put(keys[index], entry)
                cache.flush(now=False)
        self.interrupted |= self.run is not None and self.run.cancelled.is_set()

    def _cache(self, prop: UserProperty | PixelProperty) -> ValueCache:
        key = (prop.name, prop.type_name if isinstance(prop, PixelProperty) else prop.owner)
        if key not in self._caches:
            identity = self._identity(prop)
            base = None if identity is None else values_key(self.video_id, identity)
            self._caches[key] = ValueCache(base, fresh=self.fresh)
        return self._caches[key]

    def _identity(self, prop: UserProperty | PixelProperty) -> str | None:
        """Return what tells one version of a property from the next, and announce what there is to announce."""
        if isinstance(prop, UserProperty):
            return prop.fingerprint
        model = pixel_property(prop.name, prop.type_name)
        for message, hint in model.notes:
            self.notes.add(message, hint)
        return f"{prop.name}:{prop.type_name}:{model.version}"


def run_calls(prop: UserProperty, item: CropTask) -> Answers:
    """Decode the crops of a task and make its calls; on a worker.

    Returns
    -------
    list of values, list of (position, error, traceback), New
        A call whose only crop cannot be decoded is not made; its value is None.
    """
    from workbench.video.operators.calls import call_property, crops_as_argument

    seen, new = _crops(item)
    name = "images" if "images" in prop.arguments else "image"
    pictures = [crops_as_argument(prop, [seen[at] for at in call]) for call in item.calls]
    made = [index for index, picture in enumerate(pictures) if picture is not None]
    arguments = {other: [column[index] for index in made] for other, column in item.arguments.items()}
    results = call_property(prop, {**arguments, name: [pictures[index] for index in made]}, len(made))
    values: list[Any] = [None] * len(item.calls)
    for index, value in zip(made, results.values, strict=True):
        values[index] = value
    return values, [(made[position], error, trace) for position, error, trace in results.failed], new


def run_model(name: str, type_name: str, item: CropTask) -> Answers:
    """Decode the crops of a task and ask a property model of ours; on a worker."""
    from workbench.video.models.attributes import pixel_property

    seen, new = _crops(item)
    pictures = [seen[call[0]] for call in item.calls]
    made = [index for index, picture in enumerate(pictures) if picture is not None]
    answers = pixel_property(name, type_name)([pictures[index] for index in made]) if made else []
    values: list[Any] = [None] * len(pictures)
    for index, value in zip(made, answers, strict=True):
        values[index] = value
    return values, [], new


def _crops(item: CropTask) -> tuple[list[Any], New]:
    """Return the crops, and those that are new and wanted back.

    None stands where a frame cannot be decoded; a -1 among the calls finds the None at the end.
    """
    from workbench.video.operators.crops import crop_images

    # Copies, of what came and of what goes: a function may write into what it is given.
    crops: list[Any] = [item.known[at].copy() if at in item.known else None for at in range(len(item.frames))]
    unknown = np.array([at for at, crop in enumerate(crops) if crop is None], np.int64)
    for at, crop in zip(
        unknown.tolist(), crop_images(item.source, item.frames[unknown], item.boxes[unknown]), strict=True
    ):
        crops[at] = crop if crop.size else None
    new = {
        at: crops[at].copy()
        for at in (unknown.tolist() if item.give else ())
        if crops[at] is not None and crops[at].nbytes <= LARGEST
    }
    return [*crops, None], (item.frames, item.boxes, new)


def _worker(prop: UserProperty | PixelProperty) -> Callable[[CropTask], Answers]:
    if isinstance(prop, PixelProperty):
        return partial(run_model, prop.name, prop.type_name)
    return partial(run_calls, prop)


def _groups(tracks: Tracks, calls: list[NDArray[np.int64]], missing: list[int], batch: int) -> list[list[int]]:
    """Part the calls into tasks: neighbours in time together, so that a task decodes few frames.

    Batches never straddle two tasks; the size of a task depends on the calls alone, so that a property whose answer
    depends on its batch gives the same on any number of workers.
    """

    def frame(index: int) -> int:
        shown = calls[index][calls[index] >= 0]
        return int(tracks.frame[shown[0]]) if len(shown) else 0

    order = sorted(missing, key=lambda index: (frame(index), index))
    groups: list[list[int]] = []
    crops = 0
    limit = max(_CROPS // batch, 1) * batch
    for index in order:
        if (
            not groups
            or len(groups[-1]) >= limit
            or (crops + len(calls[index]) > _CROPS and len(groups[-1]) % batch == 0)
        ):
            groups.append([])
            crops = 0
        groups[-1].append(index)
        crops += len(calls[index])
    return groups


def _task(
    source: Source,
    tracks: Tracks,
    calls: list[NDArray[np.int64]],
    arguments: dict[str, list[Any]],
    group: list[int],
    kept: KeptCrops | None,
) -> CropTask:
    rows = np.unique(np.concatenate([calls[index] for index in group]))
    rows = rows[rows >= 0]
    rows = rows[np.argsort(tracks.frame[rows], kind="stable")]
    place = {int(row): position for position, row in enumerate(rows)} | {-1: -1}
    return CropTask(
        source,
        tracks.frame[rows],
        tracks.box[rows],
        [[place[int(row)] for row in calls[index]] for index in group],
        {name: [column[index] for index in group] for name, column in arguments.items()},
        {} if kept is None else kept.known(tracks.frame[rows], tracks.box[rows]),
        kept is not None,
    )
