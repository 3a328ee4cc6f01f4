"""Statistics over the trials of a dataset, or of a store: Dataset -> Dataset."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from asm_core.batches import add_sums
from asm_core.moments import MOMENTS, Array, add_moments, moments_of
from pipeline.analysis import curves
from pipeline.analysis.crossings import crossing_of, threshold_of
from pipeline.analysis.curves import Curves, of_differences, pieces, statistics
from pipeline.analysis.neighbours import check_paired, sums_of, with_batches
from pipeline.analysis.opening import Place, opened, store_at
from pipeline.planning.axes import BATCH, COST, FREQ, METRICS, MOMENT, NAMES, TRIAL
from pipeline.planning.tiles import TilesBySource
from pipeline.store.record import from_attributes, is_of_store
from pipeline.store.store import Store

# Of fewer trials an interval says little.
_FEWEST = 10
# What the statistics are called in a plot, and what they are.
_STATISTICS = {
    "mean_error": ("mean {what} (RMSE per block)", "mean over blocks of the {what} of each"),
    "standard_error": ("standard error of the mean {what}", "how far the mean is uncertain"),
    "ci_low": ("lower end of the 95 % interval", "of the mean {what}, at each point by itself"),
    "ci_high": ("upper end of the 95 % interval", "of the mean {what}, at each point by itself"),
    "pooled_rmse": ("pooled RMSE", "root of the mean square over all samples of all blocks"),
    "standard_deviation": ("standard deviation", "of the {what}s of the blocks"),
    "min_error": ("smallest {what}", "of any block"),
    "max_error": ("largest {what}", "of any block"),
    "measured": ("trials measured", "how many blocks the mean is of"),
}


def summarize(source: xr.Dataset | Place, trials: int | Sequence[int] | None = None) -> xr.Dataset:
    """Mean error of every curve point with its uncertainty.

    Parameters
    ----------
    source
        The path of a store, whose ledger has the moments of every trial that was measured, kept or
        not: 10^8 trials take a second.  Or a dataset as `open_results` or `xarray.open_zarr` opens
        it, or anything selected or computed from it that still has `error` with a `trial`
        dimension; then exactly its own trials are summed up.  NaN is left out.
    trials
        Give the estimate for the first so many trials, at each of these numbers, along a new
        dimension `trials`.

    Returns
    -------
    xarray.Dataset
        Without the trial dimension: `mean_error`, of the per-trial RMSE (the notebook's curve),
        `standard_error` of it, `ci_low` and `ci_high` (95 %, Student's t with Hall's
        transformation for skewed errors, see `asm_core.intervals`; 0 and 0 where every error was 0,
        which says nothing of errors rarer than 3 in so many trials), `pooled_rmse` (root of the
        mean square over all trials; another number), `standard_deviation`, `min_error`,
        `max_error`, `measured` (how many trials), and the means of `mask_accuracy` and `regret` (if
        the dataset has them), all in float64.

    Raises
    ------
    ValueError
        For a number of trials that is not positive, or larger than there are.
    UserError
        Where there is no such store, or it keeps too few trials to end where `trials` does.

    Examples
    --------
    >>> import pipeline
    >>> dataset = pipeline.sweep(freqs=[0, 6, 14], trials=2000)
    >>> summary = pipeline.summarize(dataset).squeeze()
    >>> summary.mean_error.round(2).values.tolist()
    [0.4, 0.24, 0.0]
    >>> summary.measured.values.tolist()
    [2000, 2000, 2000]
    """
    if isinstance(source, xr.DataArray):
        raise ValueError("summarize takes a dataset: for a variable alone, dataset[['error']]")
    if isinstance(source, xr.Dataset):
        if TRIAL not in source.dims or "error" not in source:
            raise ValueError(
                "summarize takes a dataset whose error has trials, got the variables "
                f"{list(source)} along {list(source.dims)}"
            )
        source = with_batches(source)
        available = source.sizes[TRIAL]
        prefixes = _prefixes(trials, available)
        parts = [_of_trials(source.isel({TRIAL: slice(0, count)})) for count in prefixes]
    else:
        store = store_at(source)
        prefixes = _prefixes(trials, store.measured_trials())
        parts = [_of_curves(store, count) for count in prefixes]
    return parts[0] if trials is None else xr.concat(parts, pd.Index(prefixes, name="trials"))


def _prefixes(trials: int | Sequence[int] | None, available: int) -> list[int]:
    asked = np.atleast_1d(available if trials is None else trials)
    if not asked.size or asked.dtype.kind not in "iu":
        raise ValueError(f"trials must be one or several whole numbers, got {trials!r}")
    prefixes: list[int] = asked.tolist()
    for count in prefixes:
        if trials is not None and not 1 <= count <= available:
            raise ValueError(f"trials must be at least 1 and at most {available}, got {count}")
    return prefixes


def _of_trials(dataset: xr.Dataset) -> xr.Dataset:
    """The summary of a dataset's own trials."""
    of_all = {name: moments_by_trial(dataset[name]) for name in METRICS if name in dataset}
    moments = {name: values for name, (values, _) in of_all.items()}
    sums = of_all["error"][1]
    numbers = statistics({name: values.to_numpy() for name, values in moments.items()}, sums)
    axes = {name: values.dims[:-1] for name, values in moments.items()}
    variables = {name: (axes.get(name, axes["error"]), values) for name, values in numbers.items()}
    coordinates, units = moments["error"].coords, dataset["error"].attrs.get("units", "1")
    return _summary(variables, coordinates, dataset.attrs, units)


def summarize_differences(
    values: xr.DataArray, change: Callable[[xr.DataArray], xr.DataArray] = lambda piece: piece
) -> xr.Dataset:
    """Mean of values of any sign with its uncertainty, over `trial`, as `compare` gives it.

    `change` makes them of any part of the trials, in memory.
    """
    moments, sums = moments_by_trial(values, change)
    numbers = of_differences(moments.to_numpy(), sums=sums)
    variables = {name: (moments.dims[:-1], found) for name, found in numbers.items()}
    return xr.Dataset(variables, moments.coords).compute()


def _of_curves(store: Store, trials: int) -> xr.Dataset:
    """The summary of the first trials of a store, by its ledger."""
    dataset = opened(store)
    summed = curves.of_store(store, trials)
    variables = {name: (_axes_of(name), values) for name, values in summed.values.items()}
    coordinates = dataset.drop_vars([TRIAL, BATCH], errors="ignore").coords
    return _summary(variables, coordinates, dataset.attrs, dataset["error"].attrs["units"])


def _summary(
    variables: dict[str, Any],
    coordinates: Mapping[Any, Any],
    attributes: dict[str, Any],
    units: str,
) -> xr.Dataset:
    summary = xr.Dataset(variables, attrs=attributes).assign_coords(coordinates)
    # A store's coordinates are lazy; read them now, so that the summary needs the store no more.
    return _labelled(summary, units).compute()


def _labelled(summary: xr.Dataset, units: str, what: str = "error") -> xr.Dataset:
    """A summary whose variables say what they are; `units` are those of the samples."""
    for name, values in summary.data_vars.items():
        if metric := METRICS.get(str(name)):
            said = (f"mean {metric.long_name}", metric.description, metric.units or units)
        else:
            long_name, description = (text.format(what=what) for text in _STATISTICS[str(name)])
            said = (long_name, description, "1" if name == "measured" else units)
        values.attrs = dict(zip(("long_name", "description", "units"), said, strict=True))
    return summary


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
        Within a (source, block_size) all curves are measured on the same blocks, so the difference
        is paired.  How much that narrows its interval depends on how alike the two are: for ASM
        against APX, max pooling of uniform blocks, n = 0 .. 12, it is 8 to 13 % narrower than the
        wider one of the two curves', and 15 to 32 % narrower than if they were independent.
        Sources of one kind share their random numbers and are paired too; other sources and block
        sizes are independent.
    variable
        ``error``, ``mask_accuracy`` or ``regret``.

    Returns
    -------
    xarray.Dataset
        As `summarize`, of the differences, without `pooled_rmse`; NaN trials of either side are
        left out.  For selections along `coefficients_kept`, at the numbers that both have, in place
        of `freq`.

    Raises
    ------
    KeyError
        For a value that the axis does not have.
    ValueError
        For selections of several block sizes, which do not keep the same numbers; for stored
        sources, or block sizes of one, whose trials are not the same tiles.

    Examples
    --------
    >>> import pipeline
    >>> dataset = pipeline.sweep(algorithm=["asm", "apx"], freqs=[6, 12], trials=2000)
    >>> difference = pipeline.compare(dataset, "algorithm", "asm", "apx").squeeze()
    >>> (difference.ci_low > 0).values.tolist(), (difference.ci_high < 0).values.tolist()
    ([True, False], [False, True])
    """
    values = with_batches(dataset)[variable]
    left, right = (_side(values, axis, value) for value in (first, second))
    leave_out = check_paired(left, right, f"{axis}={first} and {axis}={second}")
    wanted = values.sel({axis: values[axis].isin([first, second])})

    def difference(piece: xr.DataArray) -> xr.DataArray:
        sides = [_side(piece, axis, value) for value in (first, second)]
        ours, theirs = (
            side.drop_vars(BATCH) if without else side
            for side, without in zip(sides, leave_out, strict=True)
        )
        # In float64, since a difference of two errors has fewer significant digits than the errors.
        subtracted: xr.DataArray = xr.apply_ufunc(
            np.subtract, ours, theirs, join="inner", kwargs={"dtype": np.float64}
        )
        return subtracted

    # Both sides of a piece are read at once: they are in the same chunks.
    found = summarize_differences(wanted, difference).assign_attrs(dataset.attrs)
    what = "difference" if variable == "error" else f"difference of {variable.replace('_', ' ')}"
    return _labelled(found, dataset[variable].attrs.get("units", "1"), what)


def crossing(
    source: xr.Dataset | Place, below: float | None = None, *, share: float | None = None
) -> xr.Dataset:
    """The smallest n from which on the mean error is below something, with its interval over n.

    Parameters
    ----------
    source
        A summary by `summarize`; a comparison by `compare`, of which `below=0` says from which n
        on the first is smaller; or whatever `summarize` takes.
    below
        A number, in the unit of the samples.
    share
        In its place: a share of the error at the smallest n, > 0.  Its own uncertainty counts too.

    Returns
    -------
    xarray.Dataset
        Without `freq`: `crossing`, an n, and `ci_low` and `ci_high`, between which it lies with at
        least 95 % confidence (`pipeline.analysis.crossings`).  NaN: at no n that was measured, or
        at none surely.  Of selections that are compared it is a number of coefficients.

    Raises
    ------
    ValueError
        For neither or both of `below` and `share`, or a dataset along no frequencies.

    Examples
    --------
    >>> import pipeline
    >>> dataset = pipeline.sweep(algorithm=["asm", "apx"], freqs=range(15), trials=2000)
    >>> found = pipeline.crossing(dataset, below=0.05).sel(algorithm="asm").squeeze()
    >>> [int(found[name]) for name in ("crossing", "ci_low", "ci_high")]
    [11, 11, 11]
    >>> difference = pipeline.compare(dataset, "algorithm", "asm", "apx")
    >>> pipeline.crossing(difference, below=0).crossing.item()
    9.0
    """
    if (below is None) == (share is None):
        raise ValueError("crossing takes one of below= and share=")
    number = float(share if below is None else below)  # type: ignore[arg-type]
    if not np.isfinite(number) or (share is not None and share <= 0):
        raise ValueError(f"crossing takes a number, a share above 0, got {number}")
    if isinstance(source, xr.Dataset) and "mean_error" in source:
        summary = source
    else:
        summary = summarize(source)
    if "measured" in summary and not (summary["measured"] > 0).any():
        raise ValueError(
            "no trial of these is measured, or none kept one by one: give the path of the store"
        )
    along = next((name for name in (FREQ, "coefficients_kept") if name in summary.dims), None)
    if along is None:
        raise ValueError(f"crossing takes a curve along {FREQ}, got {list(summary.dims)}")
    if along not in summary.coords:
        raise ValueError(f"the curve does not say any more which {along} it has: keep {along}")

    def of_curve(mean: Array, low: Array, high: Array) -> tuple[float, float, float]:
        threshold = threshold_of(mean, low, high, below, share)
        return crossing_of(summary[along].to_numpy(), mean, low, high, threshold)

    summary = summary.sortby(along)
    names = ("mean_error", "ci_low", "ci_high")
    found = xr.apply_ufunc(
        of_curve, *(summary[name] for name in names), input_core_dims=[[along]] * 3,
        output_core_dims=[[], [], []], vectorize=True,
    )  # fmt: skip
    of = f"{number:g}" if share is None else f"{share:g} of that at the smallest n"
    what = summary["mean_error"].attrs.get("long_name", "mean error")
    said = {
        "crossing": (f"smallest n from which on the {what} is below {of}", "as measured"),
        "ci_low": ("lower end of the 95 % interval", "before it, surely not below"),
        "ci_high": ("upper end of the 95 % interval", "from it on, surely below"),
    }
    for values, (long_name, description) in zip(found, said.values(), strict=True):
        values.attrs = {"long_name": long_name, "description": description, "units": "1"}
    return xr.Dataset(dict(zip(said, found, strict=True)), attrs=summary.attrs)


def convergence(source: xr.Dataset | Place, trials: Sequence[int] | None = None) -> xr.Dataset:
    """The estimate against the number of trials: all that there are, half of them, a quarter ...

    Parameters
    ----------
    source
        As in `summarize`.
    trials
        Other numbers of trials, ascending.

    Returns
    -------
    xarray.Dataset
        As `summarize`, along `trials`, and `expected_standard_error`: what that of all trials would
        have been after fewer, by the law of 1 / sqrt(trials).  Where the two go together, and each
        interval holds the ones of more trials, the sweep has converged.

    Examples
    --------
    >>> import pipeline
    >>> found = pipeline.convergence(pipeline.sweep(freqs=6, trials=8000)).squeeze()
    >>> found.trials.values.tolist()
    [15, 31, 62, 125, 250, 500, 1000, 2000, 4000, 8000]
    >>> ratio = found.standard_error / found.expected_standard_error
    >>> bool(abs(ratio.sel(trials=1000) - 1) < 0.1)
    True
    """
    counts = halves(source) if trials is None else list(trials)
    summary = summarize(source, trials=counts)
    last = summary.isel(trials=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = last["standard_error"] * np.sqrt(last["measured"] / summary["measured"])
    expected.attrs = {
        "long_name": "expected standard error of the mean",
        "description": "that of all trials times sqrt(all / trials)",
        "units": summary["standard_error"].attrs["units"],
    }
    return summary.assign(expected_standard_error=expected.transpose("trials", ...))


def halves(source: xr.Dataset | Place) -> list[int]:
    """All trials, half of them, a quarter and so on, as far as `summarize` can take them."""
    unit, kept = 1, np.inf
    if isinstance(source, xr.Dataset):
        count = source.sizes.get(TRIAL, 0)
    else:
        store = store_at(source)
        count, kept, unit = store.measured_trials(), store.kept_trials, store.record.unit_trials
    halves = [count >> k for k in range(count.bit_length()) if count >> k >= _FEWEST or not k]
    # What is not kept trial by trial is known at the ends of units.
    ends = [half if half == count or half <= kept else half // unit * unit for half in halves]
    return sorted({end for end in ends if end > 0}) or [count]


def _side(values: xr.DataArray, axis: str, value: Any) -> xr.DataArray:
    known = np.atleast_1d(values[axis]).tolist()
    if value not in known:
        raise KeyError(f"{axis} has no {value!r}: it has {', '.join(map(str, known))}")
    chosen = values.sel({axis: value}, drop=True)
    if axis != "selection":
        return chosen
    if chosen.sizes.get("block_size", 1) > 1:
        raise ValueError("selections are compared at one block size: select it first")
    chosen = chosen.squeeze("block_size") if "block_size" in chosen.dims else chosen
    by_cost = chosen.swap_dims(freq="coefficients_kept")
    by_cost = by_cost.drop_vars(["freq", "phi"], errors="ignore")
    return by_cost.drop_duplicates("coefficients_kept")


def ratio_trials(numerator: xr.DataArray, denominator: xr.DataArray) -> xr.DataArray:
    """Values by trial whose mean and spread are those of the ratio of two means.

    Their mean is mean(numerator) / mean(denominator).

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
    """The curves of a summary by `summarize`, or of a selection from it, to be drawn."""

    def whole(values: xr.DataArray, dimensions: Sequence[str]) -> Any:
        # Selecting a single value drops the dimension, but keeps the coordinate.
        lost = [axis for axis in dimensions if axis not in values.dims]
        return values.expand_dims(lost).transpose(*dimensions).to_numpy()

    return Curves(
        {axis: np.atleast_1d(summary[axis]).tolist() for axis in NAMES},
        whole(summary["coefficients_kept"], COST),
        {str(name): whole(summary[name], _axes_of(str(name))) for name in summary.data_vars},
        *_told(summary.attrs),
        units=summary["mean_error"].attrs.get("units", "1"),
    )


def _told(attributes: dict[str, Any]) -> tuple[str, TilesBySource]:
    """What the attributes of a dataset tell a picture: settings, and tiles of stored sources."""
    if not is_of_store(attributes):
        return "", {}
    record = from_attributes("the dataset", attributes)
    return curves.settings_shown(record.runs[-1].given) if record.runs else "", record.tiles


def _axes_of(statistic: str) -> tuple[str, ...]:
    return METRICS.get(statistic, METRICS["error"]).axes


def moments_by_trial(
    values: xr.DataArray, change: Callable[[xr.DataArray], xr.DataArray] = lambda piece: piece
) -> tuple[xr.DataArray, Array | None]:
    """Moments over the trials of `values`, along `moment`; and sums by batch of neighbours.

    Of what `change` makes of each piece of them.
    """

    def summed(piece: xr.DataArray) -> tuple[Array, Array | None]:
        changed = change(piece.load()).transpose(..., TRIAL, transpose_coords=False)
        numbers = changed.to_numpy()
        return moments_of(numbers)[None], sums_of(changed, numbers)

    # Not loaded, which would read a chunk for none of its trials.
    none = values.isel({TRIAL: slice(0, 0)})
    curve = change(none.copy(data=np.empty(none.shape, none.dtype))).sum(TRIAL)
    trials = values.sizes[TRIAL]
    ends = list(itertools.accumulate(values.variable.chunksizes.get(TRIAL, (trials,))))
    parts = [
        summed(values.isel({TRIAL: slice(*span)}))
        for span in pieces(0, trials, values.size // max(trials, 1), ends)
    ]
    rows = [np.empty((0, *curve.shape, len(MOMENTS))), *(moments for moments, _ in parts)]
    total = xr.DataArray(add_moments(np.concatenate(rows)), curve.coords, (*curve.dims, MOMENT))
    known = [sums for _, sums in parts if sums is not None]
    return total, add_sums(np.array(known)) if known else None
