"""Moments whose bits do not depend on how the values were divided."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asm_core.moments import MOMENTS, add_moments, moments_of

values_of_any_size = st.lists(
    st.one_of(
        st.floats(0, 1, width=32),
        st.floats(0, 2.0**60, width=32),
        st.sampled_from([0.0, np.float32(0.1), np.float32(1e-20)]),
    ),
    min_size=1,
    max_size=60,
)


def exact(values):
    """Count, mean, M2, min, max in rational arithmetic, rounded once."""
    numbers = [Fraction(float(v)) for v in values]
    mean = sum(numbers) / len(numbers)
    m2 = sum((x - mean) ** 2 for x in numbers)
    return [len(numbers), float(mean), float(m2), float(min(numbers)), float(max(numbers))]


def named(row):
    return dict(zip(MOMENTS, row, strict=True))


@given(values_of_any_size)
def test_moments_are_those_of_rational_arithmetic(values):
    row = named(moments_of(np.array(values, np.float32)))
    count, mean, m2, least, most = exact(np.array(values, np.float32))
    assert (row["count"], row["mean"], row["min"], row["max"]) == (count, mean, least, most)
    # M2 is a difference of sums of 106 bits: what cancels is lost below 2^-95 of the squares.
    assert row["M2"] == pytest.approx(m2, rel=1e-15, abs=row["squares"] * 2.0**-95)


@given(values_of_any_size, st.lists(st.integers(0, 60), max_size=8))
def test_any_division_adds_up_to_the_same_bits(values, cuts):
    array = np.array(values, np.float32)
    whole = named(moments_of(array))
    parts = [moments_of(part) for part in np.split(array, sorted(c % len(array) for c in cuts))]
    together = named(add_moments(np.stack(parts)))
    for name in ("count", "mean", "min", "max", "sum", "squares"):
        assert together[name] == whole[name], name
    assert together["M2"] == pytest.approx(whole["M2"], rel=1e-15, abs=whole["squares"] * 2.0**-95)


@settings(max_examples=20)
@given(st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_errors_of_a_sweep_add_up_to_the_same_bits_in_every_moment(unit, seed):
    values = np.random.default_rng(seed).random((3, 1000)).astype(np.float32)
    parts = [moments_of(values[:, start : start + unit]) for start in range(0, 1000, unit)]
    together, whole = add_moments(np.stack(parts)), moments_of(values)
    exactly = [MOMENTS.index(name) for name in ("count", "mean", "M2", "min", "max")]
    assert np.array_equal(together[:, exactly], whole[:, exactly])


def test_what_is_not_measured_is_left_out():
    values = np.array([[1, np.nan, 3], [np.nan, np.nan, np.nan]], np.float32)
    rows = moments_of(values)
    assert named(rows[0])["count"] == 2
    assert named(rows[0])["mean"] == 2
    empty = named(rows[1])
    assert empty["count"] == 0
    assert np.isnan([empty["mean"], empty["min"], empty["max"]]).all()


def test_rows_that_are_missing_are_left_out():
    rows = np.stack([moments_of(np.float32([1, 3])), np.full(len(MOMENTS), np.nan)])
    assert np.array_equal(add_moments(rows), rows[0])
    nothing = named(add_moments(np.full((3, len(MOMENTS)), np.nan)))
    assert nothing["count"] == 0
    assert np.isnan(nothing["mean"])


def test_no_rows_at_all_are_no_values():
    total = add_moments(np.empty((0, 4, len(MOMENTS))))
    assert total.shape == (4, len(MOMENTS))
    assert (total[:, 0] == 0).all()
