"""`%%vquery`: a question about videos."""

from __future__ import annotations

import os
from typing import Any

from workbench.notebook.magics.base import Call, MagicSpec, Option, Positional, number, whole

__all__ = ["SPEC"]

EXAMPLE = """%%vquery cam1.mp4 -o red
class RedCars(Query):
    car: Car
    where = car.color == "red" and car.score > 0.5
    select = car.id, car.color, start, end"""


def _detector_names() -> list[str]:
    from workbench.notebook.completion import known_detectors

    return known_detectors()


OPTIONS = (
    Option("from", "search from this time on", dest="start", metavar="T", says="a time", example="01:30"),
    Option("to", "search up to this time", dest="end", metavar="T", says="a time", example="2min"),
    Option(
        "every", "only each Nth frame", metavar="N", convert=whole, default=1,
        says="a whole number of at least 1", example="2",
    ),
    Option(
        "limit", "stop after the first N events", metavar="N", convert=whole,
        says="a whole number of at least 1", example="20",
    ),
    Option(
        "accuracy", "skip work while recall and precision stay at least A", metavar="A", convert=number(),
        says="a number from 0.5 to 1", example="0.95",
    ),
    Option("detector", "a registered detector, or a variable", metavar="NAME", choices=_detector_names),
    Option("explain", "give the plan and run nothing", kind="flag"),
    Option("fresh", "compute anew what the store holds", kind="flag"),
    Option("live", "follow a camera or a growing file; implies --background", kind="flag"),
)  # fmt: skip


def run(call: Call) -> Any:
    """Start the query (a `Run`), or with `--explain` return its plan."""
    from workbench.video import api
    from workbench.video.language.compile import compile_query

    options = dict(call.options)
    explain = options.pop("explain")
    follow = options.pop("live")
    namespace = call.scope.flat
    source = _source(call)
    if follow:
        from workbench.video.source_live import live

        source = live(source)
    options["detector"] = _detector(call, options["detector"])
    query = compile_query(call.body, namespace, video=_called(source))
    call.scope.notebook.update(getattr(query, "__exports__", {}))
    if explain:
        options.pop("fresh")
        return api.explain(source, query, **options)
    return api.start_vquery(source, query, namespace=namespace, **options)


def _called(source: Any) -> str | None:
    """Return what messages about the query call the video; None if the source does not tell."""
    if isinstance(source, list) and source:
        return _called(source[0])
    name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else getattr(source, "name", None)
    return os.path.basename(name) if isinstance(name, str) else None


def _source(call: Call) -> Any:
    """Return the source: an object by reference, a variable by its bare name unless a file has that name, or text."""
    argument = call.arguments[0]
    text = argument.value
    if argument.referred or not isinstance(text, str) or os.path.exists(text):
        return argument.value
    first = text.partition(".")[0]
    if text.replace(".", "").isidentifier() and first in call.scope and not text.endswith("."):
        return call.scope.lookup(text)
    return text


def _detector(call: Call, detector: Any) -> Any:
    """Return a detector by its registered name, else the variable of that name."""
    if not isinstance(detector, str) or detector not in call.scope:
        return detector
    from workbench.video.models.registry import detectors

    return detector if detector in set(detectors()["name"]) else call.scope.lookup(detector)


SPEC = MagicSpec(
    name="vquery",
    summary="Find things in video: ask about objects, not frames.",
    call=run,
    example=EXAMPLE,
    positionals=(
        Positional(
            "SOURCE", "a path, a glob or a variable", 'a path, a glob, "sample:street", an address, or a variable'
        ),
    ),
    options=OPTIONS,
    endless=("live",),
)
