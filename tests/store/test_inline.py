"""Writes that the calling thread does by itself give what zarr's own give, file for file."""

import errno
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr

from pipeline.store import inline, layout


def make_array(place):
    return zarr.create_array(
        str(place), shape=(2, 50), chunks=(1, 20), dtype=np.float32, fill_value=np.nan,
        compressors=layout.CODECS,
    )  # fmt: skip


def files_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    "region",
    [
        (0, 3), (1, slice(0, 20)), (slice(0, 2), slice(5, 47)), (0, slice(0, 50)),
        (slice(0, 2), slice(20, 50)), (slice(1, 2), slice(40, 50)), (1, slice(40, 49)),
    ],
)  # fmt: skip
def test_every_file_is_the_one_that_zarr_writes(tmp_path, region):
    ours, theirs = make_array(tmp_path / "ours"), make_array(tmp_path / "theirs")
    values = np.random.default_rng(0).random((2, 50), np.float32)[region]
    inline.write(ours, region, values)
    theirs[region] = values
    written = files_of(tmp_path / "ours")
    assert any(path.parts[0] == "c" for path in written)
    assert written == files_of(tmp_path / "theirs")


def test_chunks_are_read_as_zarr_reads_them(tmp_path):
    array = make_array(tmp_path / "a")
    # The last one has 10 values, the first one none.
    array[:, 20:] = np.random.default_rng(0).random((2, 30), np.float32)
    chunks = [(1, 2), (0, 0), (0, 1)]
    found = inline.read(array, chunks)
    assert found.shape == (3, 1, 20)
    assert found.dtype == np.float32
    assert found[0, 0, :10].tolist() == array[1, 40:].tolist()
    assert np.isnan(found[0, 0, 10:]).all()
    assert np.isnan(found[1]).all()
    assert found[2, 0].tolist() == array[0, 20:40].tolist()


@pytest.mark.parametrize("content", [b"", b"x", b"12345678"])
def test_a_damaged_chunk_is_refused(tmp_path, content):
    array = make_array(tmp_path / "a")
    array[:] = 1.0
    (tmp_path / "a" / "c" / "0" / "1").write_bytes(content)
    with pytest.raises((ValueError, RuntimeError)):
        inline.read(array, [(0, 1)])


def test_a_flipped_bit_is_refused(tmp_path):
    array = make_array(tmp_path / "a")
    array[:] = 1.0
    file = tmp_path / "a" / "c" / "0" / "1"
    file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])
    with pytest.raises(ValueError, match="checksum"):
        inline.read(array, [(0, 1)])


def test_an_array_at_a_url_is_read_by_zarr():
    assert inline.read(make_array(f"memory://{uuid.uuid4().hex}"), [(0, 0)]) is None


def test_an_array_at_a_url_is_written_too():
    array = make_array(f"memory://{uuid.uuid4().hex}")
    inline.write(array, (slice(0, 2), slice(10, 30)), np.ones((2, 20), np.float32))
    assert np.argwhere(array[...] == 1).tolist() == [[i, j] for i in (0, 1) for j in range(10, 30)]


def test_the_calling_thread_starts_no_other(tmp_path):
    array = make_array(tmp_path / "a")
    before = set(threading.enumerate())

    def write(number):
        start = 20 * (number // 2)
        inline.write(array, (number % 2, slice(start, min(start + 20, 50))), number)

    with ThreadPoolExecutor(2, thread_name_prefix="writer") as pool:
        list(pool.map(write, range(6)))
        started = set(threading.enumerate()) - before
        assert {thread.name for thread in started} <= {"writer_0", "writer_1"}
    assert array[:, ::20].tolist() == [[0, 2, 4], [1, 3, 5]]


def test_what_the_system_refuses_is_raised_and_the_next_write_goes_on(tmp_path, monkeypatch):
    array = make_array(tmp_path / "a")

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("zarr.storage._local._put", full)
        with pytest.raises(OSError, match="No space left") as caught:
            inline.write(array, (slice(0, 2), slice(0, 50)), 1.0)
    assert caught.value.errno == errno.ENOSPC
    assert np.isnan(array[...]).all()
    inline.write(array, (slice(0, 2), slice(0, 50)), 1.0)
    assert (array[...] == 1).all()
