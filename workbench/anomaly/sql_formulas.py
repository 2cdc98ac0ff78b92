"""What scoring functions are in DuckDB's SQL: the definitions of MAD, z-score, percentile and normalisation.

Each takes the subquery that holds all rows, the column of float64 in it (null where there is no number), and a name of
its own; it gives further subqueries and the expression of the score. Centres and scales come from the finite values.
"""

from __future__ import annotations

from workbench.anomaly.sql_tokens import quoted, text_literal

__all__ = ["FORMULAS", "TEXT_ERROR", "as_number"]

#: what DuckDB's error begins with where a scored column is text
TEXT_ERROR = "workbench: text: "


def as_number(argument: str) -> str:
    """Return the expression of an argument as float64: null where there is no number, an error for text."""
    text = text_literal(f'{TEXT_ERROR}"{argument.strip(chr(34))}" is text; a metric must be a number.')
    return (
        f"CASE WHEN typeof({argument}\n) IN ('VARCHAR', 'BOOLEAN', 'BLOB') OR typeof({argument}\n) LIKE 'ENUM%' "
        f"THEN error({text}) WHEN isnan(({argument}\n)::DOUBLE) THEN NULL ELSE ({argument}\n)::DOUBLE END"
    )


def _percentile(rows: str, x: str, own: str) -> tuple[list[str], str]:
    rank = f"rank() OVER (ORDER BY {x} NULLS LAST)"
    return [], f"CASE WHEN {x} IS NOT NULL THEN {rank} / (SELECT count({x}) FROM {rows}) END"


def _normalize(rows: str, x: str, own: str) -> tuple[list[str], str]:
    m = quoted(own)
    cte = (
        f"{m} AS MATERIALIZED (SELECT max({x}) AS high, CASE WHEN min({x}) > 0 THEN 0 ELSE -min({x}) END AS off "
        f"FROM {rows} WHERE isfinite({x}))"
    )
    off, high = f"(SELECT off FROM {m})", f"(SELECT high FROM {m})"
    return [cte], (
        f"CASE WHEN {x} IS NULL OR isinf({x}) OR {high} IS NULL THEN {x} WHEN {high} + {off} = 0 THEN 0.0 "
        f"ELSE ({x} + {off}) / ({high} + {off}) END"
    )


def _zscore(rows: str, x: str, own: str) -> tuple[list[str], str]:
    m, s = quoted(own), quoted(f"{own}_s")
    center, scale = f"(SELECT center FROM {m})", f"(SELECT scale FROM {s})"
    ctes = [
        f"{m} AS MATERIALIZED (SELECT favg({x}) AS center FROM {rows} WHERE isfinite({x}))",
        f"{s} AS MATERIALIZED (SELECT sqrt(favg(({x} - {center}) * ({x} - {center}))) AS scale "
        f"FROM {rows} WHERE isfinite({x}))",
    ]
    return ctes, (
        f"CASE WHEN isinf({x}) THEN 'inf'::DOUBLE WHEN {scale} > 0 THEN abs({x} - {center}) / {scale} "
        f"WHEN {x} IS NOT NULL THEN 0.0 END"
    )


def _mad_score(rows: str, x: str, own: str) -> tuple[list[str], str]:
    m, d, r, t = quoted(own), quoted(f"{own}_d"), quoted(f"{own}_r"), quoted(f"{own}_t")
    center, mad = f"(SELECT center FROM {m})", f"(SELECT mad FROM {d})"
    scale, distance = f"(SELECT scale FROM {t})", f"abs({x} - {center})"
    ctes = [
        f"{m} AS MATERIALIZED (SELECT median({x}) AS center, count(*) AS n FROM {rows} WHERE isfinite({x}))",
        f"{d} AS MATERIALIZED (SELECT median(abs({x} - {center})) AS mad FROM {rows} WHERE isfinite({x}))",
        # Only where MAD is 0: the mean distance of the middle 90 %.
        f"{r} AS MATERIALIZED (SELECT {distance} AS r, row_number() OVER (ORDER BY {distance}) - 1 AS i "
        f"FROM {rows} WHERE isfinite({x}) AND {mad} = 0)",
        f"{t} AS MATERIALIZED (SELECT CASE WHEN {mad} > 0 THEN {mad} ELSE (SELECT favg(r) FROM {r} "
        f"WHERE i >= floor(0.05 * (SELECT n FROM {m})) AND i < floor(0.95 * (SELECT n FROM {m}))) END AS scale)",
    ]
    return ctes, (
        f"CASE WHEN isinf({x}) THEN 'inf'::DOUBLE WHEN {scale} > 0 THEN abs({x} - {center}) / {scale} "
        f"WHEN {x} = {center} THEN 0.0 WHEN {x} IS NOT NULL THEN 'inf'::DOUBLE END"
    )


FORMULAS = {"PERCENTILE": _percentile, "NORMALIZE": _normalize, "ZSCORE": _zscore, "MAD_SCORE": _mad_score}
