"""Algorithms of the user's own: measured beside ours, and looked at before anything runs."""

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from asm_core import Batch, Operation, block_dct, measure_function
from asm_core.frequencies import Ranks
from asm_core.validate import FloatArray
from pipeline.functions.arrays import giving_arrays
from pipeline.functions.calling import OwnCodeError, call
from pipeline.functions.resolving import load
from pipeline.planning.entries import Choice
from pipeline.planning.plan import Plan
from pipeline.run.choices import operations_of, ranks_of
from pipeline.sources import kinds

# An attribute of a function whose results need not be exact where everything is kept.
EXACT = "exact"
# Where everything is kept, results may differ by rounding, also that of float32: by this share of
# the contrast.
_ROUNDING = 1e-6
# Of so few blocks it is seen whether a result depends on those that are measured with it.
_CHECKED, _PART = 7, 3
# So many blocks say what a trial takes: of fewer the calls themselves would count.
_TIMED = 256
# Few of the frequencies of a plan are looked at, beside the one that keeps everything.
_FREQS = 3


def results_of(choice: Choice) -> Callable[[Batch], FloatArray]:
    """What an algorithm of the user's own gives for a batch, its shape as it is.

    Whatever it raises becomes an `OwnCodeError` with file and line.
    """
    assert choice.function is not None
    function = giving_arrays(load(choice.function))
    what = _named(choice)

    def results(batch: Batch) -> FloatArray:
        found: FloatArray = call(what, function, batch, **choice.parameters)
        return found

    return results


def own_errors(
    choice: Choice,
    blocks: FloatArray,
    coefficients: FloatArray,
    freqs: Sequence[int],
    operations: Sequence[Operation],
    ranks: Ranks,
) -> FloatArray:
    """Errors (operations, F, T) of an algorithm on blocks (T, N, N).

    Raises
    ------
    OwnCodeError
        For whatever the function raises, with its file and line, and for results that are none.
    """
    results = results_of(choice)
    try:
        return measure_function(results, blocks, freqs, operations, ranks, coefficients)
    except OwnCodeError:
        raise
    except ValueError as error:
        raise OwnCodeError(f"{_named(choice)}: {error}") from error


def _named(choice: Choice) -> str:
    """An algorithm of the user's own, as messages name it."""
    assert choice.function is not None
    return f"algorithm.{choice.name}: {choice.function.target}"


def core_seconds(plan: Plan) -> float:
    """Seconds that one core takes for functions of the user's own, by what a few blocks take."""
    own = [choice for choice in plan.algorithms if choice.function]
    operations, total = operations_of(plan), 0.0
    for source, row in zip(plan.sources, plan.cell_trials, strict=True):
        if not own and not source.function:
            continue
        for size, trials in zip(plan.block_sizes, row, strict=True):
            count = min(_TIMED, trials)
            draw = partial(kinds.draw_pair, source, plan.seed, size, 0, count)
            blocks, known = draw()
            each = _seconds(draw) if source.function else 0.0
            coefficients = block_dct(blocks) if known is None else known
            for ranks in ranks_of(plan, size):
                of_batch = blocks, coefficients, plan.freqs, operations, ranks
                each += sum(_seconds(partial(own_errors, choice, *of_batch)) for choice in own)
            total += each * trials / count
    return total


def _seconds(function: Callable[[], object]) -> float:
    """Of two calls the faster: the first one may compile."""
    times = []
    for _ in range(2):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return min(times)


def check(plan: Plan) -> None:
    """Look at selections of the user's own, and at what algorithms give for a few blocks.

    Raises
    ------
    OwnCodeError
        For a selection that gives no ranks; for an algorithm that raises, or whose results are
        none; that gives others for the same blocks, or for blocks in two parts; or that is not
        exact where everything is kept, and is not declared not to be.
    """
    # Selections have been asked by this: they raise what is wrong with them.
    of_sizes = {size: ranks_of(plan, size) for size in plan.block_sizes}
    own = [choice for choice in plan.algorithms if choice.function]
    if not own:
        return
    operations = operations_of(plan)
    for size in plan.block_sizes:
        for place, ranks in enumerate(of_sizes[size]):
            last = int(ranks.max())
            some = sorted({plan.freqs[k] for k in _spread(len(plan.freqs))} | {last})
            for source in plan.sources:
                count = min(_CHECKED, (source.available or {}).get(size, _CHECKED))
                blocks, known = kinds.draw_pair(source, plan.seed, size, 0, count)
                coefficients = block_dct(blocks) if known is None else known
                for choice in own:
                    where = (
                        f"algorithm.{choice.name} on source {source.name}, block_size={size}, "
                        f"selection={plan.selections[place].name}"
                    )
                    _check(choice, where, blocks, coefficients, some, operations, ranks)


def _spread(count: int) -> list[int]:
    """A few of so many places: the first, the last, and one between."""
    return [k * (count - 1) // (_FREQS - 1) for k in range(_FREQS)]


def _check(
    choice: Choice,
    where: str,
    blocks: FloatArray,
    coefficients: FloatArray,
    freqs: Sequence[int],
    operations: Sequence[Operation],
    ranks: Ranks,
) -> None:
    assert choice.function is not None

    def errors(part: slice) -> FloatArray:
        return own_errors(choice, blocks[part], coefficients[part], freqs, operations, ranks)

    whole = errors(slice(None))
    if not np.array_equal(whole, errors(slice(None))):
        raise OwnCodeError(
            f"{where} gives other results for the same blocks: it must not draw random numbers, or "
            "keep anything between calls"
        )
    parts = [errors(slice(0, _PART)), errors(slice(_PART, None))]
    if not np.array_equal(whole, np.concatenate(parts, axis=-1)):
        raise OwnCodeError(
            f"{where} gives other results for blocks that come in two parts: a result must depend "
            "on its own block alone, to the last bit (a matrix product rounds by the number of "
            "rows: use numpy.einsum, or add up terms)"
        )
    function = load(choice.function)
    if not getattr(function, EXACT, True):
        return
    contrast = np.ptp(blocks, axis=(1, 2)) + np.abs(blocks).max(axis=(1, 2))
    off = whole[:, -1] > _ROUNDING * contrast
    if off.any():
        o, block = (int(k) for k in np.argwhere(off)[0])
        raise OwnCodeError(
            f"{where} is not exact where everything is kept: its error of {operations[o].kind} is "
            f"{whole[o, -1, block]:g}; if that is meant, say so beside the function: "
            f"{choice.function.target.rpartition('.')[2]}.{EXACT} = False"
        )
