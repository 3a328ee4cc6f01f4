"""Errors by frequency: against nested loops, closed forms and invariants."""

import itertools
import math

import numpy as np
import pytest
import scipy.fft
from helpers import oracles
from numba.core.dispatcher import Dispatcher

import asm_core
from asm_core import Operation, kernels, transforms
from asm_core.validate import OPERATIONS

BOTH = [Operation("max_pool"), Operation("relu")]


def uniform_blocks(count, size=8, seed=0):
    return np.random.default_rng(seed).random((count, size, size))


@pytest.mark.parametrize("algorithm", ["asm", "apx"])
@pytest.mark.parametrize(
    ("operation", "size", "window"),
    [
        *itertools.product(["max_pool"], [2, 4, 6, 8, 12, 20], [2]),
        ("max_pool", 6, 3), ("max_pool", 8, 4), ("max_pool", 8, 8), ("max_pool", 8, 1),
        *itertools.product(["relu"], [2, 4, 6, 8, 12, 20], [2]),
        *itertools.product(["min_pool"], [2, 6, 8], [2]),
        *itertools.product(["leaky_relu"], [2, 6, 8], [2]), ("min_pool", 8, 4),
    ],
)  # fmt: skip
def test_errors_are_those_of_nested_loops(operation, size, window, algorithm):
    blocks = np.random.default_rng(size).normal(size=(3, size, size))
    freqs = range(2 * size - 1)
    errors = asm_core.errors_by_frequency(blocks, freqs, operation, algorithm, window=window)
    assert errors.shape == (len(freqs), 3)
    assert errors.dtype == np.float64
    for t, block in enumerate(blocks):
        coefficients = oracles.dct(block)
        for row, n in zip(errors, freqs, strict=True):
            approximate = oracles.approximate(coefficients, n)
            expected = oracles.error(block, approximate, operation, algorithm, window)
            assert row[t] == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("size", [16, 32, 64])
@pytest.mark.parametrize("algorithm", ["asm", "apx"])
@pytest.mark.parametrize("operation", ["max_pool", "relu"])
def test_large_blocks_agree_with_nested_loops_at_some_frequencies(size, operation, algorithm):
    block = np.random.default_rng(size).normal(size=(size, size))
    freqs = [1, size // 2, size, 2 * size - 3]
    errors = asm_core.errors_by_frequency(block, freqs, operation, algorithm)
    coefficients = asm_core.block_dct(block)
    for error, n in zip(errors, freqs, strict=True):
        approximate = oracles.approximate(coefficients, n)
        expected = oracles.error(block, approximate, operation, algorithm, 2)
        assert error == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("selection", ["triangle", "square", "zigzag", "energy"])
@pytest.mark.parametrize("size", [2, 4, 6, 8])
def test_every_selection_measures_what_nested_loops_measure(size, selection):
    blocks = np.random.default_rng(size).normal(size=(3, size, size))
    freqs = range(0, size * size + 1, 3)
    operations = [Operation("max_pool"), Operation("relu")]
    measures = asm_core.measure(blocks, freqs, operations, selection=selection)
    for t, block in enumerate(blocks):
        coefficients = oracles.dct(block)
        for f, n in enumerate(freqs):
            approximate = oracles.approximate(coefficients, n, selection)
            for o, operation in enumerate(["max_pool", "relu"]):
                for m, algorithm in enumerate(["asm", "apx"]):
                    expected = oracles.error(block, approximate, operation, algorithm)
                    assert measures.error[o, m, f, t] == pytest.approx(expected, abs=1e-13)
                expected = oracles.mask_accuracy(block, approximate, operation)
                assert measures.mask_accuracy[o, f, t] == expected


def test_ranks_of_ones_own_are_a_selection():
    # Rows of coefficients, one after the other: no name of ours.
    blocks = np.random.default_rng(4).normal(size=(4, 8, 8))
    ranks = np.repeat(np.arange(8)[:, None], 8, axis=1)
    errors = asm_core.errors_by_frequency(blocks, range(8), "max_pool", "apx", ranks)
    for t, block in enumerate(blocks):
        coefficients = oracles.dct(block)
        for n in range(8):
            kept = np.where(ranks <= n, coefficients, 0.0)
            approximate = scipy.fft.idctn(kept, norm="ortho")
            expected = oracles.error(block, approximate, "max_pool", "apx")
            assert errors[n, t] == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("algorithm", ["asm", "apx"])
def test_a_leaky_relu_has_the_slope_that_is_asked_for(algorithm, slope):
    block = np.random.default_rng(8).normal(size=(8, 8))
    errors = asm_core.errors_by_frequency(block, range(15), "leaky_relu", algorithm, slope=slope)
    for n, error in enumerate(errors):
        approximate = oracles.approximate(oracles.dct(block), n)
        expected = oracles.error(block, approximate, "leaky_relu", algorithm, slope=slope)
        assert error == pytest.approx(expected, abs=1e-13)
    if slope == 0.0:
        assert np.array_equal(
            errors, asm_core.errors_by_frequency(block, range(15), "relu", algorithm)
        )


@pytest.mark.parametrize("algorithm", ["asm", "apx"])
def test_min_pooling_is_max_pooling_upside_down(algorithm):
    blocks = np.random.default_rng(5).normal(size=(50, 8, 8))
    assert np.array_equal(
        asm_core.errors_by_frequency(blocks, range(15), "min_pool", algorithm),
        asm_core.errors_by_frequency(-blocks, range(15), "max_pool", algorithm),
    )


MEASURED = [Operation("max_pool"), Operation("max_pool", 4), Operation("min_pool"),
            Operation("relu"), Operation("leaky_relu", slope=0.3)]  # fmt: skip


@pytest.mark.parametrize("operation", MEASURED)
def test_mask_accuracy_is_that_of_nested_loops(operation):
    blocks = np.random.default_rng(7).normal(size=(5, 8, 8))
    measures = asm_core.measure(blocks, range(15), [operation])
    for t, block in enumerate(blocks):
        coefficients = oracles.dct(block)
        for n in range(15):
            approximate = oracles.approximate(coefficients, n)
            expected = oracles.mask_accuracy(block, approximate, operation.kind, operation.window)
            assert measures.mask_accuracy[0, n, t] == pytest.approx(expected, abs=1e-15)


def test_regret_is_that_of_nested_loops_and_rectifiers_have_none():
    blocks = np.random.default_rng(7).normal(size=(5, 8, 8))
    regret = asm_core.measure(blocks, range(15), MEASURED).regret
    assert np.isnan(regret[3:]).all()
    for o, operation in enumerate(MEASURED[:3]):
        for t, block in enumerate(blocks):
            coefficients = oracles.dct(block)
            for n in range(15):
                approximate = oracles.approximate(coefficients, n)
                expected = oracles.regret(block, approximate, operation.kind, operation.window)
                assert regret[o, n, t] == pytest.approx(expected, abs=1e-15)


def test_uniform_blocks_at_the_dc_alone_regret_three_tenths():
    # The first of four U[0, 1) is chosen: E max - E first = 4/5 - 1/2.
    regret = asm_core.measure(uniform_blocks(40_000), [0], [Operation("max_pool")]).regret[0, 0]
    assert regret.mean() == pytest.approx(0.3, abs=5 * regret.std() / 200)


def test_regret_never_exceeds_the_error_and_both_vanish_together():
    # Mean <= root mean square, over the windows of a block.
    measures = asm_core.measure(uniform_blocks(500), range(15), [Operation("max_pool")])
    error, regret = measures.error[0, 0], measures.regret[0]
    assert (regret >= 0).all()
    assert (regret <= error * (1 + 1e-15)).all()
    assert ((regret == 0) == (error == 0)).all()


def test_uniform_blocks_at_the_dc_alone_have_the_closed_form():
    # Every window keeps its first sample: of four U[0, 1), E (max - first)^2 = 1/6 and the first is
    # the largest in 1 of 4.  Tolerances are 5 standard errors of 16 x 40,000 windows.
    measures = asm_core.measure(uniform_blocks(40_000), [0], [Operation("max_pool")])
    squares = measures.error[0, 0, 0] ** 2
    tolerance = 5 * squares.std() / math.sqrt(squares.size)
    assert squares.mean() == pytest.approx(1 / 6, abs=tolerance)
    assert math.sqrt(squares.mean()) == pytest.approx(1 / math.sqrt(6), abs=2 * tolerance)
    share = 5 * math.sqrt(3 / 16 / (16 * 40_000))
    assert measures.mask_accuracy[0, 0].mean() == pytest.approx(1 / 4, abs=share)


@pytest.mark.parametrize("window", [2, 4, 8])
def test_the_closed_form_holds_for_every_window(window):
    # Of m = k^2 iid U[0, 1): E (max - first)^2 = m/(m+2) + 1/3 - 2 E[max first],
    # E[max first] = (1/m) m/(m+2) + (1 - 1/m) (1/2) m/(m+2).
    m = window**2
    second = m / (m + 2)
    expected = second + 1 / 3 - 2 * (second / m + (1 - 1 / m) * second / 2)
    errors = asm_core.errors_by_frequency(uniform_blocks(40_000), [0], window=window)
    squares = errors[0] ** 2
    assert squares.mean() == pytest.approx(expected, abs=5 * squares.std() / 200)


@pytest.mark.parametrize("size", [2, 4, 6, 8, 12, 16, 20, 32, 64])
def test_with_all_frequencies_asm_is_exact_and_apx_rounds(size):
    blocks = np.random.default_rng(size).normal(size=(20, size, size))
    last = 2 * size - 2
    measures = asm_core.measure(blocks, [last, last + 1], BOTH)
    assert (measures.error == 0).all()
    assert (measures.mask_accuracy == 1).all()


def test_coefficients_that_are_known_are_taken_as_they_are():
    # Of any other block, to tell: the mask is theirs, the samples those of the blocks.
    random = np.random.default_rng(3)
    blocks, other = random.normal(size=(2, 70, 8, 8))
    known = asm_core.block_dct(other)
    measures = asm_core.measure(blocks, [0, 3, 9, 13], BOTH, coefficients=known)
    for t in (0, 69):
        for f, n in enumerate([0, 3, 9, 13]):
            approximate = oracles.approximate(known[t], n)
            for o, operation in enumerate(["max_pool", "relu"]):
                for m, algorithm in enumerate(["asm", "apx"]):
                    expected = oracles.error(blocks[t], approximate, operation, algorithm)
                    assert measures.error[o, m, f, t] == pytest.approx(expected, abs=1e-13)
    with pytest.raises(ValueError, match=r"shape of the blocks, \(70, 8, 8\), got \(1, 8, 8\)"):
        asm_core.measure(blocks, [0], BOTH, coefficients=known[:1])


def test_every_operation_agrees_with_its_own_mask_and_result():
    # What the kernel measures and what `Operation` does are one thing, for every name there is.
    blocks = np.random.default_rng(6).normal(size=(20, 8, 8))
    for kind in OPERATIONS:
        operation = Operation(kind, 4, 0.2)
        measures = asm_core.measure(blocks, [5], [operation])
        approximate = asm_core.approximate(asm_core.block_dct(blocks), 5)
        exact = operation.exact(blocks)
        masked = operation.masked(blocks, operation.mask(approximate))
        for m, result in enumerate((masked, operation.exact(approximate))):
            expected = asm_core.rmse(result, exact)
            np.testing.assert_allclose(measures.error[0, m, 0], expected, atol=1e-13)


def test_an_operation_that_the_kernel_does_not_know_is_no_other_one(monkeypatch):
    monkeypatch.setattr("asm_core.operations.OPERATIONS", ("large",))
    with pytest.raises(NotImplementedError, match="poolings and rectifiers, and not large"):
        asm_core.errors_by_frequency(np.zeros((8, 8)), [0], "large")


@pytest.mark.parametrize("axis", [1, 2])
def test_blocks_that_are_constant_along_an_axis_keep_their_ties(axis):
    # Rounding must not choose among equal samples: the mask is right wherever the result is.
    lines = np.random.default_rng(2).normal(size=(200, 8))
    blocks = np.repeat(np.expand_dims(lines, axis), 8, axis=axis)
    # n = 7 has all coefficients of a line, and those of the other axis are to be exactly 0.
    measures = asm_core.measure(blocks, [7], BOTH)
    assert (measures.error[:, 0] == 0).all()
    assert (measures.mask_accuracy == 1).all()


def test_with_all_frequencies_asm_is_exact_on_ties_and_flat_blocks():
    blocks = np.random.default_rng(1).integers(0, 2, size=(500, 8, 8)) / 255
    blocks[:100] = blocks[:100, :1, :1]
    measures = asm_core.measure(blocks, [13, 14], BOTH)
    assert (measures.error[:, :, 1] == 0).all()
    assert (measures.mask_accuracy[:, 1] == 1).all()
    assert (measures.mask_accuracy[:, 0] < 1).any()


def test_an_approximate_sample_of_exactly_zero_is_not_kept():
    # The DC is 0, so A_0 = 0 everywhere, nothing is kept, and the positive samples are the error.
    block = np.array([[[1.0, -1.0], [-1.0, 1.0]]])
    error, accuracy, _ = asm_core.measure(block, [0], [Operation("relu")])
    assert error[0, :, 0, 0].tolist() == [math.sqrt(2 / 4)] * 2
    assert accuracy[0, 0, 0] == 0.5


def test_kernels_release_the_lock_and_keep_the_order_of_operations():
    loops = vars(kernels) | vars(transforms)
    compiled = [k for k in loops.values() if isinstance(k, Dispatcher)]
    assert {k.__name__ for k in compiled} == {"measure", "forward", "inverse"}
    assert all(k.targetoptions["nogil"] for k in compiled)
    assert not any(k.targetoptions.get("fastmath") for k in compiled)


def test_constant_blocks_have_no_error_at_any_frequency():
    blocks = np.broadcast_to(np.array([0.3, -0.3, 0.0, 1e9])[:, None, None], (4, 8, 8))
    measures = asm_core.measure(blocks, range(15), BOTH)
    assert (measures.error[:, 0] == 0).all()
    assert (measures.error[:, 1] <= 1e-15 * np.abs(blocks[:, 0, 0])).all()
    assert (measures.mask_accuracy == 1).all()


def test_signed_uniform_blocks_have_exactly_twice_the_error():
    blocks = uniform_blocks(5_000)
    single = asm_core.errors_by_frequency(blocks, range(15))
    double = asm_core.errors_by_frequency(2 * blocks - 1, range(15))
    assert np.array_equal(double, 2 * single)


def test_relu_errors_scale_with_the_block_and_not_with_its_sign():
    blocks = np.random.default_rng(2).normal(size=(200, 8, 8))
    for algorithm in ("asm", "apx"):
        single = asm_core.errors_by_frequency(blocks, range(15), "relu", algorithm)
        assert np.array_equal(
            asm_core.errors_by_frequency(4 * blocks, range(15), "relu", algorithm), 4 * single
        )


def test_the_bits_of_a_trial_do_not_depend_on_its_batch():
    blocks = np.random.default_rng(3).normal(size=(600, 8, 8))
    for operation, algorithm in itertools.product(["max_pool", "relu"], ["asm", "apx"]):
        whole = asm_core.errors_by_frequency(blocks, range(15), operation, algorithm)
        for start, stop in [(0, 1), (599, 600), (17, 300), (255, 258)]:
            part = asm_core.errors_by_frequency(blocks[start:stop], range(15), operation, algorithm)
            assert np.array_equal(part, whole[:, start:stop])


def test_one_pass_gives_the_bits_of_each_frequency_alone():
    blocks = uniform_blocks(30)
    whole = asm_core.errors_by_frequency(blocks, range(15), "max_pool", "apx")
    for n in range(15):
        assert np.array_equal(
            asm_core.errors_by_frequency(blocks, [n], "max_pool", "apx")[0], whole[n]
        )


def test_frequencies_may_come_in_any_order_and_twice():
    blocks = uniform_blocks(10)
    whole = asm_core.errors_by_frequency(blocks, range(15))
    chosen = [9, 0, 9, 40, 3]
    assert np.array_equal(asm_core.errors_by_frequency(blocks, chosen), whole[[9, 0, 9, 14, 3]])


@pytest.mark.parametrize("lead", [(), (4,), (2, 3), (0,)])
def test_errors_keep_the_leading_shape(lead):
    blocks = np.random.default_rng(9).random((*lead, 8, 8))
    errors = asm_core.errors_by_frequency(blocks, range(15))
    assert errors.shape == (15, *lead)
    for index in np.ndindex(lead):
        alone = asm_core.errors_by_frequency(blocks[index], range(15))
        assert np.array_equal(errors[(slice(None), *index)], alone)


def test_measure_gives_operations_and_methods_in_the_order_asked_for():
    blocks = np.random.default_rng(9).normal(size=(7, 8, 8))
    operations = MEASURED[::-1]
    error, accuracy, regret = asm_core.measure(blocks, [3, 5], operations, ["apx", "asm"])
    for o, operation in enumerate(operations):
        for m, algorithm in enumerate(["apx", "asm"]):
            kind, window, slope = operation
            alone = asm_core.errors_by_frequency(
                blocks, [3, 5], kind, algorithm, window=window, slope=slope
            )
            assert np.array_equal(error[o, m], alone)
        _, alone_accuracy, alone_regret = asm_core.measure(blocks, [3, 5], [operation])
        assert np.array_equal(accuracy[o], alone_accuracy[0])
        assert np.array_equal(regret[o], alone_regret[0], equal_nan=True)


def test_no_operation_has_no_measures():
    error, accuracy, regret = asm_core.measure(np.zeros((3, 4, 4)), [0, 1], [])
    assert (error.shape, accuracy.shape, regret.shape) == ((0, 2, 2, 3), (0, 2, 3), (0, 2, 3))


def test_rmse_is_over_the_last_two_axes():
    random = np.random.default_rng(0)
    a, b = random.random((5, 3, 3)), random.random((5, 3, 3))
    expected = [oracles.rmse(x, y) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(asm_core.rmse(a, b), expected, rtol=1e-14)
    assert asm_core.rmse([[3.0]], [[0.0]]) == 3.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"freqs": [-1]}, "n_freqs must be at least 0, got -1"),
        ({"freqs": [1.5]}, "n_freqs must be an integer, got 1.5"),
        ({"window": 3}, "window must divide the block size 8, got 3"),
        ({"operation": "mean_pool"}, "operation must be one of max_pool, .*, got 'mean_pool'"),
        ({"operation": "leaky_relu", "slope": 1.5}, r"slope must be within 0\.\.1, got 1.5"),
        ({"operation": "leaky_relu", "slope": np.nan}, r"slope must be within 0\.\.1, got nan"),
        ({"selection": np.ones((8, 8), int)}, "that of the DC 0, got 1 and 1"),
        ({"selection": np.zeros((4, 4), int)}, r"integers of shape \(8, 8\), .* \(4, 4\)"),
        ({"selection": np.zeros((8, 8))}, "got float64"),
        ({"algorithm": "exact"}, "algorithm must be one of asm, apx, apx_offset, got"),
        ({"selection": "circle"}, "selection must be one of"),
        ({"blocks": np.full((1, 8, 8), np.inf)}, "blocks must be finite, got inf"),
        ({"blocks": np.zeros((1, 8, 4))}, r"\(1, 8, 4\)"),
        ({"blocks": np.zeros((1, 9, 9))}, "even, got 9"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        asm_core.errors_by_frequency(**{"blocks": np.zeros((1, 8, 8)), "freqs": [0], **arguments})


def test_shapes_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match=r"got \(2, 2\) and \(4, 4\)"):
        asm_core.rmse(np.zeros((2, 2)), np.zeros((4, 4)))
    with pytest.raises(ValueError, match=r"shape \(T, N, N\), got \(8, 8\)"):
        asm_core.measure(np.zeros((8, 8)), [0], BOTH)


@pytest.mark.parametrize("value", [2**53 + 2, -(2**53) - 2, 2**62])
def test_whole_numbers_that_float64_would_round_are_refused(value):
    blocks = np.zeros((1, 8, 8), np.int64)
    blocks[0, 3, 4] = value
    with pytest.raises(ValueError, match=rf"blocks must be whole numbers of .* 2\^53 .*{value}"):
        asm_core.errors_by_frequency(blocks, [0])
    blocks[0, 3, 4] = 2**53 if value > 0 else -(2**53)
    assert np.isfinite(asm_core.errors_by_frequency(blocks, [0])).all()
    with pytest.raises(ValueError, match="got 18446744073709551615"):
        asm_core.rmse(np.full((2, 2), 2**64 - 1, np.uint64), np.zeros((2, 2)))
