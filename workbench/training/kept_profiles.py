"""Profiles are kept: the same model, batch, device and versions are measured once."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

from workbench.training.graph import Node, Profile

if TYPE_CHECKING:
    import torch
    from torch import fx, nn

__all__ = ["keep_profile", "profile_key", "read_kept"]

#: changes when what is measured changes
VERSION = 2


def profile_key(
    model: nn.Module,
    graph: fx.Graph,
    inputs: Any,
    target: Any,
    loss: Any,
    counts: tuple[int, int],
    device: torch.device,
) -> str | None:
    """Return what a profile is kept under; None if the content of a function cannot be told."""
    import torch
    from torch.utils import _pytree as pytree

    from workbench.engine.fingerprint import fingerprint
    from workbench.engine.keys import key

    def shapes(value: Any) -> list[tuple[str, str]]:
        return [
            (str(tuple(leaf.shape)), str(leaf.dtype)) if isinstance(leaf, torch.Tensor) else ("", type(leaf).__name__)
            for leaf in pytree.tree_leaves(value)
        ]

    own = {type(part).forward for part in model.modules() if not type(part).__module__.startswith("torch.nn")}
    try:
        code = sorted(fingerprint(function) for function in own)
        taken = None if loss is None else fingerprint(loss)
    except Exception:
        return None
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.node()} {platform.processor()}"
    tensors = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    held = [(title, shapes(tensor), tensor.requires_grad, model.training) for title, tensor in tensors]
    threads = torch.get_num_threads()
    return key(
        "training.profile", VERSION, str(graph), str(model), code, taken, held, shapes(inputs), shapes(target), counts,
        str(device.type), name, threads, torch.__version__,
    )  # fmt: skip


def read_kept(kept: str | None) -> Profile | None:
    """Return the profile that is kept under a key, or None."""
    if kept is None:
        return None
    from workbench.engine.store import store

    found = store().get_json(kept)
    if found is None:
        return None
    nodes = tuple(
        Node(name, text, forward, backward, tuple(sizes), weight)
        for name, text, forward, backward, sizes, weight in found["nodes"]
    )
    return Profile(nodes, tuple((start, end) for start, end in found["edges"]), found["batch_size"])


def keep_profile(kept: str | None, found: Profile, seconds: float) -> None:
    """Keep a profile that took so many seconds to measure."""
    if kept is None:
        return
    from workbench.engine.store import store

    nodes = [
        [
            node.id,
            node.description,
            node.forward_ms,
            node.backward_ms,
            list(node.activation_bytes),
            node.parameter_bytes,
        ]
        for node in found.nodes
    ]
    content = {"nodes": nodes, "edges": [list(edge) for edge in found.edges], "batch_size": found.batch_size}
    store().put_json(kept, content, kind="profile", cost_s=seconds)
