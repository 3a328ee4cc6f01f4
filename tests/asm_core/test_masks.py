"""Local maximum and nonnegative masks, exact and approximate."""

import numpy as np
import pytest
from helpers import oracles

import asm_core

CASES = [(2, 2), (4, 2), (6, 3), (8, 1), (8, 2), (8, 4), (8, 8), (12, 2), (12, 6), (20, 5), (64, 2)]


@pytest.mark.parametrize(("size", "window"), CASES)
def test_local_maximum_mask_is_the_definition(size, window):
    blocks = np.random.default_rng(size).normal(size=(2, 3, size, size))
    mask = asm_core.local_maximum_mask(blocks, window)
    assert mask.shape == blocks.shape
    for index in np.ndindex(2, 3):
        assert np.array_equal(mask[index], oracles.local_maximum_mask(blocks[index], window))


@pytest.mark.parametrize(("size", "window"), CASES)
def test_local_minimum_mask_is_the_first_smallest_sample(size, window):
    blocks = np.random.default_rng(size).integers(0, 3, size=(20, size, size))
    for block in blocks:
        mask = np.zeros(block.shape, bool)
        for i in range(0, size, window):
            for j in range(0, size, window):
                cut = block[i : i + window, j : j + window]
                a, b = np.argwhere(cut == cut.min())[0]
                mask[i + a, j + b] = True
        assert np.array_equal(asm_core.local_minimum_mask(block, window), mask)


@pytest.mark.parametrize(("size", "window"), CASES)
def test_ties_go_to_the_first_sample_in_row_major_order(size, window):
    # Three levels only: nearly every window has a tie.
    blocks = np.random.default_rng(size).integers(0, 3, size=(20, size, size))
    for block in blocks:
        expected = oracles.local_maximum_mask(block, window)
        assert np.array_equal(asm_core.local_maximum_mask(block, window), expected)


@pytest.mark.parametrize(("size", "window"), CASES)
def test_every_window_has_exactly_one_maximum(size, window):
    blocks = np.random.default_rng(0).integers(0, 4, size=(10, size, size)).astype(float)
    count = size // window
    split = asm_core.local_maximum_mask(blocks, window).reshape(10, count, window, count, window)
    assert (split.sum(axis=(2, 4)) == 1).all()


def test_masks_survive_shift_and_positive_scale():
    blocks = np.random.default_rng(5).integers(-50, 50, size=(100, 8, 8)).astype(float)
    mask = asm_core.local_maximum_mask(blocks)
    assert np.array_equal(asm_core.local_maximum_mask(blocks * 4 + 1024), mask)
    sign = asm_core.nonnegative_mask(blocks)
    assert np.array_equal(asm_core.nonnegative_mask(blocks * 0.25), sign)
    assert np.array_equal(sign, blocks > 0)


def test_zero_is_not_kept_by_the_nonnegative_mask():
    block = np.array([[0.0, -0.0], [1e-300, -1e-300]])
    assert asm_core.nonnegative_mask(block).tolist() == [[False, False], [True, False]]
    assert np.array_equal(asm_core.nonnegative_mask(block), oracles.nonnegative_mask(block))


@pytest.mark.parametrize(("size", "window"), [(4, 2), (8, 2), (8, 4), (12, 3), (20, 2)])
def test_approximate_masks_are_masks_of_the_approximate_block(size, window):
    coefficients = np.random.default_rng(size).normal(size=(3, size, size))
    for n in (0, 1, size // 2, size, 2 * size - 2):
        mask = asm_core.approximate_local_maximum_mask(coefficients, n, window)
        sign = asm_core.approximate_nonnegative_mask(coefficients, n)
        for t in range(3):
            block = oracles.approximate(coefficients[t], n)
            if n:
                assert np.array_equal(mask[t], oracles.local_maximum_mask(block, window))
            assert np.array_equal(sign[t], oracles.nonnegative_mask(block))


def test_with_the_dc_alone_every_window_keeps_its_first_sample():
    coefficients = asm_core.block_dct(np.random.default_rng(2).random((200, 8, 8)))
    mask = asm_core.approximate_local_maximum_mask(coefficients, 0)
    assert mask[:, ::2, ::2].all()
    assert mask.sum() == 200 * 16


@pytest.mark.parametrize("window", [3, 0, -2, 16, 2.0])
def test_a_window_that_does_not_divide_the_block_is_refused(window):
    with pytest.raises(ValueError, match="window must"):
        asm_core.local_maximum_mask(np.zeros((8, 8)), window)
