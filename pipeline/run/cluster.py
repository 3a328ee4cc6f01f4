"""A Dask client for each kind of cluster; entries are in conf/cluster."""

import logging
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dask.system import CPU_COUNT
from distributed import Client, LocalCluster, Worker
from distributed.utils import silence_logging_cmgr

from asm_core import KERNEL_VERSION
from asm_core.sources import STREAM_VERSION
from pipeline.errors import Stopped, UserError
from pipeline.plan.plan import LAYOUT_VERSION

# A worker's heart beats every half second to ten seconds.
SILENT_SECONDS = 30.0

Versions = tuple[int, int, int]


@contextmanager
def connect(settings: dict[str, Any]) -> Iterator[Client]:
    """A client of the cluster that an entry of conf/cluster describes, closed at the end.

    Raises
    ------
    UserError
        Where a scheduler does not answer, has no worker, or has workers of another version.
    """
    if settings["kind"] == "scheduler":
        # What goes wrong is said in one line, by who meets it.
        quiet = silence_logging_cmgr(logging.CRITICAL)
        with quiet, _reach(settings["address"], settings["timeout"]) as client:
            _check_workers(client, settings)
            yield client
        return
    in_process = settings["kind"] == "local"
    workers = settings["workers"] or max(1, CPU_COUNT // (settings["threads"] or 1))
    threads = settings["threads"] or max(1, CPU_COUNT // workers)
    cluster = LocalCluster(
        processes=not in_process,
        n_workers=workers,
        threads_per_worker=threads,
        # A port of one's own never clashes with another sweep; None would take 8787 all the same.
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


def dask_setup(worker: Worker) -> None:
    """Run by each worker process as it starts (Dask's preload): Ctrl-C is for the client."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@dataclass(frozen=True)
class Look:
    """A cluster as it is now: threads of its workers; those that are silent, and were removed."""

    threads: int
    silent: set[str]
    dropped: list[str]


def look(client: Client, silent_before: set[str]) -> Look:
    """Count the threads; have the scheduler drop workers that are silent now and were before.

    A worker that is stopped, or whose machine hangs, keeps its units until Dask gives it up after
    five minutes.  Twice, because after a pause of the whole machine all look silent once.
    """
    # Workers that are threads beat in this very process.
    threads = isinstance(client.cluster, LocalCluster) and not client.cluster.processes
    seconds = float("inf") if threads else SILENT_SECONDS

    # Defined here, so that it travels whole: a scheduler need not have this program.
    async def on_scheduler(
        dask_scheduler: Any, limit: float = seconds, before: set[str] = silent_before
    ) -> Any:
        import time

        # A span keeps 0.2 kB of every task that ever was, which nobody here asks for.
        spans = dask_scheduler.extensions.get("spans")
        for span in spans.spans.values() if spans else ():
            if span.metadata:
                span.metadata["collections"].clear()
        ages = {
            address: time.time() - worker.last_seen
            for address, worker in dask_scheduler.workers.items()
        }
        silent = {address for address, age in ages.items() if age > limit}
        dropped = sorted(silent & before)
        for address in dropped:
            await dask_scheduler.remove_worker(address, stimulus_id=f"silent-{time.time()}")
        return dask_scheduler.total_nthreads, silent - set(dropped), dropped

    return Look(*client.run_on_scheduler(on_scheduler))


def dashboard(client: Client, settings: dict[str, Any]) -> str | None:
    """Where to look at the cluster in a browser, if it serves a dashboard."""
    return client.dashboard_link if settings.get("dashboard", True) else None


def _reach(address: str, timeout: float) -> Client:
    if not re.fullmatch(r"(tcp|tls|ws|wss|ucx)://.+:[0-9]+", address):
        raise UserError(
            f"cluster.address={address} is no address of a scheduler: write for example "
            "tcp://host:8786"
        )
    if timeout <= 0:
        raise UserError(f"cluster.timeout must be more than 0 seconds, got {timeout:g}")
    try:
        # Never the default: a client that fails would stay it, and the caller's own computations
        # would wait for a scheduler that is not there.
        return Client(address, timeout=timeout, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        # TypeError is what a TLS scheduler gives a client without certificates.
        raise UserError(
            f"cluster.address={address} does not answer as a Dask scheduler within {timeout:g} s "
            f"({type(error).__name__}): start one with dask scheduler, or use cluster=local"
        ) from error


def _versions() -> Versions:
    return KERNEL_VERSION, STREAM_VERSION, LAYOUT_VERSION


def _check_workers(client: Client, settings: dict[str, Any]) -> None:
    address = settings["address"]
    try:
        client.wait_for_workers(1, timeout=settings["timeout"])
    except TimeoutError as error:
        raise UserError(
            f"the scheduler at {address} has no worker: start one with dask worker {address}"
        ) from error
    try:
        found = client.run(_versions)
    except Exception as error:  # whatever a worker of another installation raises
        raise UserError(f"a worker of {address} cannot load this program: {error}") from error
    for worker, versions in found.items():
        if versions != _versions():
            raise UserError(
                f"worker {worker} computes with versions {versions} of kernel, stream and layout, "
                f"this program with {_versions()}: install the same version on both"
            )
