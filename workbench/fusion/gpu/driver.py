"""The device that is here: whether there is one, what runs on it now, and what a compiled kernel takes of it."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["available", "capturing", "interpreting", "on_device", "resident", "spilled", "stream_of", "waited"]


def available() -> bool:
    """Return whether a GPU is here."""
    try:
        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())


def interpreting() -> bool:
    """Return whether Triton's interpreter runs kernels in this process."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def on_device(device: torch.device) -> Any:
    """Return what makes a device the current one: kernels start there, on its current stream."""
    import torch

    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def capturing(device: torch.device) -> bool:
    """Whether somebody records a graph of what is started on the current stream."""
    import torch

    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def stream_of(device: torch.device) -> int:
    """Return the address of the current stream."""
    import torch

    return int(torch.cuda.current_stream(device).cuda_stream) if device.type == "cuda" else 0


def spilled(compiled: Any) -> int:
    """Return the bytes that a thread of a compiled kernel spills.

    The driver counts all memory of a thread's own, which sines and cosines of large numbers take too; so where there is
    some, the assembler is asked.
    """
    if not compiled.n_spills:
        return 0
    from workbench.fusion.gpu.aot import usage

    number = int(compiled.metadata.target.arch)
    try:
        return usage(compiled.asm["ptx"], f"sm_{number}{'a' if number >= 90 else ''}")[1]
    except (OSError, subprocess.CalledProcessError, StopIteration):
        return int(compiled.n_spills)


def waited(device: Any) -> float:
    """Return the time when a device has done all that it was given."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def resident(compiled: Any, warps: int, device: Any) -> int:
    """Return how many blocks of a compiled kernel the device holds at a time."""
    import torch

    properties = torch.cuda.get_device_properties(device)
    threads = warps * 32
    registers = max(compiled.n_regs, 16)
    registers = (registers + 7) // 8 * 8 * threads
    blocks = min(
        properties.max_threads_per_multi_processor // threads, properties.regs_per_multiprocessor // registers, 32
    )
    shared = compiled.metadata.shared
    if shared:
        blocks = min(blocks, properties.shared_memory_per_multiprocessor // (shared + 1024))
    return int(max(1, blocks)) * int(properties.multi_processor_count)
