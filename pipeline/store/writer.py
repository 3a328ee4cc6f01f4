"""What a worker writes: the trials of a unit, and then its row of the ledger."""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asm_core import Measures
from asm_core.batches import sums_by_batch
from asm_core.moments import moments_of_each
from pipeline.planning.axes import BATCHES, METRICS, Labels
from pipeline.planning.grid import Unit
from pipeline.planning.identity import positions
from pipeline.store import files, layout, ledger
from pipeline.store.location import Location
from pipeline.store.record import of_store
from pipeline.store.services import is_object

# How often a worker asks an object store whether its round goes on.
_SECONDS_BETWEEN_CHECKS = 1.0
# Of all units that a worker has in work, to an object store.
_WRITES_AT_ONCE = 12


def read_plan(location: Location) -> str:
    """The plan of the round that is being run, of a store of any layout."""
    return ledger.read_plan(layout.open_root(location))


class UnitWriter:
    """The arrays of a store, open for the units of one round: its axes change between rounds.

    `name` is that of the round; `durable` is whether files are to be on the disk before the row of
    their unit is written.
    """

    def __init__(self, location: Location, name: str, *, durable: bool) -> None:
        self._location, self._round = location, name
        self._checked = float("-inf")
        # Of a unit's four requests three are waited for together.
        self._pool = ThreadPoolExecutor(_WRITES_AT_ONCE) if is_object(location.url) else None
        root = layout.open_root(files.writing(location, name, durable=durable), "r+")
        self._record = of_store(str(location), dict(root.attrs))
        self._labels = self._record.identity.labels
        # Otherwise zarr compares every chunk with the fill value first.  The option must be set on
        # the array: `zarr.open_array` ignores it.
        self._arrays = {
            name: root[name].with_config({"write_empty_chunks": True}) for name in METRICS
        }
        self._rows = {name: root[f"ledger/{name}"].shape[3:] for name in ledger.names(root)}
        self._journal = root["journal/rows"]

    def _write_values(
        self, at: dict[str, list[int]], start: int, metrics: Mapping[str, NDArray[Any]]
    ) -> None:
        """Write what is kept of the metrics; of an object store, at the same time."""

        def write(name: str) -> None:
            layout.write_values(self._arrays[name], name, at, start, metrics[name])

        if not self._pool:
            for name in metrics:
                write(name)
            return
        # Each, also where one has failed: their memory is used again.
        done = [self._pool.submit(write, name) for name in metrics]
        wait(done)
        for future in done:
            future.result()

    def _check_current(self) -> None:
        """Refuse to write for a round that has ended."""
        # On this machine the files themselves refuse to be put in place; what an object store
        # refuses makes this ask again (`bucket`).
        every = _SECONDS_BETWEEN_CHECKS if is_object(self._location.url) else 0.0
        if self._location.folder or time.monotonic() - self._checked < every:
            return
        files.check_current(self._location, self._round)
        self._checked = time.monotonic()

    def write(self, unit: Unit, parts: Iterable[tuple[Labels, Measures]]) -> ledger.Rows:
        """Write the trials of a unit that the store keeps, and then its row, which is returned.

        Parameters
        ----------
        parts
            For each part of the curves, the values that its axes have, and what was measured: error
            (operations, selections, algorithms, freqs, T), mask_accuracy and regret without
            algorithms, T being the unit's trials.

        Raises
        ------
        StoreLostError
            Where the round has ended: nothing is written.
        """
        row = {name: np.full(shape, np.nan) for name, shape in self._rows.items()}
        most = self._record.store_trials
        stop = unit.stop if most is None else min(unit.stop, most)
        tiles = self._record.tiles_of(unit.source, unit.block_size)
        for labels, measures in parts:
            self._check_current()
            cell: Labels = {**labels, "source": [unit.source], "block_size": [unit.block_size]}
            at = positions(self._labels, cell)
            metrics = {name: getattr(measures, name) for name in METRICS}
            moments = moments_of_each(list(metrics.values()))
            if unit.start < stop:
                kept = {name: values[..., : stop - unit.start] for name, values in metrics.items()}
                self._write_values(at, unit.start, kept)
            for (name, values), summed in zip(metrics.items(), moments, strict=True):
                points = np.ix_(*(at[axis] for axis in METRICS[name].curve))
                row[name][points] = summed
                if name == "error" and tiles.ends:
                    batch = tiles.batch_of(unit.start, unit.trials)
                    row[BATCHES][points] = sums_by_batch(values, batch)
        place = (
            self._labels["source"].index(unit.source),
            self._labels["block_size"].index(unit.block_size),
        )
        return ledger.write_row(self._journal, place, unit.number, row)
