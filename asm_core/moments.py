"""Moments of many values that add up to the same bits however the values are divided.

A ledger row keeps count, mean, M2 and M3 (sums of squared and of cubed deviations), min and max,
and beside them the sums of values, squares and cubes that mean, M2 and M3 follow from.  The sums
are pairs of doubles, an unevaluated high + low of about 106 bits, and so is every square and cube
that goes into them (exact where values are float32, whose cubes have 72 bits).  What a value adds
hence depends on that value alone, and adding rows in any grouping rounds some 30 bits below what a
float64 result can show.  A mean does not depend on the unit size, nor on whether it came from
ledger rows or from stored trials.

Error-free transformations: Dekker, *A floating-point technique for extending the available
precision*, Numer. Math. 18 (1971); Knuth, *The Art of Computer Programming* 2, section 4.2.2.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from asm_core.compiled import compiled
from asm_core.lanes import choose, put, rounding_of_product, spread, take
from asm_core.tracing import WIDTH, traced

# Those that results are made of, and the pairs of sums that they follow from.
RESULTS = ("count", "mean", "M2", "M3", "min", "max")
MOMENTS = (*RESULTS, "sum", "sum_low", "squares", "squares_low", "cubes", "cubes_low")
_COUNT, _MEAN, _M2, _M3, _MIN, _MAX, _SUM, _, _SQUARES, _, _CUBES, _ = range(len(MOMENTS))

# What is summed up.
_TOTALS = [_COUNT, _MIN, _MAX, *range(_SUM, len(MOMENTS))]

Array = NDArray[np.float64]
Pair = tuple[Array, Array]


def moments_of(values: NDArray[np.floating[Any]]) -> Array:
    """Moments over the last axis; NaN = not measured, left out.

    Parameters
    ----------
    values
        (..., T) float32, or float64 of a magnitude between 1e-90 and 1e90, or 0.

    Returns
    -------
    (..., len(MOMENTS)) float64; count is 0, and mean, min and max are NaN, where nothing is
    measured.
    """
    return moments_of_each([values])[0]


def moments_of_each(arrays: Sequence[NDArray[np.floating[Any]]]) -> list[Array]:
    """What `moments_of` gives for each of some arrays.

    In one go: for few values, adding up the lanes takes longer than the values.
    """
    lanes = np.concatenate([_lanes_of(as_rows(values)) for values in arrays], axis=1)
    moments = add_moments(lanes)
    ends = np.cumsum([math.prod(values.shape[:-1]) for values in arrays])
    return [
        part.reshape(*values.shape[:-1], len(MOMENTS))
        for part, values in zip(np.split(moments, ends[:-1]), arrays, strict=True)
    ]


def _lanes_of(rows: NDArray[Any]) -> Array:
    """What each lane counts and sums up of rows (P, T), (WIDTH, P, len(MOMENTS))."""
    whole = rows.shape[1] - rows.shape[1] % WIDTH
    rest = np.full((len(rows), WIDTH), np.nan, rows.dtype)
    rest[:, : rows.shape[1] - whole] = rows[:, whole:]
    totals = np.empty((len(_TOTALS), len(rows), WIDTH))
    _accumulate(rows, rest, totals)
    lanes = np.zeros((WIDTH, len(rows), len(MOMENTS)))
    lanes[..., _TOTALS] = totals.T
    return lanes


def as_rows(values: NDArray[np.floating[Any]]) -> NDArray[Any]:
    """Values (..., T) as the compiled loops take them, (P, T) float32 or float64, contiguous."""
    kind = np.float32 if values.dtype == np.float32 else np.float64
    shape = math.prod(values.shape[:-1]), values.shape[-1]
    return np.ascontiguousarray(values, dtype=kind).reshape(shape)


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


@register_jitable
def two_sum(a, b):
    """a + b, rounded, and what the rounding left out."""
    high = a + b
    part = high - a
    return high, (a - (high - part)) + (b - part)


@traced(returns=9)
def _include(values, t, count, least, most, sum_, sum_low, squares, squares_low, cubes, cubes_low):
    """Count, extremes and compensated sums (the errors summed up), with x unless it is NaN."""
    x = take(values, t)
    known = x > spread(-np.inf)
    count = choose(known, count + spread(1.0), count)
    least = choose(least > x, x, least)
    most = choose(x > most, x, most)
    x = choose(known, x, spread(0.0))
    square, square_low = x * x, rounding_of_product(x, x)
    cube, cube_low = square * x, rounding_of_product(square, x)
    sum_, error = two_sum(sum_, x)
    sum_low = sum_low + error
    squares, error = two_sum(squares, square)
    squares_low = squares_low + (error + square_low)
    cubes, error = two_sum(cubes, cube)
    cubes_low = cubes_low + (error + (cube_low + square_low * x))
    return count, least, most, sum_, sum_low, squares, squares_low, cubes, cubes_low


@compiled
def _accumulate(values, rest, out):
    """Totals of each lane: of whole groups of the rows of values (P, T), then of rest (P, WIDTH).

    In lanes, because a sum that waits for the one before took ten times as long; out
    (len(_TOTALS), P, WIDTH).
    """
    P, T = values.shape
    for p in range(P):
        zero = spread(0.0)
        totals = (zero, spread(np.inf), spread(-np.inf), zero, zero, zero, zero, zero, zero)
        for t in range(0, T - T % WIDTH, WIDTH):
            totals = _include(values, p * T + t, *totals)
        totals = _include(rest, p * WIDTH, *totals)
        for m in range(len(totals)):
            put(out, (m * P + p) * WIDTH, totals[m])


def _add(a: Array, b: Array) -> Array:
    out = np.zeros_like(a)
    out[..., _COUNT] = a[..., _COUNT] + b[..., _COUNT]
    out[..., _MIN] = np.minimum(a[..., _MIN], b[..., _MIN])
    out[..., _MAX] = np.maximum(a[..., _MAX], b[..., _MAX])
    # The three sums at once: of few rows, each call of NumPy takes longer than its numbers.
    high, low = slice(_SUM, _CUBES + 1, 2), slice(_SUM + 1, _CUBES + 2, 2)
    out[..., high], out[..., low] = _pair_sum(
        (a[..., high], a[..., low]), (b[..., high], b[..., low])
    )
    return out


def _completed(rows: Array) -> Array:
    """Fill in mean, M2 and M3 from the sums S, Q, C of values, squares, cubes.

    mean = S / n, M2 = Q - S mean, M3 = C - mean (Q + 2 M2).
    """
    count = rows[..., _COUNT]
    total, squares, cubes = (_pair(rows, high) for high in (_SUM, _SQUARES, _CUBES))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = _pair_over(total, count)
        m2 = _pair_sum(squares, _pair_scaled(_pair_product(total, mean), -1.0))
        weighted = _pair_sum(squares, _pair_scaled(m2, 2.0))
        m3 = _pair_sum(cubes, _pair_scaled(_pair_product(mean, weighted), -1.0))
    empty = count == 0
    # Of float64 values that are all equal, rounding would leave something.
    alike = rows[..., _MIN] >= rows[..., _MAX]
    rows[..., _MEAN] = np.where(empty, np.nan, np.where(alike, rows[..., _MIN], mean[0]))
    rows[..., _M2] = np.where(empty | alike, 0.0, np.maximum(m2[0], 0.0))
    rows[..., _M3] = np.where(empty | alike, 0.0, m3[0])
    rows[empty, _MIN] = np.nan
    rows[empty, _MAX] = np.nan
    return rows


def _pair(rows: Array, high: int) -> Pair:
    return rows[..., high], rows[..., high + 1]


def _pair_scaled(a: Pair, factor: float) -> Pair:
    """Times a power of two, with its sign: exact."""
    return a[0] * factor, a[1] * factor


def _pair_sum(a: Pair, b: Pair) -> Pair:
    high, low = two_sum(a[0], b[0])
    high_low, low_low = two_sum(a[1], b[1])
    high, low = two_sum(high, low + high_low)
    total: Pair = two_sum(high, low + low_low)
    return total


def _pair_product(a: Pair, b: Pair) -> Pair:
    low = rounding_of_product(a[0], b[0])
    product: Pair = two_sum(a[0] * b[0], low + (a[0] * b[1] + a[1] * b[0]))
    return product


def _pair_over(a: Pair, count: Array) -> Pair:
    high = a[0] / count
    rest = (a[0] - high * count) - rounding_of_product(high, count) + a[1]
    quotient: Pair = two_sum(high, rest / count)
    return quotient
