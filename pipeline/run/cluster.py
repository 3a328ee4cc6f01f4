"""The cluster that units run on, of each kind; entries are in conf/cluster."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError, did_you_mean
from pipeline.functions.naming import TARGET
from pipeline.run import calls, here, preflight, scheduler, target
from pipeline.run.clock import steady_timers
from pipeline.run.connection import Connection

if TYPE_CHECKING:
    from distributed import Client

KINDS = ("local", "processes", "scheduler")
# How long a caller's own client waits for a worker.
SECONDS_FOR_A_WORKER = 60.0


def check_kind(settings: dict[str, Any]) -> None:
    """Refuse a kind of cluster that conf/ introduces and the program does not have."""
    if TARGET not in settings and settings["kind"] not in KINDS:
        hint = did_you_mean(settings["kind"], KINDS)
        raise UserError(f"cluster.kind={settings['kind']} is not known: {hint}")


def threads(settings: dict[str, Any]) -> int:
    """How many units a cluster computes at a time, for an estimate; 0 where nobody knows."""
    workers = str(settings.get("workers") or 0).rpartition("..")[2]
    names = ("threads", "threads_per_worker", "nthreads", "cores")
    each = next((settings[name] for name in names if isinstance(settings.get(name), int)), 0)
    if TARGET in settings:
        each = each or 1
    return int(workers) * each


def job_script(settings: dict[str, Any]) -> str:
    """The script that a batch system is given for each job; empty for other clusters.

    Raises
    ------
    ClusterUnfitError
        Where the class of the cluster is not there, or does not take its arguments.
    """
    return target.job_script(settings) if TARGET in settings else ""


def is_here(settings: dict[str, Any]) -> bool:
    """Whether workers are of this machine and of this program, so that they compute as it does."""
    return settings.get("kind") in ("local", "processes")


@contextmanager
def connect(
    settings: dict[str, Any],
    notify: Callable[[str], None],
    client: "Client | None" = None,
    logs: Path | None = None,
) -> Iterator[Connection]:
    """The cluster that an entry of conf/cluster describes, closed at the end, with a worker.

    Parameters
    ----------
    notify
        Is called with a line for the user while workers are waited for.
    client
        One that the caller has: it is used instead, and left open.
    logs
        A folder for what jobs of a batch system print, for as long as it lasts.

    Raises
    ------
    ClusterUnfitError
        Where a scheduler does not answer, or has no worker; where workers cannot be started.
    """
    steady_timers()
    with _connected(settings, client, logs) as connection:
        preflight.await_worker(connection, notify)
        yield connection


@contextmanager
def _connected(
    settings: dict[str, Any], client: "Client | None", logs: Path | None
) -> Iterator[Connection]:
    if client is not None:
        yield _connection_of(client, float(settings.get("wait", SECONDS_FOR_A_WORKER)))
    elif TARGET in settings:
        with target.started(settings, logs) as connection:
            yield connection
    else:
        made = here.started if is_here(settings) else scheduler.reached
        with made(settings) as connection:
            yield connection


def _connection_of(client: "Client", wait: float) -> Connection:
    """A client of a caller's own."""
    from distributed import LocalCluster

    if isinstance(client.cluster, LocalCluster):
        return here.connection(client, wait)
    own: Any = client.scheduler
    return scheduler.connection(client, own.address, wait)


def dashboard(client: "Client", settings: dict[str, Any]) -> str | None:
    """The URL of the cluster's dashboard; None where it is switched off, or nobody says."""
    if not settings.get("dashboard", True):
        return None
    link: str | None = None
    with suppress(TimeoutError):
        link = calls.in_time(calls.SCHEDULER_SECONDS, lambda: client.dashboard_link)
    return link
