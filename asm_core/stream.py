"""The random words that blocks are drawn from: any range of trials on its own.

PCG64DXSM, keyed by a seed, a name and the block size, is advanced to the first word of a trial;
each trial takes a fixed number.
"""

import itertools
import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from asm_core import validate
from asm_core.validate import FloatArray

if TYPE_CHECKING:
    from asm_core.functions import Words


def words_of(seed: int, name: str, block_size: int, first: int, count: int) -> "Words":
    """What a source of the user's own, known by a name, may draw its blocks from.

    Parameters
    ----------
    seed, block_size, first, count
        As in `asm_core.sources.uniform`.
    name
        Whatever tells the source from others; two of one name have the same words.

    Returns
    -------
    Words
        Called with a shape, it gives (count, *shape) float64, uniform on [0, 1); every further call
        gives others.
    """
    calls = itertools.count()

    def words(*shape: int) -> FloatArray:
        # No other source's, and none of an earlier call.
        return unit_words(seed, f"{name} {next(calls)}", block_size, first, count, shape)

    return words


def unit_words(
    seed: int,
    kind: str,
    block_size: int,
    first: int,
    count: int,
    shape: tuple[int, ...] | None = None,
) -> FloatArray:
    """Words of trials first .. first + count - 1, of a source of this kind.

    Returns
    -------
    (count, *shape) float64 in [0, 1), multiples of 2^-53, one word each; N x N by default.
    """
    seed = validate.integer("seed", seed, minimum=0)
    size = validate.block_size(block_size)
    if shape is None:
        shape = (size, size)
    first = validate.integer("first", first, minimum=0)
    count = validate.integer("count", count, minimum=0)
    bits = np.random.PCG64DXSM(_stream(seed, kind, size))
    bits.advance(first * math.prod(shape))
    return np.random.Generator(bits).random((count, *shape))


@lru_cache(maxsize=64)
def _stream(seed: int, kind: str, size: int) -> np.random.SeedSequence:
    # Cached, since it takes half of the time that a draw takes before its first word.
    return np.random.SeedSequence(seed, spawn_key=(*kind.encode(), size))
