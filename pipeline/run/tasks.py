"""Units as tasks of a cluster, which are tried again where they fail or their worker dies."""

import itertools
import random
import signal
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import NamedTuple, Self

from distributed import Client, Future, KilledWorker

from pipeline.errors import (
    BadUnitError,
    ClusterLostError,
    MisfitError,
    Stopped,
    StoreLostError,
    UnitError,
)
from pipeline.plan.grid import Missing, Unit
from pipeline.run.workers import Workers

# Tasks in flight per thread: enough that no thread waits for the scheduler, few enough that memory
# and the work lost at a stop stay small.  New ones are submitted when half of them have ended, all
# in one message: units that do nothing then take 1.2 ms each, and 2.1 ms where they are submitted
# one by one.
_TASKS_PER_THREAD = 8
# How often a unit is tried again before it is given up: failures by chance rarely come in threes.
RETRIES = 2
# Once a worker was refused, tasks name the workers that may run them: not all of a thousand.
_NAMED_WORKERS = 16
# How long units that are being computed are waited for after an error, as Dask does at its end.
_SECONDS_TO_COMPLETE = 30.0
# How soon Ctrl-C is noticed while units run.
_POLL_SECONDS = 0.2


def map_units(
    client: Client,
    task: Callable[[Missing], None],
    units: Iterable[Missing],
    notify: Callable[[str], None],
    publish: Callable[[Iterable[Unit]], None] = lambda running: None,
) -> Generator[tuple[Unit, str | None]]:
    """Run `task` for every unit; yields each as it ends, with the reason if it failed, else None.

    Only a window of tasks is in flight and each future is released as it ends, so that memory does
    not grow with the number of units.  A unit that raises is tried again, but for one that met a
    broken file.  When a worker dies, Dask gives its units to others.  A unit that was on four
    workers that died may be the cause, or may have run beside it: it is run again when all others
    are done, with nothing beside it.  Units that still fail are given up.  A worker that does not
    compute as this program does is refused: its units go to others, and for them it is no attempt.
    After Ctrl-C, units that are being computed are completed.

    Parameters
    ----------
    client
        Of the cluster that runs the tasks.
    task
        Measures and stores a unit, on a worker.
    units
        Taken one by one, as the window has room.
    notify
        Is called with a line for the user when something unusual happens.
    publish
        Is called from time to time with the units that are in flight.

    Raises
    ------
    Stopped
        At the end, after Ctrl-C.
    ClusterLostError
        Where the scheduler is gone, or every worker that is left was refused.
    StoreLostError
        Where a unit met a store that nothing can be written to.
    """
    queue, flight, workers = _Queue(units), _Flight(client, task), Workers(client, notify)
    stopping = False
    with _counted_interrupts() as interrupts, flight:
        while True:
            if len(interrupts) > 1:
                raise KeyboardInterrupt
            if interrupts and not stopping:
                stopping = True
                left = flight.cancel_waiting()
                notify(f"Stopping: storing {left} units in flight; Ctrl-C again stops at once.")
            elif not stopping:
                window = _TASKS_PER_THREAD * workers.threads()
                for missing in flight.take_stranded(workers.fit):
                    queue.put_back(missing)
                flight.fill(queue, window, workers.fit if workers.has_refused else None)
            if not flight.running and (stopping or queue.is_empty):
                break
            publish(sent.missing.unit for sent in flight.running.values())
            ended = flight.wait(_POLL_SECONDS)
            if ended is None:
                workers.threads()
                continue
            missing, error = ended
            if isinstance(error, StoreLostError):
                raise error
            if isinstance(error, MisfitError):
                workers.refuse(error)
                queue.put_back(missing)
                continue
            if error is None or not queue.try_again(missing, error):
                yield missing.unit, None if error is None else _reason(missing.unit, error)
    if stopping:
        raise Stopped


class _Queue:
    """Which unit is next: first those that failed, then new ones, last suspects one at a time.

    A suspect is a unit whose workers died.
    """

    def __init__(self, units: Iterable[Missing]) -> None:
        self._new = iter(units)
        self._again: deque[Missing] = deque()
        self._suspects: deque[Missing] = deque()
        self._attempts: Counter[Unit] = Counter()
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

    def try_again(self, missing: Missing, error: BaseException) -> bool:
        """Queue a unit that failed once more; False if that is in vain or was done often enough."""
        if isinstance(error, BadUnitError):
            return False
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


class _Sent(NamedTuple):
    """A unit that was submitted, and the workers that its task names: None for any."""

    missing: Missing
    named: frozenset[str] | None


class _Flight:
    """The tasks that were submitted to a cluster and have not ended.

    As a context that an error ends, it completes those that are being computed: otherwise these
    would write their rows while the journal is packed and removed.
    """

    def __init__(self, client: Client, task: Callable[[Missing], None]) -> None:
        self._client, self._task = client, task
        self._name, self._serial = f"unit-{uuid.uuid4().hex}", itertools.count()
        self._ended: SimpleQueue[Future[None]] = SimpleQueue()
        self.running: dict[Future[None], _Sent] = {}
        self._has_cancelled = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        # After a second Ctrl-C nobody waits, and without a scheduler nothing more is heard of them.
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
        while len(self.running) + len(batch) < window:
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
            self.running[future] = _Sent(missing, frozenset(named) if named else None)
            future.add_done_callback(self._ended.put)

    def take_stranded(self, fit: frozenset[str]) -> list[Missing]:
        """Take back units whose tasks name workers that are all gone: they would wait for ever."""
        stranded = [
            future
            for future, sent in self.running.items()
            if sent.named is not None and not sent.named & fit
        ]
        for future in stranded:
            future.cancel()
        return [self.running.pop(future).missing for future in stranded]

    def wait(self, seconds: float) -> tuple[Missing, BaseException | None] | None:
        """Wait for a unit to end; returns it and its error, or None if none ends in time."""
        try:
            future = self._ended.get(timeout=seconds)
        except Empty:
            return None
        sent = self.running.pop(future, None)
        if sent is None:
            return None
        error = _error(future)
        future.release()
        return sent.missing, error

    def cancel_waiting(self) -> int:
        """Cancel tasks that no worker has begun; returns how many others are left."""
        self._has_cancelled, begun = True, self._begun()
        for future in [future for future in self.running if future.key not in begun]:
            del self.running[future]
            future.cancel()
        return len(self.running)

    def _begun(self) -> set[str]:
        """The keys of the tasks of this flight that workers are computing, cancelled or not."""
        stacks = self._client.call_stack().values()
        return {key for keys in stacks for key in keys if key.startswith(self._name)}


def _error(future: Future[None]) -> BaseException | None:
    if future.status == "finished":
        return None
    # distributed gives no exception for a future that was cancelled or lost.
    error = future.exception() if future.status == "error" else None
    return error or RuntimeError(f"{future.status} by the cluster")


def _reason(unit: Unit, error: BaseException) -> str:
    if isinstance(error, KilledWorker):
        return f"{unit}: every worker that ran it died, even where it ran alone"
    text = " ".join(str(error).split())
    return text if isinstance(error, UnitError) else f"{unit}: {text}"


@contextmanager
def _counted_interrupts() -> Iterator[list[int]]:
    """Count Ctrl-C in a list that the loop looks at, in place of raising KeyboardInterrupt.

    An exception that a signal raises is lost if a destructor happens to run, as those of cancelled
    futures do.  From the third Ctrl-C on it is raised all the same, in case the loop is stuck.
    """
    pressed: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return

    def press(signum: int, frame: object) -> None:
        pressed.append(signum)
        if len(pressed) == 2:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
