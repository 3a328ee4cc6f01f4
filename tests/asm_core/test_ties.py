"""Ties: what exact arithmetic calls equal, rounding must not put in an order."""

import numpy as np
import pytest
from helpers import oracles

import asm_core
from asm_core import Operation
from asm_core.kernels import TIE
from asm_core.sources import upsampled


def repeated(random, N):
    """Samples repeated 2 x 2: they tie again where only frequencies that they lack are left out."""
    return random.integers(-9, 10, (N // 2, N // 2)).repeat(2, 0).repeat(2, 1)


def symmetric(random, N):
    """Every approximate block is as symmetric as the block."""
    quarter = random.integers(0, 9, (N, N))
    return quarter + quarter[::-1] + quarter[:, ::-1] + quarter[::-1, ::-1]


def antisymmetric(random, N):
    half = random.integers(0, 9, (N, N))
    return half - half[::-1, ::-1]


def sum_of_zero(random, N):
    """The DC is exactly 0, which is not above 0."""
    values = random.integers(0, 9, N * N)
    return (values - random.permutation(values)).reshape(N, N)


KINDS = {
    # Few levels: most windows tie in the block itself.
    "few levels": lambda random, N: random.integers(0, 3, (N, N)),
    "repeated": repeated,
    "repeated, shifted": lambda random, N: np.roll(repeated(random, N), 1, (0, 1)),
    "symmetric": symmetric,
    "antisymmetric": antisymmetric,
    "constant": lambda random, N: np.full((N, N), random.integers(-3, 4)),
    "sum of zero": sum_of_zero,
}
OPERATIONS = [
    Operation("max_pool"),
    Operation("max_pool", 4),
    Operation("min_pool"),
    Operation("relu"),
    Operation("leaky_relu", slope=0.3),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [4, 8])
def test_blocks_of_integers_are_measured_as_exact_arithmetic_measures_them(kind, size):
    random = np.random.default_rng(size)
    blocks = np.array([KINDS[kind](random, size) for _ in range(6)], dtype=float)
    freqs = [0, 1, size // 2, size - 1, 2 * size - 4, 2 * size - 3]
    measures = asm_core.measure(blocks, freqs, OPERATIONS, ["asm"])
    for t, block in enumerate(blocks):
        for f, n in enumerate(freqs):
            A = oracles.exact_approximate(block, n)
            for o, (name, window, slope) in enumerate(OPERATIONS):
                found = [
                    values[f, t] for values in (measures.error[o, 0], measures.mask_accuracy[o])
                ]
                expected = [
                    oracles.error(block, A, name, "asm", window, slope, oracles.EXACT_TIE),
                    oracles.mask_accuracy(block, A, name, window, oracles.EXACT_TIE),
                ]
                assert found == pytest.approx(expected, abs=1e-14), (n, name)
                if name.endswith("pool"):
                    expected = oracles.regret(block, A, name, window, oracles.EXACT_TIE)
                    assert measures.regret[o, f, t] == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_those_of_exact_arithmetic(kind):
    random = np.random.default_rng(3)
    blocks = np.array([KINDS[kind](random, 8) for _ in range(4)], dtype=float)
    coefficients = asm_core.block_dct(blocks)
    for n in (0, 1, 4, 7, 10, 13):
        pooling = asm_core.approximate_local_maximum_mask(coefficients, n)
        sign = asm_core.approximate_nonnegative_mask(coefficients, n)
        for t, block in enumerate(blocks):
            A = oracles.exact_approximate(block, n)
            tie = oracles.EXACT_TIE
            assert np.array_equal(pooling[t], oracles.local_maximum_mask(A, 2, tie))
            assert np.array_equal(sign[t], oracles.nonnegative_mask(A, tie))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("scale", "level"), [(1 / 3, 0.0), (1e-9, 0.1), (1e6 / 7, -1e6)])
def test_ties_do_not_depend_on_contrast_and_level(kind, scale, level):
    # Scaled and shifted, samples that were equal differ by rounding, also where they are exact.
    random = np.random.default_rng(4)
    blocks = np.array([KINDS[kind](random, 8) for _ in range(50)], dtype=float)
    expected = asm_core.measure(blocks, range(14), OPERATIONS[:3])
    found = asm_core.measure(scale * blocks + level, range(14), OPERATIONS[:3])
    assert np.array_equal(found.mask_accuracy, expected.mask_accuracy)
    tolerance = 1e-15 * (abs(level) + abs(scale) * np.abs(blocks).max())
    np.testing.assert_allclose(found.error, scale * expected.error, rtol=0, atol=20 * tolerance)


def test_large_blocks_keep_their_ties():
    # Two N = 256 blocks: 65,536 terms are added up to each sample.
    random = np.random.default_rng(5)
    blocks = np.array([repeated(random, 256) for _ in range(2)], dtype=float)
    again = asm_core.block_idct(asm_core.block_dct(blocks))
    rounding = np.abs(again[:, ::2] - again[:, 1::2]).max() / np.ptp(blocks)
    assert 0 < rounding < TIE / 50
    upside_down = asm_core.measure(blocks[:, ::-1], [100, 300], OPERATIONS[:3], ["asm"])
    accuracy = asm_core.measure(blocks, [100, 300], OPERATIONS[:3], ["asm"]).mask_accuracy
    assert np.array_equal(upside_down.mask_accuracy, accuracy)


def test_a_difference_is_a_tie_up_to_the_stated_share_of_the_contrast():
    # One row apart, with the other sample of the row above or below it by a share of the contrast.
    for share, chosen in ((0.9 * TIE, 0), (1.1 * TIE, 1)):
        block = np.zeros((1, 4, 4))
        block[0, 3, 3], block[0, 0, 1] = 1.0, share
        coefficients = asm_core.block_dct(block)
        mask = asm_core.approximate_local_maximum_mask(coefficients, 6)[0]
        assert mask[0, chosen]
        regret = asm_core.measure(block, [5], [Operation("max_pool")]).regret
        assert np.isfinite(regret).all()
        sign = asm_core.approximate_nonnegative_mask(coefficients, 6)[0]
        assert sign[0, 1] == chosen
    # A sample that is positive by less than a tie is kept or not, and the error is the same 0.
    block = np.zeros((1, 4, 4))
    block[0, 3, 3], block[0, 0, 1] = 1.0, 0.5 * TIE
    error, accuracy, _ = asm_core.measure(block, [6, 99], [Operation("relu")])
    assert (error == 0).all()
    assert (accuracy == 1).all()


def test_a_choice_is_right_by_value_and_not_by_place():
    # Every window of an upsampled block is constant: no choice can be wrong.
    blocks = upsampled(0, 8, 0, 1000)
    measures = asm_core.measure(blocks, range(15), [Operation("max_pool"), Operation("min_pool")])
    assert (measures.mask_accuracy == 1).all()
    assert (measures.error[:, 0] == 0).all()
    assert (measures.regret == 0).all()


def test_quantised_blocks_tie_where_their_integers_do():
    # Few coefficients are left, so that many blocks are symmetric somewhere.
    blocks = np.random.default_rng(0).random((30, 8, 8))
    known = asm_core.quantised_coefficients(blocks, 1)
    samples = asm_core.block_idct(known)
    freqs = range(14)
    chosen = [Operation("max_pool"), Operation("min_pool"), Operation("relu")]
    measures = asm_core.measure(samples, freqs, chosen, ["asm"], coefficients=known)
    tied = 0
    for t in range(len(blocks)):
        # In grey levels, as a JPEG file has them: whole multiples of the table.
        integers = np.rint(255 * known[t]).astype(int)
        integers[0, 0] = np.rint(255 * known[t, 0, 0] - 8 * 128)
        level = np.zeros((8, 8), dtype=int)
        level[0, 0] = 8 * 128
        X = oracles.exact_inverse(integers + level, 14)
        for f, n in enumerate(freqs):
            A = oracles.exact_inverse(integers + level, n)
            for o, (name, window, _) in enumerate(chosen):
                tie = oracles.EXACT_TIE
                expected = oracles.error(X, A, name, "asm", window, tie=tie) / 255
                assert measures.error[o, 0, f, t] == pytest.approx(expected, abs=1e-14)
                expected = oracles.mask_accuracy(X, A, name, window, tie)
                assert measures.mask_accuracy[o, f, t] == expected, (n, name)
            tied += (A[0, 0] - A[0, 1]) ** 2 <= tie**2
    assert tied > 40


def test_on_continuous_blocks_nothing_ties():
    blocks = np.random.default_rng(0).normal(size=(200, 8, 8))
    for n in (1, 6, 13):
        A = asm_core.approximate(asm_core.block_dct(blocks), n)
        mask = asm_core.approximate_local_maximum_mask(asm_core.block_dct(blocks), n)
        assert np.array_equal(mask, asm_core.local_maximum_mask(A))


@pytest.mark.parametrize("scale", [2.0**-1000, 2.0**-600, 2.0**600, 2.0**980])
@pytest.mark.parametrize("algorithm", ["asm", "apx", "apx_offset"])
def test_no_scale_is_too_small_or_too_large(scale, algorithm):
    # Scaled by a power of 2, every result is scaled by it, bit by bit.
    blocks = np.random.default_rng(1).normal(size=(20, 8, 8))
    blocks[3] = 0.0
    coefficients = asm_core.block_dct(blocks)
    offsets = np.linspace(-1, 1, 30).reshape(2, 15)
    chosen = [Operation("max_pool"), Operation("relu")]
    for known in (None, coefficients):
        plain = asm_core.measure(blocks, range(15), chosen, [algorithm], "triangle", known, offsets)
        known = None if known is None else scale * known
        found = asm_core.measure(
            scale * blocks, range(15), chosen, [algorithm], "triangle", known, scale * offsets
        )
        assert np.array_equal(found.error, scale * plain.error)
        assert np.array_equal(found.mask_accuracy, plain.mask_accuracy)
        assert np.array_equal(found.regret, scale * plain.regret, equal_nan=True)
    ends = slice(0, 2), slice(2, 4)
    plain = asm_core.rmse(*(blocks[end] for end in ends))
    assert np.array_equal(asm_core.rmse(*(scale * blocks[end] for end in ends)), scale * plain)


def test_blocks_of_very_different_scales_are_measured_side_by_side():
    blocks = np.random.default_rng(2).normal(size=(40, 8, 8))
    scales = 10.0 ** np.linspace(-300, 299, 40)[:, None, None]
    together = asm_core.errors_by_frequency(scales * blocks, range(15))
    for t in range(40):
        alone = asm_core.errors_by_frequency((scales * blocks)[t : t + 1], range(15))
        assert np.array_equal(together[:, t : t + 1], alone)
    relative = together / scales.ravel()
    assert relative == pytest.approx(asm_core.errors_by_frequency(blocks, range(15)), rel=1e-12)


def test_samples_that_no_sum_can_hold_are_refused_by_name():
    for call in (asm_core.block_dct, lambda x: asm_core.errors_by_frequency(x, [1])):
        with pytest.raises(
            ValueError, match=r"at most 1e\+300 in magnitude, got -1e\+301 at index"
        ):
            call(np.full((1, 8, 8), -1e301))


def test_coefficients_that_no_sum_can_hold_are_refused_by_name_and_large_ones_measured():
    blocks = np.random.default_rng(3).normal(size=(5, 8, 8))
    known = asm_core.block_dct(blocks)
    known[2, 0, 0] = 1e301
    with pytest.raises(ValueError, match=r"coefficients must be at most .* got 1e.301 at index"):
        asm_core.measure(blocks, [6], OPERATIONS[:1], coefficients=known)
    known[2, 0, 0] = 1e200
    error = asm_core.measure(blocks, [6], OPERATIONS[:1], ["apx"], coefficients=known).error
    assert error[0, 0, 0, 2] == pytest.approx(1e200 / 8, rel=1e-12)
