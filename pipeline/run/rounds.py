"""Running a plan: in rounds, on a cluster, into a store whose lock is held."""

import json
import shlex
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from distributed import Client

from pipeline.config import compose
from pipeline.errors import Stopped, UserError
from pipeline.plan import estimate, precision
from pipeline.plan.plan import Plan, Unit, store_path
from pipeline.run import cluster
from pipeline.run.tasks import map_units
from pipeline.run.worker import run_unit
from pipeline.store import listing, lock, provenance, store

# How often others are told how far the sweep is: a write of 200 bytes.
_SECONDS_BETWEEN_TELLING = 1.0
# Rows that wait in the journal: packing 1,000 takes 0.4 s of the client.
_ROWS_BETWEEN_PACKING = 1000


class Report(Protocol):
    """What a run tells whoever watches it."""

    def start(self, plan: Plan, path: str, todo: int, done: int, dashboard: str | None) -> None:
        """Before the first unit of a round: trials to do, and those that the store already has."""

    def advance(self, trials: int) -> None:
        """A unit is stored, or has failed."""

    def say(self, line: str) -> None:
        """Something that a user should know."""


class Silent:
    """A report to nobody."""

    def start(self, plan: Plan, path: str, todo: int, done: int, dashboard: str | None) -> None:
        """Say nothing."""

    def advance(self, trials: int) -> None:
        """Say nothing."""

    def say(self, line: str) -> None:
        """Say nothing."""


@dataclass
class Outcome:
    """What a run did: its plan with the trials that it came to, and what it could not measure."""

    plan: Plan
    path: str
    computed: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


def execute(
    settings: compose.Config, plan: Plan, arguments: Sequence[str], report: Report
) -> Outcome:
    """Compute and store the units of a plan which its store does not have yet.

    Parameters
    ----------
    settings, plan
        A configuration, and the plan made of it.
    arguments
        What the configuration was loaded from; kept in the store.
    report
        Is told how the run goes.

    Raises
    ------
    UserError
        Before anything is started or written.
    Stopped
        After Ctrl-C, once the units in flight are stored; a second Ctrl-C does not wait.
    ClusterLostError, StoreLostError
        Where the scheduler is gone, or nothing more can be written.
    """
    path = store_path(settings, plan)
    plan = store.check(path, plan, extend=settings.extend)
    outcome = Outcome(_first_round(plan, path, settings.precision), path)
    missing = outcome.plan.missing(listing.counts(path, outcome.plan))
    if not missing and _next_round(plan, outcome.plan, path, settings.precision) == outcome.plan:
        report.start(outcome.plan, path, 0, sum(map(sum, outcome.plan.cell_trials)), None)
        if store.unfinished(path) and lock.holder(path) is None:
            # Killed after its last unit, or while another one's axes grew.
            with lock.held(path):
                store.clean(path)
                attributes = store.provenance_of(path)
                store.prepare(path, outcome.plan, attributes, extend=settings.extend)
                store.finish(path, provenance.at_end(attributes, quarantined=[]))
        return outcome
    estimate.check_space(outcome.plan, path, len(missing) / outcome.plan.unit_count)
    shared = settings.cluster["kind"] == "scheduler"
    with ExitStack() as stack:
        # Refusals come before anything is started, or written.
        if shared:
            client = stack.enter_context(cluster.connect(settings.cluster))
        held = stack.enter_context(lock.held(path))
        for name in store.clean(path):
            report.say(f"Removed {name}, which a process that died left half written.")
        work = _Work(settings, plan, arguments, report, outcome, held)
        work.prepare()
        if not shared:
            client = stack.enter_context(cluster.connect(settings.cluster))
        if settings.cluster["kind"] != "local":
            _check_shared(client, path)
        work.run(client)
    return outcome


class _Work:
    """A run that holds its store's lock: its rounds, and what is noted on the way."""

    def __init__(
        self,
        settings: compose.Config,
        plan: Plan,
        arguments: Sequence[str],
        report: Report,
        outcome: Outcome,
        held: lock.Lock,
    ) -> None:
        self._settings, self._plan, self._arguments = settings, plan, arguments
        self._report, self._outcome, self._held = report, outcome, held
        self._rounds = 0
        self._attributes: dict[str, Any] = {}
        self._quarantined: list[dict[str, Any]] = []

    def prepare(self) -> None:
        """Make the store ready for the plan of the coming round."""
        path, plan = self._outcome.path, self._outcome.plan
        if self._attributes:
            self._attributes |= provenance.of_round(self._attributes, plan)
            store.prepare(path, plan, self._attributes, extend=self._settings.extend)
            return
        before = store.provenance_of(path) if store.is_store(path) else {}
        self._attributes = provenance.at_start(self._settings, plan, self._arguments, before)
        store.prepare(path, plan, self._attributes, extend=self._settings.extend)
        tried = [plan.name(unit) for unit in plan.missing(listing.counts(path, plan))]
        self._quarantined = [
            entry for entry in json.loads(before.get("quarantined", "[]"))
            if {key: entry[key] for key in ("source", "block_size", "number")} not in tried
        ]  # fmt: skip

    def run(self, client: Client) -> None:
        """Every round, on a cluster; whatever ends it, what is stored is left in good order."""
        path, settings = self._outcome.path, self._settings
        dashboard = cluster.dashboard(client, settings.cluster)
        began = time.perf_counter()
        try:
            while True:
                self._round(client, dashboard)
                following = _next_round(self._plan, self._outcome.plan, path, settings.precision)
                if self._outcome.failures or following == self._outcome.plan:
                    break
                self._outcome.plan = following
                self.prepare()
                dashboard = None
        except BaseException as error:
            if isinstance(error, Exception | Stopped):
                # A full disk takes no more: the rows then wait for the next run, and what is said
                # is why this one ended.
                with suppress(Exception):
                    self._finish(time.perf_counter() - began)
            raise
        self._outcome.seconds = time.perf_counter() - began
        self._finish(self._outcome.seconds)

    def _finish(self, seconds: float) -> None:
        ended = provenance.at_end(self._attributes, self._quarantined)
        ended |= {"computed": self._outcome.computed, "seconds": round(seconds, 3)}
        store.finish(self._outcome.path, ended)

    def _round(self, client: Client, dashboard: str | None) -> None:
        outcome, report = self._outcome, self._report
        plan, path = outcome.plan, outcome.path
        missing = plan.missing(listing.counts(path, plan))
        estimate.check_space(plan, path, len(missing) / plan.unit_count)
        todo = sum(unit.stop - unit.start for unit in missing)
        report.start(plan, path, todo, sum(map(sum, plan.cell_trials)) - todo, dashboard)
        # A name for each round, since arrays grow between them; sorted, it follows its session's.
        self._rounds += 1
        task = partial(run_unit, path, f"{self._held.session}.{self._rounds}")
        began, told, rows, computed = time.monotonic(), float("-inf"), 0, 0

        def tell(running: Iterable[Unit]) -> None:
            nonlocal told
            now = time.monotonic()
            if now - told < _SECONDS_BETWEEN_TELLING:
                return
            told = now
            # A full disk is met where a unit is stored, and not here.
            with suppress(OSError):
                self._held.tell(
                    running=[plan.name(unit) for unit in running],
                    computed=computed, seconds=round(now - began, 3),
                )  # fmt: skip

        for unit, failure in map_units(client, task, plan, missing, report.say, tell):
            if failure:
                outcome.failures.append(failure)
                self._quarantine(plan, unit, failure)
            else:
                computed += unit.stop - unit.start
                outcome.computed += unit.stop - unit.start
                rows += 1
                if rows % _ROWS_BETWEEN_PACKING == 0:
                    store.pack(path)
            report.advance(unit.stop - unit.start)

    def _quarantine(self, plan: Plan, unit: Unit, reason: str) -> None:
        self._quarantined.append(
            {
                "unit": plan.describe(unit),
                **plan.name(unit),
                "reason": reason,
                "when": provenance.now(),
                "retry": f"python -m pipeline sweep {shlex.join(self._arguments)}",
            }
        )
        with suppress(OSError):
            store.set_attributes(self._outcome.path, {"quarantined": json.dumps(self._quarantined)})


def _first_round(plan: Plan, path: str, goal: float | None) -> Plan:
    """The plan of the first round: all of it, unless a precision is to be reached."""
    if goal is None:
        return plan
    begun = listing.wanted_trials(path, plan)
    return plan.with_trials(
        [
            [min(cap, max(precision.MIN_TRIALS, have)) for cap, have in zip(*row, strict=True)]
            for row in zip(plan.cell_trials, begun, strict=True)
        ]
    )


def _next_round(plan: Plan, last: Plan, path: str, goal: float | None) -> Plan:
    """What follows a round that is complete; the same plan where nothing does."""
    if goal is None or not store.is_store(path):
        return last
    totals = listing.cell_totals(path, last)
    trials = [
        [
            precision.next_trials(totals[s, b], goal, have, plan.cell_trials[s][b])
            for b, have in enumerate(row)
        ]
        for s, row in enumerate(last.cell_trials)
    ]
    return last.with_trials(trials)


def _check_shared(client: Client, path: str) -> None:
    blind = [worker for worker, sees in client.run(store.is_store, path).items() if not sees]
    if blind:
        store.discard_empty(path)
        raise UserError(
            f"worker {blind[0]} does not see {path}: results must be a folder that all share"
        )
