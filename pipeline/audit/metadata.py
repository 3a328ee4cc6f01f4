"""What can be wrong with the metadata and the files of a store, before any number is looked at."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asm_core.moments import MOMENTS
from pipeline.plan.identity import Identity, labels
from pipeline.store import layout, store
from pipeline.store.layout import METRICS

Place = tuple[int, int, int]


@dataclass(frozen=True)
class Finding:
    """Something that is wrong: in words, and what `repair` can do about it.

    `units` are places (source, block size, number) to be computed again, `files` what is in their
    way, `metadata` an array whose zarr.json is to be written again; `mendable` is whether any of
    this helps.
    """

    words: str
    units: tuple[Place, ...] = ()
    files: tuple[str, ...] = ()
    metadata: str | None = None
    mendable: bool = True


def identity_of_arrays(root: Any) -> Identity:
    """The identity of the arrays: after a growth that was cut short, the one to come."""
    found: Identity = json.loads(root.attrs.get("growing") or root.attrs["identity"])
    return found


def chunk_grid(array: Any) -> tuple[int, ...]:
    """How many chunks an array has along each dimension."""
    return tuple(-(-n // c) for n, c in zip(array.shape, array.chunks, strict=True))


def consolidated_copy(path: str) -> dict[str, Any]:
    """The metadata of arrays and groups as the root has a copy of it; empty where it has none."""
    if "://" in path:
        return {}
    root = json.loads(Path(path, "zarr.json").read_text())
    found: dict[str, Any] = (root.get("consolidated_metadata") or {}).get("metadata") or {}
    return found


def metadata(path: str) -> Iterator[Finding]:
    """Arrays that cannot be opened, or are not as the identity says."""
    store.provenance_of(path)
    root = layout.open_group(path)
    if root.attrs.get("growing"):
        yield Finding(
            "a growth was cut short, which the next sweep completes: nothing is lost",
            mendable=False,
        )
    identity = identity_of_arrays(root)
    sizes = {axis: len(values) for axis, values in labels(identity).items()}
    shapes: dict[str, tuple[int, ...]] = {}
    expected = {name: values.shape for name, values in layout.coordinates(identity).items()}
    for metric, curve in METRICS.items():
        lead = (sizes["source"], sizes["block_size"])
        expected[metric] = (*lead, *(sizes[axis] for axis in curve))
        expected[f"ledger/{metric}"] = (*lead, *(sizes[axis] for axis in curve), len(MOMENTS))
    expected |= {"trial": (), "ledger/moment": (len(MOMENTS),)}
    for name in expected:
        try:
            shapes[name] = root[name].shape
        except Exception as error:  # zarr raises whatever it meets
            said = " ".join(str(error).split())
            words = f"{name}/zarr.json is damaged ({type(error).__name__}: {said})"
            yield Finding(words, metadata=name)
            continue
        shape = shapes[name]
        if name in METRICS or name == "trial":
            shape = shape[:-1]
        elif name.startswith("ledger/") and len(shape) > 1:
            shape = shape[:2] + shape[3:]
        if shape != expected[name] and not root.attrs.get("growing"):
            words = f"{name} has the shape {shapes[name]}, and not that of the identity"
            yield Finding(f"{words}: restore {name}/zarr.json from a copy", mendable=False)
    if "://" not in path and not root.attrs.get("growing"):
        yield from _copy(path, shapes)
    if not root.attrs.get("growing"):
        yield from _coordinates(root, {**layout.coordinates(identity)}, shapes)


def _copy(path: str, shapes: dict[str, tuple[int, ...]]) -> Iterator[Finding]:
    """Whether the consolidated metadata, which xarray reads, is that of the arrays."""
    copy = consolidated_copy(path)
    try:
        json.loads(Path(path, "ledger", "zarr.json").read_text())
    except (OSError, ValueError) as error:
        yield Finding(f"ledger/zarr.json is damaged ({error})", metadata="ledger")
    if any(tuple(copy.get(name, {}).get("shape", ())) != shape for name, shape in shapes.items()):
        yield Finding("the consolidated metadata in zarr.json is not that of the arrays")


def _coordinates(
    root: Any, expected: dict[str, NDArray[Any]], shapes: dict[str, tuple[int, ...]]
) -> Iterator[Finding]:
    length = shapes["error"][-1] if "error" in shapes else None
    for name in (*expected, "trial"):
        if name not in shapes or (name == "trial" and length is None):
            continue
        try:
            same = (
                _counts_up(root[name], length)
                if name == "trial"
                else np.array_equal(root[name][...], expected[name])
            )
            words = f"{name} has other values than the identity"
        except Exception as error:
            same, words = False, f"{name} cannot be read ({type(error).__name__}: {error})"
        if not same:
            yield Finding(words, files=_all_files(root, name))


def _counts_up(trial: Any, length: int | None) -> bool:
    """Whether it is 0 .. length - 1; read in pieces."""
    step = trial.chunks[0]
    return (
        length is not None
        and trial.shape == (length,)
        and all(
            np.array_equal(trial[k : k + step], np.arange(k, min(k + step, length)))
            for k in range(0, length, step)
        )
    )


def _all_files(root: Any, name: str) -> tuple[str, ...]:
    folder = Path(str(root.store_path).removeprefix("file://"), name, "c")
    return tuple(str(file) for file in folder.rglob("*") if file.is_file())


def foreign_files(path: str) -> Iterator[Finding]:
    """Leftovers of processes that died, and files that are none of the store's."""
    if "://" in path:
        return
    late = store.leftovers(path)
    for name in late:
        files = (name,) if Path(name).is_file() else ()
        yield Finding(f"{name} was left half written by a process that died", files=files)
    arrays = dict(_arrays(layout.open_group(path)))
    for file in sorted(p for p in Path(path).rglob("*") if p.is_file()):
        name = file.relative_to(path).as_posix()
        if any(file.is_relative_to(leftover) for leftover in late) or name == "zarr.json":
            continue
        if re.fullmatch(r"(ledger|journal)/zarr\.json", name):
            continue
        array = next((a for a in arrays if name.startswith(f"{a}/")), None)
        if array is None and name.startswith("journal/"):
            continue
        if array is None or not _is_of(arrays[array], name.removeprefix(f"{array}/")):
            yield Finding(
                f"{file} is none of the store's files: it does no harm, delete it", mendable=False
            )


def _arrays(root: Any) -> Iterator[tuple[str, Any]]:
    # By name: zarr warns of whatever else it lists.
    coordinates = layout.coordinates(identity_of_arrays(root))
    ledger = [f"ledger/{name}" for name in (*METRICS, "moment")]
    for name in (*METRICS, *coordinates, "trial", *ledger, "journal/rows"):
        # One whose metadata is damaged is told of elsewhere.
        with suppress(KeyError, ValueError):
            yield name, root[name]


def _is_of(array: Any, name: str) -> bool:
    if name == "zarr.json":
        return True
    parts = re.split(r"[/.]", name)
    grid = chunk_grid(array)
    return (
        parts[0] == "c"
        and len(parts) == 1 + len(grid)
        and all(part.isdecimal() for part in parts[1:])
    )
