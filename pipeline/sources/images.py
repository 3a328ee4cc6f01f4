"""Blocks from image files: N x N tiles of the luma of PNG, JPEG and TIFF files, in [0, 1].

Samples are those that a file stores: not turned by its orientation, and no profile or gamma is
applied.  White is the largest value that the file's number of bits has.
"""

import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from pipeline.errors import UserError
from pipeline.sources import memory, pixels, tiff
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
from pipeline.sources.slabs import in_one_line
from pipeline.sources.tiling import pick

FORMATS = ("PNG", "JPEG", "TIFF")
# Seconds to decode a sample, measured on colours, of TIFF with LZW; grey takes a third to a half,
# and uncompressed TIFF next to nothing.
_SECONDS = {".png": 17e-9, ".jpg": 6e-9, ".jpeg": 6e-9, ".tif": 20e-9, ".tiff": 20e-9}
# What Pillow warns of is read right or refused: no user has to see it.
warnings.filterwarnings("ignore", module=r"PIL\.")
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
# Words, profiles and such, which are not applied here, and of which Pillow takes 1 MiB at most.
_WORDS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf")
# Samples of a pixel, by the kind of colour of a PNG.
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# The largest side that libpng takes, of which imagecodecs asks for no other.
_DEEP_SIDE = 1_000_000
# How far apart, and where, the columns and rows of the seven passes of an interlaced PNG lie.
_PASSES = ((8, 0, 8, 0), (8, 4, 8, 0), (4, 0, 8, 4), (4, 2, 4, 0), (2, 0, 4, 2), (2, 1, 2, 0),
           (1, 0, 2, 1))  # fmt: skip
# A marker of JPEG is 0xFF and a byte; bytes of coded data, restarts and fillings are left out here.
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")
_END = 0xD9


def inspect(*, path: str, recursive: bool = False) -> Files:
    """Find the files of `path`: the size of each by its head, and the hash of its content.

    `recursive` searches the folders inside a folder too.

    Raises
    ------
    ValueError
        For no files, or a file that is unreadable, of an unsupported kind, or broken as far as its
        head says.
    """
    return find_files(READER, path, recursive=recursive)


def tiles(files: Files, block_size: int, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Some tiles by their numbers over all files, ascending, (tiles, N, N) float64 in [0, 1].

    Raises
    ------
    ValueError
        For a file that is broken, can no longer be read or has changed since the sweep was planned.
    """
    blocks = np.empty((len(numbers), block_size, block_size))
    for file, wanted, place in walk(files, block_size, numbers):
        luma, scale = _luma(file)
        np.divide(pick(luma[None], block_size, wanted), scale, out=blocks[place])
    return blocks


@contextmanager
def decoding(path: Path, content: bytes, formats: tuple[str, ...]) -> Iterator[Any]:
    """Open a file's content as an image; what goes wrong in the `with` block is a ValueError.

    Raises
    ------
    ValueError
        For content of another format, or damaged content; it names `path`.
    """
    # Not by Image.open, which refuses more than 179 million samples, whatever the memory is.
    reader: type[PngImageFile | JpegImageFile]
    if content.startswith(_PNG) and "PNG" in formats:
        reader, content = PngImageFile, _without_words(path, content)
    elif content.startswith(_JPEG) and "JPEG" in formats:
        reader = JpegImageFile
    else:
        raise ValueError(f"{path} is not a {', '.join(formats)} image")
    try:
        with reader(BytesIO(content)) as image:
            yield image
    except UserError:
        raise
    except Exception as error:
        # Pillow raises whatever a damaged file makes it meet.
        raise ValueError(f"{path} is a broken image: {in_one_line(error)}") from error


def _without_words(path: Path, content: bytes) -> bytes:
    """A PNG without its words, whose checksums must be right all the same."""
    pieces, at = [], 0
    for name, start, stop in _spans(content):
        if name in _WORDS and stop + 4 <= len(content):
            if zlib.crc32(content[start - 4 : stop]) != int.from_bytes(content[stop : stop + 4]):
                raise UserError(f"{path} is a broken image: the checksum of {name!r} is wrong")
            pieces.append(content[at : start - 8])
            at = stop + 4
    return b"".join((*pieces, content[at:])) if pieces else content


# More files than a worker has threads: each thread walks its own unit's files.
@partial(Kept, files=64)
def _luma(file: ImageFile) -> tuple[NDArray[Any], float]:
    """A file's samples and the value of white; as they are stored, an eighth of float64."""
    return decoded(READER, file)


def segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """The segments of a JPEG up to its end: each marker, where it starts, and where it ends.

    A scan's coded data belong to no segment: in these a byte 0xFF is followed by 0, or restarts.
    """
    at = 2
    while found := _MARKER.search(content, at):
        start, marker = found.start(), content[found.start() + 1]
        at = (
            start + 2
            if marker == _END
            else start + 2 + int.from_bytes(content[start + 2 : start + 4])
        )
        yield marker, start, at
        if marker == _END:
            return


def check_end(path: Path, content: bytes) -> set[int]:
    """The markers of a JPEG, which is refused as truncated if the last one is not that of its end.

    Looking takes 0.04 ms for 100 KB, decoding fifty times as long.
    """
    markers = {marker for marker, _, _ in segments(content)}
    if _END not in markers:
        raise UserError(f"{path} is a broken image: it is truncated")
    return markers


def _head(path: Path, content: bytes) -> Inspected:
    """Height and width; of an image that only its samples can tell of, these are decoded."""
    if content.startswith(tiff.MAGIC):
        height, width, is_told = tiff.head(path, content)
    else:
        with decoding(path, content, FORMATS) as image:
            _check_form(path, image)
            memory.check(path, *_size(image, content))
            width, height = image.size
            if content.startswith(_PNG):
                is_told = _is_told(path, image, content)
            else:
                is_told = True
                check_end(path, content)
    if is_told:
        return Inspected(height, width)
    samples, white = _decode(path, content)
    return Inspected(height, width, float(samples.max()) / white if white > 255 else None)


def _is_told(path: Path, image: Any, content: bytes) -> bool:
    """Whether the head of a PNG tells all that has to be said of it before a sweep starts."""
    if any(name == b"IDAT" and stop > len(content) for name, _, stop in _spans(content)):
        raise UserError(f"{path} is a broken image: it is truncated")
    # Of 16 bits not that all samples are dark, of alpha not that some pixels are transparent.
    bits, kind = content[24:26]
    return bits < 16 and not kind & 4 and "transparency" not in image.info


def _decode(path: Path, content: bytes) -> tuple[NDArray[Any], float]:
    """Luma (height, width) uint8 or uint16, and the value that stands for white."""
    if content.startswith(tiff.MAGIC):
        return tiff.decode(path, content)
    with (
        decoding(path, content, FORMATS) as image,
        memory.room(path, *_size(image, content)),
    ):
        image.load()
        _check_form(path, image)
        if content.startswith(_PNG):
            return _of_png(path, image, content)
        # ITU-R BT.601 luma, as JPEG has it, rounded to 8 bits.
        return np.asarray(image.convert("L")), 255.0


def _size(image: Any, content: bytes) -> tuple[int, int, int]:
    """Height, width, and bytes of a pixel."""
    width, height = image.size
    if not content.startswith(_PNG):
        return height, width, len(image.getbands())
    bits, kind = content[24:26]
    return height, width, _SAMPLES[kind] * (2 if bits == 16 else 1)


READER = Reader("images", _SECONDS, _head, _decode)


def _check_form(path: Path, image: Any) -> None:
    """Refuse samples without luma, and several frames."""
    frames = getattr(image, "n_frames", 1)
    if image.format == "PNG" and frames > 1:
        raise UserError(f"{path} has {frames} frames: save each as a file of its own")
    if image.mode not in ("1", "L", "LA", "I;16", "P", "RGB", "RGBA"):
        raise UserError(f"{path} has samples of {image.mode}: save it as grey or RGB")


def _of_png(path: Path, image: Any, content: bytes) -> tuple[NDArray[Any], float]:
    """Luma of a PNG, and the value of white."""
    # Bits a sample and kind of colour, of the chunk that comes first.
    bits, kind = content[24:26]
    # Of colours Pillow keeps 8 bits of 16.
    stored = _deep_colours(path, content) if bits == 16 and kind else np.asarray(image)
    if kind == 3:
        _check_indices(path, content, stored)
    pixels.refuse_hidden(path, _hidden(stored, bits, kind, image.info.pop("transparency", None)))
    if bits < 16:
        return np.asarray(image.convert("L")), 255.0
    colours = stored[..., :3] if kind & 2 else stored.reshape(*stored.shape[:2], -1)[..., :1]
    _check_range(path, content, int(colours.max()))
    grey = pixels.luma(colours) if kind & 2 else np.ascontiguousarray(colours[..., 0])
    return grey, 65535.0


def _hidden(stored: NDArray[Any], bits: int, kind: int, transparent: Any) -> NDArray[np.bool_]:
    """Which pixels (height, width) of a PNG are not opaque: alpha, or what its tRNS chunk names."""
    if kind & 4:
        return np.asarray(stored[..., -1] != (1 << bits) - 1)
    if transparent is None:
        return np.zeros((1, 1), bool)
    if kind == 3:
        # Alpha of the first colours of the palette, or the one that has none.
        alpha = np.full(256, 255, np.uint8)
        if isinstance(transparent, int):
            alpha[transparent] = 0
        else:
            alpha[: len(transparent)] = list(transparent)
        return np.asarray(alpha[stored] < 255)
    if kind == 2:
        return np.asarray((stored == np.array(transparent)).all(axis=-1))
    if 1 < bits < 8:
        # Pillow stretches samples to 8 bits, but not the one that it names.
        transparent *= 255 // ((1 << bits) - 1)
    return np.asarray(stored == (bool(transparent) if bits == 1 else transparent))


def _check_indices(path: Path, content: bytes, indices: NDArray[Any]) -> None:
    """Refuse colours that are not in the palette, which Pillow takes for black."""
    colours = next((len(data) // 3 for name, data in _chunks(content) if name == b"PLTE"), 0)
    if indices.max() >= colours:
        raise UserError(
            f"{path} is a broken image: it has colour {indices.max()} of a palette of {colours}"
        )


def _check_range(path: Path, content: bytes, largest: int) -> None:
    """Refuse samples that are said to have fewer bits and were not scaled to 16, as PNG wants."""
    bits = max(next((data for name, data in _chunks(content) if name == b"sBIT"), b"\x10"))
    if largest < 1 << bits < 1 << 16:
        raise UserError(
            f"{path} says that {bits} of its 16 bits are significant (sBIT), and its largest "
            f"sample is {largest}: scale it to 65535, or save it as TIFF with MaxSampleValue="
            f"{(1 << bits) - 1}"
        )


def _deep_colours(path: Path, content: bytes) -> NDArray[np.uint16]:
    """The samples of a PNG that has 16 bits of them and more than one a pixel, (height, width, C).

    Its chunks are known to be whole.
    """
    # Here, because it is needed for few files.
    import imagecodecs

    width, height, bits, kind, *rest, interlaced = struct.unpack(">IIBBBBB", content[16:29])
    if max(height, width) > _DEEP_SIDE:
        raise UserError(
            f"{path} is {height} x {width} samples, and of PNG with colours or alpha of 16 bits "
            f"libpng reads at most {_DEEP_SIDE:,} either way: cut it, or save it as TIFF"
        )
    stored = np.empty((height, width, _SAMPLES[kind]), np.uint16)
    packed = b"".join(data for name, data in _chunks(content) if name == b"IDAT")
    # Each row of each pass begins with its filter; what is beyond that is left over.
    filtered = zlib.decompressobj().decompress(packed, stored.nbytes + 8 * (height + 1))
    at = 0
    for across, left, down, top in _PASSES if interlaced else ((1, 0, 1, 0),):
        part = stored[top::down, left::across]
        if part.size:
            # libpng, in imagecodecs, writes to standard error of passes, of other chunks, and of
            # data that are left over: it gets none of them.
            header = struct.pack(">IIBBBBB", part.shape[1], part.shape[0], bits, kind, *rest, 0)
            end = at + part.shape[0] + part.nbytes
            idat = zlib.compress(filtered[at:end], level=0)
            chunks = ((b"IHDR", header), (b"IDAT", idat), (b"IEND", b""))
            part[...] = imagecodecs.png_decode(_PNG + b"".join(map(_chunk, chunks)))
            at = end
    return stored


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and data of the chunks of a PNG."""
    for name, start, stop in _spans(content):
        if start + 4 <= len(content):
            yield name, content[start:stop]


def _spans(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Names of the chunks of a PNG, and where the data of each begin and are said to end."""
    at = len(_PNG)
    while at + 8 <= len(content):
        stop = at + 8 + int.from_bytes(content[at : at + 4])
        yield content[at + 4 : at + 8], at + 8, stop
        # Behind the data is a checksum.
        at = stop + 4


def _chunk(named: tuple[bytes, bytes]) -> bytes:
    name, data = named
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
