"""`concat`, `DataFrame` and `Series` of what is lazy: as in pandas, without computing it before it is asked for."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.fusion.capture.pairs import assert_same, table

#: code that reads `df` and `other`, two tables of the same columns, `a` of as many rows and `m` of two dimensions
FUSED = {
    "frames": "r = pd.concat([df, other])",
    "ignored": "r = pd.concat([df, other, df], ignore_index=True)",
    "series": "r = pd.concat([df.x, other.x + 1, df.y])",
    "series_of_one_name": "r = pd.concat([df.x, other.x * 2]); s = r.sum()",
    "then_group": "r = pd.concat([df, other]).groupby('s').y.sum()",
    "then_write": "t = pd.concat([df, other]); t['z'] = t.x * 2; r = t[t.y > 0]",
    "side": "r = pd.concat([df.x + 1, df.y.rename('q'), df[['i']]], axis=1)",
    "side_unnamed": "r = pd.concat([df.x + df.y, df.y * df.f, df[['i']]], axis=1)",
    "side_ignored": "r = pd.concat([df.x + df.y, df.y * df.f], axis=1, ignore_index=True)",
    "side_filtered": "t = df[df.x > 0]; r = pd.concat([t.x, t.s.str.len(), t], axis=1)",
    "table": "r = pd.DataFrame({'a': df.x * 2, 'b': df.s.str.upper(), 'c': 1, 'd': 'w', 'e': a * 2, 0: df.t})",
    "table_filtered": "t = df[df.x > 0]; r = pd.DataFrame({'a': t.x, 'b': t.y * 2, 'c': True})",
    "table_of_arrays": "r = pd.DataFrame({'a': a * 2, 'b': a > 0}); s = r.a[r.b].sum()",
    "table_of_one": "r = pd.DataFrame(m * 2, columns=list('uvw')); q = pd.DataFrame(m)",
    "table_of_table": "r = pd.DataFrame(df); q = pd.DataFrame(df.x); s = pd.DataFrame(df.x + df.y)",
    "table_of_numbers": "r = pd.DataFrame({'a': df.x, 'm': df.x.mean(), 'n': df.i.max()})",
    "column": "r = pd.Series(a * 2); q = pd.Series(a, index=df.index, name='n')",
    "column_of_column": "r = pd.Series(df.x); q = pd.Series(df.x + 1, name='v')",
    "array_written_after": "r = pd.DataFrame({'a': a}); a[0] = 99.0; s = r.a.sum(); q = pd.Series(a)",
    "column_written_after": "r = pd.DataFrame({'a': df.x}); df['x'] = 0.0; s = r.a.sum()",
    "table_written_after": "r = pd.DataFrame(df); r['x'] = 0.0; s = df.x.sum()",
    "rows_written_after": "r = pd.concat([df.x, df.y]); df.loc[df.i > 0, 'x'] = 5.0; q = pd.concat([df.x, df.y])",
}
#: what is one library's call, as its rows are not counted before the run
JOINED = {
    "filtered": "r = pd.concat([df[df.x > 0], other[other.i < 2]])",
    "filtered_ignored": "r = pd.concat([df[df.x > 0], other], ignore_index=True); s = r.y.sum()",
    "groups": "r = pd.concat([df.groupby('i').x.sum(), other.groupby('i').x.sum()])",
    "merged": "u = other[list('iy')].head(3); r = pd.concat([df.merge(u, on='i'), df.merge(u[1:], on='i')])",
    "then_filter": "t = pd.concat([df[df.x > 0], other[other.x < 1]]); r = t[t.y > 0].groupby('s').y.sum()",
    "then_slice": "t = pd.concat([df[df.x > 0], other]); r = t.iloc[3:20]; q = t.head(2); s = t.reset_index(drop=True)",
    "ignored_then_slice": "t = pd.concat([df[df.x > 0], other], ignore_index=True); r = t.iloc[3:20]; q = t.tail(2)",
    "then_sort": "t = pd.concat([df[df.x > 0], other]); r = t.sort_values('y'); q = r.reset_index(drop=True)",
}
#: what pandas does
FELL = {
    "keys": "r = pd.concat([df, other], keys=['p', 'q'])",
    "other_columns": "r = pd.concat([df, other[['x', 'y']]])",
    "other_dtypes": "r = pd.concat([df.x, other.i])",
    "a_table_and_a_column": "r = pd.concat([df, other.x])",
    "objects": "r = pd.concat([df.o, df.o])",
    "nothing": "r = pd.concat([df, other.head(0)])",
    "other_rows": "r = pd.concat([df.x, other.y], axis=1)",
    "aligned": "r = pd.DataFrame({'a': df.x, 'b': other.y})",
    "reindexed": "r = pd.Series(df.x, index=[3, 5])",
    "typed": "r = pd.DataFrame({'a': df.x}, dtype='float32'); q = pd.Series(a, dtype='float32')",
    "named": "r = pd.DataFrame({'a': df.x, 'b': df.y}, columns=['b'])",
    "lists": "r = pd.DataFrame({'a': df.x, 'b': list(range(60))})",
}
RAISING = {
    "lengths": "pd.DataFrame({'a': a, 'b': a[:3] + 1})",
    "no_rows": "pd.DataFrame({'a': a.sum()})",
    "columns": "pd.DataFrame(m, columns=['p'])",
    "index": "pd.Series(a, index=[1, 2])",
    "kinds": "pd.concat([df, 3])",
}


def names() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    one, two = table(60, 1), table(50, 2)
    a, m = rng.normal(size=60), rng.normal(size=(30, 3))
    return {"pd": pd, "np": np, "df": one, "other": two, "a": a, "m": m}


def run(code: str) -> Any:
    """Assert that a cell leaves what it leaves without fusion; return its plan."""
    wanted, found = names(), names()
    exec(code, wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plan = wb.fusion.run_cell(code, found).plan
    for name in (*"rqs", "df", "other", "a", "m"):
        if name in wanted:
            assert_same(found[name], wanted[name])
    return plan


def _only_numbers(code: str) -> str:
    return "df = df.drop(columns=['o', 'c']); other = other.drop(columns=['o', 'c']); " + code


@pytest.mark.parametrize("name", FUSED)
def test_assembled(name: str) -> None:
    plan = run(_only_numbers(FUSED[name]))
    assert not len(plan.reasons), plan.reasons


@pytest.mark.parametrize("name", JOINED)
def test_assembled_of_rows_that_the_run_counts(name: str) -> None:
    plan = run(_only_numbers(JOINED[name]))
    assert not {"concat", "DataFrame", "Series"} & set(plan.reasons.op), plan.reasons


@pytest.mark.parametrize("name", FELL)
def test_assembled_in_pandas(name: str) -> None:
    plan = run(FELL[name])
    assert {"concat", "DataFrame", "Series"} & set(plan.reasons.op), plan.reasons


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", RAISING)
def test_assembling_raises(name: str) -> None:
    with pytest.raises((ValueError, TypeError)) as wanted:
        exec(RAISING[name], names())
    with pytest.raises(type(wanted.value)) as found:
        wb.fusion.run_cell(RAISING[name], names())
    assert str(found.value) == str(wanted.value)


def test_a_table_made_of_arrays_is_part_of_one_kernel() -> None:
    found = names()
    plan = wb.fusion.run_cell("r = pd.DataFrame({'p': a * 2, 'q': a > 0}); s = r.p[r.q].sum(); del r", found).plan
    assert plan.launches == 1 and not len(plan.reasons)


_ROWS = st.sampled_from(["", "[x.i > 1]", "[x.x < 0]", ".head(4)", ".iloc[::7]"])
_PARTS = st.lists(st.tuples(st.sampled_from(["df", "other"]), _ROWS), min_size=1, max_size=3)
_COLUMNS = st.lists(st.sampled_from(list("ixfbshtgmn")), min_size=1, max_size=4, unique=True)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(_PARTS, _COLUMNS, st.booleans(), st.booleans())
def test_any_parts_one_after_another(parts: list[Any], columns: list[str], ignore: bool, single: bool) -> None:
    tables = [f"(lambda x: x{pick})({name})[{(columns[0] if single else columns)!r}]" for name, pick in parts]
    run(_only_numbers(f"r = pd.concat([{', '.join(tables)}], ignore_index={ignore}); q = r.head(3)"))
