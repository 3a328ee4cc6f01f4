"""One unit: draw its blocks, measure them, store them.  What a worker does, and nothing else."""

import errno
import math
import threading
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from asm_core import Measures, Operation, empty_measures, frequency_rank, measure_into
from pipeline.errors import StoreLostError, UnitError
from pipeline.plan.plan import Plan, Unit
from pipeline.sources import kinds
from pipeline.store import lock, store

# Samples drawn at a time, 1 MiB of float64: half or twice as many took 5 to 10 % longer; and as
# many blocks, of whatever size, as make a call of the kernel worth its preparations.
_SAMPLES_PER_BATCH = 1 << 17
_FEWEST_PER_BATCH = 64
# What the last unit of a thread was measured into, for the next one: 24 MB of new pages for each
# unit took a twelfth of a sweep.
_own = threading.local()
# The disk is full or became read-only: no unit can be stored, and none is to blame.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def run_unit(path: str, session: str, plan: Plan, unit: Unit) -> None:
    """Measure one unit and store it; what a worker does."""
    try:
        store.write_unit(path, session, plan, unit, _measured(path, session, plan, unit))
    except OSError as error:
        if error.errno in _UNWRITABLE:
            raise StoreLostError(f"cannot write {path}: {error.strerror}") from error
        raise _unit_error(plan, unit, error) from error
    except Exception as error:
        raise _unit_error(plan, unit, error) from error


def _measured(path: str, session: str, plan: Plan, unit: Unit) -> Iterator[tuple[Plan, Measures]]:
    for part in [plan.only(box) for box in unit.boxes] or [plan]:
        measures = measure_unit(part, unit, reuse=True)
        if lock.overtaken(path, session):
            raise RuntimeError("its sweep has ended, and another one writes the store")
        yield part, measures


def _unit_error(plan: Plan, unit: Unit, error: Exception) -> UnitError:
    return UnitError(f"{plan.describe(unit)}: {type(error).__name__}: {error}")


def measure_unit(plan: Plan, unit: Unit, *, reuse: bool = False) -> Measures:
    """Errors, mask accuracies and regrets of the trials of a unit.

    Parameters
    ----------
    plan, unit
        A unit of this plan.
    reuse
        Into arrays which the thread's next call with `reuse` overwrites.

    Returns
    -------
    Measures
        error (operations, selections, algorithms, freqs, T), mask_accuracy and regret without
        algorithms, as float32: computed in float64 and rounded once, to half the size.
    """
    source, size = plan.sources[unit.source], plan.block_sizes[unit.block_size]
    operations = [Operation(o.kind, **o.parameters) for o in plan.operations]
    ranks = [frequency_rank(size, s.kind, **s.parameters) for s in plan.selections]
    lead = (len(plan.operations), len(plan.selections))
    of_masks = (*lead, len(plan.freqs), unit.stop - unit.start)
    of_algorithms = (*lead, len(plan.algorithms), *of_masks[2:])
    error, accuracy, regret = _empty([of_algorithms, of_masks, of_masks], reuse)
    batch = max(_FEWEST_PER_BATCH, _SAMPLES_PER_BATCH // (size * size))
    part = empty_measures(len(operations), len(plan.algorithms), len(plan.freqs), batch)
    for first in range(unit.start, unit.stop, batch):
        take = min(batch, unit.stop - first)
        blocks, known = kinds.draw_pair(source, plan.seed, size, first, take)
        place = slice(first - unit.start, first - unit.start + take)
        for s, selection in enumerate(ranks):
            measure_into(part, blocks, plan.freqs, operations, plan.algorithms, selection, known)
            error[:, s, ..., place] = part.error[..., :take]
            accuracy[:, s, ..., place] = part.mask_accuracy[..., :take]
            regret[:, s, ..., place] = part.regret[..., :take]
    return Measures(error, accuracy, regret)


def _empty(shapes: Sequence[tuple[int, ...]], reuse: bool) -> list[NDArray[np.float32]]:
    """Arrays that are not initialised, one after the other in one piece of memory."""
    lengths = [math.prod(shape) for shape in shapes]
    flat = getattr(_own, "flat", None) if reuse else None
    if flat is None or len(flat) < sum(lengths):
        flat = np.empty(sum(lengths), np.float32)
    if reuse:
        _own.flat = flat
    ends = np.cumsum(lengths)
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends), shapes, strict=False)]
