"""Max and min pooling of an approximate block: which sample a window has chosen, what that loses.

Letters as in `kernels.py`, which is made of these.  A table, looked up at every frequency, says of
each sample of each window what choosing it would lose.
"""

import numpy as np
from numba.extending import register_jitable

from asm_core.lanes import choose, larger, load, spread, store
from asm_core.totals import Chosen, Differences
from asm_core.tracing import Variable, loop, traced
from asm_core.transforms import corners


@register_jitable
def in_tiles(k, H):
    """Whether windows of side k are taken from the planes, four at a time: 2 x 2, none across."""
    return k == 2 and H % 2 == 0


# 2 x 2 windows, four at a time: those of a tile of 2 x 2 samples of a quadrant, and of its mirror
# images.  In row-major order a window has these samples of the tile: top left, top right, bottom
# left, bottom right.
_MIRRORED = ((0, 1, 2, 3), (1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0))
# The mirror images whose samples are made of the same two planes.
_PLANES = ((0, (0, 3)), (1, (2, 1)))


@traced(returns=0)
def prepare_tiles(work, x, tie, H, sign, losses, extremes):
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


def _choosing(sign, keeps):
    """A choice of the largest samples or of the smallest ones, without products with a sign."""

    @traced(returns=3, split=True)
    def choose_in_tiles(work, planes, tie, H, losses, found):
        """Sums of squared losses and of losses, and right choices; extremes from `found` on."""
        near, chosen = load(work, tie), Chosen(work)
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
choose_largest, choose_largest_kept = _choosing(1, False), _choosing(1, True)
choose_smallest_kept = _choosing(-1, True)


# Windows of any size, one after the other.


def _largest_in(work, corner, N, k, sign):
    best = Variable(work, spread(-np.inf))
    for p in loop(k):
        for q in loop(k):
            best.value = larger(best.value, load(work, p * N + corner + q) * sign)
    return best.value


@traced(returns=0)
def prepare_windows(work, x, tie, k, across, sign, losses, extremes):
    """As `prepare_tiles`, window by window in row-major order."""
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
def choose_in_windows(work, a, tie, k, across, sign, losses, found):
    """As `choose_in_tiles`, of the approximate block `a`."""
    near, sign, N, chosen = load(work, tie), spread(sign), k * across, Chosen(work)
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


@traced(returns=3)
def compare_pooled(work, exact, found, W, sign, shift):
    """Differences of the extremes from `found` on and the exact ones, as `Differences` has them."""
    differences = Differences(work, shift)
    for w in loop(W):
        differences.add(spread(sign) * (load(work, found + w) - load(work, exact + w)))
    return differences.values
