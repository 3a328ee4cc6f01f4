"""Which coefficients "n frequencies" are, and the block that they describe."""

import math
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asm_core import validate
from asm_core.dct import basis_of, inverse_of
from asm_core.validate import SELECTIONS, FloatArray

Ranks = NDArray[np.int64]
# A name of SELECTIONS, or ranks (N, N) as `frequency_rank` gives them.
Selection = str | ArrayLike

# Correlation of neighbouring samples that image coding takes for natural images; Jain,
# *Fundamentals of Digital Image Processing* (1989), section 5.6.
RHO = 0.95


def frequency_rank(
    block_size: int, selection: str = "triangle", *, rho: float | None = None
) -> Ranks:
    """Rank of every coefficient: (u, v) is kept by n frequencies iff its rank is at most n.

    n = 0 keeps the DC alone, whatever the selection.

    Parameters
    ----------
    block_size
        N, an even integer of at least 2.
    selection
        ``triangle``
            rank = u + v, the anti-diagonal: the notebook's `n_freqs` (the paper counts
            phi = n + 1); n = 2N - 2 keeps everything.
        ``square``
            rank = max(u, v): a block of N/2 x N/2 coefficients is n = N/2 - 1; n = N - 1 keeps
            everything.
        ``zigzag``
            the place in the zigzag sequence of JPEG, so that n + 1 coefficients are kept;
            n = N^2 - 1 keeps everything.
        ``energy``
            the place by descending expected energy, where samples have the covariance
            rho^(|i-i'| + |j-j'|) (separable AR(1)); equal energies in row-major order.
            n = N^2 - 1 keeps everything.
    rho
        Of ``energy`` alone, between 0 and 1; 0.95 where it is not given.

    Returns
    -------
    (N, N) int64, indexed [u, v].

    Raises
    ------
    ValueError
        For an odd block size, an unknown selection, a rho out of range, or a rho for a selection
        that has none.

    References
    ----------
    Zigzag: ITU-T T.81 (1992), figure A.6.
    """
    size = validate.block_size(block_size)
    validate.choice("selection", selection, SELECTIONS)
    if rho is not None and selection != "energy":
        raise ValueError(f"rho is of selection energy alone, got rho={rho} for {selection}")
    rho = validate.number("rho", RHO if rho is None else rho, 0.0, 1.0, ends=False)
    return _rank(size, selection, rho).copy()


@cache
def _rank(size: int, selection: str, rho: float) -> Ranks:
    u, v = np.indices((size, size))
    if selection == "triangle":
        return u + v
    if selection == "square":
        return np.maximum(u, v)
    if selection == "zigzag":
        # Even anti-diagonals run upwards, odd ones downwards.
        along = np.where((u + v) % 2, u, v)
        order = np.lexsort((along.ravel(), (u + v).ravel()))
    else:
        energies = np.array([_energy(size, k, rho) for k in range(size)])
        # Products of two numbers commute: (u, v) and (v, u) tie exactly.
        order = np.argsort(-(energies[:, None] * energies), axis=None, kind="stable")
    rank = np.empty(size * size, dtype=np.int64)
    rank[order] = np.arange(size * size)
    return rank.reshape(size, size)


def _energy(size: int, u: int, rho: float) -> float:
    """Expected energy c^T R c of the basis vector c = C[u] under R[i, j] = rho^|i-j|.

    A closed form in sums and products of floats, because the order of the coefficients must not
    depend on how a BLAS or a libm rounds.  (1 - rho^2) R^-1 is tridiagonal, and but for its two
    corners c is an eigenvector.  For the DC a sum of positive terms is used instead: the closed
    form loses its digits as rho approaches 1.
    """
    if u == 0:
        total = 0.0
        for d in range(size - 1, 0, -1):
            total = rho * (total + (size - d))
        return 1.0 + 2.0 / size * total
    basis = basis_of(size)
    # sqrt(2/N) cos(pi u / 2N) and sqrt(2/N) sin(pi u / 2N)
    end, sine = float(basis[u, 0]), float(basis[size - u, 0])
    eigenvalue = (1.0 - rho) * (1.0 - rho) + 2.0 * size * rho * sine * sine
    power = math.prod([rho] * size)
    ends = 1.0 + power if u % 2 else 1.0 - power
    share = end * (1.0 - rho) / eigenvalue
    return (1.0 - rho) * (1.0 + rho) / eigenvalue - 2.0 * rho * ends * share * share


def ranks_of(size: int, selection: Selection) -> Ranks:
    """The ranks of a selection for a valid block size.

    Raises
    ------
    ValueError
        For an unknown name, or ranks that are not integers (N, N) >= 0 with the DC at rank 0.
    """
    if isinstance(selection, str):
        validate.choice("selection", selection, SELECTIONS)
        return _rank(size, selection, RHO)
    ranks = np.asarray(selection)
    if ranks.shape != (size, size) or ranks.dtype.kind not in "iu":
        raise ValueError(
            f"ranks must be integers of shape {(size, size)}, as frequency_rank gives them, got "
            f"{ranks.dtype} of shape {ranks.shape}"
        )
    if ranks.min() < 0 or ranks[0, 0] != 0:
        raise ValueError(
            f"ranks must be at least 0 and that of the DC 0, got {ranks.min()} and {ranks[0, 0]}"
        )
    return ranks.astype(np.int64, copy=False)


def coefficient_order(ranks: Ranks) -> NDArray[np.int64]:
    """Coefficients c = u N + v by ascending rank, equal ranks in row-major order."""
    return np.argsort(ranks, axis=None, kind="stable")


def coefficients_kept(block_size: int, n_freqs: int, selection: Selection = "triangle") -> int:
    """How many of the N x N coefficients n frequencies keep; all of them from the last n on.

    Raises
    ------
    ValueError
        For an odd block size, a negative frequency, or a selection that `approximate` refuses.
    """
    n = validate.integer("n_freqs", n_freqs, minimum=0)
    return int((ranks_of(validate.block_size(block_size), selection) <= n).sum())


def approximate(
    coefficients: ArrayLike, n_freqs: int, selection: Selection = "triangle"
) -> FloatArray:
    """Approximate blocks `A_n = C^T (F * T_n) C`, from the lowest frequencies alone.

    Coefficients are added in the order of their rank, so A_0 is exactly constant: every window of
    it is a tie, and not a lottery of rounding errors.

    Parameters
    ----------
    coefficients
        (..., N, N) real DCT coefficients [u, v], N even.
    n_freqs
        n >= 0; n above the last frequency keeps everything.
    selection
        One of asm_core.validate.SELECTIONS, or ranks (N, N) as `frequency_rank` gives them.

    Returns
    -------
    (..., N, N) float64 samples [i, j], in the unit of the coefficients.

    Raises
    ------
    ValueError
        For a wrong shape, an odd N, a coefficient that is not finite, a negative frequency, an
        unknown selection, or ranks that are not integers >= 0 with the DC at rank 0.
    """
    values = validate.blocks("coefficients", coefficients)
    ranks = ranks_of(values.shape[-1], selection)
    kept = coefficients_kept(values.shape[-1], n_freqs, ranks)
    return inverse_of(values, coefficient_order(ranks)[:kept])
