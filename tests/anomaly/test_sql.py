"""The grammar of DIFF: what is accepted, what is refused and where, and that printing reads as the same again."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.anomaly.compare import NAMES
from workbench.anomaly.sql import parse
from workbench.anomaly.sql_tokens import place, quoted, text_literal, tokenize
from workbench.anomaly.sql_tree import Aggregate, Diff, Import, Outfile, Side, Split, Statement, show
from workbench.engine.errors import WorkbenchError

HINT = "DIFF (SPLIT t WHERE …) ON a, b [WITH MIN RATIO r] …"


def only(text: str) -> Statement:
    (statement,) = parse(text).statements
    assert isinstance(statement, Statement)
    return statement


def diff_of(text: str) -> Diff:
    (diff,) = only(text).diffs
    return diff


SPLIT = Diff(Split("t", "x > 1"), ("a",))
PAIR = Diff((Side("a", False), Side("b", False)), ("x",))

ACCEPTED = [
    ("SELECT * FROM DIFF (SPLIT t WHERE x > 1) ON a", SPLIT),
    ("select*from diff(split t where x > 1)on a;", SPLIT),
    ("FROM DIFF (SPLIT t WHERE x > 1) ON a", SPLIT),
    (
        "SELECT * FROM DIFF (SPLIT (SELECT * FROM t WHERE y) WHERE a IN (SELECT b FROM u WHERE c)) ON *",
        Diff(Split("(SELECT * FROM t WHERE y)", "a IN (SELECT b FROM u WHERE c)"), None),
    ),
    ("SELECT * FROM DIFF (SPLIT 'd/t.parquet' WHERE x) ON a", Diff(Split("'d/t.parquet'", "x"), ("a",))),
    ("SELECT * FROM DIFF (SPLIT split WHERE x) ON a", Diff(Split("split", "x"), ("a",))),
    ("SELECT * FROM DIFF (split), b ON x", Diff((Side("(split)", False), Side("b", False)), ("x",))),
    ("SELECT * FROM DIFF a, b ON x", PAIR),
    (
        "SELECT * FROM DIFF a today, b AS before ON x",
        Diff((Side("a", False, "today"), Side("b", False, "before")), ("x",)),
    ),
    (
        'SELECT * FROM DIFF r NATURAL JOIN t, s natural join "T 2" one ON x',
        Diff((Side("r NATURAL JOIN t", False), Side('s natural join "T 2"', False, "one")), ("x",)),
    ),
    (
        "SELECT * FROM DIFF (SELECT * FROM a), (b JOIN c USING (k)) ON x",
        Diff((Side("(SELECT * FROM a)", True), Side("(b JOIN c USING (k))", False)), ("x",)),
    ),
    (
        "SELECT * FROM DIFF (WITH q AS (SELECT 1) SELECT * FROM q), main.b ON x",
        Diff((Side("(WITH q AS (SELECT 1) SELECT * FROM q)", True), Side("main.b", False)), ("x",)),
    ),
    ('SELECT * FROM DIFF a, b ON "x y", hour, date, max', Diff(PAIR.sides, ("x y", "hour", "date", "max"))),
    ("SELECT * FROM DIFF a, b ON x WITH MIN RATIO 3", Diff(PAIR.sides, ("x",), 3.0)),
    ("SELECT * FROM DIFF a, b ON x WITH MIN RATIO 3.0", Diff(PAIR.sides, ("x",), 3.0)),
    ("SELECT * FROM DIFF a, b ON x WITH MIN SUPPORT .05", Diff(PAIR.sides, ("x",), None, 0.05)),
    ("SELECT * FROM DIFF a, b ON x WITH MIN SUPPORT 1e-3 MIN RATIO 10", Diff(PAIR.sides, ("x",), 10.0, 0.001)),
    ("SELECT * FROM DIFF a, b ON x WITH MIN RATIO 10 MIN SUPPORT 0.5", Diff(PAIR.sides, ("x",), 10.0, 0.5)),
    ("SELECT * FROM DIFF a, b ON x WITH MIN RATIO -0.5", Diff(PAIR.sides, ("x",), -0.5)),
    ("SELECT * FROM DIFF a, b ON x COMPARE BY Risk_Ratio(count(*))", Diff(PAIR.sides, ("x",), compare="risk_ratio")),
    (
        'SELECT * FROM DIFF a, b ON x COMPARE BY global_ratio(SUM("w w"))',
        Diff(PAIR.sides, ("x",), aggregate=Aggregate("SUM", "w w")),
    ),
    (
        "SELECT * FROM DIFF a, b ON x COMPARE BY mean_shift(avg(c))",
        Diff(PAIR.sides, ("x",), compare="mean_shift", aggregate=Aggregate("AVG", "c")),
    ),
    ("SELECT * FROM DIFF a, b ON x MAX COMBO 2", Diff(PAIR.sides, ("x",), max_combo=2)),
    ("SELECT * FROM DIFF a, b ON x AS late", Diff(PAIR.sides, ("x",), alias="late")),
    ("SELECT * FROM DIFF a, b ON max MAX COMBO 2 AS diff", Diff(PAIR.sides, ("max",), max_combo=2, alias="diff")),
    ("SELECT * FROM DIFF a, b -- ON y\n ON /* z */ x", PAIR),
    ("SELECT x, count(*) FROM DIFF a, b ON x GROUP BY x HAVING count(*) > 1", PAIR),
    ("SELECT * FROM t JOIN DIFF a, b ON x ON t.x = x", PAIR),
    ("SELECT * FROM t, DIFF a, b ON x", PAIR),
    ("SELECT (SELECT max(support) FROM DIFF a, b ON x) AS m", PAIR),
    ("WITH d AS (SELECT * FROM DIFF a, b ON x) SELECT * FROM d", PAIR),
    ("CREATE TABLE d AS SELECT * FROM DIFF a, b ON x", PAIR),
    ("SELECT * FROM u UNION ALL SELECT * FROM DIFF a, b ON x", PAIR),
    ("SELECT * FROM (t JOIN DIFF a, b ON x USING (x))", PAIR),
]


@pytest.mark.parametrize(("text", "expected"), ACCEPTED)
def test_c27_statements_that_are_read(text: str, expected: Diff) -> None:
    diff = diff_of(text)
    assert diff == expected
    assert text[diff.start : diff.end].casefold().startswith("diff")
    sides = diff.sides
    if isinstance(sides, Split):
        assert text[sides.start : sides.end] == sides.source
        assert text[sides.condition_start : sides.condition_end] == sides.condition
    else:
        assert [text[side.start : side.end] for side in sides] == [side.text for side in sides]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM diff",
        "SELECT * FROM diff d",
        "SELECT diff FROM t",
        "SELECT diff.a FROM diff JOIN u ON diff.a = u.a",
        "SELECT a AS diff, b FROM t",
        "SELECT * FROM t diff, u WHERE diff.a = u.a",
        "SELECT * FROM t AS diff, u",
        'SELECT * FROM "DIFF" (a), b',
        "SELECT a FROM t WHERE a IS DISTINCT FROM diff",
        "SELECT a, diff (b) FROM t",
        "SELECT a FROM t GROUP BY a, diff",
        "SELECT 'x FROM DIFF (a), b ON c' -- FROM DIFF (a), b ON c",
        "SELECT * FROM diff, t",
        "SELECT * FROM main.diff d, t",
    ],
)
def test_c27_a_table_column_or_alias_may_be_called_diff(text: str) -> None:
    assert only(text).diffs == ()


REFUSED = [
    ("SELECT * FROM DIFF (SPLIT t WHERE x > 1)\nWHERE a", "Expected ON after DIFF (…), found WHERE", 2, 1),
    ("SELECT * FROM DIFF (SPLIT t) ON a", "Expected WHERE after SPLIT t, found )", 1, 28),
    ("SELECT * FROM DIFF (SPLIT t WHERE) ON a", "Expected a condition after WHERE, found )", 1, 34),
    ("SELECT * FROM DIFF (SPLIT WHERE x) ON a", "Expected a table or (SELECT …) after SPLIT, found WHERE", 1, 27),
    (
        "SELECT * FROM DIFF (SPLIT SELECT * FROM t WHERE x) ON a",
        "Expected a table or (SELECT …) after SPLIT, found SELECT",
        1,
        27,
    ),
    ("SELECT * FROM DIFF (a) ON x", "Expected a comma and the second side after DIFF (…), found ON", 1, 24),
    (
        "SELECT * FROM DIFF a, ON x",
        "Expected a table or (SELECT …) after the first side of DIFF, found ON",
        1,
        23,
    ),
    ("SELECT * FROM DIFF a, () ON x", "Expected a table or SELECT after (, found )", 1, 24),
    ("SELECT * FROM DIFF a, b", "Expected ON after DIFF (…), found the end", 1, 24),
    ("SELECT * FROM DIFF a, b;", "Expected ON after DIFF (…), found ;", 1, 24),
    ("SELECT * FROM DIFF a, b ON", "Expected a column or * after ON, found the end", 1, 27),
    ("SELECT * FROM DIFF a, b ON WHERE x", "Expected a column or * after ON, found WHERE", 1, 28),
    ("SELECT * FROM DIFF a, b ON x, WHERE y", "Expected a column after the comma, found WHERE", 1, 31),
    ("SELECT * FROM DIFF a, b ON 'x'", "Expected a column or * after ON, found 'x'", 1, 28),
    ("SELECT * FROM DIFF a, b ON x WITH", "Expected MIN RATIO or MIN SUPPORT after WITH, found the end", 1, 34),
    ("SELECT * FROM DIFF a, b ON x WITH MIN", "Expected RATIO or SUPPORT after MIN, found the end", 1, 38),
    ("SELECT * FROM DIFF a, b ON x WITH MIN RATIO", "Expected a number after MIN RATIO, found the end", 1, 44),
    ("SELECT * FROM DIFF a, b ON x\n WITH MIN RATIO 'x'", "Expected a number after MIN RATIO, found 'x'", 2, 17),
    ("SELECT * FROM DIFF a, b ON x WITH RATIO 3", "Expected MIN RATIO or MIN SUPPORT after WITH, found RATIO", 1, 35),
    ("SELECT * FROM DIFF a, b ON x COMPARE m(COUNT(*))", "Expected BY after COMPARE, found m", 1, 38),
    ("SELECT * FROM DIFF a, b ON x COMPARE BY risk_ratio", "Expected ( after risk_ratio, found the end", 1, 51),
    ("SELECT * FROM DIFF a, b ON x COMPARE BY (x)", "Expected a metric after COMPARE BY, found (", 1, 41),
    ("SELECT * FROM DIFF a, b ON x MAX COMBO x", "Expected a whole number after MAX COMBO, found x", 1, 40),
    ("SELECT * FROM DIFF a, b ON x MAX COMBO 2.5", "Expected a whole number after MAX COMBO, found 2.5", 1, 40),
    ("SELECT * FROM DIFF a, b ON x AS", "Expected an alias after AS, found the end", 1, 32),
    (
        "SELECT * FROM DIFF a, b ON x late",
        "Expected AS, WHERE, ORDER BY, another clause or the end after DIFF (…) ON …, found late",
        1,
        30,
    ),
    (
        "SELECT * FROM DIFF a, b ON x MAX COMBO 2 COMPARE BY risk_ratio(COUNT(*))",
        "Expected AS, WHERE, ORDER BY, another clause or the end after DIFF (…) ON …, found COMPARE",
        1,
        42,
    ),
    ("SELECT * FROM DIFF (SPLIT t WHERE (x ON a", "The parenthesis ( is not closed", 1, 20),
    ("SELECT * FROM DIFF (q), r NATURAL t ON x", "Expected JOIN after NATURAL, found t", 1, 35),
    ("SELECT é, 日本 FROM DIFF (a), b WHERE x", "Expected ON after DIFF (…), found WHERE", 1, 31),
]


@pytest.mark.parametrize(("text", "message", "line", "column"), REFUSED)
def test_c45_what_does_not_fit_is_told_with_its_place(text: str, message: str, line: int, column: int) -> None:
    with pytest.raises(WorkbenchError) as caught:
        parse(text)
    error = caught.value
    assert str(error) == f"{message} (line {line}, column {column}).\n{HINT}"
    assert (error.line, error.column) == (line, column - 1)


OTHERS = [
    (
        "SELECT * FROM DIFF a, b ON x WITH MIN RATIO 3 MIN RATIO 4",
        "MIN RATIO is given twice (line 1, column 47).",
        "Give each limit once.",
    ),
    ("SELECT * FROM DIFF a, b ON x, y, X", 'ON names "X" twice (line 1, column 34).', "Name each column once."),
    (
        "SELECT * FROM DIFF a, b ON a.x",
        "Columns of ON stand without a table (line 1, column 28).",
        "Write x: both sides have it.",
    ),
    (
        "SELECT * FROM DIFF a, b ON x COMPARE BY nosuch_ratio(COUNT(*))",
        'No compare metric "nosuch_ratio".',
        f"Known: {', '.join(NAMES)}",
    ),
    *(
        (
            f"SELECT * FROM DIFF a, b ON x COMPARE BY risk_ratio({inside})",
            "risk_ratio counts rows or sums weights.",
            "Write risk_ratio(COUNT(*)) or risk_ratio(SUM(column)).",
        )
        for inside in ("AVG(c)", "COUNT(c)", "SUM(*)", "SUM(a + b)", "MAX(c)", "COUNT(*), 1", "c", "")
    ),
    *(
        (
            f"SELECT * FROM DIFF a, b ON x COMPARE BY mean_shift({inside})",
            "mean_shift averages a column.",
            "Write mean_shift(AVG(column)).",
        )
        for inside in ("COUNT(*)", "SUM(c)", "AVG(*)", "AVG(DISTINCT c)")
    ),
    ("SELECT 'a\nb", "The quote ' is not closed (line 1, column 8).", "Text goes in single quotes."),
    ("SELECT\n /* a", "The comment /* is not closed (line 2, column 2).", "Text goes in single quotes."),
    ("", "There is no statement.", f"SELECT * FROM {HINT}"),
    (" ; -- nothing\n;", "There is no statement.", f"SELECT * FROM {HINT}"),
]


@pytest.mark.parametrize(("text", "message", "hint"), OTHERS)
def test_c45_other_mistakes(text: str, message: str, hint: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        parse(text)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_c29_imports_and_outfiles_of_a_script() -> None:
    script = parse(
        "import from csv file 'a b.csv' into t (a INT, \"b c\" DECIMAL(10, 2), d timestamp with time zone);\n"
        "IMPORT FROM CSV FILE 'u.csv' INTO u;;\n"
        "SELECT * FROM DIFF t, u ON a ORDER BY 1 INTO OUTFILE 'o' "
        "FIELDS TERMINATED BY '\\t' LINES TERMINATED BY '\\r\\n'"
    )
    first, second, third = script.statements
    columns = (("a", "INT"), ("b c", "DECIMAL(10, 2)"), ("d", "timestamp with time zone"))
    assert first == Import("a b.csv", "t", columns)
    assert second == Import("u.csv", "u", ())
    assert isinstance(third, Statement)
    assert third.outfile == Outfile("o", "\t", "\r\n")
    assert script.text[third.start : third.end] == "SELECT * FROM DIFF t, u ON a ORDER BY 1"
    assert only("SELECT 1 INTO OUTFILE 'it''s'").outfile == Outfile("it's")
    assert only("SELECT 1 INTO OUTFILE 'o' LINES TERMINATED BY ';'").outfile == Outfile("o", ",", ";")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "IMPORT FROM CSV 'f' INTO t",
            "Expected FROM CSV FILE after IMPORT, found 'f' (line 1, column 17).",
            "IMPORT FROM CSV FILE 'f' INTO t (a INTEGER, b VARCHAR)",
        ),
        (
            "IMPORT FROM CSV FILE 'f' INTO t (a, b)",
            'Expected a type after column "a", found , (line 1, column 35).',
            "IMPORT FROM CSV FILE 'f' INTO t (a INTEGER, b VARCHAR)",
        ),
        (
            "IMPORT FROM CSV FILE 'f' INTO t (a INT) x",
            "Expected the end of the statement after IMPORT, found x (line 1, column 41).",
            "IMPORT FROM CSV FILE 'f' INTO t (a INTEGER, b VARCHAR)",
        ),
        (
            "SELECT 1 INTO OUTFILE x",
            "Expected a path in single quotes after INTO OUTFILE, found x (line 1, column 23).",
            "INTO OUTFILE 'f' [FIELDS TERMINATED BY 's'] [LINES TERMINATED BY 's']",
        ),
        (
            "SELECT 1 INTO OUTFILE 'x' FIELDS TERMINATED BY ''",
            "FIELDS cannot end with '' (line 1, column 48).",
            "INTO OUTFILE 'f' [FIELDS TERMINATED BY 's'] [LINES TERMINATED BY 's']",
        ),
        (
            "SELECT 1 INTO OUTFILE 'x' LIMIT 2",
            "Expected the end of the statement after INTO OUTFILE, found LIMIT (line 1, column 27).",
            "INTO OUTFILE 'f' [FIELDS TERMINATED BY 's'] [LINES TERMINATED BY 's']",
        ),
    ],
)
def test_c29_mistakes_in_imports_and_outfiles(text: str, message: str, hint: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        parse(text)
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("SELECT * FROM DIFF a, b ON x", True),
        ("FROM DIFF a, b ON x", True),
        ("SELECT * FROM DIFF a, b ON x AS d WHERE d.support > 1 ORDER BY 2 DESC, x LIMIT 3 OFFSET 1", True),
        ("WITH a AS (SELECT * FROM t UNION SELECT 1) SELECT * FROM DIFF a, b ON x LIMIT ALL", True),
        ("SELECT * FROM DIFF a, b ON x WHERE x IN (SELECT y FROM z GROUP BY y)", True),
        ("SELECT * FROM DIFF a, b ON x INTO OUTFILE 'o'", True),
        ("SELECT x FROM DIFF a, b ON x", False),
        ("SELECT *, 1 FROM DIFF a, b ON x", False),
        ("SELECT * EXCLUDE (x) FROM DIFF a, b ON x", False),
        ("SELECT DISTINCT * FROM DIFF a, b ON x", False),
        ("SELECT * FROM DIFF a, b ON x GROUP BY x", False),
        ("SELECT * FROM DIFF a, b ON x QUALIFY true", False),
        ("SELECT * FROM DIFF a, b ON x, t", False),
        ("SELECT * FROM DIFF a, b ON x AS d, t", False),
        ("SELECT * FROM DIFF a, b ON x JOIN t USING (x)", False),
        ("SELECT * FROM DIFF a, b ON x TABLESAMPLE 10%", False),
        ("SELECT * FROM DIFF a, b ON x UNION ALL SELECT * FROM t", False),
        ("SELECT * FROM t UNION ALL SELECT * FROM DIFF a, b ON x", False),
        ("SELECT * FROM (SELECT * FROM DIFF a, b ON x)", False),
        ("(SELECT * FROM DIFF a, b ON x)", False),
        ("CREATE TABLE t AS SELECT * FROM DIFF a, b ON x", False),
        ("SELECT * FROM t", False),
    ],
)
def test_c30_which_statements_give_explanations(text: str, plain: bool) -> None:
    if ", t" in text and "AS d" not in text:
        assert diff_of(text).on == ("x", "t")  # the list of columns goes on
        return
    assert (only(text).plain is not None) == plain


def test_c30_several_diffs_nested_ones_and_their_ctes() -> None:
    text = (
        "WITH RECURSIVE p AS (SELECT * FROM DIFF u, v ON k), q(a) AS MATERIALIZED (SELECT 1) "
        "SELECT * FROM DIFF (WITH r AS (SELECT 2) SELECT * FROM DIFF r, q ON j), p ON a AS one "
        "JOIN (WITH s AS (SELECT 3) SELECT * FROM DIFF s, (SELECT 4) ON b) ON c"
    )
    first, second, third = only(text).diffs
    assert [diff.on for diff in (first, second, third)] == [("k",), ("a",), ("b",)]
    assert [diff.on for diff in second.walk()] == [("j",), ("a",)]
    names = [[cte.name for cte in diff.ctes] for diff in (first, *second.walk(), third)]
    assert names == [[], ["p", "q", "r"], ["p", "q"], ["p", "q", "s"]]
    assert text[second.ctes[1].start : second.ctes[1].end] == "q(a) AS MATERIALIZED (SELECT 1)"
    assert all(cte.recursive for cte in second.ctes)


# ------------------------------------------------------------------------------------------------- printing, reparsing

letters = st.text(alphabet=string.ascii_letters + "_é日\"' ,()", min_size=1, max_size=8)
expressions = st.sampled_from(
    [
        "x > 1",
        "a IN (SELECT b FROM c WHERE d)",
        "s = 'WHERE ) ON'",
        "NOT (p AND q)",
        '"a)b" = 1',
        "f(x, y) /* ) */ <> 2",
    ]
)
tables = st.builds(quoted, letters) | st.sampled_from(["t", "main.t", "'f.csv'"])
bare = st.lists(tables, min_size=1, max_size=3).map(" NATURAL JOIN ".join).map(lambda text: Side(text, False))
queries = st.builds("(SELECT * FROM {} WHERE {})".format, tables, expressions).map(lambda text: Side(text, True))
aliased = st.builds(lambda side, alias: Side(side.text, side.query, alias), bare | queries, st.none() | letters)
limits = st.none() | st.floats(-1e6, 1e6).filter(lambda x: x != 0)
compared = st.one_of(
    st.tuples(st.sampled_from(NAMES[:4]), st.builds(Aggregate, st.just("SUM"), letters) | st.just(Aggregate())),
    st.tuples(st.sampled_from(NAMES[4:]), st.builds(Aggregate, st.just("AVG"), letters)),
)
columns = st.lists(letters, min_size=1, max_size=4, unique_by=str.casefold).map(tuple)


@st.composite
def diffs(draw: st.DrawFn) -> Diff:
    sides = draw(
        st.tuples(aliased, aliased)
        | st.builds(lambda side, condition: Split(side.text, condition), bare | queries, expressions)
    )
    metric, aggregate = draw(compared)
    return Diff(
        sides, draw(st.none() | columns), draw(limits), draw(limits), metric, aggregate,
        draw(st.none() | st.integers(1, 9)), draw(st.none() | letters),
    )  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(diffs(), st.sampled_from(["SELECT * FROM {}", "SELECT (SELECT 1 FROM {}\n)", "WITH d AS (FROM {}) FROM d"]))
def test_c27_a_printed_diff_reads_as_itself(diff: Diff, around: str) -> None:
    text = around.format(show(diff))
    assert diff_of(text) == diff


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    try:
        assert parse("SELECT * FROM DIFF " + text).statements
    except WorkbenchError as error:
        told = error.message, error.hint
    else:
        told = ("read", "well")
    assert all(told)


@settings(max_examples=60, deadline=None)
@given(st.lists(letters, max_size=6))
def test_tokens_keep_their_places(names: list[str]) -> None:
    text = "\n".join(f"SELECT {quoted(name)}, {text_literal(name)} -- c" for name in names)
    tokens = tokenize(text)
    assert [token.value for token in tokens if token.kind == "quoted"] == names
    assert [token.value for token in tokens if token.kind == "text"] == names
    for token in tokens:
        assert text[token.start : token.end] == token.text
        line, column = place(text, token.start)
        assert text.split("\n")[line - 1][column - 1 :].startswith(token.text.split("\n")[0])
