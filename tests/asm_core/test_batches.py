"""Sums by batch of neighbours, and the interval that they give."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from asm_core.batches import add_sums, sums_by_batch
from asm_core.intervals import interval_of, mean_interval
from asm_core.moments import MOMENTS, moments_of
from asm_core.validate import MOST_BATCHES


def interval(values, batch, least=-np.inf):
    """Standard error and ends, by our functions."""
    values = np.asarray(values)
    return interval_of(moments_of(values), sums_by_batch(values, np.asarray(batch)), least)


def by_hand(values, batch):
    """The same by loops over batches, leaving out each in turn."""
    groups = [
        [float(v) for v, b in zip(values, batch, strict=True) if b == k and not math.isnan(v)]
        for k in range(MOST_BATCHES)
    ]
    groups = [group for group in groups if group]
    number, every = len(groups), [v for group in groups for v in group]
    mean = math.fsum(every) / len(every)
    moved = []
    for left_out in range(number):
        rest = [v for k, group in enumerate(groups) if k != left_out for v in group]
        moved.append(mean - math.fsum(rest) / len(rest))
    squares = math.fsum(d * d for d in moved)
    products = math.fsum(a * b for a, b in itertools.pairwise(moved))
    p = products / squares
    p = min(max(p + (1 + 3 * p) / number, 0), 0.8)
    more = (1 + p) / (1 - p)
    most = freedom_by_hand([len(group) for group in groups])
    variance = (number - 1) / number * squares * more
    freedom = max((most + 1) / more - 1, min(1.5, most))
    half = stats.t.ppf(0.975, freedom) * math.sqrt(variance)
    return math.sqrt(variance), mean - half, mean + half


def freedom_by_hand(sizes):
    """Satterthwaite's degrees of freedom, from the covariance of what each batch moves the mean."""
    sizes = np.array(sizes, dtype=float)
    total = sizes.sum()
    # Of sums of independent values of variance 1, whose covariance is diag(sizes).
    moves = [
        np.full(len(sizes), 1 / total)
        - np.where(np.arange(len(sizes)) == k, 0, 1 / (total - sizes[k]))
        for k in range(len(sizes))
    ]
    covariance = np.array(moves) @ np.diag(sizes) @ np.array(moves).T
    return np.trace(covariance) ** 2 / np.trace(covariance @ covariance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_are_those_of_the_values_of_each_batch(dtype):
    random = np.random.default_rng(0)
    values = random.normal(size=(2, 3, 500)).astype(dtype)
    values[0, 1, ::7] = np.nan
    batch = random.integers(-1, 9, 500)
    sums = sums_by_batch(values, batch)
    assert sums.shape == (2, 3, MOST_BATCHES, 3)
    for i, j, k in np.ndindex(2, 3, MOST_BATCHES):
        mine = values[i, j][(batch == k) & ~np.isnan(values[i, j])].tolist()
        assert sums[i, j, k, 0] == len(mine)
        # The rounded sum, and what the rounding left out.
        assert sums[i, j, k, 1] == math.fsum(mine)
        rest = math.fsum([*mine, -sums[i, j, k, 1]])
        assert sums[i, j, k, 2] == pytest.approx(rest, rel=1e-9, abs=1e-30)


@pytest.mark.parametrize("batch", [np.zeros(9, int), np.zeros((1, 10), int), np.full(10, 32)])
def test_batches_that_do_not_fit_are_refused(batch):
    with pytest.raises(ValueError, match="batch must have 10 numbers below 32"):
        sums_by_batch(np.zeros((2, 10)), batch)


@pytest.mark.parametrize("batches", [2, 3, 5, 12, 32])
@pytest.mark.parametrize("alike", [0.0, 0.5, 5.0])
def test_the_interval_is_that_of_the_formulas(batches, alike):
    random = np.random.default_rng(batches)
    batch = np.sort(random.integers(0, batches, 400))
    levels = np.cumsum(random.normal(size=MOST_BATCHES))
    values = random.exponential(size=400) + alike * levels[batch]
    order = random.permutation(400)
    found = interval(values[order], batch[order])
    np.testing.assert_allclose(found, by_hand(values, batch), rtol=1e-10)


def test_batches_without_a_value_are_passed_over():
    random = np.random.default_rng(1)
    batch = np.repeat([1, 4, 5, 20, 31], 10)
    values = random.normal(size=50)
    values[10:20] = np.nan
    np.testing.assert_allclose(interval(values, batch), by_hand(values, batch), rtol=1e-10)
    values[batch != 20] = np.nan
    assert np.isnan(interval(values, batch)).all()


@pytest.mark.parametrize("sizes", [(300, 5), (5, 300, 7, 2), (1, 1, 1, 90), (10, 20, 30, 40)])
def test_the_interval_of_unequal_batches_is_that_of_the_formulas(sizes):
    random = np.random.default_rng(5)
    batch = np.repeat(np.arange(len(sizes)), sizes)
    values = random.exponential(size=len(batch)) + random.normal(size=len(sizes))[batch]
    np.testing.assert_allclose(interval(values, batch), by_hand(values, batch), rtol=1e-9)


@pytest.mark.parametrize("alike", [0.0, 0.5])
@pytest.mark.parametrize(
    "sizes",
    [(2000, *[1] * 10), (1200, 4), (1200, 40, 40, 40), (1000, *[100] * 9), tuple([100] * 10)],
)
def test_intervals_of_unequal_batches_hold_the_mean(sizes, alike):
    random = np.random.default_rng(6)
    batch = np.repeat(np.arange(len(sizes)), sizes)
    levels = alike * random.normal(size=(300, len(sizes)))
    values = random.exponential(size=(300, len(batch))) + levels[:, batch]
    _, low, high = interval(values, batch)
    assert np.mean((low <= 1) & (high >= 1)) >= 0.9


def test_a_batch_of_few_values_more_never_makes_an_interval_narrow():
    random = np.random.default_rng(7)
    values = random.exponential(size=2030)
    batch = np.r_[np.zeros(2000, int), 1 + np.arange(30)]
    _, low, high = interval(values, batch)
    _, low_of_one, high_of_one = interval_of(moments_of(values[:2000]))
    assert high - low > high_of_one - low_of_one


@pytest.mark.parametrize("images", [2, 3, 12])
def test_copies_of_a_batch_have_no_interval(images):
    random = np.random.default_rng(8)
    copies = np.tile(random.exponential(size=(5, 70)).astype(np.float32), images)
    batch = np.repeat(np.arange(images), 70)
    assert np.isnan(interval(copies, batch)).all()
    # The smallest difference that a value can have tells them apart.
    copies[:, 3] = np.nextafter(copies[:, 3], np.float32(np.inf))
    error, low, high = interval(copies, batch)
    assert (error > 0).all()
    assert (low < high).all()


def test_batches_that_alternate_have_students_interval_of_their_means():
    means = np.tile([1.0, 2.0], 6)
    error, low, high = interval(np.repeat(means, 5), np.repeat(np.arange(12), 5))
    expected = stats.t.interval(0.95, 11, means.mean(), stats.sem(means))
    np.testing.assert_allclose((low, high), expected)
    assert error == pytest.approx(stats.sem(means))


def test_equal_values_have_no_width_and_no_end_is_below_the_least():
    values = np.full(60, np.float32(0.1))
    batch = np.repeat(np.arange(12), 5)
    assert interval(values, batch) == (0, np.float32(0.1), np.float32(0.1))
    rare = np.zeros(60)
    rare[:3] = 1
    assert interval(rare, batch)[1] < 0
    assert interval(rare, batch, least=0.0)[1] == 0


def test_values_in_no_batch_have_the_interval_of_independent_ones():
    random = np.random.default_rng(2)
    values = random.exponential(size=(2, 80))
    moments, sums = moments_of(values), sums_by_batch(values, np.full(80, -1))
    needed = [MOMENTS.index(name) for name in ("count", "mean", "M2", "M3")]
    expected = mean_interval(*np.moveaxis(moments[..., needed], -1, 0))
    for found in (interval_of(moments, sums), interval_of(moments)):
        assert np.array_equal(found[1:], expected)
    # One of two curves may have batches.
    sums[1] = sums_by_batch(values[1], np.arange(80) // 8)
    _, low, _ = interval_of(moments, sums)
    assert low[0] == expected[0][0]
    np.testing.assert_allclose(low[1], by_hand(values[1], np.arange(80) // 8)[1])


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_an_interval_has_the_same_bits_however_its_values_are_divided(lengths, seed):
    random = np.random.default_rng(seed)
    values = np.exp(4 * random.normal(size=(3, sum(lengths)))).astype(np.float32)
    batch = random.integers(0, 5, sum(lengths))
    edges = np.cumsum([0, *lengths])
    parts = [sums_by_batch(values[:, a:b], batch[a:b]) for a, b in itertools.pairwise(edges)]
    unmeasured = np.full_like(parts[0], np.nan)
    together = add_sums(np.array([*parts, unmeasured]))
    order = random.permutation(sum(lengths))
    whole = sums_by_batch(values[:, order], batch[order])
    moments = moments_of(values)
    one, other = (np.array(interval_of(moments, sums)) for sums in (whole, together))
    assert one.tobytes() == other.tobytes()


@given(st.floats(1e-3, 1e3), st.floats(-10, 10))
def test_an_interval_moves_and_grows_with_its_values(scale, shift):
    random = np.random.default_rng(3)
    values, batch = random.normal(size=120), np.arange(120) // 10
    error, low, high = interval(values, batch)
    expected = (scale * error, scale * low + shift, scale * high + shift)
    np.testing.assert_allclose(interval(scale * values + shift, batch), expected, atol=1e-9)


def test_of_correlated_values_the_interval_of_batches_holds_and_that_of_independent_ones_fails():
    random = np.random.default_rng(4)
    rows, across, held = 72, 16, np.zeros(2)
    for _ in range(400):
        # Levels that drift from row to row: neighbours are 0.8 alike.
        level, levels = random.normal(), []
        for _ in range(rows):
            level = 0.8 * level + math.sqrt(1 - 0.8**2) * random.normal()
            levels.append(level)
        values = np.repeat(levels, across) + random.normal(size=rows * across)
        moments, sums = moments_of(values), sums_by_batch(values, np.arange(len(values)) // 96)
        for k, (_, low, high) in enumerate((interval_of(moments), interval_of(moments, sums))):
            held[k] += low <= 0 <= high
    naive, batched = held / 400
    assert naive < 0.4
    assert batched > 0.9
