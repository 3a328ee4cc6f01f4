"""Running a plan: in rounds, on a cluster, into a store whose lock is held."""

import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

from pipeline.errors import Stopped, UserError, cannot, command
from pipeline.planning.grid import Missing, Unit
from pipeline.planning.plan import Plan
from pipeline.planning.settings import Settings
from pipeline.run import cluster, here, preflight, stopping, todo
from pipeline.run.connection import Connection
from pipeline.run.worker import load_kernels, plan_to_text, returns_rows, run_unit
from pipeline.sources import memory
from pipeline.store import lock, record, services
from pipeline.store.damage import damage, losing, naming_damage
from pipeline.store.leftovers import remove_leftovers
from pipeline.store.location import Location
from pipeline.store.store import Store, location_of

if TYPE_CHECKING:
    from distributed import Client

    from pipeline.run.tasks import Work

# After so long a user is told that kernels are being compiled; from numba's cache they take 0.3 s.
_SECONDS_OF_LOADING = 1.5
# How often the lock says how far the sweep is, for `status`: a write of 200 bytes.
_SECONDS_BETWEEN_NEWS = 1.0
# Of a thousand workers `status` need not have more.
_WORKERS_NAMED = 100
# After so many units their rows are packed: for 1,000, this takes the client 0.4 s.
_ROWS_BETWEEN_PACKING = 1000


class Observer(Protocol):
    """What is told how a run goes."""

    def begin(self, plan: Plan, todo: int, done: int) -> None:
        """Before the first unit of a round: trials to do, and those that the store already has."""

    def advance(self, trials: int) -> None:
        """A unit is stored, or has failed."""

    def notify(self, line: str) -> None:
        """A line for the user."""


class SilentObserver:
    """An observer that shows nothing."""

    def begin(self, plan: Plan, todo: int, done: int) -> None:
        """Show nothing."""

    def advance(self, trials: int) -> None:
        """Show nothing."""

    def notify(self, line: str) -> None:
        """Show nothing."""


@dataclass
class Outcome:
    """What a run did.

    `plan` is that of the last round; `store` is None only until there is one; `computed` is how
    many trials were measured, in `seconds`; `failures` say which units could not be measured, and
    why.
    """

    plan: Plan
    store: Store | None
    computed: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


def execute(
    settings: Settings, plan: Plan, observer: Observer, client: "Client | None" = None
) -> Outcome:
    """Compute and store the units of a plan which its store does not have yet.

    Parameters
    ----------
    settings, plan
        Settings, and the plan made of them.
    observer
        Is told how the run goes.
    client
        Of a cluster that the caller has; it is used, and left open.

    Raises
    ------
    UserError
        For a store or disk that does not fit, and as a ClusterUnfitError for a cluster; nothing is
        computed then, or written.
    Stopped
        After Ctrl-C, SIGTERM or SIGHUP, once the units in flight are stored; a second one does not
        wait.
    ClusterLostError, StoreLostError
        Where the scheduler is gone, or nothing more can be written.
    """
    cluster.check_kind(settings.cluster)
    location = location_of(settings, plan)
    _mend_journal(location)
    to_do = todo.find(location, settings, plan)
    if to_do.is_done:
        observer.begin(to_do.plan, 0, to_do.plan.grid.total_trials)
        if to_do.store and lock.holder(location) is None:
            # A process that died, perhaps at its very end, leaves a lock that nobody holds; a power
            # cut may leave something of a journal.
            left = lock.is_there(location) or location.child("journal").exists()
            if left or to_do.store.is_unfinished:
                return Outcome(to_do.plan, _tidied(location, to_do.plan, settings))
        return Outcome(to_do.plan, to_do.store)
    todo.check_space(location, to_do.plan, to_do.missing)
    lock.check_system(location)
    here.check_files(settings.cluster)
    here.check_script(settings.cluster)
    _load_kernels(to_do.plan, observer)
    ours = client is None and cluster.is_here(settings.cluster)
    logs = location.beside(".logs.partial").folder
    with ExitStack() as stack:
        held = _take_lock(stack, location, observer.notify)
        for name in remove_leftovers(location):
            observer.notify(f"Removed {name}, which a process that died left half written.")
        if _has_changed(to_do.store, Store.find(location)):
            to_do = todo.find(location, settings, plan)
        # Refusals come before anything is written but the lock.
        connection = stack.enter_context(
            cluster.connect(settings.cluster, observer.notify, client, logs)
        )
        if (not ours or settings.cluster["kind"] != "local") and _uses_objects(
            to_do.plan, location
        ):
            from pipeline.run import access

            stack.enter_context(access.shared(connection.client))
        if not ours or settings.cluster["kind"] != "local":
            from pipeline.run import access

            stack.enter_context(access.given(connection.client, to_do.plan.functions))
        if not ours:
            preflight.check_workers(connection.client, to_do.plan, observer.notify)
        if not ours or settings.cluster["kind"] != "local":
            preflight.check_store(connection.client, location, held.token, observer.notify)
        store = _prepared(to_do, settings, location)
        sweep = _Sweep(store, settings, plan, held, observer, Outcome(to_do.plan, store))
        sweep.run(connection, to_do.missing)
    return sweep.outcome


def _mend_journal(location: Location) -> None:
    """Close a journal that cannot be opened, as a power cut may leave it; no row is lost."""
    location.check_openable()
    if not location.child("journal").exists():
        return
    store = Store.find(location)
    if store and store.has_damaged_journal:
        with ExitStack() as stack, naming_damage(location):
            _take_lock(stack, location)
            store.close_journal()


def _take_lock(
    stack: ExitStack, location: Location, notify: Callable[[str], None] = lambda line: None
) -> lock.Lock:
    """Hold the lock of a store until a stack ends, whenever a signal comes.

    One that comes while the lock is taken is raised once the stack would give it back.
    """
    with stopping.counted_signals() as received:
        held = stack.enter_context(lock.held(location, notify))
    if received:
        raise KeyboardInterrupt(received[0])
    return held


def _uses_objects(plan: Plan, location: Location) -> bool:
    """Whether workers are to reach an object store."""
    places = [location, *(getattr(source.content, "location", None) for source in plan.sources)]
    return any(place is not None and services.is_object(place.url) for place in places)


def _load_kernels(plan: Plan, observer: Observer) -> None:
    """Load the kernels now, so that the time it takes does not count in trials per second."""
    line = "Compiling the kernels, which takes some seconds once after an installation."
    timer = threading.Timer(_SECONDS_OF_LOADING, observer.notify, [line])
    timer.start()
    try:
        load_kernels(plan)
    finally:
        timer.cancel()


def _has_changed(before: Store | None, now: Store | None) -> bool:
    """Whether another sweep may have written since a store was opened."""
    if before is None or now is None:
        return before is not now
    return now.is_unfinished or now.record != before.record


def _prepared(to_do: todo.Todo, settings: Settings, location: Location) -> Store:
    """The store, ready for the first round."""
    before = to_do.store.record if to_do.store else None
    new = record.of_sweep(to_do.plan, settings, before)
    # Units that are tried now are no longer in quarantine.
    new = _without_quarantined(new, (missing.unit for missing in to_do.missing))
    return _begin_round(to_do.store, to_do.plan, new, location, durable=settings.durable)


def _begin_round(
    store: Store | None, plan: Plan, new: record.Record, location: Location, *, durable: bool
) -> Store:
    try:
        if store is None:
            store = Store.create(location, plan, new, durable=durable)
            store.open_journal(plan_to_text(plan))
        else:
            store.durable = durable
            store.begin_round(plan, new, plan_to_text(plan))
    except OSError as error:
        raise UserError(cannot("write", location, error, "choose another results=...")) from error
    except UserError:
        raise
    except Exception as error:  # zarr raises whatever it meets
        raise damage(location, error) from error
    return store


def _tidied(location: Location, plan: Plan, settings: Settings) -> Store:
    """The store, once what was killed after its last unit, or while axes grew, is finished."""
    with ExitStack() as stack:
        _take_lock(stack, location)
        # As it is now: another sweep may have grown it since it was planned for.
        store = Store.open(location)
        store.durable = settings.durable
        remove_leftovers(location)
        if store.is_unfinished:
            store.begin_round(plan, store.record, plan_to_text(plan))
            ended = record.of_end(store.record, store.record.computed, store.record.seconds)
            store.finish(_without_quarantined(ended, plan.grid.units()))
    return store


def _without_quarantined(before: record.Record, units: Iterable[Unit]) -> record.Record:
    """A record in which none of these units is in quarantine."""
    keys = {unit.key for unit in units}
    left = [each for each in before.quarantined if each.unit.key not in keys]
    return dataclasses.replace(before, quarantined=tuple(left))


@dataclass
class _Sweep:
    """A run that holds its store's lock: `wanted` is its plan, `outcome.plan` that of the round."""

    store: Store
    settings: Settings
    wanted: Plan
    held: lock.Lock
    observer: Observer
    outcome: Outcome
    bad: list[record.Quarantined] = field(default_factory=list)
    """Units that failed, and that the store does not say yet."""
    said: float = 0.0
    """When it last said which ones failed."""
    kills: int = field(default_factory=lambda: memory.kills())
    """How many processes had been killed for want of memory before it began."""

    def run(self, connection: Connection, missing: list[Missing]) -> None:
        """Every round, on a cluster; whatever ends it, what is stored is left in good order."""
        if link := cluster.dashboard(connection.client, self.settings.cluster):
            self.observer.notify(f"Dashboard: {link}")
        began = time.perf_counter()
        try:
            while True:
                self._round(connection, missing)
                with losing(self.store.location):
                    following = self._following()
                if following is None:
                    break
                missing = following
        except BaseException as error:
            if isinstance(error, Exception | Stopped):
                # On a full disk this fails too: rows then wait in the journal for the next run, and
                # the error that is reported is the first.
                with suppress(Exception):
                    self._finish(time.perf_counter() - began)
            raise
        self.outcome.seconds = time.perf_counter() - began
        with losing(self.store.location):
            self._finish(self.outcome.seconds)

    def _following(self) -> list[Missing] | None:
        """What the next round is to measure, once the store is ready for it; None at the end."""
        plan = self.outcome.plan
        if self.outcome.failures:
            return None
        following = todo.next_round(self.wanted, plan, self.store, self.settings.precision)
        if following == plan:
            return None
        self.outcome.plan = following
        missing = todo.missing_of(self.store, following)
        todo.check_space(self.store.location, following, missing)
        new = record.of_round(self.store.record, following)
        _begin_round(self.store, following, new, self.store.location, durable=self.settings.durable)
        return missing

    def _round(self, connection: Connection, missing: list[Missing]) -> None:
        from pipeline.run.tasks import DIED, map_units
        from pipeline.run.workers import why_killed

        plan, outcome = self.outcome.plan, self.outcome
        todo = sum(each.unit.trials for each in missing)
        self.observer.begin(plan, todo, plan.grid.total_trials - todo)
        store = self.store
        task = partial(run_unit, store.location.url, store.round, durable=store.durable)
        news = _News(self.held)
        keep = store.note_row if returns_rows(store.location.url) else None
        ended = map_units(connection, task, missing, self.observer.notify, news.publish, keep)
        with closing(ended):
            for count, (unit, failure) in enumerate(ended, start=1):
                if failure:
                    if failure.endswith(DIED):
                        failure += why_killed(memory.kills() - self.kills, plan)
                    outcome.failures.append(failure)
                    self._quarantine(unit, failure)
                else:
                    news.computed += unit.trials
                    outcome.computed += unit.trials
                if count % _ROWS_BETWEEN_PACKING == 0:
                    with losing(self.store.location):
                        self.store.pack()
                self.observer.advance(unit.trials)

    def _quarantine(self, unit: Unit, reason: str) -> None:
        words = self.settings.words(results=None, out=self.store)
        retry = command("sweep", *words, config_dirs=self.settings.config_dirs)
        self.bad.append(record.Quarantined(unit, reason, record.now(), retry))
        # Where all of ten thousand units need a broken file, each would write all before it again.
        if time.monotonic() - self.said >= _SECONDS_BETWEEN_NEWS:
            self.said = time.monotonic()
            with suppress(OSError):
                self.store.update(self._with_bad())
                self.bad.clear()

    def _with_bad(self) -> record.Record:
        before = self.store.record
        return dataclasses.replace(before, quarantined=(*before.quarantined, *self.bad))

    def _finish(self, seconds: float) -> None:
        self.store.finish(record.of_end(self._with_bad(), self.outcome.computed, seconds))


class _News:
    """Writes how far a round is into the lock, from time to time, for `status`."""

    def __init__(self, held: lock.Lock) -> None:
        self._held, self.computed = held, 0
        self._began, self._published = time.monotonic(), float("-inf")

    def publish(self, running: Iterable[Unit], workers: Iterable["Work"]) -> None:
        """Say which units are in flight, and who computes which."""
        now = time.monotonic()
        if now - self._published < _SECONDS_BETWEEN_NEWS:
            return
        self._published = now
        # On a full disk the units fail, and say so; this need not.
        with suppress(OSError):
            self._held.publish(
                running=[dataclasses.asdict(unit) for unit in running],
                workers=[
                    work._asdict() | {"units": [str(unit) for unit in work.units]}
                    for work in itertools.islice(workers, _WORKERS_NAMED)
                ],
                computed=self.computed, seconds=round(now - self._began, 3),
            )  # fmt: skip
