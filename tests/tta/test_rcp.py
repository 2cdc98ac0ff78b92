"""Reference convergence points: the worked examples of the MLPerf training rules (v1.0, appendix "RCP Examples")."""

from __future__ import annotations

import math

import numpy as np
import pytest

from workbench.engine.errors import WorkbenchError
from workbench.tta.rcp import olympic_mean, rcp_check

AT_128 = [16, 14, 16, 17, 16, 16, 15, 16, 15, 16]
AT_256 = [20, 21, 21, 20, 22, 22, 21, 21, 20, 20]
REFERENCE = {128: AT_128, 256: AT_256}


def test_c33_batch_128_passes() -> None:
    found = rcp_check([15, 15, 15, 16, 16], AT_128)
    assert (round(found.mean, 2), round(found.sd, 2)) == (15.75, 0.43)
    assert round(found.min_mean, 2) == 15.21
    assert round(100 * found.max_speedup, 2) == 3.53
    assert round(found.submission_mean, 2) == 15.33
    assert found.passes
    assert "passed: submission 15.33 >= least 15.21" in str(found)


def test_c33_batch_256_fails() -> None:
    found = rcp_check([19, 19, 19, 20, 21], REFERENCE, batch_size=256)
    assert (round(found.mean, 2), round(found.sd, 2)) == (20.75, 0.66)
    assert round(found.min_mean, 2) == 19.93
    assert round(100 * found.max_speedup, 2) == 4.12
    assert round(found.submission_mean, 2) == 19.33
    assert not found.passes
    assert "failed: submission 19.33 < least 19.93" in str(found)


def test_c33_between_batch_sizes_mean_and_sd_are_interpolated() -> None:
    found = rcp_check([17, 18, 18, 18, 20], REFERENCE, batch_size=192)
    assert found.mean == 18.25
    assert round(found.sd, 3) == 0.547
    assert found.submission_mean == 18.0
    assert found.passes
    assert rcp_check([17, 18, 18, 18, 20], REFERENCE, batch_size=160).mean == 17.0


def test_c33_min_mean_is_where_a_one_sided_t_test_gives_p() -> None:
    from scipy.stats import ttest_ind_from_stats

    for p in (0.01, 0.05, 0.2):
        found = rcp_check([15, 15, 15, 16, 16], AT_128, p=p)
        # the test takes spreads with ddof 0 for those of both samples, as the rules' own checker does
        test = ttest_ind_from_stats(found.min_mean, found.sd, 3, found.mean, found.sd, 8, alternative="less")
        assert test.pvalue == pytest.approx(p, abs=1e-9)
        assert found.max_speedup == pytest.approx(found.mean / found.min_mean - 1)


def test_c33_misses_equality_and_no_spread() -> None:
    one_miss = rcp_check([15, 15, 15, 16, None], AT_128)
    assert one_miss.submission_mean == pytest.approx(46 / 3)
    assert one_miss.passes
    two = rcp_check([15, 15, 15, math.nan, math.inf], AT_128)
    assert math.isnan(two.submission_mean)
    assert not two.passes
    assert "has no mean" in str(two)
    level = rcp_check([5, 5, 5, 5], [5, 5, 5, 5, 5])
    assert (level.sd, level.min_mean, level.max_speedup, level.passes) == (0.0, 5.0, 0.0, True)
    assert not rcp_check([4.9, 4.9, 4.9], [5, 5, 5, 5, 5]).passes


def test_c33_a_mapping_of_one_batch_size_needs_no_name() -> None:
    assert rcp_check([15, 15, 15, 16, 16], {128: AT_128}) == rcp_check([15, 15, 15, 16, 16], AT_128)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: rcp_check([60] * 5, REFERENCE, batch_size=512),
            "Batch size 512 is outside the reference's 128 to 256.\nRun the reference at 512 and add its epochs.",
        ),
        (lambda: rcp_check([60] * 5, REFERENCE, batch_size=64), "Batch size 64 is outside the reference's 128 to 256."),
        (lambda: rcp_check([60] * 5, REFERENCE), "The reference has batch sizes 128, 256.\nPass batch_size=, the"),
        (lambda: rcp_check([60] * 5, {}), "The reference has no batch size."),
        (lambda: rcp_check([60] * 5, [1, 2]), "The reference has 2 runs; the fastest and slowest drop out."),
        (lambda: rcp_check([60] * 5, [1, 2, None, 3]), "The reference has runs that missed the target."),
        (lambda: rcp_check([60] * 2, AT_128), "An olympic mean that drops 1 at each end needs 3 times; got 2 times."),
        (lambda: rcp_check([6, 6, 6], [5, 6, 7]), "With 3 runs on each side there is nothing to test"),
        (lambda: rcp_check([6, 6, 6], AT_128, p=5), "p is 5; it is a level between 0 and 1."),
        (lambda: rcp_check("abc", AT_128), "submission is a list of numbers; got 'abc'."),
        (lambda: olympic_mean([1.0]), "An olympic mean that drops 1 at each end needs 3 times; got 1 time."),
        (lambda: olympic_mean([1.0, 2, 3], drop=2), "An olympic mean that drops 2 at each end needs 5 times"),
        (lambda: olympic_mean([1.0, 2, 3], drop=-1), "drop is -1; it is a number of times."),
        (lambda: olympic_mean([1.0, 2, 3], drop=1.0), "drop is 1.0; it is a number of times."),
    ],
)
def test_c33_c27_mistakes(call, message: str) -> None:
    with pytest.raises(WorkbenchError) as error:
        call()
    assert str(error.value).startswith(message)


def test_c27_olympic_mean_drops_the_ends() -> None:
    assert olympic_mean([9.0, 1.0, 2.0, 3.0]) == 2.5
    assert olympic_mean([1, 2, 3, 4, 50], drop=2) == 3.0
    assert olympic_mean([3.0, 1.0, 2.0], drop=0) == 2.0
    assert olympic_mean(np.array([5.0, 7.0, 6.0])) == 6.0


@pytest.mark.parametrize("miss", [None, math.nan, math.inf])
def test_c27_misses_are_the_slowest(miss) -> None:
    assert olympic_mean([miss, 1.0, 2.0, 4.0]) == 3.0
    assert math.isnan(olympic_mean([miss, 1.0, 2.0, miss]))
    assert math.isnan(olympic_mean([miss, 1.0, 2.0], drop=0))


def test_c27_missing_values_of_pandas_are_misses() -> None:
    import pandas as pd

    assert olympic_mean(pd.Series([1, 2, 4, None], dtype="Float64")) == 3.0
