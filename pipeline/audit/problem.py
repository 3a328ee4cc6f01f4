"""Something that is wrong with a store, and where it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.errors import cannot, system_error
from pipeline.planning.axes import METRICS, Labels
from pipeline.planning.grid import Unit
from pipeline.store import ledger
from pipeline.store.store import Store

# Positions of a unit: source, block size, number.
Place = tuple[int, int, int]


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a store, in words, and what `repair` can do about it.

    `units` must be computed again; `files` must be removed for that; `metadata` names an array or
    group whose zarr.json must be written again; `rows_of` names a metric, if it is just the rows of
    the units that are bad, and not their trials; `mendable` is whether `repair` can mend it;
    `unread` is whether something could not be checked: the `units` are then not known to be bad,
    and nothing of them may be touched; `harmless` is whether it is only to be known: no number that
    the store gives is wrong or missing because of it.
    """

    words: str
    units: tuple[Unit, ...] = ()
    files: tuple[str, ...] = ()
    metadata: str | None = None
    rows_of: str | None = None
    mendable: bool = True
    unread: bool = False
    harmless: bool = False


def of_reading(
    what: str,
    error: Exception,
    units: tuple[Unit, ...] = (),
    files: tuple[str, ...] = (),
    metadata: str | None = None,
) -> Problem:
    """The problem that `what` was read and found wrong, or could not be read because of the system.

    `units`, `files` and `metadata` are what `repair` is to mend where it is wrong.
    """
    if found := system_error(error):
        words = f"{what}: {cannot('read', 'it', found)}"
        return Problem(words, units, mendable=False, unread=True)
    reason = " ".join(str(error).split())
    return Problem(f"{what}: damaged ({type(error).__name__}: {reason})", units, files, metadata)


def place_of(store: Store, unit: Unit) -> Place:
    """The position of a unit's row in the ledger."""
    labels = store.labels
    return (
        labels["source"].index(unit.source),
        labels["block_size"].index(unit.block_size),
        unit.number,
    )


def asked_trials(store: Store, source: str, size: int) -> int:
    """The largest number of trials that any run asked of a cell."""
    cell: Labels = {"source": [source], "block_size": [size]}
    grids = [run.wanted.within({**run.wanted.labels, **cell}) for run in store.record.runs]
    return max((grid.trials for grid in grids if grid), default=0)


def unit_at(store: Store, place: Place, trials: int | None = None) -> Unit:
    """The unit at a place with so many trials, or, without `trials`, as many as were asked for."""
    s, b, number = place
    source, size = store.labels["source"][s], store.labels["block_size"][b]
    start = number * store.record.unit_trials
    if trials is None:
        asked = asked_trials(store, source, size)
        trials = min(max(asked - start, 1), store.record.unit_trials)
    return Unit(source, size, number, start, start + trials)


def chunk_grid(array: Any) -> tuple[int, ...]:
    """How many chunks a Zarr array has along each dimension."""
    return tuple(-(-n // c) for n, c in zip(array.shape, array.chunks, strict=True))


def chunk_files(store: Store, unit: Unit, names: Sequence[str] = tuple(METRICS)) -> tuple[str, ...]:
    """The files that have, or may have, the trials of a unit, of some metrics."""
    s, b, number = place_of(store, unit)
    files = []
    for name in names:
        array = store.root[name]
        for index in np.ndindex(*chunk_grid(array)[2:-1]):
            key = array.metadata.encode_chunk_key((s, b, *index, number))
            files.append(str(store.location.child(name, key)))
    return tuple(files)


def unit_files(store: Store, unit: Unit) -> tuple[str, ...]:
    """The files that have, or may have, the trials of a unit and its row in the journal."""
    files = chunk_files(store, unit)
    if ledger.is_open(store.root):
        s, b, number = place_of(store, unit)
        files += (str(ledger.row_file(store.root, store.location, (s, b), number)),)
    return files


def labels_of(labels: Labels, unit: Unit) -> Labels:
    """The values of the axes, with those of a unit's cell alone."""
    return {**labels, "source": [unit.source], "block_size": [unit.block_size]}
