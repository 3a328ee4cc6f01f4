"""The curves of a store and their statistics, as NumPy arrays, for tables and pictures.

Not as xarray Datasets, which `datasets.py` makes of the same numbers: importing xarray with pandas
and Dask's arrays takes 0.4 s, a fifth of a small sweep.
"""

import itertools
import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asm_core.batches import SUMS, add_sums, sums_by_batch
from asm_core.intervals import CONFIDENCE, interval_of
from asm_core.moments import MOMENTS, add_moments, moments_of
from asm_core.validate import MOST_BATCHES
from pipeline.errors import UserError, count_of
from pipeline.planning.axes import ALGORITHM, CURVE_NAMES, FREQ, METRICS, NAMES, Labels, shape
from pipeline.planning.identity import positions
from pipeline.planning.tiles import TilesBySource, counted
from pipeline.store.damage import naming_damage
from pipeline.store.store import Store

# How many values are read at a time where trials are needed, not the ledger: 16 MiB of float32, a
# chunk of two algorithms at 15 frequencies.  With twice as many, summing up 10^7 trials took 100
# MiB more.
_VALUES_AT_ONCE = 1 << 22

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
    tiles: TilesBySource = field(default_factory=dict)
    """The tiles of stored sources."""
    units: str = "1"
    """The unit of the samples, and so of errors and regrets."""

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

    def counted(self, place: Mapping[str, Any], curve: Curve) -> str:
        """How many trials a curve has, in words: of a stored source, out of how many tiles."""
        measured = int(curve["measured"].max())
        return counted(self.tiles, place["source"], place["block_size"], measured)

    @property
    def unit_shown(self) -> str:
        """The unit as it follows the name of a number: nothing where there is none."""
        return "" if self.units == "1" else f", {self.units}"

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


def of_store(
    store: Store, trials: int, wanted: Labels | None = None, confidence: float = CONFIDENCE
) -> Curves:
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
    rows = store.rows()
    moments = {name: _moments(store, name, rows[name], at, trials) for name in METRICS}
    sums = _sums(store, rows["error"], at, trials) if store.record.batched else None
    runs = store.record.runs
    settings = settings_shown(runs[-1].given) if runs else ""
    kept, tiles = store.coefficients_kept(at), store.record.tiles
    values = statistics(moments, sums, confidence)
    return Curves(ordered, kept, values, settings, tiles, store.record.unit_of_samples)


def _moments(
    store: Store, metric: str, rows: Array, at: dict[str, list[int]], trials: int
) -> Array:
    """Moments of the first `trials`, (source, block_size, curve ..., moment), from ledger rows."""
    rows = _by_unit(rows, metric, at)
    whole, start = _whole_units(store, rows, trials)
    with naming_damage(store.location):
        parts = [
            moments_of(store.read_values(metric, at, first, until))[None]
            for first, until in pieces(
                start, min(trials, store.kept_trials), math.prod(rows.shape[1:-1])
            )
        ]
    return add_moments(np.concatenate([rows[:whole], *parts]))


def _by_unit(rows: Array, metric: str, at: dict[str, list[int]]) -> Array:
    """Some of the rows of a metric, (unit, source, block_size, curve ..., moment)."""
    axis = len(METRICS[metric].axes) - len(METRICS[metric].curve)
    chosen = [at[name] for name in METRICS[metric].axes]
    chosen.insert(axis, list(range(rows.shape[axis])))
    return np.moveaxis(rows[np.ix_(*chosen)], axis, 0)


def _whole_units(store: Store, rows: Array, trials: int) -> tuple[int, int]:
    """How many units the first `trials` have as a whole, and from which trial on they are read."""
    unit_trials, kept, units = store.record.unit_trials, store.kept_trials, len(rows)
    whole = min(trials // unit_trials, units)
    start = whole * unit_trials
    edge = np.nan_to_num(rows[whole : whole + 1, ..., MOMENTS.index("count")]).max(initial=0)
    # The last unit of a cell may have few trials: its row serves if `trials` has all of them.
    if 0 < edge <= trials - start:
        whole, start = whole + 1, trials
    elif edge and max(start, kept) < trials:
        raise UserError(
            f"{store} keeps {count_of(kept, 'trial')} one by one, and the first "
            f"{trials} end within a unit: "
            f"ask for a multiple of {unit_trials}, or for all {store.measured_trials()}"
        )
    return whole, start


def _sums(store: Store, rows: Array, at: dict[str, list[int]], trials: int) -> Array:
    """Errors of the first `trials` by batch of neighbours, (source, block_size, curve ..., sum).

    Of a source without batches all are 0.
    """
    curve, labels = METRICS["error"].curve, store.labels
    whole, start = _whole_units(store, _by_unit(rows, "error", at), trials)
    found = np.zeros((*(len(at[name]) for name in NAMES), MOST_BATCHES, len(SUMS)))
    for (i, s), (j, b) in itertools.product(enumerate(at["source"]), enumerate(at["block_size"])):
        source, size = labels["source"][s], labels["block_size"][b]
        sums = store.sums(source, size)
        if sums is None:
            continue
        points = np.ix_(range(len(sums)), *(at[name] for name in curve))
        parts, cell = [sums[points][:whole]], {**at, "source": [s], "block_size": [b]}
        tiles = store.record.tiles_of(source, size)
        with naming_damage(store.location):
            for first, until in pieces(
                start, min(trials, store.kept_trials), math.prod(sums.shape[1:-2])
            ):
                values = store.read_values("error", cell, first, until)[0, 0]
                batch = tiles.batch_of(first, values.shape[-1])
                parts.append(sums_by_batch(values, batch)[None])
        found[i, j] = add_sums(np.concatenate(parts))
    return found


def pieces(
    start: int, stop: int, points: int, ends: Sequence[int] = ()
) -> Iterator[tuple[int, int]]:
    """Cut trials start .. stop - 1 into spans (first, until), each small enough to read at once.

    `points` is how many values each trial has; `ends` those of chunks, which are not cut where they
    are small enough.
    """
    most = max(1, _VALUES_AT_ONCE // max(points, 1))
    first = start
    while first < stop:
        until = min(first + most, stop)
        chunks = bisect_right(ends, until)
        if chunks and ends[chunks - 1] > first:
            until = ends[chunks - 1]
        yield first, until
        first = until


def statistics(
    moments: dict[str, Array], sums: Array | None = None, confidence: float = CONFIDENCE
) -> dict[str, NDArray[Any]]:
    """The mean of each point of the curves with its uncertainty, from the moments of its trials.

    Parameters
    ----------
    moments
        By name of METRICS, each (curve ..., moment); `error` is required.
    sums
        Errors summed up by batch of neighbours, (curve ..., batch, sum), as `interval_of` has them.
    confidence
        That of the intervals, 95 % if nothing is said.

    Returns
    -------
    dict
        `mean_error`, `standard_error`, `ci_low`, `ci_high` (95 %, Student's t with Hall's
        transformation, or of batches of neighbouring tiles; not below 0, where no error is),
        `pooled_rmse` (root of the mean square over all trials), `standard_deviation`,
        `min_error`, `max_error`, `measured` (how many trials), and the means of the other metrics
        under their names; NaN where there are too few trials, or too few batches.
    """
    error = moments["error"]
    # Values that a user put in the place of errors may be negative.
    least = np.where(error[..., MOMENTS.index("min")] < 0, -np.inf, 0.0)
    squares, count = (error[..., MOMENTS.index(name)] for name in ("squares", "count"))
    with np.errstate(invalid="ignore", divide="ignore"):
        numbers = of_differences(error, least, sums, confidence) | {
            "pooled_rmse": np.sqrt(squares / count)
        }
    of_masks = (name for name in moments if name != "error")
    return numbers | {name: moments[name][..., MOMENTS.index("mean")] for name in of_masks}


def of_differences(
    moments: Array,
    least: float | Array = -np.inf,
    sums: Array | None = None,
    confidence: float = CONFIDENCE,
) -> dict[str, NDArray[Any]]:
    """The statistics of values that may have any sign, from their moments (curve ..., moment).

    As `statistics` has them, but for `pooled_rmse`, which a difference of errors has not, and the
    other metrics; `least` is the smallest value that there can be, `sums` as in `statistics`.
    """
    error = dict(zip(MOMENTS, np.moveaxis(moments, -1, 0), strict=True))
    count, mean, m2 = error["count"], error["mean"], error["M2"]
    standard_error, low, high = interval_of(moments, sums, least, confidence)
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = np.sqrt(m2 / np.where(count < 2, np.nan, count - 1))
        return {
            "mean_error": mean,
            "standard_error": standard_error,
            "ci_low": low,
            "ci_high": high,
            "standard_deviation": deviation,
            "min_error": error["min"],
            "max_error": error["max"],
            "measured": count.astype(np.int64),
        }
