"""What a canary chose, kept for later runs of the same question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.engine import store as artefacts
from workbench.video.execution.job import VideoJob
from workbench.video.language.show import show
from workbench.video.language.tree import InRegion
from workbench.video.models.cascade import Gate, cascade_spec
from workbench.video.models.proxies import Proxy
from workbench.video.operators.relevant import Relevance
from workbench.video.operators.skip import Background
from workbench.video.plan.proof import Proof

__all__ = ["Decision", "choice_key", "keep", "kept"]

_LAYOUT = 1


@dataclass(frozen=True)
class Decision:
    """How a video is searched, and why.

    Attributes
    ----------
    proof : Proof
    gate : Gate or None
        What does less; None: the exact plan.
    """

    proof: Proof
    gate: Gate | None = None

    def job(self, exact: VideoJob) -> VideoJob:
        """Return the work on the video: that of the exact plan, or the cheaper one."""
        if self.gate is None:
            return exact
        options = replace(exact.options, every=exact.options.every * self.gate.cascade.every)
        return VideoJob(exact.source, cascade_spec(self.gate), options, exact.notes)


def choice_key(job: VideoJob, relevance: Relevance, proxies: Sequence[Proxy]) -> str | None:
    """Return what a choice is kept by; None where nothing tells one detector or proxy from the next."""
    if job.detection_key is None or any(not proxy.version for proxy in proxies):
        return None
    types = [(name, kind.labels) for name, kind in relevance.types().items()]
    tests = [(name, [show(test) for test in tests]) for name, tests in relevance.tests.items()]
    regions = [
        node.region.in_pixels(job.info.width, job.info.height)
        for tests in relevance.tests.values()
        for test in tests
        for node in test.walk()
        if isinstance(node, InRegion)
    ]
    versions = [(proxy.name, proxy.version) for proxy in proxies]
    bounds = [job.options.every, int(job.frames[0]), int(job.frames[-1])]
    tracking = [job.spec.tracking, job.spec.small, job.spec.threshold, job.spec.together]
    return artefacts.key(
        "canary", _LAYOUT, job.detection_key, tracking, types, tests, regions, versions, bounds, job.options.accuracy
    )


def keep(key: str, decision: Decision, cost: float) -> None:
    """Keep a choice that took `cost` seconds."""
    store = artefacts.store()
    if (gate := decision.gate) is not None:
        frames = sorted(gate.known)
        labels = [label for frame in frames for label in gate.known[frame][1]]
        arrays: dict[str, NDArray[Any]] = {
            "frame": np.array(frames, np.int64),
            "count": np.array([len(gate.known[frame][0]) for frame in frames], np.int64),
            "boxes": np.concatenate([np.empty((0, 5)), *(gate.known[frame][0] for frame in frames)]),
            "label": np.array(labels or [""], np.str_)[: len(labels)],
        }
        if gate.background is not None:
            windows = sorted(gate.background.pictures)
            arrays["window"] = np.array(windows, np.int64)
            arrays["scene"] = np.stack([gate.background.pictures[window] for window in windows])
            arrays["mask"] = gate.background.mask
        if not store.put_arrays(artefacts.key(key, "frames"), arrays, kind="canary", cost_s=cost):
            return
    store.put_json(key, decision.proof.to_dict(), kind="canary", cost_s=cost)


def kept(key: str, job: VideoJob, proxies: Sequence[Proxy]) -> Decision | None:
    """Return the choice that `keep` kept; None if there is none."""
    store = artefacts.store()
    told = store.get_json(key)
    if not isinstance(told, dict):
        return None
    proof = replace(Proof.from_dict(told), video=job.source.name)
    if proof.trial is None:
        return Decision(proof)
    arrays = store.get_arrays(artefacts.key(key, "frames"))
    if arrays is None:
        return None
    ends = np.cumsum(arrays["count"])
    known = {
        int(frame): (arrays["boxes"][end - count : end], tuple(map(str, arrays["label"][end - count : end])))
        for frame, count, end in zip(arrays["frame"], arrays["count"], ends, strict=True)
    }
    background = None
    if "scene" in arrays:
        background = Background(dict(zip(arrays["window"].tolist(), arrays["scene"], strict=True)), arrays["mask"])
    return Decision(proof, Gate.of(job.spec, proof.trial.plan, background, proxies, known))
