"""The verbs that make a plan: what they run and print.  What they print is computed elsewhere."""

import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.cli import results, stores
from pipeline.cli.declaration import Request
from pipeline.cli.words import load
from pipeline.errors import BadFileError, UnreadableError, UserError, all_of, are, count_of
from pipeline.functions.naming import TARGET
from pipeline.run import stopping

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from pipeline.planning.plan import Plan
    from pipeline.planning.settings import Settings
    from pipeline.run.rounds import Observer, Outcome
    from pipeline.store.record import Run
    from pipeline.store.store import Store


# Reasons why units failed, and files that are bad: a screen has room for so many lines.
_FAILURES_SHOWN = 5
_BAD_SHOWN = 10


def config(request: Request) -> str:
    """The composed configuration of a sweep."""
    return load(request.words, request.config_dirs).to_yaml()


def sweep(request: Request) -> int:
    """`sweep`: run what a store lacks of a sweep, and show its table."""
    settings = load(request.words, request.config_dirs)
    plan = planned(settings)
    with observing(request, settings, plan) as observer:
        outcome = run_plan(settings, plan, observer)
    if outcome.failures:
        if request.json:
            stores.emit_result(store=str(outcome.store), failures=outcome.failures)
        return 3
    store = _store_of(outcome)
    if request.json:
        _emit_sweep(outcome)
        return 0
    if request.quiet:
        print(store)
        return 0
    _print_sweep(settings, outcome, observer)
    chosen = {"freqs", "experiment"} & request.sweep_keys.keys()
    last = outcome.plan.last_frequency
    if not chosen and outcome.plan.freqs[-1] < last:
        observer.notify(f"These are the first of {last + 1} frequencies: freqs=0..{last} has all.")
    print(f"Store: {store}")
    # In double quotes, as Python reads them too.
    print(f"Open it: import xarray; xarray.open_zarr({json.dumps(str(store), ensure_ascii=False)})")
    return 0


def observing(
    request: Request, settings: "Settings", plan: "Plan"
) -> "AbstractContextManager[Observer]":
    """What shows how a run goes: a bar or lines, events, or nothing."""
    from pipeline.run.rounds import SilentObserver
    from pipeline.show import events, progress
    from pipeline.store.store import location_of

    if request.json:
        return events.EventProgress()
    if request.quiet:
        return nullcontext(SilentObserver())
    return progress.SweepProgress(location_of(settings, plan))


def _emit_sweep(outcome: "Outcome") -> None:
    """Print the result of a sweep for a program."""
    from pipeline.analysis import curves
    from pipeline.show import events

    store, plan = _store_of(outcome), outcome.plan
    stores.emit_result(
        store=str(store),
        trials=plan.trials,
        trials_computed=outcome.computed,
        seconds=outcome.seconds,
        points=list(events.points_of(curves.of_store(store, plan.trials, plan.labels))),
    )


def _print_sweep(settings: "Settings", outcome: "Outcome", observer: "Observer") -> None:
    """Print the table of a sweep that is complete, and remarks on it."""
    plan, store = outcome.plan, _store_of(outcome)
    if plan.unit_trials != settings.unit_trials:
        observer.notify(f"Units of this store hold {count_of(plan.unit_trials, 'trial')}.")
    measured = store.measured_trials()
    if measured > plan.trials:
        observer.notify(
            f"The store has {count_of(measured, 'trial')}; the table is of the first "
            f"{plan.trials:,}."
        )
    results.print_table(store, plan.prefixes, settings.precision, plan.labels, short=True)
    if outcome.computed:
        speed = outcome.computed / max(outcome.seconds, 1e-9)
        observer.notify(
            f"{count_of(outcome.computed, 'trial')} in {outcome.seconds:.1f} s, {speed:,.0f} "
            "trials/s"
        )
    for line in _remainders(plan):
        observer.notify(line)


def planned(settings: "Settings") -> "Plan":
    """The plan of some settings, and on standard error what is to be said of it beforehand."""
    from pipeline.run.planned import plan_of
    from pipeline.sources import kinds
    from pipeline.store.location import Location

    place = Location.of(settings.out or settings.results)
    if place.is_of_process:
        raise UserError(
            f"{place} is lost when this command ends: give a folder, or a URL that stays (in "
            "Python, where a process goes on, it may be used)"
        )
    plan = plan_of(settings)
    for line in kinds.notes(plan.sources):
        print(f"note: {line}", file=sys.stderr)
    return plan


def _store_of(outcome: "Outcome") -> "Store":
    assert outcome.store is not None
    return outcome.store


def run_plan(settings: "Settings", plan: "Plan", observer: "Observer") -> "Outcome":
    """Run what the store of a plan lacks, and print which units failed."""
    from pipeline.errors import command
    from pipeline.run import rounds
    from pipeline.store import recent
    from pipeline.store.layout import use_a_thread_per_core
    from pipeline.store.location import Location

    use_a_thread_per_core()
    if plan.functions and settings.out is None:
        for line in _changed_since(settings, plan):
            observer.notify(line)
    outcome = rounds.execute(settings, plan, observer)
    recent.note(Location.of(settings.results), _store_of(outcome).location)
    for line in _grouped(outcome.failures):
        print(f"failed: {line}", file=sys.stderr)
    if outcome.failures:
        from pipeline.run.tasks import RETRIES

        words, folders, failed = settings.words(), settings.config_dirs, len(outcome.failures)
        again = command("sweep", *words, config_dirs=folders)
        # A unit that met a broken file, or a mistake in a function, is tried once.
        times, hint = "" if plan.functions else f" {1 + RETRIES} times", ""
        if _decoded_entries(settings):
            check = command("check", *words, config_dirs=folders)
            times, hint = "", f"; to name all broken files: {check}"
        if plan.functions:
            hint = "; a function that is mended is another experiment, with a store of its own"
        print(
            f"error: {count_of(failed, 'unit')} failed{times} and {are(failed)} set aside, all "
            f"others are stored; to try them again: {again}{hint}",
            file=sys.stderr,
        )
    return outcome


def _changed_since(settings: "Settings", plan: "Plan") -> list[str]:
    """A line for each function that has other code than in the store that was used last."""
    from pipeline.planning.identity import changed_code
    from pipeline.store import recent
    from pipeline.store.store import Store

    try:
        store = Store.open(recent.last_used(settings.results))
    except UserError:
        return []
    return [
        f"{words} in {store}: this is another experiment, with a store of its own."
        for words in changed_code(store.record.identity, plan.identity)
    ]


def _grouped(failures: Sequence[str]) -> list[str]:
    """The first few reasons why units failed, each with its first unit: one file may fail many."""
    units: dict[str, list[str]] = {}
    for failure in failures:
        unit, _, reason = failure.partition(": ")
        units.setdefault(reason, []).append(unit)
    lines = []
    for reason, names in list(units.items())[:_FAILURES_SHOWN]:
        others = f" and {len(names) - 1:,} other unit{'s' * (len(names) > 2)}"
        lines.append(f"{names[0]}{others * (len(names) > 1)}: {reason}")
    more = len(units) - len(lines)
    return [*lines, *([f"for {count_of(more, 'other reason')}, see status"] if more else [])]


def _decoded_entries(settings: "Settings") -> dict[str, dict[str, Any]]:
    """The entries of conf/source whose files are decoded, by name."""
    from pipeline.sources import kinds

    return {
        name: entry
        for name, entry in settings.source.items()
        if (kind := kinds.KINDS.get(entry.get("kind", ""))) and kind.reader
    }


def check(request: Request) -> int:
    """`check`: decode every file that a sweep would read, and name those that are bad."""
    settings = load(request.words, request.config_dirs)
    try:
        planned(settings)
    except (BadFileError, UnreadableError):
        # Named below, with all others.
        pass
    entries = _decoded_entries(settings)
    if not entries and not request.json:
        print(f"Nothing to decode: no image files belong to source={','.join(settings.source)}.")
        return 0
    from pipeline.show import progress
    from pipeline.sources import kinds

    files, bad = 0, list[str]()
    try:
        with progress.CheckProgress() as observer:
            for name, entry in entries.items():
                observe = partial(observer.observe, f"source {name}")
                count, refused = kinds.check(name, entry, observe)
                files += count
                bad += refused
    except KeyboardInterrupt as error:
        print("Stopped: the same command decodes all files again.", file=sys.stderr)
        return stopping.exit_code(error)
    if request.json:
        stores.emit_result(files=files, bad=bad)
        return 2 if bad else 0
    for line in bad[:_BAD_SHOWN]:
        print(f"bad: {line}", file=sys.stderr)
    if bad:
        first = f" (the first {_BAD_SHOWN} are named)" * (len(bad) > _BAD_SHOWN)
        print(
            f"error: {len(bad):,} of {count_of(files, 'file')} cannot be measured{first}: restore "
            "them from a copy, or remove them",
            file=sys.stderr,
        )
        return 2
    decoded = f"{all_of(files, 'file')} {'was' if files == 1 else 'were'} decoded."
    print(decoded[0].upper() + decoded[1:])
    return 0


def _remainders(plan: "Plan") -> list[str]:
    """A line for each stored source and block size: its tiles, and samples that are left over."""
    from pipeline.planning.tiles import counted
    from pipeline.sources import kinds

    return [
        f"{source.name}: {counted(plan.tiles, source.name, size, trials)} of {size} x {size}"
        f"{', a spread sample' * source.is_spread(size)}, "
        f"{count_of(kinds.dropped(source, size), 'sample')} dropped at the edges"
        for source, row in zip(plan.sources, plan.cell_trials, strict=True)
        for size, trials in zip(plan.block_sizes, row, strict=True)
        if source.tiles
    ]


def plan(request: Request) -> int:
    """`plan`: what a sweep would compute and cost."""
    settings = load(request.words, request.config_dirs)
    plan = planned(settings)
    from pipeline.run import cluster
    from pipeline.run.forecast import forecast
    from pipeline.show import fitting, tables

    found = forecast(settings, plan)
    if request.json:
        stores.emit_result(**vars(found), fits=found.fits)
        return 0
    tables.print_plan(found)
    for line in _remainders(plan):
        fitting.say(line)
    if script := cluster.job_script(settings.cluster):
        print(f"\nThe script of each job:\n\n{script}")
    return 0


def rerun(request: Request) -> int:
    """`rerun`: run again, into a new store, what a store was made with; compare the bits."""
    from pipeline.store.location import Location

    store, target = stores.open_store(request), Location.of(request.own["out"])
    if os.path.realpath(target.url) == os.path.realpath(store.location.url):
        raise UserError(f"out={request.own['out']} is the store itself: give a new one")
    stores.name_default_store(request)
    runs = store.record.runs
    # Each is refused before the first is begun.
    plans = [_plan_again(store, run, target.url, len(runs) > 1, request) for run in runs]
    for run, (settings, plan) in zip(runs, plans, strict=True):
        outcome = _run_again(run, settings, plan, request)
        if outcome.failures:
            return 3
    again = _store_of(outcome)
    again.update(dataclasses.replace(again.record, rerun_of=str(store)))
    if not request.json:
        print(f"Store: {again}")
    return stores.print_differences(again, store, json=request.json)


def _plan_again(
    store: "Store", run: "Run", target: str, extend: bool, request: Request
) -> "tuple[Settings, Plan]":
    """What runs a configuration that was run into one store into another one."""
    from pipeline.config import compose
    from pipeline.planning.identity import TEXT_IS_KEPT, changed_code, changed_sources

    folders = request.config_dirs or run.config_dirs
    settings = compose.recorded(run.config, config_dirs=folders)
    given = run.given_elsewhere | {"out": target} | ({"extend": "true"} if extend else {})
    settings = dataclasses.replace(
        settings, results=request.own["results"], out=target, extend=extend, given=given,
        config_dirs=folders,
    )  # fmt: skip
    if request.sweep_keys or TARGET in settings.cluster:
        # Never what a store says, which may be anybody's: a class is code that is run.
        cluster = load(request.words, request.config_dirs).cluster
        settings = dataclasses.replace(settings, cluster=cluster)
    plan = planned(settings)
    identity = store.record.identity
    if changed := changed_code(identity, plan.identity):
        raise UserError(
            f"{'; '.join(changed)}: put it back, {TEXT_IS_KEPT}, or sweep into a store of its own"
        )
    if changed := changed_sources(identity, plan.identity):
        raise UserError(
            f"what lies at the path of source {', '.join(changed)} is not what {store} was made "
            "of: put it back, or sweep what is there now into a store of its own"
        )
    return settings, plan


def _run_again(run: "Run", settings: "Settings", plan: "Plan", request: Request) -> "Outcome":
    """Run a configuration again, as it was planned."""
    made_with = run.cluster
    with observing(request, settings, plan) as observer:
        observer.notify(" ".join(["sweep", *(f"{key}={text}" for key, text in run.given.items())]))
        if TARGET in made_with and not request.sweep_keys:
            observer.notify(
                f"Here on threads of this process. It was made with the cluster {made_with}: to "
                "run that class, name it, cluster=..."
            )
        return run_plan(settings, plan, observer)
