"""A cell of ordinary NumPy and pandas code, captured and computed in one plan."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.engine.result import Result
from workbench.fusion.capture.fallback import is_lazy, warn_anew
from workbench.fusion.capture.rewriting import ROUTER, VALUE, CellCode, prepared
from workbench.fusion.capture.routing import Router
from workbench.fusion.capture.storage import forget, share
from workbench.fusion.expr import noted
from workbench.fusion.forcing import forecasting, scope

if TYPE_CHECKING:
    import pandas as pd

    from workbench.fusion.result import FusionPlan

__all__ = ["CellResult", "run_cell", "run_prepared"]

_MISSING: Any = object()


@dataclass(eq=False, repr=False)
class CellResult(Result):
    """What a fused cell gave.

    Attributes
    ----------
    value : object
        Of its last expression; None without one.
    plan : FusionPlan
        Over all that was computed while it ran and when it ended. Where a GPU was asked for that is not here, the plan
        for it.
    comparison : DataFrame or None
        Peers on what was computed when it ended, if they were asked for.
    names : dict
        What the cell wrote, by name.
    ran : FusionPlan or None
        The plan that ran on the CPU, where `plan` is for a GPU that is not here.
    """

    value: Any
    plan: FusionPlan
    comparison: pd.DataFrame | None = None
    names: dict[str, Any] = field(default_factory=dict)
    ran: FusionPlan | None = None

    def to_pandas(self) -> pd.DataFrame:
        """Return the kernel table."""
        return self.plan.to_pandas()

    def explain(self, format: str = "text") -> Any:
        """Show the plan: "text", "html" or "dict"."""
        return self.plan.explain(format)

    def view_data(self) -> dict[str, Any]:
        """Return the blocks that widget, report and page are drawn from."""
        from workbench.fusion.view import cell_blocks

        return cell_blocks(self)

    def __repr__(self) -> str:
        return f"<CellResult: {self.plan.summary()}>"


def run_cell(
    source: str,
    namespace: dict[str, Any],
    *,
    device: str = "auto",
    threads: int | None = None,
    exact: bool = False,
    check: bool = False,
    compare: Sequence[str] = (),
) -> CellResult:
    """Run ordinary NumPy and pandas code as one fused computation; what `%%fuse` does, without display.

    Arrays and tables that the code reads are wrapped, the code runs as written and records, and what it leaves behind
    is computed in one plan when it ends. Names are bound to concrete objects then, and writes have gone into the
    originals in program order, also when the code raises.

    Parameters
    ----------
    source : str
        Python, with IPython's `!` and `%` lines where IPython runs it.
    namespace : dict
        The names that it reads and writes.
    device, threads, exact, check
        As in `compute`; but on a machine without a GPU "cuda" runs the cell on the CPU, and plans and compiles it for
        an H100.
    compare : sequence of str
        Peers to race on what is computed when the code ends: numpy, pandas, numba, polars, jax, inductor.

    Returns
    -------
    CellResult

    Raises
    ------
    SyntaxError
        Before anything runs.
    FusionError
        For an unknown peer or device; or if a check fails.
    Exception
        Whatever the code raises, with its own line numbers.
    """
    filename = "<fused cell>"
    try:
        code = prepared(source, filename)
    except SyntaxError:
        source = _from_ipython(source)
        code = prepared(source, filename)
    linecache.cache[filename] = len(source), None, source.splitlines(True), filename
    options = {"device": device, "threads": threads, "exact": exact, "check": check}
    return run_prepared(code, namespace, options, compare)


def run_prepared(
    code: CellCode, namespace: dict[str, Any], options: dict[str, Any], compare: Sequence[str] = ()
) -> CellResult:
    """Run a cell whose code is prepared.

    Parameters
    ----------
    code : CellCode
    namespace : dict
    options : dict
        `device`, `threads`, `exact` and `check` of `compute`.
    compare : sequence of str
        Peers.
    """
    __tracebackhide__ = True
    from workbench.fusion.cache import recorded
    from workbench.fusion.gpu.running import compile_ahead
    from workbench.fusion.result import merged
    from workbench.fusion.run import checked_device
    from workbench.fusion.telling import tell_fallbacks

    absent = _is_absent(options)
    if absent:
        options = {**options, "device": "auto"}
    checked_device(options["device"], options["exact"])
    if compare:
        from workbench.fusion.compare import checked_peers

        checked_peers(compare)
    notes: list[Any] = []
    noted.append(notes)
    try:
        with recorded() as plans, forecasting(absent) as forecasts:
            cell = _Cell(code, namespace, options)
            with cell.wrapped():
                cell.run(compare)
    finally:
        noted[:] = [each for each in noted if each is not notes]
        warn_anew()
    plan = merged(plans)
    untold = [note for note in notes if not note.reported]  # what they gave has not come to any plan
    if untold:
        tell_fallbacks(plan, untold)
    written = {name: namespace[name] for name in code.writes if name in namespace}
    if not absent or not forecasts:
        return CellResult(cell.value, plan, cell.comparison, written)
    told = merged(forecasts)
    told.max_error = plan.max_error
    compile_ahead(told)
    return CellResult(cell.value, told, cell.comparison, written, plan)


def _is_absent(options: dict[str, Any]) -> bool:
    """Return whether a cell is to run on a GPU, and there is none: then it is planned for one."""
    if options["device"] != "cuda" or options["exact"]:
        return False
    from workbench.fusion.gpu.running import available

    return not available()


class _Cell:
    """A cell that runs: its wrappers, and the way back from them."""

    def __init__(self, code: CellCode, namespace: dict[str, Any], options: dict[str, Any]) -> None:
        self.code, self.namespace, self.options = code, namespace, options
        self.value: Any = None
        self.comparison: pd.DataFrame | None = None
        #: id of a wrapper -> wrapper and the object that it stands for
        self.originals: dict[int, tuple[Any, Any]] = {}

    @contextmanager
    def wrapped(self) -> Iterator[None]:
        """Bind names that the cell reads to lazy forms, and back; none of these is left in a name."""
        from workbench.fusion.fuse import wrap

        seen: dict[int, Any] = {}
        for name in self.code.reads:
            value = self.namespace.get(name, _MISSING)
            if value is _MISSING:
                continue
            lazy = wrap(value, seen)
            if lazy is not value:
                self.originals[id(lazy)] = lazy, value
                self.namespace[name] = lazy
        share(lazy for lazy, _ in self.originals.values())
        self.namespace.setdefault(ROUTER, Router(self.namespace))
        if not isinstance(self.namespace[ROUTER], Router) or self.namespace[ROUTER].namespace is not self.namespace:
            self.namespace[ROUTER] = Router(self.namespace)
        try:
            yield
        finally:
            self._unwrap(self._original)
            forget(lazy for lazy, _ in self.originals.values())
            self.namespace.pop(VALUE, None)

    def run(self, compare: Sequence[str]) -> None:
        """Run the code, and compute what it leaves."""
        __tracebackhide__ = True
        try:
            with scope(self.options):
                exec(self.code.code, self.namespace)
        except KeyboardInterrupt:
            raise  # originals stay as they are, and what is lazy stays lazy
        except BaseException:
            self._settle_after_error()
            raise
        self.value = self.namespace.pop(VALUE, None)
        if compare:
            from workbench.fusion.compare import compare as race

            lazies = self._waiting()
            if lazies:
                threads = self.options["threads"]
                self.comparison = race(*lazies, peers=tuple(compare), threads=threads)
        self._settle()

    def _settle(self) -> None:
        """Compute all lazy objects that the cell leaves, in one plan, and bind names to what they stand for."""
        from workbench.fusion.api import computed

        waiting = self._waiting()
        values, _ = computed(waiting, **self.options)
        found = {id(lazy): value for lazy, value in zip(waiting, values, strict=True)}

        def concrete(value: Any) -> Any:
            original = self._original(value)
            return found.get(id(value), value) if original is value else original

        self._unwrap(concrete)
        self.value = _inside(self.value, concrete)

    def _settle_after_error(self) -> None:
        """Compute what was recorded before an error; should that fail, the error of the cell is the one to tell."""
        try:
            self._settle()
        except Exception:
            return

    def _waiting(self) -> list[Any]:
        """Return the lazy objects to compute: those that names lead to, and wrappers that were written through."""
        from workbench.fusion.fuse import is_written

        found: dict[int, Any] = {}

        def add(value: Any) -> Any:
            if is_lazy(value) and (id(value) not in self.originals or is_written(value)):
                found.setdefault(id(value), value)
            return value

        for name in self._names():
            _inside(self.namespace[name], add)
        _inside(self.value, add)
        for lazy, _ in self.originals.values():
            add(lazy)
        return list(found.values())

    def _names(self) -> list[str]:
        return [name for name in dict.fromkeys((*self.code.reads, *self.code.writes)) if name in self.namespace]

    def _unwrap(self, change: Callable[[Any], Any]) -> None:
        for name in self._names():
            value = self.namespace[name]
            other = _inside(value, change)
            if other is not value:
                self.namespace[name] = other

    def _original(self, value: Any) -> Any:
        """Return the object that a wrapper stands for; anything else as it is."""
        found = self.originals.get(id(value))
        return value if found is None else found[1]


def _inside(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return a value with `change` applied to it or to what is one level inside it; lists and dicts stay themselves."""
    kind = type(value)
    if kind is tuple:
        changed = tuple([change(each) for each in value])
        return value if all(a is b for a, b in zip(value, changed, strict=True)) else changed
    if kind is list:
        for place, each in enumerate(value):
            other = change(each)
            if other is not each:
                value[place] = other
        return value
    if kind is dict:
        for key, each in value.items():
            other = change(each)
            if other is not each:
                value[key] = other
        return value
    return change(value)


def _from_ipython(source: str) -> str:
    """Return a cell with `!` and `%` lines as Python."""
    import sys

    if "IPython" not in sys.modules:
        return source
    from IPython.core.interactiveshell import InteractiveShell

    if not InteractiveShell.initialized():
        return source
    return str(InteractiveShell.instance().transform_cell(source))
