"""The processor under the kernels: its features, LLVM's passes for it, and code in memory that can be called."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import threading
import weakref
from dataclasses import dataclass
from typing import Any

from workbench.fusion.cpu.vmath import Target

__all__ = ["Host", "LoadedCode", "host", "load", "object_code"]

#: the code is in vectors as it is written: what is left of O2 makes as fast code in a quarter of the time. No pass
#: looks for what is computed twice: the one that llvmlite offers (NewGVN) aborts on some loops of two reductions, and
#: selecting instructions finds the same within a block
_PASSES = (
    "always_inliner",
    "global_dead_code_eliminate",
    "sroa",
    "simplify_cfg",
    "instruction_combine",
    "loop_rotate",
    "simplify_cfg",
    "dead_code_elimination",
)

_lock = threading.RLock()  # LLVM's contexts and engines are not made for several threads at once


@dataclass(frozen=True)
class Host:
    """What code is generated for.

    Attributes
    ----------
    cpu : str
        LLVM's name of the processor.
    features : str
        LLVM's list of what it has.
    bits : int
        Bits of its vector registers that are used.
    fma, avx512 : bool
    """

    cpu: str
    features: str
    bits: int
    fma: bool
    avx512: bool

    @property
    def target(self) -> Target:
        """What the elementary functions need to know."""
        return Target(fma=self.fma, scalef=self.avx512 and self.bits == 512)

    @property
    def identity(self) -> str:
        """What kept object code depends on: processor, width, and the version of LLVM."""
        import llvmlite
        import llvmlite.binding as llvm

        text = f"{llvm.get_process_triple()}|{self.cpu}|{self.features}|{self.bits}|{llvmlite.__version__}"
        return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def host(bits: int | None = None) -> Host:
    """Return this machine, with vectors of `bits` (default: the widest that it has)."""
    import llvmlite.binding as llvm

    _start()
    try:
        has = dict(llvm.get_host_cpu_features())
        cpu = llvm.get_host_cpu_name()
    except RuntimeError:  # LLVM cannot tell on this system
        has, cpu = {}, ""
    arm = "aarch64" in llvm.get_process_triple() or "arm64" in llvm.get_process_triple()
    avx512 = all(has.get(name, False) for name in ("avx512f", "avx512dq", "avx512bw", "avx512vl"))
    widest = 512 if avx512 else 256 if has.get("avx2", False) else 128
    named = os.environ.get("WORKBENCH_FUSION_BITS")
    asked = bits if bits is not None else int(named) if named in ("128", "256", "512") else widest
    flags = [("+" if on else "-") + name for name, on in sorted(has.items())]
    # Without this, LLVM splits 512-bit vectors on the processors that once slowed down for them.
    features = ",".join([*flags, "-prefer-256-bit"] if avx512 else flags)
    return Host(cpu, features, min(asked, widest), bool(has.get("fma", arm)), avx512)


@functools.cache
def _start() -> None:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


@functools.cache
def _machine(cpu: str, features: str) -> Any:
    import llvmlite.binding as llvm

    _start()
    target = llvm.Target.from_default_triple()
    # Large: where memory is in pieces, code and its constants may stand further apart than 2 GB, and LLVM aborts.
    return target.create_target_machine(cpu=cpu, features=features, opt=2, reloc="static", codemodel="large")


def object_code(text: str, machine: Host, *, assembly: bool = False) -> bytes | str:
    """Return the machine code of a module's text, as an object file; or its assembly.

    Raises
    ------
    RuntimeError
        Of LLVM's parser or verifier: a bug of whoever wrote the text.
    """
    import llvmlite.binding as llvm

    with _lock, contextlib.ExitStack() as held:  # closed in order, whatever an interrupt leaves in a traceback
        tm = _machine(machine.cpu, machine.features)
        context = llvm.create_context()
        held.callback(context.close)
        module = llvm.parse_assembly(text, context)
        held.callback(module.close)
        module.verify()
        builder = llvm.create_pass_builder(tm, llvm.create_pipeline_tuning_options(speed_level=2))
        held.callback(builder.close)
        passes = llvm.create_new_module_pass_manager()
        held.callback(passes.close)
        for name in _PASSES:
            getattr(passes, f"add_{name}_pass")()
        passes.run(module, builder)
        return tm.emit_assembly(module) if assembly else tm.emit_object(module)


class LoadedCode:
    """Machine code in memory; functions stay callable as long as this lives."""

    def __init__(self, content: bytes, machine: Host) -> None:
        import llvmlite.binding as llvm

        _start()
        with _lock:
            context = llvm.create_context()
            self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly("", context), _new_machine(machine))
            held = llvm.ObjectFileRef.from_data(content)
            # Garbage in a circle is finalised in any order, and an engine does not survive its context.
            weakref.finalize(self, _unload, self._engine, held, context).atexit = False
            self._engine.add_object_file(held)
            self._engine.finalize_object()

    def address(self, name: str) -> int:
        """Return the address of a function."""
        with _lock:
            found = self._engine.get_function_address(name)
        if not found:
            raise KeyError(name)
        return found

    def function(self, name: str, *kinds: Any) -> Any:
        """Return a function as a ctypes callable without a result."""
        made = ctypes.CFUNCTYPE(None, *kinds)(self.address(name))
        made.keep = self  # type: ignore[attr-defined]  # the code must not go before the function
        return made


def _unload(engine: Any, *held: Any) -> None:
    """Free an engine, then what it stands on."""
    engine.close()
    for each in held:
        each.close()


def _new_machine(machine: Host) -> Any:
    import llvmlite.binding as llvm

    # An engine owns its target machine.
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=machine.cpu, features=machine.features, opt=2, reloc="static", codemodel="large"
    )


def load(content: bytes, machine: Host) -> LoadedCode:
    """Return object code as code that can be called."""
    return LoadedCode(content, machine)
