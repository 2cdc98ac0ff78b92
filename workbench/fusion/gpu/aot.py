"""Compiling kernels ahead of time, without a device, and reading from the compiled code what it takes."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from workbench.fusion.errors import arch_differs
from workbench.fusion.gpu.launch import function_of
from workbench.fusion.gpu.memory import TYPES, Spec
from workbench.fusion.gpu.source import Argument, Source

__all__ = ["CompiledKernel", "aot", "compiled", "target_of"]

#: bytes of a vector access by its form in PTX
_ACCESS = re.compile(r"\b(ld|st)\.(?:[a-z_:0-9]+\.)*?global(?:\.[a-z_A-Z:0-9]+)*?(?:\.v(\d))?\.b(\d+)\b")


@dataclass(eq=False)
class CompiledKernel:
    """A kernel as machine code.

    Attributes
    ----------
    name, arch : str
    registers : int
        Of a thread.
    spills : int
        Bytes that a thread stores and loads because registers did not suffice.
    shared_bytes : int
        Of a block.
    num_warps : int
        Of a block.
    vector_bytes : int
        Widest access of one thread to global memory.
    accesses : dict of str to int
        Form in PTX -> how many there are.
    barrier : bool
        Whether blocks of the grid wait for one another.
    resident_blocks : int
        That a multiprocessor holds at a time.
    ptx : str
    cubin : bytes
    compile_ms : float
        CPU time.
    walks : bool
        Whether rows are walked in steps, because they would not fit the registers or are too long.
    retries : int
        How often it was planned again because it spilled.
    """

    name: str
    arch: str
    registers: int
    spills: int
    shared_bytes: int
    num_warps: int
    vector_bytes: int
    accesses: dict[str, int]
    barrier: bool
    resident_blocks: int
    ptx: str = field(repr=False)
    cubin: bytes = field(repr=False)
    compile_ms: float = 0.0
    walks: bool = False
    retries: int = 0


def target_of(arch: str) -> int:
    """Return the number of an architecture: 90 of "sm_90", which is "sm_90a"."""
    found = re.fullmatch(r"(?:cuda:)?sm_(\d+)a?", arch)
    if found is None:
        raise arch_differs("cuda:sm_90", arch)
    return int(found.group(1))


def aot(plan: Any, arch: str = "sm_90a") -> list[CompiledKernel]:
    """Compile the kernels of a plan; nothing is run, and no GPU is needed.

    The plan keeps them, and tells of their registers, spills and widest accesses from then on.

    Parameters
    ----------
    plan : FusionPlan
        Made by `plan_graph` for the same architecture.
    arch : str

    Returns
    -------
    list of CompiledKernel
        Library calls are left out.

    Raises
    ------
    FusionError
        If the plan is for another device.
    """
    if not plan.device.startswith("cuda:") or target_of(plan.device) != target_of(arch):
        raise arch_differs(plan.device, arch)
    made = {each.name: each for each in plan.compiled if target_of(each.arch) == target_of(arch)}
    known: dict[tuple[str, int], CompiledKernel] = {}
    for source in plan.sources:
        if source.name in made:
            continue
        key = source.text.replace(source.name, "kernel"), source.warps
        found = known.get(key)
        if found is None:
            found = known[key] = compiled(source, arch)
        else:  # kernels of one text are compiled once
            found = dataclasses.replace(found, name=source.name, compile_ms=0.0)
        made[source.name] = found
    plan.compiled = list(made.values())
    for kernel in plan.kernels:
        if kernel.name in made:
            kernel.compile_ms, kernel.asm = made[kernel.name].compile_ms, made[kernel.name].ptx
    plan.compile_ms = sum(each.compile_ms for each in made.values())
    return plan.compiled


def compiled(source: Source, arch: str = "sm_90a") -> CompiledKernel:
    """Return a kernel compiled for an architecture; where it spills, its blocks get more warps, or its rows are walked.

    Parameters
    ----------
    source : Source
        It is what was compiled last.
    arch : str
    """
    begin = time.process_time()
    found = _compiled(source, arch)
    tries = 0
    while found.spills and source.relieve():
        found = _compiled(source, arch)
        tries += 1
    found.retries = tries
    found.compile_ms = 1e3 * (time.process_time() - begin)
    return found


def _compiled(source: Source, arch: str) -> CompiledKernel:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    number = target_of(arch)
    signature = {
        each.name: f"{'' if each.what == 'number' else '*'}{TYPES[each.storage][0]}" for each in source.arguments
    }
    attrs = {(k,): [["tt.divisibility", 16]] for k, each in enumerate(source.arguments) if _aligned(each)}
    made = triton.compile(
        ASTSource(function_of(source), signature, {}, attrs),
        target=GPUTarget("cuda", number, 32),
        options={
            "num_warps": source.warps,
            "enable_fp_fusion": True,
            "launch_cooperative_grid": source.phases > 1,
        },
    )
    ptx, cubin = made.asm["ptx"], made.asm["cubin"]
    registers, spills = usage(ptx, f"sm_{number}{'a' if number >= 90 else ''}")
    accesses = accesses_of(ptx)
    shared = int(made.metadata.shared)
    return CompiledKernel(
        source.name,
        arch,
        registers,
        spills,
        shared,
        source.warps,
        max([_bytes(each) for each in accesses], default=0),
        accesses,
        source.phases > 1,
        resident_blocks(number, registers, source.warps, shared),
        ptx,
        cubin,
        walks=source.walks,
    )


def usage(ptx: str, arch: str) -> tuple[int, int]:
    """Return the registers of a thread, and the bytes that it spills, as the assembler tells them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.ptx"
        path.write_text(ptx, encoding="utf-8")
        command = [_assembler(), "-v", f"-arch={arch}", str(path), "-o", str(Path(folder) / "kernel.cubin")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    text = done.stderr + done.stdout
    used = re.search(r"Used (\d+) registers", text)
    spilled = re.findall(r"(\d+) bytes spill (?:stores|loads)", text)
    return int(used.group(1)) if used else 0, sum(int(each) for each in spilled)


@cache
def _assembler() -> str:
    """Return the assembler that comes with Triton; the one for newer devices takes kernels that the other aborts on."""
    import triton

    folder = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    return str(next(folder / name for name in ("ptxas-blackwell", "ptxas") if (folder / name).exists()))


def accesses_of(ptx: str) -> dict[str, int]:
    """Return how often each form of access to global memory occurs."""
    found: dict[str, int] = {}
    for what, many, width in _ACCESS.findall(ptx):
        form = f"{what}.global{'.v' + many if many else ''}.b{width}"
        found[form] = found.get(form, 0) + 1
    return found


def _bytes(form: str) -> int:
    many = re.search(r"\.v(\d)", form)
    width = re.search(r"\.b(\d+)$", form)
    assert width is not None
    return (int(many.group(1)) if many else 1) * int(width.group(1)) // 8


def resident_blocks(number: int, registers: int, warps: int, shared: int) -> int:
    """Return how many blocks a multiprocessor holds at a time."""
    from workbench.fusion.plan.model import device_model

    limits = device_model(f"cuda:sm_{number}").limits
    threads = 32 * warps
    blocks = min(limits.threads // threads, limits.registers // ((max(registers, 1) + 7) // 8 * 8 * threads), 32)
    if shared:
        blocks = min(blocks, (limits.shared_bytes + 1024) // (shared + 1024))
    return blocks


def _aligned(argument: Argument) -> bool:
    if argument.what == "number":
        return argument.size % 16 == 0
    node = argument.node
    return node.data.aligned if node is not None and isinstance(node.data, Spec) else True
