"""How much of what its sweeps asked for a store has, unit by unit, also while one is running."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.store.record import Quarantined
from pipeline.store.store import Store, chosen_counts


@dataclass(frozen=True)
class CellStatus:
    """Units and trials of one (source, block size)."""

    source: str
    block_size: int
    units: int
    complete: int
    running: int
    quarantined: int
    trials: int
    trials_done: int

    @property
    def missing(self) -> int:
        """Units that are not complete, not running and not in quarantine."""
        return self.units - self.complete - self.running - self.quarantined


@dataclass(frozen=True)
class Status:
    """The state of a store.

    `holder` is what the process that sweeps it says of itself, None without one; `rate` is in
    trials a second, None where it is unknown.
    """

    cells: list[CellStatus]
    holder: Mapping[str, Any] | None
    rate: float | None
    quarantined: tuple[Quarantined, ...]

    @property
    def trials(self) -> int:
        """Trials that were asked for."""
        return sum(cell.trials for cell in self.cells)

    @property
    def trials_left(self) -> int:
        """Trials that are still to be stored."""
        return sum(cell.trials - cell.trials_done for cell in self.cells)


def status_of(store: Store, holder: Mapping[str, Any] | None) -> Status:
    """How much a store has of what was ever asked of it.

    Parameters
    ----------
    holder
        Who sweeps it (`pipeline.store.lock.holder`), asked before the store was opened: a unit that
        ends meanwhile is complete and not running.
    """
    quarantined = store.record.quarantined
    running = (holder or {}).get("running", [])
    cells = []
    for (source, size), (wanted, lacking) in sorted(_units(store).items()):
        complete = set(np.flatnonzero((wanted > 0) & (lacking == 0)).tolist())
        bad = {
            each.unit.number for each in quarantined
            if (each.unit.source, each.unit.block_size) == (source, size)
        } - complete  # fmt: skip
        units = int((wanted > 0).sum())
        # How many were in flight when the sweep last published; by now they may be others.
        begun = sum((unit["source"], unit["block_size"]) == (source, size) for unit in running)
        begun = min(begun, units - len(complete) - len(bad))
        cells.append(
            CellStatus(
                source, size, units, len(complete), begun, len(bad),
                int(wanted.sum()), int((wanted - lacking).sum()),
            )
        )  # fmt: skip
    return Status(cells, holder, _rate(store, holder), quarantined)


def _units(store: Store) -> dict[tuple[str, int], tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """For each cell, how many trials of each of its units were asked for, and how many are lacking.

    Both are the largest over all runs.
    """
    counts, labels = store.counts(), store.labels
    empty = np.zeros(0, np.int64)
    units: dict[tuple[str, int], tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
    for run in store.record.runs:
        # After a growth that was cut short, a run may have asked for what the store does not have.
        grid = run.wanted.within(labels)
        if grid is None:
            continue
        lacking = grid.lacking(chosen_counts(counts, labels, grid.labels))
        for s, source in enumerate(grid.labels["source"]):
            for b, size in enumerate(grid.labels["block_size"]):
                before = units.get((source, size), (empty, empty))
                units[source, size] = (
                    _larger(before[0], grid.wanted[s, b]), _larger(before[1], lacking[s, b])
                )  # fmt: skip
    return units


def _larger(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """The elementwise maximum, with the shorter array continued by zeros."""
    length = max(len(a), len(b))
    larger: NDArray[np.int64] = np.maximum(*(np.pad(x, (0, length - len(x))) for x in (a, b)))
    return larger


def _rate(store: Store, holder: Mapping[str, Any] | None) -> float | None:
    """Trials a second of the sweep that is running, else of the last one; None if unknown."""
    if holder:
        computed, seconds = holder.get("computed", 0), holder.get("seconds", 0.0)
    else:
        computed, seconds = store.record.computed, store.record.seconds
    return computed / seconds if computed and seconds else None
