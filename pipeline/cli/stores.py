"""The verbs about stores as such, and how every verb opens one; nothing is computed here."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.cli.declaration import Request
from pipeline.config import notation
from pipeline.errors import UserError, are, command, count_of

if TYPE_CHECKING:
    from pipeline.audit.problem import Problem
    from pipeline.audit.verify import Report
    from pipeline.store.location import Location
    from pipeline.store.store import Store


def open_store(request: Request) -> "Store":
    """Open the store that a command line is about, and note it as the one last used."""
    from pipeline.store import recent
    from pipeline.store.location import Location
    from pipeline.store.store import Store

    store = Store.open(request.location)
    if "results" in request.own:
        recent.note(Location.of(request.own["results"]), store.location)
    return store


def open_stores(request: Request) -> "list[Store]":
    """Open the stores that a command line is about."""
    from pipeline.store.store import Store

    if len(request.places) == 1:
        return [open_store(request)]
    return [Store.open(place) for place in dict.fromkeys(request.places)]


def emit_result(**fields: Any) -> None:
    """Print the result of a verb for a program."""
    from pipeline.show import events

    events.emit("result", **fields)


def config(request: Request) -> str:
    """The configuration of the last sweep into a store."""
    runs = open_store(request).record.runs
    return runs[-1].config if runs else ""


def no_config(request: Request) -> str:
    """What `--cfg` prints for a verb that is not about one sweep."""
    raise UserError("this verb is not about one sweep, and composes no configuration")


def ls(request: Request) -> int:
    """`ls`: the stores of a folder, and what is in each."""
    from pipeline.audit.listing import stores_in
    from pipeline.show import tables

    listed = list(stores_in(request.location))
    if request.json:
        emit_result(stores=listed)
        return 0
    tables.print_stores(listed)
    if not listed:
        print(f"No stores in {request.location}.")
    return 0


def name_default_store(request: Request) -> None:
    """Print, on standard error, which store was taken where none was given."""
    if not (request.place_is_given or request.quiet):
        print(f"Store: {request.location}", file=sys.stderr)


def status(request: Request) -> int:
    """`status`: how far a store is, at once."""
    from pipeline.audit.status import status_of
    from pipeline.show import progress
    from pipeline.store import lock

    # First the lock, then the ledger: a unit that ends in between then counts as complete.
    holder: Mapping[str, Any] | None = lock.holder(request.location)
    store = open_store(request)
    found = status_of(store, holder)
    if request.json:
        left = found.trials_left
        emit_result(store=str(store), **vars(found), trials=found.trials, trials_left=left)
        return 0
    progress.print_status(found)
    print(f"Store: {store}")
    return 0


def share_of_units(key: str, value: str) -> float:
    """The share of the units that `verify` computes again, 0 .. 1; `all` is 1."""
    share = 1.0 if value == "all" else notation.number(key, value)
    if not 0 <= share <= 1:
        raise UserError(f"{key} must be within 0..1, or all, got {value}: try {key}=0.01")
    return share


def verify(request: Request) -> int:
    """`verify`: check a store for whatever is not as it was written."""
    repair = request.own["repair"]
    if repair and request.json:
        raise UserError("repair=true says what it does to a person: leave --json out")
    from pipeline.audit import verify
    from pipeline.audit.repair import restore_root
    from pipeline.show import fitting, progress
    from pipeline.store.damage import naming_damage

    if repair and restore_root(request.location):
        print(f"Written again from its copy: {request.location.child('zarr.json')}")
    store = open_store(request)
    other = _compared_store(request.own["against"], store)
    name_default_store(request)
    with naming_damage(store.location), progress.CheckProgress() as check:
        report = verify.verify(store, request.own["sample"], check.observe)
    if request.json:
        return _emit_report(store, report, other)
    for problem in report.problems:
        label = "not checked" if problem.unread else "note" if problem.harmless else "bad"
        print(f"{label}: {problem.words}")
    fitting.say(
        f"{count_of(report.units, 'unit')} checked: metadata, files, checksums, the ledger against "
        f"their trials. {report.recomputed:,} computed again."
    )
    if repair and any(problem.mendable for problem in report.problems):
        return _repair(store, report.problems)
    if any(not problem.harmless for problem in report.problems):
        return _refuse(store, report.problems)
    return _print_soundness(store, other)


def _emit_report(store: "Store", report: "Report", other: "Location | None") -> int:
    """Print what `verify` found for a program; returns the exit code."""
    from pipeline.audit.difference import compare_stores
    from pipeline.store.store import Store

    bad = [problem for problem in report.problems if not problem.harmless]
    problems = [
        {"words": each.words, "harmless": each.harmless, "unread": each.unread}
        for each in report.problems
    ]
    said: dict[str, Any] = {}
    compared = Store.find(other) if other and not bad else None
    if compared is not None:
        units, differences = compare_stores(store, compared)
        said = {"against": str(other), "compared": units, "differences": differences}
    emit_result(
        store=str(store),
        units=report.units,
        recomputed=report.recomputed,
        problems=problems,
        sound=not bad,
        **said,
    )
    differs = bool(said) and bool(said["differences"] or not said["compared"])
    return int(bool(bad) or differs)


def _compared_store(against: str | None, store: "Store") -> "Location | None":
    """The store that `verify` compares with: `against`, which must exist, or a rerun's original."""
    from pipeline.store.location import Location
    from pipeline.store.store import Store

    if against is None:
        return Location.of(store.record.rerun_of) if store.record.rerun_of else None
    if not against:
        raise UserError("against is empty: give a store, as against=results/sweep-HASH.zarr")
    other = Location.of(against)
    other.check_openable()
    return Store.open(other).location


def _repair(store: "Store", problems: Sequence["Problem"]) -> int:
    """Repair a store, print what could not be mended, and return the exit code."""
    from pipeline.audit.repair import repair
    from pipeline.audit.status import status_of
    from pipeline.store.store import Store

    left = repair(store, problems)
    store = Store.open(store.location)
    for problem in left:
        print(f"{'note' if problem.harmless else 'left'}: {problem.words}")
    if any(not problem.harmless for problem in left):
        return _refuse(store, left)
    if not status_of(store, None).trials_left:
        print("Repaired: nothing is missing.")
        return 0
    print("Repaired: what was bad counts as missing, and is computed again by")
    print("\n".join(store.record.commands(str(store))))
    return 0


def _refuse(store: "Store", problems: Sequence["Problem"]) -> int:
    """Print that a store is damaged or not all checked, what can be done; returns the exit code."""
    problems = [problem for problem in problems if not problem.harmless]
    unread = sum(problem.unread for problem in problems)
    words = []
    if bad := len(problems) - unread:
        words.append(f"{count_of(bad, 'problem')} in {store}")
    if any(problem.mendable for problem in problems):
        words.append(
            f"{command('verify', str(store), 'repair=true')} queues them for the next sweep"
        )
    if unread:
        words.append(
            f"{count_of(unread, 'part')} of {store} could not be checked, and {are(unread)} not "
            "touched"
        )
    print(f"error: {'; '.join(words)}", file=sys.stderr)
    return 1


def _print_soundness(store: "Store", other: "Location | None") -> int:
    """Print that there is no damage, what is missing, and how another store compares."""
    from pipeline.audit.status import status_of
    from pipeline.store.store import Store

    if missing := status_of(store, None).trials_left:
        said = f"{count_of(missing, 'trial')} {are(missing)} missing"
        print(f"Unfinished: {said}; these commands go on:")
        print("\n".join(store.record.commands(str(store))))
    print("No damage found.")
    if not other:
        return 0
    compared = Store.find(other)
    if compared is None:
        print(f"{other}, of which this is a rerun, is no longer there to compare with.")
        return 0
    return print_differences(store, compared)


def print_differences(store: "Store", other: "Store", *, json: bool = False) -> int:
    """Compare two stores by bits and print the result; returns the exit code."""
    from pipeline.audit.difference import compare_stores

    compared, differences = compare_stores(store, other)
    if json:
        emit_result(
            store=str(store),
            against=str(other),
            compared=compared,
            differences=differences,
        )
        return int(bool(differences) or not compared)
    for words in differences:
        print(f"differs: {words}")
    if differences:
        print(f"{count_of(len(differences), 'difference')} from {other}.")
    elif compared:
        print(f"The same to the bit as {other}, wherever both have measured.")
    else:
        print(f"Nothing to compare: {other} has measured nothing that this store has.")
    return int(bool(differences) or not compared)
