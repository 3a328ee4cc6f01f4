"""A whole store, and a copy of it to be damaged."""

import shutil

import numpy as np
import pytest
from helpers.damage import SWEEP
from PIL import Image

from pipeline import sweep


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "s.zarr"
    sweep([*SWEEP, f"out={path}"])
    return path


@pytest.fixture
def path(whole, tmp_path):
    place = tmp_path / "s.zarr"
    shutil.copytree(whole, place)
    return place


@pytest.fixture(scope="session")
def unequal_whole(tmp_path_factory):
    """Of a picture, which has 120 blocks of 4 x 4 and 30 of 8 x 8, in units of 50."""
    folder = tmp_path_factory.mktemp("unequal")
    samples = np.random.default_rng(0).integers(0, 256, (40, 48), dtype=np.uint8)
    Image.fromarray(samples).save(folder / "picture.png")
    source = ["source=images", f"source.images.path={folder}/picture.png"]
    arguments = [*source, "block_size=4,8", "freqs=0..5", "trials=all", "unit_trials=50"]
    sweep([*arguments, f"out={folder}/s.zarr"])
    return folder / "s.zarr"


@pytest.fixture
def unequal(unequal_whole, tmp_path):
    place = tmp_path / "unequal.zarr"
    shutil.copytree(unequal_whole, place)
    return place
