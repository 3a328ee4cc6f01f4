"""Mean and variance of blocks that stay DCT coefficients."""

import numpy as np
import pytest
from helpers.coefficients import close, inverse, random_case

import asm_core
from asm_core import sources


@pytest.mark.parametrize("size", [1, 2, 3, 8, 15, 32])
@pytest.mark.parametrize("lead", [(), (5,), (2, 3), (0,)])
def test_mean_and_variance_are_those_of_the_samples(size, lead):
    coefficients, _ = random_case(size, *lead)
    samples = inverse(coefficients)
    mean, variance = asm_core.mean_and_variance(coefficients)
    assert np.shape(mean) == np.shape(variance) == lead
    close(mean, samples.mean(axis=(-2, -1)))
    close(variance, samples.var(axis=(-2, -1)))


def test_a_basis_image_has_the_mean_and_variance_of_its_coefficient_alone():
    single = np.zeros((64, 8, 8))
    single.reshape(64, 64)[np.diag_indices(64)] = 3.0
    mean, variance = asm_core.mean_and_variance(single)
    assert (mean[0], variance[0]) == (3 / 8, 0)
    assert (mean[1:] == 0).all()
    assert (variance[1:] == 9 / 64).all()


def test_a_shift_moves_the_mean_alone_and_a_factor_scales_both():
    blocks = np.random.default_rng(0).integers(0, 256, (20, 8, 8))
    mean, variance = asm_core.mean_and_variance(asm_core.block_dct(blocks))
    shifted = asm_core.mean_and_variance(asm_core.block_dct(blocks - 128))
    close(shifted[0], mean - 128)
    # To the last bit: coefficients but the DC are those of differences of samples.
    assert np.array_equal(shifted[1], variance)
    scaled = asm_core.mean_and_variance(asm_core.block_dct(blocks * 4))
    assert np.array_equal(scaled[0], 4 * mean)
    assert np.array_equal(scaled[1], 16 * variance)


def test_joined_blocks_have_the_variance_within_the_blocks_and_between_them():
    coefficients, _ = random_case(4, 3, 3)
    mean, variance = asm_core.mean_and_variance(coefficients)
    whole = asm_core.mean_and_variance(asm_core.join_blocks(coefficients))
    close(whole[0], mean.mean())
    close(whole[1], variance.mean() + mean.var())


def test_variance_within_autoregressive_blocks_is_that_of_theory():
    # By the covariance rho^(|i - i'| + |j - j'|): what is left of 1 by the variance of the mean.
    rho, size, count = 0.9, 8, 100_000
    line = sum(rho ** abs(i - k) for i in range(size) for k in range(size)) / size**2
    blocks = sources.autoregressive(1, size, 0, count, rho=rho)
    mean, variance = asm_core.mean_and_variance(asm_core.block_dct(blocks))
    error = variance.std() / count**0.5
    assert variance.mean() == pytest.approx(1 - line**2, abs=5 * error)
    # That of a normal mean, whose square has a variance of twice its square.
    assert (mean**2).mean() == pytest.approx(line**2, rel=5 * (2 / count) ** 0.5)


@pytest.mark.parametrize("shape", [(), (8,), (8, 6), (0, 0), (2, 3, 4)])
def test_what_is_not_a_block_has_no_mean_and_variance(shape):
    with pytest.raises(ValueError, match=r"shape \(\.\.\., N, N\), got \("):
        asm_core.mean_and_variance(np.zeros(shape))
