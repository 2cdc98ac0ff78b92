"""Whether `accuracy=` keeps its word: `python -m benchmarks.video_accuracy [--trials N] [--first SEED] [--log FILE]`.

Each trial is a generated street of its own, asked exactly and under an accuracy. The detector is a stand-in that errs
as networks do: its score falls with the pixels that an object has in the picture it is shown, and wavers from frame to
frame, so that smaller pictures lose the small and the faint. Streets differ in how busy they are, in sizes, speeds and
contrast, in parked cars, in light that drifts and in shadows that are taken for cars now and then. A trial keeps its
word if, of the boxes of the exact answer's matched rows, the share that the other answer has (IoU of 0.5, between two
processed frames on the way from one to the next) is at least the accuracy, and so is the share of its own that are
right.

With `--trials` no figures are written. With `--log` each trial is written to a file of lines as it ends, and those that
are there already are not run again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.measure import PACKAGES, Figure, write
from workbench.video.source import Source, VideoInfo

TRIALS = 200
WIDTH, HEIGHT, FPS, FRAMES = 128, 96, 25.0, 1200
ACCURACIES = (0.8, 0.9, 0.95)
QUERIES = {
    "score": "where = car.score > 0.5",
    "region": "where = car.inside(lane)",
    "lasts": 'where = lasts(car.inside(lane), "1s")',
    "speed": 'where = car.speed > "10px/s"',
}
CELL = """
lane = Region((0, 30), (128, 30), (128, 66), (0, 66))
class Asked(Query):
    car: Car
    {where}
"""


@dataclass(frozen=True)
class Painted:
    """A bright rectangle: frames `first` to `last`, at x + v * (frame - first)."""

    first: int
    last: int
    x: float
    v: float
    y: int
    width: int
    height: int
    contrast: int


class Street(Source):
    """A street drawn on demand from its seed."""

    def __init__(self, seed: int) -> None:
        self.seed, self.name = seed, f"street {seed}"
        self._drawn: tuple[list[Painted], Any, float, int] | None = None

    def info(self) -> VideoInfo:
        return VideoInfo(self.name, WIDTH, HEIGHT, FPS, FRAMES, FRAMES / FPS, "drawn")

    def video_id(self) -> str:
        return hashlib.sha256(f"street {self.seed} of {FRAMES}".encode()).hexdigest()

    def read(self, start: int, stop: int) -> Iterator[tuple[int, float, Any]]:
        for frame in range(start, min(stop, FRAMES)):
            yield frame, frame / FPS, self._draw(frame)

    def _script(self) -> tuple[list[Painted], Any, float, int]:
        random = np.random.default_rng(self.seed)
        gap = random.choice([40, 90, 160])  # frames between two cars, on average
        small, fast, faint = random.uniform(0.4, 1.0), random.uniform(0.5, 2.0), random.uniform(0.5, 1.0)
        cars, frame = [], int(random.integers(0, gap))
        while frame < FRAMES:
            width = int(np.clip(random.lognormal(np.log(26 * small), 0.25), 8, 44))
            speed = fast * random.uniform(0.4, 1.6)
            right = bool(random.integers(2))
            last = frame + int((WIDTH + width) / speed)
            lane = int(random.integers(0, 3))
            cars.append(
                Painted(
                    frame, last, float(-width if right else WIDTH), speed if right else -speed, 14 + 27 * lane, width,
                    max(5, width // 2), int(faint * random.uniform(45, 110)),
                )
            )  # fmt: skip
            frame += 1 + int(random.exponential(gap))
        for _ in range(int(random.integers(0, 2))):  # parked: for a while, or all the time
            first = int(random.integers(-FRAMES, FRAMES))
            cars.append(Painted(first, first + FRAMES, float(random.integers(4, 100)), 0.0, 78, 20, 10, 70))
        if random.integers(2):  # shadows that come and go
            for first in random.integers(0, FRAMES, 8).tolist():
                cars.append(Painted(first, first + 30, float(random.integers(0, 100)), 0.5, 4, 14, 7, 22))
        pictures = np.clip(random.normal(90, 2, (16, HEIGHT, WIDTH, 3)).round(), 0, 255).astype(np.uint8)
        return cars, pictures, float(random.choice([0, 0, 6])), int(random.integers(1 << 30))

    def _draw(self, frame: int) -> Any:
        if self._drawn is None:
            self._drawn = self._script()
        cars, pictures, drift, salt = self._drawn
        mixed = (frame * 2654435761 + salt) % (1 << 32)
        image = np.roll(pictures[mixed % 16], (mixed >> 8) % HEIGHT, axis=0)
        light = drift * np.sin(frame / 400)
        if light:
            image = np.clip(image + np.int16(round(light)), 0, 255).astype(np.uint8)
        for car in cars:
            if car.first <= frame <= car.last:
                x = round(car.x + car.v * (frame - car.first))
                left, right = max(0, x), max(0, x + car.width)
                body = image[car.y : car.y + car.height, left:right]
                body[:] = np.minimum(body.astype(np.int16) + car.contrast, 255).astype(np.uint8)
        return image


def stand_in(images: list[Any]) -> list[dict[str, Any]]:
    """Find bright rectangles; the fewer pixels they have and the fainter they are, the less sure."""
    import cv2

    answers = []
    for image in images:
        gray = np.ascontiguousarray(image[:, :, 1])
        level = float(np.median(gray[::4, ::4]))
        _, _, stats, _ = cv2.connectedComponentsWithStats((gray > level + 14).astype(np.uint8))
        found = stats[1:][stats[1:, 4] >= 6]
        x, y, width, height = (found[:, column].astype(np.float64) for column in range(4))
        score = np.empty(len(found))
        for row, (left, top, across, down, area) in enumerate(found.tolist()):
            inside = gray[top : top + down, left : left + across]
            total = int(inside.sum())
            wavering = ((total * 2654435761) % 1000) / 1000 - 0.5
            score[row] = 0.27 + 0.13 * np.log2(area / 8) + 0.002 * (total / inside.size - level) + 0.16 * wavering
        score = np.clip(score, 0.0, 0.99)
        answers.append(
            {"x1": x, "y1": y, "x2": x + width, "y2": y + height, "label": ["car"] * len(found), "score": score}
        )
    return answers


def brightest(images: list[Any]) -> list[float]:
    """A proxy: how far the brightest place of a coarse picture is above the middle."""
    import cv2

    small = [cv2.resize(image[:, :, 1], (32, 24), interpolation=cv2.INTER_AREA) for image in images]
    return [float(image.max()) - float(np.median(image)) for image in small]


def trial(seed: int) -> dict[str, Any]:
    """Ask one street exactly and under an accuracy; return what came of it."""
    import workbench as wb

    name = list(QUERIES)[seed % len(QUERIES)]
    accuracy = ACCURACIES[seed // len(QUERIES) % len(ACCURACIES)]
    proxied = seed % 5 == 0
    wb.video.register_proxy("brightest", brightest, labels="car" if proxied else "nothing")
    source, cell = Street(seed), CELL.format(where=QUERIES[name])
    cheaper = wb.vquery(source, cell, detector=stand_in, accuracy=accuracy)
    exact = wb.vquery(source, cell, detector=stand_in)
    proof = cheaper.proofs[0]
    recall, precision = agreement(exact.frames, cheaper.frames, _step(cheaper))
    used = proof.trial
    return {
        "seed": seed, "query": name, "accuracy": accuracy, "proxy": proxied, "frames": proof.frames,
        "canary": proof.looked, "positives": proof.positives, "plan": "exact" if used is None else str(used.plan),
        "proven_recall": None if used is None else round(used.recall.low, 4),
        "proven_precision": None if used is None else round(used.precision.low, 4),
        "recall": round(recall, 4), "precision": round(precision, 4), "met": bool(min(recall, precision) >= accuracy),
        "cost": 1.0 if used is None else round(used.cost, 4), "events_exact": len(exact), "events": len(cheaper),
    }  # fmt: skip


def agreement(exact: pd.DataFrame, cheaper: pd.DataFrame, step: int) -> tuple[float, float]:
    """Return recall and precision of an answer's matched boxes against the exact one's.

    Parameters
    ----------
    exact, cheaper : DataFrame
        `.frames` of both answers.
    step : int
        Frames from one processed frame of the cheaper plan to the next.
    """
    truth, found = _rows(exact), _rows(cheaper)
    if step > 1:
        grid = found
        found = _filled(found, step)
    else:
        grid = found
    hits = _matched(truth, found)
    right = _matched(grid, truth)
    return (float(hits.mean()) if len(hits) else 1.0), (float(right.mean()) if len(right) else 1.0)


def _step(result: Any) -> int:
    used = result.proofs[0].trial
    return 1 if used is None else int(used.plan.every)


def _rows(table: pd.DataFrame) -> Any:
    """Return (frame, id, x1, y1, x2, y2) of the matched rows, each object once a frame."""
    rows = table[table["matched"]].drop_duplicates(["frame", "id"])
    return rows[["frame", "id", "x1", "y1", "x2", "y2"]].to_numpy(np.float64)


def _filled(rows: Any, step: int) -> Any:
    """Return the rows with those between two processed frames, and after the last one: it stands for its step."""
    made = [rows]
    ordered = rows[np.lexsort((rows[:, 0], rows[:, 1]))]
    for at, row in enumerate(ordered):
        following = ordered[at + 1] if at + 1 < len(ordered) else None
        goes_on = following is not None and following[1] == row[1] and following[0] == row[0] + step
        for more in range(1, step):
            between = row.copy()
            if goes_on and following is not None:
                between[2:] += (following[2:] - row[2:]) * more / step
            between[0] = row[0] + more
            made.append(between[None])
    return np.concatenate(made)


def _matched(rows: Any, others: Any) -> Any:
    """Return for each row whether another has its frame and lies on it."""
    from workbench.video.models.boxes import iou_matrix

    others = others[np.argsort(others[:, 0], kind="stable")]
    first = np.searchsorted(others[:, 0], rows[:, 0], side="left")
    last = np.searchsorted(others[:, 0], rows[:, 0], side="right")
    return np.array(
        [
            stop > start and iou_matrix(row[None, 2:], others[start:stop, 2:]).max() >= 0.5
            for row, start, stop in zip(rows, first, last, strict=True)
        ],
        bool,
    )


def figures(trials: list[dict[str, Any]]) -> list[Figure]:
    """Return the figures of a run, the log of every trial with the first."""
    cheaper = [one for one in trials if one["plan"] != "exact"]
    met = np.mean([one["met"] for one in trials])
    of_cheaper = np.mean([one["met"] for one in cheaper]) if cheaper else 1.0
    canary = max(one["canary"] / one["frames"] for one in trials)
    costs = np.array([one["cost"] for one in cheaper] or [1.0])
    return [
        Figure(
            "accuracy: trials that keep the target", float(met), "share", ">= 0.95", bool(met >= 0.95),
            note=f"{len(trials)} seeded streets, accuracy {', '.join(map(str, ACCURACIES))}; recall and precision of "
            "the final answer's matched boxes against the exact answer's",
            details={"trials": trials},
        ),
        Figure(
            "accuracy: the same, of the trials with a cheaper plan", float(of_cheaper), "share", ">= 0.95",
            bool(of_cheaper >= 0.95), note=f"{len(cheaper)} of {len(trials)}; the others were searched exactly",
        ),
        Figure(
            "accuracy: largest canary", float(canary), "of the frames", "<= 0.10", bool(canary <= 0.1),
        ),
        Figure(
            "accuracy: detection left by the cheaper plans", float(np.median(costs)), "of the exact",
            note=f"median of the estimates; from {costs.min():.2f} to {costs.max():.2f}",
        ),
    ]  # fmt: skip


def main() -> None:
    """Run the trials, and write the figures if all were run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--log", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    known = _logged(options.log)
    wanted = range(options.first, options.first + (options.trials or TRIALS))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["WORKBENCH_HOME"] = folder
        from workbench.engine import session

        session.session(workers=1)
        for seed in (seed for seed in wanted if seed not in known):
            known[seed] = trial(seed)
            print(known[seed], flush=True)
            if options.log is not None:
                with options.log.open("a") as log:
                    log.write(json.dumps(known[seed]) + "\n")
    made = figures([known[seed] for seed in wanted])
    if options.trials is None:
        write("video_accuracy", made, PACKAGES)
    else:
        print(*made, sep="\n")


def _logged(path: Path | None) -> dict[int, dict[str, Any]]:
    lines = path.read_text().splitlines() if path is not None and path.exists() else []
    return {one["seed"]: one for one in map(json.loads, lines)}


if __name__ == "__main__":
    main()
