"""Blocks from image files: N x N tiles of the luma of PNG, JPEG and TIFF files, in [0, 1].

Files in sorted order, tiles in row-major order within a file; trial t is tile t.  Rows and columns
beyond the last whole tile are dropped.
"""

import glob
import hashlib
import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
# TIFF tags: Pillow gives 12-bit and inverted 16-bit samples as they are stored.
_BITS, _WHITE_IS_ZERO = 258, 262
# What Pillow raises on damaged files: a broken PNG chunk is a SyntaxError, a broken TIFF tag any.
_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError, struct.error, zlib.error,
    Image.DecompressionBombError,
)  # fmt: skip


@dataclass(frozen=True)
class ImageFile:
    """One file, as found when the sweep was planned."""

    path: str
    height: int
    width: int
    sha256: str

    def tiles(self, block_size: int) -> int:
        """How many whole tiles the file has."""
        return (self.height // block_size) * (self.width // block_size)


def look(*, path: str) -> dict[str, Any]:
    """Find the files of `path` and read each once: size, content hash, and that it decodes.

    Reading everything before the sweep starts costs less than the sweep itself, and finds a
    truncated file before hours of work instead of in the middle of them.

    Raises
    ------
    ValueError
        For no files, or a file that is unreadable, truncated, or of an unsupported kind.
    """
    # Pillow also warns of what it then raises: one message is enough.
    with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor() as pool:
        return {"files": tuple(pool.map(_inspect, _find(path)))}


def available(block_size: int, *, path: str, files: tuple[ImageFile, ...]) -> int:
    """How many tiles there are over all files.

    Raises
    ------
    ValueError
        For an image smaller than a block.
    """
    for file in files:
        if not file.tiles(block_size):
            raise ValueError(
                f"{file.path} is {file.height} x {file.width} samples, smaller than a block of "
                f"{block_size} x {block_size}: choose a smaller block_size or remove the file"
            )
    return sum(file.tiles(block_size) for file in files)


def decides(*, path: str, files: tuple[ImageFile, ...]) -> dict[str, Any]:
    """What decides the numbers: the files' contents in order, wherever they are."""
    contents = hashlib.sha256("".join(file.sha256 for file in files).encode()).hexdigest()
    return {"files": len(files), "sha256": contents}


def dropped(files: tuple[ImageFile, ...], block_size: int) -> int:
    """How many samples lie beyond the last whole tiles."""
    return sum(f.height * f.width - f.tiles(block_size) * block_size**2 for f in files)


def tiles(
    seed: int, block_size: int, first: int, count: int, *, path: str, files: tuple[ImageFile, ...]
) -> NDArray[np.float64]:
    """Tiles first .. first + count - 1 over all files, (count, N, N) float64 in [0, 1].

    `seed` decides nothing here.

    Raises
    ------
    ValueError
        For a file that can no longer be read or has changed since the sweep was planned.
    """
    blocks = np.empty((count, block_size, block_size))
    done = 0
    start = first
    for file in files:
        inside = file.tiles(block_size)
        if start < inside and done < count:
            take = min(inside - start, count - done)
            luma, scale = _luma(file)
            across = file.width // block_size
            place = np.arange(start, start + take)
            cut = luma[: file.height // block_size * block_size, : across * block_size]
            grid = cut.reshape(-1, block_size, across, block_size).swapaxes(1, 2)
            np.divide(grid[place // across, place % across], scale, out=blocks[done : done + take])
            done += take
        start = max(start - inside, 0)
    return blocks


def _find(path: str) -> list[Path]:
    root = Path(os.path.expanduser(path))
    if root.is_dir():
        found = [p for p in root.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()]
        if not found:
            raise ValueError(f"{path} holds no image: it needs files named {', '.join(SUFFIXES)}")
    elif root.is_file():
        found = [root]
    else:
        found = [Path(p) for p in glob.glob(str(root), recursive=True) if Path(p).is_file()]
        if not found:
            raise ValueError(f"{path} matches no file: give an image, a folder or a glob")
    return sorted(p.resolve() for p in found)


def _inspect(path: Path) -> ImageFile:
    content = _content(path)
    luma, _ = _decode(path, content)
    height, width = luma.shape
    return ImageFile(str(path), height, width, hashlib.sha256(content).hexdigest())


# More files than a worker has threads: each thread walks its own unit's files.
@lru_cache(maxsize=64)
def _luma(file: ImageFile) -> tuple[NDArray[Any], float]:
    """A file's samples and their full scale, kept as stored: an eighth of float64."""
    path = Path(file.path)
    content = _content(path)
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise ValueError(f"{path} has changed since the sweep was planned: start the sweep again")
    return _decode(path, content)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error


def _decode(path: Path, content: bytes) -> tuple[NDArray[Any], float]:
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            pages, mode = getattr(image, "n_frames", 1), image.mode
            deep = mode.startswith("I;16")
            # ITU-R BT.601 luma, as JPEG has it, rounded to 8 bits; 16-bit grey stays as it is.
            samples = np.asarray(image if deep else image.convert("L"))
            several = image.format == "TIFF" and pages > 1
            tags = getattr(image, "tag_v2", {})
            odd = deep and (tags.get(_BITS, (16,))[0] != 16 or tags.get(_WHITE_IS_ZERO, 1) == 0)
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} is not a {', '.join(FORMATS)} image") from error
    except _BROKEN as error:
        raise ValueError(f"{path} is a broken image: {error}") from error
    if several:
        raise ValueError(f"{path} has {pages} pages: save each as a file of its own")
    if mode in ("I", "F") or odd:
        raise ValueError(
            f"{path} has samples of mode {mode}, whose range is unknown: save it with 8 or 16 bits "
            "a sample"
        )
    return samples, 65535.0 if deep else 255.0
