"""Rows into tables: what a sink was told, written so that any split, order or repetition gives the same tables.

An operation is `(kind, run id, payload)`. Rows carry numbers of their own (`seq`), so a row that is there is passed
over; facts of a run are numbered too, and the last one said stands.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["Operation", "Tables", "size"]

#: kind (`facts`, `eval`, `point`, `span`, `note`, `crossing`, `beat`, `alive`), id of the run, payload
Operation = tuple[str, str, Any]

#: facts that are columns of the table of runs as they are
_RUN = (
    "seed", "attempt", "parent", "joined", "resumed_step", "reason", "end_ns", "cpu_ns", "energy_mj", "host", "pid",
    "pid_started", "boot_id", "rank", "unit", "confirm", "eval_hash", "eval_count", "gap", "contended",
    "first_in_process", "state",
)  # fmt: skip
_RECIPE = ("name", "schedule", "steps", "metric", "goal", "target", "clock", "task")
_CROSSING = (
    "metric", "threshold", "confirm", "seq", "step", "epoch", "value", "t_ns", "seconds", "cost_usd", "energy_j",
)  # fmt: skip


class Tables:
    """Writes operations through one connection, inside the transaction that its caller has begun.

    Parameters
    ----------
    connection : sqlite3.Connection
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._nums: dict[str, int] = {}
        self._metrics: dict[str, int] = {}

    def forget(self) -> None:
        """Forget numbers that a transaction gave and took back."""
        self._nums.clear()
        self._metrics.clear()

    def num(self, run: str) -> int:
        """Return the number of a run, given one if its rows come before its facts."""
        found = self._nums.get(run)
        if found is None:
            self.connection.execute("INSERT OR IGNORE INTO run(id) VALUES (?)", (run,))
            found = int(self.connection.execute("SELECT num FROM run WHERE id = ?", (run,)).fetchone()[0])
            self._nums[run] = found
        return found

    def apply(self, operations: Iterable[Operation]) -> None:
        """Write operations."""
        # run, metric -> step, t_ns, v, seq of one row after another
        points: dict[str, dict[str, list[Any]]] = {}
        for kind, run, payload in operations:
            if kind == "point":
                flats = points.setdefault(run, {})
                for k, step, t_ns, v, seq in payload:
                    if (flat := flats.get(k)) is None:
                        flat = flats[k] = []
                    flat += (step, t_ns, v, seq)
            else:
                getattr(self, f"_{kind}")(self.num(run), payload)
        for run, flats in points.items():
            for k, flat in flats.items():
                self._points(self.num(run), self._metric(k), flat)

    # one method for each kind

    def _points(self, num: int, metric: int, flat: list[Any]) -> None:
        if not _SQLITE.issuperset({*map(type, flat[::4]), *map(type, flat[2::4])}):
            flat = _plain(flat)  # a number of NumPy would be kept as its bytes
        at = 0
        for rows, sql in _BLOCKS.items():
            while len(flat) - at >= 4 * rows:
                block = flat[at : at + 4 * rows]
                at += 4 * rows
                try:
                    self.connection.execute(sql, [num, metric, *block])
                except OverflowError:
                    self.connection.execute(sql, [num, metric, *_plain(block)])

    def _eval(self, num: int, rows: Sequence[tuple[Any, ...]]) -> None:
        places: dict[Any, int] = {}  # of the metrics of an evaluation, in the order given
        made = []
        for row in rows:
            places[row[0]] = place = places.get(row[0], -1) + 1
            made.append((num, *row, place))
        self._many("INSERT OR IGNORE INTO eval VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", made)

    def _span(self, num: int, rows: Sequence[tuple[Any, ...]]) -> None:
        self._many("INSERT OR IGNORE INTO span VALUES (?, ?, ?, ?, ?, ?)", [(num, *row) for row in rows])

    def _note(self, num: int, row: tuple[str, int, str]) -> None:
        self._many("INSERT OR IGNORE INTO note VALUES (?, ?, ?, ?)", [(num, *row)])

    def _crossing(self, num: int, row: dict[str, Any]) -> None:
        values = [row.get(name) for name in _CROSSING]
        self._many(f"INSERT OR IGNORE INTO crossing VALUES (?{', ?' * len(_CROSSING)})", [(num, *values)])

    def _beat(self, num: int, when: tuple[int, int]) -> None:
        self.connection.execute(
            "INSERT INTO heartbeat VALUES (?, ?, ?) ON CONFLICT(run) DO UPDATE SET "
            # the clock of the host may be set back; the monotonic one only goes on
            "t_utc = excluded.t_utc, t_ns = max(t_ns, excluded.t_ns)",
            (num, *when),
        )

    def _alive(self, num: int, _: None) -> None:
        """Take back that a run is lost: its process slept."""
        self.connection.execute("UPDATE run SET state = 'running', ended_utc = NULL WHERE num = ? AND state = 'lost'",
                                (num,))  # fmt: skip

    def _facts(self, num: int, facts: tuple[int, dict[str, Any]]) -> None:
        """Take facts of a run; what was said later in the run's own order stands, whenever it comes."""
        seq, row = facts
        known = self.connection.execute("SELECT said FROM run WHERE num = ?", (num,)).fetchone()[0]
        said: dict[str, int] = json.loads(known) if known else {}
        row = {name: value for name, value in row.items() if said.get(name, -1) < seq}
        if not row:
            return
        columns = {name: row[name] for name in _RUN if name in row}
        for given, column in (("started_ns", "started_utc"), ("ended_ns", "ended_utc")):
            if given in row:
                columns[column] = row[given]
        if "environment" in row:
            columns["environment"] = json.dumps(row["environment"], default=str)
        if any(name in row for name in _RECIPE):
            columns["recipe"] = self._recipe(num, row)
        columns["said"] = json.dumps(said | dict.fromkeys(row, seq))
        names = ", ".join(f"{name} = ?" for name in columns)
        self._many(f"UPDATE run SET {names} WHERE num = ?", [(*columns.values(), num)])
        if (price := row.get("price")) is not None:
            self._many(
                "INSERT OR REPLACE INTO price VALUES (?, ?, ?, ?, ?)",
                [(num, price.usd_per_hour, price.kind, price.source, price.date)],
            )
        for kind, name in (("note", "notes"), ("warning", "warnings")):
            for number, text in enumerate(row.get(name) or ()):
                self._note(num, (kind, number, text))

    def _recipe(self, num: int, row: dict[str, Any]) -> int:
        """Return the recipe with these facts; those not given stay what they are."""
        names = ", ".join(_RECIPE)
        known = self.connection.execute(
            f"SELECT {names} FROM recipe WHERE id = (SELECT recipe FROM run WHERE num = ?)", (num,)
        ).fetchone()
        facts = dict(zip(_RECIPE, known or _NO_RECIPE, strict=True)) | {n: row[n] for n in _RECIPE if n in row}
        values = _plain(facts.values())
        find = f"SELECT id FROM recipe WHERE {' AND '.join(f'{name} IS ?' for name in _RECIPE)}"
        found = self.connection.execute(find, values).fetchone()
        if found is None:
            self.connection.execute(f"INSERT OR IGNORE INTO recipe({names}) VALUES (?{', ?' * 7})", values)
            found = self.connection.execute(find, values).fetchone()
        return int(found[0])

    def _metric(self, name: str) -> int:
        if (known := self._metrics.get(name)) is not None:
            return known
        self.connection.execute("INSERT OR IGNORE INTO metric(name) VALUES (?)", (name,))
        found = int(self.connection.execute("SELECT k FROM metric WHERE name = ?", (name,)).fetchone()[0])
        self._metrics[name] = found
        return found

    def _many(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        self.connection.executemany(sql, [_plain(row) for row in rows])


def size(operation: Operation) -> int:
    """Return how many rows an operation writes, about."""
    kind, _, payload = operation
    return len(payload) if kind in ("point", "eval", "span") else 1


#: types that SQLite keeps as they are
_SQLITE = frozenset({int, float, type(None)})
_NO_RECIPE = ("", None, None, "", "max", None, "wall", None)
#: rows of one INSERT -> its text: a statement gives the interpreter's lock away once, not once a row
_BLOCKS = {
    rows: "INSERT OR IGNORE INTO point SELECT ?, ?, column1, column2, column3, column4 FROM (VALUES "
    + ", ".join(["(?, ?, ?, ?)"] * rows)
    + ")"
    for rows in (256, 16, 1)
}


def _plain(values: Iterable[Any]) -> list[Any]:
    """Return values as SQLite takes them: of NumPy's numbers the plain ones, of numbers too large the largest."""
    made = []
    for value in values:
        if value is not None and not isinstance(value, (str, bytes, int, float)):
            item = getattr(value, "item", None)
            value = item() if callable(item) else str(value)
        if isinstance(value, int) and abs(value) >= 2**63:
            value = min(max(value, -(2**63)), 2**63 - 1)
        made.append(value)
    return made
