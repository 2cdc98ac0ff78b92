"""`%%outliers` and `%outliers`: which rows are wrong, and what they share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from workbench.engine.errors import WorkbenchError
from workbench.notebook.magics import sql
from workbench.notebook.magics.base import Call, MagicSpec, Option, Positional, number, whole

__all__ = ["COMPARES", "SCORES", "SPEC"]

EXAMPLE = """%%outliers flights --metric arr_delay --by carrier
SELECT * FROM flights WHERE month = 1"""
SCORES = ("mad", "mcd", "zscore", "rcov", "percentile", "seasonal")
#: those of `workbench.anomaly.compare`, which needs NumPy; a test holds them together
COMPARES = (
    "risk_ratio", "global_ratio", "prevalence_ratio", "prevalence_difference", "mean_shift", "mean_deviation",
)  # fmt: skip
_CUBE = ("count", "mean", "std", "quantiles")
_SEASON = ("time", "period", "phases")
_STREAM = ("window", "slide", "decay", "lateness", "follow")


def _share(name: str, text: str, default: float) -> Option:
    return Option(
        name, text, metavar="X", convert=number(), says="a number from 0 to 1", example=str(default), default=default
    )


OPTIONS = (
    Option("metric", "a numeric column; two or more go through robust covariance", kind="list", columns=True),
    Option("by", "columns that explain, name:10 for 10 ranges of a number, or *", kind="list", metavar="COLUMN",
           default="*", columns=True),
    Option("score", ", ".join(SCORES) + ", or a function of the notebook", default="mad", choices=lambda: SCORES),
    _share("top", "share of rows that are marked", 0.01),
    Option("tail", "both, high or low", default="both", choices=lambda: ("both", "high", "low")),
    _share("min-support", "least share of the outliers that carry a combination", 0.01),
    Option("min-ratio", "least value of the compare metric", metavar="X", convert=number(), says="a number",
           example="3", default=3.0),
    Option("max-combo", "most columns in one explanation", metavar="N", convert=whole, says="a whole number",
           example="3", default=3),
    Option("compare", ", ".join(COMPARES), metavar="NAME", default="risk_ratio", choices=lambda: COMPARES),
    Option("where", "a SQL condition that marks the outliers; in double quotes or up to the next option", kind="sql",
           metavar="SQL", says="a condition", example='"arr_delay > 180"', columns=True),
    Option("labels", "a column or variable that marks them: bool, 0 and 1, or -1 and 1", metavar="COLUMN",
           columns=True),
    Option("threshold", "mark the rows with a score above X, in place of --top", metavar="X", convert=number(),
           says="a number", example="5"),
    Option("all", "report also combinations of which a part is reported", kind="flag"),
    Option("max-candidates", "stop before an order with more candidates", metavar="N", convert=whole,
           says="a whole number", example="2000000", default=2_000_000),
    Option("seed", "of the sample that mcd is fitted to", metavar="N", convert=whole, says="a whole number",
           example="0", default=0),
    Option("time", "the time column, for --score seasonal, --window and --slide", metavar="COLUMN", columns=True),
    Option("period", "for --score seasonal: after how long it repeats", metavar="T", says="a time", example="7d"),
    Option("phases", "for --score seasonal: parts of the period", metavar="N", convert=whole, says="a whole number",
           example="24", default=24),
    Option("count", "each row stands for this many rows (a cube)", metavar="COLUMN", columns=True),
    Option("mean", "with --count: their mean", metavar="COLUMN", columns=True),
    Option("std", "with --count: their standard deviation", metavar="COLUMN", columns=True),
    Option("quantiles", "with --count: their quantiles, COLUMN=SHARE", kind="list", metavar="min=0, p50=0.5, max=1",
           columns=True),
    Option("window", "follow: the rows that count, such as 10m or 100000rows", metavar="T"),
    Option("slide", "follow: how often there is an answer, such as 1m", metavar="T"),
    Option("decay", "follow: share forgotten at each answer", metavar="X", convert=number(),
           says="a number from 0 to 1", example="0.01", default=0.0),
    Option("lateness", "follow: how late rows may come", metavar="T", default="0s"),
    Option("follow", "go on with what arrives until interrupted", kind="flag"),
)  # fmt: skip


def run(call: Call) -> Any:
    """Start the question: on a table, on the answer of the cell's SELECT, or on what arrives."""
    options = dict(call.options)
    streams = {name: options.pop(name) for name in _STREAM}
    if any(streams[option.key] != option.initial for option in OPTIONS if option.name in _STREAM):
        return _follow(call, options, streams)
    from workbench.anomaly import api

    data, name = _table(call)
    metric, by = _metric(options), _columns(options.pop("by"), data.schema)
    options["score"] = _score(call, options)
    options["labels"] = _labels(call, options["labels"], data.schema)
    options["minimal"] = not options.pop("all")
    return api.start_outliers(data, metric, by, name=name, **options)


def _table(call: Call) -> tuple[Any, str | None]:
    """Return the table, read, and what messages call it."""
    from workbench.anomaly import frames

    title = call.arguments[0] if call.arguments else None
    name = title.value if title is not None and isinstance(title.value, str) else None
    if call.has_body:
        from workbench.anomaly.query import selected

        bound = sql.bind(call.body, call.scope)
        return selected(bound.text, bound.tables, name=name), name
    if title is None:
        raise WorkbenchError(
            f"{call.spec.title} needs a TABLE: {call.spec.positionals[0].says}.", f"Example: {call.spec.first_line}"
        )
    if title.referred:
        return frames.read(title.value), None
    return frames.read_text(title.value, call.scope.flat), name


def _metric(options: dict[str, Any]) -> Any:
    """Return one name, several, or the cube that `--count` describes."""
    metric, cube = options.pop("metric"), {name: options.pop(name) for name in _CUBE}
    if cube["count"] is None:
        extra = next((name for name in _CUBE if cube[name] is not None), None)
        if extra is not None:
            raise WorkbenchError(
                f"--{extra} describes the rows of a cube.", "Give --count too: how many rows each stands for."
            )
        return metric[0] if metric is not None and len(metric) == 1 else metric
    if metric is not None:
        raise WorkbenchError("Both --metric and --count name what is measured.", "Give one.")
    from workbench.anomaly.cube import Cube

    if cube["quantiles"] is not None:
        cube["quantiles"] = dict(_quantile(item) for item in cube["quantiles"])
    return Cube(**cube)


def _quantile(item: Any) -> tuple[float, str]:
    name, _, share = str(item).rpartition("=")
    try:
        return float(share), name
    except ValueError:
        raise WorkbenchError(
            f'--quantiles is a list of COLUMN=SHARE; got "{item}".', "Example: --quantiles min=0, p50=0.5, max=1"
        ) from None


def _columns(by: Any, known: Iterable[str]) -> Any:
    """Return the columns; `distance:10` means ten ranges, unless a column has that name."""
    if by in ("*", ["*"]):
        return "*"
    names = set(known)
    items: list[Any] = []
    for item in by:
        found = re.fullmatch(r"(.+):(\d+)", item, re.DOTALL) if isinstance(item, str) and item not in names else None
        items.append((found[1], int(found[2])) if found else item)
    return items


def _score(call: Call, options: dict[str, Any]) -> Any:
    """Return a known score's name, the notebook's function of that name, or the seasonal model."""
    score, season = options["score"], {name: options.pop(name) for name in _SEASON}
    if score == "seasonal":
        missing = [f"--{name}" for name in ("time", "period") if season[name] is None]
        if missing:
            raise WorkbenchError(
                f"--score seasonal needs {' and '.join(missing)}.", "Example: --score seasonal --time ts --period 7d"
            )
        from workbench.anomaly.seasonal import Seasonal

        return Seasonal(**season)
    if isinstance(score, str) and score not in SCORES and score in call.scope and callable(call.scope.lookup(score)):
        return call.scope.lookup(score)
    return score


def _labels(call: Call, labels: Any, known: Iterable[str]) -> Any:
    """Return the labels: a column by its name, else the variable of that name."""
    if isinstance(labels, str) and labels not in set(known) and labels in call.scope:
        return call.scope.lookup(labels)
    return labels


def _follow(call: Call, options: dict[str, Any], streams: dict[str, Any]) -> Any:
    from workbench.anomaly import stream

    if call.has_body or not call.arguments:
        raise WorkbenchError(
            f"{call.spec.title} follows a SOURCE: an iterable of tables, or a folder that receives files.",
            "Example: %%outliers feed --metric latency --by host, route --time ts --window 10m --slide 1m --follow",
        )
    title = call.arguments[0]
    source, name = title.value, None if title.referred else str(title.value)
    if name is not None and name in call.scope:
        source = call.scope.lookup(name)
    given = {option.key for option in OPTIONS if options.get(option.key, option.initial) != option.initial}
    known = ("score", "top", "tail", "where", "min_support", "min_ratio", "max_combo", "compare", "seed", "time")
    other = sorted(given - {"metric", "by", *known})
    if other:
        raise WorkbenchError(
            f"--{other[0].replace('_', '-')} does not go with --follow, --window, --slide or --decay.", "Leave it out."
        )
    asked = {key: options[key] for key in known}
    metric, by = _metric({**dict.fromkeys(_CUBE), **options}), _columns(options["by"], ())
    return stream.start_follow(source, name=name, metric=metric, by=by, **asked, **streams)


SPEC = MagicSpec(
    name="outliers",
    summary="Find the rows that are wrong, and say what they share.",
    call=run,
    example=EXAMPLE,
    positionals=(
        Positional(
            "TABLE", "a variable, a path, or a SELECT in the cell",
            "a variable or a path to Parquet or CSV; with a SELECT in the cell only its title", required=False,
        ),
    ),
    options=OPTIONS,
    body="optional",
    kinds=("line", "cell"),
)  # fmt: skip
