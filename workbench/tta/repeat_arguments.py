"""The arguments of `repeat`, checked before anything is sent; and whether it can be sent at all."""

from __future__ import annotations

import inspect
import io
import operator
import pickle
import uuid
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from workbench.engine.errors import WorkbenchError, one_line, suggest

if TYPE_CHECKING:
    from workbench.tta.worker import Recipe

__all__ = ["recipe_of", "seeds_of", "whole"]


def recipe_of(train: Any, target: Any, name: Any, threads: Any, retries: Any, tracker: dict[str, Any]) -> Recipe:
    """Check the arguments, as a tracker would, before anything is sent."""
    from workbench.tta.tracker import Tracker
    from workbench.tta.worker import Recipe

    if not callable(train):
        raise WorkbenchError(f"train is a function of a tracker and a seed, not {train!r}.", _EXAMPLE)
    with suppress(ValueError):  # of a builtin nothing is known
        try:
            inspect.signature(train).bind(None, 0)
        except TypeError:
            raise WorkbenchError(f"train takes {_parameters(train)}, not a tracker and a seed.", _EXAMPLE) from None
    for word in ("seed", "resume"):
        if word in tracker:
            raise WorkbenchError(f"repeat sets {word} itself.", f"Drop {word}=; pass seeds=.")
    known = inspect.signature(Tracker).parameters
    for word in tracker:
        if word not in known:
            raise WorkbenchError(f"No argument {word}.", suggest(word, known, "See wb.tta.Tracker.", quote="{}="))
    own = {word: value for word, value in tracker.items() if word != "store"}
    called = name if name is not None else getattr(train, "__name__", "") or type(train).__name__
    Tracker(called, target, **own)  # says what is wrong; it is never entered
    made = Recipe(
        train=train, name=called.strip(), target=dict(target), tracker=own, folder=None, group=uuid.uuid4().hex,
        threads=None if threads is None else whole(threads, "threads", 1),
        retries=whole(retries, "retries", 0),
    )  # fmt: skip
    _check_sendable(called, made)
    return made


def _check_sendable(called: str, recipe: Recipe) -> None:
    """Raise where a worker could not read what it is sent."""
    import cloudpickle

    try:
        sent = cloudpickle.dumps(recipe)
    except Exception as error:
        raise WorkbenchError(
            f"{called} cannot be sent to a worker: {one_line(error)}.", "Make what it uses inside the function."
        ) from error
    _Reader(io.BytesIO(sent)).load()


class _Reader(pickle.Unpickler):
    """Reads as a worker does, where the names of a notebook are not known.

    Functions of a notebook are sent whole; but what a decorator in C makes of one, such as `functools.cache`, only by
    its name.
    """

    def find_class(self, module: str, name: str) -> Any:
        if module == "__main__":
            raise WorkbenchError(
                f"{name} cannot be sent to a worker: it is known there by no name.",
                "Drop its decorator (such as functools.cache), or put it in a module.",
            )
        return super().find_class(module, name)


_EXAMPLE = "Write def train(tracker, seed): ..."


def _parameters(train: Any) -> str:
    found = str(inspect.signature(train))
    return found if found != "()" else "nothing"


def seeds_of(seeds: Any) -> list[int]:
    if isinstance(seeds, (str, bytes)) or not isinstance(seeds, Iterable):
        raise WorkbenchError(f"seeds are whole numbers, not {seeds!r}.", "Write seeds=range(5).")
    found = []
    for seed in seeds:
        found.append(whole(seed, "A seed", None))
        if found.count(found[-1]) > 1:
            raise WorkbenchError(f"Seed {found[-1]} appears twice.", "Each run needs its own seed.")
    if not found:
        raise WorkbenchError("There is no seed.", "Write seeds=range(5).")
    return found


def whole(value: Any, name: str, least: int | None) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
        if least is not None and number < least:
            raise TypeError
    except TypeError:
        bound = "" if least is None else f" from {least}"
        raise WorkbenchError(f"{name} is a whole number{bound}, not {value!r}.", _WRITE.get(name, "")) from None
    return int(number)


_WRITE = {
    "threads": "Write threads=1.", "retries": "Write retries=2.", "concurrent": "Write concurrent=2.",
    "A seed": "Write seeds=range(5).",
}  # fmt: skip
