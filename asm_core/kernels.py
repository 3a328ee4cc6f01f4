"""Compiled loops: blocks -> DCT coefficients -> error at every frequency, in one pass.

Letters, here and below:

    T = trials, N = block size, H = N / 2, S = N * N samples, L = lanes,
    F = frequencies asked for, O = operations,
    t = trial or its lane, i, j = sample (row, column), s = i * N + j,
    u, v = coefficient (row, column), c = u * N + v, w = window.

One lane carries one trial: arrays are laid out (sample, lane), every inner loop
runs over lanes and no lane ever meets another, so that the bits of a trial do
not depend on its neighbours, on L or on T.  LLVM vectorises such a loop only
while it is small and its pointers are few, hence the short functions; each holds
its whole loop nest, because passing one row at a time costs 40 ns a call (2 to 9
times the work, measured).
No fastmath, no BLAS: rounding must not depend on shapes or machines.
"""

import numpy as np
from numba import njit

# Rows of L doubles.  LLVM unrolls a loop over lanes to 32 doubles a turn and leaves the rest to
# scalar code, so fewer than 32 lanes cost 2 to 4 times as much; from 64 on more lanes help only
# while the working sets stay in the second-level cache (measured for N = 8 .. 64, L = 8 .. 512).
_FEWEST_LANES, _MOST_LANES = 64, 256
_LANE_SAMPLES = 1 << 15


def lanes_for(block_size: int, trials: int) -> int:
    """How many trials to carry side by side."""
    fitting = max(_FEWEST_LANES, min(_MOST_LANES, _LANE_SAMPLES // (block_size * block_size)))
    return min(fitting, max(trials, 1))


@njit(cache=True, nogil=True)
def _load(blocks, first, count, x):
    """Transpose `count` blocks into lanes; lanes beyond them are zero."""
    S, L = x.shape
    for s in range(S):
        for t in range(count):
            x[s, t] = blocks[first + t, s]
        for t in range(count, L):
            x[s, t] = 0.0


@njit(cache=True, nogil=True)
def _store(x, first, count, blocks):
    for s in range(x.shape[0]):
        for t in range(count):
            blocks[first + t, s] = x[s, t]


@njit(cache=True, nogil=True)
def _subtract_first(x, difference):
    S, L = x.shape
    for s in range(S):
        for t in range(L):
            difference[s, t] = x[s, t] - x[0, t]


@njit(cache=True, nogil=True)
def _transform_axis(x, basis, stride, step, folded, f):
    """f = the one-dimensional DCT of x along the axis whose samples lie `stride` rows apart.

    Cosines are even or odd about the middle of the block, so even coefficients see only sums of
    mirrored samples and odd ones only differences: half of the products.  Sums are taken relative
    to the first sample of the line, so that a constant line has coefficients of exactly 0 and the
    ties of a block that is constant along its rows or columns stay ties.
    """
    N, L = folded.shape
    H = N // 2
    whole = N * basis[0, 0]
    for line in range(0, N * step, step):
        for i in range(H):
            near = line + i * stride
            far = line + (N - 1 - i) * stride
            for t in range(L):
                folded[i, t] = (x[near, t] - x[line, t]) + (x[far, t] - x[line, t])
                folded[H + i, t] = x[near, t] - x[far, t]
        for u in range(N):
            out = line + u * stride
            half = (u % 2) * H
            for t in range(L):
                f[out, t] = basis[u, 0] * folded[half, t]
            for i in range(1, H):
                weight = basis[u, i]
                for t in range(L):
                    f[out, t] += weight * folded[half + i, t]
        for t in range(L):
            f[line, t] += whole * x[line, t]


@njit(cache=True, nogil=True)
def _forward(x, basis, difference, folded, work, f):
    """f = DCT coefficients of x minus its first sample.

    A constant block so has coefficients of exactly 0, and ties stay ties at every frequency;
    rounding is relative to the contrast of a block and not to its level.
    """
    N = basis.shape[0]
    _subtract_first(x, difference)
    _transform_axis(difference, basis, 1, N, folded, work)
    _transform_axis(work, basis, N, 1, folded, f)


@njit(cache=True, nogil=True)
def _add_outer(column, row, f, quadrant):
    """Add f * (column x row) to a quadrant (H, H, L)."""
    H, _, L = quadrant.shape
    for i in range(H):
        for j in range(H):
            weight = column[i] * row[j]
            for t in range(L):
                quadrant[i, j, t] += weight * f[t]


@njit(cache=True, nogil=True)
def _add_coefficient(f, c, basis, parts):
    """Add coefficient c = (u, v) to the running reconstruction.

    `parts` holds four quadrants (H, H, L), by parity of u and of v: each basis image is its top
    left quadrant mirrored with the signs (-1)^u and (-1)^v.  A quarter of the products.
    """
    N = basis.shape[0]
    u = c // N
    v = c % N
    _add_outer(basis[u], basis[v], f[c], parts[u % 2, v % 2])


@njit(cache=True, nogil=True)
def _assemble(ee, eo, oe, oo, a):
    """a (S, L) = the approximate block, from its quadrants even-even, even-odd, and so on."""
    H, _, L = ee.shape
    N = 2 * H
    for i in range(H):
        for j in range(H):
            top = i * N
            bottom = (N - 1 - i) * N
            mirror = N - 1 - j
            for t in range(L):
                even_sum = ee[i, j, t] + eo[i, j, t]
                even_difference = ee[i, j, t] - eo[i, j, t]
                odd_sum = oe[i, j, t] + oo[i, j, t]
                odd_difference = oe[i, j, t] - oo[i, j, t]
                a[top + j, t] = even_sum + odd_sum
                a[top + mirror, t] = even_difference + odd_difference
                a[bottom + j, t] = even_sum - odd_sum
                a[bottom + mirror, t] = even_difference - odd_difference


@njit(cache=True, nogil=True)
def _choose(a, x, corner, N, k, sign, best, chosen, where):
    """Argmax of the window of sign * a at `corner`, and the sample of sign * x there."""
    L = best.size
    for t in range(L):
        best[t] = sign * a[corner, t]
        chosen[t] = sign * x[corner, t]
        where[t] = 0.0
    for q in range(1, k * k):
        s = corner + (q // k) * N + q % k
        place = float(q)
        for t in range(L):
            value = sign * a[s, t]
            sample = sign * x[s, t]
            # Strictly larger: a tie goes to the first, as in numpy.argmax.
            larger = value > best[t]
            best[t] = value if larger else best[t]
            chosen[t] = sample if larger else chosen[t]
            where[t] = place if larger else where[t]


@njit(cache=True, nogil=True)
def _tally_asm(chosen, where, top, at, squares, right, losses):
    for t in range(top.size):
        loss = top[t] - chosen[t]
        losses[t] += loss
        squares[t] += loss * loss
        right[t] += 1.0 if where[t] == at[t] else 0.0


@njit(cache=True, nogil=True)
def _tally_apx(best, sign, level, top, squares):
    for t in range(top.size):
        difference = best[t] + sign * level[t] - top[t]
        squares[t] += difference * difference


@njit(cache=True, nogil=True)
def _corner(w, N, k):
    """First sample of window w; windows are numbered in row-major order."""
    per_row = N // k
    return (w // per_row) * k * N + (w % per_row) * k


@njit(cache=True, nogil=True)
def _measure_pool(a, level, x, N, k, sign, top, at, rows, sums):
    """Sums over windows: squared errors of ASM and of APX, right argmaxes, regrets."""
    best, chosen, where = rows[0], rows[1], rows[2]
    for w in range(top.shape[0]):
        _choose(a, x, _corner(w, N, k), N, k, sign, best, chosen, where)
        _tally_asm(chosen, where, top[w], at[w], sums[0], sums[2], sums[3])
        _tally_apx(best, sign, level, top[w], sums[1])


@njit(cache=True, nogil=True)
def _measure_rectifier(a, level, x, slope, squares_asm, squares_apx, right):
    """Sums over samples: squared errors of ASM and of APX, and how many signs are right."""
    S, L = a.shape
    for s in range(S):
        for t in range(L):
            sample = x[s, t]
            value = a[s, t] + level[t]
            exact = sample if sample > 0.0 else slope * sample
            by_mask = (sample if value > 0.0 else slope * sample) - exact
            by_value = (value if value > 0.0 else slope * value) - exact
            squares_asm[t] += by_mask * by_mask
            squares_apx[t] += by_value * by_value
            right[t] += 1.0 if (value > 0.0) == (sample > 0.0) else 0.0


@njit(cache=True, nogil=True)
def _write(sums, size, first, count, errors, accuracy, regrets):
    for t in range(count):
        errors[0, first + t] = np.sqrt(sums[0, t] / size)
        errors[1, first + t] = np.sqrt(sums[1, t] / size)
        accuracy[first + t] = sums[2, t] / size
        regrets[first + t] = sums[3, t] / size


@njit(cache=True, nogil=True)
def measure(
    blocks, coefficients, basis, order, kept, windows, factors, L, errors, accuracy, regrets
):
    """Error, mask accuracy and regret of every block at every frequency, for several operations.

    blocks (T, S) float64; coefficients (T, S) theirs, where they are known exactly, else (0, S);
    basis (N, N); order (S,) coefficients c by rank; kept (F,) how many of
    them each frequency keeps, ascending; windows (O,) pooling window of each operation, 0 for a
    rectifier; factors (O,) sign of a pooling, slope of a rectifier; L lanes; errors (O, F, 2, T),
    [..., 0, :] ASM and [..., 1, :] APX; accuracy (O, F, T); regrets (O, F, T), NaN for rectifiers.
    """
    T, S = blocks.shape
    N = basis.shape[0]
    x = np.empty((S, L))
    difference = np.empty((S, L))
    work = np.empty((S, L))
    f = np.empty((S, L))
    a = np.empty((S, L))
    parts = np.empty((2, 2, N // 2, N // 2, L))
    folded = np.empty((N, L))
    rows = np.empty((3, L))
    sums = np.empty((4, L))
    nothing = np.zeros(L)
    # Exact maxima and their places, for the windows of all pooling operations in a row.
    starts = np.zeros(windows.size + 1, np.int64)
    for o in range(windows.size):
        per_row = N // windows[o] if windows[o] else 0
        starts[o + 1] = starts[o] + per_row * per_row
    top = np.empty((starts[-1], L))
    at = np.empty((starts[-1], L))

    for first in range(0, T, L):
        count = min(L, T - first)
        _load(blocks, first, count, x)
        if coefficients.shape[0]:
            _load(coefficients, first, count, f)
            # Like `_forward`, of the block minus its first sample.
            for t in range(L):
                f[0, t] -= N * x[0, t]
        else:
            _forward(x, basis, difference, folded, work, f)
        for o in range(windows.size):
            for w in range(starts[o + 1] - starts[o]):
                z = starts[o] + w
                corner = _corner(w, N, windows[o])
                _choose(x, x, corner, N, windows[o], factors[o], top[z], rows[0], at[z])
        parts[:] = 0.0
        done = 0
        for n in range(kept.size):
            if kept[n] < S:
                while done < kept[n]:
                    _add_coefficient(f, order[done], basis, parts)
                    done += 1
                _assemble(parts[0, 0], parts[0, 1], parts[1, 0], parts[1, 1], a)
                level = x[0]
            else:
                # The block itself, without the rounding errors of two transforms.
                a[:] = x
                level = nothing
            for o in range(windows.size):
                sums[:] = 0.0
                size = starts[o + 1] - starts[o]
                if size:
                    z = starts[o]
                    _measure_pool(
                        a, level, x, N, windows[o], factors[o],
                        top[z : z + size], at[z : z + size], rows, sums,
                    )  # fmt: skip
                else:
                    size = S
                    _measure_rectifier(a, level, x, factors[o], sums[0], sums[1], sums[2])
                    sums[3] = np.nan
                _write(sums, size, first, count, errors[o, n], accuracy[o, n], regrets[o, n])


@njit(cache=True, nogil=True)
def forward(blocks, basis, L, coefficients):
    """Coefficients (T, S) of blocks (T, S)."""
    T, S = blocks.shape
    N = basis.shape[0]
    x = np.empty((S, L))
    difference = np.empty((S, L))
    work = np.empty((S, L))
    f = np.empty((S, L))
    folded = np.empty((N, L))
    for first in range(0, T, L):
        count = min(L, T - first)
        _load(blocks, first, count, x)
        _forward(x, basis, difference, folded, work, f)
        for t in range(count):
            f[0, t] += N * x[0, t]
        _store(f, first, count, coefficients)


@njit(cache=True, nogil=True)
def inverse(coefficients, basis, order, L, blocks):
    """Blocks (T, S) from the coefficients (T, S) which `order` lists, added in that order."""
    T, S = blocks.shape
    N = basis.shape[0]
    f = np.empty((S, L))
    a = np.empty((S, L))
    parts = np.empty((2, 2, N // 2, N // 2, L))
    for first in range(0, T, L):
        count = min(L, T - first)
        _load(coefficients, first, count, f)
        parts[:] = 0.0
        for c in order:
            _add_coefficient(f, c, basis, parts)
        _assemble(parts[0, 0], parts[0, 1], parts[1, 0], parts[1, 1], a)
        _store(a, first, count, blocks)
