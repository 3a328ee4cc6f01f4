"""Sources: trial t is the same block however it is drawn, with the moments of theory."""

import numpy as np
import pytest

from asm_core.sources import uniform


@pytest.mark.parametrize("size", [2, 8, 12, 64])
def test_a_block_is_the_same_in_every_batch(size):
    whole = uniform(7, size, 0, 50)
    assert whole.shape == (50, size, size)
    for first, count in [(0, 1), (49, 1), (13, 20), (50, 0)]:
        assert np.array_equal(uniform(7, size, first, count), whole[first : first + count])


def test_far_trials_are_reached_at_once():
    far = 10**15
    assert np.array_equal(uniform(0, 8, far, 3)[1:], uniform(0, 8, far + 1, 2))


def test_the_stream_is_the_documented_one():
    # Of numpy alone: one word a sample, the stream keyed by kind and block size.
    stream = np.random.SeedSequence(5, spawn_key=(*b"uniform", 8))
    expected = np.random.Generator(np.random.PCG64DXSM(stream)).random((3, 8, 8))
    assert np.array_equal(uniform(5, 8, 0, 3), expected)


def test_seeds_and_block_sizes_have_streams_of_their_own():
    base = uniform(0, 8, 0, 4).ravel()
    assert not np.isin(uniform(1, 8, 0, 4).ravel(), base).any()
    assert not np.isin(uniform(0, 16, 0, 1).ravel(), base).any()


def test_parameters_change_the_scale_and_not_the_stream():
    unit = uniform(3, 8, 10, 5)
    assert np.array_equal(uniform(3, 8, 10, 5, low=-1, high=1), 2 * unit - 1)


def test_moments_and_covariance_are_those_of_theory():
    count = 10**6
    blocks = uniform(11, 2, 0, count, low=-1.0, high=3.0).reshape(count, 4)
    assert blocks.min() >= -1
    assert blocks.max() < 3
    # Mean 1, variance 4/3; standard errors sqrt(v/n) and v sqrt(0.8/n), 5 of each.
    np.testing.assert_allclose(blocks.mean(axis=0), 1, atol=5 * (4 / 3 / count) ** 0.5)
    covariance = np.cov(blocks, rowvar=False)
    np.testing.assert_allclose(covariance, 4 / 3 * np.eye(4), atol=5 * 4 / 3 / count**0.5)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"low": 1.0, "high": 1.0}, "low must be less than high"),
        ({"low": 2.0, "high": 1.0}, "got 2.0, 1.0"),
        ({"low": float("nan")}, "low must be finite"),
        ({"high": float("inf")}, "high must be finite"),
        ({"high": 1e31}, "within"),
        ({"low": 0.0, "high": 1e-31}, "1e-30 or more"),
    ],
)
def test_a_range_that_cannot_be_measured_is_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        uniform(0, 8, 0, 1, **parameters)


@pytest.mark.parametrize("arguments", [(-1, 8, 0, 1), (0, 7, 0, 1), (0, 8, -1, 1), (0, 8, 0, -1)])
def test_what_is_not_a_range_of_trials_is_refused(arguments):
    with pytest.raises(ValueError, match="must be"):
        uniform(*arguments)
