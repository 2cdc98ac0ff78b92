"""Detectors that are ONNX files, run by onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workbench.engine.errors import WorkbenchError
from workbench.video.models.base import DetectionSession, Floats, Image
from workbench.video.models.layouts import FastestDet, Layout, NanoDet, Yolov8, Yolox
from workbench.video.models.onnx_graph import free_batch, free_size

__all__ = ["OnnxDetector", "open_runtime", "provider"]

_LAYOUTS: dict[str, Callable[..., Layout]] = {
    "yolox": Yolox,
    "yolov8": Yolov8,
    "nanodet": NanoDet,
    "fastestdet": FastestDet,
}
#: A batch of two may differ from singles by this much of a score or of the input's px: sums are ordered otherwise.
_BATCH_TOLERANCE = 1e-4


def provider() -> str:
    """Return what runs ONNX files here: `cuda` where onnxruntime offers it, else `cpu`."""
    import onnxruntime

    return "cuda" if "CUDAExecutionProvider" in onnxruntime.get_available_providers() else "cpu"


def open_runtime(data: bytes, threads: int, where: str = "cpu") -> Any:
    """Return an `onnxruntime.InferenceSession` of a file's bytes.

    Parameters
    ----------
    data : bytes
    threads : int
        Threads of one inference.
    where : "cpu" or "cuda"
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # Idle threads that spin would take the core of the next worker.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Some files print hundreds of warnings about unused weights; errors are raised, and need no printing.
    options.log_severity_level = 4
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"] if where == "cuda" else ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(data, options, providers=providers)


class OnnxDetector:
    """A network in memory: pictures in, boxes out.

    Parameters
    ----------
    path : Path
        The ONNX file.
    labels : tuple of str
        In class order; boxes of a class with the label "" are dropped, and classes of one label are one.
    layout : str
        `yolox`, `yolov8`, `nanodet` or `fastestdet`.
    size : int
        Long side of the input in px, for files that leave it open.
    batch : int
        Most pictures at once; 1 is used where the file cannot take more, or answers otherwise when it does.
    threads : int
    where : "cpu" or "cuda"
    any_size : bool
        Free the height and width of a file that fixes them (the network must allow it).
    some : bool
        The labels name only some classes of the file: there may be fewer of them.

    Raises
    ------
    WorkbenchError
        If the file is no ONNX model, or not of the layout, or has another number of classes than `labels`.
    """

    def __init__(
        self,
        path: Path,
        labels: tuple[str, ...],
        layout: str,
        size: int,
        *,
        batch: int = 1,
        threads: int = 1,
        where: str = "cpu",
        any_size: bool = False,
        some: bool = False,
    ) -> None:
        data = Path(path).read_bytes()
        try:
            runtime = open_runtime(free_size(data) if any_size else data, threads, where)
        except Exception as error:
            raise WorkbenchError(
                f"{Path(path).name} is not an ONNX model that can be run.", f"onnxruntime says: {_first_line(error)}"
            ) from error
        shape = runtime.get_inputs()[0].shape
        fixed = (shape[2], shape[3]) if isinstance(shape[2], int) and isinstance(shape[3], int) else None
        self.labels = labels
        self._layout = _LAYOUTS[layout](size, fixed)
        classes = self._check(runtime, Path(path).name, layout, len(labels), some)
        self._class_of = np.full(classes, -1)
        self._class_of[: len(labels)] = [labels.index(label) if label else -1 for label in labels]
        self._runtime, self._input = runtime, runtime.get_inputs()[0].name
        self.batch = self._batched(data, any_size, batch, threads, where) if batch > 1 else 1

    @property
    def any_size(self) -> bool:
        """Whether the file leaves the size of its input open."""
        return getattr(self._layout, "fixed", None) is None

    def _check(self, runtime: Any, name: str, layout: str, count: int, some: bool) -> int:
        shapes = [output.shape for output in runtime.get_outputs()]
        classes = self._layout.classes(shapes)
        if classes is None:
            others = [other for other, make in _LAYOUTS.items() if make(416).classes(shapes) == count]
            hint = f'Use format="{others[0]}".' if others else f"Its outputs are {_shapes(shapes)}."
            raise WorkbenchError(f"{name} is not a model in the {layout} layout.", hint)
        if classes < count or (classes > count and not some):
            raise WorkbenchError(
                f"{name} has {classes} classes and {count} labels were given.",
                "Give one label for each class, in order; or a dict of class index and label to use only some.",
            )
        return classes

    def _batched(self, data: bytes, any_size: bool, batch: int, threads: int, where: str) -> int:
        """Free the batch axis, and keep the result only if a batch of two answers as two singles do."""
        shape = self._runtime.get_inputs()[0].shape
        if isinstance(shape[0], str) or shape[0] is None:
            runtime = self._runtime
        else:
            try:
                runtime = open_runtime(free_batch(free_size(data) if any_size else data), threads, where)
            except Exception:  # the rewritten graph is not valid: this file is run one by one
                return 1
        random = np.random.default_rng(0)
        pair = random.integers(0, 256, (2, *self._probe_size(), 3), dtype=np.uint8)
        blobs = np.stack([self._layout.blob(image)[0] for image in pair])
        singles = [self._runtime.run(None, {self._input: blob[None]}) for blob in blobs]
        try:
            both = runtime.run(None, {self._input: blobs})
        except Exception:  # some inner layer wants a batch of one
            return 1
        for output, together in enumerate(both):
            apart = np.concatenate([single[output] for single in singles])
            if together.shape != apart.shape or np.abs(together - apart).max() > _BATCH_TOLERANCE:
                return 1
        self._runtime = runtime
        return batch

    def _probe_size(self) -> tuple[int, int]:
        fixed: tuple[int, int] | None = getattr(self._layout, "fixed", None)
        return fixed or (64, 96)

    def open(self, source: Any = None) -> DetectionSession:
        """Return a session; frames are independent, so the source does not matter."""
        return self._detect

    def _detect(self, images: Sequence[Image], frames: Sequence[int], times: Sequence[float]) -> list[Floats]:
        found: list[Floats] = []
        for start in range(0, len(images), self.batch):
            found += self._run(images[start : start + self.batch])
        return found

    def _run(self, images: Sequence[Image]) -> list[Floats]:
        fed = [self._layout.blob(image) for image in images]
        if len({blob.shape for blob, _ in fed}) > 1:
            return [rows for image in images for rows in self._run([image])]
        blobs = fed[0][0][None] if len(fed) == 1 else np.stack([blob for blob, _ in fed])
        outputs = self._runtime.run(None, {self._input: blobs})
        return [
            self._named(
                self._layout.boxes([output[index] for output in outputs], blob.shape[1:], scale, image.shape[:2])
            )
            for index, (image, (blob, scale)) in enumerate(zip(images, fed, strict=True))
        ]

    def _named(self, rows: Floats) -> Floats:
        """Keep the boxes of classes that have a label, under the first class of that label."""
        rows[:, 5] = self._class_of[rows[:, 5].astype(np.int64)]
        return rows[rows[:, 5] >= 0]


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _shapes(shapes: Sequence[Sequence[int | str | None]]) -> str:
    return ", ".join("x".join(str(part) for part in shape) for shape in shapes)
