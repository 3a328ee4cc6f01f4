"""Something that is wrong with a store, and where it is."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.plan.axes import METRICS, Labels
from pipeline.plan.grid import Unit
from pipeline.store import ledger
from pipeline.store.store import Store

# Positions of a unit: source, block size, number.
Place = tuple[int, int, int]


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a store, in words, and what `repair` can do about it.

    `units` must be computed again; `files` must be removed for that; `metadata` names an array or
    group whose zarr.json must be written again; `mendable` is whether `repair` can mend it.
    """

    words: str
    units: tuple[Unit, ...] = ()
    files: tuple[str, ...] = ()
    metadata: str | None = None
    mendable: bool = True


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


def chunk_files(store: Store, unit: Unit) -> tuple[str, ...]:
    """The files that have, or may have, the trials of a unit and its row in the journal."""
    s, b, number = place_of(store, unit)
    files = []
    for name in METRICS:
        array = store.root[name]
        for index in np.ndindex(*chunk_grid(array)[2:-1]):
            key = array.metadata.encode_chunk_key((s, b, *index, number))
            files.append(str(store.location.child(name, key)))
    if ledger.is_open(store.root):
        files.append(str(ledger.row_file(store.root, store.location, (s, b), number)))
    return tuple(files)
