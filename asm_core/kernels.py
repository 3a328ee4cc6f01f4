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
from asm_core.lanes import (
    WIDTH,
    choose,
    copysign,
    gather,
    load,
    put,
    rows,
    spread,
    sqrt,
    store,
    take,
)

# Coefficients that are added to the reconstruction at a time: a row of it is then loaded and stored
# once for two products, and not for each.  Four at a time took 8 % longer at N = 4 and 8, where
# most are fillings, and 6 to 14 % less from N = 16 on.
TERMS = 2
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


def flat(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Blocks (..., N, N) as (T, S), in the memory layout that kernels are compiled for."""
    samples = blocks.shape[-1] ** 2
    return np.require(blocks.reshape(-1, samples), requirements=("C", "A", "W"))


def scratch(size: int, windows: Sequence[int]) -> NDArray[np.float64]:
    """Rows for the working set of `measure`; `windows` are those of its operations."""
    per_pooling = sum(size * size + (size // k) ** 2 for k in windows if k)
    return rows(4 * size * size + 2 + size + per_pooling)


@njit(nogil=True, forceinline=True)
def _load(values, first, work, x):
    """Transpose a group of trials into lanes; lanes beyond the last trial are zero."""
    T, S = values.shape
    if first + WIDTH <= T:
        for s in range(S):
            store(work, x + s, gather(values, first * S + s, S))
    else:
        for s in range(S):
            store(work, x + s, spread(0.0))
            for t in range(T - first):
                work[x + s, t] = values[first + t, s]
    # 0 where all are finite, else NaN: as good as numpy.isfinite, in a quarter of its time.
    doubt = spread(0.0)
    for s in range(S):
        doubt = doubt + (load(work, x + s) - load(work, x + s))
    return doubt


@njit(nogil=True, forceinline=True)
def _store(work, x, first, values):
    T, S = values.shape
    for t in range(min(WIDTH, T - first)):
        for s in range(S):
            values[first + t, s] = work[x + s, t]


@njit(nogil=True, forceinline=True)
def _transform_axis(work, x, basis, N, stride, step, folded, f):
    """f = the one-dimensional DCT of x along the axis whose samples lie `stride` rows apart.

    Cosines are even or odd about the middle of the block, so even coefficients see only sums of
    mirrored samples and odd ones only differences: half of the products.  Sums are taken relative
    to the first sample of the line, so that a constant line has coefficients of exactly 0 and the
    ties of a block that is constant along its rows or columns stay ties.
    """
    H = N // 2
    whole = spread(N * basis[0, 0])
    for line in range(0, N * step, step):
        level = load(work, x + line)
        for i in range(H):
            near = load(work, x + line + i * stride)
            far = load(work, x + line + (N - 1 - i) * stride)
            store(work, folded + i, (near - level) + (far - level))
            store(work, folded + H + i, near - far)
        for u in range(N):
            half = folded + (u % 2) * H
            total = spread(basis[u, 0]) * load(work, half)
            for i in range(1, H):
                total = total + spread(basis[u, i]) * load(work, half + i)
            if u == 0:
                total = total + whole * level
            store(work, f + line + u * stride, total)


@njit(nogil=True, forceinline=True)
def _forward(work, x, basis, N, folded, spare, f):
    """f = DCT coefficients of x minus its first sample.

    A constant block so has coefficients of exactly 0, and ties stay ties at every frequency;
    rounding is relative to the contrast of a block and not to its level.
    """
    level = load(work, x)
    for s in range(N * N):
        store(work, f + s, load(work, x + s) - level)
    _transform_axis(work, f, basis, N, 1, N, folded, spare)
    _transform_axis(work, spare, basis, N, N, 1, folded, f)


@njit(nogil=True, forceinline=True)
def _clear(work, x, count):
    for s in range(count):
        store(work, x + s, spread(0.0))


@njit(nogil=True, forceinline=True)
def _add_terms(work, f, terms, term, basis, N, parts):
    """Add TERMS coefficients (c, u, v), alike in the parities of u and of v, to their quadrant."""
    H = N // 2
    u0, v0, u1, v1 = terms[term, 1], terms[term, 2], terms[term + 1, 1], terms[term + 1, 2]
    f0, f1 = load(work, f + terms[term, 0]), load(work, f + terms[term + 1, 0])
    r = parts + (2 * (u0 & 1) + (v0 & 1)) * H * H
    for i in range(H):
        row0, row1 = spread(basis[u0, i]) * f0, spread(basis[u1, i]) * f1
        for j in range(H):
            total = load(work, r + j) + spread(basis[v0, j]) * row0
            store(work, r + j, total + spread(basis[v1, j]) * row1)
        r = r + H


@njit(nogil=True, forceinline=True)
def _assemble(work, parts, N, a):
    """a (S rows) = the approximate block, from its quadrants.

    `parts` holds four quadrants of H * H rows, by parity of u and of v: each basis image is its top
    left quadrant mirrored with the signs (-1)^u and (-1)^v.  A quarter of the products.
    """
    H = N // 2
    Q = H * H
    for i in range(H):
        for j in range(H):
            r = parts + i * H + j
            ee, eo = load(work, r), load(work, r + Q)
            oe, oo = load(work, r + 2 * Q), load(work, r + 3 * Q)
            even_sum, even_difference = ee + eo, ee - eo
            odd_sum, odd_difference = oe + oo, oe - oo
            top, bottom, mirror = a + i * N, a + (N - 1 - i) * N, N - 1 - j
            store(work, top + j, even_sum + odd_sum)
            store(work, top + mirror, even_difference + odd_difference)
            store(work, bottom + j, even_sum - odd_sum)
            store(work, bottom + mirror, even_difference - odd_difference)


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
        doubt = doubt + _load(blocks, first, work, x)
        level = load(work, x)
        if coefficients.shape[0]:
            doubt = doubt + _load(coefficients, first, work, f)
            outside = outside + _too_large(work, f, S)
            # As `_forward`, of the block minus its first sample.
            store(work, f, load(work, f) - spread(float(N)) * level)
        else:
            _forward(work, x, basis, N, folded, parts, f)
        outside = outside + _find_contrast(work, x, S, tie)
        top = poolings
        for o in range(windows.size):
            k = windows[o]
            if k:
                losses = top + (N // k) ** 2
                _find_extremes(work, x, tie, N, k, factors[o], top, losses)
                top = losses + S
        _clear(work, parts, S)
        done = 0
        for n in range(F):
            for term in range(done, stops[n], TERMS):
                _add_terms(work, f, terms, term, basis, N, parts)
            done = stops[n]
            if whole and n == F - 1:
                # The block itself, without the rounding errors of two transforms.
                source, offset = x, spread(0.0)
            else:
                _assemble(work, parts, N, a)
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


@compiled
def forward(blocks, basis, work, coefficients):
    """Coefficients (T, S) of blocks (T, S); work (3 S + N) rows."""
    T, S = blocks.shape
    N = basis.shape[0]
    x, f, spare, folded = 0, S, 2 * S, 3 * S
    for first in range(0, T, WIDTH):
        _load(blocks, first, work, x)
        _forward(work, x, basis, N, folded, spare, f)
        store(work, f, load(work, f) + spread(float(N)) * load(work, x))
        _store(work, f, first, coefficients)


@compiled
def inverse(coefficients, basis, terms, work, blocks):
    """Blocks (T, S) from those coefficients (T, S) that `terms` lists; work (3 S + 1) rows."""
    T, S = blocks.shape
    N = basis.shape[0]
    parts, a, f = 0, S, 2 * S
    store(work, f + S, spread(0.0))
    for first in range(0, T, WIDTH):
        _load(coefficients, first, work, f)
        _clear(work, parts, S)
        for term in range(0, len(terms), TERMS):
            _add_terms(work, f, terms, term, basis, N, parts)
        _assemble(work, parts, N, a)
        _store(work, a, first, blocks)
