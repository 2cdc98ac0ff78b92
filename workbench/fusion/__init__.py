"""Fusion: one lazy compiler for NumPy and pandas code.

Names are loaded on first use, so importing the subpackage costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.engine.lazy import attach

if TYPE_CHECKING:
    from workbench.fusion.ahead import aot
    from workbench.fusion.api import array, cache_clear, compute, explain, plan_graph, plans
    from workbench.fusion.capture.array import LazyArray
    from workbench.fusion.capture.cell import CellResult, run_cell
    from workbench.fusion.capture.frame import LazyFrame, frame
    from workbench.fusion.capture.series import LazySeries
    from workbench.fusion.compare import compare
    from workbench.fusion.errors import (
        FusionError,
        FusionKeyError,
        FusionMemoryError,
        FusionShapeError,
        FusionTypeError,
    )
    from workbench.fusion.fuse import fuse
    from workbench.fusion.gpu.aot import CompiledKernel
    from workbench.fusion.plan.calibrate import calibrate
    from workbench.fusion.plan.model import DeviceModel
    from workbench.fusion.result import FusionPlan, Kernel

__all__ = [
    "CellResult",
    "CompiledKernel",
    "DeviceModel",
    "FusionError",
    "FusionKeyError",
    "FusionMemoryError",
    "FusionPlan",
    "FusionShapeError",
    "FusionTypeError",
    "Kernel",
    "LazyArray",
    "LazyFrame",
    "LazySeries",
    "aot",
    "array",
    "cache_clear",
    "calibrate",
    "compare",
    "compute",
    "explain",
    "frame",
    "fuse",
    "plan_graph",
    "plans",
    "run_cell",
]

_LAZY = {
    "CellResult": "workbench.fusion.capture.cell",
    "CompiledKernel": "workbench.fusion.gpu.aot",
    "DeviceModel": "workbench.fusion.plan.model",
    "FusionError": "workbench.fusion.errors",
    "FusionKeyError": "workbench.fusion.errors",
    "FusionMemoryError": "workbench.fusion.errors",
    "FusionPlan": "workbench.fusion.result",
    "FusionShapeError": "workbench.fusion.errors",
    "FusionTypeError": "workbench.fusion.errors",
    "Kernel": "workbench.fusion.result",
    "LazyArray": "workbench.fusion.capture.array",
    "LazyFrame": "workbench.fusion.capture.frame",
    "LazySeries": "workbench.fusion.capture.series",
    "aot": "workbench.fusion.ahead",
    "array": "workbench.fusion.api",
    "cache_clear": "workbench.fusion.api",
    "calibrate": "workbench.fusion.plan.calibrate",
    "compare": "workbench.fusion.compare",
    "compute": "workbench.fusion.api",
    "explain": "workbench.fusion.api",
    "frame": "workbench.fusion.capture.frame",
    "fuse": "workbench.fusion.fuse",
    "plan_graph": "workbench.fusion.api",
    "plans": "workbench.fusion.api",
    "run_cell": "workbench.fusion.capture.cell",
}

__getattr__, __dir__ = attach(__name__, _LAZY)
