"""The SQL with DIFF: a recursive descent over tokens that finds every DIFF and leaves all else as text for DuckDB.

The grammar::

    script    = statement {";" statement}
    statement = import | duckdb-sql, in which a FROM item may be a diff; optionally with an outfile
    diff      = "DIFF" ( side [alias] "," side [alias] | "(" "SPLIT" (table | "(" select ")") "WHERE" condition ")" )
                "ON" ("*" | column {"," column}) [ "WITH" limit [limit] ] [ "COMPARE" "BY" metric "(" aggregate ")" ]
                [ "MAX" "COMBO" integer ] [ "AS" alias ]
    side      = "(" (select | from-item) ")" | table {"NATURAL" "JOIN" table}
    limit     = "MIN" "RATIO" number | "MIN" "SUPPORT" number
    aggregate = "COUNT(*)" | "SUM(column)" | "AVG(column)"
    import    = "IMPORT" "FROM" "CSV" "FILE" 'f' "INTO" table [ "(" column type {"," column type} ")" ]
    outfile   = "INTO" "OUTFILE" 'f' ["FIELDS" "TERMINATED" "BY" 's'] ["LINES" "TERMINATED" "BY" 's']
"""

from __future__ import annotations

from workbench.anomaly.sql_cursor import HINT
from workbench.anomaly.sql_diff import DiffParser
from workbench.anomaly.sql_tokens import error_at
from workbench.anomaly.sql_tree import Diff, Import, Outfile, Plain, Script, Statement
from workbench.engine.errors import WorkbenchError

__all__ = ["parse"]

_IMPORT_HINT = "IMPORT FROM CSV FILE 'f' INTO t (a INTEGER, b VARCHAR)"
_OUTFILE_HINT = "INTO OUTFILE 'f' [FIELDS TERMINATED BY 's'] [LINES TERMINATED BY 's']"


def parse(text: str) -> Script:
    """Read a script.

    Parameters
    ----------
    text : str
        Statements with `;` between them.

    Raises
    ------
    WorkbenchError
        With the line and column of what does not fit.
    """
    return _Parser(text).script()


class _Parser(DiffParser):
    """Reads a script."""

    def script(self) -> Script:
        statements: list[Statement | Import] = []
        while self.token.kind != "end":
            if self.mark(";"):
                continue
            if self.token.is_word("IMPORT") and self.ahead(1).is_word("FROM"):
                statements.append(self.imported())
            else:
                statements.append(self.statement())
        if not statements:
            raise WorkbenchError("There is no statement.", f"SELECT * FROM {HINT}")
        return Script(self.text, tuple(statements))

    def imported(self) -> Import:
        offset, self.hint = self.token.start, _IMPORT_HINT
        self.at += 1
        self.need("IMPORT", "FROM", "CSV", "FILE")
        path = self.need_text("a path in single quotes", "IMPORT FROM CSV FILE")
        self.need(f"'{path}'", "INTO")
        table = self.need_name("a table name", "INTO")
        columns: list[tuple[str, str]] = []
        if self.mark("("):
            end = self.close(self.at - 1)
            while True:
                name = self.need_name("a column", self.last.text)
                columns.append((name, self.column_type(name, end)))
                if not self.mark(","):
                    break
            self.at = end + 1
        if self.token.kind != "end" and not self.token.is_mark(";"):
            self.fail("the end of the statement", "IMPORT")
        self.hint = HINT
        return Import(path, table, tuple(columns), offset)

    def column_type(self, name: str, end: int) -> str:
        """Read a type up to the next column: `DOUBLE`, `DECIMAL(10, 2)`."""
        start = self.at
        while self.at < end and not self.token.is_mark(","):
            self.at = self.close(self.at) + 1 if self.token.is_mark("(") else self.at + 1
        if self.at == start:
            self.fail("a type", f'column "{name}"')
        return self.text[self.tokens[start].start : self.last.end]

    def statement(self) -> Statement:
        first = self.at
        end = self.statement_end()
        outfile = self.outfile(first, end)
        stop = end if outfile is None else outfile[1]
        diffs = self.scan(first, stop, ())
        start, last = self.tokens[first].start, self.tokens[stop - 1].end
        plain = self.plain(first, stop, diffs) if outfile is None or outfile[1] + outfile[2] >= end else None
        self.at = end
        return Statement(tuple(diffs), None if outfile is None else outfile[0], plain, start, last)

    def statement_end(self) -> int:
        """Return the index of the `;` or the end that closes the statement."""
        position = self.at
        while self.tokens[position].kind != "end" and not self.tokens[position].is_mark(";"):
            position += 1
        return position

    def outfile(self, first: int, end: int) -> tuple[Outfile, int, int] | None:
        """Read INTO OUTFILE where the statement has it; with the index of its INTO and its number of tokens."""
        for position in range(first + 1, end):
            token = self.tokens[position]
            if (
                token.is_word("INTO")
                and self.tokens[position + 1].is_word("OUTFILE")
                and self.standing[position].depth == self.standing[first].depth
            ):
                break
        else:
            return None
        self.at, self.hint = position + 2, _OUTFILE_HINT
        path = self.need_text("a path in single quotes", "INTO OUTFILE")
        fields, lines = ",", "\n"
        if self.words("FIELDS"):
            fields = self.terminated("FIELDS")
        if self.words("LINES"):
            lines = self.terminated("LINES")
        if self.at != end:
            self.fail("the end of the statement", "INTO OUTFILE")
        self.hint = HINT
        return Outfile(path, fields, lines, token.start, self.last.end), position, self.at - position

    def terminated(self, what: str) -> str:
        self.need(what, "TERMINATED", "BY")
        token = self.token
        text = self.need_text("a text in single quotes", f"{what} TERMINATED BY")
        text = text.replace(r"\t", "\t").replace(r"\n", "\n").replace(r"\r", "\r").replace(r"\0", "\0")
        if not text or '"' in text:
            raise error_at(self.text, token.start, f"{what} cannot end with {token.text}", _OUTFILE_HINT)
        return text

    # SELECT * over one DIFF

    def plain(self, first: int, end: int, diffs: list[Diff]) -> Plain | None:
        """Return the parts of a statement that is `SELECT *` over one DIFF, with at most WHERE, ORDER BY and LIMIT."""
        depth = self.standing[first].depth
        tops = [at for at in range(first, end) if self.standing[at].depth == depth]
        begin = next((at for at in tops if self.tokens[at].is_word("SELECT", "FROM")), None)
        if begin is None or (begin != first and not self.tokens[first].is_word("WITH")):
            return None
        at = begin
        if self.tokens[at].is_word("SELECT"):
            if not (self.tokens[at + 1].is_mark("*") and self.tokens[at + 2].is_word("FROM")):
                return None
            at += 2
        item = next((diff for diff in diffs if diff.start == self.tokens[at + 1].start), None)
        if item is None:
            return None
        seen: list[str] = []
        order = None
        for at in (at for at in tops if self.tokens[at].start >= item.end):
            token, clause = self.tokens[at], self.standing[at].clause
            if token.kind == "word" and token.value == clause and clause != "FROM":
                seen.append(clause)
                allowed = ("WHERE", "ORDER", "LIMIT", "OFFSET")
                if clause not in allowed or sorted(seen, key=allowed.index) != seen:
                    return None
            elif not seen:  # a join, a comma, a sample
                return None
            if clause == "ORDER":
                order = token.end
        stop = self.tokens[end - 1].end
        return Plain(self.tokens[first].start, stop, self.tokens[begin].start, item.end, order)
