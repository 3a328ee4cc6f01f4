"""Running a plan: one ordinary function for a unit, and the loop that maps it over a cluster."""

import shlex
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from queue import Empty, SimpleQueue
from typing import Any, Protocol

import numpy as np
import xarray as xr
from distributed import Client, Future

from asm_core import Measures, Operation, empty_measures, frequency_rank, measure_into
from pipeline import cluster, config, sources, store
from pipeline.exceptions import ClusterLostError, Stopped, UserError
from pipeline.plan import Plan, Unit, make_plan, store_path
from pipeline.results import open_results

# Samples drawn at a time, 1 MiB of float64: half or twice as many took 5 to 10 % longer; and as
# many blocks, of whatever size, as make a call of the kernel worth its preparations.
_SAMPLES_PER_BATCH = 1 << 17
_FEWEST_PER_BATCH = 64
# Tasks in flight per thread: enough that no thread waits for the scheduler (3-6 ms a task), few
# enough that memory and the work lost at a stop stay small.
_TASKS_PER_THREAD = 4
# How soon Ctrl-C is noticed while units run.
_POLL_SECONDS = 0.2
_VERSIONS_OF = ("numpy", "scipy", "numba", "dask", "distributed", "xarray", "zarr")


class Report(Protocol):
    """What a run tells whoever watches it."""

    def start(self, plan: Plan, path: str, todo: int, done: int, dashboard: str | None) -> None:
        """Before the first unit: trials to do and trials that the store already has."""

    def advance(self, trials: int) -> None:
        """A unit is stored, or has failed."""

    def stopping(self, units: int) -> None:
        """After Ctrl-C: units still in flight, which are waited for."""


class Silent:
    """A report to nobody."""

    def start(self, plan: Plan, path: str, todo: int, done: int, dashboard: str | None) -> None:
        """Say nothing."""

    def advance(self, trials: int) -> None:
        """Say nothing."""

    def stopping(self, units: int) -> None:
        """Say nothing."""


@dataclass
class Outcome:
    """What a run did."""

    plan: Plan
    path: str
    computed: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


class UnitError(RuntimeError):
    """A unit that could not be measured or stored; says which."""


def sweep(overrides: list[str]) -> xr.Dataset:
    """Run a sweep, or what is missing of it, and open the result.

    Parameters
    ----------
    overrides
        As on the command line: ``["freqs=0..14", "trials=1e6"]``.

    Returns
    -------
    xarray.Dataset
        As `open_results` opens it, restricted to the trials asked for.

    Raises
    ------
    UserError
        For whatever the command line would refuse.
    RuntimeError
        Where units failed; the others are stored, and the same call tries the failed ones again.
    """
    settings = config.load(overrides)
    outcome = execute(settings, make_plan(settings, sources.resolve), overrides, Silent())
    if outcome.failures:
        raise RuntimeError(
            f"{len(outcome.failures)} units failed; the first: {outcome.failures[0]}"
        )
    return open_results(outcome.path).isel(trial=slice(0, outcome.plan.trials))


def execute(
    settings: config.Config, plan: Plan, arguments: Sequence[str], report: Report
) -> Outcome:
    """Compute and store the units of a plan which its store does not have yet.

    Parameters
    ----------
    settings, plan
        A configuration, and the plan made of it.
    arguments
        What the configuration was loaded from; kept in the store.
    report
        Is told how the run goes.

    Raises
    ------
    UserError
        Before anything is started or written.
    Stopped
        After Ctrl-C, once the units in flight are stored; a second Ctrl-C does not wait.
    """
    path = store_path(settings, plan)
    plan = store.check(path, plan)
    outcome = Outcome(plan, path)
    missing = plan.missing(store.counts(path))
    todo = sum(unit.stop - unit.start for unit in missing)
    done = sum(map(sum, plan.cell_trials)) - todo
    if not missing:
        report.start(plan, path, 0, done, None)
        return outcome
    provenance = _provenance(settings, arguments)
    shared = settings.cluster["kind"] == "scheduler"
    if not shared:
        # Refusals come before anything is started.
        store.prepare(path, plan, provenance)
    with cluster.connect(settings.cluster) as client:
        if shared:
            store.prepare(path, plan, provenance)
        if settings.cluster["kind"] != "local":
            _check_shared(client, path)
        began = time.perf_counter()
        report.start(plan, path, todo, done, cluster.dashboard(client, settings.cluster))
        task = partial(run_unit, path, uuid.uuid4().hex)
        for unit, failure in map_units(client, task, plan, missing, report.stopping):
            if failure:
                outcome.failures.append(failure)
            else:
                outcome.computed += unit.stop - unit.start
            report.advance(unit.stop - unit.start)
        outcome.seconds = time.perf_counter() - began
    return outcome


def run_unit(path: str, session: str, plan: Plan, unit: Unit) -> None:
    """Measure one unit and store it; what a worker does."""
    try:
        store.write_unit(path, session, unit, measure_unit(plan, unit))
    except Exception as error:
        raise UnitError(f"{plan.describe(unit)}: {type(error).__name__}: {error}") from error


def measure_unit(plan: Plan, unit: Unit) -> Measures:
    """Errors, mask accuracies and regrets of the trials of a unit.

    Returns
    -------
    Measures
        error (operations, selections, methods, freqs, T), mask_accuracy and regret without methods,
        as float32: computed in float64 and rounded once, to half the size.
    """
    source, size = plan.sources[unit.source], plan.block_sizes[unit.block_size]
    operations = [Operation(o.kind, **o.parameters) for o in plan.operations]
    ranks = [frequency_rank(size, s.kind, **s.parameters) for s in plan.selections]
    shape = (len(plan.operations), len(plan.selections))
    count = unit.stop - unit.start
    error = np.empty((*shape, len(plan.methods), len(plan.freqs), count), np.float32)
    accuracy = np.empty((*shape, len(plan.freqs), count), np.float32)
    regret = np.empty_like(accuracy)
    batch = max(_FEWEST_PER_BATCH, _SAMPLES_PER_BATCH // (size * size))
    part = empty_measures(len(operations), len(plan.methods), len(plan.freqs), batch)
    for first in range(unit.start, unit.stop, batch):
        take = min(batch, unit.stop - first)
        blocks, known = sources.draw_pair(source, plan.seed, size, first, take)
        place = slice(first - unit.start, first - unit.start + take)
        for s, selection in enumerate(ranks):
            measure_into(part, blocks, plan.freqs, operations, plan.methods, selection, known)
            error[:, s, ..., place] = part.error[..., :take]
            accuracy[:, s, ..., place] = part.mask_accuracy[..., :take]
            regret[:, s, ..., place] = part.regret[..., :take]
    return Measures(error, accuracy, regret)


def map_units(
    client: Client,
    task: Callable[[Plan, Unit], None],
    plan: Plan,
    units: Iterable[Unit],
    on_stop: Callable[[int], None],
) -> Iterator[tuple[Unit, str | None]]:
    """Run `task(plan, unit)` for every unit; yields each as it ends, with a failure or None.

    Only a window of tasks is in flight and each future is released as it ends, so that memory does
    not grow with the number of units.  After Ctrl-C `on_stop` is told how many units are still
    being computed; they are waited for.

    Raises
    ------
    Stopped
        At the end, after Ctrl-C.
    ClusterLostError
        Where the scheduler is gone.
    """
    waiting = iter(units)
    running: dict[Future[None], Unit] = {}
    ended: SimpleQueue[Future[None]] = SimpleQueue()
    window = _Window(client)
    stopping = False
    with _count_interrupts() as pressed:
        while True:
            while not pressed and len(running) < window.size():
                unit = next(waiting, None)
                if unit is None:
                    break
                future = client.submit(task, plan, unit, key=f"unit-{uuid.uuid4().hex}", pure=False)
                running[future] = unit
                future.add_done_callback(ended.put)
            if len(pressed) > 1:
                raise KeyboardInterrupt
            if pressed and not stopping:
                stopping = True
                for idle in _not_started(client, running):
                    del running[idle]
                    idle.cancel()
                on_stop(len(running))
            if not running:
                break
            try:
                future = ended.get(timeout=_POLL_SECONDS)
            except Empty:
                continue
            unit = running.pop(future, None)
            if unit is not None:
                yield unit, _failure(plan, unit, future)
                future.release()
    if stopping:
        raise Stopped


def _failure(plan: Plan, unit: Unit, future: Future[None]) -> str | None:
    if future.status == "finished":
        return None
    # Of a cancelled future distributed says that it has no exception.
    error = future.exception() if future.status == "error" else None
    if error is None:
        return f"{plan.describe(unit)}: {future.status} by the cluster"
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

    def __init__(self, client: Client) -> None:
        self._client = client
        self._threads = 0
        self._asked = float("-inf")

    def size(self) -> int:
        if time.monotonic() - self._asked > 5.0:
            try:
                self._threads = sum(self._client.nthreads().values())
            except OSError as error:
                # distributed's CommClosedError, after it tried to reconnect for 10 s.
                raise ClusterLostError(
                    f"the Dask scheduler is gone ({type(error).__name__})"
                ) from error
            self._asked = time.monotonic()
        return _TASKS_PER_THREAD * max(self._threads, 1)


def _check_shared(client: Client, path: str) -> None:
    blind = [worker for worker, sees in client.run(store.is_store, path).items() if not sees]
    if blind:
        store.discard_empty(path)
        raise UserError(
            f"worker {blind[0]} does not see {path}: results must be a folder that all share"
        )


def _provenance(settings: config.Config, arguments: Sequence[str]) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "title": "Error of approximated spatial masking by number of spatial frequencies",
        "config": settings.to_yaml(),
        "overrides": shlex.join(arguments),
        "created": now,
        "last_run": now,
        # Text, not structures: netCDF attributes hold nothing else.
        "versions": " ".join(f"{name}={version(name)}" for name in _VERSIONS_OF),
    }
