"""Reading an array in slabs: pieces of at most 16 MiB, made of whole chunks where these fit.

A slab is some images, or some rows of one image.  Slabs are read in C order.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import refuse_unreadable
from pipeline.store.location import Location

# What one thread holds of an array at a time: some thousands of blocks.
_SLAB_BYTES = 1 << 24


def slab_shape(values: Any) -> tuple[int, int]:
    """Images, and rows of each, to read at a time: whole chunks where they are small enough.

    More than one image only with all of its rows, so that slabs follow each other in C order.
    """
    images, height, width = values.shape
    chunk_images, chunk_rows = getattr(values, "chunks", (1, 1))[:2]
    fitting = _SLAB_BYTES // (height * width * values.dtype.itemsize)
    if fitting:
        return min(_whole_chunks(fitting, chunk_images), images), height
    fitting = _SLAB_BYTES // (width * values.dtype.itemsize)
    return 1, min(max(_whole_chunks(fitting, chunk_rows), 1), height)


def slabs(
    shape: tuple[int, int, int], slab: tuple[int, int], images: slice, rows: slice
) -> Iterator[tuple[slice, slice]]:
    """The slabs that some rows of some images lie in, each as its images and rows, in C order."""
    step, high = slab
    for i in range(images.start // step * step, images.stop, step):
        for j in range(rows.start // high * high, rows.stop, high):
            yield slice(i, min(i + step, shape[0])), slice(j, min(j + high, shape[1]))


def read_slab(location: Location, values: Any, images: slice, rows: slice) -> NDArray[Any]:
    """The samples of a slab, (images, rows, width).

    Raises
    ------
    ValueError
        Where they cannot be read.
    """
    try:
        return np.asarray(values[images, rows])
    except Exception as error:
        # zarr raises whatever a damaged chunk or a lost connection makes it meet.
        refuse_unreadable(location, error)
        raise ValueError(
            f"{location} cannot be read at images {images.start}..{images.stop - 1} "
            f"({in_one_line(error)}): restore it from a copy"
        ) from error


def in_one_line(error: Exception) -> str:
    """Type and text of another library's exception, in one line, to be put in a message."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _whole_chunks(count: int, chunk: int) -> int:
    """`count` rounded down to whole chunks; `count` itself where a chunk is larger than that."""
    return count // chunk * chunk or count
