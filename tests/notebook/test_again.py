"""Questions that a panel asks the kernel: answered by the result that the panel shows, and by no other."""

from __future__ import annotations

import gc
import time
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from tests.notebook.kernel import Kernel
from workbench.engine.errors import WorkbenchError
from workbench.notebook import again
from workbench.notebook.again import key_of, offer, reply
from workbench.notebook.display import VIEW_MIME, mimebundle


class Answer:
    """A result that can be asked again."""

    def __init__(self, name: str, rows: int = 2) -> None:
        self.name, self.count = name, rows

    def within(self, i: int) -> Answer:
        if i >= self.count:
            raise WorkbenchError(f"No explanation {i}.", "Fewer.")
        return Answer(f"{self.name} within {i}", 1)

    def without(self, i: int) -> Answer:
        raise ZeroDivisionError("odd")

    def view_data(self) -> dict[str, Any]:
        columns = [{"name": "rank", "label": "#", "format": "rank"}, {"name": "what", "label": "", "format": "chips"}]
        rows = [[i + 1, {"chips": [["a", f"{self.name} {i}"]], "same": []}] for i in range(self.count)]
        state = {"columns": columns, "rows": rows, "details": {}, "sort": {}, "selected": None, "page": 10}
        table = {"kind": "table", "name": "t", "frame": pd.DataFrame({"a": [1]})}
        return {"blocks": [{"kind": "summary", "text": self.name}, {"kind": "ranked", "state": state}, table]}


def state_of(answer: Answer) -> dict[str, Any]:
    return dict(answer.view_data()["blocks"][1]["state"])


def test_a_panel_finds_the_result_that_it_shows_and_no_other() -> None:
    answer = Answer("first")
    key = offer(answer, state_of(answer))
    assert key == key_of(state_of(Answer("first"))) != key_of(state_of(Answer("second")))
    assert reply({"do": "hello", "key": key, "id": 1}, {}) == {"id": 1, "live": True}
    assert reply({"do": "hello", "key": key_of(state_of(Answer("second")))}, {})["live"] is False


def test_sorting_and_selecting_do_not_change_the_key() -> None:
    shown = state_of(Answer("a"))
    assert key_of(shown) == key_of({**shown, "selected": 1, "sort": {"column": "x"}, "live": True})


def test_a_result_is_not_kept_alive() -> None:
    answer = Answer("short")
    key = offer(answer, state_of(answer))
    del answer
    gc.collect()
    found = reply({"do": "within", "row": 0, "key": key, "id": 3}, {})
    assert found == {"id": 3, "error": ["This answer is no longer in the kernel.", "Run the cell again."]}


def test_an_answer_is_blocks_and_can_be_asked_again_itself() -> None:
    answer, held = Answer("all"), {}  # type: ignore[var-annotated]
    found = reply({"do": "within", "row": 1, "key": offer(answer, state_of(answer)), "id": 4}, held)
    assert [block["kind"] for block in found["blocks"]] == ["summary", "ranked"]
    assert found["blocks"][0]["text"] == "all within 1" and found["id"] == 4
    gc.collect()
    deeper = reply({"do": "within", "row": 0, "key": found["key"], "id": 5}, held)
    assert deeper["blocks"][0]["text"] == "all within 1 within 0"


@pytest.mark.parametrize(
    ("do", "row", "error"),
    [
        ("within", 7, ["No explanation 7.", "Fewer."]),
        ("without", 0, ["ZeroDivisionError: odd"]),
        ("view_data", 0, ["Nothing is known of that.", "Reload the page."]),
        ("within", "x", ["ValueError: invalid literal for int() with base 10: 'x'"]),
    ],
)
def test_errors_are_lines(do: str, row: Any, error: list[str]) -> None:
    answer = Answer("a")
    key = offer(answer, state_of(answer))
    assert reply({"do": do, "row": row, "key": key, "id": 6}, {}) == {"id": 6, "error": error}


def test_details_of_a_line_that_has_none_in_the_page() -> None:
    import workbench as wb
    from tests.notebook.magics.test_outliers import log

    found = wb.outliers(log(), "latency", ["host", "Ship Mode"], tail="high", top=0.02)
    (view,) = mimebundle(found)[VIEW_MIME]["views"]  # type: ignore[index]
    got = reply({"do": "details", "row": 0, "key": view["state"]["key"], "id": 1}, {})
    assert got["details"] == view["state"]["details"]["0"]
    assert reply({"do": "details", "row": 99, "key": view["state"]["key"], "id": 1}, {})["error"]
    answer = Answer("plain")
    assert reply({"do": "details", "row": 0, "key": offer(answer, state_of(answer)), "id": 2}, {})["details"] == []


def test_other_results_have_no_key() -> None:
    assert offer(SimpleNamespace(), {"rows": []}) == ""


def test_the_bundle_carries_the_key() -> None:
    answer = Answer("shown")
    (view,) = mimebundle(answer)[VIEW_MIME]["views"]  # type: ignore[index]
    assert reply({"do": "hello", "key": view["state"]["key"]}, {})["live"] is True
    assert "live" not in view["state"]


def test_a_widget_answers_too() -> None:
    from workbench.notebook.widgets import RankedWidget

    answer, sent = Answer("widget"), []  # type: ignore[var-annotated]
    widget = RankedWidget(**state_of(answer), key=offer(answer, state_of(answer)), live=True)
    widget.send = sent.append
    widget._handle_custom_msg({"do": "within", "row": 0, "key": widget.key, "id": 1}, [])
    assert sent[0]["blocks"][0]["text"] == "widget within 0"
    widget.close()


@pytest.mark.filterwarnings("ignore")  # of jupyter_client
def test_a_kernel_listens_and_stops_listening(home: Any) -> None:
    import os

    kernel = Kernel({**os.environ, "WORKBENCH_HOME": str(home)})
    try:
        kernel.run("from tests.notebook.test_again import Answer\nfrom workbench.notebook.display import mimebundle")
        kernel.run("answer = Answer('here')\nbundle = mimebundle(answer)")
        key = key_of(state_of(Answer("here")))
        assert ask(kernel, {"do": "hello", "key": key, "id": 0}) == {"id": 0, "live": True}
        assert ask(kernel, {"do": "within", "row": 1, "key": key, "id": 1})["blocks"][0]["text"] == "here within 1"
        kernel.run("%unload_ext workbench")
        assert ask(kernel, {"do": "hello", "key": key, "id": 2}) is None
    finally:
        kernel.close()


def ask(kernel: Kernel, content: dict[str, Any]) -> Any:
    """Open a comm, send one message, and return the kernel's; None if it closes the comm."""
    session, channel = kernel.client.session, kernel.client.shell_channel
    opened = session.msg("comm_open", {"comm_id": f"c{content['id']}", "target_name": again.TARGET, "data": {}})
    channel.send(opened)
    message = session.msg("comm_msg", {"comm_id": f"c{content['id']}", "data": content})
    deadline, sent = time.monotonic() + 20, False
    while time.monotonic() < deadline:
        found = kernel.client.get_iopub_msg(timeout=20)
        if found["msg_type"] == "comm_close":
            return None
        if found["msg_type"] == "comm_msg":
            return found["content"]["data"]
        if found["msg_type"] == "status" and found["content"]["execution_state"] == "idle" and not sent:
            channel.send(message)
            sent = True
    raise AssertionError("no answer")
