"""Newcomers that get what they will need before a run goes on with them: the driver's side of `shadow`."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.training.handing import Origin

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Standby"]

LOOK = 0.1  # seconds between looks at how far they are
STILL = 10.0  # seconds in which nothing comes, after which what they lack is left for when training stands


class Standby:
    """Has newcomers copy what they will need, in a thread of its own; what fails leaves more for when training stands.

    Parameters
    ----------
    client : distributed.Client
    run : str
        Its id.
    seated : sequence of str
        Workers that train.
    setups : mapping of str to bytes
        Newcomer -> a pickled `Setup` of what it will be, without weights.
    """

    def __init__(self, client: Client, run: str, seated: Sequence[str], setups: Mapping[str, bytes]) -> None:
        self._client, self._run, self._seated, self._setups = client, run, list(seated), dict(setups)
        self._token = uuid.uuid4().hex
        self._over = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._work, name="workbench-training-standby", daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether there is no use in waiting any longer."""
        return self._ready.is_set()

    def close(self) -> None:
        """Have all forget it, beside all else."""
        from workbench.training import shadow

        self._over.set()

        def forget() -> None:
            self._thread.join()
            self._call(shadow.end, self._token, workers=list(self._setups))
            self._call(shadow.unfollow, self._token, workers=self._seated)

        threading.Thread(target=forget, name="workbench-training-standby-end", daemon=True).start()

    def _work(self) -> None:
        from workbench.training import shadow

        try:
            told = self._call(shadow.follow, self._token, workers=self._seated)
            origins: dict[int, Origin] = {}
            for address, found in told.items():
                if isinstance(found, dict):
                    for stage, names in found.items():  # of several replicas, one gives
                        origins.setdefault(stage, Origin(stage, names, (address,)))
            for address, setup in self._setups.items():
                self._call(shadow.begin, self._token, setup, tuple(origins.values()), workers=[address])
            came, since = -1, time.monotonic()
            while not self._over.wait(LOOK) and time.monotonic() - since < STILL:
                answers = self._call(shadow.progress, self._token, workers=list(self._setups))
                states = [each for each in answers.values() if isinstance(each, tuple)]
                if all(ready for ready, _ in states):
                    return
                if (total := sum(size for _, size in states)) != came:
                    came, since = total, time.monotonic()
        finally:
            self._ready.set()

    def _call(self, function: Any, *arguments: Any, workers: list[str]) -> dict[str, Any]:
        """Call a function on workers; those that have gone give nothing."""
        with contextlib.suppress(Exception):  # a worker, or the session, has ended
            found = self._client.run(function, self._run, *arguments, workers=workers, on_error="return")
            return dict(found or {})
        return {}
