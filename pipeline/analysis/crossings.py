"""From which number of frequencies on a curve is below something, and how surely."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis.curves import Curves, in_range
from pipeline.planning.axes import FREQ

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Threshold:
    """What a curve is to be below; `low` and `high` are the ends of its own 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> "Threshold":
        """A number that is known."""
        return cls(value, value, value)


@dataclass(frozen=True)
class Crossing:
    """From which n on a curve is below something, and the ends of the 95 % interval of that.

    `place` has the axis values that name the curve; `trials` is how many it is of.
    """

    place: Mapping[str, Any]
    n: float
    low: float
    high: float
    trials: int


def of_curves(curves: Curves, below: float | None, share: float | None = None) -> list[Crossing]:
    """From which n on each measured curve is below a number, or a share of its first point."""
    found = []
    for place, curve in curves:
        if curve["measured"].any():
            shown = in_range(curve, place["block_size"])
            mean, low, high = (shown[name] for name in ("mean_error", "ci_low", "ci_high"))
            threshold = threshold_of(mean, low, high, below, share)
            ends = crossing_of(shown[FREQ], mean, low, high, threshold)
            found.append(Crossing(place, *ends, int(curve["measured"].max())))
    return found


def crossing_of(
    n: NDArray[Any], mean: Array, low: Array, high: Array, below: Threshold
) -> tuple[float, float, float]:
    """The smallest n from which on a curve is below a threshold, and a 95 % interval for it.

    Parameters
    ----------
    n
        (P,) ascending.
    mean, low, high
        (P,) the curve and the 95 % interval of each of its points; a mean of NaN is not measured.

    Returns
    -------
    tuple
        The estimate and the ends of its interval, values of `n`; NaN where the curve is not below,
        or not surely.

    Notes
    -----
    The ends are those of two sequences of tests, each stopping at the first that fails, so that no
    correction for their number is due.  From the left: as long as a point is surely not below, the
    crossing lies behind it; that goes wrong only where it does at the crossing itself.  From the
    right: as long as a point is surely below, the crossing lies at it or before; that goes wrong
    only where it does at the last point that is not below.  Each end is wrong in 2.5 % at most.  A
    point that has no spread and lies on the threshold, as the difference of two errors that are
    both 0, says nothing and is left out.

    References
    ----------
    Maurer, Hothorn and Lehmacher, *Multiple comparisons in drug clinical trials and preclinical
    assays: a-priori ordered hypotheses* (1995): tests in a fixed order.
    """
    said = ~np.isnan(mean) & ~((low == below.value) & (high == below.value))
    n, mean, low, high = n[said], mean[said], low[said], high[said]
    # A point without an interval is neither surely below nor surely not.
    not_below = np.flatnonzero(~(low >= below.high))
    return (
        _from_there_on(n, mean < below.value),
        float(n[not_below[0]]) if not_below.size else np.nan,
        _from_there_on(n, high < below.low),
    )


def _from_there_on(n: NDArray[Any], is_below: NDArray[np.bool_]) -> float:
    """The first value of n from which on all are below; NaN where the last is not."""
    others = np.flatnonzero(~is_below)
    first = int(others[-1]) + 1 if others.size else 0
    return float(n[first]) if first < n.size else np.nan


def threshold_of(
    mean: Array, low: Array, high: Array, below: float | None, share: float | None
) -> Threshold:
    """What `below` or `share` means for a curve: a number, or a share of its first point."""
    if share is None:
        assert below is not None
        return Threshold.exactly(below)
    known: Iterator[int] = iter(np.flatnonzero(~np.isnan(mean)).tolist())
    first = next(known, 0)
    return Threshold(share * mean[first], share * low[first], share * high[first])
