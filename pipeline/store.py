"""The Zarr store of a sweep: create, grow, write a unit, read the ledger.

Layout (zarr format 3, one group, consolidated metadata):

    error            source, block_size, operation, selection, method, freq, trial    float32
    mask_accuracy, regret    the same without method                                  float32
    one coordinate array per dimension; coefficients_kept (selection, block_size, freq)
    ledger/error, ledger/mask_accuracy, ledger/regret
                     source, block_size, unit, the curve's dimensions, moment         float64

A chunk of `error` is one unit, and so is a row of the ledger.  A unit is complete iff the row of
`ledger/error`, which is written last, says that it holds as many trials as are wanted.  NaN means
not measured.  (A ledger of its own group keeps the Dataset that `xarray.open_zarr` shows clean.)
"""

import json
import os
import shutil
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from asm_core import Measures, coefficients_kept, frequency_rank
from pipeline import overrides
from pipeline.exceptions import UserError
from pipeline.moments import MOMENTS, moments_of
from pipeline.plan import LAYOUT_VERSION, Choice, Plan, Unit, differences

CURVE = ("operation", "selection", "method", "freq")
_MASK_CURVE = tuple(name for name in CURVE if name != "method")
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
# What xarray writes on the axes of a plot.
_LABELS = {
    "error": {"long_name": "error (RMSE of each block)"},
    "mask_accuracy": {"long_name": "mask accuracy", "units": "1"},
    "regret": {"long_name": "regret (mean over windows of exact extreme - chosen sample)"},
    "freq": {"long_name": "spatial frequencies kept, n"},
    "coefficients_kept": {"long_name": "DCT coefficients kept"},
}


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
        said = " ".join(str(error).split())
        raise UserError(
            f"{path} is damaged ({type(error).__name__}: {said}): restore it from a copy, or "
            "delete it and run the sweep again"
        ) from error


def is_store(path: str) -> bool:
    """Whether there is a zarr group that this program wrote."""
    return _attributes(path) is not None


def prepare(path: str, plan: Plan, provenance: dict[str, Any]) -> Plan:
    """Create the store of a plan, or make the existing one ready to take its missing units.

    Returns
    -------
    Plan
        The plan with the unit size that the store has.

    Raises
    ------
    UserError
        Where `path` holds another experiment or something else, or cannot be written.
    """
    attributes = _attributes(path)
    try:
        if attributes is None:
            _create(path, plan, provenance)
            return plan
        plan = _match(path, plan, attributes)
        _grow(path, plan, provenance)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}: choose another results=..."
        ) from error
    return plan


def check(path: str, plan: Plan) -> Plan:
    """What `prepare` would refuse, without writing; the plan with the store's unit size."""
    if "://" in path:
        _check_url(path)
    attributes = _attributes(path)
    if attributes is not None:
        with reading(path):
            return _match(path, plan, attributes)
    if "://" in path:
        return plan
    if os.path.lexists(path):
        raise UserError(f"{path} exists and is not a store of this program: choose another out=...")
    check_folder("results", Path(path).absolute().parent)
    return plan


def check_folder(key: str, folder: Path) -> None:
    """Refuse a folder that neither is there to be written into nor can be made."""
    folder = folder.absolute()
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"cannot write into {folder}: choose another folder with {key}=...")


def write_unit(path: str, session: str, unit: Unit, measures: Measures) -> None:
    """Write the trials of a unit, and then its rows of the ledger.

    Parameters
    ----------
    path
        Of a store that `prepare` has made ready for the unit's plan.
    session
        A name of the run: a worker opens the arrays once for each, since only `prepare` changes
        their shapes.
    measures
        error (operations, selections, methods, freqs, T), mask_accuracy and regret without methods.
    """
    arrays = _writable(path, session)
    rows = {}
    for name in METRICS:
        values = getattr(measures, name)
        cell = slice(unit.source, unit.source + 1), slice(unit.block_size, unit.block_size + 1)
        # In the shape of a chunk, which zarr then takes as it is; otherwise it makes a copy.
        arrays[name][(*cell, ..., slice(unit.start, unit.stop))] = values[None, None]
        rows[name] = moments_of(values)
    for name in reversed(METRICS):
        arrays[f"ledger/{name}"][unit.source, unit.block_size, unit.number] = rows[name]


def counts(path: str) -> NDArray[np.int64] | None:
    """Trials that the ledger lists, (source, block_size, unit), 0 where there is no row yet.

    None where there is no store.
    """
    if not is_store(path):
        return None
    with reading(path):
        column = _open(path)["ledger/error"][..., 0, 0, 0, 0, MOMENTS.index("count")]
    listed: NDArray[np.int64] = np.nan_to_num(np.asarray(column)).astype(np.int64)
    return listed


def discard_empty(path: str) -> None:
    """Remove a store in which no unit was ever stored."""
    listed = counts(path)
    if listed is not None and not listed.any() and "://" not in path:
        shutil.rmtree(path)


def wanted_and_done(path: str) -> tuple[int, int]:
    """Trials, over all cells, that the last sweep of a store wanted, and those of them it lists."""
    with reading(path):
        wanted = np.array(json.loads(provenance_of(path)["trials_wanted"]))
    listed = counts(path)
    done = 0 if listed is None else int(np.minimum(listed.sum(axis=-1), wanted).sum())
    return int(wanted.sum()), done


def provenance_of(path: str) -> dict[str, Any]:
    """The attributes of a store.

    Raises
    ------
    UserError
        Where there is no store of this program, or one of another layout.
    """
    attributes = _attributes(path)
    if attributes is None:
        raise UserError(f"{path} is not a store of this program: give the path that sweep printed")
    with reading(path):
        layout = json.loads(attributes["identity"])["layout_version"]
    if layout != LAYOUT_VERSION:
        raise UserError(
            f"{path} has layout {layout}, and this version reads layout {LAYOUT_VERSION}: run the "
            "sweep again, into a new store"
        )
    return attributes


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


def _check_url(url: str) -> None:
    try:
        fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        # fsspec names the package that a kind of URL needs.
        raise UserError(f"cannot open {url}: {error}") from error


def _attributes(path: str) -> dict[str, Any] | None:
    try:
        attributes = dict(_open(path, mode="r").attrs)
    except Exception:  # nothing there, something else, or damaged: zarr raises whatever it meets
        return None
    return attributes if "identity" in attributes else None


def _open(path: str, mode: str = "r") -> Any:
    # The metadata on disk, not the consolidated copy, which may be older after a crash.
    return zarr.open_group(path, mode=mode, zarr_format=3, use_consolidated=False)  # type: ignore


def _match(path: str, plan: Plan, attributes: dict[str, Any]) -> Plan:
    found = differences(json.loads(attributes["identity"]), plan.identity)
    if found:
        raise UserError(
            f"{path} holds another experiment: {'; '.join(found)}. Choose another out=..., or "
            "leave it out and each experiment gets a store of its own"
        )
    return plan.with_unit_trials(overrides.integer("unit_trials", attributes["unit_trials"], 1))


def _create(path: str, plan: Plan, provenance: dict[str, Any]) -> None:
    attributes = {
        **provenance,
        **_wanted(plan),
        "identity": json.dumps(plan.identity),
        "unit_trials": plan.unit_trials,
        # Tells xarray that this is a coordinate, though it has no dimension of its name.
        "coordinates": "coefficients_kept",
    }
    if "://" in path:
        _write_template(path, plan, attributes)
        return
    # Beside its place and then renamed, so that a store is there whole or not at all.
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    partial = f"{path}.{uuid.uuid4().hex[:8]}.partial"
    try:
        _write_template(partial, plan, attributes)
        os.rename(partial, path)
    except OSError:
        # Another sweep of the same experiment was a moment faster: go on in its store.
        if not is_store(path):
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_template(path: str, plan: Plan, attributes: dict[str, Any]) -> None:
    root = zarr.create_group(path)
    for name, values in _coordinates(plan).items():
        _add_array(root, name, values.shape, values.shape, values.dtype, (name,))[...] = values
    kept = np.array([[_kept(plan, s, size) for size in plan.block_sizes] for s in plan.selections])
    dimensions: tuple[str, ...] = ("selection", "block_size", "freq")
    _add_array(root, "coefficients_kept", kept.shape, kept.shape, kept.dtype, dimensions)[...] = (
        kept
    )
    _add_array(root, "trial", (0,), (_TRIALS_PER_CHUNK,), np.dtype(np.int64), ("trial",))
    ledger = root.create_group("ledger")
    names = np.array(MOMENTS, dtype=np.dtypes.StringDType())
    _add_array(ledger, "moment", names.shape, names.shape, names.dtype, ("moment",))[...] = names
    cells = (len(plan.sources), len(plan.block_sizes))
    for metric, curve in METRICS.items():
        shape = tuple(plan.axis_sizes[name] for name in curve)
        _add_array(
            root, metric, (*cells, *shape, 0), (1, 1, *shape, plan.unit_trials),
            np.dtype(np.float32), ("source", "block_size", *curve, "trial"),
        )  # fmt: skip
        _add_array(
            ledger, metric, (*cells, 0, *shape, len(MOMENTS)), (1, 1, 1, *shape, len(MOMENTS)),
            np.dtype(np.float64), ("source", "block_size", "unit", *curve, "moment"),
        )  # fmt: skip
    _resize(root, plan)
    # Last, because they say that this is a store.
    root.attrs.update(attributes)
    _consolidate(path)


def _kept(plan: Plan, selection: Choice, size: int) -> list[int]:
    """How many coefficients each frequency of the plan keeps."""
    ranks = frequency_rank(size, selection.kind, **selection.parameters)
    return [coefficients_kept(size, n, ranks) for n in plan.freqs]


def _wanted(plan: Plan) -> dict[str, Any]:
    """How many trials the last sweep wanted of each cell: what is complete, and what is not."""
    return {"trials_wanted": json.dumps(plan.cell_trials)}


def _coordinates(plan: Plan) -> dict[str, NDArray[Any]]:
    text = np.dtypes.StringDType()
    return {
        "source": np.array([source.name for source in plan.sources], dtype=text),
        "block_size": np.array(plan.block_sizes, dtype=np.int64),
        "operation": np.array([operation.name for operation in plan.operations], dtype=text),
        "selection": np.array([selection.name for selection in plan.selections], dtype=text),
        "method": np.array(plan.methods, dtype=text),
        "freq": np.array(plan.freqs, dtype=np.int64),
    }


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


def _grow(path: str, plan: Plan, provenance: dict[str, Any]) -> None:
    """Lengthen the trial and unit axes where the plan is longer; never shrink them."""
    root = _open(path, mode="r+")
    _resize(root, plan)
    created = {"created": root.attrs["created"]} if "created" in root.attrs else {}
    root.attrs.update({**provenance, **_wanted(plan), **created})
    _consolidate(path)


def _resize(root: Any, plan: Plan) -> None:
    for metric in METRICS:
        error, ledger = root[metric], root[f"ledger/{metric}"]
        if plan.trials > error.shape[-1]:
            error.resize((*error.shape[:-1], plan.trials))
        if plan.units_per_cell > ledger.shape[2]:
            ledger.resize((*ledger.shape[:2], plan.units_per_cell, *ledger.shape[3:]))
    trial = root["trial"]
    length = root["error"].shape[-1]
    # The last value says whether an earlier growth was cut short between size and values.
    if trial.shape[0] != length or trial[-1] != length - 1:
        trial.resize((length,))
        for start in range(0, length, _TRIALS_PER_CHUNK):
            stop = min(start + _TRIALS_PER_CHUNK, length)
            trial[start:stop] = np.arange(start, stop)


def _consolidate(path: str) -> None:
    with warnings.catch_warnings():
        # zarr warns that format 3 does not specify consolidated metadata; xarray reads it.
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(path)


@lru_cache(maxsize=4)
def _writable(path: str, session: str) -> dict[str, Any]:
    """Handles of the arrays that workers write, opened once a worker and session."""
    root = _open(path, mode="r+")
    names = [*METRICS, *(f"ledger/{metric}" for metric in METRICS)]
    # Otherwise zarr compares every chunk with the fill value first; open_array ignores the option.
    return {name: root[name].with_config({"write_empty_chunks": True}) for name in names}
