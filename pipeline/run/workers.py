"""Watching a cluster: workers that join, leave, stop answering or are refused; a lost scheduler."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from distributed import Client, LocalCluster

from pipeline.errors import ClusterLostError, MisfitError

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

    def __init__(self, client: Client, notify: Callable[[str], None]) -> None:
        self._client, self._notify = client, notify
        self._threads: dict[str, int] | None = None
        self._refused: dict[str, MisfitError] = {}
        self._fit_threads = 1
        self.fit: frozenset[str] = frozenset()
        """Addresses of the workers that there were at the last count and that are not refused."""
        self._silent: frozenset[str] = frozenset()
        self._checked = float("-inf")
        self._lost_since: float | None = None
        self._unfit_since: float | None = None

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

        It is at least 1 where no worker was refused: units then wait for a worker to join.

        Raises
        ------
        ClusterLostError
            Where the scheduler has not answered for 10 seconds, the client is closed, or all
            workers that there have been for 10 seconds were refused.
        """
        now = time.monotonic()
        running = self._client.status == "running"
        if running and now - self._checked <= _SECONDS_BETWEEN_CHECKS:
            return self._fit_threads
        census = None
        if running:
            # CommClosedError, while the client is trying to connect again, is an OSError.
            with suppress(OSError):
                census = take_census(self._client, self._silent)
        if census is None:
            self._wait_for_scheduler(now)
            return 0
        self._lost_since = None
        for worker in census.dropped:
            self._notify(f"Worker {worker} does not answer: its units go to others.")
        if not census.threads and self._threads != {}:
            self._notify("No worker is left: waiting for one to join; Ctrl-C stops.")
        self._start_given_up(len(census.threads))
        self._threads, self._silent = census.threads, census.silent
        # One that is started again at the same address may be fit by then.
        left = census.threads.keys() & self._refused.keys()
        self._refused = {address: self._refused[address] for address in left}
        self.fit = frozenset(census.threads) - left
        self._wait_for_fit_worker(now)
        threads = sum(census.threads[address] for address in self.fit)
        self._fit_threads = threads if left else max(threads, 1)
        self._checked = time.monotonic()
        return self._fit_threads

    def _start_given_up(self, count: int) -> None:
        """Have a cluster of this machine start workers again that Dask has given up.

        Fifteen seconds after a worker died, Dask closes what starts it again if that is just doing
        so for the second time; it then never comes back.  To ask for as many as there should be
        changes nothing where none was given up.
        """
        own = self._client.cluster
        if isinstance(own, LocalCluster) and count < len(own.worker_spec):
            own.scale(len(own.worker_spec))

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
    """A cluster at one moment: threads of each worker, addresses of silent and dropped ones."""

    threads: dict[str, int]
    silent: frozenset[str]
    dropped: tuple[str, ...]


def take_census(client: Client, silent_before: frozenset[str]) -> Census:
    """Count the threads, and have the scheduler drop workers that are silent for the second time.

    Without this a worker that is suspended, or whose machine hangs, keeps its units for the five
    minutes until Dask drops it.  Not at the first time, because after a pause of the scheduler's
    machine all workers seem silent once.
    """
    # Workers in this process cannot be lost without it, so they never count as silent.
    in_process = isinstance(client.cluster, LocalCluster) and not client.cluster.processes
    seconds = float("inf") if in_process else SILENT_SECONDS

    # A nested function is sent with its code: the scheduler need not have this program installed.
    async def on_scheduler(
        dask_scheduler: Any, limit: float = seconds, before: frozenset[str] = silent_before
    ) -> Any:
        import time

        # Dask's spans keep 0.2 kB of every task for ever, and nothing here uses them.
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
        threads = {address: w.nthreads for address, w in dask_scheduler.workers.items()}
        return threads, sorted(silent - set(dropped)), dropped

    threads, silent, dropped = client.run_on_scheduler(on_scheduler)
    return Census(threads, frozenset(silent), tuple(dropped))
