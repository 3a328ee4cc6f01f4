"""Progress of a run and of a check, and a store's status, in a terminal or a notebook."""

import importlib.util
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Any, Self

import numpy as np
from rich.console import Console, RenderableType
from rich.progress import Progress, Task, TaskID
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from asm_core.intervals import reach
from pipeline.analysis import curves
from pipeline.audit.status import Status
from pipeline.errors import all_of, are, count_of
from pipeline.planning.plan import Plan
from pipeline.show.fitting import Output, console, packed, print_table, say
from pipeline.store.location import Location
from pipeline.store.store import Store

# Between two lines of progress where there is no terminal.
_SECONDS_PER_LINE = 10.0
# A broken file may set a thousand units aside, all for the same reason.
_QUARANTINED_SHOWN = 10
_WORKERS_SHOWN = 20
# How often the first few curves are drawn below the bar, in letters from 0 to the largest error.
_SECONDS_PER_SKETCH, _CURVES_SKETCHED = 2.0, 3
_LEVELS, _LEVELS_OF_ASCII = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588", "_.-~+*#"
# Columns of a bar that is worth to be shown.
_LEAST_BAR = 8


def print_status(status: Status) -> None:
    """Print the units of every cell, units in quarantine, and who sweeps the store at what rate."""
    headings = (
        "source", "block_size", "units", "complete", "running", "missing", "quarantined", "trials"
    )  # fmt: skip
    rows = []
    for cell in status.cells:
        numbers = (cell.units, cell.complete, cell.running, cell.missing, cell.quarantined)
        rows.append(
            (
                cell.source, str(cell.block_size), *(f"{number:,}" for number in numbers),
                f"{cell.trials_done:,} of {cell.trials:,}",
            )
        )  # fmt: skip
    out = console()
    print_table(out, headings, rows, keys=2)
    # Units of one sweep, that one command tries again.
    for retry, units in itertools.groupby(
        status.quarantined[:_QUARANTINED_SHOWN], key=attrgetter("retry")
    ):
        for bad in units:
            out.print(Text(f"quarantined: {bad.reason}"), soft_wrap=True)
        out.print(Text(f"  try again: {retry}"), soft_wrap=True)
    if len(status.quarantined) > _QUARANTINED_SHOWN:
        others = len(status.quarantined) - _QUARANTINED_SHOWN
        say(f"quarantined: {count_of(others, 'other unit')}", out)
    _print_workers(status, out)
    say(_summary(status), out)


def _print_workers(status: Status, out: Console) -> None:
    """Print where the workers of a sweep are, and what each does; not of threads of its own."""
    workers = [
        each for each in (status.holder or {}).get("workers", [])
        if not each["address"].startswith("inproc")
    ]  # fmt: skip
    rows = []
    for worker in workers[:_WORKERS_SHOWN]:
        first, *others = worker["units"] or ["between units"]
        rows.append(
            (
                worker["address"], worker["name"], str(worker["threads"]),
                first + f" and {len(others)} more" * bool(others),
            )
        )  # fmt: skip
    if rows:
        print_table(out, ("worker", "name", "threads", "computes"), rows, keys=1)
    if len(workers) > _WORKERS_SHOWN:
        say(f"and {count_of(len(workers) - _WORKERS_SHOWN, 'other worker')}", out)


def _summary(status: Status) -> str:
    """Who sweeps, at what pace, or what is left to do."""
    left = status.trials_left
    pace = (
        f"{status.rate:,.0f} trials/s, {duration(left / status.rate)} left"
        if status.rate
        else "no unit has ended yet"
    )
    if status.holder is not None:
        pid, host = status.holder.get("pid"), status.holder.get("host")
        return f"Running: process {pid} on {host} since {status.holder.get('started')}; {pace}"
    if not left:
        return "Complete."
    return (
        f"Not running; {count_of(left, 'trial')} {are(left)} missing, and the same sweep goes on"
        + (f" (at the rate of the last one, {pace})." if status.rate else ".")
    )


def duration(seconds: float) -> str:
    """A number of seconds for people to read: 12 s, 5 min, 3.2 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _pace(done: float, total: float, seconds: float) -> str:
    """Rate so far, and the time left at that rate."""
    speed = done / max(seconds, 1e-9)
    return f"{speed:,.0f} trials/s, {duration((total - done) / speed)} left"


def is_watched() -> bool:
    """Whether a person sees standard error: a terminal, or a notebook."""
    console = Output(stderr=True)
    return console.is_terminal or console.is_jupyter


class SweepProgress:
    """Progress of a run: a bar in a terminal or notebook, now and then a line elsewhere.

    Below the bar are the first curves of the store at `place`, as far as they are known.
    """

    def __init__(self, place: Location | None = None) -> None:
        self._place = place
        # A notebook shows what is printed as output of its cell, and standard error in red.
        in_notebook = Output().is_jupyter
        self._console = Output(stderr=not in_notebook)
        # In a notebook rich needs the package ipywidgets for a bar, and only warns without it.
        widgets = in_notebook and importlib.util.find_spec("ipywidgets") is not None
        self._bar = (
            _Bar(_of_sweep, console=self._console) if self._console.is_terminal or widgets else None
        )
        self._total = 0
        self._done = 0
        self._began = self._reported = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar:
            # In a notebook rich would leave the bar as it was up to a tenth of a second ago.
            self._bar.refresh()
            self._bar.stop()

    def begin(self, plan: Plan, todo: int, done: int) -> None:
        """Start the bar of a round: `todo` trials to measure, `done` that the store already has."""
        if not todo:
            self.notify(f"Nothing to compute: {all_of(done, 'trial')} {are(done)} in the store.")
            return
        kept = f", {done:,} {are(done)} in the store" if done else ""
        at = count_of(len(plan.freqs), "frequency")
        self.notify(f"Measuring {count_of(todo, 'trial')} at {at}{kept}")
        self._total, self._done = todo, 0
        self._began = self._reported = time.monotonic()
        if self._bar:
            for task in self._bar.task_ids:
                self._bar.remove_task(task)
            self._task = self._bar.add_task("", total=todo)
            self._shown = _Sketch(self._place, plan, self._console.encoding)
            self._bar.below = self._shown.text
            self._bar.start()

    def advance(self, trials: int) -> None:
        """Count the trials of a unit."""
        self._done += trials
        if self._bar:
            self._bar.advance(self._task, trials)
            self._shown.update()
            return
        now = time.monotonic()
        if now - self._reported >= _SECONDS_PER_LINE and self._done < self._total:
            self._reported = now
            pace = _pace(self._done, self._total, now - self._began)
            self.notify(f"{self._done:,} of {count_of(self._total, 'trial')}, {pace}")

    def notify(self, line: str) -> None:
        """Print a line."""
        say(line, self._console)


class _Sketch:
    """The first curves of a store that is being measured, a line each."""

    def __init__(self, place: Location | None, plan: Plan, encoding: str) -> None:
        self._place, self._plan = place, plan
        self._levels = _LEVELS if "utf" in encoding else _LEVELS_OF_ASCII
        self._lines: list[str] = []
        self._next = time.monotonic() + _SECONDS_PER_SKETCH

    def text(self) -> str:
        """The lines; none before some units have ended."""
        return "\n".join(self._lines)

    def update(self) -> None:
        """Read the ledger again, if that is due: never more than a twentieth of the time."""
        began = time.monotonic()
        if self._place is None or began < self._next:
            return
        # A picture beside the bar is not worth a sweep: whatever goes wrong here is said elsewhere.
        with suppress(Exception):
            # As whoever asks for its status: the sweep's own handle is not for reading meanwhile.
            store = Store.open(self._place)
            drawn = curves.of_store(store, store.measured_trials(), self._plan.labels)
            measured = ((place, curve) for place, curve in drawn if curve["measured"].any())
            self._lines = [
                _sketched(
                    ", ".join(str(place[axis]) for axis in drawn.varying), curve, self._levels
                )
                for place, curve in itertools.islice(measured, _CURVES_SKETCHED)
            ]
        now = time.monotonic()
        self._next = now + max(_SECONDS_PER_SKETCH, 20 * (now - began))


def _sketched(name: str, curve: curves.Curve, levels: str) -> str:
    """A curve of letters, from its first n to its last, and its widest interval."""
    mean = np.nan_to_num(curve["mean_error"])
    top = float(mean.max()) or 1.0
    picture = "".join(levels[round((len(levels) - 1) * float(value) / top)] for value in mean)
    widest = float(np.nanmax(reach(curve["mean_error"], curve["ci_low"], curve["ci_high"])))
    ends = [f"n = {curve['freq'][k]}: {mean[k]:.4f}" for k in (0, -1)]
    return f"{name or 'error'}  {ends[0]} {picture} {ends[1]}, 95 % within +-{widest:.2g}"


class _Bar(Progress):
    """What is said of each task, with a bar where a line has room for one.

    `parts` gives the pieces of it that are not broken; a terminal that is too narrow for all of
    them on a line gets several lines.
    """

    def __init__(self, parts: Callable[[Task], Sequence[str]], **options: Any) -> None:
        self._parts = parts
        self.below: Callable[[], str] = str
        super().__init__(**options)

    def get_renderables(self) -> Iterator[RenderableType]:
        for task in self.tasks:
            width, said = self.console.width, [part for part in self._parts(task) if part]
            if len(list(packed([*said, " " * _LEAST_BAR], width))) > 1:
                yield Text("\n".join(packed(said, width)))
                continue
            row = Table.grid(padding=(0, 1), expand=True)
            row.add_column(no_wrap=True)
            row.add_column()
            for _ in said[1:]:
                row.add_column(no_wrap=True)
            bar = ProgressBar(total=task.total, completed=task.completed)
            row.add_row(Text(said[0]), bar, *map(Text, said[1:]))
            yield row
        if below := self.below():
            yield Text(below)


def _of_sweep(task: Task) -> Sequence[str]:
    """How far a sweep is, and its pace."""
    known = task.completed and task.total and task.elapsed
    # Not rich's own estimate, which is far off when two units happen to end together.
    pace = _pace(task.completed, task.total or 0, task.elapsed or 0) if known else ""
    return f"{task.percentage:>3.0f} %", f"{task.completed:,.0f} of {task.total:,.0f}", pace


def _of_check(task: Task) -> Sequence[str]:
    """What is checked, how far it is, and how long it takes."""
    left = task.time_remaining
    done = f"{task.completed:,.0f} of {task.total:,.0f}"
    return task.description, done, "" if left is None else f"{duration(left)} left"


class CheckProgress:
    """Progress of a check: in a terminal only, a bar that disappears at the end."""

    def __init__(self) -> None:
        console = Output(stderr=True)
        self._bar = _Bar(
            _of_check, console=console, transient=True, disable=not console.is_terminal
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def observe(self, what: str, done: int, total: int) -> None:
        """Show what is being checked, how far it is, and how far it goes."""
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=total)
        self._bar.update(self._tasks[what], completed=done, total=total)
