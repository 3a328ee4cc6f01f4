"""The loop that maps units over a cluster, whatever happens to its workers."""

import itertools
import signal
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue

from distributed import Client, Future, KilledWorker

from pipeline.errors import ClusterLostError, Stopped, StoreLostError, UnitError
from pipeline.plan.plan import Plan, Unit
from pipeline.run import cluster

# Tasks in flight per thread: enough that no thread waits for the scheduler (3-6 ms a task), few
# enough that memory and the work lost at a stop stay small.
_TASKS_PER_THREAD = 4
# How often a unit is tried again before it is given up: what fails by chance rarely does so thrice.
RETRIES = 2
# How soon Ctrl-C is noticed while units run.
_POLL_SECONDS = 0.2
_SECONDS_BETWEEN_LOOKS = 5.0
# A scheduler that is restarted has forgotten every unit, one that is cut off may come back.
_SECONDS_WITHOUT_SCHEDULER = 10.0


def map_units(
    client: Client,
    task: Callable[[Plan, Unit], None],
    plan: Plan,
    units: Iterable[Unit],
    say: Callable[[str], None],
    tell: Callable[[Iterable[Unit]], None] = lambda running: None,
) -> Iterator[tuple[Unit, str | None]]:
    """Run `task(plan, unit)` for every unit; yields each as it ends, with a failure or None.

    Only a window of tasks is in flight and each future is released as it ends, so that memory does
    not grow with the number of units.  A unit that raises is tried again.  Where workers die, Dask
    gives the units that they had to others; one that was on four of them is then run alone, when
    all others are done: it is the cause, or had bad neighbours.  Units that still fail are given
    up.  After Ctrl-C the units that are being computed are waited for.

    Parameters
    ----------
    say
        Is told, for a user, what is unusual.
    tell
        Is told now and then which units are in flight.

    Raises
    ------
    Stopped
        At the end, after Ctrl-C.
    ClusterLostError
        Where the scheduler is gone.
    StoreLostError
        Where a unit met a store that nothing can be written to.
    """
    waiting = iter(units)
    again: deque[Unit] = deque()
    suspects: deque[Unit] = deque()
    attempts: Counter[Unit] = Counter()
    alone: Unit | None = None
    running: dict[Future[None], Unit] = {}
    ended: SimpleQueue[Future[None]] = SimpleQueue()
    name, serial = f"unit-{uuid.uuid4().hex}", itertools.count()
    window = _Window(client, say)
    stopping = False

    def following() -> Unit | None:
        nonlocal alone
        if again:
            return again.popleft()
        unit = next(waiting, None)
        if unit is None and suspects and not running:
            alone = unit = suspects.popleft()
        return unit

    with _count_interrupts() as pressed:
        while True:
            exhausted = False
            while not pressed and alone is None and len(running) < window.size():
                unit = following()
                if unit is None:
                    exhausted = True
                    break
                future = client.submit(task, plan, unit, key=f"{name}-{next(serial)}", pure=False)
                running[future] = unit
                future.add_done_callback(ended.put)
            if len(pressed) > 1:
                raise KeyboardInterrupt
            if pressed and not stopping:
                stopping = True
                for idle in _not_started(client, running):
                    del running[idle]
                    idle.cancel()
                say(
                    f"Stopping: storing {len(running)} units in flight; Ctrl-C again stops at once."
                )
            if not running and (stopping or exhausted):
                break
            tell(running.values())
            try:
                future = ended.get(timeout=_POLL_SECONDS)
            except Empty:
                window.size()
                continue
            unit = running.pop(future, None)
            if unit is None:
                continue
            error = _error(future)
            future.release()
            if isinstance(error, StoreLostError):
                raise error
            isolated, alone = unit == alone, None
            if error is None:
                yield unit, None
            elif isinstance(error, KilledWorker) and not isolated:
                suspects.append(unit)
            elif not isinstance(error, KilledWorker) and attempts[unit] < RETRIES:
                attempts[unit] += 1
                again.append(unit)
            else:
                yield unit, _words(plan, unit, error)
    if stopping:
        raise Stopped


def _error(future: Future[None]) -> BaseException | None:
    if future.status == "finished":
        return None
    # Of a cancelled future distributed says that it has no exception.
    error = future.exception() if future.status == "error" else None
    return error or RuntimeError(f"{future.status} by the cluster")


def _words(plan: Plan, unit: Unit, error: BaseException) -> str:
    if isinstance(error, KilledWorker):
        return f"{plan.describe(unit)}: every worker that ran it died, even where it ran alone"
    text = " ".join(str(error).split())
    return text if isinstance(error, UnitError) else f"{plan.describe(unit)}: {text}"


def _not_started(client: Client, running: Iterable[Future[None]]) -> list[Future[None]]:
    """Futures that no worker is computing yet."""
    started = {key for stacks in client.call_stack().values() for key in stacks}
    return [future for future in running if future.key not in started]


@contextmanager
def _count_interrupts() -> Iterator[list[int]]:
    """Collect Ctrl-C in a list, for the loop to look at.

    An exception raised by a signal is lost where it meets a destructor, as those of futures that
    are being cancelled.  The third Ctrl-C raises all the same, should the loop be stuck.
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


class _Window:
    """How many tasks to keep in flight, looked up again as workers come and go."""

    def __init__(self, client: Client, say: Callable[[str], None]) -> None:
        self._client, self._say = client, say
        self._threads = 1
        self._silent: set[str] = set()
        self._asked = float("-inf")
        self._lost_since: float | None = None

    def size(self) -> int:
        """Look at the cluster now and then; workers that stopped lose their units to others.

        0 while the scheduler does not answer.
        """
        now, status = time.monotonic(), self._client.status
        look = None
        if status == "running" and now - self._asked <= _SECONDS_BETWEEN_LOOKS:
            return _TASKS_PER_THREAD * max(self._threads, 1)
        if status == "running":
            # Else distributed's CommClosedError: the client tries to connect again, or gives up.
            with suppress(OSError):
                look = cluster.look(self._client, self._silent)
        if look is None:
            self._lost_since = self._lost_since or now
            if status == "closed" or now - self._lost_since > _SECONDS_WITHOUT_SCHEDULER:
                raise ClusterLostError("the Dask scheduler is gone")
            return 0
        self._lost_since = None
        for worker in look.dropped:
            self._say(f"Worker {worker} does not answer: its units go to others.")
        if self._threads and not look.threads:
            self._say("No worker is left: waiting for one to join; Ctrl-C stops.")
        self._threads, self._silent = look.threads, look.silent
        self._asked = time.monotonic()
        return _TASKS_PER_THREAD * max(self._threads, 1)
