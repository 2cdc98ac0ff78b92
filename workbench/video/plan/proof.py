"""The proof of a choice under `accuracy`: what the canary showed, in figures, in words and in the plan's operators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from workbench.engine.plan import Node, Plan
from workbench.video.plan.canary import Cascade, Skip, Trial
from workbench.video.shares import Measured

__all__ = ["Proof", "with_proofs"]


@dataclass(frozen=True)
class Proof:
    """Why a video was searched as it was.

    Attributes
    ----------
    video : str
    accuracy : float
        As asked for.
    frames : int
        That the exact plan processes.
    looked, positives, needed : int
        Frames of the canary; those of them that show what is asked about; how many of these it takes.
    trials : tuple of Trial
        The cheaper plans that were measured.
    chosen : int or None
        Position of the one that was used; None: the exact plan.
    reason : str
        Why the exact one; "" if a cheaper one was used.
    remarks : tuple of str
        What was not tried, and why.
    frame_ms : float or None
        What the detector took for a frame of the canary at full quality.
    spent_ms : float
        What the canary took on all workers, decoding included.
    work_ms : float or None
        What the detector and the tests took in the run.
    stopped : bool
        Whether the run was stopped before anything was chosen.
    """

    video: str
    accuracy: float
    frames: int
    looked: int = 0
    positives: int = 0
    needed: int = 0
    trials: tuple[Trial, ...] = ()
    chosen: int | None = None
    reason: str = ""
    remarks: tuple[str, ...] = ()
    frame_ms: float | None = None
    spent_ms: float = 0.0
    work_ms: float | None = None
    stopped: bool = False

    @property
    def trial(self) -> Trial | None:
        """The plan that was used, if it was not the exact one."""
        return None if self.chosen is None else self.trials[self.chosen]

    def estimate(self, cost: float) -> float | None:
        """Return the milliseconds that a plan of this cost was expected to take."""
        return None if self.frame_ms is None else self.frame_ms * self.frames * cost

    def lines(self) -> Iterator[str]:
        """Yield the proof as sentences: the choice, then what was not used."""
        share = f"{100 * self.looked / self.frames:.1f} %" if self.frames else "0 %"
        canary = f"a canary of {self.looked:,} of {self.frames:,} frames ({share}), {self.positives:,} of them positive"
        if (used := self.trial) is not None:
            yield (
                f"{self.video}: accuracy {self.accuracy:g} by {used.plan}: {_figures(used)} on {canary}; "
                f"{100 * used.cost:.0f} % of the exact plan's detection."
            )
        elif self.stopped:
            looked = f"{self.looked:,} of {self.frames:,} frames"
            yield f"{self.video}: stopped in the canary, after {looked}; nothing was chosen."
            return
        elif self.looked:
            yield f"{self.video}: exact, after {canary}."
        for trial in self.trials:
            if trial.legal(self.accuracy):
                continue
            if trial.complete:
                yield f"{self.video}: not used: {trial.plan} ({_figures(trial)})."
            else:
                yield f"{self.video}: not used: {trial.plan} (given up early: {_found(trial)})."
        yield from (f"{self.video}: {remark}" for remark in self.remarks)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for the store."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Proof:
        """Return the proof that `to_dict` wrote."""

        def plan(one: Mapping[str, Any]) -> Cascade:
            return Cascade(tuple(Skip(**skip) for skip in one["skips"]), one["scale"], one["every"])

        trials = tuple(
            Trial(
                plan(one["plan"]), Measured(**one["recall"]), Measured(**one["precision"]), one["passed"],
                one["complete"],
            )
            for one in data["trials"]
        )  # fmt: skip
        return cls(**{**data, "trials": trials, "remarks": tuple(data["remarks"])})


def with_proofs(plan: Plan, proofs: Sequence[Proof], skipped: int | None = None) -> Plan:
    """Return a plan of operators that tells what was chosen: an operator `skip`, a smaller detector, and the proof.

    Parameters
    ----------
    plan : Plan
        Of the exact query.
    proofs : sequence of Proof
        One for each video that was chosen for.
    skipped : int, optional
        Frames that a test took for empty, in the run.
    """
    used = [proof for proof in proofs if proof.trial is not None]
    notes = (*plan.notes, *(line for proof in proofs for line in proof.lines()))
    if not used:
        return replace(plan, notes=notes)
    # The advice is about the exact plan: what it would save may be saved already.
    return Plan(_rewritten(plan.root, proofs, used, skipped), (), notes)


def _rewritten(node: Node, proofs: Sequence[Proof], used: Sequence[Proof], skipped: int | None) -> Node:
    children = tuple(_rewritten(child, proofs, used, skipped) for child in node.children)
    node = replace(node, children=children)
    if node.op != "detect":
        return node
    cascades = [proof.trial.plan for proof in used if proof.trial is not None]
    looked_at = sum(_passing(proof) for proof in proofs)
    if any(cascade.skips for cascade in cascades):
        rows = None if node.rows is None or skipped is None else node.rows - skipped
        tests = _said("; ".join(str(skip).removeprefix("skip ") for skip in cascade.skips) for cascade in cascades)
        skip = Node("skip", tests.strip(), est_rows=round(looked_at), rows=rows, children=children)
        node = replace(node, children=(skip,), rows=rows if rows is not None else node.rows)
    sizes = _said("" if cascade.scale == 1.0 else f" at {100 * cascade.scale:.0f} % size" for cascade in cascades)
    estimates = [
        estimate
        for proof in proofs
        if (estimate := proof.estimate(proof.trial.cost if proof.trial else 1.0)) is not None
    ]
    est_ms = round(sum(estimates), 3) if len(estimates) == len(proofs) else node.est_ms
    return replace(node, detail=f"{node.detail}{sizes}", est_rows=round(looked_at), est_ms=est_ms)


def _passing(proof: Proof) -> float:
    """Return how many frames the detector is expected to be shown."""
    if proof.trial is None:
        return float(proof.frames)
    return proof.trial.passed * proof.frames / proof.trial.plan.every


def _said(parts: Iterator[str] | Sequence[str]) -> str:
    different = list(dict.fromkeys(parts))
    return different[0] if len(different) == 1 else " (as chosen for each video)"


def _figures(trial: Trial) -> str:
    return f"recall {_measured(trial.recall)}, precision {_measured(trial.precision)}"


def _measured(share: Measured) -> str:
    return f"{share.share:.3f} (at least {share.low:.3f})"


def _found(trial: Trial) -> str:
    recall, precision = trial.recall, trial.precision
    return f"{recall.found} of {recall.objects} objects found, {precision.found} of {precision.objects} right"
