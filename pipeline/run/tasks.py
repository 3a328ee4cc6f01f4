"""Units as tasks of a cluster, which are tried again where they fail or their worker dies."""

import itertools
import random
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Self

from distributed import Client, Future, KilledWorker

from pipeline.errors import (
    BadUnitError,
    ClusterLostError,
    MisfitError,
    Stopped,
    StoreLostError,
    UnitError,
    UnstoredError,
)
from pipeline.planning.grid import Missing, Unit
from pipeline.run import calls, stopping
from pipeline.run.connection import Connection
from pipeline.run.workers import Census, Workers

# Tasks in flight per thread: enough that no thread waits for the scheduler, few enough that memory
# stays small.  New ones are submitted when half of them have ended, all in one message: units that
# do nothing then take 1.2 ms each, and 2.1 ms where they are submitted one by one.  On eight worker
# processes 5,000 of them take 13 s with 8 a thread, 11 s with 16, and no less with 32.
_TASKS_PER_THREAD = 16
# Workers wait while a scheduler takes in what it is given: 16,000 tasks, of 1,024 threads, for 5 s.
_MOST_AT_ONCE = 500
# How often a unit is tried again before it is given up: failures by chance rarely come in threes.
RETRIES = 2
# Once a worker was refused, tasks name the workers that may run them: not all of a thousand.
_NAMED_WORKERS = 16
# Of a unit that is given up because of that.
DIED = "every worker that ran it died, even where it ran alone"
# How long units that are being computed are waited for after an error, as Dask does at its end.
_SECONDS_TO_COMPLETE = 30.0
# How soon a signal is noticed while units run.
_POLL_SECONDS = 0.2
# How long is waited for what a task returned; nothing is lost where it does not come.
_SECONDS_TO_SEND = 10.0
# A worker says in milliseconds which units it is computing; after that it is taken for frozen.
_SECONDS_TO_SAY = 3.0
# While a sweep stops, how often it is asked whether the units that it waits for are being computed.
_SECONDS_BETWEEN_QUESTIONS = 5.0


class Work(NamedTuple):
    """A worker, and the units that it computes."""

    address: str
    name: str
    threads: int
    units: tuple[Unit, ...]


def map_units(
    connection: Connection,
    task: Callable[[Missing], Any],
    units: Iterable[Missing],
    notify: Callable[[str], None],
    publish: Callable[[Iterable[Unit], Iterable[Work]], None] = lambda running, workers: None,
    keep: Callable[[Unit, Any], None] | None = None,
) -> Generator[tuple[Unit, str | None]]:
    """Run `task` for every unit; yields each as it ends, with the reason if it failed, else None.

    Only a window of tasks is in flight and each future is released as it ends, so that memory does
    not grow with the number of units.  A unit that raises is tried again, but for one that met a
    broken file.  When a worker dies, Dask gives its units to others.  A unit that was on four
    workers that died may be the cause, or may have run beside it: it is run again when all others
    are done, with nothing beside it.  Units that still fail are given up.  A worker that does not
    compute as this program does is refused: its units go to others, and for them it is no attempt.
    After Ctrl-C, SIGTERM or SIGHUP units that are being computed are completed.

    Parameters
    ----------
    connection
        To the cluster that runs the tasks.
    task
        Measures and stores a unit, on a worker.
    units
        Taken one by one, as the window has room.
    notify
        Is called with a line for the user when something unusual happens.
    publish
        Is called from time to time with the units that are in flight, and with the workers.
    keep
        Is called with each unit that was stored and what its task returned; None: that is not sent.

    Raises
    ------
    Stopped
        At the end, after a signal.
    KeyboardInterrupt
        At once: after a second signal, or where units took too long after the first.
    ClusterLostError
        Where the scheduler is gone, no worker is left, or every one that is left was refused.
    StoreLostError
        Where a unit met a store that nothing can be written to, or no unit can be stored.
    """
    queue, workers = _Queue(units), Workers(connection, notify)
    flight = _Flight(connection.client, task, keep)
    stop: _Stop | None = None
    with stopping.counted_signals() as signals, flight:
        while True:
            if signals and stop is None:
                stop = _Stop(signals[0], notify)
            if stop is not None:
                stop.check(signals)
                if stop.asks():
                    flight.cancel_waiting()
            else:
                window = _TASKS_PER_THREAD * workers.threads()
                for missing in flight.take_stranded(workers.fit):
                    queue.put_back(missing)
                flight.fill(queue, window, workers.fit if workers.has_refused else None)
            if not flight.running and (stop is not None or queue.is_empty):
                break
            units_in_flight = (missing.unit for missing in flight.running.values())
            publish(units_in_flight, flight.work(workers.census))
            ended = flight.wait(_POLL_SECONDS)
            if ended is None:
                workers.threads()
                continue
            missing, error = ended
            if error is None:
                queue.note_stored()
            if isinstance(error, StoreLostError):
                raise error
            if isinstance(error, MisfitError):
                workers.refuse(error)
                queue.put_back(missing)
                continue
            if error is None or not queue.try_again(missing, error):
                yield missing.unit, None if error is None else _reason(missing.unit, error)
    if stop is not None:
        raise Stopped(stop.number)


class _Stop:
    """What follows a signal: a line, and for some a time after which nothing is waited for."""

    def __init__(self, number: int, notify: Callable[[str], None]) -> None:
        self.number = number
        seconds = stopping.seconds_to_store(number)
        self._deadline = time.monotonic() + seconds
        self._asked = float("-inf")
        limit = f" for at most {seconds:g} s" if seconds < float("inf") else ""
        notify(
            f"Stopping after {stopping.name_of(number)}: storing the units in flight{limit}; "
            "Ctrl-C again stops at once."
        )

    def check(self, signals: list[int]) -> None:
        """Raise KeyboardInterrupt after a second signal, or when the time is over."""
        if len(signals) > 1 or time.monotonic() > self._deadline:
            raise KeyboardInterrupt(signals[-1])

    def asks(self) -> bool:
        """Whether it is time to ask which units are being computed.

        Not only once: a worker that freezes, or dies, meanwhile does not end what it has begun.
        """
        now = time.monotonic()
        due = now - self._asked > _SECONDS_BETWEEN_QUESTIONS
        self._asked = now if due else self._asked
        return due


class _Queue:
    """Which unit is next: first those that failed, then new ones, last suspects one at a time.

    A suspect is a unit whose workers died.
    """

    def __init__(self, units: Iterable[Missing]) -> None:
        self._new = iter(units)
        self._again: deque[Missing] = deque()
        self._suspects: deque[Missing] = deque()
        self._attempts: Counter[Unit] = Counter()
        self._has_stored = False
        self._unstored: set[Unit] = set()
        self._alone: Missing | None = None
        self.is_empty = False

    def next(self, idle: bool) -> Missing | None:
        """The next unit, None if there is none for now; `idle` is whether nothing is running."""
        if self._alone is not None and not idle:
            return None
        self._alone = None
        if self._again:
            return self._again.popleft()
        missing = next(self._new, None)
        if missing is None and self._suspects and idle:
            self._alone = missing = self._suspects.popleft()
        self.is_empty = missing is None and not self._suspects
        return missing

    def put_back(self, missing: Missing) -> None:
        """Queue a unit that was not begun once more."""
        (self._suspects if missing == self._alone else self._again).append(missing)
        self.is_empty = False

    def note_stored(self) -> None:
        """A unit was stored: the store can be written."""
        self._has_stored = True
        self._unstored.clear()

    def try_again(self, missing: Missing, error: BaseException) -> bool:
        """Queue a unit that failed once more; False if that is in vain or was done often enough.

        Raises
        ------
        StoreLostError
            Where the store was to blame each time, and since then for every other unit too.
        """
        if isinstance(error, BadUnitError):
            return False
        if isinstance(error, UnstoredError):
            self._unstored.add(missing.unit)
            given_up = self._attempts[missing.unit] >= RETRIES
            # One file of a store may be bad; it takes two that no other was stored between.
            if given_up and (len(self._unstored) > 1 or not self._has_stored):
                raise StoreLostError(error.reason)
        killed = isinstance(error, KilledWorker)
        if killed and missing != self._alone:
            self._suspects.append(missing)
        elif not killed and self._attempts[missing.unit] < RETRIES:
            self._attempts[missing.unit] += 1
            self._again.append(missing)
        else:
            return False
        self.is_empty = False
        return True


class _Flight:
    """The tasks that were submitted to a cluster and have not ended.

    As a context that an error ends, it completes those that are being computed: otherwise these
    would write their rows while the journal is packed and removed.
    """

    def __init__(
        self,
        client: Client,
        task: Callable[[Missing], Any],
        keep: Callable[[Unit, Any], None] | None,
    ) -> None:
        self._client, self._task, self._keep = client, task, keep
        self._name, self._serial = f"unit-{uuid.uuid4().hex}", itertools.count()
        self._ended: SimpleQueue[Future[Any]] = SimpleQueue()
        self.running: dict[Future[Any], Missing] = {}
        # The workers that a task names, once one was refused; others may run anywhere.
        self._named: dict[Future[Any], frozenset[str]] = {}
        self._has_cancelled = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        # After a second signal nobody waits, and without a scheduler nothing more is heard of them.
        if kind and issubclass(kind, KeyboardInterrupt | ClusterLostError):
            return
        deadline = time.monotonic() + _SECONDS_TO_COMPLETE
        with suppress(OSError):
            if self.running:
                self.cancel_waiting()
            # One that was cancelled may have begun just then, and then runs on.
            while self._has_cancelled and self._begun() and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS / 4)

    def fill(self, queue: _Queue, window: int, fit: frozenset[str] | None) -> None:
        """Once half a window is free, submit units until it is full, or none is left for now.

        `fit` are the workers that may have them; None for any, also those that join later.
        """
        if 2 * len(self.running) > window:
            return
        batch: list[Missing] = []
        while len(self.running) + len(batch) < window and len(batch) < _MOST_AT_ONCE:
            missing = queue.next(idle=not self.running and not batch)
            if missing is None:
                break
            batch.append(missing)
        if not batch:
            return
        named = random.sample(sorted(fit), min(len(fit), _NAMED_WORKERS)) if fit else None
        keys = [f"{self._name}-{next(self._serial)}" for _ in batch]
        futures = self._client.map(self._task, batch, key=keys, pure=False, workers=named)
        for missing, future in zip(batch, futures, strict=True):
            self.running[future] = missing
            if named:
                self._named[future] = frozenset(named)
            future.add_done_callback(self._ended.put)

    def work(self, census: Census | None) -> Iterator[Work]:
        """What each worker that there was at the last count does now."""
        if census is None:
            return
        units = {str(future.key): missing.unit for future, missing in self.running.items()}
        for address, threads in census.threads.items():
            computed = tuple(units[key] for key in census.tasks[address] if key in units)
            yield Work(address, census.names[address], threads, computed)

    def take_stranded(self, fit: frozenset[str]) -> list[Missing]:
        """Take back units whose tasks name workers that are all gone: they would wait for ever."""
        stranded = [future for future, names in self._named.items() if not names & fit]
        self._cancel(stranded)
        return [missing for future in stranded if (missing := self._taken(future))]

    def wait(self, seconds: float) -> tuple[Missing, BaseException | None] | None:
        """Wait for a unit to end; returns it and its error, or None if none ends in time."""
        try:
            future = self._ended.get(timeout=seconds)
        except Empty:
            return None
        missing = self._taken(future)
        if missing is None:
            return None
        error = _error(future)
        if error is None and self._keep:
            # Where its worker has died since, it is measured again; its row is there anyway.
            with suppress(Exception):
                self._keep(missing.unit, future.result(timeout=_SECONDS_TO_SEND))
        future.release()
        return missing, error

    def _taken(self, future: Future[Any]) -> Missing | None:
        """The unit of a task that is no longer waited for; None if it was not."""
        self._named.pop(future, None)
        return self.running.pop(future, None)

    def cancel_waiting(self) -> None:
        """Cancel tasks that no worker is computing, and those of workers that do not answer."""
        self._has_cancelled, begun = True, self._begun()
        # Those that have ended meanwhile are in the queue.
        waiting = [
            future for future in self.running if future.key not in begun and not future.done()
        ]
        for future in waiting:
            self._taken(future)
        self._cancel(waiting)

    def _cancel(self, futures: list[Future[Any]]) -> None:
        if futures:
            calls.within(self._client, calls.SCHEDULER_SECONDS, self._client.cancel, futures)

    def _begun(self) -> set[str]:
        """The keys of the tasks of this flight that workers are computing, cancelled or not."""
        answers = calls.ask_workers(self._client, _SECONDS_TO_SAY, _keys_computed)
        found = [keys for keys in answers.given.values() if isinstance(keys, list)]
        return {key for keys in found for key in keys if key.startswith(self._name)}


def _keys_computed(dask_worker: Any) -> list[str]:
    with dask_worker.active_threads_lock:
        return [str(key) for key in dask_worker.active_threads.values()]


def _error(future: Future[Any]) -> BaseException | None:
    if future.status == "finished":
        return None
    # distributed gives no exception for a future that was cancelled or lost.
    failed = future.status == "error"
    error = future.exception(timeout=calls.SCHEDULER_SECONDS) if failed else None
    return error or RuntimeError(f"{future.status} by the cluster")


def _reason(unit: Unit, error: BaseException) -> str:
    if isinstance(error, KilledWorker):
        return f"{unit}: {DIED}"
    text = " ".join(str(error).split())
    return text if isinstance(error, UnitError) else f"{unit}: {text}"
