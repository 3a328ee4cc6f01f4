"""The curves of a store and their statistics, in NumPy: what tables and pictures are made of.

Without xarray, which takes 0.4 s to import with pandas and Dask's arrays, a fifth of a small sweep;
`results.py` has the same numbers as Datasets.
"""

import json
import math
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asm_core.moments import MOMENTS, Array, add_moments, moments_of
from pipeline.errors import UserError
from pipeline.plan.identity import labels, places
from pipeline.plan.precision import half_width
from pipeline.store import layout, listing, store
from pipeline.store.layout import METRICS

# What names a curve; along it go `freq` and the numbers of coefficients kept.
AXES = ("source", "block_size", "operation", "selection", "algorithm")
# Values that are read at a time where the ledger cannot serve: 128 MiB of float32.
_VALUES_AT_ONCE = 1 << 25

Curve = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Curves:
    """Statistics of every curve of a sweep."""

    labels: dict[str, list[Any]]
    """The values of AXES and of `freq`, each in order."""
    coefficients_kept: NDArray[np.int64]
    """(selection, block_size, freq)"""
    values: dict[str, NDArray[Any]]
    """As `statistics` gives them, (source, block_size, operation, selection, algorithm, freq); what
    is of masks has no algorithm."""
    attributes: dict[str, Any]
    """Of the store."""

    def __iter__(self) -> Iterator[tuple[dict[str, Any], Curve]]:
        """Each curve, along `freq`, with the axis values that name it."""
        for place in np.ndindex(*(len(self.labels[axis]) for axis in AXES)):
            name = {axis: self.labels[axis][k] for axis, k in zip(AXES, place, strict=True)}
            _, size, _, selection, _ = place
            curve = {
                "freq": np.array(self.labels["freq"]),
                "coefficients_kept": self.coefficients_kept[selection, size],
            }
            for statistic, values in self.values.items():
                of_masks = values.ndim == len(AXES)
                curve[statistic] = values[place[:-1] if of_masks else place]
            yield name, curve

    @property
    def varying(self) -> list[str]:
        """Axes on which the curves differ."""
        return [axis for axis in AXES if len(self.labels[axis]) > 1]

    @property
    def changed_settings(self) -> str:
        """The settings of the sweep that no axis shows: parameters and the seed."""
        words = shlex.split(self.attributes.get("overrides", ""))
        shown = (*(f"{axis}." for axis in AXES), "experiment=", "seed=")
        return shlex.join(word for word in words if word.startswith(shown))


def in_range(curve: Curve, block_size: int) -> Curve:
    """A curve up to the first frequency that keeps everything; beyond it nothing changes."""
    whole = np.flatnonzero(curve["coefficients_kept"] == block_size**2)
    stop = int(whole[0]) + 1 if whole.size else None
    return {statistic: values[:stop] for statistic, values in curve.items()}


def of_store(path: str, trials: int, wanted: dict[str, list[Any]] | None = None) -> Curves:
    """The curves of the first trials of a store, read from its ledger.

    `wanted` are the values of each axis to be summed up; all where there is none.  Only the unit in
    which `trials` ends is read trial by trial; the numbers have the same bits as those of
    `summarize(open_results(path).isel(trial=slice(0, trials)))`, which reads them all.

    Raises
    ------
    UserError
        Where there is no such store.
    """
    with store.reading(path):
        attributes = store.provenance_of(path)
        identity = json.loads(attributes["identity"])
        ordered = {axis: sorted(found) for axis, found in (wanted or labels(identity)).items()}
        at = places(identity, ordered)
        root = layout.open_group(path)
        moments = {
            name: _moments(path, root, name, rows, at, trials)
            for name, rows in listing.ledger_rows(path).items()
        }
        kept = root["coefficients_kept"].oindex[
            tuple(at[axis] for axis in ("selection", "block_size", "freq"))
        ]
    return Curves(ordered, np.asarray(kept), statistics(moments), attributes)


def _moments(
    path: str, root: Any, metric: str, rows: Array, at: dict[str, list[int]], trials: int
) -> Array:
    """Moments of the first trials, (source, block_size, curve ..., moment), of rows of a ledger."""
    unit_trials = int(root.attrs["unit_trials"])
    units, kept = rows.shape[2], root[metric].shape[-1]
    chosen = [at[axis] for axis in ("source", "block_size", *METRICS[metric])]
    chosen.insert(2, list(range(units)))
    rows = np.moveaxis(rows[np.ix_(*chosen)], 2, 0)
    whole = min(trials // unit_trials, units)
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
    parts = [
        moments_of(layout.read_values(root, metric, at, first, until))[None]
        for first, until in pieces(start, min(trials, kept), math.prod(rows.shape[1:-1]))
    ]
    return add_moments(np.concatenate([rows[:whole], *parts]))


def pieces(start: int, stop: int, points: int) -> Iterator[tuple[int, int]]:
    """Consecutive trials first .. until - 1 of that many points, as many as are read at once."""
    step = max(1, _VALUES_AT_ONCE // max(points, 1))
    for first in range(start, stop, step):
        yield first, min(first + step, stop)


def statistics(moments: dict[str, Array]) -> dict[str, NDArray[Any]]:
    """What moments say about the mean of each curve, and about the trials.

    Parameters
    ----------
    moments
        Of some of METRICS, (curve ..., moment); of `error` at least.

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
        found: dict[str, NDArray[Any]] = {
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
    return found | {name: moments[name][..., MOMENTS.index("mean")] for name in of_masks}
