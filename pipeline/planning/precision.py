"""The rule that ends a sweep to a precision: how many trials make the interval narrow enough.

A cell is measured in rounds.  After each, every point of its curves has a 95 % interval; h is how
far it reaches from the mean, to the farther of its ends, which for errors is nearly always the
upper.  The cell is done when the largest h is at most the precision: mean +- precision then holds
every interval.  If it is not, the next round ends at the number of trials that h predicts,
T (h / precision)^2, and 5 % more, so that usually one more round is enough; but at most at 10 T,
because an h of few trials predicts badly.

Stopping when the interval looks narrow favours samples whose variance came out small.  This has two
effects; both shrink as trials grow, which is why a cell has at least MIN_TRIALS:

- The mean at the stop is biased by -g s / T, where s is the standard deviation of a trial and g its
  skewness: by Wald's identity E[T (mean - mu)] = 0, so the bias is -Cov(T, mean) / E[T]; T is
  proportional to the sample's variance, whose covariance with the mean is g s^3 / T.  Against
  h = 1.96 s / sqrt(T) that is g / (1.96 sqrt(T)): with 10,000 trials 0.5 % of h for each unit of
  skewness.  Of drawn 8 x 8 blocks g is at most 9 with 2 x 2 windows and with ReLU (autoregressive
  blocks at n = 13: 4.6 % of h), and 17 with 4 x 4 windows (upsampled ones at n = 13: 9 %).
- The interval covers the mean a little less often than 95 %, since the variance that ends the rule
  is uncertain by sqrt((k - 1) / T) of itself, k being the kurtosis: 10 % for the k = 106 of those
  autoregressive blocks.

A kind of block that is rarer than 3 in MIN_TRIALS may not have been seen at all (its chance to stay
unseen is 5 %), and no rule based on the sample can detect that.  The ReLU of blocks that are hardly
ever negative is such a case: of `uniform` blocks on [0, 1) at n = 2, 3 errors in 100,000 are not 0,
and g is 390.

References
----------
Chow and Robbins, *On the asymptotic theory of fixed-width sequential confidence intervals for the
mean*, Ann. Math. Statist. 36 (1965); Wald, *Sequential Analysis* (1947), appendix A.
"""

import math

import numpy as np

from asm_core.intervals import interval_of, reach
from asm_core.moments import MOMENTS, Array

MIN_TRIALS = 10_000
_MARGIN = 1.05
_MOST_GROWTH = 10
# How many times too wide an interval counts at most: its square, of a precision of 1e-200, would
# be too large for a float.
_WIDEST = 1e9
_MEAN = MOMENTS.index("mean")


def trials_for(width: float, count: int, precision: float) -> int:
    """How many trials are expected to bring an interval down to a precision.

    Parameters
    ----------
    width
        How far it reaches from the mean now, after `count` trials; in the unit of the samples, as
        `precision`.

    Returns
    -------
    int
        Rounded up to three digits, and at most some 10^18 times `count`.
    """
    foretold = math.ceil(count * min(width / precision, _WIDEST) ** 2 * _MARGIN)
    step: int = 10 ** max(0, len(str(foretold)) - 3)
    return -(-foretold // step) * step


def next_trials(
    totals: Array, precision: float, trials: int, cap: int, sums: Array | None = None
) -> int:
    """How many trials a cell should have after the next round.

    Parameters
    ----------
    totals
        (points, len(MOMENTS)), the moments of each point of its curves.
    precision
        How far an interval may reach from its mean, in the unit of the samples.
    trials
        How many trials it has now.
    cap
        The most trials that it may have.
    sums
        (points, batches, sums), as `interval_of` has them, of a source of neighbouring tiles.

    Returns
    -------
    int
        `trials` itself where every point has reached the precision, or the cap is reached.
    """
    _, low, high = interval_of(totals, sums, least=0.0)
    reached = reach(totals[:, _MEAN], low, high)
    # Fewer than two trials have no interval, so they have not reached the precision.
    widest = np.inf if np.isnan(reached).any() else float(reached.max())
    if widest <= precision or trials >= cap:
        return trials
    if not np.isfinite(widest):
        return min(cap, max(MIN_TRIALS, trials))
    foretold = trials_for(widest, trials, precision)
    return min(cap, max(trials + 1, min(foretold, _MOST_GROWTH * trials)))
