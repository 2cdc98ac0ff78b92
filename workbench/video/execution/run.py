"""A query at work: videos through detection, tracking and evaluation, with partial answers on the way."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pandas as pd

from workbench.engine.errors import WorkbenchError
from workbench.engine.paths import short_names
from workbench.engine.plan import Plan
from workbench.engine.run import Run
from workbench.video.execution.actuals import Actuals, actual_plan
from workbench.video.execution.canary import decide
from workbench.video.execution.certain import certain_events, lookahead
from workbench.video.execution.choices import Decision
from workbench.video.execution.columns import ColumnCache
from workbench.video.execution.figures import learn, replanned
from workbench.video.execution.job import VideoJob
from workbench.video.execution.kept_crops import KeptCrops
from workbench.video.execution.live import LiveJob
from workbench.video.execution.notes import Notes
from workbench.video.execution.options import Options
from workbench.video.execution.pixels import PixelWave
from workbench.video.execution.timing import Pace, TimedCalls
from workbench.video.execution.wave import FoundChunk
from workbench.video.language.tree import CompiledQuery
from workbench.video.models.base import DetectorSpec
from workbench.video.operators.answer import answer_tables, empty_tables
from workbench.video.operators.columns import PropertyColumns
from workbench.video.operators.evaluate import Evaluation, evaluate, needs_scene
from workbench.video.operators.merge import merged_answers
from workbench.video.plan.logical import QueryPlan
from workbench.video.plan.proof import Proof, with_proofs
from workbench.video.result.facts import VideoFacts
from workbench.video.result.result import VideoResult
from workbench.video.source import Source
from workbench.video.source_live import LiveSource
from workbench.video.tracks import Tracks, with_scene

__all__ = ["QueryWork"]

#: seconds between two partial answers
_PAUSE = 0.25
#: a partial answer that needs pixels waits until there is this much more video than at the last one
_GROWTH = 1.5
#: rows of objects after which what they have shown decides the order of the rest
_SHOWN = 100
#: a run that is expected to take longer than this says so: 10 min, in s
_LONG = 600.0
#: after an evaluation of a live source, the next one waits for this many times as long as it took
_REST = 5.0
#: lines about what came closest, where many videos have no event
_NEAREST = 6
#: computed frames that such a guess rests on, those of warm workers
_AFTER = 100


@dataclass
class _Answer:
    """The evaluation of one video, and its tables."""

    evaluation: Evaluation
    tables: dict[str, pd.DataFrame]
    frames: int
    seconds: float
    kept: set[str]  # properties of which something was found in the store
    waited: dict[str, float]  # seconds that the evaluation waited for calls on crops, by property


@dataclass
class QueryWork:
    """What `Run.start` runs for a query.

    Parameters
    ----------
    query : CompiledQuery
    plan : QueryPlan
        The order of the conjuncts, and the estimates.
    sources : sequence of Source
        Searched one after another, in this order.
    spec : DetectorSpec
    options : Options
    notes : Notes
    """

    query: CompiledQuery
    plan: QueryPlan
    sources: Sequence[Source]
    spec: DetectorSpec
    options: Options
    notes: Notes
    jobs: list[VideoJob] = field(default_factory=list)
    _answers: dict[int, _Answer] = field(default_factory=dict)
    _waves: dict[int, PixelWave] = field(default_factory=dict)
    #: how each video is searched, under `accuracy`
    _decisions: dict[int, Decision] = field(default_factory=dict)
    #: what kept a video from being answered
    _errors: dict[int, WorkbenchError] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _pace: Pace | None = None
    _long_note: tuple[str, str] | None = None

    def __call__(self, run: Run[VideoResult]) -> VideoResult:
        """Do the work; the value of the run."""
        run.publish(lambda: self._result("running", run))
        run.update(stage="open", unit="frames")
        self.jobs = [
            (LiveJob if isinstance(source, LiveSource) else VideoJob)(source, self.spec, self.options, self.notes)
            for source in self.sources
        ]
        self._waves = {
            index: PixelWave(
                job.source,
                job.video_id,
                self.options.fresh,
                run,
                notes=self.notes,
                crops=KeptCrops() if self.plan.shares_crops else None,
            )
            for index, job in enumerate(self.jobs)
        }
        total = None if any(job.live for job in self.jobs) else sum(len(job.frames) for job in self.jobs)
        run.update(done=0, total=total, stage=self._stage())
        stopped = run.cancelled.is_set()
        try:
            for index in range(len(self.jobs)):
                with self._noted(index):
                    job = self._chosen(index, run)
                    self._video(index, job, run)
                    job.check()
                    stopped = run.cancelled.is_set()
                    self._answer(index, run)
                    self._waves[index].crops = None  # of no use to the videos that follow
                if stopped or run.cancelled.is_set() or self._enough():
                    break
        finally:
            for wave in self._waves.values():
                wave.close()
        stopped |= run.cancelled.is_set()
        if self._long_note is not None and run.progress.elapsed < _LONG:
            self.notes.drop(*self._long_note)  # it was faster than it looked
        self._announce()
        for index, answer in sorted(self._answers.items()):
            # What a cheaper plan measured is no figure of the exact one.
            if not stopped and not self.jobs[index].live and not self._cheaper(index):
                learn(self.plan, self._actuals(index, answer), self.spec)
        run.update(stage="stopped" if stopped else "done")
        return self._result("stopped" if stopped else "done", run, final=True)

    # ------------------------------------------------------------------------------------------------------ private

    @contextlib.contextmanager
    def _noted(self, index: int) -> Iterator[None]:
        """Note what keeps one of many videos from being answered; if it keeps all of them, it is raised."""
        try:
            yield
        except WorkbenchError as error:
            with self._lock:
                self._answers.pop(index, None)
            self._errors[index] = error
            if len(self._errors) == len(self.jobs):
                raise
            self.notes.add(error.message, error.hint)

    def _chosen(self, index: int, run: Run[VideoResult]) -> VideoJob:
        """Return the work on a video: under `accuracy` that of the cheapest plan which keeps it."""
        job = self.jobs[index]
        if self.options.accuracy is None:
            return job
        run.update(stage="canary")
        decision = decide(job, self.plan, run)
        with self._lock:
            self._decisions[index] = decision
            self.jobs[index] = decision.job(job)
        run.update(total=sum(len(job.frames) for job in self.jobs), stage=self._stage())
        return self.jobs[index]

    def _cheaper(self, index: int) -> bool:
        return index in self._decisions and self._decisions[index].gate is not None

    def _video(self, index: int, job: VideoJob, run: Run[VideoResult]) -> None:
        simple = self.options.limit is not None and lookahead(self.query, self.spec) is not None
        pixels = self.plan.reads_pixels
        evaluated, published, warned, rest = 0, 0.0, False, 0.0
        for part in job.advance(run):
            run.update(done=sum(other.passed for other in self.jobs), skipped=sum(other.cached for other in self.jobs))
            if run.cancelled.is_set():
                return
            if job.complete:
                continue
            due = time.monotonic() >= rest if job.live else job.passed >= evaluated * _GROWTH
            if due and (pixels or simple or job.live):
                # What needs pixels is worked out by the run itself, not by whoever looks at it.
                answer = self._answer(index, run)
                evaluated = job.passed
                shown = 0 if answer is None else len(answer.evaluation.tracks)
                if (
                    pixels
                    and answer is not None
                    and shown >= _SHOWN
                    and not (self.plan.settled or self._cheaper(index))
                ):
                    self.plan = replanned(self.plan, self._actuals(index, answer), self.spec)
                # However long a live source has been followed, most of the time is for what comes next.
                rest = time.monotonic() + (_REST * answer.seconds if answer is not None else 0.0)
                run.publish(lambda: self._result("running", run))
                if simple and answer is not None and self._enough():
                    return
                run.update(stage=self._stage())
            elif not pixels and not job.live and time.monotonic() - published >= _PAUSE:
                published = time.monotonic()
                run.publish(lambda at=job.passed: self._partial(index, job, run, at))  # type: ignore[misc]
            if part is not None and not warned and not job.live:
                warned = self._long(part, job, run)

    def _partial(self, index: int, job: VideoJob, run: Run[VideoResult], frames: int) -> VideoResult:
        """Return the answer for what is folded now; called by whoever asks for it, on their thread."""
        with self._lock:
            known = self._answers.get(index)
            stale = known is None or known.frames < frames
        if stale and (answer := self._early(index, self._tracks(job), None)) is not None:
            with self._lock:
                known = self._answers.get(index)
                if known is None or known.frames < answer.frames:
                    self._answers[index] = answer
        return self._result("running", run)

    def _tracks(self, job: VideoJob) -> Tracks:
        """Return the tracks that are known, with the scene if the query asks about it."""
        return with_scene(job.tracks()) if needs_scene(self.query) else job.tracks()

    def _answer(self, index: int, run: Run[VideoResult]) -> _Answer | None:
        """Evaluate what is known of a video, with pixels, on the run's own thread."""
        job, wave = self.jobs[index], self._waves[index]
        if run.cancelled.is_set():
            # No new work: what needs pixels that were never looked at stays unknown.
            wave.only_known = True
        run.update(stage="answer")
        tracks = self._tracks(job)
        wave.tracks, wave.run = tracks, run
        wave.on_stage = lambda name: run.update(stage=name)
        evaluated = partial(self._evaluated, ongoing=False) if job.complete else self._early
        answer = evaluated(index, tracks, wave)
        if wave.interrupted and not wave.only_known:
            # Cancelled in the middle of the calls: once more with the values that came.
            wave.only_known = True
            answer = evaluated(index, tracks, wave)
        if answer is not None:
            with self._lock:
                self._answers[index] = answer
        return answer

    def _early(self, index: int, tracks: Tracks, wave: PixelWave | None) -> _Answer | None:
        """Evaluate what is known before the end; None if that is too little to be asked (a scale without persons)."""
        try:
            return self._evaluated(index, tracks, wave, ongoing=True)
        except WorkbenchError:
            return None

    def _evaluated(self, index: int, tracks: Tracks, wave: PixelWave | None, *, ongoing: bool) -> _Answer:
        begin = time.perf_counter()
        job = self.jobs[index]
        kept = ColumnCache(self.query, job.tracks_key)
        columns = PropertyColumns(len(tracks)) if self.options.fresh else kept.load(len(tracks))
        calls = None if wave is None else TimedCalls(wave)
        evaluation = evaluate(
            self.query,
            tracks,
            calls,
            conjuncts=self.plan.conjuncts,
            ongoing=ongoing,
            video=job.source.name,
            columns=columns,
        )
        limit = None if self.options.limit is None else self.options.limit - self._events_before(index)
        tables = answer_tables(self.query, evaluation, tracks, job.source.name, limit=limit)
        seconds = time.perf_counter() - begin
        if wave is None or not wave.only_known:
            kept.save(evaluation.columns, set(tables["errors"]["property"]), seconds)
        waited = {} if calls is None else calls.seconds
        return _Answer(evaluation, tables, len(tracks.frames), seconds, kept.names, waited)

    def _events_before(self, index: int) -> int:
        """Return how many events the videos before this one have."""
        return sum(len(answer.tables["events"]) for other, answer in self._answers.items() if other < index)

    def _enough(self) -> bool:
        """Whether the first events are certain."""
        limit = self.options.limit
        if limit is None or not self._answers:
            return False
        last = max(self._answers)  # all before it are complete
        events, job = self._answers[last].tables["events"], self.jobs[last]
        return self._events_before(last) + certain_events(events, job, lookahead(self.query, self.spec)) >= limit

    def _result(self, status: str, run: Run[VideoResult], *, final: bool = False) -> VideoResult:
        with self._lock:
            answers = dict(self._answers)
        facts = [job.facts() for job in self.jobs] or [_unopened(source) for source in self.sources]
        known = [answers[index] for index in sorted(answers)]
        ongoing = [answer.evaluation.ongoing[: len(answer.tables["events"])] for answer in known]
        return VideoResult(
            merged_answers([answer.tables for answer in known]) if known else empty_tables(self.query),
            facts,
            self.query,
            self._plan(answers),
            status=status,
            notes=self.notes.lines(),
            nearest=self._nearest(answers),
            ongoing=None if not ongoing or final else np.concatenate(ongoing),
            run=None if final else run,
            proofs=self._proofs(),
        )

    def _plan(self, answers: dict[int, _Answer]) -> Plan:
        actuals = [self._actuals(index, answer) for index, answer in sorted(answers.items())]
        plan = actual_plan(self.plan, actuals) if answers else self.plan.to_plan()
        proofs = self._proofs()
        return with_proofs(plan, proofs, sum(job.skipped for job in self.jobs)) if proofs else plan

    def _proofs(self) -> list[Proof]:
        """Return what is to be shown of the choices, with what the detector took since."""
        with self._lock:
            decisions = dict(self._decisions)
        return [
            replace(decision.proof, work_ms=1e3 * max(0.0, job.detect_seconds - job.decode_seconds))
            for index, decision in sorted(decisions.items())
            for job in [self.jobs[index]]
        ]

    def _nearest(self, answers: dict[int, _Answer]) -> list[str]:
        """Return what came closest: of the only video, or of the first few by their names."""
        found = [(index, line) for index, answer in sorted(answers.items()) for line in answer.evaluation.nearest]
        if len(self.sources) == 1:
            return [line for _, line in found if line]
        names = short_names(source.name for source in self.sources)
        lines = [f"{names[self.jobs[index].source.name]}: {line}" for index, line in found if line]
        return lines[:_NEAREST]

    def _actuals(self, index: int, answer: _Answer) -> Actuals:
        tallies = self._waves[index].tallies
        return Actuals(
            self.jobs[index], answer.evaluation, answer.tables, answer.seconds, tallies, answer.kept, answer.waited
        )

    def _announce(self) -> None:
        for job in self.jobs:
            job.announce()
        pixels = {name for wave in self._waves.values() for name in wave.tallies}
        failed: dict[str, list[str]] = {}
        made: Counter[str] = Counter()
        for _, answer in sorted(self._answers.items()):
            made.update(answer.evaluation.properties.calls)
            for name, error in answer.evaluation.errors[["property", "error"]].itertuples(index=False):
                failed.setdefault(name, []).append(error)
        for name, errors in failed.items():
            what = "crops" if name in pixels else "calls"
            self.notes.add(
                f"{name} failed on {len(errors)} of {made.get(name, len(errors))} {what} ({errors[0]}).",
                "Those values are missing; see .errors.",
            )

    def _stage(self) -> str:
        return "track" if self.spec.kind == "given" else "detect"

    def _long(self, part: FoundChunk, job: VideoJob, run: Run[VideoResult]) -> bool:
        """Say so if the run will take long; return whether that is settled.

        It is, once some chunks have shown how fast the workers are. What is kept in the store costs nothing, and a run
        with a limit ends when its events are certain, which nobody can foretell.
        """
        if self.spec.kind == "given" or self.options.limit is not None:
            return True
        if self._pace is None:
            self._pace = Pace(max(1, run.progress.workers))
        pace, computed = self._pace, len(part.chunk) - part.cached
        if computed and not part.error:
            pace.add(computed, part.seconds)
        if pace.frames < _AFTER:
            return False
        left = sum(len(other.frames) - other.passed for other in self.jobs)
        if pace.left(left) > _LONG:
            # Only now, since the store is read for it.
            seconds = pace.left(left - job.kept_ahead())
            if seconds > _LONG:
                self._warn(seconds, pace.workers, run)
        return True

    def _warn(self, seconds: float, workers: int, run: Run[VideoResult]) -> None:
        self._long_note = (
            f"About {_duration(seconds)} on {workers} worker{'' if workers == 1 else 's'}.",
            "Try --limit 10, --every 5, or workbench.connect(...).",
        )
        self.notes.add(*self._long_note)
        run.update(message=f"about {_duration(seconds)}")


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.0f} h" if seconds >= 5400 else f"{max(1, round(seconds / 60))} min"


def _unopened(source: Source) -> VideoFacts:
    info = source.info()
    return VideoFacts(source, info, (0.0, info.duration))
