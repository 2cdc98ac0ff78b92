"""A data set that everyone has, to train on in a second: handwritten digits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Digits", "digits"]

_DIGITS = Path(__file__).parents[1] / "samples" / "digits.parquet"
#: images of each part: what is judged on, and what is kept for the end
_VAL, _FRESH = 300, 300


@dataclass(frozen=True, eq=False)
class Digits:
    """Images of 8 x 8 pixels and the digits they show, in three parts that share nothing.

    Attributes
    ----------
    train_x, val_x, fresh_x : ndarray of float32, (1197 | 300 | 300, 64)
        From 0 to 1.
    train_y, val_y, fresh_y : ndarray of int64
    train_ids, val_ids : ndarray of int64
        Numbers of the images in the whole set, for `train_set=` and `eval_set=` of a tracker.
    """

    train_x: NDArray[np.float32]
    train_y: NDArray[np.int64]
    val_x: NDArray[np.float32]
    val_y: NDArray[np.int64]
    fresh_x: NDArray[np.float32]
    fresh_y: NDArray[np.int64]
    train_ids: NDArray[np.int64]
    val_ids: NDArray[np.int64]


def digits(seed: int = 0) -> Digits:
    """Return 1,797 handwritten digits, shuffled by `seed` and parted.

    The test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak; UCI, CC BY 4.0), as
    `sklearn.datasets.load_digits` gives it.
    """
    import numpy as np
    import pyarrow.parquet as pq

    table = pq.read_table(_DIGITS)
    pixels = np.frombuffer(b"".join(table["pixels"].to_pylist()), np.uint8).reshape(-1, 64)
    images, labels = (pixels / 16).astype(np.float32), table["digit"].to_numpy().astype(np.int64)
    order = np.random.default_rng(seed).permutation(len(labels))
    val, fresh, train = order[:_VAL], order[_VAL : _VAL + _FRESH], order[_VAL + _FRESH :]
    return Digits(
        images[train], labels[train], images[val], labels[val], images[fresh], labels[fresh], train, val
    )  # fmt: skip
