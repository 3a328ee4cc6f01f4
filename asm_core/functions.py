"""Functions of the user's own beside ASM: what they are given, and how their results are measured.

Three kinds, each an ordinary function of arrays.  An algorithm computes the result of an operation
from what is known of a block; a source gives blocks; a selection says which coefficients n
frequencies are.  All three must be pure: the same arguments give the same bits, and what is given
for a trial depends on no other trial.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asm_core import validate
from asm_core.compiled import compiled
from asm_core.dct import block_dct, inverse_of
from asm_core.errors import rmse
from asm_core.frequencies import Selection, ranks_of
from asm_core.kernels import TIE
from asm_core.masks import Mask, first_largest
from asm_core.operations import Operation
from asm_core.validate import FloatArray

# What an error may be at most, since it is stored as float32.
_LARGEST = float(np.finfo(np.float32).max)
# Squares of smaller differences may leave float64.
_SMALLEST = 1e-150


class Batch(NamedTuple):
    """What an algorithm is given: blocks, and what of them it may know.

    A mask, and whatever else decides, is to be made of the coefficients that are kept alone; ASM
    also reads the exact samples, of which its mask then chooses.  The arrays are read-only.
    """

    blocks: FloatArray
    """(T, N, N) exact samples [i, j]."""
    coefficients: FloatArray
    """(T, N, N) their DCT coefficients [u, v], all of them."""
    kept: NDArray[np.bool_]
    """(N, N) which coefficients are kept."""
    operation: Operation
    """What is computed of a block: `kind`, `window` (1 of a rectifier) and `slope`; results are
    (T, M, M), M = N / window."""

    def approximate(self) -> FloatArray:
        """The blocks that the kept coefficients describe, (T, N, N), in the unit of the samples.

        Where everything is kept they are the blocks themselves, to the bit.
        """
        if self.kept.all():
            return self.blocks.copy()
        return inverse_of(self.coefficients, np.flatnonzero(self.kept))

    def mask(self, samples: ArrayLike) -> Mask:
        """What the operation keeps of some samples (T, N, N), bool, one True in each window.

        Ties are those of ASM, whose own mask is that of `approximate`: samples that differ by at
        most 2^-40 of the exact block's contrast tie, and the first in row-major order is chosen; a
        sample that ties with 0 is not kept.
        """
        values = validate.blocks("samples", samples)
        lowest, highest = (find(self.blocks, (1, 2), keepdims=True) for find in (np.amin, np.amax))
        tie = TIE * (highest - lowest)
        kind, window, _ = self.operation.checked(values.shape[-1])
        if kind in validate.POOLINGS:
            return first_largest(validate.POOLINGS[kind] * values, window, tie[..., None])
        mask: Mask = values > tie
        return mask

    def masked(self, mask: ArrayLike) -> FloatArray:
        """The operation by a mask (T, N, N) on the exact blocks, (T, M, M)."""
        return self.operation.masked(self.blocks, mask)


class AlgorithmFunction(Protocol):
    """An algorithm: of a batch the results (T, M, M), in the unit of the samples.

    Where everything is kept they are exact but for rounding; one of which that is not so has the
    attribute `exact`, False.
    """

    def __call__(self, batch: Batch, /, *args: Any, **parameters: Any) -> ArrayLike:
        """Results of the operation, from what is kept of the blocks."""


class Words(Protocol):
    """A source's own words of the program's stream, a fixed number for each trial."""

    def __call__(self, *shape: int) -> FloatArray:
        """(count, *shape) numbers, uniform on [0, 1); every call gives further ones."""


class SourceFunction(Protocol):
    """A source: blocks (count, N, N) of trials first .. first + count - 1.

    One that has a parameter named `words` is given `Words` of these trials by it.
    """

    def __call__(
        self, first: int, count: int, block_size: int, /, *args: Any, **parameters: Any
    ) -> ArrayLike:
        """Blocks of real, finite samples."""


class SelectionFunction(Protocol):
    """A selection: ranks (N, N) >= 0, that of the DC 0; n frequencies keep all ranks up to n."""

    def __call__(self, block_size: int, /, *args: Any, **parameters: Any) -> ArrayLike:
        """The rank of each coefficient [u, v]."""


def measure_function(
    function: Callable[[Batch], ArrayLike],
    blocks: ArrayLike,
    freqs: Iterable[int],
    operations: Sequence[Operation],
    selection: Selection = "triangle",
    coefficients: ArrayLike | None = None,
) -> FloatArray:
    """Error of an algorithm of the user's own on each block.

    Parameters
    ----------
    function
        See `AlgorithmFunction`; without parameters, as `functools.partial` binds them.
    blocks
        (T, N, N) real samples, N even.
    freqs
        Numbers of frequencies, each n >= 0, in any order.
    operations, selection, coefficients
        As in `asm_core.measure`.

    Returns
    -------
    (operations, F, T) float64: the RMSE of each block's result from the exact one, in the unit of
    its samples, and 0 where it is at most 2^-40 of the block's contrast, which is rounding, as
    where samples tie.  Of all n that keep the same coefficients the function is called once.

    Raises
    ------
    ValueError
        For results of another shape, or that are no finite real numbers; as `asm_core.measure`.
    """
    samples = validate.blocks("blocks", blocks)
    if samples.ndim != 3:
        raise ValueError(f"blocks must have shape (T, N, N), got {samples.shape}")
    count, size, _ = samples.shape
    known = block_dct(samples) if coefficients is None else coefficients
    known = validate.blocks("coefficients", known)
    ranks = ranks_of(size, selection)
    wanted = np.array([validate.integer("n_freqs", n, minimum=0) for n in freqs], dtype=np.int64)
    steps, place = np.unique(np.searchsorted(np.sort(ranks, axis=None), wanted, side="right"),
                             return_inverse=True)  # fmt: skip
    errors = np.empty((len(operations), len(steps), count))
    different = [int(wanted[place == k][0]) for k in range(len(steps))]
    with _read_only(samples), _read_only(known):
        _measure(function, samples, known, ranks, different, operations, errors)
    return errors[:, place]


@contextmanager
def _read_only(values: FloatArray) -> Iterator[None]:
    """Meanwhile an array cannot be written, nor be made writable by whoever has a view of it."""
    owners, each = [], values
    while isinstance(each, np.ndarray):
        owners.append((each, each.flags.writeable))
        each.flags.writeable = False
        each = each.base  # type: ignore[assignment]
    try:
        yield
    finally:
        for each, was_writable in reversed(owners):
            each.flags.writeable = was_writable


def _measure(
    function: Callable[[Batch], ArrayLike],
    samples: FloatArray,
    known: FloatArray,
    ranks: NDArray[np.int64],
    freqs: Sequence[int],
    operations: Sequence[Operation],
    errors: FloatArray,
) -> None:
    """Errors (operations, F, T) at n that keep different coefficients."""
    size = samples.shape[-1]
    rounding = TIE * np.ptp(samples, axis=(1, 2))
    # Views, of which none can be made writable.
    blocks, coefficients = samples[...], known[...]
    for o, operation in enumerate(operations):
        exact = _exact(operation, samples)
        for k, n in enumerate(freqs):
            batch = Batch(blocks, coefficients, ranks <= n, operation.checked(size))
            found = _error(function(batch), exact, f"{operation.kind} at n = {n}")
            errors[o, k] = np.where(found > rounding, found, 0.0)


def _exact(operation: Operation, blocks: FloatArray) -> FloatArray:
    """What `operation.exact` gives, in a twentieth of its time."""
    kind, window, slope = operation.checked(blocks.shape[-1])
    if kind in validate.POOLINGS:
        parts = [blocks[:, i::window, j::window] for i in range(window) for j in range(window)]
        extreme = np.maximum if validate.POOLINGS[kind] > 0 else np.minimum
        found = parts[0].copy()
        for part in parts[1:]:
            extreme(found, part, out=found)
        return found
    return np.where(blocks > 0.0, blocks, slope * blocks)


def _error(results: ArrayLike, exact: FloatArray, where: str) -> FloatArray:
    """The RMSE (T,) of results, which are checked."""
    values = validate.unmasked(results)
    if values.shape != exact.shape:
        raise ValueError(f"results must have shape {exact.shape} ({where}), got {values.shape}")
    if values.dtype.kind not in "fiub":
        raise ValueError(f"results must be real numbers ({where}), got {values.dtype}")
    values = values.astype(np.float64, copy=False)
    count = len(values)
    errors = np.empty(count)
    _root_mean_squares(
        np.ascontiguousarray(values).reshape(count, -1), exact.reshape(count, -1), errors
    )
    # NaN is neither.
    if not (errors <= _LARGEST).all():
        trial = int(np.argmin(errors <= _LARGEST))
        lacks = "finite" if not np.isfinite(values[trial]).all() else f"at most {_LARGEST:g} off"
        raise ValueError(f"results must be {lacks} ({where}), and those of block {trial} are not")
    small = errors < _SMALLEST
    if small.any() and (values[small] != exact[small]).any():
        errors[small] = rmse(values[small], exact[small])
    return errors


@compiled
def _root_mean_squares(a: FloatArray, b: FloatArray, out: FloatArray) -> None:
    """Root mean square of a - b: a, b (T, S), out (T,)."""
    T, S = a.shape
    for t in range(T):
        total = 0.0
        for s in range(S):
            difference = a[t, s] - b[t, s]
            total += difference * difference
        out[t] = np.sqrt(total / S)
