"""Blocks from a stored array: N x N tiles of the images of a .npy file or Zarr array, as they are.

The array has axes (images, height, width); (trials, N, N) is one tile an image.  Images in order,
tiles in row-major order within an image; trial t is tile t.  Rows and columns beyond the last whole
tile are dropped.  Workers read what they draw, and never the whole array.
"""

import dataclasses
import hashlib
import json
import os
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

# What one thread holds of an array at a time; some thousands of blocks, to be drawn in turn.
_SLAB_BYTES = 1 << 24
# Errors are stored as float32, which ends at 3.4e38, and are sums of several samples.
_LARGEST = 1e30
_REAL = "buif"
# The slab that each thread read last: as long as there is work, a thread draws one block after
# the other, and a chunk of Zarr may hold those of many draws.
_LAST = threading.local()


@dataclass(frozen=True)
class StoredArray:
    """An array, as found when the sweep was planned.

    `dtype` is in NumPy's notation; `stamp` changes when a file of it is written (of a URL, when it
    is laid out anew), and is compared by each process before it draws; `slab` is how many images,
    and rows of each, are read at a time.
    """

    path: str
    shape: tuple[int, int, int]
    dtype: str
    stamp: str
    slab: tuple[int, int]
    sha256: str = ""

    def grid(self, block_size: int) -> tuple[int, int]:
        """How many whole tiles an image has down and across."""
        return self.shape[1] // block_size, self.shape[2] // block_size

    def tiles(self, block_size: int) -> int:
        """How many whole tiles there are."""
        down, across = self.grid(block_size)
        return self.shape[0] * down * across


def look(*, path: str) -> dict[str, Any]:
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
    place = path.removeprefix("file://")
    if "://" not in place:
        place = os.path.realpath(os.path.expanduser(place))
        if not (os.path.isfile(place) or os.path.isdir(place)):
            raise ValueError(
                f"{path} is not there: give a .npy file, or a Zarr array as a folder or URL"
            )
    values, stamp = _opened(place)
    _check_kind(place, values)
    slab = _slab_shape(values)
    array = StoredArray(place, values.shape, values.dtype.str, stamp, slab)
    return {"array": dataclasses.replace(array, sha256=_digest(array, values))}


def available(block_size: int, *, path: str, array: StoredArray) -> int:
    """How many tiles there are over all images.

    Raises
    ------
    ValueError
        For images smaller than a block.
    """
    if not array.tiles(block_size):
        raise ValueError(
            f"{array.path} has images of {array.shape[1]} x {array.shape[2]} samples, smaller than "
            f"a block of {block_size} x {block_size}: choose a smaller block_size"
        )
    return array.tiles(block_size)


def decides(*, path: str, array: StoredArray) -> dict[str, Any]:
    """What decides the numbers: the values, wherever they are and however they are laid out."""
    name = np.dtype(array.dtype).name
    return {"shape": list(array.shape), "dtype": name, "sha256": array.sha256}


def dropped(block_size: int, *, path: str, array: StoredArray) -> int:
    """How many samples lie beyond the last whole tiles."""
    images, height, width = array.shape
    return images * height * width - array.tiles(block_size) * block_size**2


def tiles(
    seed: int, block_size: int, first: int, count: int, *, path: str, array: StoredArray
) -> NDArray[np.float64]:
    """Tiles first .. first + count - 1 over all images, (count, N, N) float64, unscaled.

    `seed` decides nothing here.

    Raises
    ------
    ValueError
        For an array that can no longer be read or has changed since the sweep was planned.
    """
    blocks = np.empty((count, block_size, block_size))
    down, across = array.grid(block_size)
    done = 0
    while done < count:
        image, start = divmod(first + done, down * across)
        # Whole images at once; of one that begins or ends inside the batch the rows of its tiles.
        images = 1 if start else max((count - done) // (down * across), 1)
        take = min(images * down * across - start, count - done)
        top = start // across
        bottom = down if images > 1 else -(-(start + take) // across)
        samples = _read(
            array, slice(image, image + images), slice(top * block_size, bottom * block_size)
        )[..., : across * block_size]
        shape = (images, bottom - top, block_size, across, block_size)
        cut = samples.reshape(shape).swapaxes(2, 3).reshape(-1, block_size, block_size)
        blocks[done : done + take] = cut[start - top * across :][:take]
        done += take
    return blocks


def _opened(path: str) -> tuple[Any, str]:
    """The array at a path, not read yet, and its stamp."""
    if "://" not in path and not os.path.isdir(path):
        stamp = _stamp(path)
        try:
            # numpy.load does the same, but gives an archive or an object where there is one.
            # A header of nonsense makes numpy warn of what it then raises.
            with warnings.catch_warnings(action="ignore"):
                return np.lib.format.open_memmap(path, mode="r"), stamp
        except Exception as error:
            raise ValueError(
                f"{path} is not a .npy file of numbers ({_said(error)}): write it with numpy.save"
            ) from error
    # zarr takes half a second to import: files of NumPy do without.
    from pipeline.store import store

    values = store.open_array(path)
    layout = json.dumps(values.metadata.to_dict(), default=str, sort_keys=True)
    content = hashlib.sha256(layout.encode())
    if "://" not in path:
        for folder, _, names in sorted(os.walk(path)):
            for name in sorted(names):
                content.update(f"{name} {_stamp(os.path.join(folder, name))}".encode())
    return values, content.hexdigest()


def _stamp(path: str) -> str:
    try:
        found = os.stat(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    return f"{found.st_size} {found.st_mtime_ns}"


def _check_kind(path: str, values: Any) -> None:
    if values.dtype.kind not in _REAL or values.dtype.itemsize > 8:
        raise ValueError(
            f"{path} has dtype {values.dtype}: save it as real numbers of at most 64 bits"
        )
    if values.ndim != 3:
        raise ValueError(
            f"{path} has shape {values.shape}, and 3 axes are needed, (images, height, width) or "
            "(trials, N, N): reshape it"
        )
    if 0 in values.shape:
        raise ValueError(f"{path} is empty, its shape is {values.shape}: give at least one image")


def _slab_shape(values: Any) -> tuple[int, int]:
    """Images, and rows of each, to read at a time: whole chunks where they are small enough.

    More than one image only with all of its rows, so that slabs follow each other in C order.
    """
    images, height, width = values.shape
    chunk_images, chunk_rows = getattr(values, "chunks", (1, 1))[:2]
    fitting = _SLAB_BYTES // (height * width * values.dtype.itemsize)
    if fitting:
        return min(_whole(fitting, chunk_images), images), height
    fitting = _SLAB_BYTES // (width * values.dtype.itemsize)
    return 1, min(max(_whole(fitting, chunk_rows), 1), height)


def _whole(count: int, chunk: int) -> int:
    return count // chunk * chunk or count


def _digest(array: StoredArray, values: Any) -> str:
    """SHA-256 of dtype, shape and values, C order, little-endian; checks the values on the way."""
    dtype = np.dtype(array.dtype)
    content = hashlib.sha256(f"{dtype.name} {array.shape}".encode())
    for images, rows in _slabs(array, slice(0, array.shape[0]), slice(0, array.shape[1])):
        slab = _slab(array, values, images, rows)
        if dtype.kind == "f":
            _check_values(array, slab, images.start, rows.start)
        content.update(np.ascontiguousarray(slab, dtype.newbyteorder("<")).data)
    return content.hexdigest()


def _check_values(array: StoredArray, slab: NDArray[Any], image: int, row: int) -> None:
    # Two numbers say of a slab that all is well; nan is the least and the largest where there is.
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
        f"{array.path} holds {float(slab[i, j, k]):g} at index ({image + i}, {row + j}, {k}), and "
        f"{why}"
    )


def _read(array: StoredArray, images: slice, rows: slice) -> NDArray[Any]:
    """Some rows of some images, (images, rows, width)."""
    values = _handle(array)
    if isinstance(values, np.ndarray):
        return values[images, rows]
    shape = (images.stop - images.start, rows.stop - rows.start, array.shape[2])
    read = np.empty(shape, np.dtype(array.dtype))
    for i, j in _slabs(array, images, rows):
        key = (array, i.start, j.start)
        if getattr(_LAST, "key", None) != key:
            # First the old one goes: two at a time are twice the memory.
            _LAST.key = _LAST.slab = None
            _LAST.slab = _slab(array, values, i, j)
            _LAST.key = key
        a, b = max(i.start, images.start), min(i.stop, images.stop)
        c, d = max(j.start, rows.start), min(j.stop, rows.stop)
        read[a - images.start : b - images.start, c - rows.start : d - rows.start] = _LAST.slab[
            a - i.start : b - i.start, c - j.start : d - j.start
        ]
    return read


def _slabs(array: StoredArray, images: slice, rows: slice) -> Iterator[tuple[slice, slice]]:
    """The slabs that some rows of some images lie in, in C order."""
    step, high = array.slab
    for i in range(images.start // step * step, images.stop, step):
        for j in range(rows.start // high * high, rows.stop, high):
            yield (
                slice(i, min(i + step, array.shape[0])),
                slice(j, min(j + high, array.shape[1])),
            )


def _slab(array: StoredArray, values: Any, images: slice, rows: slice) -> NDArray[Any]:
    try:
        return np.asarray(values[images, rows])
    except Exception as error:
        # zarr raises whatever a damaged chunk or a lost connection makes it meet.
        raise ValueError(
            f"{array.path} cannot be read at images {images.start}..{images.stop - 1} "
            f"({_said(error)}): restore it from a copy"
        ) from error


def _handle(array: StoredArray) -> Any:
    """The array that was planned, opened once a process."""
    if "://" not in array.path and not os.path.isdir(array.path):
        # At every draw, and cheaply: a mapped file that was cut short kills who reads it.
        _unchanged(array, _stamp(array.path) == array.stamp)
    return _kept(array)


@lru_cache(maxsize=16)
def _kept(array: StoredArray) -> Any:
    values, stamp = _opened(array.path)
    found = (values.shape, values.dtype.str, stamp)
    _unchanged(array, found == (array.shape, array.dtype, array.stamp))
    # A memmap makes another of every slice; a plain array on it does not.
    return np.asarray(values) if isinstance(values, np.ndarray) else values


def _unchanged(array: StoredArray, same: bool) -> None:
    if not same:
        raise ValueError(
            f"{array.path} has changed since the sweep was planned: start the sweep again"
        )


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
