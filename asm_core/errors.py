"""Per-block errors of approximated operations; never averaged over blocks."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asm_core import kernels, lanes, validate
from asm_core.dct import basis_of, coefficient_terms
from asm_core.frequencies import Selection, coefficient_order, ranks_of
from asm_core.operations import Operation
from asm_core.validate import ALGORITHMS, POOLINGS, RECTIFIERS, FloatArray


class Measures(NamedTuple):
    """What `measure` returns, trials last."""

    error: NDArray[np.floating[Any]]
    """(operations, algorithms, frequencies, T) RMSE of each block, in the unit of its samples."""
    mask_accuracy: NDArray[np.floating[Any]]
    """(operations, frequencies, T) share of right windows (pooling) or signs (ReLU), 0 .. 1."""
    regret: NDArray[np.floating[Any]]
    """(operations, frequencies, T) mean over windows of the distance between the exact extreme and
    the sample that the approximate mask chose, >= 0, in the unit of the samples; NaN for ReLU."""


def rmse(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Root mean square of a - b over the last two axes.

    Parameters
    ----------
    a, b
        (..., M, M) real results of an operation; the last two sizes agree, leading ones broadcast.

    Returns
    -------
    (...) float64, in the unit of a and b.

    Raises
    ------
    ValueError
        For fewer than two dimensions, shapes that do not match, or a value that is not finite.
    """
    left = validate.real_samples("a", a)
    right = validate.real_samples("b", b)
    if left.ndim < 2 or left.shape[-2:] != right.shape[-2:]:
        raise ValueError(f"a and b must be (..., M, M) alike, got {left.shape} and {right.shape}")
    difference = left - right
    result: FloatArray = np.sqrt(np.mean(difference * difference, axis=(-2, -1)))
    return result


def errors_by_frequency(
    blocks: ArrayLike,
    freqs: Iterable[int],
    operation: str = "max_pool",
    algorithm: str = "asm",
    selection: Selection = "triangle",
    window: int = 2,
    slope: float = 0.01,
) -> FloatArray:
    """Error of an approximated operation on each block, at each number of frequencies.

    The error of a block is the RMSE between the approximate and the exact result over the block's
    result: N/k x N/k samples for max pooling, N x N for ReLU.  One pass serves all frequencies,
    because the kept sets are nested.

    Parameters
    ----------
    blocks
        (T, N, N) real samples, N even; any other leading shape also, and none.
    freqs
        F numbers of frequencies, each n >= 0; n above the last frequency keeps everything.
    operation
        ``max_pool``, ``min_pool``, ``relu`` or ``leaky_relu``.
    algorithm
        ``asm``: the mask of the approximate block is applied to the exact one; ``apx``: the
        operation is applied to the approximate block.
    selection
        One of asm_core.validate.SELECTIONS, or ranks (N, N) as `frequency_rank` gives them.
    window
        Of pooling: k, the side of the window; k divides N.
    slope
        Of ``leaky_relu``: what samples that are not kept are multiplied by, 0 .. 1.

    Returns
    -------
    (F, T) float64, in the unit of the samples; (F, ...) for another leading shape.

    Raises
    ------
    ValueError
        For a wrong shape, an odd N, a sample that is not finite, a negative frequency, a window
        that does not divide N, or an unknown name.

    References
    ----------
    Ehrlich, *Max Pooling with Approximated Spatial Masking* (notebook, 2018); Ehrlich and Davis,
    *Deep Residual Learning in the JPEG Transform Domain*, ICCV 2019, section 4.2.
    """
    samples = validate.blocks_of_numbers("blocks", blocks)
    lead, size = samples.shape[:-2], samples.shape[-1]
    batch, wanted = samples.reshape(-1, size, size), list(freqs)
    out = empty_measures(1, 1, len(wanted), len(batch))
    # Without rows for them, mask accuracies and regrets are not computed.
    out = Measures(out.error, out.mask_accuracy[:0], out.regret[:0])
    measure_into(out, batch, wanted, [Operation(operation, window, slope)], [algorithm], selection)
    errors = np.asarray(out.error[0, 0, :, : len(batch)], dtype=np.float64)
    return errors.reshape(len(wanted), *lead)


def measure(
    blocks: ArrayLike,
    freqs: Iterable[int],
    operations: Sequence[Operation],
    algorithms: Sequence[str] = ALGORITHMS,
    selection: Selection = "triangle",
    coefficients: ArrayLike | None = None,
) -> Measures:
    """Error, mask accuracy and regret of several operations on the same blocks, in one pass.

    Parameters
    ----------
    blocks
        (T, N, N) real samples, N even.
    freqs
        Numbers of frequencies, each n >= 0, in any order.
    operations
        As in `errors_by_frequency`.
    algorithms
        Any of ALGORITHMS.
    selection
        As in `errors_by_frequency`.
    coefficients
        (T, N, N) DCT coefficients of the blocks, where they are known exactly, as those of a JPEG
        file are: those that are 0, or equal, then stay so, and with them the ties of approximate
        blocks.  They are computed from the blocks otherwise.

    Returns
    -------
    Measures
        Errors, mask accuracies and regrets.  Where samples tie, as in flat regions of real images,
        the mask can differ though the result does not: judge exactness by the error.

    Raises
    ------
    ValueError
        As `errors_by_frequency`; also for coefficients of another shape.
    """
    samples = validate.blocks_of_numbers("blocks", blocks)
    if samples.ndim != 3:
        raise ValueError(f"blocks must have shape (T, N, N), got {samples.shape}")
    if coefficients is not None:
        coefficients = validate.blocks_of_numbers("coefficients", coefficients)
        if coefficients.shape != samples.shape:
            raise ValueError(
                f"coefficients must have the shape of the blocks, {samples.shape}, got "
                f"{coefficients.shape}"
            )
    wanted = list(freqs)
    out = empty_measures(len(operations), len(algorithms), len(wanted), len(samples))
    measure_into(out, samples, wanted, operations, algorithms, selection, coefficients)
    return Measures(*(values[..., : len(samples)] for values in out))


def empty_measures(operations: int, algorithms: int, freqs: int, trials: int) -> Measures:
    """Uninitialised float64 arrays for `measure_into`.

    Shapes as `Measures`, with at least `trials` places on the last axis: whole groups of the
    kernel's lanes.
    """
    row = -(-trials // lanes.WIDTH) * lanes.WIDTH
    # Rows a multiple of 4 KiB apart would compete for the same places in the first-level cache.
    row += lanes.WIDTH if row % 512 == 0 else 0
    return Measures(
        np.empty((operations, algorithms, freqs, row)),
        np.empty((operations, freqs, row)),
        np.empty((operations, freqs, row)),
    )


def measure_into(
    out: Measures,
    blocks: FloatArray,
    freqs: Sequence[int],
    operations: Sequence[Operation],
    algorithms: Sequence[str],
    selection: Selection,
    coefficients: FloatArray | None = None,
) -> None:
    """`measure` into arrays of `empty_measures` for as many trials or more.

    Using the same arrays for many calls saves allocating them, a tenth of the time.  Parameters and
    errors as `measure`, but blocks and coefficients must be float64 arrays of the right shape.
    """
    count, size, _ = blocks.shape
    known = np.empty((0, size, size)) if coefficients is None else coefficients
    wanted = tuple(validate.integer("n_freqs", n, minimum=0) for n in freqs)
    steps = _steps(size, ranks_of(size, selection).tobytes(), wanted)
    codes = [_code(operation, size) for operation in operations]
    windows = [window for window, _ in codes]
    for algorithm in algorithms:
        validate.choice("algorithm", algorithm, ALGORITHMS)
    asm, apx = (list(algorithms).index(m) if m in algorithms else -1 for m in ALGORITHMS)
    part = out
    if steps.places is not None:
        part = empty_measures(len(codes), len(algorithms), len(steps.stops), count)
    finite = kernels.measure(
        kernels.half_of(size),
        kernels.flat(blocks),
        kernels.flat(known),
        basis_of(size),
        steps.terms,
        steps.stops,
        steps.whole,
        np.array(windows, dtype=np.int64),
        np.array([factor for _, factor in codes], dtype=np.float64),
        asm,
        apx,
        kernels.scratch(size, windows),
        *part,
    )
    if not finite:
        validate.finite("blocks", blocks)
        validate.finite("coefficients", known)
    if steps.places is not None:
        for whole, values in zip(out, part, strict=True):
            whole[..., :count] = values[: len(whole), ..., steps.places, :count]


class _Steps(NamedTuple):
    """Frequencies as the kernel takes them: ascending, one step for all that keep equally many."""

    terms: NDArray[np.int64]
    stops: NDArray[np.int64]
    whole: bool
    """Whether the last step keeps everything."""
    places: NDArray[np.int64] | None
    """The step of each frequency that was asked for; None where step k is frequency k."""


@lru_cache(maxsize=32)
def _steps(size: int, ranks: bytes, freqs: tuple[int, ...]) -> _Steps:
    # For a small batch this takes longer than measuring it, hence the cache.
    rank = np.frombuffer(ranks, dtype=np.int64).reshape(size, size)
    kept = np.searchsorted(np.sort(rank, axis=None), freqs, side="right")
    steps, places = np.unique(kept, return_inverse=True)
    terms, stops = coefficient_terms(size, coefficient_order(rank), steps.tolist())
    whole = bool((steps == size * size).any())
    return _Steps(terms, stops, whole, None if np.array_equal(kept, steps) else places)


def _code(operation: Operation, size: int) -> tuple[int, float]:
    """An operation as the kernel takes it: (window, sign) for a pooling, else (0, slope)."""
    kind, window, slope = operation.checked(size)
    if kind in POOLINGS:
        return window, POOLINGS[kind]
    if kind in RECTIFIERS:
        return 0, slope
    raise NotImplementedError(f"the kernel knows poolings and rectifiers, and not {kind}")
