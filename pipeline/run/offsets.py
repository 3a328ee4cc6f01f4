"""The constants of `apx_offset`, estimated on other blocks than they are judged on.

A drawn source has blocks without end: the constants come from trials that no sweep reaches.  A
stored source is halved: even tiles are judged with the constants of odd tiles, and odd ones with
those of even tiles.  Either way they depend on the source, the seed and the block size alone.
"""

import json
import threading

import numpy as np
from numpy.typing import NDArray

from asm_core import mean_offsets
from pipeline.planning.entries import Source
from pipeline.planning.grid import Unit
from pipeline.planning.plan import Plan
from pipeline.run.choices import operations_of, ranks_of
from pipeline.sources import kinds

# Samples that a constant is estimated from.  With 4,096 blocks of 8 x 8 its own error is some
# thousandth of a sample's range, and adds less than 1 in 10^4 to the mean square error.
_SAMPLES, _FEWEST = 1 << 18, 32
# The first trial that is drawn for them.
_FIRST_TRIAL = 1 << 62
# Threads of a process wait for the one that estimates; of each cell a few kB are kept.
_estimating = threading.Lock()
_known: dict[str, NDArray[np.float64]] = {}
_MOST_KNOWN = 256


class Offsets:
    """The constants of one unit."""

    def __init__(self, plan: Plan, unit: Unit) -> None:
        source, size = plan.source(unit.source), unit.block_size
        with _estimating:
            self._constants = _estimated(plan, source, size)
        if source.tiles is None:
            self._half = np.zeros(unit.trials, np.int64)
        else:
            self._half = source.tiles[size].of_trials(unit.start, unit.trials) % 2

    def of(self, selection: int, place: slice | NDArray[np.int64]) -> NDArray[np.float64]:
        """Constants (operations, F, T) of a selection, for trials at some places of the unit."""
        return np.moveaxis(self._constants[self._half[place], selection], 0, -1)


def _estimated(plan: Plan, source: Source, size: int) -> NDArray[np.float64]:
    """Constants (halves, selections, operations, F) of a cell: what each half is judged with."""
    chosen = [choice.identity for choice in (*plan.operations, *plan.selections)]
    key = json.dumps([plan.seed, size, plan.freqs, source.identity, chosen])
    if key not in _known:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[key] = _estimate(plan, source, size)
    return _known[key]


def _estimate(plan: Plan, source: Source, size: int) -> NDArray[np.float64]:
    operations = operations_of(plan)
    ranks = ranks_of(plan, size)
    count = max(_FEWEST, _SAMPLES // size**2)
    if source.tiles is None:
        samples = [kinds.draw_pair(source, plan.seed, size, _FIRST_TRIAL, count)]
    else:
        tiles = source.tiles[size].count
        others = (np.arange(1 - half, tiles, 2) for half in (0, 1))
        samples = [kinds.draw_tiles(source, size, _spread(each, count)) for each in others]
    return np.array(
        [
            [mean_offsets(blocks, plan.freqs, operations, rank, known) for rank in ranks]
            for blocks, known in samples
        ]
    )


def _spread(numbers: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most `count` of some numbers, evenly spread."""
    taken = min(count, len(numbers))
    return numbers[np.arange(taken) * len(numbers) // taken]
