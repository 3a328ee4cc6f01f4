"""Opening a store in xarray, and statistics over its trials: Dataset -> Dataset."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from asm_core.moments import MOMENTS, add_moments, moments_of
from pipeline.analysis.curves import AXES, Curves, pieces, statistics
from pipeline.plan.identity import labels
from pipeline.store import listing, store
from pipeline.store.layout import CURVE, METRICS


def open_results(path: str) -> xr.Dataset:
    """Open the store of a sweep, lazily.

    Parameters
    ----------
    path
        Of the store, as `sweep` printed it; a folder or a URL.

    Returns
    -------
    xarray.Dataset
        `error` (source, block_size, operation, selection, algorithm, freq, trial) float32, RMSE
        per trial in the unit of the samples; `mask_accuracy` without algorithm, 0 .. 1, and
        `regret`, in the unit of the samples (NaN for ReLU, which has none); NaN = not measured.
        Coordinates are sorted; the attributes hold the provenance.  Of a store that keeps only some
        trials (`store_trials`), `ledger_error` and so on have the moments of all that were
        measured, without trial and with `moment`, which `summarize` then uses.

    Raises
    ------
    UserError
        Where there is no such store.
    """
    with store.reading(path):
        dataset = _open(path)
        if dataset.attrs["store_trials"] != store.ALL:
            totals = {
                f"ledger_{name}": (
                    (*_dimensions(name), "moment"),
                    add_moments(np.moveaxis(rows, 2, 0)),
                )
                for name, rows in listing.ledger_rows(path).items()
            }
            dataset = dataset.assign(totals)
        unsorted = [a for a in (*AXES, "freq") if not dataset.indexes[a].is_monotonic_increasing]
        return dataset.sortby(unsorted) if unsorted else dataset


def _open(path: str) -> xr.Dataset:
    store.provenance_of(path)
    # A million trial numbers would be read to build an index that a range describes.
    dataset: xr.Dataset = xr.open_zarr(path, drop_variables="trial")
    kept = dataset.sizes["trial"]
    # Without what a growth that was cut short has added.
    have = labels(json.loads(dataset.attrs["identity"]))
    long = {axis: slice(len(values)) for axis, values in have.items()}
    if any(dataset.sizes[axis] > len(values) for axis, values in have.items()):
        dataset = dataset.isel(long)
    dataset = dataset.assign_coords(trial=pd.RangeIndex(kept, name="trial"))
    return dataset.assign_attrs(kept_trials=kept)


def summarize(dataset: xr.Dataset, trials: int | Sequence[int] | None = None) -> xr.Dataset:
    """Mean error of every curve point with its uncertainty, over the trials of a dataset.

    Parameters
    ----------
    dataset
        As `open_results` or `xarray.open_zarr` opens it, or whatever was selected or made of it
        that still has `error` with a `trial` dimension.  NaN is left out.
    trials
        Give the estimate for the first so many trials, at each of these numbers, along a new
        dimension `trials`.

    Returns
    -------
    xarray.Dataset
        Without the trial dimension: `mean_error`, of the per-trial RMSE (the notebook's curve),
        `standard_error` of it, `ci_low` and `ci_high` (95 %, Student's t), `pooled_rmse` (root of
        the mean square over all trials; another number), `standard_deviation`,
        `min_error`, `max_error`, `measured` (how many trials), and the means of `mask_accuracy` and
        `regret` (if the dataset has them), all in float64.

    Raises
    ------
    ValueError
        For a number of trials that is not positive, or larger than the dataset's.
    """
    metrics = [name for name in METRICS if name in dataset]

    def of_trials(part: xr.Dataset) -> xr.Dataset:
        return _statistics({name: _moments(part[name]) for name in metrics}, dataset.attrs)

    if trials is None:
        if _as_opened(dataset):
            return _statistics({name: dataset[f"ledger_{name}"] for name in metrics}, dataset.attrs)
        return of_trials(dataset)
    have = dataset.sizes["trial"]
    prefixes = [int(count) for count in np.atleast_1d(trials)]
    for count in prefixes:
        if not 1 <= count <= have:
            raise ValueError(f"trials must be at least 1 and at most {have}, got {count}")
    parts = [of_trials(dataset.isel(trial=slice(0, count))) for count in prefixes]
    return xr.concat(parts, pd.Index(prefixes, name="trials"))


def _as_opened(dataset: xr.Dataset) -> bool:
    """Whether the moments of a ledger, if there are any, still describe the errors beside them.

    Whatever is computed from an array that was read loses its encoding; what is selected keeps it.
    """
    return (
        "ledger_error" in dataset
        and "chunks" in dataset["error"].encoding
        and dataset.sizes["trial"] == dataset.attrs["kept_trials"]
    )


def compare(
    dataset: xr.Dataset, axis: str, first: Any, second: Any, variable: str = "error"
) -> xr.Dataset:
    """Paired difference between two values of an axis, trial by trial, with its uncertainty.

    Selections are compared where they keep equally many coefficients, and not at equal n.

    Parameters
    ----------
    dataset
        As in `summarize`.
    axis, first, second
        The difference is `variable` at axis=first minus axis=second: ``"algorithm", "asm", "apx"``.
        Within a (source, block_size) all curves are measured on the same blocks, so the interval
        of the difference is much narrower than those of the two curves.  Sources of one kind share
        their random numbers and are paired too; other sources and block sizes are independent.
    variable
        ``error``, ``mask_accuracy`` or ``regret``.

    Returns
    -------
    xarray.Dataset
        As `summarize`, of the differences; NaN trials of either side are left out.  For selections
        along `coefficients_kept`, at the numbers that both have, in place of `freq`.

    Raises
    ------
    KeyError
        For a value that the axis does not have.
    ValueError
        For selections of several block sizes, which do not keep the same numbers.
    """
    left, right = (_side(dataset[variable], axis, value) for value in (first, second))
    return summarize(xr.Dataset({"error": left - right}, attrs=dataset.attrs))


def _side(values: xr.DataArray, axis: str, value: Any) -> xr.DataArray:
    # Not float32: the difference of two errors may have many digits fewer than they have.
    chosen = values.sel({axis: value}, drop=True).astype(np.float64)
    if axis != "selection":
        return chosen
    if chosen.sizes.get("block_size", 1) > 1:
        raise ValueError("selections are compared at one block size: select it first")
    chosen = chosen.squeeze("block_size") if "block_size" in chosen.dims else chosen
    by_cost = chosen.swap_dims(freq="coefficients_kept")
    return by_cost.drop_vars("freq").drop_duplicates("coefficients_kept")


def ratio_trials(numerator: xr.DataArray, denominator: xr.DataArray) -> xr.DataArray:
    """Values by trial whose mean is mean(numerator) / mean(denominator), with the ratio's spread.

    Each trial t has R + (a_t - R b_t) / mean(b), the ratio R linearised (delta method), so that
    `summarize` gives the interval of a ratio, and differences of such values that of a difference
    of ratios on the same trials.

    Parameters
    ----------
    numerator, denominator
        With a `trial` dimension; not NaN.

    References
    ----------
    Cochran, *Sampling Techniques* (1977), section 6.
    """
    a, b = numerator.astype(np.float64), denominator.astype(np.float64)
    level = b.mean("trial")
    ratio = a.mean("trial") / level
    return ratio + (a - ratio * b) / level


def curves_of(summary: xr.Dataset) -> Curves:
    """The curves of what `summarize` gives, or of what was selected of it, to be drawn."""

    def whole(values: xr.DataArray, dimensions: Sequence[str]) -> Any:
        # What was selected by one value has lost its dimension, but not its coordinate.
        lost = [axis for axis in dimensions if axis not in values.dims]
        return values.expand_dims(lost).transpose(*dimensions).to_numpy()

    return Curves(
        {axis: np.atleast_1d(summary[axis]).tolist() for axis in (*AXES, "freq")},
        whole(summary["coefficients_kept"], ("selection", "block_size", "freq")),
        {str(name): whole(summary[name], _dimensions(str(name))) for name in summary.data_vars},
        summary.attrs,
    )


def _dimensions(statistic: str) -> tuple[str, ...]:
    return ("source", "block_size", *METRICS.get(statistic, CURVE))


def _statistics(moments: dict[str, xr.DataArray], attributes: dict[str, Any]) -> xr.Dataset:
    """What moments (curve ..., moment) say, with the coordinates of their curves."""
    found = statistics({name: values.to_numpy() for name, values in moments.items()})
    first = {name: values.isel(moment=0) for name, values in moments.items()}
    summary = xr.Dataset(
        {name: first.get(name, first["error"]).copy(data=values) for name, values in found.items()},
        attrs=attributes,
    )
    summary["mean_error"].attrs["long_name"] = "mean error (RMSE per block)"
    return summary


def _moments(values: xr.DataArray) -> xr.DataArray:
    """Moments over the trials of `values`, along `moment`."""
    values = values.transpose(..., "trial")
    curve = values.isel(trial=slice(0, 0)).sum("trial")
    parts = [
        moments_of(values.isel(trial=slice(first, until)).to_numpy())[None]
        for first, until in pieces(0, values.sizes["trial"], curve.size)
    ]
    none = np.empty((0, *curve.shape, len(MOMENTS)))
    total = add_moments(np.concatenate([none, *parts]))
    return xr.DataArray(total, curve.coords, (*curve.dims, "moment"))
