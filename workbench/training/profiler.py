"""Profiler: what each node of a model takes, measured on stock torch."""

from __future__ import annotations

import contextlib
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from workbench.training import errors
from workbench.training.blocks import kept_blocks
from workbench.training.given import as_device
from workbench.training.graph import Node, Profile
from workbench.training.kept_profiles import keep_profile, profile_key, read_kept
from workbench.training.tracing import trace

if TYPE_CHECKING:
    import torch
    from torch import fx, nn

__all__ = ["profile"]


def profile(
    model: nn.Module,
    batch: Any,
    *,
    loss: Callable[[Any, Any], torch.Tensor] | None = None,
    repeats: int = 10,
    warmup: int = 2,
    device: str | torch.device | None = None,
) -> Profile:
    """Measure what each layer and function of a model takes for one batch, forward and backward.

    The model is left as it was: its gradients, buffers and the state of the random generators are put back. What was
    measured is kept: the same model, batch, device and versions are measured once.

    Parameters
    ----------
    model : torch.nn.Module
        In the mode it is in: `model.train()` is what training does.
    batch : tensor, (tensor,) or (tensor, target)
        One microbatch. A tuple in place of the tensor gives several inputs. The target is for `loss` alone.
    loss : callable, optional
        `loss(output, target)`; else the sum of the output.
    repeats, warmup : int
        How often it is measured, and run before that. The median counts.
    device : str or torch.device, optional
        Else the model's.

    Returns
    -------
    Profile
        Its nodes have the names of the trace. A node that holds a parameter of another one, and one that takes what
        is no tensor, is kept in one stage with that one.

    Raises
    ------
    NotPipelinableError
        If the model cannot be traced, with the line.
    TrainingError
        If nothing in it can be trained, or the arguments are none.
    """
    inputs, target = _parts(batch, loss)
    for name, count, least in (("repeats", repeats, 1), ("warmup", warmup, 0)):
        if isinstance(count, bool) or not isinstance(count, int) or count < least:
            raise errors.TrainingError(
                f"{name} is a whole number from {least} on; got {count!r}.", "Leave it out, or write 10."
            )
    graph = trace(model, len(inputs))
    import torch

    own = next((tensor.device for tensor in [*model.parameters(), *model.buffers()]), torch.device("cpu"))
    place = own if device is None else as_device(device)
    if place != own:
        import copy

        model = copy.deepcopy(model).to(place)
    inputs, target = _moved(inputs, place), _moved(target, place)
    kept = profile_key(model, graph, inputs, target, loss, (repeats, warmup), place)
    found = read_kept(kept)
    if found is None:
        begin = time.perf_counter()
        found = _measured(model, graph, inputs, target, loss, repeats, warmup, place)
        keep_profile(kept, found, time.perf_counter() - begin)
    return found


def _parts(batch: Any, loss: Any) -> tuple[tuple[Any, ...], Any]:
    parts = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
    if not 1 <= len(parts) <= 2 or (loss is not None and len(parts) == 1):
        wanted = "(x, y), as the loss needs a target" if loss is not None else "x, (x,) or (x, y)"
        raise errors.TrainingError(
            f"A batch is {wanted}; got {len(parts)} parts.", "Pass profile(model, (x, y), loss=loss)."
        )
    first = parts[0]
    inputs = tuple(first) if isinstance(first, (tuple, list)) else (first,)
    return inputs, parts[1] if loss is not None else None


def _moved(value: Any, device: torch.device) -> Any:
    import torch
    from torch.utils import _pytree as pytree

    def move(leaf: Any) -> Any:
        if isinstance(leaf, torch.Tensor):
            return leaf.to(device)
        # arrays of NumPy stand for tensors
        return torch.as_tensor(leaf).to(device) if hasattr(leaf, "__array__") else leaf

    return pytree.tree_map(move, value)


def _measured(
    model: nn.Module,
    graph: fx.Graph,
    inputs: tuple[Any, ...],
    target: Any,
    loss: Callable[[Any, Any], torch.Tensor] | None,
    repeats: int,
    warmup: int,
    device: torch.device,
) -> Profile:
    import torch

    recorder = _recorder(model, graph, device)
    runs = []
    # Training keeps its memory too: gradients whose pages are new at each step would make large layers look slower.
    with kept_blocks(), _left_as_it_was(model, device), torch.enable_grad():
        for number in range(warmup + repeats):
            for parameter in model.parameters():
                parameter.grad = None
            forward, backward = recorder.once(inputs, target, loss)
            if number >= warmup:
                runs.append((forward, backward))
    return _profile(model, graph, recorder, runs, inputs)


@contextlib.contextmanager
def _left_as_it_was(model: nn.Module, device: torch.device) -> Iterator[None]:
    import torch

    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            for parameter, gradient in gradients:
                parameter.grad = gradient
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)


@contextlib.contextmanager
def _told(what: str, hint: str) -> Iterator[None]:
    """Tell in two lines of what does not fit together; memory that does not suffice is another matter."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        raise errors.TrainingError(f"{what}: {reason}.", hint) from error


def _recorder(model: nn.Module, graph: fx.Graph, device: torch.device) -> Any:
    import torch
    from torch import fx
    from torch.utils import _pytree as pytree

    class Recorder(fx.Interpreter):  # type: ignore[misc]
        """Runs the graph; notes when each node begins, forward and backward.

        Backward, a node begins when the gradient of its output is there, and ends when the next one begins. Hooks on
        tensors tell that of modules and of functions alike, and bear changes in place, which hooks on modules do not.
        """

        def __init__(self) -> None:
            super().__init__(fx.GraphModule(model, graph))
            self.sizes: dict[str, tuple[float, ...]] = {}
            self.tensors: dict[str, bool] = {}
            self.clock = _Clock(device)

        def once(self, inputs: Any, target: Any, loss: Any) -> tuple[dict[str, float], dict[str, float]]:
            """Run forward and backward once; return seconds of each node."""
            self.marks: list[tuple[str, Any]] = []
            self.hooked: list[Any] = []
            self.clock.start()
            with _told("The model cannot be run on this batch", "Pass what it is called with: x, (x,) or (x, y)."):
                output = self.run(*inputs)
            last = self.marks[-1][0] if self.marks else ""
            with _told("The loss cannot be taken of this output and target", "Pass profile(model, (x, y), loss=loss)."):
                value = _total(output) if loss is None else loss(output, target)
            if not (isinstance(value, torch.Tensor) and value.requires_grad and value.numel() == 1):
                raise errors.TrainingError(
                    "The loss is no single number that a gradient could be taken of.",
                    "Return the mean over samples, of a model with parameters that require grad.",
                )
            forward = self.clock.spans(self.marks)
            # what the loss takes is done where the output is made
            self.marks = [(last, self.clock.now())]
            value.backward()
            self.hooked.clear()
            return forward, self.clock.spans(self.marks)

        def run_node(self, node: fx.Node) -> Any:
            if node.op in ("placeholder", "get_attr", "output"):
                return super().run_node(node)
            self.marks.append((node.name, self.clock.now()))
            result = super().run_node(node)
            leaves = pytree.tree_leaves(result)
            held = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
            self.sizes[node.name] = tuple(float(leaf.numel() * leaf.element_size()) for leaf in held)
            self.tensors[node.name] = bool(held) and len(held) == sum(leaf is not None for leaf in leaves)
            for tensor in held:
                # an item, or what is passed through unchanged, was marked where it was made
                made = tensor.grad_fn
                if made is not None and not any(made is other for other in self.hooked):
                    self.hooked.append(made)
                    tensor.register_hook(self._mark(node.name))
            return result

        def _mark(self, name: str) -> Callable[[Any], None]:
            def mark(gradient: Any) -> None:
                self.marks.append((name, self.clock.now()))

            return mark

    return Recorder()


class _Clock:
    """Points in time: of the processor, or events on a GPU's stream."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def start(self) -> None:
        if self.device.type == "cuda":
            import torch

            torch.cuda.synchronize(self.device)

    def now(self) -> Any:
        if self.device.type != "cuda":
            return time.perf_counter()
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event

    def spans(self, marks: Sequence[tuple[str, Any]]) -> dict[str, float]:
        """Return the seconds from each mark to the next, the last one to now, summed up by name."""
        moments = [moment for _, moment in marks] + [self.now()]
        if self.device.type == "cuda":
            import torch

            torch.cuda.synchronize(self.device)
            gaps = [first.elapsed_time(second) / 1000 for first, second in itertools.pairwise(moments)]
        else:
            gaps = [second - first for first, second in itertools.pairwise(moments)]
        found: dict[str, float] = {}
        for (name, _), gap in zip(marks, gaps, strict=True):
            found[name] = found.get(name, 0.0) + gap
        return found


def _total(output: Any) -> Any:
    import torch
    from torch.utils import _pytree as pytree

    held = [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, torch.Tensor)]
    return sum(leaf.sum() for leaf in held if leaf.is_floating_point() or leaf.is_complex())


def _profile(
    model: nn.Module,
    graph: fx.Graph,
    recorder: Any,
    runs: Sequence[tuple[dict[str, float], dict[str, float]]],
    inputs: tuple[Any, ...],
) -> Profile:
    sizes = {name: _input_bytes(value) for name, value in zip(_placeholders(graph), inputs, strict=False)}
    owner: dict[int, str] = {}
    nodes: list[Node] = []
    edges: list[tuple[str, str]] = []
    for node in graph.nodes:
        if node.op == "placeholder" and node.name in sizes:
            nodes.append(Node(node.name, f"Input{len(nodes)}", 0.0, 0.0, sizes[node.name], 0.0))
        if node.op in ("placeholder", "get_attr", "output"):
            continue
        weight, ties = 0.0, []
        for tensor, counts in _tensors(model, node):
            holder = owner.setdefault(id(tensor), node.name)
            if holder != node.name:
                ties.append(f"[shares parameters with {holder}]")
            elif counts:
                weight += tensor.numel() * tensor.element_size()
        for parent in node.all_input_nodes:
            if parent.op == "get_attr" or (parent.op == "placeholder" and parent.name not in sizes):
                continue
            edges.append((parent.name, node.name))
            if parent.op != "placeholder" and not recorder.tensors[parent.name]:
                ties.append(f"[stays with {parent.name}]")
        nodes.append(
            Node(
                node.name,
                " ".join([_described(model, node), *dict.fromkeys(ties)]),
                1000 * statistics.median(forward.get(node.name, 0.0) for forward, _ in runs),
                1000 * statistics.median(backward.get(node.name, 0.0) for _, backward in runs),
                recorder.sizes[node.name],
                weight,
            )
        )
    first = next((value for value in inputs if getattr(value, "ndim", 0)), None)
    return Profile(tuple(nodes), tuple(edges), None if first is None else int(first.shape[0]))


def _placeholders(graph: fx.Graph) -> list[str]:
    return [node.name for node in graph.nodes if node.op == "placeholder"]


def _input_bytes(value: Any) -> tuple[float, ...]:
    import torch
    from torch.utils import _pytree as pytree

    leaves = [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, torch.Tensor)]
    return tuple(float(leaf.numel() * leaf.element_size()) for leaf in leaves)


def _tensors(model: nn.Module, node: fx.Node) -> Iterator[tuple[torch.Tensor, bool]]:
    """Return the tensors that a node holds, each once, and whether it is a parameter."""
    import torch

    seen = set()
    if node.op == "call_module":
        module = model.get_submodule(str(node.target))
        for tensors, counts in ((module.parameters(), True), (module.buffers(), False)):
            for tensor in tensors:
                yield tensor, counts
    for parent in node.all_input_nodes:
        if parent.op == "get_attr" and parent.target not in seen:
            seen.add(parent.target)
            value: Any = model
            for part in str(parent.target).split("."):
                value = getattr(value, part)
            if isinstance(value, torch.Tensor):
                yield value, isinstance(value, torch.nn.Parameter)


def _described(model: nn.Module, node: fx.Node) -> str:
    if node.op == "call_module":
        text = " ".join(str(model.get_submodule(str(node.target))).split())
        return text if len(text) <= 160 else f"{text[:157]}..."
    if node.op == "call_method":
        return str(node.target)
    name = str(getattr(node.target, "__name__", node.target))
    return f"__getitem__({node.args[1]})" if name == "getitem" else name
