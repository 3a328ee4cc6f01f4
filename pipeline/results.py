"""Opening a store in xarray, and statistics over its trials: Dataset -> Dataset."""

import json
import shlex
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pipeline import layout, listing, store
from pipeline.exceptions import UserError
from pipeline.identity import labels, places
from pipeline.moments import MOMENTS, Array, add_moments, moments_of
from pipeline.precision import half_width

AXES = ("source", "block_size", "operation", "selection", "method")
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
        trial in the unit of the samples; `mask_accuracy` without method, 0 .. 1, and `regret`, in
        the unit of the samples (NaN for ReLU, which has none); NaN = not measured.
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
                f"ledger_{name}": (rows.dims[1:], add_moments(rows.to_numpy()))
                for name, rows in _ledger(path, dataset).items()
            }
            dataset = dataset.assign(totals)
        return _sorted(dataset)


def _ledger(path: str, dataset: xr.Dataset) -> dict[str, xr.DataArray]:
    """Rows of the ledger, (unit, source, block_size, curve ..., moment)."""
    return {
        name: xr.DataArray(
            rows, dims=("source", "block_size", "unit", *layout.METRICS[name], "moment")
        ).transpose("unit", *dataset[name].isel(trial=slice(0, 0)).sum("trial").dims, "moment")
        for name, rows in listing.ledger_rows(path).items()
    }


def _open(path: str, **options: Any) -> xr.Dataset:
    store.provenance_of(path)
    # A million trial numbers would be read to build an index that a range describes.
    dataset: xr.Dataset = xr.open_zarr(path, drop_variables="trial", **options)
    kept = dataset.sizes["trial"]
    # Without what a growth that was cut short has added.
    have = labels(json.loads(dataset.attrs["identity"]))
    long = {axis: slice(len(values)) for axis, values in have.items()}
    if any(dataset.sizes[axis] > len(values) for axis, values in have.items()):
        dataset = dataset.isel(long)
    dataset = dataset.assign_coords(trial=pd.RangeIndex(kept, name="trial"))
    return dataset.assign_attrs(kept_trials=kept)


def _sorted(dataset: xr.Dataset) -> xr.Dataset:
    unsorted = [a for a in (*AXES, "freq") if not dataset.indexes[a].is_monotonic_increasing]
    return dataset.sortby(unsorted) if unsorted else dataset


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
        Without the trial dimension: `mean` of the per-trial RMSE (the notebook's curve),
        `standard_error` of it, `ci_low` and `ci_high` (95 %, Student's t), `pooled_rmse` (root of
        the mean square over all trials; another number), `standard_deviation`, `min`, `max`,
        `count`, and the means of `mask_accuracy` and `regret` (if the dataset has them), all in
        float64.

    Raises
    ------
    ValueError
        For a number of trials that is not positive, or larger than the dataset's.
    """
    metrics = [name for name in layout.METRICS if name in dataset]

    def statistics(part: xr.Dataset) -> xr.Dataset:
        return _statistics({name: _moments(part[name]) for name in metrics}, dataset.attrs)

    if trials is None:
        if _as_opened(dataset):
            totals = {name: dataset[f"ledger_{name}"] for name in metrics}
            return _statistics(
                {name: _named(total.to_numpy(), total.dims[:-1], dataset[name].coords)
                 for name, total in totals.items()}, dataset.attrs,
            )  # fmt: skip
        return statistics(dataset)
    have = dataset.sizes["trial"]
    prefixes = [int(count) for count in np.atleast_1d(trials)]
    for count in prefixes:
        if not 1 <= count <= have:
            raise ValueError(f"trials must be at least 1 and at most {have}, got {count}")
    parts = [statistics(dataset.isel(trial=slice(0, count))) for count in prefixes]
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
        The difference is `variable` at axis=first minus axis=second: ``"method", "asm", "apx"``.
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


def summarize_store(
    path: str, trials: int, wanted: dict[str, list[Any]] | None = None
) -> xr.Dataset:
    """`summarize` of the first trials of a store, read from its ledger.

    `wanted` are the values of each axis to be summed up; all where there is none.  Only the unit in
    which `trials` ends is read trial by trial; the result has the same bits as
    `summarize(open_results(path).isel(trial=slice(0, trials)))`, which reads them all.

    Raises
    ------
    UserError
        Where there is no such store.
    """
    with store.reading(path):
        return _summarize_store(path, trials, wanted)


def _summarize_store(path: str, trials: int, wanted: dict[str, list[Any]] | None) -> xr.Dataset:
    # Without chunks, as at most the part of one unit is read: graphs of Dask would take 0.15 s.
    dataset = _open(path, chunks=None)
    unit_trials = int(dataset.attrs["unit_trials"])
    kept = dataset.sizes["trial"]
    rows_of = _ledger(path, dataset)
    if wanted is not None:
        at = places(json.loads(dataset.attrs["identity"]), wanted)
        dataset = dataset.isel(at)
        rows_of = {
            name: rows.isel({axis: place for axis, place in at.items() if axis in rows.dims})
            for name, rows in rows_of.items()
        }
    moments = {}
    for name, rows in rows_of.items():
        whole = min(trials // unit_trials, rows.sizes["unit"])
        start = whole * unit_trials
        edge = np.nan_to_num(rows[whole : whole + 1, ..., MOMENTS.index("count")]).max(initial=0)
        # The unit at the end of the axis is whole, however few trials it has.
        if 0 < edge <= trials - start:
            whole, start = whole + 1, trials
        elif edge and max(start, kept) < trials:
            raise UserError(
                f"{path} keeps {kept} trials one by one, and the first {trials} end within a unit: "
                f"ask for a multiple of {unit_trials}, or for all {listing.measured_trials(path)}"
            )
        rest = dataset[name].isel(trial=slice(min(start, kept), min(trials, kept)))
        moments[name] = _moments(rest, rows[:whole])
    return _sorted(_statistics(moments, dataset.attrs))


def curves(summary: xr.Dataset) -> Iterator[tuple[dict[str, Any], xr.Dataset]]:
    """Each curve of a summary, with the axis values that name it."""
    values = [np.atleast_1d(summary[axis].to_numpy()).tolist() for axis in AXES]
    for choice in product(*values):
        name = dict(zip(AXES, choice, strict=True))
        yield name, summary.sel({axis: value for axis, value in name.items()})


def varying(summary: xr.Dataset) -> list[str]:
    """Axes on which the curves of a summary differ."""
    return [axis for axis in AXES if summary[axis].size > 1]


def changed_settings(attributes: dict[str, Any]) -> str:
    """The settings of a sweep that no coordinate of its store shows: parameters and the seed."""
    words = shlex.split(attributes.get("overrides", ""))
    shown = (*(f"{axis}." for axis in AXES), "experiment=", "seed=")
    return shlex.join(word for word in words if word.startswith(shown))


def in_range(curve: xr.Dataset) -> xr.Dataset:
    """A curve up to the first frequency that keeps everything; beyond it nothing changes."""
    kept = curve["coefficients_kept"].to_numpy()
    whole = np.flatnonzero(kept == int(curve["block_size"]) ** 2)
    return curve.isel(freq=slice(0, int(whole[0]) + 1 if whole.size else None))


def _statistics(moments: dict[str, xr.Dataset], attributes: dict[str, Any]) -> xr.Dataset:
    error = moments["error"]
    count = error["count"]
    few = count < 2
    deviation = np.sqrt(error["M2"] / (count - 1).where(~few))
    standard_error = deviation / np.sqrt(count)
    width = half_width(count, error["M2"])
    summary = xr.Dataset(
        {
            "mean": error["mean"],
            "standard_error": standard_error,
            "half_width": width,
            "ci_low": error["mean"] - width,
            "ci_high": error["mean"] + width,
            "pooled_rmse": np.sqrt(error["squares"] / count),
            "standard_deviation": deviation,
            "min": error["min"],
            "max": error["max"],
            "count": count.astype(np.int64),
        },
        attrs=attributes,
    )
    for name in moments:
        if name != "error":
            summary[name] = moments[name]["mean"]
    summary["mean"].attrs["long_name"] = "mean error (RMSE per block)"
    return summary


def _moments(values: xr.DataArray, ledger: xr.DataArray | None = None) -> xr.Dataset:
    """Moments over the trials of `values` and the units of `ledger`, a variable each."""
    values = values.transpose(..., "trial")
    curve = values.isel(trial=slice(0, 0)).sum("trial")
    parts = []
    if ledger is not None:
        parts.append(ledger.to_numpy())
    length = values.sizes["trial"]
    step = max(1, _VALUES_AT_ONCE // max(curve.size, 1))
    for start in range(0, length, step):
        piece = values.isel(trial=slice(start, start + step))
        parts.append(moments_of(piece.to_numpy())[None])
    total = add_moments(np.concatenate(parts or [np.empty((0, *curve.shape, len(MOMENTS)))]))
    return _named(total, curve.dims, curve.coords)


def _named(total: Array, dims: tuple[Any, ...], coordinates: Any) -> xr.Dataset:
    """Moments as variables: each along the dimensions of a curve."""
    return xr.Dataset(
        {name: (dims, total[..., k]) for k, name in enumerate(MOMENTS)},
        {name: values for name, values in coordinates.items() if name != "trial"},
    )
