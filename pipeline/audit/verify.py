"""Finding damage in a store.

Four checks: the arrays against the identity; the files against the arrays; every row of the ledger
against the trials that it sums up (and both against their checksums); a sample of the units against
a new computation.
"""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from asm_core.batches import sums_by_batch
from asm_core.moments import MOMENTS, moments_of
from pipeline.audit.kept import Kept, units_at_once
from pipeline.audit.metadata import check_files, check_metadata
from pipeline.audit.problem import (
    Problem,
    asked_trials,
    chunk_grid,
    labels_of,
    of_reading,
    place_of,
    unit_at,
    unit_files,
)
from pipeline.config import compose
from pipeline.errors import UnreadableError, UserError, count_of
from pipeline.planning.axes import (
    BATCHES,
    CELL,
    METRICS,
    NAMED,
    Labels,
    most,
    shape,
    without_algorithm,
)
from pipeline.planning.grid import Unit
from pipeline.planning.identity import Identity, differences, joined, positions
from pipeline.planning.plan import Plan
from pipeline.planning.tiles import Tiles
from pipeline.run.planned import plan_of
from pipeline.run.worker import measure_unit
from pipeline.store import layout, ledger, lock
from pipeline.store.store import Store, chosen_counts
from pipeline.store.together import in_threads

_COUNT = MOMENTS.index("count")

Rows = dict[str, NDArray[np.float64]]
# Called with what is being checked, how many are done, and of how many.
Observer = Callable[[str, int, int], None]


@dataclasses.dataclass
class Report:
    """How many units were checked, how many of them computed again, and what is wrong."""

    units: int = 0
    recomputed: int = 0
    problems: list[Problem] = dataclasses.field(default_factory=list)


def verify(store: Store, sample: float, observe: Observer = lambda what, k, n: None) -> Report:
    """Check a store.

    Parameters
    ----------
    store
        A store that no process is writing.
    sample
        Share of the units that are computed again, 0 .. 1; at least one unless it is 0.
    observe
        Is told what is being checked, how far it is, and how far it goes.

    Raises
    ------
    UserError
        Where the store is being written.
    """
    lock.check_free(store.location)
    report = Report(problems=list(check_metadata(store)))
    if any(problem.metadata or problem.unread for problem in report.problems):
        # The files of an array cannot be checked while its shape is unknown.
        return report
    report.problems += check_files(store)
    rows, unreadable = _rows(store)
    report.problems += unreadable
    counts = np.nan_to_num(rows["error"][..., _COUNT]).astype(np.int64)
    trials = most(counts)
    kept, threads = Kept.of(store), units_at_once(store)
    listed = [
        unit_at(store, (s, b, number), int(trials[s, b, number]))
        for s, b, number in np.argwhere(trials).tolist()
    ]
    # Without its rows nothing can be said of a unit's trials.
    rowless = {unit.key for problem in unreadable for unit in problem.units}
    listed = [unit for unit in listed if unit.key not in rowless]
    checked = in_threads(partial(_check_unit, kept, rows=rows), listed, threads)
    for k, problem in enumerate(checked, start=1):
        observe("ledger against trials", k, len(listed))
        if problem:
            report.problems.append(problem)
    unread = {unit.key for problem in report.problems if problem.unread for unit in problem.units}
    report.units = sum(unit.key not in unread for unit in listed)
    bad = {unit.key for problem in report.problems for unit in problem.units}
    again = _recomputed(kept, counts, rows, sample, bad, threads)
    for k, (n, problem) in enumerate(again, start=1):
        observe("computing again", k, n)
        report.recomputed += int(n > 0)
        if problem:
            report.problems.append(problem)
    return report


def _rows(store: Store) -> tuple[Rows, list[Problem]]:
    """The rows of the ledger; where a chunk of them is bad, its units are to be computed again."""
    names = layout.ledger_names(batched=store.record.batched)
    unread = list[Problem]()
    try:
        return store.rows(names), []
    except UnreadableError as error:
        unread = [of_reading("ledger", error)]
    except UserError:
        pass
    # The good rows of a journal count again once `repair` has removed the bad ones.
    problems = list(_check_journal(store))
    rows = {name: np.full(_shape_of_rows(store, name), np.nan) for name in names}
    for name in names:
        problems += _read_chunks(store, name, rows[name])
    # What could be read the second time was not, the first time: rows of the journal are not here.
    return rows, problems if any(problem.unread for problem in problems) else unread + problems


def _shape_of_rows(store: Store, name: str) -> tuple[int, ...]:
    """The shape of a metric's rows for the store's labels alone, without an unfinished growth."""
    units = store.root[f"ledger/{name}"].shape[len(CELL)]
    return (*shape(store.labels, CELL), units, *layout.row_shape(store.labels, name))


def _check_journal(store: Store) -> Iterator[Problem]:
    """Rows of the journal that cannot be read."""
    try:
        damaged = ledger.damaged_metadata(store.root)
    except UserError as error:
        yield of_reading("journal", error)
        return
    if damaged:
        # Its rows are kept, and count again once `repair` has closed the journal.
        for name, reason in damaged.items():
            yield of_reading(f"{name}/zarr.json", reason, metadata=name)
        return
    journal = store.root.get("journal/rows")
    for (s, b), number in ledger.waiting_rows(store.root, store.location):
        try:
            journal[s, b, number]
        except Exception as error:  # zarr raises whatever it meets
            unit = unit_at(store, (s, b, number))
            file = str(ledger.row_file(store.root, store.location, (s, b), number))
            yield of_reading(f"{unit}: its row", error, units=(unit,), files=(file,))


def _read_chunks(store: Store, name: str, rows: NDArray[np.float64]) -> Iterator[Problem]:
    """Read a metric's ledger into `rows`, chunk by chunk; yields a problem for each bad chunk."""
    array = store.root[f"ledger/{name}"]
    units, step = array.shape[len(CELL)], array.chunks[len(CELL)]
    curve = tuple(slice(length) for length in rows.shape[len(CELL) + 1 :])
    for s, b in np.ndindex(*rows.shape[: len(CELL)]):
        cell = store.labels["source"][s], store.labels["block_size"][b]
        # A cell with fewer trials than others has no units in the rest of its chunks.
        last = -(-asked_trials(store, *cell) // store.record.unit_trials)
        for first in range(0, units, step):
            span = slice(first, min(first + step, units))
            try:
                rows[s, b, span] = array[(s, b, span, *curve)]
            except Exception as error:  # zarr raises whatever it meets
                bad = tuple(
                    unit_at(store, (s, b, k))
                    for k in range(first, max(first + 1, min(span.stop, last)))
                )
                files = tuple(
                    str(store.location.child(f"ledger/{name}", array.metadata.encode_chunk_key(
                        (s, b, first // step, *index)
                    )))
                    for index in np.ndindex(*chunk_grid(array)[len(CELL) + 1 :])
                )  # fmt: skip
                words = (
                    f"ledger/{name}, {bad[0]} and up to {count_of(len(bad) - 1, 'unit')} after it: "
                    "its chunk"
                )
                yield dataclasses.replace(of_reading(words, error, bad, files), rows_of=name)


def _check_unit(kept: Kept, unit: Unit, rows: Rows) -> Problem | None:
    """Whether the trials of a unit can be read, and are those that its row sums up."""
    store = kept.store
    place, labels = place_of(store, unit), labels_of(store.labels, unit)
    try:
        measures = kept.measures(labels, unit.start, unit.start + store.record.unit_trials)
    except Exception as error:  # zarr raises whatever it meets
        return of_reading(str(unit), error, units=(unit,), files=unit_files(store, unit))
    of_error = np.nan_to_num(rows["error"][place][..., _COUNT])
    for name in METRICS:
        row, values = rows[name][place], getattr(measures, name)
        wanted = of_error if name == "error" else without_algorithm(of_error)
        # Some points have no values, as the regret of ReLU: their count is 0.
        fits = (row[..., _COUNT] == wanted) | (row[..., _COUNT] == 0) | (wanted == 0)
        if not fits.all() or not _sums_up(row, values):
            words = f"{unit}: the ledger's row of {name} is not that of its trials"
            return Problem(words, (unit,), unit_files(store, unit))
    tiles = store.record.tiles_of(unit.source, unit.block_size)
    if tiles.ends and not _sums_up_by_batch(
        tiles, unit, rows["error"][place], rows[BATCHES][place], measures.error
    ):
        words = f"{unit}: the ledger's row of {BATCHES} is not that of its trials"
        return Problem(words, (unit,), unit_files(store, unit))
    return None


def _sums_up(row: NDArray[np.float64], values: NDArray[np.float32]) -> bool:
    """Whether a row has the moments of trials; those that are not kept cannot be read."""
    counts = row[..., _COUNT]
    for count in np.unique(counts[~np.isnan(counts)]):
        here = counts == count
        length = int(count)
        if length > values.shape[-1]:
            continue
        if moments_of(values[here][:, : length or None]).tobytes() != row[here].tobytes():
            return False
    return True


def _sums_up_by_batch(
    tiles: Tiles,
    unit: Unit,
    row: NDArray[np.float64],
    sums: NDArray[np.float64],
    values: NDArray[np.float32],
) -> bool:
    """Whether the sums by batch are those of a unit's trials, as many as its row of errors has."""
    counts = row[..., _COUNT]
    for count in np.unique(counts[~np.isnan(counts)]):
        here, length = counts == count, int(count)
        if (sums[here][..., _COUNT].sum(axis=-1) != count).any():
            return False
        if length <= values.shape[-1]:
            batch = tiles.batch_of(unit.start, length)
            if sums_by_batch(values[here][:, :length], batch).tobytes() != sums[here].tobytes():
                return False
    return True


def _recomputed(
    kept: Kept,
    counts: NDArray[np.int64],
    rows: Rows,
    sample: float,
    bad: set[tuple[str, int, int]],
    threads: int,
) -> Iterator[tuple[int, Problem | None]]:
    """Compute units again, chosen at random from those that are not bad, and compare the bits.

    Yields for each unit how many there are in all, and what is wrong; 0 for a run of which none
    can be computed again.
    """
    if not sample:
        return
    store, units = kept.store, list[tuple[Plan, Unit]]()
    # Of runs that have measured the same, as each growth does, the last one has it all.
    later: list[tuple[Labels, dict[tuple[str, int, int], int]]] = []
    for run in reversed(store.record.runs):
        try:
            plan = plan_of(compose.recorded(run.config, config_dirs=run.config_dirs))
            plan = plan.with_unit_trials(store.record.unit_trials)
            _check_same(store.record.identity, plan.identity)
        except UserError as error:
            asked = " ".join(f"{key}={text}" for key, text in run.given.items())
            words = f"cannot compute again what {asked!r} asked for: {error}"
            yield 0, Problem(words, mendable=False, unread=True)
            continue
        complete = plan.grid.complete(chosen_counts(counts, store.labels, plan.labels))
        measured = [trials for labels, trials in later if plan.grid.within(labels) == plan.grid]
        units += [
            (plan, unit)
            for unit in complete
            if unit.key not in bad
            and all(trials.get(unit.key, 0) < unit.trials for trials in measured)
        ]
        later.append((plan.labels, {unit.key: unit.trials for unit in complete}))
    if not units:
        return
    size = len(units) if sample >= 1 else max(1, round(sample * len(units)))
    chosen = np.random.default_rng().choice(len(units), size, replace=False)
    wanted = [units[k] for k in sorted(chosen.tolist())]
    for problem in in_threads(partial(_differs, kept, rows), wanted, threads):
        yield size, problem


def _check_same(stored: Identity, today: Identity) -> None:
    """Refuse if files, parameters or kernels have changed since: other bits are then no damage."""
    if joined(stored, today) == stored:
        return
    axes = {a: stored.axes[a] if a in NAMED else values for a, values in today.axes.items()}
    unlike = differences(Identity(axes, stored.fixed), today)
    raise UserError("; ".join(unlike) or "its axes are not there")


def _differs(kept: Kept, rows: Rows, planned: tuple[Plan, Unit]) -> Problem | None:
    """What of a unit has other bits once it is computed again."""
    store, (plan, unit) = kept.store, planned
    labels = labels_of(plan.labels, unit)
    at, place = positions(store.labels, labels), place_of(store, unit)
    try:
        again = measure_unit(plan, unit)
    except (ValueError, OSError) as error:
        # Its source has changed, or can no longer be read.
        return Problem(f"{unit}: cannot be computed again: {error}", mendable=False, unread=True)
    measures = kept.measures(labels, unit.start, unit.stop)
    for name, metric in METRICS.items():
        stored, new = getattr(measures, name), getattr(again, name)
        row = rows[name][place][np.ix_(*(at[axis] for axis in metric.curve))]
        same_length = row[..., _COUNT] == unit.trials
        if (
            stored.tobytes() != new[..., : stored.shape[-1]].tobytes()
            or moments_of(new)[same_length].tobytes() != row[same_length].tobytes()
        ):
            words = f"{unit}: computed again, {name} has other bits"
            return Problem(words, (unit,), unit_files(store, unit))
    points = np.ix_(*(at[axis] for axis in METRICS["error"].curve))
    tiles = store.record.tiles_of(unit.source, unit.block_size)
    if tiles.ends and not _sums_up_by_batch(
        tiles, unit, rows["error"][place][points], rows[BATCHES][place][points], again.error
    ):
        words = f"{unit}: computed again, {BATCHES} has other bits"
        return Problem(words, (unit,), unit_files(store, unit))
    return None
