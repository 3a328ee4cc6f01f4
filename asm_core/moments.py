"""Moments of many values that add up to the same bits however the values are divided.

A ledger row keeps count, mean, M2 (sum of squared deviations), min and max, and beside them the sum
and the sum of squares that mean and M2 follow from.  The sums are pairs of doubles, an unevaluated
high + low of about 106 bits: values are float32, so their squares are exact in float64, and adding
rows in any grouping rounds some 30 bits below what a float64 result can show.  A mean hence does
not depend on the unit size, nor on whether it came from ledger rows or from stored trials.

Error-free transformations: Dekker, *A floating-point technique for extending the available
precision*, Numer. Math. 18 (1971); Knuth, *The Art of Computer Programming* 2, section 4.2.2.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from asm_core.lanes import WIDTH, choose, put, spread, take

MOMENTS = ("count", "mean", "M2", "min", "max", "sum", "sum_low", "squares", "squares_low")
_COUNT, _MEAN, _M2, _MIN, _MAX, _SUM, _SUM_LOW, _SQUARES, _SQUARES_LOW = range(len(MOMENTS))

# What is summed up; mean and M2 follow from it.
_TOTALS = [_COUNT, _MIN, _MAX, _SUM, _SUM_LOW, _SQUARES, _SQUARES_LOW]

Array = NDArray[np.float64]
Pair = tuple[Array, Array]


def moments_of(values: NDArray[np.float32]) -> Array:
    """Moments over the last axis; NaN = not measured, left out.

    Parameters
    ----------
    values
        (..., T) float32.

    Returns
    -------
    (..., len(MOMENTS)) float64; count is 0, and mean, min and max are NaN, where nothing is
    measured.
    """
    *lead, length = values.shape
    rows = np.ascontiguousarray(values, dtype=np.float32).reshape(math.prod(lead), length)
    whole = length - length % WIDTH
    rest = np.full((len(rows), WIDTH), np.nan, np.float32)
    rest[:, : length - whole] = rows[:, whole:]
    totals = np.empty((len(_TOTALS), len(rows), WIDTH))
    _accumulate(rows, rest, totals)
    lanes = np.zeros((WIDTH, len(rows), len(MOMENTS)))
    lanes[..., _TOTALS] = totals.T
    return add_moments(lanes).reshape(*lead, len(MOMENTS))


def add_moments(rows: Array) -> Array:
    """Moments of all values together, from the moments of disjoint parts of them.

    Parameters
    ----------
    rows
        (parts, ..., len(MOMENTS)); a part that is NaN was never measured and is left out.

    Returns
    -------
    (..., len(MOMENTS)) float64.
    """
    empty = np.zeros(len(MOMENTS))
    empty[[_MIN, _MAX]] = np.inf, -np.inf
    parts = np.where(np.isnan(rows[..., [_COUNT]]) | (rows[..., [_COUNT]] == 0), empty, rows)
    # Neighbours pairwise, until one is left: always the same tree for the same rows.
    while len(parts) > 1:
        odd = parts[len(parts) // 2 * 2 :]
        parts = np.concatenate([_add(parts[:-1:2], parts[1::2]), odd])
    return _completed(parts[0] if len(parts) else np.broadcast_to(empty, rows.shape[1:]).copy())


@njit(nogil=True, forceinline=True)
def _include(x, totals):
    """Count, extremes and compensated sums (`_two_sum`, errors summed up), with x unless NaN."""
    count, least, most, total, total_low, squares, squares_low = totals
    known = x > spread(-np.inf)
    count = choose(known, count + spread(1.0), count)
    least = choose(least > x, x, least)
    most = choose(x > most, x, most)
    x = choose(known, x, spread(0.0))
    high = total + x
    part = high - total
    total_low = total_low + ((total - (high - part)) + (x - part))
    y = x * x
    more = squares + y
    part = more - squares
    squares_low = squares_low + ((squares - (more - part)) + (y - part))
    return count, least, most, high, total_low, more, squares_low


@njit(cache=True, nogil=True)
def _accumulate(values, rest, out):
    """Totals of each lane: of whole groups of the rows of values (P, T), then of rest (P, WIDTH).

    In lanes, because a sum that waits for the one before took ten times as long; out
    (7, P, WIDTH).
    """
    P, T = values.shape
    for p in range(P):
        zero = spread(0.0)
        totals = (zero, spread(np.inf), spread(-np.inf), zero, zero, zero, zero)
        for t in range(0, T - T % WIDTH, WIDTH):
            totals = _include(take(values, p * T + t), totals)
        totals = _include(take(rest, p * WIDTH), totals)
        for m in range(len(totals)):
            put(out, (m * P + p) * WIDTH, totals[m])


def _add(a: Array, b: Array) -> Array:
    out = np.zeros_like(a)
    out[..., _COUNT] = a[..., _COUNT] + b[..., _COUNT]
    out[..., _MIN] = np.minimum(a[..., _MIN], b[..., _MIN])
    out[..., _MAX] = np.maximum(a[..., _MAX], b[..., _MAX])
    for high, low in ((_SUM, _SUM_LOW), (_SQUARES, _SQUARES_LOW)):
        out[..., high], out[..., low] = _pair_sum(
            (a[..., high], a[..., low]), (b[..., high], b[..., low])
        )
    return out


def _completed(rows: Array) -> Array:
    """Fill in mean and M2 from the sums: mean = S / n, M2 = Q - S mean."""
    count = rows[..., _COUNT]
    total = (rows[..., _SUM], rows[..., _SUM_LOW])
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = _pair_over(total, count)
        square = _pair_product(total, mean)
        rest = _pair_sum((rows[..., _SQUARES], rows[..., _SQUARES_LOW]), (-square[0], -square[1]))
    empty = count == 0
    rows[..., _MEAN] = np.where(empty, np.nan, mean[0])
    rows[..., _M2] = np.where(empty, 0.0, np.maximum(rest[0], 0.0))
    rows[empty, _MIN] = np.nan
    rows[empty, _MAX] = np.nan
    return rows


def _two_sum(a: Array, b: Array) -> Pair:
    """a + b, rounded, and what the rounding left out."""
    high = a + b
    part = high - a
    return high, (a - (high - part)) + (b - part)


def _two_product(a: Array, b: Array) -> Pair:
    """a b, rounded, and what the rounding left out (Dekker; Veltkamp's splitting)."""
    a_high = a * 134217729.0 - (a * 134217729.0 - a)
    b_high = b * 134217729.0 - (b * 134217729.0 - b)
    a_low, b_low = a - a_high, b - b_high
    high = a * b
    low = a_low * b_low - (((high - a_high * b_high) - a_low * b_high) - a_high * b_low)
    return high, low


def _pair_sum(a: Pair, b: Pair) -> Pair:
    high, low = _two_sum(a[0], b[0])
    high_low, low_low = _two_sum(a[1], b[1])
    high, low = _two_sum(high, low + high_low)
    return _two_sum(high, low + low_low)


def _pair_product(a: Pair, b: Pair) -> Pair:
    high, low = _two_product(a[0], b[0])
    return _two_sum(high, low + (a[0] * b[1] + a[1] * b[0]))


def _pair_over(a: Pair, count: Array) -> Pair:
    high = a[0] / count
    back, back_low = _two_product(high, count)
    return _two_sum(high, ((a[0] - back) - back_low + a[1]) / count)
