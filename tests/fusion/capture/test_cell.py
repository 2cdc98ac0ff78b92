"""Cells: values, names, identity, aliases, writes and errors as the same code gives them when it runs plainly."""

from __future__ import annotations

import traceback
import types
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import workbench as wb
from workbench.fusion.capture.rewriting import names_of, prepared
from workbench.fusion.errors import FusionError


def _namespace() -> dict[str, Any]:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "people": rng.integers(0, 2_000_000, 500).astype(float),
            "adults": rng.random(500) * 1e6,
            "state": rng.choice(["NY", "CA", "TX"], 500),
        },
        index=np.arange(500) * 2,
    )
    base = rng.random(64)
    return {
        "np": np, "pd": pd, "df": frame, "a": rng.random(100), "i": np.arange(100), "base": base, "head": base[:10],
        "word": "x", "__name__": "__main__",
    }  # fmt: skip


def _copied(namespace: dict[str, Any]) -> dict[str, Any]:
    """Return the names with arrays and tables of their own, views still views of theirs."""
    found = dict(namespace)
    found["df"], found["a"], found["i"] = namespace["df"].copy(), namespace["a"].copy(), namespace["i"].copy()
    found["base"] = namespace["base"].copy()
    found["head"] = found["base"][:10]
    return found


def assert_equal(ours: Any, plain: Any) -> None:
    assert type(ours) is type(plain) or isinstance(plain, types.FunctionType)
    if isinstance(plain, pd.DataFrame):
        pd.testing.assert_frame_equal(ours, plain)
    elif isinstance(plain, pd.Series):
        pd.testing.assert_series_equal(ours, plain)
    elif isinstance(plain, (np.ndarray, np.generic, float)):
        np.testing.assert_allclose(ours, plain, rtol=1e-12)
    elif isinstance(plain, (list, tuple)):
        assert len(ours) == len(plain)
        for mine, theirs in zip(ours, plain, strict=True):
            assert_equal(mine, theirs)
    elif not isinstance(plain, (types.FunctionType, type, types.ModuleType)):
        assert ours == plain


def same(source: str) -> tuple[Any, dict[str, Any]]:
    """Run a cell fused and plainly, and compare all names; return its result and names."""
    ours = _namespace()
    plain = _copied(ours)
    before = {name: (ours[name], plain[name]) for name in ("df", "a", "i", "base", "head")}
    failed = result = None
    try:
        result = wb.fusion.run_cell(source, ours)
    except Exception as error:
        failed = error
    expected = None
    try:
        exec(source, plain)
    except Exception as error:
        expected = error
    assert type(failed) is type(expected) or isinstance(failed, type(expected))
    mine = {name: value for name, value in ours.items() if not name.startswith("__")}
    theirs = {name: value for name, value in plain.items() if not name.startswith("__")}
    assert mine.keys() == theirs.keys()
    for name, value in theirs.items():
        assert_equal(mine[name], value)
    for name, (mine_before, theirs_before) in before.items():
        assert (mine[name] is mine_before) == (theirs[name] is theirs_before)
    return result, ours


def test_c48_the_value_is_that_of_the_last_expression() -> None:
    names = _namespace()
    result = wb.fusion.run_cell("big = df[df.people > 5e5]\n(big.people + 2*big.adults).sum()", names)
    frame = names["df"]
    big = frame[frame.people > 5e5]
    assert result.value == pytest.approx((big.people + 2 * big.adults).sum(), rel=1e-12)
    pd.testing.assert_frame_equal(names["big"], big)
    assert result.names.keys() == {"big"}
    assert result.comparison is None
    assert wb.fusion.run_cell("a.sum();", names).value is None
    assert wb.fusion.run_cell("x = 1", names).value is None
    assert wb.fusion.run_cell("", names).value is None


def test_c48_writes_go_into_the_same_original() -> None:
    names = _namespace()
    frame, array, alias = names["df"], names["a"], names["a"]
    expected = array + 1
    wb.fusion.run_cell('df["z"] = df.people * 2\na += 1\na[a > 1.5] = 0', names)
    assert names["df"] is frame
    assert names["a"] is array is alias
    expected[expected > 1.5] = 0
    np.testing.assert_array_equal(array, expected)
    pd.testing.assert_series_equal(frame["z"], frame.people * 2, check_names=False)


def test_views_that_share_memory_share_their_writes() -> None:
    _, names = same("base *= 2\nhead[3] = 7\nx = base[:5] + 1")
    assert names["head"].base is names["base"]
    assert names["base"][3] == 7


def test_the_same_object_under_two_names_stays_one() -> None:
    names = _namespace()
    names["b"] = names["a"]
    wb.fusion.run_cell("b += 1\nc = a * 1", names)
    assert names["b"] is names["a"]
    np.testing.assert_array_equal(names["c"], names["a"])


def test_c48_what_was_written_before_an_error_is_written_and_the_line_is_the_users() -> None:
    names = _namespace()
    frame = names["df"]
    with pytest.raises(ZeroDivisionError) as caught:
        wb.fusion.run_cell('df["z"] = df.people + 1\n\n1 / 0\ndf["y"] = 2', names)
    assert "z" in frame.columns
    assert "y" not in frame.columns
    assert names["df"] is frame
    entries = traceback.extract_tb(caught.value.__traceback__)
    lines = [entry.lineno for entry in entries if entry.filename == "<fused cell>"]
    assert lines == [3]


def test_an_error_is_raised_at_the_call_that_caused_it() -> None:
    with pytest.raises(KeyError):
        wb.fusion.run_cell('df["nothing"]', _namespace())
    with pytest.raises(ValueError, match="broadcast"):
        wb.fusion.run_cell("a + base", _namespace())
    with pytest.raises(IndexError):
        wb.fusion.run_cell("a[200]", _namespace())


def test_an_interrupt_leaves_originals_unwritten() -> None:
    names = _namespace()
    array, before = names["a"], names["a"].copy()
    with pytest.raises(KeyboardInterrupt):
        wb.fusion.run_cell("a += 1\nraise KeyboardInterrupt", names)
    assert names["a"] is array
    np.testing.assert_array_equal(array, before)


def test_a_syntax_error_runs_nothing() -> None:
    names = _namespace()
    with pytest.raises(SyntaxError):
        wb.fusion.run_cell("x = 1\ny = (", names)
    assert "x" not in names


def test_calls_of_other_libraries_get_computed_arguments() -> None:
    seen: list[type] = []

    def outside(*values: Any) -> float:
        seen.extend(map(type, values))
        return 1.0

    names = _namespace() | {"outside": outside}
    wb.fusion.run_cell("r = outside(a * 2, df.people, [a + 1])", names)
    assert seen == [np.ndarray, pd.Series, list]


def test_functions_of_the_notebook_get_lazy_arguments_and_run_later_too() -> None:
    names = _namespace()
    result = wb.fusion.run_cell("def f(x):\n    return np.exp(x).sum()\nf(a * 0)", names)
    assert result.value == 100
    assert result.plan.launches == 1
    assert names["f"](np.zeros(3)) == 3


def test_types_are_those_that_the_code_would_see() -> None:
    source = (
        "t = type(a), type(df), type(df.people), isinstance(a * 2, np.ndarray), isinstance(df, (int, pd.DataFrame))"
    )
    names = _namespace()
    wb.fusion.run_cell(source, names)
    assert names["t"] == (np.ndarray, pd.DataFrame, pd.Series, True, True)


def test_containers_are_computed_one_level_deep_and_stay_themselves() -> None:
    names = _namespace()
    wb.fusion.run_cell("l = []\nl.append(a * 2)\nd = {'x': a + 1}\nt = a.sum(), 3", names)
    assert [type(each) for each in names["l"]] == [np.ndarray]
    assert type(names["d"]["x"]) is np.ndarray
    assert type(names["t"][0]) is np.float64


@pytest.mark.filterwarnings("ignore:.*ran in pandas, unfused")
def test_functions_of_pandas_have_lazy_forms() -> None:
    same(
        "other = pd.DataFrame({'state': ['NY', 'CA'], 'tax': [1.0, 2.0]})\n"
        "m = pd.merge(df, other, on='state')\nn = pd.isna(df.people)\nk = pd.notna(df.adults)\n"
        "s = pd.Series(a * 2)\nc = pd.concat([df.people, df.adults])\nf = pd.DataFrame({'x': a, 'y': a * 2})"
    )


def test_the_plan_covers_all_that_was_computed() -> None:
    result = wb.fusion.run_cell("if (a * 2).sum() > 0:\n    b = a + 1\nb.sum()", _namespace())
    assert result.plan.segments == 2
    assert len(result.to_pandas()) == result.plan.launches >= 2
    assert result.plan.kernels_before == 5


def test_check_is_told() -> None:
    result = wb.fusion.run_cell("np.exp(a).sum()", _namespace(), check=True)
    assert result.plan.max_error is not None
    assert result.plan.max_error < 1e-12


def test_an_unknown_device_is_an_error_before_anything_runs() -> None:
    names = _namespace()
    with pytest.raises(FusionError, match='Unknown device "gpu"'):
        wb.fusion.run_cell("x = 1", names, device="gpu")
    assert "x" not in names


def test_names_that_are_read_and_written() -> None:
    import ast

    source = "x = a\ny += 1\ndef f(p):\n    global g\n    g = p + outer\n    local = 1\n    return local\nimport os"
    reads, writes = names_of(source, ast.parse(source), "cell")
    assert set(reads) == {"a", "y", "outer"}
    assert set(writes) == {"x", "y", "f", "g", "os"}


@pytest.mark.parametrize(
    "source",
    ["class A:\n    def f(self):\n        return super().__repr__()\nA().f()", "sorted(locals())", "eval('1 + 1')"],
)
def test_calls_that_look_at_their_frame_are_left_alone(source: str) -> None:
    assert wb.fusion.run_cell(source, {"__name__": "__main__"}).value is not None


def test_a_semicolon_keeps_the_value_back() -> None:
    assert prepared("a\nb", "c").valued
    assert not prepared("a\nb ;", "c").valued
    assert not prepared("b;  # why", "c").valued
    assert not prepared("'ü';", "c").valued


STATEMENTS = st.sampled_from(
    [
        "x = a * 2 + 1",
        "a += 1",
        "a[a > 0.5] = 0",
        "y = x if 'x' in dir() else a",
        "base[2:6] *= 3",
        "head += base[:10]",
        "z = np.where(a > 0.3, a, -a)",
        "df['p'] = df.people / 2",
        "df.loc[df.adults > 5e5, 'people'] = 0.0",
        "s = df.people.sum()",
        "big = df[df.people > df.people.mean()]",
        "i = i + 1",
        "b = a",
        "b = a[::2]",
        "g = df.groupby('state').adults.sum()",
        "w = [a, base * 2]",
        "q = a[3]",
        "a = a.copy()",
        "df = df.head(50)",
        "v = np.sort(a)[:3]",
        "n = len(df[df.adults < 1e5])",
        "raise ValueError('stop')",
        "c = a.reshape(10, 10).sum(axis=1)",
        "k = int(i.sum()) % 7",
        "m = df.state.str.lower()",
        "del word",
    ]
)


@pytest.mark.filterwarnings("ignore:.*ran in pandas, unfused")
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STATEMENTS, min_size=1, max_size=7))
def test_random_cells_are_the_same_as_run_plainly(statements: list[str]) -> None:
    same("\n".join(statements))


def test_a_loop_that_asks_for_a_number_goes_on_from_the_last_round() -> None:
    source = """
weights, bias, losses = np.zeros(5), 0.0, []
for k in range(12):
    p = np.tanh(rows @ weights + bias)
    losses.append(float(((p - truth) ** 2).mean()))
    weights = weights - 0.1 * (rows * (p - truth)[:, None]).mean(axis=0)
    bias -= 0.1 * (p - truth).mean()
"""
    rng = np.random.default_rng(5)
    plain = {"np": np, "rows": rng.random((40, 5)), "truth": rng.random(40)}
    ours = dict(plain)
    result = wb.fusion.run_cell(source, ours)
    exec(source, plain)
    for name in ("weights", "bias", "losses", "p"):
        assert type(ours[name]) is type(plain[name])
        np.testing.assert_allclose(ours[name], plain[name], rtol=1e-9)
    assert result.plan.segments == 13
    rounds = wb.fusion.plans()[-13:]
    # the graph does not grow with the rounds, and so the last ones find their plan
    assert [each.cache for each in rounds[5:12]] == ["hit"] * 7
    assert len({len(each.ops) for each in rounds[5:12]}) == 1


@pytest.mark.parametrize(
    "source",
    [
        "y = a * 2; z = y + 1; first = float(z.sum()); second = float(z.max()); w = z.copy(); z[0] = 5; u = z.sum()",
        "y = np.exp(a); k = y.copy(); m = float(y.sum()); n = float((y * 2).sum()); y += 1; o = k + y",
        "s = a.sum(); t = s; s += 1; s *= 2",
        "b = 0.0\nfor k in range(3):\n    b -= (a * k).mean()\nc = b",
        "d = df.people.sum(); e = d; d -= 1",
    ],
)
def test_values_that_are_kept_are_not_written_through(source: str) -> None:
    same(source)


@pytest.mark.filterwarnings("ignore:.* ran in .*, unfused")
def test_lazy_objects_deep_in_arguments() -> None:
    same("out = pd.DataFrame({'total': [df.people.sum()], 'most': [df.adults.max()]})")
    same("out = pd.DataFrame([{'total': df.people.sum(), 'k': 1}])")
    same("out = np.array([a[k : k + 3].sum() for k in range(4)])")
    same("out = np.stack([a[:3], a[3:6] * 2])")
    result = wb.fusion.run_cell("out = np.array([a[k : k + 3].sum() for k in range(4)])", _namespace())
    assert result.plan.segments == 1  # not one for each element


@pytest.mark.filterwarnings("ignore:.* ran in .*, unfused")
def test_keys_that_are_lazy() -> None:
    same("sums = df.groupby('state').people.sum(); out = list(sums.index[sums > 100])")
    same("lookup = {k: k * k for k in range(100)}; out = lookup[i[3]]; at = [10, 20, 30][int(i[1])]")
    same("out = [str(each) for each in np.array(['a', 'b'])[(a > 0.5).astype(int)]]")


@pytest.mark.filterwarnings("ignore:.* ran in .*, unfused")
def test_strings_chosen_by_a_condition_are_strings() -> None:
    same("df['size'] = np.where(df.people > 5e5, 'big', 'small'); n = (df['size'] == 'big').sum()")


def test_rows_of_groups_by_position() -> None:
    same("by = (df.people * 2).groupby(df.state).sum(); out = by.head(2); last = by.tail(1); mid = by.iloc[1:]")
