"""Of max pooling the notebook says that "any slight fluctuation can throw off an entire block".

Shown here, for 8 x 8 blocks, 2 x 2 windows and a fluctuation of one low-frequency coefficient:
there are blocks at which it is true to the letter, whatever the size of the fluctuation and the
level of the block (with n = 1 .. 6), while ReLU is thrown off only where the level is nearer to 0
than the fluctuation is large; with n = 1 a block is thrown off as a whole or not at all; and in
general a choice can change only in windows whose two largest approximate samples are nearer to each
other than twice the fluctuation, a gate only where the approximate sample is nearer to 0 than it.
"""

import numpy as np
import pytest

import asm_core
from asm_core import Operation, sources

SIZE, WINDOWS = 8, 16
POOL, RELU = Operation("max_pool"), Operation("relu")


def fluctuated(coefficients, largest):
    """Blocks to which a slope from left to right was added, of at most `largest` in any sample."""
    changed = coefficients.copy()
    basis = asm_core.dct_basis(SIZE)
    changed[..., 0, 1] -= largest / (basis[0, 0] * basis[1, 0])
    return changed


def fine_stripes(level):
    """Coefficients of a block of contrast 2 that is constant but for its finest stripes.

    Below n = 7 it looks flat, all windows tie, and their first sample is chosen; it is the largest.
    """
    stripes = np.zeros((1, SIZE, SIZE))
    stripes[0, 0, 7] = 1.0
    coefficients = stripes / (np.ptp(asm_core.block_idct(stripes)) / 2)
    coefficients[0, 0, 0] = SIZE * level
    return coefficients


def measured(coefficients, operation):
    """(error, mask accuracy) at n = 0 .. 14, and for pooling the regret."""
    blocks = asm_core.block_idct(coefficients)
    found = asm_core.measure(blocks, range(15), [operation], ["asm"], coefficients=coefficients)
    return found.error[0, 0, :, 0], found.mask_accuracy[0, :, 0], found.regret[0, :, 0]


LEVELS = [0.0, 0.7, -3.0, 100.0]


@pytest.mark.parametrize("largest", [1e-1, 1e-3, 1e-6])
@pytest.mark.parametrize("level", LEVELS)
def test_a_fluctuation_of_any_size_can_throw_off_every_window_of_a_block(level, largest):
    still = fine_stripes(level)
    blocks = asm_core.block_idct(still)
    # What any choice can lose in a window, everywhere.
    rows = blocks[0, ::2]
    worst = rows[:, ::2] - rows[:, 1::2]
    assert (worst > 0.3).all()

    error, accuracy, regret = measured(still, POOL)
    np.testing.assert_allclose(error, 0, atol=1e-12 * (1 + abs(level)))
    assert (accuracy == 1).all()

    error, accuracy, regret = measured(fluctuated(still, largest), POOL)
    decided = np.arange(15)
    thrown_off = (decided >= 1) & (decided <= 6)
    assert (accuracy[thrown_off] == 0).all()
    assert (accuracy[~thrown_off] == 1).all()
    # The error jumps from 0 to the largest that there is, give or take the fluctuation itself.
    np.testing.assert_allclose(regret[thrown_off], worst.mean(), atol=2 * largest)
    np.testing.assert_allclose(error[thrown_off], np.sqrt((worst**2).mean()), atol=2 * largest)
    # The other way it changes nothing: there is no size below which fluctuations are harmless.
    assert (measured(fluctuated(still, -largest), POOL)[1] == 1).all()


@pytest.mark.parametrize("largest", [1e-1, 1e-3, 1e-6])
@pytest.mark.parametrize("level", LEVELS)
def test_the_same_fluctuation_moves_gates_of_relu_only_where_the_level_is_nearer_to_0(
    level, largest
):
    still = fine_stripes(level)
    before, after = (measured(block, RELU) for block in (still, fluctuated(still, largest)))
    if abs(level) > largest:
        assert np.array_equal(before[1], after[1])
        np.testing.assert_allclose(before[0], after[0], atol=largest)
    else:
        # At level 0 the slope opens the gates of its right half.
        for n in range(1, 7):
            gates = [asm_core.approximate_nonnegative_mask(block[0], n)
                     for block in (still, fluctuated(still, largest))]  # fmt: skip
            assert gates[0].sum() == 0
            assert gates[1].sum() == SIZE * SIZE / 2


@pytest.mark.parametrize("draw", [sources.uniform, sources.autoregressive])
def test_with_one_frequency_a_block_is_thrown_off_as_a_whole_or_not_at_all(draw):
    still = asm_core.block_dct(draw(0, SIZE, 0, 20_000))
    moved = fluctuated(still, 0.05)
    # Such a block rises or falls all the way in both directions: its windows decide alike.
    changed = changed_windows(still, moved, 1).sum(axis=(1, 2))
    assert set(changed) == {0, WINDOWS}
    # With more frequencies some windows change and others do not, in nearly every block.
    several = changed_windows(still, moved, 4).sum(axis=(1, 2))
    assert (several == WINDOWS).mean() < 1e-3 < ((several > 0) & (several < WINDOWS)).mean()


@pytest.mark.parametrize("n", [1, 2, 4, 6, 9, 12, 13])
def test_what_a_fluctuation_can_change_is_what_is_nearly_undecided(n):
    largest = 0.02
    still = asm_core.block_dct(sources.uniform(0, SIZE, 0, 20_000, low=-1.0))
    moved = fluctuated(still, largest)
    approximate = asm_core.approximate(still, n)
    split = approximate.reshape(-1, 4, 2, 4, 2).swapaxes(2, 3).reshape(-1, 4, 4, 4)
    second, first = np.sort(split, axis=-1)[..., -2:].transpose(3, 0, 1, 2)
    changed = changed_windows(still, moved, n)
    assert changed.any()
    assert (first - second)[changed].max() < 2 * largest
    gates = [asm_core.approximate_nonnegative_mask(block, n) for block in (still, moved)]
    flipped = gates[0] != gates[1]
    assert flipped.any()
    assert abs(approximate[flipped]).max() <= largest


def changed_windows(still, moved, n):
    """(T, 4, 4): whether the approximate local maximum mask of a window is another one."""
    masks = [asm_core.approximate_local_maximum_mask(block, n) for block in (still, moved)]
    return (masks[0] != masks[1]).reshape(-1, 4, 2, 4, 2).any(axis=(2, 4))
