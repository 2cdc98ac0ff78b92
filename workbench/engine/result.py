"""What every result has in common: tables out, a view in the notebook, and a one-line repr."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from workbench.engine import render
from workbench.engine.errors import WorkbenchError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from workbench.engine.plan import Plan

__all__ = ["Result", "Table"]


class Result:
    """Base class of results: a main table, and how it is shown.

    Subclasses give `to_pandas()` and `view_data()`, and `explain()` if they have a plan.

    Attributes
    ----------
    partial : bool
        Whether the work was stopped before its end.
    """

    partial: bool = False
    _shown_once: bool = False

    def to_pandas(self) -> pd.DataFrame:
        """Return the main table."""
        raise NotImplementedError

    def to_arrow(self) -> pa.Table:
        """Return the main table as an Arrow table."""
        import pyarrow as pa

        return pa.Table.from_pandas(self.to_pandas(), preserve_index=False)

    def to_polars(self) -> pl.DataFrame:
        """Return the main table as a polars DataFrame.

        Raises
        ------
        WorkbenchError
            If polars is not installed.
        """
        try:
            import polars as pl
        except ImportError as error:
            raise WorkbenchError(
                "to_polars() needs polars, which is not installed.", 'pip install "workbench[all]"'
            ) from error
        return pl.from_arrow(self.to_arrow())

    def explain(self, format: str = "text") -> Any:
        """Show how the result was made, estimates beside actuals; see `Plan.explain`."""
        plan = self._plan()
        if plan is None:
            raise WorkbenchError(f"A {type(self).__name__} has no plan.", "print(result) shows what it holds.")
        return plan.explain(format)  # type: ignore[call-overload]

    def view_data(self) -> dict[str, Any]:
        """Return what is to be seen, as plain data: `{"blocks": [...]}`."""
        return {"blocks": [{"kind": "table", "name": "", "frame": self.to_pandas()}]}

    def preview_data(self) -> dict[str, Any]:
        """Return the blocks shown while the work goes on, several times a second: those that are cheap."""
        return self.view_data()

    def __len__(self) -> int:
        return len(self.to_pandas())

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the rows as named tuples."""
        return iter(self.to_pandas().itertuples(index=False, name="Row"))

    def __getitem__(self, item: Any) -> Any:
        """Return rows of the main table for a slice or row number, a column for its name."""
        frame = self.to_pandas()
        if isinstance(item, slice):
            return frame.iloc[item]
        if isinstance(item, int):
            return frame.iloc[item]
        return frame[item]

    def __bool__(self) -> bool:
        # A result without rows is still a result.
        return True

    def _plan(self) -> Plan | None:
        return None

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return render.mimebundle(self, include, exclude)

    def _ipython_display_(self) -> None:
        """Show nothing once after a magic has shown the result; else let IPython use the MIME bundle."""
        if self._shown_once:
            self._shown_once = False
            return
        raise NotImplementedError


class Table(Result):
    """A titled DataFrame.

    Parameters
    ----------
    frame : DataFrame
    title : str
    units : mapping, optional
        Unit of a column ("s", "px"), kept in `frame.attrs["units"]`.
    shown : mapping of str to callable, optional
        How the values of a column are written for a reader, where a number is no amount (a time, an id).
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        title: str = "",
        units: Mapping[str, str] | None = None,
        shown: Mapping[str, Callable[[Any], str]] | None = None,
    ) -> None:
        self.frame = frame.copy(deep=False)
        self.title = title
        self._shown = dict(shown or {})
        if units:
            self.frame.attrs["units"] = dict(units)

    def to_pandas(self) -> pd.DataFrame:
        """Return the table."""
        return self.frame

    def view_data(self) -> dict[str, Any]:
        """Return the title and the table."""
        summary = [{"kind": "summary", "text": self.title}] if self.title else []
        written = {name: [write(value) for value in self.frame[name]] for name, write in self._shown.items()}
        frame = self.frame.assign(**written) if written else self.frame
        return {"blocks": [*summary, {"kind": "table", "name": self.title, "frame": frame}]}

    def __repr__(self) -> str:
        rows = f"{len(self.frame):,} row{'' if len(self.frame) == 1 else 's'}"
        return f"<Table {self.title!r}: {rows}>" if self.title else f"<Table: {rows}>"
