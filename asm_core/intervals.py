"""Intervals of a mean, from the moments of a sample."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

CONFIDENCE = 0.95


def half_width(count: NDArray[np.float64], m2: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half the width of the mean's 95 % interval (Student's t); NaN for fewer than two values.

    Parameters
    ----------
    count, m2
        Number of values and sum of their squared deviations, arrays alike.
    """
    freedom = np.where(count < 2, np.nan, count - 1.0)
    width: NDArray[np.float64] = stdtrit(freedom, 0.5 + CONFIDENCE / 2) * np.sqrt(
        m2 / freedom / count
    )
    return width
