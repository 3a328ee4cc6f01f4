"""Curves of a store by its ledger, in NumPy."""

import pytest
import xarray as xr
from helpers.sweeps import open_store

from pipeline import open_results, summarize, sweep
from pipeline.analysis import curves, datasets
from pipeline.store import layout


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("results") / "s.zarr")
    sweep(
        ["trials=700", "unit_trials=200", "block_size=4,8", "operation=max_pool,relu",
         "algorithm=asm,apx", "freqs=0..6..2", f"out={path}"]
    )  # fmt: skip
    return path


@pytest.mark.parametrize("trials", [1, 199, 200, 201, 400, 650, 700])
def test_the_ledger_and_the_trials_give_the_same_bits(path, trials):
    by_ledger = curves.of_store(open_store(path), trials)
    by_trials = datasets.curves_of(summarize(xr.open_zarr(path).isel(trial=slice(0, trials))))
    assert (by_ledger.values["measured"] == trials).all()
    assert by_ledger.labels == by_trials.labels
    assert by_ledger.coefficients_kept.tolist() == by_trials.coefficients_kept.tolist()
    assert by_ledger.values.keys() == by_trials.values.keys()
    for name, values in by_ledger.values.items():
        assert values.shape == by_trials.values[name].shape
        assert values.tobytes() == by_trials.values[name].tobytes(), name


def test_whole_units_come_from_the_ledger_and_only_the_last_from_the_trials(path, monkeypatch):
    read = []

    def watched(root, metric, at, start, stop):
        read.append((metric, start, stop))
        return original(root, metric, at, start, stop)

    original = layout.read_values
    monkeypatch.setattr(layout, "read_values", watched)
    curves.of_store(open_store(path), 600)
    assert not read
    # Not all at once where they are many.
    monkeypatch.setattr(curves, "_VALUES_AT_ONCE", 20 * 2 * 2 * 2 * 4)
    curves.of_store(open_store(path), 650)
    assert sorted(read) == [
        ("error", 600, 620), ("error", 620, 640), ("error", 640, 650),
        ("mask_accuracy", 600, 640), ("mask_accuracy", 640, 650),
        ("regret", 600, 640), ("regret", 640, 650),
    ]  # fmt: skip


def test_the_curves_of_a_selection_are_those_selected(path):
    summary = summarize(open_results(path))
    chosen = {"algorithm": "apx", "block_size": 8, "source": "uniform", "freq": [2, 4]}
    found = datasets.curves_of(summary.sel(chosen))
    assert found.varying == ["operation"]
    (pooling, relu) = found
    assert relu[0] == {
        "source": "uniform", "block_size": 8, "operation": "relu", "selection": "triangle",
        "algorithm": "apx",
    }  # fmt: skip
    expected = summary.sel({**chosen, "operation": "max_pool"}).squeeze()
    assert pooling[1]["freq"].tolist() == [2, 4]
    assert pooling[1]["coefficients_kept"].tolist() == [6, 15]
    for name in summary.data_vars:
        assert pooling[1][name].tolist() == expected[name].values.tolist(), name


def test_curves_end_where_everything_is_kept(tmp_path):
    dataset = sweep(["block_size=4,8", "freqs=0..20", "trials=10", f"out={tmp_path}/s.zarr"])
    found = {
        name["block_size"]: curves.in_range(curve, name["block_size"])["freq"].tolist()
        for name, curve in datasets.curves_of(summarize(dataset))
    }
    assert found == {4: list(range(7)), 8: list(range(15))}
