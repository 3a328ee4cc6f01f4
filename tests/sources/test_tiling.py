"""Images are cut into whole tiles in row-major order."""

import numpy as np
import pytest
from helpers.arrays import cut as cut_by_slices
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sources.tiling import cut, rows_of_tiles


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 22), (2, 40, 4), (4, 3, 8), (4, 8, 3)])
def test_tiles_are_slices_image_by_image_and_row_by_row(shape):
    images = np.arange(np.prod(shape)).reshape(shape)
    for size in (2, 4):
        expected = cut_by_slices(images, size).reshape(-1, size, size)
        assert np.array_equal(cut(images, size), expected)


@given(st.integers(0, 50), st.integers(1, 50), st.integers(1, 9))
def test_the_rows_of_tiles_are_those_that_hold_one(first, count, across):
    rows = rows_of_tiles(slice(first, first + count), across)
    assert list(range(rows.start, rows.stop)) == sorted(
        {tile // across for tile in range(first, first + count)}
    )
