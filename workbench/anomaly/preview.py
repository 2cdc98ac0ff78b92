"""A first answer for large tables: that of a sample, which stands until the exact one is there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.anomaly.execution import Work
    from workbench.anomaly.results import Explanations
    from workbench.engine.run import Run

__all__ = ["publish_preview"]

#: tables of more rows than this are previewed, by one row of so many
FROM, EACH = 20_000_000, 100


def publish_preview(work: Work, run: Run[Explanations]) -> None:
    """Answer the question for a sample, and publish that as the run's partial result.

    The rows are spread evenly, whatever their order; figures and intervals are those of the sample. Nothing is
    published for tables that are answered soon enough as they are.
    """
    data, request = work.data, work.request
    n = data.n_rows
    if n <= FROM:
        return
    import pyarrow as pa

    from workbench.anomaly.execution import Work
    from workbench.anomaly.frames import read
    from workbench.anomaly.labels import marks_of
    from workbench.anomaly.marking import columns_read
    from workbench.anomaly.results import Explanations
    from workbench.anomaly.selection import survey_rows

    run.update(stage="preview")
    rows = survey_rows(n, n // EACH)
    places, names = pa.array(rows), dict.fromkeys([name for name, _ in request.by] + columns_read(data, request))
    table = pa.table({name: data.column(name).take(places) for name in names})
    labels: Any = request.labels
    if labels is not None and not isinstance(labels, str):
        labels = marks_of(data, labels)[rows]
    asked = replace(request, labels=labels, notes=())
    share = f"{len(rows):,} of {n:,} rows ({100 / EACH:g} %)"
    note = f"preview: {share}, with the intervals of that sample; the exact answer follows"
    answer = replace(Work(read(table, name=data.name), asked).compute()._answer, partial=True, rerun=None)
    answer.notes = (note, *answer.notes)
    run.publish(lambda: Explanations(answer))
