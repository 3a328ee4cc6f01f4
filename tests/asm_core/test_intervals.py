"""Intervals of a mean: by formulas of the references, at the edges, and by how often they hold."""

import mpmath
import numpy as np
import pytest
import scipy.stats
from helpers.oracles import interval_by_hall

import asm_core
from asm_core.intervals import mean_interval, reach, student_quantile
from asm_core.sources import autoregressive


def interval_of(values, least=-np.inf):
    """By moments that NumPy has summed up."""
    values = np.asarray(values, np.float64)
    mean = values.mean(axis=-1)
    from_mean = values - mean[..., None]
    m2, m3 = (from_mean**2).sum(axis=-1), (from_mean**3).sum(axis=-1)
    return mean_interval(np.full(mean.shape, float(values.shape[-1])), mean, m2, m3, least)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("count", [4, 8, 37, 500])
def test_the_ends_are_those_of_hall_s_transformation(count, sign):
    values = sign * np.random.default_rng(count).exponential(size=count)
    np.testing.assert_allclose(interval_of(values), interval_by_hall(values), rtol=1e-9)


def test_values_that_are_not_skewed_have_student_s_interval():
    half = np.random.default_rng(0).normal(size=20)
    values = 3 + np.concatenate([half, -half])
    expected = scipy.stats.t.interval(0.95, 39, values.mean(), scipy.stats.sem(values))
    np.testing.assert_allclose(interval_of(values), expected, rtol=1e-12)
    count, mean, m2 = (np.array(x) for x in (39.0, 3.0, 5.0))
    exact = mean_interval(count, mean, m2, np.array(0.0))
    for m3 in (1e-300, 1e-14, -1e-14):
        np.testing.assert_allclose(mean_interval(count, mean, m2, np.array(m3)), exact, rtol=1e-12)


def test_an_interval_moves_and_grows_with_its_values_and_is_mirrored_with_them():
    values = np.random.default_rng(1).exponential(size=50)
    low, high = interval_of(values)
    np.testing.assert_allclose(interval_of(5 + 3 * values), (5 + 3 * low, 5 + 3 * high), rtol=1e-12)
    np.testing.assert_allclose(interval_of(-values), (-high, -low), rtol=1e-12)


@pytest.mark.parametrize("count", range(2, 31))
def test_few_values_have_a_side_of_at_most_two_and_a_half_of_student_s(count):
    # One value that is not 0 is the largest skewness that there can be.
    values = np.zeros(count)
    values[0] = 1
    low, high = interval_of(values)
    half = scipy.stats.t.ppf(0.975, count - 1) * scipy.stats.sem(values)
    assert low < values.mean() < high
    assert 0.99 * half < reach(values.mean(), low, high) < 2.5 * half
    assert interval_of(values, least=0.0) == (max(low, 0), high)


def test_equal_values_have_an_interval_of_no_width_and_one_value_has_none():
    for value in (0.0, 0.1, -7.0):
        count, mean, nothing = np.array(12.0), np.array(value), np.array(0.0)
        assert mean_interval(count, mean, nothing, nothing) == (value, value)
        # What the rounding of equal values may leave.
        low, high = mean_interval(count, mean, np.array(1e-33), np.array(1e-40))
        assert value - 1e-15 < low <= high < value + 1e-15
    for count in (0.0, 1.0):
        alone = mean_interval(np.array(count), np.array(3.0), np.array(0.0), np.array(0.0), 0.0)
        assert np.isnan(alone).all()


def test_errors_that_are_mostly_0_have_an_interval_that_holds_where_student_s_does_not():
    # ReLU of autoregressive blocks at n = 13: 19 of 20 errors are 0, and skewness is 9.
    trials, samples = 200, 3000
    blocks = autoregressive(5, 8, 0, trials * samples, rho=0.95, mean=0.0, std=1.0)
    errors = asm_core.errors_by_frequency(blocks, [13], operation="relu")[0]
    truth, errors = errors.mean(), errors.reshape(samples, trials)
    low, high = interval_of(errors, least=0.0)
    held = np.mean((low <= truth) & (truth <= high))
    # A share of 0.95 varies by 0.004.
    assert 0.935 < held < 0.97
    assert low.min() >= 0
    half = scipy.stats.t.ppf(0.975, trials - 1) * scipy.stats.sem(errors, axis=1)
    assert np.mean(abs(errors.mean(axis=1) - truth) <= half) < 0.9


def test_the_quantile_of_student_s_t_is_that_of_its_integral():
    freedom = np.array([1.0, 1.5, 7.0, 899.0, 900.0, 999.0, 12345.6, 1e6, 1e12])
    with mpmath.workdps(40):
        for nu, quantile in zip(freedom, student_quantile(freedom), strict=True):
            tail = nu / (nu + mpmath.mpf(quantile) ** 2)
            beyond = mpmath.betainc(nu / 2, mpmath.mpf("0.5"), 0, tail, regularized=True) / 2
            # The density at the quantile, by which a difference of probabilities is one of t.
            density = (1 + mpmath.mpf(quantile) ** 2 / nu) ** (-(nu + 1) / 2) / (
                mpmath.sqrt(nu) * mpmath.beta(nu / 2, mpmath.mpf("0.5"))
            )
            assert abs(beyond - mpmath.mpf("0.025")) / density < 3e-15 * quantile
    assert np.isnan(student_quantile(np.array([np.nan, 3.0]))).tolist() == [True, False]
