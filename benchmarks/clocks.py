"""Clocks inside the workers: the CPU time of decoding and of the detector, where they run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

_CLOCKS: dict[str, float] = {}


def clock_parts() -> None:
    """Put CPU clocks around a worker's decoding and its detector; both run on the thread of the task."""
    from workbench.video.models.onnx import OnnxDetector
    from workbench.video.source_file import VideoSource

    read, run = VideoSource.frames_at, OnnxDetector._run
    if getattr(read, "clocked", False):  # a worker that was asked before
        return

    def frames_at(self: VideoSource, *arguments: Any, **options: Any) -> Iterator[Any]:
        began = time.thread_time()
        for item in read(self, *arguments, **options):
            _add("decode", time.thread_time() - began)
            yield item
            began = time.thread_time()
        _add("decode", time.thread_time() - began)

    def clocked(self: OnnxDetector, images: Sequence[Any]) -> list[Any]:
        if not isinstance(self._runtime, _Clocked):
            self._runtime = _Clocked(self._runtime)
        network, began = _CLOCKS.get("network", 0.0), time.thread_time()
        found = run(self, images)
        _add("feeding", time.thread_time() - began - (_CLOCKS["network"] - network))
        return found

    frames_at.clocked = True  # type: ignore[attr-defined]
    VideoSource.frames_at, OnnxDetector._run = frames_at, clocked  # type: ignore[method-assign]


class _Clocked:
    """A network, and the CPU time that it takes."""

    def __init__(self, runtime: Any) -> None:
        self.runtime = runtime

    def run(self, *arguments: Any) -> Any:
        began = time.thread_time()
        answer = self.runtime.run(*arguments)
        _add("network", time.thread_time() - began)
        return answer


def _add(name: str, seconds: float) -> None:
    _CLOCKS[name] = _CLOCKS.get(name, 0.0) + seconds


def parts() -> dict[str, float]:
    """Return the CPU seconds of this worker since the last call: of its parts, and of the whole process."""
    now = time.process_time()
    taken = {name: _CLOCKS.get(name, 0.0) for name in ("network", "feeding", "decode")}
    taken["worker"] = now - _CLOCKS.get("since", 0.0)
    _CLOCKS.clear()
    _CLOCKS["since"] = now
    return taken
