"""Sources: trial t is the same block however it is drawn, with the moments of theory."""

from functools import partial
from statistics import NormalDist

import numpy as np
import pytest
from scipy.special import ndtr

import asm_core
from asm_core import sources
from asm_core.sources import autoregressive, gaussian, uniform, upsampled

DRAWN = {
    "uniform": uniform,
    "gaussian": gaussian,
    "upsampled": upsampled,
    "shifted": partial(upsampled, shift=1),
    "autoregressive": partial(autoregressive, rho=0.8, mean=2.0, std=3.0),
}


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("size", [4, 8, 12, 64])
def test_a_block_is_the_same_in_every_batch(size, name):
    draw = DRAWN[name]
    whole = draw(7, size, 0, 50)
    assert whole.shape == (50, size, size)
    assert whole.flags.c_contiguous
    for first, count in [(0, 1), (49, 1), (13, 20), (50, 0)]:
        assert np.array_equal(draw(7, size, first, count), whole[first : first + count])


@pytest.mark.parametrize("name", DRAWN)
def test_every_source_is_addressable_far_away(name):
    far = 10**15
    assert np.array_equal(DRAWN[name](0, 8, far, 3)[1:], DRAWN[name](0, 8, far + 1, 2))


def test_no_two_kinds_draw_the_same_words():
    drawn = [uniform(0, 8, 0, 9), (upsampled(0, 8, 0, 9) + 1) / 2,
             ndtr(gaussian(0, 8, 0, 9)), ndtr(autoregressive(0, 8, 0, 9))]  # fmt: skip
    first = [np.unique(blocks.round(9)) for blocks in drawn]
    for k, words in enumerate(first):
        for other in first[k + 1 :]:
            assert not np.isin(words, other).any()


def test_normal_samples_are_the_inverse_distribution_function_of_one_word_each():
    stream = np.random.SeedSequence(5, spawn_key=(*b"gaussian", 8))
    words = np.random.PCG64DXSM(stream).random_raw(3 * 64).reshape(3, 8, 8)
    # The upper 52 bits, and the middle of the step that they stand for.
    middles = [(int(word) >> 12, 1) for word in words.ravel()]
    expected = [NormalDist().inv_cdf((2 * k + one) / 2**53) for k, one in middles]
    np.testing.assert_allclose(gaussian(5, 8, 0, 3).ravel(), expected, rtol=2e-15)


def test_the_outermost_words_are_finite_and_mirror_each_other(monkeypatch):
    ends = np.array([[0.0, 1.0 - 2.0**-53], [0.5, 0.5 - 2.0**-53]])
    monkeypatch.setattr(sources, "unit_words", lambda *arguments: ends.copy()[None])
    (low, high), (right, left) = gaussian(0, 2, 0, 1)[0]
    assert np.isfinite([low, high]).all()
    assert low == -high
    assert right == -left > 0


def test_autoregressive_blocks_follow_the_recursion():
    # By nested loops, from the normal numbers that independent blocks would have.
    normal = sources._normal_words(4, "autoregressive", 8, 2, 1)[0]
    rho = 0.7
    expected = normal.copy()
    for i in range(8):
        for j in range(8):
            if i:
                expected[i, j] = rho * expected[i - 1, j] + (1 - rho**2) ** 0.5 * normal[i, j]
    across = expected.copy()
    for i in range(8):
        for j in range(1, 8):
            across[i, j] = rho * across[i, j - 1] + (1 - rho**2) ** 0.5 * expected[i, j]
    drawn = autoregressive(4, 8, 2, 1, rho=rho, mean=1.0, std=2.0)[0]
    np.testing.assert_allclose(drawn, 1 + 2 * across, atol=1e-13)


@pytest.mark.parametrize("shift", [0, 1])
def test_upsampled_blocks_repeat_a_coarser_grid(shift):
    stream = np.random.SeedSequence(9, spawn_key=(*b"upsampled", 8))
    words = np.random.Generator(np.random.PCG64DXSM(stream)).random((6, 5, 5))[4]
    # The whole grid, repeated, and the window of it that the block shows.
    whole = np.kron(2 * words - 1, np.ones((2, 2)))
    expected = whole[shift : shift + 8, shift : shift + 8]
    assert np.array_equal(upsampled(9, 8, 4, 1, shift=shift)[0], expected)


def test_unshifted_max_pooling_of_upsampled_blocks_cannot_fail_and_shifted_does():
    for shift in (0, 1):
        errors = asm_core.errors_by_frequency(upsampled(0, 8, 0, 100, shift=shift), range(15))
        assert (errors[:14].mean(axis=1) == 0).all() == (shift == 0)


def covariance_of(name, size):
    """(mean, covariance of the samples of a block) by theory."""
    if name == "gaussian":
        return 0.0, np.eye(size * size)
    if name == "autoregressive":
        line = 0.8 ** abs(np.subtract.outer(np.arange(size), np.arange(size)))
        return 2.0, 9.0 * np.kron(line, line)
    shift = int(name == "shifted")
    place = [(i + shift) // 2 for i in range(size)]
    same = np.equal.outer(place, place).astype(float)
    return 0.0, np.kron(same, same) / 3


@pytest.mark.parametrize("name", ["gaussian", "upsampled", "shifted", "autoregressive"])
def test_moments_and_covariances_at_a_million_blocks_are_those_of_theory(name):
    count, size = 10**6, 4
    samples = DRAWN[name](12, size, 0, count).reshape(count, -1)
    mean, covariance = covariance_of(name, size)
    variance = covariance.diagonal()
    # Standard errors: sqrt(v/n), and of a covariance at most sqrt(2 v v'/n); 5 of each.
    np.testing.assert_allclose(
        samples.mean(axis=0), mean, atol=5 * float(np.sqrt(variance.max() / count))
    )
    tolerance = 5 * float(np.sqrt(2 / count)) * variance.max()
    np.testing.assert_allclose(np.cov(samples, rowvar=False), covariance, atol=tolerance)


@pytest.mark.parametrize("name", ["gaussian", "autoregressive"])
def test_normal_blocks_have_the_quantiles_of_a_normal_distribution(name):
    samples = DRAWN[name](3, 2, 0, 10**6)[:, 1, 1]
    if name == "autoregressive":
        samples = (samples - 2) / 3
    for z in (-3.0, -1.0, 0.0, 0.5, 2.0):
        share = NormalDist().cdf(z)
        tolerance = 5 * (share * (1 - share) / 10**6) ** 0.5
        assert (samples < z).mean() == pytest.approx(share, abs=tolerance)


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


@pytest.mark.parametrize(
    ("draw", "parameters", "message"),
    [
        (autoregressive, {"rho": 1.0}, "rho must be between -1 and 1, exclusive, got 1"),
        (autoregressive, {"rho": -1.5}, "got -1.5"),
        (autoregressive, {"rho": float("nan")}, "got nan"),
        (autoregressive, {"std": 0.0}, "std must be within 1e-30..1e\\+30, got 0"),
        (gaussian, {"std": -1.0}, "got -1"),
        (gaussian, {"mean": float("inf")}, "mean must be finite"),
        (upsampled, {"shift": 2}, "shift must be 0 or 1, got 2"),
        (upsampled, {"shift": -1}, "shift must be at least 0"),
        (upsampled, {"shift": 0.5}, "shift must be an integer"),
    ],
)
def test_a_parameter_out_of_range_is_refused(draw, parameters, message):
    with pytest.raises(ValueError, match=message):
        draw(0, 8, 0, 0, **parameters)


@pytest.mark.parametrize("size", [2, 6, 10])
def test_a_shift_needs_an_even_number_of_coarse_samples(size):
    assert upsampled(0, size, 0, 1).shape == (1, size, size)
    with pytest.raises(ValueError, match=f"multiple of 4, got {size}: use shift=0 or"):
        upsampled(0, size, 0, 1, shift=1)


@pytest.mark.parametrize("arguments", [(-1, 8, 0, 1), (0, 7, 0, 1), (0, 8, -1, 1), (0, 8, 0, -1)])
def test_what_is_not_a_range_of_trials_is_refused(arguments):
    with pytest.raises(ValueError, match="must be"):
        uniform(*arguments)
