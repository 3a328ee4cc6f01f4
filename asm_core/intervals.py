"""Intervals of a mean, from the moments of a sample, or from its sums by batch of neighbours."""

import numpy as np
from numpy.polynomial.polynomial import polyval
from numpy.typing import NDArray

from asm_core.lanes import rounding_of_product
from asm_core.moments import MOMENTS, Array

CONFIDENCE = 0.95
# That of (1 + CONFIDENCE) / 2.
_NORMAL_QUANTILE = 1.959963984540054
# Degrees of freedom from which on Student's quantile is expanded about the normal one.
_MANY = 900.0
# How near to the point where Hall's transformation is flat it is inverted: see `mean_interval`.
_NEAREST = 0.99

_MOMENTS_OF_INTERVAL = [MOMENTS.index(name) for name in ("count", "mean", "M2", "M3")]
_ENDS = [MOMENTS.index(name) for name in ("min", "max")]
# The largest correlation of neighbouring batches that is made up for: beyond it a few batches say
# nothing.
_LARGEST_CORRELATION = 0.8
# Student's t of fewer degrees of freedom is several times wider and does not cover more.
_FEWEST_FREEDOM = 1.5
# A mean is rounded, and so batches that are alike to the last bit have residuals too.
_ROUNDING = 2.0**-50


def mean_interval(
    count: Array,
    mean: Array,
    m2: Array,
    m3: Array,
    least: float | Array = -np.inf,
    confidence: float = CONFIDENCE,
) -> tuple[Array, Array]:
    """The 95 % interval of a mean: Student's t with Hall's transformation, for skewed values.

    Where skewness is 0 it is Student's interval, mean +- q s / sqrt(n).  With skewness g, and
    a = g / sqrt(n), T = sqrt(n) (mean - mu) / s is itself skewed, and Hall's cubic of it is not:

        h(T) = T + a T^2 / 3 + a^2 T^3 / 27 + a / 6 = ((1 + a T / 3)^3 - 1) / a + a / 6.

    So the interval is mean - s / sqrt(n) h^-1(+-q), with q of Student's t for n - 1 degrees of
    freedom (the normal quantile that Hall has is too small for few values), and with
    g = sqrt(n) M3 / M2^1.5, the skewness of the sample as it is (made unbiased, nothing changes by
    more than 0.1 %).

    h is flat at T = -3 / a, and its inverse steep there: while a goes from 0.46 to 0.5, the upper
    end goes from 4 to 8 standard errors.  Therefore a is held where 1 % is missing to that point,
    a (q + a / 6) = 0.99, so that no side of an interval is more than 2.5 times Student's.

    Measured for every drawn source, max pooling and ReLU, ASM and APX, 8 x 8, n = 6 and 13: at 200
    trials 94.9 to 96.0 % of the intervals hold the mean, where Student's are 87.3 to 95.2 % and
    Hall's with no bound on a up to 97.1 %; at 1,000 trials 94.6 to 95.4 %, where Student's are 93.2
    to 95.3 (results/COVERAGE.md).  They hold up to a = 0.65, skewness 9 at 200 trials.  Beyond that
    samples often have none of the rare values that make the mean, and no function of their moments
    can know: 90 % at skewness 10 to 15.

    Parameters
    ----------
    count, mean, m2, m3
        Number of values, their mean, and the sums of their squared and cubed deviations from it.
    least
        The smallest value that there can be, as 0 of errors: the mean is not less either.
    confidence
        How often it is to hold the mean, 0 .. 1.

    Returns
    -------
    tuple
        Low and high ends; both are the mean where all values are equal, and NaN for fewer than two.

    References
    ----------
    Hall, *On the removal of skewness by transformation*, J. R. Statist. Soc. B 54 (1992).
    """
    freedom = np.where(count < 2, np.nan, count - 1.0)
    error = np.sqrt(m2 / freedom / count)
    quantile = student_quantile(freedom, confidence)
    most = 3.0 * (np.sqrt(quantile**2 + 2.0 * _NEAREST / 3.0) - quantile)
    cube = m2**1.5
    a = np.clip(np.divide(m3, cube, out=np.zeros_like(cube), where=cube > 0.0), -most, most)
    low = mean - error * _inverse(a, quantile)
    return np.maximum(low, least), mean - error * _inverse(a, -quantile)


def student_quantile(freedom: Array, confidence: float = CONFIDENCE) -> Array:
    """How far from 0 Student's t lies at most, in a share `confidence` of all cases.

    Of 900 degrees and more by the expansion of Cornish and Fisher about the normal quantile x, to
    1e-15 of it: scipy takes 0.1 s to import, a tenth of a small sweep.

    References
    ----------
    Abramowitz and Stegun, *Handbook of Mathematical Functions* (1964), 26.7.5.
    """
    x = _NORMAL_QUANTILE
    if confidence != CONFIDENCE:
        from scipy.special import ndtri

        x = float(ndtri(0.5 + confidence / 2))
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    quantile: Array = np.asarray(polyval(1 / freedom, (x, *terms)), np.float64)
    few = freedom < _MANY
    if few.any():
        # Here, because of the time that it takes.
        from scipy.special import stdtrit

        quantile = np.where(few, stdtrit(freedom, 0.5 + confidence / 2), quantile)
    return quantile


def reach(mean: Array, low: Array, high: Array) -> Array:
    """How far an interval reaches from its mean, to the farther end: h of mean +- h."""
    farther: Array = np.maximum(mean - low, high - mean)
    return farther


def _inverse(a: Array, x: Array) -> Array:
    """T of which Hall's h(T) is x."""
    moved = x - a / 6.0
    root = np.cbrt(1.0 + a * moved)
    # (3 / a) (root - 1), without a division by a, which may be 0: root^3 - 1 = a moved.
    inverse: Array = 3.0 * moved / (1.0 + root + root * root)
    return inverse


def interval_of(
    moments: Array,
    sums: Array | None = None,
    least: float | Array = -np.inf,
    confidence: float = CONFIDENCE,
) -> tuple[Array, Array, Array]:
    """Standard error and 95 % interval of a mean, by batches where values have any.

    With B batches of T_b values, of which the mean is m, and m_b without batch b, the variance is
    the jackknife's, (B - 1) / B sum (m - m_b)^2.  For equal batches it is that of their means.  A
    batch with nearly all values has them near m; what it says is how far the others are from it.
    Student's t has the degrees of freedom of such a sum, were values independent (Satterthwaite):
    with o_b = T_b / (sum T - T_b), (sum o)^2 / (sum o^2 + (sum o^2)^2 - sum o^4).  That is B - 1
    for equal batches, and near 1 where one dominates: the interval is then very wide.

    Batches next to each other are still a little alike.  With d_b = m - m_b, their correlation
    p = sum d_b d_{b+1} / sum d_b^2, which is (1 + 3 p) / B too small on average (Kendall) and is
    not taken to be below 0, leaves (1 - p) / (1 + p) as many independent ones (Bartlett).  The
    variance is larger, and the degrees of freedom are fewer, accordingly.

    Batches that are alike to the last bit, though values within them vary, are copies of one: they
    say nothing of another, and there is no interval.

    How often they hold the mean of images, where it is known: `benchmarks/coverage_images.py`.

    Parameters
    ----------
    moments
        (..., len(MOMENTS)).
    sums
        (..., MOST_BATCHES, len(SUMS)); where it has no value, values are independent, and the
        interval is that of `mean_interval`.  None: nowhere.
    least, confidence
        As in `mean_interval`.

    Returns
    -------
    tuple
        Standard error, low and high end; NaN for fewer than two values, fewer than two batches, and
        batches that are copies of one.

    References
    ----------
    Miller, *The jackknife: a review*, Biometrika 61 (1974); Satterthwaite, Biometrics Bull. 2
    (1946), and Bell and McCaffrey, Survey Methodology 28 (2002), for the degrees of freedom;
    Bartlett, J. R. Statist. Soc. 98 (1935), for correlated neighbours; Kendall, Biometrika 41
    (1954), for the bias.
    """
    count, mean, m2, m3 = np.moveaxis(moments[..., _MOMENTS_OF_INTERVAL], -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.sqrt(m2 / np.where(count < 2, np.nan, count - 1)) / np.sqrt(count)
        low, high = mean_interval(count, mean, m2, m3, least, confidence)
    if sums is None:
        return error, low, high
    smallest, largest = np.moveaxis(moments[..., _ENDS], -1, 0)
    error_of_batches, half = _of_batches(mean, sums, smallest == largest, confidence)
    batched = (sums[..., 0] > 0).any(axis=-1)
    return (
        np.where(batched, error_of_batches, error),
        np.where(batched, np.maximum(mean - half, least), low),
        np.where(batched, mean + half, high),
    )


def _of_batches(
    mean: Array, sums: Array, equal: NDArray[np.bool_], confidence: float
) -> tuple[Array, Array]:
    """Standard error and half the width of the interval; `equal` is where all values are."""
    # Those with a value first, so that each is beside the next that has one.
    order = np.argsort(sums[..., 0] == 0, axis=-1, kind="stable")
    counts, sum_, sum_low = np.moveaxis(np.take_along_axis(sums, order[..., None], -2), -1, 0)
    mean = np.where(counts > 0, mean[..., None], 0.0)
    # Exact where values are equal, whose residuals are then 0.
    residuals = (sum_ - mean * counts) + (sum_low - rounding_of_product(mean, counts))
    batches = np.count_nonzero(counts, axis=-1).astype(np.float64)
    total = _over_batches(counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        # How far the mean goes without each batch: the less the others have, the farther.
        moved = np.where(counts > 0, residuals / (total[..., None] - counts), 0.0)
        squares = _over_batches(moved**2)
        neighbours = _over_batches(moved[..., 1:] * moved[..., :-1])
        correlation = np.where(squares > 0, neighbours / squares, 0.0)
        correlation += (1 + 3 * correlation) / batches
        correlation = np.clip(correlation, 0.0, _LARGEST_CORRELATION)
        more = (1 + correlation) / (1 - correlation)
        most = _freedom(counts / (total[..., None] - counts))
        freedom = np.maximum((most + 1) / more - 1, np.minimum(_FEWEST_FREEDOM, most))
        error = np.sqrt((batches - 1) / batches * squares * more)
    said = (batches >= 2) & (_are_unlike(residuals, sum_) | equal)
    error = np.where(said, error, np.nan)
    return error, student_quantile(freedom, confidence) * error


def _freedom(odds: Array) -> Array:
    """Degrees of freedom of the jackknife's variance, of batches' shares over those of the others.

    Those of the chi-square of the same mean and variance (Satterthwaite), for values that are
    independent: one batch less for equal ones, and 1 where one has nearly all values.
    """
    squares = _over_batches(odds**2)
    freedom: Array = _over_batches(odds) ** 2 / (squares + squares**2 - _over_batches(odds**4))
    return freedom


def _are_unlike(residuals: Array, sum_: Array) -> NDArray[np.bool_]:
    """Whether the mean of a batch differs from that of all by more than the rounding of that."""
    unlike: NDArray[np.bool_] = np.any(np.abs(residuals) > _ROUNDING * np.abs(sum_), axis=-1)
    return unlike


def _over_batches(values: Array) -> Array:
    """The sum over the last axis in its order; NumPy's depends on how an array lies in memory."""
    total = np.zeros(values.shape[:-1])
    for each in np.moveaxis(values, -1, 0):
        total = total + each
    return total
