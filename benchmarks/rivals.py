"""What the kernel is measured against: other ways to the same numbers, and the operations it needs.

None of it shares code with `asm_core.kernels`; `benchmarks/kernel.py` checks that all agree.
"""

import math

import numpy as np
from numba import njit

from asm_core import dct_basis
from asm_core.lanes import WIDTH, load, rows, spread, store


def notebook(block, n):
    """ASM max pooling error of one block at n frequencies, in nested loops from the definitions.

    As the notebook has it: each call transforms the block anew, keeps what n frequencies keep,
    transforms back, makes the local maximum mask and applies it.
    """
    N = len(block)
    C = dct_basis(N)
    F = np.zeros((N, N))
    for u in range(N):
        for v in range(N):
            if u + v <= n:
                for i in range(N):
                    for j in range(N):
                        F[u, v] += C[u, i] * C[v, j] * block[i, j]
    A = np.zeros((N, N))
    for i in range(N):
        for j in range(N):
            for u in range(N):
                for v in range(N):
                    if u + v <= n:
                        A[i, j] += C[u, i] * C[v, j] * F[u, v]
    total = 0.0
    for a in range(0, N, 2):
        for b in range(0, N, 2):
            chosen, exact = (a, b), block[a, b]
            for i in (a, a + 1):
                for j in (b, b + 1):
                    if A[i, j] > A[chosen]:
                        chosen = (i, j)
                    exact = max(exact, block[i, j])
            total += (block[chosen] - exact) ** 2
    return math.sqrt(total / (N // 2) ** 2)


def numpy_argmax(blocks):
    """Errors (2N - 1, T): one matrix product for each frequency that is new, argmax over windows.

    Samples are kept in the order of their windows, so that nothing is transposed on the way.
    """
    T, N, F, images, kept, order = _prepared(blocks, window_last=True)
    W = N * N // 4
    X = blocks.reshape(T, N * N)[:, order].reshape(T * W, 4)
    exact, first = X.max(axis=1), 4 * np.arange(T * W)
    A = np.zeros((T, N * N))
    errors = np.empty((2 * N - 1, T))
    for n, new in enumerate(kept):
        A += F[:, new] @ images[new]
        loss = exact - X.ravel()[first + A.reshape(T * W, 4).argmax(axis=1)]
        errors[n] = np.sqrt((loss * loss).reshape(T, W).mean(axis=1))
    return errors


def numpy_compare(blocks):
    """The same with trials last, and comparisons and choices in place of argmax: faster."""
    T, N, F, images, kept, order = _prepared(blocks, window_last=False)
    W = N * N // 4
    X = np.ascontiguousarray(blocks.reshape(T, N * N)[:, order].T).reshape(4, W, T)
    F, images = np.ascontiguousarray(F.T), np.ascontiguousarray(images.T)
    exact = X.max(axis=0)
    A = np.zeros((N * N, T))
    errors = np.empty((2 * N - 1, T))
    for n, new in enumerate(kept):
        A += images[:, new] @ F[new]
        a = A.reshape(4, W, T)
        upper = np.where(a[1] > a[0], X[1], X[0])
        lower = np.where(a[3] > a[2], X[3], X[2])
        below = np.maximum(a[2], a[3]) > np.maximum(a[0], a[1])
        loss = exact - np.where(below, lower, upper)
        errors[n] = np.sqrt(np.einsum("wt,wt->t", loss, loss) / W)
    return errors


def _prepared(blocks, window_last):
    T, N, _ = blocks.shape
    C = dct_basis(N)
    corners = np.arange(N * N).reshape(N // 2, 2, N // 2, 2)
    order = corners.transpose((0, 2, 1, 3) if window_last else (1, 3, 0, 2)).ravel()
    images = np.einsum("ui,vj->uvij", C, C).reshape(N * N, N * N)[:, order]
    rank = np.add.outer(np.arange(N), np.arange(N)).ravel()
    F = (C @ blocks @ C.T).reshape(T, N * N)
    return T, N, F, images, [np.flatnonzero(rank == n) for n in range(2 * N - 1)], order


def operations(N, k=2):
    """Arithmetic that the algorithm needs for one trial, phase by phase.

    ASM max pooling with its mask accuracy and regret at all 2N - 1 frequencies of the triangle;
    additions, products, comparisons, choices, divisions and roots count one each, loads, stores and
    filled-up terms none.
    """
    S, H, W, F = N * N, N // 2, (N // k) ** 2, 2 * N - 1
    line = 4 * H + N * (2 * H - 1) + 2
    window = 3 * (k * k - 1) + 5
    return {
        "transform": S + 2 * N * line,
        "extremes": 2 * W * (k * k - 1) + S,
        "reconstruct": S * (H + 2 * H * H),
        "assemble": (F - 1) * 8 * H * H,
        "measure": F * W * window,
        "write": F * 3,
    }


@njit(nogil=True)
def multiply_add(repeats, work):
    """`repeats` x 8 x 16 x WIDTH multiplications and additions, in eight independent sums."""
    for _ in range(repeats):
        a = b = c = d = e = f = g = h = spread(0.0)
        for r in range(16):
            x, w = load(work, r), load(work, 16)
            a, b, c, d = a * w + x, b * w + x, c * w + x, d * w + x
            e, f, g, h = e * w + x, f * w + x, g * w + x, h * w + x
        store(work, 17, ((a + b) + (c + d)) + ((e + f) + (g + h)))


def operations_a_second(seconds):
    """Rate of a plain compiled multiply-add loop; `seconds` times a call.

    The fastest of those tried: its numbers stay in registers, where a loop over an array in the
    first-level cache reaches half as much.
    """
    work, repeats = rows(18), 1 << 14
    work[:] = 0.5
    return repeats * 8 * 16 * WIDTH * 2 / seconds(lambda: multiply_add(repeats, work))
