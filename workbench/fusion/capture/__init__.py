"""Capture: NumPy and pandas code as expressions."""

from workbench.fusion.capture import ndoperators as ndoperators  # gives LazyArray its operators
