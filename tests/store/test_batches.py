"""Errors summed up by batch of neighbours, in the ledger: written, grown, checked, mended."""

import numpy as np
import pytest
from helpers.jpegs import picture
from helpers.sweeps import execute, open_store
from PIL import Image

from pipeline import summarize, sweep
from pipeline.audit.difference import compare_stores
from pipeline.audit.repair import repair
from pipeline.audit.verify import verify
from pipeline.run import rounds
from pipeline.store import layout


@pytest.fixture
def source(tmp_path):
    """Options of a source of three images, of 24, 20 and 25 tiles."""
    folder = tmp_path / "images"
    folder.mkdir()
    for k, shape in enumerate([(32, 48), (40, 32), (40, 40)]):
        Image.fromarray(picture(*shape, seed=k)).save(folder / f"{k}.png")
    return ["source=images", f"source.images.path={folder}"]


def problems(path, sample=1.0):
    return [problem.words for problem in verify(open_store(path), sample).problems]


def same_summary(path, other):
    one, two = summarize(path), summarize(other)
    for name in one.data_vars:
        assert one[name].to_numpy().tobytes() == two[name].to_numpy().tobytes(), name


def test_a_row_has_the_sums_of_the_errors_of_each_image(tmp_path, source):
    dataset = sweep([*source, "freqs=0,6", "unit_trials=30", f"out={tmp_path}/s.zarr"])
    sums = open_store(tmp_path / "s.zarr").sums("images", 8)
    assert sums.shape == (3, 1, 1, 1, 2, 32, 3)
    totals = sums.sum(axis=0)[0, 0, 0]
    errors = dataset.error.squeeze().to_numpy().astype(float)
    for k, (start, stop) in enumerate([(0, 24), (24, 44), (44, 69)]):
        assert totals[:, k, 0].tolist() == [stop - start] * 2
        np.testing.assert_allclose(totals[:, k, 1], errors[:, start:stop].sum(axis=1), rtol=1e-14)
    assert not totals[:, 3:].any()


def test_stores_of_drawn_blocks_have_no_sums(tmp_path):
    sweep(["trials=20", f"out={tmp_path}/s.zarr"])
    assert not (tmp_path / "s.zarr" / "ledger" / "batches").exists()
    assert open_store(tmp_path / "s.zarr").sums("uniform", 8) is None


def test_sums_grow_with_trials_and_every_axis(tmp_path, source):
    out = f"out={tmp_path}/a.zarr"
    sweep([*source, "freqs=0..3", "trials=35", "unit_trials=10", out])
    sweep([*source, "freqs=0..3", "trials=52", out])
    sweep([*source, "freqs=0..6", "algorithm=asm,apx", "trials=60", out, "extend=true"])
    words = ["freqs=0..6", "algorithm=asm,apx", "trials=60", "store_trials=none"]
    sweep([*source, *words, f"out={tmp_path}/b.zarr"])
    same_summary(tmp_path / "a.zarr", tmp_path / "b.zarr")
    for name in ("a", "b"):
        assert problems(tmp_path / f"{name}.zarr") == []
    assert compare_stores(*(open_store(tmp_path / f"{name}.zarr") for name in "ab"))[1] == []


def test_a_store_of_drawn_blocks_takes_a_stored_source(tmp_path, source):
    out = f"out={tmp_path}/a.zarr"
    sweep(["freqs=0..3", "trials=40", "unit_trials=15", out])
    sweep([*source, "freqs=0..3", "trials=40", out, "extend=true"])
    assert problems(tmp_path / "a.zarr") == []
    sweep([*source, "freqs=0..3", "trials=40", f"out={tmp_path}/b.zarr"])
    mixed, alone = summarize(tmp_path / "a.zarr"), summarize(tmp_path / "b.zarr")
    assert mixed.ci_low.sel(source=["images"]).equals(alone.ci_low)


@pytest.mark.parametrize("kept", ["all", "none"])
def test_sums_that_are_not_those_of_the_trials_are_found_and_mended(tmp_path, source, kept):
    path = tmp_path / "s.zarr"
    words = [*source, "freqs=0..3", "unit_trials=30", f"store_trials={kept}", f"out={path}"]
    sweep(words)
    sound = summarize(path)
    # One error of a unit counted in another image, or changed, with every checksum right.
    for number, changed in ((0, (0, 1.0)), (1, (1, 1e-3))):
        array = layout.open_root(open_store(path).location, "r+")["ledger/batches"]
        array[0, 0, number, 0, 0, 0, 2, 1, changed[0]] += changed[1]
    found = problems(path)
    said = "row of batches is not that of" if kept == "all" else "batches"
    assert [said in words for words in found] == [True, True]
    store = open_store(path)
    repair(store, verify(store, 1.0).problems)
    assert execute(words, rounds.SilentObserver()).computed == 60
    assert problems(path) == []
    assert summarize(path).ci_high.equals(sound.ci_high)


@pytest.mark.parametrize(("kept", "computed"), [("all", 0), ("none", 69), ("40", 69)])
def test_sums_that_cannot_be_read_are_made_again_of_the_trials_or_computed(
    tmp_path, source, kept, computed
):
    path = tmp_path / "s.zarr"
    words = [*source, "freqs=0..3", "unit_trials=50", f"store_trials={kept}", f"out={path}"]
    sweep(words)
    sound = summarize(path)
    [chunk] = (path / "ledger" / "batches" / "c").rglob("0/0/0/0/0/0/0/0/0")
    chunk.write_bytes(chunk.read_bytes()[::-1])
    store = open_store(path)
    report = verify(store, 0.0)
    assert any("ledger/batches, source=images" in problem.words for problem in report.problems)
    repair(store, report.problems)
    assert execute(words, rounds.SilentObserver()).computed == computed
    assert problems(path) == []
    assert summarize(path).equals(sound)


def test_a_lost_row_of_sums_is_found(tmp_path, source):
    path = tmp_path / "s.zarr"
    sweep([*source, "freqs=0", f"out={path}"])
    array = layout.open_root(open_store(path).location, "r+")["ledger/batches"]
    array[...] = np.nan
    assert any("row of batches" in words for words in problems(path, 0.0))
