"""Blocks from a .npy file or Zarr array: N x N tiles of its images, with values as they are.

What the attributes of a Zarr array say of them, as xarray writes it, is done: `packing`.

The array has axes (images, height, width); an array (trials, N, N) has one tile per image.  Tiles
are counted in the order of the images, and in row-major order within each.  Rows and columns beyond
the last whole tile are dropped.  Workers read what they draw, and never the whole array.
"""

import dataclasses
import hashlib
import math
import os
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asm_core.validate import MOST_BATCHES, WHOLE
from pipeline.errors import refuse_unreadable
from pipeline.sources import cache, packing, pixels
from pipeline.sources.cache import Found, State
from pipeline.sources.opening import npy_file, open_unread, stamp_of
from pipeline.sources.packing import Missing, Packing
from pipeline.sources.slabs import read_slab, slab_shape, slabs
from pipeline.sources.tiling import groups, pick, strips
from pipeline.store.location import Location

# Errors are stored as float32, which ends at 3.4e38 and 1.2e-38, and are sums of several samples.
_LARGEST, _SMALLEST = 1e30, 1e-30
_REAL = "buif"
# How real numbers are made of an array x that has others.
_REMEDIES = {
    "c": ": x.real, x.imag or abs(x)",
    "M": ": (x - x.min()) / numpy.timedelta64(1, 's')",
    "m": ": x / numpy.timedelta64(1, 's')",
}
# The slab that each thread read last: a thread draws blocks in ascending order, and the slab, which
# may be a large Zarr chunk, usually has those of the next draws too.
_LAST = threading.local()


@dataclass(frozen=True)
class StoredArray:
    """An array, as it was when the sweep was planned.

    `shape` is (images, height, width), `dtype` in NumPy's notation.  `stamp` changes when a file of
    the array is written (at a URL, only when the array's metadata change); each process compares it
    before it draws.  `slab` is how many images, and how many rows of each, are read at a time;
    `sha256` is that of the stored numbers, of which `packing` makes the values; `units` is the unit
    of these that the array's attributes name, empty where they name none.
    """

    location: Location
    shape: tuple[int, int, int]
    dtype: str
    stamp: str
    slab: tuple[int, int]
    packing: Packing
    sha256: str = ""
    units: str = ""

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "StoredArray":
        """The array of which `to_json` gave the data."""
        return cls(
            **{
                **data,
                "location": Location(data["location"]),
                "shape": tuple(data["shape"]),
                "slab": tuple(data["slab"]),
                "packing": Packing(**data["packing"]),
            }
        )

    def to_json(self) -> dict[str, Any]:
        """All fields as plain JSON; the samples themselves are left out."""
        return {
            **vars(self),
            "location": str(self.location),
            "shape": list(self.shape),
            "slab": list(self.slab),
            "packing": dict(vars(self.packing)),
        }

    def __len__(self) -> int:
        """How many images."""
        return self.shape[0]

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the numbers: the values, but neither their place nor how they are stored."""
        name, meant = np.dtype(self.dtype).name, np.dtype(self.packing.dtype).name
        packed = {**vars(self.packing), "dtype": meant}
        # Of most arrays nothing is said, and their identity neither.
        said = {"packing": packed} if self.packing.scales or meant != name else {}
        return {"shape": list(self.shape), "dtype": name, "sha256": self.sha256, **said}

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

    def across(self, block_size: int) -> int:
        """How many tiles a row of an image has."""
        return self.shape[2] // block_size

    def batches(self, block_size: int) -> tuple[int, ...]:
        """The ends of batches of neighbouring tiles: strips of a single image, or whole images."""
        images, down = self.shape[0], self.shape[1] // block_size
        each = down * self.across(block_size)
        if images == 1:
            return strips(down, self.across(block_size))
        # Of a billion images, only those at the ends of batches.
        batches = min(images, MOST_BATCHES)
        return groups(each * -(-images * np.arange(1, batches + 1) // batches))

    def dropped(self, block_size: int) -> int:
        """How many samples lie beyond the last whole tiles."""
        return math.prod(self.shape) - self.available(block_size) * block_size**2


def inspect(*, path: str) -> StoredArray:
    """Open the array of `path` and read it whole: its content hash, and that all is finite.

    Of a .npy file this is taken from a cache while the file is unchanged.

    Parameters
    ----------
    path
        A .npy file, or a Zarr array (format 2 or 3) as a folder or a URL.

    Raises
    ------
    ValueError
        For a path that holds nothing or something else, an array that is not of real numbers or
        not three axes long, missing values, values that are not finite or beyond 1e30, and whole
        numbers beyond 2^53.
    """
    location = Location.of(path)
    if location.folder is not None:
        # The target of a link: the link may lead elsewhere by the time a worker draws.
        location = Location(os.path.realpath(location.folder))
        try:
            mode = os.stat(str(location)).st_mode
        except OSError as error:
            refuse_unreadable(path, error)
            mode = 0
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ValueError(
                f"{path} is not there: give a .npy file, or a Zarr array as a folder or URL"
            )
        if stat.S_ISDIR(mode):
            location.check_openable()
    values, stamp = open_unread(location)
    _check_form(location, values)
    packed, missing = _packing(location, values)
    array = StoredArray(location, values.shape, values.dtype.str, stamp, slab_shape(values), packed)
    digest = _sha256(array, values, missing)
    return dataclasses.replace(array, sha256=digest, units=_units(values))


def tiles(array: StoredArray, block_size: int, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Some tiles by their numbers over all images, ascending, (tiles, N, N) float64, unscaled.

    Raises
    ------
    ValueError
        For an array that can no longer be read or has changed since the sweep was planned.
    """
    blocks = np.empty((len(numbers), block_size, block_size))
    if not len(numbers):
        # The parameters of a source are checked by a draw of nothing: no need to open the array.
        return blocks
    values = _open_unchanged(array)
    if isinstance(values, np.ndarray):
        blocks[:] = pick(values, block_size, numbers)
        return blocks
    down, across = array.shape[1] // block_size, array.shape[2] // block_size
    image, row = np.divmod(numbers // across, down)
    # Tiles of one slab at a time, from the first row to the last that they lie in.
    step, high = array.slab
    slab = image // step * -(-array.shape[1] // high) + row * block_size // high
    edges = np.flatnonzero(np.diff(slab)) + 1
    for place in np.split(np.arange(len(numbers)), edges):
        a, b = place[0], place[-1]
        whole = image[a] < image[b]
        top, end = (0, down) if whole else (row[a], row[b] + 1)
        samples = _read(
            array,
            values,
            slice(int(image[a]), int(image[b]) + 1),
            slice(int(top) * block_size, int(end) * block_size),
        )
        begin = (image[a] * down + top) * across
        blocks[a : b + 1] = pick(samples, block_size, numbers[a : b + 1] - begin)
    return blocks


def _check_form(location: Location, values: Any) -> None:
    """Refuse an array that is not of real numbers, or not of images."""
    if values.dtype.kind not in _REAL or values.dtype.itemsize > 8:
        raise ValueError(
            f"{location} has dtype {values.dtype}: save it as real numbers of at most 64 bits"
            f"{_REMEDIES.get(values.dtype.kind, '')}"
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


def _packing(location: Location, values: Any) -> tuple[Packing, Missing]:
    """What the attributes of a Zarr array say of its values; of a file of NumPy, nothing."""
    if isinstance(values, np.ndarray):
        return Packing(values.dtype.str), Missing()
    attributes = values.attrs.asdict()
    # Of format 2, which has no other place, xarray takes Zarr's own fill value for missing.  An
    # array without this attribute is none of xarray's: there it fills chunks that are not written.
    of_xarray = values.metadata.zarr_format == 2 and "_ARRAY_DIMENSIONS" in attributes
    return packing.read(
        location, values.dtype, attributes, values.fill_value if of_xarray else None
    )


def _units(values: Any) -> str:
    """The unit that the attributes of a Zarr array name, as the CF conventions have it."""
    units = None if isinstance(values, np.ndarray) else values.attrs.asdict().get("units")
    return units.strip() if isinstance(units, str) else ""


def _sha256(array: StoredArray, values: Any, missing: Missing) -> str:
    """The digest; that of a file is kept.  A Zarr array may be thousands of files."""
    file = npy_file(array.location)
    if file is None:
        return _digest(array, values, missing)
    began, state = time.time(), State.of(file)
    [found] = cache.look_up("array", [str(file)], [state])
    if found is None:
        digest = bytes.fromhex(_digest(array, values, missing))
        found = Found(array.shape[1], array.shape[2], None, digest)
        cache.keep("array", [(str(file), state, found)], began)
    return found.sha256.hex()


def _digest(array: StoredArray, values: Any, missing: Missing) -> str:
    """SHA-256 of dtype, shape and stored numbers (C order, little-endian); refuses wrong values."""
    dtype = np.dtype(array.dtype)
    content = hashlib.sha256(f"{dtype.name} {array.shape}".encode())
    every = slice(0, array.shape[0]), slice(0, array.shape[1])
    largest = 0.0
    for images, rows in slabs(array.shape, array.slab, *every):
        slab = read_slab(array.location, values, images, rows)
        _check_values(array, missing, slab, images.start, rows.start)
        if largest < _SMALLEST:
            largest = max(largest, float(np.abs(array.packing.decode(slab)).max()))
        content.update(np.ascontiguousarray(slab, dtype.newbyteorder("<")).data)
    if 0 < largest < _SMALLEST:
        raise ValueError(
            f"{array.location} holds nothing larger than {largest:g} in magnitude, and errors, "
            f"which are stored as float32, need {_SMALLEST:g}: rescale it"
        )
    return content.hexdigest()


def _check_values(
    array: StoredArray, missing: Missing, slab: NDArray[Any], image: int, row: int
) -> None:
    """Refuse a number that has no value or not an exact one, and name its index in the array."""

    def holds(place: tuple[int, ...], number: Any) -> str:
        i, j, k = place
        return f"{array.location} holds {number} at index ({image + i}, {row + j}, {k}), "

    found = missing.find(array.packing, slab)
    if found:
        place, name, said = found
        raise ValueError(
            f"{holds(place, slab[place])}which stands for a missing value ({name}={said!r}): fill "
            "it, or leave its image out"
        )
    meant = array.packing.meant(slab)
    if meant.dtype.kind in "iu" and meant.dtype.itemsize == 8:
        wrong = (meant > WHOLE) | (meant < -WHOLE if meant.dtype.kind == "i" else False)
        if wrong.any():
            place = pixels.place_of(wrong)
            raise ValueError(
                f"{holds(place, meant[place])}and whole numbers beyond 2^53 would be rounded: "
                "subtract their mean, or rescale them"
            )
    if meant.dtype.kind == "f" or array.packing.scales:
        _check_floats(array.packing.decode(slab), holds)


def _check_floats(values: NDArray[Any], holds: Callable[[tuple[int, ...], str], str]) -> None:
    """Refuse a value that is not finite or is too large."""
    # Two numbers are enough to test: if any value is NaN, so are the least and the largest.
    with np.errstate(invalid="ignore"):
        least, largest = float(values.min()), float(values.max())
    if -_LARGEST <= least and largest <= _LARGEST:
        return
    wrong = ~np.isfinite(values)
    if wrong.any():
        why = "values must be finite: replace it"
    else:
        wrong = np.abs(values) > _LARGEST
        why = f"at most {_LARGEST:g} is allowed, since errors are stored as float32: rescale it"
    place = pixels.place_of(wrong)
    raise ValueError(f"{holds(place, f'{float(values[place]):g}')}and {why}")


def _read(array: StoredArray, values: Any, images: slice, rows: slice) -> NDArray[Any]:
    """The values of some rows of some images of a Zarr array, (images, rows, width)."""
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
    return array.packing.decode(read)


def _open_unchanged(array: StoredArray) -> Any:
    """The array, opened once in a process; refused if it has changed since the plan."""
    file = npy_file(array.location)
    if file is not None:
        # At every draw: reading beyond the end of a mapped file kills the process.
        _check_unchanged(array, stamp_of(file) == array.stamp)
    return _open_once(array)


@lru_cache(maxsize=16)
def _open_once(array: StoredArray) -> Any:
    values, stamp = open_unread(array.location)
    now = (values.shape, values.dtype.str, stamp)
    _check_unchanged(array, now == (array.shape, array.dtype, array.stamp))
    # Each slice of a memmap is a new memmap, which is slow to make; a plain array has no such cost.
    return np.asarray(values) if isinstance(values, np.ndarray) else values


def _check_unchanged(array: StoredArray, same: bool) -> None:
    if not same:
        raise ValueError(
            f"{array.location} has changed since the sweep was planned: start the sweep again"
        )
