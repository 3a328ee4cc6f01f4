"""Compiled loops of the DCT: blocks -> coefficients, and sums of basis images -> blocks.

Letters as in `kernels.py`, which is made of these; helpers are inlined there.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from asm_core.compiled import compiled
from asm_core.lanes import WIDTH, gather, load, spread, store

# Coefficients that are added to the reconstruction at a time: a row of it is then loaded and stored
# once for two products, and not for each.  Four at a time took 8 % longer at N = 4 and 8, where
# most are fillings, and 6 to 14 % less from N = 16 on.
TERMS = 2


def flat(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Blocks (..., N, N) as (T, S), in the memory layout that kernels are compiled for."""
    samples = blocks.shape[-1] ** 2
    return np.require(blocks.reshape(-1, samples), requirements=("C", "A", "W"))


@njit(nogil=True, forceinline=True)
def take_group(values, first, work, x):
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
def put_group(work, x, first, values):
    """Transpose lanes back into a group of trials; those beyond the last trial are left out."""
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
def to_coefficients(work, x, basis, N, folded, spare, f):
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
def clear(work, x, count):
    """Set rows to 0."""
    for s in range(count):
        store(work, x + s, spread(0.0))


@njit(nogil=True, forceinline=True)
def add_terms(work, f, terms, term, basis, N, parts):
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
def assemble(work, parts, N, a):
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


@compiled
def forward(blocks, basis, work, coefficients):
    """Coefficients (T, S) of blocks (T, S); work (3 S + N) rows."""
    T, S = blocks.shape
    N = basis.shape[0]
    x, f, spare, folded = 0, S, 2 * S, 3 * S
    for first in range(0, T, WIDTH):
        take_group(blocks, first, work, x)
        to_coefficients(work, x, basis, N, folded, spare, f)
        store(work, f, load(work, f) + spread(float(N)) * load(work, x))
        put_group(work, f, first, coefficients)


@compiled
def inverse(coefficients, basis, terms, work, blocks):
    """Blocks (T, S) from those coefficients (T, S) that `terms` lists; work (3 S + 1) rows."""
    T, S = blocks.shape
    N = basis.shape[0]
    parts, a, f = 0, S, 2 * S
    store(work, f + S, spread(0.0))
    for first in range(0, T, WIDTH):
        take_group(coefficients, first, work, f)
        clear(work, parts, S)
        for term in range(0, len(terms), TERMS):
            add_terms(work, f, terms, term, basis, N, parts)
        assemble(work, parts, N, a)
        put_group(work, a, first, blocks)
