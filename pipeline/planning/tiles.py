"""Which tile of a stored source each trial takes, and which tiles are neighbours."""

import dataclasses
import hashlib
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import all_of, count_of

# The share of all rows and of a row that a step of a spread order goes: two numbers far from every
# fraction, and so is what rounding to whole rows makes of the first.  Of 56 pairs tried on 408
# shapes of pictures this one left the fewest gaps among the first 50, 200 and 1,000 tiles.
_DOWN, _ACROSS = (math.sqrt(5) - 1) / 2, math.sqrt(2) - 1


@dataclass(frozen=True)
class Tiles:
    """The tiles of a stored source at one block size: trial t takes (start + t step) mod count.

    Tiles are counted over the images in their order, and in row-major order within each; `across`
    is how many a row of them has, 1 where images differ in width.  `ends` are those of the batches
    that they are divided into, strips of an image or whole images, the last one being `count`; none
    where each tile is a trial of its own, independent of the others.  With the start 0 and the step
    1, which is their natural order, the first trials are the top of the first image: right where
    every tile is taken.  `spread` gives an order of which any first trials are a fair sample.
    """

    count: int
    across: int = 1
    ends: tuple[int, ...] = ()
    start: int = 0
    step: int = 1

    def spread(self, key: str) -> "Tiles":
        """The same tiles in an order whose every prefix is spread evenly, begun where `key` says.

        A step goes down by the golden ratio of all rows, and across by another share of a row, so
        that any first trials are spread over rows, columns and their plane: a Kronecker sequence.

        References
        ----------
        Niederreiter, *Random Number Generation and Quasi-Monte Carlo Methods* (1992), chapter 3.
        """
        digest = hashlib.sha256(key.encode()).hexdigest()
        return dataclasses.replace(self, start=int(digest, 16) % self.count, step=self._step())

    def _step(self) -> int:
        """The step nearest to the two shares that meets every tile: without a common divisor."""
        down = self.count // self.across
        middle = round((round(down * _DOWN - _ACROSS) + _ACROSS) * self.across)
        return next(
            step
            for distance in range(self.count + 1)
            for step in (middle + distance, middle - distance)
            if step > 0 and math.gcd(step, self.count) == 1
        )

    def of_trials(self, first: int, count: int) -> NDArray[np.int64]:
        """The tiles of trials first .. first + count - 1."""
        begin = (self.start + first * self.step) % self.count
        tiles: NDArray[np.int64] = (begin + np.arange(count) * self.step) % self.count
        return tiles

    def batch_of(self, first: int, count: int) -> NDArray[np.int64]:
        """The batch of each of trials first .. first + count - 1; -1 where there are none."""
        if not self.ends:
            return np.full(count, -1)
        batches: NDArray[np.int64] = np.searchsorted(
            np.array(self.ends), self.of_trials(first, count), side="right"
        )
        return batches

    def in_one_batch(self, count: int) -> bool:
        """Whether the first `count` trials lie in a single batch."""
        largest = max((b - a for a, b in itertools.pairwise((0, *self.ends))), default=0)
        return count <= largest and len(np.unique(self.batch_of(0, count))) == 1


# The tiles of stored sources, by the name of a source and by block size.
TilesBySource = Mapping[str, Mapping[int, Tiles]]


def counted(tiles: TilesBySource, source: str, size: int, trials: int) -> str:
    """How many trials a cell has, in words: of a stored source, out of how many tiles."""
    known = tiles.get(source, {}).get(size)
    if known is None:
        return count_of(trials, "trial")
    if trials == known.count:
        return all_of(trials, "tile")
    return f"{trials:,} of {known.count:,} tiles"


def to_json(tiles: TilesBySource) -> dict[str, dict[str, Any]]:
    """Tiles of stored sources as plain JSON, whose keys are texts."""
    return {name: sizes_to_json(by_size) for name, by_size in tiles.items()}


def from_json(data: Mapping[str, Mapping[str, Any]]) -> TilesBySource:
    """The inverse of `to_json`."""
    return {name: sizes_from_json(by_size) for name, by_size in data.items()}


def sizes_to_json(tiles: Mapping[int, Tiles]) -> dict[str, Any]:
    """The tiles of one source by block size as plain JSON, whose keys are texts."""
    return {str(size): vars(each) for size, each in tiles.items()}


def sizes_from_json(data: Mapping[str, Any]) -> dict[int, Tiles]:
    """The inverse of `sizes_to_json`."""
    return {
        int(size): Tiles(**{**each, "ends": tuple(each["ends"])}) for size, each in data.items()
    }
