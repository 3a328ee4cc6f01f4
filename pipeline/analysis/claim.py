"""What a claim is, and how the trials that decide it are chosen."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from pipeline.analysis.datasets import ratio_trials
from pipeline.analysis.verdicts import Name, signs

Lines = dict[Name, xr.Dataset]


@dataclass(frozen=True)
class Claim:
    """One claim: what was measured, and what it says.

    `curves`, `tests` and `details` hold summaries along `freq` by name.  A test is positive where
    the claim holds; details are numbers behind the curves.  The last part of a name is what is
    compared: ("uniform", "ASM").
    """

    title: str
    said: str
    experiment: str
    unit: str
    curves: Lines
    tests: Lines
    verdict: str
    remark: str = ""
    details: Lines = field(default_factory=dict)
    level: float | None = None
    """Drawn as a line beside the curves."""


def single(lines: Mapping[str, xr.Dataset]) -> Lines:
    """Lines whose names have one part."""
    return {(name,): line for name, line in lines.items()}


def all_positive(*tests: xr.Dataset) -> bool:
    """Whether the intervals of some tests lie above 0 throughout."""
    return all(bool((signs(test) > 0).all()) for test in tests)


def squeezed(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset without axes of a single value; `freq` and `trial` stay."""
    one = [
        name for name, size in dataset.sizes.items() if size == 1 and name not in ("freq", "trial")
    ]
    return dataset.squeeze(one, drop=True)


def of_asm(drawn: xr.Dataset, source: str, operation: str) -> xr.Dataset:
    """Error and mask accuracy of ASM on one kind of block."""
    chosen = drawn[["error", "mask_accuracy"]].sel(source=source, operation=operation)
    return chosen.sel(algorithm="asm")


def on_signed(drawn: xr.Dataset, operation: str) -> xr.Dataset:
    """Error and mask accuracy of ASM on uniform blocks of zero mean, but for the last frequency."""
    return of_asm(drawn, "uniform_signed", operation).isel(freq=slice(0, -1))


def square(errors: xr.DataArray) -> xr.DataArray:
    """Mean square errors of blocks, from their RMSEs."""
    return errors.astype(np.float64) ** 2


def relative(errors: xr.DataArray) -> xr.DataArray:
    """Errors over the mean error at n = 0, where a mask knows nothing."""
    return ratio_trials(errors, errors.sel(freq=0, drop=True))


def trials_of(values: xr.DataArray) -> str:
    """How many trials there are, in words."""
    return f"{values.sizes['trial']:,}"
