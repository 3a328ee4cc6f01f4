"""Which trials of a dataset are neighbours: the coordinate `batch`, and sums by it.

The coordinate goes where trials go, through selections, differences and files, so that whatever is
computed of a dataset still has the interval of neighbours.
"""

from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from asm_core.batches import SUMS, sums_by_batch
from asm_core.moments import Array
from asm_core.validate import MOST_BATCHES
from pipeline.planning.axes import BATCH, CELL, TRIAL
from pipeline.planning.tiles import Tiles
from pipeline.store.record import as_stored, from_attributes, is_of_store

# So many trials' batches are found at a time.
_TRIALS_AT_ONCE = 1 << 20


def with_batches(dataset: xr.Dataset) -> xr.Dataset:
    """A dataset with the coordinate `batch`, if it is of a store with tiles that are neighbours.

    The coordinate is along the trials, and the sources and block sizes where there are several; it
    is lazy, and -1 where trials are independent.

    Raises
    ------
    ValueError
        Where nothing says any more of which source or block size the trials are, or which trials
        they are; for a source or block size that the store does not have.
    """
    # Of drawn blocks alone nothing is decoded, so that a store of any layout will do.
    stored = is_of_store(dataset.attrs) and as_stored(dataset.attrs).get("tiles", "{}") != "{}"
    if BATCH in dataset.coords or TRIAL not in dataset.dims or not stored:
        return dataset
    record = from_attributes("the dataset", dataset.attrs)
    if not record.batched:
        return dataset
    labels = record.identity.labels
    for axis in CELL:
        if axis in dataset.coords:
            labels[axis] = np.atleast_1d(dataset[axis].to_numpy()).tolist()
            known = record.identity_of_arrays.labels[axis]
            for value in labels[axis]:
                if value not in known:
                    raise ValueError(
                        f"the dataset has {axis}={value}, its store has {known}, and trials of one "
                        f"image are not independent: give {axis} the value that it had"
                    )
        elif len(labels[axis]) > 1:
            raise ValueError(
                f"the dataset does not say any more of which {axis} it is, and trials of one image "
                f"are not independent: select {axis} without drop=True"
            )
    if TRIAL not in dataset.indexes:
        raise ValueError(
            "the dataset does not say any more which trials it has, and those of one image are not "
            f"independent: keep its coordinate {TRIAL}"
        )
    index = dataset.indexes[TRIAL]
    by_cell = [
        [_batches(record.tiles_of(source, size), index) for size in labels["block_size"]]
        for source in labels["source"]
    ]
    batch = xr.DataArray(da.stack([da.stack(row) for row in by_cell]), dims=(*CELL, TRIAL))
    gone = [axis for axis in CELL if axis not in dataset.dims]
    return dataset.assign_coords({BATCH: batch.squeeze(gone).variable})


def _batches(tiles: Tiles, index: pd.Index) -> da.Array:
    """The batch of each trial of an index, int8."""
    numbers = (
        da.arange(index.start, index.stop, index.step, chunks=_TRIALS_AT_ONCE)
        if isinstance(index, pd.RangeIndex)
        else da.from_array(index.to_numpy(), chunks=_TRIALS_AT_ONCE)
    )
    found: da.Array = numbers.map_blocks(_batches_of, tiles, dtype=np.int8)
    return found


def _batches_of(numbers: NDArray[np.int64], tiles: Tiles) -> NDArray[np.int8]:
    if not numbers.size:
        return numbers.astype(np.int8)
    least = int(numbers.min())
    span = tiles.batch_of(least, int(numbers.max()) - least + 1)
    return span[numbers - least].astype(np.int8)


def check_paired(left: xr.DataArray, right: xr.DataArray, what: str) -> tuple[bool, bool]:
    """Whether to leave out the neighbours of left, and those of right, where these are subtracted.

    Raises
    ------
    ValueError
        Where trials of one are other tiles than those of the other; `what` says what they are.
    """
    ours, theirs = (side.coords.get(BATCH) for side in (left, right))
    if ours is not None and theirs is not None and not ours.equals(theirs):
        if bool((ours < 0).all()):
            return True, False
        if bool((theirs < 0).all()):
            return False, True
        raise ValueError(
            f"trials of {what} are not the same tiles, and those of one image are not independent: "
            "there are no pairs to compare; summarize each"
        )
    return False, False


def sums_of(values: xr.DataArray, numbers: NDArray[Any]) -> Array | None:
    """Sums by batch of some values, whose trials are last; None where all are independent.

    `numbers` are those of `values`, (curve ..., T), read already; -> (curve ..., batch, sum).
    """
    batch = values.coords.get(BATCH)
    if batch is None or TRIAL not in batch.dims:
        return None
    batch = batch.transpose(..., TRIAL)
    cells, known = batch.dims[:-1], batch.to_numpy().astype(np.int64)
    sums = np.zeros((*values.shape[:-1], MOST_BATCHES, len(SUMS)))
    for place in np.ndindex(*known.shape[:-1]):
        at = dict(zip(cells, place, strict=True))
        index = tuple(at.get(axis, slice(None)) for axis in values.dims[:-1])
        sums[index] = sums_by_batch(numbers[index], known[place])
    return sums
