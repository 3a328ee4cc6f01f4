"""The ledger of a store: a row of moments for every unit, which tells what is complete.

After a unit's data a worker writes the unit's row, as one file of the journal: `journal/rows`
(source, block_size, unit, all moments of all metrics, and sums by batch where tiles are
neighbours).  The client, and nobody else, packs these rows into the arrays of the ledger, a
thousand to a chunk, and then removes their files: now and then during a sweep, when it ends, and
before the next one begins.  A reader reads the journal first and the ledger after it, so that it
misses no row that is moved meanwhile; where both have a row, that of the journal is newer.
Complete is what the rows of `error` list (`plan.grid`).

Beside the rows, `journal/plan` has the plan of the round that is being run, for the workers, and
`journal/writing.NAME` the files that they have not yet put in place (`files`).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec

from asm_core.moments import MOMENTS
from pipeline.errors import refuse_unreadable
from pipeline.planning.axes import BATCHES, CELL, METRICS, UNIT, Labels, ledger_curve
from pipeline.store import files, layout
from pipeline.store.inline import read, write
from pipeline.store.location import Location, remove_all

Rows = NDArray[np.float64]
# Whole rows of the journal, by cell and number of the unit.
Known = Mapping[tuple[tuple[int, int], int], Rows]
_BYTES_OF_CHECKSUM = 4
_COUNT = MOMENTS.index("count")
_JOURNAL, _PLAN = "journal/rows", "journal/plan"


def open_journal(root: Any, location: Location, plan: str) -> str:
    """Make an empty journal, as large as the axes are now, with the plan of a round that begins.

    Returns the name of the round.
    """
    journal = root.create_group("journal", overwrite=True)
    content = np.frombuffer(plan.encode(), np.uint8)
    journal.create_array("plan", data=content, chunks=content.shape, compressors=layout.CODECS)
    _describe_rows(root)
    return files.begin_round(location)


def _describe_rows(root: Any) -> None:
    """Write the metadata of the rows of the journal: the axes are those of the ledger's arrays."""
    cells_and_units = root["ledger/error"].shape[:3]
    width = sum(math.prod(shape) for shape in _row_shapes(root).values())
    root.create_array(
        _JOURNAL,
        shape=(*cells_and_units, width),
        chunks=(1, 1, 1, width),
        dtype=np.float64,
        fill_value=np.nan,
        dimension_names=(*CELL, UNIT, "value"),
        compressors=[Crc32cCodec()],
        # One folder for all rows: a folder for each would take longer than the row.
        chunk_key_encoding={"name": "default", "separator": "."},
    )


def read_plan(root: Any) -> str:
    """The plan of the round that is being run."""
    return bytes(root[_PLAN][...]).decode()


def close_journal(root: Any, location: Location, known: Known | None = None) -> None:
    """End the round, pack what is in the journal, and remove the journal; `known` as in `pack`."""
    files.end_rounds(location)
    mend_journal(root, location)
    if "journal" in root:
        pack(root, location, known)
        del root["journal"]


def mend_journal(root: Any, location: Location) -> None:
    """Write the metadata of the journal again where they are damaged."""
    for name in damaged_metadata(root):
        # The rows are kept: what is said of them is known.
        location.child(name, "zarr.json").remove()
        if name == _JOURNAL:
            _describe_rows(root)
        else:
            root.create_group(name)


def damaged_metadata(root: Any) -> dict[str, Exception]:
    """The group and the array of the journal whose metadata is damaged, each with the error.

    A power cut leaves such files empty or cut.

    Raises
    ------
    UserError
        Where the system does not let them be read.
    """
    damaged = {}
    for name in ("journal", _JOURNAL):
        try:
            root.get(name)
        except Exception as error:  # zarr raises whatever it meets
            refuse_unreadable(name, error)
            damaged[name] = error
    return damaged


def write_row(journal: Any, cell: tuple[int, int], number: int, row: dict[str, Rows]) -> Rows:
    """Write the row of a unit, all in one file, so that a reader sees all of it or nothing.

    `journal` is the array `journal/rows`; `row` has each array of the ledger, by name in the order
    of `names`.  Returns what was written.
    """
    whole = np.concatenate([values.ravel() for values in row.values()])
    write(journal, (*cell, number, slice(0, len(whole))), whole)
    return whole


def names(root: Any) -> tuple[str, ...]:
    """The arrays of the ledger that have a row for each unit, in the order of the journal."""
    return layout.ledger_names(batched=f"ledger/{BATCHES}" in root)


def is_open(root: Any) -> bool:
    """Whether a round is being run, or ended without its journal being closed."""
    return "journal" in root


def pack(root: Any, location: Location, known: Known | None = None) -> None:
    """Move every row of the journal into the arrays of the ledger.

    `known` has rows that need not be read, since whoever wrote them has told.
    """
    try:
        journal = root[_JOURNAL]
    except KeyError:
        # No round is being run, or one died when it had packed all rows and removed these.
        return
    for cell, numbers, rows in _pending(root, location, known):
        # The error's rows come last: they say that a unit is complete.
        for name in sorted(rows, key="error".__eq__):
            array = root[f"ledger/{name}"]
            step = array.chunks[2]
            for group in np.unique(numbers // step):
                here = numbers // step == group
                span = slice(group * step, min((group + 1) * step, array.shape[2]))
                packed = array[(*cell, span)]
                _merge(packed, numbers[here] - span.start, rows[name][here])
                array[(*cell, span)] = packed
        files = [_row_file(journal, location, cell, number) for number in numbers.tolist()]
        remove_all(files)


def rows(
    root: Any, location: Location, labels: Labels, names: Sequence[str] = tuple(METRICS)
) -> dict[str, Rows]:
    """The rows of some arrays, (source, block_size, unit, curve ..., moment); NaN = no row yet.

    Those of BATCHES are (source, block_size, unit, curve ..., batch, sum).
    """
    # First the journal: what is packed meanwhile is then in the ledger.
    pending = list(_pending(root, location))
    rows = {}
    for name in names:
        rows[name] = _clipped(labels, name, root[f"ledger/{name}"][...])
        for (source, size), numbers, new in pending:
            _merge(rows[name][source, size], numbers, _of_points(labels, name, new[name]))
    return rows


def sums(root: Any, location: Location, labels: Labels, cell: tuple[int, int]) -> Rows:
    """The rows of BATCHES of one cell, (unit, curve ..., batch, sum); NaN = no row yet."""
    pending = list(_pending(root, location))
    stored = root[f"ledger/{BATCHES}"][cell]
    found: Rows = stored[(slice(None), *_curve_of(labels, BATCHES))]
    for place, numbers, new in pending:
        if place == cell:
            _merge(found, numbers, _of_points(labels, BATCHES, new[BATCHES]))
    return found


def counts(root: Any, location: Location, labels: Labels) -> NDArray[np.int64]:
    """Trials that the rows list, (source, block_size, unit, curve ...); 0 = no row yet."""
    pending = list(_pending(root, location))
    listed = _clipped(labels, "error", root["ledger/error"][..., _COUNT])
    for (source, size), numbers, new in pending:
        column = _of_points(labels, "error", new["error"][..., _COUNT])
        place = listed[source, size]
        place[numbers] = np.where(np.isnan(column), place[numbers], column)
    whole: NDArray[np.int64] = np.nan_to_num(listed).astype(np.int64)
    return whole


def forget(root: Any, cell: tuple[int, int], number: int) -> None:
    """Remove the row of a unit from a packed ledger, so that the unit counts as missing."""
    for name in names(root):
        root[f"ledger/{name}"][(*cell, number)] = np.nan


def waiting_rows(root: Any, location: Location) -> list[tuple[tuple[int, int], int]]:
    """Cell and number of each unit that has a row in the journal."""
    place = location.child(_JOURNAL)
    try:
        journal = root[_JOURNAL]
        names = place.names() if place.folder else _whole_rows(journal, place)
    except (KeyError, FileNotFoundError):
        return []
    places = [layout.chunk_of_name(journal, name) for name in names]
    return sorted(((p[0], p[1]), p[2]) for p in places if p is not None)


def _whole_rows(journal: Any, place: Location) -> list[str]:
    """Names of the rows at a URL, but for those of a round that had shorter axes.

    A worker that was overtaken may write one more, until it asks: of a unit that it has stored
    before, so that what a row of this length says is true.
    """
    length = journal.chunks[-1] * journal.dtype.itemsize + _BYTES_OF_CHECKSUM
    return [name for name, size in place.sizes().items() if size == length]


def row_file(root: Any, location: Location, cell: tuple[int, int], number: int) -> Location:
    """The file of the journal that has, or may have, the row of a unit."""
    return _row_file(root[_JOURNAL], location, cell, number)


def _row_file(journal: Any, location: Location, cell: tuple[int, int], number: int) -> Location:
    name: str = journal.metadata.encode_chunk_key((*cell, number, 0))
    return location.child(_JOURNAL, name)


def _clipped(labels: Labels, name: str, rows: Rows) -> Rows:
    """Rows of the labels alone: a growth that was cut short may have made the axes longer."""
    cells = tuple(slice(len(labels[axis])) for axis in CELL)
    return rows[(*cells, slice(None), *_curve_of(labels, name))]


def _of_points(labels: Labels, name: str, rows: Rows) -> Rows:
    return rows[(slice(None), *_curve_of(labels, name))]


def _curve_of(labels: Labels, name: str) -> tuple[slice, ...]:
    return tuple(slice(len(labels[axis])) for axis in ledger_curve(name))


def _merge(packed: Rows, numbers: NDArray[np.int64], new: Rows) -> None:
    """Put new rows in their places; points that they lack keep what the old row has.

    So do those of which the old row sums up more trials: an algorithm that is added to a store for
    fewer trials measures the mask again, and of these alone.
    """
    old = packed[numbers]
    count, before = new[..., [_COUNT]], old[..., [_COUNT]]
    packed[numbers] = np.where(np.isnan(count) | (count < before), old, new)


def _pending(
    root: Any, location: Location, known: Known | None = None
) -> Iterator[tuple[tuple[int, int], NDArray[np.int64], dict[str, Rows]]]:
    """For each cell, the numbers of its units that have a row in the journal, and these rows."""
    try:
        journal = root[_JOURNAL]
    except KeyError:
        # No sweep is running, or one has just packed all rows and removed the journal.
        return
    cells: dict[tuple[int, int], list[int]] = {}
    for cell, number in waiting_rows(root, location):
        cells.setdefault(cell, []).append(number)
    shapes = _row_shapes(root)
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
    for cell, waiting in cells.items():
        numbers = np.array(waiting)
        told = {n: known[cell, n] for n in waiting if (cell, n) in known} if known else {}
        unread = [number for number in waiting if number not in told]
        stored = np.empty((len(numbers), ends[-1]))
        if unread:
            stored[np.isin(numbers, unread)] = _read_rows(journal, cell, unread)
        for number, row in told.items():
            stored[numbers == number] = row
        parts = zip(shapes.items(), np.split(stored, ends[:-1], axis=-1), strict=True)
        yield cell, numbers, {name: p.reshape(len(numbers), *shape) for (name, shape), p in parts}


def _read_rows(journal: Any, cell: tuple[int, int], numbers: Sequence[int]) -> Rows:
    found = read(journal, ((*cell, number, 0) for number in numbers))
    rows: Rows = (
        journal.oindex[[cell[0]], [cell[1]], list(numbers)][0, 0]
        if found is None
        else found.reshape(len(numbers), -1)
    )
    return rows


def _row_shapes(root: Any) -> dict[str, tuple[int, ...]]:
    return {name: root[f"ledger/{name}"].shape[3:] for name in names(root)}
