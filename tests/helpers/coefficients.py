"""DCT coefficients at random, the transforms of SciPy, and what is equal to rounding."""

import numpy as np
import scipy.fft


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)


def transform(samples):
    return scipy.fft.dctn(samples, axes=(-2, -1), norm="ortho")


def inverse(coefficients):
    return scipy.fft.idctn(coefficients, axes=(-2, -1), norm="ortho")


def random_case(size, *lead):
    """Coefficients of any sign, and a mask of any weights."""
    random = np.random.default_rng(size)
    shape = (*lead, size, size)
    return random.normal(size=shape), random.normal(size=shape)
