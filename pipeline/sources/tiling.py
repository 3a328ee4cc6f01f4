"""Cutting images into tiles: N x N samples each, in row-major order over an image.

Rows and columns beyond the last whole tile are dropped.
"""

from typing import Any

from numpy.typing import NDArray


def rows_of_tiles(tiles: slice, across: int) -> slice:
    """Which rows of tiles some consecutive tiles of an image lie in; a row has `across` tiles."""
    return slice(tiles.start // across, -(-tiles.stop // across))


def cut(images: NDArray[Any], block_size: int) -> NDArray[Any]:
    """All whole tiles of images (images, height, width), as (tiles, N, N)."""
    count, height, width = images.shape
    down, across = height // block_size, width // block_size
    whole = images[:, : down * block_size, : across * block_size]
    grid = whole.reshape(count, down, block_size, across, block_size).swapaxes(2, 3)
    return grid.reshape(-1, block_size, block_size)
