"""Mistakes are told in two lines."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.anomaly.asking import sample
from workbench.anomaly import sql_tables
from workbench.anomaly.diffs import diff
from workbench.engine.errors import WorkbenchError

MIRROR = Path(os.environ.get("WORKBENCH_MIRROR", "")) / "macrobase"
needs_data = pytest.mark.skipif(not MIRROR.is_dir(), reason="WORKBENCH_MIRROR names no folder with macrobase/")

COUNTS = ["risk_ratio", "global_ratio", "prevalence_ratio", "prevalence_difference"]


@pytest.fixture(autouse=True)
def no_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test imports no other sees."""
    monkeypatch.setattr(sql_tables, "_imported", {})


MISTAKES = [
    ("SELECT * FROM flihgts", 'No table or DataFrame named "flihgts".', 'Did you mean "flights"?'),
    (
        "SELECT * FROM DIFF (SPLIT flihgts WHERE x) ON a",
        'No table or DataFrame named "flihgts".',
        'Did you mean "flights"?',
    ),
    ("SELECT * FROM DIFF nothing, flights ON app", 'No table or DataFrame named "nothing".', "Tables: flights"),
    (
        "SELECT * FROM DIFF (SPLIT flights WHERE x > 1) ON ap, day",
        'No column "ap" in flights.',
        'Did you mean "app"? Columns: x, w, app, os, day',
    ),
    (
        "SELECT * FROM DIFF flights, (SELECT app FROM flights) b ON app, day",
        'No column "day" in b.',
        "Columns: app",
    ),
    (
        "SELECT * FROM DIFF (SPLIT flights WHERE xx > 1) ON app",
        'No column "xx" in flights.',
        'Did you mean "x"? Columns: x, w, app, os, day',
    ),
    (
        'SELECT * FROM DIFF (SPLIT flights WHERE app = "AUS") ON app',
        'No column "AUS" in flights.',
        "Text goes in single quotes: 'AUS'. Columns: x, w, app, os, day",
    ),
    (
        "SELECT * FROM DIFF (SPLIT flights WHERE x > 1) ON app COMPARE BY global_ratio(SUM(os))",
        '"os" is text; a metric must be a number.',
        "Use it in --by instead.",
    ),
    (
        "SELECT * FROM DIFF (SPLIT flights WHERE percentile(os) > 1) ON app",
        '"os" is text; a metric must be a number.',
        "Use it in --by instead.",
    ),
    (
        "SELECT *\nFROM DIFF (SPLIT flights WHERE zscore(x, w) > 1) ON app",
        "zscore takes one column (line 2, column 32).",
        "Write zscore(c).",
    ),
    (
        "SELECT * FROM DIFF (SPLIT flights WHERE x > 1) ON app WITH MIN SUPPORT 20",
        "min_support is 20.0; it is a share of the outliers.",
        "Give 0 <= min_support <= 1, such as 0.01.",
    ),
    (
        "SELECT * FROM DIFF (SPLIT flights WHERE x > 1) ON app MAX COMBO 0",
        "max_combo is 0; it is a number of columns.",
        "Give 1 or more, such as 3.",
    ),
    (
        "SELECT * FROM DIFF (SPLIT flights WHERE x > 1) ON app ORDER BY risk_ration",
        'No column "risk_ration" in the DIFF.',
        "Columns: app, support, global_ratio, outlier_count, total_count",
    ),
    (
        "SELECT apq FROM DIFF (SPLIT flights WHERE x > 1) ON app",
        'No column "apq" in the DIFF.',
        'Did you mean "app"? Columns: app, support, global_ratio, outlier_count, total_count',
    ),
    (
        "SELECT nosuch(x) FROM flights",
        'No function "nosuch".',
        None,
    ),
    (
        "SELECT x FROM flights WHERE WHERE",
        'The SQL has a syntax error near "WHERE".',
        "Everything but DIFF is DuckDB's SQL.",
    ),
    (
        "SELECT app + 1 FROM flights",
        "No function matches the given name and argument types '+(VARCHAR, INTEGER_LITERAL)'.",
        "You might need to add explicit type casts.",
    ),
    (
        "SELECT * FROM read_csv('/nowhere.csv')",
        '"/nowhere.csv" cannot be read or written here.',
        "Name it in FROM, such as FROM '/nowhere.csv', or IMPORT it.",
    ),
    ("SELECT * FROM 'nowhere.csv'", 'No file "nowhere.csv".', "Give a path or glob to Parquet, CSV or gzipped CSV."),
]


@pytest.mark.parametrize(("sql", "message", "hint"), MISTAKES)
def test_c45_mistakes_in_two_lines(sql: str, message: str, hint: str | None) -> None:
    with pytest.raises(WorkbenchError) as caught:
        diff(sql, flights=sample())
    assert caught.value.message == message
    if hint is not None:
        assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("sql", "line", "column"),
    [
        ("SELECT 1;\nSELECT zscore(x, w) FROM t", 2, 8),
        ("SELECT * FROM DIFF (SPLIT t WHERE x > 1) ON app WHERE\n  support > zscore(x, w)", 2, 13),
        ("SELECT app,\n zscore(x, w) FROM DIFF (SPLIT t WHERE x > 1) ON app", 2, 2),
        ("SELECT app FROM DIFF\n (SELECT zscore(x, w) FROM t), t ON app", 2, 10),
    ],
)
def test_c45_the_place_of_a_call_in_a_script(sql: str, line: int, column: int) -> None:
    with pytest.raises(WorkbenchError) as caught:
        diff(sql, t=sample())
    assert caught.value.message == f"zscore takes one column (line {line}, column {column})."
    assert (caught.value.line, caught.value.column) == (line, column - 1)


def test_c45_names_that_differ_in_capitals() -> None:
    with pytest.raises(WorkbenchError) as caught:
        diff("SELECT * FROM t", t=sample(), T=sample())
    assert caught.value.message == 'SQL cannot tell the tables "t" and "T" apart.'
    with pytest.raises(WorkbenchError) as caught:
        diff("SELECT * FROM t", t=sample().assign(APP=1))
    assert caught.value.message == 'SQL cannot tell "app" from a column that differs in capitals only.'


def test_c45_the_place_of_a_missing_column() -> None:
    with pytest.raises(WorkbenchError) as caught:
        diff("SELECT *\nFROM DIFF (SPLIT t WHERE x > 1) ON app,\n  dya", t=sample())
    assert (caught.value.line, caught.value.column) == (3, 2)


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        ((3,), {}, "diff needs SQL or two tables; got one int."),
        ((sample(),), {}, "diff needs SQL or two tables; got one DataFrame."),
        ((sample(), sample()), {"by": ["app"]}, 'diff of two tables has no option "by".'),
        ((sample(), 3), {}, "A int is not a table."),
        ((sample(), sample()), {"on": []}, "on names no column."),
        ((sample(), sample()), {"on": ["app", "app"]}, '"app" stands twice in on.'),
        ((sample(), sample()), {"on": ["nope"]}, 'No column "nope" in the first table.'),
        ((sample(), sample()), {"compare": "nosuch_ratio"}, 'No compare metric "nosuch_ratio".'),
        ((sample(), sample()), {"compare": "mean_shift"}, "mean_shift averages a column, and none is given."),
        ((sample(), sample()), {"min_support": 7}, "min_support is 7; it is a share of the outliers."),
        ((sample(), sample()), {"max_combo": 0}, "max_combo is 0; it is a number of columns."),
    ],
)
def test_c45_mistakes_in_arguments(arguments: tuple, keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        diff(*arguments, **keywords)
    assert caught.value.message == message
