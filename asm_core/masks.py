"""Spatial masks: which samples an operation keeps, from exact or approximate blocks."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asm_core import validate
from asm_core.dct import block_idct
from asm_core.frequencies import Selection, approximate
from asm_core.kernels import TIE
from asm_core.validate import FloatArray

Mask = NDArray[np.bool_]


def windows_of(samples: NDArray[Any], window: int) -> NDArray[Any]:
    """View (..., N, N) as (..., N/k, N/k, k * k): one row-major row of samples per window."""
    *lead, size, _ = samples.shape
    count = size // window
    split = samples.reshape(*lead, count, window, count, window)
    return split.swapaxes(-3, -2).reshape(*lead, count, count, window * window)


def local_maximum_mask(blocks: ArrayLike, window: int = 2) -> Mask:
    """True at the largest sample of each window, False elsewhere; a tie goes to the first.

    Parameters
    ----------
    blocks
        (..., N, N) real samples, N even.
    window
        k, the side of the pooling window; k divides N.

    Returns
    -------
    (..., N, N) bool with exactly one True in each aligned k x k window; among equal samples the
    first in row-major order, as numpy.argmax.

    Raises
    ------
    ValueError
        For a wrong shape, an odd N, a sample that is not finite, or a window not dividing N.
    """
    return first_largest(validate.blocks("blocks", blocks), window, np.float64(0.0))


def local_minimum_mask(blocks: ArrayLike, window: int = 2) -> Mask:
    """True at the smallest sample of each window, False elsewhere; a tie goes to the first.

    Parameters, result and errors as `local_maximum_mask`.
    """
    return local_maximum_mask(np.negative(validate.blocks("blocks", blocks)), window)


def nonnegative_mask(blocks: ArrayLike) -> Mask:
    """True where a sample is larger than 0; the samples that ReLU keeps.

    Parameters
    ----------
    blocks
        (..., N, N) real samples, N even.

    Returns
    -------
    (..., N, N) bool.  Zero itself is False: kept or not, the result is 0.

    Raises
    ------
    ValueError
        For a wrong shape, an odd N or a sample that is not finite.
    """
    return validate.blocks("blocks", blocks) > 0.0


def approximate_local_maximum_mask(
    coefficients: ArrayLike, n_freqs: int, window: int = 2, selection: Selection = "triangle"
) -> Mask:
    """The local maximum mask of the block that the lowest frequencies describe.

    Samples of that block whose difference is at most 2^-40 of the contrast of the whole block (its
    largest less its smallest sample) tie, since rounding alone would decide between them.

    Parameters
    ----------
    coefficients
        (..., N, N) real DCT coefficients [u, v], N even.
    n_freqs
        n >= 0, as in `approximate`.
    window
        k, the side of the pooling window; k divides N.
    selection
        As in `approximate`.

    Returns
    -------
    (..., N, N) bool, one True in each window.

    Raises
    ------
    ValueError
        As `approximate` and `local_maximum_mask`.
    """
    samples, tie = _with_tie(coefficients, n_freqs, selection)
    return first_largest(samples, window, tie[..., None])


def approximate_nonnegative_mask(
    coefficients: ArrayLike, n_freqs: int, selection: Selection = "triangle"
) -> Mask:
    """The nonnegative mask of the block that the lowest frequencies describe.

    Parameters, result, ties and errors as `approximate_local_maximum_mask`, without a window: a
    sample that ties with 0 is not kept.
    """
    samples, tie = _with_tie(coefficients, n_freqs, selection)
    mask: Mask = samples > tie
    return mask


def _with_tie(
    coefficients: ArrayLike, n_freqs: int, selection: Selection
) -> tuple[FloatArray, FloatArray]:
    """An approximate block (..., N, N), and the largest difference that is a tie (..., 1, 1)."""
    whole = block_idct(coefficients)
    contrast = whole.max(axis=(-2, -1), keepdims=True) - whole.min(axis=(-2, -1), keepdims=True)
    return approximate(coefficients, n_freqs, selection), TIE * contrast


def first_largest(samples: FloatArray, window: int, tie: Any) -> Mask:
    """True at the first sample of each window that differs by at most `tie` from the largest."""
    *lead, size, _ = samples.shape
    k = validate.window(window, size)
    values = windows_of(samples, k)
    place = (values >= values.max(axis=-1, keepdims=True) - tie).argmax(axis=-1)
    chosen = place[..., None] == np.arange(k * k)
    count = size // k
    split = chosen.reshape(*lead, count, count, k, k)
    mask: Mask = split.swapaxes(-3, -2).reshape(samples.shape)
    return mask
