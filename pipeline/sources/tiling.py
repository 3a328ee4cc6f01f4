"""Taking tiles out of images: N x N samples each, in row-major order over an image.

Rows and columns beyond the last whole tile are dropped.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from asm_core.validate import MOST_BATCHES

# Strips of an image.  Of 8 to 25, 12 held the mean most evenly over images of short and of long
# correlation (benchmarks/coverage_images.py): fewer are wide, more are too much alike.
STRIPS = 12


def strips(down: int, across: int) -> tuple[int, ...]:
    """The ends of batches of the tiles of one image: strips of whole rows, or of a single row."""
    parts, each = (down, across) if down > 1 else (across, 1)
    cuts = (round(parts * k / STRIPS) * each for k in range(1, STRIPS + 1))
    return tuple(sorted({cut for cut in cuts if cut}))


def groups(ends: NDArray[np.int64]) -> tuple[int, ...]:
    """The ends of batches of the tiles of several images: of each image, or of consecutive ones.

    `ends` is how many tiles each image and those before it have; batches are of about equal size.
    Of more than MOST_BATCHES images, one that is larger than an equal share counts as one share,
    and the others share out what it leaves: there are always MOST_BATCHES batches.
    """
    if len(ends) <= MOST_BATCHES:
        return tuple(ends.tolist())
    sizes = np.diff(ends, prepend=0)
    largest = np.sort(sizes)[: -MOST_BATCHES - 1 : -1].tolist()
    large, rest = 0, int(ends[-1])
    while largest[large] * (MOST_BATCHES - large) > rest:
        rest -= largest[large]
        large += 1
    # In units of which a share, rest / (MOST_BATCHES - large) tiles, is a whole number.
    shared = np.minimum(sizes * (MOST_BATCHES - large), rest).cumsum()
    cuts = shared.searchsorted(rest * np.arange(1, MOST_BATCHES + 1))
    return tuple(ends[cuts].tolist())


def pick(images: NDArray[Any], block_size: int, numbers: NDArray[np.int64]) -> NDArray[Any]:
    """Some whole tiles of images (images, height, width), by their numbers, as (tiles, N, N)."""
    count, height, width = images.shape
    down, across = height // block_size, width // block_size
    whole = images[:, : down * block_size, : across * block_size]
    rows, column = np.divmod(numbers, across)
    place = (*np.divmod(rows, down), column)
    picked: NDArray[Any]
    if images.strides[-1] != images.itemsize:
        # As a file in Fortran's order.  A view: only the tiles that are wanted are copied.
        grid = whole.reshape(count, down, block_size, across, block_size).swapaxes(2, 3)
        picked = grid[place]
        return picked
    # The samples of a row as one number of so many bytes, which is copied three times as fast.
    number = np.dtype((np.void, block_size * images.itemsize))
    grid = whole.view(number).reshape(count, down, block_size, across).swapaxes(2, 3)
    picked = grid[place].view(images.dtype).reshape(-1, block_size, block_size)
    return picked
