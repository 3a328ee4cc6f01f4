"""Text for a terminal: tables of a summary and of a plan, matrices, and the progress of a run."""

import sys
import time
from types import TracebackType
from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Table
from rich.text import Text

from pipeline.plan import Plan
from pipeline.results import AXES, curves, in_range, varying

# Between two lines of progress where there is no terminal.
_SECONDS_PER_LINE = 10.0


def print_summary(summary: xr.Dataset) -> None:
    """Table of every curve: n, coefficients kept, mean error and its interval, mask, regret."""
    console = _console()
    differing = varying(summary)
    for name, curve in curves(summary):
        count = int(curve["count"].max())
        values = differing or AXES
        title = ", ".join(f"{axis}={name[axis]}" for axis in values)
        console.print(Text(f"{title}: {count:,} trials", style="bold"))
        console.print(_curve_table(in_range(curve)))


def _curve_table(curve: xr.Dataset) -> Table:
    table = Table(box=box.SIMPLE)
    # Rectifiers have no regret.
    columns = {"mask accuracy": "mask_accuracy", "regret": "regret"}
    columns = {heading: name for heading, name in columns.items() if curve[name].notnull().any()}
    for heading in ("n", "kept", "mean error", "95 % interval", *columns):
        table.add_column(heading, justify="right", no_wrap=True)
    for k in range(curve.sizes["freq"]):
        point = curve.isel(freq=k)
        table.add_row(
            str(int(point["freq"])),
            str(int(point["coefficients_kept"])),
            _figures(point["mean"]),
            f"{_figures(point['ci_low'])} .. {_figures(point['ci_high'])}",
            *(_figures(point[name]) for name in columns.values()),
        )
    return table


def _figures(value: Any) -> str:
    number = float(value)
    return (
        "-"
        if np.isnan(number)
        else f"{number:.5f}"
        if 1e-3 <= abs(number) < 1e4 or not number
        else f"{number:.3e}"
    )


def print_plan(plan: Plan, path: str, missing: int, threads: int) -> None:
    """What a sweep would do: axes, units, bytes, estimated time."""
    table = Table(box=box.SIMPLE, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    cells = len(plan.sources) * len(plan.block_sizes)
    share = missing / max(plan.unit_count, 1)
    seconds = plan.core_seconds * share / threads + START_SECONDS
    rows = {
        "source": ", ".join(source.name for source in plan.sources),
        "block_size": ", ".join(map(str, plan.block_sizes)),
        "operation": ", ".join(operation.name for operation in plan.operations),
        "selection": ", ".join(selection.name for selection in plan.selections),
        "method": ", ".join(plan.methods),
        "freq": ", ".join(map(str, plan.freqs)),
        "trial": f"0 .. {plan.trials - 1:,}",
        "units": f"{plan.unit_count:,} of up to {plan.unit_trials:,} trials, {cells} cells; "
        f"{missing:,} to compute",
        "size": f"{_bytes(plan.stored_bytes)} uncompressed, {_bytes(plan.unit_bytes)} a unit",
        "time": f"about {_duration(seconds)} on {threads} threads",
        "store": path,
    }
    for name, text in rows.items():
        table.add_row(name, text)
    _console().print(table)


# Imports, cluster, store and table of a whole process, measured for the default sweep.
START_SECONDS = 3.0


def print_matrix(name: str, matrix: NDArray[Any]) -> None:
    """A matrix with three decimals; in a terminal in the notebook's colours."""
    console = _console()
    console.print(Text(f"\n{name}", style="bold"))
    for row in np.asarray(matrix, dtype=np.float64):
        line = Text()
        for value in row:
            colour = "red" if value > 0 else "green" if value < 0 else "blue"
            line.append(f"{value:8.3f}", style=colour)
        console.print(line, soft_wrap=True)


class _Output(Console):
    def on_broken_pipe(self) -> None:
        # The caller's to handle: rich would end the program with an exit code of 1.
        raise BrokenPipeError


def _console() -> Console:
    # Piped, a table is as wide as its contents and not as a terminal that is not there.
    return _Output(width=None if sys.stdout.isatty() else 160, highlight=False)


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _pace(done: float, total: float, seconds: float) -> str:
    """Rate so far, and the time left at that rate."""
    speed = done / max(seconds, 1e-9)
    return f"{speed:,.0f} trials/s, {_duration((total - done) / speed)} left"


class _Pace(ProgressColumn):
    # Not rich's own estimate, which takes two units that end together for a speed.
    def render(self, task: Task) -> Text:
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
        self._total = todo
        self._began = self._told = time.monotonic()
        if self._bar:
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

    def stopping(self, units: int) -> None:
        """Say what Ctrl-C waits for."""
        self.say(f"Stopping: storing {units} units in flight; Ctrl-C again stops at once.")

    def say(self, line: str) -> None:
        """A line on standard error."""
        self._console.print(line, highlight=False, soft_wrap=True)
