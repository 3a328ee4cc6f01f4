"""The Zarr store of a sweep: prepare it, write a unit, read what it lists and says of itself.

What its arrays are is told in `pipeline.store.layout`, what is complete in `pipeline.store.ledger`.
"""

import json
import os
import posixpath
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import zarr

from asm_core import Measures
from asm_core.moments import moments_of
from pipeline.config import notation
from pipeline.errors import UserError
from pipeline.plan.identity import NAMED, Identity, differences, joined, places
from pipeline.plan.plan import LAYOUT_VERSION, Plan, Unit
from pipeline.store import layout, ledger
from pipeline.store.layout import METRICS

ALL = "all"


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Say of a store that cannot be read which one it is, in one line, whatever zarr raised.

    Raises
    ------
    UserError
        For any exception of another kind.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise _damaged(path, error) from error


def is_store(path: str) -> bool:
    """Whether there is a zarr group that this program wrote."""
    return attributes_of(path) is not None


def prepare(path: str, plan: Plan, provenance: dict[str, Any], *, extend: bool = False) -> Plan:
    """Create the store of a plan, or make the existing one ready to take its missing units.

    Only for whoever holds the store's lock.

    Returns
    -------
    Plan
        The plan with the unit size that the store has.

    Raises
    ------
    UserError
        Where `path` holds another experiment or something else, or cannot be written.
    """
    attributes = attributes_of(path)
    try:
        if attributes is None:
            _create(path, plan, provenance)
        else:
            plan = _match(path, plan, attributes, extend=extend)
            _grow(path, plan, provenance, json.loads(attributes["identity"]))
        ledger.open_journal(layout.open_group(path, mode="r+"))
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}: choose another results=..."
        ) from error
    except UserError:
        raise
    except Exception as error:
        raise _damaged(path, error) from error
    return plan


def finish(path: str, attributes: dict[str, Any]) -> None:
    """Pack the ledger and set attributes, at the end of a run, however it ended."""
    ledger.close_journal(layout.open_group(path, mode="r+"), path)
    layout.set_attributes(path, attributes)


def unfinished(path: str) -> bool:
    """Whether a run ended without `finish`: rows wait to be packed, or axes to be grown."""
    root = layout.open_group(path)
    return "journal" in root or bool(root.attrs.get("growing"))


def pack(path: str) -> None:
    """Pack what the ledger's journal has by now."""
    ledger.pack(layout.open_group(path, mode="r+"), path)


def check(path: str, plan: Plan, *, extend: bool = False) -> Plan:
    """What `prepare` would refuse, without writing; the plan with the store's unit size."""
    if "://" in path:
        check_url(path)
    attributes = attributes_of(path)
    if attributes is not None:
        with reading(path):
            return _match(path, plan, attributes, extend=extend)
    if "://" in path:
        return plan
    if os.path.lexists(path):
        why = _why_not(path, "choose another out=...")
        raise UserError(f"{path} exists and is not a store of this program{why}")
    check_folder("results", Path(path).absolute().parent)
    return plan


def check_folder(key: str, folder: Path) -> None:
    """Refuse a folder that neither is there to be written into nor can be made."""
    folder = folder.absolute()
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"cannot write into {folder}: choose another folder with {key}=...")


def write_unit(
    path: str, session: str, plan: Plan, unit: Unit, parts: Iterable[tuple[Plan, Measures]]
) -> None:
    """Write the trials of a unit, and then its row of the ledger.

    Parameters
    ----------
    path
        Of a store that `prepare` has made ready for the unit's plan.
    session
        A name of the run's round: a worker opens the arrays once for each, since only `prepare`
        changes their shapes.
    plan
        Of the unit, whose numbers count its sources and block sizes.
    parts
        Of the plan's curves: with error (operations, selections, algorithms, freqs, T),
        mask_accuracy and regret without algorithms.
    """
    arrays, identity = _writable(path, session)
    row = {name: np.full(arrays[f"ledger/{name}"].shape[3:], np.nan) for name in METRICS}
    for part, measures in parts:
        at = places(identity, part.labels)
        cell = at["source"][unit.source], at["block_size"][unit.block_size]
        for name, curve in METRICS.items():
            values = getattr(measures, name)
            points = [at[axis] for axis in curve]
            stop = unit.stop if plan.keep is None else min(unit.stop, plan.keep)
            if unit.start < stop:
                kept = values[..., : stop - unit.start]
                _put(arrays[name], cell, points, slice(unit.start, stop), kept)
            row[name][np.ix_(*points)] = moments_of(values)
    ledger.write_row(arrays["journal"], cell, unit.number, row)


def discard_empty(path: str) -> None:
    """Remove a store in which no unit was ever stored."""
    with reading(path):
        listed = ledger.counts(layout.open_group(path), path)
    if "://" not in path and not listed.any():
        shutil.rmtree(path)


def clean(path: str) -> list[str]:
    """Remove what a process that was killed left half written; the names of the files."""
    if "://" in path:
        return []
    found = leftovers(path)
    for name in found:
        if os.path.isdir(name):
            shutil.rmtree(name, ignore_errors=True)
        else:
            Path(name).unlink(missing_ok=True)
    return found


def leftovers(path: str) -> list[str]:
    """Files and folders that a process left half written, in a store and beside it."""
    place = Path(path)
    beside = place.parent.glob(f"{place.name}.*.partial")
    inside = (
        os.path.join(folder, name)
        for folder, _, names in os.walk(path)
        for name in names
        if name.endswith(".partial")
    )
    # The row of a worker that woke up after its sweep had ended.
    journal = place / "journal"
    late = [str(journal)] if journal.is_dir() and not (journal / "zarr.json").exists() else []
    return sorted([*map(str, beside), *inside, *late])


def attributes_of(path: str) -> dict[str, Any] | None:
    """The attributes of whatever store of this program is there; None where there is none."""
    try:
        attributes = dict(layout.open_group(path).attrs)
    except Exception:  # nothing there, something else, or damaged: zarr raises whatever it meets
        return None
    return attributes if "identity" in attributes else None


def provenance_of(path: str) -> dict[str, Any]:
    """The attributes of a store.

    Raises
    ------
    UserError
        Where there is no store of this program, or one of another layout.
    """
    attributes = attributes_of(path)
    if attributes is None:
        why = _why_not(path, "give the path that sweep printed")
        raise UserError(f"{path} is not a store of this program{why}")
    for name in ("identity", "runs", "wanted", "quarantined"):
        try:
            json.loads(attributes.get(name, "{}"))
        except ValueError as error:
            raise UserError(
                f"{path}: the attribute {name} in zarr.json is damaged ({error}): restore "
                "zarr.json from a copy, or delete the store and run the sweep again"
            ) from error
    with reading(path):
        _check_layout(path, json.loads(attributes["identity"]))
    return attributes


def set_attributes(path: str, attributes: dict[str, Any]) -> None:
    """Change attributes of a store."""
    layout.set_attributes(path, attributes)


def open_array(path: str) -> Any:
    """A Zarr array that somebody else wrote, to be read; a ValueError names what is none."""
    try:
        found = zarr.open(path, mode="r")
    except Exception as error:  # zarr raises whatever it meets
        said = " ".join(str(error).split())
        raise ValueError(f"{path} is not a Zarr array ({type(error).__name__}: {said})") from error
    if isinstance(found, zarr.Group):
        names = ", ".join(sorted(found.array_keys())) or "of which it has none"
        raise ValueError(f"{path} is a Zarr group: give an array inside it, {names}")
    return found


def _put(
    array: Any, cell: tuple[int, int], points: list[list[int]], trials: slice, values: Any
) -> None:
    # Where they can be, slices: zarr then takes the values as they are, in the shape of a chunk;
    # of lists it makes a table of every number, three times slower than the rest of a unit.
    region = (
        slice(cell[0], cell[0] + 1),
        slice(cell[1], cell[1] + 1),
        *map(layout.span, points),
        trials,
    )
    if all(isinstance(place, slice) for place in region):
        array[region] = values[None, None]
    else:
        array.oindex[region] = values[None, None]


def check_url(url: str) -> None:
    """Refuse a URL that nothing here can open."""
    try:
        fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        # fsspec names the package that a kind of URL needs.
        raise UserError(f"cannot open {url}: {error}") from error


def _damaged(path: str, error: Exception) -> UserError:
    said = " ".join(str(error).split())
    return UserError(
        f"{path} is damaged ({type(error).__name__}: {said}): python -m pipeline verify {path} "
        "names what is bad, and with repair=true the same sweep computes it again"
    )


def _why_not(path: str, otherwise: str) -> str:
    """What to do about a path that holds no store, or no longer one."""
    if "://" not in path and os.path.isdir(os.path.join(path, "error")):
        return (
            f": {posixpath.join(path, 'zarr.json')} is damaged or missing, without which nothing "
            "says what the numbers are: restore it from a copy, or delete the store and run the "
            "sweep again"
        )
    return f": {otherwise}"


def _check_layout(path: str, identity: Identity) -> None:
    found = identity["layout_version"]
    if found != LAYOUT_VERSION:
        raise UserError(
            f"{path} has layout {found}, and this version reads layout {LAYOUT_VERSION}: run the "
            "sweep again, into a new store"
        )


def _match(path: str, plan: Plan, attributes: dict[str, Any], *, extend: bool) -> Plan:
    identity = json.loads(attributes["identity"])
    _check_layout(path, identity)
    found = differences(identity, plan.identity)
    both = joined(identity, plan.identity)
    if found and (both is None or not extend):
        add = (
            f"Add to what is stored with extend=true out={path}, or choose"
            if both is not None
            else "Choose"
        )
        raise UserError(
            f"{path} holds another experiment: {'; '.join(found)}. {add} another out=...; without "
            "out each experiment gets a store of its own"
        )
    keep = attributes["store_trials"]
    if keep != (ALL if plan.keep is None else plan.keep):
        words = "none" if keep == 0 else keep
        raise UserError(
            f"{path} was made with store_trials={words}, which does not change: give "
            f"store_trials={words}, or choose another out=..."
        )
    return plan.with_unit_trials(notation.integer("unit_trials", attributes["unit_trials"], 1))


def _create(path: str, plan: Plan, provenance: dict[str, Any]) -> None:
    attributes = {
        **provenance,
        "identity": json.dumps(plan.identity),
        "unit_trials": plan.unit_trials,
        "store_trials": ALL if plan.keep is None else plan.keep,
        # Tells xarray that this is a coordinate, though it has no dimension of its name.
        "coordinates": "coefficients_kept",
    }
    template = (plan.identity, plan.unit_trials, plan.kept_trials, plan.units_per_cell, attributes)
    if "://" in path:
        layout.create(path, *template)
        return
    # Beside its place and then renamed, so that a store is there whole or not at all.
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    partial = f"{path}.{uuid.uuid4().hex[:8]}.partial"
    try:
        layout.create(partial, *template)
        os.rename(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _grow(path: str, plan: Plan, provenance: dict[str, Any], identity: Identity) -> None:
    """Lengthen the axes of a store where the plan's are longer, once all that waited is packed."""
    root = layout.open_group(path, mode="r+")
    ledger.close_journal(root, path)
    both = joined(identity, plan.identity) or identity
    if root.attrs.get("growing"):
        # A growth that was cut short is finished with this one.  It has no trials yet: of an entry
        # that is another one now, this plan's counts.
        begun = json.loads(root.attrs["growing"])
        for axis in NAMED:
            begun[axis] = {name: both[axis].get(name, begun[axis][name]) for name in begun[axis]}
        both = joined(both, begun) or both
    if both != identity:
        layout.set_attributes(path, {"growing": json.dumps(both)})
    layout.grow(
        path, both, plan.kept_trials, plan.units_per_cell,
        {**provenance, "identity": json.dumps(both), "growing": ""},
    )  # fmt: skip


@lru_cache(maxsize=4)
def _writable(path: str, session: str) -> tuple[dict[str, Any], Identity]:
    """Handles of the arrays that workers write, opened once a worker and session."""
    root = layout.open_group(path, mode="r+")
    # Otherwise zarr compares every chunk with the fill value first; open_array ignores the option.
    arrays = {name: root[name].with_config({"write_empty_chunks": True}) for name in METRICS}
    arrays |= {f"ledger/{name}": root[f"ledger/{name}"] for name in METRICS}
    return {**arrays, "journal": root["journal/rows"]}, json.loads(root.attrs["identity"])
