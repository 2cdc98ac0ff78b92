"""The detectors and trackers that can be named, and which one a query gets."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.engine.errors import WorkbenchError, did_you_mean
from workbench.video.models.base import DetectorSpec, Thresholds
from workbench.video.models.builtin import ASSETS, builtin_names, builtin_spec
from workbench.video.models.callables import callable_code, callable_version, load_callable
from workbench.video.models.given import given_spec
from workbench.video.models.labels import closest_labels

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TrackerEntry", "detectors", "register_detector", "register_tracker", "resolve", "tracker"]

DEFAULT = "yolox-nano"
FALLBACK = "motion"
FORMATS = ("yolox", "yolov8", "callable")

#: What one type of a query needs: any of these labels (None: any label at all).
Needed = Sequence[str] | str | None
TrackerEntry = tuple[Callable[[float], Any], str]

_REGISTERED: dict[str, DetectorSpec] = {}
_TRACKERS: dict[str, TrackerEntry] = {}


def register_detector(
    name: str,
    model: str | os.PathLike[str] | Callable[..., Any],
    *,
    labels: Sequence[str] | Mapping[int, str],
    format: str = "yolox",
    size: int = 416,
    threshold: float = 0.3,
    tracking: Thresholds | str = (0.3, 0.6, 0.7),
    batch: int = 16,
    version: str | None = None,
) -> None:
    """Make a detector of one's own usable by name: `detector="name"`, `--detector name`.

    Parameters
    ----------
    name : str
    model : path or callable
        An ONNX file, or `f(images) -> list of DataFrame(x1, y1, x2, y2, label, score)`; images are BGR uint8.
    labels : list of str, or dict of int to str
        In class order; a dict of class index and label uses only these classes of a file. Several classes may share a
        label, and then count as one.
    format : "yolox", "yolov8" or "callable"
        Layout of the file's outputs; a callable needs no format.
    size : int
        Long side of the network's input in px, where the file leaves it open.
    threshold : float
        Least score that `detect` returns.
    tracking : (low, high, new) or str
        Scores for the tracker, or the name of a registered tracker.
    batch : int
        Most images in one call.
    version : str, optional
        Goes into cache keys; without it the file's content or the callable's fingerprint does. Change it with the
        model: what the store keeps under it is served again (`fresh=True` computes anew, with the new callable).

    Raises
    ------
    WorkbenchError
        For a file that cannot be run or has another layout or number of classes, and for unknown options.
    """
    if not isinstance(name, str) or not name:
        raise WorkbenchError(f"A detector's name is text, got {name!r}.", 'Write register_detector("forklifts", ...).')
    if name in builtin_names():
        raise WorkbenchError(f"'{name}' is a built-in detector.", "Register yours under another name.")
    names = _label_list(labels)
    _check_numbers(size, batch, threshold)
    spec = DetectorSpec(
        name=name, labels=names, version="", build=load_callable, size=size, threshold=float(threshold),
        tracking=_tracking(tracking), batch=batch,
    )  # fmt: skip
    if not callable(model) and not isinstance(model, (str, os.PathLike)):
        raise WorkbenchError(
            f"A detector is the path of an ONNX file or a callable, got {type(model).__name__}.",
            "Write a function f(images) that returns a DataFrame of boxes for each.",
        )
    if callable(model):
        spec = replace(spec, labels=tuple(dict.fromkeys(filter(None, names))))  # it gives labels, not indices
        told, notes = callable_version(model, version)
        spec = replace(
            spec, version=told or f"callable/{name}/unknown", payload=model, cacheable=bool(told), notes=notes,
            provider="python", code=callable_code(model),
        )  # fmt: skip
    else:
        spec = _onnx_spec(spec, Path(model), format, version, some=isinstance(labels, Mapping))
    _REGISTERED[name] = spec


def _onnx_spec(spec: DetectorSpec, path: Path, format: str, version: str | None, *, some: bool) -> DetectorSpec:
    from workbench.video.models.builtin import load_onnx
    from workbench.video.models.onnx import provider

    if format not in ("yolox", "yolov8"):
        near = did_you_mean(str(format), FORMATS)
        raise WorkbenchError(
            f"A model file has no format '{format}'.", f"Did you mean '{near}'?" if near else "Use 'yolox' or 'yolov8'."
        )
    path = path.expanduser()
    if not path.is_file():
        raise WorkbenchError(f"There is no model file {path}.", "Check the path.")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    made = replace(
        spec,
        build=load_onnx,
        provider=provider(),
        payload=(str(path.resolve()), format, some),
        # the labels decide which boxes are kept, so they are part of what is kept of them
        version=f"onnx/{format}/{version or digest}/{hashlib.sha256(repr(spec.labels).encode()).hexdigest()[:8]}",
    )
    made.load(1)  # says at once if the file is not what it should be
    return made


def _label_list(labels: Sequence[str] | Mapping[int, str]) -> tuple[str, ...]:
    if isinstance(labels, Mapping):
        known = {int(index): str(label) for index, label in labels.items()}
        if known and min(known) < 0:
            raise WorkbenchError(f"labels has the index {min(known)}.", "Class indices count from 0.")
        listed = tuple(known.get(index, "") for index in range(max(known, default=-1) + 1))
    else:
        listed = (labels,) if isinstance(labels, str) else tuple(str(label) for label in labels)
    if not listed:
        raise WorkbenchError("A detector needs at least one label.", 'Pass labels=["person", ...] in class order.')
    return listed


def _check_numbers(size: int, batch: int, threshold: float) -> None:
    for word, value, least in (("size", size, 32), ("batch", batch, 1)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise WorkbenchError(
                f"{word} must be a whole number of at least {least}, got {value!r}.",
                f"Use {word}={416 if word == 'size' else 16}.",
            )
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1:
        raise WorkbenchError(f"threshold must be between 0 and 1, got {threshold!r}.", "Use threshold=0.3.")


def _tracking(tracking: Thresholds | str) -> Thresholds | str:
    if isinstance(tracking, str):
        tracker(tracking)
        return tracking
    try:
        low, high, new = (float(score) for score in tracking)
    except (TypeError, ValueError):
        raise WorkbenchError(
            f"tracking is three scores, got {tracking!r}.", "Use tracking=(low, high, new), as (0.3, 0.6, 0.7)."
        ) from None
    if not low <= high:
        raise WorkbenchError(f"tracking has low {low:g} above high {high:g}.", "Use tracking=(0.3, 0.6, 0.7).")
    return low, high, new


def register_tracker(name: str, factory: Callable[[float], Any], *, version: str) -> None:
    """Make a tracker of one's own usable as `tracking=` of a detector.

    Parameters
    ----------
    name : str
    factory : callable
        `factory(fps)` gives a picklable object whose `update(frame, time, boxes)` returns an id for each row of
        `boxes`, a DataFrame(x1, y1, x2, y2, label, score); -1: not confirmed, the row is left out.
    version : str
        Goes into cache keys.
    """
    if not callable(factory):
        raise WorkbenchError(f"The tracker '{name}' needs a factory, got {type(factory).__name__}.", "factory(fps).")
    _TRACKERS[name] = (factory, str(version))


def tracker(name: str) -> TrackerEntry:
    """Return the factory and version of a registered tracker."""
    if name not in _TRACKERS:
        raise WorkbenchError(
            f"No tracker is named '{name}'.", _near(name, _TRACKERS) or "Register it with register_tracker()."
        )
    return _TRACKERS[name]


def detectors() -> pd.DataFrame:
    """Return the detectors that can be named.

    Returns
    -------
    DataFrame
        `name`, `labels` (list of str), `needs` (what must be fetched, "" if nothing), `available` (bool: without the
        network), `default` (bool: what `detector=None` gives now, but for sources with a detector of their own).
    """
    import pandas as pd

    from workbench.engine.fetch import available

    rows = []
    for name in builtin_names():
        needed = ASSETS.get(name, ())
        ready = not needed or any(available(asset) for asset in needed)
        rows.append((name, list(builtin_spec(name).labels), needed[-1] if needed else "", ready))
    for name, spec in _REGISTERED.items():
        path = spec.payload[0] if isinstance(spec.payload, tuple) else ""
        rows.append((name, list(dict.fromkeys(filter(None, spec.labels))), path, not path or Path(path).is_file()))
    table = pd.DataFrame(rows, columns=["name", "labels", "needs", "available"])
    table = table.astype({"name": "str", "needs": "str", "available": bool})
    ready_names = set(table["name"][table["available"]])
    table["default"] = table["name"] == (DEFAULT if DEFAULT in ready_names else FALLBACK)
    return table


def resolve(
    detector: Any = None, *, hint: str | None = None, labels_needed: Iterable[Needed] | None = None
) -> DetectorSpec:
    """Return the detector that a query gets.

    Parameters
    ----------
    detector : None, str, callable, table or DetectorSpec
        As `wb.vquery` takes it.
    hint : str, optional
        The source's own detector, used where `detector` is None.
    labels_needed : iterable, optional
        For each type of the query the labels of which any will do (a str is one label, None any label).

    Returns
    -------
    DetectorSpec
        `.notes` holds what is to be announced.

    Raises
    ------
    WorkbenchError
        For an unknown name, a table that is none, and labels that no available detector has.
    """
    if isinstance(detector, DetectorSpec):
        spec = detector
    elif detector is None or isinstance(detector, str):
        spec = _named(detector if detector is not None else hint or DEFAULT)
    elif hasattr(detector, "columns") or hasattr(detector, "column_names"):
        spec = given_spec(detector)
    elif callable(detector):
        told, notes = callable_version(detector, None)
        spec = DetectorSpec(
            name=getattr(detector, "__name__", type(detector).__name__), labels=(), version=told or "callable/unknown",
            build=load_callable, batch=16, provider="python", payload=detector, cacheable=bool(told), notes=notes,
        )  # fmt: skip
    else:
        raise WorkbenchError(
            f"detector cannot be {type(detector).__name__}.", "Pass a name, a callable or a table of boxes."
        )
    return _with_labels(spec, [_alternatives(needed) for needed in labels_needed or () if needed is not None])


def _named(name: str) -> DetectorSpec:
    if name in _REGISTERED:
        return _REGISTERED[name]
    if name not in builtin_names():
        near = _near(name, (*builtin_names(), *_REGISTERED))
        raise WorkbenchError(f"No detector is named '{name}'.", f"{near} wb.video.detectors() lists them.".strip())
    if _obtained(name):
        return builtin_spec(name)
    return replace(
        builtin_spec(FALLBACK),
        notes=(
            (
                f"{name}'s weights cannot be had; using '{FALLBACK}', which is cruder.",
                f"Run workbench fetch {name}, or set WORKBENCH_MIRROR.",
            ),
        ),
    )


def _obtained(name: str) -> bool:
    """Fetch what a built-in detector needs; False if it cannot be had (a wrong hash is an error)."""
    from workbench.engine.fetch import available, fetch

    needed = ASSETS.get(name, ())
    ready = [asset for asset in needed if available(asset)]
    for asset in ready or needed:
        try:
            fetch(asset)
        except WorkbenchError as error:
            if "wrong hash" in error.message:
                raise
            continue
        return True
    return not needed


def _alternatives(needed: Needed) -> tuple[str, ...]:
    return (needed,) if isinstance(needed, str) else tuple(needed or ())


def _with_labels(spec: DetectorSpec, needed: Sequence[tuple[str, ...]]) -> DetectorSpec:
    if not spec.labels and spec.kind == "model":  # a callable that does not say what it finds
        return spec
    lacking = [labels for labels in needed if not set(labels) & set(spec.labels)]
    if not lacking:
        return spec
    wanted = "', '".join(labels[0] for labels in lacking)
    if spec.kind == "given":
        known = ", ".join(spec.labels) or "none"
        return replace(spec, notes=(*spec.notes, (f"The table of boxes has no '{wanted}'.", f"Its labels: {known}.")))
    for name in (*_REGISTERED, *builtin_names()):
        other = _REGISTERED.get(name) or builtin_spec(name)
        if all(set(labels) & set(other.labels) for labels in needed) and _obtained(name):
            note = (f"{spec.name} does not find '{wanted}'; using '{name}'.", "")
            return replace(other, notes=(*spec.notes, *other.notes, note))
    known_labels = [
        label for name in _available_names() for label in (_REGISTERED.get(name) or builtin_spec(name)).labels
    ]
    missing = next((labels for labels in lacking if not set(labels) & set(known_labels)), lacking[0])
    raise WorkbenchError(
        f"No available detector finds '{missing[0]}'.",
        f"Closest labels: {', '.join(closest_labels(missing[0], known_labels))}. Use register_detector() or detector=.",
    )


def _available_names() -> list[str]:
    table = detectors()
    return [str(name) for name in table["name"][table["available"]]]


def _near(name: str, names: Iterable[str]) -> str:
    """Return `Did you mean 'x'?` for a name that begins alike or is spelt alike, else ""."""
    known = sorted(names)
    alike = [other for other in known if other.lower().startswith(name.lower())] if name else []
    near = alike[0] if alike else did_you_mean(name, known)
    return f"Did you mean '{near}'?" if near else ""
