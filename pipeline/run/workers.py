"""Watching a cluster: workers that join, leave, stop answering or are refused; a lost scheduler."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from dask.system import CPU_COUNT
from dask.utils import format_bytes
from distributed import Client, LocalCluster

from pipeline.errors import ClusterLostError, MisfitError
from pipeline.planning import estimate
from pipeline.planning.plan import Plan
from pipeline.run import calls
from pipeline.run.connection import Connection
from pipeline.sources import memory

# Workers send a heartbeat every half second to ten seconds.
SILENT_SECONDS = 30.0
_SECONDS_BETWEEN_CHECKS = 5.0
# A short loss of the connection may heal; a scheduler that was restarted has forgotten every unit.
_SECONDS_WITHOUT_SCHEDULER = 10.0
# Workers whose nannies are starting them again are back within that.
_SECONDS_WITHOUT_FIT_WORKER = 10.0


class Workers:
    """The number of threads of a cluster's workers, counted again every few seconds.

    Units of workers that stop answering are given to others, and so are those of workers that were
    refused: these stay in the cluster, which others may be using.  `notify` is called with a line
    for the user when something unusual happens.
    """

    def __init__(self, connection: Connection, notify: Callable[[str], None]) -> None:
        self._connection, self._notify = connection, notify
        self._client = connection.client
        self._threads: dict[str, int] | None = None
        self._refused: dict[str, MisfitError] = {}
        self._fit_threads = 1
        self.fit: frozenset[str] = frozenset()
        """Addresses of the workers that there were at the last count and that are not refused."""
        self.census: Census | None = None
        """The last count."""
        self._signs = _Signs()
        self._checked = float("-inf")
        self._lost_since: float | None = None
        self._unfit_since: float | None = None
        self._empty_since: float | None = None

    @property
    def has_refused(self) -> bool:
        """Whether there is a worker that units must not go to."""
        return bool(self._refused)

    def refuse(self, misfit: MisfitError) -> None:
        """Give no more units to a worker, and say so once."""
        if misfit.worker not in self._refused:
            self._notify(f"Refused: {misfit}; its units go to others.")
        self._refused[misfit.worker] = misfit
        # Counted again before any unit is submitted.
        self._checked = float("-inf")

    def threads(self) -> int:
        """How many there are of fit workers, 0 while the scheduler does not answer.

        Where no worker was refused it is at least 1, and as many as may come where a cluster grows
        with its work: units then wait for workers to join.

        Raises
        ------
        ClusterLostError
            Where the scheduler has not answered for 10 seconds, the client is closed, all workers
            that there have been for 10 seconds were refused, or there has been none for as long as
            the cluster may have none.
        """
        now = time.monotonic()
        running = self._client.status == "running"
        if running and now - self._checked <= _SECONDS_BETWEEN_CHECKS:
            return self._fit_threads
        census = None
        if running:
            # CommClosedError, while the client is trying to connect again, is an OSError, and so is
            # TimeoutError.
            with suppress(OSError):
                census = take_census(self._client, self._signs.silent)
        if census is None:
            self._wait_for_scheduler(now)
            return 0
        self._lost_since, self.census = None, census
        for worker in census.dropped:
            self._notify(f"Worker {worker} does not answer: its units go to others.")
            self._kill(worker)
        if not census.threads and self._threads != {}:
            self._notify(
                "No worker is left: waiting for one to join, for at most "
                f"{self._connection.wait:g} s; Ctrl-C stops."
            )
        self._connection.refill(len(census.threads))
        self._threads = census.threads
        self._signs.note(census, time.monotonic(), _limit(self._client))
        # One that is started again at the same address may be fit by then.
        left = census.threads.keys() & self._refused.keys()
        self._refused = {address: self._refused[address] for address in left}
        self.fit = frozenset(census.threads) - left
        self._wait_for_fit_worker(now)
        self._wait_for_worker(now)
        threads = sum(census.threads[address] for address in self.fit)
        # A cluster that grows with its work sees no more of it than was submitted.
        self._fit_threads = threads if left else max(threads, self._connection.most, 1)
        self._checked = time.monotonic()
        return self._fit_threads

    def _kill(self, worker: str) -> None:
        """End a process of this machine that is frozen: Dask then starts another one."""
        own = self._client.cluster
        if isinstance(own, LocalCluster):
            for nanny in own.workers.values():
                if getattr(nanny, "worker_address", None) == worker and nanny.pid is not None:
                    os.kill(nanny.pid, signal.SIGKILL)

    def _wait_for_worker(self, now: float) -> None:
        if self._threads:
            self._empty_since = None
            return
        self._empty_since = self._empty_since or now
        if now - self._empty_since >= self._connection.wait:
            raise ClusterLostError(self._connection.without_worker())

    def _wait_for_fit_worker(self, now: float) -> None:
        if self.fit or not self._refused:
            self._unfit_since = None
            return
        self._unfit_since = self._unfit_since or now
        if now - self._unfit_since >= _SECONDS_WITHOUT_FIT_WORKER:
            *_, last = self._refused.values()
            raise ClusterLostError(f"no fit worker is left: {last}")

    def _wait_for_scheduler(self, now: float) -> None:
        self._lost_since = self._lost_since or now
        waited = now - self._lost_since
        if self._client.status == "closed" or waited > _SECONDS_WITHOUT_SCHEDULER:
            raise ClusterLostError("the Dask scheduler is gone")


@dataclass(frozen=True)
class Census:
    """A cluster at one moment, by address of a worker.

    `threads` of each, and its last sign of life, by the scheduler's clock; `ages` of these signs,
    in seconds, also by that clock, which may have been set since; which workers were dropped; the
    `names` of the workers, and the keys of the `tasks` that each computes.
    """

    threads: dict[str, int]
    signs: dict[str, float]
    ages: dict[str, float]
    dropped: tuple[str, ...]
    names: dict[str, str]
    tasks: dict[str, list[str]]


class _Signs:
    """When each worker's sign of life was first seen, by this process's even clock.

    Clocks of a scheduler's and of workers' machines may be set at any time: whether a worker is
    silent depends on nothing but whether its sign stays the same.
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, float]] = {}
        self.silent: dict[str, float] = {}
        """The signs of workers that have not given another one for too long."""

    def note(self, census: Census, now: float, limit: float) -> None:
        """Take in a census; `limit` is how long a worker may be silent."""
        before, self._seen = self._seen, {}
        for worker, sign in census.signs.items():
            # One that is silent when the sweep begins may be so for longer.
            first = before.get(worker, (sign, now - max(0.0, census.ages[worker])))
            self._seen[worker] = first if first[0] == sign else (sign, now)
        self.silent = {
            worker: sign for worker, (sign, since) in self._seen.items() if now - since > limit
        }


def _limit(client: Client) -> float:
    """How long a worker may be silent, in seconds."""
    # Workers in this process cannot be lost without it, so they never count as silent.
    in_process = isinstance(client.cluster, LocalCluster) and not client.cluster.processes
    return float("inf") if in_process else SILENT_SECONDS


def take_census(client: Client, silent: Mapping[str, float]) -> Census:
    """Count the threads, and have the scheduler drop workers that are still silent.

    Without this a worker that is suspended, or whose machine hangs, keeps its units for the five
    minutes until Dask drops it.  Not when it is first found silent, because after a pause of the
    scheduler's machine all workers seem to be.

    Parameters
    ----------
    silent
        Workers that were found silent, with the sign that they have given last.
    """

    # A nested function is sent with its code: the scheduler need not have this program installed.
    async def on_scheduler(dask_scheduler: Any, silent: dict[str, float]) -> Any:
        import time

        # Dask's spans keep 0.2 kB of every task for ever, and nothing here uses them.
        spans = dask_scheduler.extensions.get("spans")
        for span in spans.spans.values() if spans else ():
            if span.metadata:
                span.metadata["collections"].clear()
        dropped = [
            address
            for address, sign in silent.items()
            if (worker := dask_scheduler.workers.get(address)) and worker.last_seen == sign
        ]
        for address in dropped:
            await dask_scheduler.remove_worker(address, stimulus_id=f"silent-{time.time()}")
        workers = dask_scheduler.workers
        threads = {address: worker.nthreads for address, worker in workers.items()}
        names = {address: str(worker.name) for address, worker in workers.items()}
        # As the workers have said in their last heartbeats.
        tasks = {
            address: [str(task.key) for task in worker.executing]
            for address, worker in workers.items()
        }
        signs = {address: worker.last_seen for address, worker in workers.items()}
        ages = {address: time.time() - sign for address, sign in signs.items()}
        return threads, signs, ages, dropped, names, tasks

    ask = partial(client.run_on_scheduler, on_scheduler, silent=dict(silent))
    given = calls.within(client, calls.SCHEDULER_SECONDS, ask)
    threads, signs, ages, dropped, names, tasks = given
    return Census(threads, signs, ages, tuple(dropped), names, tasks)


def why_killed(kills: int, plan: Plan) -> str:
    """Words to add to a failure, if this machine has killed processes for want of memory."""
    if not kills:
        return ""
    many = f"{kills} process{'es' * (kills > 1)}"
    words = f"; since the sweep began the system killed {many} for want of memory"
    fitting = estimate.fitting_unit(plan, memory.limit(), CPU_COUNT)
    if fitting < plan.unit_trials:
        return f"{words}: into another store (out=...) unit_trials={fitting} would fit"
    return f"{words}, of which {format_bytes(memory.limit())} may be used: start fewer workers"
