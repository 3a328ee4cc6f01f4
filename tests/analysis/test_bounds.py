"""The best mask: conditional means against regression, and no mask beats it."""

import numpy as np
import pytest

import asm_core
from asm_core.sources import autoregressive
from pipeline.analysis import bounds


@pytest.mark.parametrize("rho", [0.95, 0.5, -0.7])
@pytest.mark.parametrize("n", [0, 2, 6])
def test_conditional_means_are_what_regression_finds(n, rho):
    # Least squares of the samples on the kept coefficients, which knows nothing of a covariance.
    blocks = autoregressive(0, 4, 0, 40_000, rho=rho)
    coefficients = asm_core.block_dct(blocks)
    found = bounds.conditional_means(coefficients, n, rho)
    kept = np.add.outer(range(4), range(4)).ravel() <= n
    known = coefficients.reshape(len(blocks), -1)[:, kept]
    weights = np.linalg.lstsq(known, blocks.reshape(len(blocks), -1), rcond=None)[0]
    expected = (known @ weights).reshape(blocks.shape)
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.02
    # What is left is uncorrelated with what is known: the property that defines it.
    left = (blocks - found).reshape(len(blocks), -1)
    scale = known.std(axis=0)[:, None] * left.std(axis=0) + 1e-12
    correlation = known.T @ left / len(blocks) / scale
    assert np.abs(np.where(left.std(axis=0) > 1e-9, correlation, 0.0)).max() < 5 / np.sqrt(40_000)


def test_everything_kept_gives_the_block():
    blocks = autoregressive(0, 8, 0, 50)
    coefficients = asm_core.block_dct(blocks)
    assert bounds.conditional_means(coefficients, 14, 0.95) == pytest.approx(blocks, abs=1e-12)


def test_what_is_not_kept_is_not_used():
    coefficients = asm_core.block_dct(autoregressive(0, 8, 0, 5))
    bare = np.where(asm_core.frequency_rank(8) <= 5, coefficients, 0.0)
    assert np.array_equal(
        bounds.conditional_means(coefficients, 5, 0.9), bounds.conditional_means(bare, 5, 0.9)
    )


def test_asm_is_within_two_per_cent_of_the_best_mask_but_for_the_dc_alone():
    ratios = bounds.best_mask_ratios(4_000, 0.95)
    assert ratios.shape == (14,)
    # Measured with 20,000 blocks: 1.059 at n = 0, 1.019 at n = 1, and less beyond.
    assert 1.04 < ratios[0] < 1.08
    assert 1.01 < ratios[1] < 1.03
    assert (ratios[1:] < 1.03).all()
    # Never better by more than chance: 4,000 blocks know a ratio near 1 to some thousandths.
    assert (ratios > 0.98).all()
