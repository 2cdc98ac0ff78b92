"""The steps of a cut graph as one function: nothing is looked up while it runs, and what is read no more is let go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from workbench.fusion.capture.fx.randoms import draw
from workbench.fusion.capture.fx.regions import Cut, Region

__all__ = ["program", "straight"]

#: operators whose functions are called without torch's dispatch between
_PLAIN = {torch.ops.workbench.seed.default: draw}


def program(cut: Cut, call_of: Callable[[Region], Callable[..., Sequence[torch.Tensor]]]) -> Callable[[list[Any]], Any]:
    """Return what runs a graph on a list of inputs, which it empties.

    Parameters
    ----------
    cut : Cut
    call_of : callable
        Gives for a region what computes its outputs.
    """
    writer = _Writer()
    inputs = [writer.name(node) for node in cut.inputs]
    lines = [f"[{', '.join(inputs)}] = args" if inputs else "", "args.clear()"]
    output = next(node for node in cut.gm.graph.nodes if node.op == "output")
    steps = cut.steps
    last = _last_uses(steps, output, cut.inputs)
    lines += [f"del {writer.name(node)}" for node in last[-1]]
    for k, step in enumerate(steps):
        if isinstance(step, Region):
            made = ", ".join(writer.name(node) for node in step.outputs)
            given = ", ".join(writer.name(node) for node in step.inputs)
            lines.append(f"[{made}] = {writer.constant(call_of(step))}({given})")
        elif step.op == "get_attr":
            lines.append(f"{writer.name(step)} = {writer.constant(_attribute(cut.gm, step.target))}")
        else:
            target = step.target if step.op == "call_function" else _attribute(cut.gm, step.target)
            target = _PLAIN.get(target, target)
            lines.append(f"{writer.name(step)} = {writer.call(target, step.args, step.kwargs)}")
        lines += [f"del {writer.name(node)}" for node in last[k]]
    lines.append(f"return {writer.argument(output.args[0])}")
    text = "def run(args):\n" + "".join(f"    {line}\n" for line in lines if line)
    exec(compile(text, "<workbench graph>", "exec"), writer.scope)
    run: Callable[[list[Any]], Any] = writer.scope["run"]
    run._boxed_call = True  # type: ignore[attr-defined]
    return run


def straight(region: Region) -> Callable[..., list[torch.Tensor]]:
    """Return what computes a region's outputs of its inputs, operator after operator."""
    writer = _Writer()
    inputs = [writer.name(node) for node in region.inputs]
    last: dict[Any, int] = {}
    for k, node in enumerate(region.nodes):
        last.update(dict.fromkeys([*node.all_input_nodes, node], k))
    for node in region.outputs:
        last.pop(node, None)
    lines = []
    for k, node in enumerate(region.nodes):
        lines.append(f"{writer.name(node)} = {writer.call(node.target, node.args, node.kwargs)}")
        lines += [f"del {writer.name(each)}" for each, end in last.items() if end == k]
    lines.append(f"return [{', '.join(writer.name(node) for node in region.outputs)}]")
    text = f"def run({', '.join(inputs)}):\n" + "".join(f"    {line}\n" for line in lines)
    exec(compile(text, "<workbench region>", "exec"), writer.scope)
    run: Callable[..., list[torch.Tensor]] = writer.scope["run"]
    return run


class _Writer:
    def __init__(self) -> None:
        self.names: dict[Any, str] = {}
        self.scope: dict[str, Any] = {}

    def name(self, node: Any) -> str:
        return self.names.setdefault(node, f"v{len(self.names)}")

    def constant(self, value: Any) -> str:
        name = f"c{len(self.scope)}"
        self.scope[name] = value
        return name

    def call(self, target: Any, args: Any, kwargs: Any) -> str:
        given = [self.argument(each) for each in args]
        given += [f"{name}={self.argument(each)}" for name, each in kwargs.items()]
        return f"{self.constant(target)}({', '.join(given)})"

    def argument(self, value: Any) -> str:
        if isinstance(value, torch.fx.Node):
            return self.name(value)
        if isinstance(value, list):
            return f"[{', '.join(map(self.argument, value))}]"
        if type(value) is tuple:
            return f"({''.join(self.argument(each) + ', ' for each in value)})"
        if isinstance(value, slice):
            return f"slice({self.argument(value.start)}, {self.argument(value.stop)}, {self.argument(value.step)})"
        if isinstance(value, dict):
            return "{" + ", ".join(f"{k!r}: {self.argument(v)}" for k, v in value.items()) + "}"
        if value is None or type(value) in (bool, int, str):
            return repr(value)
        return self.constant(value)


def _attribute(gm: Any, target: str) -> Any:
    for part in target.split("."):
        gm = getattr(gm, part)
    return gm


def _last_uses(steps: Sequence[Any], output: Any, inputs: Sequence[Any]) -> dict[int, list[Any]]:
    """Return for each step the values that nobody needs after it; -1 is before the first."""
    last = dict.fromkeys(inputs, -1)
    for k, step in enumerate(steps):
        made = step.outputs if isinstance(step, Region) else [step]
        for node in (*(step.inputs if isinstance(step, Region) else step.all_input_nodes), *made):
            last[node] = k
    for node in output.all_input_nodes:
        last.pop(node, None)
    found: dict[int, list[Any]] = {k: [] for k in range(-1, len(steps))}
    for node, k in last.items():
        found[k].append(node)
    return found
