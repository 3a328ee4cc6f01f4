"""Slow and obvious: every definition as nested loops, importing nothing of ours."""

import math
from functools import cache

import mpmath
import numpy as np
import scipy.optimize
import scipy.stats


def dct_basis(N):
    """C[u, i] = sqrt(2/N) a(u) cos((2i + 1) u pi / 2N), a(0) = 1/sqrt(2)."""
    C = np.zeros((N, N))
    for u in range(N):
        a = 1 / math.sqrt(2) if u == 0 else 1.0
        for i in range(N):
            C[u, i] = math.sqrt(2 / N) * a * math.cos((2 * i + 1) * u * math.pi / (2 * N))
    return C


def dct(X):
    N = len(X)
    C = dct_basis(N)
    F = np.zeros((N, N))
    for u in range(N):
        for v in range(N):
            total = 0.0
            for i in range(N):
                for j in range(N):
                    total += C[u, i] * C[v, j] * X[i, j]
            F[u, v] = total
    return F


def inverse(F):
    N = len(F)
    C = dct_basis(N)
    X = np.zeros((N, N))
    for u in range(N):
        for v in range(N):
            X += F[u, v] * np.outer(C[u], C[v])
    return X


def zigzag(N):
    """(u, v) in the order in which JPEG walks through a block: like a diagonal snake."""
    u = v = 0
    upwards = True
    walk = []
    while len(walk) < N * N:
        walk.append((u, v))
        if upwards:
            if v == N - 1:
                u, upwards = u + 1, False
            elif u == 0:
                v, upwards = v + 1, False
            else:
                u, v = u - 1, v + 1
        elif u == N - 1:
            v, upwards = v + 1, True
        elif v == 0:
            u, upwards = u + 1, True
        else:
            u, v = u + 1, v - 1
    return walk


def energies(N, rho):
    """Expected squares of the coefficients of a block of covariance rho^(|i-i'| + |j-j'|)."""
    C = dct_basis(N)
    line = np.zeros(N)
    for u in range(N):
        for i in range(N):
            for k in range(N):
                line[u] += C[u, i] * rho ** abs(i - k) * C[u, k]
    return np.outer(line, line)


def kept(N, n, selection, rho=0.95):
    """Whether n frequencies keep (u, v)."""
    if selection == "zigzag":
        return [[(u, v) in zigzag(N)[: n + 1] for v in range(N)] for u in range(N)]
    if selection == "energy":
        # Of (u, v) and (v, u), which have the same energy, the one in the higher row first.
        energy = energies(N, rho).round(10)
        places = [(-energy[u, v], u, v) for u in range(N) for v in range(N)]
        first = [(u, v) for _, u, v in sorted(places)[: n + 1]]
        return [[(u, v) in first for v in range(N)] for u in range(N)]
    rank = {"triangle": lambda u, v: u + v, "square": max}[selection]
    return [[rank(u, v) <= n for v in range(N)] for u in range(N)]


def approximate(F, n, selection="triangle"):
    """The sum of the kept basis images; the DC first, so that n = 0 is constant."""
    return inverse(np.where(kept(len(F), n, selection), F, 0.0))


# What exact arithmetic calls a tie: 10^-40 is far above the rounding of DIGITS decimals, and far
# below any other difference of the samples that tests have.
DIGITS, EXACT_TIE = 60, 1e-40


@cache
def exact_basis(N):
    """`dct_basis` to DIGITS decimals."""
    with mpmath.workdps(DIGITS):
        return np.array([[mpmath.sqrt(mpmath.mpf(1 if u == 0 else 2) / N)
                          * mpmath.cos(mpmath.pi * (2 * i + 1) * u / (2 * N))
                          for i in range(N)] for u in range(N)], dtype=object)  # fmt: skip


def exact_inverse(F, n, selection="triangle"):
    """What n frequencies keep of integer coefficients, to DIGITS decimals."""
    C = exact_basis(len(F))
    with mpmath.workdps(DIGITS):
        return C.T.dot(F * np.array(kept(len(F), n, selection), dtype=int)).dot(C)


def exact_approximate(X, n, selection="triangle"):
    """The approximate block of integers, to DIGITS decimals: equal samples differ by 1e-58."""
    C = exact_basis(len(X))
    with mpmath.workdps(DIGITS):
        F = C.dot(X.astype(int).astype(object)).dot(C.T)
    return exact_inverse(F, n, selection)


def window_argmax(X, a, b, k, tie=0):
    """(row, column) of the first sample of window (a, b) that ties with the largest."""
    places = [(i, j) for i in range(a * k, a * k + k) for j in range(b * k, b * k + k)]
    largest = max(X[place] for place in places)
    return next(place for place in places if largest - X[place] <= tie)


def local_maximum_mask(X, k, tie=0):
    mask = np.zeros(X.shape, dtype=int)
    for a in range(len(X) // k):
        for b in range(len(X) // k):
            mask[window_argmax(X, a, b, k, tie)] = 1
    return mask


def nonnegative_mask(X, tie=0):
    mask = np.zeros(X.shape, dtype=int)
    for i in range(len(X)):
        for j in range(len(X)):
            mask[i, j] = 1 if X[i, j] > tie else 0
    return mask


def max_pool(X, k):
    M = len(X) // k
    pooled = np.zeros((M, M))
    for a in range(M):
        for b in range(M):
            pooled[a, b] = X[window_argmax(X, a, b, k)]
    return pooled


def masked_max_pool(X, mask, k):
    M = len(X) // k
    pooled = np.zeros((M, M))
    for i in range(len(X)):
        for j in range(len(X)):
            pooled[i // k, j // k] += X[i, j] * mask[i, j]
    return pooled


def relu(X):
    result = np.zeros(X.shape)
    for i in range(len(X)):
        for j in range(len(X)):
            result[i, j] = X[i, j] if X[i, j] > 0 else 0.0
    return result


def rmse(a, b):
    total = 0.0
    for x, y in zip(np.ravel(a), np.ravel(b), strict=True):
        total += (x - y) ** 2
    return math.sqrt(total / np.size(a))


def leaky_relu(X, slope):
    result = np.zeros(X.shape)
    for i in range(len(X)):
        for j in range(len(X)):
            result[i, j] = X[i, j] if X[i, j] > 0 else slope * X[i, j]
    return result


def error(X, A, operation, algorithm, k=2, slope=0.01, tie=0, offset=0.0):
    """Error of one trial, given the approximate block A; `offset` is added to the result of APX."""
    if operation == "max_pool":
        exact = max_pool(X, k)
        if algorithm == "asm":
            return rmse(masked_max_pool(X, local_maximum_mask(A, k, tie), k), exact)
        return rmse(max_pool(A, k) + offset, exact)
    if operation == "min_pool":
        # The smallest is the largest of the opposites.
        return error(-X, -A, "max_pool", algorithm, k, slope, tie, -offset)
    slope = slope if operation == "leaky_relu" else 0.0
    exact = leaky_relu(X, slope)
    if algorithm == "asm":
        mask = nonnegative_mask(A, tie)
        return rmse(X * mask + slope * X * (1 - mask), exact)
    return rmse(leaky_relu(A, slope) + offset, exact)


def mask_accuracy(X, A, operation, k=2, tie=0):
    """By value: a window is right where the chosen sample equals the largest."""
    if operation == "min_pool":
        return mask_accuracy(-X, -A, "max_pool", k, tie)
    if operation == "max_pool":
        M = len(X) // k
        right = [
            X[window_argmax(X, a, b, k)] - X[window_argmax(A, a, b, k, tie)] <= tie
            for a in range(M)
            for b in range(M)
        ]
        return sum(right) / len(right)
    return float((nonnegative_mask(X, tie) == nonnegative_mask(A, tie)).mean())


def regret(X, A, operation, k=2, tie=0):
    """Mean over windows of the exact extreme minus the sample chosen, as a distance."""
    if operation == "min_pool":
        return regret(-X, -A, "max_pool", k, tie)
    M = len(X) // k
    losses = [
        X[window_argmax(X, a, b, k)] - X[window_argmax(A, a, b, k, tie)]
        for a in range(M)
        for b in range(M)
    ]
    return sum(losses) / len(losses)


def half_spatial_tensor(N):
    C = dct_basis(N)
    H = np.zeros((N,) * 6)
    for a, b, i, j, u, v in np.ndindex(H.shape):
        H[a, b, i, j, u, v] = C[a, i] * C[b, j] * C[u, i] * C[v, j]
    return H


def apply_mask(F, G):
    """F'[a, b] = sum_ij G[i, j] sum_uv H[a, b, i, j, u, v] F[u, v], the tensor never stored."""
    N = len(F)
    C = dct_basis(N)
    masked = np.zeros((N, N))
    for a, b, i, j in np.ndindex(N, N, N, N):
        total = 0.0
        for u in range(N):
            for v in range(N):
                total += C[a, i] * C[b, j] * C[u, i] * C[v, j] * F[u, v]
        masked[a, b] += G[i, j] * total
    return masked


def tile(blocks):
    """The image of R x Q blocks, sample by sample."""
    R, Q, M, _ = blocks.shape
    image = np.zeros((R * M, Q * M))
    for r, q, i, j in np.ndindex(blocks.shape):
        image[r * M + i, q * M + j] = blocks[r, q, i, j]
    return image


def interval_by_hall(values, confidence=0.95):
    """Ends of the mean's interval, by Hall's g as he gives it, inverted by bisection.

    Skewness is held where g^-1 is within 1 % of the point where g is flat.
    """
    n, s, gamma = len(values), np.std(values, ddof=1), scipy.stats.skew(values)
    q, root = scipy.stats.t.ppf(0.5 + confidence / 2, n - 1), n**0.5
    most = scipy.optimize.brentq(lambda y: y / root * (q + y / root / 6) - 0.99, 0, 9 * root)
    gamma = min(most, max(-most, gamma))

    def g(t):
        return t + gamma * t**2 / (3 * n**0.5) + gamma**2 * t**3 / (27 * n) + gamma / (6 * n**0.5)

    def inverse(x):
        return scipy.optimize.brentq(lambda t: g(t) - x, -50, 50, xtol=1e-14)

    return [np.mean(values) - s / n**0.5 * inverse(x) for x in (q, -q)]
