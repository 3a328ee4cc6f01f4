"""Blocks that are drawn, not stored: block t as a pure function of seed, source, block size and t.

Every trial takes a fixed number of 64-bit words from one stream, so that any range of trials can
be drawn on its own by jumping there (`PCG64DXSM.advance`), and the bits of block t do not depend
on who draws it, in which batch or in which order.  The stream is keyed by seed, kind of source and
block size but not by the source's parameters: sources of one kind see the same random numbers, and
their curves are paired comparisons.  Normal numbers come from the inverse of their distribution
function, one word each: a rejection algorithm would take now more words and now fewer.
"""

import math

import numpy as np

from asm_core import validate
from asm_core.stream import unit_words
from asm_core.validate import FloatArray

# Raised whenever a change alters which words a trial takes, or any bit of a sample; part of a
# store's identity.
STREAM_VERSION = 2

# Errors are stored as float32, which holds 1e-38 .. 3e38; their squares must fit float64.
_LARGEST = 1e30
_SMALLEST_RANGE = 1e-30


def uniform(
    seed: int, block_size: int, first: int, count: int, *, low: float = 0.0, high: float = 1.0
) -> FloatArray:
    """Blocks of independent samples, uniform on [low, high); the notebook's are [0, 1).

    Parameters
    ----------
    seed
        Of the sweep, an integer >= 0.
    block_size
        N, an even integer of at least 2.
    first, count
        Trials first .. first + count - 1.
    low, high
        Range of the samples (dimensionless); low < high, each at most 1e30 in magnitude.

    Returns
    -------
    (count, N, N) float64.  A trial takes N * N words, in row-major order of its samples.

    Raises
    ------
    ValueError
        For a range that is empty, not finite, or beyond what a float32 error can hold.
    """
    _finite("low", low)
    _finite("high", high)
    if not high - low >= _SMALLEST_RANGE:
        raise ValueError(
            f"low must be less than high by {_SMALLEST_RANGE:g} or more, got {low}, {high}"
        )
    blocks = unit_words(seed, "uniform", block_size, first, count)
    # For 0 .. 1 the two steps would change nothing, and take a fifth of the time.
    if (low, high) != (0.0, 1.0):
        blocks *= high - low
        blocks += low
    return blocks


def upsampled(seed: int, block_size: int, first: int, count: int, *, shift: int = 0) -> FloatArray:
    """Blocks of N/2 x N/2 independent samples, uniform on [-1, 1), each repeated 2 x 2.

    The paper's box-filtered blocks.  Unshifted, every aligned 2 x 2 window is constant.  With a
    shift of 1 the grid of repeated samples starts one sample before the block, in both directions.

    Parameters
    ----------
    seed, first, count
        As in `uniform`.
    block_size
        N, an even integer of at least 2; with a shift, a multiple of 4.
    shift
        0 or 1 samples.

    Returns
    -------
    (count, N, N) float64 in [-1, 1): X[i, j] = S[(i + shift) // 2, (j + shift) // 2].  A trial
    takes (N/2 + 1)^2 words, in row-major order of S; without a shift its last row and column are
    not used.

    Raises
    ------
    ValueError
        For another shift, or a shift where N/2 is odd.

    References
    ----------
    Ehrlich and Davis, *Deep Residual Learning in the JPEG Transform Domain*, ICCV 2019,
    section 4.2.
    """
    size = validate.block_size(block_size)
    if validate.integer("shift", shift, minimum=0) > 1:
        raise ValueError(f"shift must be 0 or 1, got {shift}")
    if shift and size % 4:
        raise ValueError(
            f"shift=1 needs a block size that is a multiple of 4, got {size}: use shift=0 or "
            f"block_size={size + 2}"
        )
    samples = unit_words(seed, "upsampled", size, first, count, (size // 2 + 1,) * 2)
    samples *= 2.0
    samples -= 1.0
    place = (np.arange(size) + shift) // 2
    return np.ascontiguousarray(samples[:, place[:, None], place])


def gaussian(
    seed: int, block_size: int, first: int, count: int, *, mean: float = 0.0, std: float = 1.0
) -> FloatArray:
    """Blocks of independent normal samples.

    Parameters
    ----------
    seed, block_size, first, count
        As in `uniform`.
    mean, std
        Of the samples (dimensionless); std > 0.

    Returns
    -------
    (count, N, N) float64.  A trial takes N * N words.

    Raises
    ------
    ValueError
        For a mean or std that is not finite, or beyond what a float32 error can hold.
    """
    return _scaled(_normal_words(seed, "gaussian", block_size, first, count), mean, std)


def autoregressive(
    seed: int, block_size: int, first: int, count: int,
    *, rho: float = 0.95, mean: float = 0.0, std: float = 1.0,
) -> FloatArray:  # fmt: skip
    """Blocks of normal samples with the covariance std^2 rho^(|i - i'| + |j - j'|).

    Separable first-order autoregression, the standard model of blocks of natural images.

    Parameters
    ----------
    seed, block_size, first, count
        As in `uniform`.
    rho
        Correlation of neighbouring samples, between -1 and 1.
    mean, std
        As in `gaussian`.

    Returns
    -------
    (count, N, N) float64.  A trial takes N * N words.

    Raises
    ------
    ValueError
        For a rho that is not between -1 and 1, and as `gaussian`.

    References
    ----------
    Jain, *Fundamentals of Digital Image Processing* (1989), sections 2.9 and 6.4.
    """
    rho = validate.number("rho", rho, -1.0, 1.0, ends=False)
    blocks = _normal_words(seed, "autoregressive", block_size, first, count)
    innovation = math.sqrt((1.0 - rho) * (1.0 + rho))
    for lines in (blocks, blocks.swapaxes(1, 2)):
        for i in range(1, lines.shape[1]):
            lines[:, i] = rho * lines[:, i - 1] + innovation * lines[:, i]
    return _scaled(blocks, mean, std)


def _scaled(blocks: FloatArray, mean: float, std: float) -> FloatArray:
    _finite("mean", mean)
    if not _SMALLEST_RANGE <= std <= _LARGEST:
        raise ValueError(f"std must be within {_SMALLEST_RANGE:g}..{_LARGEST:g}, got {std}")
    blocks *= std
    blocks += mean
    return blocks


def _finite(name: str, value: float) -> None:
    if not math.isfinite(value) or abs(value) > _LARGEST:
        raise ValueError(f"{name} must be finite and within +-{_LARGEST:g}, got {value}")


def _normal_words(seed: int, kind: str, block_size: int, first: int, count: int) -> FloatArray:
    """(count, N, N) standard normal numbers, one word each."""
    # Here, because it loads numba.
    from asm_core.normal import normal_quantiles

    words = unit_words(seed, kind, block_size, first, count)
    # Round to the middles of 2^52 equal parts of (0, 1): symmetric about 1/2, and never 0 or 1.
    words *= 2.0**52
    np.floor(words, out=words)
    words += 0.5
    words *= 2.0**-52
    return normal_quantiles(words)
