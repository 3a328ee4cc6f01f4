"""Whole tiles are taken out of images by their numbers, in row-major order."""

import numpy as np
import pytest
from helpers.arrays import cut

from pipeline.sources.tiling import pick


@pytest.mark.parametrize("dtype", ["u1", ">u2", "i8", "?"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 22), (2, 40, 4), (4, 3, 8), (4, 8, 3)])
def test_tiles_are_slices_image_by_image_and_row_by_row(shape, dtype):
    images = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    for size in (2, 4):
        expected = cut(images, size).reshape(-1, size, size)
        numbers = np.arange(len(expected))
        assert np.array_equal(pick(images, size, numbers), expected)
        some = numbers[numbers % 3 == 1]
        assert np.array_equal(pick(images, size, some), expected[some])
