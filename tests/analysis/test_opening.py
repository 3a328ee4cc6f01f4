"""Stores as people open them: labelled, one or several."""

import json
import shutil
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import asm_core
import pipeline
from pipeline import UserError, compare, open_results, summarize, sweep
from pipeline.analysis.datasets import curves_of
from pipeline.planning.axes import METRICS, NAMES
from pipeline.show.plots import plot_curves


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("results") / "s.zarr")
    sweep(
        ["trials=700", "unit_trials=200", "block_size=4,8", "operation=max_pool,relu",
         "algorithm=asm,apx", "freqs=0..6..2", f"out={path}"]
    )  # fmt: skip
    return path


def test_a_store_opens_lazily_with_sorted_names_and_provenance(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = open_results(path)
    assert dataset.error.chunks is not None
    for axis in NAMES:
        assert dataset.indexes[axis].is_monotonic_increasing
    assert dataset.error.dims[-1] == "trial"
    assert dataset.coefficients_kept.dims == ("selection", "block_size", "freq")
    assert "numba=" in dataset.attrs["versions"]
    assert dataset.error.sel(trial=5, freq=2, block_size=8).size == 4
    assert set(dataset.data_vars) == {"error", "mask_accuracy", "regret"}
    assert len(dataset.to_dataframe()) == dataset.error.size


def test_what_is_not_a_store_is_refused(tmp_path):
    with pytest.raises(UserError, match="nowhere is not a store of this program"):
        open_results(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("name", ["freq", "algorithm", "coefficients_kept"])
def test_a_coordinate_that_is_missing_is_damage_and_not_other_names(tmp_path, name):
    path = tmp_path / "s.zarr"
    sweep(["freqs=0..3", "algorithm=asm,apx", "trials=20", f"out={path}"])
    for chunk in (path / name / "c").rglob("*"):
        if chunk.is_file():
            chunk.unlink()
    with pytest.raises(UserError, match=rf"damaged .*{name} has other values than the identity"):
        open_results(path)


def test_everything_in_a_dataset_says_what_it_is(path, tmp_path):
    opened = open_results(path)
    together = open_results([path, shutil.copytree(path, tmp_path / "copy.zarr")])
    compared = compare(opened, "algorithm", "asm", "apx")
    for dataset in (opened, together, summarize(opened), summarize(path), compared):
        for name, values in dataset.variables.items():
            assert values.attrs["long_name"], name
            assert values.attrs["description"], name
            if values.dtype.kind in "iuf":
                assert values.attrs["units"] == "1", name


def test_an_array_s_values_are_as_they_are_and_so_is_their_unit(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((20, 8, 8)))
    dataset = sweep(
        ["source=array", f"source.array.path={tmp_path}/a.npy", f"out={tmp_path}/s.zarr"]
    )
    units = {name: dataset[name].attrs["units"] for name in METRICS}
    assert units == {
        "error": "unit of the samples", "mask_accuracy": "1", "regret": "unit of the samples"
    }  # fmt: skip
    assert summarize(dataset)["mean_error"].attrs["units"] == "unit of the samples"


def array_of(path, unit):
    """A source of a Zarr array whose attributes name a unit, as xarray writes it."""
    values = np.random.default_rng(0).random((20, 8, 8))
    attributes = {} if unit is None else {"units": unit}
    xr.DataArray(values, dims=("image", "y", "x"), name="a", attrs=attributes).to_zarr(
        path, consolidated=False
    )
    return {"kind": "array", "path": f"{path}/a"}


@pytest.mark.parametrize(
    ("units", "shown"),
    [
        (["K"], "K"),
        (["W m-2", "W m-2"], "W m-2"),
        (["K", "Pa"], "unit of the samples"),
        (["K", None], "unit of the samples"),
        ([5], "unit of the samples"),
    ],
)
def test_the_unit_that_an_array_names_is_that_of_its_errors(tmp_path, units, shown):
    sources = {f"s{k}": array_of(tmp_path / f"{k}.zarr", unit) for k, unit in enumerate(units)}
    dataset = sweep(source=sources, out=str(tmp_path / "s.zarr"))
    for name in ("error", "regret"):
        assert dataset[name].attrs["units"] == shown
    assert dataset["mask_accuracy"].attrs["units"] == "1"
    for summary in (summarize(dataset), summarize(tmp_path / "s.zarr")):
        assert summary["mean_error"].attrs["units"] == shown
        axes = plot_curves(curves_of(summary)).axes[0]
        assert axes.get_ylabel() == f"mean error (RMSE per block), {shown}"
    page = pipeline.report(tmp_path / "s.zarr", to=tmp_path / "p.html")
    assert f'"mean_error":"mean error, {shown}"' in Path(page).read_text()
    if len(units) == 1:
        # Another source that has no unit of its own: the values of the two cannot be one's.
        sweep(out=str(tmp_path / "drawn.zarr"), trials=20)
        both = open_results([tmp_path / "drawn.zarr", tmp_path / "s.zarr"])
        assert both.error.attrs["units"] == "unit of the samples"
        assert both.sel(source="s0").error.notnull().any()


def test_the_cost_of_n_is_a_coordinate(path):
    dataset = open_results(path)
    assert dataset.phi.to_series().to_dict() == {0: 1, 2: 3, 4: 5, 6: 7}
    for size in (4, 8):
        ranks = asm_core.frequency_rank(size)
        kept = [asm_core.coefficients_kept(size, n, ranks) for n in (0, 2, 4, 6)]
        at = dataset.sel(block_size=size, selection="triangle")
        assert at.coefficients_kept.values.tolist() == kept
        assert at.share_kept.values.tolist() == [count / size**2 for count in kept]


def test_a_person_reads_the_attributes_and_the_program_has_its_own(path):
    dataset = open_results(path)
    assert set(dataset.attrs) == {
        "title", "description", "command", "seed", "created", "ended", "versions", "commit",
        "dirty", "processor", "store", "record",
    }  # fmt: skip
    assert dataset.attrs["description"] == (
        "Error of apx and asm with operations max_pool and relu, on 4 x 4 and 8 x 8 blocks of "
        "source uniform, n = 0, 2, 4, 6 of selection triangle; 700 trials, seed 0"
    )
    assert dataset.attrs["command"].startswith("python -m pipeline sweep trials=700 ")
    record = json.loads(dataset.attrs["record"])
    stored = xr.open_zarr(path).attrs
    del stored["checksum"]
    assert record == stored


def test_the_first_line_that_is_drawn_of_a_dataset_is_labelled(path):
    errors = open_results(path).error.isel(trial=3).sel(operation="relu", block_size=8)
    lines = errors.squeeze().plot.line(x="freq")
    axes = lines[0].axes
    # xarray breaks lines after 30 letters.
    assert axes.get_xlabel().split() == ["spatial", "frequencies", "kept,", "n", "[1]"]
    assert axes.get_ylabel().split() == ["error", "(RMSE", "of", "each", "block)", "[1]"]
    assert axes.get_legend().get_title().get_text() == "algorithm"
    plt.close("all")


@pytest.fixture
def parts(tmp_path):
    """The stores of one sweep that was run in parts, and of all of it at once."""
    whole = sweep(
        ["block_size=4,8", "algorithm=asm,apx", "freqs=0..6", "trials=300", f"results={tmp_path}"]
    )
    words = [
        ["block_size=8,4", "algorithm=asm", "freqs=0..3"],
        ["block_size=4,8", "algorithm=apx", "freqs=3..6", "unit_trials=70"],
        ["block_size=4", "algorithm=apx,asm", "freqs=0..6"],
        ["block_size=8", "algorithm=asm,apx", "freqs=6,0,1,2,4,5"],
    ]
    stores = [
        sweep([*each, "trials=300", f"out={tmp_path}/part-{k}.zarr"]).attrs["store"]
        for k, each in enumerate(words)
    ]
    return stores, whole


def test_several_stores_are_one_dataset_along_any_axes(parts, tmp_path):
    stores, whole = parts
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        together = open_results(stores[:3])
        assert together.error.chunks is not None
        for name in METRICS:
            assert together[name].dims == whole[name].dims
            assert together[name].dtype == np.float32
        # n = 0 .. 2 of APX and 4 .. 6 of ASM, at 8 x 8, are in no store yet.
        missing = together.error.sel(block_size=8).isnull().sum("trial").squeeze()
        assert missing.sel(algorithm="apx").values.tolist() == [300] * 3 + [0] * 4
        assert missing.sel(algorithm="asm").values.tolist() == [0] * 4 + [300] * 3
        together = open_results(f"{tmp_path}/part-*.zarr")
    for name in (*METRICS, *NAMES, "trial", "coefficients_kept", "share_kept", "phi"):
        assert together[name].dtype == whole[name].dtype, name
        assert together[name].values.tobytes() == whole[name].values.tobytes(), name
    assert summarize(together).equals(summarize(whole))
    assert together.attrs["store"].split("\n") == stores
    assert len(together.attrs["command"].split("\n")) == 4


def test_a_store_with_fewer_trials_is_not_measured_beyond_them(tmp_path):
    short = sweep(["block_size=4", "trials=40", f"results={tmp_path}"])
    long = sweep(["block_size=8", "trials=100", f"results={tmp_path}"])
    both = open_results([short.attrs["store"], long.attrs["store"]])
    assert summarize(both)["measured"].max(["freq"]).values.ravel().tolist() == [40, 100]
    assert both.trial.values.tolist() == list(range(100))
    assert np.array_equal(
        both.error.sel(block_size=4, trial=slice(0, 39)), short.error.sel(block_size=4)
    )


def test_intervals_of_neighbours_stay_where_stores_are_put_together(tmp_path):
    image = np.random.default_rng(1).random((1, 160, 160)).cumsum(axis=1)
    np.save(tmp_path / "a.npy", image)
    words = ["source=array,uniform", f"source.array.path={tmp_path}/a.npy", f"results={tmp_path}"]
    whole = sweep([*words, "block_size=4,8"])
    stores = [sweep([*words, f"block_size={size}"]).attrs["store"] for size in (4, 8)]
    together = open_results(stores)
    xr.testing.assert_equal(summarize(together), summarize(whole))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (["seed=1"], "seed is 0 in the one, 1 in the other"),
        (
            ["source.uniform.low=-1"],
            'source uniform is {"kind": "uniform", "low": 0.0, "high": 1.0} in the one',
        ),
        (["operation.max_pool.window=4"], "operation max_pool is "),
    ],
)
def test_stores_that_mean_other_things_are_no_dataset(tmp_path, other, said):
    one, two = (
        sweep(["trials=10", *words, f"results={tmp_path}"]).attrs["store"] for words in ([], other)
    )
    with pytest.raises(UserError, match="cannot be one dataset") as refused:
        open_results([one, two])
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "xarray.concat" in str(refused.value)


def test_a_pattern_that_matches_nothing_and_no_path_at_all_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"nothing matches .*sweep-\*.zarr: give the path"):
        open_results(f"{tmp_path}/sweep-*.zarr")
    with pytest.raises(UserError, match="no store is given"):
        open_results([])


def test_a_name_that_looks_like_a_pattern_is_a_name(tmp_path):
    path = tmp_path / "a[1].zarr"
    sweep(["trials=10", f"out={path}"])
    assert open_results(path).sizes["trial"] == 10


@pytest.mark.parametrize("chunks", [None, {"trial": 400}])
def test_chunks_are_those_that_are_asked_for(path, chunks):
    dataset = open_results(path, chunks=chunks)
    expected = None if chunks is None else (400, 300)
    assert (dataset.error.chunks and dataset.error.chunks[-1]) == expected
    xr.testing.assert_equal(dataset.load(), open_results(path).load())


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_results_are_written_to_either_format_of_zarr(path, tmp_path, zarr_format):
    dataset = open_results(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset.to_zarr(tmp_path / "t.zarr", zarr_format=zarr_format, consolidated=False)
    again = xr.open_zarr(tmp_path / "t.zarr", consolidated=False)
    xr.testing.assert_identical(again.load(), dataset.load())


def test_results_are_merged_and_joined_without_a_warning(path):
    dataset = open_results(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        merged = xr.merge([dataset[["error"]], dataset[["regret"]], dataset[["mask_accuracy"]]])
        joined = xr.concat([dataset.isel(freq=[0]), dataset.isel(freq=[1, 2, 3])], "freq")
    xr.testing.assert_equal(merged[list(METRICS)], dataset[list(METRICS)])
    xr.testing.assert_equal(joined[list(METRICS)], dataset[list(METRICS)])
    xr.testing.assert_equal(summarize(joined), summarize(dataset))


def test_a_store_that_keeps_no_trials_is_put_together_with_one_that_does(tmp_path):
    none = sweep(["block_size=4", "trials=40", "store_trials=none", f"results={tmp_path}"])
    some = sweep(["block_size=8", "trials=40", f"results={tmp_path}"])
    both = open_results([none.attrs["store"], some.attrs["store"]])
    assert both.error.sel(block_size=4).isnull().all()
    assert np.array_equal(both.error.sel(block_size=8), some.error.sel(block_size=8))
