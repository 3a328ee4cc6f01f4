"""Arrays are read in slabs: the same blocks in every batch, layout and thread, each read once."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers.arrays import cut, draw, resolve, save, values

from pipeline import UserError
from pipeline.sources import arrays, opening, slabs
from pipeline.sources.packing import Packing
from pipeline.store.location import Location


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
    array = arrays.StoredArray(
        Location(str(path)), shape, "<f8", opening.stamp_of(path), (1, 8), Packing("<f8")
    )
    drawn = arrays.tiles(array, 8, first + np.arange(3))
    assert np.array_equal(drawn, np.arange(192).reshape(3, 8, 8))
    drawn = arrays.tiles(array, 4, 4 * first + np.array([1, 2]))
    assert np.array_equal(drawn[0], np.arange(64).reshape(8, 8)[:4, 4:])
    assert np.array_equal(drawn[1], np.arange(64).reshape(8, 8)[4:, :4])


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
    read = arrays.read_slab
    monkeypatch.setattr(arrays, "read_slab", lambda *args: reads.append(args) or read(*args))
    drawn = [draw(source, 4, first, 10) for first in range(0, 100, 10)]
    assert np.array_equal(np.concatenate(drawn), cut(array, 4))
    assert len(reads) == 1


def test_rows_of_chunks_are_read_once(tmp_path, tiny_slabs, monkeypatch):
    tiny_slabs(2 * 6 * 8 * 8)
    array = values((2, 30, 8))
    source = resolve(save(tmp_path / "a", array, (1, 6, 8)))
    reads = []
    read = arrays.read_slab
    monkeypatch.setattr(arrays, "read_slab", lambda *args: reads.append(args[2:]) or read(*args))
    drawn = [draw(source, 2, first, 3) for first in range(0, 120, 3)]
    assert np.array_equal(np.concatenate(drawn), cut(array, 2))
    assert [rows for _, rows in reads] == [slice(0, 12), slice(12, 24), slice(24, 30)] * 2


@pytest.mark.parametrize("chunks", [(5, 9, 16), (1, 4, 16), (2, 36, 16), (1, 36, 16)])
@pytest.mark.parametrize("size", [2, 4, 8])
def test_any_tiles_are_drawn_by_their_numbers_and_each_slab_is_read_once(
    tmp_path, tiny_slabs, monkeypatch, chunks, size
):
    tiny_slabs(8 * 16 * 36)
    array = values((7, 36, 16))
    content = resolve(save(tmp_path / "a", array, chunks), size).content
    expected = cut(array, size)
    reads = []
    read = arrays.read_slab
    monkeypatch.setattr(arrays, "read_slab", lambda *args: reads.append(args[2:]) or read(*args))
    for seed in range(5):
        random = np.random.default_rng(seed)
        numbers = np.flatnonzero(random.random(len(expected)) < random.choice([0.05, 0.5, 1]))
        assert np.array_equal(arrays.tiles(content, size, numbers), expected[numbers])
        arrays._LAST.key = None
        assert len(set(map(repr, reads))) == len(reads)
        reads.clear()


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
        assert slabs.slab_shape(Array(shape, chunks)) == slab


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
    read = arrays.read_slab
    monkeypatch.setattr(arrays, "read_slab", lambda *args: reads.append(args) or read(*args))
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        for k in range(2):
            one.submit(draw, source, 4, k, 1).result()
            other.submit(draw, source, 4, 2 + k, 1).result()
    assert len(reads) == 2


def test_a_damaged_chunk_is_found_before_anything_starts(tmp_path):
    path = save(tmp_path / "a", values((4, 8, 8)), (2, 8, 8))
    (path / "c/1/0/0").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"a cannot be read at images 0\.\.3 .*restore it"):
        resolve(path)


def test_an_array_laid_out_anew_is_opened_anew(tmp_path, tiny_slabs):
    tiny_slabs(1)
    array = values((6, 8, 8))
    path = save(tmp_path / "a", array, (3, 8, 8))
    assert np.array_equal(draw(resolve(path)), cut(array, 4))
    save(path, array, (2, 4, 8), overwrite=True)
    assert np.array_equal(draw(resolve(path)), cut(array, 4))
