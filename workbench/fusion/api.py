"""The functions of `workbench.fusion`: wrap, compute, explain."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion import cache
from workbench.fusion.capture import storage
from workbench.fusion.capture.array import LazyArray, now
from workbench.fusion.errors import cannot_fuse, dtype_unsupported
from workbench.fusion.ops import supported

if TYPE_CHECKING:
    from workbench.fusion.result import FusionPlan

__all__ = ["array", "cache_clear", "compute", "explain", "plan_graph", "plans"]


def array(x: Any, *, copy: bool = False, name: str | None = None) -> Any:
    """Return a lazy array over an array.

    Parameters
    ----------
    x : ndarray, number, list, tensor, dask Array or LazyArray
        bool, integers, float32 or float64. It is borrowed: read when the work runs.
    copy : bool
        Take a snapshot instead.
    name : str, optional
        How messages and plans call it.

    Returns
    -------
    LazyArray

    Raises
    ------
    FusionTypeError
        For another type, or another dtype.
    """
    if isinstance(x, LazyArray):
        return x
    if isinstance(x, (np.ndarray, bool, int, float, np.generic, list, tuple)):
        data = x if type(x) is np.ndarray else np.asarray(x)
    elif _is_tensor(x):
        from workbench.fusion.capture import tensor

        return tensor.lazy_tensor(x, copy=copy, name=name or "")
    elif type(x).__module__.partition(".")[0] == "dask":
        from workbench.fusion import dask  # type: ignore[attr-defined,unused-ignore]

        return dask.array(x, name=name)
    else:
        raise cannot_fuse(x)
    if not supported(data.dtype):
        raise dtype_unsupported(data.dtype)
    leaf = storage.leaf_of(data.copy() if copy else data)
    leaf.name = name or ""
    if data is x:
        leaf.attrs = (("sample", storage.sample(data)),)
    found = LazyArray(leaf)
    if isinstance(x, np.ndarray) and not copy:
        found._store = storage.store_of(data, leaf)  # others over the same memory see its writes
    return found


def compute(
    *lazies: Any, device: str = "auto", threads: int | None = None, exact: bool = False, check: bool = False
) -> tuple[Any, ...]:
    """Compute lazy objects in one plan.

    Parameters
    ----------
    *lazies : LazyArray, LazyFrame, LazySeries
        Other values are returned as they are.
    device : {"auto", "cpu", "cuda", "interpreter", "triton-interpreter", "eager"}
    threads : int, optional
        Default: the CPUs that this process may use.
    exact : bool
        No reassociation and no contraction: the same bits whatever the partitions.
    check : bool
        Compute the captured calls one by one too, and compare.

    Returns
    -------
    tuple
        What eager code gives for each.

    Raises
    ------
    FusionError
        If a check fails or the device is not there.
    """
    return computed(lazies, device=device, threads=threads, exact=exact, check=check)[0]


def computed(lazies: Any, **options: Any) -> tuple[tuple[Any, ...], FusionPlan | None]:
    """Return the values of lazy objects, and the plan of the run; None if there was nothing to do."""
    from workbench.fusion.run import force

    waiting = [each for each in lazies if hasattr(each, "_parts")]
    if not waiting:
        return tuple(lazies), None
    parts = [each._parts() for each in waiting]
    flat = [expr for part in parts for expr in part]
    values, plan = force(flat, **options)
    found: dict[int, Any] = {}
    finished, at = [], 0
    for each, part in zip(waiting, parts, strict=True):
        finished.append(each._finish(values[at : at + len(part)]))
        at += len(part)
    for each, value in zip(waiting, _viewing(waiting, finished), strict=True):
        each._keep(value)
        if isinstance(each, LazyArray):
            value = each._value
            each._plan = plan
        found[id(each)] = value
    return tuple([found.get(id(each), each) for each in lazies]), plan


def _viewing(lazies: Sequence[Any], values: Sequence[Any]) -> list[Any]:
    """Return the values, those that look at another of them as views of it: later writes to one are seen in both."""
    bases = {
        id(each._store): value
        for each, value in zip(lazies, values, strict=True)
        if type(each) is LazyArray and each._store is not None and each._store.memory is None and not each._chain
    }
    return [
        storage.look(bases[id(each._store)], each._chain)
        if type(each) is LazyArray and each._chain and id(each._store) in bases
        else value
        for each, value in zip(lazies, values, strict=True)
    ]


def explain(*lazies: Any, device: str = "auto", exact: bool = False) -> FusionPlan:
    """Return the plan of lazy objects without running it; of one that was computed, the plan that ran.

    Parameters
    ----------
    *lazies : LazyArray, LazyFrame, LazySeries
        Or one model or function of `torch.compile(backend="workbench")`: all graphs that it has run.
    device : str
        As in `compute`. "cuda" plans for the GPU that is here, else for an H100; "cuda:sm_80", "cuda:sm_90" and
        "cuda:sm_100" for one that need not be.
    exact : bool

    Returns
    -------
    FusionPlan
    """
    from workbench.fusion.run import plan_of

    if len(lazies) == 1 and not hasattr(lazies[0], "_parts") and "torch" in sys.modules:
        from workbench.fusion.capture.fx.graphs import explained

        return explained(lazies[0], device)
    ran = lazies[0].plan if len(lazies) == 1 and isinstance(lazies[0], LazyArray) else None
    if ran is not None and not device.startswith("cuda"):
        now(lazies[0])
        return ran
    return plan_of([part for each in lazies for part in each._parts()], device=device, exact=exact)


def plan_graph(fx_graph_module: Any, example_inputs: Sequence[Any], device: str = "cuda:sm_90") -> FusionPlan:
    """Plan a graph of torch without running it; needs no GPU.

    Parameters
    ----------
    fx_graph_module : torch.fx.GraphModule, torch.nn.Module or callable
        At the level of torch or of ATen.
    example_inputs : sequence of torch.Tensor or number
        Real, meta or fake: only shapes, strides and dtypes count.
    device : str
        "cpu", "cuda:sm_80", "cuda:sm_90" or "cuda:sm_100".

    Returns
    -------
    FusionPlan

    Raises
    ------
    FusionError
        For a device that is not known.
    """
    from workbench.fusion.capture.fx import plans as planning

    return planning.plan_graph(fx_graph_module, example_inputs, device)


def plans() -> list[FusionPlan]:
    """Return the plans that ran in this process, oldest first, at most 64."""
    return list(cache.history)


def cache_clear(*, disk: bool = True) -> None:
    """Forget plans, kernels and pooled buffers; with `disk` also the kernels in the store."""
    cache.clear(disk=disk)


def _is_tensor(x: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)
