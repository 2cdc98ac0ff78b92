"""One piece of code run on pandas objects and on their lazy forms: both have to give the same."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from pandas.testing import assert_frame_equal, assert_index_equal, assert_series_equal

from workbench.fusion.capture import lazy
from workbench.fusion.capture.fallback import is_lazy, notes_of
from workbench.fusion.capture.frame import frame

#: what lazies are computed with besides the usual way
DEVICES = ("auto",)


def table(rows: int = 60, seed: int = 0) -> pd.DataFrame:
    """Return a frame with a column of each kind, NaN and missing values among them."""
    rng = np.random.default_rng(seed)
    words = np.array(["lesly", "Leslie", " bob ", "anna", "00000", "Zoë", "x1y2"], dtype=object)
    text = pd.Series(words[rng.integers(0, len(words), rows)], dtype="str")
    holes = text.mask(pd.Series(rng.random(rows) < 0.2))
    floats = rng.normal(size=rows).round(3)
    floats[rng.random(rows) < 0.2] = np.nan
    times = pd.Timestamp("1969-11-03 01:02:03") + pd.to_timedelta(rng.integers(0, 10**9, rows), unit="s")
    gaps = pd.Series(times).mask(pd.Series(rng.random(rows) < 0.2))
    return pd.DataFrame(
        {
            "i": rng.integers(-5, 6, rows),
            "j": rng.integers(1, 4, rows).astype(np.int32),
            "x": floats,
            "y": rng.normal(size=rows),
            "f": rng.normal(size=rows).astype(np.float32),
            "b": rng.random(rows) < 0.5,
            "s": text,
            "h": holes,
            "t": times,
            "g": gaps,
            "m": pd.array(rng.integers(0, 9, rows), dtype="Int64"),
            "n": pd.Series(rng.integers(0, 9, rows), dtype="Int64").mask(pd.Series(rng.random(rows) < 0.3)),
            "o": [[k] for k in range(rows)],
            "c": pd.Categorical(rng.choice(["p", "q"], rows)),
        }
    )


def value_of(found: Any, device: str) -> Any:
    """Return what a lazy object is, computed on a device; anything else as it is."""
    if type(found) is tuple or type(found) is list:
        return type(found)(value_of(each, device) for each in found)
    return found.compute(device=device) if is_lazy(found) else found


def assert_same(found: Any, wanted: Any) -> None:
    """Assert that two values are of one type and equal, with index, names, dtypes and order."""
    if isinstance(wanted, pd.DataFrame):
        assert isinstance(found, pd.DataFrame), type(found)
        rtol = 1e-4 if any(each == np.float32 for each in wanted.dtypes) else 1e-9
        assert_frame_equal(found, wanted, check_freq=False, rtol=rtol, atol=1e-12)
        assert_index_equal(found.columns, wanted.columns, exact="equiv")
    elif isinstance(wanted, pd.Series):
        assert isinstance(found, pd.Series), type(found)
        rtol = 1e-4 if wanted.dtype == np.float32 else 1e-9
        assert_series_equal(found, wanted, check_freq=False, rtol=rtol, atol=1e-12)
    elif isinstance(wanted, np.ndarray):
        assert found.dtype == wanted.dtype
        if wanted.dtype.kind == "f":
            np.testing.assert_allclose(found, wanted, rtol=1e-9)
        else:
            np.testing.assert_array_equal(found, wanted)
    elif isinstance(wanted, pd.api.extensions.ExtensionArray):
        assert type(found) is type(wanted)
        assert_series_equal(pd.Series(found), pd.Series(wanted))
    elif isinstance(wanted, (tuple, list)):
        assert type(found) is type(wanted) and len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_same(one, other)
    else:
        assert isinstance(found, type(wanted)), (type(found), type(wanted))
        if isinstance(wanted, (float, np.floating)):
            tolerance = 1e-4 if isinstance(wanted, np.float32) else 1e-9
            np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=1e-12)
        else:
            assert found == wanted


def both(code: Callable[..., Any], *tables: Any, fused: bool | None = None, devices: tuple[str, ...] = DEVICES) -> Any:
    """Assert that code gives the same on tables and on their lazy forms, or raises the same; return the lazy result.

    Parameters
    ----------
    fused : bool, optional
        True: nothing may have run in pandas; False: something has to.
    devices : tuple of str
        What lazies are computed with, one after another.
    """
    result = None
    with warnings.catch_warnings(), _defaults() as defaults:
        warnings.simplefilter("ignore")
        for device in devices:
            plain = [each.copy() for each in tables]
            originals = [each.copy() for each in tables]
            try:
                wanted: Any = code(*plain)
            except Exception as error:
                wanted = error
            lazies = [frame(each) for each in originals]
            defaults["device"] = device
            if isinstance(wanted, Exception):
                raised: Any = None
                try:
                    raised = code(*lazies)
                except Exception as error:
                    raised = error
                assert isinstance(raised, type(wanted)), f"pandas raised {wanted!r}, and this gave {raised!r}"
                continue
            with _Told() as told:
                result = code(*lazies)
            fell = [*told.ops, *(note.name for note in notes_of(result))]
            if fused is not None:
                assert bool(fell) is not fused, fell
            assert_same(value_of(result, device), wanted)
            for one, other in zip(lazies, plain, strict=True):
                assert_same(one._fusion_value(), other)
            for original, other in zip(originals, plain, strict=True):
                assert_same(original, other)
    return result


@contextmanager
def _defaults() -> Iterator[dict[str, Any]]:
    """Give what a lazy object is computed with where nobody says, to be changed; afterwards it is as before."""
    before = dict(lazy.DEFAULTS)
    try:
        yield lazy.DEFAULTS
    finally:
        lazy.DEFAULTS.clear()
        lazy.DEFAULTS.update(before)


class _Told:
    """Collects the operations that warned that they ran in pandas."""

    def __enter__(self) -> _Told:
        from workbench.fusion.capture import fallback

        self.ops: list[str] = []
        self._module, self._before = fallback, fallback.warn_fallback
        fallback.warn_fallback = lambda op, line, *rest: self.ops.append(op)
        fallback._warned.clear()
        return self

    def __exit__(self, *_: object) -> None:
        self._module.warn_fallback = self._before
