"""A Dask client for each kind of cluster; entries are in conf/cluster."""

import dataclasses
import logging
import math
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dask
from dask.system import CPU_COUNT

from pipeline.errors import MisfitError, Stopped, UserError, did_you_mean
from pipeline.plan.plan import Plan
from pipeline.run.worker import misfit, plan_to_text

if TYPE_CHECKING:
    from distributed import Client, Worker

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
        Where a scheduler does not answer, or has no worker.
    """
    if client is not None:
        _await_worker(client, client.scheduler_info()["address"], _SECONDS_FOR_A_WORKER)
        yield client
    elif is_shared(settings):
        from distributed.utils import silence_logging_cmgr

        # Silence Dask's log: whoever catches an error reports it in one line.
        quiet = silence_logging_cmgr(logging.CRITICAL)
        with quiet, _reach(settings["address"], settings["timeout"]) as reached:
            _await_worker(reached, settings["address"], settings["timeout"])
            yield reached
    else:
        with _own_cluster(settings) as own:
            yield own


@contextmanager
def _own_cluster(settings: dict[str, Any]) -> Iterator["Client"]:
    """Threads or processes of this machine, for one sweep."""
    from distributed import Client, LocalCluster

    in_process = settings["kind"] == "local"
    workers = settings["workers"] or max(1, CPU_COUNT // (settings["threads"] or 1))
    threads = settings["threads"] or max(1, CPU_COUNT // workers)
    # A scheduler keeps tasks back until a worker has room, so that none waits for a slow one.  With
    # only one, its threads would wait for the scheduler, 2 ms after each unit.
    alone = {"distributed.scheduler.worker-saturation": math.inf}
    with dask.config.set(alone if in_process and workers == 1 else {}):
        cluster = LocalCluster(
            processes=not in_process,
            n_workers=workers,
            threads_per_worker=threads,
            # Port 0: any free port, so that two sweeps do not clash.  None would mean port 8787.
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": settings["dashboard"]},
            # A unit that fails is reported by the client, in one line.
            silence_logs=logging.CRITICAL,
            # Units are bounded by the plan; a limit would pause workers on small machines.
            memory_limit=0,
            **({} if in_process else {"preload": [__name__]}),
        )
    at_once = False
    try:
        with Client(cluster, set_as_default=False) as client:
            yield client
    except KeyboardInterrupt as error:
        at_once = not isinstance(error, Stopped)
        raise
    finally:
        if at_once:
            # Closing waits up to 30 s for a unit, which nothing can interrupt.
            threading.Thread(target=cluster.close, daemon=True).start()
        else:
            cluster.close()


def dask_setup(worker: "Worker") -> None:
    """Run by each worker process as it starts (Dask's preload): Ctrl-C is for the client."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def dashboard(client: "Client", settings: dict[str, Any]) -> str | None:
    """The URL of the cluster's dashboard; None where it is switched off."""
    return client.dashboard_link if settings.get("dashboard", True) else None


def _reach(address: str, timeout: float) -> "Client":
    from distributed import Client

    if not re.fullmatch(r"(tcp|tls|ws|wss|ucx)://.+:[0-9]+", address):
        raise UserError(
            f"cluster.address={address} is no address of a scheduler: write for example "
            "tcp://host:8786"
        )
    if timeout <= 0:
        raise UserError(f"cluster.timeout must be more than 0 seconds, got {timeout:g}")
    try:
        # Not as the default client: it would stay the default even if connecting fails, and the
        # caller's own Dask computations would then wait for a scheduler that is not there.
        return Client(address, timeout=timeout, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        # TypeError is what a TLS scheduler gives a client without certificates.
        raise UserError(
            f"cluster.address={address} does not answer as a Dask scheduler within {timeout:g} s "
            f"({type(error).__name__}): start one with dask scheduler, or use cluster=local"
        ) from error


def _await_worker(client: "Client", address: str, timeout: float) -> None:
    try:
        client.wait_for_workers(1, timeout=timeout)
    except TimeoutError as error:
        raise UserError(
            f"the scheduler at {address} has no worker: start one with dask worker {address}"
        ) from error


def check_workers(client: "Client", plan: Plan) -> None:
    """Refuse a cluster with a worker that does not compute a plan as this process does.

    Workers that join later are checked by themselves, before their first unit of each round.

    Raises
    ------
    UserError
        It names the worker, and what differs.
    """
    # Stored sources are left out: the records of a hundred thousand files need not be sent.
    drawn = tuple(source for source in plan.sources if source.content is None)
    text = plan_to_text(dataclasses.replace(plan, sources=drawn))
    answers = client.run(misfit, text, on_error="return")
    for worker, reason in answers.items():
        if isinstance(reason, BaseException):
            # Whatever a worker of another installation raises.
            raise UserError(f"worker {worker} cannot load this program: {reason}") from reason
        if reason:
            raise UserError(str(MisfitError(worker, reason)))
