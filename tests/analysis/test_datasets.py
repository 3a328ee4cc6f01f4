"""Statistics over trials."""

import math
from fractions import Fraction

import dask.array as da
import numpy as np
import pytest
import scipy.stats
import xarray as xr
from helpers.oracles import interval_by_hall

from pipeline import UserError, open_results, summarize, sweep
from pipeline.analysis import curves
from pipeline.analysis.datasets import compare, ratio_trials


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
    for point in np.ndindex(errors.shape[:-1]):
        found = [float(summary[end].to_numpy()[point]) for end in ("ci_low", "ci_high")]
        # Where all errors are 0, skewness is not defined; and no mean of errors is below 0.
        expected = interval_by_hall(errors[point]) if errors[point].any() else [0, 0]
        np.testing.assert_allclose(found, np.maximum(expected, 0), rtol=1e-9)
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


def test_an_interval_of_errors_does_not_reach_below_0_and_that_of_other_values_may(path):
    dataset = open_results(path).isel(block_size=[0], freq=[0], operation=[0], algorithm=[0]).load()
    dataset.error[...] = 0
    nothing = summarize(dataset)
    assert nothing.ci_low.item() == nothing.ci_high.item() == 0
    dataset.error[..., 7] = 1
    rare = summarize(dataset)
    assert rare.ci_low.item() == 0 < rare.mean_error.item() < rare.ci_high.item()
    other = summarize(dataset.assign(error=-dataset.error))
    assert other.ci_high.item() > 0
    assert other.ci_low.item() == -rare.ci_high.item()


def test_differences_are_summarized_in_float64_and_have_no_rmse(path):
    dataset = open_results(path)
    compared = compare(dataset, "algorithm", "asm", "apx")
    assert set(compared.data_vars) == set(summarize(dataset).data_vars) - {
        "pooled_rmse", "mask_accuracy", "regret",
    }  # fmt: skip
    errors = dataset.error.transpose("algorithm", ..., "trial").to_numpy().astype(np.float64)
    apx, asm = errors
    for point in np.ndindex(asm.shape[:-1]):
        pairs = zip(asm[point], apx[point], strict=True)
        differences = [Fraction(x) - Fraction(y) for x, y in pairs]
        mean = compared["mean_error"].to_numpy()[point]
        assert mean == float(sum(differences) / len(differences))
        assert mean == pytest.approx(math.fsum(asm[point] - apx[point]) / 700, rel=1e-15)


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
    part = summarize(dataset.sel(source="uniform", algorithm="asm", freq=[2, 4]).isel(block_size=1))
    expected = whole.sel(source="uniform", algorithm="asm", freq=[2, 4]).isel(block_size=1)
    for name in whole.data_vars:
        xr.testing.assert_equal(part[name], expected[name])


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


def test_selections_are_compared_at_equal_numbers_of_coefficients(tmp_path):
    dataset = sweep(
        ["selection=triangle,zigzag", "freqs=0..63", "trials=60", f"out={tmp_path}/s.zarr"]
    )
    compared = compare(dataset, "selection", "triangle", "zigzag").squeeze()
    # Those of triangle, which has fewer; n = 6 of it keeps as many as n = 27 of zigzag.
    assert compared.coefficients_kept.values.tolist() == [
        1, 3, 6, 10, 15, 21, 28, 36, 43, 49, 54, 58, 61, 63, 64,
    ]  # fmt: skip
    errors = dataset.error.squeeze().astype(float)
    expected = errors.sel(selection="triangle", freq=6) - errors.sel(selection="zigzag", freq=27)
    found = float(compared["mean_error"].sel(coefficients_kept=28))
    assert found == pytest.approx(float(expected.mean()), abs=1e-9)


def test_selections_of_several_block_sizes_are_not_compared(tmp_path):
    dataset = sweep(
        ["selection=triangle,zigzag", "block_size=4,8", "trials=5", f"out={tmp_path}/s.zarr"]
    )
    with pytest.raises(ValueError, match="one block size: select it first"):
        compare(dataset, "selection", "triangle", "zigzag")


def test_the_spread_of_a_ratio_is_that_of_repeated_samples():
    # 2,000 samples of 400 pairs: how much the ratio of their means really varies.
    random = np.random.default_rng(0)
    b = random.gamma(4.0, size=(2000, 400))
    a = 0.3 * b + random.normal(size=b.shape) * 0.2 + 0.1
    ratios = a.mean(axis=1) / b.mean(axis=1)
    one = ratio_trials(xr.DataArray(a[0], dims="trial"), xr.DataArray(b[0], dims="trial"))
    assert float(one.mean()) == pytest.approx(ratios[0], rel=1e-12)
    predicted = float(one.std(ddof=1)) / np.sqrt(400)
    # The spread of 2,000 is known to 1.6 %, that of one sample of 400 to 4 %: 4 of both together.
    assert predicted == pytest.approx(ratios.std(ddof=1), rel=0.17)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda d: summarize(d, trials=2.5), ValueError, "whole numbers, got 2.5"),
        (lambda d: summarize(d, trials=[]), ValueError, r"whole numbers, got \[\]"),
        (lambda d: summarize(d.error), ValueError, r"takes a dataset: .* dataset\[\['error'\]\]"),
        (lambda d: summarize(d.mean("trial")), ValueError, "whose error has trials, got the var"),
        (lambda d: summarize(d.drop_vars("error")), ValueError, "whose error has trials, got the"),
        (lambda d: compare(d, "algorithm", "asm", "apxx"), KeyError, "no 'apxx': it has apx, asm"),
    ],
)
def test_what_cannot_be_summed_up_is_said_in_one_line(tmp_path, call, kind, message):
    path = tmp_path / "s.zarr"
    sweep(["trials=9", "freqs=3", "algorithm=asm,apx", f"out={path}"])
    with pytest.raises(kind, match=message):
        call(open_results(path))


@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
@pytest.mark.parametrize("opened", [open_results, xr.open_zarr])
@pytest.mark.parametrize("changed", [{}, {"title": "Mine", "note": 1}])
def test_a_copy_of_results_has_no_ledger_and_is_not_called_damaged(tmp_path, opened, changed):
    path, copy = tmp_path / "s.zarr", tmp_path / "copy.zarr"
    sweep(["trials=9", "freqs=3", f"out={path}"])
    dataset = opened(path).assign_attrs(changed)
    dataset.to_zarr(copy)
    assert np.array_equal(open_results(copy).error, dataset.error)
    expected = summarize(dataset).mean_error
    assert np.array_equal(summarize(open_results(copy)).mean_error, expected)
    with pytest.raises(
        UserError, match="has no ledger, as a copy that xarray wrote: use the store"
    ):
        summarize(copy)


@pytest.fixture
def counted(monkeypatch):
    """A dataset of two algorithms in chunks of 7 trials, and which chunks of it were read."""
    monkeypatch.setattr(curves, "_VALUES_AT_ONCE", 2 * 3 * 16)
    numbers, read = np.random.default_rng(1).random((2, 3, 40), np.float32), []
    numbers[0, 1, 5] = np.nan

    def reading(block, block_info=None):
        read.append(block_info[0]["array-location"][-1])
        return block

    def failing(block):
        raise AssertionError("this variable is not needed")

    lazy = da.from_array(numbers, chunks=(2, 3, 7))
    axes = ("algorithm", "freq", "trial")
    dataset = xr.Dataset(
        {
            "error": (axes, lazy.map_blocks(reading, dtype=np.float32)),
            "other": (axes, lazy.map_blocks(failing, dtype=np.float32)),
        },
        {"algorithm": ["apx", "asm"], "freq": [0, 3, 6], "trial": np.arange(40)},
    )
    return dataset, numbers.astype(np.float64), read


CHUNKS = [(start, min(start + 7, 40)) for start in range(0, 40, 7)]


def test_each_chunk_of_the_errors_is_read_once_and_nothing_else_is(counted):
    dataset, numbers, read = counted
    read.clear()
    summary = summarize(dataset)
    assert sorted(read) == CHUNKS
    np.testing.assert_allclose(summary.mean_error, np.nanmean(numbers, axis=-1), rtol=1e-14)
    assert summary.measured.values.tolist() == (~np.isnan(numbers)).sum(axis=-1).tolist()


def test_a_comparison_reads_each_chunk_once_for_both_sides(counted):
    dataset, numbers, read = counted
    read.clear()
    compared = compare(dataset, "algorithm", "asm", "apx")
    assert sorted(read) == CHUNKS
    differences = numbers[1] - numbers[0]
    np.testing.assert_allclose(compared.mean_error, np.nanmean(differences, axis=-1), rtol=1e-13)
    assert compared.measured.values.tolist() == [40, 39, 40]


@pytest.mark.parametrize("part", [slice(3, 38), slice(7, 14), slice(None, None, 3), slice(0, 0)])
def test_chunks_that_are_cut_are_summed_up_like_whole_ones(counted, part):
    dataset, numbers, _ = counted
    summary = summarize(dataset.isel(trial=part))
    for chunks in ({"trial": 5}, {"trial": -1}, None):
        chosen = dataset[["error"]].isel(trial=part)
        other = summarize(chosen.compute() if chunks is None else chosen.chunk(chunks))
        assert other.mean_error.to_numpy().tobytes() == summary.mean_error.to_numpy().tobytes()
    if numbers[..., part].size:
        expected = np.nanmean(numbers[..., part], axis=-1)
        np.testing.assert_allclose(summary.mean_error, expected, rtol=1e-14)
