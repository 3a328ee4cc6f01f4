"""Blocks from JPEG files: the 8 x 8 blocks of quantised luma DCT coefficients that they hold.

The coefficients F are read out of the file and multiplied by its quantisation table Q; the block is
X = (C^T (F * Q) C + 128) / 255, so that 0 is black and 1 is white.  Nothing is
rounded or clipped, and nothing decoded and encoded again: values slightly outside [0, 1] are what
the file says.
"""

import importlib
import re
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import asm_core
from pipeline.sources import images
from pipeline.sources.files import Files, ImageFile, content_of, walk
from pipeline.sources.files import available as tiles_of
from pipeline.sources.files import look as look_at

SIZE = 8
SUFFIXES = (".jpg", ".jpeg")
# A block of 8-bit samples has coefficients up to 1024, half an entry of the table more when they
# are rounded; twice that, since encoders may overshoot white on purpose.
_LARGEST = 2048
# The next marker: 0xFF and what is neither coded data, nor a restart, nor filling.
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")


def look(*, path: str) -> dict[str, Any]:
    """Find the files of `path` and read each once: size, content hash, and that it has luma.

    Raises
    ------
    ValueError
        Where jpeglib is not installed; for no files, or a file that is unreadable, truncated, not
        a JPEG of 8 bits, or whose first component is not luma.
    """
    _library()
    return {"files": look_at(path, SUFFIXES, _inspect)}


def available(block_size: int, *, path: str, files: Files) -> int:
    """How many whole blocks there are over all files.

    Raises
    ------
    ValueError
        For a block size other than 8, or an image smaller than a block.
    """
    if block_size != SIZE:
        raise ValueError(
            f"jpeg has blocks of {SIZE} x {SIZE} only, got block_size={block_size}: "
            f"use block_size={SIZE}"
        )
    return tiles_of(block_size, path=path, files=files)


def coefficients(
    seed: int, block_size: int, first: int, count: int, *, path: str, files: Files
) -> NDArray[np.float64]:
    """DCT coefficients of blocks first .. first + count - 1 over all files, (count, 8, 8) float64.

    Of samples X = C^T F C, dimensionless, 0 black and 1 white; quantisation puts some outside.
    `seed` decides nothing here.

    Raises
    ------
    ValueError
        For a file that can no longer be read or has changed since the sweep was planned.
    """
    dequantised = np.empty((count, SIZE, SIZE))
    for file, wanted, place in walk(files, block_size, first, count):
        quantised, table = _quantised(file)
        np.multiply(quantised[wanted], table, out=dequantised[place])
    return asm_core.from_grey_levels(dequantised)


def _inspect(path: Path, content: bytes) -> tuple[int, int]:
    """Height and width of a file whose luma can be read."""
    # libjpeg, which jpeglib calls, takes a truncated file for one with a grey end: Pillow first.
    with images.decoding(path, content, ("JPEG",)) as image:
        image.load()
        width, height = image.size
        info, components = image.info, image.layer
    _check_luma(path, info, components)
    quantised, table = _read(path, content)
    if np.any(np.abs(quantised * table.astype(np.int32)) > _LARGEST + table):
        raise ValueError(
            f"{path} is damaged: it has coefficients that no image of 8 bits has; restore it from "
            "a copy, or remove it"
        )
    return height, width


def _check_luma(
    path: Path, info: dict[str, Any], components: list[tuple[int, int, int, int]]
) -> None:
    """Refuse a file whose first component is not luma in full resolution."""
    # Each (identifier, horizontal and vertical sampling factor, table); colours as libjpeg guesses
    # them: JFIF is always YCbCr, Adobe says it, else the identifiers do.
    letters = bytes(component[0] for component in components)
    rgb = "jfif" not in info and (
        info["adobe_transform"] == 0 if "adobe_transform" in info else letters == b"RGB"
    )
    if len(components) > 3 or (len(components) == 3 and rgb):
        colours = "RGB" if len(components) == 3 else "CMYK"
        raise ValueError(
            f"{path} is a JPEG of {colours}, which has no luma: remove it, or use source images"
        )
    if components[0][1:3] != tuple(max(c[k] for c in components) for k in (1, 2)):
        raise ValueError(
            f"{path} has luma of lower resolution than colour: remove it, or use source images"
        )


# Coefficients take twice the memory of samples: half as many files as images keeps.
@lru_cache(maxsize=32)
def _quantised(file: ImageFile) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
    """Coefficients [u, v] of a file's whole blocks, (blocks, 8, 8), and their table, (8, 8)."""
    luma, table = _read(Path(file.path), content_of(file))
    # Blocks that overlap the edge are filled up with samples that the encoder made up.
    whole = luma[: file.height // SIZE, : file.width // SIZE]
    return whole.reshape(-1, SIZE, SIZE), table


def _read(path: Path, content: bytes) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
    """Luma coefficients (rows, columns, u, v) of all blocks, and their table (u, v)."""
    jpeglib = _library()
    try:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "bare.jpg"
            copy.write_bytes(_bare(content))
            image = jpeglib.read_dct(copy)
            return image.Y, image.get_component_qt(0)
    except OSError as error:
        said = error.strerror or "it takes 8 bits a sample in Huffman code only"
        raise ValueError(
            f"{path} cannot be read by jpeglib: {said}; remove it, or use source images"
        ) from error


def _bare(content: bytes) -> bytes:
    """A JPEG without its comments and application data."""
    # jpeglib 1.0.2 keeps them in global variables, whatever thread it is in, and in a buffer sized
    # up to the first empty one: it dies on an empty comment before anything else.
    kept, at = [content[:2]], 2
    while found := _MARKER.search(content, at):
        start, marker = found.start(), content[found.start() + 1]
        if marker == 0xD9:
            break
        after = start + 2 + int.from_bytes(content[start + 2 : start + 4])
        metadata = 0xE0 <= marker <= 0xEF or marker == 0xFE
        kept.append(content[at : start if metadata else after])
        at = after
    return b"".join((*kept, content[at:]))


def _library() -> Any:
    try:
        return importlib.import_module("jpeglib")
    except ImportError as error:
        raise ValueError("source jpeg needs jpeglib: pip install jpeglib") from error
