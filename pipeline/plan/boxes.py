"""Parts of a grid as products of positions: what of a unit's curves is still to be measured."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Positions on each axis of a grid: their product.
Box = tuple[tuple[int, ...], ...]


def boxes(chosen: NDArray[np.bool_]) -> Iterator[Box]:
    """Divide the points chosen of a grid into products of positions, each point in one of them."""
    spans = [np.flatnonzero(chosen.any(axis=_others(chosen, k))) for k in range(chosen.ndim)]
    if chosen.all(where=_product(chosen, spans)):
        if chosen.any():
            yield tuple(tuple(map(int, span)) for span in spans)
        return
    for axis, span in enumerate(spans):
        layers = np.moveaxis(chosen, axis, 0)
        alike: dict[bytes, list[int]] = {}
        for k in span:
            alike.setdefault(layers[k].tobytes(), []).append(int(k))
        if len(alike) > 1:
            for group in alike.values():
                part = np.zeros_like(chosen)
                np.moveaxis(part, axis, 0)[group] = layers[group]
                yield from boxes(part)
            return


def _others(grid: NDArray[Any], axis: int) -> tuple[int, ...]:
    return tuple(k for k in range(grid.ndim) if k != axis)


def _product(grid: NDArray[Any], spans: Sequence[NDArray[Any]]) -> NDArray[np.bool_]:
    inside = np.zeros_like(grid)
    inside[np.ix_(*spans)] = True
    return inside
