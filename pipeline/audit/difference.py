"""Two stores compared by bits, wherever both have measured."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from asm_core.moments import MOMENTS, RESULTS, add_moments
from pipeline.audit.kept import Kept, units_at_once
from pipeline.audit.problem import asked_trials
from pipeline.errors import refuse_unreadable
from pipeline.planning.axes import METRICS, NAMED, Labels
from pipeline.planning.identity import Identity, positions
from pipeline.store.store import Store
from pipeline.store.together import in_threads

_COUNT = MOMENTS.index("count")
# The sums that results are made of are left out: the last bits of their low halves depend on how
# trials were divided into units.
_RESULTS = [MOMENTS.index(name) for name in RESULTS]
_DECIDE_BITS = ("seed", "kernel_version", "stream_version")


def compare_stores(one: Store, two: Store) -> tuple[int, list[str]]:
    """Compare the bits of what two stores both have measured.

    Returns
    -------
    tuple
        How many units, or cells of ledgers, were compared; and where they differ, in words.

    Raises
    ------
    UserError
        Where the system does not let one of them be read.
    """
    if unlike := _unlike(one.record.identity, two.record.identity):
        return 0, unlike
    shared = {
        axis: [value for value in values if value in two.labels[axis]]
        for axis, values in one.labels.items()
    }
    if not all(shared.values()):
        return 0, []
    compared, differences = 0, list[str]()
    ours, theirs = _Totals(one), _Totals(two)
    for source in shared["source"]:
        for size in shared["block_size"]:
            cell = {**shared, "source": [source], "block_size": [size]}
            units, words = _compare_trials(one, two, cell)
            cells, more = _compare_totals(ours, theirs, cell)
            compared += units + cells
            differences += words + more
    return compared, differences


def _unlike(one: Identity, two: Identity) -> list[str]:
    """One phrase for each thing that decides bits and differs between two identities."""
    unlike = [
        f"{key} is {one.fixed[key]} and {two.fixed[key]}"
        for key in _DECIDE_BITS
        if one.fixed[key] != two.fixed[key]
    ]
    for axis in NAMED:
        ours, theirs = one.axes[axis], two.axes[axis]
        unlike += [
            f"{axis} {name} is {ours[name]} and {theirs[name]}"
            for name in ours
            if name in theirs and ours[name] != theirs[name]
        ]
    return unlike


def _compare_trials(one: Store, two: Store, cell: Labels) -> tuple[int, list[str]]:
    compared, differences = 0, []
    source, size = cell["source"][0], cell["block_size"][0]
    asked = (asked_trials(store, source, size) for store in (one, two))
    length, step = min(one.kept_trials, two.kept_trials, *asked), one.record.unit_trials
    spans = [(start, min(start + step, length)) for start in range(0, length, step)]
    compare = partial(_compare_unit, Kept.of(one), Kept.of(two), cell)
    for is_compared, words in in_threads(compare, spans, units_at_once(one)):
        compared += int(is_compared)
        differences += words
    return compared, differences


def _compare_unit(
    one: Kept, two: Kept, cell: Labels, span: tuple[int, int]
) -> tuple[bool, list[str]]:
    """Whether both have trials of a span, and what differs, in words."""
    is_compared, differences = False, []
    where = f"{_name(cell)} trials {span[0]}..{span[1] - 1}"
    try:
        ours, theirs = (kept.measures(cell, *span) for kept in (one, two))
    except Exception as error:  # zarr raises whatever it meets
        refuse_unreadable(f"{one.store} or {two.store}", error)
        return False, [f"{where}: cannot be read ({error})"]
    for name in METRICS:
        a, c = getattr(ours, name), getattr(theirs, name)
        both = ~np.isnan(a) & ~np.isnan(c)
        is_compared |= bool(name == "error" and both.any())
        if not np.array_equal(a[both].view(np.uint32), c[both].view(np.uint32)):
            differences.append(f"{where}: {name}")
    return is_compared, differences


class _Totals:
    """Moments of all units of a cell, from rows that are read once."""

    def __init__(self, store: Store) -> None:
        self._labels, self._rows = store.labels, store.rows()

    def of_cell(self, name: str, cell: Labels) -> NDArray[np.float64]:
        """Of a metric, (curve ..., moment)."""
        at, rows = positions(self._labels, cell), self._rows[name]
        rows = rows[at["source"][0], at["block_size"][0]]
        curve = (at[axis] for axis in METRICS[name].curve)
        return add_moments(rows[np.ix_(range(rows.shape[0]), *curve)])


def _compare_totals(one: _Totals, two: _Totals, cell: Labels) -> tuple[int, list[str]]:
    """Compare the moments of a cell where two ledgers list equally many trials.

    Returns whether any were compared, as 0 or 1, and which metrics differ, in words.
    """
    compared, differences = 0, []
    for name in METRICS:
        a, c = one.of_cell(name, cell), two.of_cell(name, cell)
        same = (a[..., _COUNT] == c[..., _COUNT]) & (a[..., _COUNT] > 0)
        compared += int(name == "error" and same.any())
        if a[same][:, _RESULTS].tobytes() != c[same][:, _RESULTS].tobytes():
            differences.append(f"{_name(cell)}: the ledger's moments of {name}")
    return compared, differences


def _name(cell: Labels) -> str:
    return f"source={cell['source'][0]} block_size={cell['block_size'][0]}"
