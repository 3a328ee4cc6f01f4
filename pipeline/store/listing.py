"""What the ledger of a store lists, as those ask who plan, stop, sum up or look on."""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asm_core.moments import MOMENTS, add_moments
from pipeline.plan.identity import Identity, labels, places
from pipeline.plan.plan import Plan
from pipeline.store import layout, ledger, store
from pipeline.store.layout import CURVE


def counts(path: str, plan: Plan) -> NDArray[np.int64] | None:
    """Trials that the ledger lists on the plan's axes, (source, block_size, unit, curve ...).

    0 where there is no row yet; None where there is no store.
    """
    attributes = store.attributes_of(path)
    if attributes is None:
        return None
    with store.reading(path):
        root = layout.open_group(path)
        listed = ledger.counts(root, path)
        return on_axes_of(plan.labels, json.loads(attributes["identity"]), listed)


def on_axes_of(
    wanted: dict[str, list[Any]], identity: Identity, listed: NDArray[np.int64]
) -> NDArray[np.int64]:
    """What a store lists, (source, block_size, unit, curve ...), for other values of its axes."""
    have = labels(identity)
    # What the store does not have yet is looked up in an edge of zeros.
    edged = np.pad(listed, [(0, int(axis != 2)) for axis in range(listed.ndim)])
    index = [
        [have[axis].index(value) if value in have[axis] else -1 for value in wanted[axis]]
        for axis in ("source", "block_size", *CURVE)
    ]
    index.insert(2, list(range(listed.shape[2])))
    chosen: NDArray[np.int64] = edged[np.ix_(*index)]
    return chosen


def wanted_trials(path: str, plan: Plan) -> list[list[int]]:
    """How many trials of each cell of a plan a store has begun: asked for, or listed."""
    attributes = store.attributes_of(path)
    if attributes is None:
        return [[0] * len(row) for row in plan.cell_trials]
    with store.reading(path):
        asked = json.loads(attributes.get("wanted", '{"source": [], "block_size": []}'))
        counted = counts(path, plan)
    listed = _lengths(counted, plan.unit_trials)
    for s, source in enumerate(plan.labels["source"]):
        for b, size in enumerate(plan.block_sizes):
            if source in asked["source"] and size in asked["block_size"]:
                place = asked["source"].index(source), asked["block_size"].index(size)
                listed[s, b] = max(listed[s, b], asked["trials"][place[0]][place[1]])
    whole: list[list[int]] = listed.tolist()
    return whole


def cell_totals(path: str, plan: Plan) -> NDArray[np.float64]:
    """Moments of the error of each cell (source, block_size, point, moment), over its units."""
    with store.reading(path):
        root = layout.open_group(path)
        identity = json.loads(root.attrs["identity"])
        rows = ledger.rows(root, path, ["error"])["error"]
    at = places(identity, plan.labels)
    return np.array(
        [
            [
                add_moments(
                    rows[source, size, : plan.units_of(trials)][
                        np.ix_(range(plan.units_of(trials)), *(at[axis] for axis in CURVE))
                    ]
                ).reshape(-1, len(MOMENTS))
                for size, trials in zip(at["block_size"], row, strict=True)
            ]
            for source, row in zip(at["source"], plan.cell_trials, strict=True)
        ]
    )


def measured_trials(path: str) -> int:
    """How many trials the longest cell of a store has, up to the last one that is listed."""
    store.provenance_of(path)
    with store.reading(path):
        root = layout.open_group(path)
        listed = ledger.counts(root, path)
        return int(_lengths(listed, int(root.attrs["unit_trials"])).max(initial=0))


def ledger_rows(path: str) -> dict[str, NDArray[np.float64]]:
    """The moments of every unit: of each metric (source, block_size, unit, curve ..., moment)."""
    with store.reading(path):
        return ledger.rows(layout.open_group(path), path)


def _lengths(listed: Any, unit_trials: int) -> NDArray[np.int64]:
    """The last trial that is listed of each cell, and one: (source, block_size)."""
    most = listed.max(axis=tuple(range(3, listed.ndim)))
    starts = unit_trials * np.arange(most.shape[-1])
    ends: NDArray[np.int64] = np.where(most > 0, starts + most, 0).max(axis=-1, initial=0)
    return ends
