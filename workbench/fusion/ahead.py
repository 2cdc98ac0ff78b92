"""Compiling the kernels of a plan ahead of time: nothing is run."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.fusion.errors import arch_differs
from workbench.fusion.gpu.aot import CompiledKernel
from workbench.fusion.gpu.aot import aot as for_gpu

if TYPE_CHECKING:
    from workbench.fusion.result import Kernel

__all__ = ["HostKernel", "aot"]

#: registers of vectors, and how many bytes they hold
_WIDTHS = (("zmm", 64), ("ymm", 32), ("xmm", 16))


@dataclass(eq=False)
class HostKernel(CompiledKernel):
    """A kernel as machine code of this processor; what only a GPU has is None.

    Attributes
    ----------
    vector_bytes : int
        Of the widest register that it uses: 64, 32 or 16.
    asm : str
        The assembly.
    """

    asm: str = field(default="", repr=False)


def aot(plan: Any, arch: str = "sm_90a") -> list[CompiledKernel]:
    """Compile the kernels of a plan; nothing is run, and no GPU is needed.

    The plan keeps their code, and for a GPU tells of their registers, spills and widest accesses from then on.

    Parameters
    ----------
    plan : FusionPlan
        Made for the same architecture: by `plan_graph` for a GPU; any plan for the CPU is one for "host".
    arch : str
        "sm_80", "sm_90a" (which "sm_90" is), "sm_100", or "host" for this processor.

    Returns
    -------
    list of CompiledKernel
        Library calls are left out. For "host" `registers`, `spills` and `shared_bytes` are None, and `asm` is the
        assembly.

    Raises
    ------
    FusionError
        If the plan is for another device.
    """
    if arch != "host":
        return for_gpu(plan, arch)
    if plan.device != "cpu":
        raise arch_differs(plan.device, arch)
    found: list[CompiledKernel] = [_on_host(kernel) for kernel in plan.kernels if kernel.program is not None]
    plan.compile_ms += sum(each.compile_ms for each in found)
    return found


def _on_host(kernel: Kernel) -> HostKernel:
    from workbench.fusion import cache

    compiled, ms, kernel.cache = cache.kernel(kernel.program)
    kernel.asm, kernel.compile_ms = compiled.asm, ms
    none: Any = None  # there is no such thing on a CPU
    return HostKernel(
        kernel.name, "host", none, none, none, none, _widest(kernel.asm), {}, False, none, "", b"", ms, asm=kernel.asm
    )


def _widest(asm: str) -> int:
    """Return the bytes of the widest vector register that code uses; those of other processors have 16."""
    return next((width for name, width in _WIDTHS if re.search(rf"\b%?{name}\d", asm)), 16)
