"""Fusion over Dask: one compiled task for each partition, and partial results merged in partition order.

Calls are recorded, and each is tried on a few made-up rows at once, so that mistakes show where they are made. Work by
rows runs inside the partitions. A reduction or a group-by ends it: each partition gives a partial result, and a tree of
width 8 merges them. What is neither runs in Dask, over what was recorded so far.
"""

from workbench.fusion.dask.arrays import DaskArray, array
from workbench.fusion.dask.frames import DaskFrame, frame

__all__ = ["DaskArray", "DaskFrame", "array", "frame"]
