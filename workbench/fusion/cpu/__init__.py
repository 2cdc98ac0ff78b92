"""The CPU back end: loop IR to vector code, and the threads that run it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.fusion.cpu.kernel import Compiled
    from workbench.fusion.loop import Program

__all__ = ["clear", "compile"]


def compile(program: Program, **options: Any) -> Compiled:
    """Return a program as machine code; see `workbench.fusion.cpu.kernel.compile`."""
    from workbench.fusion.cpu import kernel

    return kernel.compile(program, **options)


def clear(*, disk: bool = True) -> None:
    """Let go of pooled memory, and with `disk` of the object code in the store."""
    from workbench.fusion.cpu import memory

    memory.pool.clear()
    if disk:
        from workbench.fusion.cpu import objects

        objects.clear()
