"""The order of samples, and the part of each batch that a microbatch is: the same on every worker."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch.utils import _pytree as pytree

from workbench.training import errors
from workbench.training.stage import seed_of

__all__ = ["Batches", "Source", "source_of"]

BATCH_SIZE = 32


@dataclass(frozen=True)
class Batches:
    """How a run walks through its samples.

    Parameters
    ----------
    samples, batch_size, microbatches : int
    shuffle, drop_last : bool
    seed : int
        The order of epoch e is `torch.randperm` with a generator seeded by `seed + e`.
    """

    samples: int
    batch_size: int
    microbatches: int
    shuffle: bool = True
    drop_last: bool = False
    seed: int = 0
    _orders: dict[int, torch.Tensor] = field(default_factory=dict, compare=False, repr=False)

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch."""
        whole, rest = divmod(self.samples, self.batch_size)
        return whole + (1 if rest and not self.drop_last else 0)

    def size(self, batch: int) -> int:
        """Return the samples in a batch, which is counted from the start of the run."""
        return min(self.batch_size, self.samples - (batch % self.per_epoch) * self.batch_size)

    def piece(self, batch: int, microbatch: int) -> tuple[int, int]:
        """Return where a microbatch begins and ends in its batch: a piece of `torch.chunk`, which may give fewer."""
        size = self.size(batch)
        step = -(-size // self.microbatches)
        return min(size, microbatch * step), min(size, (microbatch + 1) * step)

    def count(self, batch: int, microbatch: int) -> int:
        """Return the samples in a microbatch; 0 where there is none."""
        begin, end = self.piece(batch, microbatch)
        return end - begin

    def indices(self, batch: int) -> torch.Tensor:
        """Return which samples are in a batch."""
        epoch, place = divmod(batch, self.per_epoch)
        order = self._orders.get(epoch)
        if order is None:
            if self.shuffle:
                order = torch.randperm(self.samples, generator=torch.Generator().manual_seed(self.seed + epoch))
            else:
                order = torch.arange(self.samples)
            while len(self._orders) >= 2:  # stages are at most one epoch apart
                self._orders.pop(min(self._orders))
            self._orders[epoch] = order
        return order[place * self.batch_size : place * self.batch_size + self.size(batch)]


@dataclass(frozen=True)
class Source:
    """Where samples come from: columns of tensors, or a map-style dataset with the function that makes a batch.

    Parameters
    ----------
    length : int
    columns : tuple of Tensor or None
        One row a sample; None for a column that this worker does not need.
    dataset : object
    collate : callable
        From a list of samples to a batch.
    whole : bool
        Whether a batch must be collated as a whole before it is cut (a collate function of the user's).
    """

    length: int
    columns: tuple[torch.Tensor | None, ...] | None = None
    dataset: Any = None
    collate: Callable[[list[Any]], Any] | None = None
    whole: bool = False

    def only(self, *, inputs: bool, target: bool) -> Source:
        """Return what a worker needs that takes the inputs, the target, or both."""
        if self.columns is None:
            return self
        last = len(self.columns) - 1
        kept = tuple(
            column if (target if index == last else inputs) else None for index, column in enumerate(self.columns)
        )
        return replace(self, columns=kept)

    def inputs(self, seed: int) -> int:
        """Return how many arguments a batch gives the model."""
        if self.columns is not None:
            return len(self.columns) - 1
        return len(self.batch_of(torch.zeros(1, dtype=torch.int64), seed, 0, 0)) - 1

    def load(self, batches: Batches, batch: int, microbatch: int) -> tuple[Any, ...]:
        """Return a microbatch: the model's arguments, then the target; None for what this worker does not need.

        Raises
        ------
        Exception
            What the dataset raises.
        """
        begin, end = batches.piece(batch, microbatch)
        indices = batches.indices(batch)
        if self.columns is not None:
            rows = indices[begin:end]
            return tuple(None if column is None else column[rows] for column in self.columns)
        if self.whole:
            made = self.batch_of(indices, batches.seed, batch, 0)
            return tuple(pytree.tree_map(lambda part: part[begin:end], value) for value in made)
        return self.batch_of(indices[begin:end], batches.seed, batch, microbatch)

    def batch_of(self, indices: torch.Tensor, seed: int, batch: int, microbatch: int) -> tuple[Any, ...]:
        """Return samples as one batch; random augmentation is the same for all who load it."""
        assert self.collate is not None
        state, number = random.getstate(), seed_of(seed, batch, microbatch, "load")
        try:
            with torch.random.fork_rng(devices=[]), _numpy_seeded(number):
                torch.manual_seed(number)
                random.seed(number)
                made = self.collate([self.dataset[index] for index in indices.tolist()])
        finally:
            random.setstate(state)
        if not isinstance(made, (tuple, list)) or len(made) < 2:
            raise errors.DataError(
                f"A batch is (argument, ..., target); the data gives a {type(made).__name__}.",
                "Return a tuple of input and target from the dataset.",
            )
        return tuple(made)


def source_of(data: Any, batch_size: int | None = None) -> tuple[Source, int]:
    """Return the samples of `data`, and the batch size.

    Parameters
    ----------
    data : tuple of tensors or arrays, map-style Dataset, or DataLoader over one
    batch_size : int, optional
        Wins over a loader's; default 32.

    Raises
    ------
    DataError
        For data without length and index, without samples, or with columns of different lengths.
    """
    from torch.utils.data import DataLoader, IterableDataset, TensorDataset, default_collate

    collate: Any = default_collate
    if isinstance(data, DataLoader):
        batch_size = batch_size or data.batch_size
        collate, data = data.collate_fn, data.dataset
    if isinstance(data, TensorDataset) and collate is default_collate:
        data = tuple(data.tensors)
    if isinstance(data, (tuple, list)) and data and all(_is_column(column) for column in data):
        source = _columns(data)
    elif isinstance(data, (tuple, IterableDataset)) or not hasattr(data, "__getitem__"):
        raise errors.no_index()
    else:
        try:
            length = len(data)
        except TypeError:
            raise errors.no_index() from None
        source = Source(length, dataset=data, collate=collate, whole=collate is not default_collate)
    if not source.length:
        raise errors.no_samples()
    return source, BATCH_SIZE if batch_size is None else batch_size


def _is_column(value: Any) -> bool:
    return isinstance(value, torch.Tensor) or hasattr(value, "__array__")


def _columns(data: Sequence[Any]) -> Source:
    import numpy as np

    columns = []
    for column in data:
        if not isinstance(column, torch.Tensor):
            array = np.asarray(column)
            column = torch.from_numpy(array.copy() if not array.flags.writeable else np.ascontiguousarray(array))
        columns.append(column.detach())
    lengths = [len(column) if column.ndim else 0 for column in columns]
    if len(set(lengths)) > 1:
        raise errors.DataError(
            f"The columns of the data have different lengths: {', '.join(str(length) for length in lengths)}.",
            "Give one row for each sample in every column.",
        )
    if len(columns) < 2:
        raise errors.DataError("Training needs inputs and a target.", "Pass (X, y).")
    return Source(lengths[0], columns=tuple(columns))


class _numpy_seeded:
    """Seed NumPy's global generator inside a block, if it is loaded: datasets use it to augment."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __enter__(self) -> None:
        import numpy as np

        self._state = np.random.get_state()
        np.random.seed(self._seed % 2**32)

    def __exit__(self, *details: object) -> None:
        import numpy as np

        np.random.set_state(self._state)
