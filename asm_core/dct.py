"""The orthonormal DCT-II basis and the transform of blocks."""

import itertools
import math
from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asm_core import transforms, validate
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


# A cosine of libm differs in its last bit from one library and processor to the next, and a cluster
# is mixed.  The table is hence made in integers, x standing for the number x 2^-_BITS, and `int /
# int` rounds it, correctly: what was cut off before is less than 2^-178, and for N <= 256 no entry
# is nearer than 2^-73 to the middle between two doubles.
_BITS = 192
_PI = 0x3_243F6A88_85A308D3_13198A2E_03707344_A4093822_299F31D0


@cache
def basis_of(size: int) -> FloatArray:
    """`dct_basis` of a valid size or of an odd one, shared and read-only.

    Every entry is the double nearest to its exact value.
    """
    # Of the angles only N + 1 differ in more than a sign.  As they are reduced in integers, the
    # even and odd symmetry about the middle is exact, which the kernels build on.
    quadrant = _scaled_cosines(size)
    half_turn = np.array(quadrant + [-value for value in quadrant[-2::-1]])
    u, i = np.indices((size, size))
    k = (2 * i + 1) * u % (4 * size)
    basis: FloatArray = half_turn[np.minimum(k, 4 * size - k)]
    basis[0] = math.isqrt((1 << 2 * _BITS) // size) / (1 << _BITS)
    basis.flags.writeable = False
    return basis


def _scaled_cosines(size: int) -> list[float]:
    """sqrt(2/N) cos(k pi / 2N) for k = 0 .. N, each rounded once, as a whole."""
    step = _cosine(_PI // (2 * size))
    cosines = [1 << _BITS, step]
    for _ in range(2, size):
        # cos((k + 1) x) = 2 cos(x) cos(k x) - cos((k - 1) x)
        cosines.append((2 * step * cosines[-1] >> _BITS) - cosines[-2])
    exact = [math.isqrt(2 * cosine * cosine // size) for cosine in cosines[:size]]
    return [value / (1 << _BITS) for value in exact] + [0.0]


def _cosine(x: int) -> int:
    """cos(x), by its power series."""
    square = x * x >> _BITS
    total, term, k = 0, 1 << _BITS, 0
    while term:
        total += term if k % 4 == 0 else -term
        k += 2
        term = term * square // (k * (k - 1)) >> _BITS
    return total


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
    rows = transforms.flat(samples)
    coefficients = np.empty_like(rows)
    transforms.forward(rows, basis_of(size), transforms.forward_scratch(size), coefficients)
    return coefficients[: math.prod(samples.shape[:-2])].reshape(samples.shape)


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
    rows = transforms.flat(values)
    blocks = np.empty_like(rows)
    terms, stops = coefficient_terms(size, order, [len(order)])
    work = transforms.inverse_scratch(size)
    transforms.inverse(rows, basis_of(size), terms, stops, work, blocks)
    return blocks[: math.prod(values.shape[:-2])].reshape(values.shape)


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
    terms (., 4)
        Rows (c, u N, v N, first row of the quadrant): step by step, within a step by parity of u
        and v as in transforms.PARITIES, and then in order.  Each parity is filled up to whole
        groups of transforms.TERMS with c = N * N, a coefficient of 0.
    stops (F, 3)
        The rows of each step: those of its first pair of quadrants begin at the first number, those
        of its second pair at the second, and the third is where they end.
    """
    return _terms(size, order.tobytes(), tuple(kept))


@lru_cache(maxsize=32)
def _terms(
    size: int, order: bytes, kept: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    # For a batch of small blocks this takes longer than measuring it, hence the cache.
    places = np.frombuffer(order, dtype=np.int64)
    rows = np.stack([places, *np.divmod(places, size)], axis=1)
    quadrant = transforms.quadrant_side(size) ** 2
    terms: list[tuple[int, int, int, int]] = []
    stops = []
    for start, stop in itertools.pairwise((0, *kept)):
        bounds = []
        for place, parity in enumerate(transforms.PARITIES):
            bounds.append(len(terms))
            added = rows[start:stop]
            alike = added[(added[:, 1:] % 2 == parity).all(axis=1)].tolist()
            filling = [(size * size, *parity)] * (-len(alike) % transforms.TERMS)
            terms += [(c, u * size, v * size, place * quadrant) for c, u, v in alike + filling]
        stops.append((bounds[0], bounds[2], len(terms)))
    return np.array(terms, dtype=np.int64).reshape(-1, 4), np.array(stops, dtype=np.int64)
