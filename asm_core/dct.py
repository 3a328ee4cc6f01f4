"""The orthonormal DCT-II basis and the transform of blocks."""

import itertools
import math
from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asm_core import kernels, lanes, validate
from asm_core.validate import FloatArray


def dct_basis(block_size: int) -> FloatArray:
    """The orthonormal DCT-II basis, `C[u, i] = sqrt(2/N) a(u) cos((2i + 1) u pi / 2N)`.

    Here a(0) = 1/sqrt(2), a(u > 0) = 1 and u, i = 0 .. N-1, so that `C @ C.T` is the identity for
    every N.  (The notebook's factor 1/sqrt(2N) is orthonormal only at N = 8.)

    Parameters
    ----------
    block_size
        N, an even integer of at least 2.

    Returns
    -------
    (N, N) float64, row u = frequency, column i = sample; dimensionless.

    Raises
    ------
    ValueError
        For an odd or too small block size.

    References
    ----------
    Ehrlich, *Max Pooling with Approximated Spatial Masking* (notebook, 2018); the factor is that
    of Ahmed, Natarajan and Rao, *Discrete Cosine Transform*, IEEE Trans. Computers C-23 (1974).
    """
    return basis_of(validate.block_size(block_size)).copy()


@cache
def basis_of(size: int) -> FloatArray:
    """`dct_basis` of a valid size, shared and read-only."""
    # Each entry from math.cos of an angle in the first quadrant: NumPy's vectorised cosine differs
    # in the last bit from processor to processor, and a cluster is mixed.  Reducing the angle
    # first makes the even and odd symmetry about the middle exact, which the kernels build on.
    basis = np.empty((size, size))
    for u in range(size):
        scale = math.sqrt((1.0 if u == 0 else 2.0) / size)
        for i in range(size):
            basis[u, i] = scale * _cosine((2 * i + 1) * u, 2 * size)
    basis.flags.writeable = False
    return basis


def _cosine(k: int, half_turn: int) -> float:
    """cos(pi k / half_turn), with the angle reduced in integers to [0, pi / 2]."""
    k %= 2 * half_turn
    k = min(k, 2 * half_turn - k)
    if 2 * k == half_turn:
        return 0.0
    if 2 * k > half_turn:
        return -math.cos(math.pi * (half_turn - k) / half_turn)
    return math.cos(math.pi * k / half_turn)


def block_dct(blocks: ArrayLike) -> FloatArray:
    """DCT coefficients of blocks of samples, `F = C X C^T`.

    Parameters
    ----------
    blocks
        (..., N, N) real samples, N even; any leading shape, also none.

    Returns
    -------
    (..., N, N) float64 coefficients [u, v], in the unit of the samples.  A constant block has AC
    coefficients of exactly 0.

    Raises
    ------
    ValueError
        For a shape other than (..., N, N), an odd N, or a sample that is not finite.
    """
    samples = validate.blocks("blocks", blocks)
    size = samples.shape[-1]
    rows = kernels.flat(samples)
    coefficients = np.empty_like(rows)
    kernels.forward(rows, basis_of(size), lanes.rows(3 * size * size + size), coefficients)
    return coefficients.reshape(samples.shape)


def block_idct(coefficients: ArrayLike) -> FloatArray:
    """Blocks of samples from their DCT coefficients, `X = C^T F C`.

    Parameters
    ----------
    coefficients
        (..., N, N) real coefficients [u, v], N even; any leading shape, also none.

    Returns
    -------
    (..., N, N) float64 samples [i, j], in the unit of the coefficients.

    Raises
    ------
    ValueError
        For a shape other than (..., N, N), an odd N, or a coefficient that is not finite.
    """
    values = validate.blocks("coefficients", coefficients)
    return inverse_of(values, np.arange(values.shape[-1] ** 2))


def inverse_of(values: FloatArray, order: NDArray[np.int64]) -> FloatArray:
    """Blocks (..., N, N) from those coefficients c = u N + v that `order` lists.

    `values` (..., N, N) have been validated.
    """
    size = values.shape[-1]
    rows = kernels.flat(values)
    blocks = np.empty_like(rows)
    terms, _ = coefficient_terms(size, order, [len(order)])
    kernels.inverse(rows, basis_of(size), terms, lanes.rows(3 * size * size + 1), blocks)
    return blocks.reshape(values.shape)


def coefficient_terms(
    size: int, order: NDArray[np.int64], kept: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The table of coefficients, in the order in which the kernels add them.

    Parameters
    ----------
    size, order
        N, and coefficients c = u N + v, those that are kept first coming first.
    kept
        How many coefficients each of F steps keeps, ascending.

    Returns
    -------
    terms (., 3)
        Rows (c, u, v): step by step, within a step by parity of u and v, and then in order.  Each
        parity is filled up to whole groups of kernels.TERMS with c = N * N, a coefficient of 0.
    stops (F,)
        How many rows there are up to each step.
    """
    return _terms(size, order.tobytes(), tuple(kept))


@lru_cache(maxsize=32)
def _terms(
    size: int, order: bytes, kept: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    # For a batch of small blocks this takes longer than measuring it, hence the cache.
    places = np.frombuffer(order, dtype=np.int64)
    rows = np.stack([places, *np.divmod(places, size)], axis=1)
    terms: list[Sequence[int]] = []
    stops = []
    for start, stop in itertools.pairwise((0, *kept)):
        for parity in itertools.product((0, 1), (0, 1)):
            added = rows[start:stop]
            alike = added[(added[:, 1:] % 2 == parity).all(axis=1)].tolist()
            filling = [(size * size, *parity)] * (-len(alike) % kernels.TERMS)
            terms += alike + filling
        stops.append(len(terms))
    return np.array(terms, dtype=np.int64).reshape(-1, 3), np.array(stops, dtype=np.int64)
