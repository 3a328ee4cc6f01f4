"""Ideas beside ASM, as a user writes them: three algorithms, a source and a selection.

docs/extending.md says what each is given; examples/your_algorithm.py measures them.
"""

from functools import cache

import numpy as np

import asm_core
from asm_core import Batch, Operation, Words


def soft_max_pool(batch: Batch, temperature: float) -> np.ndarray:
    """The exact samples of each window, weighted by the softmax of the approximate ones.

    It hedges where the mask of ASM must decide.  As the temperature falls it becomes ASM.
    """
    approximate, exact = windows(batch.approximate(), batch), windows(batch.blocks, batch)
    weights = np.exp((approximate - approximate.max(axis=-1, keepdims=True)) / temperature)
    return (weights * exact).sum(axis=-1) / weights.sum(axis=-1)


# A mean of samples, and not one of them, also where everything is kept.
soft_max_pool.exact = False


def windows(blocks: np.ndarray, batch: Batch) -> np.ndarray:
    """The samples of each pooling window, (T, M, M, k * k)."""
    k = batch.operation.window
    count, size, _ = blocks.shape
    split = blocks.reshape(count, size // k, k, size // k, k).swapaxes(2, 3)
    return split.reshape(count, size // k, size // k, k * k)


def apx_with_offset(batch: Batch, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """APX, and what it is off by on average on other blocks, uniform on [low, high)."""
    size = batch.blocks.shape[-1]
    constant = offset(batch.operation, batch.kept.tobytes(), size, low, high)
    return batch.operation.exact(batch.approximate()) + constant


@cache
def offset(operation: Operation, kept: bytes, size: int, low: float, high: float) -> float:
    """The mean of exact less approximate results over 4,096 blocks that no sweep judges by."""
    blocks = np.random.default_rng(2018).uniform(low, high, (4096, size, size))
    mask = np.frombuffer(kept, dtype=bool).reshape(size, size)
    approximate = asm_core.block_idct(asm_core.block_dct(blocks) * mask)
    return float((operation.exact(blocks) - operation.exact(approximate)).mean())


def conditional_mean(batch: Batch, rho: float = 0.95) -> np.ndarray:
    """ASM by the mask of the conditional mean: what is expected of the samples given what is kept.

    Of normal samples of zero mean with the covariance rho^(|i - i'| + |j - j'|), source
    `autoregressive`, no other estimate is nearer in mean square.
    """
    count, size, _ = batch.blocks.shape
    kept = np.flatnonzero(batch.kept)
    known = batch.coefficients.reshape(count, -1)[:, kept]
    estimate = np.zeros((count, size * size))
    # Not a matrix product, which rounds by the number of blocks.
    for k, row in enumerate(samples_from(batch.kept.tobytes(), size, rho)):
        estimate += known[:, k, None] * row
    return batch.masked(batch.mask(estimate.reshape(count, size, size)))


@cache
def samples_from(kept: bytes, size: int, rho: float) -> np.ndarray:
    """What each kept coefficient says of the samples, (kept, N * N): E[x | f] = f @ these.

    Of the covariances of coefficients S = W K W^T, W = C x C and K that of the samples, it is
    S_kk^-1 (W K)_k.
    """
    places = np.arange(size)
    covariance = rho ** np.abs(places[:, None] - places)
    basis = asm_core.dct_basis(size)
    whole = np.kron(basis, basis) @ np.kron(covariance, covariance)
    chosen = np.frombuffer(kept, dtype=bool)
    among = (whole @ np.kron(basis, basis).T)[np.ix_(chosen, chosen)]
    return np.linalg.solve(among, whole[chosen])


def speckle(first: int, count: int, block_size: int, *, words: Words, share: float) -> np.ndarray:
    """A source: dark blocks, in which a share of the samples is lit."""
    lit = words(block_size, block_size) < share
    return lit * words(block_size, block_size)


def by_rows(block_size: int) -> np.ndarray:
    """A selection: the coefficients row by row, as an image that is read line by line."""
    return np.arange(block_size * block_size).reshape(block_size, block_size)
