from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from workbench.training import worker
from workbench.training.chaos import Chaos, Unrest
from workbench.training.errors import TrainingError


def test_text_and_fields_are_the_same() -> None:
    found = Chaos.parse("kill=2@10s, stall=1@step5,cut=random@1min,notice=0@step120,kill=random@0.5s")
    assert found == Chaos(
        kill=((2, "10s"), ("random", "0.5s")), stall=((1, "step5"),), cut=(("random", "1min"),),
        notice=((0, "step120"),),
    )  # fmt: skip
    assert Chaos.of(found) is found and Chaos.of(None) is None and Chaos.of("kill=1@2s") == Chaos(kill=((1, "2s"),))
    assert found.strikes() == [
        ("kill", 2, 10.0, None), ("kill", "random", 0.5, None), ("stall", 1, None, 5), ("cut", "random", 60.0, None),
        ("notice", 0, None, 120),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("kil=2@10s", 'Unknown chaos "kil"; did you mean "kill"?', "Use kill, stall, cut or notice."),
        ("kill=2", '"kill=2" is no chaos.', 'Write "kill=2@10s" or "stall=random@step120".'),
        ("kill=two@10s", '"kill=two@10s" is no chaos.', 'Write "kill=2@10s" or "stall=random@step120".'),
        ("kill=2@soon", '"kill=2@soon" is no chaos.', 'The time is "10s" or "step120".'),
        ("kill=2@10", '"kill=2@10" is no chaos.', 'The time is "10s" or "step120".'),
        ("", '"" is no chaos.', 'Write "kill=2@10s" or "stall=random@step120".'),
    ],
)
def test_mistakes_are_said(text: str, message: str, hint: str) -> None:
    with pytest.raises(TrainingError) as caught:
        Chaos.parse(text)
    assert (caught.value.message, caught.value.hint) == (message, hint)
    with pytest.raises(TrainingError, match="The target is a rank"):
        Chaos(kill=((-1, "1s"),))


class Crew:
    """Answers with made up processes."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def call(self, function: Any, *arguments: Any, ranks: Any, patience: float = 0) -> list[Any]:
        assert function is worker.pid
        return [1000 + rank for rank in ranks]

    def tell(self, function: Any, *arguments: Any, ranks: Any) -> list[Any]:
        self.told.append((function, list(ranks)))
        return []


def test_strikes_come_when_they_are_due(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    crew: Any = Crew()
    unrest = Unrest(Chaos.parse("kill=2@step3,stall=1@step3,cut=0@step5,kill=2@step6,kill=random@step7"))
    unrest.begin(crew, 4)
    unrest.tick(2)
    assert not sent
    unrest.tick(4)
    assert sent == [(1002, signal.SIGKILL), (1001, signal.SIGSTOP)] and unrest.when(2) > 0 and unrest.when(0) == 0
    unrest.tick(6)
    assert crew.told == [(worker.cut_off, [0])]
    assert len(sent) == 2  # rank 2 is gone already
    unrest.tick(7)
    assert sent[-1] == (1003, signal.SIGKILL)  # the only one that is left
    unrest.end()
    assert sent[-1] == (1001, signal.SIGCONT) and len(sent) == 4


def test_targets_are_ranks_of_the_run() -> None:
    crew: Any = Crew()
    with pytest.raises(TrainingError, match='"kill=4" is no chaos'):
        Unrest(Chaos.parse("kill=4@1s")).begin(crew, 4)
