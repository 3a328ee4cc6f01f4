"""How far a store is: what its sweeps asked for, unit by unit, also while one runs."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.plan.identity import Identity, labels
from pipeline.store import layout, ledger, listing, lock, store


@dataclass(frozen=True)
class Cell:
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
        """Units that nobody has begun, or that nobody is at any more."""
        return self.units - self.complete - self.running - self.quarantined


@dataclass(frozen=True)
class Status:
    """A store as it is now: its cells, who sweeps it, at what rate (trials a second)."""

    cells: list[Cell]
    holder: dict[str, Any] | None
    rate: float | None
    quarantined: list[dict[str, Any]]

    @property
    def trials_left(self) -> int:
        """Trials that are still to be stored."""
        return sum(cell.trials - cell.trials_done for cell in self.cells)


def look(path: str) -> Status:
    """What a store lists of what was ever asked of it.

    Raises
    ------
    UserError
        Where there is no such store.
    """
    # First the lock, then the ledger: a unit that ends meanwhile is complete and not running.
    holder = lock.holder(path)
    attributes = store.provenance_of(path)
    with store.reading(path):
        listed = ledger.counts(layout.open_group(path), path)
        identity = json.loads(attributes["identity"])
        quarantined = json.loads(attributes.get("quarantined", "[]"))
        unit_trials = int(attributes["unit_trials"])
        asked = [run["wanted"] for run in json.loads(attributes.get("runs", "[]"))]
    units = _units(asked, identity, listed, unit_trials)
    running = (holder or {}).get("running", [])
    cells = []
    for (source, size), (wanted, lacking) in sorted(units.items()):
        complete = set(np.flatnonzero((wanted > 0) & (lacking == 0)).tolist())
        bad = {unit["number"] for unit in quarantined if _of(unit, source, size)} - complete
        # As many as were in flight when the sweep last told: others may be by now.
        begun = sum(_of(unit, source, size) for unit in running)
        begun = min(begun, int((wanted > 0).sum()) - len(complete) - len(bad))
        cells.append(
            Cell(
                source, size, int((wanted > 0).sum()), len(complete), begun,
                len(bad), int(wanted.sum()), int((wanted - lacking).sum()),
            )
        )  # fmt: skip
    return Status(cells, holder, _rate(holder or attributes), quarantined)


def _units(
    asked: list[dict[str, Any]], identity: Identity, listed: NDArray[np.int64], unit_trials: int
) -> dict[tuple[str, int], tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Of each cell the trials of its units that were asked for, and those that are lacking.

    What several sweeps asked of a unit is lacking as far as it is for any of them.
    """
    length = listed.shape[2]
    empty = np.zeros(length, np.int64)
    units: dict[tuple[str, int], tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
    for wish in asked:
        # What was asked for and never begun, as after a growth that was cut short, has no place.
        known = {axis: [v for v in wish[axis] if v in identity[axis]] for axis in labels(identity)}
        if not all(known.values()):
            continue
        have = listing.on_axes_of(known, identity, listed).min(axis=(3, 4, 5, 6))
        for s, source in enumerate(known["source"]):
            for b, size in enumerate(known["block_size"]):
                place = wish["source"].index(source), wish["block_size"].index(size)
                trials = wish["trials"][place[0]][place[1]]
                need = np.clip(trials - unit_trials * np.arange(length), 0, unit_trials)
                wanted, lacking = units.get((source, size), (empty, empty))
                units[source, size] = (
                    np.maximum(wanted, need),
                    np.maximum(lacking, need - np.minimum(have[s, b], need)),
                )
    return units


def _of(unit: dict[str, Any], source: str, block_size: int) -> bool:
    return (unit["source"], unit["block_size"]) == (source, block_size)


def _rate(told: dict[str, Any]) -> float | None:
    """Trials a second, of the sweep that is running or of the last one."""
    computed, seconds = told.get("computed", 0), told.get("seconds", 0.0)
    return computed / seconds if computed and seconds else None
