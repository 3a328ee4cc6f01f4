"""How much better a mask could be: the best choice that the kept coefficients allow."""

import numpy as np

import asm_core
from asm_core.sources import autoregressive
from asm_core.validate import FloatArray


def conditional_means(coefficients: FloatArray, n_freqs: int, rho: float) -> FloatArray:
    """The expected block, given the coefficients that n frequencies keep.

    Of normal samples of mean 0 and covariance rho^(|i-i'| + |j-j'|).  The sample with the largest
    expectation in each window is the best choice that these coefficients allow: no other has a
    larger value on average.

    Parameters
    ----------
    coefficients
        (T, N, N) DCT coefficients [u, v] of the blocks; those that are not kept are not used.
    n_freqs
        n >= 0, of the triangle.
    rho
        Correlation of neighbouring samples, between -1 and 1.

    Returns
    -------
    (T, N, N) float64 samples [i, j].

    References
    ----------
    Anderson, *An Introduction to Multivariate Statistical Analysis* (2003), section 2.5.
    """
    count, size, _ = coefficients.shape
    C = asm_core.dct_basis(size)
    distances = np.abs(np.subtract.outer(range(size), range(size)))
    along = C @ rho**distances @ C.T
    covariance = np.kron(along, along)
    kept = asm_core.frequency_rank(size).ravel() <= n_freqs
    weights = np.linalg.solve(covariance[np.ix_(kept, kept)], covariance[kept])
    known = coefficients.reshape(count, -1)[:, kept]
    return asm_core.block_idct((known @ weights).reshape(coefficients.shape))


def best_mask_ratios(trials: int, rho: float, block_size: int = 8, seed: int = 0) -> FloatArray:
    """Mean error of ASM max pooling over that of the best mask, at each n but the last.

    On autoregressive blocks 0 .. trials - 1 of a seed; windows of 2 x 2.

    Returns
    -------
    (2N - 2,) float64, 1 where no mask that knows the same coefficients does better.
    """
    blocks = autoregressive(seed, block_size, 0, trials, rho=rho)
    coefficients = asm_core.block_dct(blocks)
    exact = asm_core.max_pool(blocks)
    freqs = range(2 * block_size - 2)
    best = []
    for n in freqs:
        mask = asm_core.local_maximum_mask(conditional_means(coefficients, n, rho))
        best.append(asm_core.rmse(asm_core.masked_max_pool(blocks, mask), exact).mean())
    asm = asm_core.errors_by_frequency(blocks, freqs).mean(axis=1)
    ratios: FloatArray = asm / best
    return ratios
