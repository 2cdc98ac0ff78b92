"""The set that a run is judged on: its name, count and hash, and what of it is in the training set. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.engine.errors import WorkbenchError
from workbench.tta.judge import Warned
from workbench.tta.language import TASKS

__all__ = ["EvalSet", "eval_set_of", "overlap", "wrong_count"]

_TEST = re.compile(r"(?:\A|[^a-z])tests?(?:\Z|[^a-z])")


@dataclass(frozen=True)
class EvalSet:
    """What is known of an evaluation set.

    Attributes
    ----------
    name : str
        `""` if it has none.
    count : int or None
        Items that an evaluation has to judge.
    hash : str
        Of its ids or labels in their order; `""` if they are not known.
    overlap : int or None
        Items that are in the training set as well; None if that cannot be told.
    """

    name: str = ""
    count: int | None = None
    hash: str = ""
    overlap: int | None = None

    def warnings(self, *, honest: bool, fresh: bool) -> list[Warned]:
        """Return what has to be said of it."""
        found = []
        if honest and not fresh and _TEST.search(self.name.lower()):
            found.append(
                Warned(
                    f"The target is judged on the set named '{self.name}'.",
                    "Give fresh=, or honest=False to acknowledge it.",
                )
            )
        if self.overlap:
            found.append(
                Warned(
                    f"{self.overlap:,} of {self.count:,} evaluation items are in the training set.",
                    "Remove them, or the result overstates accuracy.",
                )
            )
        return found


def eval_set_of(eval_set: Any, eval_count: Any, train_set: Any, task: str | None) -> EvalSet:
    """Return the evaluation set that a tracker's arguments tell.

    Parameters
    ----------
    eval_set : str, int, array or None
        Its name, its count, or its ids or labels.
    eval_count : int or None
        Its count alone.
    train_set : array or None
        Ids of the training set.
    task : str or None
        Official tasks declare a count.
    """
    counts: dict[str, int] = {}
    name, digest, ids = "", "", None
    if isinstance(eval_set, str):
        name = eval_set.strip()
        if not name:
            raise WorkbenchError("eval_set is an empty name.", 'Write eval_set="validation", or leave it out.')
    elif _is_int(eval_set):
        counts["eval_set"] = _count(eval_set, "eval_set")
    elif eval_set is not None:
        ids = _ids(eval_set, "eval_set")
        counts["eval_set"] = len(ids)
        digest = _digest(ids)
    if eval_count is not None:
        counts["eval_count"] = _count(eval_count, "eval_count")
    if task in TASKS and (declared := TASKS[task].eval_count) is not None:
        counts[task] = declared
    first = next(iter(counts), "")
    for other, count in counts.items():
        if count != counts[first]:
            raise WorkbenchError(
                f"{first} says {counts[first]:,} evaluation items, but {other} says {count:,}.",
                f"Drop {first if other == 'eval_set' or other in TASKS else other}.",
            )
    train = None if train_set is None else _ids(train_set, "train_set")
    shared = None if ids is None or train is None else overlap(ids, train)
    return EvalSet(name, next(iter(counts.values()), None), digest, shared)


def overlap(ids: np.ndarray, train: np.ndarray) -> int:
    """Return how many items of a set are in another."""
    if ids.dtype.kind in "biufSU" and train.dtype.kind in "biufSU" and ids.ndim == train.ndim == 1:
        if (ids.dtype.kind in "SU") != (train.dtype.kind in "SU"):
            return 0  # numbers are no names
        return int(np.isin(ids, train).sum())
    known = {_item(item) for item in train}
    return sum(_item(item) in known for item in ids)


def wrong_count(judged: int, declared: int) -> WorkbenchError:
    """Return the error for an evaluation that did not judge each item once."""
    return WorkbenchError(
        f"Evaluated {judged:,} of {declared:,} samples: not a valid evaluation.",
        f"Set drop_last=False, or a batch size that divides {declared:,}.",
    )


# --------------------------------------------------------------------------------------------------------- private


def _is_int(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))


def _count(value: Any, name: str) -> int:
    if not _is_int(value) or value < 1:
        raise WorkbenchError(f"{name} is a whole number of samples from 1, not {value!r}.", f"Write {name}=10_000.")
    return int(value)


def _ids(value: Any, name: str) -> np.ndarray:
    """Return ids as an array with an item per row."""
    if hasattr(value, "detach"):  # a tensor, maybe on a device
        value = value.detach().cpu()
    if hasattr(value, "to_numpy"):
        value = value.to_numpy()
    array = None
    if isinstance(value, (np.ndarray, list, tuple, range)) or hasattr(value, "__array__"):
        try:
            array = np.asarray(value)
        except ValueError:  # ragged
            array = np.empty(len(value), dtype=object)
            array[:] = value
    if array is None or array.ndim == 0:
        kinds = "a name, a count, or an array of ids or labels" if name == "eval_set" else "an array of ids"
        raise WorkbenchError(f"{name} is {kinds}, not {type(value).__name__}.", f"Write {name}=ids.")
    if not len(array):
        raise WorkbenchError(f"{name} is empty.", "Give the ids or labels of its items.")
    return array


def _digest(ids: np.ndarray) -> str:
    """Return a hash that does not depend on the width of the numbers."""
    from workbench.engine.keys import key

    if ids.dtype.kind in "iub":
        ids = ids.astype(np.int64)
    elif ids.dtype.kind == "f":
        ids = ids.astype(np.float64)
    elif ids.dtype.kind in "SUO":
        return key("eval_set", ids.shape, [_item(item) for item in ids.ravel()])
    return key("eval_set", ids)


def _item(item: Any) -> Any:
    if isinstance(item, np.ndarray):
        return item.tobytes() if item.dtype.kind != "O" else repr(item.tolist())
    if isinstance(item, np.generic):
        return item.item()
    return item if isinstance(item, (str, int, float, bytes)) else repr(item)
