"""A script at work: imports, DIFFs answered one after the other, and DuckDB's SQL around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly.compare import default_min_ratio
from workbench.anomaly.diff_answer import answer_diff
from workbench.anomaly.diff_rules import Rules
from workbench.anomaly.diff_source import Sides
from workbench.anomaly.frames import read
from workbench.anomaly.sql_errors import told_errors
from workbench.anomaly.sql_files import read_import, write_outfile
from workbench.anomaly.sql_order import before_limit, rank_ordered
from workbench.anomaly.sql_scores import HIDDEN, Fail, rewrite
from workbench.anomaly.sql_tables import Tables, keep_import
from workbench.anomaly.sql_tokens import clauses, error_at, place, quoted, tokenize
from workbench.anomaly.sql_tree import Diff, Import, Script, Side, Split, Statement
from workbench.engine.errors import WorkbenchError
from workbench.engine.run import RunCancelled

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from workbench.anomaly.results import Explanations
    from workbench.engine.run import Run

__all__ = ["ScriptWork"]

#: what a DIFF asks for where it does not say (MacroBase's defaults)
MIN_RATIO, MIN_SUPPORT, MAX_COMBO = 1.5, 0.2, 3

_ORDINALS = ("the first side", "the second side")


class ScriptWork:
    """What `Run.start` runs for a script.

    Parameters
    ----------
    script : Script
    tables : mapping of str to any accepted data
    """

    def __init__(self, script: Script, tables: Mapping[str, Any]) -> None:
        self.script = script
        self.tables = Tables(tables)
        self.count = 0

    def __call__(self, run: Run[Any] | None = None) -> Explanations | pd.DataFrame:
        """Do the work; the value of the run."""
        import duckdb

        stop = None
        if run is not None:
            stop = run.add_observer(lambda run: self.tables.connection.interrupt() if run.cancelled.is_set() else None)
        try:
            found: Any = None
            for statement in self.script.statements:
                found = self.imported(statement) if isinstance(statement, Import) else self.statement(statement, run)
                if run is not None:
                    run.check()
            return found
        except (duckdb.Error, WorkbenchError) as error:
            if run is not None and run.cancelled.is_set():
                raise RunCancelled from error
            raise
        finally:
            if stop is not None:
                stop()
            self.tables.release()

    def imported(self, statement: Import) -> pd.DataFrame:
        """Import a table; it is there for later statements and scripts."""
        table = read_import(statement)
        keep_import(statement.table, table)
        self.tables.add(statement.table, read(table, name=statement.table))
        return to_frame(table)

    def statement(self, statement: Statement, run: Run[Any] | None) -> Explanations | pd.DataFrame:
        """Answer a statement."""
        text = _Text(self.script.text)
        answers: dict[int, tuple[Explanations, str]] = {}
        for diff in (inner for outer in statement.diffs for inner in outer.walk()):
            found = self.diff(diff, text, run, statement)
            self.count += 1
            name = f"{HIDDEN}diff_{self.count}"
            self.tables.table(f"CREATE TEMP TABLE {quoted(name)} AS {self.register(found, name)}")
            alias = diff.alias or ("diff" if self.alone(statement) else name)
            text.replace(diff.start, diff.end, f"{quoted(name)} AS {quoted(alias)}")
            answers[diff.start] = found, alias
        result: Explanations | pd.DataFrame
        if statement.plain is not None:
            found, alias = answers[self.outer(statement).start]
            result = self.chosen(statement, text, found, alias)
        else:
            result = to_frame(self.general(statement, text, answers))
        if statement.outfile is not None:
            write_outfile(result if statement.plain is None else result.to_pandas(), statement.outfile)
        return result

    def outer(self, statement: Statement) -> Diff:
        """Return the DIFF of a statement that is `SELECT *` over it."""
        assert statement.plain is not None
        return next(diff for diff in statement.diffs if diff.end == statement.plain.item)

    # one DIFF

    def diff(self, diff: Diff, text: _Text, run: Run[Any] | None, statement: Statement) -> Explanations:
        """Answer a DIFF whose inner ones are answered."""
        items: tuple[str, ...]
        if isinstance(diff.sides, Split):
            items = (text.between(diff.sides.start, diff.sides.end),)
            names: tuple[str, ...] = (_name(items[0], "the table"),)
            condition = text.between(diff.sides.condition_start, diff.sides.condition_end)
        else:
            items = tuple(text.between(side.start, side.end) for side in diff.sides)
            names = tuple(_side_name(side, place) for place, side in enumerate(diff.sides))
            condition = None
        sides = Sides(
            self.tables, items, names, condition, self.scope(diff, text), fail=self.fail(diff.start, diff.end)
        )
        offsets = dict(zip((name.casefold() for name in diff.on or ()), diff.on_offsets, strict=False))
        if diff.aggregate.column is not None:
            offsets.setdefault(diff.aggregate.column.casefold(), diff.aggregate.offset)

        def fail(column: str, message: str, hint: str) -> WorkbenchError:
            line, at = place(self.script.text, offsets[column.casefold()])
            return WorkbenchError(message, hint, line=line, column=at - 1)

        spec = {"sql": self.script.text[statement.start : statement.end]}
        return answer_diff(sides, _rules(diff, spec), run=run, fail=fail, sql_table=True)

    def scope(self, diff: Diff, text: _Text) -> str:
        """Return the WITH clause that the sides may need."""
        ctes = {cte.name.casefold(): cte for cte in diff.ctes}  # an inner one hides an outer one
        if not ctes:
            return ""
        recursive = "RECURSIVE " if any(cte.recursive for cte in ctes.values()) else ""
        return f"WITH {recursive}{', '.join(text.between(cte.start, cte.end) for cte in ctes.values())}"

    def fail(self, start: int, end: int) -> Fail:
        """Return what makes the error for a scoring function between two offsets: it stands where the script has it."""
        sql = self.script.text

        def fail(offset: int, message: str, hint: str) -> WorkbenchError:
            # The text it was found in is not the script's: DIFFs are answered, sides stand alone.
            word = message.split()[0].upper()
            places = (token.start for token in tokenize(sql) if start <= token.start < end and token.value == word)
            return error_at(sql, next(places, start), message, hint)

        return fail

    def alone(self, statement: Statement) -> bool:
        """Return whether a DIFF without alias can be called `diff`: there is no other one, and no such table."""
        tokens = tokenize(self.script.text[statement.start : statement.end])
        begins = zip(tokens, clauses(tokens), strict=True)
        return sum(token.is_name and token.name.casefold() == "diff" and at.item for token, at in begins) == 1

    def register(self, found: Explanations, name: str) -> str:
        """Let SQL see an answer's table; return a select of it, in rank order."""
        import pyarrow as pa

        frame = found.to_pandas()
        self.tables.answers[name] = list(frame.columns)
        self.tables.connection.register(f"{name}_rows", pa.Table.from_pandas(frame, preserve_index=False))
        return f"SELECT * FROM {quoted(f'{name}_rows')}"

    # the statement around it

    def chosen(self, statement: Statement, text: _Text, found: Explanations, alias: str) -> Explanations:
        """Return the explanations that WHERE, ORDER BY and LIMIT leave, ties in rank order."""
        from workbench.anomaly.results import Explanations

        plain = statement.plain
        assert plain is not None
        rank = quoted(f"{HIDDEN}rank")
        diff = self.outer(statement)
        head, item = text.between(plain.start, plain.select), text.between(diff.start, diff.end)
        name = item[: item.rindex(" AS ")]
        item = f"(SELECT *, row_number() OVER () - 1 AS {rank} FROM {name}) AS {quoted(alias)}"
        rest = text.between(plain.item, plain.end)
        if plain.order is not None:
            ordered = text.between(plain.item, plain.order)
            keys = "" if _order_all(ordered) else f", {rank}"
            rest = f"{ordered}{keys} {text.between(plain.order, plain.end)}"
        else:
            rest = before_limit(rest, f" ORDER BY {rank} ")
        sql = f"{head} SELECT * FROM {item} {rest}"
        fail = self.fail(statement.start, statement.end)
        ranks = self.tables.table(rewrite(sql, fail)).column(-1).to_numpy()
        answer = found._answer
        order = np.asarray(answer.order)[np.asarray(ranks, dtype=np.int64)]
        changed = Explanations(replace(answer, order=order))
        if changed._answer.access is not None:
            changed._answer.access.answer = changed._answer  # type: ignore[attr-defined]
        return changed

    def general(self, statement: Statement, text: _Text, answers: dict[int, tuple[Explanations, str]]) -> pa.Table:
        """Run a statement; without ORDER BY, and among ties, rows of a DIFF keep their rank order."""
        from workbench.anomaly.memory import duck_table

        sql = text.between(statement.start, statement.end)
        names = {alias for found, alias in answers.values() if "rowid" not in (name.casefold() for name in found.by)}
        rewritten = rewrite(sql, self.fail(statement.start, statement.end))
        for variant in rank_ordered(sql, names):
            try:
                relation = self.tables.relation(rewrite(variant))
            except WorkbenchError:
                continue  # what is grouped, or united, has no rank
            with told_errors(variant, self.tables):
                return duck_table(relation)
        return self.tables.table(rewritten)


# ----------------------------------------------------------------------------------------------------------- private


class _Text:
    """The script, with names of tables in place of the DIFFs that are answered."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.replaced: list[tuple[int, int, str]] = []

    def replace(self, start: int, end: int, text: str) -> None:
        self.replaced = [edit for edit in self.replaced if not start <= edit[0] < end]
        self.replaced.append((start, end, text))

    def between(self, start: int, end: int) -> str:
        parts, at = [], start
        for first, last, text in sorted(self.replaced):
            if start <= first and last <= end:
                parts += [self.text[at:first], text]
                at = last
        return "".join([*parts, self.text[at:end]])


def _rules(diff: Diff, spec: dict[str, Any]) -> Rules:
    notes: tuple[str, ...] = ()
    ratio = diff.min_ratio
    if ratio is None:
        ratio = MIN_RATIO
        if diff.compare == "prevalence_difference":
            ratio = default_min_ratio(diff.compare, 3.0)
            notes = (f"min ratio is {ratio:g}: {diff.compare} is between -1 and 1.",)
    column = diff.aggregate.column
    return Rules(
        diff.on, ratio, MIN_SUPPORT if diff.min_support is None else diff.min_support,
        MAX_COMBO if diff.max_combo is None else diff.max_combo, diff.compare,
        weight=column if diff.aggregate.function == "SUM" else None,
        mean=column if diff.aggregate.function == "AVG" else None, spec=spec, notes=notes,
    )  # fmt: skip


def _name(item: str, otherwise: str) -> str:
    """Return the name of a table that stands alone, else other words for it."""
    tokens = tokenize(item)
    if len(tokens) == 2 and tokens[0].is_name:
        return tokens[0].name
    return tokens[0].value if len(tokens) == 2 and tokens[0].kind == "text" else otherwise


def _side_name(side: Side, place: int) -> str:
    return side.alias or _name(side.text, _ORDINALS[place])


def _order_all(rest: str) -> bool:
    """Return whether rows are sorted by all columns: the rank is one of them."""
    tokens = tokenize(rest)
    at = max(i for i, token in enumerate(tokens) if token.is_word("ORDER"))
    return tokens[min(at + 2, len(tokens) - 1)].is_word("ALL")


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Return a result as pandas: whole numbers stay whole where rows have none, and decimals become numbers."""
    import pandas as pd
    import pyarrow as pa

    columns = []
    for column in table.columns:
        kind = column.type
        if pa.types.is_decimal(kind):
            column = _number(column)
            kind = column.type
        nullable = {True: pd.Int64Dtype(), False: None}[pa.types.is_integer(kind)]
        if pa.types.is_boolean(kind):
            nullable = pd.BooleanDtype()
        if column.null_count and nullable is not None:
            columns.append(pd.Series(pd.array(column.to_pylist(), dtype=nullable)))
        else:
            columns.append(column.to_pandas())
    if not columns:
        return pd.DataFrame()
    frame = pd.concat([series.reset_index(drop=True) for series in columns], axis=1)
    frame.columns = pd.Index(table.column_names)
    return frame


def _number(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return decimals as int64 where they are whole and fit, else as float64."""
    import pyarrow as pa

    if column.type.scale == 0:
        try:
            return column.cast(pa.int64())
        except pa.ArrowInvalid:
            pass
    return column.cast(pa.float64())
