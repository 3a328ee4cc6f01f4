"""The arrays of a store: how they are made, grown, read and written.

Zarr format 3, with consolidated metadata:

    error            source, block_size, operation, selection, algorithm, freq, trial    float32
    mask_accuracy, regret    the same without algorithm                                  float32
    one coordinate array per dimension; coefficients_kept (selection, block_size, freq)
    ledger/error, ledger/mask_accuracy, ledger/regret
                     source, block_size, unit, the curve's dimensions, moment         float64
    ledger/batches   errors summed up by batch of neighbouring tiles, where a source has any
                     source, block_size, unit, the curve's dimensions, batch, sum     float64

A chunk of `error` is one unit.  Values that an axis gains later come after those that it has, in
new chunks or in the free places of the last one.  NaN means not measured.  The ledger is in a group
of its own so that `xarray.open_zarr` does not show its arrays.
"""

import asyncio
import math
import re
import warnings
from typing import Any, Literal

import numpy as np
import zarr
from dask.system import CPU_COUNT
from numpy.typing import NDArray
from zarr.abc.store import Store
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.buffer import Buffer
from zarr.core.sync import sync
from zarr.storage import MemoryStore

from asm_core import Measures
from asm_core.batches import SUMS
from asm_core.moments import MOMENTS
from asm_core.validate import MOST_BATCHES
from pipeline.errors import refuse_unreadable
from pipeline.planning.axes import (
    AXES,
    BATCH,
    BATCHES,
    CELL,
    COST,
    METRICS,
    MOMENT,
    TRIAL,
    UNIT,
    Labels,
    ledger_curve,
    shape,
)
from pipeline.planning.identity import Identity
from pipeline.store import coordinates
from pipeline.store.files import reading
from pipeline.store.inline import write
from pipeline.store.location import Location

# A store as it is read, or what writes it.
Place = Location | Store | str
# With bits shuffled blosc-lz4 writes 1.9 GB/s and halves the size of mask accuracies; with bytes
# shuffled it writes 1.3 GB/s.  crc32c catches a flipped bit, which blosc would read silently.
# Blocks of 256 KiB stay in the second-level cache: storing a unit takes a tenth less.
CODECS = [BloscCodec(cname="lz4", shuffle="bitshuffle", blocksize=1 << 18), Crc32cCodec()]
_TRIALS_PER_CHUNK = 1 << 20
# At most so many rows of the ledger in a chunk, and so many bytes: 1,000 chunks of one row took 2 s
# to read, one chunk of 1,000 rows 10 ms.
_ROWS_PER_CHUNK = 1024
_LEDGER_CHUNK_BYTES = 1 << 22
_FILE_OF_ROOT = "zarr.json"
# The attribute of the group `ledger` that has a copy of those of the root.
RECORD = "record"
# Attributes that xarray uses as the labels of a plot.
_LABELS = {
    **{axis.name: {"long_name": axis.long_name} for axis in AXES},
    **{
        name: {"long_name": metric.long_name} | ({"units": metric.units} if metric.units else {})
        for name, metric in METRICS.items()
    },
    "coefficients_kept": {"long_name": "DCT coefficients kept"},
}


def use_a_thread_per_core() -> None:
    """Have zarr compress and write in as many threads as there are cores for this process.

    For processes of our own, unless the user has configured zarr: the settings of a caller are not
    touched.  Each thread keeps the memory of what it compressed; with zarr's default, four more
    than the machine has cores, a sweep on two cores took 60 MB more and 4 % longer.
    """
    if zarr.config.get("threading.max_workers") is None:
        zarr.config.set({"threading.max_workers": CPU_COUNT})


def open_root(place: Place, mode: Literal["r", "r+"] = "r", *, consolidated: bool = False) -> Any:
    """The root group of a store.

    `consolidated` reads the metadata of its arrays from the copy in the root's file, which may be
    out of date after a crash.  Attributes of the root lie in the same file as that copy, so only a
    group that was opened with it writes both in one piece.
    """
    return zarr.open_group(
        _store_of(place), mode=mode, zarr_format=3, use_consolidated=consolidated
    )


def _store_of(place: Place) -> Store | str:
    return reading(place) if isinstance(place, Location) else place


def create(
    place: Place,
    identity: Identity,
    unit_trials: int,
    trials: int,
    units: int,
    attributes: dict[str, Any],
    *,
    batched: bool,
) -> None:
    """Write a store whose arrays have coordinates, and no values yet.

    It is made in memory, and its files are then written together: to make it at its place took a
    bucket 120 requests, one after the other.

    Parameters
    ----------
    unit_trials
        Trials in a chunk.
    trials, units
        Lengths of the trial axis, and of the ledger's unit axis.
    batched
        Whether a source has batches of neighbouring tiles.
    """
    files: dict[str, Buffer] = {}
    memory = MemoryStore(files)
    root = zarr.create_group(memory)
    text = np.dtypes.StringDType()
    for name, values in coordinates.values_of(identity).items():
        dimensions = COST if values.ndim > 1 else (name,)
        _add_array(root, name, values.shape, values.shape, values.dtype, dimensions)
    _add_array(root, TRIAL, (trials,), (_TRIALS_PER_CHUNK,), np.dtype(np.int64), (TRIAL,))
    ledger = root.create_group("ledger")
    [names] = coordinates.moment_names().values()
    _add_array(ledger, MOMENT, names.shape, names.shape, text, (MOMENT,))[...] = names
    cells = shape(identity.axes, CELL)
    for name, metric in METRICS.items():
        curve = shape(identity.axes, metric.curve)
        _add_array(
            root, name, (*cells, *curve, trials), (1, 1, *curve, unit_trials),
            np.dtype(np.float32), (*metric.axes, TRIAL),
        )  # fmt: skip
    for name in ledger_names(batched=batched):
        _add_ledger(ledger, identity.labels, name, units)
    write_coordinates(root, identity)
    ledger.update_attributes({RECORD: attributes})
    root.update_attributes(attributes)
    consolidate(memory)
    # Without attributes it is not yet a store.
    target = zarr.create_group(_store_of(place)).store

    async def write_files() -> None:
        own = files.pop(_FILE_OF_ROOT)
        await asyncio.gather(*(target.set(key, content) for key, content in files.items()))
        await target.set(_FILE_OF_ROOT, own)

    sync(write_files())


def is_half_made(location: Location) -> bool:
    """Whether a process died while it made a store at a URL, where there is no renaming.

    Then the root has no attributes, and nothing beside what a store has, without a trial.
    """
    if location.folder:
        return False
    try:
        attributes = zarr.open_group(reading(location), mode="r", zarr_format=3).attrs
    except Exception as error:  # zarr raises whatever it meets
        refuse_unreadable(location, error)
        return False
    ours = {
        "zarr.json",
        "ledger",
        "coefficients_kept",
        TRIAL,
        *METRICS,
        *(axis.name for axis in AXES),
    }
    names = {*location.names()}
    return not dict(attributes) and names <= ours and not location.child("error", "c").exists()


def ledger_names(*, batched: bool) -> tuple[str, ...]:
    """The arrays of the ledger that have a row for each unit; the error's is among them."""
    return (*METRICS, BATCHES) if batched else tuple(METRICS)


def row_shape(labels: Labels, name: str) -> tuple[int, ...]:
    """The shape of a unit's row in an array of the ledger: its curve, and what is summed up."""
    summed = (MOST_BATCHES, len(SUMS)) if name == BATCHES else (len(MOMENTS),)
    return (*shape(labels, ledger_curve(name)), *summed)


def _add_ledger(ledger: Any, labels: Labels, name: str, units: int) -> None:
    row = row_shape(labels, name)
    rows = max(1, min(_ROWS_PER_CHUNK, _LEDGER_CHUNK_BYTES // (8 * math.prod(row))))
    summed = (BATCH, "sum") if name == BATCHES else (MOMENT,)
    _add_array(
        ledger, name, (*shape(labels, CELL), units, *row), (1, 1, rows, *row),
        np.dtype(np.float64), (*CELL, UNIT, *ledger_curve(name), *summed),
    )  # fmt: skip


def lengthen(root: Any, identity: Identity, trials: int, units: int, *, batched: bool) -> None:
    """Make axes longer where they are too short.

    Never shorter, since growing again would bring back old values.  If the process dies at any
    point, readers see the store as it was before, and calling it again completes it.

    Parameters
    ----------
    identity
        With the values that each axis is to have.
    trials, units
        Lengths of the trial axis, and of the ledger's unit axis.
    batched
        As in `create`; an array that is not there yet is added.
    """
    cells = shape(identity.axes, CELL)
    for name, metric in METRICS.items():
        _resize(root[name], (*cells, *shape(identity.axes, metric.curve), trials))
    for name in ledger_names(batched=batched):
        if name == BATCHES and f"ledger/{name}" not in root:
            _add_ledger(root["ledger"], identity.labels, name, units)
        _resize(root[f"ledger/{name}"], (*cells, units, *row_shape(identity.labels, name)))
    write_coordinates(root, identity)


def is_short(root: Any, trials: int, units: int) -> bool:
    """Whether the axes of trials and units are shorter than these lengths."""
    short: bool = root["error"].shape[-1] < trials or root["ledger/error"].shape[len(CELL)] < units
    return short


def _add_array(
    group: Any,
    name: str,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: np.dtype,
    dimensions: tuple[str, ...],
) -> Any:
    text = dtype.kind == "T"
    return group.create_array(
        name,
        attributes=_LABELS.get(name, {}) if group.path == "" else {},
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        dimension_names=dimensions,
        fill_value=np.nan if dtype.kind == "f" else "" if text else 0,
        compressors=[Crc32cCodec()] if text else CODECS,
    )


def write_coordinates(root: Any, identity: Identity) -> None:
    """Write each coordinate that does not match the identity or the length of the trial axis."""
    for name, values in (coordinates.values_of(identity) | coordinates.moment_names()).items():
        array = root[name]
        if array.shape != values.shape or not coordinates.agrees(array[...], values):
            _resize(array, values.shape)
            place = tuple(slice(0, n) for n in values.shape)
            array[place] = coordinates.known_of(values, array[place])
    trial, length = root[TRIAL], root["error"].shape[-1]
    # If the last value is wrong, an earlier growth died after it had resized the array.
    if trial.shape[0] != length or (length and trial[-1] != length - 1):
        trial.resize((length,))
        for start in range(0, length, _TRIALS_PER_CHUNK):
            stop = min(start + _TRIALS_PER_CHUNK, length)
            trial[start:stop] = np.arange(start, stop)


def _resize(array: Any, wanted: tuple[int, ...]) -> None:
    shape = tuple(max(have, want) for have, want in zip(array.shape, wanted, strict=True))
    if shape != array.shape:
        array.resize(shape)


def consolidate(place: Place) -> None:
    """Copy the metadata of every array into the root's, where xarray reads it."""
    with warnings.catch_warnings():
        # zarr warns that format 3 does not specify consolidated metadata; xarray reads it.
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(_store_of(place))


def read_values(
    root: Any, metric: str, at: dict[str, list[int]], start: int, stop: int
) -> NDArray[np.float32]:
    """Trials start .. stop - 1 of a metric, (source, block_size, curve ..., trial) float32.

    `at` has the positions along each axis.  Whatever zarr raises for a damaged chunk is passed on.
    """
    chosen = [span(at[axis]) for axis in METRICS[metric].axes]
    return np.asarray(root[metric].oindex[(*chosen, slice(start, stop))])


def read_cell(root: Any, at: dict[str, list[int]], start: int, stop: int) -> Measures:
    """All metrics of trials start .. stop - 1 of one cell, at some positions of its curves."""
    return Measures(**{name: read_values(root, name, at, start, stop)[0, 0] for name in METRICS})


def write_values(
    array: Any, metric: str, at: dict[str, list[int]], start: int, values: NDArray[Any]
) -> None:
    """Write a metric of trials start .. start + T - 1 of one cell.

    `values` is (curve ..., T); `at` has the positions along each axis, one on each of the cell's.
    """
    # Slices where possible: zarr then copies whole chunks.  For lists it builds an index of every
    # number, which takes three times as long as the rest of a unit.
    places = [*(span(at[axis]) for axis in METRICS[metric].axes),
              slice(start, start + values.shape[-1])]  # fmt: skip
    slices = [place for place in places if isinstance(place, slice)]
    if len(slices) == len(places):
        write(array, slices, values[None, None])
    else:
        array.oindex[tuple(places)] = values[None, None]


def span(places: list[int]) -> slice | list[int]:
    """Positions as a slice where they are consecutive, which zarr reads and writes faster."""
    consecutive = places == list(range(places[0], places[0] + len(places)))
    return slice(places[0], places[-1] + 1) if consecutive else places


def open_array(location: Location) -> Any:
    """An array that need not be of this program, opened to be read.

    Raises
    ------
    ValueError
        Where there is no Zarr array, or it cannot be read.
    """
    try:
        opened = zarr.open(reading(location), mode="r")
    except Exception as error:  # zarr raises whatever it meets
        refuse_unreadable(location, error)
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{location} is not a Zarr array ({type(error).__name__}: {reason})"
        ) from error
    if isinstance(opened, zarr.Group):
        names = ", ".join(sorted(opened.array_keys())) or "of which it has none"
        raise ValueError(f"{location} is a Zarr group: give an array inside it, {names}")
    return opened


def chunk_of_name(array: Any, name: str) -> tuple[int, ...] | None:
    """The chunk of an array, by its indices, that a file of this name holds; None if it is none."""
    numbers = re.fullmatch(r"c((?:[/.]\d+)*)", name)
    if not numbers:
        return None
    place = tuple(int(number) for number in re.findall(r"\d+", name))
    fits = len(place) == len(array.shape) and array.metadata.encode_chunk_key(place) == name
    return place if fits else None
