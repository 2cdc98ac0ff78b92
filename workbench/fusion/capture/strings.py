"""`.str`: operations on strings, done once for each word of the column's dictionary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion.capture.arithmetic import table
from workbench.fusion.capture.columns import Column
from workbench.fusion.capture.fallback import forced, is_lazy, run_in_pandas
from workbench.fusion.capture.words import Words

if TYPE_CHECKING:
    from workbench.fusion.capture.series import LazySeries

__all__ = ["Strings"]

#: operations whose result is a string for each string
TO_WORDS = frozenset(
    {
        "lower", "upper", "capitalize", "title", "swapcase", "casefold", "strip", "lstrip", "rstrip", "slice", "get",
        "replace", "zfill", "pad", "ljust", "rjust", "center", "removeprefix", "removesuffix", "slice_replace",
        "translate", "normalize",
    }
)  # fmt: skip
#: operations whose result is true or false, false for a missing string
TO_BOOLS = frozenset(
    {
        "contains", "startswith", "endswith", "match", "fullmatch", "isalpha", "isdigit", "isalnum", "isspace",
        "islower", "isupper", "istitle", "isnumeric", "isdecimal", "isascii",
    }
)  # fmt: skip
#: operations whose result is a number
TO_NUMBERS = frozenset(["len", "find", "rfind", "count"])


class Strings:
    """What `.str` gives."""

    def __init__(self, series: LazySeries) -> None:
        self._series = series

    def __getattr__(self, name: str) -> Any:
        import pandas as pd

        if name.startswith("_"):
            raise AttributeError(name)
        method = getattr(pd.Series.str, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._call(name, args, kwargs)

        call.__name__, call.__doc__ = name, method.__doc__
        return call

    def __getitem__(self, key: Any) -> Any:
        return self._call("__getitem__", (key,), {})

    def __dir__(self) -> list[str]:
        import pandas as pd

        return sorted(each for each in dir(pd.Series.str) if not each.startswith("_"))

    def _call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        series = self._series
        reason = "unsupported operation"
        if not any(is_lazy(each) for each in (*args, *kwargs.values())) and "na" not in kwargs:
            found = _on_words(series._column, name, args, kwargs)
            if isinstance(found, Column):
                return series._new(found)
            reason = found
        return run_in_pandas(
            f"str.{name}", lambda s, *a, **k: getattr(s.str, name)(*a, **k), series, *args, reason=reason, **kwargs
        )


def _on_words(column: Column, name: str, args: Any, kwargs: Any) -> Column | str:
    """Return the operation done on a dictionary; or why it is not."""
    coded = column.coded() if column.text and name in TO_WORDS | TO_BOOLS | TO_NUMBERS | {"__getitem__"} else None
    if coded is None:
        return "predicted slower fused" if column.text and name in TO_WORDS | TO_BOOLS else "unsupported operation"
    codes, words = coded
    if (name == "contains" and len(args) > 3) or (name in ("startswith", "endswith") and len(args) > 1):
        return "unsupported operation"
    found = getattr(words.values.str, name)(*forced(args), **forced(kwargs))
    if name in TO_BOOLS:
        return table(column, codes, found.to_numpy(bool), fill=False)
    if name in TO_NUMBERS:
        return _numbers(column, codes, words, found)
    if found.dtype != column.dtype:
        return "unsupported operation"
    return Column(column.dtype, column.domain, codes, words=Words(found, False))


def _numbers(column: Column, codes: Any, words: Words, found: Any) -> Column | str:
    """Return numbers of strings: integers, or floats where a string is missing."""
    if not words.distinct and words.values.isna().any():
        return "data-dependent dtype"
    source = column.source
    if source is None or column.gaps:
        return "data-dependent dtype"
    if not source.missing_words():
        return table(column, codes, found.to_numpy(np.int64), fill=0)
    if column.domain is not source.home:
        return "data-dependent dtype"
    return table(column, codes, found.to_numpy(np.float64), fill=np.nan)
