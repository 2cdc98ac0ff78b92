"""The rows that a DIFF compares, as SQL: both sides in one query, with a flag for the first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from workbench.anomaly.data import Data, columns_hint
from workbench.anomaly.sql_scores import HIDDEN, Fail, rewrite
from workbench.anomaly.sql_tokens import clauses, quoted, tokenize
from workbench.engine.errors import WorkbenchError

if TYPE_CHECKING:
    import pandas as pd

    from workbench.anomaly.conditions import Conditions
    from workbench.anomaly.sql_tables import Tables

__all__ = ["FLAG", "DiffData", "Sides", "condition_columns"]

FLAG = f"{HIDDEN}flag"

_ORDINALS = ("first", "second")


@dataclass(eq=False)
class Sides:
    """What a DIFF compares.

    Attributes
    ----------
    tables : Tables
        What SQL can see.
    items : tuple of str
        FROM items: two sides, or the one that `condition` splits.
    names : tuple of str
        What messages call them.
    condition : str, optional
        Marks the rows of the first side.
    scope : str
        A WITH clause that the items may need, or nothing.
    only : str, optional
        A further condition: rows without it do not count (`within`, `without`).
    fail : callable, optional
        Makes an error of an offset in the query, for scoring functions.
    """

    tables: Tables
    items: tuple[str, ...]
    names: tuple[str, ...]
    condition: str | None = None
    scope: str = ""
    only: str | None = None
    fail: Fail | None = None
    _schemas: list[dict[str, pa.DataType]] = field(default_factory=list)

    @property
    def schemas(self) -> list[dict[str, pa.DataType]]:
        """The columns of each item, with their types."""
        if not self._schemas:
            self._schemas = [self.tables.schema(self.whole(f"SELECT * FROM {item}")) for item in self.items]
        return self._schemas

    def whole(self, select: str) -> str:
        """Return a statement with the scope before it, and scoring functions rewritten."""
        return rewrite(f"{self.scope} {select}".strip(), self.fail)

    def rows(self, columns: Iterable[str] | None = None) -> str:
        """Return a select of these columns and the flag, all rows of the first side before those of the second.

        A SPLIT keeps the order of its table. By default the columns are all of both sides.
        """
        shown = "*" if columns is None else ", ".join(f"{quoted(name)} AS {quoted(name)}" for name in columns)
        shown = f"{shown}, " if shown else ""
        flag = quoted(FLAG)
        if self.condition is not None:
            marked = f"coalesce((\n{self.condition}\n)::BOOLEAN, false) AS {flag}"
            select = f"SELECT {shown}{marked} FROM {self.items[0]}"
        else:
            select = " UNION ALL BY NAME ".join(
                f"SELECT {shown}{value} AS {flag} FROM {item}"
                for value, item in zip(("true", "false"), self.items, strict=True)
            )
        if self.only is not None:
            every = self.rows_of_all()
            shown = "*" if columns is None else ", ".join([*map(quoted, columns), flag])
            return f"SELECT {shown} FROM ({every}) WHERE {self.only}"
        return select

    def rows_of_all(self) -> str:
        """Return a select of all columns and the flag, whatever `only` says."""
        return Sides(self.tables, self.items, self.names, self.condition, self.scope, None, self.fail).rows()

    def common(self) -> dict[str, pa.DataType]:
        """Return the columns that all sides have, named as in the first."""
        first, *others = self.schemas
        known = [{name.casefold() for name in other} for other in others]
        return {name: kind for name, kind in first.items() if all(name.casefold() in names for names in known)}

    def column(self, name: str, fail: Callable[[str, str], WorkbenchError] = WorkbenchError) -> str:
        """Return a column that all sides have, as the first one writes it; else raise."""
        found = name
        for place, schema in enumerate(self.schemas):
            same = [known for known in schema if known == name] or [
                k for k in schema if k.casefold() == name.casefold()
            ]
            if not same:
                raise fail(f'No column "{name}" in {self.names[place]}.', columns_hint(name, schema))
            found = same[0] if place == 0 else found
        return found

    def differences(self) -> str:
        """Return the note for columns that only one side has; "" if there are none."""
        if len(self.schemas) < 2:
            return ""
        lower = [{name.casefold() for name in schema} for schema in self.schemas]
        left = [name for name in self.schemas[0] if name.casefold() not in lower[1]]
        right = [name for name in self.schemas[1] if name.casefold() not in lower[0]]
        if not left and not right:
            return ""
        said = []
        if left:
            said.append(f"left has {_listed(left)}, right does not")
        if right:
            said.append(f"right has {_listed(right)}, left does not")
        count = len(self.common())
        return f"The two sides differ: {'; '.join(said)}. Using the {count} common column{'' if count == 1 else 's'}."


class DiffData(Data):
    """The rows of a DIFF as columns; read when they are asked for.

    Parameters
    ----------
    sides : Sides
    name : str
    """

    kind = "duckdb"

    def __init__(self, sides: Sides, name: str) -> None:
        super().__init__(None, name)
        self.sides = sides
        self.flags = np.zeros(0, bool)

    def load(self, names: Iterable[str]) -> None:
        """Read columns and flags in one go."""
        table = self.sides.tables.table(self.sides.whole(self.sides.rows(names)))
        self._loaded |= {name: table.column(name) for name in table.column_names if name != FLAG}
        self.flags = np.asarray(table.column(FLAG).to_numpy(), dtype=bool)

    def _read_schema(self) -> list[tuple[str, pa.DataType]]:
        found = self.sides.tables.schema(self.sides.whole(self.sides.rows()))
        return [(name, kind) for name, kind in found.items() if name != FLAG]

    def _read(self, names: list[str]) -> pa.Table:
        return self.sides.tables.table(self.sides.whole(self.sides.rows(names))).select(names)

    def _count(self) -> int:
        if not len(self.flags):
            count = f"SELECT count(*) AS n FROM ({self.sides.rows([])})"
            return int(self.sides.tables.table(self.sides.whole(count)).column("n")[0].as_py())
        return len(self.flags)

    def distinct(self, names: Iterable[str]) -> dict[str, int]:
        """Return how many different values each column has; null is one."""
        names = list(names)
        if not names:
            return {}
        counts = ", ".join(
            f"count(DISTINCT {quoted(name)}) + max(({quoted(name)} IS NULL)::INT) AS {quoted(name)}" for name in names
        )
        table = self.sides.tables.table(self.sides.whole(f"SELECT {counts} FROM ({self.sides.rows(names)})"))
        return {name: int(table.column(name)[0].as_py() or 0) for name in names}

    @property
    def size(self) -> int:
        """Bytes of what was read."""
        return sum(column.nbytes for column in self._loaded.values())

    def take(self, rows: np.ndarray) -> pd.DataFrame:
        """Return these rows, all columns of both sides."""
        from workbench.anomaly.memory import arrow_to_pandas

        table = self.sides.tables.table(self.sides.whole(self.sides.rows()))
        return arrow_to_pandas(table.drop_columns([FLAG]).take(pa.array(rows)))

    def native(self, conditions: Conditions) -> Any:
        """Return SQL text."""
        return self.sql(conditions)


def condition_columns(texts: Iterable[str], columns: Iterable[str], *, where: bool) -> set[str]:
    """Return the columns that conditions name.

    Parameters
    ----------
    texts : iterable of str
        Conditions, or selects.
    columns : iterable of str
    where : bool
        Whether the texts are selects, of which the WHERE clauses count.
    """
    known = {name.casefold(): name for name in columns}
    found = set()
    for text in texts:
        tokens = tokenize(text)
        around: list[str] = []  # the clauses that open parentheses stand in
        for token, standing, after in zip(tokens, clauses(tokens), [*tokens[1:], tokens[-1]], strict=True):
            clause = standing.clause or (around[-1] if around else "")
            if token.is_mark("("):
                around.append(clause)
            elif token.is_mark(")") and around:
                around.pop()
            name = known.get(token.name.casefold()) if token.is_name else None
            if name is not None and (clause == "WHERE" or not where) and not after.is_mark("("):
                found.add(name)
    return found


def _listed(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
