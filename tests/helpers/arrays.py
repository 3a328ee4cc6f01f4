"""Arrays in .npy files and Zarr stores, the source of one, and its tiles by slices of NumPy."""

import numpy as np
import zarr

from pipeline.sources import kinds


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
