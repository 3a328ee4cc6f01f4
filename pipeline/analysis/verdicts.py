"""From trials to intervals, and from intervals to words."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline.analysis.datasets import summarize_differences
from pipeline.errors import runs_of
from pipeline.planning.axes import FREQ

# What a line of numbers is called, part by part: ("max pooling", "uniform", "ASM").
Name = tuple[str, ...]


def interval(values: xr.DataArray) -> xr.Dataset:
    """Mean and 95 % interval over trials."""
    return summarize_differences(values)[["mean_error", "ci_low", "ci_high", "measured"]]


def interval_of_sizes(values: xr.DataArray) -> xr.Dataset:
    """`interval`, of what cannot be less than 0, as an error or a ratio of errors."""
    curve = interval(values)
    return curve.assign(ci_low=curve["ci_low"].clip(min=0.0))


def apart(one: xr.Dataset, other: xr.Dataset) -> xr.Dataset:
    """Difference of the means of independent samples.

    The distances of the ends from the means add as standard errors do: what is below the one and
    above the other is below the difference (MOVER).

    References
    ----------
    Zou and Donner, *Construction of confidence limits about effect measures*, Statist. Med. 27
    (2008).
    """
    mean = one["mean_error"] - other["mean_error"]
    (one_below, one_above), (other_below, other_above) = (
        (curve["mean_error"] - curve["ci_low"], curve["ci_high"] - curve["mean_error"])
        for curve in (one, other)
    )
    low, high = mean - np.hypot(one_below, other_above), mean + np.hypot(one_above, other_below)
    return xr.Dataset({"mean_error": mean, "ci_low": low, "ci_high": high})


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


def better(compared: xr.Dataset, first: str, second: str) -> str:
    """Where the first of two algorithms is better than the second, a sentence for each curve.

    `compared` has `mean_error`, first less second, and `ci_low` and `ci_high`, (..., freq).
    """
    axes = [str(axis) for axis in compared["mean_error"].dims if axis != FREQ]
    found: dict[str, str] = {}
    for at in np.ndindex(*(compared.sizes[axis] for axis in axes)):
        curve = compared.isel(dict(zip(axes, at, strict=True)))
        if (curve["measured"] > 0).any():
            varying = [axis for axis in axes if compared.sizes[axis] > 1]
            name = ", ".join(f"{axis}={curve[axis].item()}" for axis in varying)
            found[name] = _better(curve, first, second)
    if len(set(found.values())) == 1:
        found = {"": next(iter(found.values()))}
    return "; ".join(f"{name}: {text}" if name else text for name, text in found.items())


def _better(curve: xr.Dataset, first: str, second: str) -> str:
    sign, n = signs(curve), curve[FREQ].to_numpy()
    measured = curve["measured"].to_numpy() > 0
    equal = (curve["mean_error"].to_numpy() == 0) & (sign == 0) & measured
    words = [
        f"{text} for n = {runs_of(n[which].tolist())}"
        for text, which in (
            (f"better than {second}", sign < 0),
            (f"worse than {second}", sign > 0),
            (f"the same as {second}", equal),
            (f"not told apart from {second}", (sign == 0) & ~equal & measured),
        )
        if which.any()
    ]
    return f"{first} is {', '.join(words)}"


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
    return f"confirmed only for n = {runs_of(holds)} ({rest} for n = {runs_of(fails)})"
