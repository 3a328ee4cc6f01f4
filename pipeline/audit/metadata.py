"""What can be wrong with the metadata and the files of a store, before any number is read."""

import dataclasses
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from asm_core.moments import MOMENTS
from pipeline.audit.problem import Problem, of_reading
from pipeline.errors import UnreadableError, refuse_unreadable
from pipeline.planning.axes import CELL, METRICS, MOMENT, TRIAL, shape
from pipeline.store import coordinates, layout
from pipeline.store.attributes import has_copied_attributes
from pipeline.store.damage import copied_record
from pipeline.store.leftovers import files_of, leftovers
from pipeline.store.store import Store

Shapes = dict[str, tuple[int, ...]]


def check_metadata(store: Store) -> Iterator[Problem]:
    """Arrays that cannot be opened, or whose shape or coordinates do not match the identity."""
    if store.record.growing:
        yield Problem(
            "a growth was cut short, which the next sweep completes: nothing is lost",
            mendable=False,
            harmless=True,
        )
    shapes: Shapes = {}
    kept, copies = consolidated_copy(store), {} if store.record.growing else _copies(store)
    for name, expected in _expected_shapes(store).items():
        try:
            own = _metadata(store.root[name])
        except Exception as error:  # zarr raises whatever it meets
            problem = of_reading(f"{name}/zarr.json", error, metadata=name)
            if not problem.unread and name not in kept:
                remedy = "restore it from a copy, or delete the store and run the sweep again"
                words = f"{problem.words}: {remedy}"
                problem = dataclasses.replace(problem, words=words, mendable=False)
            yield problem
            continue
        if store.record.growing:
            continue
        unlike = _unlike(name, own, copies.get(name), expected)
        if unlike:
            yield unlike
        else:
            shapes[name] = own["shape"]
    if not store.record.growing:
        yield from _check_copy(store, shapes)
        yield from _check_coordinates(store, shapes)


def _unlike(
    name: str, own: dict[str, Any], copy: dict[str, Any] | None, expected: tuple[int, ...]
) -> Problem | None:
    """The problem that an array's metadata are not what its identity, or their copy, says.

    No checksum guards them, and with other ones good chunks are read as others, or not at all:
    where it is not known which are right, nothing may be mended by them.
    """
    shape, file = own["shape"], f"{name}/zarr.json"
    fits = _without_growing(name, shape) == expected
    words = f"{name} has the shape {shape}, and not that of the identity"
    if copy is None or _without_growing(name, copy["shape"]) != expected:
        remedy = f"restore {file} from a copy"
        return None if fits else Problem(f"{words}: {remedy}", metadata=name, mendable=False)
    if not fits:
        return Problem(words, metadata=name)
    if any(a < b for a, b in zip(shape, copy["shape"], strict=True)):
        return Problem(f"{name} is shorter than its copy in zarr.json says", metadata=name)
    keys = [key for key in own if key != "shape" and _text(own[key]) != _text(copy.get(key))]
    if not keys:
        return None
    return Problem(
        f"{file} and its copy in the store's zarr.json differ in {', '.join(keys)}: restore what "
        f"is wrong from a copy; once {file} is deleted, repair=true makes it of the copy",
        metadata=name, mendable=False,
    )  # fmt: skip


def _copies(store: Store) -> dict[str, dict[str, Any]]:
    """The root's copy of the metadata of each array, as zarr understands them today."""
    try:
        root = layout.open_root(store.location, consolidated=True)
    except Exception as error:  # zarr raises whatever it meets
        refuse_unreadable(store, error)
        return {}
    copies = {}
    for name in _expected_shapes(store):
        with suppress(Exception):
            copies[name] = _metadata(root[name])
    return copies


def _metadata(array: Any) -> dict[str, Any]:
    """What an array says of itself; a group, which has no shape, raises."""
    return {**array.metadata.to_dict(), "shape": array.shape}


def _text(value: Any) -> str:
    """Of NaN, which does not equal itself, too."""
    return json.dumps(value, default=str, sort_keys=True)


def consolidated_copy(store: Store) -> dict[str, Any]:
    """The root's copy of the metadata of all arrays and groups; empty if there is none."""
    root = json.loads(store.location.child("zarr.json").read())
    copy: dict[str, Any] = (root.get("consolidated_metadata") or {}).get("metadata") or {}
    return copy


def check_files(store: Store) -> Iterator[Problem]:
    """Files that a process left half written, and files that do not belong to the store."""
    try:
        late, files_there = leftovers(store.location), files_of(store.location)
    except UnreadableError as error:
        yield of_reading("the list of files", error)
        return
    for name in late:
        files = (name,) if name.endswith(".partial") and Path(name).is_file() else ()
        yield Problem(
            f"{name} was left half written by a process that died, and does no harm: repair=true "
            "removes it",
            files=files, harmless=True,
        )  # fmt: skip
    arrays = dict(_arrays(store))
    for file in files_there:
        name = file.removeprefix(f"{store.location}/")
        if any(f"{file}/".startswith(f"{leftover}/") for leftover in late):
            continue
        if not _is_of_store(arrays, name):
            yield Problem(
                f"{file} is none of the store's files, and does no harm",
                mendable=False,
                harmless=True,
            )


def _expected_shapes(store: Store) -> Shapes:
    """The shape of each array by the identity, without its trial and unit axes."""
    identity = store.record.identity_of_arrays
    shapes = {name: values.shape for name, values in coordinates.values_of(identity).items()}
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
    try:
        has_copy = has_copied_attributes(store.location)
    except Exception as error:  # zarr raises whatever it meets
        yield of_reading("ledger/zarr.json", error, metadata="ledger")
    else:
        if has_copy and copied_record(store.location) is None:
            words = "ledger/zarr.json: its copy of what the store says of itself is damaged"
            yield Problem(words, metadata="ledger")
    copy = consolidated_copy(store)
    if any(tuple(copy.get(name, {}).get("shape", ())) != shape for name, shape in shapes.items()):
        yield Problem("the consolidated metadata in zarr.json is not that of the arrays")


def _check_coordinates(store: Store, shapes: Shapes) -> Iterator[Problem]:
    expected = coordinates.values_of(store.record.identity) | coordinates.moment_names()
    for name in (*expected, TRIAL):
        if name not in shapes or (name == TRIAL and "error" not in shapes):
            continue
        try:
            same = (
                _counts_up(store.root[name], shapes["error"][-1])
                if name == TRIAL
                else coordinates.agrees(store.root[name][...], expected[name])
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
    return tuple(files_of(store.location.child(name, "c")))


def _arrays(store: Store) -> Iterator[tuple[str, Any]]:
    # By name: listing a group makes zarr warn of every foreign file in it.
    known = coordinates.values_of(store.record.identity_of_arrays)
    ledger = [f"ledger/{name}" for name in (*layout.ledger_names(batched=True), MOMENT)]
    for name in (*METRICS, *known, TRIAL, *ledger, "journal/rows"):
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
