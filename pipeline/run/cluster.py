"""A Dask client for each kind of cluster; entries are in conf/cluster."""

import dataclasses
import logging
import math
import multiprocessing
import os
import re
import shutil
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

import dask
from dask.system import CPU_COUNT

from asm_core.compiled import NotKeptWarning
from pipeline.errors import (
    ClusterLostError,
    MisfitError,
    Stopped,
    UserError,
    cannot,
    did_you_mean,
    system_error,
)
from pipeline.plan.plan import Plan
from pipeline.run import calls
from pipeline.run.clock import steady_timers
from pipeline.run.worker import misfit, plan_to_text, unseen
from pipeline.store.layout import use_a_thread_per_core

if TYPE_CHECKING:
    from distributed import Client, LocalCluster, Worker

KINDS = ("local", "processes", "scheduler")

# How long a caller's own client waits for the first worker.
_SECONDS_FOR_A_WORKER = 10.0
# Workers of this machine are there after one to five seconds, on a busy one after ten.
_SECONDS_TO_START = 60.0
# What a scheduler, its client and a store have open at a time; and pipes and connections of each
# worker process.
_FILES, _FILES_OF_A_PROCESS = 22, 18
# Beside those that its configuration names.
_SET_BY_DASK = ("PYTHONHASHSEED", "__DASK_PARENT_PID")
# Dask kills a worker process that has not ended by itself after 4 s.
_SECONDS_TO_CLOSE = 15.0
# A worker that imports everything from a slow disk for the first time may take so many times
# `WORKER_SECONDS` to answer; where another has answered it is not waited for.
_ATTEMPTS = 6


def check_kind(settings: dict[str, Any]) -> None:
    """Refuse a kind of cluster that conf/ introduces and the program does not have."""
    if settings["kind"] not in KINDS:
        hint = did_you_mean(settings["kind"], KINDS)
        raise UserError(f"cluster.kind={settings['kind']} is not known: {hint}")


def check_files(settings: dict[str, Any]) -> None:
    """Refuse what needs more files than this process may open.

    With fewer than it needs Dask waits for half a minute, and says so in thousands of lines.
    """
    try:
        import resource

        opened = len(os.listdir("/proc/self/fd"))
    except (ImportError, OSError):
        # Not every system tells; where too many are open already, that is said elsewhere.
        return
    needed, fewer = _FILES, ""
    if settings["kind"] == "processes":
        fewer = ", or give fewer cluster.workers"
        needed += _FILES_OF_A_PROCESS * _workers(settings)
    free = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - opened
    if free < needed:
        raise UserError(
            f"cluster={settings['kind']} needs about {needed} open files, and this process may "
            f"open {free} more: raise the limit (ulimit -n){fewer}"
        )


def _workers(settings: dict[str, Any]) -> int:
    """How many workers a cluster of this machine has."""
    return int(settings["workers"] or max(1, CPU_COUNT // (settings["threads"] or 1)))


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
        scheduler: Any = client.scheduler
        _await_worker(client, scheduler.address, _SECONDS_FOR_A_WORKER)
        yield client
    elif is_shared(settings):
        from distributed.utils import silence_logging_cmgr

        # Silence Dask's log: whoever catches an error reports it in one line.
        with silence_logging_cmgr(logging.CRITICAL):
            reached = _reach(settings["address"], settings["timeout"])
            try:
                _await_worker(reached, settings["address"], settings["timeout"])
                yield reached
            finally:
                _leave(reached)
    else:
        with _environment_kept(), _own_cluster(settings) as own:
            yield own


@contextmanager
def _environment_kept() -> Iterator[None]:
    """Put back the variables that Dask sets here for its worker processes, and leaves set."""
    import distributed  # noqa: F401, as its defaults say which

    names = [*dask.config.get("distributed.nanny.pre-spawn-environ"), *_SET_BY_DASK]
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _own_cluster(settings: dict[str, Any]) -> Iterator["Client"]:
    """Threads or processes of this machine, for one sweep."""
    from distributed import Client, LocalCluster

    in_process = settings["kind"] == "local"
    workers = _workers(settings)
    threads = settings["threads"] or max(1, CPU_COUNT // workers)
    # Whatever else the process of a caller has started is not ours.
    others = [child.pid for child in multiprocessing.active_children() if child.pid]
    # A scheduler keeps tasks back until a worker has room, so that none waits for a slow one.  With
    # only one, its threads would wait for the scheduler, 2 ms after each unit.
    alone = {"distributed.scheduler.worker-saturation": math.inf}
    made = partial(
        LocalCluster,
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
    if not in_process:
        _quiet_tracker()
    with dask.config.set(alone if in_process and workers == 1 else {}):
        cluster = _started(settings["kind"], made, others)
    at_once = False
    try:
        client = _started(settings["kind"], partial(Client, cluster, set_as_default=False), others)
        try:
            yield client
        finally:
            _leave(client)
    except KeyboardInterrupt as error:
        at_once = not isinstance(error, Stopped)
        raise
    finally:
        _end(cluster, others, at_once=at_once)


def _started(kind: str, make: Callable[[], Any], others: list[int]) -> Any:
    """What `make` starts on this machine; if it does not, no process of it is left."""
    try:
        return calls.in_time(_SECONDS_TO_START, make, lambda made: made.close())
    except BaseException as error:
        calls.kill_children(others)
        if isinstance(error, TimeoutError):
            raise ClusterLostError(
                f"cluster={kind} has not started on this machine within {_SECONDS_TO_START:g} s"
            ) from error
        if not isinstance(error, Exception):
            raise
        place = f"workers of cluster={kind} on this machine"
        remedy = "see that open files (ulimit -n), processes and the temporary folder allow it"
        # Dask says in what it was raised from why a worker has not started, or only in its log.
        raise UserError(cannot("start", place, system_error(error) or error, remedy)) from error


def _quiet_tracker() -> None:
    """Start Python's tracker of semaphores, which warns of those that a killed worker had.

    It removes them, so that there is nothing to be done; it would say so after the last line.  And
    a terminal that is closed must not end it before the sweep.
    """
    sys.warnoptions.append("ignore:resource_tracker:UserWarning")
    try:
        calls.in_time(_SECONDS_TO_START, resource_tracker.ensure_running)
    finally:
        sys.warnoptions.pop()


def _leave(client: "Client") -> None:
    # Whoever does not answer any more need not hear that the sweep is over.
    with suppress(Exception):
        client.close(timeout=calls.SCHEDULER_SECONDS)


def _end(cluster: "LocalCluster", others: list[int], *, at_once: bool) -> None:
    """End workers of this machine, in order or at once, and with force where they do not end."""
    workers = list(cluster.workers.values())
    for worker in workers:
        worker.auto_restart = False
    folders = [getattr(each, "worker_dir", None) or each.local_directory for each in workers]
    if at_once:
        # In order it may take 30 s, for a unit of a thread, which nothing can interrupt.
        calls.kill_children(others)
        threading.Thread(target=cluster.close, daemon=True).start()
    else:
        try:
            calls.in_time(_SECONDS_TO_CLOSE, cluster.close)
            return
        except Exception:
            calls.kill_children(others)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            os.remove(f"{folder}.dirlock")


def dask_setup(worker: "Worker") -> None:
    """Run by each worker process as it starts (Dask's preload).

    The client has said by then whether compiled code can be kept.
    """
    steady_timers()
    warnings.simplefilter("ignore", NotKeptWarning)
    use_a_thread_per_core()


def dashboard(client: "Client", settings: dict[str, Any]) -> str | None:
    """The URL of the cluster's dashboard; None where it is switched off, or nobody says."""
    if not settings.get("dashboard", True):
        return None
    link: str | None = None
    with suppress(TimeoutError):
        link = calls.in_time(calls.SCHEDULER_SECONDS, lambda: client.dashboard_link)
    return link


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
        # Dask's own timeout is for each of several steps, and a frozen scheduler outlasts it.
        make = partial(Client, address, timeout=timeout, set_as_default=False)
        return calls.in_time(timeout, make, _leave)
    except (OSError, ValueError, TypeError) as error:
        # TypeError is what a TLS scheduler gives a client without certificates.
        raise UserError(
            f"cluster.address={address} does not answer as a Dask scheduler within {timeout:g} s "
            f"({type(error).__name__}): start one with dask scheduler, or use cluster=local"
        ) from error


def _await_worker(client: "Client", address: str, timeout: float) -> None:
    try:
        # The limit of Dask's own is for the worker: a scheduler that is frozen it waits for.
        calls.within(client, timeout + calls.SCHEDULER_SECONDS, client.wait_for_workers, 1, timeout)
    except OSError as error:
        if not isinstance(error, _no_worker()):
            raise UserError(f"the scheduler at {address} does not answer: restart it") from error
        raise UserError(
            f"the scheduler at {address} has no worker: start one with dask worker {address}"
        ) from error


def _no_worker() -> type[Exception]:
    from distributed.exceptions import WorkerStartTimeoutError

    return WorkerStartTimeoutError


def check_workers(client: "Client", plan: Plan, notify: Callable[[str], None]) -> None:
    """Refuse a cluster with a worker that does not compute a plan as this process does.

    Workers that join later, or answer later, are checked by themselves, before their first unit of
    each round.

    Raises
    ------
    UserError
        It names the worker, and what differs.
    """
    # Stored sources are left out: the records of a hundred thousand files need not be sent.
    drawn = tuple(source for source in plan.sources if source.content is None)
    text = plan_to_text(dataclasses.replace(plan, sources=drawn))
    for worker, reason in answers(client, notify, misfit, text).items():
        if isinstance(reason, BaseException):
            # Whatever a worker of another installation raises.
            raise UserError(f"worker {worker} cannot load this program: {reason}") from reason
        if reason:
            raise UserError(str(MisfitError(worker, reason)))


def blind(client: "Client", store: str, notify: Callable[[str], None]) -> str | None:
    """Which worker does not find a store, and why; None if all that answer do."""
    for worker, reason in answers(client, notify, unseen, store).items():
        if reason is not None:
            return (
                f"worker {worker} does not see {store} ({reason}): results must be a folder that "
                "all share"
            )
    return None


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
        raise UserError(
            f"none of the {len(silent)} workers answers within {seconds:g} s, as {silent[0]}: "
            "restart them, or use cluster=local"
        )
    for worker in silent:
        notify(f"Worker {worker} does not answer: the sweep goes on without it.")
    return given
