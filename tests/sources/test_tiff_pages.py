"""TIFF files of one image that have more pages: thumbnails, and masks."""

import numpy as np
import pytest
import tifffile

from pipeline.errors import UserError
from pipeline.sources import tiff

GREY = 1


def paged(path, *pages):
    """A TIFF of pages (samples, NewSubfileType, PhotometricInterpretation)."""
    with tifffile.TiffWriter(path) as file:
        for stored, kind, _ in pages:
            file.write(stored, metadata=None, subfiletype=min(kind, 1), photometric=GREY)
    # tifffile writes no masks.
    with tifffile.TiffFile(path, mode="r+") as file:
        for page, (_, kind, photometric) in zip(file.pages, pages, strict=True):
            page.tags[254].overwrite(kind)
            page.tags[262].overwrite(photometric)
    return path


def head(path):
    """What planning reads, and, where it does not tell all, what is decoded then."""
    height, width, is_told = tiff.head(path, path.read_bytes())
    if not is_told:
        tiff.decode(path, path.read_bytes())
    return height, width


def is_read_whole(path):
    samples, white = tiff.decode(path, path.read_bytes())
    return white == 255 and np.array_equal(samples, WHOLE) and head(path) == WHOLE.shape


FULL, REDUCED, MASK, REDUCED_MASK = 0, 1, 4, 5
WHOLE = np.arange(256, dtype=np.uint8).reshape(16, 16)
SMALL = WHOLE[::2, ::2]
ALL = np.ones((16, 16), bool)


@pytest.mark.parametrize(
    "others",
    [
        [(SMALL, REDUCED, GREY)],
        [(SMALL, REDUCED, GREY), (SMALL[::2, ::2], REDUCED, GREY)],
        [(ALL, MASK, 4), (SMALL, REDUCED, GREY), (ALL[::2, ::2], REDUCED_MASK, 4)],
        [(np.full((16, 16), 255, np.uint8), MASK, 4)],
        # Of a thumbnail it may hide what it likes.
        [(SMALL, REDUCED, GREY), (~ALL[::2, ::2], REDUCED_MASK, 4)],
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_thumbnails_and_masks_that_hide_nothing_are_no_pages(tmp_path, others, first):
    pages = [(WHOLE, FULL, GREY), *others] if first else [*others, (WHOLE, FULL, GREY)]
    path = paged(tmp_path / "a.tif", *pages)
    assert is_read_whole(path)


def test_a_thumbnail_beside_the_image_in_a_sub_directory_is_no_page(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(WHOLE, metadata=None, subifds=1)
        file.write(SMALL, metadata=None, subfiletype=1)
    assert is_read_whole(tmp_path / "a.tif")
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(SMALL, metadata=None, subfiletype=1, subifds=1)
        file.write(WHOLE, metadata=None)
    with pytest.raises(UserError, match="has only images that it calls reduced"):
        head(tmp_path / "a.tif")


@pytest.mark.parametrize("size", [16, 8])
def test_a_mask_that_hides_something_or_is_of_another_size_is_refused(tmp_path, size):
    mask = np.ones((size, size), bool)
    mask[3, 5] = False
    message = "transparent at row 3, column 5" if size == 16 else r"has a mask of \(8, 8\) pixels"
    paged(tmp_path / "a.tif", (WHOLE, FULL, GREY), (mask, MASK, 4))
    with pytest.raises(UserError, match=message):
        head(tmp_path / "a.tif")


def test_two_whole_images_beside_a_thumbnail_are_two_pages(tmp_path):
    pages = [(WHOLE, FULL, GREY), (SMALL, REDUCED, GREY), (WHOLE, FULL, GREY)]
    with pytest.raises(UserError, match="has 2 pages: save each"):
        head(paged(tmp_path / "a.tif", *pages))
