"""The explanation search against the reference of `brute.py`, on random tables and on the files of MacroBase."""

from __future__ import annotations

from collections import Counter as Tally
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.anomaly.brute import Line, metric_of_counts
from tests.anomaly.tables import COMPARE, Question, Table, questions, tables
from workbench.anomaly import loading
from workbench.anomaly.explain import Found, Rules, search
from workbench.anomaly.ranking import rank

CALM = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
settings.register_profile("anomaly", settings(max_examples=100, **CALM))
settings.register_profile("anomaly acceptance", settings(max_examples=1500, **CALM))
USUAL, ACCEPTANCE = settings.get_profile("anomaly"), settings.get_profile("anomaly acceptance")


def found_in(table: Table, question: Question, seed: int = 0, **more: Any) -> tuple[Found, list[Any]]:
    """Search a table; returns what was found, and the values of each column's codes."""
    codes, cards, values = table.encoded(seed)
    marked = np.array(table.marked())
    weights = None if table.weights is None else np.array(table.weights)
    found = search(
        codes, cards, marked > 0, Rules(**question.options()),
        weights=weights, outlier_weights=None if weights is None else marked, metric=np.array(table.metric), **more,
    )  # fmt: skip
    return found, values


def lines_of(table: Table, found: Found, values: list[Any]) -> list[Line]:
    """Return answers as the reference gives them, in rank order."""
    names, sets, lines = list(table.columns), found.answers, []
    for i in rank(found, values):
        pairs = zip(sets.columns[i], sets.codes[i], strict=True)
        own = {names[c]: values[c][int(code)].as_py() for c, code in pairs if c >= 0}
        lines.append(Line(own, *(float(each[i]) for each in (sets.support, sets.value, sets.o, sets.t))))
    return lines


def searched(table: Table, question: Question, seed: int = 0, **more: Any) -> list[Line]:
    return lines_of(table, *found_in(table, question, seed, **more))


def assert_same(ours: list[Line], theirs: list[Line], digits: float = 0.0) -> None:
    """Assert that two lists say the same in the same order; `digits` is the relative error that figures may have."""
    assert [line.values for line in ours] == [line.values for line in theirs]
    if not digits:
        assert ours == theirs
    np.testing.assert_allclose([line[1:] for line in ours], [line[1:] for line in theirs], rtol=digits)


def digits(question: Question) -> float:
    """Return the relative error to allow: only of a deviation, of which the reference sums the squares otherwise."""
    return 1e-12 if question.compare == "mean_deviation" else 0.0


@pytest.mark.slow
def test_c16_c17_c18_c19_c20_c22_the_search_equals_brute_force_on_1500_tables() -> None:
    seen: Tally[str] = Tally()

    @ACCEPTANCE
    @given(tables(), questions(), st.integers(0, 3))
    def equal(table: Table, question: Question, seed: int) -> None:
        lines = searched(table, question, seed)
        assert_same(lines, question.brute(table), digits(question))
        seen["tables"] += 1
        seen[question.compare] += bool(lines)
        seen.update({f"order {len(line.values)}" for line in lines})
        seen["null"] += any(value is None for line in lines for value in line.values.values())
        seen["weighted"] += bool(lines) and table.weights is not None
        seen["tied"] += len({(line.ratio, line.support) for line in lines}) < len(lines)

    equal()
    # Not an empty exercise: each kind of question has had answers.
    assert seen["tables"] >= 1500
    kinds = (*COMPARE, "order 1", "order 2", "order 3", "null", "weighted", "tied")
    assert min(seen[kind] for kind in kinds) >= 50 and seen["order 4"] >= 15


# ------------------------------------------------------------------------------------------- wb.outliers, end to end


def asked(table: Table, question: Question, kind: str = "arrow") -> Any:
    """Ask `wb.outliers` with the table's marks as labels; rows with weights are a cube."""
    data = table.to_pandas() if kind == "pandas" else table.to_arrow()
    if kind == "polars":
        import polars as pl

        data = pl.from_arrow(data)
    metric: Any = "metric #" if question.compare in ("mean_shift", "mean_deviation") else None
    if table.weights is not None:
        metric = wb.anomaly.Cube("weight #", mean=metric)
    options = question.options()
    if question.compare != "mean_deviation":
        options["labels"] = [each > 0 for each in table.outliers]
    return wb.outliers(data, metric, list(table.columns), **options), data


def told(result: Any, table: Table) -> list[Line]:
    """Return an `Explanations` as the reference gives its answers."""
    frame = result.to_pandas()

    def figure(name: str) -> list[float]:
        return [float(each) for each in frame[name + "_" if name in table.columns else name]]

    names = ("support", "ratio", "outlier_count", "total_count")
    return [Line(*each) for each in zip(result.sets, *map(figure, names), strict=True)]


def rows_that_match(table: Table, values: dict[str, Any]) -> list[int]:
    def alike(cell: Any, value: Any) -> bool:
        return (cell is None and value is None) or (cell is not None and value is not None and cell == value)

    return [i for i, row in enumerate(table.rows()) if all(alike(row[name], value) for name, value in values.items())]


@pytest.mark.slow
def test_c14_c22_c32_c42_whole_answers_equal_brute_force_on_500_tables() -> None:
    import duckdb

    seen: Tally[str] = Tally()
    connection = duckdb.connect()

    @settings(max_examples=500, **CALM)
    @given(
        tables(weights=st.sampled_from([None, None, "whole", "fractions"])),
        questions(),
        st.sampled_from(["arrow", "pandas", "polars"]),
    )
    def equal(table: Table, question: Question, kind: str) -> None:
        result, data = asked(table, question, kind)
        lines = told(result, table)
        theirs = question.brute(table)
        assert_same(lines, theirs, digits(question))
        assert [list(line.values) for line in lines] == [list(line.values) for line in theirs]  # in the order of `by`
        connection.register("data", table.to_arrow())
        for i, line in enumerate(lines[:3]):
            matching = rows_that_match(table, line.values)
            (count,) = connection.sql(f"SELECT count(*) FROM data WHERE {result.sql(i)}").fetchall()[0]
            chosen = data.filter(result.filter(i)) if kind != "pandas" else data[result.filter(i)]
            assert count == len(chosen) == len(matching)
            if table.weights is None:
                assert count == line.t
        connection.unregister("data")
        seen["tables"] += 1
        seen[question.compare] += bool(lines)
        seen["weighted"] += bool(lines) and table.weights is not None

    equal()
    assert seen["tables"] >= 500 and min(seen[kind] for kind in (*COMPARE, "weighted")) >= 15


@USUAL
@given(tables(), questions(), st.randoms(use_true_random=False))
def test_c25_order_of_rows_and_columns_and_names_of_values_change_no_answer(
    table: Table, question: Question, random: Any
) -> None:
    lines = searched(table, question)
    rows = list(range(len(table)))
    random.shuffle(rows)
    assert searched(table.take(rows), question, seed=5) == lines

    names = list(table.columns)
    random.shuffle(names)
    turned = Table({n: table.columns[n] for n in names}, table.outliers, table.metric, table.weights, table.kinds)
    assert bag(searched(turned, question)) == bag(lines)

    calls: dict[str, dict[Any, str]] = {}
    for name, column in table.columns.items():
        new = [f"v{i}" for i in range(len(set(column)))]
        random.shuffle(new)
        calls[name] = dict(zip(dict.fromkeys(column), new, strict=True))
    renamed = Table(
        {n: [calls[n][value] for value in column] for n, column in table.columns.items()},
        table.outliers, table.metric, table.weights, dict.fromkeys(table.columns, "text"),
    )  # fmt: skip
    expected = [line._replace(values={n: calls[n][value] for n, value in line.values.items()}) for line in lines]
    assert bag(searched(renamed, question)) == bag(expected)


def bag(lines: list[Line]) -> dict[frozenset[tuple[str, Any]], tuple[float, ...]]:
    return {frozenset(line.values.items()): line[1:] for line in lines}


@USUAL
@given(tables(weights=None), questions(compare=COMPARE[:4]))
def test_c17_without_any_one_of_its_columns_an_explanation_fails(table: Table, question: Question) -> None:
    lines = searched(table, question)
    assert all(line.support >= question.min_support and line.ratio >= question.min_ratio for line in lines)
    if not question.minimal:
        return
    O, N = sum(table.outliers), len(table)  # noqa: E741
    for line in lines:
        for name in line.values if len(line.values) > 1 else ():
            rows = rows_that_match(table, {n: value for n, value in line.values.items() if n != name})
            o = sum(table.outliers[i] for i in rows)
            ratio = metric_of_counts(question.compare, o, len(rows), O, N)
            assert o / O < question.min_support or ratio < question.min_ratio


@USUAL
@given(tables(n=st.sampled_from([20, 120, 1000, 5000])), questions())
def test_kernels_and_numpy_give_identical_bytes(table: Table, question: Question) -> None:
    def content(found: Found) -> list[Any]:
        arrays = [*vars(found.answers).values(), found.tested_o, found.tested_t, found.tested_index]
        for moments in (found.moments_out, found.moments_in):
            arrays += [np.asarray(each) for each in moments or ()]
        return [(each.dtype.str, each.shape, each.tobytes()) for each in arrays] + [
            found.candidates, found.finished, found.dependencies, found.O, found.N,
        ]  # fmt: skip

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading.kernels, "loaded", compiled())
        fast, values = found_in(table, question)
        patch.setattr(loading.kernels, "loaded", None)
        patch.setattr(loading.kernels, "failed", True)
        plain, _ = found_in(table, question)
    assert content(fast) == content(plain)
    assert rank(fast, values).tolist() == rank(plain, values).tolist()


def compiled() -> Any:
    """Return the module of kernels, loaded."""
    from workbench.anomaly import kernels

    kernels.load()
    return kernels


def test_c23_position_and_value_of_twelve_columns_never_run_together() -> None:
    # Column 1 with "0x" and column 10 with "x" would be one item if they were glued as text.
    n, rng = 400, np.random.default_rng(3)
    columns = {f"c{i}": rng.choice(["p", "q", "r"], n).tolist() for i in range(12)}
    outliers = np.zeros(n)
    outliers[:20] = 1
    columns["c1"][:20], columns["c10"][20:40] = ["0x"] * 20, ["x"] * 20
    columns["c2"][40:60], columns["c11"][:10] = ["1x"] * 20, ["x"] * 10
    table = Table(columns, outliers.tolist(), [0.0] * n, kinds=dict.fromkeys(columns, "text"))
    question = Question(max_combo=2)
    lines = told(asked(table, question)[0], table)
    assert lines == question.brute(table)
    assert {"c1": "0x"} in [line.values for line in lines]
    assert not any(line.values.get("c10") == "x" or line.values.get("c2") == "1x" for line in lines)
