"""The functions of `workbench.video`: ask, detect, track, explain."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from workbench.engine.errors import Stopped, WorkbenchError, warn
from workbench.engine.paths import short_names
from workbench.engine.run import Run
from workbench.video.execution.options import Options, check_options

if TYPE_CHECKING:
    import pandas as pd

    from workbench.engine.plan import Plan
    from workbench.video.execution.job import VideoJob
    from workbench.video.execution.notes import Notes
    from workbench.video.execution.run import QueryWork
    from workbench.video.language.tree import CompiledQuery
    from workbench.video.models.base import DetectorSpec
    from workbench.video.result.result import VideoResult
    from workbench.video.source import Source

__all__ = ["detect", "explain", "start_vquery", "tracks", "vquery"]

#: seconds that an interrupted call waits for its run to wind up
GRACE = 1.0
#: more videos than this are counted in a title, not named
_NAMED = 3


def vquery(
    source: Any,
    query: Any,
    *,
    detector: Any = None,
    start: Any = None,
    end: Any = None,
    every: int = 1,
    limit: int | None = None,
    accuracy: float | None = None,
    fresh: bool = False,
    namespace: Mapping[str, Any] | None = None,
) -> VideoResult:
    """Ask a video a question and wait for the answer; a live source without `end` gives the running answer at once.

    Parameters
    ----------
    source : path-like, str, Sample, Source or list of these
        A path, a glob (its matches sorted), `"sample:street"`, a source of one's own, or several of these in order.
    query : str or Query class
        The text of a cell, or a class; in a text with several queries the last one runs.
    detector : None, str, callable or DataFrame
        A registered name, `f(images) -> list of DataFrame`, or a table of given boxes (then no model runs).
    start, end : str or timedelta, optional
        `"90s"`, `"2min"`, `"01:30"`: frames with `start <= time < end`.
    every : int
        Only frames whose index is a multiple of it.
    limit : int, optional
        Only the first events, by video order and time; the run stops as soon as these are certain.
    accuracy : float, optional
        None: the exact answer. 0.5 <= A < 1: the cheapest plan is used whose recall and precision, of the objects that
        the query asks about, are at least A: it may skip frames that show only the background, show the detector
        smaller pictures or fewer frames, and use the proxies of `register_proxy`. That is measured on a canary of at
        most 10 % of the frames, which are searched at full quality: the lower ends of Wilson's 95 % intervals must
        reach A. Where nothing cheaper does, the video is searched exactly. `.proof` and `.notes` tell what was chosen.
    fresh : bool
        Ignore kept results and compute anew.
    namespace : mapping, optional
        Where names of a text are looked up that it does not declare; by default the caller's variables.

    Returns
    -------
    VideoResult

    Raises
    ------
    WorkbenchError
        For a mistake in the query, the options or the source.
    Stopped
        A KeyboardInterrupt, if interrupted; `.result` is the partial answer.
    """
    run = start_vquery(
        source, query, namespace=_callers(namespace), detector=detector, start=start, end=end, every=every,
        limit=limit, accuracy=accuracy, fresh=fresh,
    )  # fmt: skip
    result = _begun(run) if run.endless else _waited(run)  # type: ignore[attr-defined]
    for message, hint in _pairs(run):
        warn(message, hint)
    return result


def start_vquery(
    source: Any,
    query: Any,
    *,
    namespace: Mapping[str, Any] | None = None,
    detector: Any = None,
    start: Any = None,
    end: Any = None,
    every: int = 1,
    limit: int | None = None,
    accuracy: float | None = None,
    fresh: bool = False,
) -> Run[VideoResult]:
    """Check a query and start it; the parameters are those of `vquery`.

    Returns
    -------
    Run
        Of a `VideoResult`. Mistakes are raised here, not by the run.
    """
    options = check_options(start=start, end=end, every=every, limit=limit, accuracy=accuracy, fresh=fresh)
    work = _work(source, query, namespace, detector, options)
    run = Run.start(work, kind="vquery", title=f"{work.query.name} in {_names(work.sources)}"[:80], unit="frames")
    # For `vquery`, which repeats the notes as warnings, and does not wait for what never ends by itself.
    run.notes = work.notes  # type: ignore[attr-defined]
    run.endless = options.end is None and any(_is_live(item) for item in work.sources)  # type: ignore[attr-defined]
    return run


def explain(
    source: Any,
    query: Any,
    *,
    detector: Any = None,
    start: Any = None,
    end: Any = None,
    every: int = 1,
    limit: int | None = None,
    accuracy: float | None = None,
    namespace: Mapping[str, Any] | None = None,
) -> Plan:
    """Return the plan of a query with its estimates; nothing runs. The parameters are those of `vquery`."""
    options = check_options(start=start, end=end, every=every, limit=limit, accuracy=accuracy)
    work = _work(source, query, _callers(namespace), detector, options)
    if options.accuracy is None:
        return work.plan.to_plan()
    from workbench.video.execution.canary import foreseen

    return foreseen(work.sources, work.spec, options, work.plan)


def detect(
    source: Any,
    *,
    detector: Any = None,
    labels: str | Iterable[str] | None = None,
    start: Any = None,
    end: Any = None,
    every: int = 1,
    threshold: float | None = None,
    fresh: bool = False,
) -> pd.DataFrame:
    """Return what a detector finds.

    Parameters
    ----------
    source, detector, start, end, every, fresh
        As for `vquery`.
    labels : str or list of str, optional
        Labels to keep.
    threshold : float, optional
        Least score; by default the detector's own. Nothing below 0.1 is ever kept.

    Returns
    -------
    DataFrame
        `video`, `frame`, `time` (s), `label`, `score`, `x1 y1 x2 y2` (px); by video, frame, falling score, x1, y1.
    """
    from workbench.video.execution.tables import detect_table

    options = check_options(start=start, end=end, every=every, fresh=fresh)
    if threshold is not None and (
        isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1
    ):
        raise WorkbenchError(f"threshold must be between 0 and 1, got {threshold!r}.", "Use threshold=0.3.")
    jobs, notes = _jobs(source, detector, labels, options)
    return _table("detect", lambda run: detect_table(jobs, run, _labels(labels), threshold), notes, jobs)


def tracks(
    source: Any,
    *,
    detector: Any = None,
    labels: str | Iterable[str] | None = None,
    start: Any = None,
    end: Any = None,
    every: int = 1,
    interpolate: bool = True,
    fresh: bool = False,
) -> pd.DataFrame:
    """Return the tracks of what a detector finds.

    Parameters
    ----------
    source, detector, start, end, every, fresh
        As for `vquery`.
    labels : str or list of str, optional
        Labels to keep; ids do not change by it.
    interpolate : bool
        Whether gaps inside tracks are filled (`interpolated`; the score is NaN there).

    Returns
    -------
    DataFrame
        `video`, `frame`, `time` (s), `id`, `label`, `score`, `x1 y1 x2 y2` (px), `interpolated`; by video, id, frame.
    """
    from workbench.video.execution.tables import track_table

    options = check_options(start=start, end=end, every=every, fresh=fresh)
    jobs, notes = _jobs(source, detector, labels, options)
    return _table("tracks", lambda run: track_table(jobs, run, _labels(labels), interpolate), notes, jobs)


# ----------------------------------------------------------------------------------------------------------- private


def _work(source: Any, query: Any, namespace: Mapping[str, Any] | None, detector: Any, options: Options) -> QueryWork:
    from workbench.video.execution.figures import planned
    from workbench.video.execution.notes import Notes
    from workbench.video.execution.run import QueryWork
    from workbench.video.language.compile import compile_query
    from workbench.video.language.shapes import check_shapes
    from workbench.video.models.given import nothing_spec

    notes = Notes()
    sources = _sources(source, notes)
    compiled: CompiledQuery = compile_query(query, namespace, video=os.path.basename(sources[0].name)).__compiled__
    kinds = compiled.types().values()
    if kinds and all(kind.is_a("Scene") for kind in kinds):
        if detector is not None:
            _detector(detector, sources, [], notes)  # a wrong name is a mistake, whoever needs it
        spec = nothing_spec()
    else:
        spec = _detector(detector, sources, [kind.labels for kind in kinds], notes)
    for message, hint in compiled.warnings:
        notes.add(message, hint)
    for item in sources:
        info = item.info()
        check_shapes(compiled.shapes, info.width, info.height, os.path.basename(item.name))
    if options.accuracy is not None and any(_is_live(item) for item in sources):
        raise WorkbenchError(
            f"{sources[0].name} is live: there is no canary to prove accuracy {options.accuracy:g} on.",
            "Leave --accuracy out; --every 2 looks at half of the frames.",
        )
    plan = planned(compiled, sources, spec, options)
    return QueryWork(compiled, plan, sources, spec, options, notes)


def _sources(source: Any, notes: Notes) -> list[Source]:
    """Return the videos that can be read, each once; of many, those that cannot are noted."""
    from workbench.video.source import open_sources

    found: dict[str, Source] = {}
    errors = []
    for item in open_sources(source):
        if item.name in found:
            if found[item.name] is not item and not hasattr(item, "path"):
                raise WorkbenchError(f"Two sources are named '{item.name}'.", 'Write from_array(..., name="another").')
            notes.add(f"{item.name} is named twice.", "It was searched once.")
            continue
        try:
            item.info()
        except WorkbenchError as error:
            errors.append(error)
            continue
        found[item.name] = item
    if not found:
        raise errors[0]
    if len(found) > 1 and any(_is_live(item) for item in found.values()):
        raise WorkbenchError("A live source is asked by itself.", "Start a query for each.")
    for unreadable in errors:
        notes.add(unreadable.message, "The other videos were searched.")
    return list(found.values())


def _is_live(source: Source) -> bool:
    from workbench.video.source_live import LiveSource

    return isinstance(source, LiveSource)


def _names(sources: Iterable[Source]) -> str:
    names = list(short_names(item.name for item in sources).values())
    return ", ".join(names) if len(names) <= _NAMED else f"{len(names)} videos"


def _detector(detector: Any, sources: list[Source], needed: list[Any], notes: Notes) -> DetectorSpec:
    from workbench.video.models.registry import resolve

    hints = {source.hint for source in sources}
    spec = resolve(detector, hint=hints.pop() if len(hints) == 1 else None, labels_needed=needed)
    for message, hint in spec.notes:
        notes.add(message, hint)
    if spec.kind == "given" and len(sources) > 1 and spec.payload.video is None:
        notes.add(
            f"The table of boxes has no column 'video'; its boxes stand for each of {len(sources)} videos.",
            "Add the column: each video's name as you write it.",
        )
    return spec


def _jobs(source: Any, detector: Any, labels: Any, options: Options) -> tuple[list[VideoJob], Notes]:
    from workbench.video.execution.job import VideoJob
    from workbench.video.execution.notes import Notes

    wanted, notes = _labels(labels), Notes()
    sources = _sources(source, notes)
    if any(_is_live(item) for item in sources):
        raise WorkbenchError("Boxes and tracks are of videos that are finished.", "Ask wb.vquery, or record it first.")
    spec = _detector(detector, sources, [] if wanted is None else [(label,) for label in wanted], notes)
    return [VideoJob(item, spec, options, notes) for item in sources], notes


def _labels(labels: str | Iterable[str] | None) -> list[str] | None:
    if labels is None:
        return None
    if isinstance(labels, str):
        return [labels]
    try:
        return [str(label) for label in labels]
    except TypeError:
        raise WorkbenchError(
            f"labels must be a label or a list of labels, got {labels!r}.",
            'Write labels="car" or labels=["car", "bus"].',
        ) from None


def _table(
    kind: str, work: Callable[[Run[pd.DataFrame]], pd.DataFrame], notes: Notes, jobs: list[VideoJob]
) -> pd.DataFrame:
    total = sum(len(job.frames) for job in jobs)
    run = Run.start(work, kind=kind, title=_names(job.source for job in jobs)[:80], unit="frames", total=total)
    table = _waited(run)
    for job in jobs:
        job.announce()
    for message, hint in notes.pairs():
        warn(message, hint, stacklevel=3)
    return table


def _begun(run: Run[Any]) -> Any:
    """Return the answer as it is at the beginning; its `partial()`, `wait()` and `cancel()` follow the run."""
    while (first := run.partial()) is None and not run.wait(0.05):
        pass
    return run.result() if first is None else first


def _waited(run: Run[Any]) -> Any:
    """Wait for a run; an interrupt stops it and is raised again with what was found."""
    try:
        result = run.result()
    except KeyboardInterrupt:
        run.cancel()
        with contextlib.suppress(KeyboardInterrupt):  # a second interrupt ends the waiting
            run.wait(GRACE)
        partial = run.result(timeout=0) if run.state == "cancelled" and run.wait(0) else run.partial()
        raise Stopped(
            f"Stopped at {run.progress.done:g} of {run.progress.total or 0:g} {run.progress.unit}.",
            "Run it again to go on from there; the exception's .result holds what was found.",
            result=partial,
        ) from None
    if run.state == "cancelled":
        raise Stopped(
            "The run was cancelled.", "Run it again to go on from there; the exception's .result holds what was found.",
            result=result,
        )  # fmt: skip
    return result


def _pairs(run: Run[Any]) -> list[tuple[str, str]]:
    notes: Notes = run.notes  # type: ignore[attr-defined]
    return notes.pairs()


def _callers(namespace: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the variables of whoever called the public function, unless a namespace was given."""
    if namespace is not None:
        return namespace
    frame = inspect.currentframe()
    caller = frame.f_back.f_back if frame is not None and frame.f_back is not None else None
    if caller is None:
        return {}
    return {**caller.f_globals, **caller.f_locals}
