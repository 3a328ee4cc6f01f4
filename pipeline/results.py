"""Opening a store in xarray, and statistics over its trials: Dataset -> Dataset."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.special import stdtrit

from pipeline import store
from pipeline.moments import MOMENTS, add_moments, moments_of

AXES = ("source", "block_size", "operation", "selection", "method")
CONFIDENCE = 0.95
# Values that are read at a time where the ledger cannot serve: 128 MiB of float32.
_VALUES_AT_ONCE = 1 << 25


def open_results(path: str) -> xr.Dataset:
    """Open the store of a sweep, lazily.

    Parameters
    ----------
    path
        Of the store, as `sweep` printed it; a folder or a URL.

    Returns
    -------
    xarray.Dataset
        `error` (source, block_size, operation, selection, method, freq, trial) float32, RMSE per
        trial in the unit of the samples; `mask_accuracy` without method, 0 .. 1; NaN = not
        measured. `error_ledger` and `mask_accuracy_ledger` hold the moments of each unit of trials.
        Coordinates are sorted; the attributes hold the provenance.

    Raises
    ------
    UserError
        Where there is no such store.
    """
    store.provenance_of(path)
    # A million trial numbers would be read to build an index that a range describes.
    dataset = xr.open_zarr(path, drop_variables="trial")
    dataset = dataset.assign_coords(trial=pd.RangeIndex(dataset.sizes["trial"], name="trial"))
    ledger = xr.open_zarr(path, group="ledger", chunks=None)
    ledger = ledger.rename({name: f"{name}_ledger" for name in store.METRICS})
    merged: xr.Dataset = xr.merge([dataset, ledger], combine_attrs="override")
    unsorted = [a for a in (*AXES, "freq") if not merged.indexes[a].is_monotonic_increasing]
    return merged.sortby(unsorted) if unsorted else merged


def summarize(dataset: xr.Dataset, trials: Sequence[int] | None = None) -> xr.Dataset:
    """Mean error of every curve point with its uncertainty, over the trials of a dataset.

    Whole units are taken from the ledger, if the dataset has one and its trials start at 0; the
    rest from the stored trials.  Either way gives the same bits.

    Parameters
    ----------
    dataset
        As `open_results` or `xarray.open_zarr` opens it, or any selection of it.
    trials
        Give the estimate for the first so many trials, at each of these numbers, along a new
        dimension `trials`.

    Returns
    -------
    xarray.Dataset
        Without the trial dimension: `mean` of the per-trial RMSE (the notebook's curve),
        `standard_error` of it, `ci_low` and `ci_high` (95 %, Student's t), `pooled_rmse` (root of
        the mean square over all trials; another number), `standard_deviation`, `min`, `max`,
        `count`, and `mask_accuracy` (mean), all in float64.

    Raises
    ------
    ValueError
        For a number of trials that is not positive.
    """
    if trials is None:
        return _statistics(dataset)
    if any(count < 1 for count in trials):
        raise ValueError(f"trials must be at least 1, got {min(trials)}")
    parts = [_statistics(dataset.isel(trial=slice(0, count))) for count in trials]
    return xr.concat(parts, pd.Index(list(trials), name="trials"))


def curves(summary: xr.Dataset) -> Iterator[tuple[dict[str, Any], xr.Dataset]]:
    """Each curve of a summary, with the axis values that name it."""
    values = [np.atleast_1d(summary[axis].to_numpy()).tolist() for axis in AXES]
    for choice in product(*values):
        name = dict(zip(AXES, choice, strict=True))
        yield name, summary.sel({axis: value for axis, value in name.items()})


def varying(summary: xr.Dataset) -> list[str]:
    """Axes on which the curves of a summary differ."""
    return [axis for axis in AXES if summary[axis].size > 1]


def in_range(curve: xr.Dataset) -> xr.Dataset:
    """A curve up to the first frequency that keeps everything; beyond it nothing changes."""
    kept = curve["coefficients_kept"].to_numpy()
    whole = np.flatnonzero(kept == int(curve["block_size"]) ** 2)
    return curve.isel(freq=slice(0, int(whole[0]) + 1 if whole.size else None))


def _statistics(dataset: xr.Dataset) -> xr.Dataset:
    error = _moments(dataset, "error")
    count, m2 = error["count"], error["M2"]
    few = count < 2
    deviation = np.sqrt(m2 / (count - 1).where(~few))
    standard_error = deviation / np.sqrt(count)
    half_width = stdtrit((count - 1).where(~few), 0.5 + CONFIDENCE / 2) * standard_error
    return xr.Dataset(
        {
            "mean": error["mean"],
            "standard_error": standard_error,
            "ci_low": error["mean"] - half_width,
            "ci_high": error["mean"] + half_width,
            "pooled_rmse": np.sqrt(error["squares"] / count),
            "standard_deviation": deviation,
            "min": error["min"],
            "max": error["max"],
            "count": count.astype(np.int64),
            "mask_accuracy": _moments(dataset, "mask_accuracy")["mean"],
        },
        attrs=dataset.attrs,
    )


def _moments(dataset: xr.Dataset, metric: str) -> xr.Dataset:
    """Moments over the trials of a dataset, a variable each."""
    values = dataset[metric].transpose(..., "trial")
    length = values.sizes["trial"]
    rows, stop = _from_ledger(dataset, metric, values)
    parts = [rows] if stop else []
    step = max(1, _VALUES_AT_ONCE * length // max(values.size, 1))
    for start in range(stop, length, step):
        piece = values.isel(trial=slice(start, start + step))
        parts.append(moments_of(piece.to_numpy())[None])
    shape = (0, *values.shape[:-1], len(MOMENTS))
    total = add_moments(np.concatenate(parts) if parts else np.empty(shape))
    curve = values.isel(trial=0, drop=True) if length else values.sum("trial")
    return xr.Dataset(
        {name: (curve.dims, total[..., k]) for k, name in enumerate(MOMENTS)}, curve.coords
    )


def _from_ledger(
    dataset: xr.Dataset, metric: str, values: xr.DataArray
) -> tuple[NDArray[np.float64], int]:
    """Rows of the ledger that lie within the dataset's trials, and the first trial after them."""
    length = values.sizes["trial"]
    name = f"{metric}_ledger"
    if name not in dataset or "unit_trials" not in dataset.attrs or not length:
        return np.empty(0), 0
    trial = dataset["trial"].to_index()
    if trial[0] != 0 or trial[-1] != length - 1 or not trial.is_monotonic_increasing:
        return np.empty(0), 0
    unit_trials = int(dataset.attrs["unit_trials"])
    ledger = dataset[name].transpose("unit", *values.dims[:-1], "moment")
    # A unit at the end of the axis is whole, however few trials it has.
    whole = length // unit_trials
    if whole * unit_trials < length:
        rows = ledger.isel(unit=slice(whole, whole + 1))
        held = rows.sel(moment="count").max() if rows.sizes["unit"] else None
        if held is not None and held == length - whole * unit_trials:
            whole, stop = whole + 1, length
        else:
            stop = whole * unit_trials
    else:
        stop = length
    return ledger.isel(unit=slice(0, whole)).to_numpy(), stop
