"""Nets and data that are trained over links: the same for ours and for its peers, by seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["RECIPES", "Recipe"]


@dataclass(frozen=True)
class Recipe:
    """How a net is made, and what it is trained on.

    Attributes
    ----------
    samples : int
        Of random data; 0 for handwritten digits.
    rate, momentum : float
        Of SGD.
    """

    samples: int
    rate: float
    momentum: float

    def net(self, seed: int) -> torch.nn.Module:
        """Return a fresh net, with the weights of a seed."""
        import torch
        from torch import nn

        torch.manual_seed(seed)
        if not self.samples:
            return nn.Sequential(
                nn.Linear(64, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10)
            )  # fmt: skip
        layers: list[nn.Module] = []
        channels = 3
        for wide in (32, 64, 128):
            layers += [nn.Conv2d(channels, wide, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
            channels = wide
        dense = [nn.Linear(128 * 16, 4096), nn.ReLU(), nn.Linear(4096, 2048), nn.ReLU(), nn.Linear(2048, 10)]
        return nn.Sequential(*layers, nn.Flatten(), *dense)

    def data(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs and targets to train on."""
        import torch

        if not self.samples:
            return self.split()[0]
        made = torch.Generator().manual_seed(0)
        return torch.randn(self.samples, 3, 32, 32, generator=made), torch.randint(10, (self.samples,), generator=made)

    def split(self) -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        """Return handwritten digits to train on, and those to judge on."""
        import torch

        from workbench.tta.samples import digits

        found = digits()
        parts = ((found.train_x, found.train_y), (found.val_x, found.val_y))
        first, second = ((torch.as_tensor(2 * images - 1), torch.as_tensor(labels)) for images, labels in parts)
        return first, second

    def optimizer(self, net: torch.nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer of a net."""
        import torch

        return torch.optim.SGD(net.parameters(), lr=self.rate, momentum=self.momentum)


#: a net like VGG, of 16.9 million parameters, nearly all in what comes last; and a small one that learns digits
RECIPES = {"vgg": Recipe(4096, 0.005, 0.9), "digits": Recipe(0, 0.05, 0.9)}
