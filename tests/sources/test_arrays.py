"""Blocks from .npy files and Zarr arrays, against slices of NumPy."""

import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr

from pipeline import UserError
from pipeline.sources import arrays, kinds

DTYPES = ["bool", "u1", "i2", "<u4", ">i8", "f2", ">f4", "f8"]


def resolve(path, *sizes):
    [source] = kinds.resolve("array", {"kind": "array", "path": str(path)}, sizes or (4,))
    return source


def draw(source, size=4, first=0, count=None):
    count = source.available[size] - first if count is None else count
    return kinds.draw(source, 0, size, first, count)


def values(shape, dtype="f8", seed=0):
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return random.normal(0, 100, shape).astype(dtype)
    return random.integers(0, 2 if dtype == "bool" else 100, shape).astype(dtype)


def save(path, array, chunks=None, **options):
    """A .npy file, or with chunks a Zarr array."""
    if chunks is None:
        np.save(path, array)
    else:
        zarr.create_array(
            str(path), shape=array.shape, chunks=chunks, dtype=array.dtype, **options
        )[...] = array
    return path


def cut(array, size):
    _, height, width = array.shape
    return np.array(
        [
            image[i : i + size, j : j + size]
            for image in array.astype(float)
            for i in range(0, height - size + 1, size)
            for j in range(0, width - size + 1, size)
        ]
    )


@pytest.fixture
def tiny_slabs(monkeypatch):
    """Slabs of a few images or rows, so that small arrays have many."""
    return lambda size: monkeypatch.setattr(arrays, "_SLAB_BYTES", size)


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


@pytest.mark.parametrize("shape", [(20, 4, 4), (3, 9, 22), (1, 40, 4), (2, 16, 16)])
@pytest.mark.parametrize("chunks", [None, (1, 2, 3), (2, 4, 4), (7, 40, 40), (100, 3, 5)])
@pytest.mark.parametrize("budget", [1, 200, 1 << 20])
def test_a_block_is_the_same_in_every_batch_and_layout(tmp_path, shape, chunks, budget, tiny_slabs):
    tiny_slabs(budget)
    array = values(shape)
    chunks = chunks and tuple(map(min, chunks, shape))
    path = save(tmp_path / ("a" if chunks else "a.npy"), array, chunks)
    source = resolve(path)
    expected = cut(array, 4)
    assert source.available == {4: len(expected)}
    assert np.array_equal(draw(source), expected)
    for count in (1, 3, 7):
        for first in range(0, len(expected) - count + 1, 4 + count):
            assert np.array_equal(draw(source, 4, first, count), expected[first : first + count])
    assert draw(source, 4, len(expected), 0).shape == (0, 4, 4)


def test_shards_and_columns_first_are_read(tmp_path):
    array = values((6, 8, 8))
    save(tmp_path / "shards", array, (1, 8, 4), shards=(3, 8, 8))
    np.save(tmp_path / "columns.npy", np.asfortranarray(array))
    plain = resolve(save(tmp_path / "plain.npy", array))
    for name in ("shards", "columns.npy"):
        source = resolve(tmp_path / name)
        assert np.array_equal(draw(source), cut(array, 4))
        assert source.identity == plain.identity


def test_an_array_at_a_url_is_read():
    array = values((5, 8, 8))
    url = "memory://folder/of/arrays"
    zarr.create_array(url, shape=array.shape, chunks=(2, 8, 8), dtype="f8")[...] = array
    source = resolve(url)
    assert source.parameters["array"].path == url
    assert np.array_equal(draw(source), cut(array, 4))


def test_a_file_url_and_a_relative_path_are_the_file(tmp_path, monkeypatch):
    path = save(tmp_path / "a.npy", values((2, 4, 4)))
    monkeypatch.chdir(tmp_path)
    assert resolve(f"file://{path}").parameters["array"] == resolve(path).parameters["array"]
    assert resolve("a.npy").parameters["array"] == resolve(path).parameters["array"]


def test_three_blocks_of_a_file_of_two_terabytes_take_no_time(tmp_path):
    path = tmp_path / "huge.npy"
    # More than any memory: to read it whole is an error, and no slow test.
    shape, first = (1 << 32, 8, 8), 3_000_000_000
    try:
        mapped = np.lib.format.open_memmap(path, "w+", np.float64, shape)
    except OSError:
        pytest.skip("this file system has no such files")
    mapped[first : first + 3] = np.arange(192).reshape(3, 8, 8)
    mapped.flush()
    del mapped
    array = arrays.StoredArray(str(path), shape, "<f8", arrays._stamp(str(path)), (1, 8))
    drawn = arrays.tiles(0, 8, first, 3, path="", array=array)
    assert np.array_equal(drawn, np.arange(192).reshape(3, 8, 8))
    drawn = arrays.tiles(0, 4, 4 * first + 1, 2, path="", array=array)
    assert np.array_equal(drawn[0], np.arange(64).reshape(8, 8)[:4, 4:])
    assert np.array_equal(drawn[1], np.arange(64).reshape(8, 8)[4:, :4])


def test_a_zarr_array_that_changes_after_planning_is_an_error(tmp_path):
    array = values((10, 8, 8))
    source = resolve(save(tmp_path / "a", array, (2, 8, 8)))
    os.utime(tmp_path / "a/c/3/0/0", ns=(1, 1))
    with pytest.raises(ValueError, match="has changed since the sweep was planned"):
        draw(source, 4, 0, 1)


def test_a_draw_reads_only_the_chunks_it_needs(tmp_path, tiny_slabs):
    tiny_slabs(2 * 64 * 8)
    array = values((10, 8, 8))
    source = resolve(save(tmp_path / "a", array, (2, 8, 8)))
    # Opened before the damage, which would be a change since the sweep was planned.
    draw(source, 4, 0, 1)
    for chunk in (0, 1, 3, 4):
        (tmp_path / f"a/c/{chunk}/0/0").write_bytes(b"damaged")
    assert np.array_equal(draw(source, 4, 16, 8), cut(array, 4)[16:24])
    with pytest.raises(ValueError, match=r"cannot be read at images 6\.\.7 .*restore it") as error:
        draw(source, 4, 23, 2)
    assert "\n" not in str(error.value)


def test_a_chunk_of_many_draws_is_read_once(tmp_path, monkeypatch):
    array = values((100, 4, 4))
    source = resolve(save(tmp_path / "a", array, (50, 4, 4)))
    reads = []
    read = arrays._slab
    monkeypatch.setattr(arrays, "_slab", lambda *args: reads.append(args) or read(*args))
    drawn = [draw(source, 4, first, 10) for first in range(0, 100, 10)]
    assert np.array_equal(np.concatenate(drawn), cut(array, 4))
    assert len(reads) == 1


def test_rows_of_chunks_are_read_once(tmp_path, tiny_slabs, monkeypatch):
    tiny_slabs(2 * 6 * 8 * 8)
    array = values((2, 30, 8))
    source = resolve(save(tmp_path / "a", array, (1, 6, 8)))
    reads = []
    read = arrays._slab
    monkeypatch.setattr(arrays, "_slab", lambda *args: reads.append(args[2:]) or read(*args))
    drawn = [draw(source, 2, first, 3) for first in range(0, 120, 3)]
    assert np.array_equal(np.concatenate(drawn), cut(array, 2))
    assert [rows for _, rows in reads] == [slice(0, 12), slice(12, 24), slice(24, 30)] * 2


def test_slabs_are_whole_chunks_within_their_bytes(tiny_slabs):
    tiny_slabs(1 << 20)

    class Array:
        def __init__(self, shape, chunks):
            self.shape, self.chunks, self.dtype = shape, chunks, np.dtype("f4")

    for shape, chunks, slab in [
        ((10**6, 8, 8), (1000, 8, 8), (4000, 8)),
        ((10**6, 8, 8), (3000, 8, 8), (3000, 8)),
        ((10**6, 8, 8), (10**6, 8, 8), (4096, 8)),
        ((20, 8, 8), (1, 8, 8), (20, 8)),
        ((9, 4000, 1000), (1, 100, 1000), (1, 200)),
        ((9, 4000, 1000), (9, 4000, 1000), (1, 262)),
        ((9, 4000, 10**6), (9, 10, 10), (1, 1)),
    ]:
        assert arrays._slab_shape(Array(shape, chunks)) == slab


def test_threads_draw_what_one_draws(tmp_path, tiny_slabs):
    tiny_slabs(800)
    array = values((40, 9, 12))
    source = resolve(save(tmp_path / "a", array, (5, 4, 12)))
    expected = cut(array, 4)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            drawn = list(pool.map(lambda t: draw(source, 4, t, 5), range(0, 40 * 6, 5)))
    finally:
        sys.setswitchinterval(before)
    assert np.array_equal(np.concatenate(drawn), expected)


def test_each_thread_keeps_what_it_read_last(tmp_path, tiny_slabs, monkeypatch):
    tiny_slabs(2 * 16 * 8)
    source = resolve(save(tmp_path / "a", values((4, 4, 4)), (2, 4, 4)))
    reads = []
    read = arrays._slab
    monkeypatch.setattr(arrays, "_slab", lambda *args: reads.append(args) or read(*args))
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        for k in range(2):
            one.submit(draw, source, 4, k, 1).result()
            other.submit(draw, source, 4, 2 + k, 1).result()
    assert len(reads) == 2


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
        (lambda folder: "nope://a/b", "nope://a/b is not a Zarr array .*nope"),
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


def test_a_damaged_chunk_is_found_before_anything_starts(tmp_path):
    path = save(tmp_path / "a", values((4, 8, 8)), (2, 8, 8))
    (path / "c/1/0/0").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"a cannot be read at images 0\.\.3 .*restore it"):
        resolve(path)


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
    with pytest.raises(ValueError, match=r"a\.npy cannot be read: No such file"):
        draw(source, 4, 0, 1)


def test_an_array_laid_out_anew_is_opened_anew(tmp_path, tiny_slabs):
    tiny_slabs(1)
    array = values((6, 8, 8))
    path = save(tmp_path / "a", array, (3, 8, 8))
    assert np.array_equal(draw(resolve(path)), cut(array, 4))
    save(path, array, (2, 4, 8), overwrite=True)
    assert np.array_equal(draw(resolve(path)), cut(array, 4))


def test_files_of_numpy_do_without_zarr(tmp_path):
    path = save(tmp_path / "a.npy", values((2, 4, 4)))
    code = (
        "import sys; from pipeline.sources import arrays;"
        f"found = arrays.look(path={str(path)!r});"
        "arrays.tiles(0, 4, 0, 2, path='', **found);"
        "print('zarr' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
