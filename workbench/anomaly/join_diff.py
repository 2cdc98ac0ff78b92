"""DIFF over joins without writing the joined rows.

Each table of a join is first counted by its join columns and its own columns of ON; the small counts are joined, and
their products are the numbers of joined rows: also where each row meets many, and whatever the compare metric. What is
no plain join of tables is grouped by DuckDB as the joined rows stream by.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from workbench.anomaly import ranges, remarks
from workbench.anomaly.data import as_float64
from workbench.anomaly.diff_source import FLAG, DiffData, Sides
from workbench.anomaly.encode import Codes, encode_array
from workbench.anomaly.join_shape import Join, Joined, joins, read_join
from workbench.anomaly.sql_scores import HIDDEN
from workbench.anomaly.sql_tokens import Token, quoted

if TYPE_CHECKING:
    from workbench.anomaly.diff_marks import Marks
    from workbench.anomaly.diff_rules import Rules

__all__ = ["count_sql", "counted_sql", "read_joined"]

COUNT, WEIGHT, LEAST = (f"{HIDDEN}{name}" for name in ("count", "weight", "least"))


def read_joined(sides: Sides, rules: Rules, on: tuple[str, ...]) -> tuple[DiffData, Marks] | None:
    """Return the rows of a DIFF over joins, each standing for all joined rows that are like it; None if none joins."""
    if not any(joins(item) for item in sides.items):
        return None
    table = sides.tables.table(counted_sql(sides, on, rules.weight, rules.mean))
    data = DiffData(sides, " and ".join(sides.names))
    return data, _marks(data, table, rules, on)


def counted_sql(sides: Sides, on: tuple[str, ...], weight: str | None, mean: str | None) -> str:
    """Return a query of the different values of ON, with how many joined rows have them.

    Its columns are those of ON, the column of AVG, the flag, `COUNT`, and with SUM the sum of weights `WEIGHT` and the
    least one, `LEAST`; rows without a weight stand apart, with a null sum.
    """
    names = list(dict.fromkeys([*on, *([mean] if mean is not None else [])]))
    if sides.condition is None and sides.only is None:
        parts = [_counted(sides, item, names, weight) for item in sides.items]
        selects = [
            part if part is not None else _grouped(f"SELECT *, {value} AS {quoted(FLAG)} FROM {item}", names, weight)
            for part, item, value in zip(parts, sides.items, ("true", "false"), strict=True)
        ]
        flagged = [
            f"SELECT *, {value} AS {quoted(FLAG)} FROM ({select})" if part is not None else select
            for part, select, value in zip(parts, selects, ("true", "false"), strict=True)
        ]
        return sides.whole(" UNION ALL BY NAME ".join(flagged))
    return sides.whole(_grouped(sides.rows(), names, weight))


def count_sql(sides: Sides, item: str) -> str:
    """Return a query of the number of rows of a FROM item, as `n`; of a plain join none of them is made."""
    counted = _counted(sides, item, [], None) if joins(item) else None
    if counted is None:
        return sides.whole(f"SELECT count(*) AS n FROM {item}")
    return sides.whole(f"SELECT coalesce(sum({quoted(COUNT)}), 0)::HUGEINT AS n FROM ({counted})")


# ----------------------------------------------------------------------------------------------------- plain grouping


def _grouped(rows: str, names: list[str], weight: str | None) -> str:
    """Return a query that counts rows by columns and flag, while they stream by."""
    keys = ", ".join([*map(quoted, names), quoted(FLAG)])
    figures, more = _figures(weight)
    return f"SELECT {keys}, {figures} FROM ({rows}) GROUP BY {keys}{more}"


def _figures(weight: str | None) -> tuple[str, str]:
    """Return the aggregates, and what else they are grouped by."""
    count = f"count(*) AS {quoted(COUNT)}"
    if weight is None:
        return count, ""
    w = _number(weight)
    figures = f"{count}, CASE WHEN count({w}) > 0 THEN fsum({w}) END AS {quoted(WEIGHT)}, min({w}) AS {quoted(LEAST)}"
    return figures, f", ({w} IS NULL)"


def _number(name: str) -> str:
    """Return a column as float64, NaN as null."""
    return f"(CASE WHEN isnan({quoted(name)}::DOUBLE) THEN NULL ELSE {quoted(name)}::DOUBLE END)"


# ------------------------------------------------------------------------------------------------ counts of each table


def _counted(sides: Sides, item: str, names: list[str], weight: str | None) -> str | None:
    """Return the query of a plain join that joins counts; None where the item is no such join."""
    join = read_join(item)
    if join is None:
        return None
    schemas = [list(sides.tables.schema(sides.whole(f"SELECT * FROM {table.text}"))) for table in join.tables]
    keys = _join_columns(join, schemas)
    if keys is None or not _assign(join, schemas):
        return None
    wanted = [*names, *([weight] if weight is not None else [])]
    homes = _homes(wanted, schemas, keys)
    if homes is None:
        return None
    parts = []
    for place, (table, schema) in enumerate(zip(join.tables, schemas, strict=True)):
        own = {name.casefold() for name in names if homes[name] == place}
        joined = {name for step in keys for name in step}
        kept = [name for name in schema if name.casefold() in own | joined]
        has_weight = weight is not None and homes[weight] == place
        parts.append(_table_counts(table, kept, weight if has_weight else None, place))
    text = parts[0]
    for place in range(1, len(parts)):
        columns = ", ".join(quoted(name) for name in sorted(keys[place - 1]))
        text += f" JOIN {parts[place]} USING ({columns})"
    product = " * ".join(f"{quoted(f'{COUNT}{place}')}::HUGEINT" for place in range(len(parts)))
    figures = [f"sum({product}) AS {quoted(COUNT)}"]
    shown = [f"{quoted(name)} AS {quoted(name)}" for name in names]
    group = [quoted(name) for name in names]
    if weight is not None:
        others = [f"{quoted(f'{COUNT}{place}')}::DOUBLE" for place in range(len(parts)) if place != homes[weight]]
        total = " * ".join([quoted(f"{WEIGHT}0"), *others])
        figures.append(f"CASE WHEN count({quoted(f'{WEIGHT}0')}) > 0 THEN fsum({total}) END AS {quoted(WEIGHT)}")
        figures.append(f"min({quoted(f'{LEAST}0')}) AS {quoted(LEAST)}")
        group.append(f"({quoted(f'{WEIGHT}0')} IS NULL)")
    by = f" GROUP BY {', '.join(group)}" if group else ""
    return f"SELECT {', '.join([*shown, *figures])} FROM {text}{by} HAVING count(*) > 0"


def _table_counts(table: Joined, kept: list[str], weight: str | None, place: int) -> str:
    """Return one table, counted by some of its columns, as a FROM item."""
    keys = [quoted(name) for name in kept]
    figures = [f"count(*) AS {quoted(f'{COUNT}{place}')}"]
    group = list(keys)
    if weight is not None:
        w = _number(weight)
        figures.append(f"CASE WHEN count({w}) > 0 THEN fsum({w}) END AS {quoted(f'{WEIGHT}0')}")
        figures.append(f"min({w}) AS {quoted(f'{LEAST}0')}")
        group.append(f"({w} IS NULL)")
    where = f" WHERE {' AND '.join(f'({text})' for text in table.conditions)}" if table.conditions else ""
    by = f" GROUP BY {', '.join(group)}" if group else ""
    source = f"{table.text} AS {quoted(table.alias)}" if table.alias else table.text
    return f"(SELECT {', '.join([*keys, *figures])} FROM {source}{where}{by}) AS {quoted(f'{HIDDEN}t{place}')}"


def _join_columns(join: Join, schemas: list[list[str]]) -> list[set[str]] | None:
    """Return the columns that each table but the first is joined by, in lower case; None where there are none."""
    left = {name.casefold() for name in schemas[0]}
    found = []
    for table, schema in zip(join.tables[1:], schemas[1:], strict=True):
        right = {name.casefold() for name in schema}
        columns = left & right if table.using is None else {name.casefold() for name in table.using}
        if not columns or not columns <= left & right:
            return None
        found.append(columns)
        left |= right
    return found


def _homes(wanted: list[str], schemas: list[list[str]], keys: list[set[str]]) -> dict[str, int] | None:
    """Return the table that each column is taken from; None where two have it and it joins neither."""
    joined = set().union(*keys)
    found = {}
    for name in wanted:
        homes = [place for place, schema in enumerate(schemas) if name.casefold() in {k.casefold() for k in schema}]
        if not homes or (len(homes) > 1 and name.casefold() not in joined):
            return None
        if name.casefold() in joined and any(
            name.casefold() in {k.casefold() for k in schemas[place]} and name.casefold() not in keys[place - 1]
            for place in homes[1:]
        ):
            return None  # of that name in a table that is joined by others: which one is meant DuckDB has to say
        found[name] = homes[0]
    return found


def _assign(join: Join, schemas: list[list[str]]) -> bool:
    """Give each condition to the one table it is about; return whether all found theirs."""
    for condition in join.conditions:
        homes = _tables_of(condition, join, schemas)
        if homes is None or len(homes) > 1:
            return False
        join.tables[homes.pop() if homes else 0].conditions.append(join.text(condition))
    return True


def _tables_of(condition: list[Token], join: Join, schemas: list[list[str]]) -> set[int] | None:
    """Return the tables whose columns a condition names; None where that is not plain."""
    aliases = [table.alias.casefold() for table in join.tables]
    lower = [{name.casefold() for name in schema} for schema in schemas]
    found: set[int] = set()
    at = 0
    while at < len(condition):
        token = condition[at]
        after = condition[at + 1] if at + 1 < len(condition) else None
        if not token.is_name or (after is not None and after.is_mark("(")):
            at += 1
            continue
        if after is not None and after.is_mark("."):
            if aliases.count(token.name.casefold()) != 1:
                return None
            found.add(aliases.index(token.name.casefold()))
            at += 3
            continue
        homes = [place for place, names in enumerate(lower) if token.name.casefold() in names]
        if len(homes) > 1:
            return None
        found |= set(homes)  # a word that is no column: a type, `true`, the unit of an interval
        at += 1
    return found


# --------------------------------------------------------------------------------------------------------------- marks


def _marks(data: DiffData, table: pa.Table, rules: Rules, on: tuple[str, ...]) -> Marks:
    from workbench.anomaly.diff_marks import Marks, check_weights

    counts = as_float64(table.column(COUNT))
    missing = np.zeros(len(counts), bool)
    weights, metric = counts, None
    if rules.weight is not None:
        weights = as_float64(table.column(WEIGHT))
        missing = np.isnan(weights)
        least = as_float64(table.column(LEAST))
        check_weights(rules.weight, least[~missing])
    if rules.mean is not None:
        metric = as_float64(table.column(rules.mean))
        missing = missing | np.isnan(metric)
    named = [name for name in (rules.weight, rules.mean) if name is not None]
    left_out, total = int(counts[missing].sum()), int(counts.sum())
    if missing.any():
        table = table.filter(pa.array(~missing))
        counts, weights = counts[~missing], weights[~missing]
        metric = None if metric is None else metric[~missing]
    data._loaded |= {name: table.column(name) for name in table.column_names if not name.startswith(HIDDEN)}
    data.flags = np.asarray(table.column(FLAG).to_numpy(), dtype=bool)
    columns = [weighted_codes(name, table.column(name), counts) for name in on]
    notes = [remarks.left_out(left_out, total, named)] if left_out else []
    std = None if metric is None else np.zeros(len(metric))
    return Marks(
        columns, data.flags, weights=weights, metric=metric, std=std, whole=rules.weight is None, left_out=left_out,
        notes=notes,
    )  # fmt: skip


def weighted_codes(name: str, column: pa.ChunkedArray, counts: np.ndarray) -> Codes:
    """Return codes of values that stand for many rows each: ranges are of equal count in rows."""
    codes = encode_array(name, column)
    if codes.edges is None:
        return codes
    values = as_float64(column)
    known = ~np.isnan(values)
    order = np.argsort(values[known], kind="stable")
    ordered, ends = values[known][order], np.cumsum(counts[known][order])
    ranks = ranges.range_ranks(int(ends[-1]), ranges.BINS)
    edges = ranges.edges_at(ordered[np.searchsorted(ends, ranks, side="right")])
    return replace(encode_array(name, column, edges=edges), distinct=codes.distinct)
