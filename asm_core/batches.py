"""Sums by batch of values that are not independent, as neighbouring tiles of one image.

A batch is a strip of an image or a whole image.  The sums are pairs of doubles, as in `moments`, so
that what follows from them has the same bits however the values are divided; the interval that does
is in `intervals`.
"""

import numpy as np
from numpy.typing import NDArray

from asm_core.compiled import compiled
from asm_core.moments import MOMENTS, Array, add_moments, as_rows, two_sum
from asm_core.validate import MOST_BATCHES, FloatArray

_ROWS_AT_ONCE = 8
SUMS = ("count", "sum", "sum_low")
_SUMS_OF_MOMENTS = [MOMENTS.index(name) for name in SUMS]


def sums_by_batch(values: FloatArray | NDArray[np.float32], batch: NDArray[np.int64]) -> Array:
    """Number and sum of the values of each batch, over the last axis; NaN is left out.

    Parameters
    ----------
    values
        (..., T), as for `moments_of`.
    batch
        (T,), the batch of each value, 0 .. MOST_BATCHES - 1; a negative one is left out.

    Returns
    -------
    (..., MOST_BATCHES, len(SUMS)) float64.

    Raises
    ------
    ValueError
        For batches of another number than the values, or beyond the last.
    """
    if batch.shape != values.shape[-1:] or batch.max(initial=0) >= MOST_BATCHES:
        raise ValueError(
            f"batch must have {values.shape[-1]} numbers below {MOST_BATCHES}, got shape "
            f"{batch.shape} and up to {batch.max(initial=0)}"
        )
    rows = as_rows(values)
    sums = np.zeros((len(rows), MOST_BATCHES, len(SUMS)))
    _accumulate(rows, batch, sums)
    return sums.reshape(*values.shape[:-1], MOST_BATCHES, len(SUMS))


@compiled
def _accumulate(values, batch, out):
    """Compensated sums (Knuth) of the rows of values (P, T) by batch (T,); out (P, B, 3)."""
    P, T = values.shape
    # A sum waits for the one before it: those of several rows in turn take half the time.
    for first in range(0, P, _ROWS_AT_ONCE):
        last = min(first + _ROWS_AT_ONCE, P)
        for t in range(T):
            b = batch[t]
            if b < 0:
                continue
            for p in range(first, last):
                x = np.float64(values[p, t])
                if x == x:
                    out[p, b, 0] += 1.0
                    out[p, b, 1], error = two_sum(out[p, b, 1], x)
                    out[p, b, 2] += error
    for p in range(P):
        for b in range(out.shape[1]):
            out[p, b, 1], out[p, b, 2] = two_sum(out[p, b, 1], out[p, b, 2])


def add_sums(parts: Array) -> Array:
    """Sums of all values together, from those of disjoint parts; a part that is NaN is left out.

    `parts` (parts, ..., MOST_BATCHES, len(SUMS)) -> (..., MOST_BATCHES, len(SUMS)).
    """
    moments = np.zeros((*parts.shape[:-1], len(MOMENTS)))
    moments[..., _SUMS_OF_MOMENTS] = parts
    total: Array = add_moments(moments)[..., _SUMS_OF_MOMENTS]
    return total
