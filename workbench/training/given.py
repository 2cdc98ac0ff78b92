"""Whether what training was given is of the right kind, said before anything is started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workbench.training import errors

if TYPE_CHECKING:
    import torch

__all__ = ["as_device", "as_metrics", "check_device", "check_given"]

#: seconds that workers are waited for when they are asked for a device
PATIENCE = 60.0


def check_given(model: Any, loss: Any, evaluate: Any, seed: Any) -> None:
    """See that a model can be trained and evaluated, by what its parts are.

    Raises
    ------
    TrainingError
    """
    from torch import nn

    if not isinstance(model, nn.Module):
        raise errors.TrainingError(f"A model is a torch.nn.Module, not {_kind(model)}.", "Pass the module itself.")
    if not callable(loss):
        raise errors.TrainingError(
            f"loss is a function of output and target; got {_kind(loss)}.", "Pass torch.nn.functional.cross_entropy."
        )
    if evaluate is not None and not callable(evaluate):
        raise errors.TrainingError(
            f"evaluate is a function of the model; got {_kind(evaluate)}.",
            'Write evaluate=lambda model: {"top1": 97.5}, or pass validation=(x, y).',
        )
    if isinstance(seed, bool) or not hasattr(type(seed), "__index__"):
        raise errors.TrainingError(f"seed is a whole number; got {seed!r}.", "Write seed=0.")


def as_metrics(found: Any) -> dict[str, float]:
    """Return what `evaluate` gave, as numbers by name.

    Raises
    ------
    TrainingError
    """
    try:
        if not isinstance(found, Mapping):
            raise TypeError
        return {str(name): float(value) for name, value in found.items()}
    except (TypeError, ValueError):
        raise errors.TrainingError(
            f"evaluate gave {_kind(found)} where it should give numbers by name.", 'Return {"top1": 97.5}.'
        ) from None


def as_device(name: Any) -> torch.device:
    """Return a device on which something can be run in this process.

    Raises
    ------
    TrainingError
    """
    import torch

    device = _named(name)
    if why := _without(str(device)):
        raise errors.TrainingError(f"Nothing can be run on the device {name!r}: {why}.", 'Use "cpu".')
    assert isinstance(device, torch.device)
    return device


def check_device(name: Any, addresses: list[str]) -> None:
    """See that all of some workers have a device.

    Raises
    ------
    TrainingError
    """
    from workbench.engine import session

    device = str(_named(name))
    if device == "cpu":
        return
    client = session.session()
    asked = [
        client.submit(_without, device, workers=[address], allow_other_workers=False, pure=False)
        for address in addresses
    ]
    for address, answer in zip(addresses, asked, strict=True):
        if why := answer.result(timeout=PATIENCE):
            raise errors.TrainingError(
                f"The worker {address} has no device {device}: {why}.", 'Use device="cpu", or workers that have it.'
            )


def _named(name: Any) -> torch.device:
    import torch

    try:
        return torch.device(name)
    except (RuntimeError, TypeError):
        raise errors.TrainingError(f"{name!r} is no device.", 'Use "cpu" or "cuda".') from None


def _without(device: str) -> str:
    """Return why nothing can be run on a device in this process, or nothing if it can."""
    import torch

    try:
        torch.empty(0, device=device)
    # whichever of these a device's backend raises
    except (RuntimeError, AssertionError, ImportError, NotImplementedError) as error:
        return str(error).partition("\n")[0].rstrip(".") or type(error).__name__
    return ""


def _kind(value: Any) -> str:
    return f"{value!r}" if isinstance(value, (int, float, str, type(None))) else f"a {type(value).__name__}"
