"""Max pooling and ReLU: exact (or, on an approximate block, APX), and by a mask (ASM)."""

import numpy as np
from numpy.typing import ArrayLike

from asm_core import validate
from asm_core.masks import windows_of
from asm_core.validate import FloatArray


def max_pool(blocks: ArrayLike, window: int = 2) -> FloatArray:
    """Maximum over each aligned k x k window, stride k.

    Parameters
    ----------
    blocks
        (..., N, N) real samples, N even.  Of approximate blocks the result is APX max pooling.
    window
        k; divides N.

    Returns
    -------
    (..., N/k, N/k) float64.

    Raises
    ------
    ValueError
        For a wrong shape, an odd N, a sample that is not finite, or a window not dividing N.
    """
    samples = validate.blocks("blocks", blocks)
    side = validate.window(window, samples.shape[-1])
    pooled: FloatArray = windows_of(samples, side).max(axis=-1)
    return pooled


def masked_max_pool(blocks: ArrayLike, mask: ArrayLike, window: int = 2) -> FloatArray:
    """Window sums of blocks x mask; with an approximate local maximum mask, ASM max pooling.

    Parameters
    ----------
    blocks
        (..., N, N) real samples, N even.
    mask
        Of the shape of the blocks; one 1 (True) in each window, 0 elsewhere.
    window
        k; divides N.

    Returns
    -------
    (..., N/k, N/k) float64.

    Raises
    ------
    ValueError
        As `max_pool`; also for a mask of another shape.
    """
    samples, kept = _with_mask(blocks, mask)
    side = validate.window(window, samples.shape[-1])
    pooled: FloatArray = windows_of(samples * kept, side).sum(axis=-1)
    return pooled


def relu(blocks: ArrayLike) -> FloatArray:
    """max(X, 0), sample by sample.

    Parameters
    ----------
    blocks
        (..., N, N) real samples, N even.  Of approximate blocks the result is APX ReLU.

    Returns
    -------
    (..., N, N) float64.

    Raises
    ------
    ValueError
        For a wrong shape, an odd N or a sample that is not finite.
    """
    return np.maximum(validate.blocks("blocks", blocks), 0.0)


def masked_relu(blocks: ArrayLike, mask: ArrayLike) -> FloatArray:
    """Blocks x mask; with an approximate nonnegative mask, ASM ReLU.

    Parameters
    ----------
    blocks
        (..., N, N) real samples, N even.
    mask
        Of the shape of the blocks; 1 (True) where a sample is kept.

    Returns
    -------
    (..., N, N) float64.

    Raises
    ------
    ValueError
        As `relu`; also for a mask of another shape.
    """
    samples, kept = _with_mask(blocks, mask)
    return samples * kept


def _with_mask(blocks: ArrayLike, mask: ArrayLike) -> tuple[FloatArray, FloatArray]:
    samples = validate.blocks("blocks", blocks)
    kept = validate.real_samples("mask", mask)
    if kept.shape != samples.shape:
        raise ValueError(
            f"mask must have the shape of the blocks, {samples.shape}, got {kept.shape}"
        )
    return samples, kept
