"""Masking and pooling of blocks that stay DCT coefficients, in and out; their mean and variance.

Every step of masking and pooling is linear in the coefficients F once the mask is known, so each is
a matrix on both sides of F: C the basis (masking), P the window sums (pooling), J the joining of
neighbours.
"""

from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from asm_core import validate
from asm_core.dct import basis_of
from asm_core.frequencies import Selection
from asm_core.masks import approximate_local_maximum_mask
from asm_core.validate import FloatArray

# N^6 doubles: 2 MB at 8, 134 MB at 16, 8.6 GB at 32.
_LARGEST_TENSOR = 16


def half_spatial_tensor(block_size: int) -> FloatArray:
    """The tensor of half-spatial masking, `H[a, b, i, j, u, v] = C[a, i] C[b, j] C[u, i] C[v, j]`.

    A mask G turns the coefficients F of X into those of X * G,
    `F'[a, b] = sum_ij G[i, j] sum_uv H[a, b, i, j, u, v] F[u, v]`.

    Parameters
    ----------
    block_size
        N, an even integer, 2 .. 16.

    Returns
    -------
    (N, N, N, N, N, N) float64: coefficient (a, b) of the result, sample (i, j), coefficient
    (u, v) of the block; dimensionless.

    Raises
    ------
    ValueError
        For an odd, too small or too large block size.

    References
    ----------
    Ehrlich and Davis, *Deep Residual Learning in the JPEG Transform Domain*, ICCV 2019.
    """
    size = validate.block_size(block_size)
    if size > _LARGEST_TENSOR:
        raise ValueError(
            f"block size must be at most {_LARGEST_TENSOR} for a tensor of N^6 numbers, "
            f"got {size}: use apply_mask, which never forms it"
        )
    C = basis_of(size)
    tensor: FloatArray = np.einsum("ai,bj,ui,vj->abijuv", C, C, C, C)
    return tensor


def apply_mask(coefficients: ArrayLike, mask: ArrayLike) -> FloatArray:
    """Coefficients of X * G from those of X, `F' = C ((C^T F C) * G) C^T`.

    The contraction of `half_spatial_tensor` with F and G in separable order: about 4 N^3
    multiplications a block in place of N^6.

    Parameters
    ----------
    coefficients
        (..., N, N) real DCT coefficients [u, v], N even.
    mask
        G, of the same shape, samples [i, j]: 0 and 1 (False and True), or any real weights, as
        the slope of a leaky ReLU.

    Returns
    -------
    (..., N, N) float64 coefficients, in the unit of those given.

    Raises
    ------
    ValueError
        For a wrong shape, an odd N, a number that is not finite, or a mask of another shape.
    """
    values = validate.blocks("coefficients", coefficients)
    weights = validate.real_samples("mask", mask)
    if weights.shape != values.shape:
        raise ValueError(
            f"mask must have the shape of the coefficients, {values.shape}, got {weights.shape}: "
            "np.broadcast_to repeats one mask"
        )
    C = basis_of(values.shape[-1])
    return _both_sides(C, _both_sides(C.T, values) * weights)


def pool_masked(coefficients: ArrayLike, mask: ArrayLike, window: int = 2) -> FloatArray:
    """Coefficients of the window sums of X * G, `P F' P^T` with `P = C_{N/k} S C_N^T`.

    Here F' are the coefficients of X * G and `S = kron(I_{N/k}, ones(1, k))`; with an approximate
    local maximum mask this is ASM max pooling of each block, `masked_max_pool` in coefficients.

    Parameters
    ----------
    coefficients
        (..., N, N) real DCT coefficients [u, v], N even.
    mask
        G, as in `apply_mask`; a mask of 1 / k^2 everywhere gives average pooling.
    window
        k, the side of the pooling window; k divides N, and N/k may be odd.

    Returns
    -------
    (..., N/k, N/k) float64 coefficients of the basis of size N/k, in the unit of those given.

    Raises
    ------
    ValueError
        As `apply_mask`; also for a window not dividing N.
    """
    masked = apply_mask(coefficients, mask)
    size = masked.shape[-1]
    return _both_sides(_pooling_matrix(size, validate.window(window, size)), masked)


def join_blocks(coefficients: ArrayLike) -> FloatArray:
    """Coefficients of the one block that k x k neighbouring blocks tile, `sum_ab J_a F_ab J_b^T`.

    Here `J_a = C_{kM}[:, aM : (a+1)M] C_M^T`; side by side these are one orthogonal matrix.

    Parameters
    ----------
    coefficients
        (..., k, k, M, M) real: block row a, block column b, and the coefficients [u, v] of each
        block; k and M at least 1, M even or odd.

    Returns
    -------
    (..., kM, kM) float64 coefficients, in the unit of those given.

    Raises
    ------
    ValueError
        For a wrong shape or a coefficient that is not finite.

    References
    ----------
    Jiang and Feng, *The spatial relationship of DCT coefficients between a block and its
    sub-blocks*, IEEE Trans. Signal Processing 50 (2002).
    """
    values = validate.real_samples("coefficients", coefficients)
    shape = values.shape
    if values.ndim < 4 or shape[-4] != shape[-3] or shape[-2] != shape[-1] or 0 in shape[-4:]:
        raise ValueError(
            "coefficients must have shape (..., k, k, M, M), as many blocks across as down, "
            f"got {shape}"
        )
    *lead, count, _, size, _ = shape
    tiled = values.swapaxes(-3, -2).reshape(*lead, count * size, count * size)
    return _both_sides(_joining_matrix(size, count), tiled)


def asm_max_pool(
    coefficients: ArrayLike, n_freqs: int, window: int = 2, selection: Selection = "triangle"
) -> FloatArray:
    """ASM max pooling of an image of blocks, DCT coefficients in and out.

    The lowest frequencies of each block choose its samples, `pool_masked` gives blocks of size
    N/k, and `join_blocks` makes a block of size N of every k x k of them.

    Parameters
    ----------
    coefficients
        (..., R, Q, N, N) real: block row, block column, and the DCT coefficients [u, v] of each
        block, N even; k divides R and Q.
    n_freqs
        n >= 0, as in `approximate`; the last frequency gives exact max pooling, to rounding.
    window
        k, the side of the pooling window; k divides N.
    selection
        As in `approximate`.

    Returns
    -------
    (..., R/k, Q/k, N, N) float64 coefficients of the pooled image, in the unit of those given.

    Raises
    ------
    ValueError
        As `approximate_local_maximum_mask`; also for an image whose blocks do not join.
    """
    values = validate.blocks("coefficients", coefficients)
    if values.ndim < 4:
        raise ValueError(f"coefficients must have shape (..., R, Q, N, N), got {values.shape}")
    *lead, rows, columns, size, _ = values.shape
    k = validate.window(window, size)
    if rows % k or columns % k:
        raise ValueError(
            f"an image must be a multiple of the window, {k}, in blocks each way, "
            f"got {rows} x {columns} blocks: pad or crop it"
        )
    mask = approximate_local_maximum_mask(values, n_freqs, k, selection)
    pooled = pool_masked(values, mask, k)
    side = size // k
    grouped = pooled.reshape(*lead, rows // k, k, columns // k, k, side, side)
    return join_blocks(grouped.swapaxes(-5, -4))


def mean_and_variance(coefficients: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Mean and variance of the samples of blocks, which stay coefficients.

    `mean = F[0, 0] / N` and `variance = sum_{(u, v) != (0, 0)} F[u, v]^2 / N^2`, since the basis is
    orthonormal and its first row constant: the DCT mean-variance theorem, which is what batch
    normalisation needs.

    Parameters
    ----------
    coefficients
        (..., N, N) real DCT coefficients [u, v], N even or, as of pooled blocks, odd.

    Returns
    -------
    mean, variance
        (...) float64, in the unit of the samples and in its square; the variance is the mean
        squared deviation of the N^2 samples from their mean.

    Raises
    ------
    ValueError
        For a wrong shape or a coefficient that is not finite.

    References
    ----------
    Ehrlich and Davis, *Deep Residual Learning in the JPEG Transform Domain*, ICCV 2019, batch
    normalization.
    """
    values = validate.real_samples("coefficients", coefficients)
    size = values.shape[-1] if values.ndim else 0
    if values.shape[-2:] != (size, size) or size == 0:
        raise ValueError(f"coefficients must have shape (..., N, N), got {values.shape}")
    squares = values * values
    squares[..., 0, 0] = 0.0
    mean: FloatArray = values[..., 0, 0] / size
    variance: FloatArray = squares.sum(axis=(-2, -1)) / (size * size)
    return mean, variance


def _both_sides(matrix: FloatArray, blocks: FloatArray) -> FloatArray:
    product: FloatArray = matrix @ blocks @ matrix.T
    return product


@cache
def _pooling_matrix(size: int, window: int) -> FloatArray:
    """P, (N/k, N): coefficients of N samples to those of their N/k window sums."""
    count = size // window
    sums = np.kron(np.eye(count), np.ones((1, window)))
    matrix: FloatArray = basis_of(count) @ sums @ basis_of(size).T
    matrix.flags.writeable = False
    return matrix


@cache
def _joining_matrix(size: int, count: int) -> FloatArray:
    """J_0 .. J_{k-1} side by side, (kM, kM)."""
    apart = np.kron(np.eye(count), basis_of(size).T)
    matrix: FloatArray = basis_of(count * size) @ apart
    matrix.flags.writeable = False
    return matrix
