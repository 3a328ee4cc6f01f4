"""Mending a store: what is bad counts as missing, and what the trials tell is written again."""

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from asm_core.batches import sums_by_batch
from asm_core.moments import MOMENTS, moments_of
from pipeline.audit.metadata import consolidated_copy
from pipeline.audit.problem import Problem, chunk_files, labels_of, place_of
from pipeline.audit.verify import verify
from pipeline.errors import refuse_unreadable
from pipeline.planning.axes import ALGORITHM, BATCHES, METRICS, without_algorithm
from pipeline.planning.grid import Unit
from pipeline.store import attributes, layout, ledger, lock
from pipeline.store.damage import copied_record, losing
from pipeline.store.leftovers import remove_leftovers
from pipeline.store.location import Location
from pipeline.store.record import DamagedRecordError
from pipeline.store.store import Store

_COUNT = MOMENTS.index("count")
# Metadata, then the rows that they hid, then the trials that these hid.
_PASSES = 3


def restore_root(location: Location) -> bool:
    """Write the root's file of a store again from its second copy, if it is damaged or missing.

    Returns whether it was, and was restored.

    Raises
    ------
    UserError
        Where another process is writing the store.
    """
    with suppress(DamagedRecordError):
        if Store.find(location):
            return False
    copied = copied_record(location)
    if copied is None:
        return False
    with lock.held(location), losing(location):
        attributes.restore_root(location, copied.attributes())
    return True


def repair(store: Store, problems: Sequence[Problem]) -> list[Problem]:
    """Mend what can be mended: make bad units count as missing, and remove leftovers.

    So is whatever else `verify` finds once that is done.  Nothing is touched that could not be
    read.  Returns the problems that are left.

    Raises
    ------
    UserError
        Where another process is writing the store.
    StoreLostError
        Where the system does not let it be mended; the same call goes on from there.
    """
    # What damaged metadata hid is found once they are mended, and what that hid after it.
    for _ in range(_PASSES):
        if not any(problem.mendable for problem in problems):
            break
        _mend(store, problems)
        store = Store.open(store.location)
        problems = verify(store, 0.0).problems
    return list(problems)


def _mend(store: Store, problems: Sequence[Problem]) -> None:
    unsure = any(problem.metadata and not problem.mendable for problem in problems)
    problems = [problem for problem in problems if problem.mendable]
    with lock.held(store.location), losing(store.location):
        copy = consolidated_copy(store)
        for problem in problems:
            if problem.metadata in copy:
                if store.location.folder:
                    # A power cut may have left nothing of its folder.
                    Path(store.location.folder, problem.metadata).mkdir(parents=True, exist_ok=True)
                text = json.dumps(copy[problem.metadata], indent=2)
                store.location.child(problem.metadata, "zarr.json").write(text.encode())
        if any(problem.metadata == "ledger" for problem in problems):
            # Its copy of the record is as old as the root's copy of it.
            store.update(store.record)
        if unsure or any(problem.metadata for problem in problems):
            ledger.mend_journal(layout.open_root(store.location, "r+"), store.location)
            # Nothing behind them has been looked at yet.
            return
        # Bad rows go first, so that nothing below meets them, and bad trials last: whatever the
        # ledger lists is there, also where the system stops this on the way.
        files = {name for problem in problems for name in problem.files}
        folders = tuple(str(store.location.child(name)) for name in ("ledger", "journal"))
        of_rows = {name for name in files if name.startswith(folders)}
        _remove(of_rows)
        root = layout.open_root(store.location, "r+")
        ledger.close_journal(root, store.location)
        for problem in problems:
            for unit in problem.units:
                place = place_of(store, unit)
                if not (problem.rows_of and _make_row_again(store, root, unit, problem.rows_of)):
                    ledger.forget(root, place[:2], place[2])
        _remove(files - of_rows)
        if not store.record.growing:
            layout.write_coordinates(root, store.record.identity)
            layout.consolidate(store.location)
        remove_leftovers(store.location)


def _remove(files: Iterable[str]) -> None:
    for name in files:
        place = Location(name)
        with suppress(FileNotFoundError):
            if place.folder and place.folder.is_dir():
                place.remove_below()
            else:
                place.remove()


def _make_row_again(store: Store, root: Any, unit: Unit, name: str) -> bool:
    """Write the row of a metric from the trials of a unit; False where these do not tell it.

    How many trials it sums up is known from the row of another metric.
    """
    if name == BATCHES:
        return _make_sums_again(store, root, unit)
    place, labels = place_of(store, unit), labels_of(store.labels, unit)
    other = "error" if name != "error" else "mask_accuracy"
    counts = root[f"ledger/{other}"][place][..., _COUNT]
    stop = min(unit.start + store.record.unit_trials, store.kept_trials)
    files = chunk_files(store, unit, [name])
    try:
        values = getattr(store.read_cell(labels, unit.start, max(unit.start, stop)), name)
    except Exception as error:  # zarr raises whatever it meets
        refuse_unreadable(store, error)
        ledger.forget(root, place[:2], place[2])
        _remove(chunk_files(store, unit))
        return False
    # Without points that a growth which was cut short may have added.
    counts = counts[tuple(slice(len(labels[axis])) for axis in METRICS[other].curve)]
    counts = np.nan_to_num(counts)
    if name == "error":
        # An algorithm that was added later may have fewer trials than the mask.
        gaps = np.concatenate([np.isnan(values), np.ones((*values.shape[:-1], 1), bool)], axis=-1)
        of_masks, algorithm = counts, METRICS[name].curve.index(ALGORITHM)
        counts = np.minimum(np.expand_dims(counts, algorithm), gaps.argmax(axis=-1))
        told = bool((without_algorithm(counts) == of_masks).all())
    else:
        counts = without_algorithm(counts)
        # Where a chunk is missing, regret looks as that of ReLU, which has none.
        told = name != "regret" or all(Location(file).exists() for file in files)
    row = np.full((*counts.shape, len(MOMENTS)), np.nan)
    for count in np.unique(counts[counts > 0]).astype(int).tolist():
        here = counts == count
        summed = values[here][:, :count]
        told &= summed.shape[1] == count and not (name != "regret" and np.isnan(summed).any())
        row[here] = moments_of(summed)
    if not told or not counts.any():
        return False
    root[f"ledger/{name}"][(*place, *map(slice, counts.shape))] = row
    return True


def _make_sums_again(store: Store, root: Any, unit: Unit) -> bool:
    """As `_make_row_again`, of the sums by batch."""
    place, labels = place_of(store, unit), labels_of(store.labels, unit)
    tiles = store.record.tiles_of(unit.source, unit.block_size)
    curve = tuple(slice(len(labels[axis])) for axis in METRICS["error"].curve)
    counts = np.nan_to_num(root["ledger/error"][(*place, *curve)][..., _COUNT])
    stop = min(unit.start + store.record.unit_trials, store.kept_trials)
    if not tiles.ends or not counts.any() or unit.start + counts.max() > stop:
        return False
    try:
        values = store.read_cell(labels, unit.start, stop).error
    except Exception as error:  # zarr raises whatever it meets
        refuse_unreadable(store, error)
        return False
    row = np.full(layout.row_shape(store.labels, BATCHES), np.nan)
    for count in np.unique(counts[counts > 0]).astype(int).tolist():
        here = counts == count
        row[here] = sums_by_batch(values[here][:, :count], tiles.batch_of(unit.start, count))
    root[f"ledger/{BATCHES}"][(*place, *curve)] = row
    return True
