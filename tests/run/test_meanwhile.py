"""What another sweep does to a store after it was planned for and before its lock is taken."""

import pytest
from helpers.sweeps import assert_same, bits, counted, open_store

from pipeline import UserError, open_results, sweep
from pipeline.audit.verify import verify
from pipeline.store import lock
from pipeline.store.store import Store


@pytest.fixture
def meanwhile(monkeypatch):
    """Have something done just before the next sweep takes its lock."""

    def do(act):
        def held(location, *rest):
            monkeypatch.setattr(lock, "held", original)
            act()
            return original(location, *rest)

        original = lock.held
        monkeypatch.setattr(lock, "held", held)

    return do


@pytest.fixture
def whole(tmp_path):
    return sweep(["trials=300", "unit_trials=100", f"out={tmp_path}/whole.zarr"])


@pytest.mark.parametrize("stored", [0, 100])
def test_what_is_complete_meanwhile_is_not_computed_again(tmp_path, whole, meanwhile, stored):
    out, path = f"out={tmp_path}/s.zarr", tmp_path / "s.zarr"
    if stored:
        sweep([f"trials={stored}", "unit_trials=100", out])
    arguments = ["trials=300", "unit_trials=100", out]
    meanwhile(lambda: sweep(arguments))
    observer = counted(arguments)
    assert (observer.todo, observer.done, observer.advanced) == (0, 300, 0)
    assert_same(whole, open_results(path))
    assert verify(open_store(path), 1.0).problems == []
    assert not (path / "journal").exists()


def test_of_what_was_stored_meanwhile_only_the_rest_is_computed(tmp_path, whole, meanwhile):
    out = f"out={tmp_path}/s.zarr"
    meanwhile(lambda: sweep(["trials=200", "unit_trials=100", out]))
    observer = counted(["trials=300", "unit_trials=100", out])
    assert (observer.todo, observer.done, observer.advanced) == (100, 200, 100)
    assert_same(whole, open_results(tmp_path / "s.zarr"))


def test_rows_that_a_killed_sweep_left_meanwhile_count(tmp_path, whole, meanwhile, monkeypatch):
    out = f"out={tmp_path}/s.zarr"

    def killed():
        with monkeypatch.context() as patch:
            patch.setattr(Store, "finish", lambda store, record: None)
            sweep(["trials=200", "unit_trials=100", out])

    meanwhile(killed)
    assert counted(["trials=300", "unit_trials=100", out]).advanced == 100
    assert_same(whole, open_results(tmp_path / "s.zarr"))


def test_units_of_the_size_that_a_store_has_meanwhile_are_taken_over(tmp_path, whole, meanwhile):
    out = f"out={tmp_path}/s.zarr"
    meanwhile(lambda: sweep(["trials=80", "unit_trials=40", out]))
    assert counted(["trials=300", "unit_trials=100", out]).advanced == 220
    assert bits(open_results(tmp_path / "s.zarr")) == bits(whole)


def test_another_experiment_that_took_the_place_meanwhile_is_refused(tmp_path, meanwhile):
    out = f"out={tmp_path}/s.zarr"
    meanwhile(lambda: sweep(["trials=20", "seed=1", out]))
    with pytest.raises(UserError, match="seed is 1 in the store, 0 here"):
        sweep(["trials=20", out])
    assert counted(["trials=20", "seed=1", out]).advanced == 0


def test_a_store_that_grew_meanwhile_is_not_tidied_back(tmp_path, meanwhile, monkeypatch):
    out, path = f"out={tmp_path}/s.zarr", tmp_path / "s.zarr"
    part = ["freqs=0..3", "trials=50", out]
    more = ["freqs=0..9", "trials=70", "extend=true", out]
    with monkeypatch.context() as patch:
        patch.setattr(Store, "finish", lambda store, record: None)
        sweep(part)
    meanwhile(lambda: sweep(more))
    # It finds all that it wants, and rows that a killed sweep has left to be tidied up.
    again = counted(part)
    assert (again.todo, again.advanced) == (0, 0)
    assert open_results(path).freq.values.tolist() == list(range(10))
    assert len(open_store(path).record.runs) == 2
    assert verify(open_store(path), 1.0).problems == []
    assert_same(sweep(more), sweep([*more[:2], f"out={tmp_path}/w.zarr"]))
