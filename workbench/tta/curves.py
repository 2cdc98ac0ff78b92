"""Dense points as tables, and what is asked of many runs at once without making a run of each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from workbench.engine.errors import WorkbenchError
from workbench.tta import archive
from workbench.tta.clock import clock_seconds
from workbench.tta.crossings import crossing
from workbench.tta.record import POINT_COLUMNS, table

if TYPE_CHECKING:
    import pyarrow as pa
    from pandas import DataFrame

    from workbench.tta.reading import Attempt, Log
    from workbench.tta.store import Store

__all__ = ["board", "first_points", "points_frame"]


def points_frame(store: Store, chain: Sequence[Attempt], offsets: Sequence[int]) -> DataFrame:
    """Return the dense points of a run, in the order logged, as `run.points`."""
    import pandas as pd

    frames = []
    with store.reading() as connection:
        for attempt, offset in zip(chain, offsets, strict=True):
            if connection is not None:
                frames.append(_frame(archive.points_of(connection, store.path, attempt.num), offset))
    if not frames:
        return table({}, POINT_COLUMNS)
    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)


def _frame(points: pa.Table, offset: int) -> DataFrame:
    import pandas as pd

    names = points["metric"].combine_chunks()
    codes, known = names.indices.to_numpy(), names.dictionary.to_pylist()
    # taken from a column of the few names: a string per row would be the most costly part
    metric = pd.Series(known, dtype="str").take(codes).reset_index(drop=True)
    return pd.DataFrame(
        {
            "step": points["step"].to_numpy(),
            "metric": metric if len(codes) else pd.Series([], dtype="str"),
            "wall_s": (points["t_ns"].to_numpy() + offset) / 1e9,
            "value": points["v"].to_numpy(),
        }
    )


def board(store: Store, *, recipe: str | None = None, task: str | None = None, confirm: int = 1) -> DataFrame:
    """Return a row per run that has crossed its target, fastest first, from the crossings that were kept.

    Returns
    -------
    DataFrame
        `run, recipe str, seed Int64, attempt int64, state, metric str, threshold float64, confirm int64, step Int64,
        epoch, value, seconds, cost_usd, energy_j float64`. Equal times are in the order of their ids. Dense points and
        evaluations are not looked at, so 10,000 runs take well under 100 ms.
    """
    from workbench.tta import reading

    asked = [(column, value) for column, value in (("recipe.name", recipe), ("recipe.task", task)) if value is not None]
    more = "".join(f" AND {column} = ?" for column, _ in asked)
    values = tuple(value for _, value in asked)
    sql = f"""
        SELECT run.id, recipe.name, run.seed, ifnull(run.attempt, 1), run.state, crossing.metric, crossing.threshold,
            crossing.confirm, crossing.step, crossing.epoch, crossing.value, crossing.seconds, crossing.cost_usd,
            crossing.energy_j
        FROM crossing JOIN run ON run.num = crossing.run JOIN recipe ON recipe.id = run.recipe
        WHERE crossing.metric = recipe.metric AND crossing.threshold = recipe.target AND crossing.confirm = ?
            AND ifnull(run.rank, 0) = 0 AND {_PLAIN}{more}"""
    others = f"NOT ({_PLAIN}){more}"
    with store.reading() as connection:
        if connection is None:
            return table({}, _BOARD)
        rows = connection.execute(sql, (confirm, *values)).fetchall()
        chains = reading.chains(reading.attempts(connection, others, values))
        rows += _crossed(chains, reading.logs(connection, chains), confirm)
    rows.sort(key=lambda row: (row[11], row[0]))
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(_BOARD)
    return table({name: list(column) for name, column in zip(_BOARD, columns, strict=True)}, _BOARD)


def _crossed(chains: Sequence[Sequence[Attempt]], logs: Sequence[Log], confirm: int) -> Iterator[tuple[Any, ...]]:
    """Give the rows of runs whose crossing is told by their evaluations: of several attempts, or cut off."""
    for chain, log in zip(chains, logs, strict=True):
        last, facts = chain[-1], chain[-1].facts
        rows = [row for row in log.evals if row[3] == facts["metric"]]
        at = crossing([math.nan if row[4] is None else row[4] for row in rows], facts["target"], facts["goal"], confirm)
        if at is None:
            continue
        _, step, epoch, metric, value, _, _, _, energy = rows[at]
        seconds = float(clock_seconds(log.spans, [row[6] for row in rows], str(facts["clock"]))[at])
        rate = math.nan if last.price is None else last.price.rate
        yield (
            last.id, facts["name"], facts["seed"], facts["attempt"] or 1, last.state, metric, facts["target"], confirm,
            step, epoch, value, seconds, seconds / 3600 * rate, None if energy is None else energy / 1e3,
        )  # fmt: skip


def first_points(store: Store, metric: str, threshold: float, *, goal: str = "max") -> DataFrame:
    """Return for each run the first dense point that meets a threshold, for all runs at once.

    Parameters
    ----------
    store : Store
    metric : str
    threshold : float
    goal : {"max", "min"}

    Returns
    -------
    DataFrame
        `run str, step int64, wall_s, value float64`, in the order started; runs without one are not there. Attempts
        are runs of their own here.
    """
    if goal not in ("max", "min"):
        raise WorkbenchError(f'goal is "max" or "min", not {goal!r}.', 'Write goal="max" or goal="min".')
    found: dict[str, tuple[int, int, int, float]] = {}  # id -> seq, step, ns, value
    order: list[str] = []
    with store.reading() as connection:
        if connection is not None:
            ids = dict(connection.execute("SELECT num, id FROM run ORDER BY started_utc, num").fetchall())
            order = list(ids.values())
            sign = ">=" if goal == "max" else "<="
            # SQLite gives the other columns of the row that holds the least `seq`
            rows = connection.execute(
                f"SELECT run, min(seq), step, t_ns, v FROM point WHERE k = (SELECT k FROM metric WHERE name = ?) "
                f"AND v {sign} ? GROUP BY run",
                (metric, float(threshold)),
            )
            found = {ids[num]: (seq, step, t_ns, v) for num, seq, step, t_ns, v in rows}
            for num, file in connection.execute("SELECT run, file FROM archive").fetchall():
                first = archive.first_in(archive.folder(store.path) / file, metric, threshold, goal)
                if first is not None and (ids[num] not in found or first < found[ids[num]]):
                    found[ids[num]] = first
    runs = [run for run in order if run in found]
    return table(
        {
            "run": runs, "step": [found[run][1] for run in runs], "wall_s": [found[run][2] / 1e9 for run in runs],
            "value": [found[run][3] for run in runs],
        },
        {"run": "str", "step": "int64", "wall_s": "float64", "value": "float64"},
    )  # fmt: skip


_BOARD = {
    "run": "str",
    "recipe": "str",
    "seed": "Int64",
    "attempt": "int64",
    "state": "str",
    "metric": "str",
    "threshold": "float64",
    "confirm": "int64",
    "step": "Int64",
    "epoch": "float64",
    "value": "float64",
    "seconds": "float64",
    "cost_usd": "float64",
    "energy_j": "float64",
}
#: runs of one attempt that has ended: their kept crossings are all there is to say
_PLAIN = (
    "run.end_ns IS NOT NULL AND NOT ifnull(run.joined, 0) AND run.state NOT IN ('lost', 'running') "
    "AND NOT EXISTS (SELECT 1 FROM run AS next WHERE next.parent = run.id AND next.joined)"
)
