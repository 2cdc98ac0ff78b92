"""What became of a computation: a plan with its kernels, their traffic and their times."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from workbench.engine.result import Result

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["OPS_COLUMNS", "REASON_COLUMNS", "FusionPlan", "Kernel", "OpRow", "ReasonRow", "bytes_text"]

#: columns of `FusionPlan.to_pandas()`, with their dtypes
COLUMNS = {
    "name": "str", "kind": "str", "scheme": "str", "ops": "int64", "bytes_read": "int64", "bytes_written": "int64",
    "predicted_ms": "float64", "measured_ms": "float64", "gbps": "float64", "bandwidth_pct": "float64",
    "compile_ms": "float64", "cache": "str",
}  # fmt: skip

OPS_COLUMNS = ("op", "shape", "dtype", "kernel", "where")
REASON_COLUMNS = ("op", "reason", "where")

#: kinds of kernels that are not ours, and so no launches
LIBRARY = ("extern", "fallback", "inductor")


@dataclass(frozen=True)
class OpRow:
    """One captured operation: a row of `FusionPlan.ops`."""

    op: str
    shape: str
    dtype: str
    kernel: str
    where: str


@dataclass(frozen=True)
class ReasonRow:
    """Why an operation did not fuse: a row of `FusionPlan.reasons`."""

    op: str
    reason: str
    where: str


@dataclass(eq=False)
class Kernel:
    """One kernel of a plan.

    Attributes
    ----------
    name : str
        `k<i>_<last op>`, unique in the plan.
    kind : str
        map, reduce, group, scan, gather, join, sort, extern, inductor or fallback.
    scheme : str
        local, warp, regional, global, packed or none.
    ops : tuple of str
        Names of the captured operations inside.
    bytes_read, bytes_written : int
        Memory traffic, each array once.
    predicted_ms : float
        By the latency model.
    measured_ms : float or None
        Wall time in the last run.
    bandwidth : float
        Calibrated bandwidth in GB/s that `bandwidth_pct` is of.
    compile_ms : float
        0 on a cache hit.
    cache : str
        hit, disk or miss.
    ir, asm : str
        The loop IR and, once compiled, the assembly.
    program : Program or None
        What the loop IR is the text of, on the CPU.
    """

    name: str
    kind: str
    scheme: str
    ops: tuple[str, ...]
    bytes_read: int
    bytes_written: int
    predicted_ms: float = 0.0
    measured_ms: float | None = None
    bandwidth: float = 10.0
    compile_ms: float = 0.0
    cache: str = "miss"
    pattern: str = ""
    ir: str = field(default="", repr=False)
    asm: str = field(default="", repr=False)
    program: Any = field(default=None, repr=False)

    @property
    def gbps(self) -> float:
        """Bytes by time, measured if it ran, else predicted."""
        ms = self.predicted_ms if self.measured_ms is None else self.measured_ms
        return (self.bytes_read + self.bytes_written) / ms / 1e6 if ms > 0 else float("nan")

    @property
    def bandwidth_pct(self) -> float:
        """`gbps` in per cent of the calibrated bandwidth."""
        return 100 * self.gbps / self.bandwidth

    def same(self) -> tuple[Any, ...]:
        """Return what equal kernels share: all but times and caches."""
        return self.name, self.kind, self.scheme, self.ops, self.bytes_read, self.bytes_written

    def to_dict(self) -> dict[str, Any]:
        """Return the columns of the kernel table as plain JSON."""
        found = {name: getattr(self, name) for name in COLUMNS}
        return {
            **found,
            "ops": list(self.ops),
            "pattern": self.pattern,
            "gbps": _finite(self.gbps),
            "bandwidth_pct": _finite(self.bandwidth_pct),
        }


@dataclass(eq=False)
class FusionPlan(Result):
    """The plan of a computation, and after it ran what it took.

    Attributes
    ----------
    kernels : list of Kernel
        In execution order.
    device : str
    kernels_before, bytes_before : int
        Calls of eager code, and the bytes of their inputs and outputs.
    segments : int
        In how many parts the work was forced.
    plan_ms, compile_ms, run_ms : float
    cache : str
        hit, disk or miss.
    max_error : float or None
        Of a check.
    triton : str
        Source of the kernels of a GPU.
    sources : list of Source
        The same with what each is called with: what `aot` compiles.
    compiled : list of CompiledKernel
        What `aot` has made of them.
    graph : dict
        Nodes and edges before fusion, with each node's kernel: what the drawing is made of.
    """

    kernels: list[Kernel] = field(default_factory=list)
    device: str = "cpu"
    kernels_before: int = field(default_factory=int)
    bytes_before: int = field(default_factory=int)
    segments: int = 1
    plan_ms: float = 0.0
    compile_ms: float = 0.0
    run_ms: float = 0.0
    cache: str = "miss"
    max_error: float | None = None
    triton: str = ""
    sources: list[Any] = field(default_factory=list, repr=False)
    compiled: list[Any] = field(default_factory=list, repr=False)
    op_rows: list[OpRow] = field(default_factory=list)
    reason_rows: list[ReasonRow] = field(default_factory=list)
    graph: dict[str, Any] = field(default_factory=lambda: {"nodes": [], "edges": []})

    @classmethod
    def deferred(cls, make: Callable[[], dict[str, Any]], **known: Any) -> FusionPlan:
        """Return a plan whose other fields `make` gives once one of them is asked for."""
        found = cls.__new__(cls)
        found.__dict__ = {"sources": [], "compiled": [], **known, "_make": make}
        return found

    def __getattr__(self, name: str) -> Any:
        make = self.__dict__.pop("_make", None) if not name.startswith("__") else None
        if make is None:
            raise AttributeError(f"FusionPlan has no attribute {name!r}")
        self.__dict__.update(make())
        return getattr(self, name)

    def __getstate__(self) -> dict[str, Any]:
        _ = self.kernels
        return self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    @property
    def launches(self) -> int:
        """How many kernels are ours."""
        return sum(kernel.kind not in LIBRARY for kernel in self.kernels)

    @property
    def bytes_after(self) -> int:
        """Bytes read and written by all kernels."""
        return sum(kernel.bytes_read + kernel.bytes_written for kernel in self.kernels)

    @property
    def planned_only(self) -> bool:
        """Whether it is for a GPU by name, as those are that nobody has run."""
        return self.device.startswith("cuda:")

    @property
    def ir(self) -> str:
        """Loop IR of all kernels, as text."""
        return "\n\n".join(kernel.ir for kernel in self.kernels if kernel.ir)

    @property
    def asm(self) -> str:
        """Assembly of all kernels, once compiled."""
        return "\n\n".join(kernel.asm for kernel in self.kernels if kernel.asm)

    @property
    def ops(self) -> pd.DataFrame:
        """One row for each captured operation: op, shape, dtype, kernel, where."""
        return _strings(self.op_rows, OPS_COLUMNS)

    @property
    def reasons(self) -> pd.DataFrame:
        """One row for each operation that did not fuse: op, reason, where."""
        return _strings(self.reason_rows, REASON_COLUMNS)

    def to_pandas(self) -> pd.DataFrame:
        """Return the kernel table: one row a kernel, columns of `COLUMNS`."""
        import pandas as pd

        rows: dict[str, list[Any]] = {name: [getattr(each, name) for each in self.kernels] for name in COLUMNS}
        rows["ops"] = [len(each) for each in rows["ops"]]
        rows["measured_ms"] = [float("nan") if each is None else each for each in rows["measured_ms"]]
        return pd.DataFrame(rows).astype(COLUMNS)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain JSON."""
        return {
            "device": self.device,
            "kernels_before": self.kernels_before,
            "launches": self.launches,
            "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after,
            "segments": self.segments,
            "plan_ms": self.plan_ms,
            "compile_ms": self.compile_ms,
            "run_ms": self.run_ms,
            "cache": self.cache,
            "max_error": None if self.max_error is None else _finite(self.max_error),
            "kernels": [kernel.to_dict() for kernel in self.kernels],
            "ops": [{f.name: getattr(row, f.name) for f in fields(row)} for row in self.op_rows],
            "reasons": [{f.name: getattr(row, f.name) for f in fields(row)} for row in self.reason_rows],
            "graph": self.graph,
            "ir": self.ir,
            "triton": self.triton,
        }

    def summary(self) -> str:
        """Return the line that says what became of the work."""
        before, after = bytes_text(self.bytes_before), bytes_text(self.bytes_after)
        many = len(self.kernels)
        parts = [
            f"{_count(self.kernels_before, 'op')} → {_count(many, 'kernel')}",
            f"{before} → {after}",
            f"{_ms(sum(kernel.predicted_ms for kernel in self.kernels))} ms predicted for {self.device}"
            if self.planned_only
            else f"{_ms(self.run_ms)} ms",
        ]
        if self.compile_ms > 0 or not self.planned_only:
            parts.append(f"compiled in {_ms(self.compile_ms)} ms" if self.compile_ms > 0 else "cached")
        unfused = sum(len(kernel.ops) for kernel in self.kernels if kernel.kind == "fallback")
        if unfused:
            parts.append(f"{_count(unfused, 'op')} ran unfused")
        return " · ".join(parts)

    def explain(self, form: str = "text", *, format: str | None = None) -> Any:  # type: ignore[override]  # both names
        """Show the plan.

        Parameters
        ----------
        form : {"text", "html", "dict"}
        format : str, optional
            Another name of it, as other results have it.

        Raises
        ------
        FusionError
            For another form.
        """
        form = form if format is None else format
        if form == "dict":
            return self.to_dict()
        from workbench.fusion.explain import explain_plan  # type: ignore[import-untyped,import-not-found,unused-ignore]

        return explain_plan(self, form)  # type: ignore[arg-type]

    def view_data(self) -> dict[str, Any]:
        """Return the blocks that widget, report and page are drawn from."""
        from workbench.fusion.view import plan_blocks  # type: ignore[import-untyped,import-not-found,unused-ignore]

        return plan_blocks(self)

    def same(self) -> tuple[Any, ...]:
        """Return what equal plans share: all but times and caches."""
        kernels = tuple(kernel.same() for kernel in self.kernels)
        return (
            kernels, self.device, self.kernels_before, self.bytes_before, self.segments,
            tuple(self.op_rows), tuple(self.reason_rows), self.ir, self.triton,
        )  # fmt: skip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FusionPlan) and self.same() == other.same()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<FusionPlan: {self.summary()}>"


def merged(plans: Sequence[FusionPlan]) -> FusionPlan:
    """Return one plan over the segments of a cell or call, in order."""
    found = FusionPlan(device=plans[0].device if plans else "cpu", segments=len(plans))
    for plan in plans:
        ahead = len(found.kernels)
        names: dict[str, str] = {}
        for kernel in plan.kernels:
            number, _, rest = kernel.name[1:].partition("_")
            names[kernel.name] = f"k{ahead + int(number)}_{rest}"
            found.kernels.append(Kernel(**{**_own(kernel), "name": names[kernel.name]}))
        found.kernels_before += plan.kernels_before
        found.bytes_before += plan.bytes_before
        found.plan_ms += plan.plan_ms
        found.compile_ms += plan.compile_ms
        found.run_ms += plan.run_ms
        found.op_rows += [OpRow(**{**_own(row), "kernel": names.get(row.kernel, row.kernel)}) for row in plan.op_rows]
        found.reason_rows += plan.reason_rows
        base = len(found.graph["nodes"])
        found.graph["nodes"] += [
            {**node, "id": node["id"] + base, "kernel": names.get(node["kernel"], node["kernel"])}
            for node in plan.graph["nodes"]
        ]
        found.graph["edges"] += [{**e, "from": e["from"] + base, "to": e["to"] + base} for e in plan.graph["edges"]]
        for source in plan.sources:
            own = copy.copy(source)
            own.rename(names[source.name])
            found.sources.append(own)
        if plan.max_error is not None:
            found.max_error = max(plan.max_error, found.max_error or 0.0)
    found.triton = "\n\n".join(each.text for each in found.sources)
    caches = [plan.cache for plan in plans]
    found.cache = next((each for each in ("miss", "disk") if each in caches), "hit")
    return found


def _own(record: Any) -> dict[str, Any]:
    return {f.name: getattr(record, f.name) for f in fields(record)}


def _strings(rows: Sequence[Any], columns: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({name: [getattr(row, name) for row in rows] for name in columns}).astype("str")


def _finite(value: float) -> float | None:
    return value if value - value == 0 else None


def _count(many: int, what: str) -> str:
    return f"{many} {what}{'' if many == 1 else 's'}"


def bytes_text(count: int) -> str:
    """Return a number of bytes as it is shown; MB are 10^6."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.3g} {unit}"
        value /= 1000
    raise AssertionError


def _ms(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"
