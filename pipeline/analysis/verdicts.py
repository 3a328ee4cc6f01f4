"""From trials to intervals, and from intervals to words."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline.analysis.datasets import summarize

# What a line of numbers is called, part by part: ("max pooling", "uniform", "ASM").
Name = tuple[str, ...]

# Each strip is five rows of tiles of the photograph that matplotlib ships.
_STRIPS = 15


def interval(values: xr.DataArray) -> xr.Dataset:
    """Mean and 95 % interval over trials."""
    return summarize(xr.Dataset({"error": values}))[["mean_error", "ci_low", "ci_high", "measured"]]


def interval_of_neighbours(values: xr.DataArray) -> xr.Dataset:
    """Mean and 95 % interval over the tiles of one photograph, which are not independent.

    By batch means: strips of neighbouring tiles are averaged, and the strips taken as independent.
    """
    length = values.sizes["trial"] // _STRIPS
    strips = values.astype(np.float64).coarsen(trial=length, boundary="trim").mean()
    return interval(strips)


def apart(one: xr.Dataset, other: xr.Dataset) -> xr.Dataset:
    """Difference of the means of independent samples; half-widths add as variances do."""
    mean = one["mean_error"] - other["mean_error"]
    halves = [(curve["ci_high"] - curve["ci_low"]) / 2 for curve in (one, other)]
    half = np.sqrt(halves[0] ** 2 + halves[1] ** 2)
    return xr.Dataset({"mean_error": mean, "ci_low": mean - half, "ci_high": mean + half})


def signs(test: xr.Dataset) -> NDArray[np.int64]:
    """At each frequency 1 or -1 where the interval lies on one side of 0, else 0."""
    low, high = test["ci_low"].to_numpy(), test["ci_high"].to_numpy()
    return (low > 0).astype(np.int64) - (high < 0)


def verdicts(tests: Mapping[Name, xr.Dataset]) -> str:
    """The verdict of each test by name, or one verdict where all agree."""
    each = {", ".join(name): verdict(test) for name, test in tests.items()}
    if len(set(each.values())) == 1:
        return next(iter(each.values()))
    return "; ".join(f"{name}: {text}" for name, text in each.items())


def verdict(test: xr.Dataset) -> str:
    """What a test along `freq` says: confirmed, refuted, or where it holds.

    Parameters
    ----------
    test
        `ci_low` and `ci_high` of what is positive where the claim holds.
    """
    sign, n = signs(test), test["freq"].to_numpy()
    if (sign > 0).all():
        return "confirmed"
    rest = "refuted" if sign.all() else "refuted or not decided"
    if not (sign > 0).any():
        return "refuted" if sign.all() else f"not confirmed: {rest} at every n"
    holds, fails = n[sign > 0].tolist(), n[sign <= 0].tolist()
    return f"confirmed only for n = {_runs(holds)} ({rest} for n = {_runs(fails)})"


def _runs(numbers: Sequence[int]) -> str:
    """0, 1, 2, 5 as 0..2, 5."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}..{b}" for a, b in runs)
