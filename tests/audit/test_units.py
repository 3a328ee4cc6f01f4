"""A unit is described with the trials that it has, also the last and shorter one of its cell."""

import shutil

import pytest
import zarr
from helpers.damage import LAST_CHUNK, LAST_NAMED, SWEEP, flip, problems, words
from helpers.sweeps import open_store

from pipeline import sweep
from pipeline.audit.difference import compare_stores
from pipeline.store.store import Store


def written_to(path):
    return zarr.open_group(path, mode="r+", use_consolidated=False)


def test_the_last_unit_of_a_cell_ends_at_its_last_trial(path):
    flip(path / LAST_CHUNK)
    (problem,) = problems(path)
    assert problem.words.startswith(f"{LAST_NAMED}: damaged")
    (unit,) = problem.units
    assert (unit.number, unit.start, unit.stop, str(unit)) == (2, 200, 250, LAST_NAMED)


def test_a_row_that_is_not_that_of_its_trials_names_the_trials_there_are(path):
    written_to(path)["error"][0, 1, 0, 0, 0, 2, 230] = 0.125
    assert words(path) == [f"{LAST_NAMED}: the ledger's row of error is not that of its trials"]


def test_every_unit_that_is_computed_again_is_named_by_its_trials(path):
    root = written_to(path)
    for name in ("error", "ledger/error"):
        values = root[name][0, 0]
        root[name][0, 1] = values
    assert words(path, 1.0) == [
        f"source=uniform block_size=8 trials {trials}: computed again, error has other bits"
        for trials in ("0..99", "100..199", "200..249")
    ]


def test_a_unit_that_has_grown_is_described_as_it_is_now(path):
    sweep([*SWEEP[:3], "trials=280", f"out={path}"])
    flip(path / LAST_CHUNK)
    assert words(path)[0].startswith(LAST_NAMED.replace("249", "279"))


def test_of_unequal_cells_each_ends_at_its_own_last_trial(unequal):
    for chunk in ("error/c/0/0/0/0/0/0/2", "error/c/0/1/0/0/0/0/0"):
        flip(unequal / chunk)
    assert [words.partition(": ")[0] for words in words(unequal)] == [
        "source=images block_size=4 trials 100..119",
        "source=images block_size=8 trials 0..29",
    ]


def test_lost_rows_are_those_of_the_units_that_their_cell_has(unequal):
    flip(unequal / "ledger/error/c/0/1/0/0/0/0/0/0")
    problem = problems(unequal)[0]
    named = "source=images block_size=8 trials 0..29"
    assert problem.words.startswith(f"ledger/error, {named} and up to 0 units after it")
    assert list(map(str, problem.units)) == [named]


def test_the_row_of_a_last_unit_that_waits_in_the_journal_is_named_by_its_trials(path, monkeypatch):
    shutil.rmtree(path)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "finish", lambda store, record: None)
        sweep([*SWEEP, f"out={path}"])
    flip(path / "journal" / "rows" / "c.0.1.2.0")
    assert any(words.startswith(f"{LAST_NAMED}: its row: damaged") for words in words(path))


@pytest.mark.parametrize(
    ("size", "chunk", "trials"),
    [(4, "regret/c/0/0/0/0/0/2", "100..119"), (8, "regret/c/0/1/0/0/0/0", "0..29")],
)
def test_differences_are_of_the_trials_that_a_cell_has(unequal_whole, unequal, size, chunk, trials):
    named = f"source=images block_size={size} trials {trials}"
    last = int(trials.partition("..")[2])
    written_to(unequal)["regret"][0, size // 8, 0, 0, 2, last] = 1.0
    one, two = open_store(unequal_whole), open_store(unequal)
    assert compare_stores(one, two)[1] == [f"{named}: regret"]
    flip(unequal / chunk)
    (difference,) = compare_stores(one, two)[1]
    assert difference.startswith(f"{named}: cannot be read")
