"""Stores that are made without a cluster, for the tests of what reads and writes them."""

import dataclasses

from pipeline.config import compose
from pipeline.planning.axes import fewest
from pipeline.planning.grid import Missing
from pipeline.planning.plan import make_plan
from pipeline.run.worker import plan_to_text, run_unit
from pipeline.sources import kinds
from pipeline.store import record
from pipeline.store.location import Location
from pipeline.store.store import Store, find_for


def plan_of(*arguments):
    """The plan of a command line."""
    return make_plan(compose.load(arguments), kinds.resolve)


def prepare(path, *arguments, extend=False, **changes):
    """The store of a command line, made or grown, and its plan: ready to take units."""
    settings = compose.load(arguments)
    location = Location.of(path)
    store, plan = find_for(location, make_plan(settings, kinds.resolve), extend=extend)
    new = record.of_sweep(plan, settings, store.record if store else None)
    new = dataclasses.replace(new, **changes)
    store = store or Store.create(location, plan, new)
    store.begin_round(plan, new, plan_to_text(plan))
    return store, plan


def write(store, plan, *numbers):
    """Measure and store units of some numbers, of every cell."""
    for unit in plan.grid.units():
        if unit.number in numbers:
            run_unit(store.location.url, store.round, Missing(unit))


def listed(store):
    """Trials that the ledger lists, (source, block_size, unit): the fewest of any point."""
    return fewest(store.counts())
