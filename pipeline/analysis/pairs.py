"""ASM against the other algorithms of a sweep, trial by trial on the same blocks."""

import math

import numpy as np
import xarray as xr

from pipeline.analysis.crossings import Crossing
from pipeline.analysis.datasets import compare, crossing
from pipeline.planning.axes import ALGORITHM, CURVE_NAMES, FREQ, TRIAL

# So many errors are read for a picture or a line, in a second; of more, a part says the same.
_MOST_ERRORS = 1 << 26


def sampled(dataset: xr.Dataset) -> xr.Dataset:
    """A dataset with all of its trials, or with whole chunks of them that are spread evenly."""
    trials = dataset.sizes[TRIAL]
    share = _MOST_ERRORS / max(dataset["error"].size, 1)
    ends = np.cumsum(dataset["error"].variable.chunksizes.get(TRIAL, (trials,)))
    wanted = max(1, math.floor(share * len(ends)))
    if wanted >= len(ends):
        return dataset.isel({TRIAL: slice(0, max(1, math.floor(share * trials)))})
    chosen = np.linspace(0, len(ends) - 1, wanted).round().astype(int)
    starts = np.concatenate([[0], ends[:-1]])
    spans = [np.arange(starts[k], ends[k]) for k in dict.fromkeys(chosen.tolist())]
    return dataset.isel({TRIAL: np.concatenate(spans)})


def against_asm(dataset: xr.Dataset) -> dict[str, xr.Dataset]:
    """Error of ASM minus that of each other algorithm of a dataset, by the other's name.

    As `compare` has it; of a dataset with more than 2^26 errors, of a part of its trials.
    """
    known = np.atleast_1d(dataset[ALGORITHM]).tolist()
    if "asm" not in known or not dataset.sizes[TRIAL]:
        return {}
    part = sampled(dataset)
    return {rival: compare(part, ALGORITHM, "asm", rival) for rival in known if rival != "asm"}


def overtaking(difference: xr.Dataset) -> list[Crossing]:
    """From which n on a difference is below 0, for each of its curves that was measured."""
    ends = crossing(difference, below=0)
    axes = [axis for axis in CURVE_NAMES if axis in ends.coords]
    # As arrays: one selection of xarray for each curve took most of the time.
    numbers = [ends[name].to_numpy() for name in ("crossing", "ci_low", "ci_high")]
    dims = [str(dim) for dim in ends["crossing"].dims]
    counts = difference["measured"].max(FREQ).transpose(*dims).to_numpy()
    known = {axis: np.atleast_1d(ends[axis]).tolist() for axis in axes}
    found = []
    for at in np.ndindex(*counts.shape):
        if trials := int(counts[at]):
            place = dict(zip(dims, at, strict=True))
            name = {axis: known[axis][place.get(axis, 0)] for axis in axes}
            n, low, high = (float(values[at]) for values in numbers)
            found.append(Crossing(name, n, low, high, trials))
    return found
