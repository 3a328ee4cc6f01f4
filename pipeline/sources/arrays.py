"""Blocks from a .npy file or Zarr array: N x N tiles of its images, with values as they are stored.

The array has axes (images, height, width); an array (trials, N, N) has one tile per image.  Trial t
is tile t, counted in the order of the images, and in row-major order within each.  Rows and columns
beyond the last whole tile are dropped.  Workers read what they draw, and never the whole array.
"""

import dataclasses
import hashlib
import json
import math
import os
import threading
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.sources.slabs import in_one_line, read_slab, slab_shape, slabs
from pipeline.sources.tiling import cut, rows_of_tiles
from pipeline.store.location import Location

# Errors are stored as float32, which ends at 3.4e38, and are sums of several samples.
_LARGEST = 1e30
_REAL = "buif"
# The slab that each thread read last: a thread draws consecutive blocks, and the slab, which may be
# a large Zarr chunk, usually has those of the next draws too.
_LAST = threading.local()


@dataclass(frozen=True)
class StoredArray:
    """An array, as it was when the sweep was planned.

    `shape` is (images, height, width), `dtype` in NumPy's notation.  `stamp` changes when a file of
    the array is written (at a URL, only when the array's metadata change); each process compares it
    before it draws.  `slab` is how many images, and how many rows of each, are read at a time;
    `sha256` is that of the values.
    """

    location: Location
    shape: tuple[int, int, int]
    dtype: str
    stamp: str
    slab: tuple[int, int]
    sha256: str = ""

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "StoredArray":
        """The array of which `to_json` gave the data."""
        location, shape, slab = Location(data["location"]), tuple(data["shape"]), data["slab"]
        return cls(**{**data, "location": location, "shape": shape, "slab": tuple(slab)})

    def to_json(self) -> dict[str, Any]:
        """All fields as plain JSON; the samples themselves are left out."""
        location, shape, slab = str(self.location), list(self.shape), list(self.slab)
        return {**vars(self), "location": location, "shape": shape, "slab": slab}

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the numbers: the values, but neither their place nor how they are stored."""
        name = np.dtype(self.dtype).name
        return {"shape": list(self.shape), "dtype": name, "sha256": self.sha256}

    def available(self, block_size: int) -> int:
        """How many tiles there are over all images.

        Raises
        ------
        ValueError
            For images smaller than a block.
        """
        images, height, width = self.shape
        tiles = images * (height // block_size) * (width // block_size)
        if not tiles:
            raise ValueError(
                f"{self.location} has images of {height} x {width} samples, smaller than a block "
                f"of {block_size} x {block_size}: choose a smaller block_size"
            )
        return tiles

    def dropped(self, block_size: int) -> int:
        """How many samples lie beyond the last whole tiles."""
        return math.prod(self.shape) - self.available(block_size) * block_size**2


def inspect(*, path: str) -> StoredArray:
    """Open the array of `path` and read it once: its content hash, and that all is finite.

    Parameters
    ----------
    path
        A .npy file, or a Zarr array (format 2 or 3) as a folder or a URL.

    Raises
    ------
    ValueError
        For a path that holds nothing or something else, an array that is not real or not three
        axes long, and values that are not finite or beyond 1e30.
    """
    location = Location.of(path)
    if location.folder is not None:
        # The target of a link: the link may lead elsewhere by the time a worker draws.
        location = Location(os.path.realpath(location.folder))
        if not (os.path.isfile(str(location)) or os.path.isdir(str(location))):
            raise ValueError(
                f"{path} is not there: give a .npy file, or a Zarr array as a folder or URL"
            )
    values, stamp = _open(location)
    _check_form(location, values)
    array = StoredArray(location, values.shape, values.dtype.str, stamp, slab_shape(values))
    return dataclasses.replace(array, sha256=_digest(array, values))


def tiles(array: StoredArray, block_size: int, first: int, count: int) -> NDArray[np.float64]:
    """Tiles first .. first + count - 1 over all images, (count, N, N) float64, unscaled.

    Raises
    ------
    ValueError
        For an array that can no longer be read or has changed since the sweep was planned.
    """
    blocks = np.empty((count, block_size, block_size))
    if not count:
        # The parameters of a source are checked by a draw of nothing: no need to open the array.
        return blocks
    values = _open_unchanged(array)
    down, across = array.shape[1] // block_size, array.shape[2] // block_size
    done = 0
    while done < count:
        image, start = divmod(first + done, down * across)
        # Several whole images at once, or of a single one only the rows that its tiles lie in.
        images = 1 if start else max((count - done) // (down * across), 1)
        take = min(images * down * across - start, count - done)
        rows = slice(0, down) if images > 1 else rows_of_tiles(slice(start, start + take), across)
        samples = _read(
            array,
            values,
            slice(image, image + images),
            slice(rows.start * block_size, rows.stop * block_size),
        )
        blocks[done : done + take] = cut(samples, block_size)[start - rows.start * across :][:take]
        done += take
    return blocks


def _npy_file(location: Location) -> Path | None:
    """The .npy file that an array is, None where it is Zarr's."""
    path = location.folder
    return None if path is None or path.is_dir() else path


def _open(location: Location) -> tuple[Any, str]:
    """The array at a location, not read yet, and its stamp."""
    file = _npy_file(location)
    if file is not None:
        stamp = _stamp(file)
        try:
            # Not numpy.load, which would also return an archive or unpickled objects.  For a
            # corrupt header numpy warns before it raises.
            with warnings.catch_warnings(action="ignore"):
                return np.lib.format.open_memmap(file, mode="r"), stamp
        except Exception as error:
            raise ValueError(
                f"{file} is not a .npy file of numbers ({in_one_line(error)}): write it with "
                "numpy.save"
            ) from error
    # Here, because zarr takes half a second to import and .npy files do not need it.
    from pipeline.store.layout import open_array

    values = open_array(location)
    metadata = json.dumps(values.metadata.to_dict(), default=str, sort_keys=True)
    content = hashlib.sha256(metadata.encode())
    if location.folder is not None:
        for folder, _, names in sorted(os.walk(location.folder)):
            for name in sorted(names):
                content.update(f"{name} {_stamp(Path(folder, name))}".encode())
    return values, content.hexdigest()


def _stamp(file: Path) -> str:
    """Size and time of the last change: they differ after a file was written."""
    try:
        status = os.stat(file)
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from error
    return f"{status.st_size} {status.st_mtime_ns}"


def _check_form(location: Location, values: Any) -> None:
    """Refuse an array that is not of real numbers, or not of images."""
    if values.dtype.kind not in _REAL or values.dtype.itemsize > 8:
        raise ValueError(
            f"{location} has dtype {values.dtype}: save it as real numbers of at most 64 bits"
        )
    if values.ndim != 3:
        raise ValueError(
            f"{location} has shape {values.shape}, and 3 axes are needed, (images, height, width) "
            "or (trials, N, N): reshape it"
        )
    if 0 in values.shape:
        raise ValueError(
            f"{location} is empty, its shape is {values.shape}: give at least one image"
        )


def _digest(array: StoredArray, values: Any) -> str:
    """SHA-256 of dtype, shape and values (C order, little-endian); refuses values out of range."""
    dtype = np.dtype(array.dtype)
    content = hashlib.sha256(f"{dtype.name} {array.shape}".encode())
    every = slice(0, array.shape[0]), slice(0, array.shape[1])
    for images, rows in slabs(array.shape, array.slab, *every):
        slab = read_slab(array.location, values, images, rows)
        if dtype.kind == "f":
            _check_values(array, slab, images.start, rows.start)
        content.update(np.ascontiguousarray(slab, dtype.newbyteorder("<")).data)
    return content.hexdigest()


def _check_values(array: StoredArray, slab: NDArray[Any], image: int, row: int) -> None:
    """Refuse a value that is not finite or is too large, and name its index in the array."""
    # Two numbers are enough to test: if any value is NaN, so are the least and the largest.
    with np.errstate(invalid="ignore"):
        least, largest = float(slab.min()), float(slab.max())
    if -_LARGEST <= least and largest <= _LARGEST:
        return
    wrong = ~np.isfinite(slab)
    if wrong.any():
        why = "values must be finite: replace it"
    else:
        wrong = np.abs(slab) > _LARGEST
        why = f"at most {_LARGEST:g} is allowed, since errors are stored as float32: rescale it"
    i, j, k = (int(index) for index in np.argwhere(wrong)[0])
    raise ValueError(
        f"{array.location} holds {float(slab[i, j, k]):g} at index "
        f"({image + i}, {row + j}, {k}), and {why}"
    )


def _read(array: StoredArray, values: Any, images: slice, rows: slice) -> NDArray[Any]:
    """Some rows of some images, (images, rows, width)."""
    if isinstance(values, np.ndarray):
        return values[images, rows]
    shape = (images.stop - images.start, rows.stop - rows.start, array.shape[2])
    read = np.empty(shape, np.dtype(array.dtype))
    for i, j in slabs(array.shape, array.slab, images, rows):
        key = (array, i.start, j.start)
        if getattr(_LAST, "key", None) != key:
            # Free the old slab first, or two would be in memory at a time.
            _LAST.key = _LAST.slab = None
            _LAST.slab = read_slab(array.location, values, i, j)
            _LAST.key = key
        a, b = max(i.start, images.start), min(i.stop, images.stop)
        c, d = max(j.start, rows.start), min(j.stop, rows.stop)
        read[a - images.start : b - images.start, c - rows.start : d - rows.start] = _LAST.slab[
            a - i.start : b - i.start, c - j.start : d - j.start
        ]
    return read


def _open_unchanged(array: StoredArray) -> Any:
    """The array, opened once in a process; refused if it has changed since the plan."""
    file = _npy_file(array.location)
    if file is not None:
        # At every draw: reading beyond the end of a mapped file kills the process.
        _check_unchanged(array, _stamp(file) == array.stamp)
    return _open_once(array)


@lru_cache(maxsize=16)
def _open_once(array: StoredArray) -> Any:
    values, stamp = _open(array.location)
    now = (values.shape, values.dtype.str, stamp)
    _check_unchanged(array, now == (array.shape, array.dtype, array.stamp))
    # Each slice of a memmap is a new memmap, which is slow to make; a plain array has no such cost.
    return np.asarray(values) if isinstance(values, np.ndarray) else values


def _check_unchanged(array: StoredArray, same: bool) -> None:
    if not same:
        raise ValueError(
            f"{array.location} has changed since the sweep was planned: start the sweep again"
        )
