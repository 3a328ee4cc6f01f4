"""Compiled loops of the DCT: blocks -> coefficients, and sums of basis images -> blocks.

Letters as in `kernels.py`, which is made of these.
"""

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from asm_core.compiled import compiled
from asm_core.lanes import (
    choose,
    gather,
    integer,
    larger,
    lesser,
    load,
    rows,
    scatter,
    spread,
    spread_of,
    store,
)
from asm_core.tracing import WIDTH, Variable, loop, traced

# Coefficients that are added to the reconstruction at a time: a row of it is then loaded and stored
# once for two products, and not for each.
TERMS = 2
# Parities of (u, v) in the order of the quadrants: the two that make up a pair of planes in turn.
PARITIES = ((0, 0), (1, 1), (0, 1), (1, 0))


def flat(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Blocks (..., N, N) as kernels take them: (T, S), with zeros up to whole groups."""
    samples = blocks.shape[-1] ** 2
    trials = blocks.reshape(-1, samples)
    rest = -len(trials) % WIDTH
    if rest:
        trials = np.concatenate([trials, np.zeros((rest, samples))])
    return np.require(trials, requirements=("C", "A", "W"))


@register_jitable
def quadrant_side(size: int) -> int:
    """E, the side of a quadrant in the working set: N / 2, made even."""
    return (size + 3) // 4 * 2


@traced(returns=3)
def take_group(values, first, S, work, x):
    """Transpose a group of trials into lanes.

    Returns 0 where all are finite, else NaN (as good as numpy.isfinite, in a quarter of its time),
    and the smallest and the largest value.
    """
    doubt = Variable(work, spread(0.0))
    lowest, highest = Variable(work, spread(np.inf)), Variable(work, spread(-np.inf))
    for s in loop(S):
        value = gather(values, first * S + s, S)
        store(work, x + s, value)
        doubt.add(value - value)
        lowest.value = choose(lowest.value > value, value, lowest.value)
        highest.value = larger(highest.value, value)
    return doubt.value, lowest.value, highest.value


@traced(returns=0)
def put_group(work, x, first, S, values):
    """Transpose lanes back into a group of trials."""
    for s in loop(S):
        scatter(values, first * S + s, S, load(work, x + s))


@traced(returns=0)
def clear(work, x, count):
    """Set rows to 0."""
    for s in loop(count):
        store(work, x + s, spread(0.0))


@traced(returns=0)
def add_level(work, f, factor, level, reference):
    """Add factor * (level - reference) to a coefficient."""
    level = load(work, level) - load(work, reference)
    store(work, f, load(work, f) + spread(factor) * level)


def _add_products(sums, basis, left, right, upper, lower):
    """Add the products of two rows with two cosines to four sums."""
    left, right = spread_of(basis, left), spread_of(basis, right)
    products = left * upper, right * upper, left * lower, right * lower
    for total, product in zip(sums, products, strict=True):
        total.add(product)


@traced(returns=0)
def to_coefficients(work, x, basis, H, weight, folded, spare, zero, f):
    """f = DCT coefficients of x minus its first sample.

    A constant block so has coefficients of exactly 0, and ties stay ties at every frequency;
    rounding is relative to the contrast of a block and not to its level.  `weight` is N C[0, 0],
    `zero` a row of zeros; `folded` has 2 N rows.
    """
    N = H + H
    for axis in loop(2):
        stride, step = axis * (N - 1) + 1, N - axis * (N - 1)
        source, target = axis * (spare - x) + x, axis * (f - spare) + spare
        reference = axis * (zero - x) + x
        _transform_axis(work, source, reference, basis, H, weight, stride, step, folded, target)


def _transform_axis(work, x, reference, basis, H, weight, stride, step, folded, f):
    """f = the one-dimensional DCT of x minus reference, along the axis with this stride of rows.

    Cosines are even or odd about the middle of the block, so even coefficients see only sums of
    mirrored samples and odd ones only differences: half of the products.  Sums are taken relative
    to the first sample of the line, so that a constant line has coefficients of exactly 0 and the
    ties of a block that is constant along its rows or columns stay ties.  Two lines and two
    coefficients of one parity at a time.
    """
    N = H + H
    for k in loop(0, N, 2):
        for column in (0, 1):
            line = (k + column) * step + x
            level = load(work, line)
            for i in loop(H):
                near, far = load(work, line + i * stride), load(work, line + (N - 1 - i) * stride)
                place = folded + i * 2 + column
                store(work, place, (near - level) + (far - level))
                store(work, place + N, near - far)
        out = k * step + f
        for parity in loop(2):
            for u in loop(parity, N, 4):
                # The last one twice, where they are odd in number.
                v = lesser(u + 2, parity + N - 2)
                sums = [Variable(work, spread(0.0)) for _ in range(4)]
                for i in loop(H):
                    place = parity * N + folded + i * 2
                    pair = load(work, place), load(work, place + 1)
                    _add_products(sums, basis, u * N + i, v * N + i, *pair)
                places = u * stride, v * stride, u * stride + step, v * stride + step
                for place, total in zip(places, sums, strict=True):
                    store(work, out + place, total.value)
        for column in (0, 1):
            add_level(work, out + step * column, weight, (k + column) * step + x, reference)


@traced(returns=0)
def add_step(work, f, terms, stops, n, basis, E, quadrants, planes):
    """Add the coefficients of step n to the block as it is made up.

    A basis image is its top left quadrant, mirrored with the signs (-1)^u and (-1)^v: a quarter of
    the products.  `quadrants` has, one after the other, the sums of those with even u and v (ee),
    odd u and v (oo), even u and odd v (eo), odd u and even v (oe), each E * E rows; `planes` for
    each sample of a quadrant p = ee + oo, m = ee - oo, q = eo + oe and r = eo - oe.  The samples
    that mirror each other are p + q, m - r, m + r and p - q, and a diagonal u + v = n touches but
    one pair of planes: six additions for four samples, in place of eight.
    """
    for pair in loop(2):
        begin, end = (integer(stops, n * 3 + pair + k) for k in (0, 1))
        for t in loop(begin, end, TERMS):
            _add_terms(work, f, terms, t * 4, basis, E, quadrants)
        first, plane = pair * E * E * 2 + quadrants, planes + pair * 2
        for _ in loop(lesser(end - begin, 1)):
            for s in loop(E * E):
                sums = load(work, first + s), load(work, first + E * E + s)
                store(work, plane + s * 4, sums[0] + sums[1])
                store(work, plane + s * 4 + 1, sums[0] - sums[1])


def _add_terms(work, f, terms, t, basis, E, quadrants):
    """Add two coefficients of the same parities to their quadrant, 2 x 2 samples at a time."""
    (c0, u0, v0, quadrant), (c1, u1, v1, _) = (
        [integer(terms, t + 4 * k + m) for m in range(4)] for k in (0, 1)
    )
    f0, f1 = load(work, f + c0), load(work, f + c1)
    for i in loop(0, E, 2):
        rows = [
            (spread_of(basis, u0 + i + m) * f0, spread_of(basis, u1 + i + m) * f1) for m in (0, 1)
        ]
        for j in loop(0, E, 2):
            corner = quadrant + quadrants + i * E + j
            for column in (0, 1):
                left, right = spread_of(basis, v0 + j + column), spread_of(basis, v1 + j + column)
                for place, (first, second) in zip(
                    (corner + column, corner + E + column), rows, strict=True
                ):
                    store(work, place, (load(work, place) + left * first) + right * second)


def corners(first, across, down):
    """Four places that mirror each other, in the order of `mirrored`."""
    return first, first + across, first + down, first + down + across


def mirrored(work, plane):
    """Four samples that mirror each other: top left, top right, bottom left, bottom right."""
    p, m, q, r = (load(work, plane + k) for k in range(4))
    return p + q, m - r, m + r, p - q


@traced(returns=0)
def assemble(work, planes, H, E, a):
    """a (S rows) = the approximate block, from its planes."""
    N = H + H
    for i in loop(H):
        for j in loop(H):
            places = corners(i * N + a + j, N - 1 - j - j, (N - 1 - i - i) * N)
            samples = mirrored(work, (i * E + j) * 4 + planes)
            for place, sample in zip(places, samples, strict=True):
                store(work, place, sample)


def forward_scratch(size: int) -> NDArray[np.float64]:
    """Rows for the working set of `forward`."""
    return rows(3 * size * size + 2 * size + 1)


@compiled
def forward(blocks, basis, work, coefficients):
    """Coefficients (T, S) of blocks (T, S), T whole groups; work as of `forward_scratch`."""
    T, S = blocks.shape
    N = basis.shape[0]
    folded, x, f, spare, zero = 0, 2 * N, 2 * N + S, 2 * N + 2 * S, 2 * N + 3 * S
    store(work, zero, spread(0.0))
    for first in range(0, T, WIDTH):
        take_group(blocks, first, S, work, x)
        to_coefficients(work, x, basis, N // 2, N * basis[0, 0], folded, spare, zero, f)
        add_level(work, f, float(N), x, zero)
        put_group(work, f, first, S, coefficients)


def inverse_scratch(size: int) -> NDArray[np.float64]:
    """Rows for the working set of `inverse`."""
    return rows(2 * size * size + 1 + 8 * quadrant_side(size) ** 2)


@compiled
def inverse(coefficients, basis, terms, stops, work, blocks):
    """Blocks (T, S) from the coefficients (T, S) of one step; work as of `inverse_scratch`."""
    T, S = blocks.shape
    N = basis.shape[0]
    E = quadrant_side(N)
    a, f, quadrants = 0, S, 2 * S + 1
    planes = quadrants + 4 * E * E
    # A coefficient of 0 follows the others.
    store(work, f + S, spread(0.0))
    for first in range(0, T, WIDTH):
        take_group(coefficients, first, S, work, f)
        clear(work, quadrants, 8 * E * E)
        add_step(work, f, terms, stops, 0, basis, E, quadrants, planes)
        assemble(work, planes, N // 2, E, a)
        put_group(work, a, first, S, blocks)
