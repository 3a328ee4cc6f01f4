"""A Dask client for each kind of cluster; entries are in conf/cluster."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError, did_you_mean
from pipeline.run import calls, here, preflight, scheduler
from pipeline.run.clock import steady_timers

if TYPE_CHECKING:
    from distributed import Client

KINDS = ("local", "processes", "scheduler")

# How long a caller's own client waits for the first worker.
_SECONDS_FOR_A_WORKER = 10.0


def check_kind(settings: dict[str, Any]) -> None:
    """Refuse a kind of cluster that conf/ introduces and the program does not have."""
    if settings["kind"] not in KINDS:
        hint = did_you_mean(settings["kind"], KINDS)
        raise UserError(f"cluster.kind={settings['kind']} is not known: {hint}")


def is_shared(settings: dict[str, Any]) -> bool:
    """Whether an entry of conf/cluster names a running cluster, which others may be using too."""
    return bool(settings["kind"] == "scheduler")


@contextmanager
def connect(settings: dict[str, Any], client: "Client | None" = None) -> Iterator["Client"]:
    """A client of the cluster that an entry of conf/cluster describes, closed at the end.

    Parameters
    ----------
    client
        One that the caller has: it is used instead, and left open.

    Raises
    ------
    UserError
        Where a scheduler does not answer, or has no worker; where this machine cannot start any.
    ClusterLostError
        Where workers of this machine do not come within a minute.
    """
    steady_timers()
    if client is not None:
        own: Any = client.scheduler
        preflight.await_worker(client, own.address, _SECONDS_FOR_A_WORKER)
        yield client
    else:
        made = scheduler.reached if is_shared(settings) else here.started
        with made(settings) as reached:
            yield reached


def dashboard(client: "Client", settings: dict[str, Any]) -> str | None:
    """The URL of the cluster's dashboard; None where it is switched off, or nobody says."""
    if not settings.get("dashboard", True):
        return None
    link: str | None = None
    with suppress(TimeoutError):
        link = calls.in_time(calls.SCHEDULER_SECONDS, lambda: client.dashboard_link)
    return link
