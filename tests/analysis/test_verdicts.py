"""From trials to intervals, and from intervals to words."""

import numpy as np
import pytest
import xarray as xr

from pipeline.analysis import verdicts
from pipeline.analysis.datasets import ratio_trials


def interval_of(low, high):
    return xr.Dataset(
        {"ci_low": ("freq", np.array(low, float)), "ci_high": ("freq", np.array(high, float))},
        {"freq": list(range(len(low)))},
    )


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        ([1, 2], [2, 3], "confirmed"),
        ([-3, -2], [-2, -1], "refuted"),
        ([1, 1, -2, 1], [2, 2, -1, 2], "confirmed only for n = 0..1, 3 (refuted for n = 2)"),
        ([1, -1], [2, 1], "confirmed only for n = 0 (refuted or not decided for n = 1)"),
        ([-1, -1], [1, 1], "not confirmed: refuted or not decided at every n"),
        ([-3, -1], [-2, 1], "not confirmed: refuted or not decided at every n"),
    ],
)
def test_a_verdict_follows_from_the_intervals(low, high, expected):
    assert verdicts.verdict(interval_of(low, high)) == expected


def test_an_interval_that_touches_zero_decides_nothing():
    assert verdicts.verdict(interval_of([0.0], [1.0])).startswith("not confirmed")


def test_what_is_below_the_one_and_above_the_other_is_below_the_difference():
    def measured(mean, below, above):
        values = {"mean_error": mean, "ci_low": mean - below, "ci_high": mean + above}
        return xr.Dataset({name: ("freq", [float(value)]) for name, value in values.items()})

    found = verdicts.apart(measured(10, 3, 8), measured(4, 15, 4))
    assert found["mean_error"].item() == 6
    assert found["ci_low"].item() == pytest.approx(6 - 5)
    assert found["ci_high"].item() == pytest.approx(6 + 17)


def test_an_interval_of_differences_may_reach_below_0():
    values = np.zeros(50)
    values[7] = 1
    shown = verdicts.interval(xr.DataArray(values, dims="trial"))
    assert float(shown["ci_low"]) < 0
    mirrored = verdicts.interval(xr.DataArray(-values, dims="trial"))
    assert float(mirrored["ci_high"]) == -float(shown["ci_low"])


@pytest.mark.parametrize("coverage", ["interval", "ratio"])
def test_intervals_hold_the_truth_in_95_of_100(coverage):
    # 1,000 samples of 200; 95 +- 3.5 % are 5 standard deviations.
    random = np.random.default_rng(1)
    held = 0
    for _ in range(1000):
        b = random.gamma(4.0, size=200)
        a = b + random.gamma(2.0, size=200)
        values = xr.DataArray(a, dims="trial")
        if coverage == "ratio":
            values = ratio_trials(values, xr.DataArray(b, dims="trial"))
        shown = verdicts.interval(values)
        held += (
            float(shown["ci_low"])
            <= (6.0 if coverage == "interval" else 1.5)
            <= float(shown["ci_high"])
        )
    assert held / 1000 == pytest.approx(0.95, abs=0.035)


def test_which_is_better_is_said_for_each_n():
    numbers = {
        "mean_error": [-2.0, 1.0, 0.1, 0.0, np.nan],
        "ci_low": [-3.0, 0.5, -1.0, 0.0, np.nan],
        "ci_high": [-1.0, 2.0, 1.0, 0.0, np.nan],
        "measured": [9, 9, 9, 9, 0],
    }
    variables = {name: (("operation", "freq"), [values]) for name, values in numbers.items()}
    compared = xr.Dataset(variables, {"operation": ["relu"], "freq": range(5)})
    assert verdicts.better(compared, "soft", "asm") == (
        "soft is better than asm for n = 0, worse than asm for n = 1, the same as asm for n = 3, "
        "not told apart from asm for n = 2"
    )
    other = -compared.rename(ci_low="ci_high", ci_high="ci_low")
    other = other.assign(measured=-other.measured).assign_coords(operation=["max_pool"])
    both = xr.concat([compared, other], "operation")
    first, second = verdicts.better(both, "soft", "asm").split("; ")
    assert first.startswith("operation=relu: soft is better than asm for n = 0, worse")
    assert second.startswith("operation=max_pool: soft is better than asm for n = 1, worse")
