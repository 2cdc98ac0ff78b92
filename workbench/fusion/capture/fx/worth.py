"""Whether a captured graph is worth the way into compiled code: a small one is torch's, as it was written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from workbench.fusion.capture.fx.calls import value_of
from workbench.fusion.capture.fx.choosing import SLOWER_FUSED, choose, eager_ms
from workbench.fusion.capture.fx.execution import RegionCall
from workbench.fusion.capture.fx.regions import Cut
from workbench.fusion.plan.model import device_model

__all__ = ["Small", "checked"]

#: milliseconds of CPU that AOTAutograd takes around a graph, besides what torch's own operators take: of inference, and
#: of a pass forward and backward
INFERENCE_MS, TRAINING_MS = 0.05, 0.2
#: what eager code takes more than that of is not looked at any closer
SURELY = 20.0


class Small(Exception):
    """A graph that is better left as it was written.

    Attributes
    ----------
    cuts : list of Cut
        Its parts, which are shown in plans.
    reason : str
    """

    def __init__(self, cuts: Sequence[Cut], reason: str) -> None:
        super().__init__(reason)
        self.cuts, self.reason = list(cuts), reason


def checked(cuts: Sequence[Cut], training: bool) -> None:
    """Let a graph pass that is worth it.

    Parameters
    ----------
    cuts : sequence of Cut
        The graph, or its parts forward and backward.
    training : bool

    Raises
    ------
    Small
        If what fusing saves is less than what the way in takes; graphs whose lengths change, and those of other devices
        than the CPU, pass.
    """
    regions = [region for each in cuts for region in each.regions]
    if any(_is_open(node) for each in cuts for node in each.inputs):
        return
    model, entry = device_model(), TRAINING_MS if training else INFERENCE_MS
    eager = sum(eager_ms(each, model, as_written=True) for each in regions)
    if eager > SURELY * entry:
        return
    ours = entry + sum(choose(each, RegionCall(each)).ms for each in regions)
    if ours > eager:
        raise Small(cuts, f"{SLOWER_FUSED} ({1e3 * ours:.0f} against {1e3 * eager:.0f} us with the way into the graph)")


def _is_open(node: Any) -> bool:
    """Whether an input has lengths that change, or is not the CPU's."""
    value = value_of(node)
    if isinstance(value, torch.SymInt):
        return True
    if not isinstance(value, torch.Tensor):
        return False
    return value.device.type != "cpu" or any(isinstance(d, torch.SymInt) for d in value.shape)
