"""Progress of a run and of a check, and a store's status, in a terminal or a notebook."""

import importlib.util
import sys
import time
from typing import Self

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as _Task
from rich.table import Table
from rich.text import Text

from pipeline.audit.status import Status
from pipeline.plan.plan import Plan

# Between two lines of progress where there is no terminal.
_SECONDS_PER_LINE = 10.0
# A broken file may set a thousand units aside, all for the same reason.
_QUARANTINED_SHOWN = 10


class Output(Console):
    """A console that leaves a broken pipe, whose reader has closed it, to the caller."""

    def on_broken_pipe(self) -> None:
        """Raise, where rich itself would end the program with exit code 1."""
        raise BrokenPipeError


def console() -> Console:
    """Standard output; in a pipe up to 160 columns wide, so that tables are not squeezed to 80."""
    return Output(width=None if sys.stdout.isatty() else 160, highlight=False)


def print_status(status: Status) -> None:
    """Print the units of every cell, units in quarantine, and who sweeps the store at what rate."""
    table = Table(box=box.SIMPLE)
    for heading in ("source", "block_size"):
        table.add_column(heading, no_wrap=True)
    for heading in ("units", "complete", "running", "missing", "quarantined", "trials"):
        table.add_column(heading, justify="right", no_wrap=True)
    for cell in status.cells:
        numbers = (cell.units, cell.complete, cell.running, cell.missing, cell.quarantined)
        table.add_row(
            cell.source, str(cell.block_size), *(f"{number:,}" for number in numbers),
            f"{cell.trials_done:,} of {cell.trials:,}",
        )  # fmt: skip
    out = console()
    out.print(table)
    for bad in status.quarantined[:_QUARANTINED_SHOWN]:
        out.print(Text(f"quarantined: {bad.reason}"), soft_wrap=True)
        out.print(Text(f"  try again: {bad.retry}"), soft_wrap=True)
    if len(status.quarantined) > _QUARANTINED_SHOWN:
        out.print(f"quarantined: {len(status.quarantined) - _QUARANTINED_SHOWN:,} other units")
    out.print(Text(_summary(status)), soft_wrap=True)


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
    return f"Not running; {left:,} trials are missing, and the same sweep goes on" + (
        f" (at the rate of the last one, {pace})." if status.rate else "."
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


class _Pace(ProgressColumn):
    # Not rich's own estimate, which is far off when two units happen to end together.
    def render(self, task: _Task) -> Text:
        if not task.completed or not task.total or not task.elapsed:
            return Text("")
        return Text(_pace(task.completed, task.total, task.elapsed))


def is_watched() -> bool:
    """Whether a person sees standard error: a terminal, or a notebook."""
    console = Console(stderr=True)
    return console.is_terminal or console.is_jupyter


class SweepProgress:
    """Progress of a run: a bar in a terminal or notebook, now and then a line elsewhere."""

    def __init__(self) -> None:
        # A notebook shows what is printed as output of its cell, and standard error in red.
        in_notebook = Console().is_jupyter
        self._console = Console(stderr=not in_notebook)
        # In a notebook rich needs the package ipywidgets for a bar, and only warns without it.
        widgets = in_notebook and importlib.util.find_spec("ipywidgets") is not None
        self._bar = _bar(self._console) if self._console.is_terminal or widgets else None
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
            self.notify(f"Nothing to compute: all {done:,} trials are in the store.")
            return
        kept = f", {done:,} are in the store" if done else ""
        self.notify(f"Measuring {todo:,} trials at {len(plan.freqs)} frequencies{kept}")
        self._total, self._done = todo, 0
        self._began = self._reported = time.monotonic()
        if self._bar:
            for task in self._bar.task_ids:
                self._bar.remove_task(task)
            self._task = self._bar.add_task("", total=todo)
            self._bar.start()

    def advance(self, trials: int) -> None:
        """Count the trials of a unit."""
        self._done += trials
        if self._bar:
            self._bar.advance(self._task, trials)
            return
        now = time.monotonic()
        if now - self._reported >= _SECONDS_PER_LINE and self._done < self._total:
            self._reported = now
            pace = _pace(self._done, self._total, now - self._began)
            self.notify(f"{self._done:,} of {self._total:,} trials, {pace}")

    def notify(self, line: str) -> None:
        """Print a line."""
        # As plain text, since rich would read brackets in a path as markup.
        self._console.print(Text(line), soft_wrap=True)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.percentage:>3.0f} %"), BarColumn(bar_width=None),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
        _Pace(), console=console, expand=True,
    )  # fmt: skip


class CheckProgress:
    """Progress of a check: in a terminal only, a bar that disappears at the end."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} of"),
            TextColumn("{task.total:,.0f}"), TimeRemainingColumn(),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
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
