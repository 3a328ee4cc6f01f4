"""Per-block errors of approximated operations; never averaged over blocks."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asm_core import kernels, validate
from asm_core.dct import basis_of
from asm_core.frequencies import Selection, ranks_of
from asm_core.operations import Operation
from asm_core.steps import Steps, codes_of, steps_of
from asm_core.tracing import WIDTH
from asm_core.transforms import flat
from asm_core.validate import ALGORITHMS, APX_OFFSET, FloatArray


class Measures(NamedTuple):
    """What `measure` returns, trials last."""

    error: NDArray[np.floating[Any]]
    """(operations, algorithms, frequencies, T) RMSE of each block, in the unit of its samples."""
    mask_accuracy: NDArray[np.floating[Any]]
    """(operations, frequencies, T) share of right choices, 0 .. 1: of windows whose chosen sample
    equals the extreme, whichever of equal ones it is (pooling), or of right signs (ReLU)."""
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
    # Scaled by a power of 2, which changes no digit: squares of 1e-170 or 1e160 leave float64.
    exponents = np.frexp(np.abs(difference).max(axis=(-2, -1), initial=0.0))[1]
    scaled = np.ldexp(difference, -exponents[..., None, None])
    result: FloatArray = np.ldexp(np.sqrt(np.mean(scaled * scaled, axis=(-2, -1))), exponents)
    return result


def errors_by_frequency(
    blocks: ArrayLike,
    freqs: Iterable[int],
    operation: str = "max_pool",
    algorithm: str = "asm",
    selection: Selection = "triangle",
    window: int = 2,
    slope: float = 0.01,
    offsets: ArrayLike | None = None,
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
        operation is applied to the approximate block; ``apx_offset``: so, and then a constant is
        added.
    selection
        One of asm_core.validate.SELECTIONS, or ranks (N, N) as `frequency_rank` gives them.
    window
        Of pooling: k, the side of the window; k divides N.
    slope
        Of ``leaky_relu``: what samples that are not kept are multiplied by, 0 .. 1.
    offsets
        Of ``apx_offset`` alone, (F,): the constant of each n, as `mean_offsets` estimates it from
        other blocks.

    Returns
    -------
    (F, T) float64, in the unit of the samples; (F, ...) for another leading shape.

    Raises
    ------
    ValueError
        For a wrong shape, an odd N, a sample that is not finite, a negative frequency, a window
        that does not divide N, an unknown name, or offsets that are missing or not (F,).

    Notes
    -----
    Two samples whose difference is at most 2^-40 of the block's contrast (its largest less its
    smallest sample) tie: the first in row-major order is chosen, and one that ties with 0 is not
    kept.  Rounding would decide otherwise.

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
    given = None if offsets is None else validate.real_samples("offsets", offsets)[None]
    one = [Operation(operation, window, slope)]
    measure_into(out, batch, wanted, one, [algorithm], selection, offsets=given)
    errors = np.asarray(out.error[0, 0, :, : len(batch)], dtype=np.float64)
    return errors.reshape(len(wanted), *lead)


def measure(
    blocks: ArrayLike,
    freqs: Iterable[int],
    operations: Sequence[Operation],
    algorithms: Sequence[str] = ("asm", "apx"),
    selection: Selection = "triangle",
    coefficients: ArrayLike | None = None,
    offsets: ArrayLike | None = None,
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
        Any of ``asm``, ``apx`` and ``apx_offset``.
    selection
        As in `errors_by_frequency`.
    coefficients
        (T, N, N) DCT coefficients of the blocks, where they are known exactly, as those of a JPEG
        file are: those that are 0, or equal, then stay so, and with them the ties of approximate
        blocks.  They are computed from the blocks otherwise.
    offsets
        Of ``apx_offset`` alone, (operations, F): as `mean_offsets` estimates them from other
        blocks.

    Returns
    -------
    Measures
        Errors, mask accuracies and regrets.  Ties as in `errors_by_frequency`.

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
    constants = None if offsets is None else validate.real_samples("offsets", offsets)
    out = empty_measures(len(operations), len(algorithms), len(wanted), len(samples))
    measure_into(out, samples, wanted, operations, algorithms, selection, coefficients, constants)
    return Measures(*(values[..., : len(samples)] for values in out))


def mean_offsets(
    blocks: ArrayLike,
    freqs: Iterable[int],
    operations: Sequence[Operation],
    selection: Selection = "triangle",
    coefficients: ArrayLike | None = None,
) -> FloatArray:
    """The constants that correct APX on average: the mean of exact minus approximate results.

    APX is mostly biased: the maximum over a smooth block is smaller than over the block.  A
    constant for each n makes it another rival of ASM, ``apx_offset``, if it is estimated on other
    blocks than it is judged on.  Of all constants the mean makes the mean square error least.

    Parameters
    ----------
    blocks, freqs, operations, selection, coefficients
        As in `measure`.

    Returns
    -------
    (operations, F) float64, in the unit of the samples; 0 where n keeps everything.  Sums are
    correctly rounded, so that the bits depend neither on the machine nor on the order of blocks.

    Raises
    ------
    ValueError
        As `measure`; also where there are no blocks.
    """
    samples = validate.blocks("blocks", blocks)
    if samples.ndim != 3 or not samples.size:
        raise ValueError(
            f"blocks must have shape (T, N, N), with at least one block, got {samples.shape}"
        )
    known = None if coefficients is None else validate.blocks("coefficients", coefficients)
    wanted, count = list(freqs), len(samples)
    out = empty_measures(len(operations), 1, len(wanted), count)
    biases = np.empty(out.regret.shape)
    out = Measures(out.error, out.mask_accuracy[:0], out.regret[:0])
    measure_into(out, samples, wanted, operations, ["apx"], selection, known, biases=biases)
    return np.array([[-math.fsum(row[:count]) / count + 0.0 for row in each] for each in biases])


def empty_measures(operations: int, algorithms: int, freqs: int, trials: int) -> Measures:
    """Uninitialised float64 arrays for `measure_into`.

    Shapes as `Measures`, with at least `trials` places on the last axis: whole groups of the
    kernel's lanes.
    """
    row = -(-trials // WIDTH) * WIDTH
    # Rows a multiple of 4 KiB apart would compete for the same places in the first-level cache.
    row += WIDTH if row % 512 == 0 else 0
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
    offsets: FloatArray | None = None,
    biases: FloatArray | None = None,
) -> None:
    """`measure` into arrays of `empty_measures` for as many trials or more.

    Using the same arrays for many calls saves allocating them, a tenth of the time.  Parameters and
    errors as `measure`, but blocks and coefficients must be float64 arrays of the right shape, and
    offsets may also be (operations, F, T), one for each trial.  Into `biases` (operations, F, P),
    with as many places as `out`, goes the mean of APX minus exact over the result of each block.
    """
    if biases is None:
        biases = np.empty((0, *out.regret.shape[1:]))
    count, size, _ = blocks.shape
    known = np.empty((0, size, size)) if coefficients is None else coefficients
    wanted = tuple(validate.integer("n_freqs", n, minimum=0) for n in freqs)
    for algorithm in algorithms:
        validate.choice("algorithm", algorithm, ALGORITHMS)
    constants = _offsets(offsets, algorithms, (len(operations), len(wanted), count))
    steps = steps_of(size, ranks_of(size, selection).tobytes(), wanted)
    if not _run(out, biases, blocks, known, steps, operations, algorithms, constants):
        # Powers of 2 change no digit.
        largest = np.abs(blocks).max(axis=(1, 2))
        largest = np.maximum(largest, np.abs(constants).max(axis=(0, 1), initial=0.0))
        if len(known):
            largest = np.maximum(largest, np.abs(known).max(axis=(1, 2)))
        exponents = np.frexp(largest)[1]
        _run(
            out,
            biases,
            np.ldexp(blocks, -exponents[:, None, None]),
            np.ldexp(known, -exponents[:, None, None]) if len(known) else known,
            steps,
            operations,
            algorithms,
            np.ldexp(constants, -exponents),
        )
        for values in (out.error, out.regret, biases):
            values[..., :count] = np.ldexp(values[..., :count], exponents)


def _run(
    out: Measures,
    biases: FloatArray,
    blocks: FloatArray,
    known: FloatArray,
    steps: Steps,
    operations: Sequence[Operation],
    algorithms: Sequence[str],
    offsets: FloatArray,
) -> bool:
    """Run the kernel; returns False, with nothing of use in `out`, where squares do not fit."""
    count, size, _ = blocks.shape
    codes = codes_of(tuple(operations), size)
    names = list(algorithms)
    asm, apx, apx_offset = (names.index(m) if m in names else -1 for m in ALGORITHMS)
    whole: list[NDArray[Any]] = [*out, biases]
    part = whole
    if steps.places is not None:
        fewer = empty_measures(len(operations), len(algorithms), len(steps.stops), count)
        part = [*fewer, np.empty(fewer.regret.shape)]
        part = [values[: len(wanted)] for wanted, values in zip(whole, part, strict=True)]
    constants = np.zeros((len(offsets), len(steps.stops), part[0].shape[-1]))
    constants[..., :count] = offsets[:, steps.firsts]
    work = kernels.scratch(size, len(operations))
    kernels.measure(
        flat(blocks),
        flat(known),
        basis_of(size),
        steps.terms,
        steps.stops,
        steps.whole,
        *codes,
        asm,
        apx,
        apx_offset,
        constants,
        work,
        *part,
    )
    finite, fits = (not row.any() for row in work[:2])
    if not (finite and fits):
        validate.finite("blocks", blocks)
        validate.finite("coefficients", known)
    if steps.places is not None:
        for values, by_step in zip(whole, part, strict=True):
            values[..., :count] = by_step[..., steps.places, :count]
    return fits


def _offsets(
    offsets: FloatArray | None, algorithms: Sequence[str], shape: tuple[int, int, int]
) -> FloatArray:
    """Offsets of every operation, frequency and trial; of no operation where none are used."""
    if APX_OFFSET not in algorithms:
        return np.empty((0, *shape[1:]))
    if offsets is None:
        raise ValueError(
            "algorithm apx_offset needs offsets: mean_offsets estimates them from other blocks"
        )
    if offsets.shape not in (shape, shape[:2]):
        raise ValueError(
            f"offsets must have one number for each operation and frequency, {shape[:2]}, got "
            f"shape {offsets.shape}"
        )
    whole: FloatArray = np.broadcast_to(offsets[..., None] if offsets.ndim == 2 else offsets, shape)
    return whole
