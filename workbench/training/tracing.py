"""Tracing: a module as a graph of leaf modules, functions and methods, or the line that stands against it."""

from __future__ import annotations

import inspect
import linecache
import os
import traceback
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from workbench.training import errors

if TYPE_CHECKING:
    from torch import fx, nn

__all__ = ["trace"]


def trace(model: nn.Module, inputs: int = 1) -> fx.Graph:
    """Return the graph of a module's forward.

    Leaves are the modules of `torch.nn`, and those with a true attribute `pipeline_leaf`.

    Parameters
    ----------
    model : torch.nn.Module
    inputs : int
        How many positional arguments it is called with; others keep their defaults.

    Raises
    ------
    NotPipelinableError
        If what it does hangs on its data, with the line.
    """
    import torch
    from torch import fx

    if not isinstance(model, torch.nn.Module):
        raise errors.TrainingError(
            f"A model is a torch.nn.Module, not {type(model).__name__}.", "Pass the module itself."
        )

    class Tracer(fx.Tracer):  # type: ignore[misc]
        def is_leaf_module(self, module: nn.Module, name: str) -> bool:
            return bool(getattr(module, "pipeline_leaf", False)) or super().is_leaf_module(module, name)

    try:
        return Tracer().trace(model)
    except Exception as error:
        found = error
    defaults = _defaults(model, inputs)
    if defaults:
        try:
            return _without_checks(Tracer().trace(model, concrete_args=defaults), defaults)
        except Exception as error:
            found = error
    raise _told(found) from found


def _defaults(model: nn.Module, inputs: int) -> dict[str, Any]:
    """Return the arguments that a call leaves out, with their values."""
    parameters = list(inspect.signature(model.forward).parameters.values())
    return {
        parameter.name: parameter.default
        for parameter in parameters[inputs:]
        if parameter.default is not inspect.Parameter.empty
    }


def _without_checks(graph: fx.Graph, fixed: Collection[str]) -> fx.Graph:
    """Return a graph without the arguments that are fixed, and without the tests that they have their values."""
    # fx calls the argument `flag` `flag_1`, and asserts that it is what it was traced with
    places = [node for node in graph.nodes if node.op == "placeholder" and str(node.target).rpartition("_")[0] in fixed]
    for place in places:
        for test in list(place.users):
            for check in list(test.users):
                graph.erase_node(check)
            graph.erase_node(test)
        graph.erase_node(place)
    return graph


def _told(error: Exception) -> errors.NotPipelinableError:
    """Return the error that names the line of the model at which tracing stopped."""
    import torch
    from torch.fx.proxy import TraceError

    own = (os.path.dirname(torch.__file__) + os.sep, __file__)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(own)]
    if not frames:
        return errors.NotPipelinableError(
            f"The model cannot be traced: {error}.", "Mark it a leaf with pipeline_leaf = True."
        )
    frame = frames[-1]
    line = frame.lineno or 0
    code = (frame.line or linecache.getline(frame.filename, line)).strip()
    if isinstance(error, TraceError):
        return errors.depends_on_data(frame.filename, line, code)
    return errors.cannot_trace(frame.filename, line, code, " ".join(str(error).split()).rstrip(".")[:200])
