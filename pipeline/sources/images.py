"""Blocks from image files: N x N tiles of the luma of PNG, JPEG and TIFF files, in [0, 1]."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pipeline.sources.files import Files, ImageFile, find_files, read_unchanged, walk
from pipeline.sources.tiling import cut, rows_of_tiles

FORMATS = ("PNG", "JPEG", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
# TIFF tags that tell 12-bit and inverted 16-bit samples, which Pillow does not convert.
_BITS, _WHITE_IS_ZERO = 258, 262
# What Pillow raises on damaged files: a broken PNG chunk is a SyntaxError, a broken TIFF tag may be
# any of them.
_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError, struct.error, zlib.error,
    Image.DecompressionBombError,
)  # fmt: skip


def inspect(*, path: str) -> Files:
    """Find the files of `path` and read each once: size, content hash, and that it decodes.

    Raises
    ------
    ValueError
        For no files, or a file that is unreadable, truncated, or of an unsupported kind.
    """
    return find_files(path, SUFFIXES, _shape_of)


def tiles(files: Files, block_size: int, first: int, count: int) -> NDArray[np.float64]:
    """Tiles first .. first + count - 1 over all files, (count, N, N) float64 in [0, 1].

    Raises
    ------
    ValueError
        For a file that can no longer be read or has changed since the sweep was planned.
    """
    blocks = np.empty((count, block_size, block_size))
    for file, wanted, place in walk(files, block_size, first, count):
        luma, scale = _luma(file)
        across = file.width // block_size
        rows = rows_of_tiles(wanted, across)
        part = cut(luma[None, rows.start * block_size : rows.stop * block_size], block_size)
        begin = rows.start * across
        np.divide(part[wanted.start - begin : wanted.stop - begin], scale, out=blocks[place])
    return blocks


@contextmanager
def decoding(path: Path, content: bytes, formats: tuple[str, ...]) -> Iterator[Any]:
    """Open a file's content as an image; what goes wrong in the `with` block is a ValueError.

    Raises
    ------
    ValueError
        For content of another format, or damaged content; it names `path`.
    """
    try:
        with Image.open(BytesIO(content), formats=formats) as image:
            yield image
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} is not a {', '.join(formats)} image") from error
    except _BROKEN as error:
        raise ValueError(f"{path} is a broken image: {error}") from error


def _shape_of(path: Path, content: bytes) -> tuple[int, int]:
    luma, _ = _decode(path, content)
    height, width = luma.shape
    return height, width


# More files than a worker has threads: each thread walks its own unit's files.
@lru_cache(maxsize=64)
def _luma(file: ImageFile) -> tuple[NDArray[Any], float]:
    """A file's samples and the value of white; as they are stored, an eighth of float64."""
    return _decode(Path(file.path), read_unchanged(file))


def _decode(path: Path, content: bytes) -> tuple[NDArray[Any], float]:
    """Luma (height, width) uint8 or uint16, and the value that stands for white."""
    with decoding(path, content, FORMATS) as image:
        pages, mode = getattr(image, "n_frames", 1), image.mode
        deep = mode.startswith("I;16")
        # ITU-R BT.601 luma, as JPEG has it, rounded to 8 bits; 16-bit grey stays as it is.
        samples = np.asarray(image if deep else image.convert("L"))
        several = image.format == "TIFF" and pages > 1
        tags = getattr(image, "tag_v2", {})
        odd = deep and (tags.get(_BITS, (16,))[0] != 16 or tags.get(_WHITE_IS_ZERO, 1) == 0)
    if several:
        raise ValueError(f"{path} has {pages} pages: save each as a file of its own")
    if mode in ("I", "F") or odd:
        raise ValueError(
            f"{path} has samples of mode {mode}, whose range is unknown: save it with 8 or 16 bits "
            "a sample"
        )
    return samples, 65535.0 if deep else 255.0
