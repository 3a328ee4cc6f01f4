"""Where the kernel's time goes: each of its parts alone, on the working set of one group."""

import numpy as np
from numba import njit

from asm_core import frequency_rank, kernels, poolings, transforms
from asm_core.dct import basis_of
from asm_core.lanes import put, rows, spread
from asm_core.sources import uniform
from asm_core.steps import steps_of
from asm_core.tracing import WIDTH


@njit(nogil=True)
def _take(repeats, blocks, S, work, x):
    for _ in range(repeats):
        transforms.take_group(blocks, 0, S, work, x)


@njit(nogil=True)
def _transform(repeats, work, x, basis, N, folded, spare, zero, f):
    for _ in range(repeats):
        transforms.to_coefficients(work, x, basis, N // 2, N * basis[0, 0], folded, spare, zero, f)


@njit(nogil=True)
def _prepare(repeats, work, x, tie, H, losses, extremes):
    for _ in range(repeats):
        poolings.prepare_tiles(work, x, tie, H, 1.0, losses, extremes)


@njit(nogil=True)
def _add(repeats, work, f, terms, stops, basis, E, quadrants, planes):
    for _ in range(repeats):
        transforms.clear(work, quadrants, 8 * E * E)
        for n in range(len(stops) - 1):
            transforms.add_step(work, f, terms, stops, n, basis, E, quadrants, planes)


@njit(nogil=True)
def _choose(repeats, F, work, planes, tie, H, losses, out):
    for r in range(repeats):
        for n in range(F - 1):
            squares, regret, right = poolings.choose_largest(work, planes, tie, H, losses, losses)
            put(out, (r + n) % 8 * WIDTH, kernels._sum(kernels._sum(squares, regret), right))


@njit(nogil=True)
def _write(repeats, F, work, shares, out):
    total = spread(0.5)
    for _ in range(repeats):
        for n in range(F):
            put(out, 3 * n * WIDTH, kernels._root_mean(total, shares[0], 1.0))
            put(out, (3 * n + 1) * WIDTH, kernels._share_of(total, shares, 0))
            put(out, (3 * n + 2) * WIDTH, kernels._mean(total, shares, 0))


def phases(N, seconds):
    """Microseconds a trial of every part of ASM max pooling at all 2N - 1 frequencies."""
    S, H, F, repeats = N * N, N // 2, 2 * N - 1, max(16, (1 << 20) // N**4)
    basis = basis_of(N)
    steps = steps_of(N, frequency_rank(N).tobytes(), tuple(range(F)))
    tie, folded = 0, 1
    x = folded + 2 * N
    f = x + S
    zero = f + S
    spare = zero + 1
    quadrants = spare + S
    planes = quadrants + S
    losses = planes + S
    work, out = rows(losses + 2 * S), np.empty(3 * F * WIDTH)
    work[:] = np.random.default_rng(0).random(work.shape)
    work[zero] = 0.0
    blocks = uniform(0, N, 0, WIDTH).reshape(WIDTH, S)
    each = {
        "take": lambda: _take(repeats, blocks, S, work, x),
        "transform": lambda: _transform(repeats, work, x, basis, N, folded, spare, zero, f),
        "prepare": lambda: _prepare(repeats, work, x, tie, H, losses, losses + S),
        "add": lambda: _add(
            repeats, work, f, steps.terms, steps.stops, basis, H, quadrants, planes
        ),
        "choose": lambda: _choose(repeats, F, work, planes, tie, H, losses, out),
        "write": lambda: _write(repeats, F, work, np.array([1 / 16]), out),
    }
    return {
        name: 1e6 * time / repeats / WIDTH
        for name, time in ((k, seconds(v)) for k, v in each.items())
    }
