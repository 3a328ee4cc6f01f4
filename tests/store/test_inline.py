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
        str(place), shape=(2, 60), chunks=(1, 20), dtype=np.float32, fill_value=np.nan,
        compressors=layout.CODECS,
    )  # fmt: skip


def files_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    "region", [(0, 3), (1, slice(0, 20)), (slice(0, 2), slice(5, 47)), (0, slice(0, 60))]
)
def test_every_file_is_the_one_that_zarr_writes(tmp_path, region):
    ours, theirs = make_array(tmp_path / "ours"), make_array(tmp_path / "theirs")
    values = np.random.default_rng(0).random((2, 60), np.float32)[region]
    inline.write(ours, region, values)
    theirs[region] = values
    written = files_of(tmp_path / "ours")
    assert any(path.parts[0] == "c" for path in written)
    assert written == files_of(tmp_path / "theirs")


def test_an_array_at_a_url_is_written_too():
    array = make_array(f"memory://{uuid.uuid4().hex}")
    inline.write(array, (slice(0, 2), slice(10, 30)), np.ones((2, 20), np.float32))
    assert np.argwhere(array[...] == 1).tolist() == [[i, j] for i in (0, 1) for j in range(10, 30)]


def test_the_calling_thread_starts_no_other(tmp_path):
    array = make_array(tmp_path / "a")
    before = set(threading.enumerate())
    writers = set()

    def write(number):
        writers.add(threading.current_thread())
        inline.write(array, (number % 2, slice(20 * (number // 2), 20 * (number // 2 + 1))), number)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(6)))
        assert set(threading.enumerate()) - before <= writers
    assert array[:, ::20].tolist() == [[0, 2, 4], [1, 3, 5]]


def test_what_the_system_refuses_is_raised_and_the_next_write_goes_on(tmp_path, monkeypatch):
    array = make_array(tmp_path / "a")

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("zarr.storage._local._put", full)
        with pytest.raises(OSError, match="No space left") as caught:
            inline.write(array, (slice(0, 2), slice(0, 60)), 1.0)
    assert caught.value.errno == errno.ENOSPC
    assert np.isnan(array[...]).all()
    inline.write(array, (slice(0, 2), slice(0, 60)), 1.0)
    assert (array[...] == 1).all()
