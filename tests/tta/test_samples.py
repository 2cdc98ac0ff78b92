"""The digits that come with the package."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.tta.samples import digits


def test_parts_share_nothing_and_are_the_same_each_time() -> None:
    found, again, other = digits(), digits(), digits(seed=1)
    assert found.train_x.shape == (1197, 64) and found.val_x.shape == found.fresh_x.shape == (300, 64)
    assert len({*found.train_ids, *found.val_ids}) == 1497
    assert found.train_x.dtype == np.float32 and found.train_y.dtype == np.int64
    assert found.val_x.min() == 0 and found.val_x.max() == 1
    assert np.array_equal(found.val_ids, again.val_ids) and not np.array_equal(found.val_ids, other.val_ids)


def test_they_are_those_of_scikit_learn() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    images, labels = datasets.load_digits(return_X_y=True)
    found = digits()
    assert np.array_equal(found.train_x * 16, images[found.train_ids])
    assert np.array_equal(found.val_y, labels[found.val_ids])
