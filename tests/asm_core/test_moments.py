"""Moments whose bits do not depend on how the values were divided."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asm_core.moments import MOMENTS, RESULTS, add_moments, moments_of, moments_of_each

values_of_any_size = st.lists(
    st.one_of(
        st.floats(0, 1, width=32),
        st.floats(0, 2.0**60, width=32),
        st.sampled_from([0.0, np.float32(0.1), np.float32(1e-20)]),
    ),
    min_size=1,
    max_size=60,
)
HALF_WAY = [0.0, 1.0, 0.0018224089718460457, 1.401298464324817e-45]
HALF_WAY_OF_EIGHT = [0.0, 0.0, 0.0, 0.0, 0.13423555241679686, -1.0, -0.45566748960698333,
                     -8.248440484301765e-41]  # fmt: skip
# Differences of errors: float64 whose squares have more digits than float64 has.
differences = st.lists(st.floats(-1, 1).filter(lambda x: x == 0 or abs(x) > 1e-80), min_size=1,
                       max_size=60)  # fmt: skip


def exact(values):
    """Count, mean, M2, M3, min, max in rational arithmetic, rounded once."""
    numbers = [Fraction(float(v)) for v in values]
    mean = sum(numbers) / len(numbers)
    m2, m3 = (sum((x - mean) ** power for x in numbers) for power in (2, 3))
    rounded = (mean, m2, m3, min(numbers), max(numbers))
    return [len(numbers), *map(float, rounded)]


def named(row):
    return dict(zip(MOMENTS, row, strict=True))


@example(np.array(HALF_WAY))
@example(np.array(HALF_WAY_OF_EIGHT))
@given(
    st.one_of(
        values_of_any_size.map(lambda values: np.array(values, np.float32)),
        differences.map(np.array),
    )
)
def test_moments_are_those_of_rational_arithmetic(values):
    row = named(moments_of(values))
    count, mean, m2, m3, least, most = exact(values)
    assert (row["count"], row["min"], row["max"]) == (count, least, most)
    if row["mean"] != mean:
        # The exact mean is half-way between two doubles, but for less than a pair of them holds.
        true = sum(Fraction(float(x)) for x in values) / len(values)
        assert row["mean"] in [float(true * (1 + sign * Fraction(1, 2**100))) for sign in (-1, 1)]
    # M2 and M3 are differences of sums of 106 bits: what cancels is lost below 2^-95 of these.
    lost = 2.0**-95
    assert row["M2"] == pytest.approx(m2, rel=1e-15, abs=row["squares"] * lost)
    assert row["M3"] == pytest.approx(m3, rel=1e-15, abs=sum(abs(values.astype(float)) ** 3) * lost)


@given(values_of_any_size)
def test_sums_of_cubes_hold_all_digits_of_the_cubes(values):
    # 72 of each; what is left out of high + low, of some 106, is less than that.
    numbers = np.array(values, np.float32)
    row = named(moments_of(numbers))
    cubes = sum(Fraction(float(x)) ** 3 for x in numbers)
    found = Fraction(float(row["cubes"])) + Fraction(float(row["cubes_low"]))
    assert abs(found - cubes) <= cubes * Fraction(1, 2**100)


@given(st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 2), min_size=1, max_size=60))
def test_the_mean_of_differences_has_every_digit(pairs):
    one, other = np.array(pairs, np.float32).T.astype(np.float64)
    row = named(moments_of(one - other))
    assert row["sum"] == math.fsum(one - other)
    assert row["mean"] == exact(one - other)[1]


@given(values_of_any_size, st.lists(st.integers(0, 60), max_size=8))
def test_any_division_adds_up_to_the_same_bits(values, cuts):
    array = np.array(values, np.float32)
    whole = named(moments_of(array))
    parts = [moments_of(part) for part in np.split(array, sorted(c % len(array) for c in cuts))]
    together = named(add_moments(np.stack(parts)))
    for name in ("count", "mean", "min", "max", "sum", "squares", "cubes"):
        assert together[name] == whole[name], name
    for name, sums in (("M2", "squares"), ("M3", "cubes")):
        lost = whole[sums] * 2.0**-95
        assert together[name] == pytest.approx(whole[name], rel=1e-15, abs=lost), name


@settings(max_examples=20)
@given(st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_errors_of_a_sweep_add_up_to_the_same_bits_in_every_moment(unit, seed):
    values = np.random.default_rng(seed).random((3, 1000)).astype(np.float32)
    parts = [moments_of(values[:, start : start + unit]) for start in range(0, 1000, unit)]
    together, whole = add_moments(np.stack(parts)), moments_of(values)
    exactly = [MOMENTS.index(name) for name in RESULTS]
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


def test_values_that_are_all_equal_have_no_spread():
    # Their squares and cubes are rounded, and their sums too.
    values = np.random.default_rng(0).normal(size=2000) * 10.0 ** np.arange(-10, 10).repeat(100)
    found = dict(zip(MOMENTS, moments_of(np.repeat(values[:, None], 37, axis=1)).T, strict=True))
    assert np.array_equal(found["mean"], values)
    assert (found["M2"] == 0).all()
    assert (found["M3"] == 0).all()


def test_moments_of_several_arrays_are_those_of_each():
    random = np.random.default_rng(0)
    arrays = [random.random(shape, np.float32) for shape in [(2, 3, 17), (3, 17), (0, 17), (17,)]]
    arrays[1][0] = np.nan
    together = moments_of_each(arrays)
    assert [each.shape for each in together] == [
        (*values.shape[:-1], len(MOMENTS)) for values in arrays
    ]
    for values, each in zip(arrays, together, strict=True):
        for place in np.ndindex(values.shape[:-1]):
            row, known = named(each[place]), values[place][~np.isnan(values[place])]
            assert row["count"] == len(known)
            if len(known):
                assert [row[name] for name in RESULTS] == exact(known)
