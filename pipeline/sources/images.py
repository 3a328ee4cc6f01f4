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

from pipeline.sources.files import Files, ImageFile, content_of, walk
from pipeline.sources.files import look as look_at

FORMATS = ("PNG", "JPEG", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
# TIFF tags: Pillow gives 12-bit and inverted 16-bit samples as they are stored.
_BITS, _WHITE_IS_ZERO = 258, 262
# What Pillow raises on damaged files: a broken PNG chunk is a SyntaxError, a broken TIFF tag any.
_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError, struct.error, zlib.error,
    Image.DecompressionBombError,
)  # fmt: skip


def look(*, path: str) -> dict[str, Any]:
    """Find the files of `path` and read each once: size, content hash, and that it decodes.

    Raises
    ------
    ValueError
        For no files, or a file that is unreadable, truncated, or of an unsupported kind.
    """
    return {"files": look_at(path, SUFFIXES, _shape)}


def tiles(
    seed: int, block_size: int, first: int, count: int, *, path: str, files: Files
) -> NDArray[np.float64]:
    """Tiles first .. first + count - 1 over all files, (count, N, N) float64 in [0, 1].

    `seed` decides nothing here.

    Raises
    ------
    ValueError
        For a file that can no longer be read or has changed since the sweep was planned.
    """
    blocks = np.empty((count, block_size, block_size))
    for file, wanted, place in walk(files, block_size, first, count):
        luma, scale = _luma(file)
        across = file.width // block_size
        tile = np.arange(wanted.start, wanted.stop)
        cut = luma[: file.height // block_size * block_size, : across * block_size]
        grid = cut.reshape(-1, block_size, across, block_size).swapaxes(1, 2)
        np.divide(grid[tile // across, tile % across], scale, out=blocks[place])
    return blocks


@contextmanager
def decoding(path: Path, content: bytes, formats: tuple[str, ...]) -> Iterator[Any]:
    """The image that a file's content is, to be decoded inside.

    Raises
    ------
    ValueError
        For content of another format, or whatever is wrong with it.
    """
    try:
        with Image.open(BytesIO(content), formats=formats) as image:
            yield image
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} is not a {', '.join(formats)} image") from error
    except _BROKEN as error:
        raise ValueError(f"{path} is a broken image: {error}") from error


def _shape(path: Path, content: bytes) -> tuple[int, int]:
    luma, _ = _decode(path, content)
    height, width = luma.shape
    return height, width


# More files than a worker has threads: each thread walks its own unit's files.
@lru_cache(maxsize=64)
def _luma(file: ImageFile) -> tuple[NDArray[Any], float]:
    """A file's samples and their full scale, kept as stored: an eighth of float64."""
    return _decode(Path(file.path), content_of(file))


def _decode(path: Path, content: bytes) -> tuple[NDArray[Any], float]:
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
