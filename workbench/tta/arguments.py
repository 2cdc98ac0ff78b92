"""The arguments of a `Tracker`, checked at once, with errors that say the fix. Pure."""

from __future__ import annotations

import datetime as dt
import math
import numbers
import operator
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from workbench.engine.errors import WorkbenchError, suggest
from workbench.engine.units import parse_quantity
from workbench.tta.evalset import EvalSet, eval_set_of
from workbench.tta.language import check_task
from workbench.tta.price import Price, as_price
from workbench.tta.record import CLOCKS
from workbench.tta.target import Target

__all__ = ["Settings", "number", "settings", "step_of", "whole"]

#: what SQLite and NumPy can hold
_MOST = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a tracker was asked for; budgets are in seconds, USD and joules."""

    name: str
    target: Target
    clock: str
    task: str | None
    steps: int | None
    schedule: str | None
    seed: int | None
    price: Price | None
    eval_set: EvalSet = field(default_factory=EvalSet)
    fresh: Callable[[], float] | None
    confirm: int
    stop: bool
    hopeless: bool
    max_time: float | None
    max_cost: float | None
    max_energy: float | None
    resume: str | None
    honest: bool
    sync: Callable[[], Any] | None
    store: Any


def settings(
    name: Any, target: Any, *, goal: Any, unit: Any, clock: Any, task: Any, steps: Any, schedule: Any, seed: Any,
    price: Any, eval_set: Any, eval_count: Any, train_set: Any, fresh: Any, confirm: Any, stop: Any, hopeless: Any,
    max_time: Any, max_cost: Any, max_energy: Any, resume: Any, honest: Any, sync: Any, store: Any,
) -> Settings:  # fmt: skip
    """Check the arguments of a tracker.

    Raises
    ------
    WorkbenchError
        For what cannot be.
    """
    if not isinstance(name, str) or not name.strip():
        raise WorkbenchError(f"The name of a recipe is text, not {name!r}.", 'Write Tracker("resnet9", ...).')
    if not isinstance(clock, str) or clock not in CLOCKS:
        known = f"Known: {', '.join(CLOCKS)}."
        raise WorkbenchError(f'No clock "{clock}".', suggest(str(clock), CLOCKS, known, quote='"{}"'))
    if schedule is not None and (not isinstance(schedule, str) or not schedule.strip()):
        raise WorkbenchError(f"schedule is a name, not {schedule!r}.", 'Write schedule="onecycle-15".')
    for word, flag in (("stop", stop), ("hopeless", hopeless), ("honest", honest)):
        if not isinstance(flag, bool):
            raise WorkbenchError(f"{word} is True or False, not {flag!r}.", f"Write {word}=True.")
    for word, function in (("fresh", fresh), ("sync", sync)):
        if function is not None and not callable(function):
            raise WorkbenchError(f"{word} is a function, not {function!r}.", f"Write {word}=lambda: ….")
    paid = as_price(price)
    usd = _amount(max_cost, "max_cost", "USD", "5")
    if usd is not None and (paid is None or math.isnan(paid.rate)):
        raise WorkbenchError("max_cost needs a price.", "Pass price= in USD per hour of the whole cluster.")
    named_task = check_task(task)
    return Settings(
        name=name.strip(),
        target=Target.of(target, goal, unit),
        clock=clock,
        task=named_task,
        steps=None if steps is None else whole(steps, "steps", 1, "steps=15"),
        schedule=schedule,
        seed=None if seed is None else whole(seed, "seed", -_MOST, "seed=0"),
        price=paid,
        eval_set=eval_set_of(eval_set, eval_count, train_set, named_task),
        fresh=fresh,
        confirm=_confirm(confirm),
        stop=stop,
        hopeless=hopeless,
        max_time=_time(max_time),
        max_cost=usd,
        max_energy=_amount(max_energy, "max_energy", "joules", "5000"),
        resume=_resume(resume),
        honest=honest,
        sync=sync,
        store=_store(store),
    )


def whole(value: Any, name: str, least: int, example: str) -> int:
    """Return a whole number from `least`; bools and floats are none."""
    try:
        if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
            raise TypeError
        result = operator.index(value)
        if not least <= result <= _MOST:
            raise TypeError
    except (TypeError, ValueError, RuntimeError):  # an array or tensor of several raises what it likes
        bound = f" from {least}" if abs(least) <= 1 else ""
        raise WorkbenchError(f"{name} is a whole number{bound}, not {_short(value)}.", f"Write {example}.") from None
    return result


def step_of(value: Any) -> int:
    """Return a step."""
    if isinstance(value, float):
        raise WorkbenchError(
            f"step is a whole number from 0, not {value!r}.", "Write step=3; a part of an epoch is epoch=3.5."
        )
    return whole(value, "step", 0, "step=3")


def number(value: Any, name: str) -> float:
    """Return a metric as a float: a real number, or an array or tensor of one (on a device, which waits for it)."""
    if type(value) is float:
        return value
    given = value
    try:
        if not isinstance(value, numbers.Real) and hasattr(value, "item"):
            if getattr(value, "size", None) == 1 or not hasattr(value, "shape") or math.prod(value.shape) == 1:
                value = value.item()
            else:
                raise WorkbenchError(
                    f"{name} is one number, not {len(value)} of them.", f"Take the mean: {name}={name}.mean()."
                )
        if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
            raise TypeError
        if not isinstance(value, numbers.Real) and not hasattr(value, "__float__"):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise WorkbenchError(f"{name} is a real number, not {_short(given)}.", f"Write {name}=93.2.") from None


# --------------------------------------------------------------------------------------------------------- private


def _confirm(value: Any) -> int:
    try:
        return whole(value, "confirm", 1, "confirm=2")
    except WorkbenchError:
        raise WorkbenchError(
            f"confirm is a whole number of evaluations from 1, not {_short(value)}.", "Write confirm=2."
        ) from None


def _time(value: Any) -> float | None:
    if value is None:
        return None
    seconds = math.nan
    if isinstance(value, dt.timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, numbers.Real) and not isinstance(value, bool):
        raise _no_unit(f"{value:g}")
    elif isinstance(value, str):
        quantity = parse_quantity(value)
        if quantity is not None and str(quantity.dimension) == "s":
            seconds = quantity.value
        elif quantity is None and value.strip().replace(".", "", 1).isdigit():
            raise _no_unit(value.strip())
    if not (math.isfinite(seconds) and seconds > 0):
        raise WorkbenchError(f"max_time is a time above 0, not {_short(value)}.", 'Write max_time="20min".')
    return seconds


def _no_unit(text: str) -> WorkbenchError:
    return WorkbenchError(f"max_time {text} has no unit.", f"Write {text}s, {text}min or {text}h.")


def _amount(value: Any, name: str, unit: str, example: str) -> float | None:
    if value is None:
        return None
    amount = math.nan
    if isinstance(value, str) and unit == "USD":
        quantity = parse_quantity(value)
        try:
            amount = quantity.value if quantity is not None and value.strip().startswith("$") else float(value)
        except ValueError:
            amount = math.nan
    elif isinstance(value, numbers.Real) and not isinstance(value, bool):
        amount = float(value)
    if not (math.isfinite(amount) and amount > 0):
        raise WorkbenchError(f"{name} is a number of {unit} above 0, not {_short(value)}.", f"Write {name}={example}.")
    return amount


def _resume(value: Any) -> str | None:
    if value is None:
        return None
    value = getattr(value, "id", value)
    if not isinstance(value, str) or not value.strip():
        raise WorkbenchError(f"resume is the id of a run, not {_short(value)}.", "Write resume=run.id.")
    return value.strip()


def _store(value: Any) -> Any:
    if value is None or isinstance(value, (str, os.PathLike)) or hasattr(value, "sink") or hasattr(value, "start"):
        return value
    raise WorkbenchError(f"store is a folder, not {_short(value)}.", 'Write store="runs".')


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else type(value).__name__
