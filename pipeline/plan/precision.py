"""How many trials make the interval of a mean narrow enough: the rule that ends a sweep.

A cell is measured in rounds.  After each, every point of its curves has a 95 % interval, mean +- h;
the cell is done when the largest h is at most the precision.  If it is not, the next round ends at
the number of trials that h foretells, T (h / precision)^2, and 5 % more, so that mostly one more
round is enough; but at ten times T at most, because an h of few trials foretells badly.

Stopping when the interval looks narrow favours samples whose variance came out small.  Two things
follow, and both fall with the number of trials, of which there are hence at least MIN_TRIALS:

- The mean at the stop is biased by -g s / T, where s is the standard deviation of a trial and g its
  skewness: by Wald's identity E[T (mean - mu)] = 0, so the bias is -Cov(T, mean) / E[T]; T is
  proportional to the sample's variance, whose covariance with the mean is g s^3 / T.  Against
  h = 1.96 s / sqrt(T) that is g / (1.96 sqrt(T)): with 10,000 trials 0.5 % of the half-width for
  each unit of skewness (errors here have |g| < 5).
- The interval covers the mean a little less often than 95 %, since the variance that ends the rule
  is uncertain by sqrt((k - 1) / T) of itself, k being the kurtosis: 4 % for k = 17.

A kind of block that is rarer than 3 in MIN_TRIALS may not have been seen at all (its chance to stay
unseen is 5 %), and no rule that looks at the sample can tell.

References
----------
Chow and Robbins, *On the asymptotic theory of fixed-width sequential confidence intervals for the
mean*, Ann. Math. Statist. 36 (1965); Wald, *Sequential Analysis* (1947), appendix A.
"""

import math

import numpy as np
from scipy.special import stdtrit

from asm_core.moments import MOMENTS, Array

CONFIDENCE = 0.95
MIN_TRIALS = 10_000
_MARGIN = 1.05
_MOST_GROWTH = 10
_COUNT, _M2 = MOMENTS.index("count"), MOMENTS.index("M2")


def half_width(count: Array, m2: Array) -> Array:
    """Half the width of the mean's 95 % interval (Student's t); NaN for fewer than two trials.

    Parameters
    ----------
    count, m2
        Number of values and sum of their squared deviations, arrays alike.
    """
    freedom = np.where(count < 2, np.nan, count - 1.0)
    width: Array = stdtrit(freedom, 0.5 + CONFIDENCE / 2) * np.sqrt(m2 / freedom / count)
    return width


def trials_for(width: float, count: int, precision: float) -> int:
    """The trials at which a half-width of `count` trials is foretold to reach a precision.

    Rounded up to three digits.
    """
    foretold = math.ceil(count * (width / precision) ** 2 * _MARGIN)
    step: int = 10 ** max(0, len(str(foretold)) - 3)
    return -(-foretold // step) * step


def next_trials(totals: Array, precision: float, trials: int, cap: int) -> int:
    """How many trials a cell should have, after a round in which it had `trials`.

    Parameters
    ----------
    totals
        (points, len(MOMENTS)), of its curves.
    cap
        The most it may have.

    Returns
    -------
    int
        The same number where every point has reached the precision, or the cap is reached.
    """
    widths = half_width(totals[:, _COUNT], totals[:, _M2])
    # Fewer than two trials have no interval, and reach nothing.
    widest = np.inf if np.isnan(widths).any() else float(widths.max())
    if widest <= precision or trials >= cap:
        return trials
    if not np.isfinite(widest):
        return min(cap, max(MIN_TRIALS, trials))
    foretold = trials_for(widest, trials, precision)
    return min(cap, max(trials + 1, min(foretold, _MOST_GROWTH * trials)))
