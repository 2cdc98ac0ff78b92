"""Parameters and execution of a copy of a notebook; the file itself is never written."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from workbench.engine.errors import WorkbenchError

__all__ = ["cell_number", "execute", "inject"]


def inject(notebook: Any, parameters: Mapping[str, Any]) -> None:
    """Insert the cell that sets `parameters` where papermill does.

    In place of an injected one, else after the cell tagged `parameters`, else first.
    """
    import nbformat

    def first(tag: str) -> int | None:
        tagged = (index for index, cell in enumerate(notebook.cells) if tag in cell.metadata.get("tags", ()))
        return next(tagged, None)

    earlier, declared = first("injected-parameters"), first("parameters")
    if earlier is not None:
        del notebook.cells[earlier]
    at = earlier if earlier is not None else 0 if declared is None else declared + 1
    lines = ["# Parameters", *(f"{name} = {_literal(name, value)}" for name, value in parameters.items())]
    cell = nbformat.v4.new_code_cell("\n".join(lines), metadata={"tags": ["injected-parameters"]})
    cell["id"] = "injected-parameters"  # a random one would make two reports differ
    notebook.cells.insert(at, cell)


def execute(
    notebook: Any,
    folder: Path,
    *,
    timeout: float,
    allow_errors: bool,
    watch: Callable[[int], None] | None = None,
) -> None:
    """Run all cells in `folder`, in place; `watch` is told the index of each cell, text cells too, as it is reached.

    Raises
    ------
    WorkbenchError
        A cell failed, or took longer than `timeout` s, unless `allow_errors`.
    """
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    wanted = notebook.metadata.get("kernelspec", {}).get("name", "python3")
    try:
        spec = KernelSpecManager().get_kernel_spec(wanted)
    except NoSuchKernel:
        wanted = "python3"
        spec = KernelSpecManager().get_kernel_spec(wanted)
    # ipykernel warns at each start that its loopback sockets are not encrypted.
    ours = any("ipykernel" in word for word in spec.argv)
    client = NotebookClient(
        notebook,
        timeout=timeout if timeout > 0 else None,
        kernel_name=wanted,
        allow_errors=allow_errors,
        interrupt_on_timeout=allow_errors,
        store_widget_state=False,
        record_timing=False,
        extra_arguments=["--IPKernelApp.log_level=40"] if ours else [],
        resources={"metadata": {"path": os.fspath(folder)}},
        on_cell_start=None if watch is None else lambda cell, cell_index: watch(cell_index),
    )
    hint = "Nothing was written. To write it anyway: --allow-errors"
    try:
        client.execute(cleanup_kc=True)
    except CellExecutionError as error:
        why = _sentence(error.ename, error.evalue)
        raise WorkbenchError(f"Cell {_running(notebook)} failed: {why}", hint) from error
    except CellTimeoutError as error:
        late = f"Cell {_running(notebook)} failed: it took longer than {timeout:g} s."
        raise WorkbenchError(late, "Nothing was written. To give it longer: --timeout") from error
    except DeadKernelError as error:
        raise WorkbenchError(f"Cell {_running(notebook)} failed: the kernel died.", "Nothing was written.") from error


def cell_number(notebook: Any, index: int) -> int:
    """Return the number that a reader knows a cell by: that of its prompt, else its place."""
    return int(notebook.cells[index].get("execution_count") or index + 1)


def _running(notebook: Any) -> int:
    """Return the number of the last cell that was started."""
    started = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code" and cell.get("execution_count")]
    failed = [
        i for i, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and any(output.output_type == "error" for output in cell.outputs)
    ]  # fmt: skip
    return cell_number(notebook, (failed or started or [0])[-1])


def _sentence(name: str, value: str) -> str:
    lines = (value or "").strip().splitlines()
    text = f"{name}: {lines[0]}" if lines else name
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _literal(name: str, value: Any) -> str:
    """Return Python text for a value; only plain data can be a parameter."""
    if isinstance(value, str):
        # As papermill writes it, so that both give the same cell.
        escaped = value.encode("unicode_escape").decode("ascii").replace('"', '\\"')
        return f'"{escaped}"'
    if value is None or isinstance(value, bool | int):
        return repr(value)
    if isinstance(value, float):
        return repr(value) if value == value and abs(value) != float("inf") else f"float({str(value)!r})"
    if isinstance(value, Mapping):
        items = (f"{_literal(name, key)}: {_literal(name, item)}" for key, item in value.items())
        return f"{{{', '.join(items)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_literal(name, item) for item in value)}]"
    raise WorkbenchError(
        f"The parameter {name} is a {type(value).__name__}.", "Use numbers, text, True, False, None, lists or dicts."
    )
