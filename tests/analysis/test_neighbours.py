"""Intervals of stored sources: those of batches of neighbouring tiles, everywhere the same."""

import pickle

import numpy as np
import pytest
import xarray as xr
from helpers.jpegs import picture
from helpers.sweeps import open_store
from PIL import Image
from scipy import stats

from pipeline import compare, open_results, summarize, sweep
from pipeline.analysis import curves, datasets, verdicts
from pipeline.cli.main import main
from pipeline.show import tables

SHAPES = [(40, 64), (64, 72), (48, 48), (80, 56), (32, 120)]
ENDS = ["ci_low", "ci_high", "standard_error", "mean_error"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five images of different size."""
    made = tmp_path_factory.mktemp("images")
    for k, shape in enumerate(SHAPES):
        Image.fromarray(picture(*shape, seed=k)).save(made / f"{k}.png")
    return made


@pytest.fixture(scope="module")
def source(folder):
    return ["source=images", f"source.images.path={folder}", "freqs=0..13", "algorithm=asm,apx"]


def by_images(values, numbers):
    """Mean, standard error and ends, by hand: images are clusters, each left out in turn."""
    counts = [height // 8 * (width // 8) for height, width in SHAPES]
    image = np.repeat(np.arange(len(counts)), counts)[numbers]
    mean = values.mean()
    moved = np.array([mean - values[image != k].mean() for k in np.unique(image)])
    number, squares = len(moved), (moved**2).sum()
    p = (moved[1:] * moved[:-1]).sum() / squares
    p = min(max(p + (1 + 3 * p) / number, 0), 0.8)
    more = (1 + p) / (1 - p)
    error = np.sqrt((number - 1) / number * squares * more)
    # Degrees of freedom of the sum of squares, of how many values each image and the others have.
    taken = np.unique(image, return_counts=True)[1]
    odds = np.outer(o := taken / (len(values) - taken), o)
    np.fill_diagonal(odds, o)
    most = o.sum() ** 2 / (odds**2).sum()
    half = stats.t.ppf(0.975, max((most + 1) / more - 1, 1.5)) * error
    return mean - half, mean + half, error, mean


def test_the_interval_is_that_of_images_as_clusters(tmp_path, source):
    for trials in ([], ["trials=150"]):
        dataset = sweep([*source, *trials, f"out={tmp_path}/{len(trials)}.zarr"])
        tiles = open_store(dataset.attrs["store"]).record.tiles_of("images", 8)
        numbers = tiles.of_trials(0, dataset.sizes["trial"])
        summary = summarize(dataset)
        for freq in (0, 6, 13):
            at = {"algorithm": "asm", "freq": freq}
            values = dataset.error.sel(at).squeeze().to_numpy().astype(float)
            low, *expected = by_images(values, numbers)
            found = [float(summary[name].sel(at).squeeze()) for name in ENDS]
            np.testing.assert_allclose(found, [max(low, 0), *expected], rtol=1e-9)


def same_bits(one, other):
    for name in one.data_vars:
        a, b = (each[name].transpose(*one[name].dims).to_numpy() for each in (one, other))
        assert a.tobytes() == b.tobytes(), name


@pytest.mark.parametrize("trials", ["auto", "200"])
@pytest.mark.parametrize("units", ["unit_trials=37", "unit_trials=131072"])
def test_ledger_and_trials_give_the_same_bits_however_trials_are_divided(
    tmp_path, source, trials, units
):
    given = [*source, f"trials={trials}", "block_size=4,8"]
    whole = sweep([*given, f"out={tmp_path}/a.zarr"])
    sweep([*given, units, f"out={tmp_path}/b.zarr"])
    none = [*given, units, "store_trials=none"]
    sweep([*none, f"out={tmp_path}/c.zarr"])
    expected = summarize(whole)
    for name in ("a", "b", "c"):
        same_bits(expected, summarize(tmp_path / f"{name}.zarr"))
    same_bits(expected, summarize(open_results(tmp_path / "b.zarr")))
    # A number of trials that ends within a unit.
    part = summarize(whole.isel(trial=slice(0, 100)))
    same_bits(part, summarize(tmp_path / "b.zarr", trials=[100]).squeeze("trials"))
    table = curves.of_store(open_store(tmp_path / "b.zarr"), 100)
    assert table.values["ci_low"].tobytes() == part.ci_low.to_numpy().tobytes()


def test_tiles_that_are_neighbours_have_a_wider_interval_than_the_same_errors_alone(photograph):
    dataset = sweep(["source=photograph", "freqs=0", "out=memory://neighbours/a.zarr"])
    alone = xr.Dataset({"error": dataset.error.drop_vars("batch")})
    width, naive = (
        float((s.ci_high - s.ci_low).squeeze()) for s in map(summarize, (dataset, alone))
    )
    assert width > 4 * naive


def test_what_is_computed_of_errors_still_has_the_interval_of_neighbours(tmp_path, source):
    dataset = sweep([*source, f"out={tmp_path}/s.zarr"])
    expected = compare(dataset, "algorithm", "asm", "apx")
    difference = dataset.error.sel(algorithm="asm") - dataset.error.sel(algorithm="apx")
    one = verdicts.interval(difference.squeeze(drop=True))
    np.testing.assert_allclose(one.ci_low, expected.ci_low.squeeze(), rtol=1e-5, atol=1e-9)
    values = difference.sel(freq=6).squeeze().to_numpy().astype(np.float64)
    independent = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
    width = float((expected.ci_high - expected.ci_low).sel(freq=6).squeeze())
    assert width > 1.2 * (independent[1] - independent[0])
    relative = datasets.ratio_trials(dataset.error, dataset.error.sel(freq=0, drop=True))
    assert "batch" in relative.coords


def test_a_store_opened_without_our_code_and_a_file_of_it_have_the_same_intervals(tmp_path, source):
    dataset = sweep([*source, "block_size=4,8", f"out={tmp_path}/s.zarr"])
    expected = summarize(dataset)
    plain = xr.open_zarr(tmp_path / "s.zarr")
    assert "batch" not in plain.coords
    same_bits(expected, summarize(plain))
    dataset.to_netcdf(tmp_path / "s.nc")
    with xr.open_dataset(tmp_path / "s.nc") as read:
        same_bits(expected, summarize(read))
    dataset.to_zarr(tmp_path / "t.zarr", consolidated=False)
    written = xr.open_zarr(tmp_path / "t.zarr", consolidated=False)
    for copy in (written, pickle.loads(pickle.dumps(dataset))):
        assert copy.batch.equals(dataset.batch)
        same_bits(expected, summarize(copy))
    same_bits(expected.sel(block_size=4), summarize(plain.sel(block_size=4)))
    same_bits(expected.sel(block_size=[4]), summarize(plain.sel(block_size=[4])))
    some = [3, 100, 7, 55, 8]
    same_bits(summarize(dataset.isel(trial=some)), summarize(plain.isel(trial=some)))
    with pytest.raises(ValueError, match="does not say any more of which block_size it is"):
        summarize(plain.sel(block_size=4, drop=True))
    # Of one alone nothing is to be said.
    same_bits(expected, summarize(plain.drop_vars("source")))


@pytest.mark.parametrize("opened", [xr.open_zarr, open_results])
def test_what_does_not_say_which_tiles_it_has_is_refused(tmp_path, source, opened):
    sweep([*source, f"out={tmp_path}/s.zarr"])
    dataset = opened(tmp_path / "s.zarr").drop_vars("batch", errors="ignore")
    for renamed, said in [
        ({"source": ["photo"]}, r"source=photo, its store has \['images'\]"),
        ({"block_size": [16]}, r"block_size=16, its store has \[8\]"),
    ]:
        with pytest.raises(ValueError, match=said):
            summarize(dataset.assign_coords(renamed))
        with pytest.raises(ValueError, match=said):
            compare(dataset.assign_coords(renamed), "algorithm", "asm", "apx")
    with pytest.raises(ValueError, match="which trials it has"):
        summarize(dataset.isel(trial=slice(100, 200)).drop_vars("trial"))
    with pytest.raises(ValueError, match="which trials it has"):
        summarize(dataset.drop_vars("trial"))


def test_drawn_sources_beside_stored_ones_keep_their_own_intervals(tmp_path, source):
    beside = ["source=uniform,images", *source[1:], "trials=250"]
    mixed = summarize(sweep([*beside, f"out={tmp_path}/a.zarr"]))
    alone = [*source[2:], "trials=250"]
    same_bits(mixed.sel(source=["uniform"]), summarize(sweep([*alone, f"out={tmp_path}/b.zarr"])))
    stored = summarize(sweep([*source, "trials=250", f"out={tmp_path}/c.zarr"]))
    same_bits(mixed.sel(source=["images"]), stored)
    same_bits(mixed, summarize(tmp_path / "a.zarr"))


def test_sources_and_block_sizes_of_other_tiles_are_not_compared(tmp_path, source):
    given = ["source=uniform,images", *source[1:], "trials=200", "block_size=4,8"]
    dataset = sweep([*given, "source.images.quality=[]", f"out={tmp_path}/a.zarr"])
    with pytest.raises(ValueError, match="block_size=4 and block_size=8 are not the same tiles"):
        compare(dataset.sel(source=["images"]), "block_size", 4, 8)
    compare(dataset.sel(source=["uniform"]), "block_size", 4, 8)
    # Of an independent one the pairs are the tiles of the other.
    found = compare(dataset, "source", "images", "uniform")
    left, right = (dataset.error.sel(source=name) for name in ("images", "uniform"))
    batch = left.batch
    expected = verdicts.interval((left - right).assign_coords(batch=batch))
    np.testing.assert_allclose(found.ci_low, expected.ci_low, rtol=1e-5)
    other = compare(dataset, "source", "uniform", "images")
    np.testing.assert_allclose(other.ci_low, -found.ci_high, rtol=1e-12)


def test_qualities_of_the_same_tiles_are_compared_tile_by_tile(tmp_path, source):
    words = [*source, "source.images.quality=10,90", "trials=150"]
    dataset = sweep([*words, f"out={tmp_path}/a.zarr"])
    found = compare(dataset, "source", "images_q10", "images_q90")
    assert np.isfinite(found.ci_low).all()
    assert float(found.measured.max()) == 150


def test_trials_stored_as_such_are_independent(tmp_path):
    path = tmp_path / "blocks.npy"
    np.save(path, np.random.default_rng(0).random((500, 8, 8)))
    words = ["source=array", f"source.array.path={path}", "freqs=0..13"]
    dataset = sweep([*words, "trials=400", f"out={tmp_path}/a.zarr"])
    assert "batch" not in dataset.coords
    half = (summarize(dataset).ci_high - summarize(dataset).ci_low).sel(freq=0) / 2
    values = dataset.error.sel(freq=0).squeeze().to_numpy().astype(float)
    assert float(half.squeeze()) == pytest.approx(1.96 * stats.sem(values), rel=0.05)


def test_tiles_of_a_single_batch_have_no_interval_and_the_table_says_why(elsewhere, capsys):
    Image.fromarray(picture(64, 64)).save("a.png")
    words = ["source=images", "source.images.path=a.png", "freqs=0"]
    assert main(["sweep", *words, "trials=1"]) == 0
    assert "one strip" not in capsys.readouterr().out
    # All in the first of eight strips.
    dataset = sweep([*words, "unit_trials=2", "out=s.zarr"])
    part = summarize(dataset.isel(trial=slice(0, 5)))
    assert np.isnan([part.ci_low, part.ci_high, part.standard_error]).all()
    assert part.measured.item() == 5
    tables.print_curves(curves.of_store(open_store("s.zarr"), 5))
    said = "No interval: all of these tiles lie in one strip of an image, or in one image."
    assert said in capsys.readouterr().out
    tables.print_curves(curves.of_store(open_store("s.zarr"), 64))
    assert "No interval" not in capsys.readouterr().out


def test_copies_of_an_image_have_no_interval_and_reach_no_precision(elsewhere, capsys):
    for k in range(3):
        Image.fromarray(picture(64, 64)).save(f"{k}.png")
    words = ["source=images", "source.images.path=*.png", "freqs=0,6,14", "precision=0.5"]
    assert main(["sweep", *words, "out=s.zarr"]) == 0
    printed = capsys.readouterr().out
    assert "No interval where errors of all images, or strips of the image, are alike" in printed
    assert "one strip of an image" not in printed
    assert "precision=0.5 is NOT reached: there is no interval at n = 0 after 192" in printed
    summary = summarize(open_results("s.zarr")).squeeze()
    assert np.isnan(summary.ci_low.sel(freq=[0, 6])).all()
    # All errors are 0, and that is said.
    assert summary.ci_low.sel(freq=14) == summary.ci_high.sel(freq=14) == 0
    # One that differs is enough.
    Image.fromarray(picture(64, 64, seed=9)).save("3.png")
    assert main(["sweep", *words, "out=t.zarr"]) == 0
    printed = capsys.readouterr().out
    assert "No interval" not in printed
    assert np.isfinite(summarize(open_results("t.zarr")).ci_low).all()


def test_small_images_beside_a_large_one_have_an_interval(elsewhere, capsys):
    random = np.random.default_rng(0)
    for k, shape in enumerate([(8, 8)] * 40 + [(320, 400)]):
        noise = random.integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(noise).save(f"{k:02d}.png")
    words = ["source=images", "source.images.path=*.png", "freqs=6", "out=s.zarr"]
    assert main(["sweep", *words]) == 0
    assert "No interval" not in capsys.readouterr().out
    summary = summarize(open_results("s.zarr")).squeeze()
    assert summary.ci_low < summary.mean_error < summary.ci_high
