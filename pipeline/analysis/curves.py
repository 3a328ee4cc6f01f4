"""The curves of a store and their statistics, as NumPy arrays, for tables and pictures.

Not as xarray Datasets, which `datasets.py` makes of the same numbers: importing xarray with pandas
and Dask's arrays takes 0.4 s, a fifth of a small sweep.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asm_core.intervals import half_width
from asm_core.moments import MOMENTS, add_moments, moments_of
from pipeline.errors import UserError
from pipeline.plan.axes import ALGORITHM, CURVE_NAMES, FREQ, METRICS, NAMES, Labels, shape
from pipeline.plan.identity import positions
from pipeline.store.store import Store, naming_damage

# How many values are read at a time where trials are needed, not the ledger: 128 MiB of float32.
_VALUES_AT_ONCE = 1 << 25

Array = NDArray[np.float64]
Curve = dict[str, NDArray[Any]]
# Beginnings of the keys of a sweep whose values no axis of its results shows.
_UNSHOWN = (*(f"{axis}." for axis in CURVE_NAMES), "experiment", "seed")


@dataclass(frozen=True)
class Curves:
    """Statistics of every curve of a sweep."""

    labels: Labels
    """The values of each axis, in ascending order."""
    coefficients_kept: NDArray[np.int64]
    """(selection, block_size, freq)"""
    values: dict[str, NDArray[Any]]
    """As `statistics` gives them, (source, block_size, operation, selection, algorithm, freq);
    mask accuracy and regret without algorithm."""
    settings: str = ""
    """Settings of the sweep that no axis shows, as parameters and the seed: key=value words."""

    def __iter__(self) -> Iterator[tuple[dict[str, Any], Curve]]:
        """Each curve, along `freq`, with the axis values that name it."""
        for index in np.ndindex(*shape(self.labels, CURVE_NAMES)):
            place = dict(zip(CURVE_NAMES, index, strict=True))
            name = {axis: self.labels[axis][k] for axis, k in place.items()}
            curve = {
                FREQ: np.array(self.labels[FREQ]),
                "coefficients_kept": self.coefficients_kept[
                    place["selection"], place["block_size"]
                ],
            }
            of_mask = tuple(k for axis, k in place.items() if axis != ALGORITHM)
            for statistic, values in self.values.items():
                curve[statistic] = values[index if values.ndim == len(NAMES) else of_mask]
            yield name, curve

    @property
    def varying(self) -> list[str]:
        """Axes on which the curves differ."""
        return [axis for axis in CURVE_NAMES if len(self.labels[axis]) > 1]


def settings_shown(given: Mapping[str, str]) -> str:
    """The settings that a user gave and that no axis of the results shows, as key=value words."""
    return " ".join(f"{key}={text}" for key, text in given.items() if key.startswith(_UNSHOWN))


def in_range(curve: Curve, block_size: int) -> Curve:
    """A curve up to the first frequency that keeps everything; beyond it nothing changes."""
    whole = np.flatnonzero(curve["coefficients_kept"] == block_size**2)
    stop = int(whole[0]) + 1 if whole.size else None
    return {statistic: values[:stop] for statistic, values in curve.items()}


def of_store(store: Store, trials: int, wanted: Labels | None = None) -> Curves:
    """The curves of the first trials of a store, read from its ledger.

    `wanted` are the values of each axis that are taken, None for all.  Only the unit in which
    `trials` ends is read trial by trial; the numbers have the same bits as those of
    `summarize(open_results(path).isel(trial=slice(0, trials)))`, which reads all trials.

    Raises
    ------
    UserError
        Where the store is damaged, or keeps too few trials to end where `trials` does.
    """
    ordered = {axis: sorted(values) for axis, values in (wanted or store.labels).items()}
    at = positions(store.labels, ordered)
    moments = {name: _moments(store, name, rows, at, trials) for name, rows in store.rows().items()}
    runs = store.record.runs
    settings = settings_shown(runs[-1].given) if runs else ""
    return Curves(ordered, store.coefficients_kept(at), statistics(moments), settings)


def _moments(
    store: Store, metric: str, rows: Array, at: dict[str, list[int]], trials: int
) -> Array:
    """Moments of the first `trials`, (source, block_size, curve ..., moment), from ledger rows."""
    unit_trials, kept = store.record.unit_trials, store.kept_trials
    axis = len(METRICS[metric].axes) - len(METRICS[metric].curve)
    units = rows.shape[axis]
    chosen = [at[name] for name in METRICS[metric].axes]
    chosen.insert(axis, list(range(units)))
    rows = np.moveaxis(rows[np.ix_(*chosen)], axis, 0)
    whole = min(trials // unit_trials, units)
    start = whole * unit_trials
    edge = np.nan_to_num(rows[whole : whole + 1, ..., MOMENTS.index("count")]).max(initial=0)
    # The last unit of a cell may have few trials: its row serves if `trials` has all of them.
    if 0 < edge <= trials - start:
        whole, start = whole + 1, trials
    elif edge and max(start, kept) < trials:
        raise UserError(
            f"{store} keeps {kept} trials one by one, and the first {trials} end within a unit: "
            f"ask for a multiple of {unit_trials}, or for all {store.measured_trials()}"
        )
    with naming_damage(store.location):
        parts = [
            moments_of(store.read_values(metric, at, first, until))[None]
            for first, until in pieces(start, min(trials, kept), math.prod(rows.shape[1:-1]))
        ]
    return add_moments(np.concatenate([rows[:whole], *parts]))


def pieces(start: int, stop: int, points: int) -> Iterator[tuple[int, int]]:
    """Cut trials start .. stop - 1 into spans (first, until), each small enough to read at once.

    `points` is how many values each trial has.
    """
    step = max(1, _VALUES_AT_ONCE // max(points, 1))
    for first in range(start, stop, step):
        yield first, min(first + step, stop)


def statistics(moments: dict[str, Array]) -> dict[str, NDArray[Any]]:
    """The mean of each point of the curves with its uncertainty, from the moments of its trials.

    Parameters
    ----------
    moments
        By name of METRICS, each (curve ..., moment); `error` is required.

    Returns
    -------
    dict
        `mean_error`, `standard_error`, `half_width`, `ci_low`, `ci_high` (95 %, Student's t),
        `pooled_rmse` (root of the mean square over all trials), `standard_deviation`,
        `min_error`, `max_error`, `measured` (how many trials), and the means of the other metrics
        under their names; NaN where there are too few trials.
    """
    error = dict(zip(MOMENTS, np.moveaxis(moments["error"], -1, 0), strict=True))
    count, mean, m2 = error["count"], error["mean"], error["M2"]
    width = half_width(count, m2)
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = np.sqrt(m2 / np.where(count < 2, np.nan, count - 1))
        numbers: dict[str, NDArray[Any]] = {
            "mean_error": mean,
            "standard_error": deviation / np.sqrt(count),
            "half_width": width,
            "ci_low": mean - width,
            "ci_high": mean + width,
            "pooled_rmse": np.sqrt(error["squares"] / count),
            "standard_deviation": deviation,
            "min_error": error["min"],
            "max_error": error["max"],
            "measured": count.astype(np.int64),
        }
    of_masks = (name for name in moments if name != "error")
    return numbers | {name: moments[name][..., MOMENTS.index("mean")] for name in of_masks}
