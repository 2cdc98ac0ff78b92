"""The canary at work: single frames at full quality, cheaper plans measured beside them, and the choice.

The choice follows from the video, the query and the options alone. What was measured in milliseconds is shown, but
decides nothing: costs are compared by the work they stand for, so that each run chooses the same.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from workbench.engine.plan import Plan
from workbench.engine.run import Run
from workbench.video.execution.cache import Detections, no_detections
from workbench.video.execution.choices import Decision, choice_key, keep, kept
from workbench.video.execution.job import VideoJob
from workbench.video.execution.look import looks
from workbench.video.execution.notes import Notes
from workbench.video.execution.options import TOLERANCE, Options, processed_frames
from workbench.video.models.base import DetectorSpec, Image, model_threads
from workbench.video.models.cascade import Gate, Known, scalable, smaller
from workbench.video.models.proxies import Proxy, proxies_for
from workbench.video.operators.evaluate import needs_scene
from workbench.video.operators.relevant import Boxes, Compared, Relevance, compare, hull, predicted, relevance_of
from workbench.video.operators.skip import Background, background_of
from workbench.video.plan.canary import (
    EVERY,
    MOST,
    SCALES,
    WORTH,
    Cascade,
    Skip,
    Trial,
    cheapest,
    hopeless,
    next_round,
    positives_needed,
    strata,
)
from workbench.video.plan.logical import QueryPlan
from workbench.video.plan.proof import Proof, with_proofs
from workbench.video.shares import Measured
from workbench.video.source import Source
from workbench.video.tracks import Bools, Ints

__all__ = ["decide", "foreseen"]

#: coarser steps than this between frames are not tried, s: an object must be seen three times to be believed
_STEP = 0.2
#: positive frames on which a coarser step is tried first
_PROBE = 16
#: levels of the test against the background: the first, the ratio of one to the next, and how many there are
_LEVEL, _RATIO, _LEVELS = 2.0, 1.25, 20


def decide(job: VideoJob, plan: QueryPlan, run: Run[Any] | None) -> Decision:
    """Choose the cheapest plan for a video that keeps the accuracy asked for, as far as a canary can tell.

    Parameters
    ----------
    job : VideoJob
        The exact work, not begun; its options have the accuracy.
    plan : QueryPlan
    run : Run, optional
        When it is cancelled, the exact plan is chosen.
    """
    return _Canary(job, plan, run).decision()


def foreseen(sources: Sequence[Source], spec: DetectorSpec, options: Options, plan: QueryPlan) -> Plan:
    """Return the plan of a query under `accuracy` before it runs: what a canary chose earlier, or that one will."""
    proofs, notes = [], []
    for source in sources:
        canary = _Canary(VideoJob(source, spec, options, Notes()), plan, None)
        if (why := canary.pointless()) is not None:
            notes.append(f"{why[0]} {why[1]}".replace("; ran exactly", ""))
        elif (earlier := canary.kept()) is not None:
            proofs.append(earlier.proof)
        else:
            notes.append(canary.intention())
    made = plan.to_plan()
    told = with_proofs(made, proofs) if len(proofs) == len(sources) else made
    return replace(told, notes=(*told.notes, *notes))


@dataclass
class _Canary:
    job: VideoJob
    plan: QueryPlan
    run: Run[Any] | None
    frames: list[int] = field(default_factory=list)  # in the order of looking
    pictures: dict[int, Image] = field(default_factory=dict)
    times: dict[int, float] = field(default_factory=dict)
    found: dict[float, Detections] = field(default_factory=dict)  # by share of the full size
    scores: dict[str, dict[int, float]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    seconds: float = 0.0
    detected: int = 0  # frames that the full-size detector was shown
    spent: float = 0.0
    background: Background | None = None

    def __post_init__(self) -> None:
        job = self.job
        accuracy = job.options.accuracy
        assert accuracy is not None
        self.accuracy = accuracy
        query = self.plan.query
        self.relevance: Relevance = relevance_of(
            query, list(self.plan.filters().values()), job.spec, job.info.width, job.info.height
        )
        self.asked = [kind for kind in query.types().values() if not kind.is_a("Scene")]
        self.proxies: tuple[Proxy, ...] = proxies_for(kind.labels for kind in self.asked)
        self.most = int(len(job.frames) * MOST)
        self.needed = positives_needed(accuracy)

    # ----------------------------------------------------------------------------------------------------- decision

    def decision(self) -> Decision:
        """Return the choice: that of an earlier run, or made now."""
        if (why := self.pointless()) is not None:
            self.job.notes.add(*why)
            return Decision(self._proof(reason=f"{why[0]} {why[1]}".strip()))
        for proxy in self.proxies:
            for message, hint in proxy.notes:
                self.job.notes.add(message, hint)
        key, earlier = self._key(), self.kept()
        decision = earlier if earlier is not None else self._measured()
        if decision.gate is None and self._cancelled():
            return Decision(self._proof(stopped=True))
        if decision.proof.chosen is None:
            self.job.notes.add(*self._why_exact(decision.proof))
        if earlier is None and key is not None:
            keep(key, decision, self.spent)
        return decision

    def pointless(self) -> tuple[str, str] | None:
        """Return why no cheaper plan can be had, whatever the frames show."""
        query, name = self.plan.query, self.job.source.name
        if not self.asked:
            return (
                f"{query.name} asks about every frame of {name}; ran exactly.",
                "Leave --accuracy out, or use --every.",
            )
        if self.job.spec.kind == "given":
            return f"{name}: given boxes need no detector; ran exactly.", "Leave --accuracy out."
        if self.most < self.needed:
            return self._too_short()
        return None

    def kept(self) -> Decision | None:
        """Return what an earlier run chose, if that is known and wanted."""
        key = None if self.job.options.fresh else self._key()
        return None if key is None else kept(key, self.job, self.proxies)

    def _key(self) -> str | None:
        return choice_key(self.job, self.relevance, self.proxies)

    def intention(self) -> str:
        """Return what will be tried."""
        tried = ["skipping frames like the background", *(f"skipping frames by {proxy.name}" for proxy in self.proxies)]
        if scalable(self.job.spec):
            tried.append("smaller pictures")
        return (
            f"{self.job.source.name}: accuracy {self.accuracy:g}: a canary of at most {self.most:,} of "
            f"{len(self.job.frames):,} frames chooses among {', '.join(tried)} and a coarser every, when it runs."
        )

    def _too_short(self) -> tuple[str, str]:
        name = self.job.source.name
        return (
            f"{name} is too short to prove accuracy {self.accuracy:g}; ran exactly.",
            "Use a lower --accuracy or a longer video.",
        )

    def _why_exact(self, proof: Proof) -> tuple[str, str]:
        if proof.positives < proof.needed:
            return self._too_short()
        return (
            f"No cheaper plan was proven to keep accuracy {self.accuracy:g} on {proof.video}; ran exactly.",
            "Use a lower --accuracy; .proof lists what was tried.",
        )

    def _measured(self) -> Decision:
        positive = self._look_around()
        if self._cancelled() or len(positive) < self.needed:
            return Decision(self._proof(positives=len(positive)))
        trials = self._single_frames(positive)
        best = cheapest(trials, self.accuracy)
        trials += self._coarser(best.plan if best is not None else Cascade(), positive)
        best = cheapest(trials, self.accuracy)
        proof = self._proof(positives=len(positive), trials=tuple(trials))
        if best is None or self._cancelled():
            return Decision(proof)
        gate = Gate.of(self.job.spec, best.plan, self.background, self.proxies, self._known())
        return Decision(replace(proof, chosen=trials.index(best)), gate)

    def _known(self) -> dict[int, Known]:
        """Return what each frame of the canary was found to hold."""
        full = self.found[1.0]
        starts, ends = (np.searchsorted(full.frame, full.done, side=side) for side in ("left", "right"))
        rows = np.column_stack((full.box, full.score))
        return {
            int(frame): (rows[start:end], tuple(map(str, full.label[start:end])))
            for frame, start, end in zip(full.done, starts, ends, strict=True)
        }

    def _proof(
        self, *, positives: int = 0, trials: tuple[Trial, ...] = (), reason: str = "", stopped: bool = False
    ) -> Proof:
        per_frame = self.seconds * 1e3 / self.detected if self.detected else None
        return Proof(
            self.job.source.name, self.accuracy, len(self.job.frames), len(self.frames), positives, self.needed, trials,
            None, reason, tuple(self.remarks), per_frame, self.spent * 1e3, stopped=stopped,
        )  # fmt: skip

    # ------------------------------------------------------------------------------------------------------ looking

    def _look_around(self) -> Ints:
        """Look at frames until enough of them are positive; return these."""
        job = self.job
        order = strata(job.frames, job.times[job.frames], job.video_id, self.most)
        scales = [scale for scale in (1.0, *SCALES) if scale == 1.0 or scalable(job.spec)]
        positive = np.empty(0, np.int64)
        begun = 0
        while not self._cancelled():
            count = next_round(len(positive), begun, self.needed, len(order) - begun)
            if not count:
                break
            self._look(order[begun : begun + count], scales)
            begun += count
            positive = self.relevance.positive(_boxes(self.found[1.0]))
            if len(positive) >= self.needed:
                break
            scales = [scale for scale in scales if scale == 1.0 or self._may_do(scale, positive)]
        return positive

    def _look(self, frames: Ints, scales: Sequence[float]) -> None:
        """Look at frames, and keep what was seen of them; those that are shown to a detector belong to the canary."""
        job = self.job
        if not len(frames):
            return
        wanted = np.sort(frames)
        known = no_detections() if job.options.fresh else job.detection_cache.read(wanted)
        asked = {scale: smaller(job.spec, scale) for scale in scales}
        began = time.perf_counter()
        seen = list(looks(job.source, wanted, asked, known.done, self.proxies, run=self.run, threads=model_threads()))
        self.spent += time.perf_counter() - began
        new = {scale: _joined([one.found[scale] for one in seen]) for scale in scales}
        if 1.0 in new:
            seconds = sum(one.seconds[1.0] for one in seen)
            self.seconds, self.detected = self.seconds + seconds, self.detected + len(new[1.0].done)
            # Exact ones: a run without accuracy finds them, too.
            job.detection_cache.write(new[1.0], seconds)
            new[1.0] = known.joined(new[1.0])
        for scale, part in new.items():
            self.found[scale] = self.found.get(scale, no_detections()).joined(part)
        for one in seen:
            for at, frame in enumerate(one.frames.tolist()):
                self.pictures[frame], self.times[frame] = one.pictures[at], float(one.times[at])
            for name, scores in one.scores.items():
                self.scores.setdefault(name, {}).update(zip(one.frames.tolist(), scores.tolist(), strict=True))
            for name, error in one.failed.items():
                self._drop(name, error)
        if not scales:
            return
        done = set(self.found[1.0 if 1.0 in new else scales[0]].done.tolist())
        self.frames += [int(frame) for frame in frames if int(frame) in done and int(frame) in self.pictures]

    def _drop(self, name: str, error: str) -> None:
        if any(proxy.name == name for proxy in self.proxies):
            self.proxies = tuple(proxy for proxy in self.proxies if proxy.name != name)
            self.remarks.append(f"not used: the proxy {name} failed ({error}).")

    def _may_do(self, scale: float, positive: Ints) -> bool:
        """Return whether a smaller size can still be proven; one that cannot is not shown any more frames."""
        if not len(positive):
            return True
        seen = self._compared(scale, self._seen_at(scale))
        return self._hopeful(seen.recall(np.ones(len(seen.objects), bool)))

    def _hopeful(self, recall: Measured) -> bool:
        """Return whether the accuracy is reached if no further object is missed, with as many a frame as so far."""
        if not recall.frames:
            return True
        frames = max(self.needed, recall.frames)
        whole = Measured(frames, 0, round(recall.objects * frames / recall.frames))
        return not hopeless(recall, whole, self.accuracy)

    def _seen_at(self, scale: float) -> Ints:
        """Return the canary's frames that were seen at this size, ascending."""
        return np.intersect1d(np.array(self.frames, np.int64), self.found[scale].done)

    # ----------------------------------------------------------------------------------------------------- measuring

    def _single_frames(self, positive: Ints) -> list[Trial]:
        """Measure the plans that judge each frame by itself."""
        frames = np.sort(np.array(self.frames, np.int64))
        job = self.job
        times = np.array([self.times[frame] for frame in frames.tolist()])
        self.background = background_of(
            [self.pictures[frame] for frame in frames.tolist()], times, float(job.times[job.frames[-1]]),
            hull(self.relevance), (job.info.width, job.info.height),
        )  # fmt: skip
        full = self._compared(1.0, frames)
        behind = self._skip("background", frames, full)
        own = [skip for proxy in self.proxies if (skip := self._skip(proxy.name, frames, full)) is not None]
        tests: list[tuple[Skip, ...]] = [(), *((skip,) for skip in (behind, *own) if skip is not None)]
        tests += [(behind, skip) for skip in own if behind is not None]
        trials = []
        for scale in (1.0, *SCALES):
            if scale not in self.found:
                continue
            known = self._seen_at(scale)
            complete = len(known) == len(frames)
            compared = full if scale == 1.0 else self._compared(scale, known)
            for skips in tests if complete else [()]:
                cascade = Cascade(skips, scale)
                if not cascade.exact:
                    trials.append(self._trial(cascade, compared, self._passing(skips, known), complete))
        return trials

    def _trial(self, cascade: Cascade, compared: Compared, looked: Bools, complete: bool = True) -> Trial:
        passed = float(np.mean(looked)) if len(looked) else 1.0
        return Trial(cascade, compared.recall(looked), compared.precision(looked), passed, complete)

    def _compared(self, scale: float, frames: Ints) -> Compared:
        return compare(self.relevance, _boxes(self.found[1.0]), _boxes(self.found[scale]), frames)

    def _score(self, name: str, frame: int) -> float:
        if name == "background":
            assert self.background is not None
            known = self.scores.setdefault(name, {})
            if frame not in known:
                known[frame] = self.background.score(self.pictures[frame], self.times[frame])
        return self.scores[name][frame]

    def _passing(self, skips: Sequence[Skip], frames: Ints) -> Bools:
        """Return which frames pass all tests."""
        passing = np.ones(len(frames), bool)
        for skip in skips:
            passing &= np.array([not self._score(skip.name, frame) < skip.threshold for frame in frames.tolist()], bool)
        return passing

    def _skip(self, name: str, frames: Ints, full: Compared) -> Skip | None:
        """Return a test with the highest threshold that keeps the accuracy; None if it lets nearly all frames pass."""
        scores = np.array([self._score(name, frame) for frame in frames.tolist()], np.float64)
        if name == "background":
            levels = _LEVEL * _RATIO ** np.arange(_LEVELS)
        else:
            levels = np.unique(scores[(full.objects > 0) & np.isfinite(scores)])
        best: Skip | None = None
        lowest: Trial | None = None
        for level in levels.tolist():
            trial = self._trial(Cascade((Skip(name, level),)), full, ~(scores < level))
            lowest = lowest or trial
            if not trial.legal(self.accuracy):
                break
            if trial.cost <= WORTH:
                best = Skip(name, level)
        if best is None:
            why = "saves nothing"
            if lowest is not None and not lowest.legal(self.accuracy):
                why = f"recall {lowest.recall.share:.3f}"
            self.remarks.append(f"not used: skip frames by {name} ({why}).")
        return best

    # ------------------------------------------------------------------------------------------------- coarser steps

    def _coarser(self, best: Cascade, positive: Ints) -> list[Trial]:
        """Measure coarser steps between frames, from the finest on; none is tried after one that failed.

        What a frame between two processed ones shows is what lies between the boxes of these two.
        """
        trials: list[Trial] = []
        if needs_scene(self.plan.query):  # the scene is there in every frame, and is asked about in each
            return trials
        if (name := self.relevance.history) is not None:
            self.remarks.append(
                f"not tried: a coarser every ({name} follows from several frames, a canary has single ones)."
            )
            return trials
        dt = float(np.median(np.diff(self.job.times[self.job.frames])))
        base = np.sort(np.array(self.frames, np.int64))
        first = positive[np.argsort([self.frames.index(int(frame)) for frame in positive])][:_PROBE]
        for factor in EVERY:
            if factor * dt > _STEP + TOLERANCE or self._cancelled():
                break
            cascade = replace(best, every=factor)
            trial = self._stepped(cascade, np.sort(first), base)
            if trial is not None and trial.complete:
                trial = self._stepped(cascade, base, base)
            if trial is None:
                self.remarks.append(
                    f"not tried: every={factor} (the canary would be more than {MOST:.0%} of the frames)."
                )
                break
            trials.append(trial)
            if not trial.legal(self.accuracy):
                break
        return trials

    def _stepped(self, cascade: Cascade, frames: Ints, base: Ints) -> Trial | None:
        """Measure a coarser step on some frames of the canary; None if that needs more frames than it may have."""
        job = self.job
        options = replace(job.options, every=job.options.every * cascade.every)
        grid = processed_frames(job.times, options)
        place = np.searchsorted(grid, frames, side="right") - 1
        before = grid[np.maximum(place, 0)]
        # a processed frame shows what it shows; what follows it is of no matter
        after = np.where(before == frames, before, grid[np.minimum(place + 1, len(grid) - 1)])
        near = np.union1d(before, after)
        if cascade.skips:
            # What fails a test the plan takes for empty: it is decoded for the test, and no detector is shown it.
            self._look(near[[int(frame) not in self.pictures for frame in near]], ())
        near = near[[int(frame) in self.pictures or not cascade.skips for frame in near]]
        passing = near[self._passing(cascade.skips, near)]
        wanted = np.setdiff1d(passing, self.found[cascade.scale].done)
        if len(self.frames) + len(wanted) > self.most:
            return None
        if len(wanted):
            self._look(wanted, (cascade.scale,))
        found = _boxes(self.found[cascade.scale])
        shown = found.take(np.isin(found.frame, passing))
        between = predicted(shown, frames, before, after, job.times)
        truth = _boxes(self.found[1.0])
        compared = compare(self.relevance, truth, between, frames)
        passed = float(np.mean(self._passing(cascade.skips, base)))
        everywhere = np.ones(len(frames), bool)
        recall, precision = compared.recall(everywhere), compared.precision(everywhere)
        return Trial(cascade, recall, precision, passed, len(frames) == len(base) or self._hopeful(recall))

    def _cancelled(self) -> bool:
        return self.run is not None and self.run.cancelled.is_set()


def _boxes(found: Detections) -> Boxes:
    return Boxes(found.frame, found.label, found.score, found.box)


def _joined(parts: Sequence[Detections]) -> Detections:
    whole = no_detections()
    for part in parts:
        whole = whole.joined(part)
    return whole
