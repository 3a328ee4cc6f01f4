"""TIFF files as luma: 1 to 16 unsigned bits a sample, grey, palette or colours.

Strips or tiles, contiguous or separate planes, either byte order.  Whatever else a file says of its
samples is refused by name: what is not known to be read right is not read.
"""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.sources import memory
from pipeline.sources.pixels import luma, place_of, refuse_hidden
from pipeline.sources.slabs import in_one_line

# The first bytes of a TIFF and a BigTIFF; those with the number turned round are broken.
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"II\0*", b"MM*\0")

_PHOTOMETRIC, _MAX_SAMPLE, _SMAX_SAMPLE, _GDAL_NODATA = 262, 281, 341, 42113
_SAMPLE_FORMAT, _MOST_TAGS = 339, 4096
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
# Kinds of a page, bits of its NewSubfileType: a thumbnail, and a mask, which says what counts.
_REDUCED, _MASK, _TRANSPARENCY = 1, 4, 4
_REFUSED_COLOURS = {
    4: "a transparency mask", 5: "CMYK", 8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*",
    32803: "a colour filter array", 32844: "CIE L*", 32845: "CIE L*u*v*", 34892: "linear raw",
}  # fmt: skip
_FORMATS = {
    2: "signed integers", 3: "floats", 4: "undefined", 5: "complex integers", 6: "complex",
}  # fmt: skip
_JPEG, _END_OF_JPEG = 7, b"\xff\xd9"
# None, LZW, JPEG, Deflate (twice), PackBits and Zstandard.  Of CCITT's the decoder fills what is
# missing of a short strip with white, and there is nothing to tell it by.
_COMPRESSIONS = (1, 5, _JPEG, 8, 32946, 32773, 50000)
_HORIZONTAL = 2
_UNASSOCIATED = 2
# A 16-bit file whose largest allowed sample is 2^k - 1 has k bits, from 8 on: below it is likelier
# that the tag has the maximum of a dark picture, for which some writers use it.
_LEAST_BITS = 8

# What tifffile logs of a file is refused or does no harm; without this it is printed.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def decode(path: Path, content: bytes) -> tuple[NDArray[Any], float]:
    """Luma (height, width), uint8 or uint16 with black 0, and the value that stands for white.

    Raises
    ------
    ValueError
        For damaged content, and for samples whose meaning or range is not known; it names `path`.
    """
    with _page_of(path, content) as (page, mask), memory.room(path, *_size(page)):
        _refuse_masked(path, mask)
        # (separate planes, depth, height, width, contiguous planes), of which depth is 1.
        planes = page.asarray(squeeze=False, maxworkers=1)[:, 0]
        channels = np.moveaxis(planes, 0, -1).reshape(*planes.shape[1:3], page.samplesperpixel)
        wanted = np.uint8 if page.bitspersample <= 8 else np.uint16
        return _luma(path, page, channels.astype(wanted, copy=False))


def head(path: Path, content: bytes) -> tuple[int, int, bool]:
    """Height and width, and whether the tags tell all that has to be said before a sweep starts.

    Raises as `decode`, of what the tags say.
    """
    with _page_of(path, content) as (page, mask):
        # Of many bits not that all samples are dark, nor which are transparent or missing.
        is_told = (
            mask is None
            and page.bitspersample <= 8
            and page.photometric != _PALETTE
            and page.samplesperpixel == _colours_of(page)
            and _GDAL_NODATA not in page.tags
        )
        return page.imagelength, page.imagewidth, is_told


@contextmanager
def _page_of(path: Path, content: bytes) -> Iterator[tuple[Any, Any]]:
    """The one image of a file, checked by its tags, and its mask or None.

    What goes wrong with it is a ValueError.
    """
    # Here, because it takes a tenth of a second to import.
    import tifffile

    try:
        with tifffile.TiffFile(BytesIO(content)) as file:
            page, mask = _image_and_mask(path, file)
            _check_form(path, page)
            _check_data(page, content, _next_page(file, file.pages[-1], content))
            if mask is not None:
                _check_mask(path, page, mask)
                _check_data(mask, content, 0)
            yield page, mask
    except UserError:
        raise
    except Exception as error:
        if len(formats := _sample_formats(content)) > 1:
            # tifffile has no word for it.
            raise UserError(
                f"{path} has samples of several formats (SampleFormat {sorted(formats)}): save it "
                "with 8 or 16 unsigned bits a sample"
            ) from error
        # tifffile raises whatever a damaged file makes it meet.
        raise ValueError(f"{path} is a broken image: {in_one_line(error)}") from error


def _image_and_mask(path: Path, file: Any) -> tuple[Any, Any]:
    """The page of the image, and that of its mask or None, among thumbnails and their masks."""
    pages = list(file.pages)
    if not pages:
        raise ValueError("it has no page")
    images = [page for page in pages if not page.subfiletype & (_REDUCED | _MASK)]
    masks = [page for page in pages if page.subfiletype & (_REDUCED | _MASK) == _MASK]
    if not images:
        if len(pages) > 1 or pages[0].subifds:
            raise UserError(
                f"{path} has only images that it calls reduced, or masks, among its pages: save "
                "the whole image as a file of its own"
            )
        images, masks = pages, []
    count = len(images)
    if file.is_imagej or file.is_shaped:
        # Of a stack ImageJ and tifffile may describe the first page alone, and the others in words.
        count = max(count, int(file.series[0].size) // math.prod(images[0].shape))
    if count > 1:
        raise UserError(f"{path} has {count} pages: save each as a file of its own")
    if len(masks) > 1:
        raise UserError(f"{path} has {len(masks)} masks: save it without them")
    return images[0], masks[0] if masks else None


def _check_mask(path: Path, page: Any, mask: Any) -> None:
    """Refuse a mask that does not say of every pixel whether it counts."""
    if (
        mask.photometric != _TRANSPARENCY
        or mask.shape != (page.imagelength, page.imagewidth)
        or mask.bitspersample not in (1, 8)
        or int(mask.compression) not in _COMPRESSIONS
        or mask.predictor != 1
    ):
        raise UserError(
            f"{path} has a mask of {mask.shape[:2]} pixels of {mask.bitspersample} bits which is "
            "not read: save it without a mask"
        )


def _refuse_masked(path: Path, mask: Any) -> None:
    """Refuse an image of which a mask hides some pixels."""
    if mask is not None:
        shown = mask.asarray(squeeze=False, maxworkers=1)[0, 0, :, :, 0]
        refuse_hidden(path, shown != (1 << mask.bitspersample) - 1)


def _check_form(path: Path, page: Any) -> None:
    """Refuse what is not known to be read right: each by its name, with what to do."""
    bits, colours, compression = page.bitspersample, page.photometric, int(page.compression)
    if _PHOTOMETRIC not in page.tags:
        raise UserError(
            f"{path} does not say which sample is black (PhotometricInterpretation): save it as "
            "grey or RGB"
        )
    if page.sampleformat != 1:
        named = _FORMATS.get(page.sampleformat, f"SampleFormat {page.sampleformat}")
        raise UserError(
            f"{path} has samples of {named}, whose range is unknown: save it with 8 or 16 unsigned "
            "bits a sample, or as an array, source=array"
        )
    if not isinstance(bits, int) or not 1 <= bits <= 16:
        raise UserError(
            f"{path} has samples of {bits} bits, and at most 16, equal for all, are read: save it "
            "with 8 or 16 bits a sample"
        )
    if colours not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE) and not (
        colours == _YCBCR and compression == _JPEG
    ):
        named = _REFUSED_COLOURS.get(colours, f"PhotometricInterpretation {int(colours)}")
        raise UserError(f"{path} has samples of {named}: save it as grey or RGB")
    if compression not in _COMPRESSIONS or (compression == _JPEG and bits != 8):
        named = getattr(page.compression, "name", str(compression))
        raise UserError(
            f"{path} is compressed with {named} ({bits}-bit samples), which is not read: save it "
            "with LZW or Deflate"
        )
    if page.predictor not in (1, _HORIZONTAL) or (
        page.predictor == _HORIZONTAL and compression != _JPEG and bits not in (8, 16)
    ):
        raise UserError(
            f"{path} has predictor {int(page.predictor)} with {bits} bits a sample, which is not "
            "read: save it without a predictor"
        )
    if page.imagedepth != 1:
        raise UserError(f"{path} has {page.imagedepth} images in depth: save each as a file")
    if page.samplesperpixel < _colours_of(page):
        raise ValueError(f"it has colours, and {page.samplesperpixel} samples a pixel")
    if _colours_of(page) == 3 and bits in (3, 5, 6, 7):
        raise UserError(f"{path} has colours of {bits} bits: save it with 8 or 16 bits a sample")
    if not page.imagelength * page.imagewidth:
        raise ValueError(f"it is {page.imagelength} x {page.imagewidth} samples")
    memory.check(path, *_size(page))


def _size(page: Any) -> tuple[int, int, int]:
    """Height, width, and bytes of a pixel."""
    sample_bytes = 1 if page.bitspersample <= 8 else 2
    return page.imagelength, page.imagewidth, sample_bytes * page.samplesperpixel


def _colours_of(page: Any) -> int:
    """How many samples of a pixel are colour; those after them are extra."""
    return 3 if page.photometric in (_RGB, _YCBCR) else 1


def _next_page(file: Any, page: Any, content: bytes) -> int:
    """Where the file says that its next page is; 0 for no more."""
    # The number of tags, the tags, and the place of the next page.
    order: Literal["big", "little"] = "big" if file.byteorder == ">" else "little"
    head, tag, place = (8, 20, 8) if file.is_bigtiff else (2, 12, 4)
    tags = int.from_bytes(content[page.offset : page.offset + head], order)
    end = page.offset + head + tag * tags
    return int.from_bytes(content[end : end + place], order)


def _sample_formats(content: bytes) -> set[int]:
    """What the first page says of the formats of a pixel's samples, as far as it can be read."""
    order: Literal["big", "little"] = "big" if content[:1] == b"M" else "little"
    head, tag, place = (8, 20, 8) if 43 in content[2:4] else (2, 12, 4)

    def number(at: int, size: int) -> int:
        return int.from_bytes(content[at : at + size], order)

    first = number(8 if place == 8 else 4, place)
    for at in range(first + head, first + head + tag * min(number(first, head), _MOST_TAGS), tag):
        if number(at, 2) == _SAMPLE_FORMAT:
            count = min(number(at + 4, place), _MOST_TAGS)
            values = at + tag - place if 2 * count <= place else number(at + tag - place, place)
            return {number(values + 2 * k, 2) for k in range(count)}
    return set()


def _check_data(page: Any, content: bytes, next_page: int) -> None:
    """Refuse strips or tiles that are missing, short or beyond the end, filled in otherwise."""
    offsets, counts = page.dataoffsets, page.databytecounts
    wanted = math.prod(page.chunked)
    if not wanted or not len(offsets) == len(counts) == wanted:
        raise ValueError(f"{len(offsets)} strips or tiles of {wanted}, {len(counts)} with a size")
    for number, (offset, count) in enumerate(zip(offsets, counts, strict=True)):
        if not 0 < offset < offset + count <= len(content):
            raise ValueError(f"strip or tile {number} is beyond the end of the file, or empty")
        if page.compression == _JPEG:
            last = content[offset : offset + count].rstrip(b"\0")[-2:]
            if last != _END_OF_JPEG:
                raise ValueError(f"strip or tile {number} is truncated")
    if page.compression == 1 and sum(counts) < page.bitspersample * math.prod(page.shaped) // 8:
        raise ValueError("its strips or tiles are shorter than the image")
    if next_page:
        raise ValueError(f"the next page, at byte {next_page}, cannot be read")


def _luma(path: Path, page: Any, channels: NDArray[Any]) -> tuple[NDArray[Any], float]:
    """Luma of the stored samples (height, width, samples a pixel), and the value of white."""
    _refuse_nodata(path, page, channels)
    count = _colours_of(page)
    colours, extra = channels[..., :count], channels[..., count:]
    white = (1 << page.bitspersample) - 1
    _refuse_transparent(path, page, extra, white)
    if page.photometric == _PALETTE:
        return _of_palette(path, page, colours[..., 0])
    white = _white(page, colours, white)
    if count == 3:
        if white < 255:
            # Of 1, 2 or 4 bits, which divide 8: luma would be rounded to as few.
            colours, white = colours * np.uint8(255 // white), 255
        return luma(colours), float(white)
    grey = np.ascontiguousarray(colours[..., 0])
    return white - grey if page.photometric == _WHITE_IS_ZERO else grey, float(white)


def _refuse_nodata(path: Path, page: Any, channels: NDArray[Any]) -> None:
    """Refuse samples that GDAL's tag says are missing."""
    said = str(page.tags.valueof(_GDAL_NODATA) or "").strip("\0 ")
    try:
        missing = float(said.replace(",", "."))
    except ValueError:
        return
    wrong = (channels == missing).any(axis=-1)
    if wrong.any():
        row, column = place_of(wrong)
        raise UserError(
            f"{path} has no data at row {row}, column {column}, where it has {said} "
            "(GDAL_NODATA): fill or cut it"
        )


def _refuse_transparent(path: Path, page: Any, extra: NDArray[Any], white: int) -> None:
    """Refuse an image with alpha that is not opaque, or samples of an unknown meaning."""
    meanings = [int(meaning) for meaning in page.extrasamples]
    for number in range(extra.shape[-1]):
        hidden = extra[..., number] != white
        if number < len(meanings) and 1 <= meanings[number] <= _UNASSOCIATED:
            refuse_hidden(path, hidden)
        elif hidden.any():
            raise UserError(
                f"{path} has {page.samplesperpixel} samples a pixel, one of which says neither "
                "that it is a colour nor alpha: save it as grey or RGB"
            )


def _of_palette(path: Path, page: Any, indices: NDArray[Any]) -> tuple[NDArray[Any], float]:
    """Luma of the colours that a palette has at some indices; in 8 bits where it has no more."""
    palette = np.array(page.colormap, np.uint16)
    if palette.shape != (3, 1 << page.bitspersample):
        raise ValueError(f"its palette has shape {palette.shape}")
    high, low = palette >> 8, palette & 255
    if not high.any() and low.any():
        raise UserError(f"{path} has a palette of 8 bits where TIFF has 16: save it as grey or RGB")
    white = 65535.0
    # Colours of 8 bits are stored either as v * 257, which is right, or as v * 256.
    if not low.any() or np.array_equal(high, low):
        palette, white = high.astype(np.uint8), 255.0
    return luma(palette.T)[indices], white


def _white(page: Any, colours: NDArray[Any], white: int) -> int:
    """The value of white: 2^bits - 1, or what a file of 16 bits says is its largest sample."""
    for tag in (_MAX_SAMPLE, _SMAX_SAMPLE):
        said = page.tags.valueof(tag)
        largest = set(np.ravel(said if said is not None else white).tolist())
        if page.bitspersample != 16 or len(largest) != 1:
            continue
        bits = math.log2(largest.pop() + 1) if max(largest) > 0 else 0.0
        if bits.is_integer() and _LEAST_BITS <= bits < 16 and colours.max() < 2**bits:
            return int(2**bits) - 1
    return white
