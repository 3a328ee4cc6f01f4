"""Workers of this machine: threads of this process, or processes that a sweep starts and ends."""

import ast
import logging
import math
import multiprocessing
import os
import shutil
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import resource_tracker
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import dask
from dask.system import CPU_COUNT

from asm_core.compiled import NotKeptWarning
from pipeline.errors import ClusterUnfitError, UserError, cannot, system_error
from pipeline.functions.naming import TARGET
from pipeline.run import calls
from pipeline.run.clock import steady_timers
from pipeline.run.connection import Connection, refilling
from pipeline.store.layout import use_a_thread_per_core

if TYPE_CHECKING:
    from distributed import Client, LocalCluster, Worker

# Workers of this machine are there after one to five seconds, on a busy one after ten.
_SECONDS_TO_START = 60.0
# What a scheduler, its client and a store have open at a time; and pipes and connections of each
# worker process.
_FILES, _FILES_OF_A_PROCESS = 22, 18
# Beside those that its configuration names.
_SET_BY_DASK = ("PYTHONHASHSEED", "__DASK_PARENT_PID")
# Dask kills a worker process that has not ended by itself after 4 s.
_SECONDS_TO_CLOSE = 15.0
# Processes of this machine are back in 3 s, or never.
SECONDS_WITHOUT_WORKER = 60.0


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
    kind = settings.get("kind", TARGET)
    if kind == "processes":
        fewer = ", or give fewer cluster.workers"
        needed += _FILES_OF_A_PROCESS * _workers(settings)
    free = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - opened
    if free < needed:
        raise UserError(
            f"cluster={kind} needs about {needed} open files, and this process may "
            f"open {free} more: raise the limit (ulimit -n){fewer}"
        )


def check_script(settings: dict[str, Any]) -> None:
    """Refuse processes for a script that would sweep again in each of them.

    Python imports the script anew in every process that it starts, and what is not below
    `if __name__ == "__main__":` runs there too.
    """
    if settings.get("kind", TARGET) != "processes":
        return
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    frame: FrameType | None = sys._getframe()
    while frame and (frame.f_globals is not vars(main) or frame.f_code.co_name != "<module>"):
        frame = frame.f_back
    if not file or not frame:
        return
    try:
        script = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        # Of a console, or no Python file.
        return
    if any(isinstance(each, ast.Name) and each.id == "__name__" for each in ast.walk(script)):
        # It knows.
        return
    line = frame.f_lineno
    for each in script.body:
        if each.lineno <= line <= (each.end_lineno or each.lineno) and not isinstance(each, ast.If):
            raise UserError(
                f"cluster=processes imports {file} anew in every process, where its line {line} "
                'would sweep again: put it below if __name__ == "__main__":'
            )


@contextmanager
def started(settings: dict[str, Any]) -> Iterator[Connection]:
    """Threads or processes of this machine, for one sweep.

    Raises
    ------
    ClusterUnfitError
        Where this machine cannot start them, or not within a minute.
    """
    with environment_kept(), _cluster(settings) as client:
        yield connection(client, SECONDS_WITHOUT_WORKER)


def connection(client: "Client", wait: float) -> Connection:
    """A client of a `LocalCluster`, ours or a caller's."""
    refill = refilling(client.cluster)
    return Connection(client, "this machine", "see what ends them", wait, refill=refill)


@contextmanager
def _cluster(settings: dict[str, Any]) -> Iterator["Client"]:
    from distributed import Client, LocalCluster

    in_process = settings["kind"] == "local"
    workers = _workers(settings)
    threads = settings["threads"] or max(1, CPU_COUNT // workers)
    # Whatever else the process of a caller has started is not ours.
    others = children()
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
        quiet_tracker()
    with dask.config.set(alone if in_process and workers == 1 else {}):
        cluster = _started(settings["kind"], made, others)
    with calls.ending(partial(_end, cluster, others)):
        client = _started(settings["kind"], partial(Client, cluster, set_as_default=False), others)
        with calls.left(client):
            yield client


def children() -> list[int]:
    """The processes that this one has started."""
    return [child.pid for child in multiprocessing.active_children() if child.pid]


@contextmanager
def environment_kept() -> Iterator[None]:
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


def _workers(settings: dict[str, Any]) -> int:
    """How many workers a cluster of this machine has."""
    return int(settings["workers"] or max(1, CPU_COUNT // (settings["threads"] or 1)))


def _started(kind: str, make: Callable[[], Any], others: list[int]) -> Any:
    """What `make` starts on this machine; if it does not, no process of it is left."""
    try:
        return calls.in_time(_SECONDS_TO_START, make, lambda made: made.close())
    except BaseException as error:
        calls.kill_children(others)
        if isinstance(error, TimeoutError):
            raise ClusterUnfitError(
                f"cluster={kind} has not started on this machine within {_SECONDS_TO_START:g} s: "
                "see what else it is doing"
            ) from error
        if not isinstance(error, Exception):
            raise
        place = f"workers of cluster={kind} on this machine"
        remedy = "see that open files (ulimit -n), processes and the temporary folder allow it"
        if getattr(sys.modules["__main__"], "__file__", None):
            remedy += ', and that a script has its calls below if __name__ == "__main__":'
        # Dask says in what it was raised from why a worker has not started, or only in its log.
        raise ClusterUnfitError(
            cannot("start", place, system_error(error) or error, remedy)
        ) from error


def quiet_tracker() -> None:
    """Start Python's tracker of semaphores, which warns of those that a killed worker had.

    It removes them, so that there is nothing to be done; it would say so after the last line.  And
    a terminal that is closed must not end it before the sweep.
    """
    sys.warnoptions.append("ignore:resource_tracker:UserWarning")
    try:
        calls.in_time(_SECONDS_TO_START, resource_tracker.ensure_running)
    finally:
        sys.warnoptions.pop()


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
