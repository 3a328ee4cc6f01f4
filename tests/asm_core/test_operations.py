"""Max pooling and ReLU, exact and by mask."""

import numpy as np
import pytest
from helpers import oracles

import asm_core
from asm_core import Operation

CASES = [(2, 2), (4, 2), (6, 3), (8, 1), (8, 2), (8, 4), (8, 8), (12, 2), (20, 5), (64, 2)]


@pytest.mark.parametrize(("size", "window"), CASES)
def test_max_pool_is_the_definition(size, window):
    blocks = np.random.default_rng(size).normal(size=(2, 2, size, size))
    pooled = asm_core.max_pool(blocks, window)
    assert pooled.shape == (2, 2, size // window, size // window)
    for index in np.ndindex(2, 2):
        assert np.array_equal(pooled[index], oracles.max_pool(blocks[index], window))


@pytest.mark.parametrize(("size", "window"), CASES)
def test_masked_max_pool_is_the_window_sum_of_kept_samples(size, window):
    random = np.random.default_rng(size)
    block = random.normal(size=(size, size))
    mask = random.integers(0, 2, size=(size, size))
    expected = oracles.masked_max_pool(block, mask, window)
    np.testing.assert_allclose(asm_core.masked_max_pool(block, mask, window), expected, atol=1e-13)


@pytest.mark.parametrize(("size", "window"), CASES)
def test_with_the_true_mask_masked_pooling_is_exact(size, window):
    blocks = np.random.default_rng(1).integers(-3, 3, size=(20, size, size)).astype(float)
    mask = asm_core.local_maximum_mask(blocks, window)
    exact = asm_core.max_pool(blocks, window)
    assert np.array_equal(asm_core.masked_max_pool(blocks, mask, window), exact)


def test_relu_is_the_definition_and_the_true_mask_is_exact():
    blocks = np.random.default_rng(0).normal(size=(3, 8, 8))
    exact = asm_core.relu(blocks)
    for t in range(3):
        assert np.array_equal(exact[t], oracles.relu(blocks[t]))
    mask = asm_core.nonnegative_mask(blocks)
    assert np.array_equal(asm_core.masked_relu(blocks, mask), exact)


@pytest.mark.parametrize(("size", "window"), CASES)
def test_min_pool_is_the_smallest_of_each_window(size, window):
    block = np.random.default_rng(size).normal(size=(size, size))
    starts = range(0, size, window)
    expected = [[block[i : i + window, j : j + window].min() for j in starts] for i in starts]
    assert np.array_equal(asm_core.min_pool(block, window), expected)


@pytest.mark.parametrize("slope", [0.0, 0.01, 0.5, 1.0])
def test_leaky_relu_is_the_definition_and_the_true_mask_is_exact(slope):
    block = np.random.default_rng(0).normal(size=(8, 8))
    exact = asm_core.leaky_relu(block, slope)
    np.testing.assert_array_equal(exact, oracles.leaky_relu(block, slope))
    mask = asm_core.nonnegative_mask(block)
    assert np.array_equal(asm_core.masked_leaky_relu(block, mask, slope), exact)
    with pytest.raises(ValueError, match=r"slope must be within 0\.\.1, got 1.01"):
        asm_core.leaky_relu(block, 1.01)


@pytest.mark.parametrize(
    ("operation", "exact"),
    [
        (Operation("max_pool", 4), lambda block: oracles.max_pool(block, 4)),
        (Operation("min_pool"), lambda block: -oracles.max_pool(-block, 2)),
        (Operation("relu"), oracles.relu),
        (Operation("leaky_relu", slope=0.3), lambda block: oracles.leaky_relu(block, 0.3)),
    ],
)
def test_an_operation_knows_its_mask_and_its_result(operation, exact):
    block, other = np.random.default_rng(2).normal(size=(2, 8, 8))
    assert np.array_equal(operation.exact(block), exact(block))
    assert np.array_equal(operation.masked(block, operation.mask(block)), exact(block))
    # By the mask of another block: the error of ASM, whose oracle takes the approximate block.
    error = asm_core.rmse(operation.masked(block, operation.mask(other)), operation.exact(block))
    kind, window, slope = operation
    assert error == pytest.approx(
        oracles.error(block, other, kind, "asm", window, slope), abs=1e-14
    )


def test_max_pooling_commutes_with_shift_and_scale():
    blocks = np.random.default_rng(4).integers(-99, 99, size=(9, 12, 12)).astype(float)
    assert np.array_equal(asm_core.max_pool(2 * blocks + 7), 2 * asm_core.max_pool(blocks) + 7)


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"shape of the blocks, \(8, 8\), got \(4, 4\)"):
        asm_core.masked_max_pool(np.zeros((8, 8)), np.zeros((4, 4)))
    with pytest.raises(ValueError, match="mask must be finite"):
        asm_core.masked_relu(np.zeros((2, 2)), np.full((2, 2), np.nan))
