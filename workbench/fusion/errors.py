"""Errors of fusion: what is wrong, and how to fix it."""

from __future__ import annotations

from typing import Any

from workbench.engine.errors import WorkbenchError, suggest, warn

__all__ = [
    "FusionError",
    "FusionKeyError",
    "FusionMemoryError",
    "FusionShapeError",
    "FusionTypeError",
    "arch_differs",
    "cannot_fuse",
    "check_failed",
    "dtype_unsupported",
    "exact_on_gpu",
    "fuse_of_module",
    "interpreter_off",
    "no_column",
    "no_gpu",
    "out_of_memory",
    "requires_grad",
    "shapes_differ",
    "unknown_peer",
    "warn_damaged",
    "warn_fallback",
    "warn_leaf_changed",
]

PEERS = ("numpy", "pandas", "numba", "polars", "jax", "inductor")


class FusionError(WorkbenchError):
    """A mistake or a fault in fused work.

    Attributes
    ----------
    fused, eager : object
        Both answers, where a check found that they differ.
    """

    fused: Any = None
    eager: Any = None


class FusionShapeError(FusionError, ValueError):
    """Shapes that do not fit each other."""


class FusionKeyError(FusionError, KeyError):
    """A name that is not there."""


class FusionTypeError(FusionError, TypeError):
    """A value of a type that cannot be fused."""


class FusionMemoryError(FusionError, MemoryError):
    """Work that finds no memory."""


def cannot_fuse(value: object, *, table: bool = False) -> FusionTypeError:
    """Return the error for a value that `array` does not take, or with `table` that `frame` does not take."""
    hint = (
        "Pass a pandas or dask DataFrame or Series, or use wb.fusion.array for arrays."
        if table
        else "Pass a NumPy array, a torch tensor, or use wb.fusion.frame for tables."
    )
    return FusionTypeError(f"Cannot fuse a value of type {type(value).__name__}.", hint)


def dtype_unsupported(dtype: object) -> FusionTypeError:
    """Return the error for a dtype outside bool, integers, float32 and float64."""
    return FusionTypeError(f"Cannot fuse dtype {dtype}.", 'Convert with .astype("float64"), or leave it to NumPy.')


def requires_grad() -> FusionTypeError:
    """Return the error for a tensor that autograd follows."""
    return FusionTypeError("This tensor requires grad.", 'Use torch.compile(model, backend="workbench"), or detach it.')


def shapes_differ(first: object, second: object, op: str, line: int | None) -> FusionShapeError:
    """Return the error for shapes that do not broadcast."""
    place = f"{op}, line {line}" if line else op
    return FusionShapeError(
        f"Shapes {first} and {second} do not broadcast ({place}).",
        "Reshape one of them, or add an axis with [:, None].",
    )


def no_column(name: object, columns: list[Any]) -> FusionKeyError:
    """Return the error for a column that is not there."""
    first = ", ".join(str(each) for each in columns[:8])
    near = suggest(str(name), [str(each) for each in columns], "", quote='"{}"')
    return FusionKeyError(f'No column "{name}".', f"{near} Columns: {first}.".strip())


def fuse_of_module() -> FusionTypeError:
    """Return the error for a torch module where a function is asked for."""
    return FusionTypeError(
        "fuse() takes a function, not a torch module.", 'Use torch.compile(model, backend="workbench").'
    )


def unknown_peer(name: object) -> FusionError:
    """Return the error for a peer that is not known."""
    return FusionError(f'Unknown peer "{name}".', f"Peers: {', '.join(PEERS)}.")


def no_gpu() -> FusionError:
    """Return the error for device cuda without a GPU."""
    return FusionError(
        "No CUDA device is available.", "Use --device cpu; wb.fusion.plan_graph inspects GPU plans without one."
    )


def interpreter_off() -> FusionError:
    """Return the error for the Triton interpreter that is not switched on."""
    return FusionError("The Triton interpreter is off.", "Set TRITON_INTERPRET=1 before triton is imported.")


def exact_on_gpu() -> FusionError:
    """Return the error for exact work on a GPU."""
    return FusionError("exact=True runs on the CPU only.", 'Use device="cpu", or drop exact.')


def arch_differs(device: str, arch: str) -> FusionError:
    """Return the error for compiling a plan for another device than it was made for."""
    wanted = "cpu" if arch == "host" else arch if arch.startswith("cuda:") else f"cuda:{arch}"
    return FusionError(f"This plan is for {device}, not {arch}.", f'Plan again with device="{wanted}".')


def check_failed(error: float, name: str, allowed: float, fused: Any, eager: Any) -> FusionError:
    """Return the error for fused and eager results that differ; it keeps both."""
    found = FusionError(
        f"Fused and eager results differ: max error {error:.3g} in {name} (allowed {allowed:.3g}).",
        'Use device="eager", and file a bug with plan.to_dict().',
    )
    found.fused, found.eager = fused, eager
    return found


def out_of_memory(needed: str, free: str) -> FusionMemoryError:
    """Return the error for a plan that needs more memory than there is."""
    return FusionMemoryError(
        f"Not enough memory: the plan needs {needed}, {free} is free.",
        "Use wb.fusion.frame on a dask DataFrame, or compute fewer results at once.",
    )


def warn_fallback(op: str, line: int | None, library: str = "pandas") -> None:
    """Warn that an operation ran in its own library."""
    warn(f"{op} ran in {library}, unfused (line {line or '?'}).", "See plan.reasons for the cause.", stacklevel=3)


def warn_leaf_changed(name: str) -> None:
    """Warn that a borrowed array was written to between its capture and the run."""
    warn(
        f'"{name}" was changed outside the plan before it ran.',
        "Use copy=True, or write through the lazy object.",
        stacklevel=3,
    )


def warn_damaged() -> None:
    """Warn that a stored kernel was damaged."""
    warn("A stored kernel was damaged and is compiled again.", "Nothing to do.", stacklevel=3)
