"""Frequency rank, counts, approximate blocks."""

import numpy as np
import pytest
import scipy.fft
from helpers import oracles

import asm_core
import asm_core.sources
from asm_core.validate import last_frequency

SIZES = [2, 4, 6, 8, 12, 16, 20, 32, 64]


@pytest.mark.parametrize("size", SIZES)
def test_rank_of_triangle_is_the_anti_diagonal(size):
    rank = asm_core.frequency_rank(size)
    assert rank.shape == (size, size)
    assert rank.dtype.kind == "i"
    for u in range(size):
        for v in range(size):
            assert rank[u, v] == u + v


@pytest.mark.parametrize("size", SIZES)
def test_rank_of_square_is_the_larger_index(size):
    rank = asm_core.frequency_rank(size, "square")
    for n in range(size):
        expected = np.zeros((size, size), bool)
        expected[: n + 1, : n + 1] = True
        assert np.array_equal(rank <= n, expected)


def test_zigzag_is_that_of_the_jpeg_standard():
    # ITU-T T.81, figure A.6.
    assert asm_core.frequency_rank(8, "zigzag").tolist() == [
        [0, 1, 5, 6, 14, 15, 27, 28],
        [2, 4, 7, 13, 16, 26, 29, 42],
        [3, 8, 12, 17, 25, 30, 41, 43],
        [9, 11, 18, 24, 31, 40, 44, 53],
        [10, 19, 23, 32, 39, 45, 52, 54],
        [20, 22, 33, 38, 46, 51, 55, 60],
        [21, 34, 37, 47, 50, 56, 59, 61],
        [35, 36, 48, 49, 57, 58, 62, 63],
    ]


@pytest.mark.parametrize("size", [2, 4, 6, 12, 20])
def test_zigzag_walks_through_blocks_of_every_size(size):
    rank = asm_core.frequency_rank(size, "zigzag")
    assert [int(rank[place]) for place in oracles.zigzag(size)] == list(range(size * size))


@pytest.mark.parametrize("rho", [0.01, 0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("size", [2, 4, 6, 8, 12])
def test_energy_ranks_descend_with_the_expected_energy(size, rho):
    rank = asm_core.frequency_rank(size, "energy", rho=rho)
    assert sorted(rank.ravel()) == list(range(size * size))
    energies = oracles.energies(size, rho).ravel()[np.argsort(rank, axis=None)]
    assert (np.diff(energies) <= 1e-12 * energies[:-1]).all()
    # Of two that mirror each other, the one in the higher row comes first.
    assert (rank < rank.T)[np.triu_indices(size, 1)].all()


@pytest.mark.parametrize("one_less", [1e-6, 1e-10, 1e-15])
@pytest.mark.parametrize("size", [2, 4, 8, 32])
def test_energy_ranks_hold_where_rho_is_nearly_1(size, one_less):
    # Energies of the AC coefficients fall with 1 - rho, and must not be lost beside those of 1.
    distance = abs(np.subtract.outer(np.arange(size), np.arange(size)))
    departure = np.expm1(distance * np.log1p(-one_less))
    basis = oracles.dct_basis(size)
    line = np.array([basis[u] @ departure @ basis[u] for u in range(size)])
    line[0] += size
    assert (np.diff(line) < 0).all()
    rank = asm_core.frequency_rank(size, "energy", rho=1 - one_less)
    energies = np.outer(line, line).ravel()[np.argsort(rank, axis=None)]
    assert (np.diff(energies) <= 1e-9 * energies[:-1]).all()


def test_energies_are_those_of_autoregressive_blocks():
    # The other way round: the model that is drawn has the energies by which we order.
    blocks = asm_core.sources.autoregressive(3, 8, 0, 200_000, rho=0.9)
    measured = (asm_core.block_dct(blocks) ** 2).mean(axis=0)
    expected = oracles.energies(8, 0.9)
    # The square of a normal number has a variance of twice its square.
    np.testing.assert_allclose(measured, expected, rtol=5 * np.sqrt(2 / 200_000))


def test_rho_moves_the_order_of_energy():
    smooth = asm_core.frequency_rank(8, "energy", rho=0.99)
    assert not np.array_equal(smooth, asm_core.frequency_rank(8, "energy", rho=0.3))
    assert np.array_equal(
        asm_core.frequency_rank(8, "energy"), asm_core.frequency_rank(8, "energy", rho=0.95)
    )


@pytest.mark.parametrize("selection", ["zigzag", "energy"])
def test_sequences_keep_n_plus_one_coefficients(selection):
    counts = [asm_core.coefficients_kept(8, n, selection) for n in range(66)]
    assert counts == [*range(1, 65), 64, 64]


@pytest.mark.parametrize("selection", ["triangle", "square", "zigzag", "energy"])
@pytest.mark.parametrize("size", [2, 8, 20])
def test_every_selection_starts_with_the_dc_and_ends_where_it_says(size, selection):
    rank = asm_core.frequency_rank(size, selection)
    assert rank[0, 0] == 0
    assert rank.max() == last_frequency(size, selection)
    assert asm_core.coefficients_kept(size, 0, selection) == 1


@pytest.mark.parametrize("selection", ["square", "zigzag", "energy"])
def test_approximate_blocks_of_every_selection_agree_with_scipy(selection):
    coefficients = np.random.default_rng(1).normal(size=(3, 8, 8))
    for n in (0, 1, 5, 20, 63):
        kept = np.where(oracles.kept(8, n, selection), coefficients, 0)
        expected = scipy.fft.idctn(kept, axes=(1, 2), norm="ortho")
        for given in (selection, asm_core.frequency_rank(8, selection)):
            blocks = asm_core.approximate(coefficients, n, given)
            np.testing.assert_allclose(blocks, expected, atol=1e-13)


@pytest.mark.parametrize("rho", [0.0, 1.0, -0.5, 2.0, np.nan])
def test_a_rho_out_of_range_is_refused(rho):
    with pytest.raises(ValueError, match="rho must be between 0 and 1, exclusive, got"):
        asm_core.frequency_rank(8, "energy", rho=rho)


def test_a_rho_for_another_selection_is_refused():
    with pytest.raises(ValueError, match=r"rho is of selection energy alone, got rho=0.9 for zig"):
        asm_core.frequency_rank(8, "zigzag", rho=0.9)


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
    with pytest.raises(ValueError, match=r"must be one of triangle, .*, got 'circle'"):
        asm_core.frequency_rank(8, "circle")
