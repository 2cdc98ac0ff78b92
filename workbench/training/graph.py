"""Profiles: what each layer of a model takes, and graph.txt, the file they are kept in."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.engine.result import Result
from workbench.training import errors

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Node", "Profile", "parents_of", "read_profile", "topological"]

_VALUES = ("forward_compute_time", "backward_compute_time", "activation_size", "parameter_size")
_BEFORE_VALUES = f" -- {_VALUES[0]}="
_BEFORE_STAGE = " -- stage_id="


@dataclass(frozen=True)
class Node:
    """One layer, function or input of a model, for one microbatch.

    Attributes
    ----------
    id, description : str
        `description` that begins with "Input" marks a source that is no layer.
    forward_ms, backward_ms : float
        Milliseconds.
    activation_bytes : tuple of float
        Bytes of each output.
    parameter_bytes : float
    stage : int or None
        Stage that a plan gave it.
    """

    id: str
    description: str
    forward_ms: float
    backward_ms: float
    activation_bytes: tuple[float, ...]
    parameter_bytes: float
    stage: int | None = None


@dataclass(frozen=True, repr=False)
class Profile(Result):
    """A model as a graph of nodes.

    Attributes
    ----------
    nodes : tuple of Node
        In the order of the file.
    edges : tuple of (str, str)
        From and to; in the order of their target nodes.
    batch_size : int or None
        Samples in the profiled batch; a graph.txt does not know it.

    Raises
    ------
    ProfileError
        For an edge to a node that is not there, a cycle, a node that is there twice, or no node at all.
    """

    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]
    batch_size: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(self.nodes))
        object.__setattr__(self, "edges", _checked(self.nodes, self.edges, "profile"))

    def __repr__(self) -> str:
        from workbench.training.told import profile_line

        return profile_line(self)

    def view_data(self) -> dict[str, Any]:
        """Return what is to be seen: bars of time, activations and parameters."""
        from workbench.training.told import profile_blocks

        return profile_blocks(self)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a graph.txt: three decimals for every number, all nodes, then all edges."""
        Path(path).write_text("\n".join(_lines(self)) + "\n", encoding="utf-8", newline="\n")

    def to_pandas(self) -> pd.DataFrame:
        """Return one row for each node; an activation of several outputs is summed up."""
        import pandas as pd

        return pd.DataFrame(
            {
                "node": pd.array([node.id for node in self.nodes], dtype="str"),
                "description": pd.array([node.description for node in self.nodes], dtype="str"),
                "forward_ms": _floats(node.forward_ms for node in self.nodes),
                "backward_ms": _floats(node.backward_ms for node in self.nodes),
                "activation_bytes": _floats(sum(node.activation_bytes) for node in self.nodes),
                "parameter_bytes": _floats(node.parameter_bytes for node in self.nodes),
                "stage": pd.array([node.stage for node in self.nodes], dtype="Int64"),
            }
        )

    def with_stages(self, stages: dict[str, int]) -> Profile:
        """Return the profile with a stage for each node that `stages` names, and none for others."""
        return replace(self, nodes=tuple(replace(node, stage=stages.get(node.id)) for node in self.nodes))


def read_profile(path: str | os.PathLike[str]) -> Profile:
    """Read a graph.txt, as PipeDream's profiler and `Profile.write` make it.

    A node line is `id -- description -- forward_compute_time=F, backward_compute_time=B, activation_size=A,
    parameter_size=P`, with an optional ` -- stage_id=N`; A is a number or `[a; b; c]`. An edge line is a tab and
    `from -- to`. Times are milliseconds, sizes are bytes, each for one batch.

    Parameters
    ----------
    path : path

    Raises
    ------
    ProfileError
        For a file that is not there, or is no such file; with the line.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        where = Path(path).read_bytes()[: error.start].count(b"\n") + 1
        raise errors.profile_line(path, where, "UTF-8 text", repr(error.object[error.start : error.end])) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise errors.ProfileError(
            f"{os.fspath(path)}: cannot be read ({reason}).", "Pass the path of a graph.txt."
        ) from None
    nodes: list[Node] = []
    edges: list[tuple[str, str]] = []
    for number, full in enumerate(text.split("\n"), 1):
        line = full.removesuffix("\r")
        if not line.strip():
            continue
        if line.startswith("\t"):
            start, dashes, end = line.strip().partition(" -- ")
            if not (start and dashes and end):
                raise errors.profile_line(path, number, "from -- to", line)
            edges.append((start, end))
        else:
            nodes.append(_node(path, number, line))
    ordered = _checked(nodes, edges, path)
    return Profile(tuple(nodes), ordered)


def parents_of(nodes: Iterable[Node], edges: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the parents of each node, in the order of the edges, each once."""
    parents: dict[str, dict[str, None]] = {node.id: {} for node in nodes}
    for start, end in edges:
        parents[end][start] = None
    return {name: list(found) for name, found in parents.items()}


def topological(nodes: Iterable[Node], edges: Iterable[tuple[str, str]]) -> list[str]:
    """Return the ids so that parents come first; among those that could come next, the first of the file.

    Nodes of a cycle, and what follows from them, are left out.
    """
    import heapq

    names = [node.id for node in nodes]
    place = {name: position for position, name in enumerate(names)}
    missing = dict.fromkeys(names, 0)
    children: dict[str, list[str]] = {name: [] for name in names}
    for start, end in edges:
        missing[end] += 1
        children[start].append(end)
    ready = [place[name] for name in names if not missing[name]]
    order = []
    while ready:
        name = names[heapq.heappop(ready)]
        order.append(name)
        for child in children[name]:
            missing[child] -= 1
            if not missing[child]:
                heapq.heappush(ready, place[child])
    return order


def _checked(
    nodes: Iterable[Node], edges: Iterable[tuple[str, str]], path: str | os.PathLike[str]
) -> tuple[tuple[str, str], ...]:
    """Return the edges in the order of their targets, or raise what is wrong with the graph."""
    place: dict[str, int] = {}
    for node in nodes:
        if not _is_id(node.id):
            raise errors.ProfileError(
                f'{os.fspath(path)}: "{node.id}" is no id of a node.',
                'An id is text without line breaks, tabs or " -- ".',
            )
        if node.id in place:
            raise errors.ProfileError(
                f"{os.fspath(path)}: there are two nodes {node.id}.", "Give each node an id of its own."
            )
        place[node.id] = len(place)
    if not place:
        raise errors.ProfileError(
            f"{os.fspath(path)}: there is no node.",
            "A node line has id, description and four values; see wb.training.read_profile.",
        )
    found = list(edges)
    for edge in found:
        if edge[0] not in place or edge[1] not in place:
            raise errors.edge_without_node(path, edge)
    found.sort(key=lambda edge: place[edge[1]])
    order = set(topological(nodes, found))
    if len(order) < len(place):
        raise errors.edge_in_cycle(path, _of_cycle(found, order))
    return tuple((start, end) for start, end in found)


def _of_cycle(edges: list[tuple[str, str]], order: set[str]) -> tuple[str, str]:
    """Return an edge that closes a cycle."""
    # each node outside the order has a parent outside: going back from one to the next ends in a circle
    before = {end: start for start, end in reversed(edges) if start not in order and end not in order}
    seen: set[str] = set()
    name = next(iter(before))
    while name not in seen:
        seen.add(name)
        name = before[name]
    return before[name], name


def _is_id(name: str) -> bool:
    return bool(name) and name == name.strip() and " -- " not in name and not set(name) & set("\t\r\n")


def _node(path: str | os.PathLike[str], number: int, line: str) -> Node:
    name, dashes, rest = line.partition(" -- ")
    cut = f" -- {rest}".rfind(_BEFORE_VALUES)
    if not dashes or cut < 0 or not _is_id(name):
        raise errors.profile_line(path, number, f"{_VALUES[0]}=…", line)
    described = f" -- {rest}"
    description = described[:cut].removeprefix(" -- ")
    values, dashes, stage_text = described[cut + len(" -- ") :].partition(_BEFORE_STAGE)
    fields = values.split(", ")
    for position, key in enumerate(_VALUES):
        if position >= len(fields) or not fields[position].startswith(f"{key}="):
            raise errors.profile_line(path, number, f"{key}=…", fields[position] if position < len(fields) else line)
    if len(fields) > len(_VALUES):
        raise errors.profile_line(path, number, "stage_id=…", ", ".join(fields[len(_VALUES) :]))
    texts = [text.partition("=")[2] for text in fields]
    forward, backward, parameters = (
        _number(path, number, _VALUES[position], texts[position]) for position in (0, 1, 3)
    )
    sizes = texts[2]
    many = sizes[1:-1].split(";") if sizes.startswith("[") and sizes.endswith("]") else [sizes]
    if sizes == "[]":
        many = []
    return Node(
        name,
        description,
        forward,
        backward,
        tuple(_number(path, number, _VALUES[2], size) for size in many),
        parameters,
        _stage(path, number, stage_text) if dashes else None,
    )


def _number(path: str | os.PathLike[str], line: int, key: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise errors.profile_line(path, line, f"{key}=…", f"{key}={text}")
    return number


def _stage(path: str | os.PathLike[str], line: int, text: str) -> int:
    try:
        stage = int(text)
    except ValueError:
        stage = -1
    if not 0 <= stage < 2**31:
        raise errors.profile_line(path, line, "stage_id=…", f"stage_id={text}")
    return stage


def _lines(profile: Profile) -> Iterator[str]:
    for node in profile.nodes:
        description = node.description.replace("\r", "").replace("\n", "")
        sizes = [f"{size:.3f}" for size in node.activation_bytes]
        activation = sizes[0] if len(sizes) == 1 else f"[{'; '.join(sizes)}]"
        stage = "" if node.stage is None else f"{_BEFORE_STAGE}{node.stage}"
        yield (
            f"{node.id} -- {description} -- {_VALUES[0]}={node.forward_ms:.3f}, {_VALUES[1]}={node.backward_ms:.3f}, "
            f"{_VALUES[2]}={activation}, {_VALUES[3]}={node.parameter_bytes:.3f}{stage}"
        )
    for start, end in profile.edges:
        yield f"\t{start} -- {end}"


def _floats(values: Iterable[float]) -> Any:
    import numpy as np

    return np.fromiter((float(value) for value in values), dtype=np.float64)
