"""ReLU and Leaky ReLU of an approximate block: which samples are kept, and what a wrong gate costs.

Letters as in `kernels.py`, which is made of these.  Four samples that mirror each other are gated
at a time; a table, looked up at every frequency, says what each gate would cost.
"""

from asm_core.lanes import choose, load, spread, store, tally
from asm_core.totals import Differences
from asm_core.tracing import Variable, loop, traced
from asm_core.transforms import corners, mirrored


@traced(returns=0)
def prepare_gates(work, x, tie, H, slope, costs):
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
def gate(work, planes, tie, x, H, E, costs):
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
def compare_rectified(work, planes, x, H, E, slope, costs, shift):
    """Differences of rectified approximate samples and exact ones, as `Differences` has them."""
    zero, level, differences = spread(0.0), load(work, x), Differences(work, shift)
    for i in loop(H):
        for j in loop(H):
            at = (i * H + j) * 12 + costs
            for place, sample in enumerate(mirrored(work, (i * E + j) * 4 + planes)):
                whole = sample + level
                rectified = choose(whole > zero, whole, spread(slope) * whole)
                differences.add(rectified - load(work, at + (place + 8)))
    return differences.values
