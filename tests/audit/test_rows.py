"""Rows of the ledger that are damaged, and trials that are not: no trial is lost for a row."""

import shutil

import numpy as np
import pytest
import zarr
from helpers.damage import flip, problems, truncate, words
from helpers.sweeps import assert_same_bits, bits, open_store
from helpers.unreadable import tree
from PIL import Image

from asm_core.moments import moments_of
from pipeline import open_results, sweep
from pipeline.audit.repair import repair
from pipeline.cli.main import main

# ReLU has no regret; the last unit of each cell is not full.
SWEEP = [
    "block_size=4,8", "freqs=0..3", "operation=max_pool,relu", "trials=250", "unit_trials=100",
]  # fmt: skip
CHUNKS = {
    "error": "ledger/error/c/0/1/0/0/0/0/0/0",
    "mask_accuracy": "ledger/mask_accuracy/c/0/1/0/0/0/0/0",
    "regret": "ledger/regret/c/0/1/0/0/0/0/0",
}


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "s.zarr"
    sweep([*SWEEP, f"out={path}"])
    # One algorithm more, of fewer trials.
    sweep([*SWEEP[:3], "algorithm=asm,apx", "trials=120", "extend=true", f"out={path}"])
    return path


@pytest.fixture
def path(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "s.zarr")
    return tmp_path / "s.zarr"


def trials(path):
    return {name: each for name, each in tree(path).items() if "ledger" not in name}


@pytest.mark.parametrize("metric", CHUNKS)
@pytest.mark.parametrize("damage", [flip, truncate])
def test_rows_are_made_again_of_their_trials_to_the_same_bits(path, whole, metric, damage, capsys):
    before = trials(path)
    damage(path / CHUNKS[metric])
    (problem,) = problems(path)
    assert problem.words.startswith(f"ledger/{metric}, source=uniform block_size=8 trials 0..99")
    assert main(["verify", str(path), "repair=true", "sample=0"]) == 0
    assert "Repaired: nothing is missing." in capsys.readouterr().out
    after = trials(path)
    assert {n: c for n, c in after.items() if "/c/" in n} == {
        n: c for n, c in before.items() if "/c/" in n
    }
    assert_same_numbers(path, whole)
    assert words(path, 1.0) == []


def assert_same_numbers(path, other):
    one, two = (bits(open_results(str(each))) for each in (path, other))
    assert one == two
    ours, theirs = (open_store(each).rows() for each in (path, other))
    for name in ours:
        assert ours[name].tobytes() == theirs[name].tobytes(), name


def test_rows_of_several_metrics_are_made_again_while_one_is_left(path, whole):
    flip(path / CHUNKS["error"])
    flip(path / CHUNKS["regret"])
    repair(open_store(path), problems(path))
    assert_same_numbers(path, whole)
    assert words(path, 1.0) == []


@pytest.mark.parametrize("metric", ["error", "mask_accuracy", "regret"])
@pytest.mark.parametrize("lost", ["flipped", "gone"])
def test_a_unit_whose_trials_are_bad_too_is_computed_again(path, whole, metric, lost):
    flip(path / CHUNKS[metric])
    chunks = sorted((path / metric / "c" / "0" / "1").rglob("1"))
    for chunk in (each for each in chunks if each.is_file()):
        flip(chunk) if lost == "flipped" else chunk.unlink()
    repair(open_store(path), problems(path))
    assert words(path) == []
    counts = open_store(path).counts()[0, 1]
    assert counts[[0, 2]].max(axis=(1, 2, 3, 4)).tolist() == [100, 50]
    assert counts[1].max() == 0
    sweep([*SWEEP, "extend=true", f"out={path}"])
    sweep([*SWEEP[:3], "algorithm=asm,apx", "trials=120", "extend=true", f"out={path}"])
    assert_same_numbers(path, whole)


def test_rows_that_nothing_tells_any_more_are_computed_again(path, whole):
    for chunk in CHUNKS.values():
        flip(path / chunk)
    repair(open_store(path), problems(path))
    assert open_store(path).counts()[0, 1].max() == 0
    sweep([*SWEEP, "extend=true", f"out={path}"])
    sweep([*SWEEP[:3], "algorithm=asm,apx", "trials=120", "extend=true", f"out={path}"])
    assert_same_numbers(path, whole)


@pytest.mark.parametrize("kept", ["none", "120"])
def test_rows_of_trials_that_are_not_kept_are_computed_again(tmp_path, kept):
    arguments = [*SWEEP, f"store_trials={kept}"]
    for name in ("s.zarr", "whole.zarr"):
        sweep([*arguments, f"out={tmp_path / name}"])
    flip(tmp_path / "s.zarr" / CHUNKS["error"])
    repair(open_store(tmp_path / "s.zarr"), problems(tmp_path / "s.zarr"))
    counts = open_store(tmp_path / "s.zarr").counts()[0, 1].max(axis=(1, 2, 3, 4))
    assert counts.tolist() == [0 if kept == "none" else 100, 0, 0]
    sweep([*arguments, f"out={tmp_path}/s.zarr"])
    assert_same_bits(tmp_path / "s.zarr", tmp_path / "whole.zarr")


def test_no_trial_of_files_that_are_gone_is_lost_for_a_row(tmp_path):
    picture, path = tmp_path / "picture.png", tmp_path / "s.zarr"
    samples = np.random.default_rng(0).integers(0, 256, (40, 48), dtype=np.uint8)
    Image.fromarray(samples).save(picture)
    sweep(["source=images", f"source.images.path={picture}", "trials=all", f"out={path}"])
    shutil.copytree(path, tmp_path / "whole.zarr")
    picture.unlink()
    flip(path / "ledger/error/c/0/0/0/0/0/0/0/0")
    repair(open_store(path), problems(path))
    assert_same_bits(path, tmp_path / "whole.zarr")


def test_a_row_of_a_mask_that_sums_up_too_few_trials_is_found(path):
    root = zarr.open_group(path, mode="r+", use_consolidated=False)
    values = root["mask_accuracy"][0, 1, ..., 100:120]
    root["ledger/mask_accuracy"][0, 1, 1] = moments_of(values)
    (found,) = words(path)
    assert "trials 100..199: the ledger's row of mask_accuracy is not that of its" in found
