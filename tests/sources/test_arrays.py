"""Blocks from .npy files and Zarr arrays, against slices of NumPy; and what is refused."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import zarr
from helpers.arrays import cut, draw, resolve, save, values

from pipeline import UserError
from pipeline.sources import kinds

DTYPES = ["bool", "u1", "i2", "<u4", ">i8", "f2", ">f4", "f8"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("chunks", [None, (5, 9, 16)])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_blocks_are_the_values_as_they_are(tmp_path, dtype, chunks, zarr_format):
    array = values((7, 9, 16), dtype)
    options = {"zarr_format": zarr_format} if chunks else {}
    source = resolve(save(tmp_path / "a.npy", array, chunks, **options), 4, 8)
    assert source.available == {4: 7 * 8, 8: 7 * 2}
    for size in (4, 8):
        blocks = draw(source, size)
        assert blocks.dtype == np.float64
        assert np.array_equal(blocks, cut(array, size))


def test_an_array_at_a_url_is_read():
    array = values((5, 8, 8))
    url = "memory://folder/of/arrays"
    zarr.create_array(url, shape=array.shape, chunks=(2, 8, 8), dtype="f8")[...] = array
    source = resolve(url)
    assert str(source.content.location) == url
    assert np.array_equal(draw(source), cut(array, 4))


def test_a_file_url_and_a_relative_path_are_the_file(tmp_path, monkeypatch):
    path = save(tmp_path / "a.npy", values((2, 4, 4)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (f"file://{path}", "a.npy", "~/a.npy", "./deep/../a.npy"):
        assert resolve(name).content == resolve(path).content


def test_a_zarr_array_that_changes_after_planning_is_an_error(tmp_path):
    array = values((10, 8, 8))
    source = resolve(save(tmp_path / "a", array, (2, 8, 8)))
    os.utime(tmp_path / "a/c/3/0/0", ns=(1, 1))
    with pytest.raises(ValueError, match="has changed since the sweep was planned"):
        draw(source, 4, 0, 1)


def test_samples_beyond_the_last_whole_tiles_are_dropped(tmp_path):
    source = resolve(save(tmp_path / "a.npy", values((3, 9, 22))))
    assert source.available == {4: 3 * 2 * 5}
    assert kinds.dropped(source, 4) == 3 * (9 * 22 - 8 * 20)


def test_the_identity_is_values_shape_and_dtype_however_they_lie(tmp_path, tiny_slabs):
    array = values((6, 8, 10), "f4")
    same = resolve(save(tmp_path / "a.npy", array)).identity
    assert set(same) == {"kind", "shape", "dtype", "sha256"}
    others = [
        save(tmp_path / "swapped.npy", array.astype(">f4")),
        save(tmp_path / "zarr2", array, (4, 3, 10), zarr_format=2),
        save(tmp_path / "zarr3", array, (1, 8, 2)),
    ]
    for budget in (1, 100, 1000, 1 << 20):
        tiny_slabs(budget)
        assert all(resolve(path).identity == same for path in others)
    changed = array.copy()
    changed[5, 7, 9] += 1
    for k, other in enumerate(
        [changed, array.astype("f8"), array.reshape(6, 10, 8), array.view("i4")]
    ):
        assert resolve(save(tmp_path / f"{k}.npy", other)).identity["sha256"] != same["sha256"]


@pytest.mark.parametrize("chunks", [None, (2, 4, 3)])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize(("value", "text"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_a_value_that_is_not_finite_is_named(tmp_path, chunks, dtype, value, text, tiny_slabs):
    tiny_slabs(64)
    array = values((5, 4, 6), dtype)
    array[3, 2, 5] = value
    with pytest.raises(UserError, match=rf"holds {text} at index \(3, 2, 5\), and .*replace it"):
        resolve(save(tmp_path / "a", array, chunks) if chunks else save(tmp_path / "a.npy", array))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_value_too_large_for_float32_errors_is_refused(tmp_path, dtype):
    array = np.zeros((2, 4, 4), dtype)
    array[1, 0, 3] = -9e29
    assert resolve(save(tmp_path / "a.npy", array)).available == {4: 2}
    array[1, 0, 3] = -2e30
    with pytest.raises(UserError, match=r"holds -2e\+30 at index \(1, 0, 3\), .* 1e\+30 .*rescale"):
        resolve(save(tmp_path / "a.npy", array))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4)), r"has shape \(4, 4\), and 3 axes are needed"),
        (np.zeros((2, 1, 4, 4)), r"has shape \(2, 1, 4, 4\), and 3 axes are needed"),
        (np.zeros((0, 4, 4)), r"is empty, its shape is \(0, 4, 4\)"),
        (np.zeros((4, 4, 0)), r"is empty, its shape is \(4, 4, 0\)"),
        (np.zeros((2, 4, 4), complex), "has dtype complex128: save it as real numbers"),
        (np.zeros((2, 4, 4), "U3"), "has dtype <U3: save it as real numbers"),
        (np.zeros((2, 4, 4), "M8[s]"), r"has dtype datetime64\[s\]: save it as real numbers"),
        (np.zeros((2, 4, 3)), r"has images of 4 x 3 samples, smaller than a block of 4 x 4"),
    ],
)
@pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning")
def test_an_array_of_another_form_is_refused(tmp_path, array, message):
    with pytest.raises(UserError, match=rf"source.array: .*a\.npy {message}"):
        resolve(save(tmp_path / "a.npy", array))
    if array.size:
        with pytest.raises(UserError, match=rf"source.array: .*/a {message}"):
            resolve(save(tmp_path / "a", array, array.shape))


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="no wider float here")
def test_floats_wider_than_64_bits_are_refused(tmp_path):
    with pytest.raises(UserError, match="of at most 64 bits"):
        resolve(save(tmp_path / "a.npy", np.zeros((2, 4, 4), np.longdouble)))


def write(path, content):
    path.write_bytes(content)
    return path


def archive(folder):
    np.savez(folder / "a.npz", np.zeros((2, 4, 4)))
    return folder / "a.npz"


def objects(folder):
    np.save(folder / "o.npy", np.full((2, 4, 4), None), allow_pickle=True)
    return folder / "o.npy"


def truncated(folder):
    path = save(folder / "a.npy", np.zeros((20, 4, 4)))
    os.truncate(path, 1000)
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "nowhere.npy", "nowhere.npy is not there: give a .npy file"),
        (archive, "a.npz is not a .npy file of numbers"),
        (objects, "o.npy is not a .npy file of numbers .*objects"),
        (truncated, "a.npy is not a .npy file of numbers .*greater than file size"),
        (lambda f: write(f / "p.npy", pickle.dumps([1])), "p.npy is not a .npy file of numbers"),
        (lambda f: write(f / "e.npy", b""), "e.npy is not a .npy file of numbers"),
        (lambda f: write(f / "t.npy", b"\x93NUMPY\1\0\5\0hello"), "t.npy is not a .npy file"),
        (lambda folder: folder, "is not a Zarr array"),
        (lambda folder: "nope://a/b", "cannot read nope://a/b: .*nope"),
        (lambda folder: "memory://nothing/here", "memory://nothing/here is not a Zarr array"),
    ],
)
def test_what_is_no_array_is_named_in_one_line(tmp_path, make, message):
    with pytest.raises(UserError, match=message) as refusal:
        resolve(make(tmp_path))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_of_a_group_its_arrays_are_named(tmp_path, zarr_format):
    group = zarr.open_group(str(tmp_path / "g"), mode="w", zarr_format=zarr_format)
    for name in ("b", "a"):
        group.create_array(name, shape=(1,), dtype="i4")
    with pytest.raises(UserError, match="g is a Zarr group: give an array inside it, a, b"):
        resolve(tmp_path / "g")


@pytest.mark.parametrize("chunks", [None, (2, 4, 4)])
def test_an_array_that_changes_after_planning_is_an_error(tmp_path, chunks):
    path = tmp_path / "a.npy"
    source = resolve(save(path, values((2, 4, 4)), chunks))
    save(path, values((3, 4, 4)), chunks, **({"overwrite": True} if chunks else {}))
    with pytest.raises(ValueError, match=r"a\.npy has changed since the sweep was planned"):
        draw(source, 4, 0, 1)


def test_a_file_that_changes_in_the_middle_of_a_sweep_is_an_error(tmp_path):
    path = save(tmp_path / "a.npy", values((2, 4, 4)))
    source = resolve(path)
    draw(source)
    os.utime(path, ns=(1, 1))
    with pytest.raises(ValueError, match=r"a\.npy has changed since the sweep was planned"):
        draw(source, 4, 0, 1)
    path.unlink()
    with pytest.raises(ValueError, match=r"cannot read .*a\.npy: No such file"):
        draw(source, 4, 0, 1)


def test_files_of_numpy_do_without_zarr(tmp_path):
    path = save(tmp_path / "a.npy", values((2, 4, 4)))
    code = (
        "import sys; from pipeline.sources import arrays;"
        f"arrays.tiles(arrays.inspect(path={str(path)!r}), 4, __import__('numpy').arange(2));"
        "print('zarr' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_values_too_small_for_the_errors_of_a_store_are_refused_and_zeros_are_not(tmp_path):
    # As float32, whose smallest number is 1.2e-38, the errors would be 0 or lose their digits.
    tiny = 1e-200 * values((2, 8, 8))
    with pytest.raises(UserError, match=r"larger than .*e-198 in magnitude.*1e-30: rescale it"):
        resolve(save(tmp_path / "tiny.npy", tiny))
    tiny[1, 3, 3] = -1.0
    assert resolve(save(tmp_path / "mixed.npy", tiny)).available == {4: 8}
    assert resolve(save(tmp_path / "zeros.npy", 0 * tiny)).available == {4: 8}
