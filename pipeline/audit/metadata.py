"""What can be wrong with the metadata and the files of a store, before any number is read."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from asm_core.moments import MOMENTS
from pipeline.audit.problem import Problem, of_reading
from pipeline.errors import UnreadableError
from pipeline.plan.axes import CELL, METRICS, MOMENT, TRIAL, shape
from pipeline.store import layout
from pipeline.store.leftovers import files_in, leftovers
from pipeline.store.store import Store

Shapes = dict[str, tuple[int, ...]]


def check_metadata(store: Store) -> Iterator[Problem]:
    """Arrays that cannot be opened, or whose shape or coordinates do not match the identity."""
    if store.record.growing:
        yield Problem(
            "a growth was cut short, which the next sweep completes: nothing is lost",
            mendable=False,
        )
    shapes: Shapes = {}
    for name, expected in _expected_shapes(store).items():
        try:
            shapes[name] = store.root[name].shape
        except Exception as error:  # zarr raises whatever it meets
            yield of_reading(f"{name}/zarr.json", error, metadata=name)
            continue
        if _without_growing(name, shapes[name]) != expected and not store.record.growing:
            words = f"{name} has the shape {shapes[name]}, and not that of the identity"
            yield Problem(f"{words}: restore {name}/zarr.json from a copy", mendable=False)
    if not store.record.growing:
        yield from _check_copy(store, shapes)
        yield from _check_coordinates(store, shapes)


def consolidated_copy(store: Store) -> dict[str, Any]:
    """The root's copy of the metadata of all arrays and groups; empty if there is none."""
    if not store.location.folder:
        return {}
    root = json.loads(store.location.child("zarr.json").read())
    copy: dict[str, Any] = (root.get("consolidated_metadata") or {}).get("metadata") or {}
    return copy


def check_files(store: Store) -> Iterator[Problem]:
    """Files that a process left half written, and files that do not belong to the store."""
    folder = store.location.folder
    if folder is None:
        return
    try:
        late, files_there = leftovers(store.location), files_in(folder)
    except UnreadableError as error:
        yield of_reading("the list of files", error)
        return
    for name in late:
        files = (name,) if Path(name).is_file() else ()
        yield Problem(f"{name} was left half written by a process that died", files=files)
    arrays = dict(_arrays(store))
    for file in map(Path, files_there):
        name = file.relative_to(folder).as_posix()
        if any(file.is_relative_to(leftover) for leftover in late):
            continue
        if not _is_of_store(arrays, name):
            yield Problem(
                f"{file} is none of the store's files: it does no harm, delete it", mendable=False
            )


def _expected_shapes(store: Store) -> Shapes:
    """The shape of each array by the identity, without its trial and unit axes."""
    identity = store.record.identity_of_arrays
    shapes = {name: values.shape for name, values in layout.coordinates(identity).items()}
    for name, metric in METRICS.items():
        shapes[name] = shape(identity.axes, metric.axes)
    for name in layout.ledger_names(batched=store.record.batched):
        cells = shape(identity.axes, CELL)
        shapes[f"ledger/{name}"] = (*cells, *layout.row_shape(identity.labels, name))
    return shapes | {TRIAL: (), f"ledger/{MOMENT}": (len(MOMENTS),)}


def _without_growing(name: str, whole: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of an array without its trial or unit axis, which grow with the trials."""
    if name in METRICS or name == TRIAL:
        return whole[:-1]
    if name.startswith("ledger/") and len(whole) > 1:
        return (*whole[: len(CELL)], *whole[len(CELL) + 1 :])
    return whole


def _check_copy(store: Store, shapes: Shapes) -> Iterator[Problem]:
    """Whether the consolidated metadata, which xarray reads, is that of the arrays."""
    if not store.location.folder:
        return
    try:
        json.loads(store.location.child("ledger", "zarr.json").read())
    except (OSError, ValueError) as error:
        yield of_reading("ledger/zarr.json", error, metadata="ledger")
    copy = consolidated_copy(store)
    if any(tuple(copy.get(name, {}).get("shape", ())) != shape for name, shape in shapes.items()):
        yield Problem("the consolidated metadata in zarr.json is not that of the arrays")


def _check_coordinates(store: Store, shapes: Shapes) -> Iterator[Problem]:
    expected = layout.coordinates(store.record.identity)
    for name in (*expected, TRIAL):
        if name not in shapes or (name == TRIAL and "error" not in shapes):
            continue
        try:
            same = (
                _counts_up(store.root[name], shapes["error"][-1])
                if name == TRIAL
                else np.array_equal(store.root[name][...], expected[name])
            )
        except Exception as error:  # zarr raises whatever it meets
            yield of_reading(name, error, files=_all_files(store, name))
            continue
        if not same:
            words = f"{name} has other values than the identity"
            yield Problem(words, files=_all_files(store, name))


def _counts_up(trial: Any, length: int) -> bool:
    """Whether the values of `trial` are 0 .. length - 1; read in pieces."""
    step = trial.chunks[0]
    return trial.shape == (length,) and all(
        np.array_equal(trial[k : k + step], np.arange(k, min(k + step, length)))
        for k in range(0, length, step)
    )


def _all_files(store: Store, name: str) -> tuple[str, ...]:
    folder = store.location.child(name, "c").folder
    return tuple(files_in(folder)) if folder else ()


def _arrays(store: Store) -> Iterator[tuple[str, Any]]:
    # By name: listing a group makes zarr warn of every foreign file in it.
    coordinates = layout.coordinates(store.record.identity_of_arrays)
    ledger = [f"ledger/{name}" for name in (*layout.ledger_names(batched=True), MOMENT)]
    for name in (*METRICS, *coordinates, TRIAL, *ledger, "journal/rows"):
        # One whose metadata is damaged or cannot be read is reported elsewhere.
        with suppress(Exception):
            yield name, store.root[name]


def _is_of_store(arrays: dict[str, Any], name: str) -> bool:
    """Whether a file of this name, inside the store, is one of its files."""
    if re.fullmatch(r"((ledger|journal)/)?zarr\.json", name):
        return True
    array = next((a for a in arrays if name.startswith(f"{a}/")), None)
    if array is None:
        return name.startswith("journal/")
    inside = name.removeprefix(f"{array}/")
    return inside == "zarr.json" or layout.chunk_of_name(arrays[array], inside) is not None
