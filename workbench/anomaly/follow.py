"""What a stream takes in by itself: iterables of frames, asynchronous ones, and folders that receive files."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.engine.errors import WorkbenchError
from workbench.engine.run import Run

if TYPE_CHECKING:
    from workbench.anomaly.results import Explanations

__all__ = ["frames_of", "start_follow"]

#: seconds between two looks at a folder
PAUSE = 0.2
#: a file is complete when it has not grown for so many looks
STILL = 2
_SUFFIXES = (".parquet", ".csv", ".csv.gz")


def frames_of(source: Any, *, go_on: bool = False, stop: Callable[[], bool] = lambda: False) -> Iterator[Any]:
    """Yield the frames of a source as they come.

    Parameters
    ----------
    source : frame, iterable, async iterable or folder
        Of a folder its Parquet and CSV files, in the order of their names, each once it has stopped growing. Files
        whose names begin with `.` or `_` are being written.
    go_on : bool
        Whether a folder is looked at again for new files, until `stop`.
    stop : callable
        Asked between frames, and while waiting for one.

    Raises
    ------
    WorkbenchError
        If it is none of these.
    """
    from workbench.anomaly.frames import _is_table

    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if path.is_dir():
            yield from _files(path, go_on, stop)
        else:
            yield source
    elif _is_table(source):
        yield source
    elif isinstance(source, AsyncIterable):
        yield from _waited(source, stop)
    elif isinstance(source, Iterable):
        for frame in source:
            if stop():
                return
            yield frame
    else:
        check_source(source)


def check_source(source: Any) -> None:
    """Raise for what no tables come from."""
    from workbench.anomaly.frames import _is_table

    if not (isinstance(source, (str, os.PathLike, AsyncIterable, Iterable)) or _is_table(source)):
        raise WorkbenchError(
            f"A {type(source).__name__} is nothing that tables come from.",
            "Give an iterable of tables, or a folder that receives files.",
        )


def start_follow(source: Any, *, follow: bool = True, name: str | None = None, **options: Any) -> Run[Explanations]:
    """Take in a source on a thread of its own.

    Parameters
    ----------
    source : frame, iterable, async iterable or folder
    follow : bool
        Whether to wait for what a folder receives later.
    name : str, optional
        What messages call the source.
    **options
        As of `outliers_stream`.

    Returns
    -------
    Run
        Its partial result is that of the last pane; a run that is cancelled keeps it.
    """
    from workbench.anomaly.stream import outliers_stream

    stream = outliers_stream(**options)
    stream.name = name or "the stream"

    def work(run: Run[Explanations]) -> Explanations:
        run.stream = stream  # type: ignore[attr-defined]  # its history is worth a look while it runs
        for frame in frames_of(source, go_on=follow, stop=run.cancelled.is_set):
            result = stream.push(frame)
            run.update(done=stream.panes.pushed, message=f"{len(stream.history):,} panes")
            if result is not None:
                last = result
                run.publish(lambda last=last: last)  # type: ignore[misc]
            if run.cancelled.is_set():
                break
        result = (None if run.cancelled.is_set() else stream.close()) or stream.result
        if result is None:
            raise WorkbenchError("No rows came.", "Check the source; a folder needs Parquet or CSV files.")
        return result

    return Run.start(work, kind="outliers", title=f"following {stream.name}"[:80], unit="rows")


def _files(folder: Path, go_on: bool, stop: Callable[[], bool]) -> Iterator[str]:
    taken: set[str] = set()
    sizes: dict[str, tuple[tuple[int, int], int]] = {}  # size and time of change, and for how many looks
    while not stop():
        waiting = 0
        for path in sorted(folder.iterdir()):
            name = path.name
            if name in taken or name.startswith((".", "_")) or not name.endswith(_SUFFIXES):
                continue
            status = path.stat()
            mark = (status.st_size, status.st_mtime_ns)
            seen, looks = sizes.get(name, (mark, 0))
            looks = looks + 1 if seen == mark else 0
            sizes[name] = mark, looks
            if looks < STILL or not status.st_size:
                waiting += 1
                break  # the files behind it come after it
            taken.add(name)
            yield str(path)
            if stop():
                return
        else:
            if not go_on:
                return
        if not waiting and not go_on:
            return
        time.sleep(PAUSE)


def _waited(source: AsyncIterable[Any], stop: Callable[[], bool]) -> Iterator[Any]:
    """Yield what an asynchronous iterable gives, on an event loop of its own."""
    import asyncio
    import queue
    import threading

    frames: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=4)
    ended = threading.Event()

    async def pull() -> None:
        async for frame in source:
            while not ended.is_set():
                try:
                    frames.put_nowait(("frame", frame))
                    break
                except queue.Full:
                    await asyncio.sleep(PAUSE / 10)
            if ended.is_set():
                return

    def drive() -> None:
        try:
            asyncio.run(pull())
            frames.put(("end", None))
        except BaseException as error:  # told where the frames are taken
            frames.put(("error", error))

    thread = threading.Thread(target=drive, name="workbench-follow", daemon=True)
    thread.start()
    try:
        while not stop():
            try:
                kind, value = frames.get(timeout=PAUSE)
            except queue.Empty:
                continue
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        ended.set()
