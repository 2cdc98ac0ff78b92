"""The published DAWNBench entries, read for the tests on their own: json and csv, and nothing of the package."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest

TASKS = ("CIFAR10", "ImageNet", "SQuAD")
METRICS = {"CIFAR10": "top1Accuracy", "ImageNet": "top5Accuracy", "SQuAD": "f1Score"}
OFFICIAL = {"CIFAR10": 94.0, "ImageNet": 93.0, "SQuAD": 0.75}
#: seven of each task: 69 entries, 483 times
THRESHOLDS = {
    "CIFAR10": (90.0, 91.0, 92.0, 93.0, 94.0, 94.25, 95.0),
    "ImageNet": (91.0, 91.5, 92.0, 92.5, 93.0, 93.1, 93.25),
    "SQuAD": (0.60, 0.65, 0.70, 0.73, 0.75, 0.76, 0.80),
}


class Published(NamedTuple):
    task: str
    kind: str
    name: str
    raw: dict[str, Any]
    rows: list[dict[str, float]]


def root() -> Path:
    """Return the folder of the entries, or skip."""
    mirror = os.environ.get("WORKBENCH_MIRROR", "")
    folder = Path(mirror) / "dawnbench"
    if not mirror or not folder.is_dir():
        pytest.skip("the DAWNBench entries are not in WORKBENCH_MIRROR")
    return folder


def published() -> list[Published]:
    found = []
    for task in TASKS:
        for kind in ("train", "inference"):
            for file in sorted((root() / task / kind).glob("*.json"), key=lambda file: file.stem):
                raw = json.loads(file.read_text(encoding="utf-8-sig"))
                rows = []
                if kind == "train":
                    with open(file.with_suffix(".tsv"), encoding="utf-8-sig", newline="") as lines:
                        reader = csv.DictReader(lines, delimiter="\t")
                        rows = [{name: float(cell) for name, cell in row.items()} for row in reader]
                found.append(Published(task, kind, file.stem, raw, rows))
    return found


def first(entry: Published, threshold: float, confirm: int = 1) -> int | None:
    """Return the crossing of an entry by a plain loop."""
    streak = 0
    for number, row in enumerate(entry.rows):
        streak = streak + 1 if row[METRICS[entry.task]] >= threshold else 0
        if streak == confirm:
            return number
    return None
