"""The proof of `accuracy` as a result shows it: a table of the plans that were measured, and a few words."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from workbench.video.plan.canary import Cascade, Trial
from workbench.video.plan.proof import Proof

__all__ = ["accuracy_word", "proof_lines", "proof_table"]

_TYPES = {
    "video": "str", "plan": "str", "frames": "int64", "positives": "int64", "recall": "float64",
    "recall_low": "float64", "precision": "float64", "precision_low": "float64", "cost": "float64", "est_ms": "float64",
    "ms": "float64", "legal": "bool", "chosen": "bool",
}  # fmt: skip


def proof_table(proofs: Sequence[Proof]) -> pd.DataFrame:
    """Return one row for each plan that was measured, the exact one first.

    Returns
    -------
    DataFrame
        `video`, `plan`, `frames` (of the canary), `positives`, `recall` and `precision` with the lower ends of their
        Wilson 95 % intervals (`recall_low`, `precision_low`), `cost` (share of the exact plan's detection), `est_ms`
        and `ms` (of detection, expected and as it was), `legal`, `chosen`.
    """
    rows: list[tuple[object, ...]] = []
    for proof in proofs:
        exact = proof.trial is None and not proof.stopped
        rows.append(
            (
                proof.video, str(Cascade()), proof.looked, proof.positives, 1.0, 1.0, 1.0, 1.0, 1.0,
                _ms(proof.estimate(1.0)), _ms(proof.work_ms if exact else None), True, exact,
            )
        )  # fmt: skip
        rows += [_row(proof, at, trial) for at, trial in enumerate(proof.trials)]
    return pd.DataFrame(rows, columns=list(_TYPES)).astype(_TYPES)


def proof_lines(proofs: Sequence[Proof]) -> list[str]:
    """Return the proof as sentences."""
    return [line for proof in proofs for line in proof.lines()]


def accuracy_word(proofs: Sequence[Proof]) -> str:
    """Return `exact`, or `accuracy 0.95` where any video was searched by less than the exact plan."""
    used = [proof for proof in proofs if proof.trial is not None]
    return f"accuracy {used[0].accuracy:g}" if used else "exact"


def _row(proof: Proof, at: int, trial: Trial) -> tuple[object, ...]:
    chosen = at == proof.chosen
    return (
        proof.video, str(trial.plan), proof.looked, trial.recall.frames, trial.recall.share, trial.recall.low,
        trial.precision.share, trial.precision.low, trial.cost, _ms(proof.estimate(trial.cost)),
        _ms(proof.work_ms if chosen else None), trial.legal(proof.accuracy), chosen,
    )  # fmt: skip


def _ms(value: float | None) -> float:
    return float("nan") if value is None else round(value, 3)
