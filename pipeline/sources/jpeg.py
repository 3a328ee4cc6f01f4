"""Blocks from JPEG files: the 8 x 8 blocks of quantised luma DCT coefficients that they hold.

The coefficients F are read out of the file and multiplied by its quantisation table Q; the block is
X = (C^T (F * Q) C + 128) / 255, so that 0 is black and 1 is white.  Nothing is
rounded or clipped, and nothing decoded and encoded again: values slightly outside [0, 1] are what
the file says.
"""

import importlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import asm_core
from pipeline.errors import UnreadableError, cannot
from pipeline.sources import images, memory
from pipeline.sources.cache import Inspected
from pipeline.sources.files import (
    Files,
    ImageFile,
    Kept,
    Reader,
    decoded,
    find_files,
    walk,
)

SIZE = 8
# Seconds to decode a sample, most of it to make an array of jpeglib's coefficients, colours too.
_SECONDS = {".jpg": 18e-9, ".jpeg": 18e-9}
# A block of 8-bit samples has coefficients up to 1024, and rounding adds up to half an entry of the
# table.  Twice that is allowed, since some encoders overshoot white on purpose.
_LARGEST = 2048
# Markers that begin a frame, and those of frames in Huffman code.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_HUFFMAN = frozenset({0xC0, 0xC1, 0xC2})


def inspect(*, path: str, recursive: bool = False) -> Files:
    """Find the files of `path`: the size of each and that it has luma, by its head, and its hash.

    `recursive` searches the folders inside a folder too.

    Raises
    ------
    ValueError
        Where jpeglib is not installed; for no files, or a file that is unreadable, truncated, not
        a JPEG of 8 bits in Huffman code, or whose first component is not luma.
    """
    _library()
    return find_files(READER, path, recursive=recursive)


def coefficients(files: Files, block_size: int, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """DCT coefficients of some blocks by their numbers over all files, (blocks, 8, 8) float64.

    `numbers` are ascending, `block_size` is 8.  Of samples X = C^T F C, dimensionless, 0 black and
    1 white; quantisation puts some outside.

    Raises
    ------
    ValueError
        For a file that is broken, can no longer be read or has changed since the sweep was planned.
    """
    dequantised = np.empty((len(numbers), SIZE, SIZE))
    for file, wanted, place in walk(files, block_size, numbers):
        quantised, table = _quantised(file)
        np.multiply(quantised[wanted], table, out=dequantised[place])
    return asm_core.from_grey_levels(dequantised)


def _head(path: Path, content: bytes) -> Inspected:
    """Height and width of a file that says that it has luma, and has an end."""
    with images.decoding(path, content, ("JPEG",)) as image:
        width, height = image.size
        info, components = image.info, image.layer
        memory.check(path, height, width, len(components))
    _check_luma(path, info, components)
    markers = images.check_end(path, content)
    if not markers & _FRAMES <= _HUFFMAN:
        raise _refusal(path, "")
    return Inspected(height, width)


def _check_luma(
    path: Path, info: dict[str, Any], components: list[tuple[int, int, int, int]]
) -> None:
    """Refuse a file whose first component is not luma in full resolution."""
    # A component is (identifier, horizontal and vertical sampling factor, table).  Colours are told
    # as libjpeg does: JFIF is always YCbCr; else the Adobe marker says; else the identifiers do.
    letters = bytes(component[0] for component in components)
    rgb = "jfif" not in info and (
        info["adobe_transform"] == 0 if "adobe_transform" in info else letters == b"RGB"
    )
    if len(components) > 3 or (len(components) == 3 and rgb):
        colours, remedy = (
            ("RGB", "use source images") if len(components) == 3 else ("CMYK", "save it as RGB")
        )
        raise ValueError(
            f"{path} is a JPEG of {colours}, which has no luma: remove it, or {remedy}"
        )
    if components[0][1:3] != tuple(max(c[k] for c in components) for k in (1, 2)):
        raise ValueError(
            f"{path} has luma of lower resolution than colour: remove it, or use source images"
        )


# Half as many files as `images` keeps, since coefficients take twice the memory of samples.
@partial(Kept, files=32)
def _quantised(file: ImageFile) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
    """Coefficients [u, v] of a file's whole blocks, (blocks, 8, 8), and their table, (8, 8)."""
    luma, table = decoded(READER, file)
    # Beyond the edge of the image, blocks have samples that the encoder invented.
    whole = luma[: file.height // SIZE, : file.width // SIZE]
    return whole.reshape(-1, SIZE, SIZE), table


def _decode(path: Path, content: bytes) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
    """Luma coefficients (rows, columns, u, v) of all blocks, and their table (u, v)."""
    # Pillow first: libjpeg, in jpeglib, silently fills what a damaged file lacks with grey.  It
    # reads all of the coded data for a picture of an eighth too, in a fifth of jpeglib's time.
    with images.decoding(path, content, ("JPEG",)) as image:
        height, width, colours = image.height, image.width, len(image.getbands())
        down, across = height // SIZE, width // SIZE
        memory.check(path, height, width, colours)
        image.draft("L", (across, down))
        image.load()
    with memory.room(path, height, width, colours):
        quantised, table = _read(path, content)
    # The largest of each coefficient: arrays of the size of all took two thirds of jpeglib's time.
    largest = np.maximum(quantised.max((0, 1)).astype(int), -quantised.min((0, 1)).astype(int))
    is_short = quantised.shape[0] < down or quantised.shape[1] < across
    if is_short or np.any(largest * table > _LARGEST + table.astype(int)):
        raise ValueError(
            f"{path} is damaged: it has coefficients that no image of 8 bits has; restore it from "
            "a copy, or remove it"
        )
    return quantised, table


READER = Reader("jpeg", _SECONDS, _head, _decode)


def _read(path: Path, content: bytes) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
    """The coefficients and their table, as jpeglib reads them."""
    jpeglib = _library()
    with _copied(_without_metadata(content)) as copy:
        try:
            image = jpeglib.read_dct(copy)
            return image.Y, image.get_component_qt(0)
        except OSError as error:
            raise _refusal(path, error.strerror or "") from error


@contextmanager
def _copied(content: bytes) -> Iterator[Path]:
    """A temporary file of this content, since jpeglib reads no bytes."""
    remedy = "free some space there, or set TMPDIR to another folder"
    try:
        folder = tempfile.TemporaryDirectory()
    except OSError as error:
        raise UnreadableError(cannot("write", "temporary files", error, remedy)) from error
    with folder:
        copy = Path(folder.name) / "bare.jpg"
        try:
            copy.write_bytes(content)
        except OSError as error:
            raise UnreadableError(cannot("write", copy, error, remedy)) from error
        yield copy


def _refusal(path: Path, said: str) -> ValueError:
    said = said or "it takes 8 bits a sample in Huffman code only"
    return ValueError(f"{path} cannot be read by jpeglib: {said}; remove it, or use source images")


def _without_metadata(content: bytes) -> bytes:
    """A JPEG without its comments and application data."""
    # jpeglib 1.0.2 keeps these in global variables that all threads share, in a buffer sized by
    # those before the first empty one: an empty comment at the front crashes the process.
    pieces, at = [content[:2]], 2
    for marker, start, after in images.segments(content):
        metadata = 0xE0 <= marker <= 0xEF or marker == 0xFE
        pieces.append(content[at : start if metadata else after])
        at = after
    return b"".join((*pieces, content[at:]))


def _library() -> Any:
    try:
        return importlib.import_module("jpeglib")
    except ImportError as error:
        raise ValueError("source jpeg needs jpeglib: pip install jpeglib") from error
