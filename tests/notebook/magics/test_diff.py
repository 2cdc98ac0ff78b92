"""`%%diff`: SQL with the notebook's tables and values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tests.notebook.magics.test_outliers import log
from workbench.anomaly.results import Explanations
from workbench.notebook.display import VIEW_MIME
from workbench.notebook.magics.diff import SPEC

SPLIT = """SELECT * FROM DIFF (SPLIT log WHERE latency > {limit}) ON host, "Ship Mode"
WITH MIN RATIO 2 MIN SUPPORT 0.05 COMPARE BY risk_ratio(COUNT(*)) MAX COMBO 2
ORDER BY risk_ratio DESC LIMIT 5"""


@pytest.fixture(autouse=True)
def names(front: Any) -> None:
    front.shell.user_ns.update(log=log(), limit=250, hosts=["a", "b"])


def test_it_has_no_options_of_its_own() -> None:
    assert SPEC.options == () and SPEC.positionals == ()


def test_the_answer_is_shown_once_bound_and_the_value(front: Any) -> None:
    value = front.value(f"%%diff -o late\n{SPLIT}")
    assert isinstance(value, Explanations) and front.names["late"] is value and front.names["_"] is value
    assert value.sets[0] == {"host": "b"}
    ((bundle, _, _),) = front.shown
    assert VIEW_MIME in bundle and "host = b" in bundle["text/plain"]


def test_anything_else_is_a_table(front: Any) -> None:
    frame = front.value("%%diff\nSELECT host, count(*) AS n FROM log WHERE host IN $hosts GROUP BY host ORDER BY host")
    assert isinstance(frame, pd.DataFrame)
    assert list(frame["host"]) == ["a", "b"] and int(frame["n"].sum()) == int(
        front.names["log"]["host"].isin(["a", "b"]).sum()
    )
    ((bundle, _, _),) = front.shown
    assert "<table>" in bundle["text/html"] and bundle["text/plain"].splitlines()[0].split() == ["host", "n"]
    front.value("%%diff -o kept\nSELECT 1 AS a")
    assert front.names["kept"]["a"].tolist() == [1]


def test_tables_of_any_kind_by_name_in_any_case(front: Any) -> None:
    front.shell.user_ns.update(Frame=pl.DataFrame({"a": [1, 2]}), arrow=pl.DataFrame({"a": [2, 3]}).to_arrow())
    frame = front.value("%%diff\nSELECT a FROM frame NATURAL JOIN ARROW")
    assert frame["a"].tolist() == [2]


def test_comments_and_values(front: Any) -> None:
    front.shell.user_ns["evil"] = "'; DROP TABLE log; --"
    body = "# all that are slow\n-- $nothing\nSELECT count(*) AS n FROM log WHERE host <> $evil AND latency > {limit}"
    frame = front.value(f"%%diff\n{body}")
    assert frame["n"].tolist() == [int((front.names["log"]["latency"] > 250).sum())]


def test_two_queries(front: Any) -> None:
    value = front.value(
        "%%diff\nSELECT * FROM DIFF (SELECT * FROM log WHERE latency > $limit) slow, "
        "(SELECT * FROM log WHERE latency <= $limit) fast ON host COMPARE BY global_ratio(COUNT(*))"
    )
    assert value.sets[0] == {"host": "b"} and value.compare == "global_ratio"


ERRORS = [
    ("%%diff", ["%%diff: the cell is empty.", "%%diff -o late"]),
    ("%%diff\n# nothing\n", ["%%diff: the cell is empty.", "%%diff -o late"]),
    ("%%diff log\nSELECT 1", ['%%diff does not take "log".', "Example: %%diff -o late"]),
    ("%%diff --by host\nSELECT 1", ["No option --by.", "%%diff --help lists all options."]),
    ("%%diff\nSELECT * FROM lgo", ['No table or DataFrame named "lgo".', 'Did you mean "log"?']),
    ("%%diff\nSELECT $limti", ['No variable named "limti" in this notebook.', 'Did you mean "limit"?']),
]


@pytest.mark.parametrize(("cell", "lines"), ERRORS, ids=[cell for cell, _ in ERRORS])
def test_errors_are_two_lines(front: Any, cell: str, lines: list[str]) -> None:
    assert front.error(cell) == lines


def test_n27_a_mistake_in_the_grammar_is_pointed_at(front: Any) -> None:
    lines = front.error("%%diff\n# below\nSELECT * FROM DIFF (SPLIT log WHERE latency > 5)\nWHERE 1")
    assert lines[0] == "Expected ON after DIFF (…), found WHERE (line 3, column 1)."
    assert lines[-1].startswith("DIFF (SPLIT t WHERE …) ON a, b")


def test_c45_a_column_that_is_not_there(front: Any) -> None:
    lines = front.error("%%diff\nSELECT * FROM DIFF (SPLIT log WHERE latency > 5) ON hots")
    assert lines[0].startswith('No column "hots"') and any('"host"' in line for line in lines)


def test_in_a_function_its_own_tables_come_first(front: Any) -> None:
    front.shell.user_ns["np"] = np
    front.value(
        "def ask():\n    log = __import__('pandas').DataFrame({'a': [1, 2, 3]})\n"
        "    return get_ipython().run_cell_magic('diff', '', 'SELECT count(*) AS n FROM log')\nfound = ask()"
    )
    assert front.names["found"]["n"].tolist() == [3]
