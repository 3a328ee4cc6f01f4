"""Quantiles of the normal distribution, to the same bits on every machine.

Only additions, products, quotients and square roots, which IEEE 754 rounds correctly: the logarithm
of a libm, and hence `scipy.special.ndtri`, differs in its last bit between processors.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from asm_core.compiled import compiled

# Numerators and denominators of Algorithm AS 241 (PPND16), by ascending powers: of q^2 where
# |p - 1/2| = |q| <= 0.425, and of the square root of -log(p) in the tail and far out in it.
_CENTRE = (
    (3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
     1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
     3.3430575583588128105e4, 2.5090809287301226727e3),
    (1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
     2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4,
     5.2264952788528545610e3),
)  # fmt: skip
_TAIL = (
    (1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
     3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
     2.27238449892691845833e-2, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
     1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
     1.05075007164441684324e-9),
)  # fmt: skip
_FAR = (
    (6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
     2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
     2.71155556874348757815e-5, 2.01033439929228813265e-7),
    (1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
     7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
     2.04426310338993978564e-15),
)  # fmt: skip

_LOG_2 = 0.6931471805599453
# Of artanh(s) = s + s^3/3 + s^5/5 + .., as far as s^2 <= (3 - 2 sqrt(2))^2 needs.
_ARTANH = tuple(1.0 / k for k in range(1, 23, 2))


def normal_quantiles(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """The numbers below which a standard normal variable lies with these probabilities.

    Parameters
    ----------
    probabilities
        Any shape, float64, each above 0 and below 1: not checked.

    Returns
    -------
    float64 of the same shape, dimensionless, within 6 units in the last place.  Where 1 - p is
    exact, its quantile is exactly the opposite of that of p.

    References
    ----------
    Wichura, *Algorithm AS 241: The Percentage Points of the Normal Distribution*, Applied
    Statistics 37 (1988).
    """
    quantiles = np.empty(probabilities.shape)
    _fill(np.ascontiguousarray(probabilities).reshape(-1), quantiles.reshape(-1))
    return quantiles


@compiled
def _fill(p, out):
    for i in range(p.size):
        q = p[i] - 0.5
        if abs(q) <= 0.425:
            out[i] = q * _ratio(_CENTRE, 0.180625 - q * q)
        else:
            r = math.sqrt(-_log(min(p[i], 1.0 - p[i])))
            size = _ratio(_TAIL, r - 1.6) if r <= 5.0 else _ratio(_FAR, r - 5.0)
            out[i] = math.copysign(size, q)


@njit(nogil=True, forceinline=True)
def _ratio(coefficients, x):
    above, below = coefficients
    # Side by side, since either waits for its own last product: 40 % less time than in turn.
    a, b = above[-1], below[-1]
    for k in range(len(above) - 2, -1, -1):
        a = a * x + above[k]
        b = b * x + below[k]
    return a / b


@njit(nogil=True, forceinline=True)
def _log(x):
    """log(x) of x below 1/2, by log(m) = 2 artanh((m - 1) / (m + 1)) of its mantissa."""
    # Exact in every libm: no more than a look at the exponent.
    m, exponent = math.frexp(x)
    if m < 0.7071067811865476:
        m, exponent = 2.0 * m, exponent - 1
    s = (m - 1.0) / (m + 1.0)
    series = _ARTANH[-1]
    for k in range(len(_ARTANH) - 2, -1, -1):
        series = series * (s * s) + _ARTANH[k]
    return exponent * _LOG_2 + 2.0 * s * series
