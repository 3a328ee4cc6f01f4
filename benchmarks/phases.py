"""Where the kernel's time goes: each of its helpers alone, on the working set of one group."""

import numpy as np
from numba import njit

from asm_core import frequency_rank, kernels
from asm_core.dct import basis_of, coefficient_terms
from asm_core.frequencies import coefficient_order
from asm_core.lanes import WIDTH, load, put, rows, spread, sqrt, store
from asm_core.transforms import TERMS, add_terms, assemble, clear, take_group, to_coefficients


@njit(nogil=True)
def _transform(half, repeats, blocks, basis, work, x, f, spare, folded):
    for r in range(repeats):
        take_group(blocks, r % 16 * WIDTH, work, x)
        to_coefficients(work, x, basis, 2 * len(half), folded, spare, f)


@njit(nogil=True)
def _extremes(half, repeats, work, x, tie, top, losses):
    N = 2 * len(half)
    for _ in range(repeats):
        kernels._find_contrast(work, x, N * N, tie)
        kernels._find_extremes(work, x, tie, N, 2, 1.0, top, losses)


@njit(nogil=True)
def _reconstruct(half, repeats, work, f, terms, basis, parts):
    N = 2 * len(half)
    for _ in range(repeats):
        clear(work, parts, N * N)
        for term in range(0, len(terms), TERMS):
            add_terms(work, f, terms, term, basis, N, parts)


@njit(nogil=True)
def _assemble(half, repeats, work, parts, a):
    for _ in range(repeats):
        assemble(work, parts, 2 * len(half), a)


@njit(nogil=True)
def _measure(half, repeats, work, a, tie, top, losses, out):
    level, zero = load(work, a), spread(0.0)
    for _ in range(repeats):
        squares, _, _, _, regret, excess = kernels._measure_any_pool(
            work, a, level, tie, 2 * len(half), 2, 1.0, top, losses, False, False, zero
        )
        store(work, out, squares + regret + excess)


@njit(nogil=True)
def _write(repeats, work, a, errors):
    for r in range(repeats):
        put(errors, r % 64 * WIDTH, sqrt(load(work, a + r % 8) / spread(16.0)))


def phases(N, seconds):
    """Microseconds a trial of every phase of ASM max pooling at all 2N - 1 frequencies."""
    S, F, repeats = N * N, 2 * N - 1, max(16, (1 << 20) // N**4)
    half, basis = kernels.half_of(N), basis_of(N)
    order = coefficient_order(frequency_rank(N))
    kept = [int((frequency_rank(N) <= n).sum()) for n in range(F)]
    terms, _ = coefficient_terms(N, order, kept)
    x, parts, a, f = 0, S, 2 * S, 3 * S
    folded = f + S + 1
    tie = folded + N
    top = tie + 1
    losses = top + S // 4
    work, errors = rows(losses + S + 1), np.empty(64 * WIDTH)
    work[:] = np.random.default_rng(0).random(work.shape)
    blocks = np.random.default_rng(1).random((16 * WIDTH, S))
    each = {
        "transform": lambda: _transform(half, repeats, blocks, basis, work, x, f, parts, folded),
        "extremes": lambda: _extremes(half, repeats, work, x, tie, top, losses),
        "reconstruct": lambda: _reconstruct(half, repeats, work, f, terms, basis, parts),
        "assemble": lambda: _assemble(half, repeats * (F - 1), work, parts, a),
        "measure": lambda: _measure(half, repeats * F, work, a, tie, top, losses, losses + S),
        "write": lambda: _write(repeats * F, work, a, errors),
    }
    return {
        name: 1e6 * time / repeats / WIDTH
        for name, time in ((k, seconds(v)) for k, v in each.items())
    }
