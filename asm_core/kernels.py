"""Compiled loops: blocks -> DCT coefficients -> error at every frequency, in one pass.

Letters, here and below:

    T = trials, N = block size, H = N / 2, E = H or H + 1, even, S = N * N samples,
    W = windows of a block, F = frequencies asked for, O = operations, A = algorithms,
    P = T or more, in whole groups,
    t = trial, i, j = sample (row, column), s = i * N + j, u, v = coefficient (row, column),
    c = u * N + v, k = side of a window, w = window, o = operation, n = place among the frequencies.

Trials go in groups of WIDTH, one lane each: arrays of `lanes.rows` have a row for each sample or
coefficient, and a group's working set, 4 KB an array at N = 8, stays in the first cache.  No
fastmath, no BLAS, no fused multiply-add: rounding must not depend on shapes or machines.

At each frequency the new coefficients are added to the planes (`transforms.add_step`), from which
every operation has the samples of the approximate block as it needs them; the block itself is only
put together for windows that cross its middle or are not 2 x 2.  What the exact block says is
looked up: for each sample what choosing it would lose, or what a wrong gate would.

One kernel serves all block sizes, and is compiled once.
"""

import numpy as np
from numpy.typing import NDArray

from asm_core.compiled import compiled
from asm_core.lanes import (
    choose,
    copysign,
    counted,
    larger,
    load,
    put,
    rows,
    spread,
    spread_of,
    sqrt,
    store,
    take,
    tally,
)
from asm_core.tracing import WIDTH, Variable, loop, traced
from asm_core.transforms import (
    add_level,
    add_step,
    assemble,
    clear,
    corners,
    mirrored,
    quadrant_side,
    take_group,
    to_coefficients,
)

# Up to this share of a block's contrast a difference of samples is a tie.  Samples of an
# approximate block that are equal by definition differ by rounding: by 6e-16 of the contrast at
# N = 8, 9e-15 at N = 256.  Of continuous blocks, one window in some 10^12 is as close by chance.
TIE = 2.0**-40
# Squares of samples beyond these magnitudes would leave the range of float64.
_LARGEST, _SMALLEST = 2.0**500, 2.0**-500


def scratch(size: int, operations: int) -> NDArray[np.float64]:
    """Rows for the working set of `measure`."""
    even = quadrant_side(size)
    return rows(4 + 2 * size + (3 + 3 * operations) * size * size + 8 * even * even)


@traced(returns=1)
def _find_tie(work, tie, lowest, highest):
    """Store the largest difference that is a tie; returns 0 where squares fit float64, else 1."""
    zero, one = spread(0.0), spread(1.0)
    store(work, tie, (highest - lowest) * spread(TIE))
    magnitude = larger(highest, zero - lowest)
    tiny = choose(spread(_SMALLEST) > magnitude, choose(magnitude > zero, one, zero), zero)
    return choose(magnitude > spread(_LARGEST), one, tiny)


@traced(returns=1)
def _too_large(lowest, highest):
    """1 where the square of a coefficient does not fit float64, else 0."""
    magnitude = larger(highest, spread(0.0) - lowest)
    return choose(magnitude > spread(_LARGEST), spread(1.0), spread(0.0))


@traced(returns=1)
def _sum(a, b):
    return a + b


# 2 x 2 windows, four at a time: those of a tile of 2 x 2 samples of a quadrant, and of its mirror
# images.  In row-major order a window has these samples of the tile: top left, top right, bottom
# left, bottom right.
_MIRRORED = ((0, 1, 2, 3), (1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0))
# The mirror images whose samples are made of the same two planes.
_PLANES = ((0, (0, 3)), (1, (2, 1)))


@traced(returns=0)
def _prepare_tiles(work, x, tie, H, sign, losses, extremes):
    """What choosing each sample of each window would lose, and its extreme less sample 0.

    A sample that ties with the extreme loses -0.0, every other more than 0: one row tells what a
    choice costs and, by its sign, whether it is a right one.
    """
    near, sign, level, N = load(work, tie), spread(sign), load(work, x), H + H
    for i in loop(0, H, 2):
        for j in loop(0, H, 2):
            tile = i * H + j + j
            corner, right, down = i * N + x + j, N - 2 - j - j, (N - 2 - i - i) * N
            for w, start in enumerate(corners(corner, right, down)):
                places = start, start + 1, start + N, start + N + 1
                samples = [sign * load(work, place) for place in places]
                best = larger(larger(samples[0], samples[1]), larger(samples[2], samples[3]))
                for place, sample in enumerate(samples):
                    loss = best - sample
                    row = tile * 4 + losses + (4 * w + place)
                    store(work, row, choose(loss > near, loss, spread(-0.0)))
                store(work, tile + extremes + w, best - sign * level)


def _choice(near, losses, samples):
    """The loss of the first sample that ties with the largest of four, and the largest."""
    upper, lower = larger(samples[0], samples[1]), larger(samples[2], samples[3])
    best = larger(upper, lower)
    bar = best - near
    first = choose(bar > samples[0], losses[1], losses[0])
    second = choose(bar > samples[2], losses[3], losses[2])
    return choose(bar > upper, second, first), best


class _Chosen:
    """What is added up of choices: squared losses, losses, and the number of right ones."""

    def __init__(self, work):
        self._totals = [Variable(work, spread(0.0)) for _ in range(3)]

    def add(self, loss):
        squares, regret, right = self._totals
        squares.add(loss * loss)
        regret.add(loss)
        right.value = tally(right.value, loss)

    @property
    def values(self):
        return tuple(total.value for total in self._totals)


def _choosing(sign, keeps):
    """A choice of the largest samples or of the smallest ones, without products with a sign."""

    @traced(returns=3, split=True)
    def choose_in_tiles(work, planes, tie, H, losses, found):
        """Sums of squared losses and of losses, and right choices; extremes from `found` on."""
        near, chosen = load(work, tie), _Chosen(work)
        for i in loop(0, H, 2):
            for j in loop(0, H, 2):
                plane, tile = (i * H + j) * 4 + planes, i * H + j + j
                places = plane, plane + 4, plane + H * 4, plane + H * 4 + 4
                for first, (added, subtracted) in _PLANES:
                    pairs = [
                        (load(work, place + first), load(work, place + (first + 2)))
                        for place in places
                    ]
                    for w, samples in (
                        (added, [a + b for a, b in pairs]),
                        (subtracted, [a - b for a, b in pairs]),
                    ):
                        samples = [samples[s] if sign > 0 else -samples[s] for s in _MIRRORED[w]]
                        lost = [load(work, tile * 4 + losses + (4 * w + s)) for s in range(4)]
                        loss, extreme = _choice(near, lost, samples)
                        chosen.add(loss)
                        if keeps:
                            store(work, tile + found + w, extreme)
        return chosen.values

    return choose_in_tiles


# Storing extremes takes some time; smallest ones alone are not worth a third loop to be compiled.
_choose_largest, _choose_largest_kept = _choosing(1, False), _choosing(1, True)
_choose_smallest_kept = _choosing(-1, True)


# Windows of any size, one after the other.


def _largest_in(work, corner, N, k, sign):
    best = Variable(work, spread(-np.inf))
    for p in loop(k):
        for q in loop(k):
            best.value = larger(best.value, load(work, p * N + corner + q) * sign)
    return best.value


@traced(returns=0)
def _prepare_windows(work, x, tie, k, across, sign, losses, extremes):
    """As `_prepare_tiles`, window by window in row-major order."""
    near, sign, level, N = load(work, tie), spread(sign), load(work, x), k * across
    for i in loop(across):
        for j in loop(across):
            w, corner = i * across + j, i * k * N + j * k + x
            best = _largest_in(work, corner, N, k, sign)
            store(work, w + extremes, best - sign * level)
            for p in loop(k):
                for q in loop(k):
                    loss = best - sign * load(work, p * N + corner + q)
                    place = w * k * k + p * k + q + losses
                    store(work, place, choose(loss > near, loss, spread(-0.0)))


@traced(returns=3)
def _choose_in_windows(work, a, tie, k, across, sign, losses, found):
    """As `choose_in_tiles`, of the approximate block `a`."""
    near, sign, N, chosen = load(work, tie), spread(sign), k * across, _Chosen(work)
    for i in loop(across):
        for j in loop(across):
            w, corner = i * across + j, i * k * N + j * k + a
            best = _largest_in(work, corner, N, k, sign)
            store(work, w + found, best)
            bar, loss = best - near, Variable(work, best)
            # The first sample that ties with the largest is chosen: backwards, the last one found.
            for p in loop(k):
                for q in loop(k):
                    row, column = k - 1 - p, k - 1 - q
                    below = bar > sign * load(work, row * N + corner + column)
                    lost = load(work, w * k * k + row * k + column + losses)
                    loss.value = choose(below, loss.value, lost)
            chosen.add(loss.value)
    return chosen.values


# Approximated results against exact ones.


class _Differences:
    """Sums of squared differences, of squares of shifted differences, and of differences."""

    def __init__(self, work, shift):
        self._shift = shift
        self._totals = [Variable(work, spread(0.0)) for _ in range(3)]

    def add(self, difference):
        squares, shifted, bias = self._totals
        moved = difference + self._shift
        squares.add(difference * difference)
        shifted.add(moved * moved)
        bias.add(difference)

    @property
    def values(self):
        return tuple(total.value for total in self._totals)


@traced(returns=3)
def _compare_pooled(work, exact, found, W, sign, shift):
    differences = _Differences(work, shift)
    for w in loop(W):
        differences.add(spread(sign) * (load(work, found + w) - load(work, exact + w)))
    return differences.values


# Rectifiers, four samples that mirror each other at a time.


@traced(returns=0)
def _prepare_gates(work, x, tie, H, slope, costs):
    """What a gate costs that is off, and one that is on, over (1 - slope)^2; and exact results.

    A right one costs -0.0; a sample that ties with 0 counts as 0 and is not kept.
    """
    near, zero, right, N = load(work, tie), spread(0.0), spread(-0.0), H + H
    for i in loop(H):
        for j in loop(H):
            corner, across, down = i * N + x + j, N - 1 - j - j, (N - 1 - i - i) * N
            at = (i * H + j) * 12 + costs
            for place, s in enumerate(corners(corner, across, down)):
                sample = load(work, s)
                square, kept = sample * sample, sample > near
                store(work, at + place, choose(kept, square, right))
                store(work, at + (place + 4), choose(kept, right, square))
                exact = choose(sample > zero, sample, spread(slope) * sample)
                store(work, at + (place + 8), exact)


@traced(returns=2, split=True)
def _gate(work, planes, tie, x, H, E, costs):
    """Sum of squared costs, and the number of right gates."""
    # a + level > tie, without the addition.
    gate = load(work, tie) - load(work, x)
    squares, right = (Variable(work, spread(0.0)) for _ in range(2))
    for i in loop(H):
        for j in loop(H):
            at = (i * H + j) * 12 + costs
            for place, sample in enumerate(mirrored(work, (i * E + j) * 4 + planes)):
                off, on = load(work, at + place), load(work, at + (place + 4))
                cost = choose(sample > gate, on, off)
                squares.add(cost)
                right.value = tally(right.value, cost)
    return squares.value, right.value


@traced(returns=3, split=True)
def _compare_rectified(work, planes, x, H, E, slope, costs, shift):
    zero, level, differences = spread(0.0), load(work, x), _Differences(work, shift)
    for i in loop(H):
        for j in loop(H):
            at = (i * H + j) * 12 + costs
            for place, sample in enumerate(mirrored(work, (i * E + j) * 4 + planes)):
                whole = sample + level
                rectified = choose(whole > zero, whole, spread(slope) * whole)
                differences.add(rectified - load(work, at + (place + 8)))
    return differences.values


@traced(returns=1)
def _root_mean(squares, share, scale):
    return spread(scale) * sqrt(squares * spread(share))


@traced(returns=1)
def _mean(total, shares, o):
    return total * spread_of(shares, o)


@traced(returns=1)
def _share_of(right, sizes, o):
    # A division, so that all of them are exactly 1.
    return counted(right) / spread_of(sizes, o)


@traced(returns=1)
def _magnitude(value):
    return copysign(value, spread(1.0))


@compiled
def measure(
    blocks, coefficients, basis, terms, stops, whole, windows, factors, sizes, shares, scales,
    asm, apx, apx_offset, offsets, work, errors, accuracy, regrets, biases,
):  # fmt: skip
    """Error, mask accuracy and regret of every block at every frequency, for several operations.

    blocks (T, S) float64; coefficients (T, S) theirs, where they are known exactly, else (0, S);
    basis (N, N); terms and stops of each frequency but a whole one as of `dct.coefficient_terms`;
    whole: the last frequency keeps everything; windows (O,) pooling window of each operation, 0 for
    a rectifier; factors (O,) sign of a pooling, slope of a rectifier; sizes (O,) numbers in the
    result of a block, shares (O,) their reciprocals; scales (O,) of errors of ASM; asm, apx,
    apx_offset: place of each algorithm among A, or -1; offsets (O, F, P) what is added to each
    result of apx_offset, or (0, F, P) without it; work as of `scratch`; errors (O, A, F, P);
    accuracy, regrets (O, F, P), regrets of rectifiers NaN, or both (0, F, P) and then neither is
    written; biases (O, F, P) the mean of APX minus exact over the result of each block, or
    (0, F, P).

    In row 0 of work are zeros if all blocks and coefficients are finite, in row 1 if their squares
    are.
    """
    T, S = blocks.shape
    N, F = basis.shape[0], len(stops)
    A, P = errors.shape[1], errors.shape[3]
    H, E = N // 2, quadrant_side(N)
    shifts = apx_offset >= 0
    compares = apx >= 0 or shifts or biases.shape[0] > 0
    assembles = False
    for o in range(len(windows)):
        assembles = assembles or (windows[o] > 0 and (windows[o] != 2 or H % 2 > 0))
    # Where each array begins in `work`, and at last a table for each operation.
    tie = 2
    folded = tie + 1
    x = folded + 2 * N
    f = x + S
    # A coefficient of 0 follows the others.
    zero = f + S
    a = zero + 1
    quadrants = a + S
    planes = quadrants + 4 * E * E
    tables = planes + 4 * E * E
    store(work, zero, spread(0.0))
    doubt = outside = spread(0.0)
    shift = squares_apx = squares_moved = bias = spread(0.0)
    for first in range(0, T, WIDTH):
        unknown, lowest, highest = take_group(blocks, first, S, work, x)
        doubt = _sum(doubt, unknown)
        outside = _sum(outside, _find_tie(work, tie, lowest, highest))
        if coefficients.shape[0]:
            unknown, lowest, highest = take_group(coefficients, first, S, work, f)
            doubt = _sum(doubt, unknown)
            outside = _sum(outside, _too_large(lowest, highest))
            # As `to_coefficients`, of the block minus its first sample.
            add_level(work, f, -float(N), x, zero)
        else:
            to_coefficients(work, x, basis, H, N * basis[0, 0], folded, a, zero, f)
        for o in range(len(windows)):
            k, factor, table = windows[o], factors[o], tables + 3 * S * o
            if k == 0:
                _prepare_gates(work, x, tie, H, factor, table)
            elif k == 2 and H % 2 == 0:
                _prepare_tiles(work, x, tie, H, factor, table, table + S)
            else:
                _prepare_windows(work, x, tie, k, N // k, factor, table, table + S)
        clear(work, quadrants, 8 * E * E)
        for n in range(F - whole):
            add_step(work, f, terms, stops, n, basis, E, quadrants, planes)
            if assembles:
                assemble(work, planes, H, E, a)
            for o in range(len(windows)):
                k, factor, table = windows[o], factors[o], tables + 3 * S * o
                at = (o * F + n) * P + first
                regret = spread(np.nan)
                found = table + 2 * S
                if shifts:
                    shift = take(offsets, at)
                if k == 0:
                    squares, right = _gate(work, planes, tie, x, H, E, table)
                elif k != 2 or H % 2 > 0:
                    squares, regret, right = _choose_in_windows(
                        work, a, tie, k, N // k, factor, table, found
                    )
                elif factor < 0:
                    squares, regret, right = _choose_smallest_kept(
                        work, planes, tie, H, table, found
                    )
                elif compares:
                    squares, regret, right = _choose_largest_kept(
                        work, planes, tie, H, table, found
                    )
                else:
                    squares, regret, right = _choose_largest(work, planes, tie, H, table, found)
                if compares and k == 0:
                    squares_apx, squares_moved, bias = _compare_rectified(
                        work, planes, x, H, E, factor, table, shift
                    )
                elif compares:
                    squares_apx, squares_moved, bias = _compare_pooled(
                        work, table + S, found, (N // k) ** 2, factor, shift
                    )
                row = ((o * A) * F + n) * P + first
                if asm >= 0:
                    put(errors, row + asm * F * P, _root_mean(squares, shares[o], scales[o]))
                if apx >= 0:
                    put(errors, row + apx * F * P, _root_mean(squares_apx, shares[o], 1.0))
                if shifts:
                    put(errors, row + apx_offset * F * P, _root_mean(squares_moved, shares[o], 1.0))
                if biases.shape[0]:
                    put(biases, at, _mean(bias, shares, o))
                if accuracy.shape[0]:
                    put(accuracy, at, _share_of(right, sizes, o))
                    put(regrets, at, _mean(regret, shares, o))
        if whole:
            # The block itself, without the rounding errors of two transforms.
            for o in range(len(windows)):
                at = (o * F + F - 1) * P + first
                row = ((o * A) * F + F - 1) * P + first
                if asm >= 0:
                    put(errors, row + asm * F * P, spread(0.0))
                if apx >= 0:
                    put(errors, row + apx * F * P, spread(0.0))
                if shifts:
                    put(errors, row + apx_offset * F * P, _magnitude(take(offsets, at)))
                if biases.shape[0]:
                    put(biases, at, spread(0.0))
                if accuracy.shape[0]:
                    put(accuracy, at, spread(1.0))
                    put(regrets, at, spread(0.0 if windows[o] else np.nan))
    store(work, 0, doubt)
    store(work, 1, outside)
