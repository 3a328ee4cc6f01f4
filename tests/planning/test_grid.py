"""The one definition of complete: what of a grid is there, what is missing, and how much."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.planning.axes import METRICS, NAMES
from pipeline.planning.grid import Grid


@st.composite
def grids(draw):
    """A grid of a few small cells, some of them of other lengths than others."""
    lengths = [draw(st.integers(1, 2)) for _ in NAMES]
    labels = {axis: list(range(length)) for axis, length in zip(NAMES, lengths, strict=True)}
    row = st.tuples(*[st.integers(0, 20)] * lengths[1])
    trials = tuple(draw(row) for _ in range(lengths[0]))
    return Grid(labels, trials, draw(st.integers(1, 7)))


@st.composite
def grids_and_counts(draw):
    """A grid, and counts of a store that has fewer units than the grid wants, or more."""
    grid = draw(grids())
    units = draw(st.integers(0, grid.units_of(grid.trials) + 2))
    cells, curve = ([len(grid.labels[a]) for a in names] for names in (NAMES[:2], NAMES[2:]))
    # Mostly whole units, as a store has; some shorter or longer than what is wanted of them.
    seed, share = draw(st.integers(0, 2**32)), draw(st.sampled_from([0.0, 0.1, 0.5]))
    random = np.random.default_rng(seed)
    shape = (*cells, units, *curve)
    ragged = random.integers(0, grid.unit_trials + 1, shape)
    return grid, np.where(random.random(shape) < share, ragged, grid.unit_trials)


def place(grid, unit):
    labels = grid.labels
    return labels["source"].index(unit.source), labels["block_size"].index(unit.block_size)


def trials_of(grid, counts, unit):
    """Trials of each point of a unit's curves, 0 where the store has no such unit."""
    curve = counts.shape[3:]
    known = unit.number < counts.shape[2]
    return counts[(*place(grid, unit), unit.number)] if known else np.zeros(curve, int)


@given(grids_and_counts())
def test_every_unit_is_either_complete_or_missing(case):
    grid, counts = case
    complete = grid.complete(counts)
    missing = [each.unit for each in grid.missing(counts)]
    assert [unit for unit in grid.units() if unit in complete] == complete
    assert [unit for unit in grid.units() if unit not in complete] == missing
    assert len(complete) + len(missing) == grid.unit_count


@given(grids_and_counts())
def test_a_unit_is_complete_where_every_point_has_the_trials_that_are_wanted(case):
    grid, counts = case
    complete = grid.complete(counts)
    for unit in grid.units():
        assert (unit in complete) == bool((trials_of(grid, counts, unit) >= unit.trials).all())


@given(grids_and_counts())
def test_what_lacks_is_what_the_poorest_point_of_a_missing_unit_lacks(case):
    grid, counts = case
    lacking = grid.lacking(counts)
    missing = [each.unit for each in grid.missing(counts)]
    assert lacking.shape == grid.wanted.shape
    for unit in grid.units():
        lacks = int(lacking[(*place(grid, unit), unit.number)])
        assert lacks == max(0, unit.trials - int(trials_of(grid, counts, unit).min()))
        assert (lacks > 0) == (unit in missing)
    assert (lacking > 0).sum() == len(missing)


@given(grids_and_counts())
def test_the_parts_of_a_missing_unit_are_the_points_that_lack_trials(case):
    grid, counts = case
    for each in grid.missing(counts):
        lacks = trials_of(grid, counts, each.unit) < each.unit.trials
        held = np.zeros(lacks.shape, int)
        for part in each.parts:
            held[np.ix_(*part)] += 1
        # No parts means all of it.
        assert np.array_equal(held if each.parts else np.ones_like(held), lacks.astype(int))


@given(grids())
def test_without_a_store_everything_is_missing(grid):
    assert [each.unit for each in grid.missing(None)] == list(grid.units())
    assert all(each.parts == () for each in grid.missing(None))
    assert grid.lacking(None).sum() == grid.wanted.sum() == grid.total_trials


def test_the_label_of_regret_is_true_of_min_pooling():
    # The smallest sample less the chosen one is at most 0, regret at least 0.
    assert "|exact extreme - chosen sample|" in METRICS["regret"].long_name
