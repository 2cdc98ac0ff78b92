"""Proxies: quick functions of one's own that say whether a frame may show anything of a type.

Under `accuracy`, frames that a proxy finds improbable are not shown to the detector. It is measured before it is used:
on the canary's frames, beside the detector, which also tells from which score on a frame is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.engine.errors import WorkbenchError
from workbench.video.models.base import Floats, Image
from workbench.video.models.callables import callable_code, callable_version

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Proxy", "proxies", "proxies_for", "register_proxy"]


@dataclass(frozen=True)
class Proxy:
    """A proxy by description.

    Attributes
    ----------
    name : str
    labels : tuple of str, or None
        What it speaks for; None: anything.
    version : str
        Part of cache keys; "" where nothing tells one version from the next.
    function : callable
    code : str
        Tells one text of the function from the next.
    """

    name: str
    labels: tuple[str, ...] | None
    version: str
    function: Callable[[list[Image]], Any] = field(repr=False, compare=False)
    code: str = ""
    notes: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    def scores(self, images: Sequence[Image]) -> Floats:
        """Return a score for each picture.

        Raises
        ------
        WorkbenchError
            If the function gives something else than one number for each picture.
        """
        answer = self.function(list(images))
        if not hasattr(answer, "__len__") or len(answer) != len(images):
            found = f"{len(answer)} scores" if hasattr(answer, "__len__") else type(answer).__name__
            raise WorkbenchError(
                f"The proxy {self.name} returned {found} for {len(images)} images.", "Return one number for each image."
            )
        return np.asarray(list(answer), np.float64)


_PROXIES: dict[str, Proxy] = {}


def register_proxy(
    name: str,
    function: Callable[[list[Image]], Any],
    *,
    labels: str | Iterable[str] | None = None,
    version: str | None = None,
) -> None:
    """Offer a quick test of frames to queries with `accuracy=`.

    A query uses it where the canary shows that its answer stays accurate, and that it saves work.

    Parameters
    ----------
    name : str
        What the plan calls it.
    function : callable
        `f(images) -> list of numbers` (or of True and False): one for each BGR uint8 picture (height, width, 3), the
        larger the more probable it is that the picture shows one of the labels. From which number on a frame is
        looked at is found on the canary.
    labels : str or list of str, optional
        Detector labels that it speaks for: queries use it if these cover all their types; None: whatever they ask for.
    version : str, optional
        Goes into cache keys; without it the function's fingerprint does.

    Raises
    ------
    WorkbenchError
        For something that cannot be called, or a name that is taken.
    """
    if not callable(function):
        raise WorkbenchError(f"The proxy '{name}' needs a function, got {type(function).__name__}.", "f(images).")
    if name == "background":
        raise WorkbenchError("'background' is the built-in test of frames.", "Register yours under another name.")
    told, notes = callable_version(function, version)
    notes = tuple((message, 'Pass version="..." to register_proxy().') for message, _ in notes)
    listed = None if labels is None else ((labels,) if isinstance(labels, str) else tuple(map(str, labels)))
    _PROXIES[name] = Proxy(name, listed, told, function, callable_code(function), notes)


def proxies() -> pd.DataFrame:
    """Return the registered proxies.

    Returns
    -------
    DataFrame
        `name`, `labels` (list of str; empty: anything).
    """
    import pandas as pd

    rows = [(proxy.name, list(proxy.labels or ())) for proxy in _PROXIES.values()]
    return pd.DataFrame(rows, columns=["name", "labels"]).astype({"name": "str"})


def proxies_for(needed: Iterable[tuple[str, ...] | None]) -> tuple[Proxy, ...]:
    """Return the proxies that speak for all labels of all types, in the order in which they were registered.

    Parameters
    ----------
    needed : iterable of tuple of str, or None
        The labels of each type (None: any label).
    """
    types = list(needed)
    return tuple(
        proxy
        for proxy in _PROXIES.values()
        if proxy.labels is None or all(labels is not None and set(labels) <= set(proxy.labels) for labels in types)
    )
