"""Spatial masks: which samples an operation keeps, from exact or approximate blocks."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asm_core import validate
from asm_core.frequencies import Selection, approximate

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
    samples = validate.blocks("blocks", blocks)
    *lead, size, _ = samples.shape
    k = validate.window(window, size)
    place = windows_of(samples, k).argmax(axis=-1)
    chosen = place[..., None] == np.arange(k * k)
    count = size // k
    split = chosen.reshape(*lead, count, count, k, k)
    mask: Mask = split.swapaxes(-3, -2).reshape(samples.shape)
    return mask


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
    return local_maximum_mask(approximate(coefficients, n_freqs, selection), window)


def approximate_nonnegative_mask(
    coefficients: ArrayLike, n_freqs: int, selection: Selection = "triangle"
) -> Mask:
    """The nonnegative mask of the block that the lowest frequencies describe.

    Parameters, result and errors as `approximate_local_maximum_mask`, without a window.
    """
    return nonnegative_mask(approximate(coefficients, n_freqs, selection))
