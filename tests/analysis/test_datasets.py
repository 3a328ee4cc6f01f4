"""Opening stores and statistics over trials."""

import warnings

import numpy as np
import pytest
import scipy.stats
import xarray as xr

from pipeline import UserError, open_results, summarize, sweep
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


def test_the_mean_and_its_uncertainty_are_those_of_numpy_and_scipy(path):
    dataset = open_results(path)
    summary = summarize(dataset)
    errors = dataset.error.to_numpy().astype(np.float64)
    np.testing.assert_allclose(summary["mean_error"], errors.mean(axis=-1), rtol=1e-13)
    deviation = errors.std(axis=-1, ddof=1)
    np.testing.assert_allclose(summary.standard_deviation, deviation, rtol=1e-10)
    standard_error = scipy.stats.sem(errors, axis=-1)
    np.testing.assert_allclose(summary.standard_error, standard_error, rtol=1e-10)
    half = scipy.stats.t.ppf(0.975, 699) * standard_error
    np.testing.assert_allclose(summary.ci_low, errors.mean(axis=-1) - half, rtol=1e-10, atol=1e-16)
    np.testing.assert_allclose(summary.ci_high, errors.mean(axis=-1) + half, rtol=1e-10, atol=1e-16)
    np.testing.assert_allclose(summary.pooled_rmse, np.sqrt((errors**2).mean(axis=-1)), rtol=1e-13)
    assert np.array_equal(summary["min_error"], errors.min(axis=-1))
    assert np.array_equal(summary["max_error"], errors.max(axis=-1))
    assert (summary["measured"] == 700).all()
    accuracy = dataset.mask_accuracy.to_numpy().astype(np.float64).mean(axis=-1)
    np.testing.assert_allclose(summary.mask_accuracy, accuracy, rtol=1e-13)
    assert "algorithm" not in summary.mask_accuracy.dims


def test_the_mean_of_rmses_is_not_the_pooled_rmse(path):
    summary = summarize(open_results(path)).sel(
        {"operation": "max_pool", "algorithm": "asm", "freq": 0}
    )
    assert (summary.pooled_rmse > summary["mean_error"] * 1.005).all()


@pytest.mark.parametrize("trials", [1, 199, 200, 201, 400, 650, 700])
def test_the_ledger_and_the_trials_give_the_same_bits(path, trials):
    by_ledger = curves.of_store(path, trials)
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
    curves.of_store(path, 600)
    assert not read
    # Not all at once where they are many.
    monkeypatch.setattr(curves, "_VALUES_AT_ONCE", 20 * 2 * 2 * 2 * 4)
    curves.of_store(path, 650)
    assert sorted(read) == [
        ("error", 600, 620), ("error", 620, 640), ("error", 640, 650),
        ("mask_accuracy", 600, 640), ("mask_accuracy", 640, 650),
        ("regret", 600, 640), ("regret", 640, 650),
    ]  # fmt: skip


def test_what_was_made_of_a_dataset_is_summarized_and_not_what_is_stored(path):
    dataset = open_results(path)
    summary = summarize(dataset)
    doubled = summarize(dataset.assign(error=dataset.error * 2))
    np.testing.assert_array_equal(
        doubled["mean_error"].to_numpy(), 2 * summary["mean_error"].to_numpy()
    )
    later = summarize(dataset.where(dataset.trial >= 10))
    assert (later["measured"] == 690).all()
    alone = summarize(dataset[["error"]])
    np.testing.assert_array_equal(alone["mean_error"].to_numpy(), summary["mean_error"].to_numpy())
    assert "mask_accuracy" not in alone


@pytest.mark.parametrize(
    "part",
    [slice(0, 1), slice(0, 200), slice(0, 399), slice(0, 401), slice(100, 300), slice(600, 700),
     slice(None, None, 7), [5, 3, 600]],
)  # fmt: skip
def test_any_selection_of_trials_is_summarized_over_those_trials(path, part):
    dataset = open_results(path).isel(trial=part)
    errors = dataset.error.to_numpy().astype(np.float64)
    summary = summarize(dataset)
    assert (summary["measured"] == errors.shape[-1]).all()
    np.testing.assert_allclose(summary["mean_error"], errors.mean(axis=-1), rtol=1e-13)


def test_any_selection_of_curves_can_be_summarized(path):
    dataset = open_results(path)
    whole = summarize(dataset)
    # In a mapping, because `algorithm` alone is an option of xarray's sel.
    chosen = {"source": "uniform", "algorithm": "asm", "freq": [2, 4]}
    part = summarize(dataset.sel(chosen).isel(block_size=1))
    expected = whole.sel(chosen).isel(block_size=1)
    for name in whole.data_vars:
        xr.testing.assert_equal(part[name], expected[name])


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


def test_prefixes_are_the_summaries_of_shorter_runs(path, tmp_path):
    prefixes = summarize(open_results(path), trials=[1, 50, 700])
    assert prefixes.trials.values.tolist() == [1, 50, 700]
    assert (prefixes["measured"].sel(trials=50) == 50).all()
    short = sweep(
        ["trials=50", "block_size=4,8", "operation=max_pool,relu", "algorithm=asm,apx",
         "freqs=0..6..2", f"out={tmp_path}/s.zarr"]
    )  # fmt: skip
    assert np.array_equal(prefixes["mean_error"].sel(trials=50), summarize(short)["mean_error"])
    # One trial has a mean and no spread.
    assert np.isnan(prefixes.standard_error.sel(trials=1)).all()
    assert (summarize(open_results(path), trials=50)["measured"] == 50).all()
    for wrong in (0, 701):
        with pytest.raises(ValueError, match=f"at least 1 and at most 700, got {wrong}"):
            summarize(open_results(path), trials=[50, wrong])


def test_a_store_opens_lazily_with_sorted_names_and_provenance(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = open_results(path)
    assert dataset.error.chunks is not None
    for axis in curves.AXES:
        assert dataset.indexes[axis].is_monotonic_increasing
    assert dataset.error.dims[-1] == "trial"
    assert dataset.coefficients_kept.dims == ("selection", "block_size", "freq")
    assert "trials: [700]" in dataset.attrs["config"]
    assert "numba=" in dataset.attrs["versions"]
    assert dataset.attrs["overrides"].startswith("trials=700 unit_trials=200")
    assert dataset.error.sel(trial=5, freq=2, block_size=8).size == 4
    assert set(dataset.data_vars) == {"error", "mask_accuracy", "regret"}
    assert len(dataset.to_dataframe()) == dataset.error.size


def test_what_is_not_a_store_is_refused(tmp_path):
    with pytest.raises(UserError, match="nowhere is not a store of this program"):
        open_results(str(tmp_path / "nowhere"))


def test_curves_end_where_everything_is_kept(tmp_path):
    dataset = sweep(["block_size=4,8", "freqs=0..20", "trials=10", f"out={tmp_path}/s.zarr"])
    found = {
        name["block_size"]: curves.in_range(curve, name["block_size"])["freq"].tolist()
        for name, curve in datasets.curves_of(summarize(dataset))
    }
    assert found == {4: list(range(7)), 8: list(range(15))}
