"""What is to be done of a plan: the next round, and the units that the store does not have yet."""

from dataclasses import dataclass

import numpy as np
from dask.utils import format_bytes

from asm_core.moments import MOMENTS
from pipeline.errors import StoreLostError, UserError
from pipeline.planning import estimate, precision
from pipeline.planning.grid import Missing
from pipeline.planning.plan import Plan
from pipeline.planning.settings import Settings
from pipeline.store.location import Location
from pipeline.store.store import Store, find_for


@dataclass(frozen=True)
class Todo:
    """What is to be done: the store if there is one, the next round's plan, what is missing."""

    store: Store | None
    plan: Plan
    missing: list[Missing]
    is_done: bool


def find(location: Location, settings: Settings, plan: Plan) -> Todo:
    """What is to be done of a plan whose store is at a place, or will be."""
    store, plan = find_for(location, plan, extend=settings.extend)
    current = _first_round(plan, store, settings.precision)
    missing = missing_of(store, current)
    done = not missing and next_round(plan, current, store, settings.precision) == current
    return Todo(store, current, missing, done)


def missing_of(store: Store | None, plan: Plan) -> list[Missing]:
    """The units of a plan that a store does not have, or not whole."""
    return plan.grid.missing(store.counts_of(plan.labels) if store else None)


def _first_round(plan: Plan, store: Store | None, goal: float | None) -> Plan:
    """The plan of the first round: all of it, unless a precision is to be reached."""
    if goal is None:
        return plan
    begun = store.begun_trials(plan) if store else [[0] * len(row) for row in plan.cell_trials]
    return plan.with_trials(
        [
            [min(cap, max(precision.MIN_TRIALS, trials)) for cap, trials in zip(*row, strict=True)]
            for row in zip(plan.cell_trials, begun, strict=True)
        ]
    )


def next_round(plan: Plan, last: Plan, store: Store | None, goal: float | None) -> Plan:
    """What follows a round that is complete; the same plan where nothing does."""
    if goal is None or store is None:
        return last
    totals = store.cell_totals(last)
    # Of a round that is complete every row is there.  One that is not found, for whatever reason,
    # would look like an interval that more trials cannot make narrower.
    found = totals[..., MOMENTS.index("count")].min(axis=-1)
    if not (found >= np.array(last.cell_trials)).all():
        raise StoreLostError(f"cannot read {store}: rows of units that were stored are not found")
    trials = [
        [
            precision.next_trials(
                totals[s, b],
                goal,
                measured,
                plan.cell_trials[s][b],
                store.cell_sums(last, plan.sources[s].name, plan.block_sizes[b]),
            )
            for b, measured in enumerate(row)
        ]
        for s, row in enumerate(last.cell_trials)
    ]
    return last.with_trials(trials)


def check_space(location: Location, plan: Plan, missing: list[Missing]) -> None:
    """Refuse what does not fit on the disk."""
    share = len(missing) / plan.grid.unit_count
    needed, free = estimate.written_bytes(plan, share), location.free_bytes()
    if free is not None and needed > free:
        raise UserError(
            f"the sweep will write about {format_bytes(int(needed))} and {location} has "
            f"{format_bytes(free)} free: {estimate.SPACE_REMEDY}"
        )
