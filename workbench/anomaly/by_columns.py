"""Which columns explain: the names given, or the choice that `"*"` stands for."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from workbench.anomaly.checks import shown
from workbench.anomaly.data import columns_hint, is_number, is_text, kind_name, plain
from workbench.engine.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.anomaly.data import Data

__all__ = ["By", "chosen_by", "given_by", "range_note"]

#: column and number of ranges, None for its values
By = tuple[tuple[str, int | None], ...]

#: distinct values that a column of `"*"` may always have
ALWAYS = 20


def given_by(data: Data, by: Any) -> By:
    """Return the columns asked for, checked.

    Parameters
    ----------
    data : Data
    by : str or list of str and (str, int)
    """
    one = isinstance(by, str) or (_is_pair(by) and isinstance(by[0], str))
    items = [by] if one else list(by) if isinstance(by, Iterable) else None
    if not items:
        raise WorkbenchError("by names no column.", f'Give a list of columns, or "*". {columns_hint("", data.schema)}')
    found: dict[str, int | None] = {}
    for item in items:
        name, bins = item if _is_pair(item) or _is_meant_as_pair(item, data) else (item, None)
        name = str(name)  # also NumPy's own text, which JSON and reprs write otherwise
        if name not in data.schema and "," in name and all(p.strip() in data.schema for p in name.split(",")):
            listed = ", ".join(f'"{part.strip()}"' for part in name.split(","))
            raise WorkbenchError(f'No column "{name}" in {data.name}.', f"Give a list: by=[{listed}].")
        data.check(name)
        if name in found:
            raise WorkbenchError(f'"{name}" stands twice in by.', "Name each column once.")
        found[name] = _bins(name, bins, data.schema[name])
        check_plain(name, data.schema[name])
    return tuple(found.items())


def chosen_by(data: Data, taken: Collection[str], named: Collection[str]) -> tuple[By, list[str]]:
    """Return the columns that `"*"` stands for, and a note for each that it does not.

    Parameters
    ----------
    data : Data
    taken : collection of str
        Metrics, labels, and what else has a use of its own.
    named : collection of str
        Columns that a condition names.
    """
    kept: list[str] = []
    notes: list[str] = []
    others: dict[str, list[str]] = {}
    for name, kind in data.schema.items():
        if name in taken:
            continue
        if name in named:
            others.setdefault("named in where", []).append(name)
        elif (reason := _unfit(kind)) is not None:
            others.setdefault(reason, []).append(name)
        else:
            kept.append(name)
    by: list[tuple[str, int | None]] = []
    data.want([*taken, *named, *kept])
    rows = data.n_rows
    counts = data.distinct(kept)
    for name in kept:
        if rows and not 2 <= counts[name] <= max(ALWAYS, rows / 4):
            different = "1 different value" if counts[name] == 1 else f"{counts[name]:,} different values"
            notes.append(f'Left out "{name}": {different} in {rows:,} {"row" if rows == 1 else "rows"}.')
        else:
            by.append((name, None))
    notes += [f"Left out {', '.join(_quoted(names))}: {reason}." for reason, names in others.items()]
    if not by and rows:
        raise WorkbenchError(
            f"No column of {data.name} is fit for * in by.", " ".join(notes) or "Name the columns to explain by."
        )
    return tuple(by), notes


def range_note(name: str, distinct: int, bins: int) -> str:
    """Return the note for a float column that became ranges."""
    return (
        f'"{name}" has {distinct:,} different numbers; put in {bins} equal-count ranges '
        f"(write {name}:{2 * bins} for more)."
    )


def check_plain(name: str, kind: pa.DataType) -> None:
    """Raise for a nested type."""
    kind = plain(kind)
    if pa.types.is_nested(kind) or pa.types.is_interval(kind):
        what = "structs" if pa.types.is_struct(kind) else "maps" if pa.types.is_map(kind) else "lists"
        what = "intervals of months and days" if pa.types.is_interval(kind) else what
        raise WorkbenchError(
            f'"{name}" holds {what}; a column of by must hold plain values.',
            "Take it apart into columns of text or numbers first, or leave it out of by.",
        )


def _unfit(kind: pa.DataType) -> str | None:
    """Return why a column of this type is no part of `"*"`; None if it is."""
    held = plain(kind)
    if pa.types.is_nested(held) or pa.types.is_interval(held) or is_bytes(held):
        return "not plain values"
    if is_text(held) or pa.types.is_boolean(held) or pa.types.is_dictionary(kind):
        return None
    return "numbers" if is_number(held) else "no values" if pa.types.is_null(held) else "times"


def is_bytes(kind: pa.DataType) -> bool:
    """Return whether a column holds bytes."""
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)


def _quoted(names: list[str]) -> list[str]:
    return [f'"{name}"' for name in names]


def _is_pair(item: Any) -> bool:
    return isinstance(item, (tuple, list)) and len(item) == 2 and not isinstance(item[1], (str, tuple, list))


def _is_meant_as_pair(item: Any, data: Data) -> bool:
    """Return whether `("distance", "10")` is a column with its number of ranges, and no name of two parts."""
    two = isinstance(item, (tuple, list)) and len(item) == 2
    return two and str(item) not in data.schema and item[0] in list(data.schema)


def _bins(name: str, bins: Any, kind: pa.DataType) -> int | None:
    if bins is None:
        return None
    if isinstance(bins, bool) or not hasattr(bins, "__index__") or int(bins) < 1:
        raise WorkbenchError(
            f'"{name}" is to be put in {shown(bins)} ranges; it is a number of ranges.', f'Give ("{name}", 10).'
        )
    if not is_number(kind):
        raise WorkbenchError(f'"{name}" is {kind_name(kind)}; only numbers are put in ranges.', f'Give "{name}" alone.')
    return int(bins)
