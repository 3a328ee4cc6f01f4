"""Trials that a store keeps one by one, read unit by unit, several units at the same time."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from asm_core import Measures
from pipeline.planning.axes import METRICS, Labels, shape
from pipeline.planning.identity import positions
from pipeline.sources import memory
from pipeline.store import layout
from pipeline.store.damage import naming_damage
from pipeline.store.services import REQUESTS_AT_ONCE
from pipeline.store.store import Store

# While a unit is looked at its numbers are there as they were stored, as they are computed again,
# and in parts; and all units that are looked at together take at most this part of the memory.
_COPIES, _SHARE = 4, 4


@dataclasses.dataclass(frozen=True)
class Kept:
    """The trials that a store keeps.

    Its arrays are opened once: zarr reads an array's metadata whenever a group is asked for it,
    which took half of the time of checking a small unit.
    """

    store: Store
    arrays: Mapping[str, Any]
    trials: int

    @classmethod
    def of(cls, store: Store) -> "Kept":
        """Those of a store, of which nothing is written meanwhile.

        Raises
        ------
        UserError
            Where an array cannot be opened.
        """
        with naming_damage(store.location):
            arrays = {name: store.root[name] for name in METRICS}
        return cls(store, arrays, store.kept_trials)

    def measures(self, labels: Labels, start: int, stop: int) -> Measures:
        """What is kept of trials start .. stop - 1 of one cell.

        Whatever zarr raises for a damaged chunk is passed on.
        """
        at = positions(self.store.labels, labels)
        return layout.read_cell(self.arrays, at, start, max(start, min(stop, self.trials)))


def units_at_once(store: Store) -> int:
    """How many units are looked at together: those of a bucket wait for their requests."""
    curves = sum(math.prod(shape(store.labels, metric.curve)) for metric in METRICS.values())
    needed = _COPIES * curves * store.record.unit_trials * np.dtype(np.float32).itemsize
    wanted = memory.cores() if store.location.folder else REQUESTS_AT_ONCE
    return max(1, min(wanted, memory.limit() // (_SHARE * needed)))
