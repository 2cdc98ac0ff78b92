"""What a magic does with its run: shown once, bound, quiet, failed, stopped."""

from __future__ import annotations

import _thread
import threading
import time
import warnings
from typing import Any

import pytest

from tests.notebook import slow
from tests.notebook.slow import Count
from workbench.engine.errors import Stopped, WorkbenchWarning
from workbench.notebook import live
from workbench.notebook.display import VIEW_MIME, WIDGET_MIME
from workbench.notebook.magics import running


def test_n11_n12_one_display_and_the_value_is_kept(front: Any) -> None:
    value = front.value("%%slow 2 -o counted\n1")
    assert isinstance(value, Count) and len(value) == 2 and not value.partial
    assert front.names["counted"] is value
    assert front.names["_"] is value
    ((bundle, _, update),) = front.shown
    assert not update
    assert set(bundle) == {"text/plain", "text/html", "image/png", VIEW_MIME}
    assert bundle["text/plain"].startswith("2 counted\nn  half")


def test_shown_once_then_as_usual(front: Any, capsys: pytest.CaptureFixture[str]) -> None:
    value = front.value("%%slow 2")
    assert value._shown_once is False  # the display hook has asked, and got nothing
    capsys.readouterr()
    front.shell.user_ns["again"] = value
    front.value("again")
    assert "2 counted" in capsys.readouterr().out
    assert len(front.shown) == 1


def test_n11_quiet_leaves_one_line(front: Any) -> None:
    value = front.value("%%slow 2 -q -o c")
    assert [(bundle, update) for bundle, _, update in front.shown] == [
        ({"text/plain": "<Table '2 counted': 2 rows>"}, False)
    ]
    assert front.names["c"] is value


def test_a_failed_run_binds_nothing_and_shows_what_there_is(front: Any) -> None:
    assert front.error("%%slow 2 --fail -o c") == ["It broke.", "Mend it."]
    assert "c" not in front.names
    ((bundle, _, _),) = front.shown
    assert bundle["text/plain"].startswith("slow count: failed at 2 of 2 steps\n2 counted")
    assert "slow count: failed at 2 of 2 steps" in bundle["text/html"]


def test_a_failed_run_without_anything_shows_nothing(front: Any) -> None:
    assert front.error("%%slow 0 --fail") == ["It broke.", "Mend it."]
    assert front.shown == []


def test_quiet_still_fails_loudly(front: Any) -> None:
    assert front.error("%%slow 1 --fail -q") == ["It broke.", "Mend it."]


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the hook back that pytest takes out of each test."""
    warnings.simplefilter("default", WorkbenchWarning)
    monkeypatch.setattr(warnings, "showwarning", live.note_hook(warnings.showwarning))


@pytest.mark.usefixtures("noted")
def test_warnings_come_after_the_result_and_once(front: Any) -> None:
    front.value("%%slow 1 --warns")
    assert [bundle["text/plain"] for bundle, _, _ in front.shown][1:] == ["warning: Something is odd.\nLook at it."]


@pytest.mark.usefixtures("noted")
def test_warnings_that_the_result_tells_are_not_told_again(front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Count, "notes", ["Something is odd.\nLook at it."], raising=False)
    monkeypatch.setattr(Count, "__init__", _keep_notes(Count.__init__))
    front.value("%%slow 1 --warns")
    assert len(front.shown) == 1


def _keep_notes(init: Any) -> Any:
    def made(self: Any, *args: Any) -> None:
        init(self, *args)
        del self.notes

    return made


@pytest.mark.usefixtures("noted")
def test_a_warning_outside_a_magic_is_a_note_at_once(front: Any) -> None:
    front.value("from workbench.engine.errors import warn\nwarn('Odd.', 'Look.')")
    assert front.shown[0][0]["text/plain"] == "warning: Odd.\nLook."


def interrupt(after: float) -> None:
    threading.Timer(after, _thread.interrupt_main).start()


def stop(front: Any, cell: str, after: float = 0.3) -> tuple[Stopped, float]:
    started = time.monotonic()
    interrupt(after)
    result = front.run(cell)
    error = result.error_in_exec
    assert isinstance(error, Stopped)
    return error, time.monotonic() - started - after


def test_n13_an_interrupt_keeps_binds_shows_and_stops(front: Any) -> None:
    error, took = stop(front, "%%slow 60 -o counted")
    kept = front.names["counted"]
    assert kept.partial and kept is error.result and 0 < len(kept) < 60
    assert error.lines() == [
        f"Stopped at {len(kept)} of 60 steps; what was found is kept in counted.",
        "Run the cell again to go on from there.",
    ]
    assert isinstance(error, KeyboardInterrupt)
    assert took < 1.0
    bundle, _, _ = front.shown[-1]
    assert bundle["text/plain"].startswith(error.message)
    assert error.message in bundle["text/html"]


def test_an_interrupt_without_out(front: Any) -> None:
    error, _ = stop(front, "%%slow 60")
    assert error.message.endswith("; what was found is shown above.")


def test_an_interrupt_does_not_wait_for_a_deaf_run(front: Any) -> None:
    error, took = stop(front, "%%slow 40 --deaf -o counted")
    assert took < 1.0
    assert front.names["counted"] is error.result and error.result.partial


def test_a_second_interrupt_stops_the_waiting(front: Any) -> None:
    interrupt(0.45)
    _, took = stop(front, "%%slow 40 --deaf -o counted", after=0.25)
    assert took < running.GRACE


def test_cancelled_from_outside_ends_the_same_way(front: Any) -> None:
    from workbench.engine.run import runs

    threading.Timer(0.3, lambda: runs()[0].cancel()).start()
    error = front.run("%%slow 60 -o counted").error_in_exec
    assert isinstance(error, Stopped)
    kept = front.names["counted"]
    assert error.message == f"Cancelled at {len(kept)} of 60 steps; what was found is kept in counted."
    assert kept.partial


def test_background_returns_the_run_at_once(front: Any) -> None:
    started = time.monotonic()
    run = front.value("%%slow 8 -b -o counting")
    assert time.monotonic() - started < 0.3
    assert front.names["counting"] is run and front.names["_"] is run
    assert len(run.result()) == 8
    deadline = time.monotonic() + 2
    while not front.shown and time.monotonic() < deadline:
        time.sleep(0.02)
    ((bundle, _, _),) = front.shown
    assert bundle["text/plain"].startswith("8 counted")


def test_a_failure_in_the_background_is_shown(front: Any) -> None:
    run = front.value("%%slow 1 --fail -b")
    run.wait()
    deadline = time.monotonic() + 2
    while not front.shown and time.monotonic() < deadline:
        time.sleep(0.02)
    ((bundle, _, _),) = front.shown
    assert bundle["text/plain"].startswith("It broke.\nMend it.\n1 counted")
    assert 'class="wb-note wb-error" role="note">It broke.\nMend it.<' in bundle["text/html"]


def test_an_interrupt_while_drawing_keeps_the_answer(front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(self: Count) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Count, "view_data", drawn)
    error = front.run("%%slow 2 -o c").error_in_exec
    assert isinstance(error, Stopped) and error.result is front.names["c"] and len(error.result) == 2
    assert error.message == "Stopped while the result was drawn; nothing is missing from it."


def test_an_interrupt_does_not_wait_for_a_slow_picture(front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Count.view_data

    def slowly(self: Count) -> Any:
        time.sleep(1.5)
        return original(self)

    monkeypatch.setattr(Count, "view_data", slowly)
    error, took = stop(front, "%%slow 60 -o counted")
    assert took < 1.0 and front.names["counted"] is error.result
    assert [bundle["text/plain"] for bundle, _, _ in front.shown] == [error.message]


def test_a_result_that_cannot_be_drawn_is_still_there(front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Count, "view_data", lambda self: {}["blocks"])
    value = front.value("%%slow 2 -o c")
    assert front.names["c"] is value
    assert front.shown[0][0]["text/plain"] == (
        "<Table '2 counted': 2 rows>\nwarning: The result cannot be drawn (KeyError: 'blocks')."
    )


def test_an_interrupt_before_the_run_began(front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tests.notebook.slow.count", interrupted)
    error = front.run("%%slow 2").error_in_exec
    assert isinstance(error, Stopped)
    assert error.lines() == ["Stopped before it began; nothing was found yet.", "Run the cell again."]


def test_an_interrupt_when_the_run_has_just_begun_ends_it(front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Any] = []
    original = slow.count

    def interrupted(*arguments: Any, **options: Any) -> None:
        begun.append(original(*arguments, **options))
        raise KeyboardInterrupt

    monkeypatch.setattr("tests.notebook.slow.count", interrupted)
    error = front.run("%%slow 400 -o counted").error_in_exec
    assert isinstance(error, Stopped) and error.message.startswith("Stopped")
    assert begun[0].wait(10) and begun[0].state == "cancelled"
    assert front.names["counted"] is error.result


def test_out_makes_the_views_of_a_result(front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bound: list[str] = []
    monkeypatch.setattr(Count, "bind_views", lambda self, name: bound.append(name), raising=False)
    front.value("%%slow 1 -o c")
    front.value("%%slow 1")
    assert bound == ["c"]


def test_magic_overhead_is_small(front: Any) -> None:
    front.value("%%slow 0")
    started = time.perf_counter()
    for _ in range(5):
        front.value("%%slow 0 -q")
    assert (time.perf_counter() - started) / 5 < 0.05
    assert WIDGET_MIME not in front.shown[-1][0]
