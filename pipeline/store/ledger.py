"""The ledger of a store: a row of moments for every unit, and what they say is complete.

A worker writes a unit's row as one file of the journal, after the unit's data: `journal/rows`
(source, block_size, unit, all moments of all metrics).  The client, the only one to do so, packs
rows into the arrays of the ledger, a thousand to a chunk, and then removes their files: now and
then during a sweep, when it ends, and before the next one begins.  Whoever reads takes the journal
first and the ledger after it, so that a row which moves meanwhile is seen; a row of the journal is
the newer one.  A unit is complete iff its row of `error` says that it holds as many trials as are
wanted at every point of the curve.
"""

import json
import math
import posixpath
import re
from collections.abc import Iterator, Sequence
from typing import Any

import fsspec
import numpy as np
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec

from asm_core.moments import MOMENTS
from pipeline.plan.identity import labels
from pipeline.store.layout import METRICS

Rows = NDArray[np.float64]
_COUNT = MOMENTS.index("count")
_JOURNAL = "journal/rows"


def open_journal(root: Any) -> None:
    """Make an empty journal for the axes that the store has now."""
    cells_and_units = root["ledger/error"].shape[:3]
    width = sum(math.prod(shape) for shape in _row_shapes(root).values())
    root.create_group("journal", overwrite=True).create_array(
        "rows",
        shape=(*cells_and_units, width),
        chunks=(1, 1, 1, width),
        dtype=np.float64,
        fill_value=np.nan,
        dimension_names=("source", "block_size", "unit", "value"),
        compressors=[Crc32cCodec()],
        # One folder for all rows: a folder for each would take longer than the row.
        chunk_key_encoding={"name": "default", "separator": "."},
    )


def close_journal(root: Any, path: str) -> None:
    """Pack what is in the journal, and remove it."""
    if "journal" in root:
        pack(root, path)
        del root["journal"]


def write_row(journal: Any, cell: tuple[int, int], number: int, row: dict[str, Rows]) -> None:
    """Write the moments of a unit: one file, there or not."""
    journal[(*cell, number)] = np.concatenate([row[name].ravel() for name in METRICS])


def pack(root: Any, path: str) -> None:
    """Move every row of the journal into the arrays of the ledger."""
    for cell, numbers, rows in _pending(root, path):
        # The error's rows come last: they say that a unit is complete.
        for name in reversed(METRICS):
            array = root[f"ledger/{name}"]
            step = array.chunks[2]
            for group in np.unique(numbers // step):
                here = numbers // step == group
                span = slice(group * step, min((group + 1) * step, array.shape[2]))
                packed = array[(*cell, span)]
                _merge(packed, numbers[here] - span.start, rows[name][here])
                array[(*cell, span)] = packed
        files, folder = _folder(path)
        for number in numbers:
            files.rm_file(posixpath.join(folder, _file_name(cell, number)))


def rows(root: Any, path: str, names: Sequence[str] = tuple(METRICS)) -> dict[str, Rows]:
    """The rows of some metrics, (source, block_size, unit, curve ..., moment); NaN = no row yet."""
    # First the journal: what is packed meanwhile is then in the ledger.
    pending = list(_pending(root, path))
    found = {}
    for name in names:
        found[name] = _clipped(root, name, root[f"ledger/{name}"][...])
        for (source, size), numbers, new in pending:
            _merge(found[name][source, size], numbers, _of_points(root, name, new[name]))
    return found


def counts(root: Any, path: str) -> NDArray[np.int64]:
    """Trials that the rows list, (source, block_size, unit, curve ...); 0 = no row yet."""
    pending = list(_pending(root, path))
    listed = _clipped(root, "error", root["ledger/error"][..., _COUNT])
    for (source, size), numbers, new in pending:
        column = _of_points(root, "error", new["error"][..., _COUNT])
        place = listed[source, size]
        place[numbers] = np.where(np.isnan(column), place[numbers], column)
    whole: NDArray[np.int64] = np.nan_to_num(listed).astype(np.int64)
    return whole


def forget(root: Any, cell: tuple[int, int], number: int) -> None:
    """Strike the row of a unit out of a packed ledger, so that the unit counts as missing."""
    for name in METRICS:
        root[f"ledger/{name}"][(*cell, number)] = np.nan


def journal_files(path: str) -> list[tuple[tuple[int, int], int, str]]:
    """Of each row of the journal its cell, its number and its file."""
    try:
        names = _listed(path)
    except FileNotFoundError:
        return []
    files = []
    for name in names:
        source, size, number, _ = map(int, name.removeprefix("c.").split("."))
        files.append(((source, size), number, posixpath.join(_folder(path)[1], name)))
    return sorted(files)


def _clipped(root: Any, name: str, rows: Rows) -> Rows:
    """Rows without what a growth that was cut short has added to their axes."""
    have = labels(json.loads(root.attrs["identity"]))
    lead = (slice(len(have["source"])), slice(len(have["block_size"])), slice(None))
    return rows[(*lead, *(slice(len(have[axis])) for axis in METRICS[name]))]


def _of_points(root: Any, name: str, rows: Rows) -> Rows:
    have = labels(json.loads(root.attrs["identity"]))
    return rows[(slice(None), *(slice(len(have[axis])) for axis in METRICS[name]))]


def _merge(packed: Rows, numbers: NDArray[np.int64], new: Rows) -> None:
    """Put new rows in their places, but for the points of the curve that they do not have."""
    known = ~np.isnan(new[..., [_COUNT]])
    packed[numbers] = np.where(known, new, packed[numbers])


def _pending(
    root: Any, path: str
) -> Iterator[tuple[tuple[int, int], NDArray[np.int64], dict[str, Rows]]]:
    """Of each cell the numbers of the units that have a row in the journal, and their rows."""
    try:
        journal, files = root[_JOURNAL], journal_files(path)
    except KeyError:
        # No sweep is running, or the one that was has just packed all and removed it.
        return
    shapes = _row_shapes(root)
    cells: dict[tuple[int, int], list[int]] = {}
    for cell, number, _ in files:
        cells.setdefault(cell, []).append(number)
    for cell, found in sorted(cells.items()):
        numbers = np.array(sorted(found))
        stored = journal.oindex[[cell[0]], [cell[1]], numbers][0, 0]
        parts = np.split(stored, np.cumsum([math.prod(s) for s in shapes.values()])[:-1], axis=-1)
        yield (
            cell,
            numbers,
            {
                name: part.reshape(len(numbers), *shape)
                for (name, shape), part in zip(shapes.items(), parts, strict=True)
            },
        )


def _row_shapes(root: Any) -> dict[str, tuple[int, ...]]:
    return {name: root[f"ledger/{name}"].shape[3:] for name in METRICS}


def _folder(path: str) -> tuple[Any, str]:
    files, folder = fsspec.core.url_to_fs(path)
    return files, posixpath.join(folder, _JOURNAL)


def _listed(path: str) -> list[str]:
    """Names of the files that are rows of the journal."""
    files, folder = _folder(path)
    files.invalidate_cache()
    names = [posixpath.basename(name) for name in files.ls(folder, detail=False)]
    return [name for name in names if re.fullmatch(r"c\.\d+\.\d+\.\d+\.0", name)]


def _file_name(cell: tuple[int, int], number: int) -> str:
    return f"c.{cell[0]}.{cell[1]}.{number}.0"
