"""DCT basis and block transforms."""

import mpmath
import numpy as np
import pytest
import scipy.fft
from helpers import oracles

import asm_core
from asm_core.dct import basis_of

SIZES = range(2, 65, 2)


@pytest.mark.parametrize("size", SIZES)
def test_basis_is_the_definition(size):
    np.testing.assert_allclose(asm_core.dct_basis(size), oracles.dct_basis(size), atol=5e-15)


@pytest.mark.parametrize("size", range(1, 257))
def test_every_entry_of_the_basis_is_the_double_nearest_to_its_exact_value(size):
    # Odd ones are those of pooled blocks.  All angles of the whole circle, without any symmetry.
    with mpmath.workprec(200):
        scale = mpmath.sqrt(mpmath.mpf(2) / size)
        circle = [scale * mpmath.cospi(mpmath.mpf(k) / (2 * size)) for k in range(4 * size)]
        first = 1 / mpmath.sqrt(size)
    with mpmath.workprec(53):
        rounded = np.array([float(+value) for value in circle])
        first = float(+first)
    u, i = np.indices((size, size))
    expected = rounded[(2 * i + 1) * u % (4 * size)]
    expected[0] = first
    assert np.array_equal(basis_of(size), expected)
    # Zeros are equal, whatever their sign, but have different bits.
    assert not np.signbit(basis_of(size)[basis_of(size) == 0]).any()


@pytest.mark.parametrize("size", SIZES)
def test_basis_is_orthonormal(size):
    basis = asm_core.dct_basis(size)
    np.testing.assert_allclose(basis @ basis.T, np.eye(size), atol=2e-15)


@pytest.mark.parametrize("size", SIZES)
def test_basis_is_exactly_even_or_odd_about_the_middle(size):
    basis = asm_core.dct_basis(size)
    signs = (-1.0) ** np.arange(size)
    assert np.array_equal(basis[:, ::-1], signs[:, None] * basis)


def test_a_caller_who_writes_into_the_basis_harms_nobody():
    asm_core.dct_basis(8)[:] = 0
    assert asm_core.dct_basis(8)[0, 0] == pytest.approx(8**-0.5)


@pytest.mark.parametrize("size", SIZES)
def test_transforms_agree_with_scipy(size):
    blocks = np.random.default_rng(size).normal(size=(5, size, size))
    expected = scipy.fft.dctn(blocks, axes=(-2, -1), norm="ortho")
    np.testing.assert_allclose(asm_core.block_dct(blocks), expected, atol=1e-13)
    np.testing.assert_allclose(asm_core.block_idct(expected), blocks, atol=1e-13)


@pytest.mark.parametrize("size", [2, 4, 6, 8, 12, 20])
def test_dct_agrees_with_nested_loops(size):
    block = np.random.default_rng(size).random((size, size))
    np.testing.assert_allclose(asm_core.block_dct(block), oracles.dct(block), atol=1e-14 * size)


@pytest.mark.parametrize("size", [2, 8, 12, 64])
def test_energy_is_preserved(size):
    blocks = np.random.default_rng(0).random((3, size, size))
    energy = (asm_core.block_dct(blocks) ** 2).sum(axis=(-2, -1))
    np.testing.assert_allclose(energy, (blocks**2).sum(axis=(-2, -1)), rtol=1e-14)


@pytest.mark.parametrize("lead", [(), (1,), (7,), (2, 3), (2, 1, 4), (0,), (300,)])
def test_any_leading_shape_is_a_batch_of_the_same_blocks(lead):
    blocks = np.random.default_rng(1).random((*lead, 8, 8))
    coefficients = asm_core.block_dct(blocks)
    assert coefficients.shape == blocks.shape
    for index in np.ndindex(lead):
        assert np.array_equal(coefficients[index], asm_core.block_dct(blocks[index]))
        back = asm_core.block_idct(coefficients)[index]
        assert np.array_equal(back, asm_core.block_idct(coefficients[index]))


@pytest.mark.parametrize("level", [0.0, 0.1, -3.7, 1e-9, 1e9])
@pytest.mark.parametrize("size", [2, 8, 20])
def test_a_constant_block_has_no_ac_coefficients_at_all(size, level):
    coefficients = asm_core.block_dct(np.full((size, size), level))
    assert coefficients[0, 0] == pytest.approx(size * level, rel=1e-15)
    assert not coefficients.ravel()[1:].any()


def test_integers_and_other_memory_layouts_are_taken_as_they_are():
    blocks = np.arange(2 * 64).reshape(2, 8, 8)
    expected = asm_core.block_dct(blocks.astype(float))
    assert np.array_equal(asm_core.block_dct(blocks), expected)
    assert np.array_equal(asm_core.block_dct(blocks.tolist()), expected)
    turned = blocks.swapaxes(1, 2)
    np.testing.assert_allclose(asm_core.block_dct(turned), expected.swapaxes(1, 2), atol=1e-12)


@pytest.mark.parametrize("transform", [asm_core.block_dct, asm_core.block_idct])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(8), r"shape \(\.\.\., N, N\), got \(8,\)"),
        (np.zeros((8, 6)), r"got \(8, 6\)"),
        (np.zeros((3, 7, 7)), "even, got 7: use 6 or 8"),
        (np.zeros((0, 0)), "at least 2, got 0"),
        (np.full((8, 8), np.nan), r"finite, got nan at index \(0, 0\)"),
        (np.where(np.eye(8), np.inf, 0), "finite, got inf"),
        (np.zeros((8, 8), complex), "real numbers, got dtype complex128"),
        (np.full((8, 8), "x"), "real numbers"),
    ],
)
def test_what_is_not_a_block_is_refused_by_name(transform, values, message):
    with pytest.raises(ValueError, match=message):
        transform(values)


@pytest.mark.parametrize("size", [7, 0, -2, 1, 2.0, True, "8"])
def test_a_block_size_that_is_not_even_is_refused(size):
    with pytest.raises(ValueError, match="block size must be"):
        asm_core.dct_basis(size)
