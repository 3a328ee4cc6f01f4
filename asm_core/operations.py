"""Operations that are spatial masks: exact (or, on an approximate block, APX), and by a mask (ASM).

Two families: pooling keeps one sample of each window, a rectifier keeps samples by their sign.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from asm_core import validate
from asm_core.masks import (
    Mask,
    local_maximum_mask,
    local_minimum_mask,
    nonnegative_mask,
    windows_of,
)
from asm_core.validate import OPERATIONS, FloatArray


class Operation(NamedTuple):
    """An operation with its parameters; each kind reads its own and no other.

    The methods check them, and raise ValueError as the functions that they call.
    """

    kind: str
    """One of asm_core.validate.OPERATIONS."""
    window: int = 2
    """k, the side of a pooling window."""
    slope: float = 0.01
    """What ``leaky_relu`` multiplies samples by that are not kept, 0 .. 1."""

    def checked(self, block_size: int) -> "Operation":
        """With what its kind does not have at 1 or 0; checked against a block size."""
        validate.choice("operation", self.kind, OPERATIONS)
        pooling = self.kind in validate.POOLINGS
        window = validate.window(self.window, block_size) if pooling else 1
        slope = validate.slope(self.slope) if self.kind == "leaky_relu" else 0.0
        return Operation(self.kind, window, slope)

    def mask(self, blocks: ArrayLike) -> Mask:
        """The samples that the operation keeps, (..., N, N) bool."""
        kind, window, _ = self.checked(validate.blocks("blocks", blocks).shape[-1])
        if kind == "max_pool":
            return local_maximum_mask(blocks, window)
        if kind == "min_pool":
            return local_minimum_mask(blocks, window)
        return nonnegative_mask(blocks)

    def masked(self, blocks: ArrayLike, mask: ArrayLike) -> FloatArray:
        """The operation by a mask: ASM, with the mask of an approximate block."""
        kind, window, slope = self.checked(validate.blocks("blocks", blocks).shape[-1])
        if kind in validate.POOLINGS:
            return masked_max_pool(blocks, mask, window)
        return masked_leaky_relu(blocks, mask, slope)

    def exact(self, blocks: ArrayLike) -> FloatArray:
        """The operation itself; of an approximate block, APX."""
        return self.masked(blocks, self.mask(blocks))


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


def min_pool(blocks: ArrayLike, window: int = 2) -> FloatArray:
    """Minimum over each aligned k x k window, stride k.

    Parameters, result and errors as `max_pool`.
    """
    return -max_pool(np.negative(validate.blocks("blocks", blocks)), window)


def masked_max_pool(blocks: ArrayLike, mask: ArrayLike, window: int = 2) -> FloatArray:
    """Window sums of blocks x mask; with an approximate local maximum mask, ASM max pooling.

    With a local minimum mask it is min pooling.

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


def leaky_relu(blocks: ArrayLike, slope: float = 0.01) -> FloatArray:
    """X where X > 0, slope x X elsewhere.

    Parameters
    ----------
    blocks
        (..., N, N) real samples, N even.  Of approximate blocks the result is APX leaky ReLU.
    slope
        0 .. 1, dimensionless.

    Returns
    -------
    (..., N, N) float64.

    Raises
    ------
    ValueError
        For a wrong shape, an odd N, a sample that is not finite, or a slope out of range.

    References
    ----------
    Maas, Hannun and Ng, *Rectifier Nonlinearities Improve Neural Network Acoustic Models*, ICML
    2013.
    """
    return masked_leaky_relu(blocks, nonnegative_mask(blocks), slope)


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
    return masked_leaky_relu(blocks, mask, 0.0)


def masked_leaky_relu(blocks: ArrayLike, mask: ArrayLike, slope: float = 0.01) -> FloatArray:
    """Blocks x (mask + slope (1 - mask)); with an approximate nonnegative mask, ASM leaky ReLU.

    Parameters, result and errors as `masked_relu`, and a slope as in `leaky_relu`.
    """
    samples, kept = _with_mask(blocks, mask)
    return samples * (kept + validate.slope(slope) * (1.0 - kept))


def _with_mask(blocks: ArrayLike, mask: ArrayLike) -> tuple[FloatArray, FloatArray]:
    samples = validate.blocks("blocks", blocks)
    kept = validate.real_samples("mask", mask)
    if kept.shape != samples.shape:
        raise ValueError(
            f"mask must have the shape of the blocks, {samples.shape}, got {kept.shape}"
        )
    return samples, kept
