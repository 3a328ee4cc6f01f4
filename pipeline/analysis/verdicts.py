"""From trials to intervals, and from intervals to words."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from pipeline.analysis.datasets import summarize

# Five rows of tiles each, of the photograph that matplotlib ships.
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


def signs(test: xr.Dataset) -> str:
    """At each frequency +, - or 0, by the interval."""
    low, high = test["ci_low"].to_numpy(), test["ci_high"].to_numpy()
    return "".join("+" if a > 0 else "-" if b < 0 else "0" for a, b in zip(low, high, strict=True))


def verdicts(tests: Mapping[str, xr.Dataset]) -> str:
    """The verdict of each test; of all together where they agree."""
    each = {name: verdict(test) for name, test in tests.items()}
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
    found = signs(test)
    n = test["freq"].to_numpy()
    if set(found) == {"+"}:
        return "confirmed"
    rest = "refuted" if set(found) <= {"+", "-"} else "refuted or not decided"
    if "+" not in found:
        return "refuted" if set(found) == {"-"} else f"not confirmed: {rest} at every n"
    holds = [int(k) for k, sign in zip(n, found, strict=True) if sign == "+"]
    fails = [int(k) for k, sign in zip(n, found, strict=True) if sign != "+"]
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
