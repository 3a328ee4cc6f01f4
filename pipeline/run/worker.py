"""What a worker does with one unit: draw its blocks, measure them, store the results.

A task says which store, which round and which unit.  The plan, with its list of files, is read from
the store once a round: when it was sent with each task, the records of 100,000 files stayed in
distributed's log of messages and took 20 GB.
"""

import asyncio
import errno
import json
import math
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from asm_core import (
    Measures,
    block_dct,
    block_idct,
    empty_measures,
    measure,
    measure_into,
)
from asm_core.batches import sums_by_batch
from asm_core.moments import moments_of
from asm_core.validate import APX_OFFSET
from pipeline.errors import (
    NOT_THERE,
    BadFileError,
    BadUnitError,
    MisfitError,
    StoreLostError,
    UnitError,
    UnreadableError,
    UnstoredError,
    UserError,
    cannot,
    system_error,
)
from pipeline.functions.calling import OwnCodeError
from pipeline.functions.resolving import load
from pipeline.planning.axes import ALGORITHM, Labels
from pipeline.planning.grid import Missing, Unit
from pipeline.planning.plan import Plan, from_json, to_json
from pipeline.run import fitness
from pipeline.run.choices import operations_of, ranks_of
from pipeline.run.clock import steady_timers
from pipeline.run.offsets import Offsets
from pipeline.run.own import own_errors
from pipeline.sources import kinds
from pipeline.store import lock
from pipeline.store.files import check_current
from pipeline.store.location import Location
from pipeline.store.writer import UnitWriter, read_plan

# Samples drawn at a time, 1 MiB of float64: half or twice as many took 5 to 10 % longer.  Of large
# blocks at least so many, since each call of the kernel has a fixed cost.
_SAMPLES_PER_BATCH = 1 << 17
_FEWEST_PER_BATCH = 64
# The memory that a thread measured its last unit into is used again for the next one: allocating
# 24 MB for each unit took a twelfth of a sweep.
_own = threading.local()
# The disk is full or became read-only: no unit can be stored, and none is to blame.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
# What a misfit does, and what helps.
_DIFFERS = "does not compute as this sweep does"
_INSTALL = "install the same version on both, or restart that worker"
_SHOW_FILES = "it must see the same files, under the same paths, with the packages that read them"
_SHOW_CODE = "it must find the same module, in the same folder or by its PYTHONPATH"
SHARE_RESULTS = "results must be a folder that all share, or a URL"
# One thread of a worker reads the plan of a round, and the others wait for it.
_reading = threading.Lock()


def run_unit(
    store: str, round_name: str, missing: Missing, *, durable: bool = False
) -> NDArray[np.float64] | None:
    """Measure what is missing of a unit, and store it.

    Parameters
    ----------
    store
        Where the store is.
    round_name
        The name of the round, whose plan is in the store.
    missing
        The unit, and the parts of its curves.
    durable
        Have its files on the disk, and not in its cache alone, before its row is written.

    Returns
    -------
    numpy.ndarray or None
        The row of the unit, of a store at a URL, where it is not quickly read.

    Raises
    ------
    StoreLostError
        Where nothing more can be written.
    MisfitError
        Where this process does not compute as the program does that planned the round.
    BadUnitError
        Where a file is broken or has changed, or a function of the user's own fails; it says in
        which unit.  Of algorithms the others are stored.
    UnstoredError
        Where the system does not let the store be read or written.
    UnitError
        For whatever else goes wrong.
    """
    unit = missing.unit
    failed = dict[str, OwnCodeError]()
    try:
        plan, writer = _round_of(store, round_name, durable)
        row = writer.write(unit, _measured(plan, missing, failed))
        if failed:
            # What the others gave is stored.
            raise BadUnitError(f"{unit}: {'; '.join(map(str, failed.values()))}")
        return row if returns_rows(store) else None
    except (MisfitError, StoreLostError, UnitError):
        raise
    except Exception as error:
        found = system_error(error)
        if isinstance(found, OSError) and found.errno in _UNWRITABLE:
            raise StoreLostError(f"cannot write {store}: {found.strerror}") from error
        if found:
            reason = cannot("read or write", store, found)
            raise UnstoredError(f"{unit}: {reason}", reason) from error
        raise _unit_error(unit, error) from error


def returns_rows(store: str) -> bool:
    """Whether `run_unit` returns rows."""
    return Location(store).folder is None


def plan_to_text(plan: Plan) -> str:
    """A plan as JSON text, as the store keeps it for the workers of a round.

    Beside it is what this process computes with, for them to compare.
    """
    data = {
        "versions": fitness.versions(),
        "checksums": fitness.checksums(plan),
        "plan": to_json(plan, kinds.to_json),
    }
    return json.dumps(data, separators=(",", ":"))


def plan_from_text(text: str) -> Plan:
    """The inverse of `plan_to_text`.

    Raises
    ------
    MisfitError
        Where this process computes with anything else than the one that wrote the text.
    """
    data = json.loads(text)
    # The rest can be read by the same version alone.
    if reason := fitness.other_versions(data.get("versions", {})):
        raise MisfitError(_address(), f"{_DIFFERS}, {reason}", _INSTALL)
    plan = from_json(data["plan"], kinds.from_json)
    for function in plan.functions:
        try:
            load(function)
        except UserError as error:
            raise MisfitError(
                _address(), f"cannot run {function.target} ({error})", _SHOW_CODE
            ) from error
    differing, unreadable = fitness.other_bits(data["checksums"], plan)
    if differing:
        raise MisfitError(_address(), f"{_DIFFERS}, {differing}", _INSTALL)
    if unreadable:
        raise MisfitError(_address(), f"cannot read {unreadable}", _SHOW_FILES)
    return plan


async def misfit(text: str) -> MisfitError | None:
    """Why the process that this runs in must refuse the plan of a text; None if it need not."""
    steady_timers()
    try:
        # In a thread: a worker that loads its kernels goes on answering the scheduler.
        await asyncio.to_thread(plan_from_text, text)
    except MisfitError as error:
        return error
    return None


def _address() -> str:
    from distributed import get_worker

    try:
        return str(get_worker().address)
    except ValueError:
        return "in this process"


def unseen(store: str, token: str) -> str | None:
    """Why a worker does not see the lock that the client holds beside a store; None if it does."""
    try:
        found = lock.token(Location(store))
    except UnreadableError as error:
        return str(error)
    if found is None:
        return "the lock of this sweep is not there"
    return None if found == token else "another lock is there"


def _round_of(store: str, name: str, durable: bool) -> tuple[Plan, UnitWriter]:
    with _reading:
        return _read_round(store, name, durable)


# Two entries, for a cluster that two sweeps share.
@lru_cache(maxsize=2)
def _read_round(store: str, name: str, durable: bool) -> tuple[Plan, UnitWriter]:
    # A worker that a stranger has started, or that has joined later, is kept from being given up.
    steady_timers()
    location = Location(store)
    try:
        text = read_plan(location)
        check_current(location, name)
    except (*NOT_THERE, KeyError, StoreLostError) as error:
        # One that has joined later, and was not asked with the others.
        reason = f"does not see {store}, or what this sweep has written there"
        raise MisfitError(_address(), reason, SHARE_RESULTS) from error
    # The plan comes first, since it is refused where anything else than it may not be understood.
    plan = plan_from_text(text)
    return plan, UnitWriter(Location(store), name, durable=durable)


def _measured(
    plan: Plan, missing: Missing, failed: dict[str, OwnCodeError]
) -> Iterator[tuple[Labels, Measures]]:
    """What is missing, part by part; into `failed` go algorithms that are left out, and why."""
    for part in [plan.of_part(part) for part in missing.parts] or [plan]:
        try:
            measures = measure_unit(part, missing.unit, reuse=True, failed=failed)
        except (BadFileError, OwnCodeError) as error:
            raise BadUnitError(f"{missing.unit}: {error}") from error
        except Exception as error:
            # Here, so that whatever else the system does not do, it does not do with the store.
            raise _unit_error(missing.unit, error) from error
        kept = [k for k, name in enumerate(part.labels[ALGORITHM]) if name not in failed]
        if not kept:
            raise BadUnitError(f"{missing.unit}: {'; '.join(map(str, failed.values()))}")
        if len(kept) == len(part.algorithms):
            yield part.labels, measures
        else:
            labels = {**part.labels, ALGORITHM: [part.labels[ALGORITHM][k] for k in kept]}
            yield labels, measures._replace(error=measures.error[:, :, kept])


def _unit_error(unit: Unit, error: Exception) -> UnitError:
    return UnitError(f"{unit}: {type(error).__name__}: {error}")


def measure_unit(
    plan: Plan,
    unit: Unit,
    *,
    reuse: bool = False,
    failed: dict[str, OwnCodeError] | None = None,
) -> Measures:
    """Errors, mask accuracies and regrets of the trials of a unit.

    Parameters
    ----------
    plan, unit
        A plan and one of its units.
    reuse
        Return arrays that the next call with `reuse` in the same thread overwrites.
    failed
        Where it is given, an algorithm of the user's own that fails is left out: why goes in here
        by its name, and its errors have no meaning.

    Returns
    -------
    Measures
        error (operations, selections, algorithms, freqs, T), mask_accuracy and regret without
        algorithms, as float32: computed in float64 and rounded once, to half the size.

    Raises
    ------
    ValueError
        Where files or functions of the user's own do not give what they must.
    """
    source, size = plan.source(unit.source), unit.block_size
    operations = operations_of(plan)
    ranks = ranks_of(plan, size)
    lead = (len(plan.operations), len(plan.selections))
    of_masks = (*lead, len(plan.freqs), unit.trials)
    of_algorithms = (*lead, len(plan.algorithms), *of_masks[2:])
    error, accuracy, regret = _empty([of_algorithms, of_masks, of_masks], reuse)
    batch = max(_FEWEST_PER_BATCH, _SAMPLES_PER_BATCH // (size * size))
    ours = {k: each.kind for k, each in enumerate(plan.algorithms) if not each.function}
    own = {k: each for k, each in enumerate(plan.algorithms) if each.function}
    # Two names may be of one kind.
    computed = list(dict.fromkeys(ours.values()))
    part = empty_measures(len(operations), len(computed), len(plan.freqs), batch)
    drawn = kinds.draw_in_turn(source, plan.seed, size, unit.start, unit.trials, batch)
    offsets = Offsets(plan, unit) if APX_OFFSET in computed else None
    for place, blocks, known in drawn:
        take = len(blocks)
        for s, selection in enumerate(ranks):
            measure_into(
                part, blocks, plan.freqs, operations, computed, selection, known,
                None if offsets is None else offsets.of(s, place),
            )  # fmt: skip
            # In two steps: an array of places beside the number s would turn the axes.
            for k, kind in ours.items():
                error[:, s, k][..., place] = part.error[:, computed.index(kind), :, :take]
            accuracy[:, s][..., place] = part.mask_accuracy[..., :take]
            regret[:, s][..., place] = part.regret[..., :take]
        if own:
            # Computed once for all that read them.
            coefficients = block_dct(blocks) if known is None else known
        for k, choice in own.items():
            if failed and choice.name in failed:
                continue
            try:
                for s, selection in enumerate(ranks):
                    error[:, s, k][..., place] = own_errors(
                        choice, blocks, coefficients, plan.freqs, operations, selection
                    )
            except OwnCodeError as raised:
                if failed is None:
                    raise
                failed[choice.name] = raised
    return Measures(error, accuracy, regret)


def load_kernels(plan: Plan) -> None:
    """Load every compiled function that measures a plan; the first time this compiles, for seconds.

    Worker processes of the same machine then find the compiled code in numba's cache.
    """
    operations = operations_of(plan)
    for size in plan.block_sizes:
        blocks = np.zeros((1, size, size))
        if any(kinds.gives_coefficients(source) for source in plan.sources):
            blocks = block_idct(blocks)
        measures = measure(blocks, [0], operations)
        errors = measures.error.astype(np.float32)
        moments_of(errors)
        sums_by_batch(errors, np.zeros(1, np.int64))


def _empty(shapes: Sequence[tuple[int, ...]], reuse: bool) -> list[NDArray[np.float32]]:
    """Uninitialised float32 arrays of these shapes, in one piece of memory; see `measure_unit`."""
    lengths = [math.prod(shape) for shape in shapes]
    flat = getattr(_own, "flat", None) if reuse else None
    if flat is None or len(flat) < sum(lengths):
        flat = np.empty(sum(lengths), np.float32)
    if reuse:
        _own.flat = flat
    ends = np.cumsum(lengths)
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends), shapes, strict=False)]
