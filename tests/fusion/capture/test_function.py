"""Functions under `fuse`: what their calls of pandas mean, and what stays as it was."""

from __future__ import annotations

import traceback
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.fusion.capture.function import routed

DF = pd.DataFrame({"a": np.arange(6.0), "k": [0, 1, 0, 1, 2, 2], "s": list("uvwxyz")})


@pytest.mark.filterwarnings("ignore:.* ran in pandas, unfused")
def test_functions_of_pandas_get_tables() -> None:
    def work(df: Any, other: Any) -> Any:
        low, high = df[df.a <= 1], df[df.a > 1]
        both = pd.concat([high, low])
        joined = pd.merge(df, other, on="k")
        made = pd.DataFrame({"twice": df.a * 2, "known": pd.notna(df.a)})
        codes = pd.cut(df.a, 3, labels=False)
        return both, joined, made, codes, pd.Series(df.a.to_numpy() + 1)

    other = pd.DataFrame({"k": [0, 1, 2], "w": [1.5, 2.5, 3.5]})
    for found, wanted in zip(wb.fusion.fuse(work)(DF, other), work(DF, other), strict=True):
        assert type(found) is type(wanted)
        (pd.testing.assert_frame_equal if isinstance(wanted, pd.DataFrame) else pd.testing.assert_series_equal)(
            found, wanted
        )


def test_kinds_are_what_they_stand_for() -> None:
    def work(df: Any, x: Any) -> Any:
        return isinstance(df, pd.DataFrame), isinstance(x, np.ndarray), type(df.a) is pd.Series, x.sum()

    assert wb.fusion.fuse(work)(DF, np.ones(4)) == (True, True, True, 4.0)


def test_closures_defaults_and_lines_stay() -> None:
    count, shift = 0, 2.0

    def work(x: Any, /, scale: float = 3.0, *rest: Any, down: float = 1.0, **more: Any) -> Any:
        """Scale."""
        nonlocal count
        count += 1
        inner = [each + shift for each in (x * scale - down,)]
        return inner[0] + sum(rest) + more.get("up", 0)

    fused = wb.fusion.fuse(work)
    assert np.array_equal(fused(np.ones(3)), np.full(3, 4.0))
    shift = 5.0
    assert np.array_equal(fused(np.ones(3), 1.0, 2.0, down=0.0, up=4.0), np.full(3, 12.0))
    assert count == 2
    function = routed(work)
    assert function is not work
    assert (function.__name__, function.__qualname__, function.__doc__, function.__defaults__) == (
        work.__name__, work.__qualname__, work.__doc__, work.__defaults__,
    )  # fmt: skip

    def fails(x: Any) -> Any:
        y = x + 1
        raise KeyError(str(y.sum()))

    with pytest.raises(KeyError, match=r"6\.0") as caught:
        wb.fusion.fuse(fails)(np.ones(3))
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (last.filename, last.lineno) == (__file__, fails.__code__.co_firstlineno + 2)
    assert last.line == "raise KeyError(str(y.sum()))"


def test_recursion_methods_and_lambdas() -> None:
    class Model:
        weight = 2.0

        @wb.fusion.fuse
        def apply(self, x: Any) -> Any:
            return np.add(x * self.weight, 1)

    assert np.array_equal(Model().apply(np.ones(2)), [3.0, 3.0])
    assert np.array_equal(wb.fusion.fuse(lambda x: np.sqrt(x) + 1)(np.ones(2)), [2.0, 2.0])

    @wb.fusion.fuse
    def power(x: Any, n: int) -> Any:
        return x if n == 1 else x * power(x, n - 1)

    assert np.array_equal(power(np.full(2, 3.0), 3), [27.0, 27.0])


def test_without_its_source_a_function_is_left_as_it_is(tmp_path: Any) -> None:
    scope: dict[str, Any] = {}
    exec("def nowhere(x): return abs(x) + 1", scope)
    assert routed(scope["nowhere"]) is scope["nowhere"]
    file = tmp_path / "edited.py"
    file.write_text("def edited(x):\n    return abs(x) + 1\n")
    exec(compile(file.read_text(), str(file), "exec"), scope)
    assert routed(scope["edited"]) is not scope["edited"]
    file.write_text("def edited(x):\n    return abs(x) - 1\n")  # after it was imported
    import linecache

    linecache.checkcache(str(file))
    assert routed(scope["edited"]) is scope["edited"]
    assert np.array_equal(wb.fusion.fuse(scope["edited"])(-np.ones(2)), [2.0, 2.0])
    assert routed(np.sum) is np.sum
    assert routed(len) is len
