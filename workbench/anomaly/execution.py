"""A question at work: rows are marked, columns encoded, combinations searched and ranked; in process or in tasks."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly import remarks
from workbench.anomaly.answer import Answer
from workbench.anomaly.marking import Marked, chosen, mark
from workbench.anomaly.plan import Actuals, filled, in_tasks, planned
from workbench.anomaly.preview import publish_preview
from workbench.engine.run import RunCancelled

if TYPE_CHECKING:
    from workbench.anomaly.conditions import Conditions
    from workbench.anomaly.explain import Counter, Found
    from workbench.anomaly.frames import Codes, Data
    from workbench.anomaly.language import Request
    from workbench.anomaly.results import Explanations
    from workbench.engine.plan import Plan
    from workbench.engine.run import Run

__all__ = ["Question", "Work", "answer", "explain_marked"]


@dataclass(eq=False)
class Question:
    """What a search is about, beside codes and flags: enough to make an `Explanations` of whatever was found."""

    data: Data
    request: Request
    actuals: Actuals
    plan: Plan | None = None
    marked: Marked | None = None
    notes: list[str] = field(default_factory=list)
    #: of what stands in `Answer`, in place of what is taken from `marked`
    extra: dict[str, Any] = field(default_factory=dict)

    def explanations(self, columns: Sequence[Codes], found: Found, *, stopped: bool = False) -> Explanations:
        """Return what was found as a result."""
        from workbench.anomaly.ranking import rank
        from workbench.anomaly.results import Explanations

        request, actuals = self.request, self.actuals
        with actuals.step("Rank"):
            order = rank(found, columns)
        notes = [*self.notes, *self._after(columns, found, stopped)]
        actuals.set("Count", rows=float(sum(found.candidates)))
        actuals.set("Rank", rows=float(len(order)))
        plan = self.plan if self.plan is not None else planned(self.data, request)
        fields: dict[str, Any] = {
            "n_rows": found.N, "n_outliers": found.O, "rows": self.data, "spec": request.spec(), "name": self.data.name,
            "metric": metric_of(request),
        }  # fmt: skip
        if self.marked is not None:
            fields |= fields_of(self.marked)
        fields |= self.extra
        if isinstance(fields.get("since"), int):
            fields["since"] = np.full(len(found.answers), fields["since"], np.int64)
        made = Answer(
            columns=tuple(columns), found=found, order=order, compare=request.compare, notes=tuple(notes),
            plan=filled(plan, actuals), seconds=actuals.seconds, partial=stopped, **fields,
        )  # fmt: skip
        access: Any = made.access
        if hasattr(access, "bind"):
            access.bind(made)
        return Explanations(made)

    def _after(self, columns: Sequence[Codes], found: Found, stopped: bool) -> list[str]:
        """Return the notes that only a finished search can give."""
        request, notes = self.request, []
        if found.O and request.compare != "mean_deviation":
            share = remarks.marked_share(found.O, found.N, request.compare)
            notes += [share] if share else []
        if found.stopped:
            notes.append(found.stopped)
        if found.O and not len(found.answers.o) and not stopped:
            best = None
            if found.closest is not None:
                near = found.closest
                pairs = zip(near.columns[0].tolist(), near.codes[0].tolist(), strict=True)
                conditions = tuple((columns[p].name, columns[p].python(c)) for p, c in pairs if p >= 0)
                best = conditions, float(near.value[0]), float(near.support[0])
            notes.append(remarks.closest(request.compare, (request.min_ratio, request.min_support), best))
        if stopped:
            notes.append(remarks.stopped_after(found.finished))
        return notes


def explain_marked(
    columns: Sequence[Codes],
    flags: np.ndarray,
    *,
    data: Data,
    request: Request,
    weights: np.ndarray | None = None,
    outlier_weights: np.ndarray | None = None,
    metric: np.ndarray | None = None,
    std: np.ndarray | None = None,
    notes: Sequence[str] = (),
    run: Run[Any] | None = None,
    actuals: Actuals | None = None,
    plan: Plan | None = None,
    marked: Marked | None = None,
    counter: Counter | None = None,
    question: Question | None = None,
    **fields: Any,
) -> Explanations:
    """Search what marked rows share.

    Parameters
    ----------
    columns : sequence of Codes
        The encoded `by` columns, one code a row.
    flags : bool (n,)
        Which rows are outliers.
    data : Data
        Where rows behind an explanation come from.
    request : Request
        Its rules: compare metric, thresholds, bounds; and its `spec()`.
    weights, outlier_weights : float64 (n,), optional
        Of rows that stand for many.
    metric : float64 (n,), optional
        For `mean_shift` and `mean_deviation`.
    std : float64 (n,), optional
        Of rows that stand for many: standard deviation of the metric within each.
    notes : sequence of str
        What is to be said before what the search says.
    run : Run, optional
        Told of each order that is finished; its cancelling ends the search with the orders that are.
    **fields
        Fields of `Answer`, such as `flags`, `scores`, `rerun`, `sql_table`.

    Returns
    -------
    Explanations
    """
    from workbench.anomaly import loading
    from workbench.anomaly.explain import Rules, search

    actuals = actuals if actuals is not None else Actuals()
    question = question or Question(data, request, actuals, plan, marked, list(notes), fields)
    rules = Rules(
        request.compare, request.min_support, request.min_ratio, request.max_combo, request.minimal,
        request.max_candidates,
    )  # fmt: skip
    last: list[Found] = []

    def progress(order: int, found: Found) -> None:
        last[:] = [found]
        if run is not None:
            run.update(stage=f"{order}-column", done=order, total=request.max_combo, unit="orders")
            run.publish(lambda: question.explanations(columns, found, stopped=run.cancelled.is_set()))

    with actuals.step("Count"):
        try:
            found = search(
                [column.codes for column in columns], [column.card for column in columns], flags, rules,
                weights=weights, outlier_weights=outlier_weights, metric=metric, std=std, counter=counter,
                progress=progress, check=None if run is None else run.check,
            )  # fmt: skip
        except RunCancelled:
            if not last:
                raise
            found = last[0]
    actuals.note("counted by NumPy" if loading.kernels(0) is None else "counted by compiled kernels")
    return question.explanations(columns, found, stopped=run is not None and run.cancelled.is_set())


def answer(data: Data, request: Request, run: Run[Explanations] | None = None) -> Explanations:
    """Answer a question about data of any kind.

    Parameters
    ----------
    data : Data
    request : Request
    run : Run, optional
        Told how far the work is, and looked at for cancelling.
    """
    return Work(data, request)(run)


class Work:
    """What `Run.start` runs for a question.

    Parameters
    ----------
    data : Data
    request : Request
    """

    def __init__(self, data: Data, request: Request) -> None:
        self.data, self.request = data, request
        self.actuals = Actuals()
        self.plan: Plan | None = None

    def __call__(self, run: Run[Explanations] | None = None) -> Explanations:
        """Do the work, or find that it has been done; the value of the run."""
        from workbench.anomaly import kept_answers

        key = kept_answers.answer_key(self.data, self.request)
        if key is not None and (known := kept_answers.load(key, self)) is not None:
            return known
        result = self.compute(run)
        if key is not None and not result.partial and self.actuals.seconds >= kept_answers.WORTH:
            kept_answers.save(key, result, self.request)
        return result

    def compute(self, run: Run[Explanations] | None = None) -> Explanations:
        """Do the work, whether or not it has been done before."""
        self.plan = planned(self.data, self.request, tasks=self.tasks)
        if self.tasks:
            from workbench.anomaly.dask_rounds import answer_in_tasks

            return answer_in_tasks(self, run)
        return self._here(run)

    @property
    def tasks(self) -> bool:
        """Whether the rows are read in tasks of the session."""
        return in_tasks(self.data)

    def _here(self, run: Run[Explanations] | None) -> Explanations:
        data, request, actuals = self.data, self.request, self.actuals
        if run is not None:
            publish_preview(self, run)
        _stage(run, "score")
        marked = mark(data, request, actuals)
        actuals.set("Read", rows=float(data.n_rows))
        actuals.set("Collect", rows=float(np.count_nonzero(marked.flags)))
        _stage(run, "encode")
        columns = self._encoded(marked, run)
        question = Question(data, request, actuals, self.plan, marked, [*request.notes, *marked.notes])
        question.extra["rerun"] = self.rerun
        return explain_marked(
            columns, marked.flags, data=data, request=request, weights=marked.weights,
            outlier_weights=marked.outlier_weights, metric=marked.metric, std=marked.spread_of, run=run,
            actuals=actuals, question=question,
        )  # fmt: skip

    def _encoded(self, marked: Marked, run: Run[Any] | None) -> list[Codes]:
        from dataclasses import replace

        from workbench.anomaly.frames import encode

        columns, hits, total = [], 0, len(self.request.by)
        with self.actuals.step("Encode", rows=float(len(marked.flags))):
            for number, (name, bins) in enumerate(self.request.by):
                if run is not None:
                    run.check()
                    run.update(done=number, total=total, unit="columns")
                column = encode(self.data, name, bins)
                hits += _was_kept(column.codes)
                if marked.used is not None:
                    column = replace(column, codes=chosen(column.codes, marked.used))
                columns.append(column)
        size = float(sum(column.codes.nbytes for column in columns))
        self.actuals.set("Encode", bytes=size, cache_hits=hits / total if total else None)
        return columns

    def rerun(self, conditions: Conditions, keep: bool, changes: dict[str, Any]) -> Explanations:
        """Ask again on the rows that match, or on the others."""
        from workbench.anomaly.subset import part_of, request_on

        part, rows = part_of(self.data, conditions, keep)
        return answer(part, request_on(self.request, self.data, part, rows, changes))


#: codes that questions of this process have used before: those that are met again were kept, not made
_met: dict[int, weakref.ref[np.ndarray]] = {}


def _was_kept(codes: np.ndarray) -> bool:
    number = id(codes)
    found = _met.get(number)
    if found is not None and found() is codes:
        return True
    _met[number] = weakref.ref(codes, lambda _: _met.pop(number, None))
    return False


def _stage(run: Run[Any] | None, stage: str) -> None:
    if run is not None:
        run.check()
        run.update(stage=stage)


def metric_of(request: Request) -> str | tuple[str, ...] | None:
    """Return what `Explanations.metric` says."""
    if request.cube is not None:
        return request.cube.mean
    if not request.metrics:
        return None
    return request.metrics[0] if len(request.metrics) == 1 else tuple(request.metrics)


def fields_of(marked: Marked) -> dict[str, Any]:
    """Return the fields of an `Answer` that follow from how rows were marked."""
    weighted = marked.weights is not None
    fields: dict[str, Any] = {
        "n_left_out": marked.n_left_out,
        "cutoff": marked.cutoff,
        "flags": marked.source_flags() if marked.whole else None,
        "scores": marked.scores,
        "measured": marked.measured,
        "measured_name": marked.measured_name,
        "marked_by": marked.marked_by,
        "weighted": weighted,
    }
    if weighted:
        fields["weights"] = marked.spread(marked.weights)  # type: ignore[arg-type]
        if marked.outlier_weights is not None:
            fields["outlier_weights"] = marked.spread(marked.outlier_weights)
    return fields
