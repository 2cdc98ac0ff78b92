"""Writes one checkpoint after the other until it is killed: run by the tests in a process of its own."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import torch

from tests.training import test_checkpoint as tests


def main(folder: Path) -> None:
    """Write checkpoints whose first weight is their step."""
    model, optimizer = tests.trained()
    for step in itertools.count(1):
        with torch.no_grad():
            model[0].weight.fill_(step)
        tests.save(folder / f"step-{step}", model, optimizer, step=step)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
