"""Blocks that are drawn, not stored: block t as a pure function of seed, source, block size and t.

Every trial takes a fixed number of 64-bit words from one stream, so that any range of trials can
be drawn on its own by jumping there (`PCG64DXSM.advance`), and the bits of block t do not depend
on who draws it, in which batch or in which order.  The stream is keyed by seed, kind of source and
block size but not by the source's parameters: sources of one kind see the same random numbers, and
their curves are paired comparisons.
"""

import math

import numpy as np

from asm_core import validate
from asm_core.validate import FloatArray

# Raised whenever a change alters which words a trial takes; part of a store's identity.
STREAM_VERSION = 1

# Errors are stored as float32, which holds 1e-38 .. 3e38; their squares must fit float64.
_LARGEST = 1e30
_SMALLEST_RANGE = 1e-30


def uniform(
    seed: int, block_size: int, first: int, count: int, *, low: float = 0.0, high: float = 1.0
) -> FloatArray:
    """Blocks of independent samples, uniform on [low, high); the notebook's are [0, 1).

    Parameters
    ----------
    seed
        Of the sweep, an integer >= 0.
    block_size
        N, an even integer of at least 2.
    first, count
        Trials first .. first + count - 1.
    low, high
        Range of the samples (dimensionless); low < high, each at most 1e30 in magnitude.

    Returns
    -------
    (count, N, N) float64.  A trial takes N * N words, in row-major order of its samples.

    Raises
    ------
    ValueError
        For a range that is empty, not finite, or beyond what a float32 error can hold.
    """
    for name, value in (("low", low), ("high", high)):
        if not math.isfinite(value) or abs(value) > _LARGEST:
            raise ValueError(f"{name} must be finite and within +-{_LARGEST:g}, got {value}")
    if not high - low >= _SMALLEST_RANGE:
        raise ValueError(
            f"low must be less than high by {_SMALLEST_RANGE:g} or more, got {low}, {high}"
        )
    blocks = _unit_words(seed, "uniform", block_size, first, count)
    blocks *= high - low
    blocks += low
    return blocks


def _unit_words(seed: int, kind: str, block_size: int, first: int, count: int) -> FloatArray:
    """(count, N, N) float64 in [0, 1), multiples of 2^-53, one word each."""
    seed = validate.integer("seed", seed, minimum=0)
    size = validate.block_size(block_size)
    first = validate.integer("first", first, minimum=0)
    count = validate.integer("count", count, minimum=0)
    stream = np.random.SeedSequence(seed, spawn_key=(*kind.encode(), size))
    bits = np.random.PCG64DXSM(stream)
    bits.advance(first * size * size)
    return np.random.Generator(bits).random((count, size, size))
