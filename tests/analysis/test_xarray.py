"""What is opened and summed up is at home in xarray: its names, and its ways to keep a dataset."""

import copy
import inspect
import pickle

import matplotlib.pyplot as plt
import pytest
import xarray as xr

from pipeline import compare, open_results, summarize, sweep
from pipeline.analysis.datasets import ratio_trials


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("xarray") / "s.zarr"
    sweep(
        ["trials=60", "unit_trials=50", "block_size=4,8", "operation=max_pool,relu",
         "selection=triangle,square", "algorithm=asm,apx", "freqs=0..6..2", f"out={path}"]
    )  # fmt: skip
    return path


KINDS = ["opened", "plain", "ledger", "by_trials", "by_ledger", "prefixes", "compared"]


@pytest.fixture
def dataset(request, path):
    """A dataset of each kind that a user has in hand."""
    opened = open_results(path)
    return {
        "opened": lambda: opened,
        "plain": lambda: xr.open_zarr(path),
        "ledger": lambda: xr.open_zarr(path, group="ledger", consolidated=False),
        "by_trials": lambda: summarize(opened),
        "by_ledger": lambda: summarize(path),
        "prefixes": lambda: summarize(path, trials=[10, 60]),
        "compared": lambda: compare(opened, "algorithm", "asm", "apx"),
    }[request.param]()


def callables(thing):
    """Every public method of a class, and of what plots it."""
    for owner in (type(thing), type(thing).plot):
        for name in dir(owner):
            method = getattr(owner, name, None)
            if callable(method) and (not name.startswith("_") or name == "__call__"):
                yield f"{owner.__name__}.{name}", method


def keywords():
    """What xarray takes by name, and who takes it."""
    taken = {}
    for thing in (xr.Dataset(), xr.DataArray()):
        for name, method in callables(thing):
            try:
                parameters = inspect.signature(method).parameters
            except ValueError:
                # A built-in one tells nothing, and takes nothing by the names of axes.
                continue
            taken |= dict.fromkeys(parameters, name)
    return taken


@pytest.mark.parametrize("dataset", KINDS, indirect=True)
def test_no_name_collides_with_one_of_xarray(dataset):
    taken = keywords()
    # It looks where it should: `sel` has such a keyword, `plot` such another one.
    assert {"method", "drop", "x", "hue", "dim", "keep_attrs", "axis"} <= taken.keys()
    attributes = {*dir(xr.Dataset()), *dir(xr.DataArray())}
    names = {str(name) for name in (*dataset.variables, *dataset.dims)}
    assert len(names) > 6
    assert {name: taken.get(name, "attribute") for name in names & {*taken, *attributes}} == {}
    # What is attribute of a dataset is also found there.
    assert all(getattr(dataset, name).name == name for name in dataset.variables)


def test_every_axis_is_selected_by_its_name(path):
    opened = open_results(path)
    point = {"source": "uniform", "block_size": 8, "operation": "relu", "selection": "square",
             "algorithm": "asm", "freq": 4}  # fmt: skip
    for axis, value in point.items():
        assert opened.sel(**{axis: value}).error.dims == tuple(
            name for name in opened.error.dims if name != axis
        )
    assert opened.sel(algorithm="asm", freq=4).error.coords["algorithm"] == "asm"
    chosen = opened.error.sel(**point, trial=7)
    assert float(chosen) == float(opened.error.load().loc[{**point, "trial": 7}])
    summary = summarize(path).sel(**point)
    assert float(summary.mean_error) == pytest.approx(
        float(opened.error.sel(**point).astype(float).mean("trial"))
    )


@pytest.fixture
def closed_figures():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def test_a_curve_of_a_summary_is_plotted_and_its_axes_say_what_they_are(path, closed_figures):
    for summary in (summarize(path), summarize(open_results(path))):
        chosen = summary.sel(source="uniform", operation="max_pool", selection="triangle")
        plt.figure()
        (line,) = chosen.sel(block_size=8, algorithm="asm").mean_error.plot()
        assert line.get_xdata().tolist() == [0, 2, 4, 6]
        assert " ".join(line.axes.get_xlabel().split()) == "spatial frequencies kept, n [1]"
        assert " ".join(line.axes.get_ylabel().split()) == "mean error (RMSE per block) [1]"
        plt.figure()
        lines = chosen.sel(block_size=4).mean_error.plot(hue="algorithm")
        assert len(lines) == 2


@pytest.mark.parametrize("dataset", ["opened", "plain", "by_trials", "by_ledger", "prefixes",
                                     "compared"], indirect=True)  # fmt: skip
@pytest.mark.parametrize("way", ["netcdf", "zarr", "pickle", "copy", "deepcopy"])
# What xarray itself says when it writes a store of format 3.
@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
def test_a_dataset_survives_being_kept(dataset, way, tmp_path):
    kept = {
        "netcdf": lambda: _through_netcdf(dataset, tmp_path / "s.nc"),
        "zarr": lambda: _through_zarr(dataset, tmp_path / "t.zarr"),
        "pickle": lambda: pickle.loads(pickle.dumps(dataset)),
        "copy": lambda: dataset.copy(deep=True),
        "deepcopy": lambda: copy.deepcopy(dataset),
    }[way]()
    xr.testing.assert_identical(kept.load(), dataset.load())
    for name in dataset.data_vars:
        # The integers of old netCDF are shorter, and its bytes in another order.
        values = kept[name].to_numpy().astype(dataset[name].dtype)
        assert values.tobytes() == dataset[name].to_numpy().tobytes(), name


def _through_netcdf(dataset, path):
    # The oldest kind of netCDF, which has text and numbers as attributes and nothing else.
    dataset.to_netcdf(path, engine="scipy")
    return xr.open_dataset(path, engine="scipy")


def _through_zarr(dataset, path):
    dataset.to_zarr(path)
    return xr.open_zarr(path)


def test_what_was_kept_is_summarized_as_before(path, tmp_path):
    opened = open_results(path)
    kept = _through_netcdf(opened, tmp_path / "s.nc")
    xr.testing.assert_equal(summarize(kept), summarize(opened))


def test_values_made_of_errors_can_be_kept_too(path, tmp_path):
    opened = open_results(path)
    ratio = ratio_trials(opened.error, opened.error.sel(freq=0, drop=True))
    xr.testing.assert_equal(pickle.loads(pickle.dumps(ratio)), ratio)
