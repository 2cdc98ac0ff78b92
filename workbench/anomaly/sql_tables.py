"""The tables that a script's SQL can see: those passed, those imported, and files named in FROM; nothing else."""

from __future__ import annotations

import re
import threading
import weakref
from collections import Counter, deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workbench.anomaly.data import Data
from workbench.anomaly.files import CsvData, ParquetData, looks_like_path
from workbench.anomaly.frames import read
from workbench.anomaly.memory import duck_table
from workbench.anomaly.sql_errors import told, told_errors
from workbench.anomaly.sql_scores import HIDDEN
from workbench.anomaly.sql_tokens import clauses, quoted, tokenize
from workbench.engine.errors import WorkbenchError, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Tables", "imported", "keep_import"]

_MISSING = re.compile(r'Table with name "?(.+?)"? does not exist!')
_FILE = re.compile(r'Cannot access file "(.+?)" -')

#: bytes of a CSV file above which it is scanned by each query, not read once
LARGE = 1 << 30

#: tables of IMPORT, of this process: a later cell may name them
_imported: dict[str, pa.Table] = {}


def imported() -> dict[str, pa.Table]:
    """Return the tables that IMPORT made in this process, by name."""
    return dict(_imported)


def keep_import(name: str, table: pa.Table) -> None:
    """Keep a table of IMPORT for later scripts."""
    _imported[name] = table


#: connections that nobody needs any more. An answer may go with the thread of its run, as the process ends; DuckDB must
#: not be waiting for its own threads there.
_unused: deque[Tables] = deque()


class Tables:
    """A DuckDB connection in memory, and the tables that it learns of when a statement names them.

    DuckDB has no access to files, to the network or to Python's variables.

    Parameters
    ----------
    given : mapping of str to any accepted data
        Looked at only when SQL names them.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        import duckdb

        while _unused:
            _unused.pop().close()
        self.given = given
        self.known: dict[str, Data] = {}
        #: columns of DIFFs that are answered, by the names of their tables
        self.answers: dict[str, list[str]] = {}
        self._owners = 0
        self.lock = threading.RLock()
        self.connection = duckdb.connect(
            ":memory:",
            config={
                "enable_external_access": "false",
                "python_enable_replacements": "false",
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            },
        )

    def relation(self, sql: str) -> Any:
        """Bind a statement; return its relation, or None if it gives no rows.

        Raises
        ------
        WorkbenchError
            In place of DuckDB's errors.
        """
        import duckdb

        with self.lock:
            while True:
                try:
                    return self.connection.sql(sql)
                except duckdb.Error as error:
                    if not self._learn(error, sql):
                        raise told(error, sql, self) from error

    def table(self, sql: str) -> pa.Table:
        """Run a statement and return what it gives."""
        import pyarrow as pa

        with self.lock:
            relation = self.relation(sql)
            if relation is None:
                return pa.table({})
            with told_errors(sql, self):
                return duck_table(relation)

    def schema(self, sql: str) -> dict[str, pa.DataType]:
        """Return names and types of the columns of a query, without running it."""
        with self.lock:
            found = duck_table(self.relation(sql).limit(0)).schema
            return {field.name: field.type for field in found}

    def find(self, name: str) -> Data | None:
        """Return the table that SQL means by a name."""
        for known in (self.given, imported()):
            alike = [other for other in known if str(other).casefold() == name.casefold()]
            if len(alike) > 1:
                first, second = alike[:2]
                raise WorkbenchError(
                    f'SQL cannot tell the tables "{first}" and "{second}" apart.', "Rename one of them."
                )
            if alike:
                return read(known[alike[0]], name=str(alike[0]))
        return None

    def names(self) -> list[str]:
        """Return the names of tables that there are."""
        found = dict.fromkeys([*self.given, *imported(), *self.known])
        return [name for name in map(str, found) if not name.startswith("_")]

    def add(self, name: str, data: Data) -> None:
        """Let SQL see a table under a name; NaN is null."""
        import pyarrow as pa

        alike = Counter(column.casefold() for column in data.schema)
        twice = next((column for column in data.schema if alike[column.casefold()] > 1), None)
        if twice is not None:
            raise WorkbenchError(
                f'SQL cannot tell "{twice}" from a column that differs in capitals only.', "Rename one of them."
            )
        self.known[name] = data
        scanned = _scannable(data)
        floats = [] if isinstance(scanned, pa.Table) else [n for n, k in data.schema.items() if pa.types.is_floating(k)]
        if not floats:
            self.connection.register(name, scanned)
            return
        files = f"{HIDDEN}files_{len(self.known)}"
        self.connection.register(files, scanned)
        plain = ", ".join(f"CASE WHEN NOT isnan({c}) THEN {c} END AS {c}" for c in map(quoted, floats))
        self.connection.execute(f"CREATE TEMP VIEW {quoted(name)} AS SELECT * REPLACE ({plain}) FROM {quoted(files)}")

    def serve(self, owner: Any) -> None:
        """Stay open for as long as there is an owner."""
        self._owners += 1
        weakref.finalize(owner, self._left)

    def release(self) -> None:
        """Close the connection, unless it has owners."""
        if not self._owners:
            self.close()

    def close(self) -> None:
        """Let go of everything."""
        self.connection.close()

    # ------------------------------------------------------------------------------------------------------- private

    def _left(self) -> None:
        self._owners -= 1
        if not self._owners:
            _unused.append(self)

    def _learn(self, error: Exception, sql: str) -> bool:
        """Register the table that an error misses; return whether to try again."""
        text = str(error)
        if found := _MISSING.search(text):
            name = found[1]
            if name in self.known:
                return False
            data = self.find(name)
            if data is None and looks_like_path(name) and _in_from(name, sql):
                data = read(name)
            if data is None:
                data = _registered(name)
            if data is None:
                raise self._none_such(name) from error
            self.add(name, data)
            return True
        if found := _FILE.search(text):
            name = found[1]
            if name in self.known or not _in_from(name, sql):
                return False
            self.add(name, read(name))
            return True
        return False

    def _none_such(self, name: str) -> WorkbenchError:
        near = did_you_mean(name, self.names())
        if near is not None:
            hint = f'Did you mean "{near}"?'
        elif self.names():
            hint = f"Tables: {', '.join(self.names()[:10])}"
        else:
            hint = f"Pass it by name: wb.diff(sql, {name if name.isidentifier() else 'name'}=df)."
        return WorkbenchError(f'No table or DataFrame named "{name}".', hint)


def _registered(name: str) -> Data | None:
    """Return a table of DuckDB's default connection, if DuckDB has it."""
    import duckdb

    try:
        return read(duckdb.default_connection().table(name), name=name)
    except duckdb.Error:
        return None


def _in_from(name: str, sql: str) -> bool:
    """Return whether a file is named as an item of FROM: functions such as `read_text` get no file."""
    tokens = tokenize(sql)
    return any(
        token.kind in ("text", "quoted") and token.value == name and where.item
        for token, where in zip(tokens, clauses(tokens), strict=True)
    )


def _scannable(data: Data) -> Any:
    """Return what DuckDB can scan of a table: files that may not fit into memory as they are, all else as Arrow."""
    import pyarrow as pa

    if isinstance(data, ParquetData):
        import pyarrow.dataset as ds

        return ds.dataset(data.files, schema=pa.schema(list(data.schema.items())), format="parquet")
    if isinstance(data, CsvData) and data.size > LARGE:
        return data._scan()
    data.want(data.schema)
    return pa.table({name: _without_nan(data.column(name)) for name in data.schema})


def _without_nan(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column with null for NaN, which DuckDB would take for the largest number."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(column.type) or not pc.any(pc.is_nan(column)).as_py():
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
