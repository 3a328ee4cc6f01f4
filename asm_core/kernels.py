"""Compiled loops: blocks -> DCT coefficients -> error at every frequency, in one pass.

Letters, here and below:

    T = trials, N = block size, H = N / 2, S = N * N samples, W = windows of a block,
    F = frequencies asked for, O = operations, A = algorithms, P = T or more, in whole groups,
    t = trial, i, j = sample (row, column), s = i * N + j, u, v = coefficient (row, column),
    c = u * N + v, k = side of a window, w = window, n = place among the frequencies asked for.

Trials go in groups of WIDTH, one lane each (`lanes.py`): arrays of `lanes.rows` have a row for each
sample or coefficient, and a group's working set, 4 KB an array at N = 8, stays in the first cache.
No fastmath, no BLAS, no fused multiply-add: rounding must not depend on shapes or machines.

Helpers are inlined, so that block sizes and windows which are constants where they are called
become constants in the loops as well.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from asm_core.compiled import compiled
from asm_core.lanes import WIDTH, choose, copysign, load, put, rows, spread, sqrt, store, take
from asm_core.transforms import TERMS, add_terms, assemble, clear, take_group, to_coefficients

# Up to this share of a block's contrast a difference of samples is a tie.  Samples of an
# approximate block that are equal by definition differ by rounding: by 6e-16 of the contrast at
# N = 8, 9e-15 at N = 256.  Of continuous blocks, one window in some 10^12 is as close by chance.
TIE = 2.0**-40
# Squares of samples beyond these magnitudes would leave the range of float64.
_LARGEST, _SMALLEST = 2.0**500, 2.0**-500
# Up to this size the kernel is compiled for each block size alone.  Loops of constant length take
# half the time at N = 4 and two thirds at N = 8; at N = 16 nothing is gained.
LARGEST_CONSTANT = 8


def half_of(size: int) -> tuple[int, ...] | NDArray[np.float64]:
    """Something of length H: for small blocks a tuple, whose length the compiler knows."""
    half = size // 2
    return (0,) * half if size <= LARGEST_CONSTANT else np.empty(half)


def scratch(size: int, windows: Sequence[int]) -> NDArray[np.float64]:
    """Rows for the working set of `measure`; `windows` are those of its operations."""
    per_pooling = sum(size * size + (size // k) ** 2 for k in windows if k)
    return rows(4 * size * size + 2 + size + per_pooling)


@njit(nogil=True, forceinline=True)
def _larger(a, b):
    return choose(b > a, b, a)


@njit(nogil=True, forceinline=True)
def _find_contrast(work, x, S, tie):
    """Store the largest difference that is a tie; returns 0 where squares fit float64, else 1."""
    zero, one = spread(0.0), spread(1.0)
    highest = lowest = load(work, x)
    for s in range(1, S):
        value = load(work, x + s)
        highest = _larger(highest, value)
        lowest = choose(lowest > value, value, lowest)
    store(work, tie, (highest - lowest) * spread(TIE))
    magnitude = _larger(highest, zero - lowest)
    tiny = choose(spread(_SMALLEST) > magnitude, choose(magnitude > zero, one, zero), zero)
    return choose(magnitude > spread(_LARGEST), one, tiny)


@njit(nogil=True, forceinline=True)
def _too_large(work, f, S):
    """1 where the square of a coefficient does not fit float64, else 0."""
    one, found = spread(1.0), spread(0.0)
    for s in range(S):
        found = choose(copysign(load(work, f + s), one) > spread(_LARGEST), one, found)
    return found


@njit(nogil=True, forceinline=True)
def _find_extremes(work, x, tie, N, k, sign, top, losses):
    """Extreme of sign * x in each window, and what choosing each sample would lose against it.

    A sample that ties with the extreme loses -0.0, every other more than 0: one array tells what
    a choice costs and, by its sign, whether it is a right one.
    """
    flip, near = spread(sign), load(work, tie)
    for i in range(0, N, k):
        for j in range(0, N, k):
            corner = x + i * N + j
            best = flip * load(work, corner)
            for p in range(k):
                for q in range(k):
                    best = _larger(best, flip * load(work, corner + p * N + q))
            store(work, top, best)
            top += 1
            for p in range(k):
                for q in range(k):
                    s = p * N + q
                    loss = best - flip * load(work, corner + s)
                    loss = choose(loss > near, loss, spread(-0.0))
                    store(work, losses + (corner - x) + s, loss)


@njit(nogil=True, forceinline=True)
def _measure_pool(work, a, level, tie, N, k, sign, top, losses, apx, moved, shift):
    """Sums over windows: squared errors of ASM, of APX and of APX + shift; errors of APX; regrets;
    and the number of wrong choices less that of right ones.
    """
    flip, one, near = spread(sign), spread(1.0), load(work, tie)
    offset = flip * level
    shift = flip * shift
    squares = squares_apx = squares_moved = bias = regret = excess = spread(0.0)
    for i in range(0, N, k):
        for j in range(0, N, k):
            corner = i * N + j
            best = flip * load(work, a + corner)
            for p in range(k):
                for q in range(k):
                    best = _larger(best, flip * load(work, a + corner + p * N + q))
            # The first sample that ties with the largest is chosen: backwards, the last one found.
            bar, loss = best - near, one
            for p in range(k - 1, -1, -1):
                for q in range(k - 1, -1, -1):
                    s = corner + p * N + q
                    below = bar > flip * load(work, a + s)
                    loss = choose(below, loss, load(work, losses + s))
            squares = squares + loss * loss
            regret = regret + loss
            excess = excess + copysign(one, loss)
            if apx:
                difference = (best + offset) - load(work, top)
                top += 1
                squares_apx = squares_apx + difference * difference
                bias = bias + difference
                if moved:
                    difference = difference + shift
                    squares_moved = squares_moved + difference * difference
    return squares, squares_apx, squares_moved, flip * bias, regret, excess


@njit(nogil=True, forceinline=True)
def _measure_any_pool(work, a, level, tie, N, k, sign, top, losses, apx, moved, shift):
    """`_measure_pool`, which takes half the time with constants for the windows most used."""
    if k == 2 and sign > 0:
        return _measure_pool(work, a, level, tie, N, 2, 1.0, top, losses, apx, moved, shift)
    if k == 2:
        return _measure_pool(work, a, level, tie, N, 2, -1.0, top, losses, apx, moved, shift)
    return _measure_pool(work, a, level, tie, N, k, sign, top, losses, apx, moved, shift)


@njit(nogil=True, forceinline=True)
def _measure_rectifier(work, a, level, tie, x, N, slope, apx, moved, shift):
    """Sums over samples: squared errors of ASM, over (1 - slope)^2, of APX and of APX + shift;
    errors of APX; and the number of wrong gates.

    A sample that ties with 0 counts as 0 and is not kept.
    """
    zero, one, lower, near = spread(0.0), spread(1.0), spread(slope), load(work, tie)
    squares = squares_apx = squares_moved = bias = wrong = zero
    # a + level > tie, without the addition.
    gate = near - level
    for s in range(N * N):
        sample, value = load(work, x + s), load(work, a + s)
        flipped = (value > gate) != (sample > near)
        squares = choose(flipped, squares + sample * sample, squares)
        wrong = choose(flipped, wrong + one, wrong)
        if apx:
            exact = choose(sample > zero, sample, lower * sample)
            whole = value + level
            difference = choose(whole > zero, whole, lower * whole) - exact
            squares_apx = squares_apx + difference * difference
            bias = bias + difference
            if moved:
                difference = difference + shift
                squares_moved = squares_moved + difference * difference
    return squares, squares_apx, squares_moved, bias, wrong


@compiled
def measure(
    half, blocks, coefficients, basis, terms, stops, whole, windows, factors, asm, apx, apx_offset,
    offsets, work, errors, accuracy, regrets, biases,
):  # fmt: skip
    """Error, mask accuracy and regret of every block at every frequency, for several operations.

    half (H,) as of `half_of`; blocks (T, S) float64; coefficients (T, S) theirs, where they are
    known exactly, else (0, S); basis (N, N); terms (., 3) coefficients (c, u, v) in groups of TERMS
    alike in parity, filled up with c = S; stops (F,) how many terms each frequency has, ascending;
    whole: the last frequency keeps everything; windows (O,) pooling window of each operation, 0 for
    a rectifier; factors (O,) sign of a pooling, slope of a rectifier; asm, apx, apx_offset: place
    of each algorithm among A, or -1; offsets (O, F, P) what is added to each result of apx_offset,
    or (0, F, P) without it; work as of `scratch`; errors (O, A, F, P); accuracy, regrets (O, F, P),
    regrets of rectifiers NaN, or both (0, F, P) and then neither is computed; biases (O, F, P) the
    mean of APX minus exact over the result of each block, or (0, F, P).

    Returns whether all blocks and coefficients are finite, and whether their squares are.
    """
    T, S = blocks.shape
    N = 2 * len(half)
    F = stops.size
    A, P = errors.shape[1], errors.shape[3]
    moved = apx_offset >= 0
    approximated = apx >= 0 or moved or biases.shape[0] > 0
    # Where each array begins in `work`; after these, extremes and losses of each pooling.
    x, parts, a, f = 0, S, 2 * S, 3 * S
    folded = f + S + 1
    tie = folded + N
    poolings = tie + 1
    store(work, f + S, spread(0.0))
    doubt = outside = shift = spread(0.0)
    for first in range(0, T, WIDTH):
        doubt = doubt + take_group(blocks, first, work, x)
        level = load(work, x)
        if coefficients.shape[0]:
            doubt = doubt + take_group(coefficients, first, work, f)
            outside = outside + _too_large(work, f, S)
            # As `to_coefficients`, of the block minus its first sample.
            store(work, f, load(work, f) - spread(float(N)) * level)
        else:
            to_coefficients(work, x, basis, N, folded, parts, f)
        outside = outside + _find_contrast(work, x, S, tie)
        top = poolings
        for o in range(windows.size):
            k = windows[o]
            if k:
                losses = top + (N // k) ** 2
                _find_extremes(work, x, tie, N, k, factors[o], top, losses)
                top = losses + S
        clear(work, parts, S)
        done = 0
        for n in range(F):
            for term in range(done, stops[n], TERMS):
                add_terms(work, f, terms, term, basis, N, parts)
            done = stops[n]
            if whole and n == F - 1:
                # The block itself, without the rounding errors of two transforms.
                source, offset = x, spread(0.0)
            else:
                assemble(work, parts, N, a)
                source, offset = a, level
            top = poolings
            for o in range(windows.size):
                k = windows[o]
                if moved:
                    shift = take(offsets, (o * F + n) * P + first)
                if k:
                    W = (N // k) ** 2
                    losses = top + W
                    squares, squares_apx, squares_moved, bias, regret, excess = _measure_any_pool(
                        work, source, offset, tie, N, k, factors[o], top, losses,
                        approximated, moved, shift,
                    )  # fmt: skip
                    top = losses + S
                    size, scale = spread(float(W)), spread(1.0)
                    wrong = (size + excess) * spread(0.5)
                    regret = regret / size
                else:
                    squares, squares_apx, squares_moved, bias, wrong = _measure_rectifier(
                        work, source, offset, tie, x, N, factors[o], approximated, moved, shift
                    )
                    size, scale = spread(float(S)), spread(1.0 - factors[o])
                    regret = spread(np.nan)
                if asm >= 0:
                    error = scale * sqrt(squares / size)
                    put(errors, ((o * A + asm) * F + n) * P + first, error)
                if apx >= 0:
                    error = sqrt(squares_apx / size)
                    put(errors, ((o * A + apx) * F + n) * P + first, error)
                if moved:
                    error = sqrt(squares_moved / size)
                    put(errors, ((o * A + apx_offset) * F + n) * P + first, error)
                if biases.shape[0]:
                    put(biases, (o * F + n) * P + first, bias / size)
                if accuracy.shape[0]:
                    put(accuracy, (o * F + n) * P + first, (size - wrong) / size)
                    put(regrets, (o * F + n) * P + first, regret)
    store(work, x, doubt)
    store(work, a, outside)
    return (work[x] == 0.0).all(), (work[a] == 0.0).all()
