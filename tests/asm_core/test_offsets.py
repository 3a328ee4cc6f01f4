"""APX with a constant added: the constant, and the error that it leaves."""

import numpy as np
import pytest
from helpers import oracles

import asm_core
from asm_core import Operation

OPERATIONS = [Operation("max_pool"), Operation("min_pool", 4), Operation("relu"),
              Operation("leaky_relu", slope=0.3)]  # fmt: skip


def blocks_of(count, size=8, seed=0):
    return np.random.default_rng(seed).normal(size=(count, size, size))


@pytest.mark.parametrize("size", [4, 8, 12])
def test_the_error_is_that_of_nested_loops(size):
    blocks = blocks_of(5, size)
    freqs = [0, 1, size, 2 * size - 3]
    offsets = np.random.default_rng(1).normal(size=(4, len(freqs)))
    chosen = ["apx", "apx_offset", "asm"]
    error = asm_core.measure(blocks, freqs, OPERATIONS, chosen, offsets=offsets).error
    for t, block in enumerate(blocks):
        coefficients = oracles.dct(block)
        for f, n in enumerate(freqs):
            A = oracles.approximate(coefficients, n)
            for o, (name, window, slope) in enumerate(OPERATIONS):
                expected = [
                    oracles.error(block, A, name, "apx", window, slope),
                    oracles.error(block, A, name, "apx", window, slope, offset=offsets[o, f]),
                    oracles.error(block, A, name, "asm", window, slope),
                ]
                assert error[o, :, f, t] == pytest.approx(expected, abs=1e-13)


def test_an_offset_is_the_mean_of_exact_less_approximate_results():
    blocks, freqs = blocks_of(30), [0, 5, 13, 14, 99]
    offsets = asm_core.mean_offsets(blocks, freqs, OPERATIONS)
    assert offsets.shape == (4, 5)
    for f, n in enumerate(freqs):
        differences = [[] for _ in OPERATIONS]
        for block in blocks:
            A = oracles.approximate(oracles.dct(block), n)
            differences[0].append(oracles.max_pool(block, 2) - oracles.max_pool(A, 2))
            differences[1].append(-oracles.max_pool(-block, 4) + oracles.max_pool(-A, 4))
            differences[2].append(oracles.relu(block) - oracles.relu(A))
            differences[3].append(oracles.leaky_relu(block, 0.3) - oracles.leaky_relu(A, 0.3))
        expected = [np.mean(each) for each in differences]
        assert offsets[:, f] == pytest.approx(expected, abs=1e-13)
    assert (offsets[:, 3:] == 0).all()


def test_the_mean_makes_the_mean_square_error_least():
    blocks, freqs = blocks_of(200), range(14)
    best = asm_core.mean_offsets(blocks, freqs, OPERATIONS)

    def squares(offsets):
        error = asm_core.measure(blocks, freqs, OPERATIONS, ["apx_offset"], offsets=offsets).error
        return (error[:, 0] ** 2).mean(axis=-1)

    least = squares(best)
    assert (least < squares(best + 0.01)).all()
    assert (least < squares(best - 0.01)).all()
    # And what it takes away is its own square: variance = mean square - squared mean.
    plain = asm_core.measure(blocks, freqs, OPERATIONS, ["apx"]).error[:, 0] ** 2
    assert least == pytest.approx(plain.mean(axis=-1) - best**2, rel=1e-10)


def test_at_the_dc_alone_uniform_blocks_have_the_closed_form():
    # The largest of four U[0, 1) is 4/5 on average, and the mean of a block 1/2.
    blocks = np.random.default_rng(3).random((20_000, 8, 8))
    offset = asm_core.mean_offsets(blocks, [0], [Operation("max_pool")])[0, 0]
    # A block's mean of sixteen maxima has the variance 2/75/16, its mean 1/12/64.
    assert offset == pytest.approx(0.3, abs=5 * (2 / 75 / 16 + 1 / 12 / 64) ** 0.5 / 20_000**0.5)


def test_offsets_do_not_depend_on_the_order_of_blocks_and_know_their_coefficients():
    blocks = blocks_of(50)
    offsets = asm_core.mean_offsets(blocks, range(15), OPERATIONS)
    assert np.array_equal(asm_core.mean_offsets(blocks[::-1], range(15), OPERATIONS), offsets)
    known = asm_core.block_dct(blocks)
    given = asm_core.mean_offsets(blocks, range(15), OPERATIONS, coefficients=known)
    assert given == pytest.approx(offsets, abs=1e-14)


@pytest.mark.parametrize("selection", ["triangle", "energy"])
def test_no_bit_of_an_offset_depends_on_which_others_are_asked_for(selection):
    # Symmetric blocks, of which a single last bit decides how a sum is rounded.
    bars = np.tile(np.repeat([0.0, 1.0], 4), (64, 8, 1)) * np.linspace(0.1, 1, 64)[:, None, None]
    for blocks in (bars, blocks_of(50)):
        together = asm_core.mean_offsets(blocks, range(64), OPERATIONS, selection)
        for n in (0, 3, 6, 11, 14, 40):
            alone = asm_core.mean_offsets(blocks, [n, 99], OPERATIONS, selection)
            assert np.array_equal(alone[:, 0], together[:, n])


def test_flat_blocks_have_no_offset_and_rounding_is_relative_to_the_contrast():
    flat = np.broadcast_to(np.array([0.1, 0.3, 0.7])[:, None, None], (3, 8, 8))
    assert (asm_core.mean_offsets(flat, range(15), OPERATIONS[:3]) == 0).all()
    blocks = blocks_of(50)
    expected = asm_core.mean_offsets(blocks, range(14), OPERATIONS[:2])
    found = asm_core.mean_offsets(1e9 + 1e-3 * blocks, range(14), OPERATIONS[:2])
    # Samples near 1e9 are multiples of 1.2e-7.
    assert found == pytest.approx(1e-3 * expected, abs=3e-7)


@pytest.mark.parametrize("scale", [2.0**-1000, 2.0**900])
def test_offsets_scale_with_the_blocks(scale):
    blocks = blocks_of(20)
    expected = asm_core.mean_offsets(blocks, range(15), OPERATIONS)
    found = asm_core.mean_offsets(scale * blocks, range(15), OPERATIONS)
    assert np.array_equal(found, scale * expected)


def test_an_offset_of_each_trial_is_added_to_that_trial_alone():
    blocks = blocks_of(11)
    offsets = np.random.default_rng(2).normal(size=(1, 3, 11))
    # 14 and 40 keep everything: two frequencies in one step.
    freqs, chosen = [14, 3, 40], [Operation("max_pool")]
    offsets[:, 2] = offsets[:, 0]
    out = asm_core.empty_measures(1, 1, 3, 11)
    given = (blocks, freqs, chosen, ["apx_offset"], "triangle")
    asm_core.measure_into(out, *given, offsets=offsets)
    for t in range(11):
        alone = asm_core.errors_by_frequency(
            blocks[t], freqs, algorithm="apx_offset", offsets=offsets[0, :, t]
        )
        assert np.array_equal(out.error[0, 0, :, t], alone)


def test_offsets_are_asked_for_and_must_fit():
    blocks = blocks_of(2)
    with pytest.raises(ValueError, match="apx_offset needs offsets: mean_offsets"):
        asm_core.errors_by_frequency(blocks, [1, 2], algorithm="apx_offset")
    with pytest.raises(ValueError, match=r"\(1, 2\), got shape \(1, 3\)"):
        asm_core.errors_by_frequency(blocks, [1, 2], algorithm="apx_offset", offsets=[1, 2, 3])
    with pytest.raises(ValueError, match="offsets must be finite"):
        asm_core.errors_by_frequency(blocks, [1], algorithm="apx_offset", offsets=[np.nan])
    with pytest.raises(ValueError, match="at least one block"):
        asm_core.mean_offsets(np.empty((0, 8, 8)), [1], OPERATIONS)
