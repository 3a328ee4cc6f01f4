"""Frequency rank, counts, approximate blocks."""

import numpy as np
import oracles
import pytest
import scipy.fft

import asm_core

SIZES = [2, 4, 6, 8, 12, 16, 20, 32, 64]


@pytest.mark.parametrize("size", SIZES)
def test_rank_of_triangle_is_the_anti_diagonal(size):
    rank = asm_core.frequency_rank(size)
    assert rank.shape == (size, size)
    assert rank.dtype.kind == "i"
    for u in range(size):
        for v in range(size):
            assert rank[u, v] == u + v


def test_counts_at_block_size_8_are_those_of_the_notebook():
    counts = [asm_core.coefficients_kept(8, n) for n in range(17)]
    assert counts == [1, 3, 6, 10, 15, 21, 28, 36, 43, 49, 54, 58, 61, 63, 64, 64, 64]


@pytest.mark.parametrize("size", SIZES)
def test_counts_are_triangle_numbers_from_either_end(size):
    for n in range(2 * size - 1):
        missing = 2 * size - 2 - n
        expected = (n + 1) * (n + 2) // 2 if n < size else size**2 - missing * (missing + 1) // 2
        assert asm_core.coefficients_kept(size, n) == expected


@pytest.mark.parametrize("size", [2, 4, 6, 8, 12, 20])
def test_approximate_blocks_are_sums_of_basis_images(size):
    coefficients = np.random.default_rng(size).normal(size=(size, size))
    for n in range(2 * size - 1):
        expected = oracles.approximate(coefficients, n)
        np.testing.assert_allclose(asm_core.approximate(coefficients, n), expected, atol=1e-13)


@pytest.mark.parametrize("size", SIZES)
def test_approximate_blocks_agree_with_scipy(size):
    coefficients = np.random.default_rng(size).normal(size=(4, size, size))
    rank = np.add.outer(np.arange(size), np.arange(size))
    for n in {0, 1, size - 1, size, 2 * size - 3, 2 * size - 2}:
        expected = scipy.fft.idctn(np.where(rank <= n, coefficients, 0), axes=(1, 2), norm="ortho")
        np.testing.assert_allclose(asm_core.approximate(coefficients, n), expected, atol=1e-13)


@pytest.mark.parametrize("size", SIZES)
def test_the_dc_alone_is_exactly_constant(size):
    coefficients = asm_core.block_dct(np.random.default_rng(size).random((50, size, size)))
    blocks = asm_core.approximate(coefficients, 0)
    assert (np.ptp(blocks, axis=(1, 2)) == 0).all()
    np.testing.assert_allclose(blocks[:, 0, 0], coefficients[:, 0, 0] / size, rtol=1e-15)


@pytest.mark.parametrize("n", [0, 1, 7, 14])
def test_a_constant_block_stays_exactly_constant_at_every_frequency(n):
    blocks = asm_core.approximate(asm_core.block_dct(np.full((8, 8), 0.3)), n)
    assert np.ptp(blocks) == 0


@pytest.mark.parametrize("n", [14, 15, 1000, np.int64(14)])
def test_from_the_last_frequency_on_everything_is_kept(n):
    coefficients = np.random.default_rng(3).normal(size=(8, 8))
    expected = asm_core.approximate(coefficients, 14)
    assert np.array_equal(asm_core.approximate(coefficients, n), expected)
    np.testing.assert_allclose(expected, asm_core.block_idct(coefficients), atol=1e-14)


@pytest.mark.parametrize("n", [-1, 2.5, np.nan, None, True, "3"])
def test_a_frequency_that_is_not_a_count_is_refused(n):
    with pytest.raises(ValueError, match="n_freqs must be"):
        asm_core.approximate(np.zeros((8, 8)), n)
    with pytest.raises(ValueError, match="n_freqs must be"):
        asm_core.coefficients_kept(8, n)


def test_an_unknown_selection_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="must be one of triangle, got 'circle'"):
        asm_core.frequency_rank(8, "circle")
