"""From the roots of one kernel to a program of loops, and how its buffers are bound when it runs."""

from workbench.fusion.lower.bindings import Input, Lowered, Output, like
from workbench.fusion.lower.loops import Lowering, lower

__all__ = ["Input", "Lowered", "Lowering", "Output", "like", "lower"]
