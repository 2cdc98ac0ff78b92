"""A question on a table in parts: three additive rounds of tasks, score, collect and count.

Between the rounds only small things travel: window counts, the codes of outlier rows, candidates and their totals. All
of them add up, so the answer is the same for any division of the rows and any number of workers.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly import ranges, remarks
from workbench.anomaly.by_columns import range_note
from workbench.anomaly.dask_parts import Parts
from workbench.anomaly.dask_passes import PartPasses, thinned
from workbench.anomaly.marking import MEANS, Marked, nothing_beyond
from workbench.anomaly.part_counter import PartCounter
from workbench.anomaly.part_merge import joined, merged
from workbench.anomaly.part_reads import GatherPart, TimesPart
from workbench.anomaly.part_tasks import COUNTED, Collected, CollectPart, Column, LookAtPart, Looked, Marks
from workbench.anomaly.parted_files import PartedFiles
from workbench.engine.errors import warn

if TYPE_CHECKING:
    from workbench.anomaly.encode import Codes
    from workbench.anomaly.execution import Work
    from workbench.anomaly.results import Explanations
    from workbench.anomaly.scorers import Scored
    from workbench.engine.run import Run

__all__ = ["answer_in_tasks"]


def answer_in_tasks(work: Work, run: Run[Explanations] | None) -> Explanations:
    """Answer a question by tasks over the parts of its table."""
    return _Rounds(work, run).answer()


class _Rounds:
    """One question on the parts of a table."""

    def __init__(self, work: Work, run: Run[Explanations] | None) -> None:
        self.data, self.request, self.actuals = work.data, work.request, work.actuals
        self.work, self.run = work, run
        # Workers keep what they read of files for the next question; what makes a Dask frame may give other rows then.
        content = self.data.key() if isinstance(self.data, PartedFiles) else None
        self.token = content or uuid.uuid4().hex
        self.parts = Parts(self.data.partitions(), run, content)
        self.notes = list(self.request.notes)
        #: what only one part needs for its marks: its own model, or packed bits and their number
        self.given: list[Any] | None = None
        self.marks = Marks()
        self.scored: Scored | None = None
        self.passes: PartPasses | None = None
        self.lengths: list[int] = []
        self.used: list[int] = []

    # ------------------------------------------------------------------------------------------------------ the rounds

    def answer(self) -> Explanations:
        """Do the rounds, and search between them."""
        from workbench.anomaly.execution import Question, explain_marked

        request, actuals = self.request, self.actuals
        looked = self._look()
        columns = self._columns(looked)
        if request.cube is not None or request.compare in MEANS:
            return self._here(columns)
        with actuals.step("Score"):
            self._mark(looked)
        collected = self.parts.all(CollectPart(self.token, self.marks, columns), "collect", self.given)
        self.lengths, self.used = [part.rows for part in collected], [part.used for part in collected]
        for message, hint in dict.fromkeys(told for part in collected for told in part.warnings):
            warn(message, hint)
        codes, counter = self._merged(columns, collected)
        outliers = sum(part.outliers for part in collected)
        self._say_after(collected, outliers)
        actuals.set("Read", rows=float(sum(self.lengths)))
        made = len(columns) * len(collected)
        hits = sum(part.hits for part in collected) / made if made else None
        actuals.set("Encode", rows=float(counter.N), cache_hits=hits)
        actuals.set("Score", rows=float(counter.N))
        actuals.set("Label", rows=float(counter.N), ms=self.parts.ms("collect"))
        actuals.set("Collect", rows=float(outliers))
        question = Question(self.data, request, actuals, self.work.plan, None, self.notes)
        question.extra = self._fields()
        found = explain_marked(
            codes, np.ones(outliers, bool), data=self.data, request=request, run=self.run, actuals=actuals,
            counter=counter, question=question,
        )  # fmt: skip
        return found

    def _look(self) -> list[Looked]:
        """Look at the parts for the first time: rows, metrics, numbers that may become ranges, labels."""
        import pyarrow as pa

        from workbench.anomaly.data import plain

        request, schema = self.request, self.data.schema
        numbers = tuple(
            name for name, bins in request.by if bins is not None or pa.types.is_floating(plain(schema[name]))
        )
        label = request.labels if isinstance(request.labels, str) else None
        metrics = request.metrics if self._is_scored else ()
        if not (numbers or label or metrics):
            return []  # a condition on each row by itself needs no first look
        with self.actuals.step("Read"):
            looked = self.parts.all(LookAtPart(self.token, metrics, numbers, label), "read")
        self.lengths = [part.rows for part in looked]
        return looked

    @property
    def _is_scored(self) -> bool:
        return self.request.where is None and self.request.labels is None and self.request.cube is None

    def _columns(self, looked: Sequence[Looked]) -> tuple[Column, ...]:
        """Fix the edges of the columns that become ranges."""
        columns = []
        for name, bins in self.request.by:
            edges: np.ndarray | None = None
            if looked and name in looked[0].numbers:
                found = [part.numbers[name] for part in looked]
                facts = found[0][0]
                for other, _, _ in found[1:]:
                    facts = facts.merge(other)
                if bins is not None or facts.ranged:
                    edges = self._edges(name, bins or ranges.BINS, [each[1] for each in found])
                if edges is not None and bins is None:
                    self.notes.append(self._range_note(name, [each[2] for each in found], len(edges) - 1))
            columns.append(Column(name, edges))
        return tuple(columns)

    def _edges(self, name: str, bins: int, surveys: Sequence[Any]) -> np.ndarray:
        import pyarrow as pa

        from workbench.anomaly.data import plain
        from workbench.anomaly.passes import Identity

        passes = PartPasses(self.parts, self.token, (name,), thinned(surveys))
        ranks = ranges.range_ranks(passes.n, bins)
        values = np.array(passes.order(Identity(), ranks) if ranks else [], np.float64)
        if pa.types.is_integer(plain(self.data.schema[name])):
            values = values.astype(np.int64)
        return ranges.edges_at(values)

    def _range_note(self, name: str, parts: Sequence[np.ndarray | None], bins: int) -> str:
        whole = [part for part in parts if part is not None]
        if len(whole) < len(parts):
            text = range_note(name, COUNTED, bins)
            return text.replace(f"{COUNTED:,} different", f"more than {COUNTED:,} different")
        return range_note(name, len(np.unique(np.concatenate(whole))), bins)

    # ----------------------------------------------------------------------------------------------------- round one

    def _mark(self, looked: Sequence[Looked]) -> None:
        """Fix how rows are marked."""
        request = self.request
        if request.where is not None:
            self._mark_where(request.where)
        elif isinstance(request.labels, str):
            self._mark_column(request.labels, looked)
        elif request.labels is not None:
            self._give(self._label_marks(request.labels))
        else:
            self._score(looked)

    def _score(self, looked: Sequence[Looked]) -> None:
        from workbench.anomaly.score import fit

        request = self.request
        surveys = thinned([part.metric for part in looked if part.metric is not None])
        passes = self.passes = PartPasses(self.parts, self.token, request.metrics, surveys)
        left = sum(self.lengths) - passes.n
        if left:
            self.notes.append(remarks.left_out(left, sum(self.lengths), request.metrics))
        self.marks = Marks(request.metrics)
        if not passes.n:
            empty = remarks.no_rows(self.data.name) if not left else remarks.no_metric(request.metrics)
            self.notes.append(empty)
            self._give(np.zeros(sum(self.lengths), bool))
            return
        score: Any = request.score
        time = self._times(score.time) if hasattr(score, "period") else None
        scored = self.scored = fit(
            passes, score=score, top=request.top, tail=request.tail,  # type: ignore[arg-type]
            threshold=request.threshold, seed=request.seed, metrics=request.metrics, time=time,
        )  # fmt: skip
        self.notes += scored.notes
        ends = np.cumsum([0, *(survey.rows for survey in surveys)]).tolist()
        models = [scored.model.part(begin, end) for begin, end in pairwise(ends)]
        if any(model is not scored.model for model in models):
            self.given = models
        else:
            self.marks = replace(self.marks, model=scored.model)

    def _times(self, name: str) -> Any:
        """Return the times of the rows with a metric."""
        import pyarrow as pa

        return pa.chunked_array(self.parts.all(TimesPart(self.token, self.request.metrics, name), "score"))

    def _mark_where(self, condition: str) -> None:
        from workbench.anomaly.predicate import checked_columns

        named = checked_columns(self.data, condition) or list(self.data.schema)[:1]
        if row_by_row(condition):
            self.marks = Marks(where=(condition, tuple(named), self.data.name))
        else:  # it looks at other rows: answered on all of them at once
            self._give(self._gathered(named).where(condition))

    def _mark_column(self, name: str, looked: Sequence[Looked]) -> None:
        import pyarrow as pa

        from workbench.anomaly.labels import marks_of_array

        present = [part.labels for part in looked if part.labels is not None and len(part.labels)]
        values = pa.chunked_array(present).unique() if present else pa.array([], self.data.schema[name])
        self.marks = Marks(label=(name, values.filter(pa.array(marks_of_array(values)))))

    def _label_marks(self, labels: Any) -> np.ndarray:
        from workbench.anomaly.labels import marks_of

        self._count_rows()

        class Rows:
            n_rows = sum(self.lengths)

        return marks_of(Rows(), labels)  # type: ignore[arg-type]

    def _count_rows(self) -> None:
        if not self.lengths:
            self.lengths = [
                part.rows for part in self.parts.all(LookAtPart(self.token, first=next(iter(self.data.schema))), "read")
            ]

    def _give(self, flags: np.ndarray) -> None:
        """Send each part the marks of its own rows."""
        self._count_rows()
        pieces = np.split(np.asarray(flags, dtype=bool), np.cumsum(self.lengths)[:-1])
        self.given = [(np.packbits(piece), len(piece)) for piece in pieces]

    # ----------------------------------------------------------------------------------------------------- round two

    def _merged(self, columns: Sequence[Column], collected: Sequence[Collected]) -> tuple[list[Codes], PartCounter]:
        """Put the parts' outliers under one dictionary a column, and add up their totals."""
        codes, totals, dependencies = merged(columns, collected)
        counter = PartCounter(
            self.parts, self.token, self.marks, tuple(columns), codes, totals, sum(part.used for part in collected),
            dependencies, self.request,
        )  # fmt: skip
        return codes, counter

    def _say_after(self, collected: Sequence[Collected], outliers: int) -> None:
        if outliers or not sum(part.used for part in collected):
            if not sum(part.rows for part in collected) and not self._is_scored:
                self.notes.append(remarks.no_rows(self.data.name))
            return
        request = self.request
        if request.where is not None:
            self.notes.append(remarks.no_row_satisfies(request.where, self._extreme(request.where)))
        elif request.labels is not None:
            self.notes.append(remarks.NO_LABEL)
        elif self.scored is not None and self.passes is not None:
            self.notes.append(nothing_beyond(request, self.passes, self.scored))

    def _extreme(self, condition: str) -> str:
        from workbench.anomaly.marking import extreme_text, simple_comparison

        compared = simple_comparison(condition)
        if compared is None or compared[0] not in self.data.schema:
            return ""
        column, largest = compared
        try:
            looked = self.parts.all(LookAtPart(self.token, (column,)), "collect")
        except Exception:  # text compared with a number: there is no largest one
            return ""
        passes = PartPasses(self.parts, self.token, (column,), thinned([part.metric for part in looked if part.metric]))
        if not passes.n:
            return extreme_text(column, largest, None)
        from workbench.anomaly.passes import Identity

        return extreme_text(column, largest, passes.order(Identity(), [passes.n - 1 if largest else 0])[0])

    # ----------------------------------------------------------------------------------------------------- all at once

    def _gathered(self, names: Sequence[str]) -> Any:
        """Return some columns of all parts as one table in this process."""
        import pyarrow as pa

        from workbench.anomaly.frames import read

        found = self.parts.all(GatherPart(self.token, (), tuple(names)), "gather")
        return read(pa.concat_tables([table for _, table in found], promote_options="permissive"), name=self.data.name)

    def _here(self, columns: tuple[Column, ...]) -> Explanations:
        """Search in this process: means and cubes need more than counts of each part, so all rows' codes come here."""
        import pyarrow as pa

        from workbench.anomaly.execution import Question, explain_marked
        from workbench.anomaly.frames import read
        from workbench.anomaly.marking import chosen, columns_read, mark

        request, actuals = self.request, self.actuals
        actuals.note("means and weights are summed in this process: codes of all rows come here")
        plain = tuple(columns_read(self.data, request)) or tuple(self.data.schema)[:1]
        gathered = self.parts.all(GatherPart(self.token, columns, plain), "gather")
        self.lengths = [table.num_rows for _, table in gathered]
        here = read(
            pa.concat_tables([table for _, table in gathered], promote_options="permissive"), name=self.data.name
        )
        marked = mark(here, request, actuals)
        codes = [
            replace(column, codes=chosen(column.codes, marked.used))
            for column in joined(columns, [part for part, _ in gathered])
        ]
        question = Question(self.data, request, actuals, self.work.plan, marked, [*self.notes, *marked.notes])
        question.extra = {"rerun": self.work.rerun, "flags": None, **self._rows(marked)}
        return explain_marked(
            codes, marked.flags, data=self.data, request=request, weights=marked.weights,
            outlier_weights=marked.outlier_weights, metric=marked.metric, std=marked.spread_of, run=self.run,
            actuals=actuals, question=question,
        )  # fmt: skip

    # -------------------------------------------------------------------------------------------------------- the rows

    def _fields(self) -> dict[str, Any]:
        """Return what the answer says beside what was found."""
        request = self.request
        fields: dict[str, Any] = {
            "n_left_out": sum(self.lengths) - sum(self.used),
            "cutoff": None if self.scored is None else self.scored.cutoff,
            "marked_by": request.where or ("" if request.labels is None else _labels_name(request.labels)),
            "rerun": self.work.rerun,
        }
        if len(request.metrics) > 1 and self._is_scored:
            fields["measured_name"] = "score"
        return fields | self._rows(None)

    def _rows(self, marked: Marked | None) -> dict[str, Any]:
        """Return how to get at the rows behind the answer: a Dask frame with their marks and scores."""
        from workbench.anomaly.part_rows import MarkedParts, Matching, PathRows

        rows = MarkedParts(
            self.data, self.parts.parts, self.marks, self.given, self.scored, self.passes, self.lengths, marked
        )
        fields: dict[str, Any] = {"marked": rows.frame}
        if isinstance(self.data, PartedFiles):
            # A condition on files is SQL text, as it is for those that one process reads.
            fields |= {"access": PathRows(rows), "rows": self.data.files}
        else:
            left = sum(self.lengths) > sum(self.used) if marked is None else marked.n_left_out > 0
            fields["native"] = Matching(self.data.source, self.request.metrics if left else ())
        return fields


def _labels_name(labels: Any) -> str:
    return f"labels {labels}" if isinstance(labels, str) else "labels"


def row_by_row(condition: str) -> bool:
    """Return whether a condition looks at each row by itself: no window, aggregate or subquery."""
    import sqlglot
    from sqlglot import expressions as nodes

    try:
        tree = sqlglot.parse_one(condition, dialect="duckdb")
    except sqlglot.errors.SqlglotError:
        return False
    return tree.find(nodes.Window, nodes.AggFunc, nodes.Query, nodes.Subquery) is None
