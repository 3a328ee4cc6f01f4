"""Quantiles of the normal distribution against mpmath and SciPy."""

import mpmath
import numpy as np
import pytest
from scipy.special import ndtri

from asm_core.normal import normal_quantiles

# Words are the middles of 2^52 equal parts of (0, 1).
STEP = 2.0**-52
# Units in the last place.  The most that 56,000 words showed is 5.4, near 1/2.
TOLERANCE = 6


def middles(places):
    return (np.floor(np.asarray(places) / STEP) + 0.5) * STEP


RANDOM = np.random.default_rng(7)
SIDES = RANDOM.choice([-1, 1], 1000)
WORDS = {
    "everywhere": middles(RANDOM.random(3000)),
    "near the middle": middles(0.5 + SIDES * 2.0 ** -RANDOM.uniform(2, 52, 1000)),
    "next to the middle": 0.5 + np.arange(-49.5, 50) * STEP,
    "where the centre ends": middles(0.075) + np.arange(-500, 500) * STEP,
    "in the tail": middles(2.0 ** -RANDOM.uniform(3, 52, 2000)),
    "where the far tail begins": middles(np.exp(-25) * (1 + RANDOM.uniform(-1e-3, 1e-3, 500))),
    "the outermost": (np.arange(500) + 0.5) * STEP,
}


def exact(p):
    """The quantile of one word, from where its distribution function crosses it."""
    p = mpmath.mpf(float(p))
    z = mpmath.mpf(float(ndtri(float(p))))
    for _ in range(2):
        # Newton; the mirrored function above 0, where 1 - ncdf would lose its digits.
        below = mpmath.ncdf(z) - p if z < 0 else (1 - p) - mpmath.ncdf(-z)
        z -= below / mpmath.npdf(z)
    return z


@pytest.mark.parametrize("where", WORDS)
def test_quantiles_are_those_of_mpmath_to_a_few_units_in_the_last_place(where):
    words = WORDS[where]
    with mpmath.workprec(140):
        for word, found in zip(words, normal_quantiles(words), strict=True):
            off = abs(mpmath.mpf(float(found)) - exact(word)) / float(np.spacing(abs(found)))
            assert off < TOLERANCE, word


def test_a_million_quantiles_are_those_of_scipy_to_a_few_units_in_the_last_place():
    words = middles(np.random.default_rng(0).random(10**6))
    expected = ndtri(words)
    off = abs(normal_quantiles(words) - expected) / np.spacing(abs(expected))
    # SciPy itself is off by up to 3 of them.
    assert off.max() < TOLERANCE + 3


@pytest.mark.parametrize("where", WORDS)
def test_opposite_words_have_exactly_opposite_quantiles(where):
    words = WORDS[where]
    assert np.array_equal(normal_quantiles(1.0 - words), -normal_quantiles(words))


def test_quantiles_rise_with_their_words():
    words = np.sort(middles(np.random.default_rng(1).random(10**6)))
    assert (np.diff(words) > 0).all()
    assert (np.diff(normal_quantiles(words)) > 0).all()
    for ends in (WORDS["the outermost"], np.array([0.075 - 1e-12, 0.075, 0.075 + 1e-12])):
        assert (np.diff(normal_quantiles(ends)) > 0).all()


def test_known_percentage_points():
    # The published check values of AS 241.
    found = normal_quantiles(np.array([[0.25, 0.001], [1e-20, 0.5]]))
    expected = [[-0.6744897501960817, -3.090232306167814], [-9.262340089798408, 0.0]]
    np.testing.assert_allclose(found, expected, rtol=2e-15)
    assert found.shape == (2, 2)


def test_the_probabilities_are_left_as_they_are_in_any_layout():
    words = WORDS["everywhere"][:60].reshape(5, 12)
    before = words.copy()
    expected = [[normal_quantiles(np.array([word]))[0] for word in row] for row in words]
    assert np.array_equal(normal_quantiles(words.T), np.transpose(expected))
    assert np.array_equal(words, before)
