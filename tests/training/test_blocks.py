"""Freed memory is kept for the next step, and given back at the end."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from workbench.training import blocks

#: page faults of 64 MiB: the second of its kind within the block, and after it; and pages held in between
SCRIPT = """
import json, resource
from workbench.training.blocks import kept_blocks

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"1" * 2**26
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def held():
    with open("/proc/self/statm") as told:
        return int(told.read().split()[1])

plain = [faults() for _ in range(3)][-1]
with kept_blocks():
    with kept_blocks():
        first = faults()
    kept = faults()
    within = held()
print(json.dumps([plain, first, kept, faults(), within - held()]))
"""


@pytest.mark.skipif(blocks._library() is None, reason="needs glibc")
def test_blocks_are_kept() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=240)
    plain, first, kept, after, given_back = json.loads(done.stdout)
    pages = 2**26 // 4096
    if plain < pages // 2:
        pytest.skip("pages are large here")
    assert first >= pages // 2
    assert kept < pages // 100
    assert after >= pages // 2
    assert given_back >= pages * 0.9


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_library", lambda: None)
    with blocks.kept_blocks():
        assert blocks._users == 1
    assert blocks._users == 0
