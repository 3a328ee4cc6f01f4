"""What the kernel is measured against: other ways to the same numbers, and the operations it needs.

None of it shares code with `asm_core.kernels`; `benchmarks/run.py` checks that all agree.
"""

import ctypes
import math
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numba import njit

from asm_core import dct_basis
from asm_core.lanes import load, rows, spread, store
from asm_core.tracing import WIDTH, traced


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


@njit
def _loops(blocks, C, errors):
    T, N, _ = blocks.shape
    half, F, A = np.empty((N, N)), np.empty((N, N)), np.empty((N, N))
    for t in range(T):
        X = blocks[t]
        for u in range(N):
            for j in range(N):
                total = 0.0
                for i in range(N):
                    total += C[u, i] * X[i, j]
                half[u, j] = total
        for u in range(N):
            for v in range(N):
                total = 0.0
                for j in range(N):
                    total += half[u, j] * C[v, j]
                F[u, v] = total
        A[:] = 0.0
        for n in range(2 * N - 1):
            for u in range(max(0, n - N + 1), min(n, N - 1) + 1):
                for i in range(N):
                    row = C[u, i] * F[u, n - u]
                    for j in range(N):
                        A[i, j] += row * C[n - u, j]
            squares = 0.0
            for i in range(0, N, 2):
                for j in range(0, N, 2):
                    largest, chosen, exact = A[i, j], X[i, j], X[i, j]
                    for p in range(2):
                        for q in range(2):
                            if A[i + p, j + q] > largest:
                                largest, chosen = A[i + p, j + q], X[i + p, j + q]
                            exact = max(exact, X[i + p, j + q])
                    squares += (exact - chosen) ** 2
            errors[n, t] = math.sqrt(squares / (N // 2) ** 2)


def plain_numba(blocks):
    """Loops over one block after the other, as they are written in an hour."""
    errors = np.empty((2 * blocks.shape[1] - 1, len(blocks)))
    _loops(blocks, dct_basis(blocks.shape[1]), errors)
    return errors


def torch_rivals():
    """PyTorch on one thread, eager and compiled: functions of float64 blocks, or none."""
    try:
        import torch  # noqa: PLC0415
    except ImportError:
        return {}
    torch.set_num_threads(1)
    # One for each block size and batch.
    torch._dynamo.config.recompile_limit = 64

    def errors(X, C, images, kept):
        T, N = X.shape[:2]
        W = N * N // 4
        F = (C @ X @ C.T).reshape(T, N * N)
        windows = X.reshape(T, N // 2, 2, N // 2, 2).transpose(2, 3).reshape(T, W, 4)
        exact = windows.amax(2)
        A, found = torch.zeros((T, N * N), dtype=X.dtype), []
        for new in kept:
            A = A + F[:, new] @ images[new]
            place = A.reshape(T, W, 4).argmax(2, keepdim=True)
            loss = exact - windows.gather(2, place)[..., 0]
            found.append((loss * loss).mean(1).sqrt())
        return torch.stack(found)

    def run(function):
        def call(blocks):
            _, N, _, images, kept, _ = _prepared(blocks[:1], window_last=True)
            C = torch.from_numpy(np.array(dct_basis(N)))
            parts = [torch.from_numpy(new) for new in kept]
            with torch.no_grad():
                X = torch.from_numpy(blocks)
                return function(X, C, torch.from_numpy(images), parts).numpy()

        return call

    return {"PyTorch": run(errors), "torch.compile": run(torch.compile(errors, dynamic=False))}


def jax_rival():
    """JAX on one thread: a function of float64 blocks, or none."""
    try:
        import jax  # noqa: PLC0415
    except ImportError:
        return {}
    jax.config.update("jax_enable_x64", True)
    np_ = jax.numpy

    @jax.jit
    def errors(X):
        T, N, _ = X.shape
        _, _, _, images, kept, _ = _prepared(np.zeros((1, N, N)), window_last=True)
        C, W = np.array(dct_basis(N)), N * N // 4
        F = np_.einsum("ui,tij,vj->tuv", C, X, C).reshape(T, N * N)
        windows = X.reshape(T, N // 2, 2, N // 2, 2).transpose(0, 1, 3, 2, 4).reshape(T, W, 4)
        exact = windows.max(2)
        A, found = np_.zeros((T, N * N)), []
        for new in kept:
            A = A + F[:, new] @ images[new]
            place = A.reshape(T, W, 4).argmax(2, keepdims=True)
            loss = exact - np_.take_along_axis(windows, place, 2)[..., 0]
            found.append(np_.sqrt((loss * loss).mean(1)))
        return np_.stack(found)

    return {"JAX": lambda blocks: np.asarray(errors(blocks))}


def sketch_in_c(N):
    """`sketch.c` for N, a function of blocks, T a multiple of 8; None without a compiler."""
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None or N > 32:
        return None
    source = Path(__file__).with_name("sketch.c")
    options = [
        "-O3", "-march=native", "-ffp-contract=off", f"-DN={N}", "-shared", "-fPIC", "-w",
        "-Wno-psabi", "-lm",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "sketch.so"
        subprocess.run([compiler, source, *options, "-o", library], check=True)
        # Once loaded, its file is needed no more.
        measure = ctypes.CDLL(str(library)).measure
    C = np.array(dct_basis(N))

    def call(blocks):
        errors = np.empty((2 * N - 1, len(blocks)))
        given = [array.ctypes.data_as(ctypes.c_void_p) for array in (blocks, C, errors)]
        measure(ctypes.c_long(len(blocks)), *given)
        return errors

    return call


def operations(N, k=2):
    """Arithmetic that the algorithm needs for one trial, phase by phase.

    ASM max pooling with its mask accuracy and regret at all 2N - 1 frequencies of the triangle;
    additions, products, comparisons, choices, divisions and roots count one each, loads, stores and
    filled-up terms none.
    """
    S, H, W, F = N * N, N // 2, (N // k) ** 2, 2 * N - 1
    line = 4 * H + 2 * N * H + 3
    return {
        "take": 4 * S,
        "transform": 2 * N * line,
        "prepare": W * (k * k - 1) + 3 * S,
        "add": S * (H + 2 * H * H) + (F - 1) * 2 * H * H,
        "choose": (F - 1) * (S + W * (3 * (k * k - 1) + 6)),
        "write": F * 4,
    }


@traced(returns=8)
def _multiply_add(work, r, a, b, c, d, e, f, g, h):
    x, w = load(work, r), load(work, 16)
    return tuple(total * w + x for total in (a, b, c, d, e, f, g, h))


@traced(returns=0)
def _store_sum(work, a, b, c, d, e, f, g, h):
    store(work, 17, ((a + b) + (c + d)) + ((e + f) + (g + h)))


@njit(nogil=True)
def multiply_add(repeats, work):
    """`repeats` x 8 x 16 x WIDTH multiplications and additions, in eight independent sums."""
    for _ in range(repeats):
        a = b = c = d = e = f = g = h = spread(0.0)
        for r in range(16):
            a, b, c, d, e, f, g, h = _multiply_add(work, r, a, b, c, d, e, f, g, h)
        _store_sum(work, a, b, c, d, e, f, g, h)


def operations_a_second(seconds):
    """Rate of a plain compiled multiply-add loop; `seconds` times a call.

    The fastest of those tried: its numbers stay in registers, where a loop over an array in the
    first-level cache reaches half as much.
    """
    work, repeats = rows(18), 1 << 14
    work[:] = 0.5
    return repeats * 8 * 16 * WIDTH * 2 / seconds(lambda: multiply_add(repeats, work))
