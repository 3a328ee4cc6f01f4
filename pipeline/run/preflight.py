"""Whether the workers of a cluster are fit for a sweep, asked before its first unit."""

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.errors import ClusterLostError, ClusterUnfitError, MisfitError
from pipeline.planning.plan import Plan
from pipeline.run import calls
from pipeline.run.connection import Connection
from pipeline.run.worker import SHARE_RESULTS, misfit, plan_to_text, unseen
from pipeline.sources import kinds
from pipeline.store.location import Location

if TYPE_CHECKING:
    from distributed import Client

# A worker that imports everything from a slow disk for the first time may take so many times
# `WORKER_SECONDS` to answer; where another has answered it is not waited for.
_ATTEMPTS = 6
_POLL_SECONDS = 0.2
# A batch system takes some to start a job; after that a user is told what it says.
_SECONDS_BETWEEN_LINES = 5.0


def await_worker(connection: Connection, notify: Callable[[str], None]) -> None:
    """Wait for the first worker of a cluster.

    Raises
    ------
    ClusterUnfitError
        Where none comes within the cluster's `wait`, or none can come.
    """
    client, began = connection.client, time.monotonic()
    said, shown = "", began
    probe = None
    try:
        while not _workers(connection):
            # A cluster that grows with its work starts none before there is some.
            probe = probe or client.submit(bool, pure=False)
            now = time.monotonic()
            why = connection.failure()
            if why or now - began > connection.wait:
                if script := connection.script():
                    notify(f"The script of each job:\n{script.strip()}")
                failed = f"{connection.place} starts no worker ({why}): {connection.remedy}"
                raise ClusterUnfitError(failed if why else connection.without_worker())
            if now - shown > _SECONDS_BETWEEN_LINES:
                shown, reason = now, connection.reason()
                if not said or reason != said:
                    said = reason or "no more is known"
                    notify(f"Waiting for a worker, for at most {connection.wait:g} s: {said}.")
            time.sleep(_POLL_SECONDS)
    finally:
        if probe:
            probe.release()


def _workers(connection: Connection) -> int:
    """How many workers there are."""
    scheduler: Any = connection.client.scheduler
    try:
        # An argument that has a default, which is to leave out all but five.
        ask = partial(scheduler.identity, n_workers=-1)
        known = calls.within(connection.client, calls.SCHEDULER_SECONDS, ask)
    except OSError as error:
        raise ClusterUnfitError(f"{connection.place} does not answer: restart it") from error
    return len(known["workers"])


def check_workers(client: "Client", plan: Plan, notify: Callable[[str], None]) -> None:
    """Refuse a cluster with a worker that does not compute a plan as this process does.

    Workers that join later, or answer later, are checked by themselves, before their first unit of
    each round.

    Raises
    ------
    UserError
        It names the worker, and what differs.
    """
    # Of stored sources the first file: the records of a hundred thousand need not be sent.
    first = tuple(map(kinds.first_file, plan.sources))
    text = plan_to_text(dataclasses.replace(plan, sources=first))
    for worker, found in answers(client, notify, misfit, text).items():
        if isinstance(found, MisfitError):
            raise ClusterUnfitError(str(MisfitError(worker, found.reason, found.remedy)))
        if isinstance(found, BaseException):
            # Whatever a worker of another installation raises.
            raise ClusterUnfitError(
                f"worker {worker} cannot load this program: {' '.join(str(found).split())}: "
                "install the same version on both"
            ) from found


def check_store(
    client: "Client", store: Location, token: str, notify: Callable[[str], None]
) -> None:
    """Refuse a cluster with a worker that does not see the lock which this process holds.

    Raises
    ------
    ClusterUnfitError
        It names the worker, and what it sees.
    """
    for worker, reason in answers(client, notify, unseen, store.url, token).items():
        if reason is not None:
            raise ClusterUnfitError(
                f"worker {worker} does not see {store} ({reason}): {SHARE_RESULTS}"
            )


def answers(
    client: "Client",
    notify: Callable[[str], None],
    function: Callable[..., Any],
    *arguments: Any,
) -> dict[str, Any]:
    """What a function gives, or raises, on each worker that answers.

    A worker that is frozen is named, and passed over: it gets units like any other, and loses them
    again while it is silent.

    Raises
    ------
    UserError
        Where none answers.
    ClusterLostError
        Where the scheduler does not.
    """
    for attempt in range(_ATTEMPTS):
        try:
            given, silent = calls.ask_workers(client, calls.WORKER_SECONDS, function, *arguments)
        except OSError as error:
            raise ClusterLostError("the Dask scheduler does not answer") from error
        if given or not silent:
            break
        if not attempt:
            notify(f"None of {len(silent)} workers answers: waiting for one; Ctrl-C stops.")
    else:
        seconds = _ATTEMPTS * calls.WORKER_SECONDS
        raise ClusterUnfitError(
            f"none of the {len(silent)} workers answers within {seconds:g} s, as {silent[0]}: "
            "restart them, or use cluster=local"
        )
    for worker in silent:
        notify(f"Worker {worker} does not answer: the sweep goes on without it.")
    return given
