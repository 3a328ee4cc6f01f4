"""Text for a terminal: progress of a run and of a check, and a store's status."""

import sys
import time
from types import TracebackType
from typing import Any, Self

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
from rich.progress import Task as _Task
from rich.table import Table
from rich.text import Text

from pipeline.audit.status import Status
from pipeline.plan.plan import Plan

# Between two lines of progress where there is no terminal.
_SECONDS_PER_LINE = 10.0


class Output(Console):
    """A terminal, or a pipe whose reader may have seen enough."""

    def on_broken_pipe(self) -> None:
        """Leave it to the caller: rich would end the program with an exit code of 1."""
        raise BrokenPipeError


def console() -> Console:
    """Standard output: piped, a table is as wide as its contents."""
    return Output(width=None if sys.stdout.isatty() else 160, highlight=False)


def print_status(status: Status) -> None:
    """Units of every cell, who is at it, at what rate, and for how long."""
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
    for entry in status.quarantined:
        out.print(Text(f"quarantined: {entry['reason']}"), soft_wrap=True)
        out.print(Text(f"  try again: {entry['retry']}"), soft_wrap=True)
    out.print(Text(_who(status)), soft_wrap=True)


def _who(status: Status) -> str:
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
    """Seconds, for people."""
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
    # Not rich's own estimate, which takes two units that end together for a speed.
    def render(self, task: _Task) -> Text:
        if not task.completed or not task.total or not task.elapsed:
            return Text("")
        return Text(_pace(task.completed, task.total, task.elapsed))


class Watch:
    """Progress of a run on standard error: a bar in a terminal, now and then a line elsewhere."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._console = console
        self._bar = (
            Progress(
                TextColumn("{task.percentage:>3.0f} %"), BarColumn(bar_width=None),
                TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
                _Pace(), console=console, expand=True,
            )
            if console.is_terminal
            else None
        )  # fmt: skip
        self._total = 0
        self._done = 0
        self._began = self._told = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def start(self, plan: Plan, path: str, todo: int, done: int, dashboard: str | None) -> None:
        """Say what is to be done."""
        if dashboard:
            self.say(f"Dashboard: {dashboard}")
        if not todo:
            self.say(f"Nothing to compute: all {done:,} trials are in the store.")
            return
        kept = f", {done:,} are in the store" if done else ""
        self.say(f"Measuring {todo:,} trials at {len(plan.freqs)} frequencies{kept}")
        self._total, self._done = todo, 0
        self._began = self._told = time.monotonic()
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
        if now - self._told >= _SECONDS_PER_LINE and self._done < self._total:
            self._told = now
            pace = _pace(self._done, self._total, now - self._began)
            self.say(f"{self._done:,} of {self._total:,} trials, {pace}")

    def say(self, line: str) -> None:
        """A line on standard error."""
        self._console.print(line, highlight=False, soft_wrap=True)


class Counter:
    """How far a check of a store is: a line that is written over, in a terminal only."""

    def __init__(self) -> None:
        self._shows = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._shows:
            print(end="\r\x1b[K", file=sys.stderr, flush=True)

    def seen(self, what: str, k: int, n: int) -> None:
        """Show what is looked at, how far it is, and how far it goes."""
        if self._shows and k % max(1, n // 200) == 0:
            print(end=f"\r\x1b[K{what}: {k:,} of {n:,}", file=sys.stderr, flush=True)
