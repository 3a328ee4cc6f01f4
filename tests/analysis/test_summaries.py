"""A summary by the ledger and one by the trials: the same; and it reads what it is given."""

import shutil

import numpy as np
import pytest
import xarray as xr
from helpers.stores import prepare, write
from helpers.sweeps import open_store
from PIL import Image

from pipeline import UserError, open_results, summarize, sweep

CURVES = [
    "block_size=4,8", "operation=relu,max_pool", "selection=zigzag,triangle", "algorithm=asm,apx",
    "freqs=0..6..2",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("summaries")


@pytest.fixture(scope="module")
def whole(folder):
    path = folder / "whole.zarr"
    sweep([*CURVES, "trials=700", "unit_trials=200", f"out={path}"])
    return path


@pytest.fixture(scope="module")
def unequal(folder):
    """Of a picture, which has four times as many small blocks as large ones."""
    picture = folder / "picture.png"
    samples = np.random.default_rng(0).integers(0, 256, (96, 120), dtype=np.uint8)
    Image.fromarray(samples).save(picture)
    path = folder / "unequal.zarr"
    source = ["source=images", f"source.images.path={picture}", "trials=all", "unit_trials=100"]
    sweep([*CURVES, *source, f"out={path}"])
    return path


@pytest.fixture(scope="module")
def unfinished(folder):
    """Of four units of each cell, the second and the last are not there."""
    path = folder / "unfinished.zarr"
    store, plan = prepare(path, *CURVES, "trials=700", "unit_trials=200")
    write(store, plan, 0, 2)
    return path


@pytest.fixture(scope="module")
def extended(folder):
    """Of frequencies that came later, with fewer trials than the others have."""
    path = folder / "extended.zarr"
    sweep([*CURVES, "trials=500", "unit_trials=200", f"out={path}"])
    later = [*CURVES[:4], "freqs=1..3", "unit_trials=200", "trials=250", "extend=true"]
    sweep([*later, f"out={path}"])
    return path


@pytest.fixture
def path(request):
    return request.getfixturevalue(request.param)


def assert_same_in_every_bit(one, other):
    assert list(one.variables) == list(other.variables)
    assert list(one.sizes.items()) == list(other.sizes.items())
    for name, values in one.variables.items():
        theirs = other.variables[name]
        assert (values.dims, values.dtype) == (theirs.dims, theirs.dtype), name
        assert values.attrs == theirs.attrs, name
        if values.dtype.kind == "T":
            assert values.values.tolist() == theirs.values.tolist(), name
        else:
            assert values.to_numpy().tobytes() == theirs.to_numpy().tobytes(), name
    assert one.attrs == other.attrs


@pytest.mark.parametrize("path", ["whole", "unequal", "unfinished", "extended"], indirect=True)
def test_the_ledger_and_the_trials_give_the_same_summary(path):
    by_ledger = summarize(path)
    assert_same_in_every_bit(by_ledger, summarize(open_results(path)))
    assert not by_ledger.chunks


@pytest.mark.parametrize("path", ["whole", "unequal"], indirect=True)
def test_prefixes_of_the_ledger_are_those_of_the_trials(path):
    longest = open_store(path).measured_trials()
    # Within a unit, at its end, and all.
    wanted = [1, 50, 200, 330, longest]
    by_ledger = summarize(str(path), trials=wanted)
    assert by_ledger.trials.values.tolist() == wanted
    assert by_ledger.mean_error.dims[0] == "trials"
    assert_same_in_every_bit(by_ledger, summarize(open_results(path), trials=wanted))
    for count in (0, longest + 1):
        with pytest.raises(ValueError, match=f"at most {longest}, got {count}"):
            summarize(path, trials=[count])


@pytest.mark.parametrize("kept", ["none", 90, 300])
def test_a_store_that_does_not_keep_its_trials_is_summarized_over_all_that_were_measured(
    whole, tmp_path, kept
):
    path = tmp_path / "s.zarr"
    arguments = ["trials=700", "unit_trials=200", f"store_trials={kept}", f"out={path}"]
    opened = sweep([*CURVES, *arguments])
    assert opened.sizes["trial"] == (0 if kept == "none" else kept)
    summary, expected = summarize(path), summarize(whole)
    assert (summary.measured == 700).all()
    for name in expected.data_vars:
        assert summary[name].to_numpy().tobytes() == expected[name].to_numpy().tobytes(), name
    prefixes = summarize(path, trials=[200, 600])
    expected = summarize(whole, trials=[200, 600])
    for name in expected.data_vars:
        assert prefixes[name].to_numpy().tobytes() == expected[name].to_numpy().tobytes(), name
    with pytest.raises(UserError, match="end within a unit: ask for a multiple of 200, or for all"):
        summarize(path, trials=[350])


def test_what_was_changed_in_place_is_what_is_summarized(whole):
    dataset = open_results(whole).load()
    before = summarize(dataset)
    dataset.error[...] = 0
    summary = summarize(dataset)
    assert (before.mean_error > 0).any()
    assert (summary.mean_error == 0).all()
    assert (summary.max_error == 0).all()
    # The masks are as they were.
    assert summary.mask_accuracy.to_numpy().tobytes() == before.mask_accuracy.to_numpy().tobytes()


def test_a_summary_does_without_its_store(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "s.zarr")
    dataset = open_results(tmp_path / "s.zarr")
    summaries = [summarize(tmp_path / "s.zarr"), summarize(dataset)]
    shutil.rmtree(tmp_path / "s.zarr")
    for summary in summaries:
        xr.testing.assert_equal(summary.load(), summarize(whole))
