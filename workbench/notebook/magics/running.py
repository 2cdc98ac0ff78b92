"""What happens when a magic runs: wait, show once, bind, and stop cleanly.

A foreground magic makes one display. An interrupt cancels the run, keeps and binds what was found, and raises
`Stopped`, so that Run All stops at the cell.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

from workbench.engine.errors import Stopped
from workbench.notebook import display, live, progress
from workbench.notebook.magics.base import Call

__all__ = ["bind", "execute", "is_run", "stopped"]

#: Seconds that an interrupted cell waits for its run to end, and then for its picture: the reply is out in a second.
GRACE, DRAWING = 0.55, 0.3


def is_run(value: Any) -> bool:
    """Whether a magic's function gave work in progress."""
    return all(hasattr(value, name) for name in ("run_id", "result", "cancel", "partial", "wait"))


def execute(shell: Any, call: Call) -> Any:
    """Run a magic's function and return the cell's value."""
    __tracebackhide__ = True
    if any(call.options.get(name) for name in call.spec.endless):
        call = replace(call, background=True)
    # a magic that binds what it likes shows its value itself: its runs are shown as those of a call, and end alone
    mode: live.Mode = "background" if call.background else "call" if call.spec.binds else "magic"
    with live.attended(mode, call.quiet) as holder, display.quieted(call.quiet):
        try:
            value = call.spec.call(call)
        except KeyboardInterrupt as interrupt:
            if isinstance(interrupt, Stopped):
                raise
            if holder.view is not None and not call.spec.binds:  # it has just begun, and nobody else has it
                raise _stop(shell, call, holder.view.run, "Stopped") from None
            raise Stopped("Stopped before it began; nothing was found yet.", "Run the cell again.") from None
        finally:
            holder.tell()
        if call.spec.binds:
            return value
        if not is_run(value):
            bind(shell, call.out, value)
            if call.quiet and value is not None:
                display.one_line(value)
                display.mark_shown(value)
            return value
        if call.background:
            bind(shell, call.out, value)
            live.view_of(value).settle_alone()
            display.mark_shown(value)
            return value
        return _foreground(shell, call, value)


def _foreground(shell: Any, call: Call, run: Any) -> Any:
    view = live.view_of(run)
    result: Any = None
    try:
        # The wait is cut into pieces for platforms whose lock waits no signal can end.
        while not run.wait(0.5):
            pass
        if run.state != "cancelled":
            result = run.result()
            bind(shell, call.out, result)
            view.finish(result)
    except KeyboardInterrupt:
        if result is None:
            raise _stop(shell, call, run, "Stopped") from None
        # The answer is there; only its picture is not.
        view.finish(None, note="Stopped while the result was drawn.")
        raise Stopped(
            "Stopped while the result was drawn; nothing is missing from it.", "Show it again.", result=result
        ) from None
    except BaseException:
        partial = _partial(run)
        view.finish(partial if progress.has_rows(partial) else None, failed=True)
        raise
    if run.state == "cancelled":
        raise _stop(shell, call, run, "Cancelled")
    display.mark_shown(result)
    return result


def _stop(shell: Any, call: Call, run: Any, verb: str) -> Stopped:
    """Cancel, wait a little, keep what there is; a second interrupt ends the waiting."""
    run.cancel()
    with contextlib.suppress(KeyboardInterrupt):
        run.wait(GRACE)
    result = _partial(run)
    if result is not None:
        bind(shell, call.out, result)
    error = stopped(verb, run, call, result)
    with contextlib.suppress(KeyboardInterrupt):
        live.view_of(run).finish(result, note=error.message, within=DRAWING)
    return error


def stopped(verb: str, run: Any, call: Call, result: Any) -> Stopped:
    """Return the error of an interrupted run: where it stood, and where its result is."""
    place = progress.counted(run.progress)
    where = f"kept in {call.out}" if call.out else "shown above"
    kept = "nothing was found yet" if result is None else f"what was found is {where}"
    at = f" at {place}" if place else ""
    return Stopped(f"{verb}{at}; {kept}.", call.spec.again, result=result)


def _partial(run: Any) -> Any:
    """Return what a run has found, marked as partial; None if it has nothing to give."""
    result = None
    if run.state == "cancelled" and run.wait(0):
        result = run.result(timeout=0)
    if result is None:
        result = run.partial()
    if result is not None and getattr(result, "partial", True) is False:
        result.partial = True
    return result


def bind(shell: Any, name: str | None, value: Any) -> None:
    """Bind a magic's value in the notebook's name space, and its tables under that name where it offers views."""
    if name is None:
        return
    shell.user_ns[name] = value
    if hasattr(value, "bind_views"):
        value.bind_views(name)
