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
    put,
    rows,
    spread,
    spread_of,
    sqrt,
    store,
    take,
)
from asm_core.poolings import (
    choose_in_windows,
    choose_largest,
    choose_largest_kept,
    choose_smallest_kept,
    compare_pooled,
    in_tiles,
    prepare_tiles,
    prepare_windows,
)
from asm_core.rectifiers import compare_rectified, gate, prepare_gates
from asm_core.tracing import WIDTH, traced
from asm_core.transforms import (
    add_level,
    add_step,
    assemble,
    clear,
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
        assembles = assembles or (windows[o] > 0 and not in_tiles(windows[o], H))
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
                prepare_gates(work, x, tie, H, factor, table)
            elif in_tiles(k, H):
                prepare_tiles(work, x, tie, H, factor, table, table + S)
            else:
                prepare_windows(work, x, tie, k, N // k, factor, table, table + S)
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
                    squares, right = gate(work, planes, tie, x, H, E, table)
                elif not in_tiles(k, H):
                    squares, regret, right = choose_in_windows(
                        work, a, tie, k, N // k, factor, table, found
                    )
                elif factor < 0:
                    squares, regret, right = choose_smallest_kept(
                        work, planes, tie, H, table, found
                    )
                elif compares:
                    squares, regret, right = choose_largest_kept(work, planes, tie, H, table, found)
                else:
                    squares, regret, right = choose_largest(work, planes, tie, H, table, found)
                if compares and k == 0:
                    squares_apx, squares_moved, bias = compare_rectified(
                        work, planes, x, H, E, factor, table, shift
                    )
                elif compares:
                    squares_apx, squares_moved, bias = compare_pooled(
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
