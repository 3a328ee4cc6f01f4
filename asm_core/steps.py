"""Frequencies and operations as the kernel takes them."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from asm_core.dct import coefficient_terms
from asm_core.frequencies import coefficient_order
from asm_core.operations import Operation
from asm_core.validate import POOLINGS, RECTIFIERS


class Steps(NamedTuple):
    """Frequencies as the kernel takes them: ascending, one step for all that keep equally many."""

    terms: NDArray[np.int64]
    stops: NDArray[np.int64]
    whole: bool
    """Whether the last step keeps everything."""
    places: NDArray[np.int64] | None
    """The step of each frequency that was asked for; None where step k is frequency k."""
    firsts: NDArray[np.int64]
    """A frequency, among those that were asked for, of each step."""


@lru_cache(maxsize=32)
def steps_of(size: int, ranks: bytes, freqs: tuple[int, ...]) -> Steps:
    """The steps of frequencies n >= 0, by the ranks (N, N) of the coefficients, int64 as bytes."""
    # For a small batch this takes longer than measuring it, hence the cache.
    rank = np.frombuffer(ranks, dtype=np.int64).reshape(size, size)
    kept = np.searchsorted(np.sort(rank, axis=None), freqs, side="right")
    steps, firsts, places = np.unique(kept, return_index=True, return_inverse=True)
    terms, stops = coefficient_terms(size, coefficient_order(rank), steps.tolist())
    whole = bool((steps == size * size).any())
    return Steps(terms, stops, whole, None if np.array_equal(kept, steps) else places, firsts)


class Codes(NamedTuple):
    """Operations as the kernel takes them, (O,) each."""

    windows: NDArray[np.int64]
    """k of a pooling, 0 of a rectifier."""
    factors: NDArray[np.float64]
    """Sign of a pooling, slope of a rectifier."""
    sizes: NDArray[np.float64]
    """Numbers in the result of a block."""
    shares: NDArray[np.float64]
    """1 over these."""
    scales: NDArray[np.float64]
    """What a wrong choice costs, over what the kernel adds up."""


@lru_cache(maxsize=32)
def codes_of(operations: tuple[Operation, ...], size: int) -> Codes:
    """The codes of operations for a block size."""
    codes = [_code_of(operation, size) for operation in operations]
    windows = np.array([window for window, _ in codes], dtype=np.int64)
    factors = np.array([factor for _, factor in codes], dtype=np.float64)
    sizes = (size // np.maximum(windows, 1)) ** 2.0
    scales = np.where(windows, 1.0, 1.0 - factors)
    return Codes(windows, factors, sizes, 1.0 / sizes, scales)


def _code_of(operation: Operation, size: int) -> tuple[int, float]:
    """(window, sign) of a pooling, else (0, slope)."""
    kind, window, slope = operation.checked(size)
    if kind in POOLINGS:
        return window, POOLINGS[kind]
    if kind in RECTIFIERS:
        return 0, slope
    raise NotImplementedError(f"the kernel knows poolings and rectifiers, and not {kind}")
