"""Which coefficients "n frequencies" are, and the block that they describe."""

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asm_core import validate
from asm_core.dct import inverse_of
from asm_core.validate import SELECTIONS, FloatArray


def frequency_rank(block_size: int, selection: str = "triangle") -> NDArray[np.int64]:
    """Rank of every coefficient: (u, v) is kept by n frequencies iff its rank is at most n.

    ``triangle``: rank = u + v, the anti-diagonal.  n = 0 keeps the DC alone (the notebook's
    `n_freqs`; the paper counts phi = n + 1) and n = 2N - 2 keeps everything.

    Parameters
    ----------
    block_size
        N, an even integer of at least 2.
    selection
        One of asm_core.validate.SELECTIONS.

    Returns
    -------
    (N, N) int64, indexed [u, v].

    Raises
    ------
    ValueError
        For an odd block size or an unknown selection.
    """
    return _rank(validate.block_size(block_size), selection).copy()


@cache
def _rank(size: int, selection: str) -> NDArray[np.int64]:
    validate.choice("selection", selection, SELECTIONS)
    u = np.arange(size)
    return u[:, None] + u[None, :]


@cache
def coefficient_order(size: int, selection: str) -> NDArray[np.int64]:
    """Coefficients c = u N + v by ascending rank, equal ranks in row-major order."""
    return np.argsort(_rank(size, selection), axis=None, kind="stable")


def coefficients_kept(block_size: int, n_freqs: int, selection: str = "triangle") -> int:
    """How many of the N x N coefficients n frequencies keep; all of them from the last n on.

    Raises
    ------
    ValueError
        For an odd block size, a negative frequency or an unknown selection.
    """
    n = validate.integer("n_freqs", n_freqs, minimum=0)
    return int((_rank(validate.block_size(block_size), selection) <= n).sum())


def approximate(coefficients: ArrayLike, n_freqs: int, selection: str = "triangle") -> FloatArray:
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
        One of asm_core.validate.SELECTIONS.

    Returns
    -------
    (..., N, N) float64 samples [i, j], in the unit of the coefficients.

    Raises
    ------
    ValueError
        For a wrong shape, an odd N, a coefficient that is not finite, a negative frequency or an
        unknown selection.
    """
    values = validate.blocks("coefficients", coefficients)
    size = values.shape[-1]
    kept = coefficients_kept(size, n_freqs, selection)
    return inverse_of(values, coefficient_order(size, selection)[:kept])
