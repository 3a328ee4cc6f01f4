"""Watching a cluster: workers that join, leave or stop answering, and a scheduler that is lost."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from distributed import Client, LocalCluster

from pipeline.errors import ClusterLostError

# Workers send a heartbeat every half second to ten seconds.
SILENT_SECONDS = 30.0
_SECONDS_BETWEEN_CHECKS = 5.0
# A short loss of the connection may heal; a scheduler that was restarted has forgotten every unit.
_SECONDS_WITHOUT_SCHEDULER = 10.0


class Workers:
    """The number of threads of a cluster's workers, counted again every few seconds.

    Units of workers that stop answering are given to others.  `notify` is called with a line for
    the user when something unusual happens.
    """

    def __init__(self, client: Client, notify: Callable[[str], None]) -> None:
        self._client, self._notify = client, notify
        self._threads = 1
        self._silent: frozenset[str] = frozenset()
        self._checked = float("-inf")
        self._lost_since: float | None = None

    def threads(self) -> int:
        """How many there are, at least 1; 0 while the scheduler does not answer.

        Raises
        ------
        ClusterLostError
            Where the scheduler has not answered for 10 seconds, or the client is closed.
        """
        now = time.monotonic()
        running = self._client.status == "running"
        if running and now - self._checked <= _SECONDS_BETWEEN_CHECKS:
            return max(self._threads, 1)
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
        if self._threads and not census.threads:
            self._notify("No worker is left: waiting for one to join; Ctrl-C stops.")
        self._threads, self._silent = census.threads, census.silent
        self._checked = time.monotonic()
        return max(self._threads, 1)

    def _wait_for_scheduler(self, now: float) -> None:
        self._lost_since = self._lost_since or now
        waited = now - self._lost_since
        if self._client.status == "closed" or waited > _SECONDS_WITHOUT_SCHEDULER:
            raise ClusterLostError("the Dask scheduler is gone")


@dataclass(frozen=True)
class Census:
    """A cluster at one moment: threads of all workers, addresses of silent and dropped ones."""

    threads: int
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
        return dask_scheduler.total_nthreads, sorted(silent - set(dropped)), dropped

    threads, silent, dropped = client.run_on_scheduler(on_scheduler)
    return Census(threads, frozenset(silent), tuple(dropped))
