"""`VideoResult`: what a query found, as tables, pictures and clips."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.engine.errors import WorkbenchError, suggest
from workbench.engine.plan import Plan
from workbench.engine.result import Result
from workbench.engine.units import as_seconds, format_clock
from workbench.video.language.nouns import counted
from workbench.video.language.tree import CompiledQuery
from workbench.video.result.clip import Clip, Stretch, cut, title_of, write_stretches
from workbench.video.result.export import to_coco, to_mot, writing
from workbench.video.result.facts import PartialFlag, VideoFacts
from workbench.video.result.proof import accuracy_word, proof_lines, proof_table
from workbench.video.result.stretches import best_picture, first_hit, stretch_of
from workbench.video.result.timeline import Timeline, timeline_of
from workbench.video.result.verdicts import Verdicts
from workbench.video.shares import wilson

if TYPE_CHECKING:
    from workbench.engine.run import Run
    from workbench.video.plan.proof import Proof

__all__ = ["VideoResult"]

#: tables by the names that `sql`, `polars` and `arrow` know
TABLES = ("events", "objects", "frames", "groups", "errors")
#: columns of `.searched`
_SEARCHED = ("video", "start", "end")


class VideoResult(Result):
    """Events of a query, the objects in them, and what led to them.

    Attributes
    ----------
    events, objects, frames, groups, errors : DataFrame
        See the design for columns and orders; times are seconds, boxes px of the source; units in `.attrs["units"]`.
    searched : DataFrame
        `video`, `start`, `end`: what of each video was searched.
    status : str
        `running`, `done`, `stopped` or `failed`.
    notes : list of str
        Everything announced: fallbacks, unreadable parts.
    plan : Plan
        What was done, with estimates beside actuals.
    proof : DataFrame
        Under `accuracy`: the plans that the canary measured, and which was used (see `proof_table`); else empty.
    """

    def __init__(
        self,
        tables: dict[str, pd.DataFrame],
        videos: Sequence[VideoFacts],
        query: CompiledQuery,
        plan: Plan,
        *,
        status: str = "done",
        notes: Sequence[str] = (),
        nearest: Sequence[str] = (),
        ongoing: NDArray[np.bool_] | None = None,
        run: Run[VideoResult] | None = None,
        proofs: Sequence[Proof] = (),
    ) -> None:
        self._tables = tables
        self.videos = list(videos)
        self.query = query
        self.plan = plan
        self._status = status
        self._unfinished = False
        self.proofs = list(proofs)
        #: told, but no warnings
        self.told = proof_lines(self.proofs)
        self.notes = [*notes, *self.told]
        self.nearest = list(nearest)
        self.ongoing = np.zeros(len(tables["events"]), bool) if ongoing is None else ongoing
        self._run = run

    # ------------------------------------------------------------------------------------------------------- tables

    @property
    def events(self) -> pd.DataFrame:
        """One row for each event, by video, start, end and ids."""
        return self._tables["events"]

    @property
    def objects(self) -> pd.DataFrame:
        """One row for each object that an event binds."""
        return self._tables["objects"]

    @property
    def frames(self) -> pd.DataFrame:
        """One row for each event, frame and variable: the boxes."""
        return self._tables["frames"]

    @property
    def groups(self) -> pd.DataFrame:
        """Aggregates by group; empty for a query without aggregates and `group`."""
        return self._tables["groups"]

    @property
    def errors(self) -> pd.DataFrame:
        """One row for each property call that failed."""
        return self._tables["errors"]

    @cached_property
    def searched(self) -> pd.DataFrame:
        """What of each video was searched: `video`, `start`, `end` in seconds."""
        rows = [(facts.source.name, start, end) for facts in self.videos for start, end in facts.searched]
        frame = pd.DataFrame(rows, columns=list(_SEARCHED))
        return frame.astype({"video": "str", "start": "float64", "end": "float64"})

    @cached_property
    def proof(self) -> pd.DataFrame:
        """The plans that were measured under `accuracy`, with recall, precision, their lower bounds, and costs."""
        return proof_table(self.proofs)

    def table(self, name: str) -> pd.DataFrame:
        """Return a table by its name: events, objects, frames, groups, errors, searched or proof."""
        if name in ("searched", "proof"):
            found: pd.DataFrame = getattr(self, name)
            return found
        if name not in self._tables:
            raise WorkbenchError(
                f"A video result has no table '{name}'.", suggest(name, TABLES, f"Tables: {', '.join(TABLES)}.")
            )
        return self._tables[name]

    def to_pandas(self) -> pd.DataFrame:
        """Return `.groups` when there are groups, else `.events`."""
        return self.groups if len(self.groups.columns) else self.events

    def polars(self, table: str = "events") -> Any:
        """Return a table for polars (which must be installed)."""
        try:
            import polars
        except ImportError as error:
            raise WorkbenchError("polars is not installed.", "Install workbench[all].") from error
        return polars.from_arrow(self.arrow(table))

    def arrow(self, table: str = "events") -> Any:
        """Return a table as a `pyarrow.Table`."""
        import pyarrow

        return pyarrow.Table.from_pandas(self.table(table), preserve_index=False)

    def to_arrow(self) -> Any:
        """Return the main table as a `pyarrow.Table`."""
        import pyarrow

        return pyarrow.Table.from_pandas(self.to_pandas(), preserve_index=False)

    def sql(self, query: str) -> pd.DataFrame:
        """Return the answer of a DuckDB query over the tables, by their names.

        Raises
        ------
        WorkbenchError
            In DuckDB's words, if the query is wrong.
        """
        import duckdb

        with duckdb.connect() as connection:
            for name in (*TABLES, "searched"):
                if len(self.table(name).columns):
                    connection.register(name, self.arrow(name))
            try:
                return connection.execute(query).df()
            except duckdb.Error as error:
                raise WorkbenchError(str(error).split("\n")[0], f"Tables: {', '.join(TABLES)}, searched.") from error

    def bind_views(self, name: str) -> list[str]:
        """Make views of the tables on DuckDB's default connection: `name` (events), `name_objects` and so on.

        Returns
        -------
        list of str
            The names of the views.
        """
        import duckdb

        made = []
        for table in ("events", "objects", "frames", "groups"):
            view = name if table == "events" else f"{name}_{table}"
            if not len(self.table(table).columns):
                # A view of an earlier result under this name would answer for this one.
                duckdb.unregister(view)
                continue
            try:
                duckdb.register(view, self.arrow(table))
            except duckdb.Error as error:
                self.notes.append(f"No DuckDB view {view}: {str(error).splitlines()[0]}")
                continue
            made.append(view)
        return made

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.to_pandas().itertuples(index=False))

    # ------------------------------------------------------------------------------------------------------ the run

    @property
    def status(self) -> str:
        """`running`, `done`, `stopped` or `failed`."""
        return self._status

    @property  # type: ignore[override]
    def partial(self) -> PartialFlag:
        """Whether the run had not ended; `partial()` gives a finished result of what is known now."""
        return PartialFlag.of(self, self._unfinished or self._status != "done")

    @partial.setter
    def partial(self, value: bool) -> None:
        self._unfinished = bool(value)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the run behind this result; return whether it has ended."""
        return True if self._run is None else self._run.wait(timeout)

    def cancel(self) -> None:
        """Stop the run behind this result, if it still runs; what was found stays."""
        if self._run is not None:
            self._run.cancel()

    def _known_now(self) -> VideoResult:
        if self._run is None or self._status != "running":
            return self
        latest = self._run.partial()
        return self if latest is None else latest

    def explain(self, format: str = "text") -> Any:
        """Return the plan with estimates beside actuals, as text (or `html`, `dict`)."""
        return self.plan.explain(format)  # type: ignore[call-overload]

    # -------------------------------------------------------------------------------------------------- verdicts

    def mark(self, event: int, right: bool) -> None:
        """Keep a verdict on an event; a rerun that finds the event again knows it.

        Parameters
        ----------
        event : int
            Its number, as in the column `event`.
        right : bool
            Whether it is what was asked for. Marking again replaces the verdict.
        """
        if not isinstance(right, (bool, np.bool_)):
            raise WorkbenchError(f"right must be True or False, got {right!r}.", "Write r.mark(3, True).")
        self._verdicts.mark(self._event(event), bool(right))

    @property
    def precision(self) -> tuple[float, float, float] | None:
        """Share of the marked events that are right, with Wilson's 95 % interval; None while none is marked."""
        verdicts = self._verdicts.of(self.events.itertuples(index=False))
        if not verdicts:
            return None
        return (sum(verdicts) / len(verdicts), *wilson(sum(verdicts), len(verdicts)))

    @cached_property
    def _verdicts(self) -> Verdicts:
        return Verdicts(self)

    # ------------------------------------------------------------------------------------------- pictures and clips

    def clip(self, i: int, pad: str = "1s", height: int = 480, boxes: bool = True) -> Clip:
        """Return the clip of an event.

        Parameters
        ----------
        i : int
            The event's number, as in the column `event`.
        pad : str
            Time before and after it.
        height : int
            Lines at most.
        boxes : bool
            Whether the event's boxes are drawn.
        """
        event = self._event(i)
        seconds = as_seconds(pad, "pad", clock=False)
        if isinstance(height, bool) or not isinstance(height, (int, np.integer)) or height < 2:
            raise WorkbenchError(f"height must be a whole number of at least 2, got {height!r}.", "Use height=480.")
        title = title_of(int(event.event), float(event.start), float(event.end))
        clip = cut(
            self._stretch(event, seconds, boxes), height=int(height), title=title, poster=self._poster(event, boxes),
            time=first_hit(event, self._rows(event)), hits=[(float(event.start), float(event.end), title)],
        )  # fmt: skip
        assert clip is not None  # no limit was set
        return clip

    def thumbnail(self, id: int, video: str | None = None, height: int = 96) -> NDArray[np.uint8]:
        """Return the best crop of an object, RGB, scaled to `height` lines.

        Ids count in each video anew: without `video`, it is the first video's object of that id.
        """
        from workbench.video.result.crops import thumbnails

        rows = self.objects[self.objects["id"] == id]
        if video is not None:
            rows = rows[rows["video"] == video]
        if not len(rows):
            where = "" if video is None else f" in {video}"
            raise WorkbenchError(f"No object of this result has id {id}{where}.", "See .objects.")
        row = rows.iloc[0]
        facts = self._facts(str(row["video"]))
        images = thumbnails(facts.source, rows.iloc[:1], height)
        return np.ascontiguousarray(images[0][:, :, ::-1])

    def to_mp4(
        self,
        path: str | os.PathLike[str],
        *,
        events: int | Sequence[int] | None = None,
        pad: str = "0.5s",
        boxes: bool = True,
        codec: str = "h264",
    ) -> Path:
        """Write events one after another into one video.

        Parameters
        ----------
        path : path
        events : int or sequence of int, optional
            Numbers of events, in the order wanted; all by default.
        pad : str
            Time before and after each.
        boxes : bool
            Whether the boxes are drawn.
        codec : str
            `h264`, `vp9` or `av1`.
        """
        seconds = as_seconds(pad, "pad", clock=False)
        numbers = list(self.events["event"]) if events is None else list(np.atleast_1d(events))
        if not numbers:
            raise WorkbenchError("There is no event to write.", "Check len(result), or pass events=[...].")
        stretches = [self._stretch(self._event(number), seconds, boxes) for number in numbers]
        info = stretches[0].source.info()
        size = max(2, info.width // 2 * 2), max(2, info.height // 2 * 2)
        with writing(Path(path)):
            return write_stretches(Path(path), stretches, width=size[0], height=size[1], codec=codec)

    def to_coco(self, path: str | os.PathLike[str] | None = None) -> dict[str, Any]:
        """Return (and write) the rows of `.frames` as COCO annotations."""
        return to_coco(self.frames, {f.source.name: (f.info.width, f.info.height) for f in self.videos}, path)

    def to_mot(self, path: str | os.PathLike[str]) -> Path:
        """Write the rows of `.frames` as MOT text; a folder for several videos."""
        return to_mot(self.frames, [facts.source.name for facts in self.videos], path)

    def timeline(self, video: str | None = None) -> Timeline:
        """Return the timeline of the (first) video."""
        facts = self.videos[0] if video is None else self._facts(video)
        kinds = np.where(self.ongoing, "ongoing", "event").tolist()
        return timeline_of(
            facts.source.name, facts.info.duration, self.events, self._event_labels(), kinds, self.searched,
            facts.skipped,
        )  # fmt: skip

    # ------------------------------------------------------------------------------------------------------- display

    @property
    def summary(self) -> str:
        """The status line: events and objects, how far, how much was kept, and whether exact."""
        from workbench.video.result.view import status_line

        return status_line(self)

    def view_data(self) -> dict[str, Any]:
        """Return the blocks that the notebook, the report and the text form are drawn from."""
        from workbench.video.result.view import blocks

        return {"title": self.query.name, "blocks": blocks(self)}

    def preview_data(self) -> dict[str, Any]:
        """Return the blocks shown while the run goes on: no pictures, one table."""
        from workbench.video.result.view import preview

        return {"title": self.query.name, "blocks": preview(self)}

    def __repr__(self) -> str:
        try:
            return self.headline()
        except Exception:  # a half-made result must not break a debugger
            return "<VideoResult>"

    def __str__(self) -> str:
        from workbench.video.result.view import text

        return text(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def headline(self) -> str:
        """Return the one line: `VideoResult: 37 events, 21 objects in 1 video; 10:00 searched, exact`."""
        seconds = sum(facts.seconds for facts in self.videos)
        state = {"done": accuracy_word(self.proofs), "running": "running", "stopped": "stopped", "failed": "failed"}[
            self._status
        ]
        return (
            f"VideoResult: {counted(len(self.events), 'event')}, {counted(len(self.objects), 'object')} in "
            f"{counted(len(self.videos), 'video')}; {format_clock(round(seconds, 2))} searched, {state}"
        )

    # ------------------------------------------------------------------------------------------------------- private

    def _facts(self, video: str) -> VideoFacts:
        names = [facts.source.name for facts in self.videos]
        if video not in names:
            raise WorkbenchError(f"'{video}' was not searched.", suggest(video, names, f"Videos: {', '.join(names)}."))
        return self.videos[names.index(video)]

    def _event(self, i: int) -> Any:
        rows = self.events[self.events["event"] == i]
        if not len(rows):
            count = len(self.events)
            hint = f"Events are numbered 0 to {count - 1}." if count else "The result has no events."
            raise WorkbenchError(f"There is no event {i}.", hint)
        return next(rows.itertuples(index=False))

    def _stretch(self, event: Any, pad: float, boxes: bool) -> Stretch:
        return stretch_of(self._facts(event.video).source, event, self._rows(event), pad, boxes)

    def _rows(self, event: Any) -> pd.DataFrame:
        return self.frames[self.frames["event"] == event.event]

    def _poster(self, event: Any, boxes: bool = True) -> Stretch:
        objects = self.objects[self.objects["video"] == event.video]
        return best_picture(self._facts(event.video).source, event, self._rows(event), objects, boxes)

    def _event_labels(self) -> list[str]:
        names = [variable.name for variable in self.query.variables]
        columns = [self.events[f"{name}_id"] for name in names]
        return [
            ", ".join(f"{name} {number}" for name, number in zip(names, ids, strict=True))
            for ids in (zip(*columns, strict=True) if columns else [()] * len(self.events))
        ]
