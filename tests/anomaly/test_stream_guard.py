from __future__ import annotations

import signal
import threading

import pytest

from workbench.anomaly.stream_guard import uninterrupted


def test_an_interrupt_waits_until_the_end() -> None:
    handler, done = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append(1)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [1] and signal.getsignal(signal.SIGINT) is handler
    with pytest.raises(ValueError, match="as it is"), uninterrupted():
        raise ValueError("as it is")
    assert signal.getsignal(signal.SIGINT) is handler


def test_other_threads_are_left_alone() -> None:
    def work() -> None:
        with uninterrupted():
            done.append(signal.getsignal(signal.SIGINT))

    handler, done = signal.getsignal(signal.SIGINT), list[object]()
    thread = threading.Thread(target=work)
    thread.start(), thread.join()
    assert done == [handler]
