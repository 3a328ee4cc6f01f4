"""Functions of the user's own beside ASM, against loops, scipy and the kernel."""

import numba
import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st

from asm_core import Batch, Operation, frequency_rank, measure, measure_function

OPERATIONS = [
    Operation("max_pool"), Operation("min_pool", 4), Operation("relu"),
    Operation("leaky_relu", slope=0.1),
]  # fmt: skip


def drawn(count=9, size=8, seed=0):
    return np.random.default_rng(seed).normal(size=(count, size, size))


def asm(batch):
    return batch.masked(batch.mask(batch.approximate()))


def apx(batch):
    return batch.operation.exact(batch.approximate())


@pytest.mark.parametrize("selection", ["triangle", "square", "zigzag"])
@pytest.mark.parametrize("size", [4, 6, 8, 12])
def test_asm_and_apx_as_a_user_writes_them_have_the_errors_of_the_kernel(size, selection):
    operations = [each for each in OPERATIONS if size % each.window == 0]
    blocks = drawn(size=size)
    freqs = [0, 1, 3, size, size * size, 2]
    expected = measure(blocks, freqs, operations, ["asm", "apx"], selection).error
    for k, function in enumerate([asm, apx]):
        found = measure_function(function, blocks, freqs, operations, selection)
        np.testing.assert_allclose(found, expected[:, k], rtol=1e-9, atol=1e-12)


def test_samples_that_tie_by_definition_are_chosen_as_asm_does():
    # Every window of A_0 is a tie, and so are those of blocks that are equal along their rows.
    blocks = np.repeat(drawn(40)[:, :1], 8, axis=1)
    expected = measure(blocks, range(15), OPERATIONS, ["asm"]).error[:, 0]
    found = measure_function(asm, blocks, range(15), OPERATIONS)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_a_batch_has_what_it_says():
    blocks, ranks = drawn(), frequency_rank(8)
    seen = []

    def function(batch):
        assert isinstance(batch, Batch)
        seen.append((int(batch.kept.sum()), batch.operation.kind))
        np.testing.assert_array_equal(batch.blocks, blocks)
        expected = scipy.fft.dctn(blocks, axes=(1, 2), norm="ortho")
        np.testing.assert_allclose(batch.coefficients, expected, atol=1e-12)
        kept = np.where(batch.kept, expected, 0.0)
        expected = scipy.fft.idctn(kept, axes=(1, 2), norm="ortho")
        np.testing.assert_allclose(batch.approximate(), expected, atol=1e-12)
        for values in (batch.blocks, batch.coefficients):
            with pytest.raises(ValueError, match="read-only"):
                values[0, 0, 0] = 1.0
        return batch.operation.exact(blocks)

    found = measure_function(function, blocks, [3, 0, 20, 99, 14], OPERATIONS[:1], ranks)
    # Of all n that keep the same once, from few coefficients to many.
    assert seen == [(1, "max_pool"), (10, "max_pool"), (64, "max_pool")]
    np.testing.assert_array_equal(found, np.zeros((1, 5, 9)))


def test_where_everything_is_kept_no_rounding_is_an_error():
    blocks = drawn(50, seed=3) * 7

    def mixed(batch):
        exact = batch.operation.exact(batch.approximate())
        return 0.2 * exact + 0.8 * batch.masked(batch.mask(batch.approximate()))

    def rounded(batch):
        return batch.operation.exact(batch.blocks) + 7e-13

    def wrong(batch):
        return batch.operation.exact(batch.blocks) + 7e-11

    for function in (apx, mixed, rounded):
        assert (measure_function(function, blocks, [14], OPERATIONS) == 0).all()
    # 2^-40 of the contrast is 6e-12 here, and no more than that is rounding.
    found = measure_function(wrong, blocks, [14], OPERATIONS)
    np.testing.assert_allclose(found, 7e-11, rtol=1e-3)


def test_coefficients_that_are_known_are_those_of_the_batch():
    blocks, known = drawn(3), np.arange(192.0).reshape(3, 8, 8)

    def function(batch):
        np.testing.assert_array_equal(batch.coefficients, known)
        return batch.blocks

    measure_function(function, blocks, [1], [Operation("relu")], "triangle", known)


@settings(max_examples=30, deadline=None)
@given(st.floats(-300, 300), st.integers(1, 5))
def test_an_error_is_the_root_mean_square_whatever_the_scale(exponent, count):
    scale = 10.0 ** np.clip(exponent, -300, 30)
    blocks, off = drawn(count) * scale, drawn(count, seed=1)[:, ::2, ::2] * scale

    def function(batch):
        return batch.operation.exact(batch.blocks) + off

    found = measure_function(function, blocks, [0], OPERATIONS[:1])[0, 0]
    for t in range(count):
        total = sum((float(x) / scale) ** 2 for x in off[t].ravel())
        # What is added rounds by the size of the samples.
        np.testing.assert_allclose(found[t] / scale, np.sqrt(total / 16), rtol=1e-12)


def test_a_function_that_numba_compiled_is_used_as_it_is():
    @numba.njit
    def first_of_window(batch, shift):
        return batch.blocks[:, ::2, ::2] + shift * batch.operation.window

    def plain(batch):
        return batch.blocks[:, ::2, ::2] + 0.5 * 2

    blocks = drawn()
    found = measure_function(
        lambda batch: first_of_window(batch, shift=0.5), blocks, [1], OPERATIONS[:1]
    )
    np.testing.assert_array_equal(found, measure_function(plain, blocks, [1], OPERATIONS[:1]))


@pytest.mark.parametrize(
    ("results", "words"),
    [
        (
            np.zeros((9, 8, 8)),
            r"must have shape \(9, 4, 4\) \(max_pool at n = 1\), got \(9, 8, 8\)",
        ),
        (np.zeros((9, 4, 4), complex), "must be real numbers .*, got complex128"),
        (np.full((9, 4, 4), np.nan), "must be finite .*, and those of block 0 are not"),
        (np.full((9, 4, 4), 1e200), r"must be at most 3.40282e\+38 off .*block 0"),
        ("text", r"must have shape .*, got \(\)"),
    ],
)
def test_results_that_are_none_are_refused(results, words):
    with pytest.raises(ValueError, match=words):
        measure_function(lambda batch: results, drawn(), [1], OPERATIONS[:1])
