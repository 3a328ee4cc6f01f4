"""Stores opened in xarray: labelled, and several as one dataset."""

import dataclasses
import functools
import glob
import json
import operator
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pipeline.analysis.neighbours import with_batches
from pipeline.errors import UserError, count_of, runs_of
from pipeline.planning.axes import AXES, BATCH, COST, METRICS, NAMES, TRIAL
from pipeline.planning.identity import Identity, conflicts, joined, positions
from pipeline.store import coordinates
from pipeline.store.damage import naming_damage
from pipeline.store.files import reading
from pipeline.store.location import Location, path_text
from pipeline.store.record import CHECKSUM, Record, as_stored
from pipeline.store.store import Store

Place = str | os.PathLike[str]

# Attributes of a store that a person reads; all are in `record`.
_READ = ("title", "seed", "created", "ended", "versions", "commit", "dirty", "processor")
# Coordinates beside the axes, and the trials.
_BESIDE = {
    "coefficients_kept": ("DCT coefficients kept", "how many of the N x N coefficients are kept"),
    "share_kept": (
        "share of coefficients kept", "coefficients kept / (N x N), which block sizes share"
    ),
    "phi": (
        "spatial frequencies as the paper counts them, phi = n + 1",
        "number of diagonals of coefficients that are kept, the DC being the first",
    ),
    BATCH: ("batch of neighbours", "tiles of one batch are not independent; -1 where trials are"),
    TRIAL: ("trial", "number of the block: block t of a source is the same in every sweep"),
}  # fmt: skip


def open_results(path: Place | Iterable[Place], chunks: Any = "auto") -> xr.Dataset:
    """Open the store of a sweep, or several as one, lazily.

    Parameters
    ----------
    path
        Of the store, as `sweep` printed it: a folder or a URL; a pattern, as
        ``"results/sweep-*.zarr"``; or several of these.  Stores are put together along whichever
        axes they differ in; where two have the same point, the first that has measured it counts.
    chunks
        As xarray has it: "auto" takes the chunks of the store, each a unit of trials,
        ``{"trial": 10**6}`` larger ones; None opens a single store without Dask.

    Returns
    -------
    xarray.Dataset
        `error` (source, block_size, operation, selection, algorithm, freq, trial) float32, RMSE
        per trial in the unit of the samples; `mask_accuracy` without algorithm, 0 .. 1, and
        `regret`, in the unit of the samples (NaN for ReLU, which has none); NaN = not measured.
        Coordinates are sorted, and each has a `long_name` and a `description`; beside the axes are
        `coefficients_kept` and `share_kept` (selection, block_size, freq), and `phi` (freq), n + 1.
        The attributes hold the provenance in words: `title`, `description`, `command`, `seed`,
        `versions`, `commit`; `record`, what the store says of itself, as JSON; and `store`, the
        path or URL of the store, or one on each line.  Trials that the store does not keep
        (`store_trials`) are left out, but count in `summarize` of the store's path.

    Raises
    ------
    UserError
        Where there is no such store, or no dataset can hold several: they mean different things by
        the same name, or differ in what is no axis, as the seed.

    Examples
    --------
    >>> import pipeline
    >>> sizes = [pipeline.sweep(block_size=size, trials=100).attrs["store"] for size in (4, 8)]
    >>> pipeline.open_results(sizes).block_size.values.tolist()
    [4, 8]
    """
    stores = [store_at(each) for each in places_of(path)]
    if len(stores) == 1:
        return opened(stores[0], chunks)
    return _together(stores, chunks)


def places_of(path: Place | Iterable[Place]) -> list[str]:
    """The stores that a path, a pattern, or several of them stand for.

    Raises
    ------
    UserError
        For a pattern that nothing matches, or no path at all.
    """
    # A dataset is none, though it iterates, over its names.
    several = isinstance(path, Iterable) and not isinstance(path, str | os.PathLike | Mapping)
    given: list[Any] = list(path) if several else [path]  # type: ignore[arg-type]
    places = []
    for one in given:
        each = path_text(one)
        text = os.path.expanduser(each)
        if "://" in text or os.path.lexists(text) or not glob.has_magic(text):
            places.append(each)
            continue
        found = sorted(glob.glob(text))
        if not found:
            raise UserError(f"nothing matches {each}: give the path of a store")
        places += found
    if not places:
        raise UserError("no store is given: give the path of one, or several")
    return list(dict.fromkeys(places))


def store_at(path: Place) -> Store:
    """The store at a path or URL that a user wrote."""
    location = Location.of(path)
    location.check_openable()
    return Store.open(location)


def named(stores: Sequence[Store]) -> dict[str, Store]:
    """Each store by the last part of its path, or by the whole path where that is not its own."""
    short = [store.location.name.removesuffix(".zarr") for store in stores]
    unique = len(set(short)) == len(stores)
    return dict(zip(short if unique else map(str, stores), stores, strict=True))


def opened(store: Store, chunks: Any = "auto") -> xr.Dataset:
    """A store as a dataset, lazily."""
    try:
        return _opened(store, chunks)
    except UserError as error:
        if isinstance(chunks, str) and chunks == "auto":
            raise
        # Where the store is damaged, this fails as well.
        _opened(store, "auto")
        raise UserError(
            f'chunks={chunks!r} are none as xarray takes them: give "auto", None, a number, or a '
            'number for an axis, as {"trial": 100000}'
        ) from error


def _opened(store: Store, chunks: Any) -> xr.Dataset:
    with naming_damage(store.location):
        # xarray would read a million trial numbers to build an index; a range is the same.
        dataset: xr.Dataset = xr.open_zarr(
            reading(store.location), drop_variables=TRIAL, chunks=chunks
        )
        # A growth that was cut short may have made the axes longer than their labels.
        lengths = {axis: len(values) for axis, values in store.labels.items()}
        if any(dataset.sizes[axis] > length for axis, length in lengths.items()):
            dataset = dataset.isel({axis: slice(length) for axis, length in lengths.items()})
        # The file of a coordinate that is missing reads as zeros: right numbers, other names.
        for name, values in coordinates.values_of(store.record.identity).items():
            if not coordinates.agrees(dataset[name].to_numpy(), values):
                raise ValueError(f"{name} has other values than the identity")
        numbers = pd.RangeIndex(dataset.sizes[TRIAL], name=TRIAL)
        dataset = with_batches(dataset.assign_coords({TRIAL: numbers}))
        unsorted = [axis for axis in NAMES if not dataset.indexes[axis].is_monotonic_increasing]
        dataset = dataset.sortby(unsorted) if unsorted else dataset
        attributes = provenance(store.record, dataset.attrs, str(store))
        # Codecs of Zarr, which no other file has: whoever writes it again chooses for himself.
        dataset = dataset.drop_encoding()
        kept = dataset["coefficients_kept"]
        return _labelled(dataset, store.record, [kept]).assign_attrs(attributes)


def provenance(record: Record, attributes: Mapping[str, Any], store: str) -> dict[str, Any]:
    """What a dataset says of what made it: for a person, and in `record` for the program."""
    said = {key: value for key, value in as_stored(attributes).items() if key != CHECKSUM}
    return {
        "title": said.get("title", ""),
        "description": in_words(record),
        "command": "\n".join(record.commands(store)),
        **{key: said[key] for key in _READ[1:] if key in said},
        "store": store,
        "record": json.dumps(said),
    }


def in_words(record: Record) -> str:
    """What was run, as a sentence."""
    labels = {axis: sorted(values) for axis, values in record.identity.labels.items()}
    sizes = _listed(f"{size} x {size}" for size in labels["block_size"])
    named = {
        axis: f"{axis}{'s' * (len(labels[axis]) > 1)} {_listed(map(str, labels[axis]))}"
        for axis in ("source", "operation", "selection")
    }
    asked = [max(map(max, run.wanted.cell_trials)) for run in record.runs]
    trials = f"{count_of(max(asked), 'trial')}, " if asked else ""
    return (
        f"Error of {_listed(labels['algorithm'])} with {named['operation']}, on {sizes} blocks of "
        f"{named['source']}, n = {runs_of(labels['freq'])} of {named['selection']}; "
        f"{trials}seed {record.identity.fixed['seed']}"
    )


def _listed(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _together(stores: Sequence[Store], chunks: Any) -> xr.Dataset:
    """Several stores as one dataset, lazily."""
    identity = functools.reduce(_joined, ((store, store.record.identity) for store in stores))[1]
    labels = {axis: sorted(values) for axis, values in identity.labels.items()}
    parts = [opened(store, "auto" if chunks is None else chunks) for store in stores]
    trials = max(part.sizes[TRIAL] for part in parts)
    shapes = [
        # Batches are found anew: they are not of the points that another store has.
        part[list(METRICS)].reset_coords(drop=True).pipe(_lengthened, trials).reindex(labels)
        for part in parts
    ]
    merged = functools.reduce(xr.Dataset.combine_first, shapes)
    # Text as stores have it, which Zarr and netCDF can both keep.
    known = coordinates.values_of(identity)
    merged = merged.assign_coords({axis: np.sort(known[axis]) for axis in NAMES})
    record = dataclasses.replace(
        stores[0].record, identity=identity, growing=None, quarantined=(),
        runs=tuple(run for store in stores for run in store.record.runs),
        tiles={
            name: functools.reduce(operator.or_, (s.record.tiles.get(name, {}) for s in stores))
            for store in stores for name in store.record.tiles
        },
        units=functools.reduce(operator.or_, (dict(s.record.units) for s in stores)),
    )  # fmt: skip
    attributes = provenance(record, record.attributes(), "\n".join(map(str, stores)))
    attributes["command"] = "\n".join(part.attrs["command"] for part in parts)
    merged = with_batches(merged.assign_attrs(attributes))
    kept = [part["coefficients_kept"] for part in parts]
    return _labelled(merged, record, kept).assign_attrs(attributes)


def _lengthened(part: xr.Dataset, trials: int) -> xr.Dataset:
    """A dataset with so many trials, the others not measured."""
    numbers = pd.RangeIndex(trials, name=TRIAL)
    # Of none there is no chunk that could be continued.
    if not part.sizes[TRIAL]:
        return part.reindex({TRIAL: numbers})
    return part.pad({TRIAL: (0, trials - part.sizes[TRIAL])}).assign_coords({TRIAL: numbers})


def _joined(one: tuple[Store, Identity], other: tuple[Store, Identity]) -> tuple[Store, Identity]:
    (first, ours), (second, theirs) = one, other
    both = joined(ours, theirs)
    if both is None:
        raise UserError(
            f"{first} and {second} cannot be one dataset: {'; '.join(conflicts(ours, theirs))}: "
            "open each by itself, and put them together with xarray.concat and a name of yours"
        )
    return first, both


def _labelled(dataset: xr.Dataset, record: Record, stored: Sequence[xr.DataArray]) -> xr.Dataset:
    """A dataset with coordinates beside the axes, and with labels on all that it has.

    `stored` is how many coefficients its stores say that they keep.
    """
    identity = record.identity
    kept = coordinates.values_of(identity)["coefficients_kept"]
    at = positions(identity.labels, {axis: dataset[axis].to_numpy().tolist() for axis in NAMES})
    chosen = kept[np.ix_(*(at[axis] for axis in COST))]
    for each in stored:
        whole = each.drop_vars([name for name in each.coords if name not in COST])
        values = {axis: dataset[axis] for axis in COST}
        whole = whole.reindex(values, fill_value=coordinates.UNKNOWN)
        chosen = coordinates.known_of(chosen, whole.transpose(*COST).to_numpy())
    dataset = dataset.assign_coords(coefficients_kept=(COST, chosen))
    sizes = dataset["block_size"].astype(np.float64)
    share = dataset["coefficients_kept"] / sizes**2
    dataset = dataset.assign_coords(share_kept=share, phi=dataset["freq"] + 1).drop_attrs()
    for name, attributes in _attributes(record).items():
        if name in dataset.variables:
            dataset[name].attrs.update(attributes)
    return dataset


def _attributes(record: Record) -> dict[str, dict[str, str]]:
    """`long_name`, `description` and `units` of everything that a dataset may have."""
    return {
        **{
            axis.name: {"long_name": axis.long_name, "description": axis.description}
            | ({"units": "1"} if axis.whole else {})
            for axis in AXES
        },
        **{
            name: {
                "long_name": metric.long_name,
                "description": metric.description,
                "units": metric.units or record.unit_of_samples,
            }
            for name, metric in METRICS.items()
        },
        **{
            name: {"long_name": long_name, "description": description, "units": "1"}
            for name, (long_name, description) in _BESIDE.items()
        },
    }
