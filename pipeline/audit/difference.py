"""Two stores compared by bits, wherever both have measured."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from asm_core.moments import MOMENTS, add_moments
from pipeline.audit.opened import Opened
from pipeline.plan.identity import NAMED, labels, places
from pipeline.store import layout, ledger
from pipeline.store.layout import METRICS

_COUNT = MOMENTS.index("count")
# What results are made of.  The low halves of the sums, 106 bits behind, know how units were cut.
_RESULTS = [MOMENTS.index(name) for name in ("count", "mean", "M2", "min", "max")]


def differing(path: str, other: str) -> tuple[int, list[str]]:
    """Compare the bits of what two stores both have measured.

    Returns
    -------
    tuple
        How many units, or cells of ledgers, were compared; and where they differ, in words.
    """
    one, two = Opened(path), Opened(other)
    fixed = ("seed", "kernel_version", "stream_version")
    found = [
        f"{key} is {one.identity[key]} and {two.identity[key]}"
        for key in fixed
        if one.identity[key] != two.identity[key]
    ]
    for axis in NAMED:
        ours, theirs = one.identity[axis], two.identity[axis]
        found += [
            f"{axis} {name} is {ours[name]} and {theirs[name]}"
            for name in ours
            if name in theirs and ours[name] != theirs[name]
        ]
    if found:
        return 0, found
    compared = 0
    have = labels(two.identity)
    shared = {
        axis: [value for value in values if value in have[axis]]
        for axis, values in labels(one.identity).items()
    }
    if not all(shared.values()):
        return 0, []
    for source in shared["source"]:
        for size in shared["block_size"]:
            common = {**shared, "source": [source], "block_size": [size]}
            units, words = _trials_differ(one, two, common)
            cells, more = _totals_differ(one, two, common)
            compared += units + cells
            found += words + more
    return compared, found


def _trials_differ(one: Opened, two: Opened, common: dict[str, list[Any]]) -> tuple[int, list[str]]:
    compared, found = 0, []
    length = min(one.root["error"].shape[-1], two.root["error"].shape[-1])
    for start in range(0, length, one.unit_trials):
        stop = min(start + one.unit_trials, length)
        words = (
            f"source={common['source'][0]} block_size={common['block_size'][0]} "
            f"trials {start}..{stop - 1}"
        )
        try:
            ours, theirs = (
                layout.read_trials(each.root, each.identity, common, start, stop)
                for each in (one, two)
            )
        except Exception as error:  # zarr raises whatever it meets
            found.append(f"{words}: cannot be read ({error})")
            continue
        for name in METRICS:
            a, c = getattr(ours, name), getattr(theirs, name)
            both = ~np.isnan(a) & ~np.isnan(c)
            compared += int(name == "error" and both.any())
            if not np.array_equal(a[both].view(np.uint32), c[both].view(np.uint32)):
                found.append(f"{words}: {name}")
    return compared, found


def _totals_differ(one: Opened, two: Opened, common: dict[str, list[Any]]) -> tuple[int, list[str]]:
    """Points of a cell that count equally many trials in two ledgers, but not to the same sums."""
    ours, theirs = (_totals(each, common) for each in (one, two))
    compared, found = 0, []
    for name in METRICS:
        a, c = ours[name], theirs[name]
        same = (a[..., _COUNT] == c[..., _COUNT]) & (a[..., _COUNT] > 0)
        compared += int(name == "error" and same.any())
        if a[same][:, _RESULTS].tobytes() != c[same][:, _RESULTS].tobytes():
            found.append(
                f"source={common['source'][0]} block_size={common['block_size'][0]}: the ledger's "
                f"moments of {name}"
            )
    return compared, found


def _totals(opened: Opened, wanted: dict[str, list[Any]]) -> dict[str, NDArray[np.float64]]:
    """Moments of all units of one cell."""
    at = places(opened.identity, wanted)
    rows = ledger.rows(opened.root, opened.path)
    return {
        name: add_moments(
            rows[name][at["source"][0], at["block_size"][0]][
                np.ix_(range(rows[name].shape[2]), *(at[axis] for axis in curve))
            ]
        )
        for name, curve in METRICS.items()
    }
