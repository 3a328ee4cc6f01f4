"""How far a store is: units and trials of each cell, of everything that was ever asked of it."""

import dataclasses

import pytest
from helpers.damage import SWEEP
from helpers.stores import prepare, write
from helpers.sweeps import open_store

from pipeline import sweep
from pipeline.audit.status import status_of
from pipeline.planning.grid import Unit
from pipeline.store.record import Quarantined


def numbers(status):
    """Units, complete, running, missing and quarantined ones, trials and those done, by size."""
    return {
        cell.block_size: (
            cell.units, cell.complete, cell.running, cell.missing, cell.quarantined,
            cell.trials, cell.trials_done,
        )
        for cell in status.cells
    }  # fmt: skip


def of_path(path, holder=None):
    return status_of(open_store(path), holder)


def set_aside(*units):
    return tuple(Quarantined(Unit(*unit), "why", "when", "retry") for unit in units)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "s.zarr"


def test_a_new_store_has_everything_to_do(path):
    prepare(path, *SWEEP)
    status = of_path(path)
    assert numbers(status) == {4: (3, 0, 0, 3, 0, 250, 0), 8: (3, 0, 0, 3, 0, 250, 0)}
    assert (status.trials, status.trials_left, status.rate) == (500, 500, None)


def test_units_count_as_they_are_written(path):
    write(*prepare(path, *SWEEP), 0, 2)
    status = of_path(path)
    assert numbers(status) == {4: (3, 2, 0, 1, 0, 250, 150), 8: (3, 2, 0, 1, 0, 250, 150)}
    assert status.trials_left == 200


def test_each_cell_counts_its_own_trials(unequal):
    status = of_path(unequal)
    assert numbers(status) == {4: (3, 3, 0, 0, 0, 120, 120), 8: (1, 1, 0, 0, 0, 30, 30)}
    assert status.trials_left == 0


def test_cells_are_in_the_order_of_their_names(path):
    sources = "source=uniform,autoregressive"
    prepare(path, sources, "block_size=8,4", "trials=10")
    cells = [(cell.source, cell.block_size) for cell in of_path(path).cells]
    assert cells == [(name, size) for name in ("autoregressive", "uniform") for size in (4, 8)]


def test_units_in_flight_are_running_but_for_those_that_have_ended(path):
    write(*prepare(path, *SWEEP), 0)
    running = [dataclasses.asdict(Unit("uniform", 8, number, 100 * number, 100 * number + 100))
               for number in range(3)]  # fmt: skip
    status = of_path(path, {"running": running, "computed": 400, "seconds": 2.0})
    assert numbers(status) == {4: (3, 1, 0, 2, 0, 250, 100), 8: (3, 1, 2, 0, 0, 250, 100)}
    assert status.rate == 200


def test_the_rate_of_a_store_that_nobody_sweeps_is_that_of_the_last_sweep(path):
    prepare(path, *SWEEP, computed=500, seconds=4.0)
    assert of_path(path).rate == 125
    assert of_path(path, {"running": []}).rate is None


def test_a_unit_that_is_set_aside_is_not_missing_and_counts_no_longer_once_it_is_there(path):
    aside = set_aside(("uniform", 8, 1, 100, 200), ("uniform", 8, 2, 200, 250))
    store, plan = prepare(path, *SWEEP, quarantined=aside)
    write(store, plan, 0)
    status = of_path(path)
    assert numbers(status)[8] == (3, 1, 0, 0, 2, 250, 100)
    assert numbers(status)[4] == (3, 1, 0, 2, 0, 250, 100)
    assert status.quarantined == aside
    write(store, plan, 2)
    assert numbers(of_path(path))[8] == (3, 2, 0, 0, 1, 250, 150)


def test_what_several_sweeps_asked_for_is_wanted_of_all_of_them(path):
    sweep([*SWEEP, f"out={path}"])
    # Fewer trials, of a new frequency: the units of both have to be complete.
    arguments = ["block_size=8", "freqs=9", "algorithm=asm", "trials=150", "unit_trials=100"]
    prepare(path, *arguments, extend=True)
    status = of_path(path)
    assert numbers(status) == {4: (3, 3, 0, 0, 0, 250, 250), 8: (3, 1, 0, 2, 0, 250, 100)}
    sweep([*arguments, "extend=true", f"out={path}"])
    assert of_path(path).trials_left == 0


def test_fewer_trials_than_there_are_leave_nothing_to_do(path):
    sweep([*SWEEP, f"out={path}"])
    sweep([*SWEEP[:3], "trials=120", f"out={path}"])
    assert numbers(of_path(path)) == {4: (3, 3, 0, 0, 0, 250, 250), 8: (3, 3, 0, 0, 0, 250, 250)}


def test_of_a_growth_that_was_cut_short_what_has_no_place_is_not_counted(path):
    sweep([*SWEEP, f"out={path}"])
    store = open_store(path)
    (run,) = store.record.runs
    grid = run.wanted
    labels = {**grid.labels, "block_size": [16]}
    later = dataclasses.replace(
        run, wanted=dataclasses.replace(grid, labels=labels, cell_trials=((70,),))
    )
    store.update(dataclasses.replace(store.record, runs=(run, later)))
    status = of_path(path)
    assert numbers(status).keys() == {4, 8}
    assert status.trials_left == 0
