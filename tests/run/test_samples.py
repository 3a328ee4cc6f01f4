"""Some of the tiles of stored sources: spread samples, measured unit by unit."""

import numpy as np
import pytest
import xarray as xr
from helpers.jpegs import picture
from helpers.stores import plan_of
from helpers.sweeps import assert_same, counted, execute, open_store
from PIL import Image

import asm_core
from pipeline import UserError, summarize, sweep
from pipeline.analysis import curves, datasets
from pipeline.audit.verify import verify
from pipeline.cli.main import main
from pipeline.planning import precision
from pipeline.run import rounds, worker
from pipeline.show import plots
from pipeline.sources import files, images, kinds
from pipeline.store import layout

COUNT = 3 * 4 + 2 * 5 + 6 * 6 + 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four images of 12, 10, 36 and 1 tiles."""
    made = tmp_path_factory.mktemp("images")
    for k, shape in enumerate([(24, 32), (16, 40), (48, 48), (8, 8)]):
        Image.fromarray(picture(*shape, seed=k)).save(made / f"{k}.png")
    return made


@pytest.fixture
def source(folder):
    return ["source=images", f"source.images.path={folder}", "freqs=0..14..2"]


def tiles_by_slices(folder):
    cut = []
    for path in sorted(folder.iterdir()):
        luma = np.asarray(Image.open(path).convert("L")) / 255
        for i in range(0, luma.shape[0] - 7, 8):
            cut += [luma[i : i + 8, j : j + 8] for j in range(0, luma.shape[1] - 7, 8)]
    return np.array(cut)


def test_each_trial_is_the_error_of_the_tile_that_its_number_says(tmp_path, source, folder):
    trials = 40
    dataset = sweep([*source, f"trials={trials}", "unit_trials=7", f"out={tmp_path}/s.zarr"])
    blocks, tiles = tiles_by_slices(folder), plan_of(*source, "trials=40").sources[0].tiles[8]
    assert len(blocks) == tiles.count == COUNT
    numbers = [(tiles.start + t * tiles.step) % COUNT for t in range(trials)]
    assert numbers != sorted(numbers)
    expected = asm_core.errors_by_frequency(blocks[numbers], range(0, 15, 2)).astype(np.float32)
    assert np.array_equal(dataset.error.squeeze().to_numpy(), expected)


@pytest.mark.parametrize("quality", ["[]", "30"])
def test_units_batches_and_workers_change_no_bit_of_a_sample(
    tmp_path, source, quality, monkeypatch
):
    given = [*source, f"source.images.quality={quality}", "algorithm=asm,apx", "trials=50"]
    whole = sweep([*given, f"out={tmp_path}/a.zarr"])
    monkeypatch.setattr(worker, "_SAMPLES_PER_BATCH", 1)
    monkeypatch.setattr(worker, "_FEWEST_PER_BATCH", 3)
    cut = sweep([*given, "unit_trials=7", "cluster.threads=3", f"out={tmp_path}/b.zarr"])
    assert_same(whole, cut)


def test_more_of_a_sample_computes_only_the_new_units_and_the_same_as_at_once(tmp_path, source):
    out = f"out={tmp_path}/a.zarr"
    sweep([*source, "trials=20", "unit_trials=10", out])
    assert counted([*source, "trials=58", "unit_trials=10", out]).advanced == 38
    grown = sweep([*source, "trials=58", "unit_trials=10", out])
    assert_same(grown, sweep([*source, "trials=58", f"out={tmp_path}/b.zarr"]))
    report = verify(open_store(tmp_path / "a.zarr"), 1.0)
    assert (report.problems, report.recomputed) == ([], 6)


def test_all_tiles_do_not_go_into_the_store_of_a_sample(tmp_path, source):
    out = f"out={tmp_path}/a.zarr"
    sweep([*source, "trials=20", out])
    for all_tiles in ([], ["trials=all"], [f"trials={COUNT}"], ["extend=true"]):
        with pytest.raises(UserError) as refusal:
            sweep([*source, *all_tiles, out])
        assert (
            "holds another experiment: source images of block_size=8 is a spread sample of its "
            "tiles in the store, all of its tiles in their own order here. Choose another out=..."
        ) in str(refusal.value)
    sweep([*source, "precision=1e-9", "trials=all", out])
    assert open_store(tmp_path / "a.zarr").measured_trials() == COUNT


def test_a_unit_of_a_sample_decodes_each_file_once(source, monkeypatch):
    plan, decoded = plan_of(*source, "trials=50"), []
    monkeypatch.setattr(worker, "_SAMPLES_PER_BATCH", 1)
    monkeypatch.setattr(worker, "_FEWEST_PER_BATCH", 4)

    def decode(file):
        decoded.append(file.path)
        return files.decoded(images.READER, file)

    # One file is kept at a time, as where there are thousands.
    monkeypatch.setattr(images, "_luma", files.Kept(decode, files=1))
    [unit] = plan.grid.units()
    worker.measure_unit(plan, unit)
    assert len(decoded) == len(set(decoded)) > 2


def test_qualities_and_operations_share_the_tiles_of_a_sample(source):
    made = plan_of(*source, "source.images.quality=10,90", "trials=20")
    one, two = (each.tiles for each in made.sources)
    assert one == two


def test_a_sample_of_an_array_of_images_is_spread_and_of_trials_is_not(tmp_path):
    random = np.random.default_rng(0)
    for name, shape in (("trials", (60, 8, 8)), ("images", (2, 64, 48))):
        path = tmp_path / f"{name}.npy"
        np.save(path, random.random(shape))
        [source] = plan_of("source=array", f"source.array.path={path}", "trials=20").sources
        assert source.is_spread(8) == (name == "images")
        blocks = kinds.draw(source, 0, 8, 0, 20)
        if name == "trials":
            assert np.array_equal(blocks, np.load(path)[:20])


def test_a_precision_begins_with_a_spread_sample(tmp_path, photograph, monkeypatch):
    monkeypatch.setattr(precision, "MIN_TRIALS", 300)
    words = ["source=photograph", "precision=0.02", "freqs=0", f"out={tmp_path}/s.zarr"]
    outcome = execute(words, rounds.SilentObserver())
    assert 300 <= outcome.plan.trials < 4800
    assert outcome.plan.sources[0].is_spread(8)
    # The top of the picture has 0.0565.
    dataset = sweep(words)
    assert abs(float(dataset.error.mean()) - 0.0426) < 0.006
    # Independent tiles would have it after 300.
    words = ["source=photograph", "precision=0.007", "freqs=0", f"out={tmp_path}/t.zarr"]
    assert execute(words, rounds.SilentObserver()).plan.trials == 4800


def test_a_precision_is_that_of_strips_and_not_of_independent_tiles(tmp_path, capsys):
    words = ["source=photograph", "freqs=0", f"out={tmp_path}/s.zarr"]
    # Independent tiles would have 0.0015, and have it after some 300.
    assert main(["sweep", *words, "precision=0.002"]) == 0
    said = capsys.readouterr().out
    assert "NOT reached" in said
    assert "after 4,800 trials, which are all there are: add images" in said
    assert main(["sweep", *words, "precision=0.02"]) == 0
    assert "precision=0.02 is reached" in capsys.readouterr().out


def test_the_default_of_a_photograph_is_every_tile_and_the_table_says_how_many(elsewhere, capsys):
    words = ["source=photograph", "freqs=0"]
    assert main(["sweep", *words]) == 0
    printed = capsys.readouterr().out
    assert ": all 4,800 tiles" in printed
    assert "0.04261" in printed
    assert main(["sweep", *words, "trials=1000"]) == 0
    assert ": 1,000 of 4,800 tiles" in capsys.readouterr().out
    assert main(["summary"]) == 0
    assert ": 1,000 of 4,800 tiles" in capsys.readouterr().out
    assert main(["plan", *words, "trials=1000"]) == 0
    planned = capsys.readouterr().out
    assert "photograph: 1,000 of 4,800 tiles of 8 x 8, a spread sample, 0 samples" in planned
    assert main(["plan", *words]) == 0
    assert "photograph: all 4,800 tiles of 8 x 8, 0 samples" in capsys.readouterr().out


def test_the_picture_says_how_many_tiles_it_shows(tmp_path):
    out = f"out={tmp_path}/s.zarr"
    dataset = sweep(["source=photograph", "trials=1000", "freqs=0,6", out])
    for drawn in (
        curves.of_store(open_store(tmp_path / "s.zarr"), 1000),
        datasets.curves_of(summarize(dataset)),
    ):
        title = plots.plot_curves(drawn).get_suptitle()
        assert "1,000 of 4,800 tiles, shaded: 95 % interval" in title


def stored_as_trials(tmp_path, shape=(100, 8, 8)):
    path = tmp_path / "tri.npy"
    np.save(path, np.random.default_rng(0).random(shape))
    return ["source=array", f"source.array.path={path}", "freqs=6"]


@pytest.mark.parametrize("trials", ["auto", "40", "100", "20,40"])
def test_blocks_stored_as_trials_are_extended_by_smaller_ones(tmp_path, trials):
    words = [*stored_as_trials(tmp_path), f"trials={trials}"]
    out, other = (f"{tmp_path}/{name}.zarr" for name in "ab")
    before = summarize(sweep([*words, f"out={out}"]))
    extended = sweep([*words, "block_size=4,8", f"out={out}", "extend=true"])
    assert main(["verify", out, "sample=all"]) == 0
    at_once = sweep([*words, "block_size=4,8", f"out={other}"])
    xr.testing.assert_equal(extended.sortby("block_size").load(), at_once.load())
    # An interval depends on nothing else that is swept.
    assert summarize(at_once).sel(block_size=[8]).equals(before)


@pytest.mark.parametrize(("first", "then"), [("8", "4,8"), ("4", "4,8"), ("4,8", "2,4,8")])
@pytest.mark.parametrize("trials", ["auto", "24", "10"])
def test_a_store_of_images_is_extended_by_other_block_sizes(tmp_path, first, then, trials):
    """Of 24 blocks of 8 x 8, so that 24 are all of these and a sample of smaller ones."""
    words = [*stored_as_trials(tmp_path, (2, 24, 32)), f"trials={trials}"]
    out, other = (f"{tmp_path}/{name}.zarr" for name in "ab")
    sweep([*words, f"block_size={first}", f"out={out}"])
    extended = sweep([*words, f"block_size={then}", f"out={out}", "extend=true"])
    assert main(["verify", out, "sample=all"]) == 0
    at_once = sweep([*words, f"block_size={then}", f"out={other}"])
    xr.testing.assert_equal(extended.sortby("block_size").load(), at_once.load())


def test_a_sample_of_a_block_size_is_not_joined_with_all_of_its_tiles(tmp_path):
    words = stored_as_trials(tmp_path, (2, 24, 32))
    out = f"out={tmp_path}/a.zarr"
    sweep([*words, "block_size=8", "trials=10", out])
    said = "source array of block_size=8 is a spread sample of its tiles in the store, all of its"
    with pytest.raises(UserError, match=said):
        sweep([*words, "block_size=4,8", "extend=true", out])
    # Of the others all are taken.
    sweep([*words, "block_size=4", "extend=true", out])
    assert main(["verify", f"{tmp_path}/a.zarr", "sample=all"]) == 0


def test_a_growth_by_a_block_size_that_was_cut_short_is_finished(tmp_path, monkeypatch):
    words = [*stored_as_trials(tmp_path, (2, 24, 32)), "trials=10"]
    out = f"out={tmp_path}/a.zarr"
    sweep([*words, "block_size=8", out])
    more = [*words, "block_size=4,8", "extend=true", out]
    with monkeypatch.context() as patch:
        patch.setattr(layout, "consolidate", lambda location: 1 / 0)
        with pytest.raises(UserError, match="ZeroDivisionError"):
            sweep(more)
    # The old command makes the axes longer; what the other wanted there is still wanted.
    sweep([*words, "block_size=8", out])
    sweep(more)
    assert main(["verify", f"{tmp_path}/a.zarr", "sample=all"]) == 0
