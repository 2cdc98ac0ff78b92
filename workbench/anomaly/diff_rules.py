"""What a DIFF asks for, checked, and the columns that it explains with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from workbench.anomaly import checks
from workbench.anomaly.by_columns import check_plain, chosen_by
from workbench.anomaly.data import is_number, kind_name
from workbench.anomaly.diff_source import DiffData, Sides, condition_columns
from workbench.engine.errors import WorkbenchError

__all__ = ["MEANS", "Rules", "chosen_columns"]

#: compare metrics of means
MEANS = ("mean_shift", "mean_deviation")


@dataclass(frozen=True)
class Rules:
    """What a DIFF asks for.

    Attributes
    ----------
    on : tuple of str, or None for `*`
    min_ratio, min_support : float
    max_combo : int
    compare : str
    weight : str, optional
        The column of SUM.
    mean : str, optional
        The column of AVG.
    spec : dict
        The call, for `.spec`.
    notes : tuple of str
        What was decided for the reader.
    """

    on: tuple[str, ...] | None
    min_ratio: float
    min_support: float
    max_combo: int
    compare: str
    weight: str | None = None
    mean: str | None = None
    spec: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def checked(self) -> Rules:
        """Return the rules; raise for a limit out of its range."""
        return replace(
            self,
            min_support=checks.check_support(self.min_support),
            min_ratio=checks.check_min_ratio(self.min_ratio, self.compare),
            max_combo=checks.check_count("max_combo", self.max_combo, "a number of columns", 1, 3),
        )


def chosen_columns(
    sides: Sides, rules: Rules, fail: Callable[[str, str, str], WorkbenchError] | None
) -> tuple[Rules, tuple[str, ...], list[str]]:
    """Return the rules with columns as the sides write them, the columns of ON, and notes."""

    def column(name: str) -> str:
        return sides.column(name, lambda m, h: fail(name, m, h) if fail else WorkbenchError(m, h))

    named = {part: column(name) for part in ("weight", "mean") if (name := getattr(rules, part)) is not None}
    rules = replace(rules, **named)  # type: ignore[arg-type]
    for name in named.values():
        for schema in sides.schemas:
            kind = next(kind for known, kind in schema.items() if known.casefold() == name.casefold())
            if not is_number(kind):
                raise WorkbenchError(
                    f'"{name}" is {kind_name(kind)}; a metric must be a number.', "Use it in --by instead."
                )
    if rules.on is not None:
        on = tuple(column(name) for name in rules.on)
        for schema in sides.schemas:
            for name in on:
                check_plain(name, next(kind for known, kind in schema.items() if known.casefold() == name.casefold()))
        return rules, on, []
    common = sides.common()
    if not common:
        raise WorkbenchError(
            "The two sides have no column in common.",
            f"Columns: {', '.join(sides.schemas[0])}; and {', '.join(sides.schemas[1])}",
        )
    texts = [sides.condition] if sides.condition is not None else list(sides.items)
    conditions = condition_columns(texts, common, where=sides.condition is None)
    data = _Common(sides, " and ".join(sides.names), list(common))
    by, notes = chosen_by(data, list(named.values()), conditions)
    differ = sides.differences()
    return rules, tuple(name for name, _ in by), [*([differ] if differ else []), *notes]


class _Common(DiffData):
    """The rows of a DIFF with the columns that both sides have."""

    def __init__(self, sides: Sides, name: str, columns: Sequence[str]) -> None:
        super().__init__(sides, name)
        self.columns = columns

    def _read_schema(self) -> list[tuple[str, Any]]:
        found = self.sides.tables.schema(self.sides.whole(self.sides.rows(self.columns)))
        return [(name, kind) for name, kind in found.items() if name in self.columns]
