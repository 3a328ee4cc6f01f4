"""Per-block errors of approximated operations; never averaged over blocks."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asm_core import kernels, validate
from asm_core.dct import basis_of
from asm_core.frequencies import Selection, coefficient_order, ranks_of
from asm_core.operations import Operation
from asm_core.validate import METHODS, POOLINGS, RECTIFIERS, FloatArray


class Measures(NamedTuple):
    """What `measure` returns, trials last."""

    error: NDArray[np.floating[Any]]
    """(operations, methods, frequencies, T) RMSE of each block, in the unit of its samples."""
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
    method: str = "asm",
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
    method
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
    validate.choice("method", method, METHODS)
    samples = validate.blocks("blocks", blocks)
    lead, size = samples.shape[:-2], samples.shape[-1]
    batch = samples.reshape(-1, size, size)
    measured = Operation(operation, window, slope)
    errors = measure(batch, freqs, [measured], [method], selection).error[0, 0]
    result: FloatArray = errors.reshape(len(errors), *lead)
    return result


def measure(
    blocks: ArrayLike,
    freqs: Iterable[int],
    operations: Sequence[Operation],
    methods: Sequence[str] = METHODS,
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
    methods
        Any of METHODS.
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
    samples = validate.blocks("blocks", blocks)
    if samples.ndim != 3:
        raise ValueError(f"blocks must have shape (T, N, N), got {samples.shape}")
    size = samples.shape[-1]
    rows = np.ascontiguousarray(samples.reshape(len(samples), size * size))
    known = np.empty((0, size * size))
    if coefficients is not None:
        known = validate.blocks("coefficients", coefficients)
        if known.shape != samples.shape:
            raise ValueError(
                f"coefficients must have the shape of the blocks, {samples.shape}, got "
                f"{known.shape}"
            )
        known = np.ascontiguousarray(known.reshape(rows.shape))
    ranks = ranks_of(size, selection)
    wanted = [validate.integer("n_freqs", n, minimum=0) for n in freqs]
    kept = np.searchsorted(np.sort(ranks, axis=None), wanted, side="right")
    # The kernel walks upwards once; frequencies that keep the same coefficients are one.
    steps, place = np.unique(kept, return_inverse=True)
    codes = [_code(operation, size) for operation in operations]
    columns = [METHODS.index(validate.choice("method", method, METHODS)) for method in methods]
    shape = (len(codes), len(steps), len(rows))
    errors = np.empty((*shape[:2], len(METHODS), len(rows)))
    accuracy, regret = np.empty(shape), np.empty(shape)
    kernels.measure(
        rows,
        known,
        basis_of(size),
        coefficient_order(ranks),
        steps,
        np.array([window for window, _ in codes], dtype=np.int64),
        np.array([factor for _, factor in codes], dtype=np.float64),
        kernels.lanes_for(size, len(rows)),
        errors,
        accuracy,
        regret,
    )
    by_method = errors.swapaxes(1, 2)[:, columns]
    return Measures(by_method[:, :, place], accuracy[:, place], regret[:, place])


def _code(operation: Operation, size: int) -> tuple[int, float]:
    """What the kernel knows of an operation: (window, sign) of a pooling, (0, slope) otherwise."""
    kind, window, slope = operation.checked(size)
    if kind in POOLINGS:
        return window, POOLINGS[kind]
    if kind in RECTIFIERS:
        return 0, slope
    raise NotImplementedError(f"the kernel knows poolings and rectifiers, and not {kind}")
