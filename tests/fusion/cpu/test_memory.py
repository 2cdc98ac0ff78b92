"""The buffer pool: blocks come back when the last view of them is gone."""

from __future__ import annotations

import gc

import numpy as np

from workbench.fusion.cpu.memory import SMALLEST, Pool


def test_c52_a_block_is_used_again_once_its_last_view_is_gone() -> None:
    pool = Pool(most=64 << 20)
    first = pool.empty((1 << 18,), np.float64)
    where = first.ctypes.data
    part = first[10:20].reshape(2, 5)
    del first
    gc.collect()
    assert pool.kept == 0, "a view is left"
    del part
    gc.collect()
    assert pool.kept == 1 << 21
    again = pool.empty((200_000,), np.int64)
    assert again.ctypes.data == where and again.dtype == np.int64 and again.flags.writeable
    assert pool.kept == 0


def test_blocks_are_powers_of_two_and_bounded() -> None:
    pool = Pool(most=5 << 20)
    arrays = [pool.empty((1 << 18,), np.float64) for _ in range(4)]  # 2 MiB each
    del arrays
    gc.collect()
    assert pool.kept == 4 << 20
    pool.clear()
    assert pool.kept == 0


def test_little_memory_is_not_pooled() -> None:
    pool = Pool()
    small = pool.empty((10, 3), np.float32)
    assert small.shape == (10, 3) and small.base is None
    large = pool.empty((SMALLEST // 8, 2), np.float64)
    large[...] = 7.0
    assert large.sum() == 7.0 * large.size
    assert pool.empty((0, 5), bool).shape == (0, 5)
