"""Chunks on the threads of torch's operators: each is run once, whoever takes it, and answers are the same bits."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from workbench.fusion.capture.fx.graphs import Graph
from workbench.fusion.capture.fx.plans import traced
from workbench.fusion.cpu import team
from workbench.fusion.cpu.driver import Driver
from workbench.fusion.cpu.written import function

# counts up the record of its chunk, and adds the chunk's bounds to the first word of its memory for tiles
_COUNTS = """define void @count(ptr %t, ptr %p, ptr %s, i64 %lo, i64 %hi, i64 %from, i64 %to) nounwind {
entry:
  %old = load i64, ptr %p, align 8
  %new = add i64 %old, 1
  store i64 %new, ptr %p, align 8
  %sum = load i64, ptr %s, align 8
  %one = add i64 %sum, %lo
  %two = add i64 %one, %to
  store i64 %two, ptr %s, align 8
  ret void
}
define i64 @address() nounwind {
entry:
  ret i64 ptrtoint (ptr @count to i64)
}
"""

found = team.here()
needs = pytest.mark.skipif(found is None, reason="torch's threads are not OpenMP's of this kind here")


@needs
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(("chunks", "taken"), [(1, 1), (7, 1), (64, 8), (1000, 3)])
def test_every_chunk_is_run_once(threads: int, chunks: int, taken: int) -> None:
    assert found is not None
    address = function(_COUNTS, "address", 0)()
    records = np.zeros((chunks, 4), np.int64)
    sums = np.zeros((threads, 64), np.int64)
    driver = Driver(address, 0, records, [(k, k + 1, 0, 10 * k) for k in range(chunks)], [], 2)
    driver.share(found, chunks, taken, [row.ctypes.data for row in sums])
    assert (records[:, 0] == 1).all()
    assert not records[:, 1:].any()
    assert sums[:, 0].sum() == 11 * sum(range(chunks))


@needs
def test_threads_of_torch_and_ours_take_turns() -> None:
    before = torch.get_num_threads()
    x = torch.randn(1000, 700)

    def work(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (x.softmax(1) * 2).exp(), x.sum(0), (x * x).sum()

    graph = Graph(traced(work, [x]))
    bits = []
    try:
        for threads in (1, 2, 3, 2):
            torch.set_num_threads(threads)
            for _ in range(4):
                y = torch.relu(x) + x.tanh() * 0  # an operator of torch in between
                assert y.shape == x.shape
                bits.append([each.numpy().tobytes() for each in graph.run([x])])
    finally:
        torch.set_num_threads(before)
    assert all(each == bits[0] for each in bits)


@needs
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_no_team() -> None:
    child = os.fork()
    if not child:
        os._exit(0 if team.here() is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert team.here() is not None
