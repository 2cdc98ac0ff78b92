"""DIFF itself: the parser of one DIFF with its sides, limits and metric, and of where DIFFs stand in a text."""

from __future__ import annotations

from workbench.anomaly.sql_cursor import Cursor
from workbench.anomaly.sql_tokens import error_at
from workbench.anomaly.sql_tree import Aggregate, Cte, Diff, Side, Split
from workbench.engine.errors import WorkbenchError

__all__ = ["DiffParser"]

#: words that may follow a FROM item, and so a DIFF
_AFTER = (
    "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "UNION", "EXCEPT", "INTERSECT", "JOIN", "INNER", "LEFT",
    "RIGHT", "FULL", "CROSS", "NATURAL", "ASOF", "POSITIONAL", "SEMI", "ANTI", "ON", "USING", "QUALIFY", "WINDOW",
    "TABLESAMPLE", "INTO", "SELECT", "RETURNING", "FETCH", "PIVOT", "UNPIVOT",
)  # fmt: skip

#: metrics that compare means, not counts
_MEANS = ("mean_shift", "mean_deviation")


class DiffParser(Cursor):
    """Finds and reads the DIFFs of a text."""

    def scan(self, first: int, end: int, ctes: tuple[Cte, ...]) -> list[Diff]:
        """Return the DIFFs among these tokens, those in others' sides left out."""
        found: list[Diff] = []
        scopes: list[list[Cte]] = [[]]
        position = first
        while position < end:
            token = self.tokens[position]
            self.at = position
            opens = position > 0 and self.tokens[position - 1].is_mark("(")
            if token.is_word("WITH") and (opens or self.standing[position].clause == ""):
                recursive = self.tokens[position + 1].is_word("RECURSIVE")
                inner, position = self.with_clause(position + 1 + recursive, end, recursive, ctes, scopes)
                found += inner
                continue
            if token.is_mark("("):
                scopes.append([])
            elif token.is_mark(")") and len(scopes) > 1:
                scopes.pop()
            if self.is_diff():
                visible = (*ctes, *(cte for scope in scopes for cte in scope))
                found.append(self.diff(visible))
                position = self.at
                continue
            position += 1
        return found

    def with_clause(
        self, position: int, end: int, recursive: bool, ctes: tuple[Cte, ...], scopes: list[list[Cte]]
    ) -> tuple[list[Diff], int]:
        """Read `name [(columns)] AS [[NOT] MATERIALIZED] (select), ...`; stop at what follows."""
        found: list[Diff] = []
        while position < end:
            start = position
            while position < end and not (
                self.tokens[position].is_mark("(") and self.tokens[position - 1].is_word("AS", "MATERIALIZED")
            ):
                position += 1
            if position >= end:
                break
            close = self.close(position)
            visible = (*ctes, *(cte for scope in scopes for cte in scope))
            found += self.scan(position + 1, close, visible)
            name = self.tokens[start]
            scopes[-1].append(Cte(name.name, recursive, name.start, self.tokens[close].end))
            position = close + 1
            if position >= end or not self.tokens[position].is_mark(","):
                break
            position += 1
        return found, position

    def is_diff(self) -> bool:
        """Return whether DIFF at the cursor is the keyword."""
        if not self.token.is_word("DIFF") or not self.standing[self.at].item:
            return False
        if self.ahead(1).is_mark("("):
            return True
        at = self.at
        self.at += 1
        try:
            self.bare_side()
            self.side_alias()
            return self.token.is_mark(",")
        except WorkbenchError:
            return False
        finally:
            self.at = at

    # one DIFF

    def diff(self, ctes: tuple[Cte, ...]) -> Diff:
        start = self.token.start
        self.at += 1
        inner: list[Diff] = []
        sides: tuple[Side, Side] | Split
        if self.token.is_mark("(") and self.is_split():
            sides = self.split(inner, ctes)
        else:
            first = self.side(inner, ctes, "DIFF")
            if not self.mark(","):
                self.fail("a comma and the second side", "DIFF (…)")
            sides = (first, self.side(inner, ctes, "the first side of DIFF"))
        if not self.words("ON"):
            self.fail("ON", "DIFF (…)")
        on, offsets = self.columns()
        ratio, support = self.limits()
        compare, aggregate = self.compared()
        combo = self.combo()
        alias = self.need_name("an alias", "AS") if self.words("AS") else None
        self.followed()
        return Diff(
            sides, on, ratio, support, compare, aggregate, combo, alias, tuple(inner), ctes, offsets, start,
            self.last.end,
        )  # fmt: skip

    def is_split(self) -> bool:
        """Return whether SPLIT in `(SPLIT t` is the keyword, not a table."""
        after = self.ahead(2)
        return self.ahead(1).is_word("SPLIT") and not (after.is_mark(")") or after.is_word("NATURAL"))

    def split(self, inner: list[Diff], ctes: tuple[Cte, ...]) -> Split:
        close = self.close(self.at)
        self.at += 2
        first = self.at
        while self.at < close and not self.token.is_word("WHERE"):
            if self.token.is_word("SELECT", "WITH"):
                self.fail("a table or (SELECT …)", "SPLIT")
            self.at = self.close(self.at) + 1 if self.token.is_mark("(") else self.at + 1
        if self.at == first:
            self.fail("a table or (SELECT …)", "SPLIT")
        if self.at == close:
            self.fail("WHERE", f"SPLIT {self.cut(first, close)}")
        where = self.at
        if where + 1 == close:
            self.fail("a condition", "WHERE", self.tokens[close])
        inner += self.scan(first, where, ctes) + self.scan(where + 1, close, ctes)
        self.at = close + 1
        start, end = self.tokens[first].start, self.tokens[where - 1].end
        low, high = self.tokens[where + 1].start, self.tokens[close - 1].end
        return Split(self.text[start:end], self.text[low:high], start, end, low, high)

    def side(self, inner: list[Diff], ctes: tuple[Cte, ...], after: str) -> Side:
        first = self.at
        query = False
        if self.token.is_mark("("):
            close = self.close(self.at)
            if close == first + 1:
                self.fail("a table or SELECT", "(", self.tokens[close])
            inside = next(token for token in self.tokens[first:] if not token.is_mark("("))
            query = inside.is_word("SELECT", "WITH", "FROM", "VALUES")
            inner += self.scan(first + 1, close, ctes)
            self.at = close + 1
        else:
            self.bare_side(after)
        start, end = self.tokens[first].start, self.last.end
        return Side(self.text[start:end], query, self.side_alias(), start, end)

    def bare_side(self, after: str = "DIFF") -> None:
        """Go past `table {NATURAL JOIN table}`; a table is a name, a dotted name or a path in single quotes."""
        self.table(after)
        while self.token.is_word("NATURAL"):
            self.at += 1
            self.words("INNER")
            self.need("NATURAL", "JOIN")
            self.table("NATURAL JOIN")

    def table(self, after: str) -> None:
        if self.token.kind == "text":
            self.at += 1
            return
        self.need_name("a table or (SELECT …)", after)
        while self.mark("."):
            self.need_name("a table", ".")

    def side_alias(self) -> str | None:
        if self.words("AS"):
            return self.need_name("an alias", "AS")
        if self.token.is_name:
            self.at += 1
            return self.last.name
        return None

    def columns(self) -> tuple[tuple[str, ...] | None, tuple[int, ...]]:
        if self.mark("*"):
            return None, (self.last.start,)
        names: list[str] = []
        offsets: list[int] = []
        after = "ON"
        while True:
            token = self.token
            name = self.need_name("a column or *" if not names else "a column", after)
            if self.token.is_mark("."):
                hint = f"Write {self.ahead(1).name}: both sides have it."
                raise error_at(self.text, token.start, "Columns of ON stand without a table", hint)
            if name.casefold() in (known.casefold() for known in names):
                raise error_at(self.text, token.start, f'ON names "{name}" twice', "Name each column once.")
            names.append(name)
            offsets.append(token.start)
            if not self.mark(","):
                return tuple(names), tuple(offsets)
            after = "the comma"

    def limits(self) -> tuple[float | None, float | None]:
        if not self.words("WITH"):
            return None, None
        given: dict[str, float] = {}
        while self.token.is_word("MIN") or not given:
            token = self.token
            if not self.words("MIN"):
                self.fail("MIN RATIO or MIN SUPPORT", "WITH")
            if not self.token.is_word("RATIO", "SUPPORT"):
                self.fail("RATIO or SUPPORT", "MIN")
            which = self.token.value
            self.at += 1
            if which in given:
                raise error_at(self.text, token.start, f"MIN {which} is given twice", "Give each limit once.")
            given[which] = self.number(f"MIN {which}")
        return given.get("RATIO"), given.get("SUPPORT")

    def number(self, after: str) -> float:
        first = self.at
        sign = -1.0 if self.mark("-") else 1.0
        dot = self.mark(".")
        token = self.token
        joined = not dot or token.start == self.last.end
        if token.kind != "number" or not joined:
            self.fail("a number", after, self.tokens[first])
        self.at += 1
        try:
            return sign * float(f".{token.value}" if dot else token.value)
        except ValueError:
            self.fail("a number", after, token)

    def compared(self) -> tuple[str, Aggregate]:
        if not self.token.is_word("COMPARE"):
            return "global_ratio", Aggregate()
        self.at += 1
        self.need("COMPARE", "BY")
        from workbench.anomaly.compare import NAMES

        if not self.token.is_name:
            self.fail("a metric", "COMPARE BY")
        metric = self.token.name.lower()
        if metric not in NAMES:
            known = f"Known: {', '.join(NAMES)}"
            raise self.plain_error(f'No compare metric "{self.token.name}".', known)
        self.at += 1
        self.need_mark("(", metric)
        close = self.close(self.at - 1)
        return metric, self.aggregate(metric, close)

    def aggregate(self, metric: str, close: int) -> Aggregate:
        """Read `COUNT(*)`, `SUM(column)` or `AVG(column)` up to the parenthesis that closes the metric."""
        offset = self.token.start
        inside = self.tokens[self.at : close]
        self.at = close + 1
        found = None
        if len(inside) == 4 and inside[1].is_mark("(") and inside[3].is_mark(")"):
            function, argument = inside[0], inside[2]
            if function.is_word("COUNT") and argument.is_mark("*"):
                found = Aggregate("COUNT", None, offset)
            elif function.is_word("SUM", "AVG") and argument.is_name:
                found = Aggregate(function.value, argument.name, argument.start)
        means = metric in _MEANS
        if found is None or (found.function == "AVG") != means:
            message = f"{metric} averages a column." if means else f"{metric} counts rows or sums weights."
            forms = ("AVG(column)",) if means else ("COUNT(*)", "SUM(column)")
            self.at = close + 1 - len(inside) - 1
            raise self.plain_error(message, f"Write {' or '.join(f'{metric}({form})' for form in forms)}.")
        return found

    def combo(self) -> int | None:
        if not (self.token.is_word("MAX") and self.ahead(1).is_word("COMBO")):
            return None
        self.at += 2
        token = self.token
        if token.kind != "number" or not token.value.isdecimal():
            self.fail("a whole number", "MAX COMBO")
        self.at += 1
        return int(token.value)

    def followed(self) -> None:
        """Fail if what follows can be neither a part of DIFF nor what comes after a FROM item."""
        token = self.token
        if token.kind == "end" or token.is_word(*_AFTER) or (token.kind == "mark" and token.text in "),;"):
            return
        self.fail("AS, WHERE, ORDER BY, another clause or the end", "DIFF (…) ON …")
