"""The arrays of a store: made, grown, and read.  (zarr format 3, one group, consolidated metadata)

    error            source, block_size, operation, selection, algorithm, freq, trial    float32
    mask_accuracy, regret    the same without algorithm                                  float32
    one coordinate array per dimension; coefficients_kept (selection, block_size, freq)
    ledger/error, ledger/mask_accuracy, ledger/regret
                     source, block_size, unit, the curve's dimensions, moment         float64

A chunk of `error` is one unit.  Values that an axis gains later come after those that it has, in
chunks of their own or in the free places of the last one.  NaN means not measured.  (A ledger of
its own group keeps the Dataset that `xarray.open_zarr` shows clean.)
"""

import math
import os
import warnings
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from asm_core import Measures, coefficients_kept, frequency_rank
from asm_core.moments import MOMENTS
from pipeline.plan.identity import Identity, labels, places

CURVE = ("operation", "selection", "algorithm", "freq")
_MASK_CURVE = tuple(name for name in CURVE if name != "algorithm")
METRICS = {
    # The first is written last: its ledger row says that the unit is complete.
    "error": CURVE,
    "mask_accuracy": _MASK_CURVE,
    "regret": _MASK_CURVE,
}
# blosc-lz4 with its bits shuffled writes 1.9 GB/s and halves the size of mask accuracies, against
# 1.3 GB/s with bytes shuffled; crc32c catches a flipped bit that blosc reads silently.
# Blocks of 256 KiB stay in the second-level cache: storing a unit takes a tenth less.
_CODECS = [BloscCodec(cname="lz4", shuffle="bitshuffle", blocksize=1 << 18), Crc32cCodec()]
_TRIALS_PER_CHUNK = 1 << 20
# Threads that compress and write: as many as cores, unless somebody has said how many.  Each keeps
# the memory of what it compressed; with zarr's four more, a sweep on two cores took 60 MB more, and
# 4 % longer.
if zarr.config.get("threading.max_workers") is None:
    zarr.config.set({"threading.max_workers": os.cpu_count()})
# Rows of the ledger in a chunk, and what the chunk may hold: 1,000 chunks of one row took 2 s to
# read, one of 1,000 rows 10 ms.
_ROWS_PER_CHUNK = 1024
_LEDGER_CHUNK_BYTES = 1 << 22
# What xarray writes on the axes of a plot.
_LABELS = {
    "error": {"long_name": "error (RMSE of each block)"},
    "mask_accuracy": {"long_name": "mask accuracy", "units": "1"},
    "regret": {"long_name": "regret (mean over windows of exact extreme - chosen sample)"},
    "freq": {"long_name": "spatial frequencies kept, n"},
    "coefficients_kept": {"long_name": "DCT coefficients kept"},
}


def open_group(path: str, mode: str = "r", *, consolidated: bool = False) -> Any:
    """The root group: with the metadata on disk, or with the consolidated copy of it.

    The copy may be older after a crash; but attributes are written in one piece with it.
    """
    return zarr.open_group(path, mode=mode, zarr_format=3, use_consolidated=consolidated)  # type: ignore


def create(
    path: str, identity: Identity, unit_trials: int, length: int, units: int, attributes: Any
) -> None:
    """Write a store without values.

    Parameters
    ----------
    length, units
        Of the trial axis, and of the ledger's unit axis.
    """
    root = zarr.create_group(path)
    text = np.dtypes.StringDType()
    for name, values in coordinates(identity).items():
        dimensions = ("selection", "block_size", "freq") if values.ndim > 1 else (name,)
        _add_array(root, name, values.shape, values.shape, values.dtype, dimensions)[...] = values
    _add_array(root, "trial", (0,), (_TRIALS_PER_CHUNK,), np.dtype(np.int64), ("trial",))
    ledger = root.create_group("ledger")
    names = np.array(MOMENTS, dtype=text)
    _add_array(ledger, "moment", names.shape, names.shape, text, ("moment",))[...] = names
    sizes = {axis: len(values) for axis, values in labels(identity).items()}
    cells = sizes["source"], sizes["block_size"]
    for metric, curve in METRICS.items():
        shape = tuple(sizes[name] for name in curve)
        _add_array(
            root, metric, (*cells, *shape, 0), (1, 1, *shape, unit_trials),
            np.dtype(np.float32), ("source", "block_size", *curve, "trial"),
        )  # fmt: skip
        row = 8 * len(MOMENTS) * math.prod(shape)
        rows = max(1, min(_ROWS_PER_CHUNK, _LEDGER_CHUNK_BYTES // row))
        _add_array(
            ledger, metric, (*cells, 0, *shape, len(MOMENTS)), (1, 1, rows, *shape, len(MOMENTS)),
            np.dtype(np.float64), ("source", "block_size", "unit", *curve, "moment"),
        )  # fmt: skip
    _lengthen(root, identity, length, units)
    # Last, because they say that this is a store.
    root.attrs.update(attributes)
    consolidate(path)


def grow(path: str, identity: Identity, length: int, units: int, attributes: Any) -> None:
    """Make axes longer where they are too short, never shorter: growing again would show old data.

    Cut short anywhere, it leaves the store as it was for whoever reads it, and can be repeated.
    """
    _lengthen(open_group(path, mode="r+"), identity, length, units)
    consolidate(path)
    set_attributes(path, attributes)


def set_attributes(path: str, attributes: dict[str, Any]) -> None:
    """Change attributes of the root, in one write of one file."""
    open_group(path, mode="r+", consolidated=True).attrs.update(attributes)


def coordinates(identity: Identity) -> dict[str, NDArray[Any]]:
    """The values of every coordinate array but trial."""
    text = np.dtypes.StringDType()
    found = {
        axis: np.array(values, dtype=np.int64 if axis in ("block_size", "freq") else text)
        for axis, values in labels(identity).items()
    }
    found["coefficients_kept"] = np.array(
        [
            [_kept(entry, size, identity["freq"]) for size in identity["block_size"]]
            for entry in identity["selection"].values()
        ]
    )
    return found


def _kept(selection: dict[str, Any], size: int, freqs: list[int]) -> list[int]:
    """How many coefficients each frequency keeps."""
    parameters = {key: value for key, value in selection.items() if key != "kind"}
    ranks = frequency_rank(size, selection["kind"], **parameters)
    return [coefficients_kept(size, n, ranks) for n in freqs]


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
        compressors=[Crc32cCodec()] if text else _CODECS,
    )


def _lengthen(root: Any, identity: Identity, length: int, units: int) -> None:
    sizes = {axis: len(values) for axis, values in labels(identity).items()}
    cells = sizes["source"], sizes["block_size"]
    for metric, curve in METRICS.items():
        shape = tuple(sizes[name] for name in curve)
        _resize(root[metric], (*cells, *shape, length))
        _resize(root[f"ledger/{metric}"], (*cells, units, *shape, len(MOMENTS)))
    write_coordinates(root, identity)


def write_coordinates(root: Any, identity: Identity) -> None:
    """Write every coordinate that is not as the identity and the length of the trials want it."""
    for name, values in coordinates(identity).items():
        array = root[name]
        if array.shape != values.shape or not np.array_equal(array[...], values):
            _resize(array, values.shape)
            array[tuple(slice(0, n) for n in values.shape)] = values
    trial, length = root["trial"], root["error"].shape[-1]
    # The last value says whether an earlier growth was cut short between size and values.
    if trial.shape[0] != length or (length and trial[-1] != length - 1):
        trial.resize((length,))
        for start in range(0, length, _TRIALS_PER_CHUNK):
            stop = min(start + _TRIALS_PER_CHUNK, length)
            trial[start:stop] = np.arange(start, stop)


def _resize(array: Any, wanted: tuple[int, ...]) -> None:
    shape = tuple(max(have, want) for have, want in zip(array.shape, wanted, strict=True))
    if shape != array.shape:
        array.resize(shape)


def consolidate(path: str) -> None:
    """Copy the metadata of every array into the root's, where xarray reads it."""
    with warnings.catch_warnings():
        # zarr warns that format 3 does not specify consolidated metadata; xarray reads it.
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(path)


def read_trials(
    root: Any, identity: Identity, wanted: dict[str, list[Any]], start: int, stop: int
) -> Measures:
    """Trials of one cell that a store keeps, for some values of its axes, as a unit has them.

    Read through the arrays themselves: a damaged chunk is an error.
    """
    at = places(identity, wanted)
    return Measures(**{name: read_values(root, name, at, start, stop)[0, 0] for name in METRICS})


def read_values(
    root: Any, metric: str, at: dict[str, list[int]], start: int, stop: int
) -> NDArray[np.float32]:
    """Trials of one metric at some places of its axes, (source, block_size, curve ..., trial)."""
    chosen = [span(at[axis]) for axis in ("source", "block_size", *METRICS[metric])]
    return np.asarray(root[metric].oindex[(*chosen, slice(start, stop))])


def span(places: list[int]) -> slice | list[int]:
    """Places as a slice where they follow each other, which zarr reads and writes faster."""
    consecutive = places == list(range(places[0], places[0] + len(places)))
    return slice(places[0], places[-1] + 1) if consecutive else places
