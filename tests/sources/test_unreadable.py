"""Sources that the system does not let anybody read: neither missing, nor broken, nor another."""

import os
import time

import numpy as np
import pytest
from helpers.arrays import save
from helpers.unreadable import assert_refused, forbidden, run
from PIL import Image


def image(folder, name):
    folder.mkdir(exist_ok=True)
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(folder / name)
    return folder / name


def plan(kind, path):
    return ["plan", f"source={kind}", f"source.{kind}.path={path}"]


@pytest.mark.parametrize("pattern", ["photos/a.png", "photos", "photos/*.png", "*/a.png"])
@pytest.mark.parametrize("kind", ["images", "jpeg"])
def test_a_folder_of_images_without_access_is_refused_as_such(tmp_path, pattern, kind):
    image(tmp_path / "photos", "a.png")
    place = tmp_path / "photos" if pattern.startswith("photos") else tmp_path
    with forbidden(place):
        [(code, _, said)] = run(plan(kind, tmp_path / pattern))
    assert code == 2
    assert_refused(said, "Permission denied: ask its owner for access", place)


def test_an_image_without_access_is_refused_as_such(tmp_path):
    file = image(tmp_path, "a.png")
    with forbidden(file):
        [(code, _, said)] = run(plan("images", tmp_path))
    assert code == 2
    assert_refused(said, "Permission denied: ask its owner for access", file)


@pytest.mark.parametrize("place", ["cache", "cache/inner"])
def test_a_cache_without_access_is_done_without(tmp_path, monkeypatch, place):
    (tmp_path / "cache" / "inner").mkdir(parents=True)
    monkeypatch.setenv("ASM_SWEEP_CACHE_DIR", str(tmp_path / "cache" / "inner"))
    file = image(tmp_path, "a.png")
    os.utime(file, (0, 0))
    # Change times cannot be set: what was written just now would not be kept anyway.
    time.sleep(2.1)
    with forbidden(tmp_path / place):
        [(code, _, said)] = run(plan("images", file))
    assert (code, said) == (0, "")
    assert not list((tmp_path / "cache" / "inner").iterdir())


@pytest.mark.parametrize("inside", ["", "zarr.json", "c/0", "c/0/0/0"])
def test_an_array_without_access_is_refused_as_such(tmp_path, inside):
    array = save(tmp_path / "a", np.ones((2, 8, 8)), (2, 8, 8))
    with forbidden(array / inside):
        [(code, _, said)] = run(plan("array", array))
    assert code == 2
    assert_refused(said, "Permission denied: ask its owner for access", array)


@pytest.mark.parametrize("closed", ["a.npy", "."])
def test_a_file_of_numpy_without_access_is_refused_as_such(tmp_path, closed):
    folder = tmp_path / "arrays"
    folder.mkdir()
    array = save(folder / "a.npy", np.ones((2, 8, 8)))
    with forbidden(folder / closed):
        [(code, _, said)] = run(plan("array", array))
    assert code == 2
    assert_refused(said, "Permission denied: ask its owner for access", array)
